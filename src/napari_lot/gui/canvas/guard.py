"""Points that are only looked at: what napari's tools or a script would do to them is refused, or put back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from napari.layers import Points
from napari.utils.notifications import show_info

AGAIN_S = 3.0
"""Seconds in which a sentence is not said again: a key that is held down, and every step of a drag, asks anew."""
CHANGES = ("added", "changed", "removed")


class Guard:
    """Keeps the points of a layer as they are, until it is released.

    napari's Delete takes points from every layer, in every mode: ``editable`` only governs which modes there are, and
    napari sets it anew whenever the view turns to 3-D.

    Parameters
    ----------
    layer : napari.layers.Points
    touched : callable
        Told when somebody wants to change the points; with True where that has happened, and they are to be put back.
    """

    def __init__(self, layer: Points, touched: Callable[[bool], None]) -> None:
        self._layer, self._touched = layer, touched
        # Delete, remove_selected and pop all come here, before anything of the layer has changed
        layer.remove = self._remove
        layer.events.data.connect(self._on_data)

    def release(self) -> None:
        """The layer belongs to whoever has it now."""
        del self._layer.remove
        self._layer.events.data.disconnect(self._on_data)

    def _remove(self, indices: Iterable[int]) -> None:
        if len(list(indices)):
            self._touched(False)

    def _on_data(self, event: Any) -> None:
        # what the workbench writes comes with its events blocked
        if getattr(event.action, "value", event.action) in CHANGES:
            self._touched(True)


class Refusal:
    """Says why something was refused, as an information that goes by itself."""

    def __init__(self) -> None:
        self._said, self._said_at = "", 0.0

    def say(self, sentence: str) -> None:
        """Show it, unless it has just been shown."""
        now = time.monotonic()
        if sentence != self._said or now - self._said_at > AGAIN_S:
            show_info(sentence)
            self._said, self._said_at = sentence, now
