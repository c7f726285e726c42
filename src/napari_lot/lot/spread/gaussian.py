"""Compiled spread and gather by Gaussians (numba, float32 windows, no GIL): for orbitals with a width each.

A sampled Gaussian over a window needs no exponential per pixel: with the atom at k0 + f,
``exp(-(k - f)^2 / s^2) = exp(-f^2/s^2) * exp(2 f/s^2)^k * exp(-k^2/s^2)`` is built by products.
"""

from __future__ import annotations

import math
from typing import Any

import numba as nb
import numpy as np

from napari_lot.lot.spread.common import OPTIONS, add_back, piece_at, seen_at
from napari_lot.lot.spread.simd import LANES, add_rows, row_sums_1, row_sums_2, row_sums_3


@nb.njit(inline="always", **OPTIONS)
def _gaussian_window(f, inv_s2, half, out):  # type: ignore[no-untyped-def]
    """out[half + k] = exp(-(k - f)^2 * inv_s2) for k in -half..half."""
    one: Any = np.float32(1.0)
    up = math.exp(np.float32(2.0) * f * inv_s2)
    down = one / up
    r = math.exp(-inv_s2)  # exp(-k^2/s^2) = r^(k^2), and k^2 - (k-1)^2 = 2k - 1
    r2 = r * r
    step = r
    table = one
    centre = math.exp(-f * f * inv_s2)
    rise = centre
    fall = centre
    out[half] = centre
    for k in range(1, half + 1):
        table *= step
        step *= r2
        rise *= up
        fall *= down
        out[half + k] = rise * table
        out[half - k] = fall * table


@nb.njit(inline="always", **OPTIONS)
def _largest(halves):  # type: ignore[no-untyped-def]
    most = 0
    for half in halves:
        most = max(most, half)
    return most


@nb.njit(**OPTIONS)
def spread(pos, amplitude, inv_s2, matrix, offset, w0, inv_dw, poly, halves, rows, columns, canvas):  # type: ignore[no-untyped-def]
    """Add every orbital to the depth channels of one tilt.

    Parameters
    ----------
    pos : (N, 3) float64, Å
    amplitude : (N,) float64, peak of the spread Gaussian
    inv_s2 : (N,) float64, 1 / (spread width in canvas pixels)^2
    matrix : (3, 3) float64; rows 0 and 1 give canvas pixels per Å along u and v, row 2 the depth w in Å
    offset : (3,) float64, canvas pixel (u, v) of the rotation centre, and what is added to the depth w in Å
    w0, inv_dw : first depth knot in Å and 1 / knot spacing
    poly : (K - 1, R, 4) float32, cubic pieces of the channel coefficients
    halves : (N,) int64, half window of each in pixels
    rows, columns : canvas size (V, U)
    canvas : flat float32 of ``canvas_length``, added to
    """
    rank = poly.shape[1]
    widest = 2 * _largest(halves) + 1
    gx = np.empty(widest, np.float32)
    gy = np.empty(widest, np.float32)
    run = np.zeros(widest * rank + LANES, np.float32)
    c = np.empty(rank, np.float32)
    stride = columns * rank
    for i in range(pos.shape[0]):
        x, y, z = pos[i, 0], pos[i, 1], pos[i, 2]
        u, v, w = seen_at(x, y, z, matrix, offset)
        ku = math.floor(u + 0.5)
        kv = math.floor(v + 0.5)
        half = halves[i]
        if ku < half or kv < half or ku >= columns - half or kv >= rows - half:
            continue
        width = 2 * half + 1
        blocks = (width * rank + LANES - 1) // LANES
        piece, t, _ = piece_at(w, w0, inv_dw, poly.shape[0])
        a = np.float32(amplitude[i])
        for r in range(rank):
            c[r] = a * (poly[piece, r, 0] + t * (poly[piece, r, 1] + t * (poly[piece, r, 2] + t * poly[piece, r, 3])))
        s = np.float32(inv_s2[i])
        _gaussian_window(np.float32(u - ku), s, half, gx)
        _gaussian_window(np.float32(v - kv), s, half, gy)
        for k in range(width):
            for r in range(rank):
                run[k * rank + r] = gx[k] * c[r]
        run[width * rank : blocks * LANES] = 0.0  # what a wider one has left
        add_rows(canvas, (kv - half) * stride + (ku - half) * rank, stride, width, gy, run, blocks)


@nb.njit(**OPTIONS)
def gather(  # type: ignore[no-untyped-def]
    pos,
    amplitude,
    inv_s2,
    matrix,
    offset,
    w0,
    inv_dw,
    poly,
    halves,
    rows,
    columns,
    adjoint,
    level,
    g_atom,
    g_matrix,
    g_offset,
):
    """Gradients of every orbital from the adjoint channel images of one tilt; the transpose of ``spread``.

    ``adjoint`` is laid out as ``spread``'s canvas: the derivative of the loss with respect to it. Adds to ``g_atom``
    (N, 5) float64: derivatives with respect to amplitude, x, y, z and inv_s2; to ``g_matrix`` (3, 3) and to
    ``g_offset`` (3,).
    ``level`` 0 gives the amplitude only, 1 positions too, 2 widths too.
    """
    rank = poly.shape[1]
    widest = 2 * _largest(halves) + 1
    gx = np.empty(widest, np.float32)
    gy = np.empty(widest, np.float32)
    factors = np.empty(3 * widest, np.float32)
    sums = np.empty(3 * (widest * rank + LANES), np.float32)
    c = np.empty(rank, np.float32)
    slope = np.empty(rank, np.float32)
    stride = columns * rank
    for i in range(pos.shape[0]):
        x, y, z = pos[i, 0], pos[i, 1], pos[i, 2]
        u, v, w = seen_at(x, y, z, matrix, offset)
        ku = math.floor(u + 0.5)
        kv = math.floor(v + 0.5)
        half = halves[i]
        if ku < half or kv < half or ku >= columns - half or kv >= rows - half:
            continue
        width = 2 * half + 1
        blocks = (width * rank + LANES - 1) // LANES
        length = blocks * LANES
        piece, t, inside = piece_at(w, w0, inv_dw, poly.shape[0])
        for r in range(rank):
            p1, p2, p3 = poly[piece, r, 1], poly[piece, r, 2], poly[piece, r, 3]
            c[r] = poly[piece, r, 0] + t * (p1 + t * (p2 + t * p3))
            slope[r] = p1 + t * (np.float32(2.0) * p2 + t * np.float32(3.0) * p3)
        fu = np.float32(u - ku)
        fv = np.float32(v - kv)
        s = np.float32(inv_s2[i])
        _gaussian_window(fu, s, half, gx)
        _gaussian_window(fv, s, half, gy)
        first = (kv - half) * stride + (ku - half) * rank
        for k in range(width):
            d = np.float32(k - half) - fv
            factors[k] = gy[k]
            factors[width + k] = gy[k] * d
            factors[2 * width + k] = gy[k] * d * d
        if level == 0:
            row_sums_1(adjoint, first, stride, width, factors, sums, blocks)
        elif level == 1:
            row_sums_2(adjoint, first, stride, width, factors, sums, blocks)
        else:
            row_sums_3(adjoint, first, stride, width, factors, sums, blocks)
        total = np.float32(0.0)
        du = np.float32(0.0)
        dv = np.float32(0.0)
        dw = np.float32(0.0)
        ds = np.float32(0.0)
        for k in range(width):
            d = np.float32(k - half) - fu
            here = np.float32(0.0)
            slopes = np.float32(0.0)
            along_v = np.float32(0.0)
            square = np.float32(0.0)
            for r in range(rank):
                m = k * rank + r
                here += c[r] * sums[m]
                if level >= 1:
                    slopes += slope[r] * sums[m]
                    along_v += c[r] * sums[length + m]
                if level == 2:
                    square += c[r] * sums[2 * length + m]
            total += gx[k] * here
            du += gx[k] * d * here
            dw += gx[k] * slopes
            dv += gx[k] * along_v
            ds += gx[k] * (d * d * here + square)
        g_atom[i, 0] += total
        if level == 0:
            continue
        a = amplitude[i]
        gu = 2.0 * a * inv_s2[i] * du
        gv = 2.0 * a * inv_s2[i] * dv
        gw = a * dw * inv_dw * inside
        add_back(i, x, y, z, gu, gv, gw, matrix, g_atom, g_matrix, g_offset)
        g_atom[i, 4] -= a * ds
