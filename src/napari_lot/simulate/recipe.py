"""A particle by name and size: what ``napari-lot simulate`` makes where no file of atoms is given."""

from __future__ import annotations

from collections.abc import Sequence

from napari_lot.atoms import Orbitals
from napari_lot.errors import InputError
from napari_lot.physics.elements import NEAREST_NEIGHBOUR_A
from napari_lot.simulate.alloy import cross_sections_A2, with_cross_section, with_elements
from napari_lot.simulate.particles import amorphous_sphere, decahedron, fcc_cluster, icosahedron
from napari_lot.simulate.settings import Recipe

_CLOSEST = 0.93
"""Smallest distance in an amorphous particle, in nearest-neighbour distances of the element's crystal."""


def build_particle(
    recipe: Recipe, elements: Sequence[str], fractions: Sequence[float] | None = None, *, seed: int = 0
) -> Orbitals:
    """The particle, centred at the origin, with heights of the elements' cross-sections (Z^1.7).

    Parameters
    ----------
    recipe : Recipe
        Kind and size.
    elements : sequence of str
        Symbols; with several, lattice constant and smallest distance are those of the first where they are absent.
    fractions : sequence of float, optional
        See :func:`~napari_lot.simulate.alloy.with_elements`.
    seed : int
        Of random positions and of the elements.

    Raises
    ------
    InputError
        The size cannot be built, ASE is missing (crystals), or an element is unknown.
    """
    if "X" in elements:
        raise InputError("The particle needs an element: give --element, or --elements and --fractions.")
    first = elements[0]
    if recipe.kind == "amorphous":
        assert recipe.diameter_A is not None
        made = amorphous_sphere(first, recipe.diameter_A, _distance_A(recipe, first), atoms=recipe.atoms, seed=seed)
    elif recipe.kind == "decahedron":
        assert recipe.edge is not None
        assert recipe.length is not None
        made = decahedron(first, recipe.edge, recipe.length, recipe.notch or 0, lattice_A=recipe.lattice_A)
    else:
        assert recipe.shells is not None
        build = fcc_cluster if recipe.kind == "fcc" else icosahedron
        made = build(first, recipe.shells, lattice_A=recipe.lattice_A)
    made = with_elements(made, elements, fractions, seed=seed)
    return with_cross_section(made, cross_sections_A2(elements))


def _distance_A(recipe: Recipe, element: str) -> float:
    if recipe.min_distance_A is not None:
        return recipe.min_distance_A
    if element not in NEAREST_NEIGHBOUR_A:
        raise InputError(f"No nearest-neighbour distance is known for {element}: give min_distance_A in Å.")
    return _CLOSEST * NEAREST_NEIGHBOUR_A[element]
