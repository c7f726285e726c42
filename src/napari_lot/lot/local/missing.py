"""Where the images around a place ask for another atom.

The strongest peak of the residual may be a side lobe of what is wrong nearby. So the strongest few are tried, each with
the atoms around it refitted, and one must be worth an atom's price then.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from napari_lot.errors import InputError
from napari_lot.lot import population
from napari_lot.lot.local.change import Change
from napari_lot.lot.local.windows import cut
from napari_lot.lot.problem import Problem

if TYPE_CHECKING:
    from napari_lot.lot.local.fit import LocalFit

Floats = NDArray[np.float64]

REACH, STEP, CLOSEST = 1.3, 0.2, 0.6
"""How far is looked, in what steps, and how far away from all atoms, in expected nearest-neighbour distances."""


MOST_TRIED = 4
MERGED = 0.45
"""Expected distances from an atom within which a new one is a part of it after the fit."""


class NothingMissing(InputError):
    """The images ask for no atom: an answer, and no failure."""


def missing_atom(fit: LocalFit, center: Floats) -> tuple[Change, float]:
    """The addition near a place that gains most, tried and not made, and the significance of its peak of the residual.

    Raises
    ------
    NothingMissing
        Everything around is taken, or nothing there is worth an atom.
    """
    points, score = peaks(fit, center)
    best: tuple[Change, float] | None = None
    tried: tuple[float, Change] | None = None
    gained = 0.0
    for point, significance in zip(points, score, strict=True):
        change = fit.add(point)
        gain = change.gain - fit.refit(point).gain  # what the atoms around gain by themselves is not the new one's
        if not fit.is_apart(change, MERGED * fit.spacing_A):
            continue
        if tried is None or gain > tried[0]:
            tried = gain, change
        if gain > gained and gain >= fit.price_added(change):
            best, gained = (change, float(significance)), gain
    if best is None:
        raise NothingMissing(_too_little(fit, tried))
    return best


def _too_little(fit: LocalFit, tried: tuple[float, Change] | None) -> str:
    """Why no atom is added: what the best place (gain, addition) gives, and what it would have to."""
    if tried is None:
        why = "what is tried there merges with an atom that is there"
    else:
        gain, change = tried
        price, usual = fit.price_added(change), fit.price_usual
        # so that what it is worth stays below in words, too
        least, gains = math.ceil(price), "nothing" if gain <= 0 else f"{math.floor(10 * gain) / 10:.4g}"
        why = f"the best place gains {gains} in log-likelihood, and an atom there must be worth {least}"
        if least > math.ceil(usual):
            part = f"{100 * fit.part_of_usual(change):.0f} %"
            why += f", more than the usual {usual:.3g}, because it would have only {part} of the usual height"
    return f"Around this atom the images ask for no other: {why}. Click on two tilts to add an atom all the same."


def peaks(fit: LocalFit, center: Floats) -> tuple[Floats, Floats]:
    """The strongest places around another (M, 3), apart from each other, and their significance (M,).

    With g the back-projected weighted residual and A the curvature of the likelihood for a unit atom there it is
    g / sqrt(A) in standard deviations, as for the births of a run.
    """
    spacing = fit.spacing_A
    axis = np.arange(-np.ceil(REACH / STEP), np.ceil(REACH / STEP) + 1) * STEP * spacing
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    points = center + grid[np.linalg.norm(grid, axis=1) <= REACH * spacing]
    if len(fit.table):
        points = points[fit.tree.query(points)[0] >= CLOSEST * spacing]
    if not len(points):
        raise NothingMissing("Around this atom there is no room for another: delete or move one first.")
    tilts, n = fit.problem.fitted, len(points)
    origins, size = fit.near.origins(center), fit.near.size
    calculated = torch.from_numpy(cut(fit.calculated, origins, size, 1.0)[tilts])
    part = Problem(fit.near.model, np.zeros((1, 1, 1), np.float32), None, fit.problem.kind)
    weight = part.weight(calculated, torch.arange(len(tilts)), fit.noise.variance)
    observed = torch.from_numpy(cut(fit.source.observed, origins, size, 0.0)[tilts])
    pull = weight * torch.from_numpy(fit.near.weights(origins)[tilts]) * (observed - calculated)
    unit = replace(
        fit.source.state,
        positions=points,
        height=np.ones(n),
        species=np.zeros(n, np.int64),
        ids=np.arange(n),
        own_width=np.zeros(n),
    )
    height = torch.ones(n, dtype=torch.float64, requires_grad=True)
    with torch.enable_grad():
        images = fit.near.images(unit, origins, tilts, {"height": height})
        (g,) = torch.autograd.grad(images, height, pull)
    curvature = fit.metric.information(unit, fit.calculated, 0.0).own[:, 3, 3]
    score = g.numpy() / np.sqrt(np.maximum(curvature, 1e-300)) / fit.noise.inflation
    chosen = population.separate(points, score, CLOSEST * spacing, points[:0], 0.0)[:MOST_TRIED]
    return points[chosen], score[chosen]
