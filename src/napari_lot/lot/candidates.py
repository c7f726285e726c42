"""Where the residual of a paused run asks for atoms that are missing.

The peaks of a back-projected residual are not all atoms: beside every misplaced or missing one lie its side lobes, and
neighbours that have moved towards a gap hide what is missing there. So all peaks are tried at once as orbitals, with
positions and heights of everything else fitted along, and each must be worth its price then, as an atom of a finished
run is: side lobes are explained by what makes them, and end with no height.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_lot.edit import Candidates, Edit
from napari_lot.lot import evidence, polish, population
from napari_lot.lot.editing import apply_edit
from napari_lot.lot.evidence import Evidence, prices
from napari_lot.lot.precision import ERROR_BAR_REACH, error_bars

if TYPE_CHECKING:
    from napari_lot.lot.fitting import Fit
    from napari_lot.lot.problem import State

Floats = NDArray[np.float64]

MOST_TRIED = 50
LEAST_SIGNIFICANCE = 3.0
"""Standard deviations of a peak that is tried: neighbours that moved into a gap leave little of it in the residual."""
APART = 0.6
"""Expected nearest-neighbour distances between what is tried, and from all atoms."""
CLOSEST = 0.45
"""The same after the fit: closer to an atom, or to a better candidate, it is a part of that one."""
ROUNDS = 3
"""Fits, after each of which those go that are worth nothing; the rest are judged after the last."""
GROUPS = ("positions", "height")


def find_candidates(fit: Fit, edit: Edit, wanted: Callable[[], bool] = lambda: True) -> Candidates:
    """Where the images ask for atoms once the edit is made, what gains most first; the fit stays as it is.

    Parameters
    ----------
    fit : Fit
    edit : Edit
    wanted : callable
        Whether anybody still waits for the answer; none where it says no.
    """
    state = apply_edit(fit.state, edit, fit.state.next_id)
    judge = Evidence(fit.problem, fit.hull, fit.spacing_A, fit.settings, fit.evidence.one_height)
    points, height, score = judge.proposals(state)
    significance = score / judge.inflation
    good = significance > LEAST_SIGNIFICANCE
    points, height, significance = points[good], height[good], significance[good]
    reach, typical = APART * fit.spacing_A, max(population.typical_height(state), 1e-30)
    tried = population.separate(points, significance, reach, state.positions, reach)[:MOST_TRIED]
    first_id = state.next_id
    state = state.add(points[tried], np.clip(height[tried], 0.0, typical))
    for k in range(ROUNDS):
        if not (state.ids >= first_id).any() or (found := _fitted(fit, judge, state, wanted)) is None:
            return Candidates(np.zeros((0, 3)), np.zeros(0), np.zeros(0))
        state, calculated = found
        significance = _significance(fit, state, calculated, joint=k == ROUNDS - 1)
        worth = 0.5 * significance**2 >= prices(state.height, typical, fit.settings, judge.one_height)
        new = state.ids >= first_id
        best = _best_apart(state, ~new, np.flatnonzero(new & worth), significance, CLOSEST * fit.spacing_A)
        keep = ~new | np.isin(np.arange(len(new)), best)
        state, significance = state.select(keep), significance[keep]
    rows = np.flatnonzero(state.ids >= first_id)
    rows = rows[np.argsort(-significance[rows], kind="stable")]
    return Candidates(state.positions[rows], state.height[rows], significance[rows])


def _fitted(
    fit: Fit, judge: Evidence, state: State, wanted: Callable[[], bool]
) -> tuple[State, NDArray[np.float32]] | None:
    """Positions and heights of all fitted together, and the calculated images; None where nobody waits any more.

    What is expected of the heights is left to the price: it would lift the weak ones that are to be judged.
    """
    curvature, problem, settings = judge.curvatures(state, GROUPS), fit.problem, fit.settings
    path = polish.lbfgs(problem, state, GROUPS, curvature, settings.birth_steps, settings.tolerance)
    found = state, problem.evaluate(state, np.arange(len(problem)), ()).calculated
    for step in path:
        found = step.state, step.calculated
        if not wanted():
            return None
    return found


def _significance(fit: Fit, state: State, calculated: NDArray[np.float32], joint: bool) -> Floats:
    """Height of each orbital (N,) over its error bar; ``joint`` with its neighbours unknown as well."""
    known = error_bars(fit.problem, state, calculated, fit.hull.silhouettes, ERROR_BAR_REACH * fit.spacing_A, joint)
    return evidence.significance(state.height, known.height)


def _best_apart(
    state: State, atoms: NDArray[np.bool_], chosen: NDArray[np.int64], significance: Floats, reach_A: float
) -> NDArray[np.int64]:
    """Those of the chosen rows that are not close to one of the ``atoms`` or to a better one of them."""
    places = state.positions
    return chosen[population.separate(places[chosen], significance[chosen], reach_A, places[atoms], reach_A)]
