"""napari's sliders below the canvas: those that change nothing are hidden."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtWidgets import QApplication


class Sliders:
    """Hides sliders of one viewer.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    idle : callable
        The axes, counted from the first, whose sliders change nothing now.
    """

    def __init__(self, viewer: Any, idle: Callable[[], tuple[int, ...]]) -> None:
        self.viewer = viewer
        self._idle = idle
        self._found: Any = None
        # After napari's own listeners, which show a slider for every axis that any layer has.
        for event in self._events():
            event.connect(self.update)

    def _events(self) -> tuple[Any, ...]:
        events = self.viewer.dims.events
        return events.ndim, events.range, events.ndisplay, events.order

    def close(self) -> None:
        """Disconnect from the viewer, whose sliders are all shown again."""
        for event in self._events():
            event.disconnect(self.update)
        self._show(hide=())

    def update(self, event: Any = None) -> None:
        """Show the sliders that change something."""
        self._show(hide=self._idle())

    @property
    def widget(self) -> Any:
        """napari's widget with the sliders of this viewer; None where there is none (any more)."""
        # napari gives plugins no way to it, so it is known by its class and the model that it shows.
        if self._found is None:
            model = getattr(self.viewer.dims, "__wrapped__", self.viewer.dims)
            for widget in QApplication.allWidgets():
                if type(widget).__name__ == "QtDims" and getattr(widget, "dims", None) is model:
                    self._found = widget
        return self._found

    def _show(self, hide: tuple[int, ...]) -> None:
        try:
            self._apply(self.widget, hide)
        except RuntimeError:  # the window is gone
            self._found = None

    def _apply(self, widget: Any, hide: tuple[int, ...]) -> None:
        sliders = getattr(widget, "slider_widgets", [])
        dims, shown = self.viewer.dims, 0
        for axis, slider in enumerate(sliders):
            wanted = axis < dims.ndim and axis not in dims.displayed and dims.nsteps[axis] > 1 and axis not in hide
            slider.setVisible(wanted)
            _widen(slider.totslice_label)
            shown += wanted
            if axis in hide and dims.last_used == axis:
                dims.last_used = max(dims.ndim - 4, 0)  # the arrow keys move a slider that is seen
        if sliders:
            widget.setMinimumHeight(shown * getattr(widget, "SLIDERHEIGHT", 22))


def _widen(label: Any) -> None:
    """Room for all digits: napari allows for those of the axis before."""
    need = label.fontMetrics().horizontalAdvance(label.text()) + 8
    if label.width() < need:
        label.setFixedWidth(need)
