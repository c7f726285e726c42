"""What the panels share: the series, the microscope, how far the work has come. No Qt, no napari."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from napari_lot.gui.forms.words import in_window_words
from napari_lot.job import Result
from napari_lot.series import TiltSeries
from napari_lot.settings import Microscope

History = Sequence[tuple[int, float, float]]
"""Pass, loss and mean R of every snapshot of a run."""


def history_of(rows: NDArray[np.float64]) -> list[tuple[int, float, float]]:
    """The history that a session has as rows (K, 3)."""
    return [(int(step), float(loss), float(r)) for step, loss, r in rows]


def rows_of(history: History) -> NDArray[np.float64]:
    """A history as a session has it, (K, 3)."""
    return np.array(history, np.float64).reshape(-1, 3)


class WorkbenchState:
    """The model behind the workbench; panels read it, change it and listen to it."""

    series_changed = Signal()
    microscope_changed = Signal()
    element_changed = Signal()
    thickness_changed = Signal()
    running_changed = Signal()
    reading_changed = Signal()
    result_changed = Signal()
    """Another run is shown, or none, or the atoms of the one that is shown are others."""
    failed = Signal(str, str)
    succeeded = Signal(str)

    def __init__(self) -> None:
        self._series: TiltSeries | None = None
        self.again = False
        self._microscope = Microscope()
        self._running = False
        # whether what runs, or ran last, is a voxel method and no fit of orbitals
        self._of_volume = False
        # whether the volume on screen is in no file
        self.unsaved_volume = False
        self._reading = ""
        self._result: Result | None = None
        self.history: History = ()
        self.runs = 0
        self.result_run = 0
        self.edited = False
        # numbers of the runs of this series whose atoms are in no file
        self.unsaved: set[int] = set()
        self._element = ""
        self._thickness_A: float | None = None
        # What the data panel says of noise and tilt weights, for the settings of a run.
        self.images: dict[str, Any] = {}
        # What came with the series and not from a person: it goes with the series.
        self._came_with_series: tuple[dict[str, Any], str] = ({}, "")

    @property
    def series(self) -> TiltSeries | None:
        return self._series

    def set_series(self, series: TiltSeries, again: bool = False) -> None:
        """A new or changed series: an earlier result does not belong to it.

        ``again``: it is the one that is open, prepared in another way; what is looked at stays.
        """
        self._series, self.again = series, again
        self.unsaved_volume = False
        had_result = self._result is not None
        self._result, self.history = None, ()
        self.runs = self.result_run = 0
        self.unsaved = set()
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
    def element(self) -> str:
        """Element symbols as they are typed, '' for none."""
        return self._element

    @element.setter
    def element(self, value: str) -> None:
        if value != self._element:
            self._element = value
            self.element_changed.emit()

    @property
    def thickness_A(self) -> float | None:
        """Thickness of a film, None where it is to be estimated."""
        return self._thickness_A

    @thickness_A.setter
    def thickness_A(self, value: float | None) -> None:
        if value != self._thickness_A:
            self._thickness_A = value
            self.thickness_changed.emit()

    def take_facts(self, microscope: Microscope | None, element: str | None, alone: bool = False) -> None:
        """Take over what another series says of microscope and element.

        What the one before it said goes, unless somebody has changed it since; what a person typed stays where this
        series says nothing, or goes as well where its facts stand ``alone``.
        """
        old, old_element = self._came_with_series
        new = microscope.model_dump(exclude_unset=True) if microscope is not None else {}
        now = self._microscope.model_dump(exclude_unset=True)
        kept = {} if alone else {n: v for n, v in now.items() if n not in old or v != old[n]}
        self._came_with_series = (new, element or "")
        self.microscope = Microscope(**{**kept, **new})
        if element:
            self.element = element
        elif alone or self.element == old_element:
            self.element = ""

    @property
    def missing_of_probe(self) -> list[str]:
        """What must be known for a probe, and is not."""
        needed = (("energy", self._microscope.energy_eV), ("semi-angle", self._microscope.semiangle_mrad))
        return [name for name, value in needed if value is None]

    @property
    def has_probe(self) -> bool:
        """Energy and semi-angle are known."""
        return not self.missing_of_probe

    @property
    def running(self) -> bool:
        return self._running

    @running.setter
    def running(self, value: bool) -> None:
        if value != self._running:
            self._running = value
            self.running_changed.emit()

    @property
    def fitting(self) -> bool:
        """What is running is a fit of orbitals."""
        return self._running and not self._of_volume

    @property
    def running_volume(self) -> bool:
        """What is running is a voxel method; both do not run at the same time."""
        return self._running and self._of_volume

    def run_volume(self, running: bool) -> None:
        """A voxel method begins, or is over."""
        self._of_volume = running or self._of_volume
        self.running = running
        self._of_volume = running

    @property
    def reading(self) -> str:
        """What is being read, as 'Reading NAME', '' for nothing: the series may be another one in a moment."""
        return self._reading

    @reading.setter
    def reading(self, value: str) -> None:
        if value != self._reading:
            self._reading = value
            self.reading_changed.emit()

    @property
    def result(self) -> Result | None:
        """What the run that is shown has left, with its ``history``; it stays until another is shown or finishes."""
        return self._result

    def keep(self, result: Result, history: History = ()) -> None:
        """The run that was begun last has finished: its result takes the place of an earlier one."""
        self._result, self.result_run, self.history = result, self.runs, history
        self.edited = False
        self.unsaved.add(self.result_run)
        self.result_changed.emit()

    def change(self, result: Result) -> None:
        """Somebody has changed single atoms of the result."""
        self._result, self.edited = result, True
        self.unsaved.add(self.result_run)
        self.result_changed.emit()

    def take_up(self, result: Result | None, run: int, history: History = ()) -> None:
        """The result of another run, or none, is the one that is shown and exported."""
        self._result, self.result_run, self.history = result, run, history
        self.edited = False
        self.result_changed.emit()

    def is_saved(self, run: int) -> None:
        """The atoms of a run are in a file, or are wanted no more."""
        self.unsaved.discard(run)

    def unsaved_atoms(self, among: Collection[int] | None = None) -> str:
        """What would be lost with these runs, or with the series: 'the atoms of run 1', '' for nothing."""
        *others, last = [str(run) for run in sorted(self.unsaved) if among is None or run in among] or [""]
        runs = f"runs {', '.join(others)} and {last}" if others else f"run {last}"
        lost = [f"the atoms of {runs}"] if last else []
        if among is None and self.unsaved_volume:
            lost.append("the voxels of the volume")
        return " and ".join(lost)

    def fail(self, sentence: str, action: str = "") -> str:
        """Tell the person, wherever a panel noticed it; returns the sentence in the window's words.

        ``action`` is what failed: when it succeeds next, the sentence is out of date.
        """
        shown = in_window_words(sentence)
        self.failed.emit(shown, action)
        return shown

    def succeed(self, action: str) -> None:
        """An action that may have failed before has succeeded."""
        self.succeeded.emit(action)
