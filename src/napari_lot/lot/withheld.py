"""Withheld tilts: predicted by atoms that were fitted without them, the check against overfitting."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from napari_lot.lot import likelihood
from napari_lot.lot.align import match_shifts
from napari_lot.lot.problem import Problem, State

Floats = NDArray[np.float64]
PARTED = 1.25
"""Ratio of the mean R of withheld and fitted tilts above which a warning is due.

A model with as many parameters as it needs predicts an image about as well as it fits one: a tilt series has a few
percent as many parameters as pixels. A quarter is well beyond that.
"""
STEPS = 20
LARGEST_MOVE_PX = 0.5


def parted(fitted: float, withheld: float) -> str | None:
    """A warning where the mean R of withheld tilts is much larger than that of fitted ones."""
    if withheld <= PARTED * fitted:
        return None
    return (
        f"R of the withheld tilts is {withheld / fitted:.1f} times that of the fitted ones: the atoms fit noise or "
        "errors of the single images; refine less, or look for false atoms."
    )


def predicted(
    problem: Problem,
    state: State,
    tilts: tuple[int, ...],
    mask: NDArray[np.bool_] | None,
    center_px: Floats,
    reach_px: float,
) -> State:
    """The state with shift, scale and background of some tilts fitted to them; the atoms stay.

    Gauss-Newton on the four numbers of each tilt, weighted as the likelihood weights its pixels.

    Parameters
    ----------
    problem : Problem
    state : State
    tilts : tuple of int
    mask : (T, V, U) bool or None
        Pixels that may be used, those of the withheld tilts included.
    center_px : (2,)
        (du, dv) that all tilts share: where the search for the shift begins.
    reach_px : float
        How far it goes.
    """
    state = state.copy()
    for tilt in tilts:
        state.shifts[tilt] = center_px
    # the whole object first: a fit finds a drift only within an atom's width
    unmasked = Problem(
        problem.model, problem.observed.numpy(), None if mask is None else mask.astype(np.float32), "lsq"
    )
    state.shifts += match_shifts(unmasked, state, reach_px, tilts)
    for tilt in tilts:
        use = np.ones(problem.observed.shape[1:], bool) if mask is None else mask[tilt]
        if use.sum() > 4:
            _fit_one(problem, state, tilt, use)
    return state


def _fit_one(problem: Problem, state: State, tilt: int, use: NDArray[np.bool_]) -> None:
    observed = problem.observed[tilt].numpy().astype(np.float64)
    for _ in range(STEPS):
        with torch.no_grad():
            image = problem.images(state, [tilt])
        unit = image[0].numpy().astype(np.float64)
        along_v, along_u = np.gradient(unit)
        calculated = state.scale[tilt] * unit + state.background[tilt]
        weight = np.where(use, 1.0, 0.0)
        if problem.kind == "poisson":
            weight /= np.maximum(calculated, likelihood.SMALLEST_RATE)
        # an image that moves by +du changes by -dI/du
        columns = np.stack([unit, np.ones_like(unit), -state.scale[tilt] * along_u, -state.scale[tilt] * along_v])
        design, wanted = columns[:, use] * np.sqrt(weight[use]), (observed - calculated)[use] * np.sqrt(weight[use])
        change = np.linalg.lstsq(design.T, wanted, rcond=1e-8)[0]
        move = np.clip(change[2:], -LARGEST_MOVE_PX, LARGEST_MOVE_PX)
        state.scale[tilt] += change[0]
        state.background[tilt] += change[1]
        state.shifts[tilt] += move
        if np.abs(move).max() < 1e-4:
            break


def correlation(
    observed: NDArray[np.float32], calculated: NDArray[np.float32], mask: NDArray[np.bool_] | None
) -> Floats:
    """Pearson correlation of each tilt over its usable pixels, (T, V, U) -> (T,); NaN where there is no contrast."""
    found = np.full(len(observed), np.nan)
    for j in range(len(observed)):
        use = ... if mask is None else mask[j]
        a, b = observed[j][use].astype(np.float64).ravel(), calculated[j][use].astype(np.float64).ravel()
        if len(a) > 2 and a.std() > 0 and b.std() > 0:
            found[j] = np.corrcoef(a, b)[0, 1]
    return found
