"""Small widgets that come again and again: each has its name, its bounds, its unit and its sentence of help."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QProgressBar,
    QPushButton,
    QWidget,
)

from napari_lot.gui.forms.number_box import NumberBox
from napari_lot.gui.forms.sentence import Sentence


class Bar(QProgressBar):
    """A bar that is drawn with what else has changed: Qt's own draws at once, and with it all of the canvas."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._said = ("", "")

    def setRange(self, *bounds: Any) -> None:
        self.setUpdatesEnabled(False)
        super().setRange(*bounds)
        self.setUpdatesEnabled(True)

    def setValue(self, value: int) -> None:
        self.setUpdatesEnabled(False)
        super().setValue(value)
        self.setUpdatesEnabled(True)

    def say(self, what: str, ending: str) -> None:
        """Write what is done and an ``ending``, which stays whole where a long name does not fit and is cut."""
        self._said = what, ending
        self._write()

    def resizeEvent(self, event: Any) -> None:
        super().resizeEvent(event)
        self._write()

    def _write(self) -> None:
        what, ending = self._said
        if what:
            words = self.fontMetrics()
            room = self.width() - words.horizontalAdvance(ending.replace("%p", "100") + "MM")
            self.setFormat(words.elidedText(what, Qt.TextElideMode.ElideMiddle, room) + ending)


def button(name: str, text: str, tip: str = "") -> QPushButton:
    """A button that may become narrow."""
    made = QPushButton(text)
    made.setObjectName(name)
    made.setMinimumWidth(40)
    made.setToolTip(tip)
    return made


def choice(name: str, items: list[str], tip: str = "") -> QComboBox:
    """A box of choices that are cut where the dock is narrow."""
    box = QComboBox()
    box.setObjectName(name)
    box.addItems(items)
    box.setToolTip(tip)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(8)
    return box


def number(name: str, low: float, high: float, value: float, unit: str, tip: str, whole: bool = False) -> NumberBox:
    """A number with its unit."""
    box = NumberBox(whole=whole)
    box.setObjectName(name)
    box.setRange(low, high)
    box.setValue(value)
    box.setSuffix(unit)
    box.setToolTip(tip)
    box.setAccessibleName(tip)
    box.setMinimumWidth(80)
    return box


def text(name: str) -> Sentence:
    """Words that wrap; hidden until there are some."""
    label = Sentence(name)
    label.hide()
    return label


def page(*rows: tuple[str, QWidget]) -> QWidget:
    """A page with a line for every name and its widget."""
    made = QWidget()
    layout = QFormLayout(made)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    for words, widget in rows:
        layout.addRow(words, widget)
    return made


def row(*widgets: QWidget) -> QHBoxLayout:
    """Widgets beside each other; what has a value takes the room that is left."""
    made = QHBoxLayout()
    for widget in widgets:
        made.addWidget(widget, 1 if isinstance(widget, (QComboBox, QDoubleSpinBox, QProgressBar)) else 0)
    return made


def offer(widget: QWidget, why_not: str | None, tip: str) -> None:
    """Let something be clicked, or say why it cannot be."""
    widget.setEnabled(why_not is None)
    widget.setToolTip(tip if why_not is None else why_not)
