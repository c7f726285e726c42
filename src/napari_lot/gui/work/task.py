"""One thing at a time in a thread: progress, cancel, and what came of it as a value on the window's own thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal

from napari_lot.errors import InputError
from napari_lot.gui.work.piece import Piece

Progress = Callable[[float], None]
POLL_MS = 40


class _Cancelled(BaseException):
    """Raised in the thread by its next report of progress."""


class _Work(Piece):
    """A piece of work that tells how far it is, and ends at the next word of that when it is cancelled."""

    def __init__(self, work: Callable[[Progress], Any]) -> None:
        self.share = 0.0
        self.cancelled = False
        super().__init__("preparation", lambda: work(self._progress))

    def _progress(self, share: float) -> None:
        if self.cancelled:
            raise _Cancelled
        self.share = share

    @property
    def failure(self) -> str | None:
        """What went wrong, in a sentence."""
        error = self.error
        if error is None or isinstance(error, InputError):
            return None if error is None else str(error)
        if isinstance(error, MemoryError):
            return "Out of memory: crop or bin the images first, or close other programs."
        return f"This stopped because of a fault in the program ({type(error).__name__}: {error})."


class Task(QObject):
    """Runs a function of a progress callback in a thread; the next one waits until this one has ended.

    ``changed`` tells that it began, went on or ended. ``done`` and ``failed`` are called on the window's thread, and
    not at all after ``cancel``.
    """

    changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._work: _Work | None = None
        self._done: Callable[[Any], None] = lambda value: None
        self._failed: Callable[[str], None] = lambda sentence: None
        self.what = ""
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self._poll)

    @property
    def running(self) -> bool:
        """Whether something is under way."""
        return self._work is not None

    @property
    def share(self) -> float:
        """How much of it is done, 0 to 1."""
        return self._work.share if self._work is not None else 0.0

    def start(
        self,
        what: str,
        work: Callable[[Progress], Any],
        done: Callable[[Any], None],
        failed: Callable[[str], None],
    ) -> bool:
        """Begin; False where something else is still under way."""
        if self._work is not None:
            return False
        self.what, self._done, self._failed = what, done, failed
        self._work = _Work(work)
        self._timer.start()
        self.changed.emit()
        return True

    def cancel(self) -> None:
        """Stop at the next report of progress; nothing comes of it."""
        if self._work is not None:
            self._work.cancelled = True

    def shutdown(self, timeout_s: float = 10.0) -> None:
        """Cancel and wait until the thread has ended, which it does at its next report of progress."""
        self._timer.stop()
        if self._work is not None:
            self._work.cancelled = True
            self._work.wait(timeout_s)
            self._work = None
            self.changed.emit()

    def _poll(self) -> None:
        work = self._work
        if work is None:
            return
        if work.under_way:
            self.changed.emit()
            return
        self._timer.stop()
        self._work = None
        if not work.cancelled:
            if work.failure is not None:
                self._failed(work.failure)
            else:
                self._done(work.value)
        self.changed.emit()
