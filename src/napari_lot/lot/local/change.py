"""A decision that has been tried, and one that has been made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_lot.lot.local.atoms_table import Rows, Swap

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Change:
    """A decision that has been tried.

    Attributes
    ----------
    what : "keep", "delete", "move" or "add"
    atom : int
        Its id.
    position_A : (3,)
        Of the atom after the fit; where it was, if it is gone.
    gain : float
        Change of the log-likelihood of the images, the refit of the neighbours included; negative where they agree
        less.
    refitted : int
        Atoms whose positions and heights followed.
    moved_A : float
        How far the atom itself moved; 0 for one that came or went.
    """

    what: str
    atom: int
    position_A: Floats
    gain: float
    refitted: int
    moved_A: float
    before: Rows
    after: Rows
    center_A: Floats

    @property
    def nothing(self) -> bool:
        """Whether a move ended where it began: no atom has changed."""
        return self.what == "move" and not len(self.before["ids"])

    @property
    def leaves_all(self) -> bool:
        """Whether all atoms are as they were: a move of none, or an atom that is kept."""
        return self.what == "keep" or self.nothing


@dataclass(frozen=True)
class Done:
    """What undoing an applied change needs."""

    change: Change
    swap: Swap
    touched: Swap | None
