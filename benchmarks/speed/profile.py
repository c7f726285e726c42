"""Time of the window's thread in this package's own Python, apart from what napari and vispy do for it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

OWN, FOREIGN = "own", "foreign"
_FOREIGN = tuple(f"{os.sep}{name}{os.sep}" for name in ("napari", "vispy", "psygnal"))
_OWN = (f"{os.sep}napari_lot{os.sep}",)


def whose(filename: str) -> str | None:
    """Whose code a file is: ours, napari's and vispy's, or that of whoever calls it."""
    if any(part in filename for part in _OWN):
        return OWN
    return FOREIGN if any(part in filename for part in _FOREIGN) else None


class OwnTime:
    """Adds up the thread's CPU time while the innermost of the two kinds of code that runs is ours.

    Every call and return of a Python function is seen (``sys.setprofile``), which itself takes time: the sum is too
    large rather than too small. numpy, Qt and pyqtgraph count for who calls them.
    """

    def __init__(self) -> None:
        self.own_s = 0.0
        self._kinds: dict[str, str | None] = {}
        self._stack: list[str] = []
        self._now, self._since = FOREIGN, 0.0

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
                self._kinds[name] = whose(name)
            self._stack.append(self._now)
            self._turn(self._kinds[name] or self._now)
        elif event == "return" and self._stack:
            self._turn(self._stack.pop())
