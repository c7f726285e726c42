"""The atoms of a result as a table whose rows come and go, and that can go back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_lot.job import Result
from napari_lot.lot.problem import State

OF_STATE = ("positions", "height", "species", "ids", "own_width")
Rows = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Swap:
    """Rows that made place for others; ``places`` are where those of ``before`` were that have gone for good."""

    before: Rows
    after: Rows
    places: NDArray[np.int64]


class AtomsTable:
    """Columns of all atoms: those of the state, and those of the result that are known (names as in ``Result``).

    Rows are never changed in place: whoever holds an array keeps it.
    """

    def __init__(self, state: State, result: Result) -> None:
        self.columns: Rows = {name: getattr(state, name) for name in OF_STATE}
        for name in ("sigma_A", "p_exists", "p_element", "tilts_seen"):
            value = getattr(result, name)
            if value is not None:
                self.columns[name] = np.asarray(value)

    def __len__(self) -> int:
        return len(self.columns["ids"])

    def index(self, atom: int) -> int:
        """Row of an atom; KeyError where there is none."""
        found = np.flatnonzero(self.columns["ids"] == atom)
        if not len(found):
            raise KeyError(atom)
        return int(found[0])

    def rows(self, index: NDArray[np.int64]) -> Rows:
        """Copies of some rows."""
        return {name: values[index].copy() for name, values in self.columns.items()}

    def holds(self, rows: Rows) -> bool:
        """Whether these rows, with the same positions and heights, are here."""
        if not np.isin(rows["ids"], self.columns["ids"]).all():
            return False
        at = np.array([self.index(int(i)) for i in rows["ids"]], np.int64)
        return all(np.array_equal(self.columns[name][at], rows[name]) for name in ("positions", "height"))

    def swap(self, before: Rows, after: Rows, places: NDArray[np.int64] | None = None) -> Swap:
        """Replace rows by others of the same ids; ids that are not in ``after`` go, new ones come.

        New ones come to the end, or to their ``places``.
        """
        old, new = before["ids"], after["ids"]
        of = {int(i): row for row, i in enumerate(self.columns["ids"])} if len(old) > 64 else None
        at = np.array([of[int(i)] if of else self.index(int(i)) for i in old], np.int64)
        stays, fresh = np.isin(old, new), ~np.isin(new, old)
        gone = at[~stays]
        source = {int(i): row for row, i in enumerate(new)}
        take = np.array([source[int(i)] for i in old[stays]], np.int64)
        columns: Rows = {}
        for name, values in self.columns.items():
            changed = values.copy()
            changed[at[stays]] = after[name][take]
            changed = np.delete(changed, gone, 0)
            if fresh.any():
                where = np.full(fresh.sum(), len(changed)) if places is None else places
                changed = np.insert(changed, where, after[name][fresh], 0)
            columns[name] = changed
        self.columns = columns
        return Swap(before, after, gone)

    def back(self, swap: Swap) -> None:
        """Undo the last swap."""
        self.swap(swap.after, swap.before, swap.places)

    def state(self, like: State) -> State:
        """The state of these atoms."""
        parts: dict[str, Any] = {name: self.columns[name] for name in OF_STATE}
        return replace(like, **parts)
