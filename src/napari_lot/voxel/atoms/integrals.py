"""What a volume shows of each peak in a sphere or a box about it."""

from __future__ import annotations

import numpy as np
from numba import njit

from napari_lot.voxel.atoms.peaks import Floats, Voxels, in_threads
from napari_lot.voxel.atoms.windows import NOBODY, H, Neighbours, W, Z, tables_of, window_of


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
            values, peaks, widths, offsets, radius, shell, box, local, neighbours.first, neighbours.other, begin, end
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
        window_of(values, corner, offsets, reach, i, peaks, first, index, table, data)
        tables_of(corner, p[Z:W], widths, reach, table)
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
