"""Drift by projection matching: found from afar, not invented, and blind to what is masked."""

import numpy as np
import pytest
import tiny

from napari_lot.lot.align import match_shifts
from napari_lot.lot.caveats import agreement, caveats
from napari_lot.lot.problem import Problem

DRIFT = np.array([[3.0, -2.0], [0.0, 0.0], [-4.0, 1.0], [2.5, 4.0], [0.0, -3.0]])


def drifted(noise=0.0, kind="lsq"):
    truth = tiny.make_state()
    truth.shifts = DRIFT.copy()
    return tiny.make_problem(truth, noise, kind)


@pytest.mark.parametrize("kind", ["lsq", "poisson"])
@pytest.mark.parametrize("height", [1.0, 0.2])
def test_drift_of_several_pixels_is_found(kind, height):
    state = tiny.make_state()
    state.height = state.height * height  # heights that are still growing
    found = match_shifts(drifted(0.02, kind), state, 6.0)
    np.testing.assert_allclose(found, DRIFT, atol=0.3)


def test_aligned_tilts_stay_where_they_are():
    problem = tiny.make_problem(tiny.make_state(), 0.3)
    np.testing.assert_array_equal(match_shifts(problem, tiny.make_state(), 6.0), 0.0)


def test_masked_pixels_have_no_say():
    clean = drifted(0.02)
    images = clean.observed.numpy().copy()
    weights = np.ones(images.shape, np.float32)
    images[:, :6], weights[:, :6] = 50.0, 0.0
    masked = Problem(clean.model, images, weights, "lsq")
    np.testing.assert_allclose(match_shifts(masked, tiny.make_state(), 6.0), DRIFT, atol=0.4)


def test_a_tilt_without_a_pixel_stays():
    clean = drifted(0.02)
    weights = np.ones(clean.observed.shape, np.float32)
    weights[2] = 0.0
    found = match_shifts(Problem(clean.model, clean.observed.numpy(), weights, "lsq"), tiny.make_state(), 6.0)
    np.testing.assert_array_equal(found[2], 0.0)
    np.testing.assert_allclose(found[0], DRIFT[0], atol=0.3)


def test_agreement_looks_through_noise():
    state = tiny.make_state()
    problem = tiny.make_problem(state, 0.6)
    calculated = problem.evaluate(state, np.arange(5), ()).calculated
    use = np.ones(calculated.shape, bool)
    use[4] = False
    observed = problem.observed.numpy()
    plain = [np.corrcoef(observed[j].ravel(), calculated[j].ravel())[0, 1] for j in range(4)]
    found = agreement(observed, calculated, use, 2.5)
    assert np.mean(plain) < 0.75
    assert found[:4].min() > max(plain) + 0.05
    assert np.isnan(found[4])
    assert agreement(observed, observed.max() - calculated, use, 2.5)[:4].max() < 0


def test_what_is_doubted():
    fine = np.arange(30.0).reshape(-1, 3) * 3
    assert caveats(0.95, fine, 2.5) == ()
    assert "hardly explain" in caveats(0.3, fine, 2.5)[0]
    assert "closer than 1.25 Å" in caveats(0.95, 0.05 * fine, 2.5)[0]
