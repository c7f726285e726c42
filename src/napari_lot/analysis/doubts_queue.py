"""Which atoms of a result to look at first, and why: the order of the doubt queue, and what is told of decisions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from napari_lot.job import Result

Floats = NDArray[np.float64]

IMPROBABLE = 0.05
"""Probability of not existing at which an atom is worth a look; the window calls it doubtful from there on."""
WIDE = 2.0
"""Median error bars at which one is."""
CROWDED = 0.75
"""Expected distances of neighbours at which one is."""
SCATTERS = 4.0
"""Robust standard deviations by which a height or a residual stands out."""
ASKED_APART = 0.45
"""Expected distances within which an atom is the one that the residual asked for."""
MOST_NAMED = 5
LEAST_SCATTER = 0.02
"""Relative scatter below which nothing stands out: without noise all atoms are nearly alike."""


@dataclass(frozen=True)
class Ranking:
    """All atoms of a result, the most doubtful first.

    Attributes
    ----------
    atoms : (N,) int64
        Ids.
    scores : (N,) float64
        How doubtful: 1 is just worth a look.
    tell : callable
        Why the atom at a place is doubtful, in one sentence; what is least certain about one that is not.
    """

    atoms: NDArray[np.int64]
    scores: Floats
    tell: Callable[[int], str]

    def __len__(self) -> int:
        return len(self.atoms)

    def why(self, atom: int) -> str:
        """One sentence for an atom; '' where it is not among these."""
        place = np.flatnonzero(self.atoms == atom)
        return self.tell(int(place[0])) if len(place) else ""

    def doubtful(self, atom: int) -> bool:
        """Whether an atom is worth a look."""
        return bool((self.scores[self.atoms == atom] >= 1.0).any())


def doubtful_words(ranking: Ranking, residuals: bool, error_bars: bool = True) -> str:
    """How many atoms are worth a look; ``residuals`` tells whether those around them are part of the ranking.

    '' where none is, and no ``error_bars`` are known: that says nothing for the atoms.
    """
    n = int((ranking.scores >= 1.0).sum())
    if not n and not error_bars:
        return ""
    count = {0: "no atom doubtful", 1: "1 atom doubtful"}.get(n, f"{n} atoms doubtful")
    return count if residuals else f"{count}, residuals aside (N looks at them)"


def asked_words(result: Result, spacing_A: float) -> str:
    """Where the residual asks for an atom that is not there, as far as a run has noted it; '' for nowhere."""
    table = np.asarray(result.details.get("asked_for") or np.zeros((0, 4)), np.float64)
    if len(table) and len(result.orbitals):
        table = table[cKDTree(result.orbitals.positions).query(table[:, :3])[0] > ASKED_APART * spacing_A]
    if not len(table):
        return ""
    places = [f"x {x:.2f}, y {y:.2f}, z {z:.2f} Å ({s:.2g} σ)".replace("-", "−") for x, y, z, s in table[:MOST_NAMED]]
    more = f"; and {len(table) - MOST_NAMED} more" if len(table) > MOST_NAMED else ""
    what = "an atom that is not there" if len(table) == 1 else f"{len(table)} atoms that are not there"
    return f"The residual asks for {what}: {'; '.join(places)}{more}."


def rank(result: Result, spacing_A: float, misfit: Floats | None = None) -> Ranking:
    """All atoms of a result, the most doubtful first.

    Each reason is a ratio to where it begins to be one: probability of not existing, error bar over twice the
    median, height below the others of its element, residual around it above that around others (in robust standard
    deviations), a neighbour that is too close. The largest ratio counts and is told.

    Parameters
    ----------
    result : Result
    spacing_A : float
        Expected nearest-neighbour distance.
    misfit : (N,), optional
        Root mean square residual around each atom over the noise.
    """
    atoms = result.orbitals
    n = len(atoms)
    if not n:
        return Ranking(np.zeros(0, np.int64), np.zeros(0), lambda place: "")
    reasons: dict[str, Floats] = {}
    said: dict[str, list[Any]] = {}
    if result.p_exists is not None:
        p = np.asarray(result.p_exists, np.float64)
        reasons["exists"] = np.nan_to_num((1.0 - p) / IMPROBABLE, nan=1.0)
        said["exists"] = [p]
    if result.sigma_A is not None:
        bars = 100.0 * np.sqrt((np.asarray(result.sigma_A) ** 2).sum(1))
        middle = float(np.nanmedian(bars)) if np.isfinite(bars).any() else np.nan
        reasons["bar"] = np.nan_to_num(bars / (WIDE * max(middle, 1e-12)), nan=1.0)
        said["bar"] = [bars, np.full(n, middle)]
    low, typical = np.zeros(n), np.ones(n)
    for s in np.unique(atoms.species):
        these = atoms.species == s
        middle, scatter = _middle_and_scatter(atoms.height[these])
        low[these] = (middle - atoms.height[these]) / (SCATTERS * scatter)
        typical[these] = middle
    reasons["height"] = np.maximum(low, 0.0)
    said["height"] = [atoms.height / np.where(typical > 0, typical, 1.0)]
    if n > 1:
        apart, who = (np.asarray(found) for found in cKDTree(atoms.positions).query(atoms.positions, 2))
        reasons["near"] = CROWDED * spacing_A / np.maximum(apart[:, 1], 1e-3)
        said["near"] = [apart[:, 1], atoms.id[who[:, 1]], np.full(n, spacing_A)]
    if misfit is not None:
        middle, scatter = _middle_and_scatter(misfit)
        reasons["residual"] = np.maximum((misfit - middle) / (SCATTERS * scatter), 0.0)
        said["residual"] = [misfit, np.full(n, middle)]
    names = list(reasons)
    table = np.array([reasons[name] for name in names])
    score, first = table.max(0), table.argmax(0)
    order = np.argsort(-score, kind="stable")

    def tell(place: int) -> str:
        i = int(order[place])
        chosen = [int(first[i])] + [k for k in range(len(names)) if k != first[i] and table[k, i] >= 1.0]
        element = atoms.elements[atoms.species[i]]
        parts = [_in_words(names[k], [values[i] for values in said[names[k]]], element) for k in chosen]
        text = "; ".join(parts) + "."
        if score[i] < 1.0:
            return f"Nothing about it is doubtful. What is least certain: {text}"
        return text[0].upper() + text[1:]

    return Ranking(atoms.id[order], score[order], tell)


def _middle_and_scatter(values: Floats) -> tuple[float, float]:
    """Median, and robust standard deviation, which is never next to nothing."""
    middle = float(np.median(values))
    scatter = 1.4826 * float(np.median(np.abs(values - middle)))
    return middle, max(scatter, LEAST_SCATTER * abs(middle), 1e-300)


def _in_words(name: str, values: list[Any], element: str) -> str:
    if name == "exists":
        return f"it exists with a probability of {values[0]:.3g}"
    if name == "bar":
        return f"its error bar is {values[0]:.3g} pm, {values[0] / max(values[1], 1e-12):.2g} times the median"
    if name == "height":
        return f"its height is {100 * values[0]:.0f} % of that of the other {element} atoms"
    if name == "near":
        return (
            f"its nearest neighbour, atom {values[1]}, is {values[0]:.2f} Å away, where {values[2]:.2f} Å is expected"
        )
    return f"the residual around it is {values[0]:.2f} times the noise, {values[1]:.2f} around a typical atom"


def decision(
    what: str, atom: int, element: str, position_A: Floats, gain: float, reason: str, time: str, **more: Any
) -> dict[str, Any]:
    """A decision as the report and the log of a result hold it.

    Parameters
    ----------
    what : "keep", "delete", "move" or "add"
    atom : int
        Id.
    element : str
    position_A : (3,)
    gain : float
        Change of the log-likelihood of the images.
    reason : str
        Why the atom was doubtful, in the words that the person saw.
    time : str
        ISO 8601.
    """
    place = [round(float(x), 4) for x in position_A]
    found = {"time": time, "what": what, "atom": atom, "element": element, "position_A": place}
    return found | {"gain": round(float(gain), 3), "reason": reason} | more


def signed(number: float) -> str:
    """A number with its sign and three digits, as it is printed: '+35', '−0.42', '+1.3 × 10⁶'."""
    if abs(number) >= 1e5:
        exponent = int(np.floor(np.log10(abs(number))))
        power = str(exponent).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
        return f"{number / 10**exponent:+.2g} × 10{power}".replace("-", "−")
    return (f"{number:+.0f}" if abs(number) >= 100 else f"{number:+.2g}").replace("-", "−")


BY_HAND = "placed by hand"
"""Why an atom was added where a person put it."""
_ASKED = "residual of"


def asked_by_residual(significance: float) -> str:
    """Why an atom was added where the images ask for it: a peak of the residual, in standard deviations."""
    return f"{_ASKED} {significance:.3g} standard deviations"


_DONE = {"keep": "kept", "delete": "deleted", "move": "moved", "add": "added"}


def decisions_sentence(decisions: Sequence[Mapping[str, Any]], atoms: int) -> str:
    """What was decided by eye, for a methods paragraph; '' where nothing was.

    Parameters
    ----------
    decisions : sequence of dict
        As ``decision`` makes them.
    atoms : int
        Of the result, after the decisions.
    """
    if not decisions:
        return ""
    counts = {what: sum(d["what"] == what for d in decisions) for what in _DONE}
    of_atoms = [d for d in decisions if d["what"] != "add"]
    judged = len({d["atom"] for d in of_atoms})
    doubtful = len({d["atom"] for d in of_atoms if _doubtful(d)})
    by_eye = "by eye from measured, calculated and residual images at every tilt"
    added = _added([d for d in decisions if d["what"] == "add"])
    if judged:
        of_those = "" if any(_doubtful(d) is None for d in of_atoms) else f", {doubtful} of them marked as doubtful"
        listed = [f"{counts[what]} {_DONE[what]}" for what in ("keep", "delete", "move") if counts[what]]
        told = listed[0] if len(listed) == 1 else ", ".join(listed[:-1]) + " and " + listed[-1]
        text = f"{_were(judged)} judged {by_eye}{of_those}: {told}; {f'{added}; ' if added else ''}"
    else:
        text = f"{added}; "
    text += f"{atoms} atoms remain."
    changing = [d for d in decisions if d["what"] != "keep"]
    if changing:
        gain = sum(float(d["gain"]) for d in changing)
        text += (
            " After each change positions and heights of the neighbours were refitted; together the changes altered "
            f"the log-likelihood of the images by {signed(gain)}."
        )
    return text


def _added(decisions: Sequence[Mapping[str, Any]]) -> str:
    """How atoms came to be added, '' where none was."""
    asked = sum(str(d["reason"]).startswith(_ASKED) for d in decisions)
    placed = len(decisions) - asked
    them = "one" if asked == 1 else "them"
    said = [f"{_were(asked)} added where the residual asked for {them}, confirmed by hand"] if asked else []
    if placed:
        where = "at a place" if placed == 1 else "at places"
        said.append(f"{_were(placed)} added {where} chosen by hand on the measured, calculated and residual images")
    return "; ".join(said)


def _doubtful(decision: Mapping[str, Any]) -> bool | None:
    """Whether the atom was doubtful when it was judged; None where that was not noted."""
    found = decision.get("doubtful")
    return None if found is None else bool(found)


def _were(n: int) -> str:
    return f"{n} atom was" if n == 1 else f"{n} atoms were"
