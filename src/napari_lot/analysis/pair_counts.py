"""How many pairs of atoms have which distance: cell lists, compiled."""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray


def count_pairs(
    positions: NDArray[np.float64], kind: NDArray[np.int64], kinds: int, limit_A: float, bins: int
) -> NDArray[np.int64]:
    """Histogram of the distances of all pairs up to a limit.

    Parameters
    ----------
    positions : (N, 3) float64
        In Å.
    kind : (N,) int64
        Kind of each atom, 0 to ``kinds - 1``.
    kinds : int
    limit_A : float
        Largest distance; the bins have equal width.
    bins : int

    Returns
    -------
    (kinds, kinds, bins) int64
        Pairs of an atom of kind a and one of kind b, every pair once: entries with a > b are zero.
    """
    low = positions.min(axis=0)
    # Cells so small that most of what is looked at is near enough, and not more of them than atoms.
    size = max(limit_A / 3, float((np.prod(np.ptp(positions, axis=0) + limit_A) / len(positions)) ** (1 / 3)))
    cell = np.floor((positions - low) / size).astype(np.int64)
    shape = cell.max(axis=0) + 1
    flat = np.ravel_multi_index(tuple(cell.T), tuple(shape))
    order = np.argsort(flat, kind="stable")
    start = np.searchsorted(flat[order], np.arange(int(np.prod(shape)) + 1))
    reach = int(np.ceil(limit_A / size))
    counts = np.zeros((kinds, kinds, bins), np.int64)
    _count(positions[order], kind[order], cell[order], start, shape, reach, limit_A, counts)
    return counts


@nb.njit(nogil=True, cache=True)
def _count(positions, kind, cell, start, shape, reach, limit, counts):  # type: ignore[no-untyped-def]
    bins = counts.shape[2]
    scale = bins / limit
    for i in range(len(positions)):
        x, y, z = positions[i]
        a, b, c = cell[i]
        for p in range(max(a - reach, 0), min(a + reach + 1, shape[0])):
            for q in range(max(b - reach, 0), min(b + reach + 1, shape[1])):
                row = (p * shape[1] + q) * shape[2]
                # cells along the last axis follow each other: one run of atoms
                first = start[row + max(c - reach, 0)]
                last = start[row + min(c + reach + 1, shape[2])]
                for j in range(max(first, i + 1), last):
                    d2 = (positions[j, 0] - x) ** 2 + (positions[j, 1] - y) ** 2 + (positions[j, 2] - z) ** 2
                    if d2 < limit * limit:
                        k = int(np.sqrt(d2) * scale)
                        if k < bins:
                            s, t = min(kind[i], kind[j]), max(kind[i], kind[j])
                            counts[s, t, k] += 1
