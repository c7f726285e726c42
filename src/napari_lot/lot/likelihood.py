"""How well calculated tilts explain measured ones: least squares (Eq. 5), Poisson, and the R-factor (Eq. 11)."""

from __future__ import annotations

from typing import Any, Literal

import numba as nb
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_lot.lot.spread.common import OPTIONS

SMALLEST_RATE = 0.02
"""Counts per pixel below which the Poisson likelihood is continued, so that a rate near zero cannot rule the fit.

From there to none it is a Gaussian of this variance, whose best rate is the measured count; below none, where no rate
is, its tangent and a Gaussian of ``BELOW_NONE`` besides. A tangent alone would let empty pixels, which are most of a
wide field, pull the background down without end.
"""
BELOW_NONE = 1.0
"""Variance, in counts squared: images ring by a tenth of a count below none, and that is to cost next to nothing."""


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
        below = calculated.clamp(0.0, SMALLEST_RATE) - SMALLEST_RATE
        terms = terms + (1.0 - observed / SMALLEST_RATE) * below + below**2 / (2.0 * SMALLEST_RATE)
        negative = torch.where(calculated < 0.0, calculated, 0.0)  # one slope at 0, not that of both sides
        terms = terms - observed / SMALLEST_RATE * negative + negative**2 / (2.0 * BELOW_NONE)
    return (terms if weights is None else terms * weights).sum(dtype=torch.float64)


_NOTHING: Any = np.float32(0.0)


@nb.njit(inline="always", **OPTIONS)
def _log(x):  # type: ignore[no-untyped-def]
    """Natural logarithm of a positive float32, to 1e-7: the library's is a call, which no loop of vectors can make.

    x = 2^e (1 + f) with -0.29 < f < 0.41, and a minimax polynomial for log(1 + f) (Moshier, Cephes, logf).
    """
    bits = np.float32(x).view(np.int32)
    e = np.int32(np.int32(bits - np.int32(0x3F3504F3)) >> np.int32(23))
    f = np.int32(bits - np.int32(e << np.int32(23))).view(np.float32) - np.float32(1.0)
    power, square = np.float32(e), f * f
    p = np.float32(7.0376836292e-2)
    p = p * f - np.float32(1.1514610310e-1)
    p = p * f + np.float32(1.1676998740e-1)
    p = p * f - np.float32(1.2420140846e-1)
    p = p * f + np.float32(1.4249322787e-1)
    p = p * f - np.float32(1.6668057665e-1)
    p = p * f + np.float32(2.0000714765e-1)
    p = p * f - np.float32(2.4999993993e-1)
    p = p * f + np.float32(3.3333331174e-1)
    small = p * f * square - np.float32(2.12194440e-4) * power - np.float32(0.5) * square
    return f + small + np.float32(0.693359375) * power


# no flag that takes numbers to be finite: what is not is to be seen in the loss
@nb.njit(**{**OPTIONS, "fastmath": {"reassoc", "contract", "nsz"}})
def tilt(poisson, image, observed, weights, weighted, scale, background, calculated, gradient, found):  # type: ignore[no-untyped-def]
    """The loss of one tilt and its derivatives, in one go over its pixels (compiled).

    Parameters
    ----------
    poisson : bool
        As ``kind`` of ``loss``.
    image : (V, U) float32
        Calculated, before scale and background.
    observed, weights : (V, U) float32
        Weights count only where ``weighted`` is true.
    scale, background : float
        Of this tilt.
    calculated, gradient : (V, U) float32
        Written: image * scale + background, and the derivative of the loss with respect to ``image``.
    found : (3,) float64
        Written: the loss and its derivatives with respect to scale and background.
    """
    factor, level = np.float32(scale), np.float32(background)
    floor, one, half = np.float32(SMALLEST_RATE), np.float32(1.0), np.float32(0.5)
    steep, wide = np.float32(1.0 / SMALLEST_RATE), np.float32(1.0 / BELOW_NONE)
    loss, by_scale, by_background = 0.0, 0.0, 0.0
    for v in range(calculated.shape[0]):
        # rows are summed in single precision, and the rows in double
        row = row_scale = row_background = _NOTHING
        for u in range(calculated.shape[1]):
            seen, counts = image[v, u], observed[v, u]
            value = seen * factor + level
            calculated[v, u] = value
            if poisson:
                rate = value if value > floor else floor
                # read noise takes single values below zero, whose own rate is none
                term = rate - counts - counts * _log(rate / counts if counts > np.float32(0.0) else rate)
                negative = value if value < _NOTHING else _NOTHING
                below = (value if value < floor else floor) - negative - floor
                term += (one - counts * steep + half * steep * below) * below
                term += (half * wide * negative - counts * steep) * negative
                slope = one - counts / rate + steep * below + wide * negative
            else:
                slope = value - counts
                term = half * slope * slope
            if weighted:
                term *= weights[v, u]
                slope *= weights[v, u]
            row += term
            row_scale += slope * seen
            row_background += slope
            gradient[v, u] = slope * factor
        loss += row
        by_scale += row_scale
        by_background += row_background
    found[0] = loss
    found[1] = by_scale
    found[2] = by_background


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
