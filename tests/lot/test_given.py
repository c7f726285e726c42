"""Heights of given atoms: whatever unit the file had, the images decide."""

import numpy as np
import pytest

from napari_lot.atoms import Orbitals
from napari_lot.lot.given import start_heights
from napari_lot.lot.image_model import ImageModel
from napari_lot.physics.geometry import rotations


def scene():
    """Three atoms of heights 2, 2, 1 and width 0.5 Å, drawn by summing Gaussians pixel by pixel."""
    rng = np.random.default_rng(0)
    p = np.array([[0.0, 0, 0], [4, 2, 1], [-3, -4, 2]])
    true = np.array([2.0, 2.0, 1.0])
    turn = rotations(np.array([[0.0, t, 0.0] for t in (-40, -10, 20, 50)]))
    v, u = np.indices((60, 60)) * 0.25 - 29.5 * 0.25
    images = np.zeros((4, 60, 60))
    for image, r in zip(images, turn, strict=True):
        for q, h in zip(p @ r.T, true, strict=True):
            image += h * np.exp(-((u - q[0]) ** 2 + (v - q[1]) ** 2) / 0.5**2)
    images += 0.3 + rng.normal(0, 0.01, images.shape)
    model = ImageModel(turn, (60, 60), 0.25, (29.5, 29.5), None, (-8, 8), 0.5, threads=1)
    return p, true, images.astype(np.float32), model


@pytest.mark.parametrize(("unit", "width"), [(1.0, 0.5), (1e4, 0.5), (1e-3, 0.8)])
def test_the_images_decide_the_unit(unit, width):
    p, true, images, model = scene()
    # the same scattering strength pi H B^2 at another width
    atoms = Orbitals.create(p, unit * true * (0.5 / width) ** 2, width)
    np.testing.assert_allclose(start_heights(model, images, None, 0.3, atoms, 0.5), true, rtol=0.01)


def test_masked_pixels_do_not_count():
    p, true, images, model = scene()
    mask = np.ones(images.shape, bool)
    mask[:, :, :15] = False
    images[:, :, :15] = 1e6
    np.testing.assert_allclose(start_heights(model, images, mask, 0.3, Orbitals.create(p, true), 0.5), true, rtol=0.01)


def test_atoms_out_of_sight_start_weak_and_positive():
    *_, images, model = scene()
    heights = start_heights(model, images, None, 0.3, Orbitals.create([[500.0, 0, 0], [0, 500, 0]], 1.0), 0.5)
    assert (heights > 0).all()
    assert (heights < 0.1).all()
