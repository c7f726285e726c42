"""How a run that was broken off or has ended goes on from its session."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_lot.atoms import Orbitals
from napari_lot.code_mark import code_mark
from napari_lot.result import Checkpoint
from napari_lot.series.tilt_series import TiltSeries
from napari_lot.session.file import Session
from napari_lot.settings import Settings, settings_from_dict

OF_THE_COMPUTER = ("device", "threads", "max_minutes")
"""Settings of the solver with which a run may go on that began with others."""


@dataclass(frozen=True, eq=False)
class GoingOn:
    """What a job is made of that goes on with a session's run.

    With a ``checkpoint`` it comes to the same result as if nothing had happened; ``history`` (K, 3) is what was told up
    to there. Without one it refines ``start``, the session's atoms; where there were none yet, it begins anew.
    """

    series: TiltSeries
    settings: Settings
    start: Orbitals | None
    checkpoint: Checkpoint | None = None
    history: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 3)))


def exact(session: Session) -> Checkpoint | None:
    """Where a run was that broke off or was ended before its end; None where that is not said, or other code wrote it.

    Other code may take another road, and atoms that a person has edited are not those of the checkpoint.
    """
    found = session.state if session.result is None else session.result
    checkpoint = None if found is None else found.checkpoint
    if checkpoint is None or checkpoint.words.get("code") != code_mark():
        return None
    return checkpoint


def going_on(session: Session, path: Path) -> GoingOn:
    """The way on from a session that was read from ``path``.

    Raises
    ------
    InputError
        The atoms that the run had begun with are in a file that cannot be read any more.
    """
    series, settings = session.series, session.settings
    checkpoint = exact(session)
    if checkpoint is not None:
        return GoingOn(series, settings, begun_with(session), checkpoint, _until(checkpoint, session))
    if session.atoms is None:
        return GoingOn(series, settings, begun_with(session))
    given = settings.model_dump(exclude_unset=True)
    given.setdefault("start", {})["kind"] = str(path)
    if session.result is not None:
        # the atoms count from where the fit found the centre
        series = series.with_changes(center_px=session.result.center_px, center_known=True)
    return GoingOn(series, settings_from_dict(given, str(path)), session.atoms)


def how_it_goes_on(session: Session, way: GoingOn) -> str:
    """In a sentence, of a run that has atoms or says where it was."""
    if way.checkpoint is not None:
        return f"Going on exactly after pass {_step(way.checkpoint):g}."
    result = session.result
    changed = bool(session.notes.get("decisions"))
    if result is not None and (changed or (result.ended_early and session.notes.get("edits"))):
        return (
            "Atoms of this run were changed by hand: it goes on from these, and where the images speak against a "
            "change births and deaths may take it back."
        )
    if result is not None and result.checkpoint is None:
        return "This run had come to its end: its atoms are refined."
    return "Where this run was is not in its file, or was written by other code: its atoms are refined."


def _step(checkpoint: Checkpoint) -> float:
    """Passes that had been done, with the steps of a fit in whose midst it was taken."""
    words = checkpoint.words
    return float(words.get("plain", {}).get("step", np.inf) + words.get("fit", {}).get("taken", 0))


def _until(checkpoint: Checkpoint, session: Session) -> NDArray[np.float64]:
    """The history as far as it is not made again."""
    if session.settings.start.kind == "peaks" and session.start is None:  # their volume is made again first
        return session.history[:0]
    done: NDArray[np.bool_] = session.history[:, 0] <= _step(checkpoint)
    return session.history[done]


def begun_with(session: Session) -> Orbitals | None:
    """The atoms that a run began with; None where it began with a grid, or with peaks that it found.

    Raises
    ------
    InputError
        An earlier version's session has none, and their file cannot be read any more.
    """
    from napari_lot.export import with_elements
    from napari_lot.job import given_start

    if session.start is not None:
        return session.start
    settings = session.settings
    atoms = given_start(settings)
    return None if atoms is None else with_elements(atoms, settings.model.elements, settings.start.kind)
