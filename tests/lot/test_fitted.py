"""The loss that goes there and back tilt by tilt, against that of images made first."""

import numpy as np
import pytest
import torch

from napari_lot.lot import likelihood
from napari_lot.lot.image_model import ImageModel, Shapes
from napari_lot.lot.render.scene import Measured
from napari_lot.physics.geometry import rotations, rotations_torch
from napari_lot.physics.orbital import orbital
from napari_lot.settings import Microscope

FIELD, ANGLES = (60, 54), np.array([[0.0, -50.0, 0.0], [0.0, 0.0, 0.0], [0.0, 20.0, 0.0], [3.0, 60.0, 1.0]])
LENS = Microscope(energy_eV=3e5, semiangle_mrad=25.0, defocus_A=10.0, c21_A=800.0)
TILTS = np.array([3, 0, 2])


def leaves_of(model, kinds, seed=1):
    rng = np.random.default_rng(seed)
    n, t = 50, len(TILTS)
    leaves = [
        torch.tensor(rng.uniform(-7, 7, (n, 3))),
        torch.tensor(rng.uniform(20, 40, n)),
        torch.full((kinds,), model._width_A, dtype=torch.float64) + 0.02 * torch.arange(kinds),
        torch.full((kinds, model.orbital.terms), 0.1, dtype=torch.float64),
        torch.tensor(rng.normal(0, 0.7, (t, 2))),
        torch.deg2rad(torch.tensor(ANGLES[TILTS])),
        torch.tensor(rng.normal(0, 3.0, t)),
        torch.tensor(rng.uniform(0.9, 1.1, t)),
        torch.tensor(rng.uniform(1.0, 3.0, t)),  # rates near none make any rounding large
    ]
    return [leaf.requires_grad_() for leaf in leaves], torch.from_numpy(rng.integers(0, kinds, n))


@pytest.mark.parametrize("kind", ["lsq", "poisson"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("lens", "shape", "kinds", "common", "oversampling"),
    [
        (LENS, "learnt", 1, True, 1),
        (LENS, "learnt", 2, True, 2),
        (LENS, "gaussian", 1, False, 1),
        (None, "gaussian", 1, False, 1),
        (None, "learnt", 1, True, 1),
    ],
)
def test_it_is_the_loss_of_the_images(kind, weighted, lens, shape, kinds, common, oversampling):
    model = ImageModel(
        rotations(ANGLES),
        FIELD,
        0.35,
        (29.3, 27.9),
        lens,
        (-40.0, 40.0),
        0.5,
        oversampling=oversampling,
        threads=2,
        orbital=orbital(shape),
    )
    leaves, species = leaves_of(model, kinds)
    positions, height, width, learnt, shifts, angles, focus, scale, background = leaves
    rng = np.random.default_rng(5)
    observed = rng.poisson(4.0, (len(ANGLES), *FIELD)).astype(np.float32)
    observed[:, :2] = -0.5  # read noise
    weights = (rng.random(observed.shape) > 0.2).astype(np.float32) if weighted else None
    seen = (positions, height, width[species], shifts, rotations_torch(angles))
    others = {"focus_A": focus, "shapes": Shapes(species, width, learnt, common=common)}
    wanted = [leaf for leaf in leaves if leaf.numel()]

    images = model.images(TILTS, *seen, **others) * scale[:, None, None] + background[:, None, None]
    given = None if weights is None else torch.from_numpy(weights[TILTS])
    expected = likelihood.loss(kind, images, torch.from_numpy(observed[TILTS]), given)
    true = torch.autograd.grad(expected, wanted, retain_graph=True)

    loss, calculated = model.loss(Measured(observed, weights, TILTS, kind), scale, background, *seen, **others)
    found = torch.autograd.grad(3.0 * loss, wanted)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    assert not calculated.requires_grad
    np.testing.assert_allclose(calculated, images.detach(), atol=1e-5 * images.abs().max().item())
    limit = 2e-5 if lens else 1e-4  # no probe damps what single precision rounds at the sampling limit
    for gradient, exact in zip(found, true, strict=True):
        assert float((gradient / 3.0 - exact).norm()) <= limit * float(exact.norm()) + 1e-12


def test_without_gradients_and_by_scale_alone():
    model = ImageModel(rotations(ANGLES), FIELD, 0.35, (29.3, 27.9), LENS, (-40.0, 40.0), 0.5, threads=1)
    (positions, height, width, _, shifts, *_, scale, background), species = leaves_of(model, 1)
    observed = np.ones((len(ANGLES), *FIELD), np.float32)
    measured = Measured(observed, None, TILTS, "lsq")
    atoms = (positions.detach(), height.detach(), width.detach()[species], shifts.detach())
    with torch.no_grad():
        loss, _ = model.loss(measured, scale, background, *atoms)
    again, _ = model.loss(measured, scale, background, *atoms)
    assert loss.item() == again.item()
    by_scale, by_background = torch.autograd.grad(again, [scale, background])
    assert by_scale.shape == by_background.shape == (len(TILTS),)


def test_no_orbitals_are_an_empty_field():
    model = ImageModel(rotations(ANGLES), FIELD, 0.35, (29.3, 27.9), LENS, (-40.0, 40.0), 0.5, threads=1)
    measured = Measured(np.full((len(ANGLES), *FIELD), 2.0, np.float32), None, TILTS, "lsq")
    level = torch.full((len(TILTS),), 1.5, dtype=torch.float64, requires_grad=True)
    nothing, one = torch.zeros(0, dtype=torch.float64), torch.tensor(0.5, dtype=torch.float64)
    scale = torch.ones(len(TILTS), dtype=torch.float64)
    loss, calculated = model.loss(measured, scale, level, torch.zeros(0, 3, dtype=torch.float64), nothing, one)
    (slope,) = torch.autograd.grad(loss, level)
    pixels = FIELD[0] * FIELD[1]
    assert loss.item() == pytest.approx(0.125 * pixels * len(TILTS))
    np.testing.assert_allclose(slope, -0.5 * pixels)
    np.testing.assert_array_equal(calculated, 1.5)
