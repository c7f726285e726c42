"""Lattice spacings of an image: the strongest peaks of its power spectrum, to check the pixel size by."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

LEAST_PERIODS = 4
"""A period that fits less often into the field is no lattice."""
SHORTEST_PX = 2.2
CLEAR = 40.0
"""How many times brighter than its ring a peak of the power spectrum must be to say that there is a lattice."""
STRONG = 8.0
"""The same for a peak that is stronger than one of those: planes of one family may fill most of their ring."""


def lattice_periods_px(image: NDArray[np.float32], most: int = 4) -> list[float]:
    """Periods of the strongest lattice planes of an image (V, U) in pixels, the strongest first.

    Local maxima of the power spectrum (Hann window) that stand clear of the median of their ring, and such that are
    stronger than one of these; their places are refined between the bins of the transform.
    """
    v, u = image.shape
    n = int(2 ** np.ceil(np.log2(max(v, u))))
    window = np.outer(np.hanning(v), np.hanning(u))
    windowed = window * (image - np.average(image, weights=window))
    power = np.abs(np.fft.fftshift(np.fft.fft2(windowed, s=(n, n)))) ** 2
    fv, fu = np.meshgrid(*(np.fft.fftshift(np.fft.fftfreq(n)),) * 2, indexing="ij")
    radius = np.hypot(fv, fu)
    ring = np.rint(radius * n).astype(int)
    floor = np.asarray(ndimage.median(power, ring, np.arange(ring.max() + 1)))[ring]
    wide = 2 * int(np.ceil(n / min(v, u))) + 1
    peak = power == ndimage.maximum_filter(power, 2 * wide + 1)
    peak &= (radius > LEAST_PERIODS / min(v, u)) & (radius < 1 / SHORTEST_PX)
    peak &= (fv > 0) | ((fv == 0) & (fu > 0))  # the other half is the same
    sure = peak & (power > CLEAR * floor)
    if not sure.any():
        return []
    peak = sure | (peak & (power > STRONG * floor) & (power > power[sure].min()))
    found: list[float] = []
    for i, j in sorted(np.argwhere(peak), key=lambda at: -power[at[0], at[1]]):
        period = 1 / float(np.hypot(*_refined(windowed, float(fv[i, j]), float(fu[i, j]), 1 / n)))
        if all(abs(period - other) > 0.02 * other for other in found):
            found.append(period)
        if len(found) == most:
            break
    return found


def _refined(image: NDArray[np.float64], fv: float, fu: float, bin_width: float) -> tuple[float, float]:
    """Frequency of the maximum of the power near (fv, fu), to a hundredth of a bin."""
    v, u = (np.arange(n) for n in image.shape)
    step = bin_width / 4
    while step > bin_width / 200:
        around = step * np.arange(-4, 5)
        rows = np.exp(-2j * np.pi * np.outer(fv + around, v))
        columns = np.exp(-2j * np.pi * np.outer(u, fu + around))
        i, j = np.unravel_index(int(np.abs(rows @ image @ columns).argmax()), (9, 9))
        fv, fu, step = fv + float(around[i]), fu + float(around[j]), step / 3
    return fv, fu
