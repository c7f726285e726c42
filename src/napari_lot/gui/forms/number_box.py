"""A box for one number: digits as typed, its unit, and a word where nothing is set."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QValidator
from qtpy.QtWidgets import QDoubleSpinBox, QSizePolicy, QWidget


class NumberBox(QDoubleSpinBox):
    """A number without arrows and trailing zeros; emptied, one that may be unset is unset.

    Parameters
    ----------
    decimals : int
        Most digits after the point.
    unset_text : str, optional
        What stands at the bottom of the range, for a number that may be unset.
    """

    def __init__(self, decimals: int, unset_text: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setDecimals(decimals)
        self.setSpecialValueText(unset_text)
        self.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
        self.setAlignment(Qt.AlignmentFlag.AlignRight)
        self.setMinimumWidth(90)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        # Scrolling the panel must never change a number under the pointer.
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def textFromValue(self, value: float) -> str:
        text = super().textFromValue(value)
        point = self.locale().decimalPoint()
        return text.rstrip("0").rstrip(point) if point in text else text

    def _is_empty(self, text: str) -> bool:
        return bool(self.specialValueText()) and not text.removesuffix(self.suffix()).strip()

    def validate(self, text: str, position: int) -> tuple[Any, str, int]:
        if self._is_empty(text):
            return QValidator.State.Acceptable, text, position
        found: tuple[Any, str, int] = super().validate(text, position)
        return found

    def valueFromText(self, text: str) -> float:
        return self.minimum() if self._is_empty(text) else super().valueFromText(text)

    def wheelEvent(self, event: Any) -> None:
        event.ignore()
