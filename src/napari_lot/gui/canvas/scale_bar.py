"""napari's scale bar in round lengths of Å and nm: by itself it counts in mÅ and kÅ, which nobody does."""

from __future__ import annotations

from math import floor, log10
from typing import Any

LONGEST_PX = 150
"""Length on the screen that the bar keeps below, as napari's own does, unless 1 Å is longer and fits."""
FITS = 0.9
"""Of the width of an image, the part that a bar may take."""
LEAST_IN_NM = 1000.0
"""Length in Å from which nm are told."""
_WRITES = "_on_size_or_zoom_change"


class ScaleBar:
    """Sets the length of a viewer's scale bar at every zoom; a length that somebody else has set stays.

    Only where the viewer shows Å; elsewhere napari finds the length.
    """

    def __init__(self, viewer: Any) -> None:
        self.viewer = viewer
        self._set: float | None = None
        viewer.scene.camera.events.zoom.connect(self.update)

    def close(self) -> None:
        """Stop listening to the viewer; napari finds the length again, and its words."""
        self.viewer.scene.camera.events.zoom.disconnect(self.update)
        for drawn in _drawn(self.viewer):
            vars(drawn).pop(_WRITES, None)
        bar = self.viewer.canvas.overlays.scale_bar
        if bar.length == self._set:
            bar.length = None

    def update(self, event: Any = None) -> None:
        """Bring the length to the zoom."""
        bar = self.viewer.canvas.overlays.scale_bar
        if bar.length not in (None, self._set):
            return
        self._set = self._wanted()
        anew = [_in_plain_units(drawn) for drawn in _drawn(self.viewer)]
        if bar.length != self._set or any(anew):
            bar.length = self._set
            # napari draws a new length with the next change of the zoom, or of the lettering
            bar.events.font_size.emit(bar.font_size, bar.font_size)

    def _wanted(self) -> float | None:
        viewer = self.viewer
        units, zoom = viewer.layers.units, viewer.scene.camera.zoom
        if not units or zoom <= 0 or any(str(units[axis]) != "angstrom" for axis in viewer.dims.displayed):
            return None
        grid = viewer.canvas.grid
        columns = grid.actual_shape(viewer.layers)[1] if grid.enabled else 1
        room = FITS * viewer.canvas.size[1] / columns
        return 1.0 if LONGEST_PX < zoom <= room else round_length(min(LONGEST_PX, room) / zoom)


def round_length(longest: float) -> float:
    """The longest of …, 0.1, 0.2, 0.5, 1, 2, 5, … that is no longer than a positive length, in the same unit."""
    power = floor(log10(longest * (1 + 1e-9)))
    step = max(step for step in (1, 2, 5) if step * 10.0**power <= longest * (1 + 1e-9))
    return step * 10.0**power if power >= 0 else step / 10.0**-power


def in_words(length_A: float) -> str:
    """A length in the unit that it is commonly told in: Å, from 1000 Å on nm."""
    return f"{length_A:g} Å" if length_A < LEAST_IN_NM else f"{length_A / 10:g} nm"


def _drawn(viewer: Any) -> list[Any]:
    """What napari draws the bar with; nothing where it has not begun to, or keeps it elsewhere than it did."""
    window = getattr(getattr(viewer, "__wrapped__", viewer), "window", None)
    canvas = getattr(getattr(window, "_qt_viewer", None), "canvas", None)
    drawn = getattr(canvas, "_viewer_overlay_to_visual", {})
    bar = viewer.canvas.overlays.scale_bar
    return list(drawn.get(getattr(bar, "__wrapped__", bar), ()))


def _in_plain_units(drawn: Any) -> bool:
    """Let what napari writes at a length in Å be followed by our words; whether that is new.

    napari asks pint for the prefix, and has no setting for it.
    """
    if _WRITES in vars(drawn) or not hasattr(drawn, _WRITES):
        return False
    write = getattr(drawn, _WRITES)

    def write_plainly(*event: Any, **how: Any) -> None:
        write(*event, **how)
        length = drawn.overlay.length
        if length is not None and str(drawn._unit.units) == "angstrom":
            drawn.node.text.text = in_words(length)
            drawn._on_rendering_change()

    setattr(drawn, _WRITES, write_plainly)
    return True
