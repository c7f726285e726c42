"""How well calculated tilts explain measured ones: least squares (Eq. 5), Poisson, and the R-factor (Eq. 11)."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SMALLEST_RATE = 0.02
"""Counts per pixel below which the Poisson rate is continued linearly, so that a rate near zero cannot rule the fit."""


def loss(kind: Literal["lsq", "poisson"], calculated: Tensor, observed: Tensor, weights: Tensor | None) -> Tensor:
    """Sum over pixels of half the squared residual, or of the Poisson negative log-likelihood less its smallest value.

    Parameters
    ----------
    calculated, observed : (..., V, U), in one unit (counts for Poisson)
    weights : same shape or None; 0 where a pixel does not count
    """
    if kind == "lsq":
        terms = 0.5 * (calculated - observed) ** 2
    else:
        rate = calculated.clamp_min(SMALLEST_RATE)
        # read noise takes single values below zero: they count as they are, for cutting them off would bias the rate
        least = observed.clamp_min(0.0)
        terms = rate - observed + torch.xlogy(least, least) - observed * rate.log()
        # below the floor: the tangent of the likelihood there
        terms = terms + (1.0 - observed / SMALLEST_RATE) * (calculated - rate)
    return (terms if weights is None else terms * weights).sum(dtype=torch.float64)


def r_factor(
    observed: NDArray[np.float32],
    calculated: NDArray[np.float32],
    background: NDArray[np.float64],
    mask: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """R-factor per tilt (Eq. 11): sum |obs - calc| / sum |obs - b_j| over the mask. Shapes (T, V, U), (T,) -> (T,).

    NaN where the mask leaves no pixel of a tilt.
    """
    use = np.ones(observed.shape, bool) if mask is None else mask
    difference = np.where(use, np.abs(observed - calculated), 0).sum((1, 2), dtype=np.float64)
    signal = np.where(use, np.abs(observed - background[:, None, None]), 0).sum((1, 2), dtype=np.float64)
    ratio = difference / np.maximum(signal, np.finfo(np.float64).tiny)
    return np.where(use.any((1, 2)), ratio, np.nan)
