"""Some places are fitted by themselves: what is far from them stands still, and is not calculated again.

All orbitals of a large object need not move because a few hundred places in it condense anew, or have a birth or death.
What the others show is drawn once and taken from the measured images; the rest of the images is fitted by the orbitals
near these places alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray

from napari_lot.lot.evidence import Evidence
from napari_lot.lot.problem import Problem, State


@dataclass
class Aside:
    """What stands still while some places are fitted by themselves.

    Attributes
    ----------
    problem, evidence, state : Problem, Evidence, State
        The whole problem and its judge, and the orbitals that stand still.
    images : (T, V, U) float32
        What these show, in the solver's unit, with scale and background.
    """

    problem: Problem
    evidence: Evidence
    state: State
    images: NDArray[np.float32] = field(repr=False)

    def joined(self, state: State) -> State:
        """The whole state, with that of the places: those that stand still come first."""
        still = self.state
        return replace(
            still,
            positions=np.concatenate([still.positions, state.positions]),
            height=np.concatenate([still.height, state.height]),
            species=np.concatenate([still.species, state.species]),
            ids=np.concatenate([still.ids, state.ids]),
            own_width=np.concatenate([still.own_width, state.own_width]),
            next_id=max(still.next_id, state.next_id),
        )


def set_aside(problem: Problem, evidence: Evidence, still: State, before: State) -> tuple[Aside, Problem]:
    """What stands still, and the problem of all other orbitals, whose states have no background of their own.

    Counts become weighted squares, by the rates of the state of ``before``: a part of a rate has no Poisson likelihood
    of its own.
    """
    every = np.arange(len(problem))
    images = problem.evaluate(still, every, ()).calculated
    weights = None if problem.weights is None else problem.weights.numpy()
    if problem.kind == "poisson":
        rates = torch.from_numpy(problem.evaluate(before, every, ()).calculated)
        weights = problem.weight(rates, torch.from_numpy(every), 1.0).numpy()
    return Aside(problem, evidence, still, images), Problem(
        problem.model, problem.observed.numpy() - images, weights, "lsq"
    )


def without_background(state: State) -> State:
    """The state of orbitals whose background is among the images of those that stand still."""
    return replace(state, background=np.zeros_like(state.background))
