"""Step 1: the tilt series, from a file, from an open layer or the sample."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_lot.analysis.damage import check_damage, find_repeats
from napari_lot.errors import InputError
from napari_lot.gui.canvas.labels import short_angle_text
from napari_lot.gui.forms.settings_form import SettingsForm
from napari_lot.gui.forms.words import in_window_words
from napari_lot.gui.look import failure, warning
from napari_lot.gui.panels.prepare import PreparePanel
from napari_lot.gui.state import WorkbenchState
from napari_lot.series import TiltSeries
from napari_lot.series.detector import detector_of
from napari_lot.series.read import READERS
from napari_lot.session import is_session
from napari_lot.settings import Data, settings_from_dict

SERIES_FILTER = "Tilt series (" + " ".join("*" + suffix for suffix in READERS) + ");;Sessions (*.lot.h5);;All files (*)"
ANGLES_FILTER = "Angles (*.csv *.tlt *.rawtlt *.mdoc *.txt *.mat);;All files (*)"
MORE = " and "
FROM_FILE, ANGLE_FILE, TYPED = "from the series", "from a file", "start and step"


class DataPanel(QWidget):
    """Choose the series and say what its file does not."""

    def __init__(self, state: WorkbenchState, viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.state = state
        self.viewer = viewer
        self._source: tuple[str, Any] | None = None
        self.on_session: Callable[[Path], None] = lambda path: None
        # The source that the form speaks of; None while it is filled in for one that is not open yet.
        self._described: tuple[str, Any] | None = None
        self.used_layer: Any = None
        self._several: tuple[str, ...] = ()
        self.setAcceptDrops(True)

        self.path = QLineEdit(placeholderText="path of a tilt series, or drop it here")
        self.path.setObjectName("series_path")
        self.path.setToolTip(
            "A stack [tilt, v, u] (TIFF, MRC/ST/ALI, NPZ, MAT, HDF5, EMD, DM3/4, SER, BLO), or a folder with one image "
            "per tilt; press Enter to read it."
        )
        self.path.returnPressed.connect(self._open_typed)
        self.browse = QPushButton("Open…")
        self.browse.setObjectName("open_series")
        self.browse.setToolTip("Choose a tilt series on disk, or all files of one that has an image in each.")
        self.browse.clicked.connect(self._browse)

        self.layer = QComboBox()
        self.layer.setObjectName("open_layer")
        self.layer.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.layer.setMinimumContentsLength(12)
        self.layer.setPlaceholderText("no open stack")
        self.use_layer = QPushButton("Use layer")
        self.use_layer.setObjectName("use_layer")
        self.use_layer.clicked.connect(self._use_layer)
        self.sample = QPushButton("Open the sample")
        self.sample.setObjectName("open_sample")
        self.sample.setToolTip("A simulated tilt series of a platinum decahedron, 247 atoms, 36 tilts.")
        self.sample.clicked.connect(self._open_sample)

        self.angle_kind = QComboBox()
        self.angle_kind.setObjectName("angle_kind")
        self.angle_kind.addItems([FROM_FILE, ANGLE_FILE, TYPED])
        self.angle_kind.setToolTip(
            "Where the tilt angles come from; 'from the series' also looks for an angle file beside it."
        )
        self.angle_kind.currentTextChanged.connect(self._on_angle_kind)
        self.angle_path = QLineEdit(placeholderText="angle file: .csv, .tlt, .rawtlt, .mdoc")
        self.angle_path.setObjectName("angle_path")
        self.angle_path.setToolTip("One angle a line, or columns psi_deg, theta_deg, phi_deg, in degrees.")
        self.angle_browse = QPushButton("Choose…")
        self.angle_browse.setToolTip("Choose an angle file on disk.")
        self.angle_browse.clicked.connect(self._browse_angles)
        self.start = _degrees("First tilt angle in degrees.", -70.0, "angle_start")
        self.step = _degrees("Step between tilts in degrees.", 2.0, "angle_step")

        self.form = SettingsForm(
            Data,
            ["pixel_size_A", "tilt_axis_deg", "counts"],
            unset=dict.fromkeys(("pixel_size_A", "tilt_axis_deg", "counts"), "from the file"),
        )
        self.more_form = SettingsForm(Data, ["thickness_A"], unset={"thickness_A": "estimated"})
        self.noise_form = SettingsForm(
            Data, ["gain", "offset", "read_noise", "denoised"], unset={"gain": "counts, or not known"}
        )
        self.tilt_weights = QLineEdit(placeholderText="all 1, or for example 3=0.5, 20-22=0")
        self.tilt_weights.setObjectName("tilt_weights")
        self.tilt_weights.setToolTip(Data.model_fields["tilt_weights"].description or "")
        self.exclude = QLineEdit(placeholderText="none, or for example 3, 17")
        self.exclude.setObjectName("exclude")
        self.exclude.setToolTip(Data.model_fields["exclude"].description or "")
        self.mask = QLineEdit(placeholderText="no mask, or a TIFF: 1 = use")
        self.mask.setObjectName("mask")
        self.mask.setToolTip("Path of a TIFF, one image or one per tilt: 1 where a pixel may be used.")
        more_rows = self.more_form.layout()
        assert isinstance(more_rows, QFormLayout)
        more_rows.addRow("Exclude tilts", self.exclude)
        more_rows.addRow("Tilt weights", self.tilt_weights)
        more_rows.addRow("Mask", self.mask)
        more_rows.addRow(self.noise_form)
        self.more_form.hide()
        self.more_button = QPushButton("More about the data ▸")
        self.more_button.setObjectName("more_data")
        self.more_button.setCheckable(True)
        self.more_button.setToolTip("Thickness of a film, tilts to leave out or to weigh, mask, detector.")
        self.more_button.toggled.connect(self._show_more)
        self.apply = QPushButton("Apply changes")
        self.apply.setObjectName("apply_data")
        self.apply.clicked.connect(self._apply)
        self.notes = QLabel()
        self.notes.setObjectName("data_notes")
        self.notes.setWordWrap(True)
        self.notes.hide()
        self.notes.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)

        self.prepare = PreparePanel(state, viewer)
        self.prepare.on_exclude = self._show_excluded
        self.prepare.on_value = self._take_value
        self.prepare.hide()
        self.prepare_button = QPushButton("Prepare the images ▸")
        self.prepare_button.setObjectName("prepare_images")
        self.prepare_button.setCheckable(True)
        self.prepare_button.setToolTip(
            "Hot pixels, background, alignment, tilt axis, crop, bin, masks, tilts to leave out, pixel size."
        )
        self.prepare_button.toggled.connect(self._show_prepare)

        file_row = QHBoxLayout()
        file_row.addWidget(self.path, 1)
        file_row.addWidget(self.browse)
        layer_row = QHBoxLayout()
        layer_row.addWidget(self.layer, 1)
        layer_row.addWidget(self.use_layer)
        angles = QGridLayout()
        angles.setContentsMargins(0, 0, 0, 0)
        angles.addWidget(QLabel("Tilt angles"), 0, 0)
        angles.addWidget(self.angle_kind, 0, 1, 1, 2)
        angles.addWidget(self.angle_path, 1, 0, 1, 2)
        angles.addWidget(self.angle_browse, 1, 2)
        angles.addWidget(self.start, 2, 1)
        angles.addWidget(self.step, 2, 2)
        angles.setColumnStretch(1, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(file_row)
        layout.addLayout(layer_row)
        layout.addWidget(self.sample)
        layout.addLayout(angles)
        layout.addWidget(self.form)
        layout.addWidget(self.more_button)
        layout.addWidget(self.more_form)
        layout.addWidget(self.apply)
        layout.addWidget(self.notes)
        layout.addWidget(self.prepare_button)
        layout.addWidget(self.prepare)

        self._on_angle_kind(FROM_FILE)
        self.more_form.changed.connect(lambda: setattr(self.state, "thickness_A", self.thickness_A))
        self.noise_form.changed.connect(self._describe_images)
        self.tilt_weights.textChanged.connect(self._describe_images)
        for line in (self.exclude, self.mask):
            line.textChanged.connect(self._mark_changed)
        for signal in (self.form.changed, self.start.valueChanged, self.step.valueChanged, self.angle_path.textChanged):
            signal.connect(self._mark_changed)
        viewer.layers.events.inserted.connect(self._list_layers)
        viewer.layers.events.removed.connect(self._list_layers)
        self.state.running_changed.connect(self._enable)
        self._changed = False
        self._list_layers()
        self._enable()

    def disconnect_viewer(self) -> None:
        """Stop listening to the viewer and the state."""
        self.viewer.layers.events.inserted.disconnect(self._list_layers)
        self.viewer.layers.events.removed.disconnect(self._list_layers)
        self.state.running_changed.disconnect(self._enable)
        self.prepare.shutdown()

    # -- what can be clicked now ------------------------------------------------------------------------------

    def _enable(self) -> None:
        busy = self.state.running
        why = "Not while a reconstruction is running."
        for widget in (self.path, self.browse, self.sample, self.layer, self.form, self.more_form):
            widget.setEnabled(not busy)
        layers = self.layer.count() > 0
        self.use_layer.setEnabled(layers and not busy)
        self.use_layer.setToolTip(
            why
            if busy
            else ("Take this Image layer as the tilt series." if layers else "No open Image layer has a stack.")
        )
        can = self._source is not None and self._changed and not busy
        self.apply.setEnabled(can)
        self.apply.setToolTip(
            why
            if busy
            else "Read the series again with these values."
            if can
            else ("Open a series first." if self._source is None else "Nothing has changed since the series was read.")
        )

    def _mark_changed(self, *_: Any) -> None:
        self._changed = True
        self._enable()

    def _show_more(self, shown: bool) -> None:
        self.more_form.setVisible(shown)
        self.more_button.setText("More about the data ▾" if shown else "More about the data ▸")

    def _show_prepare(self, shown: bool) -> None:
        self.prepare.setVisible(shown)
        self.prepare_button.setText("Prepare the images ▾" if shown else "Prepare the images ▸")

    def _show_excluded(self, tilts: tuple[int, ...]) -> None:
        """A click has changed which tilts are left out: the field says the same, and there is nothing to apply."""
        changed = self._changed
        self.exclude.setText(", ".join(str(tilt) for tilt in tilts))
        self._changed = changed
        self._enable()

    def _take_value(self, name: str, value: float) -> None:
        """A value that was measured goes into its field and is applied."""
        self.form.set_values({name: value})
        self._apply()

    @property
    def thickness_A(self) -> float | None:
        """Thickness of a film, None where it is to be estimated; used by the fit, not by the reader."""
        value: float | None = self.more_form.fields["thickness_A"].value
        return value

    def _described_images(self) -> dict[str, Any]:
        """What the form says of noise and weights: used by the fit and the check for beam damage, not by the reader."""
        known = self.noise_form.values()
        return known | ({"tilt_weights": weights} if (weights := self.tilt_weights.text().strip()) else {})

    def _describe_images(self, *_: Any) -> None:
        self.state.images = self._described_images()
        self._mark_changed()

    def _damage_notes(self, series: TiltSeries) -> list[str]:
        """What repeated tilts say of beam damage; nothing where there are none."""
        if not find_repeats(series):
            return []
        settings = settings_from_dict({"data": self._described_images()}, where="Data")
        detector = detector_of(series, settings)
        found = check_damage(series, detector, settings.data.denoised)
        verdict = f"{found.verdict[:1].upper()}{found.verdict[1:]}"
        return [warning(verdict) if found.changed else verdict]

    def _excluded(self) -> list[int]:
        words = self.exclude.text().replace(";", ",").replace(",", " ").split()
        try:
            return [int(word) for word in words]
        except ValueError:
            raise InputError(
                f"Exclude tilts: '{self.exclude.text()}' is not a list of numbers: give tilts from 0 on, as in 3, 17."
            ) from None

    def _on_angle_kind(self, kind: str) -> None:
        for widget in (self.angle_path, self.angle_browse):
            widget.setVisible(kind == ANGLE_FILE)
        for widget in (self.start, self.step):
            widget.setVisible(kind == TYPED)
        if hasattr(self, "_changed"):
            self._mark_changed()

    def _list_layers(self, event: Any = None) -> None:
        names = [
            layer.name
            for layer in self.viewer.layers
            if type(layer).__name__ == "Image"
            and layer.ndim >= 3
            and "napari_lot_role" not in layer.metadata
            and not layer.rgb
        ]
        current = self.layer.currentText()
        self.layer.clear()
        self.layer.addItems(names)
        # A combo box with a placeholder selects nothing by itself; the newest layer is the likely one.
        self.layer.setCurrentIndex(names.index(current) if current in names else len(names) - 1)
        self.layer.setToolTip(
            "Image layers that are open in the viewer." if names else "No open Image layer has a stack."
        )
        self._enable()

    # -- reading ----------------------------------------------------------------------------------------------

    def dragEnterEvent(self, event: Any) -> None:
        if event.mimeData().hasUrls() and not self.state.running:
            event.acceptProposedAction()

    def dropEvent(self, event: Any) -> None:
        urls = event.mimeData().urls()
        if urls:
            event.acceptProposedAction()
            self._open_files([url.toLocalFile() for url in urls])

    def _browse(self) -> None:
        start = self.path.text().split(MORE)[0]
        names, _ = QFileDialog.getOpenFileNames(self, "Open a tilt series", start, SERIES_FILTER)
        self._open_files(names)

    def _open_files(self, names: list[str]) -> None:
        """One file, or several with one image each."""
        self._several = tuple(names) if len(names) > 1 else ()
        if names:
            self.path.setText(names[0] if len(names) == 1 else f"{names[0]}{MORE}{len(names) - 1} more")
            self._open_typed()

    def _browse_angles(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Choose an angle file", self.angle_path.text(), ANGLES_FILTER)
        if name:
            self.angle_path.setText(name)

    def _open_typed(self) -> None:
        text = self.path.text().strip()
        if text and is_session(Path(text).expanduser()):
            self.on_session(Path(text).expanduser())
        elif self._several and text.startswith(self._several[0] + MORE):
            self._load(("file", self._several))
        elif text:
            self._load(("file", text))

    def _use_layer(self) -> None:
        name = self.layer.currentText()
        if name and name in self.viewer.layers:
            self._load(("layer", self.viewer.layers[name]))

    def _open_sample(self) -> None:
        # The sample is known entirely: nothing that was typed for a series to come holds for it.
        self.path.clear()
        self._forget()
        self.angle_kind.setCurrentText(FROM_FILE)
        self._described = None
        self._load(("sample", None))

    def _apply(self) -> None:
        if self._source is not None:
            self._load(self._source)

    def _load(self, source: tuple[str, Any]) -> None:
        """Read from one of the three sources; a problem becomes a sentence, and what was open stays open."""
        another, thickness_A, images = source != self._described, self.state.thickness_A, self.state.images
        if another and self._described is not None:
            self._forget()
            if self.angle_kind.currentText() != FROM_FILE and self._has_angles(*source):
                self.angle_kind.setCurrentText(FROM_FILE)
        self._source = source
        try:
            series, microscope, element = self._read(*source)
            damage = self._damage_notes(series)
        except InputError as error:
            if another:
                self._described = None
                self.state.thickness_A, self.state.images = thickness_A, images  # of the series that stays
            self._changed = True
            self._note(failure(in_window_words(str(error))))
            self._enable()
            self.state.fail(str(error))
            return
        self._changed = False
        self._described = source
        self.used_layer = source[1] if source[0] == "layer" else None
        self.state.thickness_A, self.state.images = self.thickness_A, self._described_images()
        if not self.prepare.begin(series, again=not another):
            self.state.set_series(series, again=not another)
        if another:
            self.state.take_facts(microscope, element, alone=source[0] == "sample")
        notes = [warning(in_window_words(w)) for w in series.warnings]
        notes += damage
        if "pixel_size_A" in self.form.values():
            notes.append(f"Pixel size {series.pixel_size_A:g} Å as typed here, whatever the file says.")
        if self.angle_kind.currentText() != FROM_FILE:
            notes.append(f"Tilt angles {self.angle_kind.currentText()} as given here, whatever the file says.")
        self._note("<br>".join(notes))
        self._enable()

    def adopt(self, path: Path, series: TiltSeries, data: Data) -> None:
        """Show the series of a session, with what was said of it; it is read already."""
        self._forget()
        self.angle_kind.setCurrentText(FROM_FILE)
        self.path.setText(str(path))
        values = {name: getattr(data, name) for name in data.model_fields_set}
        for form in (self.more_form, self.noise_form):
            form.set_values({name: value for name, value in values.items() if name in form.fields})
        self.tilt_weights.setText(", ".join(f"{tilt}={weight:g}" for tilt, weight in data.tilt_weights))
        self.exclude.setText(", ".join(map(str, series.excluded)))
        self._source = self._described = ("session", path)
        self._changed = False
        self.used_layer = None
        self.state.thickness_A, self.state.images = self.thickness_A, self._described_images()
        self.state.set_series(series)
        self._note("<br>".join(warning(in_window_words(w)) for w in series.warnings))
        self._enable()

    def _forget(self) -> None:
        """Empty the fields that describe the series that was open."""
        self.form.clear()
        self.more_form.clear()
        self.noise_form.clear()
        self.tilt_weights.clear()
        self.exclude.clear()
        self.mask.clear()

    def _note(self, text: str) -> None:
        self.notes.setText(text)
        self.notes.setVisible(bool(text))

    def _given(self) -> dict[str, Any]:
        """What the form says about the series, for the reader."""
        given = self.form.values()
        excluded = self._excluded()
        if excluded:
            given["exclude"] = excluded
        mask = self.mask.text().strip()
        if mask:
            given["mask"] = mask
        return given

    def _typed_angles(self, count: int) -> np.ndarray:
        return self.start.value() + self.step.value() * np.arange(count)

    def _angles(self) -> Any:
        """A path, a function of the number of tilts, or None for the series' own."""
        kind = self.angle_kind.currentText()
        if kind == ANGLE_FILE:
            text = self.angle_path.text().strip()
            if not text:
                raise InputError("No angle file is chosen: choose one, or take the angles from the series.")
            return text
        if kind == TYPED:
            return self._typed_angles
        return None

    def _has_angles(self, kind: str, what: Any) -> bool:
        """Whether a series can be read with angles of its own."""
        from napari_lot.gui import sources

        if kind == "layer":
            return sources.has_angles(sources.from_layer, what)
        return kind in ("sample", "session") or sources.has_angles(sources.from_file, _paths(what))

    def _read(self, kind: str, what: Any) -> tuple[TiltSeries, Any, str | None]:
        from napari_lot.gui import sources

        if kind == "sample":
            return sources.from_sample(self._given(), self._angles())
        if kind == "layer":
            return sources.from_layer(what, self._given(), self._angles())
        if kind == "session":
            return sources.from_session(what, self._given(), self._angles())
        return sources.from_file(_paths(what), self._given(), self._angles())


def _paths(what: Any) -> Any:
    """The path, or paths, of what was typed or chosen."""
    return [Path(one) for one in what] if isinstance(what, tuple) else Path(what).expanduser()


def _degrees(tip: str, value: float, name: str) -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setObjectName(name)
    box.setRange(-360.0, 360.0)
    box.setDecimals(3)
    box.setValue(value)
    box.setSuffix("°")
    box.setPrefix("start " if "First" in tip else "step ")
    box.setToolTip(tip)
    box.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
    return box


def summary(series: TiltSeries, thickness_A: float | None = None) -> str:
    """One line about a series: name, images, pixel size, tilt range and axis, and what restricts it."""
    t, v, u = series.images.shape
    name = Path(series.source).name
    angles = sorted(range(t), key=lambda i: float(series.angles_deg[i][1]))
    span = f"{short_angle_text(series, angles[0])} to {short_angle_text(series, angles[-1])}"
    kind = "counts" if series.counts else "intensity"
    axis = f"axis at {series.tilt_axis_deg:g}°".replace("-", "−")
    parts = [f"{name}: {t} tilts of {v} × {u} pixels, {series.pixel_size_A:g} Å, {span}, {axis}, {kind}"]
    if series.excluded:
        listed = ", ".join(str(tilt) for tilt in series.excluded[:8])
        more = f" and {len(series.excluded) - 8} more" if len(series.excluded) > 8 else ""
        parts.append(f"without tilt{'s' if len(series.excluded) > 1 else ''} {listed}{more}")
    if series.mask is not None:
        parts.append("mask")
    if thickness_A is not None:
        parts.append(f"film of {thickness_A:g} Å")
    return " · ".join(parts)
