"""Decisions about single atoms of one result, their log, and which atom is in doubt next. No Qt, no napari.

One thread at a time: it is used by the thread that computes; the window is given what it makes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from napari_lot.analysis.doubts_queue import Ranking, decision, rank
from napari_lot.job import Result
from napari_lot.lot.local import Change, LocalFit, Windows
from napari_lot.lot.local.refit import Stopped
from napari_lot.series.tilt_series import TiltSeries

Log = list[dict[str, Any]]


class Trial:
    """What deleting an atom would change: tried before anybody decides, and taken where it is decided."""

    def __init__(self, atom: int, wanted: Callable[[], bool]) -> None:
        self.atom, self.wanted = atom, wanted
        self.change: Change | None = None

    def run(self, fit: LocalFit) -> Change | None:
        """Try it; None where it is not wanted (any more)."""
        if self.change is None and self.wanted():
            try:
                self.change = fit.delete(self.atom, stopped=lambda: not self.wanted())
            except Stopped:
                return None
        return self.change


@dataclass(frozen=True)
class Made:
    """A decision that was made, or undone.

    Attributes
    ----------
    change : Change
    result : Result
        With the change.
    log : list of dict
        All decisions so far.
    ranking : Ranking
        Of the atoms that there are now.
    windows : Windows or None
        Where the images differ, None where nothing does.
    reason : str
        Why the atom was doubtful.
    """

    change: Change
    result: Result
    log: Log
    ranking: Ranking
    windows: Windows | None
    reason: str = ""


class Judging:
    """Keeps, deletes, moves and adds atoms of one result; the neighbourhood is refitted each time.

    Parameters
    ----------
    series : TiltSeries
    result : Result

    Raises
    ------
    InputError
        As ``LocalFit``.
    """

    def __init__(self, series: TiltSeries, result: Result) -> None:
        self.fit = LocalFit(series, result)
        self.log: Log = list(result.details.get("decisions", ()))
        self._misfit = dict(zip(result.orbitals.id.tolist(), self.fit.misfit().tolist(), strict=True))
        self.ranking = self._ranked(result)

    def close(self) -> None:
        """End the threads of the image model."""
        self.fit.close()

    def decide(self, atom: int, tried: Callable[[LocalFit], tuple[Change, str]], trial: Trial | None = None) -> Made:
        """Make a change that is about an atom.

        Parameters
        ----------
        atom : int
            Id.
        tried : callable
            The change, and the reason for it.
        trial : Trial, optional
            Of deleting the atom; what is known of that is noted where it is kept.
        """
        fit = self.fit
        element = self._element(atom)
        change, reason = tried(fit)
        if change.nothing:  # no decision either
            return Made(change, fit.changed_result(decisions=self.log), self.log, self.ranking, None, reason)
        fit.apply(change)
        more: dict[str, Any] = {"refitted": change.refitted}
        if change.what != "add":
            more["doubtful"] = self.ranking.doubtful(atom)
        if change.what == "move":
            more["moved_A"] = round(change.moved_A, 4)
        if change.what == "keep" and trial is not None and trial.change is not None:
            more["gain_of_deleting"] = round(trial.change.gain, 3)
        if change.what == "add":
            element = self._element(change.atom)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        made = decision(change.what, change.atom, element, change.position_A, change.gain, reason, now, **more)
        return self._made(change, [*self.log, made], reason)

    def undo(self) -> Made:
        """Take the last change back.

        Raises
        ------
        InputError
            There is none.
        """
        return self._made(self.fit.undo(), self.log[:-1])

    def _made(self, change: Change, log: Log, reason: str = "") -> Made:
        fit, self.log = self.fit, log
        if change.what != "keep":
            atoms, misfit = fit.misfit_around(change.center_A)
            self._misfit |= dict(zip(atoms.tolist(), misfit.tolist(), strict=True))
        result = fit.changed_result(decisions=log)
        if change.what != "keep":
            self.ranking = self._ranked(result)
        windows = None if change.what == "keep" else fit.windows(change.center_A)
        return Made(change, result, log, self.ranking, windows, reason)

    def _element(self, atom: int) -> str:
        species = self.fit.table.columns["species"][self.fit.table.index(atom)]
        return self.fit.result.orbitals.elements[int(species)]

    def _ranked(self, result: Result) -> Ranking:
        values = np.array([self._misfit[i] for i in result.orbitals.id.tolist()])
        return rank(result, self.fit.spacing_A, values)
