"""A gradient that is no number: back to the last good state, smaller steps, and a sentence; never a ruined result."""

import numpy as np
import pytest
from short_run import SHORT, noisy_series, small_particle

from napari_lot.errors import RunFailed
from napari_lot.job import Job
from napari_lot.lot.caveats import STEPPED_BACK
from napari_lot.lot.problem import Problem
from napari_lot.settings import settings_from_dict


@pytest.fixture
def job():
    values = {"model": {"probe": "direct", "elements": ["Pt"]}, "solver": SHORT}
    return Job(noisy_series(small_particle()), settings_from_dict(values))


def spoil(monkeypatch, when):
    """Make one number of a gradient NaN at the evaluations, counted from 1, for which ``when`` says so."""
    real, count, seen = Problem._evaluate, [0], []

    def evaluate(self, state, tilts, groups):
        found = real(self, state, tilts, groups)
        assert np.isfinite(state.positions).all(), "no step is taken along it"
        if "positions" in groups:
            count[0] += 1
            if when(count[0]):
                found.gradients["positions"][0, 0] = np.nan
                seen.append(count[0])
        return found

    monkeypatch.setattr(Problem, "_evaluate", evaluate)
    return seen


def test_the_fit_goes_back_and_on_with_smaller_steps(job, monkeypatch):
    spoilt = spoil(monkeypatch, lambda n: n in (5, 6, 50, 68))  # of a grid, of atoms, of a line search
    stages = [snapshot.stage for snapshot in job.run()]
    assert spoilt == [5, 6, 50, 68]
    assert {"positions", "refine", "polish"} <= set(stages)
    assert job.result.stop_reason == "converged"
    assert len(job.result.orbitals) == 30
    assert np.nanmean(job.result.r_factor) < 0.3
    assert job.result.warnings == (STEPPED_BACK,)
    noted = [line for line in job.result.details["log"] if "not a number" in line]
    assert noted[:2] == [
        "positions: not a number; back to the last good state, steps of 0.5",
        "positions: not a number; back to the last good state, steps of 0.25",
    ]


def test_a_run_that_meets_nothing_else_ends_in_a_sentence(job, monkeypatch):
    spoil(monkeypatch, lambda n: True)
    with pytest.raises(
        RunFailed, match="loss or gradient are not numbers however small its steps; check the values of"
    ):
        list(job.run())
