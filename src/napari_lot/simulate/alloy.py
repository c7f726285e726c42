"""Several elements on one particle, and how strongly each of them scatters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_lot.atoms import Orbitals
from napari_lot.errors import InputError
from napari_lot.physics.elements import SYMBOLS

SILICON_CROSS_SECTION_A2 = 0.0017
"""Of one silicon atom on an annular dark-field detector in Å^2, a typical figure."""
_EXPONENT = 1.7  # of the atomic number, as in physics.elements.relative_strengths


def cross_sections_A2(elements: Sequence[str]) -> list[float]:
    """Cross-sections in Å^2 on an annular dark-field detector: silicon's 0.0017 Å^2, others with Z^1.7.

    Raises
    ------
    InputError
        A symbol that is no element.
    """
    for symbol in elements:
        if symbol not in SYMBOLS or symbol == "X":
            raise InputError(f"No cross-section is known for {symbol!r}: name the element, or give one in Å^2.")
    silicon = SYMBOLS.index("Si")
    return [SILICON_CROSS_SECTION_A2 * (SYMBOLS.index(symbol) / silicon) ** _EXPONENT for symbol in elements]


def with_cross_section(orbitals: Orbitals, cross_section_A2: float | Sequence[float]) -> Orbitals:
    """The same orbitals with heights such that pi H B^2 is the cross-section in Å^2, one value or one per element.

    With heights like these, an image is the share of the beam that each pixel detects (:func:`cross_sections_A2`).
    """
    table = np.broadcast_to(np.asarray(cross_section_A2, np.float64), (len(orbitals.elements),))
    if not np.all(table > 0):
        raise InputError("A cross-section (--cross-section) must be positive, in Å^2.")
    return replace(orbitals, height=table[orbitals.species] / (np.pi * orbitals.width**2))


def with_width(orbitals: Orbitals, width_A: float | Sequence[float]) -> Orbitals:
    """The same orbitals with widths B in Å, one value or one per element; the scattering strength pi H B^2 is kept."""
    table = np.broadcast_to(np.asarray(width_A, np.float64), (len(orbitals.elements),))
    if not np.all(table > 0):
        raise InputError("A width (--width) must be positive, in Å.")
    width = table[orbitals.species]
    return replace(orbitals, width=width, height=orbitals.height * (orbitals.width / width) ** 2)


def with_elements(
    orbitals: Orbitals, elements: Sequence[str], fractions: Sequence[float] | None = None, *, seed: int = 0
) -> Orbitals:
    """The same orbitals with elements at random.

    Parameters
    ----------
    elements : sequence of str
        Symbols.
    fractions : sequence of float, optional
        Share of each, in any unit (1,1,2 is a quarter, a quarter, a half); equal by default. The numbers of atoms are
        as near to them as whole numbers can be; which atom is which is random.
    seed : int
        The same seed gives the same assignment.

    Raises
    ------
    InputError
        Another number of fractions than of elements, or a negative one.
    """
    shares = np.ones(len(elements)) if fractions is None else np.asarray(fractions, np.float64)
    if len(shares) != len(elements):
        raise InputError(
            f"There are {len(elements)} elements and {len(shares)} fractions: give one fraction for each element."
        )
    if not (np.all(np.isfinite(shares)) and np.all(shares >= 0) and shares.sum() > 0):
        raise InputError("Fractions must not be negative, and not all 0.")
    species = np.repeat(np.arange(len(shares)), _whole_numbers(shares / shares.sum() * len(orbitals)))
    species = np.random.default_rng([seed, len(elements)]).permutation(species)
    return replace(orbitals, species=species.astype(np.int64), elements=tuple(elements))


def _whole_numbers(wanted: NDArray[np.float64]) -> NDArray[np.int64]:
    """Whole numbers of the same sum, each within 1 of what is wanted (largest remainders)."""
    counts = np.floor(wanted + 1e-9).astype(np.int64)
    missing = round(float(wanted.sum())) - int(counts.sum())
    counts[np.argsort(counts - wanted, kind="stable")[:missing]] += 1
    return counts
