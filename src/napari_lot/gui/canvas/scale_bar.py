"""napari's scale bar, in whole Å: by itself it counts shorter ones in mÅ, which nobody does."""

from __future__ import annotations

from typing import Any

from napari_lot.export.figures import whole_A

LONGEST_PX = 150
"""Length on the screen that the bar keeps below, as napari's own does."""
FITS = 0.9
"""Of the width of an image, the part that a bar may take."""


class ScaleBar:
    """Sets the length of a viewer's scale bar at every zoom; a length that somebody else has set stays.

    Only where the viewer shows Å, and 1 Å fits onto the canvas; elsewhere napari finds the length.
    """

    def __init__(self, viewer: Any) -> None:
        self.viewer = viewer
        self._set: float | None = None
        viewer.scene.camera.events.zoom.connect(self.update)

    def close(self) -> None:
        """Stop listening to the viewer; napari finds the length again."""
        self.viewer.scene.camera.events.zoom.disconnect(self.update)
        bar = self.viewer.canvas.overlays.scale_bar
        if bar.length == self._set:
            bar.length = None

    def update(self, event: Any = None) -> None:
        """Bring the length to the zoom."""
        bar = self.viewer.canvas.overlays.scale_bar
        if bar.length not in (None, self._set):
            return
        self._set = self._wanted()
        if bar.length != self._set:
            bar.length = self._set
            # napari draws a new length with the next change of the zoom, or of the lettering
            bar.events.font_size.emit(bar.font_size, bar.font_size)

    def _wanted(self) -> float | None:
        viewer = self.viewer
        units, zoom = viewer.layers.units, viewer.scene.camera.zoom
        if not units or zoom <= 0 or any(str(units[axis]) != "angstrom" for axis in viewer.dims.displayed):
            return None
        length = whole_A(LONGEST_PX / zoom)
        grid = viewer.canvas.grid
        columns = grid.actual_shape(viewer.layers)[1] if grid.enabled else 1
        return length if length * zoom <= FITS * viewer.canvas.size[1] / columns else None
