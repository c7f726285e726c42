"""A person's edit of the atoms, in the solver: what a state becomes by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from napari_lot.edit import Edit
from napari_lot.lot import population

if TYPE_CHECKING:
    from napari_lot.lot.problem import State

Floats = NDArray[np.float64]

CLOSED_REACH = 0.6
"""Expected nearest-neighbour distances within which a birth would bring a removed atom back."""


def apply_edit(state: State, edit: Edit, first_id: int) -> State:
    """A state with its atoms removed, moved and added; what the edit names and the state has not is passed over.

    Added atoms have the median height of their species, the common width, and the ids ``first_id``, ``first_id`` + 1...
    """
    state = state.select(~np.isin(state.ids, edit.removed))
    row_of = {int(i): row for row, i in enumerate(state.ids)}
    there = [(row_of[int(i)], to) for i, to in zip(edit.moved, edit.moved_to, strict=True) if int(i) in row_of]
    if there:
        state.positions = state.positions.copy()
        state.positions[[row for row, _ in there]] = [to for _, to in there]
    if not len(edit.added):
        return state
    known = np.bincount(state.species) if len(state.species) else np.ones(1, np.int64)
    species = np.where(edit.added_species < 0, int(known.argmax()), edit.added_species)
    if len(state.width) > 1:  # widths of the species: one that has none cannot be had
        species = np.minimum(species, len(state.width) - 1)
    typical = population.typical_height(state)
    height = [float(np.median(state.height[of])) if (of := state.species == s).any() else typical for s in species]
    next_id = max(state.next_id, first_id + len(edit.added))
    state.next_id = first_id
    state = state.add(edit.added, np.array(height), species)
    state.next_id = next_id
    return state


class ByHand:
    """The edits of a run: where they let nothing be born, and their log.

    Attributes
    ----------
    closed : (K, 3) float64
        Places in Å that somebody emptied.
    log : list of dict
        Every edit, for the report.
    made : list of (Edit, int)
        Every edit, and the id of the first atom that it added.
    """

    def __init__(self, spacing_A: float) -> None:
        self.reach_A = CLOSED_REACH * spacing_A
        self.closed: Floats = np.zeros((0, 3))
        self.log: list[dict[str, object]] = []
        self.made: list[tuple[Edit, int]] = []

    def __len__(self) -> int:
        return len(self.made)

    @property
    def words(self) -> str:
        """All edits summed up, '' for none."""
        if not self.made:
            return ""
        added, moved, removed = np.sum([edit.counts for edit, _ in self.made], axis=0)
        return f"{added} added, {moved} moved, {removed} removed"

    def make(self, edit: Edit, state: State, stage: str, step: int) -> State:
        """Note an edit; the state that it makes of another."""
        first_id = state.next_id
        self.made.append((edit, first_id))
        self.log.append(edit.as_dict(stage, step, first_id))
        self.closed = np.concatenate([self.closed, edit.removed_from])
        filled = np.concatenate([edit.added, edit.moved_to])
        if len(filled) and len(self.closed):
            self.closed = self.closed[np.asarray(cKDTree(filled).query(self.closed)[0]) > self.reach_A]
        return apply_edit(state, edit, first_id)

    def again(self, state: State, since: int) -> State:
        """An older state with the edits that were made ``since`` it was kept."""
        for edit, first_id in self.made[since:]:
            state = apply_edit(state, edit, first_id)
        return state

    def is_open(self, points: Floats) -> NDArray[np.bool_]:
        """Which points (M, 3) are not where somebody took an atom away, (M,)."""
        if not len(self.closed) or not len(points):
            return np.ones(len(points), bool)
        return np.asarray(cKDTree(self.closed).query(points)[0]) > self.reach_A
