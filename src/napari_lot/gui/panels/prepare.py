"""Part of step 1: prepare the images. Each step can be looked at before it is applied, and undone after."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QMessageBox,
    QProgressBar,
    QPushButton,
    QSpinBox,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from napari_lot.errors import InputError
from napari_lot.gui.canvas.drawings import AXIS, MASK, PREVIEW, PREVIEW_MASK, RULER, Drawings
from napari_lot.gui.forms.words import in_window_words
from napari_lot.gui.look import AMBER
from napari_lot.gui.state import WorkbenchState
from napari_lot.gui.work.task import Progress, Task
from napari_lot.series import TiltSeries
from napari_lot.series.alignment import align_by_center_of_mass, align_by_correlation, find_tilt_axis
from napari_lot.series.spacing import lattice_periods_px
from napari_lot.series.steps import (
    Bin,
    Crop,
    RemoveDrift,
    RemoveHotPixels,
    Step,
    SubtractBackground,
    UseMask,
    apply_steps,
)

OPERATIONS = {
    "Hot pixels": "Single pixels that stand out from all their neighbours; masked, or replaced by their median.",
    "Background": "What changes within the field, fitted to each tilt's vacuum and taken off.",
    "Align: centre of mass": "For a particle that lies within the field: its centre of mass follows the tilt.",
    "Align: neighbours": "Each tilt is correlated with its neighbour; a film is stretched before.",
    "Tilt axis": "For a particle: the direction in which the sums across it are the same at every tilt.",
    "Crop": "Keep a part of the rows and columns; the rotation centre stays on the specimen.",
    "Bin": "Fewer, larger pixels: counts are added, intensities averaged.",
}


class PreparePanel(QWidget):
    """Steps on the open series, applied in order and undone in reverse.

    Attributes
    ----------
    on_exclude : callable
        Told the tilts that are left out, when a click has changed them.
    on_value : callable
        Told a field of the data form and the value that it should have (pixel size, tilt axis).
    confirm : callable
        Asked with a sentence before the result of a run would go; True goes on.
    """

    def __init__(self, state: WorkbenchState, viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.state, self.viewer = state, viewer
        self.drawings = Drawings(viewer)
        self.task = Task(self)
        self.base: TiltSeries | None = None
        self.steps: list[Step] = []
        self.on_exclude: Callable[[tuple[int, ...]], None] = lambda tilts: None
        self.on_value: Callable[[str, float], None] = lambda name, value: None
        self.confirm: Callable[[str], bool] = self._ask
        self._previewed: tuple[Any, Step, TiltSeries] | None = None
        self._busy_preview = False
        self._build()
        self.task.changed.connect(self._enable)
        self.state.running_changed.connect(self._on_running)
        self.state.series_changed.connect(self._on_series)
        viewer.dims.events.current_step.connect(self._on_tilt)
        viewer.layers.events.removed.connect(self._enable)
        self._enable()

    def shutdown(self) -> None:
        """Stop what is under way and all listening."""
        self.task.changed.disconnect(self._enable)
        self.task.shutdown()
        self.state.running_changed.disconnect(self._on_running)
        self.state.series_changed.disconnect(self._on_series)
        self.viewer.dims.events.current_step.disconnect(self._on_tilt)
        self.viewer.layers.events.removed.disconnect(self._enable)
        ruler = self.drawings.layer(RULER)
        if ruler is not None:
            ruler.events.data.disconnect(self._on_ruler)

    # -- widgets ----------------------------------------------------------------------------------------------

    def _build(self) -> None:
        self.operation = QComboBox()
        self.operation.setObjectName("operation")
        self.operation.addItems(list(OPERATIONS))
        self.operation.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.operation.currentTextChanged.connect(self._on_operation)
        self.pages = QStackedWidget()
        self.threshold = _number("threshold", 3, 100, 6, 1, " σ", "How far a pixel must stand out, in noise around it.")
        self.hot_action = _choice(
            "hot_action",
            ["mask them", "replace them"],
            "Masked pixels are not used; replaced ones are made up from their neighbours. Counts are always masked.",
        )
        self.background = _choice(
            "background_order",
            ["plane", "constant", "parabolic"],
            "How the background may change within the field.",
        )
        moves = ["whole pixels", "parts of a pixel"]
        tip = "Whole pixels change no value; parts of a pixel are interpolated, and counts become intensities."
        self.move_particle = _choice("move_particle", moves, tip)
        self.move_neighbours = _choice("move_neighbours", moves, tip)
        self.specimen = _choice(
            "specimen",
            ["as it looks", "a film", "a particle"],
            "A film is stretched by its tilt before it is compared.",
        )
        self.reach = _number(
            "reach_px", 1, 4096, 1, 0, " px", "Largest step between neighbours; at 1, a quarter of the field."
        )
        self.reach.setSpecialValueText("a quarter of the field")
        self.crop = {
            name: _whole(f"crop_{name}", f"{words}, counted from 0; it is kept.")
            for name, words in (
                ("top", "First row"),
                ("bottom", "Last row"),
                ("left", "First column"),
                ("right", "Last column"),
            )
        }
        self.bin = QSpinBox()
        self.bin.setObjectName("bin_factor")
        self.bin.setRange(2, 16)
        self.bin.setSuffix(" × pixels")
        self.bin.setToolTip("How many pixels along u and v become one.")
        crop = QWidget()
        grid = QGridLayout(crop)
        grid.setContentsMargins(0, 0, 0, 0)
        for row, (label, low, high) in enumerate((("Rows v", "top", "bottom"), ("Columns u", "left", "right"))):
            grid.addWidget(QLabel(label), row, 0)
            grid.addWidget(self.crop[low], row, 1)
            grid.addWidget(QLabel("to"), row, 2)
            grid.addWidget(self.crop[high], row, 3)
        grid.setColumnStretch(1, 1)
        grid.setColumnStretch(3, 1)
        for page in (
            _form(("Threshold", self.threshold), ("Found pixels", self.hot_action)),
            _form(("Shape", self.background)),
            _form(("Move by", self.move_particle)),
            _form(("Move by", self.move_neighbours), ("Specimen", self.specimen), ("Reach", self.reach)),
            _form(),
            crop,
            _form(("Join", self.bin)),
        ):
            self.pages.addWidget(page)
        self.preview = _button("preview_step", "Preview")
        self.preview.clicked.connect(self._on_preview)
        self.apply = _button("apply_step", "Apply")
        self.apply.clicked.connect(self._on_apply)
        self.undo = _button("undo_step", "Undo")
        self.undo.clicked.connect(self._on_undo)
        self.progress = QProgressBar()
        self.progress.setObjectName("prepare_progress")
        self.progress.setRange(0, 100)
        self.cancel = _button("cancel_prepare", "Cancel")
        self.cancel.setToolTip("Stop; the series stays as it is.")
        self.cancel.clicked.connect(self.task.cancel)
        self.said = _text("prepare_said")
        self.done = _text("prepare_history")

        self.leave_out = _button("leave_out", "Leave out this tilt")
        self.leave_out.clicked.connect(self._on_leave_out)
        self.axis = QCheckBox("Show tilt axis")
        self.axis.setObjectName("show_axis")
        self.axis.toggled.connect(self._on_axis)
        self.mask_for = _choice(
            "mask_for", ["every tilt", "each tilt"], "One mask for every tilt, or one for each tilt of its own."
        )
        self.paint = _button("paint_mask", "Paint")
        self.paint.clicked.connect(self._on_paint)
        self.use_mask = _button("use_mask", "Use")
        self.use_mask.clicked.connect(self._on_use_mask)
        self.distance = QComboBox()
        self.distance.setObjectName("measured_distance")
        self.distance.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.distance.setMinimumContentsLength(8)
        self.distance.setPlaceholderText("nothing measured")
        self.distance.currentIndexChanged.connect(self._say_pixel_size)
        self.ruler = _button("draw_ruler", "Draw a line")
        self.ruler.clicked.connect(self._on_ruler_started)
        self.lattice = _button("find_lattice", "Find lattice")
        self.lattice.clicked.connect(self._on_lattice)
        self.known_A = _number("known_distance_A", 0, 1e6, 0, 4, " Å", "The distance that you know, in Å.")
        self.known_A.setSpecialValueText("? Å")
        self.known_A.valueChanged.connect(self._say_pixel_size)
        self.use_size = _button("use_pixel_size", "Use")
        self.use_size.clicked.connect(self._on_use_size)
        self.size_said = _text("pixel_size_said")

        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.operation)
        layout.addWidget(self.pages)
        layout.addLayout(_row(self.preview, self.apply, self.undo))
        layout.addLayout(_row(self.progress, self.cancel))
        layout.addWidget(self.said)
        layout.addWidget(self.done)
        layout.addLayout(_row(self.leave_out, self.axis))
        layout.addLayout(_row(QLabel("Mask of"), self.mask_for, self.paint, self.use_mask))
        layout.addLayout(_row(QLabel("Pixel size"), self.ruler, self.lattice))
        layout.addLayout(_row(self.distance))
        layout.addLayout(_row(QLabel("is really"), self.known_A, self.use_size))
        layout.addWidget(self.size_said)
        self._on_operation(self.operation.currentText())

    def _on_operation(self, name: str) -> None:
        self.operation.setToolTip(OPERATIONS[name])
        # Only the page that is shown takes room.
        self.pages.setCurrentIndex(self.operation.currentIndex())
        for i in range(self.pages.count()):
            self.pages.widget(i).setVisible(i == self.pages.currentIndex())
        self.pages.setMaximumHeight(self.pages.currentWidget().sizeHint().height())
        self._hide_preview()

    def _enable(self, *_: Any) -> None:
        series, busy = self.state.series, self.task.running
        why = (
            "Needs a tilt series."
            if series is None
            else "Not while a reconstruction is running."
            if self.state.running
            else f"{self.task.what}: wait, or cancel."
            if busy
            else None
        )
        shown = self.drawings.previewing
        self.preview.setText("Hide preview" if shown else "Preview")
        tips = {
            self.preview: "Take the preview away." if shown else "Show what it would do; nothing is changed.",
            self.apply: "Do it; what was done is listed below, and can be undone.",
            self.leave_out: "Use the tilt that is shown again."
            if self._left_out()
            else "Do not use the tilt that is shown.",
            self.paint: "Add a layer to paint what must not be used with napari's brush.",
            self.ruler: "Drag a line on the images over a distance that you know.",
            self.lattice: "Find the lattice spacings of the tilt that is shown in its power spectrum.",
            self.axis: "Draw the tilt axis through the rotation centre.",
        }
        for widget, tip in tips.items():
            widget.setEnabled(why is None)
            widget.setToolTip(tip if why is None else why)
        self._offer(self.undo, why or (None if self.steps else "Nothing has been applied."), "Take the last step back.")
        painted = self.drawings.layer(MASK) is not None
        self._offer(
            self.use_mask,
            why or (None if painted else "Press Paint first."),
            "What is painted is not used any more.",
        )
        size = self._pixel_size()
        self._offer(
            self.use_size,
            why or (None if size else "Measure a distance, and say how long it is."),
            "Take this pixel size for the series.",
        )
        self.leave_out.setText("Use this tilt again" if self._left_out() else "Leave out this tilt")
        for widget in (self.progress, self.cancel):
            widget.setVisible(busy)
        if busy:
            self.progress.setFormat(f"{self.task.what} %p%")
            self.progress.setValue(round(100 * self.task.share))

    @staticmethod
    def _offer(button: QPushButton, why: str | None, tip: str) -> None:
        button.setEnabled(why is None)
        button.setToolTip(tip if why is None else why)

    def _say(self, text: str, doubt: bool = False) -> None:
        shown = in_window_words(text)
        self.said.setText(f'<span style="color:{AMBER}">⚠ {shown}</span>' if doubt else shown)
        self.said.setVisible(bool(text))

    def _fail(self, sentence: str) -> None:
        self._say(sentence, doubt=True)
        self.state.fail(sentence)

    # -- the series -------------------------------------------------------------------------------------------

    def begin(self, series: TiltSeries, again: bool) -> bool:
        """A series was read; ``again``: the one that was open. True where its steps are being applied to it first.

        What is open stays so until they are done, and stays for good where one of them cannot be done.
        """
        self.task.shutdown(timeout_s=2.0)  # whatever is under way speaks of the series as it was
        if not again or not self.steps:
            self.base, self.steps = series, []
            return False
        return self._change(series, self.steps, "Applying the steps again")

    def _change(self, base: TiltSeries, steps: list[Step], what: str) -> bool:
        def finish(series: TiltSeries) -> None:
            if not self.state.running:
                self.base, self.steps = base, steps
                self._set(series)

        return self.task.start(what, lambda progress: apply_steps(base, steps, progress), finish, self._fail)

    def _set(self, series: TiltSeries) -> None:
        self._hide_preview()
        self.state.set_series(series, again=True)

    def _on_series(self) -> None:
        series = self.state.series
        self.drawings.remove(PREVIEW, PREVIEW_MASK, MASK, RULER)
        self._previewed = None
        self.distance.clear()
        self._say("")
        if series is None:
            return
        if self.axis.isChecked():
            self.drawings.show_axis(series)
        v, u = series.images.shape[1:]
        for name, size in (("top", v), ("bottom", v), ("left", u), ("right", u)):
            self.crop[name].setRange(0, size - 1)
            self.crop[name].setValue(size - 1 if name in ("bottom", "right") else 0)
        lines = [f"{i}. {sentence}" for i, sentence in enumerate(series.history, 1)]
        self.done.setText("<br>".join(lines))
        self.done.setVisible(bool(lines))
        self._enable()

    def _on_running(self) -> None:
        if self.state.running:
            self.task.cancel()
            self._hide_preview()
        self._enable()

    def _may_change(self) -> bool:
        """Whether the series may change: the atoms of a run belong to it as it is."""
        if self.state.result is None:
            return True
        return self.confirm(
            f"The atoms of run {self.state.result_run} belong to the images as they are and go when these change. "
            "Export them first, if you want to keep them. Change the images now?"
        )

    def _ask(self, question: str) -> bool:
        answer = QMessageBox.question(self, "Change the images?", question)
        return answer == QMessageBox.StandardButton.Yes

    # -- steps ------------------------------------------------------------------------------------------------

    def _wanted(self) -> tuple[Any, ...]:
        """The operation and what was chosen for it, to know it again."""
        boxes = self.pages.currentWidget().findChildren((QSpinBox, QDoubleSpinBox, QComboBox))
        chosen = tuple(b.currentText() if isinstance(b, QComboBox) else b.value() for b in boxes)
        return self.operation.currentText(), chosen

    def _maker(self) -> Callable[[TiltSeries, Progress], Step]:
        """What makes the chosen step from a series, in the thread."""
        name = self.operation.currentText()
        if name.startswith("Align"):
            particle = name.endswith("mass")
            parts = (self.move_particle if particle else self.move_neighbours).currentIndex() == 1
            if particle:
                return lambda series, progress: RemoveDrift(align_by_center_of_mass(series, progress), parts)
            film = {0: None, 1: True, 2: False}[self.specimen.currentIndex()]
            reach = None if self.reach.value() <= 1 else self.reach.value()
            return lambda series, progress: RemoveDrift(
                align_by_correlation(series, film=film, reach_px=reach, progress=progress), parts
            )
        c = {key: box.value() for key, box in self.crop.items()}
        step: Step = {
            "Hot pixels": RemoveHotPixels(self.threshold.value(), replace=self.hot_action.currentIndex() == 1),
            "Background": SubtractBackground((1, 0, 2)[self.background.currentIndex()]),
            "Crop": Crop((c["top"], c["bottom"] + 1), (c["left"], c["right"] + 1)),
            "Bin": Bin(self.bin.value()),
        }[name]
        return lambda series, progress: step

    def _work(self) -> Callable[[Progress], tuple[Step, TiltSeries]]:
        series, make = self.state.series, self._maker()
        assert series is not None

        def work(progress: Progress) -> tuple[Step, TiltSeries]:
            step = make(series, lambda share: progress(0.7 * share))
            return step, step.apply(series, lambda share: progress(0.7 + 0.3 * share))

        return work

    def _on_preview(self) -> None:
        if self.drawings.previewing:
            self._hide_preview()
            self._say("")
            return
        if self.operation.currentText() == "Tilt axis":
            self._find_axis(use=False)
            return
        wanted, before = self._wanted(), self.state.series

        def show(found: tuple[Step, TiltSeries]) -> None:
            if before is not self.state.series or before is None:
                return
            step, after = found
            self._previewed = (wanted, step, after)
            if isinstance(step, Crop):
                self.drawings.show_crop(before, step.rows, step.columns)
            else:
                self.drawings.show_preview(before, after)
            self._tell("Preview: ", step, after)

        self.task.start("Preview", self._work(), show, self._fail)

    def _tell(self, prefix: str, step: Step, after: TiltSeries) -> None:
        doubts = step.drift.doubts if isinstance(step, RemoveDrift) else ()
        self._say(" ".join((prefix + after.history[-1], *doubts)), doubt=bool(doubts))

    def _hide_preview(self) -> None:
        self._previewed = None
        self.drawings.remove(PREVIEW, PREVIEW_MASK)
        if self.drawings.layer(AXIS) is not None and not self.axis.isChecked():
            self.drawings.remove(AXIS)

    def _on_apply(self) -> None:
        if not self._may_change():
            return
        if self.operation.currentText() == "Tilt axis":
            self._find_axis(use=True)
            return
        if self._previewed is not None and self._previewed[0] == self._wanted():
            self._take(self._previewed[1:])
            return
        before = self.state.series
        self.task.start(
            self.operation.currentText(),
            self._work(),
            lambda found: self._take(found) if before is self.state.series else None,
            self._fail,
        )

    def _take(self, found: tuple[Step, TiltSeries]) -> None:
        if self.state.running:
            return
        step, after = found
        self.steps = [*self.steps, step]
        self._set(after)
        self._tell("", step, after)

    def _on_undo(self) -> None:
        if self.base is not None and self.steps and self._may_change():
            self._change(self.base, self.steps[:-1], "Undo")

    def _find_axis(self, use: bool) -> None:
        series = self.state.series
        assert series is not None

        def show(found: Any) -> None:
            if series is not self.state.series:
                return
            if found.told and use:
                self.on_value("tilt_axis_deg", round(found.angle_deg, 3))
            elif found.told:
                self.drawings.show_axis(series, found.angle_deg)
            self._say(found.sentence, doubt=not found.told)

        self.task.start("Looking for the tilt axis", lambda p: find_tilt_axis(series, p), show, self._fail)

    # -- tilts, axis, mask ------------------------------------------------------------------------------------

    @property
    def tilt(self) -> int:
        """The tilt that the slider shows."""
        series, dims = self.state.series, self.viewer.dims
        if series is None or dims.ndim < 4:
            return 0
        return int(np.clip(round(dims.point[dims.ndim - 4]), 0, len(series) - 1))

    def _left_out(self) -> bool:
        return self.state.series is not None and self.tilt in self.state.series.excluded

    def _on_tilt(self, event: Any = None) -> None:
        self.leave_out.setText("Use this tilt again" if self._left_out() else "Leave out this tilt")

    def _on_leave_out(self) -> None:
        series, base = self.state.series, self.base
        if series is None or base is None or not self._may_change():
            return
        tilts = tuple(sorted(set(series.excluded) ^ {self.tilt}))
        try:
            base = base.with_changes(excluded=tilts)
            changed = series.with_changes(excluded=tilts)
        except InputError as error:
            self._fail(str(error))
            return
        self.on_exclude(tilts)
        if self.steps and len(tilts) < len(series.excluded):  # steps have passed over a tilt that was left out
            self._change(base, self.steps, "Applying the steps again")
            return
        self.base = base
        self._set(changed)

    def _on_axis(self, shown: bool) -> None:
        if shown and self.state.series is not None:
            self.drawings.show_axis(self.state.series)
        else:
            self.drawings.remove(AXIS)

    def _on_paint(self) -> None:
        if self.state.series is not None:
            self.drawings.start_mask(self.state.series, each=self.mask_for.currentIndex() == 1)
            self._say("Paint over what must not be used (1: eraser, 2: brush; [ and ] its size), then press Use.")
            self._enable()

    def _on_use_mask(self) -> None:
        painted, series = self.drawings.painted(), self.state.series
        if painted is None or series is None or not self._may_change():
            return
        step = UseMask(painted.copy())
        self.task.start(
            "Mask",
            lambda progress: (step, step.apply(series, progress)),
            lambda found: self._take(found) if series is self.state.series else None,
            self._fail,
        )

    # -- pixel size -------------------------------------------------------------------------------------------

    def _on_ruler_started(self) -> None:
        if self.state.series is not None:
            self.drawings.start_ruler(self.state.series).events.data.connect(self._on_ruler)
            self._say("Drag a line over a distance that you know, then give its length in Å.")

    def _on_ruler(self, event: Any = None) -> None:
        length = self.drawings.ruler_px()
        if length is not None:
            self._offer_distance(f"line of {length:.2f} px", length, "line")

    def _on_lattice(self) -> None:
        series, tilt = self.state.series, self.tilt
        if series is None:
            return

        def show(periods: list[float]) -> None:
            for period in reversed(periods):
                self._offer_distance(f"lattice, {period:.3f} px", period, "lattice")
            if not periods:
                self._say(f"Tilt {tilt} shows no lattice: choose a tilt along a zone axis.", doubt=True)

        for i in reversed(range(self.distance.count())):
            if self.distance.itemText(i).startswith("lattice"):
                self.distance.removeItem(i)
        self.task.start("Power spectrum", lambda progress: lattice_periods_px(series.images[tilt]), show, self._fail)

    def _offer_distance(self, text: str, pixels: float, kind: str) -> None:
        if kind == "line":
            for i in reversed(range(self.distance.count())):
                if self.distance.itemText(i).startswith("line"):
                    self.distance.removeItem(i)
        self.distance.insertItem(0, text, pixels)
        self.distance.setCurrentIndex(0)
        self._say_pixel_size()

    def _pixel_size(self) -> float | None:
        """Pixel size in Å that follows for the images as they are now."""
        pixels = self.distance.currentData()
        return self.known_A.value() / pixels if pixels and self.known_A.value() > 0 else None

    def _say_pixel_size(self, *_: Any) -> None:
        pixels, series, size = self.distance.currentData(), self.state.series, self._pixel_size()
        text = ""
        if pixels and series is not None:
            text = (
                f"{pixels:.3f} px are {pixels * series.pixel_size_A:.4f} Å with pixels of {series.pixel_size_A:.5g} Å."
            )
            if size is not None:
                change = 100 * (size / series.pixel_size_A - 1)
                text += f" If they are {self.known_A.value():g} Å, a pixel is {size:.5g} Å ({change:+.2f} %)."
        self.size_said.setText(text.replace("-", "−"))
        self.size_said.setVisible(bool(text))
        self._enable()

    def _on_use_size(self) -> None:
        size, series = self._pixel_size(), self.state.series
        if size is None or series is None or self.base is None or not self._may_change():
            return
        # The field speaks of the pixels of the file; these may have been binned since.
        self.on_value("pixel_size_A", float(f"{size * self.base.pixel_size_A / series.pixel_size_A:.6g}"))


def _button(name: str, text: str) -> QPushButton:
    button = QPushButton(text)
    button.setObjectName(name)
    button.setMinimumWidth(40)
    return button


def _choice(name: str, items: list[str], tip: str) -> QComboBox:
    box = QComboBox()
    box.setObjectName(name)
    box.addItems(items)
    box.setToolTip(tip)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(8)
    return box


def _number(name: str, low: float, high: float, value: float, decimals: int, unit: str, tip: str) -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setObjectName(name)
    box.setDecimals(decimals)
    box.setRange(low, high)
    box.setValue(value)
    box.setSuffix(unit)
    box.setToolTip(tip)
    box.setMinimumWidth(80)
    return box


def _whole(name: str, tip: str) -> QSpinBox:
    box = QSpinBox()
    box.setObjectName(name)
    box.setSuffix(" px")
    box.setToolTip(tip)
    return box


def _text(name: str) -> QLabel:
    label = QLabel()
    label.setObjectName(name)
    label.setWordWrap(True)
    label.hide()
    return label


def _form(*rows: tuple[str, QWidget]) -> QWidget:
    page = QWidget()
    layout = QFormLayout(page)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    for text, widget in rows:
        layout.addRow(text, widget)
    return page


def _row(*widgets: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    for widget in widgets:
        row.addWidget(widget, 1 if isinstance(widget, (QComboBox, QDoubleSpinBox, QProgressBar)) else 0)
    return row
