"""Preparation: one scale for the whole series, counts untouched, excluded and masked pixels out."""

from __future__ import annotations

import numpy as np
import pytest

from napari_lot.errors import InputError
from napari_lot.series import TiltSeries
from napari_lot.series.prepare import prepare_series

THETAS = np.linspace(-60, 60, 8)


@pytest.fixture
def images():
    rng = np.random.default_rng(1)
    return (50 + 200 * rng.random((8, 30, 32)) * np.linspace(0.2, 1, 8)[:, None, None]).astype(np.float32)


def test_one_scale_for_all_tilts(images):
    """Ratios between tilts survive: an image with a fifth of the contrast still has a fifth of it."""
    prepared = prepare_series(TiltSeries(images, THETAS, 0.3))
    result = prepared.series.images
    np.testing.assert_allclose(
        np.ptp(result[0]) / np.ptp(result[-1]), np.ptp(images[0]) / np.ptp(images[-1]), rtol=1e-5
    )
    assert 0.9 < np.quantile(result, 0.999) < 1.1
    assert abs(np.quantile(result, 0.001)) < 0.01
    np.testing.assert_allclose(prepared.to_measured(result), images, rtol=2e-6)
    assert prepared.to_measured(result).dtype == np.float32


def test_hot_and_dead_pixels_do_not_set_the_scale(images):
    clean = prepare_series(TiltSeries(images, THETAS, 0.3))
    spoiled = images.copy()
    spoiled[3, 4, 5], spoiled[5, 6, 7] = 1e6, -1e6
    prepared = prepare_series(TiltSeries(spoiled, THETAS, 0.3))
    assert prepared.gain == pytest.approx(clean.gain, rel=0.02)
    assert prepared.series.images[3, 4, 5] > 1000  # not clipped either: a mask is the user's to give


def test_scale_does_not_depend_on_the_detectors_units(images):
    first = prepare_series(TiltSeries(images, THETAS, 0.3)).series.images
    second = prepare_series(TiltSeries(images * 37 - 900, THETAS, 0.3)).series.images
    np.testing.assert_allclose(first, second, atol=2e-5)


def test_counts_stay_counts(images):
    counts = images.round()
    prepared = prepare_series(TiltSeries(counts, THETAS, 0.3, counts=True))
    np.testing.assert_array_equal(prepared.series.images, counts)
    assert (prepared.offset, prepared.gain) == (0.0, 1.0)


def test_excluded_tilts_and_masked_pixels_are_out_of_everything(images):
    mask = np.ones(images.shape, bool)
    mask[:, :3] = False
    mask[6] = False
    spoiled = images.copy()
    spoiled[2] = 1e9
    spoiled[:, :3] = np.nan
    series = TiltSeries(spoiled, THETAS, 0.3, mask=mask, excluded=(2,))
    prepared = prepare_series(series, exclude=(0,))
    np.testing.assert_array_equal(prepared.tilts, [1, 3, 4, 5, 7])
    np.testing.assert_array_equal(prepared.series.angles_deg[:, 1], THETAS[[1, 3, 4, 5, 7]])
    assert (prepared.series.images[:, :3] == 0).all()
    kept = prepare_series(TiltSeries(images[:, 3:], THETAS, 0.3), exclude=(0, 2, 6))
    np.testing.assert_allclose(prepared.series.images[:, 3:], kept.series.images, atol=1e-6)
    assert prepared.series.center_px == series.center_px
    np.testing.assert_array_equal(spoiled[2, 3:], 1e9)


def test_so_few_bright_pixels_that_the_robust_limits_coincide():
    images = np.full((8, 40, 40), 5, np.float32)
    images[:, 15, 15] = 6
    prepared = prepare_series(TiltSeries(images, THETAS, 0.3))
    assert prepared.gain == 1
    assert prepared.series.images.max() == 1


def test_too_few_tilts(images):
    with pytest.raises(InputError, match="only 2 distinct tilts to use"):
        prepare_series(TiltSeries(images, THETAS, 0.3), exclude=range(6))
    with pytest.raises(InputError, match="cannot exclude tilt 8"):
        prepare_series(TiltSeries(images, THETAS, 0.3), exclude=(8,))
