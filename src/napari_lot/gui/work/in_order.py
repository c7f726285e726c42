"""Pieces of work one after the other in one thread: each may go on from what the one before it has made."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

from qtpy.QtCore import QObject, QTimer

POLL_MS = 20
_Order = tuple[Callable[[], Any], Callable[[Any], None], Callable[[BaseException], None]]


class InOrder(QObject):
    """A daemon thread that works off what it is given; whatever goes wrong comes back as a value.

    Parameters
    ----------
    name : str
        Of the thread.
    """

    def __init__(self, name: str, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._name = name
        self._waiting: SimpleQueue[_Order | None] = SimpleQueue()
        self._done: deque[tuple[Callable[[Any], None], Any]] = deque()
        self._thread: threading.Thread | None = None
        self._pending = 0
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self._poll)

    def do(
        self,
        work: Callable[[], Any],
        then: Callable[[Any], None] = lambda value: None,
        failed: Callable[[BaseException], None] = lambda error: None,
    ) -> None:
        """Do ``work`` after what waits already; ``then`` gets its value, or ``failed`` what was raised.

        Both are called on the window's thread.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        self._pending += 1
        self._waiting.put((work, then, failed))
        self._timer.start()

    def _run(self) -> None:
        while (item := self._waiting.get()) is not None:
            work, then, failed = item
            try:
                self._done.append((then, work()))
            except BaseException as error:  # it is for the window to say
                self._done.append((failed, error))

    def _poll(self) -> None:
        while self._done:
            tell, value = self._done.popleft()
            self._pending -= 1
            tell(value)
        if not self._pending:
            self._timer.stop()

    def shutdown(self, timeout_s: float = 10.0) -> None:
        """End the thread after what it is doing; what waits is not begun, and nobody is told any more."""
        self._timer.stop()
        thread, self._thread = self._thread, None
        if thread is not None:
            with suppress(Empty):
                while True:
                    self._waiting.get_nowait()
            self._waiting.put(None)
            thread.join(timeout_s)
