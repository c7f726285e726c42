"""Compare two structures: match their atoms one to one and say how far apart they are (method.md, section 6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from napari_lot.analysis.registration import Overlap
from napari_lot.atoms import Orbitals
from napari_lot.errors import InputError

_MAX_ITERATIONS = 50
_SETTLED_A = 1e-6
PASSES = 12
_FIRST_PASSES = 5
"""Of a match that has not settled by then, enough is known to judge its start."""
CLEARLY_MORE = 0.02
"""Share of the atoms by which another shift must pair more of them than the coordinates as they stand do."""
_SAMPLE = 4000
"""So many atoms tell which start is promising."""
_CORE = (6.0, 12.0, 24.0, 48.0)
"""Radii in Å of the cores that a rotation is found from, one after the other: a small turn moves far atoms far."""
_Found = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class Comparison:
    """How well found atoms agree with reference atoms.

    Attributes
    ----------
    found_index, truth_index : (M,) int64
        Matched pairs: ``found_index[k]`` of the found atoms is ``truth_index[k]`` of the reference.
    displacement_A : (M, 3) float64
        Found minus reference after the rigid motion between them is removed, in Å.
    missing_index, false_index : int64
        Reference atoms without a partner, found atoms without one.
    shift_A : (3,) float64
    rotation : (3, 3) float64
        The motion removed: ``found @ rotation.T - shift_A`` lies on the reference. Proper, never a reflection.
    cutoff_A : float
    species_accuracy : float
        Share of the pairs with the same element; NaN without pairs.
    """

    found_index: NDArray[np.int64]
    truth_index: NDArray[np.int64]
    displacement_A: NDArray[np.float64]
    missing_index: NDArray[np.int64]
    false_index: NDArray[np.int64]
    shift_A: NDArray[np.float64]
    rotation: NDArray[np.float64]
    cutoff_A: float
    species_accuracy: float

    @property
    def matched(self) -> int:
        """Number of pairs."""
        return len(self.found_index)

    @property
    def recall(self) -> float:
        """Share of the reference atoms that are found."""
        return self.matched / (self.matched + len(self.missing_index))

    @property
    def precision(self) -> float:
        """Share of the found atoms that are in the reference."""
        return self.matched / (self.matched + len(self.false_index))

    @property
    def distance_pm(self) -> NDArray[np.float64]:
        """Distance of each pair in pm, shape (M,)."""
        distance: NDArray[np.float64] = np.linalg.norm(self.displacement_A, axis=1) * 100
        return distance

    @property
    def rmsd_pm(self) -> float:
        """Root mean square distance of the pairs in pm; NaN without pairs."""
        return float(np.sqrt(np.mean(self.distance_pm**2))) if self.matched else float("nan")

    def onto_found(self, reference: NDArray[np.float64]) -> NDArray[np.float64]:
        """Positions (N, 3) in the reference's frame as they lie among the found atoms."""
        moved: NDArray[np.float64] = (reference + self.shift_A) @ self.rotation
        return moved

    def summary(self) -> dict[str, Any]:
        """The figures to quote together: counts, recall, precision, cutoff, distances in pm; None where undefined."""
        d = self.distance_pm
        return {
            "found": self.matched + len(self.false_index),
            "reference": self.matched + len(self.missing_index),
            "matched": self.matched,
            "recall": self.recall,
            "precision": self.precision,
            "rmsd_pm": self.rmsd_pm if self.matched else None,
            "median_pm": float(np.median(d)) if self.matched else None,
            "p95_pm": float(np.quantile(d, 0.95)) if self.matched else None,
            "axis_std_pm": (self.displacement_A.std(axis=0) * 100).tolist() if self.matched else None,
            "species_accuracy": self.species_accuracy if self.matched else None,
            "shift_A": self.shift_A.tolist(),
            "rotation_deg": float(np.rad2deg(Rotation.from_matrix(self.rotation).magnitude())),
            "cutoff_A": self.cutoff_A,
        }


def compare(found: Orbitals, truth: Orbitals, cutoff_A: float = 1.0, rotate: bool = False) -> Comparison:
    """Match two structures one to one.

    Two atoms are a pair where each is the other's nearest and they are at most ``cutoff_A`` apart, after the mean
    displacement of the pairs is removed. Pairs and motion are found in turn until they settle: from the coordinates as
    they stand and, where these leave atoms without a partner, from the shifts of largest overlap (``registration``).
    Another start is taken where it pairs clearly more atoms (``CLEARLY_MORE``).

    >>> truth = Orbitals.create([[0, 0, 0], [2.7, 0, 0], [0, 2.7, 0], [0, 0, 2.7]])
    >>> found = truth.take([0, 1, 2])
    >>> c = compare(found, truth, cutoff_A=1.0)
    >>> c.recall, c.precision
    (0.75, 1.0)

    Parameters
    ----------
    found, truth : Orbitals
    cutoff_A : float
        Largest distance of a pair in Å.
    rotate : bool
        Remove the best proper rotation, too: for runs that refined tilt angles.

    Raises
    ------
    InputError
        A structure is empty or the cutoff is not positive.
    """
    if not len(found) or not len(truth):
        raise InputError(
            f"Nothing to compare: the {'found' if not len(found) else 'reference'} structure has no atoms."
        )
    if not 0 < cutoff_A < np.inf:
        raise InputError(f"The cutoff must be positive, not {cutoff_A} Å: give the largest distance of a pair.")
    return comparison_of(found, truth, cutoff_A, best_match(found.positions, truth.positions, cutoff_A, rotate))


def best_match(found: NDArray[np.float64], truth: NDArray[np.float64], cutoff_A: float, rotate: bool) -> _Found:
    """Pairs, nearest reference atom of every found one, shift and rotation of the best start.

    Parameters
    ----------
    found, truth : (N, 3), (M, 3)
    """
    tree = cKDTree(truth)
    best = _match(found, tree, cutoff_A, rotate, np.zeros(3), passes=PASSES)
    smaller = min(len(found), len(truth))
    clearly = max(3.0, CLEARLY_MORE * smaller)
    least = len(best[0]) + clearly
    if smaller > 3 and least < smaller:
        for shift, turn in promising(found, tree, cutoff_A, rotate, Overlap(found, truth).shifts())[:2]:
            other = _match(found, tree, cutoff_A, rotate, shift, turn, PASSES)
            if len(other[0]) > max(least, len(best[0])):
                best = other
    return _match(found, tree, cutoff_A, rotate, best[2], best[3])


def match_from(
    found: NDArray[np.float64], tree: cKDTree, cutoff_A: float, rotate: bool, shifts: NDArray[np.float64]
) -> _Found:
    """The same from the most promising of some shifts only, settled where it pairs half of the atoms."""
    shift, turn = promising(found, tree, cutoff_A, rotate, shifts)[0]
    best = _match(found, tree, cutoff_A, rotate, shift, turn, _FIRST_PASSES)
    if len(best[0]) < 0.5 * min(len(found), tree.n):
        return best
    return _match(found, tree, cutoff_A, rotate, best[2], best[3])


def promising(
    found: NDArray[np.float64], tree: cKDTree, cutoff_A: float, rotate: bool, shifts: NDArray[np.float64]
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Shifts (with their turns, where a rotation is sought) by how many atoms they bring within the cutoff."""
    starts = [(shift, np.eye(3)) for shift in shifts]
    if rotate:
        starts += [_turned_about_core(found, tree, cutoff_A, shift) for shift in shifts[:3]]
    some = found[:: max(1, len(found) // _SAMPLE)]
    close = [
        int(np.isfinite(tree.query(some @ turn.T - shift, distance_upper_bound=cutoff_A)[0]).sum())
        for shift, turn in starts
    ]
    return [starts[i] for i in np.argsort(close, kind="stable")[::-1]]


def _turned_about_core(
    found: NDArray[np.float64], tree: cKDTree, cutoff_A: float, shift: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shift and rotation found from a core of the atoms that grows, from a first shift on."""
    middle = found.mean(axis=0)
    far = np.linalg.norm(found - middle, axis=1)
    rotation = np.eye(3)
    for radius in _CORE:
        core = found[far <= radius]
        if len(core) > 3:
            _, _, shift, rotation = _match(core, tree, cutoff_A, True, shift, rotation, PASSES)
        if radius >= far.max():
            break
    return shift, rotation


def comparison_of(found: Orbitals, truth: Orbitals, cutoff_A: float, best: _Found) -> Comparison:
    """The comparison that a match (``best_match``) amounts to."""
    pairs, partner, shift, rotation = best
    partners = partner[pairs]
    ours, theirs = np.array(found.symbols)[pairs], np.array(truth.symbols)[partners]
    return Comparison(
        found_index=pairs,
        truth_index=partners,
        displacement_A=(found.positions @ rotation.T - shift)[pairs] - truth.positions[partners],
        missing_index=np.setdiff1d(np.arange(len(truth)), partners),
        false_index=np.setdiff1d(np.arange(len(found)), pairs),
        shift_A=shift,
        rotation=rotation,
        cutoff_A=cutoff_A,
        species_accuracy=float(np.mean(ours == theirs)) if len(pairs) else float("nan"),
    )


def _match(
    found: NDArray[np.float64],
    tree: cKDTree,
    cutoff_A: float,
    rotate: bool,
    shift: NDArray[np.float64],
    rotation: NDArray[np.float64] | None = None,
    passes: int = _MAX_ITERATIONS,
) -> _Found:
    """Pairs, nearest reference atom of every found one, shift and rotation, from a first shift (and turn) on."""
    truth = tree.data
    own = cKDTree(found)
    pairs = partner = np.zeros(0, np.int64)
    rotation = np.eye(3) if rotation is None else rotation
    within = cutoff_A * (1 + 1e-9)  # the tree's bound is exclusive
    for _ in range(passes):
        moved = found @ rotation.T - shift
        distance, nearest = tree.query(moved, distance_upper_bound=within)
        partner = np.asarray(nearest, np.int64)
        near = np.flatnonzero(distance <= cutoff_A)
        # the reference moved onto the found atoms: their tree is made once
        back = np.asarray(own.query((truth[partner[near]] + shift) @ rotation, distance_upper_bound=2 * within)[1])
        pairs = near[back == near]
        if not len(pairs):
            break
        ours, theirs = found[pairs], truth[partner[pairs]]
        if rotate:
            rotation = _best_rotation(ours, theirs)
        shift = (ours @ rotation.T - theirs).mean(axis=0)
        if np.abs(ours @ rotation.T - shift - moved[pairs]).max() < _SETTLED_A:
            break
    return pairs, partner, shift, rotation


def _best_rotation(found: NDArray[np.float64], truth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Proper rotation that turns centred ``found`` (M, 3) onto centred ``truth``, least squares."""
    a, b = found - found.mean(axis=0), truth - truth.mean(axis=0)
    if len(a) < 3 or np.linalg.matrix_rank(a, tol=1e-6) < 2 or np.linalg.matrix_rank(b, tol=1e-6) < 2:
        return np.eye(3)  # fewer atoms than a rotation needs
    matrix: NDArray[np.float64] = Rotation.align_vectors(b, a)[0].as_matrix()
    return matrix
