"""From the measured images to what the fit sees (Eq. 6), and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_lot.errors import InputError
from napari_lot.series.tilt_series import TiltSeries

ROBUST_QUANTILES = (0.001, 0.999)
"""Limits of the whole series that stand for min and max: single hot or dead pixels do not set the scale."""


@dataclass(frozen=True)
class Prepared:
    """The images that take part in a fit, in the units of the fit.

    ``measured = offset + gain * prepared``; both are the same for all tilts, because a normalisation per image would
    destroy what the heights mean. Counts stay counts: offset 0, gain 1.

    Attributes
    ----------
    series : TiltSeries
        Only the tilts that are used, images prepared; pixels that may not be used are 0.
    tilts : (n,) int64
        Which tilts of the measured series these are.
    offset, gain : float
    """

    series: TiltSeries
    tilts: NDArray[np.int64]
    offset: float
    gain: float

    def to_measured(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Images of the fit, such as calculated ones, in the measured images' units."""
        return np.asarray(self.offset + self.gain * np.asarray(images), dtype=np.float32)


def prepare_series(series: TiltSeries, exclude: Sequence[int] = ()) -> Prepared:
    """Drop excluded tilts and normalise intensities over the whole series: ``I' = (I - min) / (max - min)`` (Eq. 6).

    The limits are the 0.1 and 99.9 percentiles of the pixels that may be used, and nothing is clipped at them.
    Counts are left as they are, for the Poisson likelihood.

    Parameters
    ----------
    series : TiltSeries
    exclude : sequence of int
        Tilts left out besides ``series.excluded``, counted from 0.

    Raises
    ------
    InputError
        Fewer than three distinct tilts are left, a tilt to exclude does not exist, or the series has no contrast.
    """
    series = series.exclude(*exclude) if len(exclude) else series
    tilts = series.used
    if series.mask is not None:
        tilts = tilts[series.mask[tilts].any(axis=(1, 2))]
    kept = series.take(tilts)
    offset, gain = (0.0, 1.0) if series.counts else intensity_limits(kept)
    images = kept.images
    if not series.counts:
        images = (images - np.float32(offset)) / np.float32(gain)
    if kept.mask is not None:
        images = np.where(kept.mask, images, np.float32(0))
    return Prepared(kept.with_changes(images=images), tilts, offset, gain)


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
