"""Which element is an atom of: a mixture of scattering strengths (and widths), each known to within its error bar.

Every species is a normal distribution of its own mean and scatter; an atom's measured strength scatters about its own
by its error bar besides (Bovy, Hogg & Roweis, Ann. Appl. Stat. 5, 1657, 2011, with independent errors). The number of
species is given, or the one of least BIC. An atom belongs to a species with a probability; nothing is cut by a
threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numba import njit
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
    """From mean strengths (K,) of the species to the mixture of x (N, D) with error variances s2 (N, D).

    Expectation and maximisation, of which steps far along the way that two of them show are tried (SQUAREM: Varadhan
    and Roland, Scand. J. Stat. 35, 335 (2008)): by themselves they creep where species overlap.
    """
    (n, d), k = x.shape, len(strengths)
    mean = np.column_stack([strengths, *np.repeat(x[:, 1:].mean(0, keepdims=True), k, 0).T])
    gaps = np.diff(strengths, prepend=strengths[0] - x[:, 0].std() - 1e-12)
    variance = np.tile(np.maximum(x.var(0), 1e-300), (k, 1))
    variance[:, 0] = (0.3 * np.maximum(gaps, 1e-3 * abs(strengths[-1]))) ** 2
    here = _Species(mean, np.maximum(variance, _floor(mean)), np.full(k, 1.0 / k))
    before = -np.inf
    for _ in range(_ROUNDS // 3):
        first, score, belongs = _better(here, x, s2)
        if score - before < 1e-8 * max(abs(score), 1.0):
            break
        before = score
        second, of_first, _ = _better(first, x, s2)
        far = _further(here, first, second)
        reached, there, _ = _better(far, x, s2)
        here = reached if there > of_first else second
    else:
        _, score, belongs = _better(here, x, s2)
    mean, variance, part = here
    order = np.argsort(mean[:, 0], kind="stable")
    bic = ((2 * d + 1) * k - 1) * np.log(n) - 2 * score
    mean, scatter = mean[order], np.sqrt(variance[order])
    error = float(np.median(np.sqrt(s2[:, 0])))
    width = mean[:, 1] if d > 1 else None
    return Mixture(mean[:, 0], scatter[:, 0], part[order], belongs[:, order], float(bic), error, width)


class _Species(NamedTuple):
    """Means (K, D) and variances (K, D) of species, and parts (K,) of the atoms."""

    mean: Floats
    variance: Floats
    part: Floats


def _better(species: _Species, x: Floats, s2: Floats) -> tuple[_Species, float, Floats]:
    """One round: better species; log-likelihood of those given, and which atoms (N, K) are theirs."""
    mean, variance, part = species
    belongs = np.empty((len(x), len(part)))
    weight, moved, spread, score = _gathered(x, s2, mean, variance, np.log(part), belongs)
    weight = weight + 1e-300
    moved = moved / weight[:, None]
    variance = spread / weight[:, None] - moved**2
    part = np.maximum(weight / len(x), LEAST_PART)
    mean = mean + moved
    return _Species(mean, np.maximum(variance, _floor(mean)), part / part.sum()), score, belongs


@njit(cache=True, nogil=True)
def _gathered(
    x: Floats, s2: Floats, mean: Floats, variance: Floats, log_part: Floats, belongs: Floats
) -> tuple[Floats, Floats, Floats, float]:
    """Sums over the atoms, by how far they belong to each species: 1, and (K, D) of the first and second moment, about
    the species' mean, of the strength that an atom of it has, expected from what was measured and from the species.

    Also the log-likelihood; fills ``belongs`` (N, K).
    """
    n, d = x.shape
    k = len(mean)
    weight, moved, spread, score = np.zeros(k), np.zeros((k, d)), np.zeros((k, d)), 0.0
    for i in range(n):
        top = -np.inf
        for s in range(k):
            log = log_part[s]
            for a in range(d):
                total = variance[s, a] + s2[i, a]
                away = x[i, a] - mean[s, a]
                log -= 0.5 * (np.log(2 * np.pi * total) + away * away / total)
            belongs[i, s] = log
            top = max(top, log)
        together = 0.0
        for s in range(k):
            belongs[i, s] = np.exp(belongs[i, s] - top)
            together += belongs[i, s]
        score += top + np.log(together)
        for s in range(k):
            share = belongs[i, s] / together
            belongs[i, s] = share
            weight[s] += share
            for a in range(d):
                gain = variance[s, a] / (variance[s, a] + s2[i, a])
                own = gain * (x[i, a] - mean[s, a])
                moved[s, a] += share * own
                spread[s, a] += share * (own * own + variance[s, a] * (1.0 - gain))
    return weight, moved, spread, score


def _further(here: _Species, first: _Species, second: _Species) -> _Species:
    """As far along the curve through three species as the change of its steps allows, no less than the last."""
    scale = np.sqrt(here.variance)

    def flat(species: _Species) -> Floats:
        return np.concatenate([(species.mean / scale).ravel(), np.log(species.variance).ravel(), np.log(species.part)])

    a, b, c = flat(here), flat(first), flat(second)
    step, bend = b - a, c - 2 * b + a
    length = max(1.0, float(np.linalg.norm(step) / max(float(np.linalg.norm(bend)), 1e-300)))
    there = a + 2 * length * step + length**2 * bend
    size = here.mean.size
    mean = there[:size].reshape(here.mean.shape) * scale
    # a step too far is told by its likelihood; these only keep its numbers finite
    variance = np.exp(np.clip(there[size : 2 * size], -600, 600)).reshape(here.mean.shape)
    part = np.maximum(np.exp(np.clip(there[2 * size :], -600, 0)), LEAST_PART)
    return _Species(mean, np.maximum(variance, _floor(mean)), part / part.sum())


def _floor(mean: Floats) -> Floats:
    return np.asarray((LEAST_SCATTER * np.abs(mean)) ** 2 + 1e-300, np.float64)
