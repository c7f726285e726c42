"""What changes in one turn of the event loop painted in one go.

Beside a canvas of OpenGL every painting, of whatever widget, has Qt compose the whole window, canvas included: without
a graphics card a tenth of a second and more.
"""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QCoreApplication, QEvent
from qtpy.QtWidgets import QWidget


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
    """Let a pyqtgraph PlotWidget tell Qt now what of it has to be painted.

    Left to itself it works out its ranges only while it is painted, and Qt hears of items a turn after they changed.
    """
    if plot.isVisible():
        scene = plot.scene()
        scene.prepareForPaint()
        QCoreApplication.sendPostedEvents(scene, 0)
