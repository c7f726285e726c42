"""The pseudo-polar transform against the direct sum, and its adjoint by the dot-product test."""

import numpy as np
import pytest

from napari_lot.voxel.fourier.pseudo_polar import Direct, EqualSlopes, transform

SLOPES = np.arange(-8, 9) / 8
SHAPES = [(12, 15), (13, 16)]


def direct_sum(slices, samples, slopes, steep):
    z, x = (np.arange(n) - (n - 1) / 2 for n in slices.shape[1:])
    near = np.arange(samples // 2)[:, None] / samples * np.ones(len(slopes))
    kx, kz = (near * slopes, near) if steep else (near, near * slopes)
    wave = np.exp(-2j * np.pi * (kx[..., None, None] * x + kz[..., None, None] * z[:, None]))
    return np.einsum("mlzx,szx->mls", wave, slices.astype(float))


def both(shape, steep):
    return Direct(shape, 32, SLOPES, steep), EqualSlopes(shape, 32, 8, steep)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("steep", [False, True])
def test_forward_is_the_direct_sum(shape, steep):
    slices = np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32)
    exact = direct_sum(slices, 32, SLOPES, steep)
    for method in both(shape, steep):
        assert np.abs(method.forward(slices) - exact).max() < 2e-6 * np.abs(exact).max()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("steep", [False, True])
def test_dot_product_of_the_adjoint(shape, steep):
    rng = np.random.default_rng(1)
    slices = rng.normal(size=(3, *shape)).astype(np.float32)
    lines = (rng.normal(size=(16, 17, 3)) + 1j * rng.normal(size=(16, 17, 3))).astype(np.complex64)
    size = np.linalg.norm(slices) * np.linalg.norm(lines)
    for method in both(shape, steep):
        there = np.vdot(method.forward(slices).astype(complex), lines).real
        back = np.vdot(slices.astype(float), method.adjoint(lines))
        assert abs(there) > 1e-2 * size
        assert abs(there - back) < 1e-6 * size


def test_a_large_chirp_keeps_its_phases():
    slices = np.random.default_rng(2).normal(size=(1, 150, 150)).astype(np.float32)
    slopes = np.arange(-300, 301) / 300
    one, other = (
        EqualSlopes((150, 150), 300, 300, False).forward(slices),
        Direct((150, 150), 300, slopes, False).forward(slices),
    )
    assert np.abs(one - other).max() < 2e-6 * np.abs(other).max()


def test_where_many_lines_are_measured_the_chirp_is_taken_and_gives_the_same():
    slices = np.random.default_rng(3).normal(size=(2, 40, 40)).astype(np.float32)
    slopes = np.repeat(np.arange(-20, 21) / 20, 2)[::-1]  # in any order, one line twice
    many, direct = transform((40, 40), 80, slopes, True, 20), Direct((40, 40), 80, slopes, True)
    assert not isinstance(many, Direct)
    lines = many.forward(slices)
    assert np.abs(lines - direct.forward(slices)).max() < 1e-5 * np.abs(lines).max()
    assert np.abs(many.adjoint(lines) - direct.adjoint(lines)).max() < 1e-5 * np.abs(direct.adjoint(lines)).max()
    assert isinstance(transform((40, 40), 80, slopes[:5], True, 20), Direct)
