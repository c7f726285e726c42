"""What a snapshot shows of a tilt, in one pass over its pixels: its image in the unit of the series, its R-factor."""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]
EVERYWHERE = np.zeros((0, 0), np.float32)
"""Weights of an image all of whose pixels count."""


def shown(
    observed: Image, calculated: Image, weights: Image, background: float, unit: float, zero: float, image: Image
) -> float:
    """R-factor of a tilt (Eq. 11), as by ``likelihood.r_factor``; NaN where no pixel counts.

    Parameters
    ----------
    observed, calculated : (V, U) float32
        In the solver's unit.
    weights : (V, U) float32 or EVERYWHERE
        0 where a pixel does not count.
    background : float
        In the solver's unit.
    unit, zero : float
        Intensity of the series is ``unit`` times the solver's, plus ``zero``.
    image : (V, U) float32
        Is filled with the calculated image in the unit of the series.
    """
    scalars = np.float32(background), np.float32(unit), np.float32(zero)
    difference, signal, pixels = _compare(observed, calculated, weights, *scalars, image)
    return difference / max(signal, np.finfo(np.float64).tiny) if pixels else float("nan")


@nb.njit(cache=True, nogil=True, fastmath={"reassoc", "nsz", "contract"})
def _compare(
    observed: Image,
    calculated: Image,
    weights: Image,
    background: np.float32,
    unit: np.float32,
    zero: np.float32,
    image: Image,
) -> tuple[float, float, int]:  # pragma: no cover - compiled
    """sum |obs - calc|, sum |obs - b| and number of the pixels that count."""
    rows, columns = observed.shape
    difference, signal, pixels = 0.0, 0.0, 0
    for i in range(rows):
        of_row, bright = np.float32(0.0), np.float32(0.0)
        for j in range(columns):
            image[i, j] = calculated[i, j] * unit + zero
        if weights.size == 0:
            for j in range(columns):
                of_row += abs(observed[i, j] - calculated[i, j])
                bright += abs(observed[i, j] - background)
            pixels += columns
        else:
            for j in range(columns):
                use = np.float32(1.0) if weights[i, j] > 0 else np.float32(0.0)
                of_row += use * abs(observed[i, j] - calculated[i, j])
                bright += use * abs(observed[i, j] - background)
                pixels += weights[i, j] > 0
        difference += float(of_row)
        signal += float(bright)
    return difference, signal, pixels
