"""What changes in one turn of the event loop painted in one go.

Beside a canvas of OpenGL every painting, of whatever widget, has Qt compose the whole window, canvas included: without
a graphics card a tenth of a second and more.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from qtpy.QtCore import QCoreApplication, QEvent, QObject, Qt
from qtpy.QtWidgets import QWidget


class _Later(QObject):
    """Takes a window's requests to be painted away from it, and remembers that there were some."""

    active = 0

    def __init__(self) -> None:
        super().__init__()
        self.asked = False

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() != QEvent.Type.UpdateRequest:
            return False
        self.asked = True
        return True


@contextmanager
def painted_once(widget: QWidget) -> Iterator[None]:
    """While this lasts the widget's window is not painted; then it is, with all that has changed in it."""
    window, later = widget.window(), _Later()
    window.installEventFilter(later)
    _Later.active += 1
    try:
        yield
    finally:
        _Later.active -= 1
        with suppress(RuntimeError):  # the window is gone
            window.removeEventFilter(later)
            if later.asked:
                request = QEvent(QEvent.Type.UpdateRequest)
                QCoreApplication.postEvent(window, request, Qt.EventPriority.LowEventPriority.value)


def lay_out(widget: QWidget) -> None:
    """Let what a widget holds, and all that is around it, take its places now.

    Words that change have one layout after the other look again, from that around the label up to that of the window:
    left to themselves in a turn each, with a painting after it.
    """
    around: Any = widget
    while around is not None:
        QCoreApplication.sendPostedEvents(around, int(QEvent.Type.LayoutRequest))
        around = around.parentWidget()


def update_plot(plot: Any) -> None:
    """Within ``painted_once``: let a pyqtgraph PlotWidget tell Qt now what of it has to be painted.

    Left to itself it works out its ranges only while it is painted, and Qt hears of items a turn after they changed and
    then paints the window at once.
    """
    if _Later.active and plot.isVisible():
        scene = plot.scene()
        scene.prepareForPaint()
        QCoreApplication.sendPostedEvents(scene, 0)
