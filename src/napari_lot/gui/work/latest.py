"""Work beside the window of which only the newest order matters: a probe while its values are being changed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, Signal


class Latest(QObject):
    """One thread that does the newest order and forgets the ones before.

    ``done(order, value)`` comes on the window's thread, and never after ``stop``. An exception is a value.

    Parameters
    ----------
    name : str
        Of the thread.
    """

    done = Signal(object, object)
    _came = Signal(object, object)

    def __init__(self, name: str, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._name = name
        self._lock = threading.Condition()
        self._order: tuple[int, Callable[[Callable[[], bool]], Any]] | None = None
        self._number = 0
        self._stopped = False
        self._thread: threading.Thread | None = None
        self._came.connect(self._hand_over)

    def ask(self, work: Callable[[Callable[[], bool]], Any]) -> int:
        """Do this next, whatever waits; the number under which its value comes.

        Work is called with a function that tells whether its value is still wanted: what takes long asks now and then.
        """
        with self._lock:
            self._number += 1
            self._order = (self._number, work)
            if self._thread is None and not self._stopped:
                self._thread = threading.Thread(target=self._run, name=f"napari-lot {self._name}", daemon=True)
                self._thread.start()
            self._lock.notify()
            return self._number

    def is_newest(self, number: int) -> bool:
        """Whether nothing was asked after order ``number``."""
        return number == self._number

    def stop(self, timeout_s: float = 5.0) -> None:
        """End the thread after what it is doing; harmless when called twice."""
        with self._lock:
            self._stopped, self._order = True, None
            self._lock.notify()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while True:
            with self._lock:
                while self._order is None and not self._stopped:
                    self._lock.wait()
                if self._stopped:
                    return
                assert self._order is not None
                number, work = self._order
                self._order = None
            value: Any
            try:
                value = work(lambda number=number: not self._stopped and self.is_newest(number))
            except Exception as error:  # it is for the window to say
                value = error
            if not self._stopped:
                self._came.emit(number, value)

    def _hand_over(self, number: int, value: Any) -> None:
        # on the window's thread: what was on its way when everything was stopped is not wanted any more
        if not self._stopped:
            self.done.emit(number, value)
