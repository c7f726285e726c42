"""One thing at a time in a thread: progress, cancel, and what came of it as a value on the window's own thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal

from napari_lot.gui.work.piece import Piece
from napari_lot.gui.work.sentences import explained
from napari_lot.gui.work.turns import Turns
from napari_lot.progress import Progress

POLL_MS = 40
AT_ONCE_S = 0.1
"""What is done within this is done before ``start`` returns; nobody sees a wait as short as this."""


class _Cancelled(BaseException):
    """Raised in the thread by its next report of progress."""


class _Work(Piece):
    """A piece of work that tells how far it is, and ends at the next word of that when it is cancelled."""

    def __init__(self, name: str, work: Callable[[Progress], Any]) -> None:
        self.share = 0.0
        self.cancelled = False
        super().__init__(name, lambda: work(self._progress))

    def _progress(self, share: float) -> None:
        if self.cancelled:
            raise _Cancelled
        self.share = share


class Task(QObject):
    """Runs a function of a progress callback in a thread, and tells what came of it.

    What is cancelled ends at its next report of progress, or at its end; nobody hears of it, and something else may
    begin at once. ``changed`` tells that something began, went on or ended.

    Parameters
    ----------
    name : str
        Of the thread, after the package's own.
    """

    changed = Signal()

    def __init__(self, name: str, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._name = name
        self._work: _Work | None = None
        self._left: list[_Work] = []
        self._turns = Turns(self._on_shown)
        self._done: Callable[[Any], Iterator[None] | None] = lambda value: None
        self._failed: Callable[[str], None] = lambda sentence: None
        self._cancelled: Callable[[], None] = lambda: None
        self.what = ""
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self._poll)

    @property
    def running(self) -> bool:
        """Whether something is under way."""
        return self._work is not None or self._turns.under_way

    @property
    def share(self) -> float:
        """How much of it is done, 0 to 1; 0 as well where it does not say, or where what came of it is being shown."""
        return self._work.share if self._work is not None else 0.0

    def start(
        self,
        what: str,
        work: Callable[[Progress], Any],
        done: Callable[[Any], Iterator[None] | None],
        failed: Callable[[str], None],
        cancelled: Callable[[], None] = lambda: None,
    ) -> bool:
        """Begin; False where something else is still under way.

        ``what`` is what is done, as the beginning of a sentence. ``done`` is called with the value, ``failed`` with a
        sentence, or ``cancelled``: one of the three, on the window's thread, where nothing is under way any more.

        Where showing the value takes long, ``done`` returns an iterator: between its turns the window answers. It is
        under way until the last of them; a ``cancel`` takes them all at once, so that nothing is shown by halves.
        """
        if self.running:
            return False
        self.what, self._done, self._failed, self._cancelled = what, done, failed, cancelled
        self._work = _Work(self._name, work)
        self._work.wait(AT_ONCE_S)
        if self._work.under_way:
            self._timer.start()
            self.changed.emit()
        else:
            self._take_up()
        return True

    def cancel(self) -> None:
        """Await nothing any more."""
        while self._turns.under_way:
            self._turns.take()
        work = self._work
        if work is None:
            return
        self._forget(work)
        self._cancelled()
        self.changed.emit()

    def _forget(self, work: _Work) -> None:
        work.cancelled = True
        self._timer.stop()
        self._work = None
        self._left = [*(left for left in self._left if left.under_way), work]

    def shutdown(self, timeout_s: float = 5.0, finish: bool = False) -> None:
        """Tell nobody any more, and give what is under way that long to end (as daemons they hold up no exit).

        ``finish`` lets it come to its own end: what is being written is written.
        """
        self._timer.stop()
        self._turns.drop()
        work, self._work = self._work, None
        if work is not None:
            work.cancelled = not finish
            self._left.append(work)
        end = time.monotonic() + timeout_s
        for left in self._left:
            left.wait(max(end - time.monotonic(), 0.0))
        self._left = []

    def _poll(self) -> None:
        if self._turns.under_way:
            self._turns.take()
        elif self._work is not None and self._work.under_way:
            self.changed.emit()
        else:
            self._take_up()

    def _take_up(self) -> None:
        """The work has ended."""
        work, self._work = self._work, None
        self._timer.stop()
        if work is None:
            return
        if work.error is not None:
            self._failed(explained(work.error, self.what))
        else:
            shown = self._done(work.value)
            if isinstance(shown, Iterator):
                self._turns.begin(shown)
                self._timer.start()
        self.changed.emit()

    def _on_shown(self) -> None:
        self._timer.stop()
        self.changed.emit()
