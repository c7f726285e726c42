"""Values of a Fourier transform between the points of its FFT, by a Kaiser-Bessel kernel.

What is to be transformed is divided by the kernel's own transform (`taper`), padded, and transformed; a weighted sum
of the ``WIDTH`` nearest points along each axis is then the transform at any place between them. Beatty, Nishimura,
Pauly, IEEE Trans. Med. Imaging 24, 799 (2005): their Eq. 5 for the shape, that goes with the padding.
"""

from __future__ import annotations

from functools import cache

import numba as nb
import numpy as np
from numpy.typing import NDArray
from scipy.fft import next_fast_len
from scipy.special import i0

WIDTH = 6
PADDING = 1.5
STEPS = 1024
"""Steps of the table of the kernel from one point to the next."""
BETA = float(np.pi * np.sqrt((WIDTH / PADDING * (PADDING - 0.5)) ** 2 - 0.8))


def padded(n: int) -> int:
    """Even number of points of an FFT in which ``n`` samples are padded enough."""
    size = next_fast_len(int(np.ceil(PADDING * n)), real=True)
    while size % 2:
        size = next_fast_len(size + 1, real=True)
    return size


@cache
def table() -> NDArray[np.float32]:
    """The kernel at distances 0, 1/STEPS, ... WIDTH/2 from its middle, and a 0 after the last."""
    distance = np.arange(WIDTH * STEPS // 2 + 2) / STEPS
    inside = np.clip(1 - (2 * distance / WIDTH) ** 2, 0, None)
    values = np.where(distance <= WIDTH / 2, i0(BETA * np.sqrt(inside)) / i0(BETA), 0.0)
    return values.astype(np.float32)


def taper(n: int, size: int) -> NDArray[np.float64]:
    """The kernel's transform at ``n`` samples, the origin at index n // 2, in an FFT of ``size`` points.

    The phases of what is read must refer to a whole index: only then is the transform periodic in ``size`` points.
    """
    t = (np.arange(n) - n // 2) / size
    root = np.sqrt((BETA**2 - (np.pi * WIDTH * t) ** 2).astype(complex))
    return np.asarray((WIDTH * np.sinh(root) / root).real / i0(BETA), np.float64)


@nb.njit(nogil=True, cache=True, inline="always")
def weights(at, n, kernel, index, weight):  # type: ignore[no-untyped-def]
    """The WIDTH points of a periodic axis of n points around ``at``, and their weights."""
    first = int(np.floor(at)) - WIDTH // 2 + 1
    for i in range(WIDTH):
        distance = abs(at - (first + i)) * STEPS
        step = int(distance)
        part = np.float32(distance - step)
        weight[i] = kernel[step] * (np.float32(1) - part) + kernel[step + 1] * part
        index[i] = (first + i) % n


@nb.njit(nogil=True, cache=True)
def value_2d(half, columns, at_v, at_u, kernel, index, weight):  # type: ignore[no-untyped-def]
    """Between the points of a real image's half transform (V, columns // 2 + 1), at places counted in points."""
    rows = half.shape[0]
    weights(at_v, rows, kernel, index[0], weight[0])
    weights(at_u, columns, kernel, index[1], weight[1])
    total = np.complex64(0)
    for i in range(WIDTH):
        v = index[0, i]
        mirrored = (rows - v) % rows
        line = np.complex64(0)
        for k in range(WIDTH):
            u = index[1, k]
            if 2 * u <= columns:
                line += weight[1, k] * half[v, u]
            else:
                line += weight[1, k] * np.conj(half[mirrored, columns - u])
        total += weight[0, i] * line
    return total


@nb.njit(nogil=True, cache=True)
def value_3d(half, columns, at_z, at_y, at_x, kernel, index, weight):  # type: ignore[no-untyped-def]
    """The same of a real volume's half transform (Z, Y, columns // 2 + 1)."""
    slices, rows = half.shape[:2]
    weights(at_z, slices, kernel, index[0], weight[0])
    weights(at_y, rows, kernel, index[1], weight[1])
    weights(at_x, columns, kernel, index[2], weight[2])
    total = np.complex64(0)
    for h in range(WIDTH):
        z = index[0, h]
        far_z = (slices - z) % slices
        plane = np.complex64(0)
        for i in range(WIDTH):
            y = index[1, i]
            far_y = (rows - y) % rows
            line = np.complex64(0)
            for k in range(WIDTH):
                x = index[2, k]
                if 2 * x <= columns:
                    line += weight[2, k] * half[z, y, x]
                else:
                    line += weight[2, k] * np.conj(half[far_z, far_y, columns - x])
            plane += weight[1, i] * line
        total += weight[0, h] * plane
    return total
