"""Which step, and with what: a choice of operations and a page of values for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QLabel,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from napari_lot.gui.forms.refusal_line import RefusalLine
from napari_lot.gui.forms.widgets import choice, number, page
from napari_lot.progress import Progress
from napari_lot.series import TiltSeries
from napari_lot.series.alignment import align_by_center_of_mass, align_by_correlation
from napari_lot.series.steps import Bin, Crop, RemoveDrift, RemoveHotPixels, Step, SubtractBackground

TILT_AXIS = "Tilt axis"
OPERATIONS = {
    "Hot pixels": "Single pixels that stand out from all their neighbours; masked, or replaced by their median.",
    "Background": "What changes within the field, fitted to each tilt's vacuum and taken off.",
    "Align: centre of mass": "For a particle that lies within the field: its centre of mass follows the tilt.",
    "Align: neighbours": "Each tilt is correlated with its neighbour; a film is stretched before.",
    TILT_AXIS: "For a particle: the direction in which the sums across it are the same at every tilt.",
    "Crop": "Keep a part of the rows and columns; the rotation centre stays on the specimen.",
    "Bin": "Fewer, larger pixels: counts are added, intensities averaged.",
}
CROP = {"top": "First row", "bottom": "Last row", "left": "First column", "right": "Last column"}


class StepForm(QWidget):
    """One step as it is chosen, and below it why a number that was typed is not taken.

    ``operation_changed`` tells that it is another one, ``refused`` that what is not taken has changed.
    """

    operation_changed = Signal()
    refused = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._box = QComboBox()
        self._box.setObjectName("operation")
        self._box.addItems(list(OPERATIONS))
        self._box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.pages = QStackedWidget()
        self.threshold = number("threshold", 3, 100, 6, " σ", "How far a pixel must stand out, in noise around it.")
        self.hot_action = choice(
            "hot_action",
            ["mask them", "replace them"],
            "Masked pixels are not used; replaced ones are made up from their neighbours. Counts are always masked.",
        )
        self.background = choice(
            "background_order",
            ["plane", "constant", "parabolic"],
            "How the background may change within the field.",
        )
        moves = ["whole pixels", "parts of a pixel"]
        tip = "Whole pixels change no value; parts of a pixel are interpolated, and counts become intensities."
        self.move_particle = choice("move_particle", moves, tip)
        self.move_neighbours = choice("move_neighbours", moves, tip)
        self.specimen = choice(
            "specimen",
            ["as it looks", "a film", "a particle"],
            "A film is stretched by its tilt before it is compared.",
        )
        self.reach = number(
            "reach_px", 1, 4096, 1, " px", "Largest step between neighbours; at 1, a quarter of the field.", whole=True
        )
        self.reach.setSpecialValueText("a quarter of the field")
        self.crop = {
            name: number(f"crop_{name}", 0, 99, 0, " px", f"{words}, counted from 0; it is kept.", whole=True)
            for name, words in CROP.items()
        }
        self.bin = number(
            "bin_factor", 2, 16, 2, " pixels", "How many pixels along u, and along v, become one.", whole=True
        )
        for made in (
            page(("Threshold", self.threshold), ("Found pixels", self.hot_action)),
            page(("Shape", self.background)),
            page(("Move by", self.move_particle)),
            page(("Move by", self.move_neighbours), ("Specimen", self.specimen), ("Reach", self.reach)),
            page(),
            self._crop_page(),
            page(("Bin by", self.bin)),
        ):
            self.pages.addWidget(made)
        self._refusals = RefusalLine("step_refusals")
        for name, label, made in (
            ("threshold", "Threshold", self.threshold),
            ("reach", "Reach", self.reach),
            *((name, CROP[name], box) for name, box in self.crop.items()),
            ("bin", "Bin by", self.bin),
        ):
            self._refusals.watch(name, label, made)
        self._refusals.changed.connect(self.refused)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self._box)
        layout.addWidget(self.pages)
        layout.addWidget(self._refusals)
        self._box.currentTextChanged.connect(self._on_operation)
        self._on_operation(self.operation)

    def _crop_page(self) -> QWidget:
        made = QWidget()
        grid = QGridLayout(made)
        grid.setContentsMargins(0, 0, 0, 0)
        for line, (label, low, high) in enumerate((("Rows v", "top", "bottom"), ("Columns u", "left", "right"))):
            grid.addWidget(QLabel(label), line, 0)
            grid.addWidget(self.crop[low], line, 1)
            grid.addWidget(QLabel("to"), line, 2)
            grid.addWidget(self.crop[high], line, 3)
        grid.setColumnStretch(1, 1)
        grid.setColumnStretch(3, 1)
        return made

    def _on_operation(self, name: str) -> None:
        self._box.setToolTip(OPERATIONS[name])
        # Only the page that is shown takes room.
        self.pages.setCurrentIndex(self._box.currentIndex())
        for i in range(self.pages.count()):
            self.pages.widget(i).setVisible(i == self.pages.currentIndex())
        self.pages.setMaximumHeight(self.pages.currentWidget().sizeHint().height())
        self._refusals.update_lines()
        self.operation_changed.emit()

    @property
    def refusal(self) -> str | None:
        """Why a number of the chosen operation is not taken, None where all are."""
        return next(iter(self._refusals.said.values()), None)

    @property
    def operation(self) -> str:
        """Name of the operation that is chosen."""
        return str(self._box.currentText())

    def fit_to(self, series: TiltSeries) -> None:
        """Rows and columns are those of this series, all of them kept."""
        v, u = series.images.shape[1:]
        for name, size in (("top", v), ("bottom", v), ("left", u), ("right", u)):
            self.crop[name].setRange(0, size - 1)
            self.crop[name].setValue(size - 1 if name in ("bottom", "right") else 0)

    def wanted(self) -> tuple[Any, ...]:
        """The operation and what was chosen for it, to know it again."""
        # PySide6 looks for one class at a time
        inside = self.pages.currentWidget().findChildren(QWidget)
        boxes = [w for w in inside if isinstance(w, (QDoubleSpinBox, QComboBox))]
        chosen = tuple(b.currentText() if isinstance(b, QComboBox) else b.value() for b in boxes)
        return self.operation, chosen

    def maker(self) -> Callable[[TiltSeries, Progress], Step]:
        """What makes the chosen step from a series, in the thread; not for the tilt axis, which is no step."""
        name = self.operation
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
        c = {key: round(box.value()) for key, box in self.crop.items()}
        step: Step = {
            "Hot pixels": RemoveHotPixels(self.threshold.value(), replace=self.hot_action.currentIndex() == 1),
            "Background": SubtractBackground((1, 0, 2)[self.background.currentIndex()]),
            "Crop": Crop((c["top"], c["bottom"] + 1), (c["left"], c["right"] + 1)),
            "Bin": Bin(round(self.bin.value())),
        }[name]
        return lambda series, progress: step
