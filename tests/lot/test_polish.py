"""The quasi-Newton fit against dense least squares, and its bookkeeping."""

from types import SimpleNamespace

import numpy as np
import pytest
from tiny import make_problem, make_state, unit_images

from napari_lot.lot import gauge, polish
from napari_lot.lot.evidence import MODEL_ERROR, Evidence
from napari_lot.lot.polish import lbfgs, pack, unpack
from napari_lot.lot.prior import AlikePrior, Prior
from napari_lot.lot.problem import Problem
from napari_lot.settings import Solver

EVERY = ("positions", "height", "width", "shifts", "scale", "background")


def curvatures(state, tilts):
    """Of about the right size; lbfgs needs no more."""
    n = len(state.height)
    return {
        "height": np.full(n, 20.0),
        "positions": np.full((n, 3), 200.0),
        "width": np.full(1, 1000.0),
        "shifts": np.full((tilts, 2), 100.0),
        "center": np.full(2, 500.0),
        "scale": np.full(tilts, 300.0),
        "background": np.full(tilts, 1000.0),
    }


def fit(problem, state, groups, steps=200, tolerance=1e-9, priors=None):
    path = list(lbfgs(problem, state, groups, curvatures(state, len(problem)), steps, tolerance, priors))
    return path[-1].state, path


@pytest.mark.parametrize("groups", [EVERY, ("positions", "height", "center"), ("background",)])
def test_pack_and_unpack(groups):
    state = make_state()
    state.shifts = np.random.default_rng(1).normal(size=state.shifts.shape)
    vector = pack(state, groups)
    same = unpack(state, groups, vector)
    for name in EVERY:
        np.testing.assert_array_equal(getattr(same, name), getattr(state, name))
    change = np.random.default_rng(2).uniform(0.1, 0.2, vector.shape)
    moved = unpack(state, groups, vector + change)
    if "center" in groups:
        np.testing.assert_allclose(moved.shifts, state.shifts + change[-2:])
    else:
        np.testing.assert_allclose(pack(moved, groups), vector + change)
    for name in set(EVERY) - set(groups) - ({"shifts"} if "center" in groups else set()):
        np.testing.assert_array_equal(getattr(moved, name), getattr(state, name))
    if "height" in groups:
        assert (unpack(state, groups, vector - 100.0).height == 0).all()


def test_unpacked_arrays_are_not_shared():
    state = make_state()
    vector = pack(state, EVERY)
    new = unpack(state, EVERY, vector)
    vector[:] = 0.0
    state.positions[:] = 9.0
    assert not np.any(new.positions == 9.0)
    assert np.all(new.height > 0)


def test_linear_parameters_as_by_dense_least_squares():
    """Heights and backgrounds are linear: the answer is that of one matrix."""
    truth = make_state()
    problem = make_problem(truth, noise=0.1)
    begin = truth.copy()
    begin.height, begin.background = np.ones(5), np.zeros(5)
    found, path = fit(problem, begin, ("height", "background"))
    design = unit_images(problem, truth).reshape(5, -1).T
    pixels = design.shape[0] // 5
    design = np.concatenate([design, np.kron(np.eye(5), np.ones((pixels, 1)))], 1)
    wanted = np.linalg.lstsq(design, problem.observed.numpy().astype(float).ravel(), rcond=None)[0]
    np.testing.assert_allclose(found.height, wanted[:5], rtol=1e-3)
    np.testing.assert_allclose(found.background, wanted[5:], rtol=1e-3)
    losses = [step.loss for step in path]
    assert np.all(np.diff(losses) <= 0)
    residual = design @ wanted - problem.observed.numpy().ravel()
    assert losses[-1] == pytest.approx(0.5 * residual @ residual, rel=1e-5)


def test_pixels_of_weight_0_do_not_count():
    truth = make_state()
    problem = make_problem(truth)
    weights = np.ones(problem.observed.shape, np.float32)
    weights[:, :, 20:] = 0.0
    problem.observed[:, :, 20:] = 40.0
    begin = truth.copy()
    begin.background = np.zeros(5)
    masked = Problem(problem.model, problem.observed.numpy(), weights, "lsq")
    np.testing.assert_allclose(fit(masked, begin, ("background",))[0].background, 0.3, atol=1e-4)
    assert (fit(problem, begin, ("background",))[0].background > 5).all()


def test_a_prior_is_a_ridge_in_dense_least_squares():
    truth = make_state()
    problem = make_problem(truth, noise=0.1)
    prior = Prior(3.0, 15.0)
    found, _ = fit(problem, truth.copy(), ("height",), priors={"height": prior})
    design = unit_images(problem, truth).reshape(5, -1).T
    target = problem.observed.numpy().astype(float).ravel() - 0.3
    wanted = np.linalg.solve(design.T @ design + 15.0 * np.eye(5), design.T @ target + 15.0 * 3.0)
    np.testing.assert_allclose(found.height, wanted, rtol=1e-3)
    free, _ = fit(problem, truth.copy(), ("height",))
    assert (np.abs(found.height - 3.0) < np.abs(free.height - 3.0)).all()


def test_gradient_of_the_prior_by_finite_differences():
    prior = Prior(2.0, 7.0)
    heights = np.random.default_rng(0).uniform(0, 4, 6)
    for k in range(6):
        step = np.zeros(6)
        step[k] = 1e-6
        slope = (prior.cost(heights + step) - prior.cost(heights - step)) / 2e-6
        assert prior.gradient(heights)[k] == pytest.approx(slope, rel=1e-6, abs=1e-7)
    assert prior.cost(np.full(6, 2.0)) == 0.0


def test_gradient_of_alike_values_by_finite_differences():
    heights = np.random.default_rng(0).uniform(1, 4, 6)
    prior = AlikePrior(7.0, float(heights.mean()), 1.05)
    for k in range(6):
        step = np.zeros(6)
        step[k] = 1e-6
        slope = (prior.cost(heights + step) - prior.cost(heights - step)) / 2e-6
        assert prior.gradient(heights)[k] == pytest.approx(slope, rel=1e-6, abs=1e-7)
        apart = np.full(6, 2.0) + step  # of values that are alike, the curvature is all of it
        alike = AlikePrior(7.0, 2.0, 1.0)
        curve = (alike.gradient(apart)[k] - alike.gradient(apart - 2 * step)[k]) / 2e-6
        assert alike.along(step[None] * 1e6)[0, 0] == pytest.approx(curve, rel=1e-5)
    assert AlikePrior(7.0, 2.0, 1.0).cost(np.full(6, 2.0)) == 0.0


def test_alike_values_may_all_be_larger():
    heights = np.random.default_rng(0).uniform(1, 4, 6)
    prior = AlikePrior(7.0, float(heights.mean()), 1.05)
    assert prior.cost(3.7 * heights) == pytest.approx(prior.cost(heights))
    assert prior.gradient(heights) @ heights == pytest.approx(0, abs=1e-12)
    assert prior.along(np.stack([np.ones(6), heights]))[0] == pytest.approx(0, abs=1e-12)
    assert prior.strength == pytest.approx(Prior(1.05 * heights.mean(), 7.0 / (1.05 * heights.mean()) ** 2).strength)


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_what_no_image_shows_neither_moves_nor_matters(factor):
    """Heights against scales, a translation against drift: a fit ends at the same atoms, and has not wandered."""
    truth = make_state()
    problem = make_problem(truth, noise=0.05)
    groups = ("positions", "height", "shifts", "scale", "background")

    def end(begin):
        priors = {"height": AlikePrior(0.5, float(begin.height.mean()), 1.0)}
        return fit(problem, begin, groups, steps=300, tolerance=1e-12, priors=priors)[0]

    begin = truth.copy()
    begin.positions = truth.positions + np.random.default_rng(3).normal(0, 0.1, (5, 3))
    other = begin.copy()
    other.height, other.scale = factor * begin.height, begin.scale / factor
    move = np.array([0.3, -0.2, 0.4])
    other.positions = begin.positions + move
    other.shifts = begin.shifts - problem.rotations(begin)[:, :2] @ move / problem.model.image_pixel_A
    found, also = end(begin), end(other)
    np.testing.assert_allclose(also.height * also.scale.mean(), found.height * found.scale.mean(), rtol=2e-4)
    rest = [s.positions - s.positions.mean(0) for s in (found, also)]
    np.testing.assert_allclose(*rest, atol=2e-4)
    # in the units of the fit (here one of its scales each), what was begun with stays along every such direction
    scales = curvatures(begin, len(problem))
    for change in gauge.directions(problem, begin, groups):
        size = sum(float((scales[g] * change[g] ** 2).sum()) for g in change)
        moved = sum(float((scales[g] * change[g] * (getattr(found, g) - getattr(begin, g))).sum()) for g in change)
        assert abs(moved) < 1e-9 * size


def test_everything_at_once_returns_to_the_truth():
    truth = make_state()
    problem = make_problem(truth)
    rng = np.random.default_rng(3)
    begin = truth.copy()
    begin.positions = truth.positions + rng.normal(0, 0.1, (5, 3))
    begin.height = truth.height * rng.uniform(0.8, 1.2, 5)
    begin.width = truth.width * 1.08
    begin.background = truth.background + 0.05
    found, path = fit(problem, begin, ("positions", "height", "width", "background"), steps=300)
    np.testing.assert_allclose(found.positions, truth.positions, atol=2e-3)
    np.testing.assert_allclose(found.height, truth.height, rtol=5e-3)
    np.testing.assert_allclose(found.width, truth.width, rtol=3e-3)
    # what it hands out is what belongs to the state that it hands out
    step = path[len(path) // 2]
    state, loss, calculated = step.state, step.loss, step.calculated
    again = problem.evaluate(state, np.arange(5), ())
    np.testing.assert_array_equal(again.calculated, calculated)
    assert again.loss == pytest.approx(loss, rel=1e-6)


def test_a_common_centre_moves_every_tilt_alike():
    truth = make_state()
    truth.shifts = np.tile([0.7, -0.4], (5, 1)) + np.random.default_rng(4).normal(0, 0.3, (5, 2))
    problem = make_problem(truth)
    begin = truth.copy()
    begin.shifts = truth.shifts - [0.7, -0.4]
    found, _ = fit(problem, begin, ("center",))
    np.testing.assert_allclose(found.shifts, truth.shifts, atol=2e-3)


@pytest.mark.parametrize("kind", ["lsq", "poisson"])
def test_it_ends_where_nothing_is_to_be_gained(kind):
    truth = make_state()
    problem = make_problem(truth, noise=0.02, kind=kind)
    problem.observed.clamp_(min=0.0)
    found, path = fit(problem, truth.copy(), ("height", "background"), tolerance=1e-6)
    assert 1 <= len(path) < 60
    assert not list(lbfgs(problem, found, ("height", "background"), curvatures(found, 5), 50, 1e-4))
    assert len(fit(problem, truth.copy(), ("height", "background"), steps=2)[1]) == 2


def test_the_inverse_hessian_of_a_quadratic():
    """With a full memory the two-loop recursion reproduces every secant pair that is conjugate."""
    rng = np.random.default_rng(5)
    basis, _ = np.linalg.qr(rng.normal(size=(4, 4)))
    hessian = basis @ np.diag([1.0, 2.0, 5.0, 9.0]) @ basis.T
    pairs = polish.deque(
        (s, hessian @ s, 1.0 / float(s @ hessian @ s))
        for s in basis.T  # eigenvectors are conjugate
    )
    g = rng.normal(size=4)
    for first in (np.eye(4), np.diag([1.0, 0.3, 2.0, 0.1])):  # with all pairs known, what it began with is forgotten
        found = polish._inverse_hessian(g, pairs, lambda q, first=first: first @ q)
        np.testing.assert_allclose(found, np.linalg.solve(hessian, g), rtol=1e-10)


def test_a_fit_ends_where_atoms_stand_still(monkeypatch):
    """Noise-free data have no loss to stop at: single precision would be searched for a better one to the last step."""
    truth = make_state()
    problem = make_problem(truth)
    state = truth.copy()
    state.positions = state.positions + np.random.default_rng(0).normal(0, 0.1, state.positions.shape)
    groups = ("height", "positions", "background")
    found, path = fit(problem, state, groups, tolerance=1e-30)
    assert len(path) < 60
    np.testing.assert_allclose(found.positions, truth.positions, atol=2e-4)
    steps = [path[k + 1].state.positions - path[k].state.positions for k in range(len(path) - 1)]
    moves = [np.sqrt((step**2).sum(1).mean()) for step in steps[-polish.STILL_STEPS :]]
    assert max(moves) < polish.STILL_A

    evaluations = []
    original = problem.evaluate
    monkeypatch.setattr(problem, "evaluate", lambda *a: evaluations.append(1) or original(*a))
    fit(problem, state, groups, tolerance=1e-30)
    with_stop = len(evaluations)
    monkeypatch.setattr(polish, "STILL_A", 0.0)
    fit(problem, state, groups, tolerance=1e-30)
    assert len(evaluations) - with_stop > 1.3 * with_stop


def test_a_pass_in_parts_is_the_same_fit_told_of_more_often():
    truth = make_state()
    problem = make_problem(truth, noise=0.05)
    begin = truth.copy()
    begin.positions = truth.positions + np.random.default_rng(3).normal(0, 0.1, truth.positions.shape)
    tilts = len(problem)
    args = problem, begin, EVERY, curvatures(begin, tilts), 8, 1e-9
    whole, parts = list(lbfgs(*args)), list(lbfgs(*args, parts=3))
    accepted = [step for step in parts if step.accepted]
    assert all(step.accepted for step in whole)
    assert len(accepted) == len(whole)
    for one, other in zip(accepted, whole, strict=True):
        np.testing.assert_allclose(one.state.positions, other.state.positions, atol=1e-5)
        assert one.loss == pytest.approx(other.loss, rel=1e-6)
        assert np.array_equal(one.tilts, np.arange(tilts)[4:]), "the others have been told of"
        np.testing.assert_allclose(one.calculated, other.calculated[4:], atol=1e-4)
        assert one.pixels == other.pixels == problem.observed.numel()
    first = next(k for k, step in enumerate(parts) if step.accepted)
    before = parts[:first]
    assert [list(step.tilts) for step in before[:2]] == [[0, 1], [2, 3]], "the last part comes with the step"
    for step in parts:
        if not step.accepted:
            assert step.calculated.shape == (len(step.tilts), *problem.observed.shape[1:])
    later = [step.state for step in parts[first:]]
    assert all(any(state is step.state for step in accepted) for state in later), "no state but an accepted one"


def test_a_fit_ends_where_the_loss_is_below_what_the_image_model_gets_wrong():
    truth = make_state()
    problem = make_problem(truth)
    begin = truth.copy()
    begin.positions = truth.positions + np.random.default_rng(3).normal(0, 0.1, truth.positions.shape)
    args = problem, begin, ("positions", "height"), curvatures(begin, len(problem)), 60, 1e-12
    every = [step.loss for step in lbfgs(*args)]
    assert every[-1] < 1e-3 * every[2]
    some = [step.loss for step in lbfgs(*args, least=1.001 * every[2])]
    assert some == every[:3]


def test_the_error_of_the_image_model_as_a_loss():
    state = make_state()
    problem = make_problem(state)
    hull = SimpleNamespace(silhouettes=np.ones(problem.observed.shape, bool))
    settings = Solver()

    def least(problem):
        return Evidence(problem, hull, 2.8, settings, True).least_loss(state)

    bright = np.quantile(problem.observed[:, ::3, ::3].numpy(), 0.999)
    off = MODEL_ERROR * (bright - state.background.mean())
    assert least(problem) == pytest.approx(0.5 * off**2 * problem.observed.numel(), rel=1e-5)
    weights = np.full(problem.observed.shape, 2.0, np.float32)
    weights[0] = 0.0
    weighted = Problem(problem.model, problem.observed.numpy(), weights, "lsq")
    left = problem.observed[1:, ::3, ::3].numpy()
    off = MODEL_ERROR * (np.quantile(left, 0.999) - state.background.mean())
    assert least(weighted) == pytest.approx(0.5 * off**2 * weights.sum(), rel=1e-5)
    assert least(Problem(problem.model, problem.observed.numpy(), None, "poisson")) == 0.0
