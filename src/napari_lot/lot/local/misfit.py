"""How badly the images agree around each atom, in units of the noise."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from napari_lot.lot.local.windows import View
from napari_lot.lot.problem import Problem

Floats = NDArray[np.float64]


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
    pixels = view.pixels(positions)

    def one_tilt(k: int) -> tuple[Floats, Floats]:
        j = int(problem.fitted[k])
        weight = problem.weight(torch.from_numpy(calculated[j : j + 1]), torch.tensor([j]), variance).numpy()[0]
        use = np.ones_like(weight) if problem.weights is None else (problem.weights[j].numpy() > 0).astype(np.float32)
        squares = weight * (problem.observed[j].numpy() - calculated[j]) ** 2
        return tuple(  # type: ignore[return-value]
            ndimage.map_coordinates(
                ndimage.gaussian_filter(image, blur_px, mode="constant"), pixels[j].T, order=1, mode="constant"
            )
            for image in (squares, use)
        )

    found, seen = np.zeros(len(positions)), np.zeros(len(positions))
    for squares, use in problem.model.run(one_tilt, len(problem.fitted)):
        found += squares
        seen += use
    return np.sqrt(found / np.maximum(seen, 1e-6))
