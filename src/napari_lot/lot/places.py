"""Places for another atom: points of a regular grid around the orbitals, near none of them, inside the hull."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from napari_lot.lot.hull import Hull, cubic_near
from napari_lot.lot.spread.common import OPTIONS

Floats = NDArray[np.float64]

LEAST, MOST = 0.6, 2.0
"""Expected nearest-neighbour distances from the nearest orbital: no atom is closer, nor as far from all others."""
MARGIN = 1.5
"""The same, by which the grid goes beyond the outermost orbitals."""
SLAB_POINTS = 2_000_000
"""Points of the grid that are looked at together: memory, against calls."""


def surroundings(
    positions: Floats, hull: Hull, spacing_A: float, constant_A: float, run: Callable[[Callable[[int], Any], int], Any]
) -> Floats:
    """Places (M, 3) around orbitals (N, 3), in the order of image rows.

    Parameters
    ----------
    positions : (N, 3) Å
    hull : Hull
    spacing_A, constant_A : float
        Expected nearest-neighbour distance, and the constant of the grid.
    run : callable
        Runs work(0..count-1) on threads, results in order.
    """
    if not len(positions):
        return np.zeros((0, 3))
    low, high = positions.min(0) - MARGIN * spacing_A, positions.max(0) + MARGIN * spacing_A
    x, y, z = (np.arange(a, b + constant_A, constant_A) for a, b in zip(low, high, strict=True))
    inner = np.ascontiguousarray(positions[np.argsort(positions[:, 1], kind="stable")])
    least, most = LEAST * spacing_A, MOST * spacing_A
    rows = max(1, SLAB_POINTS // (len(x) * len(z)))

    def slab(k: int) -> Floats:
        along_y = y[k * rows : (k + 1) * rows]
        first, last = np.searchsorted(inner[:, 1], [along_y[0] - most, along_y[-1] + most])
        marks = np.zeros((len(along_y), len(x), len(z)), np.uint8)
        corner = np.array([x[0], along_y[0], z[0]])
        _mark(inner[first:last], corner, constant_A, least, most, marks)
        at_y, at_x, at_z = np.nonzero(marks == 1)
        points = np.stack([x[at_x], along_y[at_y], z[at_z]], 1)
        return points[hull.contains(points)]

    return np.concatenate(run(slab, -(-len(y) // rows)))


def surroundings_near(centres: Floats, positions: Floats, hull: Hull, spacing_A: float, constant_A: float) -> Floats:
    """As ``surroundings``, of places (M, 3) as near to one of some centres (K, 3) as to an orbital."""
    points = cubic_near(centres, MOST * spacing_A, constant_A)
    if not len(points) or not len(positions):
        return np.zeros((0, 3))
    distance, _ = cKDTree(positions).query(points, distance_upper_bound=MOST * spacing_A)
    points = points[(distance >= LEAST * spacing_A) & np.isfinite(distance)]
    return points[hull.contains(points)]


@nb.njit(**OPTIONS)
def _mark(positions, corner, constant, least, most, marks):  # type: ignore[no-untyped-def]
    """Mark grid points [y, x, z]: 2 where closer to a position than ``least``, 1 where closer than ``most``."""
    rows, columns, depth = marks.shape
    reach = int(most / constant) + 1
    for i in range(len(positions)):
        px, py, pz = ((positions[i, 0] - corner[0]), (positions[i, 1] - corner[1]), (positions[i, 2] - corner[2]))
        cy, cx, cz = int(py / constant), int(px / constant), int(pz / constant)
        for iy in range(max(0, cy - reach), min(rows, cy + reach + 2)):
            dy = iy * constant - py
            for ix in range(max(0, cx - reach), min(columns, cx + reach + 2)):
                dx = ix * constant - px
                d2 = dx * dx + dy * dy
                if d2 < most * most:
                    for iz in range(max(0, cz - reach), min(depth, cz + reach + 2)):
                        dz = iz * constant - pz
                        square = d2 + dz * dz
                        if square < least * least:
                            marks[iy, ix, iz] = 2
                        elif square < most * most and marks[iy, ix, iz] == 0:
                            marks[iy, ix, iz] = 1
