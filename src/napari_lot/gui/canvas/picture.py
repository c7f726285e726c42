"""The canvas as it is shown, in as many pixels as paper needs: lettering and scale bar grow with the picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_lot.export.figures import scale_bar_A


def take_picture(viewer: Any, across_px: int) -> NDArray[np.uint8]:
    """A picture (V, U, 4) of the canvas, ``across_px`` wide; the canvas itself is afterwards as it was."""
    height, width = viewer.canvas.size
    factor = across_px / width
    camera, overlays = viewer.scene.camera, viewer.canvas.overlays
    changes: list[tuple[Any, str, Any]] = [(camera, "zoom", camera.zoom * factor)]
    for overlay in (overlays.text, overlays.scale_bar):
        changes.append((overlay, "font_size", overlay.font_size * factor))
    columns = viewer.canvas.grid.actual_shape(viewer.layers)[1] if viewer.canvas.grid.enabled else 1
    # as long as on the screen, whatever follows the zoom; napari's own bar has a length in pixels of the screen
    length = overlays.scale_bar.length or scale_bar_A(0.7 * width / columns / camera.zoom)
    changes.append((overlays.scale_bar, "length", length))
    for layer in viewer.layers:
        if layer.visible:
            for name in ("colorbar", "face_colorbar", "name_overlay"):
                overlay = getattr(layer, name, None)
                if overlay is None or not overlay.visible:
                    continue
                changes.append((overlay, "font_size", overlay.font_size * factor))
                if hasattr(overlay, "size"):
                    changes.append((overlay, "size", tuple(round(factor * s) for s in overlay.size)))
    before = [(thing, name, getattr(thing, name)) for thing, name, _ in changes]
    try:
        for thing, name, value in changes:
            setattr(thing, name, value)
        picture: NDArray[np.uint8] = viewer.screenshot(
            size=(round(height * factor), across_px), canvas_only=True, flash=False
        )
    finally:
        for thing, name, value in before:
            setattr(thing, name, value)
    return picture
