"""What orbitals share: its curvature against whole matrices, and what a fit gains by it."""

import numpy as np
import pytest
from tiny import ANGLES, MIDDLE, PIXEL, SHAPE, make_state

from napari_lot.lot.image_model import ImageModel
from napari_lot.lot.polish import lbfgs
from napari_lot.lot.prior import AlikePrior, Prior
from napari_lot.lot.problem import Problem
from napari_lot.lot.shared import WHOLLY_SHARED, shared_modes
from napari_lot.physics.geometry import rotations
from napari_lot.physics.orbital import Learnt

GROUPS = ("height", "width", "learnt", "scale", "background")
LEARNT = np.array([[0.5, -0.4, 0.3, 0.1]])


def shaped(kind="lsq", species=1):
    """A problem of orbitals that are no Gaussians, noise-free, and the state that made it."""
    model = ImageModel(
        rotations(ANGLES), SHAPE, PIXEL, MIDDLE, None, (-6, 6), 0.6, threads=1, orbital=Learnt(), oversampling=2
    )
    truth = make_state()
    truth.species = np.arange(5) % species
    truth.width = np.linspace(0.6, 0.66, species)
    truth.learnt = np.tile(LEARNT, (species, 1))
    clean = np.zeros((len(ANGLES), *SHAPE), np.float32)
    images = Problem(model, clean, None, "lsq").evaluate(truth, np.arange(len(ANGLES)), ()).calculated
    return Problem(model, images, None, kind), truth


def whole_curvature(problem, state, changes, weight):
    """J^T W J by central differences of all tilts."""
    columns = []
    for change in changes:
        ends = []
        for sign in (1, -1):
            moved = state.copy()
            for group, values in change.items():
                setattr(moved, group, getattr(moved, group) + sign * 5e-3 * values)
            ends.append(problem.evaluate(moved, np.arange(len(problem)), ()).calculated.astype(np.float64))
        columns.append(((ends[0] - ends[1]) / 1e-2).ravel())
    design = np.array(columns)
    return design * weight.ravel() @ design.T


@pytest.mark.parametrize("species", [1, 2])
@pytest.mark.parametrize("kind", ["lsq", "poisson"])
def test_curvature_is_that_of_all_tilts_by_central_differences(kind, species):
    problem, state = shaped(kind, species)
    found = shared_modes(problem, state, GROUPS)
    assert len(found.changes) == species * (1 + 1 + 4) + 1
    images = problem.evaluate(state, np.arange(len(problem)), ()).calculated
    weight = 1.0 / images if kind == "poisson" else np.ones_like(images)
    wanted = whole_curvature(problem, state, found.changes, weight)
    size = np.sqrt(np.diag(wanted))
    np.testing.assert_allclose(found.curvature / np.outer(size, size), wanted / np.outer(size, size), atol=0.03)


def test_a_prior_adds_its_strength_along_the_modes():
    problem, state = shaped()
    without = shared_modes(problem, state, GROUPS).curvature
    priors = {"height": Prior(2.0, 50.0), "learnt": Prior(0.0, 7.0)}
    more = shared_modes(problem, state, GROUPS, priors).curvature - without
    wanted = np.diag([50.0 * float(state.height @ state.height), 0, 7, 7, 7, 7, 0])
    np.testing.assert_allclose(more, wanted, rtol=1e-6, atol=1e-6 * float(without.max()))


def test_alike_heights_may_change_together():
    problem, state = shaped()
    without = shared_modes(problem, state, GROUPS).curvature
    state.height[:] = 2.0
    even = shared_modes(problem, state, GROUPS).curvature
    assert not np.allclose(even, without)
    priors = {"height": AlikePrior(50.0, 2.0, 1.0)}
    np.testing.assert_allclose(shared_modes(problem, state, GROUPS, priors).curvature, even)


def test_the_inverse_is_that_of_the_curvature_without_what_is_flat():
    problem, state = shaped()
    found = shared_modes(problem, state, GROUPS)
    root = found.inverse_root()
    np.testing.assert_allclose(root @ root.T @ found.curvature, np.eye(len(found.changes)), atol=1e-4)
    twice = type(found)((*found.changes, found.changes[0]), found.curvature[np.ix_([*range(7), 0], [*range(7), 0])])
    assert np.isfinite(twice.inverse_root()).all()
    assert twice.inverse_root().shape == (8, 7)


def test_how_far_the_shape_has_moved_is_the_change_of_the_images():
    problem, state = shaped()
    found = shared_modes(problem, state, GROUPS)
    wider = state.copy()
    wider.width = state.width + 0.01
    tilts = np.arange(len(problem))
    images, after = (problem.evaluate(s, tilts, ()).calculated - 0.3 for s in (state, wider))
    assert found.moved(state, wider) == pytest.approx(np.linalg.norm(after - images) / np.linalg.norm(images), rel=0.1)
    assert found.moved(state, state) == 0.0


def test_a_fit_needs_far_fewer_steps_than_one_number_at_a_time():
    problem, truth = shaped()
    begin = truth.copy()
    begin.width, begin.learnt, begin.height = truth.width * 1.05, np.zeros((1, 4)), truth.height * 1.1
    groups = ("positions", *GROUPS)
    n, t = len(begin.height), len(problem)
    shared = shared_modes(problem, begin, groups)
    curvature = {
        "positions": np.full((n, 3), 200.0),
        "height": np.full(n, 20.0),
        "scale": np.full(t, 300.0),
        "background": np.full(t, 1000.0),
        **{name: shared.diagonal(begin, name) for name in WHOLLY_SHARED},
    }
    first = problem.evaluate(begin, np.arange(t), ()).loss
    losses = {}
    for name, modes in (("shared", shared), ("alone", None)):
        path = lbfgs(problem, begin, groups, curvature, 15, 1e-9, shared=modes)
        losses[name] = [step.loss for step in path][-1]
    assert losses["shared"] < 1e-3 * first
    assert losses["shared"] < 0.1 * losses["alone"]
