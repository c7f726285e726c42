"""Loss and R-factor against scipy, finite differences and sums by hand."""

import numba as nb
import numpy as np
import pytest
import torch
from scipy import stats

from napari_lot.lot import likelihood
from napari_lot.lot.likelihood import SMALLEST_RATE, loss, r_factor

# above, at both sides of, and below the floor, and where no rate can be
RATES = (-0.5, 0.0, 0.5 * SMALLEST_RATE, 0.99 * SMALLEST_RATE, 1.01 * SMALLEST_RATE, 0.3, 7.0)
COUNTS = (0.0, 1.0, 4.0)


def value(kind, calculated, observed, weights=None):
    return float(loss(kind, torch.tensor(calculated), torch.tensor(observed), weights))


@pytest.mark.parametrize("observed", COUNTS)
@pytest.mark.parametrize("rate", [SMALLEST_RATE, 0.3, 7.0])
def test_poisson_is_the_log_likelihood_less_that_of_the_best_rate(rate, observed):
    exact = stats.poisson.logpmf(observed, observed) - stats.poisson.logpmf(observed, rate)
    assert value("poisson", [rate], [observed]) == pytest.approx(exact, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("kind", ["lsq", "poisson"])
@pytest.mark.parametrize("observed", COUNTS)
@pytest.mark.parametrize("rate", RATES)
def test_gradient_by_finite_differences(kind, rate, observed):
    at = torch.tensor([rate], dtype=torch.float64, requires_grad=True)
    counts = torch.tensor([observed], dtype=torch.float64)
    (gradient,) = torch.autograd.grad(loss(kind, at, counts, None), at)
    step = 1e-7  # the slope bends at the floor and at none
    up, down = (float(loss(kind, at.detach() + sign * step, counts, None)) for sign in (1, -1))
    assert float(gradient) == pytest.approx((up - down) / (2 * step), rel=1e-4, abs=2e-6)


@pytest.mark.parametrize("observed", COUNTS)
def test_poisson_goes_on_smoothly_below_the_floor(observed):
    """Convex down to any rate, finite everywhere, and least at the measured count, also where that is none."""
    rates = np.linspace(-1.0, 6.0, 1401)
    values = np.array([value("poisson", [rate], [observed]) for rate in rates])
    assert np.isfinite(values).all()
    assert (np.diff(values, 2) > -1e-3).all()
    assert rates[values.argmin()] == pytest.approx(observed, abs=0.01)
    # images ring below none, which costs little, and the steepness stays that of the floor
    assert value("poisson", [-0.1], [0.0]) - value("poisson", [0.0], [0.0]) < 0.01
    assert np.abs(np.diff(values[rates < 0])).max() < 0.005 * (observed / SMALLEST_RATE + 2.0)


def test_empty_pixels_do_not_pull_the_background_down():
    """A wide field of no counts about a small particle: with the tangent alone a background of -1 was better than 0."""
    field = torch.zeros(100, 100)
    least = min(np.linspace(-2.0, 1.0, 301), key=lambda level: float(loss("poisson", field + level, field, None)))
    assert least == pytest.approx(0.0, abs=0.02)


def test_a_pixel_of_weight_0_does_not_count():
    weights = torch.tensor([1.0, 0.0, 2.0])
    assert value("lsq", [1.0, 50.0, 3.0], [0.0, -50.0, 1.0], weights) == pytest.approx(0.5 + 2 * 2.0)
    alone = value("poisson", [1.0], [2.0]) + 2 * value("poisson", [3.0], [1.0])
    assert value("poisson", [1.0, 50.0, 3.0], [2.0, 0.0, 1.0], weights) == pytest.approx(alone)


def test_r_factor_by_hand():
    observed = np.array([[[3.0, 5.0], [1.0, 1.0]], [[2.0, 4.0], [6.0, 8.0]]], np.float32)
    calculated = np.array([[[2.0, 5.0], [1.0, 2.0]], [[2.0, 2.0], [6.0, 9.0]]], np.float32)
    background = np.array([1.0, 2.0])
    # tilt 0: (1 + 0 + 0 + 1) / (2 + 4 + 0 + 0); tilt 1: (0 + 2 + 0 + 1) / (0 + 2 + 4 + 6)
    np.testing.assert_allclose(r_factor(observed, calculated, background), [2 / 6, 3 / 12])
    mask = np.ones((2, 2, 2), bool)
    mask[0, 1, 1] = mask[1, 0, 1] = False
    np.testing.assert_allclose(likelihood.r_factor(observed, calculated, background, mask), [1 / 6, 1 / 10])


@pytest.mark.parametrize("kind", ["lsq", "poisson"])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_tilt_in_one_go_is_the_loss_and_its_slopes(kind, weighted):
    rng = np.random.default_rng(2)
    image = rng.gamma(2.0, 20.0, (30, 41)).astype(np.float32)
    image[5] = -4.0  # below any rate
    observed = rng.poisson(np.maximum(image, 0.0)).astype(np.float32)
    observed[:2], observed[3] = -2.0, 0.0
    weights = (rng.random(image.shape) > 0.3).astype(np.float32)
    seen = torch.from_numpy(image).double().requires_grad_()
    scale, level = (torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (1.1, 0.3))
    given = torch.from_numpy(weights).double() if weighted else None
    expected = likelihood.loss(kind, seen * scale + level, torch.from_numpy(observed).double(), given)
    by_image, by_scale, by_level = torch.autograd.grad(expected, [seen, scale, level])
    calculated, gradient, found = np.empty_like(image), np.empty_like(image), np.empty(3)
    likelihood.tilt(kind == "poisson", image, observed, weights, weighted, 1.1, 0.3, calculated, gradient, found)
    np.testing.assert_allclose(found, [x.item() for x in (expected, by_scale, by_level)], rtol=2e-6)
    np.testing.assert_allclose(calculated, 1.1 * image + 0.3, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(gradient, by_image, rtol=1e-5, atol=1e-5)


def test_its_logarithm_is_that_of_the_library():
    x = np.exp(np.random.default_rng(0).uniform(-30, 30, 2000)).astype(np.float32)
    found = np.array([_log_of(one) for one in x])
    np.testing.assert_allclose(found, np.log(x.astype(np.float64)), rtol=2e-7, atol=2e-7)


def test_what_is_not_a_number_is_seen_in_the_loss():
    image, found = np.ones((2, 20), np.float32), np.empty(3)
    image[1, 7] = np.nan
    likelihood.tilt(False, image, image * 0, image, False, 1.0, 0.0, image.copy(), image.copy(), found)
    assert np.isnan(found[0])


@nb.njit
def _log_of(x):
    return likelihood._log(x)
