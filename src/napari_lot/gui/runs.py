"""The runs of a series that have finished, and their results. No Qt.

Calculated and residual stacks are the largest part of a result. Those of the last runs stay in memory; of older ones
the calculated stack waits in a temporary folder (the residual is measured − calculated), which goes with the list.
"""

from __future__ import annotations

import tempfile
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_lot.errors import InputError
from napari_lot.gui.forms.words import FACTORS, OF_LAYER, choice_text, label_of, unit_of
from napari_lot.gui.state import History
from napari_lot.job import Result
from napari_lot.series import TiltSeries
from napari_lot.session.in_turn import InTurn
from napari_lot.session.leftovers import is_autosave
from napari_lot.settings import Settings

KEPT_IN_MEMORY = 3
"""Runs whose stacks stay in memory."""


@dataclass
class Run:
    """One finished run; ``path`` is where its calculated stack is, while that is not in ``result``.

    ``history`` is pass, loss and mean R of its snapshots.
    """

    number: int
    result: Result
    spacing_A: float
    changes: str
    history: History = ()
    path: Path | None = None


class Runs:
    """All finished runs of one series, the oldest first."""

    def __init__(self) -> None:
        self._runs: list[Run] = []
        self._lock = threading.Lock()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._writing = InTurn("napari-lot runs")

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Any:
        return iter(list(self._runs))

    def __getitem__(self, number: int) -> Run:
        return next(run for run in self._runs if run.number == number)

    def add(self, number: int, result: Result, spacing_A: float, history: History = ()) -> Run:
        """Keep a result; older ones make room."""
        earlier = self._runs[-1] if self._runs else None
        changes = "first run" if earlier is None else differences(earlier.result.settings, result.settings)
        run = Run(number, result, spacing_A, changes, history)
        self._runs.append(run)
        self.make_room()
        return run

    def change(self, number: int, result: Result) -> None:
        """Single atoms of a run were changed; its images stay in memory until ``make_room``."""
        for run in self._runs:
            if run.number == number:
                with self._lock:
                    run.result, run.path = result, None

    def make_room(self) -> None:
        """Write the images of older runs that are in memory."""
        if all(run.path is not None for run in self._runs[:-KEPT_IN_MEMORY]):
            return
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="napari-lot-runs-", ignore_cleanup_errors=True)
        folder = Path(self._folder.name)
        self._writing.do(lambda: self._write(self._runs[:-KEPT_IN_MEMORY], folder))

    def _write(self, runs: list[Run], folder: Path) -> None:
        for run in runs:
            if run.path is not None or not run.result.calculated.size:
                continue
            path, result = folder / f"{run.number}.npy", run.result
            try:
                np.save(path, result.calculated)
            except OSError:
                path.unlink(missing_ok=True)
                continue  # no room there: it stays in memory
            none = np.zeros((0, 0, 0), np.float32)
            with self._lock:
                if run.result is result:  # else it was changed meanwhile
                    run.result, run.path = replace(result, calculated=none, residual=none), path

    def wait(self, timeout_s: float | None = None) -> None:
        """Until older runs have made room and files of forgotten ones are gone."""
        self._writing.wait(timeout_s)

    def whole(self, number: int, series: TiltSeries) -> Result:
        """The result of a run with its stacks, which are read again where they had to make room.

        Raises
        ------
        InputError
            They cannot be read.
        """
        run = self[number]
        with self._lock:
            result, path = run.result, run.path
        if path is None:
            return result
        try:
            calculated = np.load(path)
        except (OSError, ValueError) as error:
            raise InputError(f"Run {number}: its images cannot be read from {path} any more ({error}).") from None
        return replace(result, calculated=calculated, residual=series.images - calculated)

    def remove(self, number: int) -> None:
        """Forget a run."""
        run = self[number]
        self._runs = [other for other in self._runs if other is not run]
        if self._folder is not None:
            self._writing.do_unless_busy(lambda: None if run.path is None else run.path.unlink(missing_ok=True))

    def clear(self) -> None:
        """Forget all runs and their files."""
        self._runs = []
        folder, self._folder = self._folder, None
        if folder is not None:
            self._writing.do(folder.cleanup)  # hundreds of MB: not while the window waits


def differences(before: Settings, after: Settings) -> str:
    """What another run was told, ``Model rigid → adaptive; Seed 0 → 1``; ``same settings`` for nothing."""
    old, new = before.model_dump(), after.model_dump()
    found = [
        f"{label_of(name).strip()} {_text(name, old[section][name])} → {_text(name, value)}"
        for section, values in new.items()
        for name, value in values.items()
        if value != old[section][name]
    ]
    return "; ".join(found) or "same settings"


def _text(name: str, value: Any) -> str:
    """A setting's value as the forms word it."""
    if value is None or value == ():
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple | list):
        return ", ".join(_text(name, part) for part in value)
    if isinstance(value, float):
        unit = unit_of(name)
        return f"{value / FACTORS.get(unit, 1.0):g}{unit if unit == '°' else ' ' + unit}".strip()
    if name == "kind" and value != "grid":
        if is_autosave(Path(value)):
            return "atoms of an autosave"
        return f"atoms of the {value}" if value.startswith(OF_LAYER) else f"atoms of {Path(value).name}"
    return choice_text(name, value) if isinstance(value, str) else str(value)
