"""What the images say of a few atoms and their neighbours: curvature of the likelihood and error bars, in milliseconds.

As ``lot.precision``, whose kernels and tables it uses, but for atoms within one window. The kernel that weighs the
pixels of an atom is that of the middle of the depths; its energy is that of the atom's own depth.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import fft
from scipy.spatial import cKDTree

from napari_lot.lot.image_model import ImageModel
from napari_lot.lot.information import PARAMETERS, Information, covariance
from napari_lot.lot.local.products import correlate, windows
from napari_lot.lot.local.windows import View, cut
from napari_lot.lot.precision import PRODUCTS, Kernels, cross_information
from napari_lot.lot.problem import Problem, State

Floats = NDArray[np.float64]
EVERYWHERE_A = 1e6


class Metric:
    """Information about chosen atoms of one fit.

    Parameters
    ----------
    model : ImageModel
        Of windows that hold the atoms and their images.
    problem : Problem
        Measured images, weights and likelihood.
    state : State
        Of the fit; its widths, scale and focus are used.
    view : View
    variance : float
        Variance of a pixel (least squares).

    Attributes
    ----------
    blur_px : float
        Standard deviation in image pixels of the squared image of an atom.
    """

    def __init__(self, model: ImageModel, problem: Problem, state: State, view: View, variance: float) -> None:
        self.model, self.problem, self.view, self.variance = model, problem, view, variance
        self.half = (model.canvas.image_shape[0] - 1) // 2
        self.scale2 = state.scale**2 * np.isin(np.arange(len(problem)), problem.fitted)
        self.focus = state.focus
        kernels = Kernels(Problem(model, np.zeros((1, 1, 1), np.float32), None, "lsq"), state)
        self.depth_A = kernels.depth_A
        there = [int(s) for s in np.unique(state.width_of)] or [0]
        self.tables = {(s, r): kernels.overlap(s, r) for s in there for r in there}
        middle = next(iter(self.tables.values())).shape[-1] // 2
        self.energy = {s: self.tables[s, s][:, -1, middle, middle] for s in there}
        self.mid = int(np.argmin(np.abs(self.depth_A - 0.5 * (self.depth_A[0] + self.depth_A[-1]))))
        shape = model.canvas.shape
        products = {s: np.conj(kernels.products(s, [self.mid])[0]) for s in there}
        images = {s: fft.irfft2(spectra, s=shape, axes=(1, 2)) for s, spectra in products.items()}
        self.kernels = {s: windows(found) for s, found in images.items()}
        self.blur_px = _spread(images[there[0]][-1]) / model.canvas.oversampling

    def _seen(self, state: State, calculated: NDArray[np.float32]) -> Floats:
        """Sums (T, N, 6) of the weight of the pixels times products of two derivatives of a unit orbital's image."""
        canvas, k, size = self.model.canvas, self.model.canvas.oversampling, 2 * self.half + 1
        center = 0.5 * (state.positions.min(0) + state.positions.max(0))
        origins = self.view.origins(center, self.half)
        images = torch.from_numpy(cut(calculated, origins, size, 1.0))
        alone = Problem(self.model, images.numpy(), None, self.problem.kind)
        weight = alone.weight(images, torch.arange(len(images)), self.variance)
        given = torch.ones(1, 1, 1) if self.problem.weights is None else self.problem.weights
        weight *= torch.from_numpy(cut(given.expand(self.problem.observed.shape).numpy(), origins, size, 0.0))
        pixels = canvas.pad + k * (self.view.pixels(state.positions) - origins[:, None])
        depth = np.einsum("tj,nj->tn", self.view.matrices[:, 2], state.positions) - self.focus[:, None]
        near = np.abs(depth[..., None] - self.depth_A).argmin(-1)
        fitted = self.problem.fitted
        padded = torch.zeros(len(fitted), *canvas.shape)
        for found, image in zip(padded, weight[fitted], strict=True):
            canvas.crop(found)[:] = image
        weights = padded.numpy()
        seen = np.zeros((len(self.problem), len(state.height), len(PRODUCTS)))
        for s, kernels in self.kernels.items():
            these = np.flatnonzero(state.width_of == s)
            if not len(these):
                continue
            places = np.ascontiguousarray(pixels[np.ix_(fitted, these)])
            sums = np.empty((len(fitted), len(these), len(PRODUCTS)))

            def share(part: int, places: Floats = places, sums: Floats = sums, kernels: Any = kernels) -> None:
                correlate(weights, places, kernels, part, self.model.threads, sums)

            self.model.run(share, self.model.threads)
            energy = self.energy[s][near[np.ix_(fitted, these)]] / self.energy[s][self.mid]
            seen[np.ix_(fitted, these)] = energy[..., None] * sums
        return seen * self.scale2[:, None, None]

    def information(self, state: State, calculated: NDArray[np.float32], reach_A: float) -> Information:
        """Information of the atoms of a (small) state, and between those closer than ``reach_A``."""
        n, species = len(state.height), state.width_of
        seen = self._seen(state, calculated)
        block = np.zeros((len(seen), n, 3, 3))
        for m, (a, b) in enumerate(PRODUCTS):
            block[..., a, b] = block[..., b, a] = seen[..., m]
        block[..., :2, :] *= state.height[:, None, None]
        block[..., :, :2] *= state.height[:, None, None]
        jacobian = np.zeros((len(seen), 3, PARAMETERS))  # of (u, v, H) by (x, y, z, H)
        jacobian[:, :2, :3], jacobian[:, 2, 3] = self.view.matrices[:, :2], 1.0
        own = np.einsum("tap,tnab,tbq->npq", jacobian, block, jacobian, optimize=True)

        pairs = cKDTree(state.positions).query_pairs(reach_A, output_type="ndarray").astype(np.int64).reshape(-1, 2)
        apart = np.linalg.norm(state.positions[pairs[:, 0]] - state.positions[pairs[:, 1]], axis=1)
        pairs = pairs[np.argsort(apart, kind="stable")]
        cross = np.zeros((len(pairs), PARAMETERS, PARAMETERS))
        mean = np.zeros((len(seen), n))
        for s, energy in self.energy.items():
            mean[:, species == s] = np.maximum(seen[:, species == s, -1], 0.0) / energy[self.mid]
        for (s, r), table in self.tables.items():
            chosen = np.flatnonzero((species[pairs[:, 0]] == s) & (species[pairs[:, 1]] == r))
            cross_information(
                state.positions, state.height, self.view.matrices, mean, pairs, chosen, self.depth_A, table, cross
            )
        return Information(own, pairs, cross)

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

    def covariance(self, state: State, calculated: NDArray[np.float32], reach_A: float, joint: bool) -> Floats:
        """Covariance (N, 4, 4) of each atom, with ``joint`` its neighbours up to ``reach_A`` being unknown as well."""
        return covariance(self.information(state, calculated, reach_A), joint)


def _spread(power: Floats) -> float:
    """Standard deviation along one axis, in pixels, of an image that is centred on its first pixel."""
    rows, columns = (np.fft.fftfreq(n, 1.0 / n) for n in power.shape)
    square = rows[:, None] ** 2 + columns**2
    total = max(float(power.sum()), 1e-300)
    return float(np.sqrt(max(0.5 * float((power * square).sum()) / total, 0.25)))
