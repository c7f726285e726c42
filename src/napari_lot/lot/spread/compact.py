"""Compiled spread and gather by a compact window (numba, float32, no GIL): for orbitals of a common shape.

A row of a window is one run of W * R numbers of the canvas. Every table is laid out as such a run is, so that window,
depth and their slopes are polynomials of whole vectors: nothing in the loop over orbitals is done number by number.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba as nb
import numpy as np
from numpy.typing import NDArray

from napari_lot.lot.spread import window
from napari_lot.lot.spread.common import OPTIONS, add_back, piece_at, seen_at
from napari_lot.lot.spread.simd import LANES, add_rows, dot, multiply, polynomials, row_sums_1, row_sums_2

Table = NDArray[np.float32]


class Tables(NamedTuple):
    """Polynomials, flat and padded with zeros to whole vectors, and how many there are.

    along_u, slope_u: window and its derivative, each tap repeated for the R channels; along_v, slope_v: each tap once;
    depth, slope_depth: for every piece of the depth the R coefficients and their derivatives, repeated for the taps.
    """

    taps: int
    degree: int
    rank: int
    pieces: int
    along_u: Table
    slope_u: Table
    along_v: Table
    slope_v: Table
    depth: Table
    slope_depth: Table


def tables(poly: NDArray[np.float32], spread_by: window.Window) -> Tables:
    """Tables of a window and of the cubic pieces (K - 1, R, 4) of the channels' coefficients over depth."""
    rank = poly.shape[1]
    powers = np.moveaxis(poly.astype(np.float64), 2, 1)  # (K - 1, 4, R)
    slopes = powers[:, 1:] * np.arange(1, 4)[:, None]

    def padded(runs: NDArray[np.float64]) -> Table:
        length = -(-runs.shape[-1] // LANES) * LANES
        out = np.zeros((*runs.shape[:-1], length), np.float32)
        out[..., : runs.shape[-1]] = runs
        return out.ravel()

    taps, rise = spread_by.pieces, spread_by.slopes
    return Tables(
        spread_by.taps,
        window.DEGREE,
        rank,
        len(poly),
        padded(np.repeat(taps, rank, 1)),
        padded(np.repeat(rise, rank, 1)),
        padded(taps),
        padded(rise),
        padded(np.tile(powers, spread_by.taps)),
        padded(np.tile(slopes, spread_by.taps)),
    )


@nb.njit(**OPTIONS)
def spread(pos, amplitude, matrix, offset, w0, inv_dw, size, tables, rows, columns, canvas):  # type: ignore[no-untyped-def]
    """Add every orbital to the depth channels of one tilt.

    Parameters
    ----------
    pos : (N, 3) float64, Å
    amplitude : (N,) float64, by which the window is multiplied
    matrix, offset, w0, inv_dw, rows, columns, canvas
        As in ``gaussian.spread``.
    size, tables : the four numbers and the six arrays of ``Tables``
    """
    taps, degree, rank, pieces = size
    along_u, _, along_v, _, depth, _ = tables
    blocks = (taps * rank + LANES - 1) // LANES
    length = blocks * LANES
    gu = np.empty(length, np.float32)
    c = np.empty(length, np.float32)
    gv = np.empty(LANES, np.float32)
    stride = columns * rank
    for i in range(pos.shape[0]):
        x, y, z = pos[i, 0], pos[i, 1], pos[i, 2]
        u, v, w = seen_at(x, y, z, matrix, offset)
        u -= 0.5 * taps
        v -= 0.5 * taps
        ku = math.ceil(u)
        kv = math.ceil(v)
        if ku < 0 or kv < 0 or ku + taps > columns or kv + taps > rows:
            continue
        piece, t, _ = piece_at(w, w0, inv_dw, pieces)
        polynomials(along_u, 0, degree, np.float32(2.0 * (ku - u) - 1.0), blocks, gu)
        polynomials(along_v, 0, degree, np.float32(2.0 * (kv - v) - 1.0), 1, gv)
        polynomials(depth, piece * 4 * length, 3, t, blocks, c)
        multiply(gu, c, np.float32(amplitude[i]), blocks, c)
        add_rows(canvas, kv * stride + ku * rank, stride, taps, gv, c, blocks)


@nb.njit(**OPTIONS)
def gather(  # type: ignore[no-untyped-def]
    pos,
    amplitude,
    matrix,
    offset,
    w0,
    inv_dw,
    size,
    tables,
    rows,
    columns,
    adjoint,
    level,
    g_atom,
    g_matrix,
    g_offset,
):
    """Gradients of every orbital from the adjoint channel images of one tilt; the transpose of ``spread``.

    As ``gaussian.gather``; ``level`` 0 gives the amplitude only, 1 positions too. Column 4 of ``g_atom`` is left alone:
    the width is the filter's.
    """
    taps, degree, rank, pieces = size
    along_u, slope_u, along_v, slope_v, depth, slope_depth = tables
    blocks = (taps * rank + LANES - 1) // LANES
    length = blocks * LANES
    gu = np.empty(length, np.float32)
    du = np.empty(length, np.float32)
    c = np.empty(length, np.float32)
    dc = np.empty(length, np.float32)
    both = np.empty(length, np.float32)
    factors = np.empty(taps + LANES, np.float32)
    rise = np.empty(LANES, np.float32)
    sums = np.empty(2 * length, np.float32)
    one = np.float32(1.0)
    stride = columns * rank
    for i in range(pos.shape[0]):
        x, y, z = pos[i, 0], pos[i, 1], pos[i, 2]
        u, v, w = seen_at(x, y, z, matrix, offset)
        u -= 0.5 * taps
        v -= 0.5 * taps
        ku = math.ceil(u)
        kv = math.ceil(v)
        if ku < 0 or kv < 0 or ku + taps > columns or kv + taps > rows:
            continue
        piece, t, inside = piece_at(w, w0, inv_dw, pieces)
        su = np.float32(2.0 * (ku - u) - 1.0)
        sv = np.float32(2.0 * (kv - v) - 1.0)
        first = kv * stride + ku * rank
        polynomials(along_u, 0, degree, su, blocks, gu)
        polynomials(along_v, 0, degree, sv, 1, factors)
        polynomials(depth, piece * 4 * length, 3, t, blocks, c)
        multiply(gu, c, one, blocks, both)
        if level == 0:
            row_sums_1(adjoint, first, stride, taps, factors, sums, blocks)
            g_atom[i, 0] += dot(sums, 0, both, blocks)
            continue
        polynomials(slope_v, 0, degree - 1, sv, 1, rise)
        for k in range(taps):
            factors[taps + k] = rise[k]
        row_sums_2(adjoint, first, stride, taps, factors, sums, blocks)
        g_atom[i, 0] += dot(sums, 0, both, blocks)
        dv = dot(sums, length, both, blocks)
        polynomials(slope_u, 0, degree - 1, su, blocks, du)
        multiply(du, c, one, blocks, c)
        polynomials(slope_depth, piece * 3 * length, 2, t, blocks, dc)
        multiply(gu, dc, one, blocks, dc)
        a = amplitude[i]
        # the window lies at pixel - orbital: what moves the orbital up moves the window down
        g_u = -a * dot(sums, 0, c, blocks)
        g_v = -a * dv
        g_w = a * dot(sums, 0, dc, blocks) * inv_dw * inside
        add_back(i, x, y, z, g_u, g_v, g_w, matrix, g_atom, g_matrix, g_offset)
