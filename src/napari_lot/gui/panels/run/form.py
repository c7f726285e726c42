"""The settings of a run, as forms made from their definition."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QFormLayout, QGridLayout, QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget

from napari_lot.agreement import expected_spacing_A
from napari_lot.errors import InputError
from napari_lot.gui.forms.sentence import Sentence
from napari_lot.gui.forms.settings_form import SettingsForm, choices_of
from napari_lot.gui.forms.words import in_window_words, label_of
from napari_lot.gui.look import warning
from napari_lot.gui.panels.run.begin import StartChoice
from napari_lot.gui.panels.run.orbital import OrbitalChoice
from napari_lot.gui.panels.run.words import REFINE_NOT, REFINE_TIPS
from napari_lot.gui.state import WorkbenchState
from napari_lot.physics.elements import SYMBOLS
from napari_lot.settings import REFINED_BY_DEFAULT, Data, Model, Settings, Solver, Start, in_words, settings_from_dict

OF_THE_MACHINE = ("threads", "device")
"""Settings that say something of the computer and not of the reconstruction: no preset holds them."""


class RunForm(QWidget):
    """Model, element, start, and under *More settings* all that a run can be told besides."""

    changed = Signal()

    def __init__(self, state: WorkbenchState, viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.state = state
        # What a preset has set beyond the fields of this form.
        self.extras: dict[str, dict[str, Any]] = {}
        # The distance of neighbours that a session has set.
        self._came_with_session: float | None = None
        self.model = SettingsForm(Model, ["probe", "spacing_A", "likelihood"], unset={"spacing_A": "from the element"})
        self.element = QLineEdit(placeholderText="Pt")
        self.element.setObjectName("element")
        self.element.setMaxLength(40)
        self.element.setToolTip(Model.model_fields["elements"].description or "")
        self.element_note = Sentence("element_note")
        self.element_note.hide()
        rows = self.model.layout()
        assert isinstance(rows, QFormLayout)
        rows.insertRow(1, "Element", self.element)
        rows.insertRow(2, self.element_note)
        self.begin = StartChoice(viewer)

        self.orbital = OrbitalChoice()
        self.atoms = SettingsForm(Solver, ["widths"])
        self.grid = SettingsForm(Start, ["grid_spacing", "width_A"])
        self.peaks = SettingsForm(
            Start,
            ["peaks_method", "peaks_iterations", "peaks_bin"],
            unset={"peaks_iterations": "20, where it has any", "peaks_bin": "from the distance"},
        )
        self.images = SettingsForm(Solver, ["distortion", "tilt_defocus_A"], unset={"tilt_defocus_A": "not refined"})
        self.check = SettingsForm(Data, ["withhold"], unset={"withhold": "none"})
        self.checks = SettingsForm(Solver, ["error_bars", "handedness"])
        self.solver = SettingsForm(
            Solver,
            ["device", "threads", "seed", "max_minutes"],
            unset={"threads": "all cores", "max_minutes": "no limit"},
        )
        self.of_solver = (self.atoms, self.images, self.checks, self.solver)
        self.refine: dict[str, QCheckBox] = {}
        # What cannot be refined with the model that is chosen, and whether it is wanted with another.
        self._idle: dict[str, bool] = {}
        self.more_button = QPushButton("More settings ▸")
        self.more_button.setObjectName("more_run_settings")
        self.more_button.setCheckable(True)
        self.more_button.setAutoDefault(True)  # Enter does what Space does
        self.more_button.setToolTip(
            "What is refined, shape of the orbitals, start grid, checks, which hand, threads, seed and time limit."
        )
        self.more = self._more()
        self.more.hide()
        self.more_button.toggled.connect(self._show_more)

        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self.model, self.begin, self.more_button, self.more):
            layout.addWidget(widget)
        for part in (self.model, self.begin, self.orbital):
            part.changed.connect(self.changed)
        self._forms = (self.model, self.grid, self.peaks, self.check, *self.of_solver)
        for form in self._forms:
            form.refused.connect(self.changed)
        self._typing = False
        self.element.textChanged.connect(lambda text: setattr(self.state, "element", text))
        self.element.textEdited.connect(self._on_typing)  # Qt tells it before textChanged
        self.element.editingFinished.connect(self._on_typed)
        self.model.changed.connect(self._say_element)
        self.model.changed.connect(self._on_model)
        self._on_model()
        state.element_changed.connect(self._on_element)

    def shutdown(self) -> None:
        """Stop listening."""
        self.state.element_changed.disconnect(self._on_element)
        self.begin.shutdown()

    def _more(self) -> QWidget:
        boxes = QGridLayout()
        boxes.setContentsMargins(0, 0, 0, 0)
        for i, name in enumerate(choices_of(Solver, "refine")):
            box = QCheckBox(name)
            box.setObjectName(f"refine_{name}")
            box.setChecked(name in REFINED_BY_DEFAULT)
            box.setToolTip(REFINE_TIPS.get(name, f"Refine the {name}."))
            self.refine[name] = box
            boxes.addWidget(box, i // 3, i % 3)
        shape = QFormLayout()
        shape.setContentsMargins(0, 0, 0, 0)
        shape.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        label = QLabel(label_of("orbital"))
        label.setBuddy(self.orbital.kind)
        shape.addRow(label, self.orbital)
        more = QWidget()
        layout = QVBoxLayout(more)
        layout.setContentsMargins(0, 0, 0, 0)
        self.extra_note = Sentence("preset_extras")
        self.extra_note.hide()
        for title, parts in (
            ("Refine", (boxes,)),
            ("Orbitals", (shape, self.atoms)),
            ("Start grid", (self.grid,)),
            ("Start from peaks", (self.peaks,)),
            ("Images", (self.images,)),
            ("Checks", (self.check, self.checks)),
            ("Run", (self.solver,)),
        ):
            layout.addWidget(QLabel(f"<b>{title}</b>"))
            for part in parts:
                layout.addWidget(part) if isinstance(part, QWidget) else layout.addLayout(part)
        layout.addWidget(self.extra_note)
        return more

    def _show_more(self, shown: bool) -> None:
        self.more.setVisible(shown)
        self.more_button.setText("More settings ▾" if shown else "More settings ▸")

    def _on_element(self) -> None:
        if self.element.text() != self.state.element:
            self.element.setText(self.state.element)
        # The first letter of a symbol is no mistake while the second is still to come.
        last = self.element.text().replace(";", ",").rpartition(",")[2].strip().capitalize()
        is_half = self._typing and last and any(symbol.startswith(last) for symbol in SYMBOLS)
        if self.element_note.isVisibleTo(self) or not is_half:
            self._say_element()
        self.changed.emit()

    def _on_typing(self) -> None:
        self._typing = True

    def _on_typed(self) -> None:
        self._typing = False
        self._say_element()

    def _say_element(self) -> None:
        why = self.why_no_element
        self.element_note.setText(warning(f"Element: {why}") if why else "")
        self.element_note.setVisible(bool(why))

    @property
    def why_no_element(self) -> str:
        """Why what is typed as element cannot be used, in a sentence; '' where it can, or nothing is typed."""
        if not self.elements():
            return ""
        try:
            model = Model(elements=self.elements(), spacing_A=self.model.fields["spacing_A"].value)
            expected_spacing_A(model)
        except ValidationError as error:
            return f"{in_words(error)}."
        except InputError as error:
            return in_window_words(str(error))
        return ""

    def _on_model(self) -> None:
        """What the model has nothing of is shown as not refined; the tick comes back with a model that has it."""
        model = self.model.fields["probe"].value
        for name, (models, why) in REFINE_NOT.items():
            box = self.refine[name]
            if model in models and name not in self._idle:
                self._idle[name] = box.isChecked()
                box.setChecked(False)
            elif model not in models and name in self._idle:
                box.setChecked(self._idle.pop(name))
            box.setEnabled(name not in self._idle)
            box.setToolTip(why if name in self._idle else REFINE_TIPS[name])

    def elements(self) -> tuple[str, ...]:
        """Element symbols that are typed."""
        return tuple(e.strip() for e in self.element.text().replace(";", ",").split(",") if e.strip())

    @property
    def uses_probe(self) -> bool:
        """Whether the model that is chosen has a microscope."""
        return bool(self.model.fields["probe"].value != "direct")

    def needs(self, atoms: bool = False) -> str | None:
        """What is still missing for a start, None where nothing is; ``atoms``: those to start from are given."""
        if self.state.reading:
            return f"{self.state.reading[0].lower()}{self.state.reading[1:]}: wait, or cancel"
        if self.state.series is None:
            return "needs a tilt series (step 1)"
        for form in self._forms:
            for name, why in form.refusals.items():
                return f"{label_of(name)}: {why.rstrip('.')}"
        if self.uses_probe and not self.state.has_probe:
            return (
                f"the {self.model.fields['probe'].value} model needs energy and semi-angle (step 2); 'direct' does not"
            )
        if not self.elements() and self.model.fields["spacing_A"].value is None:
            return "needs the element or the neighbour distance"
        if why := self.why_no_element:
            return f"Element: {why.rstrip('.')}"
        if self.orbital.missing:
            return "needs the CSV file of the orbital"
        return None if atoms else self.begin.needs()

    def begin_anew(self) -> None:
        """Another series: atoms to start from were those of the last one, and so was the distance of its session."""
        self.begin.take("grid")
        spacing_A = self.model.fields["spacing_A"]
        if self._came_with_session is not None and spacing_A.value == self._came_with_session:
            spacing_A.value = None
        self._came_with_session = None

    def take_session(self, settings: Settings) -> None:
        """Take over what a session says of this step; what is not there to be refined stays as it is by default."""
        said = settings.model_dump(exclude_defaults=True)
        values = {section: said.get(section, {}) for section in ("model", "start", "solver")}
        # A preset leaves these as they are where it says nothing of them; they would be those of another session.
        values["start"]["kind"] = settings.start.kind
        values["model"]["spacing_A"] = self._came_with_session = settings.model.spacing_A
        chosen = set(settings.solver.refine or REFINED_BY_DEFAULT) - set(settings.solver.fix)
        if values["solver"].pop("fix", None) or settings.solver.refine is not None:
            values["solver"]["refine"] = tuple(chosen)
        values["data"] = {"withhold": settings.data.withhold}
        self.take(values)

    def settings(self, atoms_of: Path | None = None) -> Settings:
        """The settings of the run that Start would begin; ``atoms_of``: it starts from the atoms of this file.

        Raises
        ------
        InputError
            A value cannot be used.
        """
        values = self.values()
        model = values["model"] | self.model.values()
        if self.elements():
            model["elements"] = self.elements()
        series = self.state.series
        data = {"thickness_A": self.state.thickness_A, "counts": series is not None and series.counts}
        data |= values["data"] | self.state.images
        own = {name: value for name, value in self.solver.values().items() if name in OF_THE_MACHINE}
        return settings_from_dict(
            {
                "microscope": self.state.microscope.model_dump(),
                "model": model,
                "start": values["start"] | {"kind": str(atoms_of or self.begin.setting)},
                "solver": values["solver"] | own,
                "data": data,
            },
            where="Reconstruct",
        )

    # -- presets ----------------------------------------------------------------------------------------------

    def values(self) -> dict[str, dict[str, Any]]:
        """What a preset holds: how to reconstruct, whatever the specimen and the computer."""
        solver = {**self.extras.get("solver", {})}
        for form in self.of_solver:
            solver |= {name: value for name, value in form.values().items() if name not in OF_THE_MACHINE}
        # Only what somebody has changed: what is refined without a word may depend on the data.
        chosen = {name for name, box in self.refine.items() if box.isChecked()}
        chosen |= {name for name, wanted in self._idle.items() if wanted and name in REFINED_BY_DEFAULT}
        if chosen != set(REFINED_BY_DEFAULT):
            solver["refine"] = tuple(name for name in self.refine if name in chosen)
        model = {name: value for name, value in self.model.values().items() if name != "spacing_A"}
        return {
            "model": {**self.extras.get("model", {}), **model, "orbital": self.orbital.value},
            "start": self.grid.values() | self.peaks.values(),
            "solver": solver,
            "data": self.check.values(),
        }

    def take(self, values: dict[str, dict[str, Any]]) -> None:
        """Take over a preset: what it does not say is as by default; the specimen stays unless it is named."""
        model, solver = values.get("model", {}), values.get("solver", {})
        spacing_A = self.model.fields["spacing_A"].value
        for form in self._forms:
            machine = {name: form.fields[name].value for name in OF_THE_MACHINE if name in form.fields}
            form.clear()
            form.set_values(machine)
        self.model.set_values({"spacing_A": spacing_A} | model)
        if "elements" in model:
            self.element.setText(", ".join(model["elements"]))
        self.orbital.value = model.get("orbital", Model.model_fields["orbital"].default)
        start = values.get("start", {})
        self.grid.set_values(start)
        self.peaks.set_values(start)
        if "kind" in start:
            self.begin.take(start["kind"])
        self.check.set_values(values.get("data", {}))
        for form in self.of_solver:
            form.set_values(solver)
        refined = solver.get("refine") or REFINED_BY_DEFAULT
        for name, box in self.refine.items():
            if name in self._idle:
                self._idle[name] = name in refined
            else:
                box.setChecked(name in refined)
        shown = {"refine", *(name for form in self.of_solver for name in form.fields)}
        on_show = {"elements", "orbital", *self.model.fields}
        self.extras = {
            "solver": {name: value for name, value in solver.items() if name not in shown},
            "model": {name: value for name, value in model.items() if name not in on_show},
        }
        lines = [f"{s}.{n} = {_text(v)}" for s, extra in self.extras.items() for n, v in extra.items()]
        self.extra_note.setText("Set by the preset, too: " + "; ".join(lines) + ".")
        self.extra_note.setVisible(bool(lines))
        self.changed.emit()


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple | list) else f"{value}"
