"""Which orbitals are atoms: cull, merge, and birth judged by significance against the noise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from napari_lot.lot.problem import State

Floats = NDArray[np.float64]


def typical_height(state: State) -> float:
    """Height of an atom: the 0.7 quantile, which neither weak orbitals nor doubles move much."""
    return float(np.quantile(state.height, 0.7)) if len(state.height) else 0.0


def cull(state: State, least_height: float | Floats) -> NDArray[np.bool_]:
    """Mask of the orbitals to keep."""
    return np.asarray(state.height >= least_height)


def merge(
    state: State, distance_A: float, may_merge: Callable[[Floats, Floats, Floats], NDArray[np.bool_]] | None = None
) -> State:
    """Merge mutual nearest neighbours closer than ``distance_A`` until none is left.

    Positions are averaged with the heights as weights and heights are added (one width per species, so heights are
    integrated heights). ``may_merge(height_a, height_b, distance_A)`` may veto pairs. The id of the higher orbital
    stays.
    """
    while len(state.height) > 1:
        tree = cKDTree(state.positions)
        pairs = tree.query_pairs(distance_A, output_type="ndarray")
        if len(pairs) == 0:
            break
        d = np.linalg.norm(state.positions[pairs[:, 0]] - state.positions[pairs[:, 1]], axis=1)
        if may_merge is not None:
            allowed = may_merge(state.height[pairs[:, 0]], state.height[pairs[:, 1]], d)
            pairs, d = pairs[allowed], d[allowed]
            if len(pairs) == 0:
                break
        chosen = _closest_first(pairs, d, len(state.height))
        a, b = chosen[:, 0], chosen[:, 1]
        swap = state.height[b] > state.height[a]
        a, b = np.where(swap, b, a), np.where(swap, a, b)
        total = state.height[a] + state.height[b]
        part = np.where(total > 0, state.height[a] / np.maximum(total, 1e-300), 0.5)[:, None]
        positions, height = state.positions.copy(), state.height.copy()
        positions[a] = part * positions[a] + (1 - part) * positions[b]
        height[a] = total
        keep = np.ones(len(height), bool)
        keep[b] = False
        state = state.select(slice(None))
        state.positions, state.height = positions, height
        state = state.select(keep)
    return state


def _closest_first(pairs: NDArray[np.int64], distance: Floats, n: int) -> NDArray[np.int64]:
    """Pairs that are each other's nearest candidates (ties by index), so that none shares an orbital."""
    best = np.full(n, np.inf)
    np.minimum.at(best, pairs[:, 0], distance)
    np.minimum.at(best, pairs[:, 1], distance)
    mutual = (distance <= best[pairs[:, 0]]) & (distance <= best[pairs[:, 1]])
    taken = np.zeros(n, bool)
    chosen = []
    for k in np.flatnonzero(mutual):
        a, b = pairs[k]
        if not (taken[a] or taken[b]):
            taken[a] = taken[b] = True
            chosen.append(k)
    return pairs[chosen]


def separate(
    points: Floats, score: Floats, distance_A: float, existing: Floats, from_existing_A: float
) -> NDArray[np.int64]:
    """Indices of the best points, the best first.

    None is closer than ``distance_A`` to a better one, or than ``from_existing_A`` to an existing atom.
    """
    keep = np.ones(len(points), bool)
    if len(existing) and len(points):
        d, _ = cKDTree(existing).query(points)
        keep = np.asarray(d >= from_existing_A)
    candidates = np.flatnonzero(keep)
    candidates = candidates[np.argsort(-score[candidates], kind="stable")]
    if len(candidates) == 0:
        return candidates
    tree = cKDTree(points[candidates])
    free = np.ones(len(candidates), bool)
    chosen = []
    for k in range(len(candidates)):
        if free[k]:
            chosen.append(candidates[k])
            free[tree.query_ball_point(points[candidates[k]], distance_A)] = False
    return np.array(chosen, np.int64)
