"""Orbitals: what a reconstruction consists of. Numpy only; every part of the package speaks it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Orbitals:
    """Local orbitals in the specimen frame (one per atom once a run has converged).

    >>> atoms = Orbitals.create([[0, 0, 0], [0, 0, 2.7]], height=1.0, width=0.5, elements=("Pt",))
    >>> len(atoms), atoms.symbols
    (2, ['Pt', 'Pt'])
    >>> atoms.integrated.round(3)
    array([0.785, 0.785])

    Attributes
    ----------
    positions : (N, 3) float64
        x, y, z in Å; origin at the rotation centre.
    height : (N,) float64
        Peak H of the projected orbital before the probe, in intensity units of the images (Eq. 2).
    width : (N,) float64
        Width B in Å of ``H exp(-r^2 / B^2)``.
    species : (N,) int64
        Index into ``elements``.
    elements : tuple of str
        Element symbols.
    id : (N,) int64
        Stable identity of an atom: kept through refinement, never used twice in a run.
    """

    positions: NDArray[np.float64]
    height: NDArray[np.float64]
    width: NDArray[np.float64]
    species: NDArray[np.int64]
    elements: tuple[str, ...]
    id: NDArray[np.int64]

    def __post_init__(self) -> None:
        n = len(self.positions)
        if self.positions.shape != (n, 3):
            raise ValueError(f"positions must have shape (N, 3), not {self.positions.shape}")
        for name in ("height", "width", "species", "id"):
            if getattr(self, name).shape != (n,):
                raise ValueError(f"{name} must have shape ({n},), not {getattr(self, name).shape}")

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def integrated(self) -> NDArray[np.float64]:
        """Integrated height pi H B^2 in Å^2 times the intensity unit: the scattering strength, shape (N,)."""
        return np.pi * self.height * self.width**2

    @property
    def symbols(self) -> list[str]:
        """Element symbol of each atom, length N."""
        return [self.elements[s] for s in self.species]

    def take(self, index: Any) -> Orbitals:
        """The orbitals that ``index`` (mask, slice or integer array) selects, identities kept."""
        return replace(
            self,
            positions=self.positions[index],
            height=self.height[index],
            width=self.width[index],
            species=self.species[index],
            id=self.id[index],
        )

    @classmethod
    def create(
        cls,
        positions: Any,
        height: Any = 1.0,
        width: Any = 0.5,
        species: Any = 0,
        elements: tuple[str, ...] = ("X",),
        id: Any = None,
    ) -> Orbitals:
        """Orbitals from arrays or scalars; scalars are broadcast, ids default to 0..N-1."""
        p = np.ascontiguousarray(positions, dtype=np.float64).reshape(-1, 3)
        n = len(p)
        return cls(
            positions=p,
            height=np.array(np.broadcast_to(np.asarray(height, np.float64), (n,))),
            width=np.array(np.broadcast_to(np.asarray(width, np.float64), (n,))),
            species=np.array(np.broadcast_to(np.asarray(species, np.int64), (n,))),
            elements=tuple(elements),
            id=np.arange(n, dtype=np.int64) if id is None else np.asarray(id, np.int64).copy(),
        )
