"""What a person changes among the atoms of a paused run. Numpy only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from napari_lot.atoms import Orbitals
from napari_lot.errors import InputError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEAST_DISTANCE_A = 0.3
"""Two atoms closer than this make one image at every tilt: nothing could tell them apart."""
LEAST_MOVE_A = 1e-6
"""Less than this is no move but what the rounding of a layer does."""


def _no_points() -> Floats:
    return np.zeros((0, 3))


def _no_ids() -> Ints:
    return np.zeros(0, np.int64)


@dataclass(frozen=True)
class Edit:
    """Changes of a population.

    Attributes
    ----------
    removed, removed_from : (K,) int64, (K, 3) float64
        Ids of atoms that go, and where they were in Å.
    moved, moved_to : (M,) int64, (M, 3) float64
        Ids of atoms that are elsewhere now, and where.
    added, added_species : (A, 3) float64, (A,) int64
        Positions of new atoms in Å; their species, -1 for the most common one.
    """

    removed: Ints = field(default_factory=_no_ids)
    removed_from: Floats = field(default_factory=_no_points)
    moved: Ints = field(default_factory=_no_ids)
    moved_to: Floats = field(default_factory=_no_points)
    added: Floats = field(default_factory=_no_points)
    added_species: Ints = field(default_factory=_no_ids)

    def __bool__(self) -> bool:
        return bool(len(self.removed) or len(self.moved) or len(self.added))

    @property
    def counts(self) -> tuple[int, int, int]:
        """How many were added, moved and removed."""
        return len(self.added), len(self.moved), len(self.removed)

    @property
    def words(self) -> str:
        """``2 added, 1 moved, 3 removed``."""
        added, moved, removed = self.counts
        return f"{added} added, {moved} moved, {removed} removed"

    def as_dict(self, stage: str, step: int, first_id: int) -> dict[str, Any]:
        """For the report: when, and every atom by id and position in Å (``first_id`` is that of the first added)."""
        return {
            "stage": stage,
            "step": step,
            "added": [[first_id + k, *at] for k, at in enumerate(self.added.round(3).tolist())],
            "moved": [[int(i), *at] for i, at in zip(self.moved, self.moved_to.round(3).tolist(), strict=True)],
            "removed": [[int(i), *at] for i, at in zip(self.removed, self.removed_from.round(3).tolist(), strict=True)],
        }


def difference(before: Orbitals, after: Orbitals, usable: Callable[[Floats], NDArray[np.bool_]] | None = None) -> Edit:
    """What was done to ``before`` to make ``after``, by the atoms' ids.

    An id that ``before`` does not know (-1, for instance) is a new atom. Of several atoms with one id, as copying in a
    layer makes them, the one that lies nearest to where it was is that atom, and the others are new.

    Parameters
    ----------
    before, after : Orbitals
    usable : callable, optional
        Which of some positions (N, 3) an atom can have, (N,).

    Raises
    ------
    InputError
        Nothing is left, a position is not finite, not usable, or two atoms are in one place.
    """
    if not len(after):
        raise InputError("Edited atoms: none is left; keep at least one, or cancel the run.")
    if not np.isfinite(after.positions).all():
        bad = int(np.argwhere(~np.isfinite(after.positions))[0][0])
        raise InputError(f"Edited atoms: row {bad} has a position that is no finite number; delete it or move it.")
    row_of = {int(i): row for row, i in enumerate(before.id)}
    rows = np.array([row_of.get(int(i), -1) for i in after.id], np.int64)
    known = rows >= 0
    distance = np.full(len(after), np.inf)
    distance[known] = np.linalg.norm(after.positions[known] - before.positions[rows[known]], axis=1)
    # the nearest of each id first; the rest of them are copies
    order = np.lexsort((distance, rows))
    first = np.ones(len(order), bool)
    first[1:] = rows[order][1:] != rows[order][:-1]
    stays = np.zeros(len(after), bool)
    stays[order[first]] = True
    stays &= known
    moved = stays & (distance > LEAST_MOVE_A)
    _check(after, moved | ~stays, usable)
    gone = np.ones(len(before), bool)
    gone[rows[stays]] = False
    species = after.species[~stays]
    return Edit(
        removed=before.id[gone],
        removed_from=before.positions[gone],
        moved=after.id[moved],
        moved_to=after.positions[moved],
        added=after.positions[~stays],
        added_species=np.where((species >= 0) & (species < len(before.elements)), species, -1),
    )


def _check(after: Orbitals, new: NDArray[np.bool_], usable: Callable[[Floats], NDArray[np.bool_]] | None) -> None:
    """Whether atoms can be where a person put them; those that nobody touched are the run's own affair."""
    if not new.any():
        return
    places = after.positions[new]
    if usable is not None and not (fine := usable(places)).all():
        x, y, z = places[int(np.argmin(fine))]
        raise InputError(
            f"Edited atoms: an atom at x {x:.1f}, y {y:.1f}, z {z:.1f} Å is outside of what the tilts show; "
            "move it back, or delete it."
        )
    if len(after) > 1:
        apart = np.asarray(cKDTree(after.positions).query(places, k=2)[0])[:, 1]
        if apart.min() < LEAST_DISTANCE_A:
            x, y, z = places[int(np.argmin(apart))]
            raise InputError(
                f"Edited atoms: two atoms lie within {LEAST_DISTANCE_A} Å of each other at x {x:.1f}, y {y:.1f}, "
                f"z {z:.1f} Å; delete one, or move it away."
            )


@dataclass(frozen=True)
class Candidates:
    """Places where the residual asks for another atom, the most significant first.

    Attributes
    ----------
    positions : (M, 3) float64
        x, y, z in Å.
    height : (M,) float64
        Height that the residual asks for, in the unit of the fit, or of the images in the answer of a ``Control``.
    significance : (M,) float64
        In standard deviations, correlations of the residual taken into account.
    """

    positions: Floats
    height: Floats
    significance: Floats

    def __len__(self) -> int:
        return len(self.positions)

    def near(self, places: Floats, at: Floats, reach_A: float) -> int | None:
        """The most significant one that appears within ``reach_A`` of a point (v, u) of an image; None for none.

        ``places`` (M, 2) are where all of them appear on that image, in Å.
        """
        close = np.linalg.norm(places - np.asarray(at), axis=1) <= reach_A
        return int(np.argmax(np.where(close, self.significance, -np.inf))) if close.any() else None


@dataclass(frozen=True)
class Held:
    """What a run that is paused lets its consumer see and edit.

    Attributes
    ----------
    orbitals : Orbitals
        The exact state: newer than the last snapshot.
    rotations, offset_A : (T, 3, 3), (T, 2) float64
        ``[u v w] = R [x y z]`` of every tilt, and the offset (du, dv) in Å from the centre that the series expects.
    usable : callable
        Which of some positions (N, 3) an atom may have, (N,) bool. Safe in any thread.
    refusal : str
        Why atoms cannot be edited now, a sentence; '' where they can.
    """

    orbitals: Orbitals
    rotations: Floats
    offset_A: Floats
    usable: Callable[[Floats], NDArray[np.bool_]]
    refusal: str = ""
