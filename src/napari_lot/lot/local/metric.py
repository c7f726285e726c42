"""What the images say of a few atoms and their neighbours: curvature of the likelihood and error bars, in milliseconds.

As ``lot.precision``, whose tables it uses, but for chosen atoms, and with the weight of the pixels taken as even over
the image of one atom.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from napari_lot.lot.image_model import ImageModel
from napari_lot.lot.local.source import Source
from napari_lot.lot.local.windows import View, cut
from napari_lot.lot.precision import PARAMETERS, Information, Kernels, covariance, cross_information
from napari_lot.lot.problem import Problem, State

Floats = NDArray[np.float64]


EVERYWHERE_A = 1e6


class Metric:
    """Information about chosen atoms of one fit.

    Parameters
    ----------
    source : Source
    view : View
    model : ImageModel
        Of windows; it only has to hold the image of one atom.
    problem : Problem
        Measured images, weights and likelihood.
    variance : float
        Variance of a pixel (least squares).
    """

    def __init__(self, source: Source, view: View, model: ImageModel, problem: Problem, variance: float) -> None:
        self.view, self.problem, self.variance = view, problem, variance
        self.scale2 = source.state.scale**2 * np.isin(np.arange(len(problem)), problem.fitted)
        self.matrices = view.matrices
        kernels = Kernels(Problem(model, np.zeros((1, 1, 1), np.float32), None, "lsq"), source.state)
        self.depth_A = kernels.depth_A
        there = [int(s) for s in np.unique(source.state.width_of)] or [0]
        self.tables = {(s, r): kernels.overlap(s, r) for s in there for r in there}
        self.blur_px = self._extent(source, model)

    def _extent(self, source: Source, model: ImageModel) -> float:
        """Standard deviation in pixels of the squared image of an atom: over this its pixels' weights are averaged."""
        one = torch.ones(1, dtype=torch.float64)
        width = torch.tensor([source.state.typical_width], dtype=torch.float64)
        state = source.state.select(slice(0, 1))
        shapes = source.shapes(model, state) if len(state.height) else None
        with torch.no_grad():
            image = model.images([0], torch.zeros(1, 3, dtype=torch.float64), one, width, shapes=shapes)[0].numpy()
        power = image.astype(np.float64) ** 2
        row, column = np.indices(power.shape)
        total = max(float(power.sum()), 1e-300)
        middle = (power * row).sum() / total, (power * column).sum() / total
        spread = (power * ((row - middle[0]) ** 2 + (column - middle[1]) ** 2)).sum() / total
        return float(np.sqrt(0.5 * spread))

    def weights(self, positions: Floats, calculated: NDArray[np.float32]) -> Floats:
        """Mean weight (1 / variance) of the pixels that see each point (N, 3), times scale squared, (T, N)."""
        if self.problem.kind == "lsq" and self.problem.weights is None:
            return np.tile(self.scale2[:, None] / self.variance, (1, len(positions)))
        pixels = self.view.pixels(positions)
        low = np.floor(pixels.min(1)).astype(np.int64) - int(4 * self.blur_px) - 1
        size = int((np.ceil(pixels.max(1)).astype(np.int64) - low).max()) + int(4 * self.blur_px) + 2
        images = torch.from_numpy(cut(calculated, low, size, 1.0))
        if self.problem.kind == "poisson":
            part = Problem(self.problem.model, images.numpy(), None, "poisson")
            weight = part.weight(images, torch.arange(len(images)), self.variance).numpy()
        else:
            weight = np.full(images.shape, 1.0 / self.variance, np.float32)
        every = np.ones(self.problem.observed.shape, np.float32)
        given = every if self.problem.weights is None else self.problem.weights.numpy()
        weight = weight * cut(given, low, size, 0.0)
        found = np.zeros((len(images), len(positions)))
        for j in self.problem.fitted:
            smooth = ndimage.gaussian_filter(weight[j], self.blur_px, mode="constant")
            found[j] = ndimage.map_coordinates(smooth, (pixels[j] - low[j]).T, order=1, mode="constant", cval=0.0)
        return found * self.scale2[:, None]

    def information(self, state: State, calculated: NDArray[np.float32], reach_A: float) -> Information:
        """Information of the atoms of a (small) state, and between those closer than ``reach_A``."""
        n, species = len(state.height), state.width_of
        pairs = cKDTree(state.positions).query_pairs(reach_A, output_type="ndarray").astype(np.int64).reshape(-1, 2)
        apart = np.linalg.norm(state.positions[pairs[:, 0]] - state.positions[pairs[:, 1]], axis=1)
        pairs = pairs[np.argsort(apart, kind="stable")]
        every = np.concatenate([np.repeat(np.arange(n)[:, None], 2, 1), pairs])
        found = np.zeros((len(every), PARAMETERS, PARAMETERS))
        weights = self.weights(state.positions, calculated)
        for (s, r), table in self.tables.items():
            chosen = np.flatnonzero((species[every[:, 0]] == s) & (species[every[:, 1]] == r))
            cross_information(
                state.positions, state.height, self.matrices, weights, every, chosen, self.depth_A, table, found
            )
        return Information(found[:n], pairs, found[n:])

    def matrix(self, state: State, calculated: NDArray[np.float32]) -> Floats:
        """Gauss-Newton matrix (4 N, 4 N) of x, y, z, H of all atoms of a small state."""
        known = self.information(state, calculated, EVERYWHERE_A)
        n = len(state.height)
        found = np.zeros((n, PARAMETERS, n, PARAMETERS))
        index = np.arange(n)
        found[index, :, index] = known.own
        first, second = known.pairs.T
        found[first, :, second] = known.cross
        found[second, :, first] = np.swapaxes(known.cross, 1, 2)
        return found.reshape(PARAMETERS * n, PARAMETERS * n)

    def covariance(self, state: State, calculated: NDArray[np.float32], reach_A: float) -> Floats:
        """Covariance (N, 4, 4) of each atom, its neighbours up to ``reach_A`` being unknown as well."""
        return covariance(self.information(state, calculated, reach_A))
