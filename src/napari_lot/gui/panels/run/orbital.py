"""The shape of an atom: one of those that have a name, or a table in a CSV file."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QLineEdit, QPushButton, QVBoxLayout, QWidget

from napari_lot.settings import ORBITALS, Model

A_FILE = "CSV file"


class OrbitalChoice(QWidget):
    """A choice of shapes; for a file, its path below."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        tip = Model.model_fields["orbital"].description or ""
        self.kind = QComboBox()
        self.kind.setObjectName("orbital")
        self.kind.addItems([*ORBITALS, A_FILE])
        self.kind.setToolTip(tip)
        self.path = QLineEdit(placeholderText="radii in Å, values")
        self.path.setObjectName("orbital_file")
        self.path.setToolTip("CSV file with two columns, the radius in Å and the value there, a line each.")
        self.browse = QPushButton("Choose…")
        self.browse.setObjectName("orbital_browse")
        self.browse.setToolTip("Choose the CSV file of an orbital.")
        self.browse.clicked.connect(self._browse)
        self.file = QWidget()
        row = QHBoxLayout(self.file)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.path, 1)
        row.addWidget(self.browse)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.kind)
        layout.addWidget(self.file)
        self.value = Model.model_fields["orbital"].default
        self.kind.currentTextChanged.connect(self._on_kind)
        self.path.textChanged.connect(lambda _: self.changed.emit())

    def _on_kind(self, kind: str) -> None:
        self.file.setVisible(kind == A_FILE)
        self.changed.emit()

    def _browse(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Orbital", self.path.text(), "*.csv;;All files (*)")
        if name:
            self.path.setText(name)

    @property
    def missing(self) -> bool:
        """Whether a file is wanted and none is named."""
        return self.kind.currentText() == A_FILE and not self.path.text().strip()

    @property
    def value(self) -> str:
        """The setting ``model.orbital``."""
        if self.kind.currentText() != A_FILE:
            return self.kind.currentText()
        return str(Path(self.path.text().strip()).expanduser())

    @value.setter
    def value(self, value: str) -> None:
        named = value in ORBITALS
        if not named:
            self.path.setText(value)
        self.kind.setCurrentText(value if named else A_FILE)
        self.file.setVisible(not named)
