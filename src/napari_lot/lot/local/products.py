"""Sums of the weights of pixels times the products of two derivatives of an atom's image, for single atoms.

For thousands of atoms ``lot.precision`` takes FFTs of whole images; a few are quicker to sum up one by one.
"""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray

LOST = 1e-4
"""Part of a product's absolute sum that may lie outside the window that is kept of it."""


def windows(images: NDArray[np.float64]) -> NDArray[np.float32]:
    """The middle (M, D, D) of images (M, V, U) whose origin is their first pixel, as wide as they need."""
    rows, columns = images.shape[1:]
    most = min(rows, columns) // 2 - 1
    centred = np.fft.fftshift(images, axes=(1, 2))
    v, u = rows // 2, columns // 2
    size = np.abs(centred)
    total = np.maximum(size.sum((1, 2)), 1e-300)
    half = most
    for r in range(1, most):
        inside = size[:, v - r : v + r + 1, u - r : u + r + 1].sum((1, 2))
        if (inside >= (1.0 - LOST) * total).all():
            half = r
            break
    return np.ascontiguousarray(centred[:, v - half : v + half + 1, u - half : u + half + 1], np.float32)


@nb.njit(nogil=True, fastmath=True, cache=True)
def correlate(weights, places, kernels, first, step, found):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """``found[t, i, m] = sum_p W_t(p) K_m(p - p_i)``, between pixels by bilinear interpolation of the sum.

    Parameters
    ----------
    weights : (T, V, U) float32
    places : (T, N, 2) float64, row and column
    kernels : (M, D, D) float32, their origin in the middle
    first, step : int
        Which tilts: one worker takes every ``step``-th.
    found : (T, N, M) float64
    """
    tilts, rows, columns = weights.shape
    count, side = kernels.shape[0], kernels.shape[1]
    half = side // 2
    line = np.zeros(side, np.float32)
    for t in range(first, tilts, step):
        for i in range(places.shape[1]):
            row, column = places[t, i, 0], places[t, i, 1]
            r0, c0 = int(np.floor(row)), int(np.floor(column))
            fr, fc = np.float32(row - r0), np.float32(column - c0)
            for m in range(count):
                found[t, i, m] = 0.0
            for a in range(side):
                r = r0 - half + a
                if r < -1 or r >= rows:
                    continue
                empty = True
                for b in range(side):
                    c = c0 - half + b
                    value = np.float32(0.0)
                    if r >= 0:
                        if 0 <= c < columns:
                            value += (1 - fr) * (1 - fc) * weights[t, r, c]
                        if -1 <= c < columns - 1:
                            value += (1 - fr) * fc * weights[t, r, c + 1]
                    if r < rows - 1:
                        if 0 <= c < columns:
                            value += fr * (1 - fc) * weights[t, r + 1, c]
                        if -1 <= c < columns - 1:
                            value += fr * fc * weights[t, r + 1, c + 1]
                    line[b] = value
                    if value != 0:
                        empty = False
                if empty:
                    continue
                for m in range(count):
                    total = np.float32(0.0)
                    for b in range(side):
                        total += line[b] * kernels[m, a, b]
                    found[t, i, m] += total
