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
    main = main_window(window)
    if main is None:
        return window.add_dock_widget(widget, name=name, area="bottom", add_vertical_stretch=False)
    least, gap = widget.minimumSizeHint().height(), main.style().pixelMetric(_GAP)
    low = main.minimumSizeHint().height() + least + gap > main.height()
    if low:
        main.setCorner(Qt.Corner.BottomLeftCorner, Qt.DockWidgetArea.LeftDockWidgetArea)
    dock = window.add_dock_widget(widget, name=name, area="bottom", add_vertical_stretch=False)
    around = dock_of(widget)
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


def dock_of(widget: QWidget) -> QDockWidget | None:
    """Qt's dock around a widget: what napari returns as the dock is none for Qt. None where it is not docked."""
    around: QWidget | None = widget
    while around is not None and not isinstance(around, QDockWidget):
        around = around.parentWidget()
    return around


def main_window(window: Any) -> QMainWindow | None:
    """Qt's window of napari's, None where every dock floats."""
    widgets = (docked.window() for docked in window.dock_widgets.values())
    return next((there for there in widgets if isinstance(there, QMainWindow)), None)
