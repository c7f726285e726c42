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
