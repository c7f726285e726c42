"""The bar beside the atoms that tells what their colours mean."""

from __future__ import annotations

from napari.layers import Points

from napari_lot.gui.canvas.colors import ELEMENT, Coloring

BAR_SIZE, BAR_FONT = (14, 180), 9


def show_color_bar(layer: Points, colors: Coloring) -> None:
    """Show what the colours of a layer mean, which has them already; none for elements."""
    bar = layer.face_colorbar
    if colors.colormap is not None and (layer.face_contrast_limits != colors.limits or not bar.visible):
        # The points have colours of their own: map and limits are only what the bar shows.
        layer.face_colormap = colors.colormap
        layer.face_contrast_limits = colors.limits
    elif colors.colormap is not None and layer.face_colormap.name != colors.colormap.name:
        layer.face_colormap = colors.colormap
    bar.size, bar.font_size = BAR_SIZE, BAR_FONT
    bar.visible = colors.name != ELEMENT
