"""Distances, g(r) and coordination numbers of the atoms of a run."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QFormLayout, QVBoxLayout, QWidget

from napari_lot.analysis.structure import REACH_A, Structure, analyse
from napari_lot.gui.canvas.layers import WorkbenchLayers
from napari_lot.gui.forms.drawer import narrow
from napari_lot.gui.forms.number_box import NumberBox
from napari_lot.gui.forms.refusal_line import RefusalLine
from napari_lot.gui.forms.sentence import Sentence
from napari_lot.gui.plots.of_structure import COORDINATION, NEAREST, PAIRS, PARTIAL, StructurePlot
from napari_lot.gui.state import WorkbenchState
from napari_lot.gui.work.task import Task
from napari_lot.job import Result

FIRST_MINIMUM = "from g(r)"


class StructureBox(QWidget):
    """What the atoms of a result are like; worked out when it is looked at, and again for another cutoff."""

    def __init__(self, state: WorkbenchState, layers: WorkbenchLayers, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("structure")
        self.state, self.layers = state, layers
        self.structure: Structure | None = None
        self.on_structure: Callable[[NDArray[np.int64]], None] = lambda coordination: None
        self._of: Result | None = None
        self.task = Task("analysis", self)
        self.what = QComboBox()
        self.what.setObjectName("structure_what")
        self.what.addItems([NEAREST, PAIRS, PARTIAL, COORDINATION])
        self.what.setToolTip("Nearest neighbours, pair distribution, the same by elements, or coordination.")
        self.what.currentTextChanged.connect(lambda _: self._show())
        self.cutoff = NumberBox(FIRST_MINIMUM, "Å")
        self.cutoff.setObjectName("structure_cutoff")
        self.cutoff.setRange(0.0, REACH_A)
        self.cutoff.setSuffix(" Å")
        self.cutoff.setToolTip(
            f"Distance below which atoms are neighbours, up to {REACH_A:g} Å; emptied, it is the first minimum of g(r)."
        )
        self.cutoff.editingFinished.connect(self._on_cutoff)
        self.refusals = RefusalLine("structure_refusals")
        self.refusals.watch("cutoff", "Neighbours within", self.cutoff)
        self._asked: float | None = None
        self.text = Sentence("structure_text")
        self.text.setTextFormat(Qt.TextFormat.PlainText)
        narrow(self.what)
        self.plot = StructurePlot()
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("Show", self.what)
        form.addRow("Neighbours within", self.cutoff)
        form.addRow(self.refusals)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(form)
        layout.addWidget(self.plot)
        layout.addWidget(self.text)
        self._show()

    def shutdown(self) -> None:
        """Stop waiting."""
        self.task.shutdown()

    def forget(self) -> None:
        """The atoms are others now."""
        self.task.cancel()
        self.structure = self._of = None
        if self.isVisible():
            self._begin()
        self._show()

    def showEvent(self, event: object) -> None:
        super().showEvent(event)
        self.want()

    def want(self) -> None:
        """Work it out unless that is done or under way."""
        if not self.task.running and (self.structure is None or self._of is not self.layers.atoms.result):
            self._begin()

    @property
    def _wish(self) -> float | None:
        return self.cutoff.value() or None

    def _on_cutoff(self) -> None:
        if self._wish != self._asked:
            self._begin()

    def _begin(self) -> None:
        result = self.layers.atoms.result
        if result is None:
            return
        self._of, self._asked = result, self._wish
        atoms, cutoff_A = result.orbitals, self._wish
        self.text.setText("Measuring distances…")
        self.task.cancel()  # of other atoms, or for another cutoff
        self.task.start(
            "The analysis of distances", lambda progress: analyse(atoms, cutoff_A), self._on_done, self._on_failure
        )

    def _on_done(self, structure: Structure) -> None:
        self.structure = structure
        self._show()
        self.on_structure(structure.coordination)

    def _on_failure(self, sentence: str) -> None:
        self.structure = None
        self.text.setText(sentence)
        self.plot.hide()

    def _show(self) -> None:
        structure = self.structure
        self.plot.setVisible(structure is not None)
        if structure is None:
            if self.layers.atoms.result is None:
                self.text.setText("Needs a finished reconstruction (step 3).")
            return
        self.plot.show_structure(structure, self.what.currentText())
        self.text.setText(words(structure))


def words(structure: Structure) -> str:
    """The figures, a line each."""
    nearest = structure.nearest_A
    how = "" if structure.given else ", the first minimum of g(r)"
    lines = [
        f"nearest neighbours {nearest.mean():.3f} ± {nearest.std():.3f} Å, "
        f"from {nearest.min():.2f} to {nearest.max():.2f} Å",
        f"mean coordination {structure.coordination.mean():.2f} within {structure.cutoff_A:.2f} Å{how}",
    ]
    if len(structure.numbers) > 1:
        lines.append("; ".join(f"{n:.2f} {b} around {a}" for (a, b), n in structure.bonds.items()))
    return "\n".join(lines)
