"""Compiled spread and gather by a compact window (numba, float32, no GIL): for orbitals of a common shape.

A row of a window is one run of 2 W numbers of a canvas of channel pairs. Every table is laid out as such a run is, so
that window, depth and their slopes are polynomials of whole vectors: nothing in the loop over orbitals is done number
by number. The number of taps is known to the compiler, which leaves no loop over them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numba as nb
import numpy as np
from numpy.typing import NDArray

from napari_lot.lot.spread import window
from napari_lot.lot.spread.common import OPTIONS, add_back, piece_at, seen_at
from napari_lot.lot.spread.simd import (
    run_add_rows,
    run_clear,
    run_dot,
    run_multiply,
    run_polynomial,
    run_weigh_rows,
    run_weigh_rows_twice,
)

Table = NDArray[np.float32]


class Tables(NamedTuple):
    """Polynomials, flat, highest power last.

    along_u, slope_u: window and its derivative, each tap for both channels of a pair; along_v, slope_v: each tap once;
    depth, slope_depth: for every piece of the depth and every pair its two coefficients and their derivatives, repeated
    for the taps.
    """

    along_u: Table
    slope_u: Table
    along_v: Table
    slope_v: Table
    depth: Table
    slope_depth: Table


def tables(poly: NDArray[np.float32], spread_by: window.Window) -> Tables:
    """Tables of a window and of the cubic pieces (K - 1, R, 4) of the channels' coefficients over depth; R is even."""
    powers = np.moveaxis(poly.astype(np.float64), 2, 1)  # (K - 1, 4, R)
    slopes = powers[:, 1:] * np.arange(1, 4)[:, None]

    def flat(runs: NDArray[np.float64]) -> Table:
        return np.ascontiguousarray(runs, np.float32).ravel()

    def of_pairs(powers: NDArray[np.float64]) -> Table:
        return flat(np.tile(powers.reshape(*powers.shape[:2], -1, 2), spread_by.taps))

    taps, rise = spread_by.pieces, spread_by.slopes
    return Tables(
        flat(np.repeat(taps, 2, 1)),
        flat(np.repeat(rise, 2, 1)),
        flat(taps),
        flat(rise),
        of_pairs(powers),
        of_pairs(slopes),
    )


class Kernels(NamedTuple):
    """Compiled functions for a window.

    ``spread(pos, amplitude, matrix, offset, w0, inv_dw, pairs, pieces, tables, rows, columns, canvas)`` adds every
    orbital to the depth channels of one tilt: positions (N, 3) in Å and amplitudes (N,), both float64, by which the
    window is multiplied; the other arguments as in ``gaussian.spread``.

    ``gather(..., rows, columns, adjoint, level, g_atom, g_matrix, g_offset)`` is its transpose: gradients of every
    orbital from the adjoint channels of one tilt, as ``gaussian.gather``; ``level`` 0 gives the amplitude only, 1
    positions too. Column 4 of ``g_atom`` is left alone: the width is the filter's.
    """

    spread: Callable[..., None]
    gather: Callable[..., None]


@cache
def kernels(taps: int) -> Kernels:
    """The kernels for so many taps."""
    lanes, degree, less = 2 * taps, window.DEGREE, window.DEGREE - 1
    three, half = 3 * lanes, 0.5 * taps

    @nb.njit(**OPTIONS)
    def spread(pos, amplitude, matrix, offset, w0, inv_dw, pairs, pieces, tables, rows, columns, canvas):  # type: ignore[no-untyped-def]
        along_u, _, along_v, _, depth, _ = tables
        gu = np.empty(lanes, np.float32)
        gv = np.empty(taps, np.float32)
        c = np.empty(lanes, np.float32)
        stride = 2 * columns
        plane = stride * rows
        for i in range(pos.shape[0]):
            u, v, w = seen_at(pos[i, 0], pos[i, 1], pos[i, 2], matrix, offset)
            u -= half
            v -= half
            ku = math.ceil(u)
            kv = math.ceil(v)
            if ku < 0 or kv < 0 or ku + taps > columns or kv + taps > rows:
                continue
            piece, t, _ = piece_at(w, w0, inv_dw, pieces)
            run_polynomial(along_u, 0, lanes, degree, np.float32(2.0 * (ku - u) - 1.0), lanes, gu, 0)
            run_polynomial(along_v, 0, taps, degree, np.float32(2.0 * (kv - v) - 1.0), taps, gv, 0)
            first = kv * stride + 2 * ku
            for k in range(pairs):
                run_polynomial(depth, (piece * 4 * pairs + k) * lanes, pairs * lanes, 3, t, lanes, c, 0)
                run_multiply(gu, 0, c, 0, np.float32(amplitude[i]), lanes, c, 0)
                run_add_rows(canvas, k * plane + first, stride, taps, gv, c, 0, lanes)

    @nb.njit(**OPTIONS)
    def gather(  # type: ignore[no-untyped-def]
        pos,
        amplitude,
        matrix,
        offset,
        w0,
        inv_dw,
        pairs,
        pieces,
        tables,
        rows,
        columns,
        adjoint,
        level,
        g_atom,
        g_matrix,
        g_offset,
    ):
        along_u, slope_u, along_v, slope_v, depth, slope_depth = tables
        gu = np.empty(lanes, np.float32)
        du = np.empty(lanes, np.float32)
        factors = np.empty(2 * taps, np.float32)
        c = np.empty(lanes, np.float32)
        dc = np.empty(lanes, np.float32)
        sums = np.empty(three, np.float32)
        stride = 2 * columns
        plane = stride * rows
        for i in range(pos.shape[0]):
            x, y, z = pos[i, 0], pos[i, 1], pos[i, 2]
            u, v, w = seen_at(x, y, z, matrix, offset)
            u -= half
            v -= half
            ku = math.ceil(u)
            kv = math.ceil(v)
            if ku < 0 or kv < 0 or ku + taps > columns or kv + taps > rows:
                continue
            piece, t, inside = piece_at(w, w0, inv_dw, pieces)
            su = np.float32(2.0 * (ku - u) - 1.0)
            sv = np.float32(2.0 * (kv - v) - 1.0)
            first = kv * stride + 2 * ku
            run_polynomial(along_u, 0, lanes, degree, su, lanes, gu, 0)
            run_polynomial(along_v, 0, taps, degree, sv, taps, factors, 0)
            if level == 0:
                run_clear(sums, lanes)
                for k in range(pairs):
                    run_polynomial(depth, (piece * 4 * pairs + k) * lanes, pairs * lanes, 3, t, lanes, c, 0)
                    run_weigh_rows(adjoint, k * plane + first, stride, taps, factors, c, 0, lanes, sums)
                g_atom[i, 0] += run_dot(sums, 0, gu, 0, lanes)
                continue
            run_polynomial(slope_u, 0, lanes, less, su, lanes, du, 0)
            run_polynomial(slope_v, 0, taps, less, sv, taps, factors, taps)
            run_clear(sums, three)
            for k in range(pairs):
                run_polynomial(depth, (piece * 4 * pairs + k) * lanes, pairs * lanes, 3, t, lanes, c, 0)
                run_polynomial(slope_depth, (piece * 3 * pairs + k) * lanes, pairs * lanes, 2, t, lanes, dc, 0)
                run_weigh_rows_twice(adjoint, k * plane + first, stride, taps, factors, c, dc, 0, lanes, sums)
            g_atom[i, 0] += run_dot(sums, 0, gu, 0, lanes)
            a = amplitude[i]
            # the window lies at pixel - orbital: what moves the orbital up moves the window down
            g_u = -a * run_dot(sums, 0, du, 0, lanes)
            g_v = -a * run_dot(sums, lanes, gu, 0, lanes)
            g_w = a * run_dot(sums, 2 * lanes, gu, 0, lanes) * inv_dw * inside
            add_back(i, x, y, z, g_u, g_v, g_w, matrix, g_atom, g_matrix, g_offset)

    return Kernels(spread, gather)
