"""What snapshots show of a tilt, against the plain formulas."""

import numpy as np
import pytest

from napari_lot.lot.likelihood import r_factor
from napari_lot.lot.shown import EVERYWHERE, shown


@pytest.mark.parametrize("masked", [False, True])
def test_r_factor_and_image_are_those_of_the_plain_formulas(masked):
    rng = np.random.default_rng(1)
    observed, calculated = rng.random((2, 3, 21, 34), np.float32)
    weights = (2.0 * (rng.random(observed.shape) > 0.4)).astype(np.float32)
    weights[2] = 0.0
    background, unit, zero = np.array([0.1, -0.2, 0.3]), 40.0, -7.0
    images = np.empty_like(observed)

    found = [
        shown(o, c, w if masked else EVERYWHERE, b, unit, zero, image)
        for o, c, w, b, image in zip(observed, calculated, weights, background, images, strict=True)
    ]

    np.testing.assert_allclose(found, r_factor(observed, calculated, background, weights > 0 if masked else None), 1e-6)
    assert np.isnan(found[2]) == masked
    np.testing.assert_allclose(images, calculated * unit + zero, rtol=1e-6, atol=1e-5)
