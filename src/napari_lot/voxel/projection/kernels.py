"""Compiled loops of the projector (numba, float32, no GIL).

A tilt is projected by Joseph's method (IEEE Trans. Med. Imaging 1, 192 (1982)): along the axis k of the volume that
lies nearest to the beam a ray steps from slice to slice, and in each slice the volume is interpolated between four
voxels. The adjoint puts back by the same weights.

A volume is a flat array that lies as ``(slow, slow, fast)``; the step between neighbours along k and along the slice's
two axes, s and f, is ``step``. An image is [m, n]: n is the direction that runs along the fast axis of the volume.
Where pixel (m, n) meets slice k follows from ``place``, two rows (s, f) of ``[constant, per m, per n, per k]``.
Outside the volume there is nothing: voxels beyond its faces count as 0.

Where an image's lines run exactly along the fast axis (``line_*``: a single tilt axis along it), a line of the image
only meets whole lines of the volume, all by the same weight. Where they run nearly along it (``run_*``), pixels meet
neighbouring voxels for a while. Neither takes any gathering.
"""

from __future__ import annotations

import math
from typing import Any

import numba as nb
import numpy as np

OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": True, "cache": True, "error_model": "numpy"}
SURE = 1e-3
"""Nearer than this to the faces every voxel is asked whether it exists: more than single precision errs."""


@nb.njit(inline="always", **OPTIONS)
def between(first, slope, low, high, begin, end):  # type: ignore[no-untyped-def]
    """Part [begin, end) of a run of indices n in which low < first + slope * n < high."""
    if abs(slope) < 1e-9:
        return (begin, end) if low < first < high else (begin, begin)
    one, other = (low - first) / slope, (high - first) / slope
    # kept near the run before they become whole numbers
    least, most = max(min(one, other), begin - 1.0), min(max(one, other), end + 0.0)
    lowest, highest = max(begin, math.floor(least) + 1), min(end, math.ceil(most))
    return (lowest, highest) if lowest < highest else (begin, begin)


@nb.njit(inline="always", **OPTIONS)
def ranges(at_s, per_s, at_f, per_f, ns, nf, length):  # type: ignore[no-untyped-def]
    """Runs of n that a slice of ns x nf voxels sees at all, and within it those with all four neighbours."""
    begin, end = between(at_s, per_s, -1.0 - SURE, ns + SURE, 0, length)
    begin, end = between(at_f, per_f, -1.0 - SURE, nf + SURE, begin, end)
    inner, last = between(at_s, per_s, SURE, ns - 1.0 - SURE, begin, end)
    inner, last = between(at_f, per_f, SURE, nf - 1.0 - SURE, inner, last)
    return begin, inner, last, end


@nb.njit(inline="always", **OPTIONS)
def at_edge(volume, base, step, s, f, ns, nf):  # type: ignore[no-untyped-def]
    """Interpolated value where neighbours may be missing."""
    i, j = math.floor(s), math.floor(f)
    t, q = np.float32(s - i), np.float32(f - j)
    one = np.float32(1.0)
    total = np.float32(0.0)
    if 0 <= i < ns:
        if 0 <= j < nf:
            total += (one - t) * (one - q) * volume[base + i * step[1] + j * step[2]]
        if 0 <= j + 1 < nf:
            total += (one - t) * q * volume[base + i * step[1] + (j + 1) * step[2]]
    if 0 <= i + 1 < ns:
        if 0 <= j < nf:
            total += t * (one - q) * volume[base + (i + 1) * step[1] + j * step[2]]
        if 0 <= j + 1 < nf:
            total += t * q * volume[base + (i + 1) * step[1] + (j + 1) * step[2]]
    return total


@nb.njit(inline="always", **OPTIONS)
def add_at_edge(volume, base, step, s, f, ns, nf, value):  # type: ignore[no-untyped-def]
    """Transpose of ``at_edge``."""
    i, j = math.floor(s), math.floor(f)
    t, q = np.float32(s - i), np.float32(f - j)
    one = np.float32(1.0)
    if 0 <= i < ns:
        if 0 <= j < nf:
            volume[base + i * step[1] + j * step[2]] += (one - t) * (one - q) * value
        if 0 <= j + 1 < nf:
            volume[base + i * step[1] + (j + 1) * step[2]] += (one - t) * q * value
    if 0 <= i + 1 < ns:
        if 0 <= j < nf:
            volume[base + (i + 1) * step[1] + j * step[2]] += t * (one - q) * value
        if 0 <= j + 1 < nf:
            volume[base + (i + 1) * step[1] + (j + 1) * step[2]] += t * q * value


@nb.njit(**OPTIONS)
def gather(volume, step, size, place, weight, image, first, last):  # type: ignore[no-untyped-def]
    """Sum over all slices into rows first <= m < last of an image (M, N), which is 0 before.

    Parameters
    ----------
    volume : flat float32
    step, size : (3,) int
        Along k, s and f: distance of neighbours in ``volume``, and their number.
    place : (2, 4) float64
    weight : float
        Length of path per slice.
    """
    ns, nf = size[1], size[2]
    length = image.shape[1]
    one = np.float32(1.0)
    row, column = np.uint32(step[1]), np.uint32(step[2])
    per_s, per_f = np.float32(place[0, 2]), np.float32(place[1, 2])
    for k in range(size[0]):
        base = k * step[0]
        slice_ = volume[base:]
        for m in range(first, last):
            sums = image[m]
            at_s = place[0, 0] + place[0, 1] * m + place[0, 3] * k
            at_f = place[1, 0] + place[1, 1] * m + place[1, 3] * k
            begin, inner, done, end = ranges(at_s, place[0, 2], at_f, place[1, 2], ns, nf, length)
            for n in range(begin, inner):
                sums[n] += at_edge(volume, base, step, at_s + place[0, 2] * n, at_f + place[1, 2] * n, ns, nf)
            a, b = np.float32(at_s), np.float32(at_f)
            for n in range(inner, done):
                s = a + per_s * np.float32(n)
                f = b + per_f * np.float32(n)
                i, j = np.uint32(s), np.uint32(f)
                t, q = s - np.float32(i), f - np.float32(j)
                here = i * row + j * column
                low = (one - q) * slice_[here] + q * slice_[here + column]
                high = (one - q) * slice_[here + row] + q * slice_[here + row + column]
                sums[n] += (one - t) * low + t * high
            for n in range(done, end):
                sums[n] += at_edge(volume, base, step, at_s + place[0, 2] * n, at_f + place[1, 2] * n, ns, nf)
    if weight != one:
        for m in range(first, last):
            for n in range(length):
                image[m, n] *= weight


@nb.njit(**OPTIONS)
def scatter(volume, step, size, place, weight, image, first, last):  # type: ignore[no-untyped-def]
    """Transpose of ``gather``, into slices first <= k < last of the volume."""
    ns, nf = size[1], size[2]
    lines, length = image.shape
    one = np.float32(1.0)
    row, column = np.uint32(step[1]), np.uint32(step[2])
    per_s, per_f = np.float32(place[0, 2]), np.float32(place[1, 2])
    for k in range(first, last):
        base = k * step[0]
        slice_ = volume[base:]
        for m in range(lines):
            at_s = place[0, 0] + place[0, 1] * m + place[0, 3] * k
            at_f = place[1, 0] + place[1, 1] * m + place[1, 3] * k
            begin, inner, done, end = ranges(at_s, place[0, 2], at_f, place[1, 2], ns, nf, length)
            for n in range(begin, inner):
                s, f = at_s + place[0, 2] * n, at_f + place[1, 2] * n
                add_at_edge(volume, base, step, s, f, ns, nf, weight * image[m, n])
            a, b = np.float32(at_s), np.float32(at_f)
            for n in range(inner, done):
                s = a + per_s * np.float32(n)
                f = b + per_f * np.float32(n)
                i, j = np.uint32(s), np.uint32(f)
                t, q = s - np.float32(i), f - np.float32(j)
                here = i * row + j * column
                value = weight * image[m, n]
                high = t * value
                low = value - high
                slice_[here] += (one - q) * low
                slice_[here + column] += q * low
                slice_[here + row] += (one - q) * high
                slice_[here + row + column] += q * high
            for n in range(done, end):
                s, f = at_s + place[0, 2] * n, at_f + place[1, 2] * n
                add_at_edge(volume, base, step, s, f, ns, nf, weight * image[m, n])


@nb.njit(inline="always", **OPTIONS)
def run_end(at, per, floor, begin, end):  # type: ignore[no-untyped-def]
    """The first n of a run [begin, end) at which ``at + per * n`` has left [floor, floor + 1)."""
    if abs(per) < 1e-9:
        return end
    limit = (floor + (1.0 if per > 0 else 0.0) - at) / per
    return max(begin + 1, min(end, math.ceil(min(limit, end + 0.0))))


@nb.njit(**OPTIONS)
def run_gather(volume, step, size, place, weight, image, first, last):  # type: ignore[no-untyped-def]
    """As ``gather`` where f goes nearly one voxel, and s hardly, per n; voxels along f lie side by side."""
    ns, nf = size[1], size[2]
    length = image.shape[1]
    one = np.float32(1.0)
    per_s, per_f = place[0, 2], place[1, 2]
    more_s, more_f = np.float32(per_s), np.float32(per_f - 1.0)
    for k in range(size[0]):
        base = k * step[0]
        for m in range(first, last):
            sums = image[m]
            at_s = place[0, 0] + place[0, 1] * m + place[0, 3] * k
            at_f = place[1, 0] + place[1, 1] * m + place[1, 3] * k
            begin, inner, done, end = ranges(at_s, per_s, at_f, per_f, ns, nf, length)
            for n in range(begin, inner):
                sums[n] += at_edge(volume, base, step, at_s + per_s * n, at_f + per_f * n, ns, nf)
            n = inner
            while n < done:
                i, j = math.floor(at_s + per_s * n), math.floor(at_f + (per_f - 1.0) * n)
                until = run_end(at_f, per_f - 1.0, j, n, run_end(at_s, per_s, i, n, done))
                t, q = np.float32(at_s + per_s * n - i), np.float32(at_f + (per_f - 1.0) * n - j)
                here, count = base + i * step[1] + j + n, until - n
                low, high = volume[here : here + count + 1], volume[here + step[1] : here + step[1] + count + 1]
                out = sums[n:until]
                for e in range(count):
                    tn, qn = t + more_s * np.float32(e), q + more_f * np.float32(e)
                    below = (one - qn) * low[e] + qn * low[e + 1]
                    above = (one - qn) * high[e] + qn * high[e + 1]
                    out[e] += (one - tn) * below + tn * above
                n = until
            for n in range(done, end):
                sums[n] += at_edge(volume, base, step, at_s + per_s * n, at_f + per_f * n, ns, nf)
    if weight != one:
        for m in range(first, last):
            for n in range(length):
                image[m, n] *= weight


@nb.njit(**OPTIONS)
def run_scatter(volume, step, size, place, weight, image, first, last):  # type: ignore[no-untyped-def]
    """Transpose of ``run_gather``, into slices first <= k < last of the volume."""
    ns, nf = size[1], size[2]
    lines, length = image.shape
    one = np.float32(1.0)
    per_s, per_f = place[0, 2], place[1, 2]
    more_s, more_f = np.float32(per_s), np.float32(per_f - 1.0)
    for k in range(first, last):
        base = k * step[0]
        for m in range(lines):
            at_s = place[0, 0] + place[0, 1] * m + place[0, 3] * k
            at_f = place[1, 0] + place[1, 1] * m + place[1, 3] * k
            begin, inner, done, end = ranges(at_s, per_s, at_f, per_f, ns, nf, length)
            for n in range(begin, inner):
                add_at_edge(volume, base, step, at_s + per_s * n, at_f + per_f * n, ns, nf, weight * image[m, n])
            n = inner
            while n < done:
                i, j = math.floor(at_s + per_s * n), math.floor(at_f + (per_f - 1.0) * n)
                until = run_end(at_f, per_f - 1.0, j, n, run_end(at_s, per_s, i, n, done))
                t, q = np.float32(at_s + per_s * n - i), np.float32(at_f + (per_f - 1.0) * n - j)
                here, count = base + i * step[1] + j + n, until - n
                low, high = volume[here : here + count + 1], volume[here + step[1] : here + step[1] + count + 1]
                values = image[m, n:until]
                # one neighbour after the other: in a loop of its own none waits for the one before
                for e in range(count):
                    tn, qn = t + more_s * np.float32(e), q + more_f * np.float32(e)
                    low[e] += (one - tn) * (one - qn) * weight * values[e]
                for e in range(count):
                    tn, qn = t + more_s * np.float32(e), q + more_f * np.float32(e)
                    low[e + 1] += (one - tn) * qn * weight * values[e]
                for e in range(count):
                    tn, qn = t + more_s * np.float32(e), q + more_f * np.float32(e)
                    high[e] += tn * (one - qn) * weight * values[e]
                for e in range(count):
                    tn, qn = t + more_s * np.float32(e), q + more_f * np.float32(e)
                    high[e + 1] += tn * qn * weight * values[e]
                n = until
            for n in range(done, end):
                add_at_edge(volume, base, step, at_s + per_s * n, at_f + per_f * n, ns, nf, weight * image[m, n])


@nb.njit(**OPTIONS)
def line_gather(volume, step, size, place, weight, image, first, last):  # type: ignore[no-untyped-def]
    """As ``gather`` where n runs along f: ``place`` has per n only 1 for f, and f of nothing else."""
    ns, nf = size[1], size[2]
    length = image.shape[1]
    offset = math.floor(place[1, 0])
    part = np.float32(place[1, 0] - offset)
    one = np.float32(1.0)
    line = np.zeros(nf + 2, np.float32)  # with a voxel of nothing at either end
    for m in range(first, last):
        sums = line[1 : nf + 1]
        sums[:] = 0.0
        for k in range(size[0]):
            s = place[0, 0] + place[0, 1] * m + place[0, 3] * k
            i = math.floor(s)
            t = np.float32(s - i)
            if 0 <= i < ns - 1:
                start = k * step[0] + i * step[1]
                low, high = volume[start : start + nf], volume[start + step[1] : start + step[1] + nf]
                for f in range(nf):
                    sums[f] += (one - t) * low[f] + t * high[f]
            elif i == -1 or i == ns - 1:
                start = k * step[0] + (0 if i < 0 else i) * step[1]
                share = t if i < 0 else one - t
                low = volume[start : start + nf]
                for f in range(nf):
                    sums[f] += share * low[f]
        begin, end = max(0, -1 - offset), min(length, nf - offset)
        for n in range(begin, end):
            here = n + offset + 1
            image[m, n] += weight * ((one - part) * line[here] + part * line[here + 1])


@nb.njit(**OPTIONS)
def line_scatter(volume, step, size, place, weight, image, first, last):  # type: ignore[no-untyped-def]
    """Transpose of ``line_gather``, into slices first <= k < last of the volume."""
    ns, nf = size[1], size[2]
    lines, length = image.shape
    offset = math.floor(place[1, 0])
    part = np.float32(place[1, 0] - offset)
    one = np.float32(1.0)
    along = np.zeros((lines, nf + 2), np.float32)
    begin, end = max(0, -1 - offset), min(length, nf - offset)
    for m in range(lines):
        for n in range(begin, end):
            here = n + offset + 1
            along[m, here] += weight * (one - part) * image[m, n]
            along[m, here + 1] += weight * part * image[m, n]
    for k in range(first, last):
        for m in range(lines):
            s = place[0, 0] + place[0, 1] * m + place[0, 3] * k
            i = math.floor(s)
            t = np.float32(s - i)
            line = along[m, 1 : nf + 1]
            if 0 <= i < ns - 1:
                start = k * step[0] + i * step[1]
                low, high = volume[start : start + nf], volume[start + step[1] : start + step[1] + nf]
                for f in range(nf):
                    low[f] += (one - t) * line[f]
                    high[f] += t * line[f]
            elif i == -1 or i == ns - 1:
                start = k * step[0] + (0 if i < 0 else i) * step[1]
                share = t if i < 0 else one - t
                low = volume[start : start + nf]
                for f in range(nf):
                    low[f] += share * line[f]
