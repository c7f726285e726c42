"""The compact window: polynomials and transform against its formula, images against the reference and finer grids."""

import numpy as np
import pytest
import torch
from scipy import integrate

from napari_lot.lot import image_model
from napari_lot.lot.image_model import ImageModel, Shapes
from napari_lot.lot.spread import window
from napari_lot.lot.spread.window import COARSE, FINE
from napari_lot.physics.geometry import rotations, rotations_torch
from napari_lot.physics.orbital import orbital
from napari_lot.settings import Microscope

COMA = Microscope(energy_eV=300e3, semiangle_mrad=25, defocus_A=10, c21_A=4000, phi21_deg=35, c12_A=20, phi12_deg=20)
ANGLES = np.array([[0.0, -60.0, 0.0], [1.0, 5.0, -2.0], [0.3, 66.0, 0.5]])
FIELD = (60, 64)


@pytest.mark.parametrize("chosen", [COARSE, FINE])
def test_polynomials_are_the_window_and_its_slope(chosen):
    t = np.linspace(0, 1, 200, endpoint=False)
    powers = (2 * t[:, None] - 1) ** np.arange(window.DEGREE + 1)
    for j in range(chosen.taps):
        x = t - chosen.taps / 2 + j
        np.testing.assert_allclose(powers @ chosen.pieces[:, j], chosen.value(x), atol=1e-6)
        inner = np.abs(x) < chosen.taps / 2 - 1e-3
        slope = (chosen.value(x + 1e-5) - chosen.value(x - 1e-5)) / 2e-5
        np.testing.assert_allclose((powers[:, :-1] @ chosen.slopes[:, j])[inner], slope[inner], atol=3e-5)


@pytest.mark.parametrize("chosen", [COARSE, FINE])
def test_its_transform_is_that_of_the_window(chosen):
    for q in (0.0, 0.2, 0.5, 0.8, 1.3):
        half = chosen.taps / 2
        expected = 2 * integrate.quad(lambda x, q=q: float(chosen.value(x)) * np.cos(2 * np.pi * q * x), 0, half)[0]
        assert float(chosen.transform(q)) == pytest.approx(expected, abs=1e-7)


def make(microscope, kind="gaussian", pixel=0.35, width=0.5, oversampling=1, reach=40, threads=2):
    return ImageModel(
        rotations(ANGLES),
        FIELD,
        pixel,
        (29.3, 31.9),
        microscope,
        (-reach, reach),
        width,
        oversampling=oversampling,
        threads=threads,
        orbital=orbital(kind),
    )


def evaluate(model, backend="cpu", common=True, kinds=1, seed=1):
    """Images and gradients by position, height, shift, angle, width and what is learnt, of a smooth loss."""
    rng = np.random.default_rng(seed)
    n, pixel = 60, model.image_pixel_A
    leaves = [
        torch.tensor(rng.uniform(-7, 7, (n, 3)) * pixel / 0.35),
        torch.tensor(rng.uniform(0.5, 1.5, n)),
        torch.tensor(rng.normal(0, 0.7, (3, 2))),
        torch.deg2rad(torch.tensor(ANGLES)),
        torch.full((kinds,), model._width_A, dtype=torch.float64) + 0.03 * torch.arange(kinds),
        torch.full((kinds, model.orbital.terms), 0.1, dtype=torch.float64),
    ]
    leaves = [leaf.requires_grad_() for leaf in leaves]
    species = torch.from_numpy(rng.integers(0, kinds, n))
    target = torch.tensor(rng.normal(size=(3, *FIELD)))
    positions, height, shifts, angles, width, learnt = leaves
    shapes = Shapes(species, width, learnt, common=common)
    images = model.images(
        [0, 1, 2], positions, height, width[species], shifts, rotations_torch(angles), backend, shapes=shapes
    )
    loss = (images.double() * target).sum() + 0.5 * (images.double() ** 2).sum()
    wanted = leaves if learnt.numel() else leaves[:-1]
    return images.detach().double(), torch.autograd.grad(loss, wanted)


def relative(found, true):
    return float((found - true).abs().max() / true.abs().max())


@pytest.mark.parametrize(
    ("microscope", "kind", "reach", "rank"),
    [(None, "learnt", 40, 1), (COMA, "gaussian", 2, 2), (COMA, "learnt", 40, 7), (COMA, "slater", 95, 11)],
)
@pytest.mark.parametrize("kinds", [1, 2])
def test_compiled_path_agrees_with_the_reference(microscope, kind, reach, rank, kinds):
    model = make(microscope, kind, reach=reach)
    assert model.rank == pytest.approx(rank, abs=1), "channels of one, some and many vectors are tried"
    images, gradients = evaluate(model, kinds=kinds)
    exact, expected = evaluate(model, "reference", kinds=kinds)
    assert relative(images, exact) < 1e-5
    for found, true in zip(gradients, expected, strict=True):
        assert relative(found, true) < 2e-5


@pytest.mark.parametrize("kind", ["gaussian", "learnt"])
def test_it_puts_orbitals_where_gaussians_without_windows_do(kind):
    fine = make(COMA, kind, oversampling=2)
    images, gradients = evaluate(fine)
    exact, expected = evaluate(fine, "reference", common=False)
    assert relative(images, exact) < 3e-6
    for found, true in zip(gradients, expected, strict=True):
        assert relative(found, true) < 1e-3  # of a target of white noise, which no image is like


def test_the_coarse_window_is_as_exact_as_it_needs_to_be(monkeypatch):
    monkeypatch.setattr(image_model, "COARSE_TOLERANCE", 1e-6)  # all channels
    model = make(COMA)
    exact, _ = evaluate(model, "reference")
    model.set_coarse(True)
    images, gradients = evaluate(model)
    again, expected = evaluate(model, "reference")
    assert 1e-5 < relative(images, exact) < 3e-3
    assert relative(images, again) < 1e-5
    for found, true in zip(gradients, expected, strict=True):
        assert relative(found, true) < 2e-5


def test_fewer_channels_show_the_probe_within_their_tolerance_and_all_come_back():
    model = make(COMA)
    exact, _ = evaluate(model)
    every = model.rank
    model.set_coarse(True)
    images, gradients = evaluate(model)
    again, expected = evaluate(model, "reference")
    assert model.rank < every
    assert model.pairs < -(-every // 2)
    assert float((images - exact).norm() / exact.norm()) < image_model.COARSE_TOLERANCE
    assert relative(images, again) < 1e-5
    for found, true in zip(gradients, expected, strict=True):
        assert relative(found, true) < 2e-5
    model.set_coarse(False)
    assert torch.equal(evaluate(model)[0], exact)


def test_coarse_pixels_lose_no_more_by_it_than_by_gaussians():
    exact, _ = evaluate(make(COMA, oversampling=4), "reference", common=False)
    window_loses = relative(evaluate(make(COMA))[0], exact)
    gaussians_lose = relative(evaluate(make(COMA), common=False)[0], exact)
    assert window_loses < 1.2 * gaussians_lose < 1e-3


def test_results_repeat_bitwise_and_hardly_depend_on_threads():
    model = make(COMA)
    first = evaluate(model)
    again = evaluate(model)
    assert torch.equal(first[0], again[0])
    assert all(torch.equal(a, b) for a, b in zip(first[1], again[1], strict=True))
    alone = evaluate(make(COMA, threads=1))
    assert torch.equal(first[0], alone[0])
    for a, b in zip(first[1], alone[1], strict=True):
        assert relative(a, b) < 1e-5
