"""Docks below the canvas, in windows of any height."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDockWidget, QMainWindow, QStyle, QWidget

BELOW = "napari_lot_below"
"""Property of the docks that lie below the canvas."""
_GAP = QStyle.PixelMetric.PM_DockWidgetSeparatorExtent


def dock_below(window: Any, widget: QWidget, name: str) -> Any:
    """Dock a widget below the canvas of napari's window; returns its dock.

    A dock that lies there already shares its place as a tab: side by side neither would show what it is for.

    napari's docks on the left need some 500 pixels of height. In a window that has no room for the widget below them it
    lies beside them, below the canvas alone: else the window would grow beyond the screen.
    """
    widgets = (docked.window() for docked in window.dock_widgets.values())
    main = next((there for there in widgets if isinstance(there, QMainWindow)), None)
    if main is None:
        return window.add_dock_widget(widget, name=name, area="bottom", add_vertical_stretch=False)
    least, gap = widget.minimumSizeHint().height(), main.style().pixelMetric(_GAP)
    low = main.minimumSizeHint().height() + least + gap > main.height()
    if low:
        main.setCorner(Qt.Corner.BottomLeftCorner, Qt.DockWidgetArea.LeftDockWidgetArea)
    dock = window.add_dock_widget(widget, name=name, area="bottom", add_vertical_stretch=False)
    around: QWidget | None = widget
    while around is not None and not isinstance(around, QDockWidget):  # napari returns something that is none for Qt
        around = around.parentWidget()
    if around is not None:
        others = [dock for dock in main.findChildren(QDockWidget) if dock is not around and dock.property(BELOW)]
        around.setProperty(BELOW, True)
        for other in others:
            if other.isVisible() and not other.isFloating():
                main.tabifyDockWidget(other, around)
                around.raise_()
                return dock
    if low and around is not None:  # what it would like to have more is the canvas's
        main.resizeDocks([around], [least], Qt.Orientation.Vertical)
    return dock
