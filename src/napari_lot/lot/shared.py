"""What all orbitals of a kind share, and how its parts trade places: the few slow directions of a whole fit.

Heights together, a width and a learnt shape are nearly the same change of the images. Seen one parameter at a time each
is steep, together they are flat, and a quasi-Newton method needs many steps to learn that. They are few, so that their
curvature is calculated in full, from finite differences of images of some tilts (the coarse level of a two-level
preconditioner; Smith, Bjørstad & Gropp, Domain Decomposition, ch. 2).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import linalg

from napari_lot.lot.prior import AlikePrior, Prior
from napari_lot.lot.problem import Problem, State

Floats = NDArray[np.float64]

STEPS = {"width": 0.01, "learnt": 0.02}
"""Changes (Å, a number) by which finite differences of the images are taken."""
WHOLLY_SHARED = tuple(STEPS)
"""Groups of which the modes hold every number."""
SOME_TILTS = 8
"""Enough to see how a few numbers trade places: each tilt shows all of it."""
LEAST_SHARE = 1e-7
"""Directions flatter than this, relative to the steepest in units of each mode alone, are left to the fit."""


@dataclass(frozen=True)
class SharedModes:
    """Changes of the state that all orbitals of a kind share, and the curvature of the loss along them.

    Attributes
    ----------
    changes : tuple of dict
        Each mode: by group, the change of that field of the state.
    curvature : (M, M)
        Gauss-Newton, priors included.
    """

    changes: tuple[dict[str, Floats], ...]
    curvature: Floats

    def diagonal(self, state: State, group: str) -> Floats:
        """Curvature of each number of "width" or "learnt" by itself, in the shape of that field."""
        found = np.zeros(getattr(state, group).shape)
        for k, change in enumerate(self.changes):
            if group in change:
                found += self.curvature[k, k] * change[group]
        return found

    def moved(self, before: State, after: State) -> float:
        """How far width and learnt shape have moved: the change of the images relative to the images themselves."""
        signal = sum(self.curvature[k, k] for k, change in enumerate(self.changes) if "height" in change)
        change = 0.0
        for group in WHOLLY_SHARED:
            difference = getattr(after, group) - getattr(before, group)
            change += float((self.diagonal(before, group) * difference**2).sum())
        return float(np.sqrt(change / signal)) if signal else 0.0

    def inverse_root(self) -> Floats:
        """A matrix (M, K) whose square ``r r^T`` is the inverse of the curvature, without what is all but flat."""
        size = np.sqrt(np.maximum(np.diag(self.curvature), 1e-300))
        values, vectors = linalg.eigh(self.curvature / np.outer(size, size))
        kept = values > LEAST_SHARE * values[-1]
        return np.asarray(vectors[:, kept] / np.sqrt(values[kept]) / size[:, None])


def shared_modes(
    problem: Problem, state: State, groups: tuple[str, ...], priors: Mapping[str, Prior | AlikePrior] | None = None
) -> SharedModes:
    """The modes of the groups of a state: heights, width and learnt shape of each kind, and an even background.

    Parameters
    ----------
    problem : Problem
    state : State
    groups : tuple of str
        What is fitted.
    priors : mapping
        Of the same fit; their strength is added.
    """
    fitted = problem.fitted
    some = fitted[:: max(1, len(fitted) // SOME_TILTS)]
    before = problem.evaluate(state, some, ()).calculated
    weight = problem.weight(_tensor(before), _tensor(some), 1.0).numpy()
    changes: list[dict[str, Floats]] = []
    derivatives: list[NDArray[np.float32]] = []

    def add(change: dict[str, Floats], step: float) -> None:
        moved = state.copy()
        for group, values in change.items():
            setattr(moved, group, getattr(moved, group) + step * values)
        changes.append(change)
        derivatives.append((problem.evaluate(moved, some, ()).calculated - before) / step)

    if "height" in groups:
        for kind in np.unique(state.species):
            add({"height": np.where(state.species == kind, state.height, 0.0)}, 0.1)
    for group in (name for name in WHOLLY_SHARED if name in groups):
        values = getattr(state, group)
        for place in np.ndindex(values.shape):
            one = np.zeros(values.shape)
            one[place] = 1.0
            add({group: one}, STEPS[group])
    if "background" in groups:
        changes.append({"background": np.ones(len(problem))})
        derivatives.append(np.ones_like(before))
    design = np.array([d.ravel() for d in derivatives]).reshape(len(changes), -1)
    curvature = (design * weight.ravel()).astype(np.float64) @ design.T.astype(np.float64) * (len(fitted) / len(some))
    for group, prior in (priors or {}).items():
        if group in groups:
            nothing = np.zeros(getattr(state, group).size)
            own = np.array([change[group].ravel() if group in change else nothing for change in changes])
            curvature += prior.along(own)
    return SharedModes(tuple(changes), curvature)


def _tensor(values: NDArray[Any]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values))
