"""Peaks of a volume: its local maxima, which of them are too close to a stronger one, and where noise ends."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from napari_lot.machine import usable_cores

Floats = NDArray[np.float64]
Voxels = NDArray[np.float32]

_BINS = 512
_SAMPLE = 1_000_000
"""So many voxels tell the background."""
LEAST_CUT, MOST_CUT = 0.05, 0.7
"""Between these parts of a typical strength noise may end, where nothing is known of the elements."""
_FEW = 3
_FLAT = 0.03
"""Where the density of strengths is within this part of its largest of the least one, there is a valley."""
_CUT_OFF = 0.02
"""Share of voxels at the very least value from which on a volume counts as cut off there."""
_LOG_STEP, _LOG_BLUR = 0.02, 0.08
"""Bins of the logarithm of strength, and the standard deviation of their blur."""


def in_threads(work: Callable[[int, int], Any], count: int, least: int = 1) -> list[Any]:
    """``work(first, last)`` on about equal parts of ``count`` things, side by side, results in their order."""
    parts = max(1, min(usable_cores(), count // max(least, 1)))
    edges = np.linspace(0, count, parts + 1).astype(int)
    if parts == 1:
        return [work(0, count)]
    with ThreadPoolExecutor(parts) as pool:
        return list(pool.map(work, edges[:-1].tolist(), edges[1:].tolist()))


def ball(radius: float) -> NDArray[np.int64]:
    """Offsets (M, 3), z y x in voxels, of all voxels whose centres are no farther than ``radius`` voxels."""
    n = math.floor(radius)
    z, y, x = np.mgrid[-n : n + 1, -n : n + 1, -n : n + 1]
    inside = z * z + y * y + x * x <= radius * radius * (1 + 1e-9)
    return np.stack([z[inside], y[inside], x[inside]], axis=1).astype(np.int64)


def local_maxima(
    values: Voxels, floor: float, within: float = 0.0, sign: float = 1.0
) -> tuple[NDArray[np.int64], Floats]:
    """Voxels that are larger than all around them.

    Of equal neighbours the first one in the order of the memory is the maximum. Voxels beyond the border are lower than
    any.

    Parameters
    ----------
    values : (Z, Y, X) float32
    floor : float
        Only maxima above it.
    within : float
        Radius in voxels; at least the 26 voxels around are compared.
    sign : float
        -1 for minima: then ``floor`` and the values returned are those of the negative volume.

    Returns
    -------
    index : (N, 3) int64
        z, y, x.
    strength : (N,) float64
        ``sign * values`` there.
    """
    near = ball(math.sqrt(3.0))
    far = ball(within) if within > math.sqrt(3.0) else near
    offsets = np.concatenate([near, far[(np.abs(far) > 1).any(1)]])
    offsets = offsets[(offsets != 0).any(1)]
    offsets = offsets[np.argsort((offsets**2).sum(1), kind="stable")]  # the nearest tell most often, and soonest

    def work(first: int, last: int) -> NDArray[np.int64]:
        return _maxima(values, np.float32(floor), offsets, np.float32(sign), first, last)

    found = np.concatenate(in_threads(work, len(values), 4))
    return found, sign * values[found[:, 0], found[:, 1], found[:, 2]].astype(np.float64)


@njit(cache=True, nogil=True)
def _maxima(values, floor, offsets, sign, first, last):  # type: ignore[no-untyped-def]
    planes, rows, columns = values.shape
    flat = values.ravel()
    steps = offsets[:, 0] * rows * columns + offsets[:, 1] * columns + offsets[:, 2]
    reach = np.abs(offsets).max()
    found = np.empty((1024, 3), np.int64)
    count = 0
    for z in range(first, last):
        for y in range(rows):
            inner_row = reach <= z < planes - reach and reach <= y < rows - reach
            start = (z * rows + y) * columns
            for x in range(columns):
                here = sign * flat[start + x]
                if not here > floor:
                    continue
                top, inner = True, inner_row and reach <= x < columns - reach
                for k in range(len(offsets)):
                    if not inner:
                        a, b, c = z + offsets[k, 0], y + offsets[k, 1], x + offsets[k, 2]
                        if a < 0 or b < 0 or c < 0 or a >= planes or b >= rows or c >= columns:
                            continue
                    there = sign * flat[start + x + steps[k]]
                    if there > here or (there == here and steps[k] < 0):
                        top = False
                        break
                if top:
                    if count == len(found):
                        larger = np.empty((2 * count, 3), np.int64)
                        larger[:count] = found
                        found = larger
                    found[count, 0], found[count, 1], found[count, 2] = z, y, x
                    count += 1
    return found[:count]


def apart(positions: Floats, strength: Floats, distance: float) -> NDArray[np.bool_]:
    """Which of some points (N, 3) stay when, from the strongest on, none may be nearer than ``distance`` to another."""
    kept = np.zeros(len(positions), np.bool_)
    if len(positions) == 0:
        return kept
    order = np.argsort(-strength, kind="stable")
    cells = np.floor((positions[order] - positions.min(0)) / distance).astype(np.int64)
    # a cell is a cube of side ``distance``: more than 8 points that far apart do not fit into it
    known, place, cell = np.unique(_key(cells), return_index=True, return_inverse=True)
    around = np.full((len(known), 27), -1, np.int64)
    for k, offset in enumerate(np.ndindex(3, 3, 3)):
        wanted = _key(cells[place] + np.array(offset) - 1)
        at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
        around[:, k] = np.where(known[at] == wanted, at, -1)
    kept[order] = _apart(np.ascontiguousarray(positions[order]), cell.ravel(), around, distance * distance)
    return kept


def _key(cells: NDArray[np.int64]) -> NDArray[np.int64]:
    """One number for a cell; 21 bits an axis."""
    z, y, x = (cells + 1).T
    return np.asarray((z << 42) + (y << 21) + x, np.int64)


@njit(cache=True, nogil=True)
def _apart(positions, cell, around, least):  # type: ignore[no-untyped-def]
    held = np.empty((len(around), 8), np.int64)
    counts = np.zeros(len(around), np.int64)
    kept = np.zeros(len(positions), np.bool_)
    for i in range(len(positions)):
        free = True
        for k in range(27):
            other = around[cell[i], k]
            if other < 0:
                continue
            for m in range(counts[other]):
                j = held[other, m]
                away = 0.0
                for a in range(3):
                    away += (positions[i, a] - positions[j, a]) ** 2
                if away < least:
                    free = False
                    break
            if not free:
                break
        if free and counts[cell[i]] < 8:
            kept[i] = True
            held[cell[i], counts[cell[i]]] = i
            counts[cell[i]] += 1
    return kept


class Ground(NamedTuple):
    """The commonest value of a volume (vacuum, or what lies between the atoms of a film); how far noise leaves it."""

    level: float
    noise: float


def ground_of(values: Voxels, blurred: Voxels) -> Ground:
    """Level, and what noise and artefacts reach beyond it, of a volume that was ``blurred`` to look for maxima.

    They are about as strong downwards as upwards: the minima tell. Where values were cut off below (none may be
    negative) these are gone, and the upper half of the commonest values tells: four of its standard deviations.
    """
    flat = blurred.reshape(-1)
    sample = flat[:: max(1, flat.size // _SAMPLE)]
    low, high = np.quantile(sample, [0.001, 0.999])
    if not high > low:
        return Ground(float(low), 0.0)
    counts, edges = np.histogram(sample, _BINS, (low, high))
    smooth = gaussian_filter1d(counts.astype(np.float64), 1.0)
    at = int(np.argmax(smooth))
    level = float(0.5 * (edges[at] + edges[at + 1]))
    raw = values.reshape(-1)[:: max(1, flat.size // _SAMPLE)]
    if float(np.mean(raw == raw.min())) > _CUT_OFF:
        half = int(np.argmax(np.append(smooth[at:], 0.0) < 0.5 * smooth[at]))
        sigma = (half - 1) * (edges[1] - edges[0]) / math.sqrt(2 * math.log(2))
        return Ground(level, 4.0 * max(float(sigma), 0.0))
    depth = local_maxima(blurred, -level, sign=-1.0)[1] + level
    return Ground(level, float(np.quantile(depth, 0.99)) if len(depth) else 0.0)


def typical_strength(strength: Floats) -> float:
    """Strength of an ordinary strong peak among any number of weak ones.

    The median with the cube of the strength as weight: ten times as many peaks of noise at a fifth of the strength
    weigh less than a tenth of the atoms. The few brightest (three, or 0.5 %) count no more than the next: hot voxels.
    """
    s = np.sort(strength[strength > 0])
    if len(s) == 0:
        return 0.0
    few = max(_FEW, len(s) // 200)
    if len(s) > 3 * few:
        s = np.minimum(s, s[-1 - few])
    weight = np.cumsum((s / s[-1]) ** 3)
    return float(s[np.searchsorted(weight, 0.5 * weight[-1])])


def where_noise_ends(strength: Floats, noise: float, contrast: float | None = None) -> float:
    """Where peaks of noise and peaks of atoms part, in parts of the typical strength.

    Of one element it is the first valley below the atoms in the histogram of the logarithm of strength. Of several, or
    of unknown ones, whose weak atoms may lie below a valley, too, it is the first gap or else the deepest valley
    between what noise reaches and 0.7 of what the weakest element is expected to show (of the strongest, where none is
    known); the widest gap, where nothing tells what noise reaches.

    Parameters
    ----------
    strength : (N,) float64
        Of maxima, above the ground.
    noise : float
        What noise reaches (``Ground``).
    contrast : float, optional
        Brightness of the weakest of the elements relative to the strongest; 1 for one; None where they are not known.
    """
    typical = typical_strength(strength)
    if typical <= 0:
        return LEAST_CUT
    high = MOST_CUT * (1.0 if contrast is None else min(max(contrast, 0.1), 1.0))
    low = max(LEAST_CUT, noise / typical)
    if contrast is not None and contrast < 1:
        high = max(high, 1.4 * low)  # what drowns in noise is not looked for there
    high = min(high, MOST_CUT)
    low = min(low, 0.7 * high)
    relative = strength[strength > 0] / typical
    edges = np.arange(math.log(low) - 1.0, math.log(2.0), _LOG_STEP)
    counts, _ = np.histogram(np.log(relative), edges)
    smooth = gaussian_filter1d(counts.astype(np.float64), _LOG_BLUR / _LOG_STEP)
    middle = 0.5 * (edges[1:] + edges[:-1])
    if contrast == 1:
        low = max(low, math.exp(middle[_rise_below(smooth, int(np.searchsorted(middle, 0.0)))]))
    inside = (middle >= min(math.log(low), math.log(high) - _LOG_STEP)) & (middle <= math.log(high))
    smooth, middle = smooth[inside], middle[inside]
    few = smooth <= smooth.min() + _FLAT * smooth.max()
    return math.exp(middle[_middle_of_run(few, longest=noise <= 0 or contrast == 1)])


def _rise_below(density: Floats, top: int) -> int:
    """Going down from ``top``, where the density has risen to twice its least and more; 0 where it never does."""
    least, settled = density[top], 0.02 * density[top]
    for k in range(top, -1, -1):
        least = min(least, density[k])
        if density[k] > 2.0 * least + settled:
            return k
    return 0


def _middle_of_run(marked: Sequence[bool] | NDArray[np.bool_], longest: bool) -> int:
    """Index of the middle of the longest run of True, or of the first one."""
    padded = np.concatenate([[False], np.asarray(marked, bool), [False]]).astype(int)
    begin, end = np.flatnonzero(np.diff(padded) == 1), np.flatnonzero(np.diff(padded) == -1)
    chosen = int(np.argmax(end - begin)) if longest else 0
    return int((begin[chosen] + end[chosen] - 1) // 2)
