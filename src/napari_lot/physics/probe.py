"""The imaging kernel over depth and its low-rank basis: continuous depth at the price of a few slices (Eqs. 7-10).

``P(q; w) = sum_r c_r(w) Phi_r(q)`` with real, smooth c_r and Hermitian Phi_r. The singular value decomposition of the
real-space kernels is taken through their Gram matrix at Chebyshev depths; the intensity is band-limited along the beam,
so a few of them determine it at every depth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft, interpolate, linalg

from napari_lot.errors import InputError
from napari_lot.job import ProbeSlices
from napari_lot.physics import optics
from napari_lot.settings import Microscope

_BLOCK = 1 << 14  # pixels worked on at once
_WIDEST = 512  # pixels across which a probe is computed for display, however large its defocus


@dataclass(frozen=True)
class DepthBasis:
    """The kernel p(r; w) = |psi(-r; w)|^2 at every depth as a short sum.

    Attributes
    ----------
    transfer : (R, V, U // 2 + 1) complex64
        Phi_r on the rfft2 grid of the canvas. Hermitian, not real: the adjoint uses its conjugate.
    depth_A : (K,) float64
        Uniform knots in Å from the rotation centre, downstream positive.
    coefficients : (K, R) float64
        c_r at the knots; the largest |c_r| is 1.
    polynomial : (K - 1, R, 4) float32
        Cubic pieces: for t = (w - depth_A[k]) / step in [0, 1), c_r(w) = p0 + p1 t + p2 t^2 + p3 t^3, a C2 spline.
    error : float
        Largest |p_basis - p| over pixels and depths, between knots too, relative to the largest p.
    """

    transfer: NDArray[np.complex64]
    depth_A: NDArray[np.float64]
    coefficients: NDArray[np.float64]
    polynomial: NDArray[np.float32]
    error: float

    @property
    def rank(self) -> int:
        """Number of channels R."""
        return len(self.transfer)

    @property
    def step_A(self) -> float:
        """Distance of the knots in Å."""
        return float(self.depth_A[1] - self.depth_A[0])

    def at(self, depth_A: ArrayLike, derivative: int = 0) -> NDArray[np.float64]:
        """c_r at any depths, (N, R) float64, or a derivative of them by w (1/Å^derivative).

        Outside the knots the end pieces go on; the basis is not meant to be used there.
        """
        depth = np.atleast_1d(np.asarray(depth_A, np.float64))
        place = (depth - self.depth_A[0]) / self.step_A
        piece = np.clip(np.floor(place).astype(np.int64), 0, len(self.depth_A) - 2)
        t = (place - piece)[:, None]
        p = self.polynomial[piece].astype(np.float64)
        for _ in range(derivative):
            p = np.concatenate([p[..., 1:] * np.arange(1, 4), np.zeros_like(p[..., :1])], -1) / self.step_A
        return p[..., 0] + t * (p[..., 1] + t * (p[..., 2] + t * p[..., 3]))

    def transfer_at(self, depth_A: float) -> NDArray[np.complex128]:
        """P(q; w) at one depth, (V, U // 2 + 1) complex128."""
        return np.einsum("r,rvu->vu", self.at(depth_A)[0], self.transfer.astype(np.complex128))


def depth_basis(
    microscope: Microscope | None,
    depth_range_A: tuple[float, float],
    shape: tuple[int, int],
    pixel_size_A: float,
    tolerance: float = 1e-4,
) -> DepthBasis:
    """Basis of the smallest rank whose measured error is within ``tolerance`` of the probe's peak.

    Parameters
    ----------
    microscope : Microscope or None
        None is direct projection: one channel, Phi = 1, c = 1.
    depth_range_A : (lo, hi)
        Depths the atoms may take, in Å from the rotation centre.
    shape : (V, U)
        Canvas in pixels, padded so that neither atoms nor the probe's tails wrap around.
    tolerance : float
        Largest error relative to the peak over all pixels and depths. Single precision ends near 1e-6.

    Raises
    ------
    InputError
        Energy or semi-angle is missing.
    ValueError
        Empty depth range or tolerance.
    """
    lo, hi = (float(edge) for edge in depth_range_A)
    if not (np.isfinite(lo) and np.isfinite(hi) and lo <= hi and tolerance > 0):
        raise ValueError(f"depth range {depth_range_A} and tolerance {tolerance} must be finite, ordered and positive")
    if hi - lo < 1.0:  # one flat layer: the knots still need a distance
        lo, hi = 0.5 * (lo + hi) - 0.5, 0.5 * (lo + hi) + 0.5
    if microscope is None:
        polynomial = np.zeros((1, 1, 4), np.float32)
        polynomial[..., 0] = 1.0
        flat = np.ones((1, shape[0], shape[1] // 2 + 1), np.complex64)
        return DepthBasis(flat, np.array([lo, hi]), np.ones((2, 1)), polynomial, 0.0)

    bandwidth = optics.depth_bandwidth_per_A(microscope, shape, pixel_size_A)
    nodes = optics.chebyshev_depths(lo, hi, bandwidth)
    # kernels in real space, one a row: the errors are measured there, at every rank by one matrix product
    kernels = np.empty((len(nodes), shape[0] * shape[1]), np.float32)
    spectra = optics.probe_transfer(microscope, nodes, shape, pixel_size_A)
    for kernel, spectrum in zip(kernels, spectra, strict=True):
        kernel[:] = fft.irfft2(spectrum, s=shape).ravel()
    del spectra
    values, vectors = linalg.eigh(_gram(kernels))
    values, vectors = values[::-1], vectors[:, ::-1]
    # rounding of the single-precision kernels sets a floor below which modes are noise
    most = max(1, int(np.sum(values > 1e-13 * values[0])))
    guess = int(np.sum(values > values[0] * min(0.1, tolerance) ** 2))
    knots = _knots(lo, hi, bandwidth, tolerance)

    rank = min(max(1, guess), most)
    fits = {rank: _Fit(kernels, vectors[:, :rank], nodes, knots)}
    while fits[rank].error > tolerance and rank < most:
        rank += 1
        fits[rank] = _Fit(kernels, vectors[:, :rank], nodes, knots)
    while rank > 1:  # the guess may have been generous
        if rank - 1 not in fits:
            fits[rank - 1] = _Fit(kernels, vectors[:, : rank - 1], nodes, knots)
        if fits[rank - 1].error > tolerance:
            break
        rank -= 1
    best = fits[rank]
    modes = np.empty((rank, kernels.shape[1]))
    for start in range(0, kernels.shape[1], _BLOCK):
        modes[:, start : start + _BLOCK] = best.to_modes.T @ kernels[:, start : start + _BLOCK]
    return DepthBasis(
        np.asarray(fft.rfft2(modes.reshape(rank, *shape)), np.complex64),
        knots,
        best.coefficients,
        best.polynomial,
        best.error,
    )


def probe_slices(
    microscope: Microscope | None,
    depth_A: ArrayLike,
    extent_px: int,
    pixel_size_A: float,
    depth_range_A: tuple[float, float] | None = None,
) -> ProbeSlices:
    """Probe intensity |psi(r; w)|^2 for display: (D, n, n) float32, centred at [n // 2, n // 2], unit sum per slice.

    ``extent_px`` is n; ``microscope`` None is direct projection, a single lit pixel. A probe that is wider than the
    window is cut off by it, not folded back into it. ``depth_range_A`` is for who takes some depths after others: the
    range of all, so that they come as they would together.

    Raises
    ------
    InputError
        Energy or semi-angle is missing, or the window is not at least one pixel.
    """
    if extent_px < 1:
        raise InputError(f"The probe's window needs at least 1 pixel, not {extent_px}.")
    depth = np.atleast_1d(np.asarray(depth_A, np.float64))
    if microscope is None:
        images = np.zeros((len(depth), extent_px, extent_px))
        images[:, extent_px // 2, extent_px // 2] = 1.0
    else:
        reach = depth_range_A or (float(depth.min()), float(depth.max()))
        radius = optics.probe_radius_A(microscope, reach)
        canvas = fft.next_fast_len(max(extent_px, min(int(np.ceil(3.0 * radius / pixel_size_A)), _WIDEST)), real=True)
        images = optics.probe_intensity(microscope, depth, (canvas, canvas), pixel_size_A, single=True)
        window = np.arange(-(extent_px // 2), extent_px - extent_px // 2)  # the optical axis is at [0, 0]
        images = np.ascontiguousarray(images[:, window[:, None], window])
        images = images / images.sum((1, 2), keepdims=True, dtype=np.float64)
    return ProbeSlices(images.astype(np.float32), depth, float(pixel_size_A))


class _Fit:
    """Coefficients on given eigenvectors (D, R) of the Gram matrix, and their measured error."""

    def __init__(
        self,
        kernels: NDArray[np.float32],
        vectors: NDArray[np.float64],
        nodes: NDArray[np.float64],
        knots: NDArray[np.float64],
    ) -> None:
        # orthonormal over the nodes: c_r(w_d) = v_dr and p_r = sum_d v_dr p_d; rescaled so that the largest |c_r| is 1
        half, middle = 0.5 * (knots[-1] - knots[0]), 0.5 * (knots[-1] + knots[0])
        # depths between the nodes and the knots too, denser towards the ends, where errors are largest
        dense = middle - half * np.cos(np.linspace(0.0, np.pi, 4 * len(nodes) + 3))
        from_nodes = optics.interpolation_matrix(nodes, dense)
        scale = np.abs(from_nodes @ vectors).max(0)
        self.to_modes = vectors * scale
        self.coefficients = optics.interpolation_matrix(nodes, knots) @ vectors / scale
        spline = interpolate.CubicSpline(knots, self.coefficients)
        width = knots[1] - knots[0]
        polynomial = np.moveaxis(spline.c[::-1] * (width ** np.arange(4))[:, None, None], 0, -1)
        self.polynomial = np.ascontiguousarray(polynomial, np.float32)
        difference = (spline(dense) @ self.to_modes.T - from_nodes).astype(np.float32)
        worst = peak = 0.0
        for start in range(0, kernels.shape[1], _BLOCK):
            block = kernels[:, start : start + _BLOCK]
            worst = max(worst, float(np.abs(difference @ block).max()))
            peak = max(peak, float(block.max()))
        self.error = worst / peak


def _knots(lo_A: float, hi_A: float, bandwidth_per_A: float, tolerance: float) -> NDArray[np.float64]:
    """Uniform knots: a cubic spline of exp(i b w) errs by (b h)^4 / 384 inside and some 20 times that at its ends."""
    step = (2.0 * min(tolerance, 1e-3)) ** 0.25 / bandwidth_per_A
    return np.linspace(lo_A, hi_A, int(np.ceil((hi_A - lo_A) / step)) + 5)


def _gram(kernels: NDArray[np.float32]) -> NDArray[np.float64]:
    """Inner products of the kernels (D, pixels), summed in double precision."""
    gram = np.zeros((len(kernels), len(kernels)))
    for start in range(0, kernels.shape[1], _BLOCK):
        block = kernels[:, start : start + _BLOCK].astype(np.float64)
        gram += block @ block.T
    return gram
