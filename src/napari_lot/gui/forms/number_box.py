"""A box for one number: what is typed is taken as it is or refused in a sentence, never mended in silence."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from qtpy.QtCore import QLocale, Qt, QTimer, Signal
from qtpy.QtGui import QValidator
from qtpy.QtWidgets import QDoubleSpinBox, QSizePolicy, QToolTip, QWidget

from napari_lot.gui.forms.quantity import parse

MOST_DECIMALS = 10
PAUSE_MS = 500
"""Typing that rests for so long has come to a value: before it, a text is perhaps the half of another number."""


class NumberBox(QDoubleSpinBox):
    """A number without arrows and trailing zeros; emptied, one that may be unset is unset.

    Whatever the locale, point and comma both stand before decimals, and units of the suffix's kind are converted
    (`quantity.parse`). What is typed counts with Enter, when the box is left, or after a short pause. What is no number
    within the bounds then stays as it was typed, marked and explained in the tooltip, and the value is the one from
    before it was typed. ``refused`` tells the sentence, '' once it no longer holds.

    Parameters
    ----------
    unset_text : str, optional
        What stands at the bottom of the range, for a number that may be unset.
    unit : str, optional
        Stands behind ``unset_text`` in brackets, where the suffix is not shown.
    whole : bool, optional
        Only whole numbers.
    """

    refused = Signal(str)

    def __init__(
        self, unset_text: str = "", unit: str = "", whole: bool = False, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._whole = whole
        self._lowest: tuple[float, bool] | None = None
        self._highest_is_open = False
        self._said = ""
        self._tip = ""
        self.setLocale(QLocale.c())
        self.setDecimals(0 if whole else MOST_DECIMALS)
        self._unset_text = unset_text
        self.setSpecialValueText(f"{unset_text} ({unit})" if unset_text and unit else unset_text)
        self.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
        self.setAlignment(Qt.AlignmentFlag.AlignRight)
        self.setMinimumWidth(90)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        # Scrolling the panel must never change a number under the pointer.
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        line = self.lineEdit()
        assert line is not None
        self._line = line
        # The value from before what is being typed, None while nothing is.
        self._before: float | None = None
        self.setKeyboardTracking(False)
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(PAUSE_MS)
        self._pause.timeout.connect(self._on_pause)
        line.textChanged.connect(self._on_text)
        line.textEdited.connect(self._on_edited)

    def set_bounds(self, low: float | None, above: bool, below: bool) -> None:
        """The lowest value that may be typed, where the bottom of the range means unset; bounds that are no values.

        Parameters
        ----------
        low : float or None
            Lowest value; None for the bottom of the range.
        above, below : bool
            The value must lie above the lowest, below the highest.
        """
        self._lowest = (self.minimum() if low is None else low, above)
        self._highest_is_open = below

    # -- text and value ---------------------------------------------------------------------------------------

    def textFromValue(self, value: float) -> str:
        return np.format_float_positional(value, precision=self.decimals(), trim="-")

    def _typed(self, text: str) -> str:
        return text.removeprefix(self.prefix()).removesuffix(self.suffix())

    def _is_unset(self, text: str) -> bool:
        unset = self.specialValueText()
        return bool(unset) and (text == unset or not self._typed(text).strip())

    def why_not(self, text: str) -> str:
        """Why a text is no value of this box, in a sentence; '' where it is one."""
        if self._is_unset(text):
            return ""
        typed, unit = self._typed(text), self.suffix().strip()
        try:
            found = parse(typed, unit)
        except ValueError as error:
            return f"{error}."
        value, words = found.value, f"{typed.strip()}{'' if found.unit else self.suffix()}"
        if self._whole and value != round(value) and math.isfinite(value):
            return f"{words} is not a whole number."
        low, above = self._lowest or (self.minimum(), False)
        high, below = self.maximum(), self._highest_is_open
        if low < value < high or (value == low and not above) or (value == high and not below):
            return ""
        if unit == "keV" and not found.unit and low < value / 1000 <= high < value:
            return f"{words} is too high for a microscope; did you mean {typed.strip()} eV?"
        bound = f"must be {'above' if above else 'at least'} {self.textFromValue(low)}{self.suffix()}"
        if value >= high:
            bound = f"must be {'below' if below else 'at most'} {self.textFromValue(high)}{self.suffix()}"
        elif self.specialValueText():
            bound += f", or empty for '{self._unset_text or self.specialValueText()}'"
        return f"{words} {bound}."

    def validate(self, text: str, position: int) -> tuple[Any, str, int]:
        # Never Invalid: Qt drops the character that makes a text so, and leaves another number.
        state = QValidator.State.Intermediate if self.why_not(text) else QValidator.State.Acceptable
        return state, text, position

    def valueFromText(self, text: str) -> float:
        if self._is_unset(text):
            return self.minimum()
        return self.value() if self.why_not(text) else parse(self._typed(text), self.suffix().strip()).value

    def setValue(self, value: float) -> None:
        self._end_typing()
        super().setValue(value)
        self._say("")

    # -- what is being typed ----------------------------------------------------------------------------------

    def _on_edited(self, text: str) -> None:
        if self._before is None:
            self._before = self.value()
        self._pause.start()

    def _end_typing(self) -> None:
        self._pause.stop()
        self._before = None

    def _on_pause(self) -> None:
        """Take what stands there, without a change to its text: the rest of it may be still to come."""
        text, at = self._line.text(), self._line.cursorPosition()
        why = self.why_not(text)
        value = (self.value() if self._before is None else self._before) if why else self.valueFromText(text)
        super().setValue(value)
        if self._before is not None and self._line.text() != text:  # nobody has put in another value for it
            self._line.setText(text)
            self._line.setCursorPosition(at)
        self._say(why)

    def _put_back(self) -> None:
        """The value from before what was typed, which is not taken."""
        if self._before is not None and self.value() != self._before:
            text = self._line.text()
            super().setValue(self._before)
            self._line.setText(text)

    # -- what is refused --------------------------------------------------------------------------------------

    @property
    def refusal(self) -> str:
        """Why what stands in the box is not taken, '' where it is."""
        return self._said

    def setToolTip(self, tip: str | None) -> None:
        self._tip = tip or ""
        super().setToolTip(self._tip)

    def _refuse(self, sentence: str) -> None:
        self._say(sentence)
        QToolTip.showText(self.mapToGlobal(self.rect().bottomLeft()), sentence, self)

    def _say(self, sentence: str) -> None:
        if sentence == self._said:
            return
        if self._said and QToolTip.text() == self._said:  # else it stays until the mouse moves
            QToolTip.hideText()
        self._said = sentence
        super().setToolTip(f"{sentence}\n{self._tip}".strip() if sentence else self._tip)
        self.setProperty("refused", bool(sentence))
        style = self.style()
        if style is not None:  # a property has no effect on a style sheet by itself
            style.unpolish(self)
            style.polish(self)
        self.refused.emit(sentence)

    def _on_text(self, text: str) -> None:
        # Half a number is no mistake yet; one that was told is followed until it is mended.
        if self._said:
            self._say(self.why_not(text))

    def _leave(self, event: Any, leave: Callable[[Any], None]) -> None:
        """Qt puts the old value in place of what it cannot take; a person wants to see, and mend, what was typed."""
        try:
            self._pause.stop()
            text = self._line.text()
        except RuntimeError:  # PySide tells of the focus that goes while Qt deletes the box, its line first
            return
        why = self.why_not(text)
        if why:
            self._put_back()
        leave(event)
        if not why:
            self._end_typing()
        else:
            self._line.setText(text)
            self._refuse(why) if self.isVisible() else self._say(why)

    # -- events -----------------------------------------------------------------------------------------------

    def keyPressEvent(self, event: Any) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._pause.stop()
            if why := self.why_not(self._line.text()):
                self._put_back()
                self._refuse(why)
                self._line.selectAll()
                return
            self._end_typing()
        super().keyPressEvent(event)

    def focusInEvent(self, event: Any) -> None:
        super().focusInEvent(event)
        if self.specialValueText() and self._line.text() == self.specialValueText():
            # What is typed takes the place of the words, which are no part of a number.
            QTimer.singleShot(0, self.selectAll)

    def focusOutEvent(self, event: Any) -> None:
        self._leave(event, super().focusOutEvent)

    def hideEvent(self, event: Any) -> None:
        self._leave(event, super().hideEvent)

    def wheelEvent(self, event: Any) -> None:
        event.ignore()
