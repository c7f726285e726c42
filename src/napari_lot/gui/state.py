"""What the panels share: the series, the microscope, how far the work has come. No Qt, no napari."""

from __future__ import annotations

from psygnal import Signal

from napari_lot.job import Result
from napari_lot.series import TiltSeries
from napari_lot.settings import Microscope


class WorkbenchState:
    """The model behind the workbench; panels read it, change it and listen to it."""

    series_changed = Signal()
    microscope_changed = Signal()
    running_changed = Signal()
    result_changed = Signal()
    failed = Signal(str)

    def __init__(self) -> None:
        self._series: TiltSeries | None = None
        self._microscope = Microscope()
        self._running = False
        self._result: Result | None = None
        self.element_hint: str | None = None
        self.thickness_A: float | None = None

    @property
    def series(self) -> TiltSeries | None:
        return self._series

    def set_series(self, series: TiltSeries, element_hint: str | None = None) -> None:
        """A new or changed series: an earlier result does not belong to it."""
        self._series = series
        self.element_hint = element_hint
        had_result = self._result is not None
        self._result = None
        self.series_changed.emit()
        if had_result:
            self.result_changed.emit()

    @property
    def microscope(self) -> Microscope:
        return self._microscope

    @microscope.setter
    def microscope(self, value: Microscope) -> None:
        if value != self._microscope:
            self._microscope = value
            self.microscope_changed.emit()

    @property
    def has_probe(self) -> bool:
        """Energy and semi-angle are known."""
        return self._microscope.energy_eV is not None and self._microscope.semiangle_mrad is not None

    @property
    def running(self) -> bool:
        return self._running

    @running.setter
    def running(self, value: bool) -> None:
        if value != self._running:
            self._running = value
            self.running_changed.emit()

    @property
    def result(self) -> Result | None:
        return self._result

    @result.setter
    def result(self, value: Result | None) -> None:
        self._result = value
        self.result_changed.emit()

    def fail(self, sentence: str) -> None:
        """Tell the person, wherever a panel noticed it."""
        self.failed.emit(sentence)
