"""Compiled loops of the methods that take one ray, or one tilt, at a time (numba, float32, no GIL).

Volumes, images and places are those of ``kernels``.
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np

from napari_lot.voxel.projection.kernels import OPTIONS, add_at_edge, at_edge, ranges


@nb.njit(inline="always", **OPTIONS)
def ray_sum(volume, step, size, s0, per_s, f0, per_f):  # type: ignore[no-untyped-def]
    """Sum along one ray over all slices, and that of the squares of its weights; (s, f) are linear in k."""
    ns, nf = size[1], size[2]
    begin, inner, done, end = ranges(s0, per_s, f0, per_f, ns, nf, size[0])
    total = square = np.float32(0.0)
    one = np.float32(1.0)
    for k in range(begin, end):
        s, f = s0 + per_s * k, f0 + per_f * k
        i, j = math.floor(s), math.floor(f)
        t, q = np.float32(s - i), np.float32(f - j)
        base = k * step[0]
        if inner <= k < done:
            here = base + i * step[1] + j * step[2]
            low = (one - q) * volume[here] + q * volume[here + step[2]]
            high = (one - q) * volume[here + step[1]] + q * volume[here + step[1] + step[2]]
            total += (one - t) * low + t * high
            square += ((one - t) * (one - t) + t * t) * ((one - q) * (one - q) + q * q)
        else:
            total += at_edge(volume, base, step, s, f, ns, nf)
            rows = (one - t) * (one - t) * (0 <= i < ns) + t * t * (0 <= i + 1 < ns)
            square += rows * ((one - q) * (one - q) * (0 <= j < nf) + q * q * (0 <= j + 1 < nf))
    return total, square


@nb.njit(**OPTIONS)
def kaczmarz(volume, step, size, place, weight, image, usable, relaxation):  # type: ignore[no-untyped-def]
    """Put right the misfit of one ray after the other of an image (M, N).

    Parameters
    ----------
    usable : (M, N) bool, or (0, 0)
        Rays that count; empty where all do.
    relaxation : float
        Part of the misfit.
    """
    ns, nf = size[1], size[2]
    one = np.float32(1.0)
    per_s, per_f = place[0, 3], place[1, 3]
    for m in range(image.shape[0]):
        for n in range(image.shape[1]):
            if usable.shape[0] > 0 and not usable[m, n]:
                continue
            s0 = place[0, 0] + place[0, 1] * m + place[0, 2] * n
            f0 = place[1, 0] + place[1, 1] * m + place[1, 2] * n
            total, square = ray_sum(volume, step, size, s0, per_s, f0, per_f)
            if square == 0.0:
                continue
            # a ray that only grazes the volume counts as if it met one whole voxel: its noise is not scaled up
            change = np.float32(relaxation * (image[m, n] / weight - total) / max(square, 1.0))
            begin, inner, done, end = ranges(s0, per_s, f0, per_f, ns, nf, size[0])
            for k in range(begin, end):
                s, f = s0 + per_s * k, f0 + per_f * k
                base = k * step[0]
                if inner <= k < done:
                    i, j = math.floor(s), math.floor(f)
                    t, q = np.float32(s - i), np.float32(f - j)
                    here = base + i * step[1] + j * step[2]
                    volume[here] += (one - t) * (one - q) * change
                    volume[here + step[2]] += (one - t) * q * change
                    volume[here + step[1]] += t * (one - q) * change
                    volume[here + step[1] + step[2]] += t * q * change
                else:
                    add_at_edge(volume, base, step, s, f, ns, nf, change)


@nb.njit(**OPTIONS)
def line_kaczmarz(volume, step, size, place, weight, image, usable, relaxation):  # type: ignore[no-untyped-def]
    """As ``kaczmarz`` where n runs along f, of a whole image.

    Rays two lines apart then meet no common voxel, and whole lines can be taken at once: the even ones first, then the
    odd ones. Where they run exactly through voxels all are apart.
    """
    ns, nf = size[1], size[2]
    lines, length = image.shape
    offset = math.floor(place[1, 0])
    part = np.float32(place[1, 0] - offset)
    one = np.float32(1.0)
    turns = 1 if part == 0.0 else 2
    line = np.zeros(nf + 2, np.float32)  # with a voxel of nothing at either end
    change = np.zeros(nf + 2, np.float32)
    begin, end = max(0, -1 - offset), min(length, nf - offset)
    for m in range(lines):
        for turn in range(turns):
            line[:] = 0.0
            change[:] = 0.0
            across = np.float32(0.0)
            sums, changes = line[1 : nf + 1], change[1 : nf + 1]
            for k in range(size[0]):
                s = place[0, 0] + place[0, 1] * m + place[0, 3] * k
                i = math.floor(s)
                t = np.float32(s - i)
                for row, share in ((i, one - t), (i + 1, t)):
                    if 0 <= row < ns:
                        start = k * step[0] + row * step[1]
                        values = volume[start : start + nf]
                        across += share * share
                        for f in range(nf):
                            sums[f] += share * values[f]
            for n in range(begin, end):
                if (turns == 2 and n % 2 != turn) or (usable.shape[0] > 0 and not usable[m, n]):
                    continue
                here = n + offset + 1
                square = across * ((one - part) ** 2 * (here >= 1) + part**2 * (here + 1 <= nf))
                if square == 0.0:
                    continue
                total = (one - part) * line[here] + part * line[here + 1]
                wanted = np.float32(relaxation * (image[m, n] / weight - total) / max(square, one))
                change[here] += (one - part) * wanted
                change[here + 1] += part * wanted
            for k in range(size[0]):
                s = place[0, 0] + place[0, 1] * m + place[0, 3] * k
                i = math.floor(s)
                t = np.float32(s - i)
                for row, share in ((i, one - t), (i + 1, t)):
                    if 0 <= row < ns:
                        start = k * step[0] + row * step[1]
                        values = volume[start : start + nf]
                        for f in range(nf):
                            values[f] += share * changes[f]


@nb.njit(**OPTIONS)
def add_share(volume, back, seen, least, relaxation, positive, first, last):  # type: ignore[no-untyped-def]
    """Add ``relaxation * back / seen`` to voxels first <= i < last of flat volumes, in one go.

    ``seen``, the column sums, is held at ``least``; what is ``positive`` does not fall below 0.
    """
    for i in range(first, last):
        value = volume[i] + relaxation * back[i] / max(seen[i], least)
        volume[i] = max(value, np.float32(0.0)) if positive else value
