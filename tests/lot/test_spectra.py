"""Pairs of real channels in one complex transform, against each channel's own."""

import numpy as np
import pytest

from napari_lot.lot.render import spectra

SHAPE = (18, 20)


@pytest.fixture(params=[1, 2, 3])
def channels(request):
    """Real channels, transfer functions of real kernels, and those as pairs."""
    rng = np.random.default_rng(request.param)
    x = rng.normal(size=(2 * request.param, *SHAPE)).astype(np.float32)
    transfer = np.fft.rfft2(rng.normal(size=x.shape))
    return x, transfer, spectra.PairTransfer.of(transfer)


def test_pairs_combine_to_what_channels_do(channels):
    x, transfer, pairs = channels
    z = np.fft.fft2(x[::2] + 1j * x[1::2]).astype(np.complex64)
    found = np.empty((SHAPE[0], SHAPE[1] // 2 + 1), np.complex64)
    spectra.combine(z, *pairs, found)
    expected = (np.fft.rfft2(x) * transfer).sum(0)
    np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(expected).max())


def test_the_way_back_is_that_of_channels(channels):
    x, transfer, pairs = channels
    image = np.random.default_rng(9).normal(size=SHAPE)
    seen = np.fft.rfft2(image)
    found = np.empty((len(x) // 2, *SHAPE), np.complex64)
    spectra.apart(seen.astype(np.complex64), *pairs, found)
    expected = np.fft.irfft2(seen * transfer.conj(), s=SHAPE)
    back = np.fft.ifft2(found)
    for k, part in ((0, back.real), (1, back.imag)):
        np.testing.assert_allclose(part, expected[k::2], atol=1e-6 * np.abs(expected).max())


def test_a_transfer_that_is_no_kernels_goes_back_as_a_real_transform_takes_it():
    """At the sampling limit an aberrated probe need not be its own conjugate: what is real of it counts."""
    rng = np.random.default_rng(4)
    half = (SHAPE[0], SHAPE[1] // 2 + 1)
    transfer = rng.normal(size=(2, *half)) + 1j * rng.normal(size=(2, *half))
    seen = np.fft.rfft2(rng.normal(size=SHAPE))
    found = np.empty((1, *SHAPE), np.complex64)
    spectra.apart(seen.astype(np.complex64), *spectra.PairTransfer.of(transfer), found)
    expected = np.fft.irfft2(seen * transfer.conj(), s=SHAPE)
    back = np.fft.ifft2(found[0])
    np.testing.assert_allclose(back.real, expected[0], atol=1e-6 * np.abs(expected).max())
    np.testing.assert_allclose(back.imag, expected[1], atol=1e-6 * np.abs(expected).max())


def test_filters_and_their_gradient():
    rng = np.random.default_rng(5)
    one, other = ((rng.normal(size=(6, 5)) + 1j * rng.normal(size=(6, 5))).astype(np.complex64) for _ in range(2))
    factor = rng.normal(size=(6, 5)).astype(np.float32)
    out = other.copy()
    spectra.filtered(one, factor, True, out)
    np.testing.assert_allclose(out, other + factor * one, rtol=1e-5, atol=1e-6)
    spectra.filtered(one, factor, False, out)
    np.testing.assert_allclose(out, factor * one, rtol=1e-5, atol=1e-6)
    total = factor.copy()
    spectra.add_product(one, other, total)
    np.testing.assert_allclose(total, factor + (one.conj() * other).real, rtol=1e-5, atol=1e-5)
