"""The pixel size that a layer's scale and units say."""

from __future__ import annotations

import numpy as np
import pytest

from napari_lot.errors import InputError
from napari_lot.series.layer import series_from_layer_data

IMAGES = np.random.default_rng(0).random((5, 8, 9)).astype(np.float32) + 1
THETAS = np.linspace(-60, 60, 5)


@pytest.mark.parametrize(
    ("scale", "units"),
    [
        ((1, 0.5, 0.25), ("pixel", "angstrom", "angstrom")),
        ((1, 1, 0.05, 0.25), ("pixel", "angstrom", "nm", "angstrom")),
    ],
)
def test_pixels_that_are_not_square_are_refused(scale, units):
    with pytest.raises(InputError, match=r"^mine: the pixels are not square \(0.25 x 0.5 Å\): resample the series"):
        series_from_layer_data(IMAGES, None, scale, units=units, name="mine", angles=THETAS)


def test_a_scale_in_any_unit_of_length_is_the_pixel_size():
    series = series_from_layer_data(IMAGES, None, (3, 0.25, 0.025), units=("pixel", "Å", "nm"), angles=THETAS)
    assert series.pixel_size_A == 0.25
    one = series_from_layer_data(IMAGES, None, (1, 2, 1), units=("pixel",) * 3, angles=THETAS, pixel_size_A=0.3)
    assert one.pixel_size_A == 0.3
