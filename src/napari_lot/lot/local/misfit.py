"""How badly the images agree around each atom, in units of the noise."""

from __future__ import annotations

import numba as nb
import numpy as np
import torch
from numpy.typing import NDArray

from napari_lot.lot.local.windows import View
from napari_lot.lot.problem import Problem

Floats = NDArray[np.float64]

REACH = 4.0
"""Standard deviations up to which is averaged."""


def misfit(
    problem: Problem,
    view: View,
    positions: Floats,
    calculated: NDArray[np.float32],
    variance: float,
    blur_px: float,
) -> Floats:
    """Root mean square residual around each point (N, 3) over all fitted tilts, over the noise: 1 is none but noise.

    Parameters
    ----------
    problem : Problem
    view : View
    positions : (N, 3) Å
    calculated : (T, V, U) float32
        In the solver's unit.
    variance : float
        Of a pixel (least squares); with counts the noise is that of the calculated counts.
    blur_px : float
        Standard deviation in pixels of the Gaussian over which is averaged.
    """
    if not len(positions):
        return np.zeros(0)
    pixels, shape = view.pixels(positions), np.array(calculated.shape[1:])
    half = int(np.ceil(REACH * blur_px))
    unmasked = Problem(problem.model, np.zeros((1, 1, 1), np.float32), None, problem.kind)

    def one_tilt(k: int) -> tuple[Floats, Floats]:
        j = int(problem.fitted[k])
        low = np.clip(np.floor(pixels[j].min(0)).astype(np.int64) - half, 0, shape)
        high = np.clip(np.ceil(pixels[j].max(0)).astype(np.int64) + half + 1, low, shape)
        box = (j, slice(low[0], high[0]), slice(low[1], high[1]))
        here = np.ascontiguousarray(calculated[box])
        weight = unmasked.weight(torch.from_numpy(here)[None], torch.zeros(1), variance).numpy()[0]
        use = np.ones_like(here)
        if problem.weights is not None:
            given = problem.weights[box].numpy()
            weight, use = weight * given, (given > 0).astype(np.float32)
        squares = weight * (problem.observed[box].numpy() - here) ** 2
        found = np.zeros((2, len(positions)))
        _average(squares, use, pixels[j] - low, blur_px, half, found)
        return found[0], found[1]

    found, seen = np.zeros(len(positions)), np.zeros(len(positions))
    for squares, use in problem.model.run(one_tilt, len(problem.fitted)):
        found += squares
        seen += use
    return np.sqrt(found / np.maximum(seen, 1e-6))


@nb.njit(nogil=True, fastmath=True, cache=True)
def _average(squares, use, places, sigma, half, found):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Gaussian sums of two images (V, U) around places (N, 2) into ``found`` (2, N)."""
    rows, columns = squares.shape
    along = np.empty(2 * half + 1)
    for i in range(places.shape[0]):
        r0, c0 = int(np.round(places[i, 0])), int(np.round(places[i, 1]))
        for b in range(2 * half + 1):
            along[b] = np.exp(-0.5 * ((c0 - half + b - places[i, 1]) / sigma) ** 2)
        for r in range(max(r0 - half, 0), min(r0 + half + 1, rows)):
            across = np.exp(-0.5 * ((r - places[i, 0]) / sigma) ** 2)
            first, last = max(c0 - half, 0), min(c0 + half + 1, columns)
            total, weight = 0.0, 0.0
            for c in range(first, last):
                g = along[c - c0 + half]
                total += g * squares[r, c]
                weight += g * use[r, c]
            found[0, i] += across * total
            found[1, i] += across * weight
