"""A path that is typed or chosen."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLineEdit, QPushButton, QWidget


class FileField(QWidget):
    """A line for the path of a file that exists, and a button that looks for it on disk.

    Parameters
    ----------
    name : str
        Object names are ``NAME_file`` and ``NAME_browse``.
    placeholder, tip, browse_tip : str
    title, kinds : str
        Title and filter of the dialog.
    """

    changed = Signal()

    def __init__(
        self,
        name: str,
        placeholder: str,
        tip: str,
        browse_tip: str,
        title: str,
        kinds: str,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._title, self._kinds = title, kinds
        self.line = QLineEdit(placeholderText=placeholder)
        self.line.setObjectName(f"{name}_file")
        self.line.setToolTip(tip)
        self.browse = QPushButton("Choose…")
        self.browse.setObjectName(f"{name}_browse")
        self.browse.setToolTip(browse_tip)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.line, 1)
        row.addWidget(self.browse)
        self.browse.clicked.connect(self._browse)
        self.line.textChanged.connect(lambda _: self.changed.emit())

    @property
    def is_empty(self) -> bool:
        """Whether no path is named."""
        return not self.line.text().strip()

    @property
    def path(self) -> Path:
        """The path, ~ expanded."""
        return Path(self.line.text().strip()).expanduser()

    def _browse(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, self._title, self.line.text(), self._kinds)
        if name:
            self.line.setText(name)
