"""What is written beside whoever asks for it, one after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable


class InTurn:
    """Does pieces of work in daemon threads, each after what was begun before: nobody waits for the disk.

    Parameters
    ----------
    name : str
        Of the threads.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._thread: threading.Thread | None = None

    @property
    def busy(self) -> bool:
        """Whether something is being done."""
        return self._thread is not None and self._thread.is_alive()

    def do(self, work: Callable[[], object]) -> None:
        """Do this after what was begun before."""
        before = self._thread

        def run() -> None:
            if before is not None:
                before.join()
            work()

        self._thread = threading.Thread(target=run, name=self._name, daemon=True)
        self._thread.start()

    def do_unless_busy(self, work: Callable[[], object]) -> None:
        """Do this at once, before returning; while something is being done, after that."""
        if self.busy:
            self.do(work)
        else:
            work()

    def wait(self, timeout_s: float | None = None) -> None:
        """Until everything is done."""
        if self._thread is not None:
            self._thread.join(timeout_s)
