"""The shape of an atom: one of those that have a name, or a table in a CSV file."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QVBoxLayout, QWidget

from napari_lot.gui.forms.file_field import FileField
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
        self.file = FileField(
            "orbital",
            "radii in Å, values",
            "CSV file with two columns, the radius in Å and the value there, a line each.",
            "Choose the CSV file of an orbital.",
            "Orbital",
            "*.csv;;All files (*)",
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.kind)
        layout.addWidget(self.file)
        self.value = Model.model_fields["orbital"].default
        self.kind.currentTextChanged.connect(self._on_kind)
        self.file.changed.connect(self.changed)

    def _on_kind(self, kind: str) -> None:
        self.file.setVisible(kind == A_FILE)
        self.changed.emit()

    @property
    def missing(self) -> bool:
        """Whether a file is wanted and none is named."""
        return self.kind.currentText() == A_FILE and self.file.is_empty

    @property
    def value(self) -> str:
        """The setting ``model.orbital``."""
        if self.kind.currentText() != A_FILE:
            return self.kind.currentText()
        return str(self.file.path)

    @value.setter
    def value(self, value: str) -> None:
        named = value in ORBITALS
        if not named:
            self.file.line.setText(value)
        self.kind.setCurrentText(value if named else A_FILE)
        self.file.setVisible(not named)
