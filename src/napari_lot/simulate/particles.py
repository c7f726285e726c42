"""Particles to image: amorphous spheres, and crystalline clusters through ASE."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from napari_lot.atoms import Orbitals
from napari_lot.errors import InputError

# Spheres of the smallest distance fill this much of the volume: a dense glass, well below random close packing (0.64).
_FILLING = 0.42
_FILLING_LIMIT = 0.60
_SWEEPS = 3000


def fcc_cluster(element: str, shells: int, *, lattice_A: float | None = None, width_A: float = 0.5) -> Orbitals:
    """Regular truncated octahedron of an fcc metal: 38, 201, 586, 1289, ... atoms for 1, 2, 3, 4 shells.

    Parameters
    ----------
    element : str
        Symbol.
    shells : int
        Atoms along an edge, less one.
    lattice_A : float, optional
        Lattice constant in Å; that of the element by default.
    width_A : float
        Width B of the orbitals in Å.

    Returns
    -------
    Orbitals
        Centred at the origin, height 1.

    Raises
    ------
    InputError
        ASE is missing, the element is unknown or has no fcc lattice constant, or a number is out of range.
    """
    if shells < 1:
        raise InputError(f"An fcc cluster needs at least 1 shell, not {shells}.")
    return _cluster("Octahedron", element, lattice_A, width_A, 3 * shells + 1, shells)


def icosahedron(element: str, shells: int, *, lattice_A: float | None = None, width_A: float = 0.5) -> Orbitals:
    """Mackay icosahedron: 13, 55, 147, 309, ... atoms for 2, 3, 4, 5 shells (the centre counts as one).

    Parameters, result and errors as for :func:`fcc_cluster`.
    """
    if shells < 1:
        raise InputError(f"An icosahedron needs at least 1 shell, not {shells}.")
    return _cluster("Icosahedron", element, lattice_A, width_A, shells)


def decahedron(
    element: str, edge: int, length: int, notch: int = 0, *, lattice_A: float | None = None, width_A: float = 0.5
) -> Orbitals:
    """Five-fold twinned decahedron after Marks.

    Parameters
    ----------
    element : str
        Symbol.
    edge : int
        Atoms along an edge of the (100) faces, perpendicular to the five-fold axis, at least 2.
    length : int
        Atoms along a (100) face, parallel to the axis, at least 1.
    notch : int
        Depth of the re-entrant notches in atoms; 0 is a plain (Ino) decahedron.
    lattice_A, width_A : float
        As for :func:`fcc_cluster`; so are the result and the errors.
    """
    if edge < 2 or length < 1 or notch < 0:
        raise InputError(
            f"A decahedron needs edge >= 2, length >= 1 and notch >= 0 atoms, not edge {edge}, length {length}, "
            f"notch {notch}."
        )
    return _cluster("Decahedron", element, lattice_A, width_A, edge, length, notch)


def amorphous_sphere(
    element: str,
    diameter_A: float,
    min_distance_A: float,
    *,
    atoms: int | None = None,
    width_A: float = 0.5,
    seed: int = 0,
) -> Orbitals:
    """Random atoms in a sphere, no two closer than ``min_distance_A``.

    Overlaps of a random start are pushed apart until none is left.

    Parameters
    ----------
    element : str
        Symbol, a name only.
    diameter_A : float
        Diameter in Å of the sphere that holds all atom centres.
    min_distance_A : float
        Smallest distance of two atoms in Å.
    atoms : int, optional
        Number of atoms; by default a dense glass, 42 % of the volume within half the smallest distance of an atom.
    width_A : float
        Width B of the orbitals in Å.
    seed : int
        The same seed gives the same atoms.

    Returns
    -------
    Orbitals
        Centred at the origin, height 1.

    Raises
    ------
    InputError
        A number is out of range or the sphere is too dense.
    """
    if not (diameter_A > 0 and min_distance_A > 0):
        raise InputError(
            f"An amorphous sphere needs a positive diameter and smallest distance, not {diameter_A:g} "
            f"and {min_distance_A:g} Å."
        )
    radius = 0.5 * diameter_A
    # Centres reach the rim, so that the balls around them fill a sphere of half a distance more.
    capacity = ((diameter_A + min_distance_A) / min_distance_A) ** 3
    if atoms is None:
        atoms = max(1, round(_FILLING * (diameter_A / min_distance_A) ** 3))
    if atoms < 1:
        raise InputError(f"An amorphous sphere needs at least 1 atom, not {atoms}.")
    too_dense = InputError(
        f"{atoms} atoms no closer than {min_distance_A:g} Å do not fit at random into a sphere of {diameter_A:g} Å; "
        "give fewer atoms, a larger diameter or a smaller distance."
    )
    if atoms > max(1.0, _FILLING_LIMIT * capacity):
        raise too_dense
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=(atoms, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    positions = radius * np.cbrt(rng.random((atoms, 1))) * direction
    for _ in range(_SWEEPS):
        positions, closest = _push_apart(positions, 1.01 * min_distance_A, rng)
        positions = _into_ball(positions, radius)
        if closest >= 1.01 * min_distance_A or _closest(positions) >= min_distance_A:
            return Orbitals.create(positions, width=width_A, elements=(element,))
    raise too_dense


def _into_ball(positions: NDArray[np.float64], radius: float) -> NDArray[np.float64]:
    """Positions (N, 3) with those outside the sphere pulled onto it."""
    distance = np.linalg.norm(positions, axis=1, keepdims=True)
    inside: NDArray[np.float64] = positions * np.minimum(1.0, radius / np.maximum(distance, 1e-12))
    return inside


def _closest(positions: NDArray[np.float64]) -> float:
    """Smallest distance of two of the positions (N, 3)."""
    if len(positions) < 2:
        return np.inf
    distance, _ = cKDTree(positions).query(positions, 2)
    return float(np.min(distance, axis=0)[1])


def _push_apart(
    positions: NDArray[np.float64], wanted: float, rng: np.random.Generator
) -> tuple[NDArray[np.float64], float]:
    """One sweep: every pair closer than ``wanted`` parts by half its overlap each; also the closest distance before."""
    first, second = cKDTree(positions).query_pairs(wanted, output_type="ndarray").T
    if not len(first):
        return positions, wanted
    apart = positions[first] - positions[second]
    distance = np.linalg.norm(apart, axis=1)
    closest = float(distance.min())
    same = distance < 1e-9  # no direction of their own
    apart[same] = rng.normal(size=(int(same.sum()), 3)) * 1e-6
    distance = np.linalg.norm(apart, axis=1)
    step = apart * (0.5 * (wanted - distance) / distance)[:, None]
    moved = positions.copy()
    np.add.at(moved, first, step)
    np.subtract.at(moved, second, step)
    return moved, closest


def _cluster(shape: str, element: str, lattice_A: float | None, width_A: float, *size: int) -> Orbitals:
    """A cluster of ``ase.cluster``, centred at the origin."""
    try:
        import ase.cluster
        import ase.data
    except ImportError:
        raise InputError(
            "Crystalline clusters need the package ASE, which is not installed: pip install ase."
        ) from None
    if element not in ase.data.atomic_numbers or element == "X":
        raise InputError(f"Unknown element {element!r}: give a chemical symbol such as Pt.")
    known: dict[str, Any] = ase.data.reference_states[ase.data.atomic_numbers[element]] or {}
    if lattice_A is None and known.get("symmetry") != "fcc":
        raise InputError(f"{element} has no fcc lattice constant of its own: give lattice_A in Å.")
    if lattice_A is not None and not lattice_A > 0:
        raise InputError(f"The lattice constant must be positive, not {lattice_A:g} Å.")
    build: Callable[..., Any] = getattr(ase.cluster, shape)
    positions = np.asarray(build(element, *size, latticeconstant=lattice_A).positions, np.float64)
    return Orbitals.create(positions - positions.mean(0), width=width_A, elements=(element,))
