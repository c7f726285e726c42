"""Adaptive probe: what the images say of the imaging kernel, pixel by pixel (the paper's supplementary figures 1, 2).

The image of every atom, at every depth, is convolved with ``delta + kappa``. ``kappa`` is a table of pixels within a
few Å: it holds what a Gaussian orbital and the probe of the settings leave over. Given the atoms, the images are
linear in ``kappa``, so that it follows from one set of normal equations, whose matrix is an autocorrelation.

What would trade places with the atoms is excluded: ``kappa`` has no sum (heights), no first moments (positions) and no
mean second moment (width). How strongly it is held at 0 is decided by the evidence (MacKay, Neural Computation 4, 415,
1992): noise has no shape, and leaves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import fft, linalg

from napari_lot.lot import likelihood
from napari_lot.lot.problem import Problem, State

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Kernel:
    """The correction of the imaging kernel.

    ``pixels`` (2 n + 1, 2 n + 1) is kappa around its middle, in steps of an image pixel, v by u; ``significance`` is by
    how much its evidence exceeds that of none (natural logarithm).
    """

    pixels: Floats
    significance: float


def fit_kernel(problem: Problem, state: State, reach_A: float, noise_variance: float) -> Kernel:
    """The kernel that explains the images best, given the atoms.

    Parameters
    ----------
    problem : Problem
        Its model's own kernel is not used.
    state : State
    reach_A : float
        Radius of the kernel.
    noise_variance : float
        Of a pixel (least squares; counts know their own).
    """
    pixel = problem.model.image_pixel_A
    n = max(1, int(reach_A / pixel))
    v, u = np.mgrid[-n : n + 1, -n : n + 1]
    inside = np.hypot(v, u) * pixel <= reach_A
    offsets = np.stack([v[inside], u[inside]], 1)
    free = _free_of_atoms(offsets)

    plain = _images(problem, state)
    shape = tuple(fft.next_fast_len(size + 4 * n + 2, real=True) for size in plain.shape[1:])
    apart = offsets[:, None] - offsets[None]
    right, power = np.zeros(len(offsets)), np.zeros(shape)
    for j in problem.fitted:
        use = 1.0 if problem.weights is None else problem.weights[int(j)].numpy().astype(np.float64)
        residual = use * (problem.observed[int(j)].numpy() - plain[j] - state.background[j])
        spectrum = fft.rfft2(plain[j], s=shape)
        both = fft.irfft2(fft.rfft2(residual, s=shape) * spectrum.conj(), s=shape)
        right += both[offsets[:, 0], offsets[:, 1]]
        power += fft.irfft2(np.abs(fft.rfft2(plain[j] * np.sqrt(use), s=shape)) ** 2, s=shape)
    if problem.kind == "poisson":
        # Even weights: those of counts differ between an atom and the ground beside it, and would make every pair of
        # offsets a sum of its own.
        bright = plain > 0.05 * plain.max()
        noise_variance = float((plain + state.background[:, None, None])[bright].mean())
    curvature = free.T @ power[apart[..., 0], apart[..., 1]] @ free / noise_variance
    solution, evidence = _most_evident(curvature, free.T @ right / noise_variance)
    table = _table(free @ solution, inside)
    none = np.zeros_like(table)
    if evidence <= 0 or _loss(problem, state, plain, table, shape) >= _loss(problem, state, plain, none, shape):
        return Kernel(none, 0.0)
    return Kernel(table, evidence)


def _convolved(image: Floats, table: Floats, shape: tuple[int, ...]) -> Floats:
    spectrum = fft.rfft2(image, s=shape) * _spectrum(table, shape)
    return np.asarray(fft.irfft2(spectrum, s=shape)[: image.shape[0], : image.shape[1]])


def _loss(problem: Problem, state: State, plain: Floats, table: Floats, shape: tuple[int, ...]) -> float:
    """Negative log-likelihood, or half the squares, of all fitted tilts with a kernel."""
    total = 0.0
    for j in problem.fitted:
        image = plain[j] + _convolved(plain[j], table, shape) + state.background[j]
        weights = None if problem.weights is None else problem.weights[int(j)]
        calculated = torch.from_numpy(image.astype(np.float32))
        total += float(likelihood.loss(problem.kind, calculated, problem.observed[int(j)], weights))
    return total


def _images(problem: Problem, state: State) -> Floats:
    """Calculated tilts (T, V, U) without background and without the model's kernel, scale included."""
    kernel = problem.model.kernel
    problem.model.set_kernel(None)
    try:
        found = [problem.evaluate(state, [j], ()).calculated[0] for j in range(len(problem))]
    finally:
        problem.model.set_kernel(kernel)
    return np.stack(found).astype(np.float64) - state.background[:, None, None]


def _table(values: Floats, inside: NDArray[np.bool_]) -> Floats:
    table = np.zeros(inside.shape)
    table[inside] = values
    return table


def _spectrum(table: Floats, shape: tuple[int, ...]) -> NDArray[np.complex128]:
    """Transform of a table whose middle is the origin."""
    n = len(table) // 2
    padded = np.zeros(shape)
    padded[: 2 * n + 1, : 2 * n + 1] = table
    return np.asarray(fft.rfft2(np.roll(padded, (-n, -n), (0, 1))))


def _free_of_atoms(offsets: NDArray[np.int64]) -> Floats:
    """Orthonormal columns (P, Q) of all kernels without sum, first moments and mean second moment."""
    v, u = offsets.T.astype(np.float64)
    constraints = np.stack([np.ones(len(v)), v, u, v**2 + u**2], 1)
    return np.asarray(linalg.null_space(constraints.T), np.float64)


def _most_evident(curvature: Floats, target: Floats) -> tuple[Floats, float]:
    """The best coefficients under a prior of even variance, whose size has the largest evidence; and that evidence."""
    values, vectors = linalg.eigh(curvature)
    values = np.maximum(values, 0.0)
    along = vectors.T @ target
    best = (0.0, np.inf)
    for strength in np.geomspace(1e-8, 1e4, 121) * max(float(values[-1]), 1e-300):
        evidence = 0.5 * float((along**2 / (values + strength) - np.log1p(values / strength)).sum())
        if evidence > best[0]:
            best = (evidence, float(strength))
    if not np.isfinite(best[1]):
        return np.zeros_like(target), 0.0
    return vectors @ (along / (values + best[1])), best[0]
