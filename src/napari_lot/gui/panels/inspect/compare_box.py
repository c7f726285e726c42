"""Compare the atoms of a run with a second structure: a file, another run, or an open Points layer."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_lot.analysis.compare import Comparison
from napari_lot.analysis.hands import WAYS, HandCheck, check_hands, is_mirror, name_of
from napari_lot.atoms import Orbitals
from napari_lot.errors import InputError
from napari_lot.gui.canvas.comparison import COLORS, FALSE, MATCHED, MISSING, ComparisonLayers, atoms_of, other_points
from napari_lot.gui.canvas.layers import WorkbenchLayers
from napari_lot.gui.canvas.views import ATOMS
from napari_lot.gui.forms.drawer import grow_with_text, narrow
from napari_lot.gui.forms.number_box import NumberBox
from napari_lot.gui.forms.refusal_line import RefusalLine
from napari_lot.gui.forms.sentence import Sentence
from napari_lot.gui.look import warning
from napari_lot.gui.plots.of_structure import AXES, DISTANCES, DeviationPlot
from napari_lot.gui.state import WorkbenchState
from napari_lot.gui.work.task import Task
from napari_lot.structures import read_structure

A_FILE = "a file"
COMPARE = "compare"
ADVICE = "Nothing is shown of an earlier comparison; choose another structure, or mend this one, and compare again."
Done = tuple[HandCheck, Orbitals, Orbitals, str]


class CompareBox(QWidget):
    """Choose a structure, compare, see figures, deviations and three colours in 3-D.

    Attributes
    ----------
    other_runs : callable
        Atoms of the runs in the list that are not shown, by their names.
    """

    def __init__(self, state: WorkbenchState, layers: WorkbenchLayers, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("compare")
        self.state, self.layers = state, layers
        self.on_change: Callable[[], None] = lambda: None
        self.other_runs: Callable[[], dict[str, Orbitals]] = dict
        self.done: Done | None = None
        self.points = ComparisonLayers(layers.viewer)
        self.task = Task("comparison", self)
        self._build()
        self.task.changed.connect(self._show)
        layers.viewer.layers.events.inserted.connect(self.offer)
        layers.viewer.layers.events.removed.connect(self.offer)
        layers.viewer.dims.events.ndisplay.connect(self._on_ndisplay)
        self.offer()
        self._show()

    def _build(self) -> None:
        self.source = QComboBox()
        self.source.setObjectName("compare_source")
        self.source.setToolTip(
            "The second structure: a file, another run, or a Points layer that is open, with axes z, y, x in Å."
        )
        self.source.currentTextChanged.connect(lambda _: self._show())
        self.path = QLineEdit()
        self.path.setObjectName("compare_path")
        self.path.setToolTip("XYZ, CSV, RESIRE .mat or LAMMPS data in Å; other formats (CIF, PDB, …) with ASE.")
        self.path.setPlaceholderText("reference.xyz")
        self.path.returnPressed.connect(self._start)
        self.browse = QPushButton("Open…")
        self.browse.setObjectName("compare_open")
        self.browse.setToolTip("Choose the file of the second structure.")
        self.browse.clicked.connect(self._browse)
        self._file = QWidget()
        row = QHBoxLayout(self._file)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.path, 1)
        row.addWidget(self.browse)
        self.cutoff = NumberBox()
        self.cutoff.setObjectName("compare_cutoff")
        self.cutoff.setRange(0.01, 10.0)
        self.cutoff.setSuffix(" Å")
        self.cutoff.setValue(1.0)
        self.cutoff.setToolTip("Largest distance of a pair, 0.01 to 10 Å; a smaller one makes the RMSD look better.")
        self.refusals = RefusalLine("compare_refusals")
        self.refusals.watch("cutoff", "Cutoff", self.cutoff)
        self.refusals.changed.connect(self._show)
        self.rotate = QCheckBox("remove the rotation, too")
        self.rotate.setObjectName("compare_rotate")
        self.rotate.setToolTip("Remove the best proper rotation with the shift; for runs that refined tilt angles.")
        self.way = QComboBox()
        self.way.setObjectName("compare_way")
        self.way.addItem("as they are", WAYS[0])
        for signs in WAYS[1:]:
            self.way.addItem(f"{name_of(signs)}, {'mirrored' if is_mirror(signs) else 'half turn'}", signs)
        self.way.setToolTip("How the found atoms are taken: as they are, or with axes turned over; all are tried.")
        self.way.currentIndexChanged.connect(lambda _: self._show_done())
        self.go = QPushButton("Compare")
        self.go.setObjectName("compare_start")
        self.go.clicked.connect(self._start)
        self.stop = QPushButton("Cancel")
        self.stop.setObjectName("compare_cancel")
        self.stop.setToolTip("Do not wait for the comparison.")
        self.stop.clicked.connect(self._cancel)
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.setVerticalSpacing(4)
        form.addRow("Compare with", self.source)
        form.addRow(self._file)
        form.addRow("Cutoff", self.cutoff)
        form.addRow(self.refusals)
        form.addRow(self.rotate)
        buttons = QHBoxLayout()
        buttons.addWidget(self.go, 1)
        buttons.addWidget(self.stop)
        self.note = self._label("compare_note")
        self.note.setTextFormat(Qt.TextFormat.RichText)
        self.figures = self._label("compare_figures")
        self.figures.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.hand = self._label("compare_hand")
        self.legend = Sentence("compare_legend")
        self.what = QComboBox()
        self.what.setObjectName("compare_what")
        self.what.addItems([DISTANCES, AXES])
        self.what.setToolTip("Deviations as distances, or along each axis.")
        self.what.currentTextChanged.connect(lambda _: self._show_done())
        self.plot = DeviationPlot()
        self.look = QPushButton("Show in 3D")
        self.look.setObjectName("compare_show")
        self.look.setCheckable(True)
        self.look.setToolTip("Matched, missing and false atoms in three colours, over the atoms in 3D.")
        self.look.toggled.connect(self._on_look)
        self.remove = QPushButton("Remove")
        self.remove.setObjectName("compare_remove")
        self.remove.setToolTip("Take this comparison and its layers away.")
        self.remove.clicked.connect(self.forget)
        taken = QFormLayout()
        taken.setVerticalSpacing(4)
        taken.addRow("Atoms taken", self.way)
        taken.addRow("Deviation", self.what)
        last = QHBoxLayout()
        last.addWidget(self.look, 1)
        last.addWidget(self.remove)
        narrow(self.source, self.way, self.what)
        self.outcome = QWidget()
        grow_with_text(self.outcome)
        inside = QVBoxLayout(self.outcome)
        inside.setContentsMargins(0, 0, 0, 0)
        for widget in (self.figures, self.hand):
            inside.addWidget(widget)
        inside.addLayout(taken)
        inside.addWidget(self.plot)
        inside.addWidget(self.legend)
        inside.addLayout(last)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(form)
        layout.addLayout(buttons)
        layout.addWidget(self.note)
        layout.addWidget(self.outcome)

    @staticmethod
    def _label(name: str) -> Sentence:
        label = Sentence(name)
        label.setTextFormat(Qt.TextFormat.PlainText)
        return label

    def shutdown(self) -> None:
        """Stop listening and waiting; the layers stay."""
        self.task.shutdown()
        self.layers.viewer.layers.events.inserted.disconnect(self.offer)
        self.layers.viewer.layers.events.removed.disconnect(self.offer)
        self.layers.viewer.dims.events.ndisplay.disconnect(self._on_ndisplay)

    def forget(self) -> None:
        """The atoms are others now, or the comparison is no longer wanted."""
        self.task.cancel()
        self.offer()
        self._take_back()

    def _take_back(self) -> None:
        """Nothing is shown of an earlier comparison: it was of another file, or of these atoms as they were."""
        self.done = None
        self.points.remove()
        self.look.setChecked(False)
        self.way.blockSignals(True)
        self.way.setCurrentIndex(0)
        self.way.blockSignals(False)
        self.note.setText("")
        self._show()

    # -- what is compared -------------------------------------------------------------------------------------

    def offer(self, event: Any = None) -> None:
        """Offer what there is now."""
        names = [A_FILE, *self.other_runs(), *(layer.name for layer in other_points(self.layers.viewer))]
        if names != [self.source.itemText(i) for i in range(self.source.count())]:
            chosen = self.source.currentText()
            self.source.blockSignals(True)
            self.source.clear()
            self.source.addItems(names)
            self.source.setCurrentText(chosen if chosen in names else A_FILE)
            self.source.blockSignals(False)
            self._show()

    def _browse(self) -> None:
        kinds = "Structures (*.xyz *.extxyz *.csv *.mat *.cif *.pdb *.lmp *.data *.vasp *.json);;All files (*)"
        name, _ = QFileDialog.getOpenFileName(self, "Second structure", self.path.text(), kinds)
        if name:
            self.path.setText(name)
            self._start()

    def _start(self) -> None:
        result = self.layers.atoms.result
        if result is None or self.task.running or self.refusals.said:
            return
        self.offer()  # a run may have gone from the list
        self._take_back()
        found, cutoff_A, rotate = result.orbitals, self.cutoff.value(), self.rotate.isChecked()
        source = self.source.currentText()
        try:
            if source == A_FILE:
                text = self.path.text().strip()
                if not text:
                    raise InputError("No file is named: type or choose the file of the second structure.")
                path = Path(text).expanduser()
                self._compare(lambda: _compared(found, read_structure(path), path.name, cutoff_A, rotate))
            else:
                run = self.other_runs().get(source)
                reference = atoms_of(self.layers.viewer.layers[source]) if run is None else run
                self._compare(lambda: _compared(found, reference, source, cutoff_A, rotate))
        except InputError as error:
            self._on_failure(str(error))

    def _compare(self, work: Callable[[], Done]) -> None:
        self.note.setText("Comparing, also with the mirror images…")
        self.task.start("The comparison", lambda progress: work(), self._on_done, self._on_failure)
        self._show()

    def _cancel(self) -> None:
        self.task.cancel()
        self.note.setText("Cancelled." if self.done is None else "")  # it may have come to its end
        self._show()

    def _on_failure(self, sentence: str) -> None:
        shown = self.state.fail(sentence, COMPARE)
        self.note.setText(warning(f"Not compared. {html.escape(shown)}<br>{ADVICE}"))
        self._show()

    def _on_done(self, done: Done) -> Iterator[None]:
        self.done = done
        self.state.succeed(COMPARE)
        self.note.setText("")
        self.way.blockSignals(True)
        self.way.setCurrentIndex(0)
        self.way.blockSignals(False)
        self._show()
        self._show_done()
        if self.layers.view != "atoms":
            self.layers.look_at("atoms")
        yield
        if self.look.isChecked():
            self._on_look(True)
        else:
            self.look.setChecked(True)

    # -- what is shown ----------------------------------------------------------------------------------------

    @property
    def shown(self) -> Comparison | None:
        """The comparison with the atoms taken as chosen."""
        return None if self.done is None else self.done[0].comparisons.get(self.way.currentData())

    def _show(self) -> None:
        busy, ready = self.task.running, self.layers.atoms.result is not None
        self._file.setVisible(self.source.currentText() == A_FILE)
        refused = next(iter(self.refusals.said.values()), "")
        self.go.setEnabled(ready and not busy and not refused)
        tip = refused or "Match the atoms of this run one to one with those of the second structure."
        self.go.setToolTip(tip if ready else "Needs a finished reconstruction (step 3).")
        self.stop.setVisible(busy)
        self.note.setVisible(bool(self.note.text()))
        self.outcome.setVisible(self.done is not None)

    def _show_done(self) -> None:
        if self.done is None:
            return
        check, _, reference, name = self.done
        comparison = self.shown
        if comparison is None:  # too few atoms for the other ways
            self.way.setCurrentIndex(0)
            return
        self.figures.setText(figures(comparison, name, len(reference)))
        self.hand.setText(check.sentence)
        self.plot.show_deviations(comparison, self.what.currentText())
        counts = (comparison.matched, len(comparison.missing_index), len(comparison.false_index))
        self.legend.setText(
            "&nbsp;&nbsp; ".join(
                f'<span style="color:{COLORS[kind]}">●</span>&nbsp;{n}&nbsp;{kind.lower()}'
                for kind, n in zip((MATCHED, MISSING, FALSE), counts, strict=True)
            )
        )
        if self.look.isChecked():
            self._draw()

    def _draw(self) -> None:
        comparison = self.shown
        if comparison is None or self.done is None:
            return
        _, found, reference, _ = self.done
        self.points.show(comparison, found, reference, self.way.currentData(), 1.04 * self.layers.atoms.size_A)
        counts = (comparison.matched, len(comparison.missing_index), len(comparison.false_index))
        self.layers.views.say("{} matched (blue)\n{} missing (yellow), {} false (orange)".format(*counts), ())

    def _on_look(self, on: bool) -> None:
        if on:
            self.layers.look_at("atoms")
            self._draw()
        else:
            self.points.remove()
        atoms = self.layers.viewer.layers
        if ATOMS in atoms and self.layers.view == "atoms":
            atoms[ATOMS].visible = not on
        if not on:
            self.layers.views.select_main()
        self.on_change()

    def _on_ndisplay(self, event: Any = None) -> None:
        # On an image the points of a volume would all lie on one tilt.
        if self.layers.viewer.dims.ndisplay == 2 and self.look.isChecked():
            self.look.setChecked(False)


def _compared(found: Orbitals, reference: Orbitals, name: str, cutoff_A: float, rotate: bool) -> Done:
    return check_hands(found, reference, cutoff_A, rotate), found, reference, name


def figures(comparison: Comparison, name: str, reference: int) -> str:
    """Recall, precision, RMSD, median and standard deviations, to be quoted together."""
    got = comparison.summary()
    lines = [
        f"{got['matched']} of {reference} atoms of {name} matched within {got['cutoff_A']:g} Å: "
        f"recall {100 * got['recall']:.2f} %, precision {100 * got['precision']:.2f} %"
    ]
    if comparison.matched:
        axes = ", ".join(f"{axis} {value:.1f}" for axis, value in zip("xyz", got["axis_std_pm"], strict=True))
        lines += [
            f"RMSD {got['rmsd_pm']:.2f} pm, median {got['median_pm']:.2f} pm, 95 % below {got['p95_pm']:.1f} pm",
            f"standard deviations {axes} pm",
        ]
        if 0 < got["species_accuracy"] < 1:
            lines.append(f"{100 * got['species_accuracy']:.1f} % of the pairs are of one element")
    # what rounds to zero is zero, and has no sign
    moved = f"shift removed {', '.join(f'{round(s, 2) + 0.0:.2f}' for s in got['shift_A'])} Å"
    turn = f", rotation {got['rotation_deg']:.2f}°" if got["rotation_deg"] > 0 else ""
    return "\n".join([*lines, moved + turn]).replace("-", "−")
