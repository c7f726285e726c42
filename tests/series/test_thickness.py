"""Thickness of a film from the decorrelation of neighbouring tilts, on films of known thickness and height."""

import numpy as np
import pytest

from napari_lot.physics.geometry import rotations
from napari_lot.series.thickness import film_thickness


def film(thickness, middle, angles, pixel=0.4, rows=60, columns=240, seed=0):
    """Blobs at random in a wide slab, drawn by plain Gaussians; the slab is wider than the field."""
    rng = np.random.default_rng(seed)
    count = int(160 * 24 * thickness * 0.03)
    points = rng.uniform([-80, -12, middle - thickness / 2], [80, 12, middle + thickness / 2], (count, 3))
    turn = rotations(np.column_stack([0 * angles, angles, 0 * angles]))
    images = np.zeros((len(angles), rows, columns), np.float32)
    v, u = np.arange(rows) - (rows - 1) / 2, np.arange(columns) - (columns - 1) / 2
    for j, rotation in enumerate(turn):
        uv = points @ rotation[:2].T / pixel
        gu = np.exp(-((u - uv[:, :1]) ** 2) / (0.8 / pixel) ** 2)
        gv = np.exp(-((v - uv[:, 1:]) ** 2) / (0.8 / pixel) ** 2)
        images[j] = gv.T @ gu
    return images, turn, pixel, ((rows - 1) / 2, (columns - 1) / 2)


@pytest.mark.parametrize(("thickness", "middle"), [(15.0, 0.0), (30.0, 4.0), (30.0, -4.0), (50.0, 0.0)])
def test_slabs_of_known_thickness(thickness, middle):
    images, turn, pixel, center = film(thickness, middle, np.arange(-30.0, 31, 3))
    found = film_thickness(images, None, turn, pixel, center, 150.0)
    assert found is not None
    assert found[0] == pytest.approx(thickness, rel=0.15)
    assert found[1] == pytest.approx(middle, abs=2.0)


def test_unrelated_images_have_no_thickness():
    _, turn, pixel, center = film(15.0, 0.0, np.arange(-30.0, 31, 3))
    noise = np.random.default_rng(1).normal(size=(len(turn), 60, 240)).astype(np.float32)
    assert film_thickness(noise, None, turn, pixel, center, 150.0) is None
