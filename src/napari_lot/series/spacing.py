"""Lattice spacings of an image: the strongest peaks of its power spectrum, to check the pixel size by."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

LEAST_PERIODS = 4
"""A period that fits less often into the field is no lattice."""
SHORTEST_PX = 2.2
CLEAR = 8.0
"""How many times brighter than the ring around it a peak of the power spectrum must be."""


def lattice_periods_px(image: NDArray[np.float32], most: int = 4) -> list[float]:
    """Periods of the strongest lattice planes of an image (V, U) in pixels, the strongest first.

    Local maxima of the power spectrum (Hann window) that stand clear of the median of their ring; the place of a peak is
    the centre of mass of the bins around it.
    """
    v, u = image.shape
    n = int(2 ** np.ceil(np.log2(max(v, u))))
    window = np.outer(np.hanning(v), np.hanning(u))
    values = image - np.average(image, weights=window)
    power = np.abs(np.fft.fftshift(np.fft.fft2(window * values, s=(n, n)))) ** 2
    fv, fu = np.meshgrid(*(np.fft.fftshift(np.fft.fftfreq(n)),) * 2, indexing="ij")
    radius = np.hypot(fv, fu)
    ring = np.rint(radius * n).astype(int)
    floor = np.asarray(ndimage.median(power, ring, np.arange(ring.max() + 1)))[ring]
    wide = 2 * int(np.ceil(n / min(v, u))) + 1
    peak = power == ndimage.maximum_filter(power, 2 * wide + 1)
    peak &= (power > CLEAR * floor) & (radius > LEAST_PERIODS / min(v, u)) & (radius < 1 / SHORTEST_PX)
    peak &= (fv > 0) | ((fv == 0) & (fu > 0))  # the other half is the same
    found: list[float] = []
    for i, j in sorted(np.argwhere(peak), key=lambda at: -power[at[0], at[1]]):
        near = np.s_[max(i - wide, 0) : i + wide + 1, max(j - wide, 0) : j + wide + 1]
        weight = power[near] * (power[near] > 0.3 * power[i, j])
        period = 1 / float(np.hypot((weight * fv[near]).sum(), (weight * fu[near]).sum()) / weight.sum())
        if all(abs(period - other) > 0.02 * other for other in found):
            found.append(period)
        if len(found) == most:
            break
    return found
