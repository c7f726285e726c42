"""What a structure is like: distances of neighbours, pair distribution of a finite particle, coordination numbers.

Convention of g(r). The number of pairs in a bin of distance is divided by the number that a gas of as many atoms would
have that fills the same shape evenly. The shape is what lies above a level of the atoms' density, smoothed by a
Gaussian as wide as the cube root of the volume of an atom; the level is the one that leaves as much volume as the atoms
take at the density of the interior. Any shape will do: particle, film, shell. So g(r) goes to 1 where order ends, and
needs no hull and no bulk density that somebody knows.

Partial g(r) of two elements is divided by the pairs that the same gas would have with the elements dealt out at random,
so it is below 1 at all distances where the elements are apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage
from scipy.spatial import cKDTree

from napari_lot.analysis.pair_counts import count_pairs
from napari_lot.atoms import Orbitals
from napari_lot.errors import InputError

Floats = NDArray[np.float64]
BIN_A = 0.05
REACH_A = 12.0
FEWEST = 3
_NEAR = 12
_SAMPLE = 10_000
_VOXELS = 2.5
_MOST_VOXELS = 2**24
_DEEP, _FEWEST_DEEP = 0.99, 20


@dataclass(frozen=True)
class Structure:
    """Distances and neighbours of N atoms.

    Attributes
    ----------
    nearest_A : (N,) float64
        Distance of each atom to its nearest neighbour.
    r_A : (R,) float64
        Middles of the bins of distance.
    pairs : dict of (str, str) to (R,) int64
        Pairs of atoms in each bin, every pair once, by elements in alphabetical order.
    expected : (R,) float64
        Pairs of a gas of the same density and shape, all elements together.
    cutoff_A : float
        Distance below which atoms count as neighbours.
    given : bool
        Whether the cutoff was given; else it is the first minimum of g(r).
    coordination : (N,) int64
        Neighbours of each atom.
    numbers : dict of str to int
        Atoms of each element.
    bonds : dict of (str, str) to float
        Mean number of neighbours of the second element around an atom of the first.
    """

    nearest_A: Floats
    r_A: Floats
    pairs: dict[tuple[str, str], NDArray[np.int64]]
    expected: Floats
    cutoff_A: float
    given: bool
    coordination: NDArray[np.int64]
    numbers: dict[str, int]
    bonds: dict[tuple[str, str], float]

    @property
    def g(self) -> Floats:
        """g(r) of all atoms, (R,)."""
        return _ratio(np.sum(list(self.pairs.values()), axis=0), self.expected)

    def partial(self, pair: tuple[str, str]) -> Floats:
        """g(r) of two elements, (R,)."""
        a, b = sorted(pair)
        n = sum(self.numbers.values())
        some, other = self.numbers[a], self.numbers[b]
        of_all = n * (n - 1) / 2
        share = (some * (some - 1) / 2 if a == b else some * other) / of_all
        return _ratio(self.pairs[a, b], self.expected * share)


def analyse(orbitals: Orbitals, cutoff_A: float | None = None, reach_A: float = REACH_A) -> Structure:
    """Distances of neighbours, g(r) and coordination numbers.

    Parameters
    ----------
    orbitals : Orbitals
    cutoff_A : float, optional
        Distance below which atoms are neighbours; by default the first minimum of g(r) behind its first peak.
    reach_A : float
        Largest distance of g(r).

    Raises
    ------
    InputError
        Fewer than three atoms, atoms all in one place, or a cutoff that is not positive.
    """
    positions = orbitals.positions
    n = len(positions)
    if n < FEWEST:
        raise InputError(f"{n} atoms: distances and neighbours need at least {FEWEST}.")
    if cutoff_A is not None and not cutoff_A > 0:
        raise InputError(f"The cutoff must be positive, not {cutoff_A} Å.")
    tree = cKDTree(positions)
    nearest: Floats = np.asarray(tree.query(positions, k=2)[0], np.float64)[:, 1]
    typical = float(np.median(nearest))
    if not typical > 0:
        raise InputError("Most atoms lie on another one: distances and neighbours need atoms that are apart.")
    bins = max(round(reach_A / BIN_A), 1)
    r = (np.arange(bins, dtype=np.float64) + 0.5) * (reach_A / bins)
    names = sorted(set(orbitals.symbols))
    place = np.array([names.index(e) if e in names else 0 for e in orbitals.elements])
    kind = place[orbitals.species]
    counts = count_pairs(positions, kind, len(names), reach_A, bins)
    pairs = {(a, b): counts[i, k] for i, a in enumerate(names) for k, b in enumerate(names) if k >= i}
    expected = expected_pairs(positions, r, reach_A / bins)
    given = cutoff_A is not None
    cutoff = cutoff_A if cutoff_A is not None else first_minimum(r, _ratio(counts.sum((0, 1)), expected), typical)
    coordination = np.zeros(n, np.int64)
    bonds = {}
    for k, b in enumerate(names):
        theirs = positions[kind == k]
        around = np.asarray(cKDTree(theirs).query_ball_point(positions, cutoff, return_length=True), np.int64)
        around -= kind == k  # not itself
        coordination += around
        bonds.update({(a, b): float(around[kind == i].mean()) for i, a in enumerate(names)})
    numbers = {a: int((kind == i).sum()) for i, a in enumerate(names)}
    return Structure(nearest, r, pairs, expected, float(cutoff), given, coordination, numbers, bonds)


def expected_pairs(positions: Floats, r_A: Floats, bin_A: float) -> Floats:
    """Pairs (R,) at each distance of a gas of as many atoms that fills the shape of a structure evenly.

    The autocorrelation of the shape, averaged over directions, times the volume of the shell of each bin.
    """
    n = len(positions)
    inside, voxel = shape_of(positions)
    shape = [fft.next_fast_len(k + int((r_A[-1] + bin_A) / voxel) + 2, real=True) for k in inside.shape]
    lags = fft.irfftn(np.abs(fft.rfftn(inside.astype(np.float32), s=shape)) ** 2, s=shape)
    at = (r_A[:, None, None] * _directions(200) / voxel).reshape(-1, 3)
    mean = ndimage.map_coordinates(lags, at.T, order=1, mode="grid-wrap").reshape(len(r_A), -1).mean(axis=1)
    share = np.maximum(mean, 0) / (float(inside.sum()) ** 2 * voxel**3)
    shell = 4 * np.pi * (r_A**2 + bin_A**2 / 12) * bin_A
    found: Floats = 0.5 * n * (n - 1) * share * shell
    return found


def shape_of(positions: Floats) -> tuple[NDArray[np.bool_], float]:
    """Voxels (X, Y, Z) that the atoms fill, and the edge of a voxel in Å."""
    n = len(positions)
    near = min(_NEAR, n - 1)
    some = positions[:: max(1, n // _SAMPLE)]
    distance = np.asarray(cKDTree(positions).query(some, k=near + 1)[0])[:, -1]
    width = (4 / 3 * np.pi * float(np.median(distance)) ** 3 / near) ** (1 / 3)
    low, size = positions.min(axis=0), np.ptp(positions, axis=0)
    voxel = max(width / _VOXELS, float(np.prod(size + 6 * width) / _MOST_VOXELS) ** (1 / 3))
    margin = 3 * width
    shape = [int(np.ceil(s / voxel)) + 2 for s in size + 2 * margin]
    grid = _shared_out((positions - low + margin) / voxel, shape)
    density = ndimage.gaussian_filter(grid.astype(np.float32), width / voxel, mode="constant", truncate=3.0)
    at_atoms = ndimage.map_coordinates(density, ((some - low + margin) / voxel).T, order=1)
    filled = density > 0.5 * float(np.quantile(at_atoms, 0.85))
    deep = ndimage.gaussian_filter(filled.astype(np.float32), width / voxel, mode="constant", truncate=3.0) > _DEEP
    if int(deep.sum()) < _FEWEST_DEEP:  # nothing is far from a surface: half of the density marks it
        return filled, voxel
    volume = round(n / float(density[deep].mean()))
    level = np.partition(density.ravel(), density.size - volume)[density.size - volume]
    return density >= level, voxel


def _shared_out(place: Floats, shape: list[int]) -> Floats:
    """Atoms at ``place`` (N, 3) in voxels, each shared out linearly between its eight voxels."""
    grid = np.zeros(int(np.prod(shape)))
    base = np.floor(place).astype(np.int64)
    part = place - base
    for corner in np.ndindex(2, 2, 2):
        weight = np.prod(np.where(np.array(corner) == 1, part, 1 - part), axis=1)
        where = np.ravel_multi_index(tuple((base + corner).T), tuple(shape))
        grid += np.bincount(where, weight, len(grid))
    return grid.reshape(shape)


def _directions(count: int) -> Floats:
    """Unit vectors (count, 3), evenly spread (a Fibonacci spiral)."""
    k = np.arange(count) + 0.5
    z = 1 - 2 * k / count
    turn = np.pi * (1 + np.sqrt(5)) * k
    across = np.sqrt(1 - z**2)
    return np.stack([across * np.cos(turn), across * np.sin(turn), z], axis=1)


def first_minimum(r_A: Floats, g: Floats, nearest_A: float) -> float:
    """Distance of the first minimum of g(r) behind its first peak; the middle of it where it is flat.

    g is smoothed by 4 % of the nearest distance; the minimum is sought up to 1.7 times the first peak, where a
    second shell has begun at the latest.
    """
    bin_A = float(r_A[1] - r_A[0])
    smooth = ndimage.gaussian_filter1d(g, max(0.04 * nearest_A / bin_A, 0.5))
    peak = int(np.argmax(np.where(r_A < 1.25 * nearest_A, smooth, -1)))
    end = max(int(np.searchsorted(r_A, 1.7 * r_A[peak])), peak + 2)
    part = smooth[peak : end + 1]
    if len(part) < 2:
        return 1.35 * nearest_A
    lowest = part.min() + 0.01 * (part[0] - part.min())
    low = np.flatnonzero(part <= lowest)
    # of a flat minimum the first stretch: behind a second shell there may be another as low
    stretch = low[: int(np.argmax(np.diff(low, append=low[-1] + 2) > 1)) + 1]
    return float(r_A[peak + stretch].mean())


def _ratio(pairs: NDArray[np.int64], expected: Floats) -> Floats:
    enough = expected > 1e-9
    found: Floats = np.where(enough, pairs / np.where(enough, expected, 1.0), 0.0)
    return found
