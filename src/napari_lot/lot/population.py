"""Which orbitals are atoms: cull, gather, merge, and birth judged by significance against the noise."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numba as nb
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
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


def gather(state: State, sigma_A: float, threads: int = 1) -> State:
    """Gather orbitals into the peaks of their density: mean shift (Comaniciu & Meer, IEEE PAMI 24, 603, 2002).

    Every orbital climbs the density of all heights, blurred by a Gaussian of standard deviation ``sigma_A``, and those
    that meet become one with the sum of their heights, at the peak. The id of the highest orbital stays. Unlike merging
    pairs it asks where the density has its peaks and not which two happen to be closest.
    """
    state = state.select(state.height > 0)
    if len(state.height) < 2:
        return state
    reach = CLIMB_REACH * sigma_A
    order, first, low, shape = _cells(state.positions, reach)
    p = state.positions
    points, height = np.ascontiguousarray(p[order]), state.height[order]
    peaks = np.empty_like(points)

    def climb(part: NDArray[np.int64]) -> None:
        _climb(points, height, first, low, shape, reach, sigma_A, part[0], part[-1] + 1, peaks)

    parts = [part for part in np.array_split(np.arange(len(p)), 8 * threads) if len(part)]
    if threads == 1:
        for part in parts:
            climb(part)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(climb, parts))
    group = _same_peak(peaks, 0.5 * sigma_A)
    count = int(group.max()) + 1
    total = np.asarray(np.bincount(group, height, count), np.float64)
    where = np.stack([np.bincount(group, height * peaks[:, k], count) for k in range(3)], 1) / total[:, None]
    # the highest of each group gives its name
    highest = np.full(count, -1, np.int64)
    rising = np.argsort(height, kind="stable")
    highest[group[rising]] = rising
    gathered = state.select(order[highest])
    gathered.positions, gathered.height = where, total
    return gathered


def join(state: State, distance_A: float) -> State:
    """Join orbitals that lie in one place: those within ``distance_A`` of one that came before them become part of it.

    In the order of their places, whatever that of the orbitals: heights are added, positions averaged with the heights
    as weights, and the id of the first stays. For distances over which an orbital looks the same.
    """
    if len(state.height) < 2:
        return state
    # cells of many distances: fewer than there are orbitals, and what is near lies in 27 of them still
    side = max(distance_A, JOIN_CELL_A)
    order, first, low, shape = _cells(state.positions, side)
    points = np.ascontiguousarray(state.positions[order])
    leader = np.empty(len(points), np.int64)
    _lead(points, first, low, shape, side, distance_A, leader)
    leads = np.flatnonzero(leader == np.arange(len(points)))
    place = np.zeros(len(points), np.int64)
    place[leads] = np.arange(len(leads))
    group, height = place[leader], state.height[order]
    total = np.asarray(np.bincount(group, height, len(leads)), np.float64)
    moved = [np.bincount(group, height * (points[:, k] - points[leader, k]), len(leads)) for k in range(3)]
    joined = state.select(order[leads])
    joined.positions = joined.positions + np.stack(moved, 1) / np.where(total > 0, total, 1.0)[:, None]
    joined.height = total
    return joined


def _cells(positions: Floats, reach_A: float) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats, NDArray[np.int64]]:
    """Order of points by cubes of side ``reach_A``, the first of each cube, the lowest corner, cubes along the axes.

    What is within reach of a point lies in 27 cubes, three of which in a row are one range.
    """
    low = positions.min(0) - 1.5 * reach_A
    shape = np.ceil((positions.max(0) + 1.5 * reach_A - low) / reach_A).astype(np.int64)
    cell = ((positions - low) / reach_A).astype(np.int64)
    flat = (cell[:, 1] * shape[0] + cell[:, 0]) * shape[2] + cell[:, 2]
    order = np.argsort(flat, kind="stable")
    return order, np.searchsorted(flat[order], np.arange(int(np.prod(shape)) + 1)), low, shape


JOIN_CELL_A = 1.0
"""Side of the cells in which orbitals that may join are looked up, at least."""
CLIMB_REACH = 2.5
"""Standard deviations beyond which the density of an orbital does not count."""
CLIMB_STEPS = 60


@nb.njit(nogil=True, cache=True)
def _lead(points, first, low, shape, side, distance, leader):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Of each point the first one within a distance that leads, which may be itself."""
    for i in range(len(points)):
        leader[i] = i
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        cx, cy, cz = int((x - low[0]) / side), int((y - low[1]) / side), int((z - low[2]) / side)
        closest = distance * distance
        for iy in range(cy - 1, cy + 2):
            for ix in range(cx - 1, cx + 2):
                row = (iy * shape[0] + ix) * shape[2] + cz
                for k in range(first[row - 1], min(first[row + 2], i)):
                    if leader[k] == k:
                        dx, dy, dz = points[k, 0] - x, points[k, 1] - y, points[k, 2] - z
                        d2 = dx * dx + dy * dy + dz * dz
                        if d2 < closest:
                            closest, leader[i] = d2, k


@nb.njit(nogil=True, cache=True)
def _climb(  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    points, height, first, low, shape, reach, sigma, start, stop, peaks
):
    """Mean shift of points[start:stop] to the peaks of the density of all points, into ``peaks``."""
    for i in range(start, stop):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        for _ in range(CLIMB_STEPS):
            cx, cy, cz = int((x - low[0]) / reach), int((y - low[1]) / reach), int((z - low[2]) / reach)
            sx = sy = sz = total = 0.0
            for iy in range(cy - 1, cy + 2):
                for ix in range(cx - 1, cx + 2):
                    row = (iy * shape[0] + ix) * shape[2] + cz
                    for k in range(first[row - 1], first[row + 2]):
                        dx, dy, dz = points[k, 0] - x, points[k, 1] - y, points[k, 2] - z
                        d2 = dx * dx + dy * dy + dz * dz
                        if d2 < reach * reach:
                            w = height[k] * np.exp(-0.5 * d2 / (sigma * sigma))
                            sx += w * dx
                            sy += w * dy
                            sz += w * dz
                            total += w
            if total <= 0.0:
                break
            dx, dy, dz = sx / total, sy / total, sz / total
            x += dx
            y += dy
            z += dz
            if dx * dx + dy * dy + dz * dz < 1e-6 * sigma * sigma:
                break
        peaks[i, 0], peaks[i, 1], peaks[i, 2] = x, y, z


def _same_peak(peaks: Floats, distance_A: float) -> NDArray[np.int64]:
    """Group number of each point, (N,): points that a chain of steps shorter than ``distance_A`` joins."""
    # Most points of a group are equal to a thousandth of the distance: one of them stands for all, else pairs explode.
    rounded, of = np.unique(np.round(peaks / (0.05 * distance_A)).astype(np.int64), axis=0, return_inverse=True)
    pairs = cKDTree(rounded * (0.05 * distance_A)).query_pairs(distance_A, output_type="ndarray")
    links = coo_matrix((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(len(rounded),) * 2)
    label = connected_components(links, directed=False)[1]
    return np.asarray(label[of.ravel()], np.int64)


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
