"""Where the tilt angles come from: the series, a file, or start and step."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QGridLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QWidget,
)

from napari_lot.errors import InputError
from napari_lot.gui.forms.refusal_line import RefusalLine
from napari_lot.gui.forms.widgets import number, row

ANGLES_FILTER = "Angles (*.csv *.tlt *.rawtlt *.mdoc *.txt *.mat);;All files (*)"
FROM_FILE, ANGLE_FILE, TYPED = "from the series", "from a file", "start and step"


class AnglesBox(QWidget):
    """Says what the reader is to take for angles; ``changed`` tells that it would be something else now."""

    changed = Signal()
    refused = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.kind = QComboBox()
        self.kind.setObjectName("angle_kind")
        self.kind.addItems([FROM_FILE, ANGLE_FILE, TYPED])
        self.kind.setToolTip(
            "Where the tilt angles come from; 'from the series' also looks for an angle file beside it."
        )
        self.path = QLineEdit(placeholderText="angle file: .csv, .tlt, .rawtlt, .mdoc")
        self.path.setObjectName("angle_path")
        self.path.setToolTip("One angle a line, or columns psi_deg, theta_deg, phi_deg, in degrees.")
        self.browse = QPushButton("Choose…")
        self.browse.setToolTip("Choose an angle file on disk.")
        self.browse.clicked.connect(self._browse)
        self.start = number("angle_start", -360, 360, -70, "°", "First tilt angle in degrees.")
        self.step = number("angle_step", -360, 360, 2, "°", "Step between tilts in degrees.")
        self.typed_row = QWidget()
        beside = row(QLabel("Start"), self.start, QLabel("Step"), self.step)
        beside.setContentsMargins(0, 0, 0, 0)
        self.typed_row.setLayout(beside)
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(QLabel("Tilt angles"), 0, 0)
        layout.addWidget(self.kind, 0, 1, 1, 2)
        layout.addWidget(self.path, 1, 0, 1, 2)
        layout.addWidget(self.browse, 1, 2)
        layout.addWidget(self.typed_row, 2, 0, 1, 3)
        self._refusals = RefusalLine("angle_refusals")
        self._refusals.watch("start", "Start", self.start)
        self._refusals.watch("step", "Step", self.step)
        layout.addWidget(self._refusals, 3, 0, 1, 3)
        layout.setColumnStretch(1, 1)
        self._on_kind(FROM_FILE)
        self.kind.currentTextChanged.connect(self._on_kind)
        for signal in (self.start.valueChanged, self.step.valueChanged, self.path.textChanged):
            signal.connect(lambda _: self.changed.emit())
        self._refusals.changed.connect(self.refused)

    @property
    def of_series(self) -> bool:
        """Whether the angles are those that the series has itself."""
        return bool(self.kind.currentText() == FROM_FILE)

    def use_those_of_series(self) -> None:
        """Take the angles that the series has itself."""
        self.kind.setCurrentText(FROM_FILE)

    @property
    def refusals(self) -> dict[str, str]:
        """By name, why what was typed into a field is not taken."""
        return self._refusals.said

    def typed(self) -> tuple[str, str, float, float]:
        """What is chosen and typed; what is not shown does not count."""
        kind = self.kind.currentText()
        start, step = (self.start.value(), self.step.value()) if kind == TYPED else (0.0, 0.0)
        return kind, self.path.text() if kind == ANGLE_FILE else "", start, step

    def restore(self, typed: tuple[str, str, float, float]) -> None:
        """Put back what was chosen and typed."""
        kind, path, start, step = typed
        self.kind.setCurrentText(kind)
        if kind == ANGLE_FILE:
            self.path.setText(path)
        if kind == TYPED:
            self.start.setValue(start)
            self.step.setValue(step)

    def wanted(self) -> Any:
        """A path, a function of the number of tilts, or None for the series' own.

        Raises
        ------
        InputError
            They are to come from a file, and none is chosen.
        """
        kind = self.kind.currentText()
        if kind == ANGLE_FILE:
            text = self.path.text().strip()
            if not text:
                raise InputError("No angle file is chosen: choose one, or take the angles from the series.")
            return text
        if kind != TYPED:
            return None
        # not the boxes: it is asked in a thread
        start, step = self.start.value(), self.step.value()
        return lambda count: start + step * np.arange(count, dtype=np.float64)

    def _on_kind(self, kind: str) -> None:
        for widget in (self.path, self.browse):
            widget.setVisible(kind == ANGLE_FILE)
        self.typed_row.setVisible(kind == TYPED)
        self._refusals.update_lines()
        self.changed.emit()

    def _browse(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Choose an angle file", self.path.text(), ANGLES_FILTER)
        if name:
            self.path.setText(name)
