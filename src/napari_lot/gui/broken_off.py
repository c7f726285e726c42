"""A run that was broken off, as far as its session has kept it: atoms and R-factors, no images. No Qt, no napari."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_lot.job import ProbeSlices, Result
from napari_lot.series import TiltSeries
from napari_lot.session import RunState, Session
from napari_lot.session.going_on import OF_THE_COMPUTER
from napari_lot.settings import Settings

BROKEN_OFF = "broken off"
"""The stop reason of what is no end."""


@dataclass(frozen=True, eq=False)
class BrokenOff:
    """A session whose run did not end, as it was opened.

    Attributes
    ----------
    session : Session
    path : Path
        What it was read from.
    series : TiltSeries
        The one that the window showed then.
    said : Settings or None
        What the forms said then; None where that could not be used.
    """

    session: Session
    path: Path
    series: TiltSeries
    said: Settings | None

    def is_as_it_was(self, series: TiltSeries | None, says: Settings) -> bool:
        """Whether neither series nor settings have been changed since: only then is the result to be the same."""
        return series is self.series and self.said is not None and _road(self.said) == _road(says)

    def settings(self, says: Settings) -> Settings:
        """The settings of the run, with what the forms say of the computer."""
        settings = self.session.settings
        own = {name: getattr(says.solver, name) for name in OF_THE_COMPUTER}
        return settings.model_copy(update={"solver": settings.solver.model_copy(update=own)})


def _road(settings: Settings) -> dict[str, Any]:
    """What decides where a run goes that has begun."""
    said = settings.model_dump()
    del said["start"]["kind"]
    for name in OF_THE_COMPUTER:
        del said["solver"][name]
    return said


def did_not_end(result: Result | None) -> bool:
    """Whether this is the last state of a run that was broken off."""
    return result is not None and result.stop_reason == BROKEN_OFF


def last_state(session: Session) -> Result | None:
    """What can be shown and exported of a run that did not end; None before its orbitals had become atoms.

    Its stacks are empty, and so are drift and probe: an autosave holds none. Nothing is known of single atoms.
    """
    state, series = session.state, session.series
    if state is None or session.result is not None or session.atoms is None:
        return None
    none = np.zeros((0, 0, 0), np.float32)
    return Result(
        orbitals=state.orbitals,
        r_factor=np.asarray(state.r_factor, np.float64),
        calculated=none,
        residual=none,
        center_px=series.center_px or (0.0, 0.0),
        shifts_px=np.zeros((len(series), 2)),
        scale=np.ones(len(series)),
        background=np.zeros(len(series)),
        probe=ProbeSlices(none, np.zeros(0), series.pixel_size_A),
        tilts_seen=np.zeros(0, np.int64),
        wall_seconds={"total": state.elapsed_s},
        stop_reason=BROKEN_OFF,
        message=f"Broken off at {place(state)}: these are its last atoms, not fitted to the end.",
        settings=session.settings,
        warnings=("calculated images, error bars and drift of a run that did not end are not known.",),
    )


def place(state: RunState) -> str:
    """Where a run was, in words."""
    return f"pass {state.step} of {state.steps_total}"
