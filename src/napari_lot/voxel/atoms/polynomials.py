"""The maximum of a polynomial that is fitted to the voxels around a peak.

Source: Yang et al., Nature 592, 60 (2021), Methods.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from napari_lot.voxel.atoms.peaks import Floats, Voxels, in_threads
from napari_lot.voxel.atoms.windows import FITTED, NO_MAXIMUM, NOBODY, Neighbours, windows


def powers_of(degree: int) -> NDArray[np.int64]:
    """Exponents (K, 3) of all monomials up to a degree."""
    n = degree + 1
    return np.array([p for p in np.ndindex(n, n, n) if sum(p) <= degree], np.int64)


def _monomials(powers: NDArray[np.int64], at: Floats) -> Floats:
    """Monomials (N, K) at points (N, 3)."""
    return np.asarray((at[:, None, :] ** powers[None]).prod(2), np.float64)


def fit_polynomials(
    values: Voxels,
    start: Floats,
    offsets: NDArray[np.int64],
    degree: int,
    peaks: Floats | None = None,
    neighbours: Neighbours = NOBODY,
) -> tuple[Floats, Floats, Floats, NDArray[np.int64]]:
    """The maximum of a polynomial that is fitted by least squares to the voxels around each start.

    The window is moved to the voxel nearest to the maximum up to twice, so that it lies about the peak.

    Parameters
    ----------
    values : (Z, Y, X) float32
    start : (N, 3) float64
        Windows around the nearest voxels must lie in the volume; they stay there as far as it reaches.
    offsets : (M, 3) int64
        The window.
    degree : int
    peaks, neighbours : optional
        Parameters of all atoms, and whose Gaussians are taken away.

    Returns
    -------
    position : (N, 3) float64
    height : (N,) float64
        Of the polynomial there.
    residual : (N,) float64
        Root mean square difference of the window from the polynomial.
    status : (N,) int64
        ``FITTED`` or ``NO_MAXIMUM``.
    """
    scale = max(1.0, float(np.abs(offsets).max()))
    powers = powers_of(degree)
    design = _monomials(powers, offsets / scale)
    inverse = np.linalg.pinv(design)
    edge = np.abs(offsets).max(0)
    shape = np.array(values.shape)
    whose = np.zeros((0, 8)) if peaks is None else peaks

    def work(begin: int, end: int) -> tuple[Floats, Floats, Floats, NDArray[np.int64]]:
        corners = np.rint(start).astype(np.int64)
        position, height, residual = start[begin:end].copy(), np.zeros(end - begin), np.zeros(end - begin)
        status = np.full(end - begin, NO_MAXIMUM, np.int64)
        for _ in range(3):
            data = windows(values, corners, offsets, whose, neighbours.first, neighbours.other, begin, end)
            terms = data @ inverse.T
            at, height, good = _tops(powers, terms, scale)
            status = np.where(good, FITTED, NO_MAXIMUM)
            position = corners[begin:end] + at * scale
            residual = np.sqrt(np.mean((data - terms @ design.T) ** 2, axis=1))
            nearest = np.clip(np.rint(position).astype(np.int64), edge, shape - 1 - edge)
            moved = good & (nearest != corners[begin:end]).any(1)
            if not moved.any():
                break
            corners[begin:end][moved] = nearest[moved]
        return position, height, residual, status

    parts = in_threads(work, len(start), 500)
    position, height, residual, status = (np.concatenate(column) for column in zip(*parts, strict=True))
    return position, height, residual, status


@njit(cache=True, nogil=True)
def _uphill(bend, slope, step):  # type: ignore[no-untyped-def]
    """Newton's step to a maximum; whether the curvature is that of one. Where it is not, a step that goes up."""
    least, downwards = 0.0, True
    for attempt in range(2):
        a, b, c = least - bend[0, 0], least - bend[1, 1], least - bend[2, 2]
        d, e, f = -bend[0, 1], -bend[0, 2], -bend[1, 2]
        two, three = a * b - d * d, a * (b * c - f * f) - d * (d * c - f * e) + e * (d * f - b * e)
        if a > 0.0 and two > 0.0 and three > 0.0:
            break
        if attempt == 0:
            downwards = False
            for i in range(3):  # no curvature is larger than the largest sum of a row
                least = max(least, 1.1 * np.abs(bend[i]).sum() + 1e-100)
    x, y, z = slope
    step[0] = ((b * c - f * f) * x + (e * f - d * c) * y + (d * f - b * e) * z) / three
    step[1] = ((e * f - d * c) * x + (a * c - e * e) * y + (d * e - a * f) * z) / three
    step[2] = ((d * f - b * e) * x + (d * e - a * f) * y + two * z) / three
    return downwards


@njit(cache=True, nogil=True)
def _tops(powers, terms, scale):  # type: ignore[no-untyped-def]
    """Newton's way from the middle to the maximum (N, 3) of polynomials, their heights there, whether it is one."""
    n = len(terms)
    places, heights, good = np.zeros((n, 3)), np.zeros(n), np.zeros(n, np.bool_)
    highest = powers.max()
    table, slope, bend, step = np.ones((3, highest + 1)), np.zeros(3), np.zeros((3, 3)), np.zeros(3)
    for i in range(n):
        at, length, downwards = places[i], 1.0, False
        for _ in range(25):
            for a in range(3):
                for k in range(highest):
                    table[a, k + 1] = table[a, k] * at[a]
            value = 0.0
            slope[:] = 0.0
            bend[:] = 0.0
            for k in range(len(powers)):
                c = terms[i, k]
                value += c * table[0, powers[k, 0]] * table[1, powers[k, 1]] * table[2, powers[k, 2]]
                for a in range(3):
                    p = powers[k, a]
                    u, v = (a + 1) % 3, (a + 2) % 3
                    m, o = powers[k, u], powers[k, v]
                    if p > 0:
                        slope[a] += c * p * table[a, p - 1] * table[u, m] * table[v, o]
                    if p > 1:
                        bend[a, a] += c * p * (p - 1) * table[a, p - 2] * table[u, m] * table[v, o]
                    if p > 0 and m > 0:
                        bend[a, u] += c * p * m * table[a, p - 1] * table[u, m - 1] * table[v, o]
            for a in range(3):
                bend[(a + 1) % 3, a] = bend[a, (a + 1) % 3]
            heights[i] = value
            if length < 1e-7:
                break
            downwards = _uphill(bend, slope, step)
            length = np.sqrt((step * step).sum())
            longest = 0.5 / scale
            for a in range(3):
                at[a] = min(max(at[a] + step[a] * min(1.0, longest / max(length, 1e-300)), -1.5), 1.5)
        good[i] = downwards and length < 1e-4 and np.abs(at).max() <= 1.0
    return places, heights, good
