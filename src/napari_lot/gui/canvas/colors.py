"""What atoms can be coloured by, in which colours, and what is said of it. No Qt."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from napari.utils import Colormap
from napari.utils.colormaps import ensure_colormap
from numpy.typing import NDArray

from napari_lot.atoms import Orbitals
from napari_lot.job import Result

Floats = NDArray[np.float64]
HEIGHT, ELEMENT, ERROR_BAR, EXISTENCE = "height", "element", "error bar", "existence probability"
WANTED = (HEIGHT, ELEMENT, ERROR_BAR, EXISTENCE)
DOUBTFUL = 0.95
"""Probability below which an atom is called improbable, or its element doubtful."""
MOST_UNUSED = 0.1
"""Part of the colours that round limits may leave without an atom."""
SHADES = 1024
UNKNOWN = (0.5, 0.5, 0.5, 1.0)

# Okabe and Ito's colours, told apart by people with any colour vision; those that are light on black first.
ELEMENT_COLORS = (
    (0.902, 0.624, 0.000),
    (0.337, 0.706, 0.914),
    (0.800, 0.475, 0.655),
    (0.000, 0.620, 0.451),
    (0.941, 0.894, 0.259),
    (0.835, 0.369, 0.000),
)


def _map(name: str) -> Colormap:
    if name == EXISTENCE:
        # Orange for doubt, blue for certainty: the doubtful few are the bright ones.
        return Colormap(
            np.array([(0.95, 0.62, 0.0, 1.0), (0.72, 0.72, 0.72, 1.0), (0.1, 0.4, 0.75, 1.0)]), name="doubt-certainty"
        )
    return ensure_colormap({HEIGHT: "viridis", ERROR_BAR: "plasma"}[name])


@cache
def _shades(name: str) -> NDArray[np.float32]:
    """Colours (SHADES, 4) of a map, from its lower to its upper end: looked up, for atoms stream in by the thousand."""
    return np.asarray(_map(name).map(np.linspace(0.0, 1.0, SHADES)), np.float32)


@dataclass(frozen=True)
class Coloring:
    """One number an atom, and its colours.

    Attributes
    ----------
    name : str
        One of ``WANTED``.
    title : str
        Name and unit.
    values : (N,) float64
        NaN where unknown; for elements the index into ``elements``.
    limits : (float, float)
    elements : tuple of str
        Symbols, for colours by element.
    """

    name: str
    title: str
    values: Floats
    limits: tuple[float, float]
    elements: tuple[str, ...] = ()

    @property
    def colormap(self) -> Colormap | None:
        """Map from the lower to the upper limit, None for elements."""
        return None if self.name == ELEMENT else _map(self.name)

    @property
    def words(self) -> str:
        """Name and unit, and for numbers the values at both ends of the colours, which the bar need not label."""
        if self.name == ELEMENT:
            return self.title
        low, high = (f"{limit:g}".replace("-", "−") for limit in self.limits)
        return f"{self.title}, {low} to {high}"

    def rgba(self, values: Floats | None = None) -> NDArray[np.float32]:
        """Colours (N, 4) of the atoms, or of other values."""
        v = self.values if values is None else np.asarray(values, np.float64)
        known = np.isfinite(v)
        if self.name == ELEMENT:
            palette = np.array([(*c, 1.0) for c in ELEMENT_COLORS], np.float32)
            which = np.where(known, v, 0).astype(np.int64) % len(palette)
        else:
            low, high = self.limits
            palette = _shades(self.name)
            share = np.clip((np.where(known, v, low) - low) / (high - low), 0, 1)
            which = np.rint(share * (len(palette) - 1)).astype(np.int64)
        colors = palette[which]
        if not known.all():
            colors[~known] = UNKNOWN
        return colors


def error_bar_pm(result: Result) -> Floats | None:
    """Error bar of each atom in three dimensions, the root of the sum of its variances in x, y and z, in pm."""
    return None if result.sigma_A is None else 100 * np.sqrt((np.asarray(result.sigma_A) ** 2).sum(1))


def missing(name: str, result: Result | None) -> str | None:
    """None where atoms can be coloured so, else why not."""
    if name in (HEIGHT, ELEMENT):
        return None
    if result is None:
        return "after a run"
    known = result.sigma_A if name == ERROR_BAR else result.p_exists
    return None if known is not None else "this run did not compute it"


def coloring(name: str, orbitals: Orbitals, result: Result | None = None, intensity: str = "image units") -> Coloring:
    """Colours of orbitals (those of ``result`` where that is given); of heights where the wish cannot be met.

    Parameters
    ----------
    intensity : str
        Unit of the images.
    """
    if name == ELEMENT:
        elements = orbitals.elements
        return Coloring(ELEMENT, "element", orbitals.species.astype(float), (0.0, max(len(elements) - 1, 1)), elements)
    if missing(name, result) is None and result is not None:
        if name == ERROR_BAR and (values := error_bar_pm(result)) is not None:
            return Coloring(name, "error bar in 3D (pm)", values, rounded(*_robust(values, 0.02)))
        if name == EXISTENCE and result.p_exists is not None:
            # Half and less is doubt enough: the colours tell 0.9 from 1.
            return Coloring(name, "existence probability", np.asarray(result.p_exists, float), (0.5, 1.0))
    height = orbitals.height
    known = height[np.isfinite(height)]
    top = float(np.quantile(known, 0.98)) if len(known) else 1.0
    return Coloring(HEIGHT, f"height ({intensity})", height, rounded(0.0, top if top > 0 else 1.0))


def _robust(values: Floats, low: float) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    if not len(known):
        return 0.0, 1.0
    a, b = (float(q) for q in np.quantile(known, [low, 0.98]))
    return (a, b) if b > a else (a, a + max(abs(a), 1e-3))


def rounded(low: float, high: float) -> tuple[float, float]:
    """The roundest limits around others that leave at most ``MOST_UNUSED`` of the colours unused.

    They are multiples of a step of 1, 2 or 5 times a power of ten, the coarsest that will do.
    """
    power = int(np.floor(np.log10(high - low)))
    for step in (factor * 10.0**k for k in range(power, power - 3, -1) for factor in (5, 2, 1)):
        first, last = step * np.floor(low / step + 1e-6), step * np.ceil(high / step - 1e-6)
        if (last - first) - (high - low) <= MOST_UNUSED * (last - first):
            break
    return _plain(first), _plain(last)


def _plain(number: float) -> float:
    return float(f"{number:.12g}")


def summary(result: Result) -> str:
    """How sure a result's atoms are, in a line; '' where nothing of it was computed."""
    parts = []
    bars = error_bar_pm(result)
    if bars is not None:
        known = bars[np.isfinite(bars)]
        if len(known):
            parts.append(f"median error bar {np.median(known):.3g} pm")
        if len(known) < len(bars):
            parts.append(f"{_atoms(len(bars) - len(known))} without error bars")
    if result.p_exists is not None:
        parts.append(f"{_atoms(int((np.asarray(result.p_exists) < DOUBTFUL).sum()))} improbable (p < {DOUBTFUL:g})")
    if result.p_element is not None and len(result.orbitals.elements) > 1:
        parts.append(f"{_atoms(int((np.asarray(result.p_element) < DOUBTFUL).sum()))} of doubtful element")
    return "; ".join(parts)


def _atoms(n: int) -> str:
    return {0: "no atom", 1: "1 atom"}.get(n, f"{n} atoms")
