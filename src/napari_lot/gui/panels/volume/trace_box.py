"""Atoms of the volume: how they are looked for, how many there are, what was refused, and a fit that begins there."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pydantic import ValidationError
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QHBoxLayout, QLabel, QLineEdit, QVBoxLayout, QWidget

from napari_lot.errors import InputError
from napari_lot.gui.canvas.layers import WorkbenchLayers
from napari_lot.gui.canvas.views import TRACED
from napari_lot.gui.forms.progress_line import ProgressLine
from napari_lot.gui.forms.settings_form import SettingsForm
from napari_lot.gui.forms.widgets import button, offer, text
from napari_lot.gui.forms.words import in_window_words, label_of
from napari_lot.gui.look import failure, warning
from napari_lot.gui.panels.volume.form import name_fields
from napari_lot.gui.state import WorkbenchState
from napari_lot.gui.work.task import Task
from napari_lot.settings import Model, Settings, in_words
from napari_lot.settings.tracing import Tracing
from napari_lot.voxel.atoms.species import Found, find_atoms, trace_spacing_A
from napari_lot.voxel.atoms.tracing import FLAG_WORDS, Flag
from napari_lot.voxel.volume import Volume

TRACE = "trace"
FRONT = ("threshold", "min_distance_A", "fit")
NO_VOLUME = "Needs a volume: reconstruct one, or open one."


class TraceBox(QWidget):
    """*Trace atoms* and what comes of it.

    Attributes
    ----------
    volume : callable
        The volume that is on screen, None where there is none.
    waits : callable
        Why nothing can be traced now, None where something can.
    spacing_A : callable
        The distance of neighbours that step 3 has, None where it has none.
    start : callable
        Begins a fit of orbitals with the atoms of a layer, by its name.
    on_traced : callable
        Told what was found, and the expected distance of neighbours.
    """

    changed = Signal()

    def __init__(self, state: WorkbenchState, layers: WorkbenchLayers, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.state, self.layers = state, layers
        self.volume: Callable[[], Volume | None] = lambda: None
        self.waits: Callable[[], str | None] = lambda: None
        self.spacing_A: Callable[[], float | None] = lambda: None
        self.start: Callable[[str], None] = lambda name: None
        self.on_traced: Callable[[Found, float], None] = lambda found, spacing_A: None
        self.found: Found | None = None
        self._words = ""
        self.task = Task("tracing", self)
        self.progress = ProgressLine("trace", self.task, "Stop tracing; atoms that were traced before stay.")
        self.element = QLineEdit(placeholderText="Pt")
        self.element.setObjectName("trace_element")
        self.element.setMaxLength(40)
        self.element.setToolTip(
            "Element symbols, such as Pt or Co, Pt, which are told apart by what each atom shows; the same as in step "
            "3. Without one the least distance of two atoms is needed."
        )
        self.form = SettingsForm(
            Tracing, FRONT, unset={"threshold": "from the histogram", "min_distance_A": "from the element"}
        )
        name_fields("trace", self.form)
        rows = self.form.layout()
        assert isinstance(rows, QFormLayout)
        label = QLabel("Element")
        label.setBuddy(self.element)
        rows.insertRow(0, label, self.element)
        self.trace = button("trace_atoms", "Trace atoms")
        self.trace.clicked.connect(self._trace)
        self.begin = button("start_from_traced", "Start LOT from these")
        self.begin.clicked.connect(lambda: self.start(TRACED))
        self.note = text("trace_note")
        buttons = QHBoxLayout()
        buttons.addWidget(self.trace)
        buttons.addWidget(self.begin)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(QLabel("<b>Atoms of the volume</b>"))
        layout.addWidget(self.form)
        layout.addLayout(buttons)
        layout.addWidget(self.progress)
        layout.addWidget(self.note)
        self.element.textChanged.connect(lambda typed: setattr(self.state, "element", typed))
        state.element_changed.connect(self._on_element)
        self.form.refused.connect(self.update_buttons)
        self.task.changed.connect(self._on_task)
        self._on_element()

    def shutdown(self) -> None:
        """Stop the thread and listening."""
        self.task.changed.disconnect(self._on_task)
        self.task.shutdown()
        self.state.element_changed.disconnect(self._on_element)

    def _on_element(self) -> None:
        if self.element.text() != self.state.element:
            self.element.setText(self.state.element)

    def _on_task(self) -> None:
        self.update_buttons()
        self.changed.emit()

    def forget(self) -> None:
        """Another volume: its atoms are others."""
        self.task.cancel()
        self.found = None
        self._say("")
        self.update_buttons()

    def _say(self, words: str) -> None:
        self.note.setText(words)
        self.note.setVisible(bool(words))

    def update_buttons(self) -> None:
        """Enable what does something now; what does not says why."""
        busy = f"{self.task.what}: wait, or cancel." if self.task.running else None
        refused = next((f"{label_of(name)}: {why}" for name, why in self.form.refusals.items()), None)
        missing = NO_VOLUME if self.volume() is None else None
        offer(
            self.trace,
            self.waits() or busy or missing or refused,
            "Find the atoms of the volume: its peaks, fitted and integrated.",
        )
        there = self.layers.volume.traced is not None and self.layers.volume.traced in self.layers.viewer.layers
        offer(
            self.begin,
            self.waits() or busy or (None if there else "Trace the atoms of the volume first."),
            f"Fit orbitals that begin at the points of the layer {TRACED} as they are: delete or move some before.",
        )

    # -- tracing ----------------------------------------------------------------------------------------------

    def settings(self) -> Settings:
        """Elements, distance of neighbours and settings of the tracing.

        Raises
        ------
        InputError
            An element or a value cannot be used, or the distance of atoms is not known.
        """
        elements = tuple(e.strip() for e in self.element.text().replace(";", ",").split(",") if e.strip())
        try:
            model = Model(elements=elements or ("X",), spacing_A=self.spacing_A())
            found = Settings(model=model, tracing=Tracing(**self.form.values()))
        except ValidationError as error:
            raise InputError(f"Trace: {in_words(error)}.") from None
        if not elements and model.spacing_A is None and found.tracing.min_distance_A is None:
            raise InputError("Trace: give the element, or the least distance of two atoms.")
        trace_spacing_A(found)
        return found

    def _trace(self) -> None:
        volume = self.volume()
        if volume is None:
            return
        try:
            settings = self.settings()
        except InputError as error:
            self._failed(str(error))
            return
        spacing_A = trace_spacing_A(settings)

        def done(found: Found) -> None:
            if volume is not self.volume():  # another one has come meanwhile
                return
            self.state.succeed(TRACE)
            self._show(found, spacing_A)

        self._say("")
        self.task.start("Tracing", lambda progress: find_atoms(volume, settings, None, progress), done, self._failed)

    def _failed(self, sentence: str) -> None:
        self._say(failure(self.state.fail(sentence, TRACE)))

    def tell_edit(self) -> None:
        """The points of the layer have been edited: how many there are is said beside how many were found."""
        layer = self.layers.volume.traced
        if self.found is not None and layer is not None:
            changed = len(layer.data) != len(self.found.traced.atoms)
            now = f" In the layer there are {len(layer.data)} points now." if changed else ""
            self._say(self._words + now)

    def _show(self, found: Found, spacing_A: float) -> None:
        self.found = found
        traced = found.traced
        atoms = traced.atoms
        if not len(atoms):
            self._say(
                warning(
                    f"No atoms were found. {refused_words(found)}Check the element or the least distance, and that "
                    "atoms are bright on a dark background; a lower threshold finds weaker ones."
                )
            )
            self.layers.volume.forget_traced()
            self.update_buttons()
            return
        columns = {"intensity_A2": traced.intensity[traced.flag == Flag.OK]}
        residual = traced.fit_residual[traced.flag == Flag.OK]
        if np.isfinite(residual).any():
            columns["fit_residual"] = residual
        if found.p_element is not None:
            columns["p_element"] = found.p_element
        self.layers.show_traced(atoms, spacing_A, columns)
        kinds = ""
        if len(atoms.elements) > 1:
            counts = (f"{int((atoms.species == i).sum())} {name}" for i, name in enumerate(atoms.elements))
            kinds = f" ({', '.join(counts)})"
        many = "1 atom" if len(atoms) == 1 else f"{len(atoms)} atoms"
        doubts = "".join(f"<br>{warning(doubt)}" for doubt in found.doubts)
        self._words = f"{many}{kinds}. {refused_words(found)}".strip() + doubts
        self._say(self._words)
        self.on_traced(found, spacing_A)
        self.update_buttons()


def refused_words(found: Found) -> str:
    """'Peaks that were refused: 3 too weak an integral; 1 too close to a stronger one. ', or '' for none."""
    counts = found.traced.counts()
    parts = [f"{counts[flag.name.lower()]} {words}" for flag, words in FLAG_WORDS.items() if flag != Flag.OK]
    told = "; ".join(part for part in parts if not part.startswith("0 "))
    return in_window_words(f"Peaks that were refused: {told}. ") if told else ""
