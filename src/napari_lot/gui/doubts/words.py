"""What the window says about a doubtful atom and what was done with it. No Qt, no napari."""

from __future__ import annotations

import numpy as np

from napari_lot.analysis.doubts_queue import signed
from napari_lot.job import Result
from napari_lot.lot.local import Change


def told(change: Change) -> str:
    """A change in a sentence."""
    done = {"keep": "kept", "delete": "deleted", "move": "moved", "add": "added"}[change.what]
    text = f"Atom {change.atom} {done}"
    if change.nothing:
        return f"Atom {change.atom} is where it was: nothing has changed."
    if change.what == "keep":
        return text + "."
    if change.what == "move":
        text += f" by {100 * change.moved_A:.0f} pm"
    return f"{text}: {gain_text(change.gain)}; {change.refitted} atoms refitted."


def gain_text(gain: float) -> str:
    """What a decision gains or costs."""
    number = signed(abs(gain)).lstrip("+")
    return f"{'gains' if gain >= 0 else 'costs'} {number} in log-likelihood"


def facts(result: Result, atom: int, unit: str) -> str:
    """Element, position, height, error bar and probability of an atom, in a few lines; '' where it is not there."""
    rows = np.flatnonzero(result.orbitals.id == atom)
    if not len(rows):
        return ""
    i, atoms = int(rows[0]), result.orbitals
    x, y, z = atoms.positions[i]
    place = f"{atoms.elements[atoms.species[i]]} at x {x:.2f}, y {y:.2f}, z {z:.2f} Å".replace("-", "−")
    lines = [f"{place}, height {atoms.height[i]:.3g} {unit}"]
    sure = []
    if result.sigma_A is not None:
        sx, sy, sz = 100 * result.sigma_A[i]
        sure.append(f"error bars x {sx:.3g}, y {sy:.3g}, z {sz:.3g} pm")
    if result.p_exists is not None:
        sure.append(f"exists with probability {result.p_exists[i]:.3g}")
    return "\n".join([*lines, "; ".join(sure)] if sure else lines)
