"""The noise of a finished fit, read from its residual."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_lot.lot.information import PARAMETERS
from napari_lot.lot.precision import inflation
from napari_lot.lot.problem import Problem, State

SIGNAL = 0.1
"""Part of the brightest calculated signal above which a pixel shows the object."""


@dataclass(frozen=True)
class Noise:
    """Noise of a finished fit.

    Attributes
    ----------
    variance : float
        Of a pixel in the solver's unit (least squares).
    inflation : float
        Factor by which error bars are widened because residuals are correlated.
    object_pixels : (T, V, U) bool
        Pixels that show the object.
    of_run : float
        Variance that the error bars of the run were worked out with: new ones stand beside those.
    """

    variance: float
    inflation: float
    object_pixels: NDArray[np.bool_]
    of_run: float

    @property
    def widening(self) -> float:
        """Factor from standard deviations by ``variance`` to error bars as those of the run."""
        return float(self.inflation * np.sqrt(self.of_run / self.variance))


def noise_of(problem: Problem, state: State, calculated: NDArray[np.float32], details: Mapping[str, Any]) -> Noise:
    """Noise of a fit, whose ``details`` may tell the inflation and variance of its error bars.

    The variance is that of ``precision.error_bars``, over the pixels where atoms are calculated rather than the hull.
    """
    widened, of_run = details.get("error_bar_inflation"), details.get("error_bar_variance")
    signal = calculated - state.background[:, None, None].astype(np.float32)
    bright = float(np.quantile(signal[:: max(1, len(signal) // 8)], 0.99))
    shown = signal > SIGNAL * bright
    use = shown if problem.weights is None else shown & (problem.weights.numpy() > 0)
    if not use.any():
        return Noise(1.0, max(widened or 1.0, 1.0), shown, 1.0)
    left = problem.observed.numpy() - calculated
    parameters = PARAMETERS * len(state.height) + 4 * len(problem.fitted)
    freedom = max(1.0 - parameters / int(use.sum()), 0.1)
    share = None if problem.weights is None else problem.weights.numpy()[use].astype(np.float64)
    variance = float(np.average(left[use].astype(np.float64) ** 2, weights=share)) / freedom
    variance = max(variance, (1e-6 * bright) ** 2)  # single precision knows no less
    if widened is None:
        weight = problem.weight(torch.from_numpy(calculated), torch.arange(len(problem)), variance).numpy()
        widened = inflation(problem, state, left * np.sqrt(weight), use) if len(state.height) else 1.0
    known = of_run if of_run and problem.kind == "lsq" else variance  # counts tell their own variance
    return Noise(variance, max(widened, 1.0), shown, known)
