"""Fisher information of all atoms, and the covariance of each with its neighbours unknown as well."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numba as nb
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

PARAMETERS = 4
"""x, y, z, H."""
MOST_NEIGHBOURS = 24
"""The nearest; more only where orbitals crowd that are no atoms."""
RIDGES = (1e-9, 1e-3, 1e-2, 1e-1, 1.0)
"""Tried in turn, in units of the own information, where atoms lie so close that they cannot be told apart."""


@dataclass(frozen=True)
class Information:
    """Fisher information of the atoms: what the images say of x, y, z (1/Å^2) and H.

    Attributes
    ----------
    own : (N, 4, 4)
        Of each atom.
    pairs : (M, 2)
        Neighbours, the nearest first.
    cross : (M, 4, 4)
        Between the two of a pair: rows are the first atom's parameters, columns the second's.
    """

    own: Floats
    pairs: NDArray[np.int64]
    cross: Floats


def covariance(information: Information, joint: bool = True, threads: int = 1) -> Floats:
    """Covariance (N, 4, 4) of each atom's parameters, with ``joint`` those of its neighbours being unknown as well.

    What couples atoms that are no neighbours of each other falls off with the distance and is left out.
    """
    n = len(information.own)
    if not joint:
        information = Information(information.own, np.zeros((0, 2), np.int64), np.zeros((0, PARAMETERS, PARAMETERS)))
    # neighbours of each atom, and which pair it is (+ as it stands, - transposed, shifted by one)
    first, second = information.pairs.T
    order = np.argsort(np.concatenate([first, second]), kind="stable")
    of = np.concatenate([first, second])[order]
    other = np.concatenate([second, first])[order]
    numbers = np.arange(1, len(first) + 1)
    pair = np.concatenate([numbers, -numbers])[order]
    start = np.searchsorted(of, np.arange(n + 1))
    found = np.empty((n, PARAMETERS, PARAMETERS))
    # every parameter in units of its own standard deviation: well conditioned whatever the units
    own = information.own.copy()
    scale = 1.0 / np.sqrt(np.maximum(np.diagonal(own, axis1=1, axis2=2), 1e-300))
    tables = (own, information.cross, start, other, pair, scale, np.array(RIDGES))
    edges = np.linspace(0, n, threads + 1).astype(np.int64)
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda k: _local_inverse(*tables, edges[k], edges[k + 1], found), range(threads)))
    return found


@nb.njit(nogil=True, cache=True, fastmath=True)
def _local_inverse(own, cross, start, other, pair, scale, ridges, begin, end, found):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Of each atom from ``begin`` to ``end``: its block of the inverse of the information of it and its neighbours.

    By Cholesky's factor with the atom last: its own block of the inverse is that of the last block of the factor. A
    larger ridge is tried where there is none. Written out, for a call of the library takes long to compile.
    """
    most = 1
    for i in range(begin, end):
        most = max(most, 1 + min(start[i + 1] - start[i], MOST_NEIGHBOURS))
    place = np.zeros(own.shape[0], np.int64)  # of each atom among the neighbours, one up
    atoms = np.zeros(most, np.int64)
    matrix = np.zeros((4 * most, 4 * most))
    factor = np.zeros((4 * most, 4 * most))
    inverse = np.zeros((4, 4))
    for i in range(begin, end):
        count = 1 + min(start[i + 1] - start[i], MOST_NEIGHBOURS)
        for m in range(count - 1):
            atoms[m] = other[start[i] + m]
        atoms[count - 1] = i
        for m in range(count):
            place[atoms[m]] = m + 1
        size = 4 * count
        for r in range(size):
            for c in range(size):
                matrix[r, c] = 0.0
        for m in range(count):
            a = atoms[m]
            for r in range(4):
                for c in range(4):
                    matrix[4 * m + r, 4 * m + c] = own[a, r, c] * scale[a, r] * scale[a, c]
            for e in range(start[a], start[a + 1]):
                b = other[e]
                k = place[b] - 1
                if k >= m or k < 0:  # the lower half
                    continue
                p = abs(pair[e]) - 1
                for r in range(4):
                    for c in range(4):
                        value = cross[p, r, c] if pair[e] > 0 else cross[p, c, r]
                        matrix[4 * m + r, 4 * k + c] = value * scale[a, r] * scale[b, c]
        definite = False
        for ridge in ridges:
            definite = True
            for r in range(size):
                for c in range(r + 1):
                    value = matrix[r, c]
                    for k in range(c):
                        value -= factor[r, k] * factor[c, k]
                    if c < r:
                        factor[r, c] = value / factor[c, c]
                    elif value + ridge > 1e-12:
                        factor[r, r] = np.sqrt(value + ridge)
                    else:
                        definite = False
                        break
                if not definite:
                    break
            if definite:
                break
        if not definite:  # atoms in one place: each as if it were alone
            for r in range(size - 4, size):
                for c in range(size - 4, r + 1):
                    factor[r, c] = 1.0 if r == c else 0.0
        # inverse of the last block of the factor, and its square
        for c in range(4):
            for r in range(4):
                if r < c:
                    inverse[r, c] = 0.0
                    continue
                value = 1.0 if r == c else 0.0
                for k in range(c, r):
                    value -= factor[size - 4 + r, size - 4 + k] * inverse[k, c]
                inverse[r, c] = value / factor[size - 4 + r, size - 4 + r]
        for r in range(4):
            for c in range(4):
                value = 0.0
                for k in range(4):
                    value += inverse[k, r] * inverse[k, c]
                found[i, r, c] = value * scale[i, r] * scale[i, c]
        for m in range(count):
            place[atoms[m]] = 0
