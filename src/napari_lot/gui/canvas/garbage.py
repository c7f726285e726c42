"""Python's search for garbage, which napari begins at each layer that goes and which holds up the window."""

from __future__ import annotations

import gc
from typing import Any
from weakref import WeakSet

from napari.layers import Layer
from qtpy.QtCore import QObject, QTimer

LOOK_MS = 500
"""How often it is looked whether a layer that went is found."""


class Garbage(QObject):
    """Lets the search pass over all that is there already, while a workbench is open.

    A search through the whole program, with its million objects of libraries that never go, stops every thread for a
    third of a second. napari asks for one whenever a layer goes or several change their places, and Python itself while
    a fit makes many objects. What comes later is searched as ever, so what a closed layer leaves is found.

    Layers that were there before are waited for: when one of them goes, everything is searched until it is found.
    """

    _open = 0

    def __init__(self, viewer: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self._before: WeakSet[Layer] = WeakSet()
        self._gone: WeakSet[Layer] = WeakSet()
        self._timer = QTimer(self)
        self._timer.setInterval(LOOK_MS)
        self._timer.timeout.connect(self._pass_over)
        Garbage._open += 1
        viewer.layers.events.removed.connect(self._on_removed)
        gc.collect()
        self._pass_over()

    def close(self) -> None:
        """Everything is searched again, once the last workbench is closed."""
        self.viewer.layers.events.removed.disconnect(self._on_removed)
        self._timer.stop()
        Garbage._open -= 1
        if not Garbage._open:
            gc.unfreeze()

    def _pass_over(self) -> None:
        if not self._gone:
            self._timer.stop()
            self._before = WeakSet(self.viewer.layers)
            gc.freeze()

    def _on_removed(self, event: Any) -> None:
        if event.value in self._before:
            gc.unfreeze()
            self._gone.add(event.value)
            self._timer.start()
