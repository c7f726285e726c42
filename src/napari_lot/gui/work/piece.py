"""One piece of work in a thread of its own, and what came of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


class Piece:
    """Begins at once, in a daemon thread; when that has ended, ``value`` or ``error`` is there.

    Parameters
    ----------
    name : str
        Of the thread, after the package's own.
    """

    def __init__(self, name: str, work: Callable[[], Any]) -> None:
        self._work = work
        self.value: Any = None
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"napari-lot {name}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.value = self._work()
        except BaseException as error:  # it is for the window to say
            self.error = error

    @property
    def under_way(self) -> bool:
        """Whether the thread has not ended yet."""
        return self._thread.is_alive()

    def wait(self, timeout_s: float) -> None:
        """Give it that long to end."""
        self._thread.join(timeout_s)
