"""The canvas drawn once after many changes, and not after each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from qtpy.QtWidgets import QListView, QWidget


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
        self._lists: list[Any] = []

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

    @contextmanager
    def list_held(self) -> Iterator[None]:
        """While this lasts napari's list of layers stays as it is, for changes that are none of names or their order.

        It arranges itself anew at whatever happens to a layer, in a turn of the event loop of its own, and then the
        whole window is painted once more.
        """
        with suppress(RuntimeError):  # the window is gone
            if not self._lists and (widget := self._beside()) is not None:
                self._lists = [c for c in widget.window().findChildren(QListView) if type(c).__name__ == "QtLayerList"]
        models = []
        with suppress(RuntimeError):
            models = [model for model in (view.model() for view in self._lists) if not model.blockSignals(True)]
        try:
            yield
        finally:
            with suppress(RuntimeError):
                for model in models:
                    model.blockSignals(False)
