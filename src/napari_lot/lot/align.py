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
    looked_at = problem.fitted if tilts is None else np.asarray(tilts, np.int64)
    images = problem.evaluate(state, looked_at, ()).calculated
    reach = max(1, int(np.ceil(reach_px)))

    def work(k: int) -> tuple[float, float]:
        j = int(looked_at[k])
        # a tilt is compared with its own image alone: which pixels count matters, not how much the tilt does
        use = None if problem.weights is None else (problem.weights[j].numpy() > 0).astype(float)
        calculated, signal = (image.astype(np.float64) for image in (images[k], problem.observed[j].numpy()))
        calculated -= state.background[j]
        signal -= state.background[j]
        return _move(calculated, signal, use, reach)

    moves = np.zeros_like(state.shifts)
    for j, move in zip(looked_at, problem.model.run(work, len(looked_at)), strict=True):
        moves[j] = move
    return moves


def _move(calculated: Floats, signal: Floats, use: Floats | None, n: int) -> tuple[float, float]:
    """Move (du, dv) of a calculated image, within n pixels, that brings it onto the measured one; 0 if by chance.

    Parameters
    ----------
    calculated, signal : (V, U) float64
        Without background.
    use : (V, U) float64 or None
        1 where a pixel counts; everywhere if not given.
    """
    seen = signal if use is None else use * signal
    power = float((calculated**2 if use is None else use * calculated**2).sum())
    difference = (signal - calculated) ** 2
    noise = float(difference.mean() if use is None else (use * difference).sum() / max(use.sum(), 1.0))
    if power <= 0 or noise <= 0:
        return 0.0, 0.0
    scale = float((seen * calculated).sum()) / power  # while heights are still growing
    if scale <= 0:
        return 0.0, 0.0
    shape = tuple(fft.next_fast_len(size + n + 1, real=True) for size in signal.shape)
    # sum over used pixels of signal * image moved by d, less half the image's own power there
    spectrum = fft.rfft2(seen, s=shape) * np.conj(fft.rfft2(calculated, s=shape))
    if use is not None:
        spectrum -= 0.5 * scale * fft.rfft2(use, s=shape) * np.conj(fft.rfft2(calculated**2, s=shape))
    gain = fft.irfft2(spectrum, s=shape)
    near = np.roll(gain, (n + 1, n + 1), (0, 1))[: 2 * n + 3, : 2 * n + 3] * scale / noise
    inner = near[1:-1, 1:-1]
    row, column = np.unravel_index(int(inner.argmax()), inner.shape)
    if inner[row, column] - inner[n, n] <= LEAST_GAIN:
        return 0.0, 0.0
    dv = row - n + _peak(near[row : row + 3, column + 1])
    du = column - n + _peak(near[row + 1, column : column + 3])
    return float(du), float(dv)


def _peak(three: Floats) -> float:
    """Place of the maximum of the parabola through three neighbours, relative to the middle one."""
    curve = three[0] - 2 * three[1] + three[2]
    return float(np.clip(0.5 * (three[0] - three[2]) / curve, -0.5, 0.5)) if curve < 0 else 0.0
