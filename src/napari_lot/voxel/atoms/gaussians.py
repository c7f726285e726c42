"""Gaussians fitted to the voxels around peaks, by Levenberg's and Marquardt's steps.

Source: J. J. Moré, Lecture Notes in Mathematics 630, 105 (1978).
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from napari_lot.voxel.atoms.peaks import Floats, Voxels, in_threads
from napari_lot.voxel.atoms.windows import (
    FITTED,
    NO_MAXIMUM,
    NOBODY,
    B,
    H,
    Neighbours,
    W,
    Z,
    tables_of,
    window_of,
    windows,
)

_STEPS = 40
_SETTLED = 1e-5
"""A fit ends where a step is smaller than this in voxels."""


def fit_gaussians(
    values: Voxels,
    peaks: Floats,
    offsets: NDArray[np.int64],
    axes: int = 1,
    neighbours: Neighbours = NOBODY,
    usual_width: Floats | None = None,
    pull: float = 0.0,
    only: NDArray[np.int64] | None = None,
) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Gaussians fitted by least squares (Levenberg-Marquardt) to the voxels around each start.

    Parameters
    ----------
    values : (Z, Y, X) float32
    peaks : (N, 8) float64
        Parameters to begin with. The windows around the nearest voxels must lie in the volume.
    offsets : (M, 3) int64
        The window.
    axes : int
        1 for one width, 3 for widths along z, y and x.
    neighbours : Neighbours
        Whose Gaussians are taken away before.
    usual_width : (3,) float64, optional
        Expected widths, to which each is drawn: ``pull`` times its relative difference is a residual beside those of
        the voxels. (Of expected scatter s where voxels have a standard deviation n, it is n / s.)
    only : (K,) int64, optional
        Indices of those that are fitted; then the results are theirs.

    Returns
    -------
    peaks : (N, 8) float64
    residual : (N,) float64
        Root mean square difference of the window from the Gaussian.
    status : (N,) int64
        ``FITTED`` or ``NO_MAXIMUM``: no height above the background, a width beyond bounds, or a way out of the window.
    """
    strength = 0.0 if usual_width is None else pull
    chosen = np.arange(len(peaks)) if only is None else only
    usual = np.zeros(3) if usual_width is None else np.asarray(usual_width, np.float64)

    def work(begin: int, end: int) -> tuple[Floats, Floats, NDArray[np.int64]]:
        return _gaussians(
            values, peaks, offsets, axes, neighbours.first, neighbours.other, usual, strength, _STEPS, chosen[begin:end]
        )

    parts = in_threads(work, len(chosen), 200)
    found, residual, status = (np.concatenate(column) for column in zip(*parts, strict=True))
    return found, residual, status


@njit(cache=True, nogil=True)
def _misfit(data, offsets, reach, p, axes, usual, pull, table, matrix, vector):  # type: ignore[no-untyped-def]
    """Sum of squares of ``data - Gaussian`` and of the pull on the widths; fills the normal equations' lower half."""
    n = 5 + axes
    slope = np.zeros(8)
    total = 0.0
    matrix[:] = 0.0
    vector[:] = 0.0
    wz, wy, wx = p[W], p[W], p[W]
    if axes == 3:
        wy, wx = p[W + 1], p[W + 2]
    corner, width = np.zeros(3), np.array([wz, wy, wx])
    tables_of(corner, p[Z:W], width, reach, table)
    for k in range(len(offsets)):
        oz, oy, ox = offsets[k, 0], offsets[k, 1], offsets[k, 2]
        g = table[0, oz + reach] * table[1, oy + reach] * table[2, ox + reach]
        tz, ty, tx = (oz - p[Z]) / wz, (oy - p[Z + 1]) / wy, (ox - p[Z + 2]) / wx
        r = data[k] - p[B] - p[H] * g
        total += r * r
        steep = 2.0 * p[H] * g
        slope[B], slope[H] = 1.0, g
        slope[Z], slope[Z + 1], slope[Z + 2] = steep * tz / wz, steep * ty / wy, steep * tx / wx
        if axes == 3:
            slope[W], slope[W + 1], slope[W + 2] = slope[Z] * tz, slope[Z + 1] * ty, slope[Z + 2] * tx
        else:
            slope[W] = steep * (tz * tz + ty * ty + tx * tx) / wz
        for a in range(n):
            vector[a] += slope[a] * r
            for b in range(a + 1):
                matrix[a, b] += slope[a] * slope[b]
    if pull > 0.0:
        for a in range(axes):
            r, s = pull * (1.0 - p[W + a] / usual[a]), pull / usual[a]
            total += r * r
            vector[W + a] += s * r
            matrix[W + a, W + a] += s * s
    return total


@njit(cache=True, nogil=True)
def _solved(matrix, vector, damping, n, step):  # type: ignore[no-untyped-def]
    """Cholesky's solution of (matrix + damping diagonal) step = vector of lower halves; False where there is none."""
    lower = np.zeros((8, 8))
    for a in range(n):
        for b in range(a + 1):
            s = matrix[a, b]
            if a == b:
                s += damping * matrix[a, a]
            for c in range(b):
                s -= lower[a, c] * lower[b, c]
            if a == b:
                if not s > 1e-14 * matrix[a, a]:
                    return False
                lower[a, a] = np.sqrt(s)
            else:
                lower[a, b] = s / lower[b, b]
    for a in range(n):
        s = vector[a]
        for c in range(a):
            s -= lower[a, c] * step[c]
        step[a] = s / lower[a, a]
    for a in range(n - 1, -1, -1):
        s = step[a]
        for c in range(a + 1, n):
            s -= lower[c, a] * step[c]
        step[a] = s / lower[a, a]
    return True


@njit(cache=True, nogil=True)
def _gaussians(values, peaks, offsets, axes, first, index, usual, pull, steps, chosen):  # type: ignore[no-untyped-def]
    n = 5 + axes
    reach = np.abs(offsets).max()
    table = np.empty((3, 2 * reach + 1))
    found, residual, status = np.empty((len(chosen), 8)), np.empty(len(chosen)), np.zeros(len(chosen), np.int64)
    data = np.empty(len(offsets))
    matrix, vector, step = np.zeros((8, 8)), np.zeros(8), np.zeros(8)
    other, towards = np.zeros((8, 8)), np.zeros(8)
    corner = np.zeros(3, np.int64)
    for at in range(len(chosen)):
        i = chosen[at]
        for a in range(3):
            corner[a] = int(np.rint(peaks[i, Z + a]))
        window_of(values, corner, offsets, reach, i, peaks, first, index, table, data)
        p = peaks[i].copy()
        for a in range(3):
            p[Z + a] -= corner[a]
        damping = 1e-3
        score = _misfit(data, offsets, reach, p, axes, usual, pull, table, matrix, vector)
        for _ in range(steps):
            inside = _solved(matrix, vector, damping, n, step)
            tried = p.copy()
            tried[:n] += step[:n]
            for a in range(axes):
                inside = inside and 0.3 < tried[W + a] < 4.0 * (reach + 1.0)
            for a in range(3):
                inside = inside and abs(tried[Z + a]) <= reach + 1.0
            if inside:
                reached = _misfit(data, offsets, reach, tried, axes, usual, pull, table, other, towards)
            if not inside or not reached <= score:
                damping = max(5.0 * damping, 1e-8)
                if damping > 1e8:
                    break
                continue
            p, score = tried, reached
            matrix, other = other, matrix
            vector, towards = towards, vector
            damping = max(0.1 * damping, 1e-9)
            far = 0.0
            for a in range(axes + 3):
                far = max(far, abs(step[Z + a]))
            if far < _SETTLED:
                break
        if axes == 1:
            p[W + 1] = p[W + 2] = p[W]
        total, out, wide, slim = 0.0, 0.0, 0.0, np.inf
        for a in range(3):
            out, wide, slim = max(out, abs(p[Z + a])), max(wide, p[W + a]), min(slim, p[W + a])
        tables_of(np.zeros(3), p[Z:W], p[W:], reach, table)
        for k in range(len(offsets)):
            g = table[0, offsets[k, 0] + reach] * table[1, offsets[k, 1] + reach] * table[2, offsets[k, 2] + reach]
            total += (data[k] - p[B] - p[H] * g) ** 2
        fits = p[H] > 0.0 and out <= reach and wide < 3.0 * (reach + 1.0) and slim > 0.35
        if not (fits and np.isfinite(total)):
            status[at] = NO_MAXIMUM
        for a in range(3):
            p[Z + a] += corner[a]
        found[at], residual[at] = p, np.sqrt(total / len(offsets))
    return found, residual, status


def common_width(
    values: Voxels, index: NDArray[np.int64], offsets: NDArray[np.int64], axes: int, first: float
) -> Floats:
    """Widths (3,) that peaks have on the average, from the mean of the voxels around their maxima.

    Maxima lie anywhere within their voxels, which blurs the mean and is taken from it. The middle voxel is left out:
    it was chosen for its noise.
    """
    around = offsets[(offsets != 0).any(1)]
    seen = windows(values, index, around, np.zeros((0, 8)), NOBODY.first, NOBODY.other, 0, len(index))
    reach = int(np.abs(offsets).max())
    mean = np.zeros((2 * reach + 1,) * 3, np.float32)
    mean[tuple((around + reach).T)] = seen.mean(0)
    start = np.array([[mean.min(), np.ptp(mean), reach, reach, reach, first, first, first]])
    found, _, status = fit_gaussians(mean, start, around, axes)
    if status[0] != FITTED:
        return np.full(3, first)
    return np.sqrt(np.maximum(found[0, W:] ** 2 - 1 / 6, 0.25))
