"""Elements: atomic number, brightness and nearest-neighbour distance."""

from __future__ import annotations

from collections.abc import Sequence

from napari_lot.errors import InputError

SYMBOLS = tuple(
    "X H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb "
    "Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au "
    "Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts "
    "Og".split()
)
"""Element symbols, each at the index of its atomic number; X, an unknown element, is the first."""

# Nearest-neighbour distance in Å of the element's crystal at its reference temperature (C. Kittel, Introduction to
# Solid State Physics, table of nearest-neighbour distances); elements that form no such crystal are left out.
NEAREST_NEIGHBOUR_A: dict[str, float] = {
    "Li": 3.02, "Be": 2.22, "B": 1.77, "C": 1.54, "Na": 3.66, "Mg": 3.20, "Al": 2.86, "Si": 2.35, "K": 4.53,
    "Ca": 3.95, "Sc": 3.25, "Ti": 2.89, "V": 2.62, "Cr": 2.50, "Mn": 2.24, "Fe": 2.48, "Co": 2.50, "Ni": 2.49,
    "Cu": 2.56, "Zn": 2.66, "Ga": 2.44, "Ge": 2.45, "As": 2.52, "Se": 2.32, "Rb": 4.84, "Sr": 4.30, "Y": 3.55,
    "Zr": 3.17, "Nb": 2.86, "Mo": 2.72, "Tc": 2.71, "Ru": 2.65, "Rh": 2.69, "Pd": 2.75, "Ag": 2.89, "Cd": 2.98,
    "In": 3.25, "Sn": 2.81, "Sb": 2.91, "Te": 2.86, "Cs": 5.24, "Ba": 4.35, "La": 3.73, "Ce": 3.65, "Pr": 3.63,
    "Nd": 3.66, "Sm": 3.59, "Eu": 3.96, "Gd": 3.58, "Tb": 3.52, "Dy": 3.51, "Ho": 3.49, "Er": 3.47, "Tm": 3.54,
    "Yb": 3.88, "Lu": 3.43, "Hf": 3.13, "Ta": 2.86, "W": 2.74, "Re": 2.74, "Os": 2.68, "Ir": 2.71, "Pt": 2.77,
    "Au": 2.88, "Hg": 3.01, "Tl": 3.46, "Pb": 3.50, "Bi": 3.07, "Th": 3.60, "U": 2.75,
}  # fmt: skip


def nearest_neighbour_A(element: str) -> float:
    """Nearest-neighbour distance in Å of an element's crystal.

    Raises
    ------
    InputError
        No such element here.
    """
    try:
        return NEAREST_NEIGHBOUR_A[element]
    except KeyError:
        raise InputError(
            f"No nearest-neighbour distance is known for element {element!r}: "
            "give one such as Pt or Si, or the expected spacing in Å."
        ) from None


def relative_strengths(elements: Sequence[str]) -> list[float]:
    """Brightness of elements in HAADF relative to the heaviest of them; 1 for an unknown one (X).

    It goes with Z^1.7 (Krivanek et al., Nature 464, 571 (2010): 1.64 at medium angles; Rutherford: 2).
    """
    numbers = [SYMBOLS.index(symbol) for symbol in elements]
    heaviest = max(numbers)
    return [(number / heaviest) ** 1.7 if number else 1.0 for number in numbers]


def weakest_contrast(elements: Sequence[str]) -> float:
    """Brightness of the lightest of some elements relative to the heaviest: 1 for one, 0 with an unknown among them."""
    if len(elements) == 1:
        return 1.0
    return 0.0 if "X" in elements else min(relative_strengths(elements))
