"""Where the residual around a place wants another atom."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from napari_lot.errors import InputError
from napari_lot.lot.local.windows import cut
from napari_lot.lot.problem import Problem

if TYPE_CHECKING:
    from napari_lot.lot.local.fit import LocalFit

Floats = NDArray[np.float64]

REACH, STEP, CLOSEST = 1.3, 0.2, 0.6
"""How far is looked, in what steps, and how far away from all atoms, in expected nearest-neighbour distances."""


def strongest_residual(fit: LocalFit, center: Floats) -> tuple[Floats, float]:
    """Place near another where the images want an atom most, (3,), and its significance in standard deviations.

    With g the back-projected weighted residual and A the curvature of the likelihood for a unit atom there it is
    g / sqrt(A), as for the births of a run.

    Raises
    ------
    InputError
        Everything around is taken.
    """
    spacing = fit.spacing_A
    axis = np.arange(-np.ceil(REACH / STEP), np.ceil(REACH / STEP) + 1) * STEP * spacing
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    points = center + grid[np.linalg.norm(grid, axis=1) <= REACH * spacing]
    if len(fit.table):
        points = points[fit.tree.query(points)[0] >= CLOSEST * spacing]
    if not len(points):
        raise InputError("Around this atom there is no room for another: delete or move one first.")
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
    best = int(np.argmax(score))
    return points[best], float(score[best])
