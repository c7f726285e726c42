"""The compiled image model against the plain-torch reference, and that against finite differences."""

import numpy as np
import pytest
import torch

from napari_lot.lot.canvas import Canvas
from napari_lot.lot.image_model import ImageModel
from napari_lot.physics.geometry import rotations, rotations_torch
from napari_lot.settings import Microscope

COMA = Microscope(energy_eV=300e3, semiangle_mrad=25, defocus_A=10, c21_A=4000, phi21_deg=35, c12_A=20, phi12_deg=20)
ANGLES = np.array([[0.0, -60.0, 0.0], [1.0, 5.0, -2.0], [0.3, 66.0, 0.5]])


def make(microscope, pixel=0.35, width=0.5, oversampling=1, threads=2, atoms=60, seed=1):
    rng = np.random.default_rng(seed)
    model = ImageModel(
        rotations(ANGLES),
        (60, 64),
        pixel,
        (29.3, 31.9),
        microscope,
        (-40, 40),
        width,
        oversampling=oversampling,
        threads=threads,
    )
    positions = torch.tensor(rng.uniform(-7, 7, (atoms, 3)) * pixel / 0.35)
    height = torch.tensor(rng.uniform(0.5, 1.5, atoms))
    widths = torch.tensor(width * rng.uniform(0.9, 1.2, atoms))
    shifts = torch.tensor(rng.normal(0, 0.7, (3, 2)))
    return model, positions, height, widths, shifts


def value_and_gradients(model, backend, weights, positions, height, widths, shifts):
    leaves = [t.clone().requires_grad_() for t in (positions, height, widths, shifts)]
    angles = torch.deg2rad(torch.tensor(ANGLES)).requires_grad_()
    images = model.images([0, 1, 2], *leaves[:3], leaves[3], rotations_torch(angles), backend=backend)
    loss = (images.double() * weights).sum() + 0.5 * (images.double() ** 2).sum()
    return images.detach(), torch.autograd.grad(loss, [*leaves, angles])


@pytest.mark.parametrize(
    ("microscope", "pixel", "width", "oversampling"),
    [(None, 0.35, 0.5, 1), (COMA, 0.35, 0.5, 1), (COMA, 0.35, 0.25, 1), (COMA, 0.2, 0.6, 1), (COMA, 0.4, 0.5, 2)],
)
def test_compiled_path_agrees_with_the_reference(microscope, pixel, width, oversampling):
    model, *atoms = make(microscope, pixel, width, oversampling)
    weights = torch.tensor(np.random.default_rng(5).normal(size=(3, 60, 64)))
    images, gradients = value_and_gradients(model, "cpu", weights, *atoms)
    exact, expected = value_and_gradients(model, "reference", weights, *atoms)
    assert (images - exact).abs().max() <= 1e-4 * exact.abs().max()
    names = ("positions", "height", "width", "shifts", "angles")
    for name, found, true in zip(names, gradients, expected, strict=True):
        assert (found - true).abs().max() <= 1e-4 * true.abs().max(), name


def test_reference_agrees_with_finite_differences():
    model, *atoms = make(COMA, atoms=5)
    weights = torch.tensor(np.random.default_rng(5).normal(size=(3, 60, 64)))
    _, gradients = value_and_gradients(model, "reference", weights, *atoms)

    def loss(parameters, angles):
        images = model.images([0, 1, 2], *parameters, rotations_torch(angles), backend="reference")
        return float((images * weights).sum() + 0.5 * (images**2).sum())

    angles = torch.deg2rad(torch.tensor(ANGLES))
    parameters = [*atoms, angles]
    step = 1e-5
    rng = np.random.default_rng(2)
    for group, gradient in enumerate(gradients):
        direction = torch.tensor(rng.normal(size=gradient.shape))
        changed = [
            [p + sign * step * direction if i == group else p for i, p in enumerate(parameters)] for sign in (1, -1)
        ]
        up, down = (loss(c[:4], c[4]) for c in changed)
        assert (up - down) / (2 * step) == pytest.approx(float((gradient * direction).sum()), rel=2e-5)


def test_results_repeat_bitwise_and_hardly_depend_on_threads():
    model, *atoms = make(COMA)
    weights = torch.tensor(np.random.default_rng(5).normal(size=(3, 60, 64)))
    first = value_and_gradients(model, "cpu", weights, *atoms)
    for _ in range(3):
        again = value_and_gradients(model, "cpu", weights, *atoms)
        assert torch.equal(first[0], again[0])
        assert all(torch.equal(a, b) for a, b in zip(first[1], again[1], strict=True))
    single, *_ = make(COMA, threads=1)
    alone = value_and_gradients(single, "cpu", weights, *atoms)
    assert torch.equal(first[0], alone[0])
    assert torch.allclose(first[1][0], alone[1][0], rtol=1e-9, atol=1e-9)


def test_atoms_outside_the_field_are_harmless():
    model, positions, height, widths, shifts = make(COMA)
    far = torch.tensor([[1e4, 0.0, 0.0], [0.0, -1e4, 0.0], [16.0, 16.0, 0.0]], dtype=torch.float64)
    with_far = model.images(
        [0, 1],
        torch.cat([positions, far]),
        torch.cat([height, torch.ones(3)]),
        torch.cat([widths, widths[:3]]),
        shifts[:2],
    )
    assert torch.isfinite(with_far).all()


def test_adjoint_is_the_transpose_of_the_images():
    model, positions, height, widths, shifts = make(COMA)
    weights = torch.tensor(np.random.default_rng(3).normal(size=(3, 60, 64)), dtype=torch.float32)
    images = model.images([0, 1, 2], positions, height, widths, shifts)
    response = model.adjoint([0, 1, 2], weights, positions, widths, shifts)
    assert float((response * height).sum()) == pytest.approx(float((images.double() * weights).sum()), rel=1e-4)


def test_the_canvas_has_sizes_that_are_even_and_that_ffts_like():
    for side in (40, 121, 312, 568, 619):
        canvas = Canvas.around((side, side + 3), 0.35, 1.0)
        for length, least in zip(canvas.shape, (side, side + 3), strict=True):
            assert length >= least + 2 * canvas.pad
            assert length % 2 == 0
            left = length
            for factor in (2, 3, 5):
                while left % factor == 0:
                    left //= factor
            assert left == 1, f"{length} has a prime factor that no FFT likes"
