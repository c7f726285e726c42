"""What the file of a series does not say of it, or says wrongly."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QLineEdit, QPushButton, QVBoxLayout, QWidget

from napari_lot.errors import InputError
from napari_lot.gui.forms.sentence import Sentence
from napari_lot.gui.forms.settings_form import SettingsForm
from napari_lot.gui.forms.words import label_of
from napari_lot.gui.look import warning
from napari_lot.settings import Data
from napari_lot.settings.tilts import tilts_of


class DescriptionBox(QWidget):
    """Pixel size, axis, counts; thickness, tilts left out or weighed, mask, detector.

    ``changed`` tells that the series would be read otherwise now; ``thickness_changed`` and ``images_changed`` that the
    fit would take the images, which stay as they are, for something else.
    """

    changed = Signal()
    thickness_changed = Signal()
    images_changed = Signal()
    refused = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.form = SettingsForm(
            Data,
            ["pixel_size_A", "tilt_axis_deg", "counts"],
            unset=dict.fromkeys(("pixel_size_A", "tilt_axis_deg", "counts"), "from the file"),
        )
        self.more_form = SettingsForm(Data, ["thickness_A"], unset={"thickness_A": "estimated"})
        self.noise_form = SettingsForm(Data, ["gain", "offset", "read_noise", "denoised"], unset={"gain": "not known"})
        self.tilt_weights = _line("tilt_weights", "as in 3=0.5, 20-22=0", _help_of("tilt_weights"))
        self.exclude = _line("exclude", "as in 3, 10-17", _help_of("exclude"))
        self.mask = _line(
            "mask",
            "TIFF, 1 = use",
            "Path of a TIFF, one image or one per tilt: 1 where a pixel may be used.",
        )
        self._lines = (self.tilt_weights, self.exclude, self.mask)
        rows = self.more_form.layout()
        assert isinstance(rows, QFormLayout)
        rows.addRow("Exclude tilts", self.exclude)
        rows.addRow("Tilt weights", self.tilt_weights)
        self.of_tilts = Sentence("tilts_refused")  # why what stands in the two lines above is not taken
        self.of_tilts.hide()
        rows.addRow(self.of_tilts)
        rows.addRow("Mask", self.mask)
        rows.addRow(self.noise_form)
        self.more_form.hide()
        self.more_button = QPushButton("More about the data ▸")
        self.more_button.setObjectName("more_data")
        self.more_button.setCheckable(True)
        self.more_button.setAutoDefault(True)  # Enter does what Space does
        self.more_button.setToolTip("Thickness of a film, tilts to leave out or to weigh, mask, detector.")
        self.more_button.toggled.connect(self._show_more)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.form)
        layout.addWidget(self.more_button)
        layout.addWidget(self.more_form)
        self.more_form.changed.connect(self.thickness_changed)
        self.noise_form.changed.connect(self._on_images)
        self.tilts: int | None = None
        for line in (self.exclude, self.tilt_weights):
            line.textChanged.connect(lambda _: self._look_at_tilts())
        self.tilt_weights.textChanged.connect(self._on_images)
        for line in (self.exclude, self.mask):
            line.textChanged.connect(lambda _: self.changed.emit())
        self.form.changed.connect(self.changed)
        for form in (self.form, self.more_form, self.noise_form):
            form.refused.connect(self.refused)

    def enable(self, ready: bool) -> None:
        """Whether anything can be typed; what there is can be looked at in any case."""
        for form in (self.form, self.more_form):
            form.setEnabled(ready)

    @property
    def refusals(self) -> dict[str, str]:
        """By name, why what was typed into a field is not taken."""
        forms = {**self.form.refusals, **self.more_form.refusals, **self.noise_form.refusals}
        return forms | self._refused_tilts()

    def speak_of(self, tilts: int | None) -> None:
        """How many tilts the series has that the fields describe; None where that is not known."""
        if tilts != self.tilts:
            self.tilts = tilts
            self._look_at_tilts()

    def _refused_tilts(self) -> dict[str, str]:
        """Why the tilts in the lines are none, by the name of the line."""
        found = {}
        for line, read in ((self.exclude, tilts_of), (self.tilt_weights, _weighed)):
            try:
                beyond = [t for t in read(line.text()) if self.tilts is not None and t >= self.tilts]
            except ValueError as error:
                found[line.objectName()] = f"{error}."
            else:
                if beyond and self.tilts:
                    last = self.tilts - 1
                    found[line.objectName()] = f"there is no tilt {beyond[0]}: they are counted from 0 to {last}."
        return found

    def _look_at_tilts(self) -> None:
        lines = [warning(f"{label_of(name)}: {why}") for name, why in self._refused_tilts().items()]
        self.of_tilts.setText("<br>".join(lines))
        self.of_tilts.setVisible(bool(lines))

    @property
    def thickness_A(self) -> float | None:
        """Thickness of a film, None where it is to be estimated; used by the fit, not by the reader."""
        value: float | None = self.more_form.fields["thickness_A"].value
        return value

    def images(self) -> dict[str, Any]:
        """What is said of noise and weights: used by the fit and the check for beam damage, not by the reader."""
        weights = self.tilt_weights.text().strip()
        return self.noise_form.values() | ({"tilt_weights": weights} if weights else {})

    def typed(self) -> dict[str, Any]:
        """All that stands in the fields, by name."""
        forms = (self.form, self.more_form, self.noise_form)
        values = {name: field.value for form in forms for name, field in form.fields.items()}
        return values | {line.objectName(): line.text() for line in self._lines}

    def restore(self, typed: dict[str, Any]) -> None:
        """Put back what stood in the fields, all or some of them."""
        for form in (self.form, self.more_form, self.noise_form):
            form.set_values(typed)
        for line in self._lines:
            if line.objectName() in typed:
                line.setText(typed[line.objectName()])

    def given(self) -> dict[str, Any]:
        """What is said of the series, for the reader.

        Raises
        ------
        InputError
            The tilts to leave out are no list of numbers.
        """
        given = self.form.values()
        try:
            excluded = tilts_of(self.exclude.text())
        except ValueError as error:
            raise InputError(f"Exclude tilts: {error}.") from None
        if excluded:
            given["exclude"] = excluded
        if mask := self.mask.text().strip():
            given["mask"] = mask
        return given

    def show_excluded(self, tilts: tuple[int, ...]) -> None:
        """Say which tilts are left out."""
        self.exclude.setText(", ".join(map(str, tilts)))

    def show_data(self, data: Data) -> None:
        """Fill in what a session says of its images."""
        values = {name: getattr(data, name) for name in data.model_fields_set}
        for form in (self.more_form, self.noise_form):
            form.set_values({name: value for name, value in values.items() if name in form.fields})
        self.tilt_weights.setText(", ".join(f"{tilt}={weight:g}" for tilt, weight in data.tilt_weights))

    def clear(self) -> None:
        """Empty the fields: they described a series that was open."""
        for fields in (self.form, self.more_form, self.noise_form, *self._lines):
            fields.clear()

    def _show_more(self, shown: bool) -> None:
        self.more_form.setVisible(shown)
        self.more_button.setText("More about the data ▾" if shown else "More about the data ▸")

    def _on_images(self, *_: Any) -> None:
        self.images_changed.emit()
        self.changed.emit()


def _weighed(text: str) -> tuple[int, ...]:
    """Tilts that are given weights, ``3=0.5, 20-22=0``; ValueError where it is something else."""
    try:
        return tuple(tilt for tilt, _ in Data(tilt_weights=text).tilt_weights)
    except ValidationError as error:
        raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None


def _line(name: str, placeholder: str, tip: str) -> QLineEdit:
    line = QLineEdit(placeholderText=placeholder)
    line.setObjectName(name)
    line.setToolTip(tip)
    return line


def _help_of(setting: str) -> str:
    return Data.model_fields[setting].description or ""
