"""What all windows share: the canvas, where a tilt shows an orbital, and the way of its gradient back (compiled).

Layout: depth channels lie in pairs, channel 2 k and 2 k + 1 as real and imaginary part of a complex image, so that one
complex FFT serves both. A canvas is a flat float32 array of these planes, V rows of 2 U numbers each: a row of an
orbital's window is one contiguous run of 2 W numbers. Runs are padded with zero weights to whole vectors;
``canvas_length`` gives the length with the margin that this needs.
"""

from __future__ import annotations

import math
from typing import Any

import numba as nb
import numpy as np

from napari_lot.lot.spread.simd import LANES

OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": True, "cache": True, "error_model": "numpy"}


def canvas_length(rows: int, columns: int, pairs: int) -> int:
    """Numbers in a flat canvas: the planes and one vector of margin for padded runs."""
    return 2 * rows * columns * pairs + LANES


@nb.njit(inline="always", **OPTIONS)
def seen_at(x, y, z, matrix, offset):  # type: ignore[no-untyped-def]
    """(u, v) in canvas pixels and depth w in Å of a place in Å."""
    u = matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2] * z + offset[0]
    v = matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2] * z + offset[1]
    w = matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2] * z + offset[2]
    return u, v, w


@nb.njit(inline="always", **OPTIONS)
def piece_at(w, w0, inv_dw, pieces):  # type: ignore[no-untyped-def]
    """Piece of the channels' coefficients at a depth, how far along it (0 to 1), and 1 within the knots, 0 beyond."""
    at = (w - w0) * inv_dw
    piece = min(max(math.floor(at), 0), pieces - 1)
    t = np.float32(min(max(at - piece, 0.0), 1.0))
    inside = 1.0 if 0.0 <= at <= pieces else 0.0  # beyond the knots the coefficients are held
    return piece, t, inside


@nb.njit(inline="always", **OPTIONS)
def add_back(i, x, y, z, g_u, g_v, g_w, matrix, g_atom, g_matrix, g_offset):  # type: ignore[no-untyped-def]
    """Add the gradient by (u, v, w) of an orbital to those by its place, by the matrix and by the offset."""
    for axis in range(3):
        g_atom[i, 1 + axis] += g_u * matrix[0, axis] + g_v * matrix[1, axis] + g_w * matrix[2, axis]
    for j, g in enumerate((g_u, g_v, g_w)):
        g_matrix[j, 0] += g * x
        g_matrix[j, 1] += g * y
        g_matrix[j, 2] += g * z
        g_offset[j] += g
