"""The intensities of a series as the fit sees them (Eq. 6)."""

from __future__ import annotations

import numpy as np

from napari_lot.errors import InputError
from napari_lot.series.detector import Choice
from napari_lot.series.tilt_series import TiltSeries

ROBUST_QUANTILES = (0.001, 0.999)
"""Limits of the whole series that stand for min and max: single hot or dead pixels do not set the scale."""


def intensity_limits(series: TiltSeries) -> tuple[float, float]:
    """Robust minimum of the series and the robust range above it.

    Raises
    ------
    InputError
        All usable pixels lie within one value: there is nothing to fit.
    """
    used = series.used
    values = series.images[used] if series.mask is None else series.images[used][series.mask[used]]
    low, high = (float(q) for q in np.quantile(values, ROBUST_QUANTILES))
    if not high > low:
        low, high = float(values.min()), float(values.max())
    if not high > low:
        raise InputError(f"{series.source}: all pixels have the value {low:g}: there is nothing to reconstruct.")
    return low, high - low


def units_of_fit(series: TiltSeries, choice: Choice) -> tuple[float, float]:
    """(zero, unit) of the values that are fitted, (value - zero) / unit.

    Electrons where they are known, raised by the variance of the read noise (see ``detector``); else intensities
    between the robust limits of the series.
    """
    if choice.detector is not None:
        return choice.detector.zero, choice.detector.gain
    return intensity_limits(series)
