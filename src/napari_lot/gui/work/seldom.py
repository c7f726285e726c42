"""What is drawn less often than it changes."""

from __future__ import annotations

import time
from collections.abc import Callable

from qtpy.QtCore import QObject, QTimer

APART_S = 0.1
"""Two such things are not drawn in one turn, where that can be helped: the window would answer to nobody for longer."""


class Seldom(QObject):
    """Calls something at once where it was not called lately, else with a later wish.

    While wishes keep coming it is called in the turn of one of them, in which other things are drawn, too; where none
    follows, a timer sees to the last.

    Parameters
    ----------
    call : callable
    least_s : float
        Time between calls, at least.
    """

    _any_called_at = -float("inf")

    def __init__(self, call: Callable[[], None], least_s: float = 1.0, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._call = call
        self._least_s = least_s
        self._called_at = -float("inf")
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(round(2000 * least_s))
        self._timer.timeout.connect(self._do)

    def wish(self) -> None:
        """Something has changed."""
        now = time.monotonic()
        first, due = self._called_at == -float("inf"), now - self._called_at >= self._least_s
        if first or (due and now - Seldom._any_called_at >= APART_S):
            self._do()
        elif not self._timer.isActive():
            self._timer.start()

    def catch_up(self) -> None:
        """Call it now where a wish is open."""
        if self._timer.isActive():
            self._do()

    def forget(self) -> None:
        """No wish is open any more, and the next is met at once."""
        self._timer.stop()
        self._called_at = -float("inf")

    def _do(self) -> None:
        self._timer.stop()
        self._call()
        self._called_at = Seldom._any_called_at = time.monotonic()
