"""Adaptive probe: what the images say of the imaging kernel, pixel by pixel (the paper's supplementary figures 1, 2).

    p(r; w)  ->  g(w) (delta + kappa_0 + kappa_1 w / L) * p(r; w)

``kappa`` are tables of pixels within a few Å: they hold what a Gaussian orbital and the probe of the settings leave
over, at every depth alike and growing with depth. ``g`` is a smooth attenuation through the thickness. Given the atoms,
the images are linear in each, so that it follows from one set of normal equations, whose matrix is a correlation of
images.

What would trade places with the atoms is excluded: ``kappa`` has no sum (heights), no first moments (positions) and no
mean second moment (width), ``g`` has mean 1, and no atom's image becomes negative. How strongly each is held at 0 is
decided by the evidence (MacKay, Neural Computation 4, 415, 1992): noise has no shape, and leaves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import fft, linalg

from napari_lot.lot.correction import ProbeCorrection
from napari_lot.lot.problem import Problem, State

Floats = NDArray[np.float64]

ATTENUATION_TERMS = 2
"""Powers of the depth in the attenuation: a slope and a curvature."""
LEAST_ATTENUATION_GAIN = 8.0
"""Gain in log-likelihood that an attenuation must bring: four standard deviations."""
SWEEPS = 3
"""Attenuation and kernels are fitted in turn, so often."""
SAMPLED_DEPTHS = 9
NEGATIVE = 5e-3
"""Part of its peak by which an atom's image may fall below 0: as much as its sampling does by itself."""
PENALTY, PENALTY_ROUNDS = 100.0, 20
"""Stiffness of that bound, in units of the images' own curvature, and how often its members are looked for."""


@dataclass(frozen=True)
class Adapted:
    """A correction of the kernel and by how much its evidence exceeds that of none (natural logarithm)."""

    correction: ProbeCorrection
    significance: float


def fit_correction(
    problem: Problem, state: State, reach_A: float, noise_variance: float, *, with_depth: bool = True
) -> Adapted:
    """The correction of the imaging kernel that explains the images best, given the atoms.

    Parameters
    ----------
    problem : Problem
        Its model's own correction is not used.
    state : State
    reach_A : float
        Radius of the kernels.
    noise_variance : float
        Of a pixel (least squares; counts know their own).
    with_depth : bool
        Let the kernel change with depth, and attenuate.
    """
    before = problem.model.correction
    problem.model.set_correction(None)
    try:
        images = _Images(problem, state, reach_A, noise_variance, with_depth)
        begun = none = ProbeCorrection(
            np.zeros((2 if with_depth else 1, *images.inside.shape)),
            np.zeros(ATTENUATION_TERMS if with_depth else 0),
            images.depth_scale_A,
            images.power_means,
        )
        significance = 0.0
        for _ in range(SWEEPS if with_depth else 1):
            significance = 0.0
            if with_depth:
                attenuation, gain = images.fit_attenuation(begun)
                known = gain > LEAST_ATTENUATION_GAIN
                begun = replace(begun, attenuation=attenuation if known else none.attenuation)
                significance += gain if known else 0.0
            for order in range(len(none.kernels)):
                table, evidence = images.fit_kernel(order, begun)
                kernels = begun.kernels.copy()
                kernels[order] = table
                begun = replace(begun, kernels=kernels)
                significance += evidence
        if significance <= 0 or images.loss(begun) >= images.loss(none):
            return Adapted(none, 0.0)
        return Adapted(begun, significance)
    finally:
        problem.model.set_correction(before)


class _Images:
    """Calculated tilts without a correction, and with every atom weighted by powers of its depth."""

    def __init__(self, problem: Problem, state: State, reach_A: float, noise_variance: float, with_depth: bool) -> None:
        self.problem, self.state = problem, state
        pixel = problem.model.image_pixel_A
        n = max(1, int(reach_A / pixel))
        v, u = np.mgrid[-n : n + 1, -n : n + 1]
        self.inside = np.hypot(v, u) * pixel <= reach_A
        self.offsets = np.stack([v[self.inside], u[self.inside]], 1)
        self.free = free_of_atoms(self.offsets)
        self.atoms: _Atoms | None = None
        depth = np.einsum("tj,nj->tn", problem.rotations(state)[problem.fitted, 2], state.positions)
        depth = depth - state.focus[problem.fitted, None]
        self.depth_scale_A = max(float(np.abs(depth).max()), 1.0)
        self.t = depth / self.depth_scale_A
        powers = range(1 + ATTENUATION_TERMS if with_depth else 1)
        strong = state.height * state.widths**2
        weights = np.broadcast_to(strong / max(strong.sum(), 1e-300), self.t.shape)
        self.power_means = np.array([float((weights * self.t**k).sum(1).mean()) for k in powers if k])
        images = np.stack([self._weighted(k) for k in powers])  # (K, n, V, U)
        self.plain = images[0]
        self.target = (
            problem.observed.numpy()[problem.fitted].astype(np.float64) - state.background[problem.fitted, None, None]
        )
        self.use = np.ones_like(self.target) if problem.weights is None else problem.weights.numpy()[problem.fitted]
        self.shape = tuple(fft.next_fast_len(size + 4 * n + 2, real=True) for size in self.target.shape[1:])
        self.spectra = fft.rfft2(images, s=self.shape)
        self.variance = noise_variance
        if problem.kind == "poisson":
            # Even weights: those of counts differ between an atom and the ground beside it, and would make every pair
            # of offsets a sum of its own.
            bright = self.plain > 0.05 * self.plain.max()
            self.variance = float((self.plain + state.background[problem.fitted, None, None])[bright].mean())

    def _weighted(self, power: int) -> Floats:
        """Tilts (n, V, U) without background, scale included, every atom times its depth / L to a power."""
        found = []
        for row, j in zip(self.t, self.problem.fitted, strict=True):
            height = torch.from_numpy(self.state.height * row**power)
            with torch.no_grad():
                image = self.problem.images(self.state, [j], {"height": height})[0].numpy().astype(np.float64)
            found.append(self.state.scale[j] * image)
        return np.stack(found)

    def calculated(self, correction: ProbeCorrection) -> Floats:
        """Tilts (n, V, U) under a correction, without background."""
        total = self._attenuated(correction, 0)
        for order, kernel in enumerate(correction.kernels):
            if kernel.any():
                total = total + self._attenuated(correction, order) * _spectrum(kernel, self.shape)
        return self._images_of(total)

    def _images_of(self, spectra: NDArray[np.complex128]) -> Floats:
        rows, columns = self.target.shape[1:]
        return np.asarray(fft.irfft2(spectra, s=self.shape)[:, :rows, :columns])

    def _attenuated(self, correction: ProbeCorrection, order: int) -> NDArray[np.complex128]:
        """Spectra of the tilts whose atoms have g(w) (w / L)^order; powers beyond those at hand are left out."""
        spectra = self.spectra[order]
        for k, (a, mean) in enumerate(zip(correction.attenuation, correction.power_means, strict=True), start=1):
            if a and order + k < len(self.spectra):
                spectra = spectra + a * (self.spectra[order + k] - mean * self.spectra[order])
        return spectra

    def loss(self, correction: ProbeCorrection) -> float:
        """Negative log-likelihood, or half the squares, of all fitted tilts under a correction."""
        calculated = self.calculated(correction) + self.state.background[self.problem.fitted, None, None]
        return self.problem.loss(calculated.astype(np.float32), self.problem.fitted)

    def fit_kernel(self, order: int, others: ProbeCorrection) -> tuple[Floats, float]:
        """The kernel that goes with a power of the depth, the other parts given, and its log evidence."""
        kernels = others.kernels.copy()
        kernels[order] = 0.0
        left = self.use * (self.target - self.calculated(replace(others, kernels=kernels)))
        spectra = self._attenuated(others, order)
        both = fft.irfft2((fft.rfft2(left, s=self.shape) * spectra.conj()).sum(0), s=self.shape)
        right = both[self.offsets[:, 0], self.offsets[:, 1]]
        # pixels that do not count (the same) leave their part out of the image
        counted = fft.rfft2(self._images_of(spectra) * np.sqrt(self.use), s=self.shape)
        power = fft.irfft2((np.abs(counted) ** 2).sum(0), s=self.shape)
        apart = self.offsets[:, None] - self.offsets[None]
        curvature = self.free.T @ power[apart[..., 0], apart[..., 1]] @ self.free / self.variance
        right = self.free.T @ right / self.variance
        strength, evidence = _most_evident(curvature, right)
        table = np.zeros(self.inside.shape)
        if evidence > 0:
            if self.atoms is None:
                self.atoms = _Atoms(self.problem, self.state, self.offsets, self.depth_scale_A)
            rows, lowest = self.atoms.constraints(order, kernels[:, self.inside], self.free)
            matrix = curvature + strength * np.eye(len(right))
            table[self.inside] = self.free @ _kept_positive(matrix, right, rows, lowest)
        return table, evidence

    def fit_attenuation(self, others: ProbeCorrection) -> tuple[Floats, float]:
        """Coefficients of the attenuation that explain the images best, and their gain in log-likelihood."""
        plain = replace(others, attenuation=np.zeros_like(others.attenuation))
        left = self.target - self.calculated(plain)
        columns = []
        for k in range(ATTENUATION_TERMS):
            one = np.zeros(ATTENUATION_TERMS)
            one[k] = 1.0
            columns.append(self.calculated(replace(others, attenuation=one)) - self.calculated(plain))
        # overall brightness of each tilt is its scale's; depth must show within the tilts
        design = []
        for column in columns:
            part = (column * self.use * self.plain).sum((1, 2)) / (self.use * self.plain**2).sum((1, 2))
            design.append((column - part[:, None, None] * self.plain).ravel())
        weight = self.use.ravel() / self.variance
        matrix = np.array([[float((a * weight * b).sum()) for b in design] for a in design])
        right = np.array([float((a * weight * left.ravel()).sum()) for a in design])
        found = np.linalg.lstsq(matrix, right, rcond=1e-8)[0]
        size = 1.0 + float(np.abs(found).sum())
        found = found if size < 2.0 else found / size  # g stays positive
        return found, float(found @ right - 0.5 * found @ matrix @ found)


class _Atoms:
    """Image of an atom at some depths, and what a kernel adds to it: what must not become negative."""

    def __init__(self, problem: Problem, state: State, offsets: NDArray[np.int64], depth_scale_A: float) -> None:
        model = problem.model
        step = model.canvas.oversampling
        width, learnt = torch.tensor(state.typical_width, dtype=torch.float64), torch.from_numpy(state.learnt[0])
        atom = model.orbital.form_factor(torch.from_numpy(model.q2), width, learnt).numpy()
        self.t = np.linspace(-1.0, 1.0, SAMPLED_DEPTHS)
        reach = int(np.abs(offsets).max())
        # beyond it an atom and its kernel end
        n = reach + int(np.ceil(2.0 * state.typical_width / model.image_pixel_A))
        place = np.arange(-n - reach, n + reach + 1) * step
        v, u = (axis.ravel() for axis in np.mgrid[-n : n + 1, -n : n + 1])
        self.plain, self.moved = [], []
        for t in self.t:
            image = fft.irfft2(atom * model.transfer_at(float(t * depth_scale_A)), s=model.canvas.shape)
            near = image[np.ix_(place % image.shape[0], place % image.shape[1])]
            self.plain.append(near[v + n + reach, u + n + reach])
            rows = (v[:, None] - offsets[None, :, 0] + n + reach, u[:, None] - offsets[None, :, 1] + n + reach)
            self.moved.append(near[rows])  # (pixels, offsets)

    def constraints(self, order: int, others: Floats, free: Floats) -> tuple[Floats, Floats]:
        """``rows @ x >= lowest``: what a kernel may do to an atom that the ``others`` (P, O) have changed."""
        rows, lowest = [], []
        for t, plain, moved in zip(self.t, self.plain, self.moved, strict=True):
            there = plain + moved @ (t ** np.arange(len(others)) @ others)
            rows.append(t**order * moved @ free)
            lowest.append(np.minimum(plain, 0.0) - NEGATIVE * plain.max() - there)
        return np.concatenate(rows), np.concatenate(lowest)


def _kept_positive(matrix: Floats, target: Floats, rows: Floats, lowest: Floats) -> Floats:
    """The x that minimises x matrix x / 2 - target x while ``rows @ x >= lowest``, by penalties on what is violated."""
    x = linalg.solve(matrix, target, assume_a="pos")
    stiff = PENALTY * float(np.diag(matrix).max()) / max(float((rows**2).sum(1).max()), 1e-300)
    hold = np.zeros(len(rows), bool)
    for _ in range(PENALTY_ROUNDS):
        falls = rows @ x < lowest - 1e-9
        if not (falls & ~hold).any():
            break
        hold |= falls
        held = rows[hold]
        x = linalg.solve(matrix + stiff * held.T @ held, target + stiff * held.T @ lowest[hold], assume_a="pos")
    return x


def _spectrum(table: Floats, shape: tuple[int, ...]) -> NDArray[np.complex128]:
    """Transform of a table whose middle is the origin."""
    n = len(table) // 2
    padded = np.zeros(shape)
    padded[: 2 * n + 1, : 2 * n + 1] = table
    return np.asarray(fft.rfft2(np.roll(padded, (-n, -n), (0, 1))))


def free_of_atoms(offsets: NDArray[np.int64]) -> Floats:
    """Orthonormal columns (P, Q) of all kernels without sum, first moments and mean second moment."""
    v, u = offsets.T.astype(np.float64)
    constraints = np.stack([np.ones(len(v)), v, u, v**2 + u**2], 1)
    return np.asarray(linalg.null_space(constraints.T), np.float64)


def _most_evident(curvature: Floats, target: Floats) -> tuple[float, float]:
    """Strength of the prior of even variance that has the largest evidence, and that evidence."""
    values, vectors = linalg.eigh(curvature)
    values = np.maximum(values, 0.0)
    along = vectors.T @ target
    best = (np.inf, 0.0)
    for strength in np.geomspace(1e-8, 1e4, 121) * max(float(values[-1]), 1e-300):
        evidence = 0.5 * float((along**2 / (values + strength) - np.log1p(values / strength)).sum())
        if evidence > best[1]:
            best = (float(strength), evidence)
    return best
