"""Work that takes longer than a person notices, in a thread; its end comes back on the main thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, QTimer

from napari_lot.gui.live import sentence_of

POLL_MS = 30
AT_ONCE_S = 0.15


class Background(QObject):
    """One piece of work at a time, in a daemon thread; whatever goes wrong in it comes back as a sentence.

    Work that is done within ``AT_ONCE_S`` ends before ``start`` returns.
    """

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._thread: threading.Thread | None = None
        self._value: Any = None
        self._error: BaseException | None = None
        self._done: Callable[[Any], None] = lambda value: None
        self._failed: Callable[[str], None] = lambda sentence: None
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self._poll)

    @property
    def busy(self) -> bool:
        """Whether something is being done."""
        return self._thread is not None

    def start(self, work: Callable[[], Any], done: Callable[[Any], None], failed: Callable[[str], None]) -> bool:
        """Do ``work``; then call ``done`` with what it returned, or ``failed`` with a sentence. False while busy."""
        if self.busy:
            return False
        self._value = self._error = None
        self._done, self._failed = done, failed

        def run() -> None:
            try:
                self._value = work()
            except BaseException as error:
                self._error = error

        self._thread = threading.Thread(target=run, name="napari-lot background", daemon=True)
        self._thread.start()
        self._thread.join(AT_ONCE_S)
        self._timer.start()
        self._poll()
        return True

    def _poll(self) -> None:
        if self._thread is None or self._thread.is_alive():
            return
        self._timer.stop()
        self._thread = None
        if self._error is not None:
            error = self._error
            if isinstance(error, OSError):
                self._failed(f"{error.filename or 'The file'}: cannot be read or written: {error.strerror or error}.")
            else:
                self._failed(sentence_of(error)[0])
        else:
            self._done(self._value)

    def shutdown(self, timeout_s: float = 30.0) -> None:
        """Let what is being written come to its end; nobody is told any more."""
        self._timer.stop()
        if self._thread is not None:
            self._thread.join(timeout_s)
            self._thread = None
