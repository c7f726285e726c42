"""Which element is an atom of: a mixture of scattering strengths (and widths), each known to within its error bar.

Every species is a normal distribution of its own mean and scatter; an atom's measured strength scatters about its own
by its error bar besides (Bovy, Hogg & Roweis, Ann. Appl. Stat. 5, 1657, 2011, with independent errors). The number of
species is given, or the one of least BIC. An atom belongs to a species with a probability; nothing is cut by a
threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_lot.physics.elements import relative_strengths

Floats = NDArray[np.float64]

LEAST_SCATTER = 0.01
"""Scatter of a species relative to its mean that is always there: sites differ."""
LEAST_PART = 1e-4
"""No species holds less than this part of the atoms, so that none dies on the way."""
_ROUNDS = 500


@dataclass(frozen=True)
class Mixture:
    """Species in the order of their strength, weakest first.

    Attributes
    ----------
    mean, scatter : (K,) float64
        Of the strengths, in their unit.
    part : (K,) float64
        Of the atoms; sums to 1.
    probability : (N, K) float64
        That an atom belongs to a species; rows sum to 1.
    bic : float
        Bayesian information criterion; the smaller, the better.
    error : float
        Median error bar of the strengths, in their unit.
    width_A : (K,) float64 or None
        Mean width of each species, where widths took part.
    """

    mean: Floats
    scatter: Floats
    part: Floats
    probability: Floats
    bic: float
    error: float = 0.0
    width_A: Floats | None = None

    def __len__(self) -> int:
        return len(self.mean)

    def as_dict(self, elements: Sequence[str], unit: float = 1.0) -> dict[str, Any]:
        """What a drawing of the mixture needs, in plain lists, strengths times ``unit``; weakest element first.

        ``elements`` (kinds by number where no element is known), ``counts`` (atoms whose most probable element it is),
        ``part``, ``mean``, ``scatter``, ``error``.
        """
        if len(elements) == len(self) and "X" not in elements:
            names = [elements[k] for k in np.argsort(relative_strengths(elements), kind="stable")]
        else:
            names = [f"kind {k + 1}" for k in range(len(self))]
        best = self.probability.argmax(1)
        return {
            "elements": names,
            "counts": np.bincount(best, minlength=len(self)).tolist(),
            "part": self.part.tolist(),
            "mean": (unit * self.mean).tolist(),
            "scatter": (unit * self.scatter).tolist(),
            "error": unit * self.error,
        }

    def density(self, strength: ArrayLike) -> Floats:
        """Expected density of the strengths without error bars, one column a species, (M, K): drawn on histograms."""
        x = np.atleast_1d(np.asarray(strength, np.float64))[:, None]
        z = (x - self.mean) / self.scatter
        return np.asarray(self.part * np.exp(-0.5 * z * z) / (np.sqrt(2 * np.pi) * self.scatter), np.float64)


def fit_mixture(
    strength: ArrayLike,
    error: ArrayLike = 0.0,
    *,
    width_A: ArrayLike | None = None,
    width_error_A: ArrayLike = 0.0,
    elements: Sequence[str] | None = None,
    species: int | None = None,
    most: int = 4,
) -> Mixture:
    """Fit a mixture to the strengths of atoms.

    Parameters
    ----------
    strength : (N,)
        Integrated heights pi H B^2.
    error : (N,) or scalar
        Their standard deviations.
    width_A, width_error_A : (N,), optional
        Widths of the atoms, where each has its own, and their standard deviations.
    elements : sequence of str, optional
        Fixes the number of species; their expected strengths are where the search begins.
    species : int, optional
        Fixes the number of species.
    most : int
        Otherwise the number between 1 and this of least BIC.

    Raises
    ------
    ValueError
        Fewer atoms than species.
    """
    columns, errors = [np.asarray(strength, np.float64).ravel()], [error]
    if width_A is not None:
        columns, errors = [*columns, np.asarray(width_A, np.float64).ravel()], [error, width_error_A]
    x = np.stack(columns, 1)
    s2 = np.stack([np.broadcast_to(np.asarray(e, np.float64) ** 2, len(x)) for e in errors], 1)
    count = len(elements) if elements is not None else species
    if len(x) < max(count or 1, 1):
        raise ValueError(f"{len(x)} atoms are too few for {count or 1} species")
    if count is not None:
        return min((_expect_maximise(x, s2, start) for start in _starts(x[:, 0], count, elements)), key=lambda m: m.bic)
    best = None
    for k in range(1, min(most, len(x)) + 1):
        found = min((_expect_maximise(x, s2, start) for start in _starts(x[:, 0], k, None)), key=lambda m: m.bic)
        if best is None or found.bic < best.bic:
            best = found
    assert best is not None
    return best


def _starts(x: Floats, count: int, elements: Sequence[str] | None) -> list[Floats]:
    """Means (K,) to begin with, rising: even quantiles, even steps, and what the elements let expect."""
    low, high = np.quantile(x, [0.02, 0.98])
    starts = [np.quantile(x, (np.arange(count) + 0.5) / count), np.linspace(low, high, 2 * count + 1)[1::2]]
    if elements is not None and count > 1:
        relative = np.sort(relative_strengths(elements))
        starts += [high * part * relative / relative[-1] for part in (0.8, 0.9, 1.0)]
    return [np.sort(s) for s in starts]


def _expect_maximise(x: Floats, s2: Floats, strengths: Floats) -> Mixture:
    """From mean strengths (K,) of the species to the mixture of x (N, D) with error variances s2 (N, D)."""
    (n, d), k = x.shape, len(strengths)
    mean = np.column_stack([strengths, *np.repeat(x[:, 1:].mean(0, keepdims=True), k, 0).T])
    gaps = np.diff(strengths, prepend=strengths[0] - x[:, 0].std() - 1e-12)
    variance = np.tile(np.maximum(x.var(0), 1e-300), (k, 1))
    variance[:, 0] = (0.3 * np.maximum(gaps, 1e-3 * abs(strengths[-1]))) ** 2
    variance = np.maximum(variance, _floor(mean))
    part = np.full(k, 1.0 / k)
    before = -np.inf
    for _ in range(_ROUNDS):
        total = variance + s2[:, None]  # (N, K, D)
        away = x[:, None] - mean
        with np.errstate(divide="ignore"):
            log = np.log(part) - 0.5 * (np.log(2 * np.pi * total) + away**2 / total).sum(-1)
        top = log.max(1, keepdims=True)
        likelihood = np.exp(log - top)
        sums = likelihood.sum(1, keepdims=True)
        belongs = likelihood / sums
        score = float((top + np.log(sums)).sum())
        if score - before < 1e-8 * max(abs(score), 1.0):
            break
        before = score
        # the strength that each atom of a species has, expected from what was measured and from the species
        gain = variance / total
        own = mean + gain * away
        weight = belongs.sum(0)[:, None] + 1e-300
        mean = (belongs[..., None] * own).sum(0) / weight
        variance = (belongs[..., None] * ((own - mean) ** 2 + variance * (1 - gain))).sum(0) / weight
        variance = np.maximum(variance, _floor(mean))
        part = np.maximum(weight[:, 0] / n, LEAST_PART)
        part = part / part.sum()
    order = np.argsort(mean[:, 0], kind="stable")
    bic = ((2 * d + 1) * k - 1) * np.log(n) - 2 * score
    mean, scatter = mean[order], np.sqrt(variance[order])
    error = float(np.median(np.sqrt(s2[:, 0])))
    width = mean[:, 1] if d > 1 else None
    return Mixture(mean[:, 0], scatter[:, 0], part[order], belongs[:, order], float(bic), error, width)


def _floor(mean: Floats) -> Floats:
    return np.asarray((LEAST_SCATTER * np.abs(mean)) ** 2 + 1e-300, np.float64)
