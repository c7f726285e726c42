"""Windows of voxels about peaks, what the Gaussians of their neighbours show there taken away.

All counts in voxels, z y x. A Gaussian is ``b + h exp(-sum_a ((r_a - c_a) / w_a)^2)``, and a peak the eight numbers
``(b, h, c_z, c_y, c_x, w_z, w_y, w_x)``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from napari_lot.voxel.atoms.peaks import Floats

FITTED, NO_MAXIMUM = 0, 1
"""How a fit ended."""
B, H, Z, W = 0, 1, 2, 5
"""Places of background, height, first coordinate and first width among the parameters."""
TAIL = 2.6
"""Beyond so many widths a Gaussian is nothing (1e-3)."""


class Neighbours(NamedTuple):
    """Of atom i those that reach into its window: ``other[first[i]:first[i + 1]]``."""

    first: NDArray[np.int64]
    other: NDArray[np.int64]


NOBODY = Neighbours(np.zeros(0, np.int64), np.zeros(0, np.int64))


def neighbours_of(centres: Floats, window: float, width: float) -> Neighbours:
    """Pairs whose Gaussians of about ``width`` reach into each other's windows."""
    pairs = cKDTree(centres).query_pairs(window + TAIL * width, output_type="ndarray")
    both = np.concatenate([pairs, pairs[:, ::-1]])
    both = both[np.lexsort((both[:, 1], both[:, 0]))]
    first = np.searchsorted(both[:, 0], np.arange(len(centres) + 1))
    return Neighbours(first.astype(np.int64), np.ascontiguousarray(both[:, 1], np.int64))


@njit(cache=True, nogil=True)
def tables_of(corner, centre, width, reach, table):  # type: ignore[no-untyped-def]
    """A Gaussian's factor along each axis at all offsets from a corner: voxels then need no exponential."""
    for a in range(3):
        for o in range(2 * reach + 1):
            t = (corner[a] + o - reach - centre[a]) / width[a]
            table[a, o] = np.exp(-t * t)


@njit(cache=True, nogil=True)
def window_of(values, corner, offsets, reach, i, peaks, first, index, table, data):  # type: ignore[no-untyped-def]
    """The voxels around a corner into ``data``, without what the neighbours of atom i show there; 0 outside."""
    planes, rows, columns = values.shape
    for k in range(len(offsets)):
        z, y, x = corner[0] + offsets[k, 0], corner[1] + offsets[k, 1], corner[2] + offsets[k, 2]
        inside = z >= 0 and y >= 0 and x >= 0 and z < planes and y < rows and x < columns
        data[k] = values[z, y, x] if inside else 0.0
    if len(first) == 0:
        return
    for m in range(first[i], first[i + 1]):
        j = index[m]
        tables_of(corner, peaks[j, Z:W], peaks[j, W:], reach, table)
        for k in range(len(offsets)):
            g = table[0, offsets[k, 0] + reach] * table[1, offsets[k, 1] + reach] * table[2, offsets[k, 2] + reach]
            data[k] -= peaks[j, H] * g


@njit(cache=True, nogil=True)
def windows(values, corners, offsets, peaks, first, index, begin, end):  # type: ignore[no-untyped-def]
    found = np.empty((end - begin, len(offsets)))
    reach = np.abs(offsets).max()
    table = np.empty((3, 2 * reach + 1))
    for i in range(begin, end):
        window_of(values, corners[i], offsets, reach, i, peaks, first, index, table, found[i - begin])
    return found
