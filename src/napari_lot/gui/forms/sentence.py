"""A label for sentences: it wraps, in the midst of a long file name too, so that no name makes a window wider."""

from __future__ import annotations

import re

from qtpy.QtGui import QClipboard, QContextMenuEvent, QKeyEvent, QKeySequence, QMouseEvent
from qtpy.QtWidgets import QApplication, QLabel, QMenu, QWidget

BREAK = "\u200b"
"""No letter, and no width: a place where a line may end."""
# Tags and entities of rich text stay whole.
_LONG = re.compile(r"<[^<>]*>|&#?\w+;|[^\s<>&]{25,}")
_PARTS = re.compile(r"[\\/_.,-]|[^\W_]{12}")
_COPIED = {ord(BREAK): None, 0x2028: "\n", 0x2029: "\n", 0xA0: " "}


def breakable(words: str) -> str:
    """The same with places to break in words that are longer than a line may be."""

    def broken(found: re.Match[str]) -> str:
        word = found[0]
        return word if word[0] in "<&" else _PARTS.sub(rf"\g<0>{BREAK}", word)

    return _LONG.sub(broken, words)


class Sentence(QLabel):
    """Words that wrap. What they are asked for, and what is copied from them, is what was set."""

    def __init__(self, name: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._words = ""
        self.setObjectName(name)
        self.setWordWrap(True)

    def setText(self, words: str) -> None:
        self._words = words
        super().setText(breakable(words))

    def text(self) -> str:
        return self._words

    def _copy(self, mode: QClipboard.Mode = QClipboard.Mode.Clipboard) -> None:
        if (clipboard := QApplication.clipboard()) is not None:
            clipboard.setText(self.selectedText().translate(_COPIED), mode)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if self.hasSelectedText() and event.matches(QKeySequence.StandardKey.Copy):
            self._copy()
        else:
            super().keyPressEvent(event)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        super().mouseReleaseEvent(event)
        clipboard = QApplication.clipboard()
        if self.hasSelectedText() and clipboard is not None and clipboard.supportsSelection():
            self._copy(QClipboard.Mode.Selection)  # what a middle click pastes

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        # Qt's own menu copies what is drawn.
        if self.hasSelectedText():
            menu = QMenu(self)
            menu.addAction("Copy").triggered.connect(lambda: self._copy())
            menu.aboutToHide.connect(menu.deleteLater)
            menu.popup(event.globalPos())
