"""The canvas drawn once after many changes, and not after each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from qtpy.QtWidgets import QWidget


class Still:
    """Holds the canvas of one window still while layers come, go and change their places.

    A change of the sliders' height, of which there is one for most layers that come or go, makes Qt draw the canvas at
    once: what is still being arranged, and again after the next change.

    Parameters
    ----------
    beside : callable
        A widget of the window, or None where there is no window (any more).
    """

    def __init__(self, beside: Callable[[], Any]) -> None:
        self._beside = beside
        self._found: list[Any] = []

    @contextmanager
    def held(self) -> Iterator[None]:
        """While this lasts nothing is drawn; what has changed is drawn in a turn of the event loop of its own."""
        canvases = self._hold()
        try:
            yield
        finally:
            with suppress(RuntimeError):  # the window is gone
                for canvas in canvases:
                    canvas.setUpdatesEnabled(True)

    def _hold(self) -> list[Any]:
        """The canvases that are held still from now on, and were not before."""
        try:
            if not self._found and (widget := self._beside()) is not None:
                children = widget.window().findChildren(QWidget)
                self._found = [child for child in children if child.inherits("QOpenGLWidget")]
            canvases = [canvas for canvas in self._found if canvas.updatesEnabled()]
            for canvas in canvases:
                canvas.setUpdatesEnabled(False)
        except RuntimeError:  # the window is gone
            return []
        return canvases
