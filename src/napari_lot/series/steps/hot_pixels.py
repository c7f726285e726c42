"""Single pixels that differ from all their neighbours by more than noise and atoms explain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_lot.errors import InputError
from napari_lot.progress import Progress, nothing
from napari_lot.series.tilt_series import TiltSeries

RING = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], bool)
LEVELS = 12
"""Classes of brightness whose noise is judged apart: it grows with the signal."""
STRUCTURE = 5.0
"""How many times more than three of four peaks of the image a pixel must stand out."""


def find_hot_pixels(
    image: NDArray[np.float32], use: NDArray[np.bool_] | None = None, threshold: float = 6.0
) -> NDArray[np.bool_]:
    """Hot and dead pixels of one image, (V, U).

    A pixel is hot where it exceeds the second brightest of its eight neighbours, and dead where it lies below the
    second darkest, by more than ``threshold`` standard deviations of the noise at that brightness, and by far more than
    the peaks of atoms do. Two that touch are found, three in one place are not.
    """
    allowed = np.ones(image.shape, bool) if use is None else use
    if not allowed.any():
        return np.zeros(image.shape, bool)
    values = np.where(allowed, image, np.median(image[allowed])).astype(np.float64)
    middle = ndimage.median_filter(values, footprint=RING, mode="reflect")
    noise = _noise_by_brightness(values, middle, allowed)
    found = np.zeros(image.shape, bool)
    for sign in (1.0, -1.0):
        others = ndimage.rank_filter(sign * values, rank=-2, footprint=RING, mode="reflect")
        excess = sign * values - others
        peaks = excess[allowed & (excess > 0)]
        if len(peaks):
            found |= allowed & (excess > np.maximum(threshold * noise, STRUCTURE * np.percentile(peaks, 75)))
    return found


def _noise_by_brightness(
    values: NDArray[np.float64], middle: NDArray[np.float64], allowed: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Standard deviation of pixels about the median of their neighbours, by the median of its modulus, (V, U)."""
    edges = np.unique(np.quantile(middle[allowed], np.linspace(0, 1, LEVELS + 1)[1:-1]))
    level = np.digitize(middle, edges)
    scatter = np.abs(values - middle)
    sigma = np.array(
        [1.4826 * np.median(scatter[some]) if (some := allowed & (level == i)).any() else 0.0 for i in range(LEVELS)]
    )
    return np.asarray(sigma[level])


@dataclass(frozen=True)
class RemoveHotPixels:
    """Hot and dead pixels are masked, or, in images that are no electron counts, replaced by their neighbours' median.

    Attributes
    ----------
    threshold : float
        How far a pixel must stand out, in standard deviations of the noise at its brightness.
    replace : bool
        Replace instead of mask. Counts are masked anyway: a made-up count would be taken for a measured one.
    """

    threshold: float = 6.0
    replace: bool = False

    def apply(self, series: TiltSeries, progress: Progress = nothing) -> TiltSeries:
        """The series without them; InputError where the threshold is out of range."""
        if not 3 <= self.threshold <= 100:
            raise InputError(f"{series.source}: a threshold of {self.threshold:g} is not between 3 and 100.")
        replace = self.replace and not series.counts
        images = series.images.copy() if replace else series.images
        mask = np.ones(images.shape, bool) if series.mask is None else series.mask.copy()
        count = tilts = 0
        for done, j in enumerate(series.used):
            progress(done / len(series.used))
            found = find_hot_pixels(series.images[j], None if series.mask is None else series.mask[j], self.threshold)
            n = int(found.sum())
            count, tilts = count + n, tilts + (n > 0)
            if n and replace:
                rest = np.where(found | ~mask[j], np.nan, series.images[j])
                images[j][found] = _neighbours_median(rest, found)
            elif n:
                mask[j] &= ~found
        where = f"{count} hot or dead pixel{'s' if count != 1 else ''} in {tilts} tilt{'s' if tilts != 1 else ''}"
        what = "replaced by the median of their neighbours" if replace else "masked"
        return series.after(
            f"{where} {what} (more than {self.threshold:g} σ from their neighbours)."
            if count
            else f"No hot or dead pixels were found (more than {self.threshold:g} σ from their neighbours).",
            images=images,
            mask=series.mask if replace or not count else mask,
        )


def _neighbours_median(image: NDArray[np.float32], found: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Median of the pixels around each of ``found`` that are not NaN, in a wider circle where there is none."""
    values = []
    for v, u in np.argwhere(found):
        for reach in (1, 2, 4, max(image.shape)):
            near = image[max(v - reach, 0) : v + reach + 1, max(u - reach, 0) : u + reach + 1]
            if np.isfinite(near).any():
                values.append(np.nanmedian(near))
                break
    return np.array(values, np.float32)
