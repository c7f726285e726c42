"""The voxel methods and their settings, as forms made from their definition."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget

from napari_lot.errors import InputError
from napari_lot.gui.forms.drawer import narrow
from napari_lot.gui.forms.sentence import Sentence
from napari_lot.gui.forms.settings_form import SettingsForm
from napari_lot.gui.forms.widgets import choice
from napari_lot.gui.forms.words import choice_text, label_of
from napari_lot.gui.look import warning
from napari_lot.gui.panels.volume.words import FRONT, UNSET, WHAT, long_name
from napari_lot.gui.state import WorkbenchState
from napari_lot.settings import Data
from napari_lot.settings.voxel import Grid, VoxelSettings
from napari_lot.voxel.methods import METHODS, voxel_settings

FIRST = "sirt"
MOST_VOXELS = 8192
SHAPE_TIP = (
    "Voxels along z (the beam at zero tilt), y and x, such as 96, 128, 128; empty for what holds all that the tilts "
    "show."
)


def name_fields(before: str, *forms: SettingsForm) -> None:
    """Object names that no other step has."""
    for form in forms:
        for name, field in form.fields.items():
            field.native.setObjectName(f"{before}_{name}")


class _OfMethod:
    """The two forms of one method: what is in front, and what is under *More settings*."""

    def __init__(self, name: str) -> None:
        kind = METHODS[name].section
        rest = [field for field in kind.model_fields if field not in FRONT[name]]
        unset = {field: text for field, text in UNSET.items() if field in kind.model_fields}
        self.front = SettingsForm(kind, FRONT[name], {f: t for f, t in unset.items() if f in FRONT[name]})
        self.more = SettingsForm(kind, rest, {f: t for f, t in unset.items() if f in rest})
        name_fields("volume", *self.parts)
        for form in self.parts:
            for field, widget in form.fields.items():
                # the words of a voxel method, where a fit of orbitals has a field of the same name
                tip = kind.model_fields[field].description or ""
                for value in getattr(kind.model_fields[field].annotation, "__args__", ()):
                    if isinstance(value, str) and choice_text(field, value) != value:
                        tip = tip.replace(f"({value})", f"({choice_text(field, value)})")
                widget.native.setToolTip(tip)

    @property
    def parts(self) -> tuple[SettingsForm, SettingsForm]:
        return self.front, self.more

    def show(self, shown: bool) -> None:
        for form in self.parts:
            form.setVisible(shown)


class VolumeForm(QWidget):
    """Method, its settings, and those that all methods share; forms of methods that nobody chooses are not made."""

    changed = Signal()

    def __init__(self, state: WorkbenchState, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.state = state
        self._of: dict[str, _OfMethod] = {}
        self.box = choice("volume_method", [], "How the volume is calculated from the images.")
        for name in METHODS:
            self.box.addItem(long_name(name), name)
        self.box.setCurrentIndex(self.box.findData(FIRST))
        narrow(self.box)
        self.what = Sentence("volume_what")
        self.bin = SettingsForm(Grid, ["bin"])
        self.check = SettingsForm(Data, ["withhold"], unset={"withhold": "none"})
        self.grid = SettingsForm(
            Grid,
            ["align", "background", "max_minutes"],
            unset={"background": "from the images", "max_minutes": "no limit"},
        )
        name_fields("volume", self.bin, self.check, self.grid)
        self.shape = QLineEdit(placeholderText="from the images")
        self.shape.setObjectName("volume_shape")
        self.shape.setToolTip(SHAPE_TIP)
        self.shape_note = Sentence("volume_shape_note")
        self.shape_note.hide()
        rows = self.grid.layout()
        assert isinstance(rows, QFormLayout)
        label = QLabel("Voxels z, y, x")
        label.setBuddy(self.shape)
        rows.insertRow(0, label, self.shape)
        rows.insertRow(1, self.shape_note)
        self.more_button = QPushButton("More settings ▸")
        self.more_button.setObjectName("more_volume_settings")
        self.more_button.setCheckable(True)
        self.more_button.setAutoDefault(True)  # Enter does what Space does
        self.more_button.setToolTip("All other settings of the method, the box, the background, checks and time limit.")
        self.more_button.toggled.connect(self._show_more)
        self.more = QWidget()
        self._more_rows = QVBoxLayout(self.more)
        self._more_rows.setContentsMargins(0, 0, 0, 0)
        of_method, of_volume, of_checks = (QLabel(f"<b>{title}</b>") for title in ("Method", "Volume", "Checks"))
        for widget in (of_method, of_volume, self.grid, of_checks, self.check):
            self._more_rows.addWidget(widget)
        self.more.hide()
        method_row = QFormLayout()
        method_row.setContentsMargins(0, 0, 0, 0)
        method_row.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        name = QLabel("Method")
        name.setBuddy(self.box)
        method_row.addRow(name, self.box)
        self._rows = QVBoxLayout(self)
        self._rows.setContentsMargins(0, 0, 0, 0)
        self._rows.addLayout(method_row)
        for widget in (self.what, self.bin, self.more_button, self.more):
            self._rows.addWidget(widget)
        self.box.currentIndexChanged.connect(self._on_method)
        for form in (self.bin, self.check, self.grid):
            form.changed.connect(self.changed)
            form.refused.connect(self.changed)
        self.shape.textChanged.connect(self._on_shape)
        self._on_method()

    @property
    def method(self) -> str:
        """The method that is chosen."""
        return str(self.box.currentData())

    def _show_more(self, shown: bool) -> None:
        self.more.setVisible(shown)
        self.more_button.setText("More settings ▾" if shown else "More settings ▸")

    def _on_method(self) -> None:
        if self.method not in self._of:
            made = self._of[self.method] = _OfMethod(self.method)
            self._rows.insertWidget(2, made.front)
            self._more_rows.insertWidget(1, made.more)
            for form in made.parts:
                form.changed.connect(self.changed)
                form.refused.connect(self.changed)
        for name, forms in self._of.items():
            forms.show(name == self.method)
        self.what.setText(WHAT[self.method])
        self.box.setToolTip(f"{long_name(self.method)}. How the volume is calculated from the images.")
        self.changed.emit()

    # -- what is typed ----------------------------------------------------------------------------------------

    def _on_shape(self) -> None:
        why = self.why_no_shape
        self.shape_note.setText(warning(f"Voxels z, y, x: {why}.") if why else "")
        self.shape_note.setVisible(bool(why))
        self.changed.emit()

    def _sides(self) -> tuple[int, ...] | None:
        """What is typed as sides of the volume; None where nothing is.

        Raises
        ------
        ValueError
            It is no whole numbers.
        """
        text = self.shape.text().replace(";", " ").replace(",", " ").replace("×", " ").replace("x", " ")
        return tuple(int(part) for part in text.split()) or None

    @property
    def why_no_shape(self) -> str:
        """Why the sides of the volume cannot be used, '' where they can."""
        try:
            sides = self._sides()
        except ValueError:
            sides = ()
        if sides is None or (len(sides) == 3 and all(1 <= n <= MOST_VOXELS for n in sides)):
            return ""
        return f"type three numbers of voxels, z, y and x, from 1 to {MOST_VOXELS}, or none"

    @property
    def refusal(self) -> str | None:
        """Why what stands in a field is not taken, without its point; None where all is."""
        for form in (*self._of[self.method].parts, self.bin, self.grid, self.check):
            for name, why in form.refusals.items():
                return f"{label_of(name).strip()}: {why.rstrip('.')}"
        return f"Voxels z, y, x: {self.why_no_shape}" if self.why_no_shape else None

    def settings(self) -> VoxelSettings:
        """The settings of the run that Start would begin; noise, thickness and tilts as in step 1.

        Raises
        ------
        InputError
            A value cannot be used.
        """
        own: dict[str, Any] = {}
        for form in self._of[self.method].parts:
            own |= form.values()
        grid = self.bin.values() | self.grid.values()
        try:
            grid["shape"] = self._sides()
        except ValueError:
            raise InputError(f"Voxels z, y, x: {self.why_no_shape}.") from None
        series = self.state.series
        data = {"thickness_A": self.state.thickness_A, "counts": series is not None and series.counts}
        data |= self.check.values() | self.state.images
        return voxel_settings(self.method, {"data": data, "grid": grid, self.method: own}, where="Volume")
