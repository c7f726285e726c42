"""Fits of times against sizes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def power(size: Sequence[float], time: Sequence[float]) -> tuple[float, float]:
    """Exponent p and factor a of time = a size^p, by least squares of the logarithms.

    Raises
    ------
    ValueError
        Fewer than two sizes, or numbers that are not positive.
    """
    x, y = _checked(size, time)
    slope, start = np.polyfit(np.log(x), np.log(y), 1)
    return float(slope), float(np.exp(start))


def line(size: Sequence[float], time: Sequence[float]) -> tuple[float, float]:
    """Constant part a >= 0 and slope b of time = a + b size, by least squares of the relative deviations.

    Raises
    ------
    ValueError
        As ``power``.
    """
    x, y = _checked(size, time)
    start, slope = np.linalg.lstsq(np.stack([1.0 / y, x / y], 1), np.ones(len(x)), rcond=None)[0]
    if start < 0:  # a time that would be negative for nothing
        weight = x / y
        return 0.0, float(weight.sum() / (weight**2).sum())
    return float(start), float(slope)


def _checked(size: Sequence[float], time: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(size, float), np.asarray(time, float)
    if len(np.unique(x)) < 2 or not (x > 0).all() or not (y > 0).all():
        raise ValueError("a fit needs two sizes, and positive numbers")
    return x, y
