"""Peaks fitted between the voxels: polynomials and Gaussians in a ball of voxels, neighbours taken away before.

Everything here counts in voxels, z y x. A Gaussian is ``b + h exp(-sum_a ((r_a - c_a) / w_a)^2)``, in the parameters
``(b, h, c_z, c_y, c_x, w_z, w_y, w_x)``.

Sources: polynomials, Yang et al., Nature 592, 60 (2021), Methods; Levenberg-Marquardt, J. J. More, Lecture Notes in
Mathematics 630, 105 (1978).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from napari_lot.voxel.peaks import Floats, Voxels, in_threads

FITTED, NO_MAXIMUM = 0, 1
B, H, Z, W = 0, 1, 2, 5
"""Places of background, height, first coordinate and first width among the parameters."""
_TAIL = 2.6
"""Beyond so many widths a Gaussian is nothing (1e-3)."""
_STEPS = 40
_SETTLED = 1e-5
"""A fit ends where a step is smaller than this in voxels."""


class Neighbours(NamedTuple):
    """Of atom i those that reach into its window: ``index[first[i]:first[i + 1]]``."""

    first: NDArray[np.int64]
    index: NDArray[np.int64]


NOBODY = Neighbours(np.zeros(0, np.int64), np.zeros(0, np.int64))


def neighbours_of(centres: Floats, window: float, width: float) -> Neighbours:
    """Pairs whose Gaussians of about ``width`` reach into each other's windows."""
    pairs = cKDTree(centres).query_pairs(window + _TAIL * width, output_type="ndarray")
    both = np.concatenate([pairs, pairs[:, ::-1]])
    both = both[np.lexsort((both[:, 1], both[:, 0]))]
    first = np.searchsorted(both[:, 0], np.arange(len(centres) + 1))
    return Neighbours(first.astype(np.int64), np.ascontiguousarray(both[:, 1], np.int64))


@njit(cache=True, nogil=True)
def _tables(corner, centre, width, reach, table):  # type: ignore[no-untyped-def]
    """A Gaussian's factor along each axis at all offsets from a corner: voxels then need no exponential."""
    for a in range(3):
        for o in range(2 * reach + 1):
            t = (corner[a] + o - reach - centre[a]) / width[a]
            table[a, o] = np.exp(-t * t)


@njit(cache=True, nogil=True)
def _window(values, corner, offsets, reach, i, peaks, first, index, table, data):  # type: ignore[no-untyped-def]
    """The voxels around a corner into ``data``, without what the neighbours of atom i show there; 0 beyond the volume."""
    planes, rows, columns = values.shape
    for k in range(len(offsets)):
        z, y, x = corner[0] + offsets[k, 0], corner[1] + offsets[k, 1], corner[2] + offsets[k, 2]
        inside = z >= 0 and y >= 0 and x >= 0 and z < planes and y < rows and x < columns
        data[k] = values[z, y, x] if inside else 0.0
    if len(first) == 0:
        return
    for m in range(first[i], first[i + 1]):
        j = index[m]
        _tables(corner, peaks[j, Z:W], peaks[j, W:], reach, table)
        for k in range(len(offsets)):
            g = table[0, offsets[k, 0] + reach] * table[1, offsets[k, 1] + reach] * table[2, offsets[k, 2] + reach]
            data[k] -= peaks[j, H] * g


@njit(cache=True, nogil=True)
def _windows(values, corners, offsets, peaks, first, index, begin, end):  # type: ignore[no-untyped-def]
    found = np.empty((end - begin, len(offsets)))
    reach = np.abs(offsets).max()
    table = np.empty((3, 2 * reach + 1))
    for i in range(begin, end):
        _window(values, corners[i], offsets, reach, i, peaks, first, index, table, found[i - begin])
    return found


# -- polynomials ------------------------------------------------------------------------------------------------------


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
            data = _windows(values, corners, offsets, whose, neighbours.first, neighbours.index, begin, end)
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
def _tops(powers, terms, scale):  # type: ignore[no-untyped-def]
    """Newton's way from the middle to the maximum (N, 3) of each polynomial, its height, and whether it is one there."""
    n = len(terms)
    places, heights, good = np.zeros((n, 3)), np.zeros(n), np.zeros(n, np.bool_)
    highest = powers.max()
    table, slope, bend = np.ones((3, highest + 1)), np.zeros(3), np.zeros((3, 3))
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
            curve, vector = np.linalg.eigh(bend)
            downwards = curve[2] < 0.0
            # where it bends upwards the way still goes up
            steepest = np.abs(curve).max()
            step = np.zeros(3)
            for b in range(3):
                along = 0.0
                for a in range(3):
                    along += vector[a, b] * slope[a]
                for a in range(3):
                    step[a] += vector[a, b] * along / max(abs(curve[b]), 1e-3 * steepest + 1e-300)
            length = np.sqrt((step * step).sum())
            longest = 0.5 / scale
            for a in range(3):
                at[a] = min(max(at[a] + step[a] * min(1.0, longest / max(length, 1e-300)), -1.5), 1.5)
        good[i] = downwards and length < 1e-4 and np.abs(at).max() <= 1.0
    return places, heights, good


# -- Gaussians --------------------------------------------------------------------------------------------------------


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
            values, peaks, offsets, axes, neighbours.first, neighbours.index, usual, strength, _STEPS, chosen[begin:end]
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
    _tables(corner, p[Z:W], width, reach, table)
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
    """Cholesky's solution of (matrix + damping diagonal) step = vector from the lower half; False where there is none."""
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
        _window(values, corner, offsets, reach, i, peaks, first, index, table, data)
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
        _tables(np.zeros(3), p[Z:W], p[W:], reach, table)
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


def common_width(values: Voxels, index: NDArray[np.int64], offsets: NDArray[np.int64], axes: int, first: float) -> Floats:
    """Widths (3,) that peaks have on the average, from the mean of the voxels around their maxima.

    Maxima lie anywhere within their voxels, which blurs the mean and is taken from it. The middle voxel is left out:
    it was chosen for its noise.
    """
    around = offsets[(offsets != 0).any(1)]
    windows = _windows(values, index, around, np.zeros((0, 8)), NOBODY.first, NOBODY.index, 0, len(index))
    reach = int(np.abs(offsets).max())
    mean = np.zeros((2 * reach + 1,) * 3, np.float32)
    mean[tuple((around + reach).T)] = windows.mean(0)
    start = np.array([[mean.min(), np.ptp(mean), reach, reach, reach, first, first, first]])
    found, _, status = fit_gaussians(mean, start, around, axes)
    if status[0] != FITTED:
        return np.full(3, first)
    return np.sqrt(np.maximum(found[0, W:] ** 2 - 1 / 6, 0.25))


# -- integrals --------------------------------------------------------------------------------------------------------


def integrals(
    values: Voxels,
    peaks: Floats,
    widths: Floats,
    radius: float,
    shell: float,
    box: bool = False,
    local: bool = True,
    neighbours: Neighbours = NOBODY,
) -> tuple[Floats, Floats, Floats]:
    """What a volume shows of each peak in a sphere or box about it, its neighbours and the level around taken away.

    Parameters
    ----------
    values : (Z, Y, X) float32
    peaks : (N, 8) float64
    widths : (3,) float64
        Of the Gaussian that a peak is taken for where its share and its tail are wanted.
    radius : float
        Of the sphere, or half the side of the box; voxels at its surface count in part.
    shell : float
        The level around is the median of what lies up to this far beyond, without the peak's own tail.
    box, local : bool
        A box instead; whether that level is taken away.
    neighbours : Neighbours
        Whose Gaussians are taken away.

    Returns
    -------
    total : (N,) float64
        The sum.
    share : (N,) float64
        Part of such a Gaussian that lies there, as its voxels add it up.
    level : (N,) float64
        What was taken away in every voxel.
    """
    n = int(np.ceil(radius + shell + 0.5))
    z, y, x = np.mgrid[-n : n + 1, -n : n + 1, -n : n + 1]
    offsets = np.stack([z.ravel(), y.ravel(), x.ravel()], 1).astype(np.int64)
    reach = np.abs(offsets).max(1) if box else np.sqrt((offsets**2).sum(1))
    offsets = offsets[reach <= radius + shell + np.sqrt(0.75)]

    def work(begin: int, end: int) -> tuple[Floats, Floats, Floats]:
        return _integrals(
            values, peaks, widths, offsets, radius, shell, box, local, neighbours.first, neighbours.index, begin, end
        )

    parts = in_threads(work, len(peaks), 200)
    total, share, level = (np.concatenate(column) for column in zip(*parts, strict=True))
    return total, share, level


@njit(cache=True, nogil=True)
def _integrals(values, peaks, widths, offsets, radius, shell, box, local, first, index, begin, end):  # type: ignore[no-untyped-def]
    planes, rows, columns = values.shape
    reach = np.abs(offsets).max()
    table = np.empty((3, 2 * reach + 1))
    totals, shares, levels = np.zeros(end - begin), np.zeros(end - begin), np.zeros(end - begin)
    around, data = np.empty(len(offsets)), np.empty(len(offsets))
    corner = np.zeros(3, np.int64)
    for i in range(begin, end):
        p = peaks[i]
        for a in range(3):
            corner[a] = int(np.rint(p[Z + a]))
        _window(values, corner, offsets, reach, i, peaks, first, index, table, data)
        _tables(corner, p[Z:W], widths, reach, table)
        beyond, inner, weight, share = 0, 0.0, 0.0, 0.0
        for k in range(len(offsets)):
            z, y, x = corner[0] + offsets[k, 0], corner[1] + offsets[k, 1], corner[2] + offsets[k, 2]
            if z < 0 or y < 0 or x < 0 or z >= planes or y >= rows or x >= columns:
                continue
            dz, dy, dx = z - p[Z], y - p[Z + 1], x - p[Z + 2]
            away = max(abs(dz), abs(dy), abs(dx)) if box else np.sqrt(dz * dz + dy * dy + dx * dx)
            part = min(max(radius + 0.5 - away, 0.0), 1.0)
            g = table[0, offsets[k, 0] + reach] * table[1, offsets[k, 1] + reach] * table[2, offsets[k, 2] + reach]
            inner, weight, share = inner + part * data[k], weight + part, share + part * g
            if local and radius < away <= radius + shell:
                around[beyond] = data[k] - p[H] * g
                beyond += 1
        levels[i - begin] = np.median(around[:beyond]) if beyond > 0 else 0.0
        totals[i - begin] = inner - weight * levels[i - begin]
        shares[i - begin] = share / (np.pi**1.5 * widths[0] * widths[1] * widths[2])
    return totals, shares, levels
