"""The list of missing atoms of a paused run: real ones first, and no side lobes of their neighbours."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import short_run

from napari_lot.edit import Edit
from napari_lot.job import Control, Job
from napari_lot.lot import evidence, population
from napari_lot.lot.candidates import APART, LEAST_SIGNIFICANCE, find_candidates
from napari_lot.lot.editing import apply_edit
from napari_lot.lot.evidence import Evidence
from napari_lot.settings import settings_from_dict

SPACING = 2.775
NOISE = 0.25
"""A tenth of the brightest pixel: an atom is some 35 standard deviations."""


@pytest.fixture(scope="module")
def settled():
    """The solver of a run whose atoms are all there, as it is in a pause before the last fit."""
    clean = short_run.noisy_series(short_run.small_particle())
    noise = np.random.default_rng(7).normal(0.0, NOISE, clean.images.shape)
    series = clean.with_changes(images=(clean.images + noise).astype(np.float32))
    solver = short_run.SHORT | {"birth_rounds": 4, "birth_steps": 8, "polish_steps": 30}
    job = Job(series, settings_from_dict({"model": {"probe": "direct", "elements": ["Pt"]}, "solver": solver}))
    kept = {}

    class Kept(Control):
        def wait_while_paused(self, held=None, answer=None):
            kept["fit"] = answer.args[0]
            self.resume()

    control = Kept()
    for snapshot in job.run(control):
        if snapshot.stage == "polish" and not kept:
            control.pause()
    assert len(kept["fit"].state.height) == 30
    return kept["fit"]


def removal(fit, *rows):
    rows = list(rows)
    return Edit(removed=fit.state.ids[rows], removed_from=fit.state.positions[rows])


def peaks(fit, edit):
    """All significant peaks of the residual, as they are without a fit."""
    state = apply_edit(fit.state, edit, fit.state.next_id)
    judge = Evidence(fit.problem, fit.hull, fit.spacing_A, fit.settings, fit.evidence.one_height)
    points, _, score = judge.proposals(state)
    good = score / judge.inflation > LEAST_SIGNIFICANCE
    reach = APART * fit.spacing_A
    return points[good][population.separate(points[good], score[good], reach, state.positions, reach)]


def test_where_none_is_missing_the_list_is_empty(settled):
    assert len(find_candidates(settled, Edit())) == 0


@pytest.mark.parametrize("row", [0, 7, 15, 29])
def test_a_missing_atom_is_first_and_its_side_lobes_are_not_listed(settled, row):
    edit, place = removal(settled, row), settled.state.positions[row]
    assert len(peaks(settled, edit)) > 1, "there are side lobes to tell it from"
    found = find_candidates(settled, edit)
    assert len(found) == 1
    assert np.linalg.norm(found.positions[0] - place) < 0.1
    assert found.height[0] == pytest.approx(population.typical_height(settled.state), rel=0.15)
    assert found.significance[0] > 20


def test_two_missing_neighbours_are_both_found(settled):
    places = settled.state.positions
    second = int(np.argsort(np.linalg.norm(places - places[10], axis=1))[1])
    found = find_candidates(settled, removal(settled, 10, second))
    assert len(found) == 2
    for row in (10, second):
        assert np.linalg.norm(found.positions - places[row], axis=1).min() < 0.1


def test_a_gap_that_neighbours_have_moved_into_is_found(settled):
    """The atom is gone for so long that the fit has done what it can without it."""
    from napari_lot.lot import polish

    whole, row = settled.state, 4
    groups = ("positions", "height")
    gone = whole.select(np.arange(len(whole.height)) != row)
    curvature = settled.evidence.curvatures(gone, groups)
    *_, last = polish.lbfgs(settled.problem, gone, groups, curvature, 60, 1e-9)
    fitted = last.state
    assert np.linalg.norm(fitted.positions - gone.positions, axis=1).max() > 0.1, "neighbours have moved"
    settled.state = fitted
    try:
        found = find_candidates(settled, Edit())
    finally:
        settled.state = whole
    assert len(found) == 1
    assert np.linalg.norm(found.positions[0] - whole.positions[row]) < 0.1


def test_who_does_not_wait_any_more_gets_no_answer_and_the_fit_stays(settled):
    before = settled.state.copy()
    noise = settled.evidence.variance, settled.evidence.inflation
    asked = threading.Event()

    def wanted():
        asked.set()
        return False

    assert len(find_candidates(settled, removal(settled, 0), wanted)) == 0
    assert asked.is_set()
    assert len(find_candidates(settled, removal(settled, 0))) == 1
    np.testing.assert_array_equal(settled.state.positions, before.positions)
    np.testing.assert_array_equal(settled.state.height, before.height)
    assert (settled.evidence.variance, settled.evidence.inflation) == noise


@pytest.mark.parametrize("enough", [10**9, 500])
def test_the_noise_is_told_by_some_of_the_places(settled, enough, monkeypatch):
    def judge():
        return Evidence(settled.problem, settled.hull, settled.spacing_A, settled.settings, settled.evidence.one_height)

    monkeypatch.setattr(evidence, "ENOUGH", enough)
    every, some = judge(), judge()
    points, _, _ = every.proposals(settled.state)
    some.look_at_noise(settled.state)
    assert some.variance == every.variance
    if enough > len(points):
        assert some.inflation == every.inflation
    else:
        assert some.inflation != every.inflation
        assert some.inflation == pytest.approx(every.inflation, rel=0.15)
