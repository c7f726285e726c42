"""Work that takes longer than a person notices, in a thread; its end comes back on the main thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, QTimer

from napari_lot.gui.live import sentence_of
from napari_lot.gui.work.piece import Piece

POLL_MS = 30
AT_ONCE_S = 0.15


class Background(QObject):
    """One piece of work at a time, in a daemon thread; whatever goes wrong in it comes back as a sentence.

    Work that is done within ``AT_ONCE_S`` ends before ``start`` returns.
    """

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._piece: Piece | None = None
        self._done: Callable[[Any], None] = lambda value: None
        self._failed: Callable[[str], None] = lambda sentence: None
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self._poll)

    @property
    def busy(self) -> bool:
        """Whether something is being done."""
        return self._piece is not None

    def start(self, work: Callable[[], Any], done: Callable[[Any], None], failed: Callable[[str], None]) -> bool:
        """Do ``work``; then call ``done`` with what it returned, or ``failed`` with a sentence. False while busy."""
        if self.busy:
            return False
        self._done, self._failed = done, failed
        self._piece = Piece("background", work)
        self._piece.wait(AT_ONCE_S)
        self._timer.start()
        self._poll()
        return True

    def _poll(self) -> None:
        piece = self._piece
        if piece is None or piece.under_way:
            return
        self._timer.stop()
        self._piece = None
        error = piece.error
        if error is None:
            self._done(piece.value)
        elif isinstance(error, OSError):
            self._failed(f"{error.filename or 'The file'}: cannot be read or written: {error.strerror or error}.")
        else:
            self._failed(sentence_of(error)[0])

    def shutdown(self, timeout_s: float = 30.0) -> None:
        """Let what is being written come to its end; nobody is told any more."""
        self._timer.stop()
        if self._piece is not None:
            self._piece.wait(timeout_s)
            self._piece = None
