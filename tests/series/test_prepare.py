"""Intensities: one scale for the whole series; single pixels, excluded and masked ones do not set it."""

from __future__ import annotations

import numpy as np
import pytest

from napari_lot.errors import InputError
from napari_lot.series import TiltSeries
from napari_lot.series.prepare import intensity_limits

THETAS = np.linspace(-60, 60, 8)


@pytest.fixture
def images():
    rng = np.random.default_rng(1)
    return (50 + 200 * rng.random((8, 30, 32)) * np.linspace(0.2, 1, 8)[:, None, None]).astype(np.float32)


def test_the_limits_are_those_of_all_tilts_together(images):
    low, span = intensity_limits(TiltSeries(images, THETAS, 0.3))
    assert low == pytest.approx(images.min(), rel=0.05)
    assert low + span == pytest.approx(images.max(), rel=0.05)


def test_hot_and_dead_pixels_do_not_set_the_scale(images):
    clean = intensity_limits(TiltSeries(images, THETAS, 0.3))
    spoiled = images.copy()
    spoiled[3, 4, 5], spoiled[5, 6, 7] = 1e6, -1e6
    assert intensity_limits(TiltSeries(spoiled, THETAS, 0.3)) == pytest.approx(clean, rel=0.02)


def test_scale_does_not_depend_on_the_detectors_units(images):
    low, span = intensity_limits(TiltSeries(images, THETAS, 0.3))
    assert intensity_limits(TiltSeries(images * 37 - 900, THETAS, 0.3)) == pytest.approx(
        (37 * low - 900, 37 * span), rel=1e-4
    )


def test_excluded_tilts_and_masked_pixels_are_out_of_it(images):
    mask = np.ones(images.shape, bool)
    mask[:, :3] = False
    mask[6] = False
    spoiled = images.copy()
    spoiled[2] = 1e9
    spoiled[:, :3] = np.nan
    found = intensity_limits(TiltSeries(spoiled, THETAS, 0.3, mask=mask, excluded=(2,)))
    kept = np.delete(images[:, 3:], [2, 6], axis=0)
    assert found == pytest.approx(intensity_limits(TiltSeries(kept, np.delete(THETAS, [2, 6]), 0.3)))


def test_so_few_bright_pixels_that_the_robust_limits_coincide():
    images = np.full((8, 40, 40), 5, np.float32)
    images[:, 15, 15] = 6
    assert intensity_limits(TiltSeries(images, THETAS, 0.3)) == (5.0, 1.0)


def test_an_even_series_is_refused():
    images = np.full((8, 40, 40), 5, np.float32)
    images[:, 0, 0] = 6
    series = TiltSeries(images, THETAS, 0.3)
    mask = np.ones(images.shape, bool)
    mask[:, 0, 0] = False
    object.__setattr__(series, "mask", mask)  # a series of constant tilts is refused before
    with pytest.raises(InputError, match="nothing to reconstruct"):
        intensity_limits(series)
