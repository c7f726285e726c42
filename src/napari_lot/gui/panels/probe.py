"""Step 2: the microscope's probe, seen at every depth while it is set."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from napari_lot.errors import InputError
from napari_lot.gui.forms.preset_row import PresetRow
from napari_lot.gui.forms.sentence import Sentence
from napari_lot.gui.forms.settings_form import SettingsForm
from napari_lot.gui.forms.words import in_window_words
from napari_lot.gui.plots.basic import ProbeSection
from napari_lot.gui.state import WorkbenchState
from napari_lot.gui.work.latest import Latest
from napari_lot.job import ProbeSlices
from napari_lot.machine import usable_cores
from napari_lot.physics.optics import depth_of_focus_A, probe_radius_A, rayleigh_limit_A, wavelength_A
from napari_lot.physics.probe import depth_basis, probe_slices
from napari_lot.settings import Microscope

MAIN_FIELDS = ("energy_eV", "semiangle_mrad", "defocus_A", "c30_A", "source_size_A")
MORE_FIELDS = (
    "c12_A",
    "phi12_deg",
    "c21_A",
    "phi21_deg",
    "c23_A",
    "phi23_deg",
    "c50_A",
    "focal_spread_A",
)
PREVIEW_PIXELS = 128
MAX_WINDOW_A = 200.0
PREVIEW_SLICES = 41
WINDOW_STEP = 1.25
CHANGES_MS = 20
"""Changes that come together (a value and the bounds of another) are one; a person does not notice."""
LATE_MS = 500
"""After which it is said that the probe on screen is not yet that of the values."""
BLOCK, MOST_THREADS = 5, 4
"""Slices that are calculated together, before which it is asked whether they are still wanted: at a large defocus each
takes a fifth of a second. And threads that do."""
REST_MS = 400
"""Time without a change after which the rank is worked out: it takes longer than the probe."""
BASIS_TOLERANCE = 1e-4
WIDEST_BASIS_PX = 256


class ProbePanel(QWidget):
    """Form of the microscope with the probe it makes: slices as a layer, a section as a plot, its limits as numbers."""

    probe_changed = Signal(object)
    probe_gone = Signal()
    refused = Signal()

    def __init__(self, state: WorkbenchState, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.state = state
        self.probe: ProbeSlices | None = None
        self.presets = PresetRow(
            "microscope", lambda: {"microscope": self._values()}, lambda values: self._take(values), state.fail
        )
        self.form = SettingsForm(Microscope, MAIN_FIELDS)
        self.more = SettingsForm(Microscope, MORE_FIELDS)
        self.more.hide()
        self.more_button = QPushButton("More aberrations ▸")
        self.more_button.setObjectName("more_aberrations")
        self.more_button.setCheckable(True)
        self.more_button.setAutoDefault(True)  # Enter does what Space does
        self.more_button.setToolTip("Astigmatism, coma, fifth order and focal spread.")
        self.more_button.toggled.connect(self._show_more)
        self.numbers = Sentence("probe_numbers")
        self.section = ProbeSection()
        self.section.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.presets)
        layout.addWidget(self.form)
        layout.addWidget(self.more_button)
        layout.addWidget(self.more)
        layout.addWidget(self.numbers)
        layout.addWidget(self.section)

        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(CHANGES_MS)
        self._timer.timeout.connect(self._compute)
        self._late = QTimer(self)
        self._late.setSingleShot(True)
        self._late.setInterval(LATE_MS)
        self._late.timeout.connect(self._say_late)
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST_MS)
        self._rest.timeout.connect(self._ask_rank)
        self._slices, self._ranks = Latest("probe", self), Latest("depth basis", self)
        self._slices.done.connect(self._on_slices)
        self._ranks.done.connect(self._on_rank)
        self._said = ""
        # Whether what is computed belongs on the canvas: not where a result has come since it was asked for.
        self._is_newest = False
        self.form.changed.connect(self._edited)
        self.more.changed.connect(self._edited)
        self.form.refused.connect(self.refused)
        self.more.refused.connect(self.refused)
        self._filling = self._editing = False
        state.microscope_changed.connect(self._fill)
        state.series_changed.connect(self._schedule)
        state.running_changed.connect(self._enable)
        state.result_changed.connect(self._on_result)
        self._fill()

    def shutdown(self) -> None:
        """Stop the timer and stop listening."""
        self._timer.stop()
        self._rest.stop()
        self._late.stop()
        self._slices.stop()
        self._ranks.stop()
        self.state.microscope_changed.disconnect(self._fill)
        self.state.series_changed.disconnect(self._schedule)
        self.state.running_changed.disconnect(self._enable)
        self.state.result_changed.disconnect(self._on_result)

    def _enable(self) -> None:
        for form in (self.presets, self.form, self.more):
            form.setEnabled(not self.state.running)
            form.setToolTip("Not while a reconstruction is running." if self.state.running else "")

    def _show_more(self, shown: bool) -> None:
        self.more.setVisible(shown)
        self.more_button.setText("More aberrations ▾" if shown else "More aberrations ▸")

    def _fill(self) -> None:
        """Take over values that came from elsewhere (the sample)."""
        # Never while a number is being typed here: half a number would be put back to "not set".
        if not self._editing and self._values() != self.state.microscope.model_dump(exclude_none=True):
            self._filling = True
            values = self.state.microscope.model_dump()
            self.form.set_values(values)
            self.more.set_values(values)
            self._filling = False
        self._schedule()

    @property
    def refusals(self) -> list[str]:
        """Why what stands in some fields is not taken."""
        return [*self.form.refusals.values(), *self.more.refusals.values()]

    def _take(self, values: dict[str, dict[str, Any]]) -> None:
        self.state.microscope = Microscope(**values.get("microscope", {}))

    def _values(self) -> dict[str, Any]:
        return {**self.form.values(), **self.more.values()}

    def _edited(self) -> None:
        if self._filling:
            return
        self._editing = True
        try:
            self.state.microscope = Microscope(**self._values())
        finally:
            self._editing = False

    def _schedule(self) -> None:
        self._is_newest = True
        self._timer.start()

    def _on_result(self) -> None:
        result = self.state.result
        if result is not None and result.probe.images.size:  # its probe is on the canvas; what was broken off has none
            self._is_newest = False

    def depth_range_A(self) -> tuple[float, float]:
        """Depths worth looking at: the specimen's, or the depth of focus where there is none yet."""
        series = self.state.series
        if series is not None:
            half = 0.5 * min(series.images.shape[1:]) * series.pixel_size_A
        else:
            half = depth_of_focus_A(self.state.microscope)
        return -half, half

    def cone_A(self, low: float, high: float) -> float:
        """Widest that the cone of the beam is at any depth, in Å."""
        m = self.state.microscope
        away = max(abs(low - m.defocus_A), abs(high - m.defocus_A)) + 2 * m.focal_spread_A
        return 2e-3 * (m.semiangle_mrad or 0.0) * away

    def window_A(self, low: float, high: float) -> float:
        """Width in Å that holds the probe at every depth: the cone of the beam, the source, a few Airy rings."""
        m = self.state.microscope
        width = min(1.5 * self.cone_A(low, high) + 2 * m.source_size_A + 8 * rayleigh_limit_A(m), MAX_WINDOW_A)
        # in steps, so that the picture does not change its size with every value
        return float(WINDOW_STEP ** np.ceil(np.log(width) / np.log(WINDOW_STEP)))

    def _compute(self) -> None:
        """Say what the values mean at once; the probe itself comes from a thread."""
        self._rest.stop()
        microscope, series = self.state.microscope, self.state.series
        if not self.state.has_probe:
            self._slices.ask(lambda _: None)
            self._show_none(f"Enter the {' and the '.join(self.state.missing_of_probe)} to see the probe.")
            return
        low, high = self.depth_range_A()
        nyquist = wavelength_A(microscope.energy_eV or 0.0) / (4e-3 * (microscope.semiangle_mrad or 1.0))
        rayleigh, focus = rayleigh_limit_A(microscope), depth_of_focus_A(microscope)
        text = (
            f"Depth of focus {focus:.0f} Å · Rayleigh limit {rayleigh:.2f} Å · "
            f"wavelength {100 * wavelength_A(microscope.energy_eV or 0.0):.2f} pm"
        )
        if series is not None and series.pixel_size_A > nyquist and not microscope.source_size_A:
            text += (
                f"<br>⚠ Pixels of {series.pixel_size_A:g} Å are coarser than the probe's "
                f"Nyquist step of {nyquist:.3f} Å, and no source size blurs them."
            )
        widest = self.cone_A(low, high)
        if series is not None and widest > (field := min(series.images.shape[1:]) * series.pixel_size_A):
            text += (
                f"<br>⚠ The beam is up to {widest:.0f} Å wide within the specimen, wider than the images "
                f"({field:.0f} Å): check defocus and semi-angle."
            )
        if widest > MAX_WINDOW_A:
            self._slices.ask(lambda _: None)
            self._show_none(f"{text}<br>There is no picture of a beam of more than {MAX_WINDOW_A:.0f} Å.")
            return
        self._said = text
        self.numbers.setText(text)
        self._late.start()
        depth, pixel = np.linspace(low, high, PREVIEW_SLICES), self.window_A(low, high) / PREVIEW_PIXELS
        self._slices.ask(slices_of(microscope, depth, pixel))

    def _show_none(self, why: str) -> None:
        self._late.stop()
        self.probe = None
        self.section.hide()
        self.numbers.setText(why)
        self.probe_gone.emit()

    def _say_late(self) -> None:
        self.numbers.setText(f"{self._said}<br>Calculating the probe; what is shown is the one before…")

    def _on_slices(self, order: int, value: object) -> None:
        if not self._slices.is_newest(order) or value is None:
            return
        if isinstance(value, Exception):
            if not isinstance(value, InputError):
                raise value
            self._show_none(in_window_words(str(value)))
            return
        assert isinstance(value, ProbeSlices)
        self._late.stop()
        self.numbers.setText(self._said)
        self.probe = value
        self.section.show_probe(value)
        self.section.show()
        if self._is_newest:
            self.probe_changed.emit(value)
        self._rest.start()

    def _ask_rank(self) -> None:
        find = rank_of(self.state.microscope, self.depth_range_A())
        self._ranks.ask(lambda _: find())

    def _on_rank(self, order: int, value: object) -> None:
        if self._ranks.is_newest(order) and isinstance(value, int) and self.probe is not None:
            many = f"{value} slices stand" if value > 1 else "1 slice stands"
            self.numbers.setText(
                f"{self._said}<br>{many} for the probe at every depth, to {BASIS_TOLERANCE:g} of its peak"
            )


def slices_of(
    microscope: Microscope, depth_A: NDArray[np.float64], pixel_size_A: float
) -> Callable[[Callable[[], bool]], ProbeSlices | None]:
    """What calculates slices at some depths (D,); None where they are not wanted any more."""
    reach = float(depth_A[0]), float(depth_A[-1])

    def calculate(wanted: Callable[[], bool]) -> ProbeSlices | None:
        def block(start: int) -> NDArray[np.float32] | None:
            if not wanted():
                return None
            part = depth_A[start : start + BLOCK]
            return probe_slices(microscope, part, PREVIEW_PIXELS, pixel_size_A, reach).images

        with ThreadPoolExecutor(min(usable_cores(), MOST_THREADS)) as threads:
            images = [found for found in threads.map(block, range(0, len(depth_A), BLOCK)) if found is not None]
        whole = sum(map(len, images)) == len(depth_A)
        return ProbeSlices(np.concatenate(images), depth_A, float(pixel_size_A)) if whole else None

    return calculate


def rank_of(microscope: Microscope, depth_range_A: tuple[float, float]) -> Callable[[], int]:
    """What finds the rank of the depth basis: how many slices stand for the probe at every depth of the range."""

    def find() -> int:
        pixel = wavelength_A(microscope.energy_eV or 0.0) / (4e-3 * (microscope.semiangle_mrad or 1.0))
        side = int(min(3.0 * probe_radius_A(microscope, depth_range_A) / pixel, WIDEST_BASIS_PX))
        return depth_basis(microscope, depth_range_A, (side, side), pixel, BASIS_TOLERANCE).rank

    return find
