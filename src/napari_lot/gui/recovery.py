"""The offer to open what an earlier window left behind."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from qtpy.QtWidgets import QFrame, QGridLayout, QPushButton, QWidget

from napari_lot.gui.forms.sentence import Sentence
from napari_lot.gui.unsaved import ask


class RecoveryBar(QFrame):
    """One sentence about an autosave, and what can be done with it. Hidden while there is none.

    Attributes
    ----------
    confirm : callable
        Asked before an autosave is deleted; True deletes it.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("recovery")
        self.text = Sentence("recovery_text")
        self.open = QPushButton("Open it")
        self.open.setObjectName("recovery_open")
        self.open.setToolTip("Show its series, settings and atoms in the workbench.")
        self.delete = QPushButton("Delete it")
        self.delete.setObjectName("recovery_delete")
        self.delete.setToolTip("Remove this autosave for good.")
        self.later = QPushButton("Later")
        self.later.setObjectName("recovery_later")
        self.later.setToolTip("Leave it where it is; the next window asks again.")
        layout = QGridLayout(self)
        layout.setContentsMargins(6, 4, 6, 4)
        layout.addWidget(self.text, 0, 0, 1, 3)
        for column, button in enumerate((self.open, self.delete, self.later)):
            layout.addWidget(button, 1, column)
        self.path: Path | None = None
        self._when = ""
        self._left: list[Path] = []
        self.on_open: Callable[[Path], None] = lambda path: None
        self.confirm: Callable[[str], bool] = lambda question: ask(self, question)
        self.open.clicked.connect(self._open)
        self.delete.clicked.connect(self._delete)
        self.later.clicked.connect(self.hide)
        self.hide()

    def offer(self, paths: list[Path]) -> None:
        """Offer these, one after the other."""
        self._left = list(paths)
        self._next()

    def _next(self) -> None:
        self.path = self._left.pop(0) if self._left else None
        self.setVisible(self.path is not None)
        if self.path is not None:
            when = datetime.fromtimestamp(self.path.stat().st_mtime).astimezone()
            self._when = f"{when.day} {when:%B, %H:%M}"
            more = f" {len(self._left)} more after it." if self._left else ""
            self.text.setText(f"A run of {self._when} was not saved before its window was closed.{more}")

    def _open(self) -> None:
        if self.path is not None:
            self.hide()
            self.on_open(self.path)

    def _delete(self) -> None:
        if self.path is None:
            return
        if self.confirm(f"The run of {self._when} is kept in this autosave alone. Delete it for good?"):
            self.path.unlink(missing_ok=True)
            self._next()

    def handled(self, path: Path) -> None:
        """It is saved elsewhere: it goes."""
        path.unlink(missing_ok=True)
        self._next()
