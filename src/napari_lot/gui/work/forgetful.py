"""One piece of work at a time in a thread of its own; a timer fetches what it makes: the window never waits."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, QTimer

from napari_lot.gui.work.piece import Piece
from napari_lot.gui.work.sentences import sentence_of

_LOG = logging.getLogger(__name__)
POLL_MS = 50


class Forgetful(QObject):
    """Runs a callable in a daemon thread and hands its value, or one sentence, to the main thread.

    A piece of work that is cancelled or followed by another runs to its end, but nobody hears of it.

    Parameters
    ----------
    what : str
        What is done, as the beginning of a sentence.
    on_done : callable
        Called on the main thread with the value.
    on_failure : callable
        Called on the main thread with a sentence.
    """

    def __init__(
        self, what: str, on_done: Callable[[Any], None], on_failure: Callable[[str], None], parent: QObject
    ) -> None:
        super().__init__(parent)
        self.what = what
        self._on_done, self._on_failure = on_done, on_failure
        self._awaited: Piece | None = None
        self._begun: list[Piece] = []
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self._poll)

    @property
    def busy(self) -> bool:
        """Whether something is awaited."""
        return self._awaited is not None

    def start(self, work: Callable[[], Any]) -> None:
        """Begin; what was awaited before is forgotten."""
        self._awaited = Piece("analysis", work)
        self._begun = [*(piece for piece in self._begun if piece.under_way), self._awaited]
        self._timer.start()

    def cancel(self) -> None:
        """Await nothing any more."""
        self._awaited = None
        self._timer.stop()

    def shutdown(self, timeout_s: float = 5.0) -> None:
        """Await nothing any more, and give what is under way that long to end (as daemons they hold up no exit)."""
        self.cancel()
        end = time.monotonic() + timeout_s
        for piece in self._begun:
            piece.wait(max(end - time.monotonic(), 0.0))
        self._begun = []

    def _poll(self) -> None:
        piece = self._awaited
        if piece is None or piece.under_way:
            return
        self.cancel()
        if piece.error is None:
            self._on_done(piece.value)
            return
        sentence, detail = sentence_of(piece.error, self.what)
        if detail is not None:
            _LOG.error("%s\n%s", sentence, detail)
        self._on_failure(sentence)
