"""Doubtful places are fitted by themselves: what that means for the images, for the atoms, and for a run that ends."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import cKDTree
from short_run import SHORT, small_particle
from tiny import ANGLES, make_problem, make_state

from napari_lot.job import Job
from napari_lot.lot.fitting import Stopped
from napari_lot.lot.melting import set_aside, without_background
from napari_lot.lot.prepare import prepare
from napari_lot.lot.reconstruct import Reconstruction
from napari_lot.settings import settings_from_dict
from napari_lot.simulate.images import simulate_series

EVERY = np.arange(len(ANGLES))
NEAR = np.array([False, True, True, False, False])


@pytest.mark.parametrize("kind", ["lsq", "poisson"])
def test_a_part_is_pulled_as_it_is_in_the_whole(kind):
    state = make_state()
    problem = make_problem(state, noise=0.05, kind=kind, weights=np.full((len(ANGLES), 30, 34), 0.7, np.float32))
    moved = replace(state, positions=state.positions + 0.2, scale=np.linspace(0.9, 1.1, len(ANGLES)))
    aside, places = set_aside(problem, None, moved.select(~NEAR), moved)
    own = without_background(moved.select(NEAR))
    whole, part = (p.evaluate(s, EVERY, ("positions", "height")) for p, s in ((problem, moved), (places, own)))
    for name in ("positions", "height"):
        wanted = whole.gradients[name][NEAR]
        np.testing.assert_allclose(part.gradients[name], wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())
    np.testing.assert_allclose(part.calculated + aside.images, whole.calculated, atol=1e-5)
    if kind == "lsq":
        assert part.loss == pytest.approx(whole.loss, rel=1e-4)
    joined = aside.joined(own)
    assert sorted(joined.ids) == sorted(moved.ids)
    np.testing.assert_array_equal(joined.positions[np.argsort(joined.ids)], moved.positions)
    np.testing.assert_array_equal(joined.background, moved.background)


@pytest.fixture
def solver_and_truth():
    """A solver that stands at the atoms of a particle but for one place: one has swallowed its neighbour."""
    particle = small_particle()
    series = simulate_series(particle, np.linspace(-70, 70, 21), 0.4, None, image_shape=(48, 52))
    solver = SHORT | {"positions_passes": 8}
    settings = settings_from_dict({"model": {"elements": ["Pt"], "probe": "direct"}, "solver": solver})
    job = Job(series, settings)
    ready = prepare(job)
    solver = Reconstruction(ready.problem, ready.state, ready.hull, job.spacing_A, job.settings.solver, ("Pt",))
    truth = particle.positions - particle.positions.mean(0)
    eater, eaten = cKDTree(truth).query_pairs(3.2, output_type="ndarray")[0]
    height = particle.height.copy() / ready.unit
    positions = truth.copy()
    height[eater] += height[eaten]
    positions[eater] = 0.5 * (truth[eater] + truth[eaten])
    keep = np.arange(len(truth)) != eaten
    state = replace(ready.state.select(slice(0, 0)), width=np.array([0.6])).add(positions[keep], height[keep])
    solver.state = state
    solver.evidence.look_at_noise(state)
    yield solver, truth
    ready.problem.model.close()


def recall(solver, truth):
    found = solver.state.positions
    found = found - found.mean(0)
    return (cKDTree(found).query(truth)[0] < 0.6).mean()


def test_an_atom_that_was_swallowed_is_found_again(solver_and_truth):
    solver, truth = solver_and_truth
    whole = solver.problem
    assert recall(solver, truth) < 1.0
    still = []
    for progress in solver._mend_places(4):
        still.append(0 if solver.aside is None else len(solver.aside.state.height))
        assert np.isfinite(progress.calculated).all()
        assert len(solver.whole.height) == len(np.unique(solver.whole.ids))
    assert max(still) > 0, "what is far has stood still"
    assert recall(solver, truth) == 1.0
    assert len(solver.state.height) == len(truth)
    assert solver.problem is whole
    assert solver.settled is None


def test_a_run_that_ends_meanwhile_has_the_atoms_of_before(solver_and_truth):
    solver, _ = solver_and_truth
    before, whole = solver.state, solver.problem
    calls = []

    def poll():
        calls.append(len(solver.state.height))
        if len(calls) == 5:
            raise Stopped("finish")

    solver.poll = poll
    with pytest.raises(Stopped):
        list(solver._mend_places(4))
    assert len(solver.state.height) > len(before.height), "a grid stands in the place"
    solver.settle()
    np.testing.assert_array_equal(solver.state.ids, before.ids)
    assert solver.problem is whole
    assert "shifts" in solver.refine


@pytest.fixture
def one_is_missing(solver_and_truth):
    """The solver at all atoms but one, which nothing has moved for; the place of that one."""
    solver, truth = solver_and_truth
    missing = int(np.argmin(np.linalg.norm(truth, axis=1)))
    keep = np.arange(len(truth)) != missing
    height = np.full(keep.sum(), np.median(solver.state.height))
    solver.state = solver.state.select(slice(0, 0)).add(truth[keep], height)
    solver.evidence.look_at_noise(solver.state)
    return solver, truth, truth[missing]


def birth(solver, monkeypatch, many):
    """One round of births; how many orbitals stood still at each step."""
    monkeypatch.setattr("napari_lot.lot.population_fit.MANY", many)
    monkeypatch.setattr("napari_lot.lot.population_fit.FEW", 0.9)
    still = []
    for progress in solver._births_and_deaths(("positions", "height")):
        still.append(0 if solver.aside is None else len(solver.aside.state.height))
        assert np.isfinite(progress.calculated).all()
    return still


def test_after_a_birth_what_is_far_stands_still(one_is_missing, monkeypatch):
    solver, truth, place = one_is_missing
    before, whole, judge = solver.state, solver.problem, solver.evidence
    still = birth(solver, monkeypatch, many=0)
    assert max(still) > 0
    assert recall(solver, truth) == 1.0
    assert len(solver.state.height) == len(truth)
    assert solver.problem is whole
    assert solver.evidence is judge
    _, a, b = np.intersect1d(before.ids, solver.state.ids, return_indices=True)
    moved = np.linalg.norm(solver.state.positions[b] - before.positions[a], axis=1)
    far = np.linalg.norm(before.positions[a] - place, axis=1) > 1.2 * solver.spacing_A
    assert far.any()
    assert np.all(moved[far] == 0)
    assert np.any(moved[~far] > 0)


def test_of_few_orbitals_all_are_fitted_after_a_birth(one_is_missing, monkeypatch):
    solver, truth, _ = one_is_missing
    still = birth(solver, monkeypatch, many=5_000)
    assert max(still) == 0
    assert recall(solver, truth) == 1.0
    assert len(solver.state.height) == len(truth)


def test_places_are_looked_at_again_where_something_has_changed(one_is_missing):
    solver, _, place = one_is_missing
    everywhere = solver._proposals()[0]
    assert len(solver._proposals()[0]) == 0, "nothing has changed"
    inflation = solver.evidence.inflation
    solver.state = solver.state.add(np.array([place]), np.array([1.0]))
    again = solver._proposals()[0]
    assert 0 < len(again) < len(everywhere)
    assert np.linalg.norm(again - place, axis=1).max() < 2.01 * solver.spacing_A
    assert solver.evidence.inflation == inflation, "that of all places"


def test_images_of_a_state_are_those_of_its_numbers_now(one_is_missing):
    solver, _, _ = one_is_missing
    state = solver.state.copy()
    first, _ = solver.evidence.images_and_weights(state)
    again, _ = solver.evidence.images_and_weights(replace(state))
    assert again is first
    state.positions += 0.1  # in place
    moved, _ = solver.evidence.images_and_weights(state)
    expected = solver.problem.evaluate(state, np.arange(len(solver.problem)), ()).calculated
    np.testing.assert_array_equal(moved.numpy(), expected)
    assert not np.array_equal(expected, first.numpy())


def test_how_odd_a_height_is_depends_on_how_much_all_scatter(one_is_missing):
    solver, _, _ = one_is_missing
    state = solver.state
    solver.evidence.height_error = lambda state: np.zeros(len(state.height))
    for scatter, departures in ((0.0, (0.11, 0.13)), (0.01, (0.11, 0.24)), (0.05, (0.24, 0.26))):
        for departure, odd in zip(departures, (False, True), strict=True):
            height = 1.0 + scatter * np.linspace(-1, 1, len(state.height)) / (0.5 * 1.4826)  # sigma from the median
            height[5] = np.quantile(height, 0.7) * (1.0 + departure)
            solver.state = replace(state, height=height)
            assert solver._odd()[5] == odd, (scatter, departure)
    solver.evidence.height_error = lambda state: np.full(len(state.height), 0.2)
    assert not solver._odd().any(), "noise explains it"


def test_what_is_compared_with_what_was_fitted_is_fitted_too(solver_and_truth):
    solver, truth = solver_and_truth
    steps = []
    fit = solver.fit

    def noted(stage, count, groups):
        steps.append((stage, count, solver.aside is not None))
        yield from fit(stage, count, groups)

    solver.fit = noted
    list(solver._mend_places(4))
    assert steps == []
    list(solver._mend_places(1, fitted=True))
    assert recall(solver, truth) == 1.0


def test_the_same_places_do_not_melt_again_where_nothing_came_or_went(one_is_missing, monkeypatch):
    solver, truth, _ = one_is_missing
    rounds = []
    mend = solver._mend_places

    def noted(*given, **named):
        rounds.append(len(solver.state.height))
        return mend(*given, **named)

    monkeypatch.setattr(solver, "_mend_places", noted)
    list(solver._mend_population(("positions", "height")))
    assert recall(solver, truth) == 1.0
    assert len(solver.state.height) == len(truth)
    assert rounds == [len(truth) - 1, len(truth)], "once before the birth, once after it"
    rounds.clear()
    list(solver._mend_population(("positions", "height")))
    assert rounds == [len(truth)]
