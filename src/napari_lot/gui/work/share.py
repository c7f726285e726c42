"""How often what a run has come to may be drawn, by how long drawing takes here."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from qtpy.QtCore import QCoreApplication, QEvent, QObject

MOST = 0.8
"""Part of its time that the window draws at most; the rest is for the person's clicks and keys."""
LONGEST_REST_S = 10.0
"""What is slow once, a computer that was asleep say, is not waited for longer."""
_LATE = -2
"""A posted event of this priority comes after what Qt has posted to draw widgets anew (``LowEventPriority``, -1)."""


class FairShare(QObject):
    """Measures how long an update keeps the window busy, drawing included, and then lets it rest.

    A graphics card draws an update in a few milliseconds, software OpenGL in a quarter of a second and more.

    Attributes
    ----------
    most : float
        Part of its time that the window draws at most; 1 lets it draw without rest.
    """

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.most = MOST
        self._kind = QEvent.Type(QEvent.registerEventType())
        self._update_began = self._work_began = -1e9
        self._drawing = False
        self._busy_s = 0.0

    def begin(self) -> None:
        """An update begins; what is busy from now on is its."""
        self._update_began, self._busy_s = time.monotonic(), 0.0

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Work of an update, or one of its turns; what is drawn because of it counts, too."""
        if not self._drawing:
            self._work_began = time.monotonic()
        try:
            yield
        finally:
            if not self._drawing:
                self._drawing = True
                QCoreApplication.postEvent(self, QEvent(self._kind), _LATE)

    def event(self, event: QEvent | None) -> bool:
        """Qt has drawn what there was to draw."""
        if event is None or event.type() != self._kind:
            return bool(super().event(event))
        self._drawing = False
        self._busy_s += time.monotonic() - self._work_began
        return True

    @property
    def rests(self) -> bool:
        """Whether the last update is still being drawn, or the window has not had its own time since."""
        rest_until = self._update_began + min(self._busy_s / self.most, self._busy_s + LONGEST_REST_S)
        return self._drawing or time.monotonic() < rest_until
