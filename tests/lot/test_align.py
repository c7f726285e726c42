"""Drift by projection matching: found from afar, not invented, and blind to what is masked."""

import numpy as np
import pytest
import tiny

from napari_lot.lot.align import match_shifts
from napari_lot.lot.caveats import agreement, caveats, unexplained, unfinished
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
    fine = np.arange(30.0).reshape(-1, 3)
    assert caveats(0.95, 0.1, fine, 5.2, 40.0) == ()
    assert caveats(0.95, 0.1, fine, 4.3, 40.0) == ()
    assert caveats(0.95, 0.1, fine, 6.5, 40.0) == ()
    (said,) = caveats(0.3, 0.4, fine, 5.2, 40.0)
    assert "hardly explain" in said
    (said,) = caveats(0.95, 0.31, fine, 5.2, 40.0)
    assert "31 % of the signal unexplained" in said
    assert "tilt axis" in said
    (said,) = caveats(0.95, 0.1, 0.05 * fine, 5.0, 40.0)
    assert "closer than 2.50 Å" in said
    (said,) = caveats(0.95, 0.1, fine, 5.2, 20.0)
    assert said.startswith("the images are 20.0 Å across, 3.8 distances of neighbours: most atoms lie")
    assert unfinished("time limit", False).startswith("the time limit ended the fit before it converged: how far")


@pytest.mark.parametrize("expected", [3.25, 8.0])
def test_a_typical_distance_far_from_the_expected_one_is_doubted(expected):
    """Pt read with pixels of 0.4 in place of 0.25 Å has its neighbours 4.4 in place of 2.8 Å apart."""
    fine = np.arange(30.0).reshape(-1, 3)
    (said,) = caveats(0.99, 0.05, fine, expected, 40.0)
    assert f"5.20 Å apart, and {expected:.2f} Å are expected" in said
    assert caveats(0.99, 0.05, fine[:5], expected, 40.0) == ()


@pytest.mark.parametrize("mask", [False, True])
def test_noise_is_no_part_of_the_signal_that_is_left_over(mask):
    """At any dose, and where an interpolation has spread it; a signal of another shape is one."""
    rng = np.random.default_rng(0)
    v, u = np.indices((96, 96)) - 47.5
    ball = 1.0 / (1.0 + np.exp(np.hypot(v, u) - 30))
    truth = ball * (1.2 + np.cos(2 * np.pi * u / 8) * np.cos(2 * np.pi * v / 8))
    wrong = ball * (1.2 + np.cos(2 * np.pi * (u + v) / 12))
    use = np.ones((2, 96, 96), bool)
    use[:, 40:44, 20:60] = not mask
    background = np.array([0.3, 0.3])
    for dose in (1.0, 10.0, 1000.0):
        counts = rng.poisson(dose * (truth + 0.3), use.shape)
        spread = 0.25 * (counts + np.roll(counts, 1, 1) + np.roll(counts, 1, 2) + np.roll(counts, (1, 1), (1, 2)))
        for seen in (counts, spread):
            seen = np.where(use, seen / dose, 1e6).astype(np.float32)
            right, other = (np.broadcast_to(image + 0.3, use.shape).astype(np.float32) for image in (truth, wrong))
            assert unexplained(seen, right, background, use) < 0.15
            assert unexplained(seen, other, background, use) > 0.3
    assert unexplained(seen, right, background, np.zeros_like(use)) == 0.0
