"""The depth basis against the exact kernel at depths it never saw, and the sliced model against the continuous one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import fft

from napari_lot.errors import InputError
from napari_lot.physics import optics
from napari_lot.physics.probe import depth_basis, probe_slices
from napari_lot.physics.sliced import SlicedModel, continuous_image
from napari_lot.settings import Microscope

PLAIN = Microscope(energy_eV=3e5, semiangle_mrad=25)
COMATIC = Microscope(
    energy_eV=3e5, semiangle_mrad=25, defocus_A=8, c12_A=10, phi12_deg=40, c21_A=1200, phi21_deg=30, c30_A=3e4
)
CASES = {
    "plain": (PLAIN, (-45.0, 45.0), (128, 120), 0.35),
    "comatic": (COMATIC, (-30.0, 50.0), (127, 121), 0.35),
    "partially coherent": (
        COMATIC.model_copy(update={"source_size_A": 0.7, "focal_spread_A": 30.0}), (-45.0, 45.0), (96, 96), 0.3,
    ),
    "fine pixels": (COMATIC, (-15.0, 15.0), (128, 130), 0.12),
    "deep": (PLAIN, (-200.0, 150.0), (200, 200), 0.35),
}  # fmt: skip


@pytest.mark.parametrize("tolerance", [1e-3, 1e-4, 1e-5])
@pytest.mark.parametrize("name", CASES)
def test_basis_keeps_its_tolerance_at_random_depths(name: str, tolerance: float) -> None:
    microscope, (lo, hi), shape, pixel = CASES[name]
    basis = depth_basis(microscope, (lo, hi), shape, pixel, tolerance)
    depths = np.r_[lo, hi, np.random.default_rng(1).uniform(lo, hi, 14)]
    exact = fft.irfft2(optics.probe_transfer(microscope, depths, shape, pixel), s=shape)
    ours = fft.irfft2(np.array([basis.transfer_at(w) for w in depths]), s=shape)
    measured = np.abs(ours - exact).max() / exact.max()
    assert measured <= tolerance
    assert basis.error <= tolerance
    # what it says about itself is what is measured
    assert measured <= 1.3 * basis.error + 2e-7


@pytest.mark.parametrize("name", ["plain", "comatic"])
def test_rank_is_the_smallest(name: str) -> None:
    microscope, depth_range, shape, pixel = CASES[name]
    basis = depth_basis(microscope, depth_range, shape, pixel, 1e-4)
    # no basis with one channel less can do it: the best there is in the mean already errs more at its worst
    depths = np.linspace(*depth_range, 61)
    exact = fft.irfft2(optics.probe_transfer(microscope, depths, shape, pixel), s=shape).reshape(61, -1)
    u, s, vt = np.linalg.svd(exact, full_matrices=False)
    r = basis.rank - 1
    assert np.abs((u[:, :r] * s[:r]) @ vt[:r] - exact).max() / exact.max() > 1e-4


def test_basis_layout() -> None:
    basis = depth_basis(COMATIC, (-30, 50), (64, 66), 0.35)
    r, k = basis.rank, len(basis.depth_A)
    assert basis.transfer.shape == (r, 64, 34)
    assert basis.transfer.dtype == np.complex64
    assert basis.coefficients.shape == (k, r)
    assert basis.polynomial.shape == (k - 1, r, 4)
    assert basis.polynomial.dtype == np.float32
    assert (basis.depth_A[0], basis.depth_A[-1]) == pytest.approx((-30, 50))
    np.testing.assert_allclose(np.diff(basis.depth_A), basis.step_A)
    np.testing.assert_allclose(basis.at(basis.depth_A), basis.coefficients, atol=1e-6)
    # Hermitian, yet not real: the image of coma
    assert np.abs(basis.transfer.imag).max() > 0.05


def test_pieces_join_smoothly_to_the_second_derivative() -> None:
    basis = depth_basis(COMATIC, (-30, 50), (64, 64), 0.35)
    inner, tiny = basis.depth_A[1:-1], 1e-9
    for derivative, slack in ((0, 1e-6), (1, 1e-5), (2, 1e-4)):
        left, right = basis.at(inner - tiny, derivative), basis.at(inner + tiny, derivative)
        np.testing.assert_allclose(left, right, atol=slack)
    depths = np.linspace(-29, 49, 50)
    slope = (basis.at(depths + 1e-3) - basis.at(depths - 1e-3)) / 2e-3
    np.testing.assert_allclose(basis.at(depths, 1), slope, atol=1e-4)


def test_kernel_is_the_mirrored_probe() -> None:
    shape = (64, 64)
    basis = depth_basis(COMATIC, (-20, 20), shape, 0.15, 1e-5)
    kernel = fft.irfft2(basis.transfer_at(10.0), s=shape)
    probe = optics.probe_intensity(COMATIC, [10.0], shape, 0.15)[0]
    mirrored = np.roll(probe[::-1, ::-1], (1, 1), (0, 1))
    np.testing.assert_allclose(kernel, mirrored, atol=2e-5 * probe.max())
    assert np.abs(kernel - probe).max() > 0.2 * probe.max()


def test_direct_projection_is_one_flat_channel() -> None:
    basis = depth_basis(None, (-40, 40), (32, 30), 0.5)
    assert basis.rank == 1
    np.testing.assert_array_equal(basis.transfer, np.ones((1, 32, 16)))
    np.testing.assert_array_equal(basis.at([-60.0, 0.0, 39.0]), np.ones((3, 1)))
    assert basis.error == 0


def test_one_flat_layer_and_bad_ranges() -> None:
    basis = depth_basis(PLAIN, (3.0, 3.0), (64, 64), 0.35)
    exact = optics.probe_transfer(PLAIN, [3.0], (64, 64), 0.35)[0]
    assert np.abs(basis.transfer_at(3.0) - exact).max() < 1e-3
    for bad in ((5.0, -5.0), (0.0, np.nan)):
        with pytest.raises(ValueError, match="depth range"):
            depth_basis(PLAIN, bad, (64, 64), 0.35)
    with pytest.raises(InputError, match="--energy"):
        depth_basis(Microscope(), (-5, 5), (64, 64), 0.35)


def test_probe_slices_for_display() -> None:
    slices = probe_slices(COMATIC, [-10.0, 0.0, 8.0], 41, 0.2)
    assert slices.images.shape == (3, 41, 41)
    assert slices.images.dtype == np.float32
    np.testing.assert_allclose(slices.images.sum((1, 2)), 1.0, atol=1e-5)
    direct = probe_slices(None, [0.0], 8, 0.2).images[0]
    assert direct[4, 4] == 1
    assert direct.sum() == 1
    with pytest.raises(InputError, match="at least 1 pixel"):
        probe_slices(PLAIN, [0.0], 0, 0.2)


def test_a_window_narrower_than_the_probe_shows_its_middle() -> None:
    # 150 Å from focus the probe is 7.5 Å wide; a window of 4 Å must show what a wide one shows there
    narrow = probe_slices(PLAIN, [150.0, 0.0], 20, 0.2).images
    wide = probe_slices(PLAIN, [150.0, 0.0], 320, 0.2).images[:, 150:170, 150:170]
    wide = wide / wide.sum((1, 2), keepdims=True)
    np.testing.assert_allclose(narrow, wide, atol=0.03 * wide[0].max())


def _column(lo: float, hi: float, count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A row of atoms that fills the depth evenly, a little inclined."""
    w = torch.linspace(lo, hi, 2 * count + 1, dtype=torch.float64)[1::2]
    uvw = torch.stack([0.7 + 0.01 * w, -0.4 + 0 * w, w], 1)
    return uvw, torch.ones_like(w), torch.full_like(w, 0.6)


def test_slices_converge_quadratically_to_the_continuous_depth() -> None:
    shape, pixel, (lo, hi) = (80, 84), 0.3, (-24.0, 24.0)
    atoms = _column(lo, hi, 512)
    exact = continuous_image(depth_basis(COMATIC, (lo, hi), shape, pixel, 1e-6), *atoms, shape, pixel)
    differences = []
    for thickness in (6.0, 3.0, 1.5, 0.75):
        model = SlicedModel(COMATIC, (lo, hi), thickness, shape, pixel)
        differences.append(float((model.image(*atoms) - exact).abs().max() / exact.max()))
    ratios = np.array(differences[:-1]) / differences[1:]
    assert differences[0] < 0.1
    assert (ratios >= 3.5).all(), (differences, ratios)


def test_slices_agree_atom_by_atom_at_their_midpoints() -> None:
    shape, pixel = (64, 60), 0.35
    model = SlicedModel(COMATIC, (-12.0, 12.0), 4.0, shape, pixel)
    np.testing.assert_allclose(model.depth_A, [-10, -6, -2, 2, 6, 10])
    w = torch.from_numpy(model.depth_A)
    uvw = torch.stack([w / 3, -w / 4, w], 1)
    atoms = (uvw, 1 + 0.05 * w, torch.full_like(w, 0.55))
    basis = depth_basis(COMATIC, (-12, 12), shape, pixel, 1e-6)
    exact = continuous_image(basis, *atoms, shape, pixel)
    assert (model.image(*atoms) - exact).abs().max() < 1e-6 * exact.max()


def test_direct_image_is_the_gaussian_itself() -> None:
    shape, pixel, centre = (48, 50), 0.25, (20.0, 27.5)
    uvw = torch.tensor([[1.1, -0.6, 9.0]], dtype=torch.float64)
    model = SlicedModel(None, (-10, 10), 5.0, shape, pixel, centre)
    image = model.image(uvw, torch.tensor([2.0]).double(), torch.tensor([0.8]).double()).numpy()
    v = (np.arange(48) - 20.0) * pixel + 0.6
    u = (np.arange(50) - 27.5) * pixel - 1.1
    expected = 2.0 * np.exp(-(v[:, None] ** 2 + u[None] ** 2) / 0.8**2)
    np.testing.assert_allclose(image, expected, atol=1e-7)


def test_continuous_image_differentiates_along_the_beam() -> None:
    shape, pixel = (40, 44), 0.3
    basis = depth_basis(COMATIC, (-20, 20), shape, pixel, 1e-6)
    target = torch.from_numpy(np.random.default_rng(3).normal(size=shape))
    uvw = torch.tensor([[0.3, 0.1, -7.3], [-1.0, 0.8, 11.1]], dtype=torch.float64, requires_grad=True)
    height = torch.tensor([1.0, 1.4], dtype=torch.float64, requires_grad=True)
    width = torch.tensor([0.5, 0.6], dtype=torch.float64, requires_grad=True)

    def loss(p: torch.Tensor, h: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (continuous_image(basis, p, h, b, shape, pixel) * target).sum()

    assert torch.autograd.gradcheck(loss, (uvw, height, width), eps=1e-5, atol=1e-6)
    # and the slope is that of the exact kernel, not of the spline
    w = np.array([-7.3 - 0.01, -7.3 + 0.01])
    exact = SlicedModel(COMATIC, (w[0] - 0.01, w[1] + 0.01), 0.02, shape, pixel)
    np.testing.assert_allclose(exact.depth_A, w)
    moved = [torch.tensor([[0.3, 0.1, depth]], dtype=torch.float64) for depth in w]
    low, high = (float((exact.image(m, height[:1].detach(), width[:1].detach()) * target).sum()) for m in moved)
    gradient = torch.autograd.grad(loss(uvw, height, width), uvw)[0]
    assert float(gradient[0, 2]) == pytest.approx((high - low) / 0.02, rel=1e-3)
