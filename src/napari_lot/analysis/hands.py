"""Whether another structure fits better turned over: the mirror images and half turns that a tilt series confuses.

A series that is said to tilt the wrong way gives (x, y, -z), images read upside down (x, -y, z), images read from right
to left at tilts of the wrong sense (-x, y, z), images turned by 180° at tilts of the wrong sense (-x, -y, z) and so on
(docs/solver.md, "Handedness"). The eight ways to turn axes over are all that such mistakes make of a series with one
tilt axis along y. Four are mirror images, the other hand; three are half turns, which keep the hand.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from scipy.spatial import cKDTree

from napari_lot.analysis.compare import Comparison, compare, comparison_of, match_from
from napari_lot.analysis.registration import Overlap
from napari_lot.atoms import Orbitals

Signs = tuple[int, int, int]
AS_IT_IS: Signs = (1, 1, 1)
WAYS: tuple[Signs, ...] = tuple(
    sorted(((a, b, c) for a, b, c in product((1, -1), repeat=3)), key=lambda s: (s.count(-1), s[2], s[1]))
)
BETTER = 0.9
"""A way fits better where its misfit is below this share of the other's, and alike where neither is."""
_MISTAKES = {
    (1, 1, -1): "the tilts may have been given in the wrong sense",
    (1, -1, 1): "the images may have been read upside down",
    (-1, 1, 1): "the images may have been read from right to left, at tilts of the wrong sense",
    (-1, -1, -1): "the images may have been turned by 180°",
    (1, -1, -1): "the images may have been read upside down, at tilts of the wrong sense",
    (-1, 1, -1): "the images may have been read from right to left",
    (-1, -1, 1): "the images may have been turned by 180°, at tilts of the wrong sense",
}


@dataclass(frozen=True)
class HandCheck:
    """Comparisons of the found atoms as they are and turned over.

    Attributes
    ----------
    comparisons : dict of signs to Comparison
        ``signs * found`` against the reference, for each of ``WAYS``.
    best : (3,) of 1 or -1
        The way with the smallest misfit; as it is where no other is better.
    sentence : str
        What that means, for a person.
    """

    comparisons: dict[Signs, Comparison]
    best: Signs
    sentence: str


def name_of(signs: Signs) -> str:
    """'(x, y, −z)'."""
    return "(" + ", ".join(f"{'−' if s < 0 else ''}{axis}" for s, axis in zip(signs, "xyz", strict=True)) + ")"


def is_mirror(signs: Signs) -> bool:
    """Whether turning these axes over makes the other hand."""
    return int(np.prod(signs)) < 0


def turned_over(atoms: Orbitals, signs: Signs) -> Orbitals:
    """The same atoms with some axes turned over about the origin."""
    return replace(atoms, positions=atoms.positions * np.array(signs))


def misfit(comparison: Comparison) -> float:
    """Mean square distance in units of the cutoff, each atom without a partner counted as one cutoff away; 0 to 1."""
    alone = len(comparison.missing_index) + len(comparison.false_index)
    near = float(((comparison.displacement_A / comparison.cutoff_A) ** 2).sum())
    return (near + 0.5 * alone) / max(comparison.matched + 0.5 * alone, 1)


def check_hands(found: Orbitals, truth: Orbitals, cutoff_A: float = 1.0, rotate: bool = False) -> HandCheck:
    """Compare the found atoms as they are, mirrored and half turned with the reference.

    Parameters
    ----------
    found, truth, cutoff_A, rotate
        As in ``compare``; a rotation that is removed is proper, so it never hides a wrong hand.
    """
    as_it_is = compare(found, truth, cutoff_A, rotate)
    tried = {AS_IT_IS: as_it_is}
    if min(len(found), len(truth)) > 3:
        overlap = Overlap(found.positions, truth.positions)
        tree = cKDTree(truth.positions)
        for signs in WAYS[1:]:
            other = turned_over(found, signs)
            starts = np.vstack([overlap.shifts(signs), np.zeros(3)])
            best = match_from(other.positions, tree, cutoff_A, rotate, starts)
            tried[signs] = comparison_of(other, truth, cutoff_A, best)
    best_way = min(tried, key=lambda signs: misfit(tried[signs]) if signs != AS_IT_IS else BETTER * misfit(as_it_is))
    return HandCheck(tried, best_way, _sentence(tried, best_way))


def _sentence(tried: dict[Signs, Comparison], best: Signs) -> str:
    here = tried[AS_IT_IS]
    if len(tried) == 1:
        return "Too few atoms to tell a structure from its mirror image."
    mirrors = [signs for signs in tried if is_mirror(signs)]
    mirror = min(mirrors, key=lambda signs: misfit(tried[signs]))
    total = here.matched + len(here.missing_index)
    if not any(c.matched > 0.5 * total for c in tried.values()):
        return (
            f"Neither the atoms as they are nor a mirror image pair with more than half of the {total} reference "
            "atoms: nothing is known of the hand."
        )
    if best != AS_IT_IS:
        kind = f"the mirror image {name_of(best)}" if is_mirror(best) else f"turned by half a turn, {name_of(best)},"
        alike = _alike(tried, best)
        more = "" if not alike else f" (turned into each other by symmetry: {', '.join(map(name_of, alike))} as well)"
        hand = "The other hand fits better" if is_mirror(best) else "Another orientation fits better"
        return f"{hand}: {kind} pairs {_figures(tried[best])}, as it is {_figures(here)}{more}; {_MISTAKES[best]}."
    if misfit(tried[mirror]) * BETTER < misfit(here):
        return (
            f"The mirror image {name_of(mirror)} fits as well ({_figures(tried[mirror])}, as it is {_figures(here)}): "
            "this comparison cannot tell the hand."
        )
    other = f"the best mirror image {name_of(mirror)} {_figures(tried[mirror])}"
    return f"The hand agrees: as it is {_figures(here)}, {other}."


def _alike(tried: dict[Signs, Comparison], best: Signs) -> list[Signs]:
    """Other ways that fit no worse than the best."""
    limit = misfit(tried[best]) / BETTER
    return [signs for signs in tried if signs not in (best, AS_IT_IS) and misfit(tried[signs]) < limit]


def _figures(comparison: Comparison) -> str:
    if not comparison.matched:
        return "no atom"
    return f"{comparison.matched} atoms at RMSD {comparison.rmsd_pm:.1f} pm"
