"""Time of the window's thread in this package's own Python, apart from what napari and vispy do for it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from types import FrameType
from typing import Any

OWN, FOREIGN = "own", "foreign"


def folders(*packages: str) -> tuple[str, ...]:
    """Where packages are, each with a separator at its end."""
    specs = [find_spec(name) for name in packages]
    return tuple(f"{path}{os.sep}" for spec in specs if spec for path in spec.submodule_search_locations or ())


class OwnTime:
    """Adds up the thread's CPU time while the innermost of the two kinds of code that runs is ours.

    Every call and return of a Python function is seen (``sys.setprofile``), which itself takes time: the sum is too
    large rather than too small. numpy, Qt and pyqtgraph count for who calls them.

    Parameters
    ----------
    own, foreign
        Folders of the two kinds of code: by default this package; napari, vispy and psygnal.
    """

    def __init__(self, own: tuple[str, ...] | None = None, foreign: tuple[str, ...] | None = None) -> None:
        self.own_s = 0.0
        self._folders = {
            OWN: folders("napari_lot") if own is None else own,
            FOREIGN: folders("napari", "vispy", "psygnal") if foreign is None else foreign,
        }
        self._kinds: dict[str, str | None] = {}
        self._stack: list[str] = []
        self._now, self._since = FOREIGN, 0.0

    def whose(self, filename: str) -> str | None:
        """Whose code a file is: ours, napari's and vispy's, or that of whoever calls it (None)."""
        return next((kind for kind, of in self._folders.items() if filename.startswith(of)), None)

    def call(self, work: Callable[[], Any]) -> Any:
        """Call it, and count."""
        self._stack, self._now, self._since = [], FOREIGN, time.thread_time()
        sys.setprofile(self._seen)
        try:
            return work()
        finally:
            sys.setprofile(None)
            self._turn(FOREIGN)

    def _turn(self, kind: str) -> None:
        if kind == self._now:
            return
        now = time.thread_time()
        if self._now == OWN:
            self.own_s += now - self._since
        self._now, self._since = kind, now

    def _seen(self, frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            name = frame.f_code.co_filename
            if name not in self._kinds:
                self._kinds[name] = self.whose(name)
            self._stack.append(self._now)
            self._turn(self._kinds[name] or self._now)
        elif event == "return" and self._stack:
            self._turn(self._stack.pop())
