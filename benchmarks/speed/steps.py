"""How the time of each step around the passes grows with the atoms: hull, gathering, merging, births, error bars.

Crystallites of silicon that are measured well: the field, and with it the number of pixels, grows with the atoms as it
does in a run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from benchmarks.speed.common import CLOSEST_SILICON_A, crystallite, median_s
from benchmarks.speed.passes import our_pass, problem_of

SIZES = (3_000, 10_000, 30_000, 100_000)
TILTS = 18


def times_ms(atoms: int, repeats: int) -> dict[str, float]:
    """Wall time in ms of every step, by name."""
    from napari_lot.lot import population
    from napari_lot.lot.evidence import Evidence
    from napari_lot.lot.fitting import row_order
    from napari_lot.lot.hull import box, grid, make_hull
    from napari_lot.lot.precision import error_bars
    from napari_lot.series.first_look import levels
    from napari_lot.settings import Solver

    problem, state = problem_of(atoms, tilts=TILTS)
    model, every = problem.model, np.arange(TILTS)
    places = crystallite(atoms)
    state = replace(state.copy(), positions=places[row_order(places)])
    observed = problem.evaluate(state, every, ()).calculated
    problem.observed.numpy()[:] = observed
    rng = np.random.default_rng(0)
    state.positions = state.positions + rng.normal(0, 0.05, state.positions.shape)
    rotations, field = model.rotations.numpy(), (model.image_pixel_A, model.center_px)
    level = levels(observed, None)
    hull = make_hull(observed, None, rotations, *field, CLOSEST_SILICON_A, level)
    corners = box(observed.shape[1:], rotations, *field, hull.least_seen)
    judge = Evidence(problem, hull, CLOSEST_SILICON_A, Solver(), True)
    crowd = state.select(np.repeat(np.arange(atoms), 8))
    crowd.positions = crowd.positions + rng.normal(0, 0.25, crowd.positions.shape)
    calculated = problem.evaluate(state, every, ()).calculated
    steps: dict[str, Callable[[], object]] = {
        "pass": lambda: our_pass(problem, state),
        "hull": lambda: make_hull(observed, None, rotations, *field, CLOSEST_SILICON_A, level),
        "grid": lambda: grid(hull, *corners, 0.45 * CLOSEST_SILICON_A),
        "gather": lambda: population.gather(crowd, 0.15 * CLOSEST_SILICON_A, model.threads),
        "merge": lambda: population.merge(crowd, 0.3 * CLOSEST_SILICON_A),
        "births": lambda: judge.proposals(state),
        "error bars": lambda: error_bars(problem, state, calculated, hull.silhouettes, 2.0 * CLOSEST_SILICON_A),
    }
    found = {name: round(1e3 * median_s(step, repeats), 2) for name, step in steps.items()}
    model.close()
    return found
