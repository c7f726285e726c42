"""Drift of single tilts by projection matching: each measured tilt is correlated with its calculated image.

Gradients find a drift only within an atom's width; the correlation sees the whole object, so that it finds drifts of
an atomic distance before there are atoms.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from napari_lot.lot.problem import Problem, State

Floats = NDArray[np.float64]

LEAST_GAIN = 8.0
"""Gain in log-likelihood, in the noise of the residual, that a move must bring: four standard deviations."""


def match_shifts(problem: Problem, state: State, reach_px: float, tilts: Sequence[int] | None = None) -> Floats:
    """Changes (T, 2) of the shifts (du, dv) in pixels that bring calculated tilts onto the measured ones.

    Parameters
    ----------
    reach_px : float
        Largest move looked for.
    tilts : sequence of int, optional
        By default those that are fitted.
    """
    moves = np.zeros_like(state.shifts)
    n = max(1, int(np.ceil(reach_px)))
    looked_at = problem.fitted if tilts is None else np.asarray(tilts, np.int64)
    for j, image in zip(looked_at, problem.evaluate(state, looked_at, ()).calculated, strict=True):
        calculated = image.astype(np.float64) - state.background[j]
        signal = problem.observed[int(j)].numpy().astype(np.float64) - state.background[j]
        # a tilt is compared with its own image alone: which pixels count matters, not how much the tilt does
        use = np.ones_like(signal) if problem.weights is None else (problem.weights[int(j)].numpy() > 0).astype(float)
        noise = float((use * (signal - calculated) ** 2).sum() / max(use.sum(), 1.0))
        power = float((use * calculated**2).sum())
        if power <= 0 or noise <= 0:
            continue
        scale = float((use * signal * calculated).sum()) / power  # while heights are still growing
        if scale <= 0:
            continue
        shape = tuple(fft.next_fast_len(size + n + 1, real=True) for size in signal.shape)
        spectrum = np.conj(fft.rfft2(calculated, s=shape))
        # sum over used pixels of signal * image moved by d, less half the image's own power there
        gain = fft.irfft2(fft.rfft2(use * signal, s=shape) * spectrum, s=shape)
        if problem.weights is not None:
            square = np.conj(fft.rfft2(calculated**2, s=shape))
            gain -= 0.5 * scale * fft.irfft2(fft.rfft2(use, s=shape) * square, s=shape)
        near = np.roll(gain, (n + 1, n + 1), (0, 1))[: 2 * n + 3, : 2 * n + 3] * scale / noise
        inner = near[1:-1, 1:-1]
        row, column = np.unravel_index(int(inner.argmax()), inner.shape)
        if inner[row, column] - inner[n, n] > LEAST_GAIN:
            dv = row - n + _peak(near[row : row + 3, column + 1])
            du = column - n + _peak(near[row + 1, column : column + 3])
            moves[j] = du, dv
    return moves


def _peak(three: Floats) -> float:
    """Place of the maximum of the parabola through three neighbours, relative to the middle one."""
    curve = three[0] - 2 * three[1] + three[2]
    return float(np.clip(0.5 * (three[0] - three[2]) / curve, -0.5, 0.5)) if curve < 0 else 0.0
