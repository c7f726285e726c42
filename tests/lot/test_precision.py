"""Error bars against the information matrix of the whole problem, made by finite differences of its images."""

import numpy as np
import pytest
import tiny

from napari_lot.lot import information, precision
from napari_lot.lot.problem import Problem

NOISE = 0.01
STEP_A, STEP_H = 0.02, 0.05


def images(problem, state):
    return problem.evaluate(state, np.arange(len(problem)), ()).calculated.astype(np.float64)


def whole_information(problem, state, weight):
    """(4 N, 4 N) of x, y, z, H of every atom."""
    rows = []
    for atom in range(len(state.height)):
        for parameter in range(4):
            step = STEP_A if parameter < 3 else STEP_H
            ends = []
            for sign in (1, -1):
                moved = state.copy()
                if parameter < 3:
                    moved.positions[atom, parameter] += sign * step
                else:
                    moved.height[atom] += sign * step
                ends.append(images(problem, moved))
            rows.append((ends[0] - ends[1]).ravel() / (2 * step))
    jacobian = np.array(rows)
    return (jacobian * weight.ravel()) @ jacobian.T


def crowded(angles_rad=0.0):
    """Atoms closer than they should be, so that neighbours matter."""
    state = tiny.make_state()
    state.positions = 0.55 * state.positions
    state.scale = np.array([0.9, 1.1, 1.0, 0.95, 1.05])
    state.shifts = np.random.default_rng(2).normal(0, 0.5, (5, 2))
    state.angles = np.random.default_rng(3).normal(0, angles_rad, (5, 3))
    return state, tiny.make_problem(state, NOISE)


@pytest.mark.parametrize("angles_rad", [0.0, 0.05])
def test_own_and_mutual_information(angles_rad):
    state, problem = crowded(angles_rad)
    weight = np.full(problem.observed.shape, 1e4, np.float32)
    weight *= np.random.default_rng(1).uniform(0.5, 1.5, (5, 1, 1)).astype(np.float32)
    whole = whole_information(problem, state, weight)
    found = precision.fisher(problem, state, weight, 20.0)
    blocks = whole.reshape(5, 4, 5, 4).transpose(0, 2, 1, 3)
    largest = np.abs(blocks).max((0, 1))
    assert len(found.pairs) == 10
    for atom in range(5):
        np.testing.assert_allclose(found.own[atom] / largest, blocks[atom, atom] / largest, atol=5e-3)
    # tables are read linearly between their points, which costs a percent or two of an error bar's square
    for pair, (i, k) in enumerate(found.pairs):
        np.testing.assert_allclose(found.cross[pair] / largest, blocks[i, k] / largest, atol=3e-2)


def test_joint_error_bars_are_those_of_the_whole_problem():
    state, problem = crowded()
    weight = np.full(problem.observed.shape, 1 / NOISE**2, np.float32)
    whole = np.sqrt(np.diag(np.linalg.inv(whole_information(problem, state, weight)))).reshape(5, 4)
    found = precision.fisher(problem, state, weight, 20.0)
    joint = np.sqrt(np.diagonal(information.covariance(found), axis1=1, axis2=2))
    block = np.sqrt(np.diagonal(information.covariance(found, joint=False), axis1=1, axis2=2))
    np.testing.assert_allclose(joint, whole, rtol=0.03)
    assert (block < joint).all()
    assert (joint / block).max() > 1.2, "neighbours matter here"


def test_the_noise_is_measured_and_white_noise_inflates_nothing():
    state, problem = crowded()
    use = np.ones(problem.observed.shape, bool)
    found = precision.error_bars(problem, state, images(problem, state).astype(np.float32), use, 20.0)
    weight = np.full(problem.observed.shape, 1 / NOISE**2, np.float32)
    expected = np.sqrt(
        np.diagonal(information.covariance(precision.fisher(problem, state, weight, 20.0)), axis1=1, axis2=2)
    )
    assert found.inflation == pytest.approx(1.0, abs=0.05)
    np.testing.assert_allclose(found.position_A, expected[:, :3], rtol=0.08)
    np.testing.assert_allclose(found.height, expected[:, 3], rtol=0.08)


def test_blurred_residuals_widen_error_bars():
    """Denoised images have smooth errors: a given variance moves an atom more where it looks like the atom's slope."""
    from scipy import ndimage

    state, problem = crowded()
    rng = np.random.default_rng(0)
    noise = ndimage.gaussian_filter(rng.normal(size=problem.observed.shape), (0, 1.0, 1.0))
    assert precision.inflation(problem, state, (noise / noise.std()).astype(np.float32), noise < np.inf) > 1.5


def test_counts_scatter_at_least_as_counts():
    truth = tiny.make_state()
    truth.height *= 40
    problem = tiny.make_problem(truth, kind="poisson")
    counts = np.random.default_rng(0).poisson(problem.observed.numpy()).astype(np.float32)
    use = np.ones(counts.shape, bool)
    calculated = images(problem, truth).astype(np.float32)
    exact = Problem(problem.model, problem.observed.numpy(), None, "poisson")
    noisy = Problem(problem.model, counts, None, "poisson")
    without = precision.error_bars(exact, truth, calculated, use, 20.0)
    found = precision.error_bars(noisy, truth, calculated, use, 20.0)
    assert without.inflation == 1.0
    assert found.inflation == pytest.approx(1.0, abs=0.1)


def test_atoms_at_one_place_have_wide_finite_error_bars():
    state, problem = crowded()
    state.positions[1] = state.positions[0]
    use = np.ones(problem.observed.shape, bool)
    found = precision.error_bars(problem, state, images(problem, state).astype(np.float32), use, 20.0)
    assert np.isfinite(found.position_A).all()
    assert (found.position_A > 0).all()
    assert found.position_A[0].min() > 2 * found.position_A[4].max()


def test_atoms_in_one_place_have_error_bars_all_the_same():
    """Two atoms that no image tells apart, and neighbours whose information contradicts itself."""
    own = np.stack([np.diag([4.0, 9.0, 16.0, 1.0])] * 2)
    pairs = np.array([[0, 1]])
    alone = information.covariance(information.Information(own, pairs, 0 * own[:1]))
    np.testing.assert_allclose(alone[0], np.linalg.inv(own[0]), atol=1e-12)
    some = information.covariance(information.Information(own, pairs, 0.8 * own[:1]))
    whole = np.linalg.inv(np.block([[own[0], 0.8 * own[0]], [0.8 * own[0], own[0]]]))
    np.testing.assert_allclose(some[0], whole[:4, :4], rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(some[1], whole[4:, 4:], rtol=1e-6, atol=1e-12)
    for coupling in (1.0, 5.0):
        found = np.diagonal(
            information.covariance(information.Information(own, pairs, coupling * own[:1])), axis1=1, axis2=2
        )
        assert np.isfinite(found).all()
        assert (found > 0).all()
