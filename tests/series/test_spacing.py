"""Lattice spacings of waves that are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_lot.series.sample import load_sample
from napari_lot.series.spacing import lattice_periods_px


@pytest.mark.parametrize("period", [3.1, 7.3, 12.6])
@pytest.mark.parametrize("shape", [(100, 100), (96, 160)])
def test_the_period_of_a_wave_under_noise(period: float, shape: tuple[int, int]) -> None:
    v, u = np.indices(shape)
    wave = np.cos(2 * np.pi * (v * np.cos(0.3) + u * np.sin(0.3)) / period)
    found = lattice_periods_px((wave + np.random.default_rng(0).normal(size=shape)).astype(np.float32))
    assert len(found) == 1
    assert found[0] == pytest.approx(period, rel=0.004)


def test_two_lattices_are_both_found_the_stronger_first() -> None:
    v, u = np.indices((128, 128))
    image = 2 * np.cos(2 * np.pi * u / 9.0) + np.cos(2 * np.pi * (u + v) / 7.0)
    found = lattice_periods_px(image.astype(np.float32))
    assert found[:2] == pytest.approx([9.0, 7.0 / np.sqrt(2)], rel=0.003)


@pytest.mark.parametrize("tilt", [9, 17, 18])
def test_the_strongest_planes_come_first_also_where_they_fill_their_ring(tilt: int) -> None:
    """Platinum (111), 2.27 Å: along the five-fold axis its peaks leave the ring hardly any room for a background."""
    series = load_sample()
    found = lattice_periods_px(series.images[tilt])
    assert found[0] * series.pixel_size_A == pytest.approx(2.27, abs=0.02)


@pytest.mark.parametrize("blur", [1.0, 1.5])
def test_amorphous_speckle_has_no_lattice(blur: float) -> None:
    rng = np.random.default_rng(2)
    for _ in range(10):
        assert lattice_periods_px(ndimage.gaussian_filter(rng.normal(size=(114, 114)), blur)) == []


def test_noise_alone_has_no_lattice() -> None:
    image = np.random.default_rng(1).normal(size=(120, 120)).astype(np.float32)
    assert lattice_periods_px(image) == []
