"""Error bars: what the Fisher information of the fitted model says of every atom (Cramer-Rao).

Each atom has four parameters, x, y, z and H. With W the weight of a pixel (1 / variance) and K the image of a unit
orbital, tilt j adds ``s_j^2 sum_p W(p) K_a(p - p_i) K_b(p - p_i)`` to the information of an atom about the coordinates
a, b of (u, v, H). These sums are correlations of W with products of kernels, so that a few FFTs per tilt give them for
all atoms at once. Between neighbours W is taken as even over their overlap, which leaves the autocorrelation of K: a
small table. Along the beam the image changes some hundred times less than across it, and that is left out.

The error bars of an atom are those of its own four parameters while its neighbours' four are unknown as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numba as nb
import numpy as np
import torch
from numpy.typing import NDArray
from scipy import fft, ndimage
from scipy.spatial import cKDTree

from napari_lot.lot.information import PARAMETERS, Information, covariance
from napari_lot.lot.problem import Problem, State
from napari_lot.physics.optics import interpolation_matrix

Floats = NDArray[np.float64]

TABLE_STEP_A = 0.1
TABLE_REACH_A = 8.0
ERROR_BAR_REACH = 1.6
"""Expected nearest-neighbour distances up to which atoms count as neighbours."""
PRODUCTS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))  # of u, v and H


@dataclass(frozen=True)
class Precision:
    """Error bars of every atom: standard deviations of x, y and z in Å, (N, 3), and of the heights, (N,).

    ``inflation`` is the factor by which correlated residuals widened them, ``variance`` that of a pixel that they were
    worked out with (least squares).
    """

    position_A: Floats
    height: Floats
    inflation: float
    variance: float


def error_bars(
    problem: Problem,
    state: State,
    calculated: NDArray[np.float32],
    object_pixels: NDArray[np.bool_],
    reach_A: float,
    joint: bool = True,
) -> Precision:
    """Error bars of a fitted state.

    Parameters
    ----------
    problem : Problem
    state : State
    calculated : (T, V, U)
        Images of the state.
    object_pixels : (T, V, U) bool
        Where the object is: there its noise is measured (least squares), and how it is correlated.
    reach_A : float
        Atoms closer than this are neighbours.
    joint : bool
        Count the neighbours' parameters as unknown.
    """
    images = torch.from_numpy(np.ascontiguousarray(calculated))
    left = problem.observed.numpy() - calculated
    use = object_pixels if problem.weights is None else object_pixels & (problem.weights.numpy() > 0)
    parameters = PARAMETERS * len(state.height) + 4 * len(problem.fitted)
    pixels = max(int(use.sum()), 1)
    freedom = max(1.0 - parameters / pixels, 0.1)  # what the fit has taken from the residual
    share = np.ones(int(use.sum())) if problem.weights is None else problem.weights.numpy()[use].astype(np.float64)
    variance = float(np.average(left[use].astype(np.float64) ** 2, weights=share)) / freedom if use.any() else 1.0
    weight = problem.weight(images, torch.arange(len(problem)), max(variance, 1e-300)).numpy()
    widened = inflation(problem, state, left * np.sqrt(weight), use)
    if problem.kind == "poisson":  # counts may scatter more than counts do
        widened *= float(np.sqrt((left[use] ** 2 * weight[use]).sum(dtype=np.float64) / share.sum() / freedom))
    widened = max(widened, 1.0)  # what a fit has smoothed away in the band of the atoms is no knowledge
    found = covariance(fisher(problem, state, weight, reach_A), joint, problem.model.threads)
    sigma = widened * np.sqrt(np.maximum(np.diagonal(found, axis1=1, axis2=2), 0.0))
    return Precision(sigma[:, :3], sigma[:, 3], widened, variance)


class Kernels:
    """Images of a unit orbital of each species at some depths on the model's canvas, and what they have in common."""

    def __init__(self, problem: Problem, state: State) -> None:
        model = problem.model
        self.shape, self.pixel_A = model.canvas.shape, model.canvas.pixel_size_A
        lo, hi = (float(model.basis.depth_A[k]) for k in (0, -1))
        count = 1 if model.rank == 1 else model.rank + 2
        self.depth_A = 0.5 * (lo + hi) - 0.5 * (hi - lo) * np.cos(np.pi * (np.arange(count) + 0.5) / count)
        rows, columns = self.shape
        q_v, q_u = np.fft.fftfreq(rows, self.pixel_A)[:, None], np.fft.rfftfreq(columns, self.pixel_A)[None, :]
        # derivatives by u, v (1/Å) and by the height
        self.by = (-2j * np.pi * q_u, -2j * np.pi * q_v, np.ones((rows, columns // 2 + 1)))
        q2 = q_v**2 + q_u**2
        self.factor = [
            np.pi
            * (b / self.pixel_A) ** 2
            * model.orbital.form_factor(*map(torch.from_numpy, (q2, np.array(b), a))).numpy()
            for b, a in zip(state.width, state.learnt, strict=True)
        ]
        self.probe = np.stack([model.transfer_at(w) for w in self.depth_A])

    def products(self, species: int, depths: list[int] | None = None) -> NDArray[np.complex128]:
        """Conjugate spectra (D, 6, V, U // 2 + 1) of the products of two derivatives, at all depths or some."""
        found = []
        for probe in self.probe if depths is None else self.probe[depths]:
            kernel = [fft.irfft2(by * self.factor[species] * probe, s=self.shape) for by in self.by]
            found.append([np.conj(fft.rfft2(kernel[a] * kernel[b])) for a, b in PRODUCTS])
        return np.array(found)

    def overlap(self, first: int, second: int) -> Floats:
        """Table (D, 6, n, n): sum_p K_a(p) K_b(p - d) of two species, at d = (dv, du) in steps around 0."""
        n = 2 * round(TABLE_REACH_A / TABLE_STEP_A) + 1
        axis = (np.arange(n) - n // 2) * TABLE_STEP_A / self.pixel_A
        place = np.meshgrid(axis, axis, indexing="ij")
        table = np.empty((len(self.depth_A), len(PRODUCTS), n, n))
        for k, probe in enumerate(self.probe):
            power = self.factor[first] * self.factor[second] * np.abs(probe) ** 2
            for m, (a, b) in enumerate(PRODUCTS):
                image = fft.irfft2(self.by[a] * np.conj(self.by[b]) * power, s=self.shape)
                table[k, m] = ndimage.map_coordinates(image, place, order=3, mode="grid-wrap")
        return table


def fisher(problem: Problem, state: State, weight: NDArray[np.float32], reach_A: float) -> Information:
    """Information of every atom about itself and together with its neighbours.

    Parameters
    ----------
    problem : Problem
    state : State
    weight : (T, V, U) float32
        1 / variance of every pixel; 0 where it does not count.
    reach_A : float
        Atoms closer than this are neighbours.
    """
    model = problem.model
    kernels = Kernels(problem, state)
    rotations = np.ascontiguousarray(problem.projections(state))
    species = state.width_of
    n, t = len(state.height), len(problem)
    members = [np.flatnonzero(species == s) for s in range(len(state.width))]
    products = [
        torch.from_numpy(kernels.products(s).astype(np.complex64)) if len(m) else None for s, m in enumerate(members)
    ]
    k, pad, pixel = model.canvas.oversampling, model.canvas.pad, model.canvas.pixel_size_A

    def one_tilt(j: int) -> Floats:
        u, v, w = rotations[j] @ state.positions.T
        row = pad + k * (model.center_px[0] + state.shifts[j, 1]) + v / pixel
        column = pad + k * (model.center_px[1] + state.shifts[j, 0]) + u / pixel
        canvas = torch.zeros(model.canvas.shape)
        # of a mean of one: single precision holds what a weight of any unit does not
        unit = float(weight[j].mean(dtype=np.float64))
        if unit == 0.0:  # left out
            return np.zeros((n, len(PRODUCTS)))
        model.canvas.crop(canvas)[:] = torch.from_numpy((weight[j] / unit).astype(np.float32))
        spectrum = torch.fft.rfft2(canvas)
        by_depth = interpolation_matrix(kernels.depth_A, w - state.focus[j])
        total = np.zeros((n, len(PRODUCTS)))
        for these, product in zip(members, products, strict=True):
            if product is None:
                continue
            for d in range(len(kernels.depth_A)):
                images = torch.fft.irfft2(spectrum * product[d], s=kernels.shape).numpy()
                add_values(images, row, column, these, by_depth[:, d], total)
        total *= unit * state.scale[j] ** 2
        return total

    seen = np.stack(model.run(one_tilt, t))
    own = np.zeros((n, PARAMETERS, PARAMETERS))
    height, parts = state.height, np.array_split(np.arange(n), model.threads)

    def some_own(k: int) -> None:
        if len(parts[k]):
            add_own(seen, rotations, height, parts[k][0], parts[k][-1] + 1, own)

    model.run(some_own, len(parts))

    pairs = cKDTree(state.positions).query_pairs(reach_A, output_type="ndarray").astype(np.int64)
    apart = np.linalg.norm(state.positions[pairs[:, 0]] - state.positions[pairs[:, 1]], axis=1)
    pairs = pairs[np.argsort(apart, kind="stable")]
    cross = np.zeros((len(pairs), PARAMETERS, PARAMETERS))
    # the mean weight that each atom sees: its information about the height over that of weight 1 everywhere
    mean = np.zeros((t, n))
    there = [s for s, these in enumerate(members) if len(these)]
    tables = {(s, r): kernels.overlap(s, r) for s in there for r in there}
    for s in there:
        middle = tables[s, s].shape[-1] // 2
        energy = tables[s, s][:, -1, middle, middle].mean()
        mean[:, members[s]] = np.maximum(seen[:, members[s], -1], 0.0) / energy
    for (s, r), table in tables.items():
        chosen = np.flatnonzero((species[pairs[:, 0]] == s) & (species[pairs[:, 1]] == r))
        shared = (rotations, mean, pairs), (kernels.depth_A, table, cross)
        some = np.array_split(chosen, model.threads)
        model.run(partial(_cross_of, state, some, *shared), len(some))
    return Information(own, pairs, cross)


@nb.njit(nogil=True, cache=True)
def add_values(images, row, column, these, factor, total):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Add to ``total`` (N, 6) of some orbitals what images (6, V, U) show at their places, bilinear, times a factor."""
    count, rows, columns = images.shape
    for i in these:
        v, u = row[i], column[i]
        if not (0.0 <= v <= rows - 1 and 0.0 <= u <= columns - 1):
            continue
        top, left = min(int(v), rows - 2), min(int(u), columns - 2)
        fv, fu = v - top, u - left
        for m in range(count):
            above = (1.0 - fu) * images[m, top, left] + fu * images[m, top, left + 1]
            below = (1.0 - fu) * images[m, top + 1, left] + fu * images[m, top + 1, left + 1]
            total[i, m] += factor[i] * ((1.0 - fv) * above + fv * below)


@nb.njit(nogil=True, cache=True)
def add_own(seen, rotations, height, begin, end, own):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Add to ``own`` (N, 4, 4), by x, y, z and H, what each tilt says of u, v and H: ``seen`` (T, N, 6)."""
    block = np.empty((3, 3))
    jacobian = np.zeros((3, 4))  # of (u, v, H) by (x, y, z, H)
    jacobian[2, 3] = 1.0
    for j in range(len(seen)):
        for r in range(2):
            for c in range(3):
                jacobian[r, c] = rotations[j, r, c]
        for i in range(begin, end):
            h, s = height[i], seen[j, i]
            # in the order of PRODUCTS
            block[0, 0], block[1, 1], block[2, 2] = h * h * s[0], h * h * s[3], s[5]
            block[0, 1] = block[1, 0] = h * h * s[1]
            block[0, 2] = block[2, 0] = h * s[2]
            block[1, 2] = block[2, 1] = h * s[4]
            for a in range(4):
                for b in range(4):
                    value = 0.0
                    for r in range(3):
                        for c in range(3):
                            value += jacobian[r, a] * block[r, c] * jacobian[c, b]
                    own[i, a, b] += value


def _cross_of(
    state: State, some: list[NDArray[np.int64]], of_tilts: tuple[Any, ...], of_kinds: tuple[Any, ...], k: int
) -> None:
    cross_information(state.positions, state.height, *of_tilts, some[k], *of_kinds)


@nb.njit(nogil=True, cache=True)
def cross_information(  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    positions, height, rotations, weights, pairs, chosen, depth, table, cross
):
    """Information between the atoms of each pair, summed over the tilts."""
    size = table.shape[2]
    middle = size // 2
    c = np.empty((3, 3))
    for p in chosen:
        i, k = pairs[p, 0], pairs[p, 1]
        dx = positions[k, 0] - positions[i, 0]
        dy = positions[k, 1] - positions[i, 1]
        dz = positions[k, 2] - positions[i, 2]
        mx = 0.5 * (positions[k, 0] + positions[i, 0])
        my = 0.5 * (positions[k, 1] + positions[i, 1])
        mz = 0.5 * (positions[k, 2] + positions[i, 2])
        for j in range(rotations.shape[0]):
            turn = rotations[j]
            du = (turn[0, 0] * dx + turn[0, 1] * dy + turn[0, 2] * dz) / TABLE_STEP_A + middle
            dv = (turn[1, 0] * dx + turn[1, 1] * dy + turn[1, 2] * dz) / TABLE_STEP_A + middle
            iu, iv = int(np.floor(du)), int(np.floor(dv))
            if iu < 0 or iv < 0 or iu >= size - 1 or iv >= size - 1:
                continue
            fu, fv = du - iu, dv - iv
            w = turn[2, 0] * mx + turn[2, 1] * my + turn[2, 2] * mz
            near = 0
            for d in range(1, depth.shape[0]):
                if abs(depth[d] - w) < abs(depth[near] - w):
                    near = d
            weight = np.sqrt(weights[j, i] * weights[j, k])
            for m in range(6):
                t = table[near, m]
                value = weight * (
                    (1 - fv) * ((1 - fu) * t[iv, iu] + fu * t[iv, iu + 1])
                    + fv * ((1 - fu) * t[iv + 1, iu] + fu * t[iv + 1, iu + 1])
                )
                if m == 0:
                    c[0, 0] = value
                elif m == 1:
                    c[0, 1] = value
                    c[1, 0] = value
                elif m == 2:
                    c[0, 2] = value
                    c[2, 0] = -value
                elif m == 3:
                    c[1, 1] = value
                elif m == 4:
                    c[1, 2] = value
                    c[2, 1] = -value
                else:
                    c[2, 2] = value
            hi, hk = height[i], height[k]
            for a in range(3):
                for b in range(3):
                    value = (
                        hi
                        * hk
                        * (
                            turn[0, a] * (c[0, 0] * turn[0, b] + c[0, 1] * turn[1, b])
                            + turn[1, a] * (c[1, 0] * turn[0, b] + c[1, 1] * turn[1, b])
                        )
                    )
                    cross[p, a, b] += value
                cross[p, a, 3] += hi * (turn[0, a] * c[0, 2] + turn[1, a] * c[1, 2])
                cross[p, 3, a] += hk * (turn[0, a] * c[2, 0] + turn[1, a] * c[2, 1])
            cross[p, 3, 3] += c[2, 2]


def inflation(problem: Problem, state: State, residual: NDArray[np.float32], use: NDArray[np.bool_]) -> float:
    """Factor on error bars for residuals that are correlated between pixels (denoised images, an imperfect model).

    What moves an atom is the part of the residual that looks like the slope of an atom's image: its power in the band
    of that slope over the power that white noise of the same variance has there.

    Parameters
    ----------
    residual : (T, V, U)
        Measured less calculated, over its standard deviation.
    use : (T, V, U) bool
        Pixels of the object that count.
    """
    width = float(np.median(state.widths))
    shape, pixel = residual.shape[1:], problem.model.image_pixel_A
    q2 = np.fft.fftfreq(shape[0], pixel)[:, None] ** 2 + np.fft.rfftfreq(shape[1], pixel)[None, :] ** 2
    band = q2 * np.exp(-2 * (np.pi * width) ** 2 * q2)
    band[:, 1 : (shape[1] + 1) // 2] *= 2  # the half of the spectrum that is not stored
    found = expected = 0.0
    for image, inside in zip(residual, use, strict=True):
        if inside.any():
            inner = np.where(inside, image, 0.0).astype(np.float64)
            found += float((np.abs(fft.rfft2(inner)) ** 2 * band).sum())
            expected += float((inner**2).sum() * band.sum())
    return float(np.sqrt(found / expected)) if expected > 0 else 1.0
