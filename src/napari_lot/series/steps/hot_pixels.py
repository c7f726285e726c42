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
SECOND_RING = np.pad(np.zeros((3, 3), bool), 1, constant_values=True)
LEVELS = 12
"""Classes of brightness whose noise is judged apart, within the vacuum and within what is brighter than it: noise grows
with the signal, and a specimen may fill any part of the field."""
LEAST_IN_LEVEL = 50
"""Pixels that a class of the specimen has at least."""
CLEAR = 5.0
"""Robust standard deviations above the median from which a pixel is of the specimen."""
STRUCTURE = 5.0
"""How many times more than three of four peaks of the image a pixel must stand out."""
SHARPEST = 3.0
"""How many times farther above its neighbours than these are above theirs the top of an atom may rise.

For a Gaussian of standard deviation s pixels it is 0.5 at s = 1.5, 1.0 at 1 and 2.7 at 0.7, and pixels do not sample a
sharper one; for a single pixel there is no limit to it.
"""
TOO_MANY = 0.01
"""Part of the field, or of the specimen, above which what was found are hardly bad pixels of a detector."""
CAVEAT = "more than a detector has: atoms may be among them. Look at the tilts, and raise the threshold."


def find_hot_pixels(
    image: NDArray[np.float32], use: NDArray[np.bool_] | None = None, threshold: float = 6.0
) -> NDArray[np.bool_]:
    """Hot and dead pixels of one image, (V, U).

    A pixel is hot where it exceeds the second brightest of its eight neighbours, and dead where it lies below the
    second darkest, by more than ``threshold`` standard deviations of the noise at that brightness, by far more than
    most peaks of the image do, and more steeply than any atom that is sampled. Two that touch are found, three
    in one place are not.
    """
    return _found(image, np.ones(image.shape, bool) if use is None else use, threshold)[0]


def _found(
    image: NDArray[np.float32], allowed: NDArray[np.bool_], threshold: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Hot and dead pixels of one image, and where it shows the specimen, both (V, U)."""
    if not allowed.any():
        return np.zeros(image.shape, bool), np.zeros(image.shape, bool)
    values = np.where(allowed, image, np.median(image[allowed])).astype(np.float64)
    middle = ndimage.median_filter(values, footprint=RING, mode="reflect")
    around = ndimage.median_filter(values, footprint=SECOND_RING, mode="reflect")
    specimen = _specimen(middle, allowed)
    level = _levels(middle, allowed, specimen)
    noise = _noise(np.abs(values - middle), level, allowed)
    found = np.zeros(image.shape, bool)
    for sign in (1.0, -1.0):
        others = ndimage.rank_filter(sign * values, rank=-2, footprint=RING, mode="reflect")
        excess = sign * values - others
        peaks = excess[allowed & (excess > 0)]
        if len(peaks):
            least = np.maximum(threshold * noise, STRUCTURE * np.percentile(peaks, 75))
            found |= allowed & (excess > np.maximum(least, SHARPEST * sign * (middle - around)))
    return found, specimen


def _specimen(middle: NDArray[np.floating], allowed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where an image is clearly brighter than most of it, (V, U)."""
    typical = np.median(middle[allowed])
    scatter = 1.4826 * np.median(np.abs(middle[allowed] - typical))
    return np.asarray(allowed & (middle > typical + CLEAR * scatter))


def _levels(middle: NDArray[np.float64], allowed: NDArray[np.bool_], specimen: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Class of brightness of every pixel, (V, U): as many pixels in each of the field, and in each of the specimen."""
    bright = middle[specimen]
    own = min(LEVELS, len(bright) // LEAST_IN_LEVEL)
    edges = [np.quantile(middle[allowed], np.linspace(0, 1, LEVELS + 1)[1:-1])]
    if own:
        edges.append(np.quantile(bright, np.linspace(0, 1, own + 1)[:-1]))
    return np.digitize(middle, np.unique(np.concatenate(edges)))


def _noise(scatter: NDArray[np.float64], level: NDArray[np.int64], allowed: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Standard deviation at each pixel's level, (V, U), by the median ``scatter`` about its neighbours' median."""
    found = np.array(
        [
            1.4826 * np.median(scatter[some]) if (some := allowed & (level == i)).any() else 0.0
            for i in range(int(level.max()) + 1)
        ]
    )
    return np.asarray(found[level])


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

    @property
    def nothing_to_do(self) -> str:
        return f"No hot or dead pixels were found (more than {self.threshold:g} σ from their neighbours)."

    def apply(self, series: TiltSeries, progress: Progress = nothing) -> TiltSeries:
        """The series without them; InputError where the threshold is out of range."""
        if not 3 <= self.threshold <= 100:
            raise InputError(f"{series.source}: a threshold of {self.threshold:g} is not between 3 and 100.")
        replace = self.replace and not series.counts
        images = series.images.copy() if replace else series.images
        mask = np.ones(images.shape, bool) if series.mask is None else series.mask.copy()
        count = tilts = pixels = of_specimen = specimen = 0
        for done, j in enumerate(series.used):
            progress(done / len(series.used))
            allowed = np.ones(mask.shape[1:], bool) if series.mask is None else series.mask[j]
            found, shows = _found(series.images[j], allowed, self.threshold)
            n = int(found.sum())
            pixels, specimen, of_specimen = (
                pixels + int(allowed.sum()),
                specimen + int(shows.sum()),
                of_specimen + int((found & shows).sum()),
            )
            count, tilts = count + n, tilts + (n > 0)
            if n and replace:
                rest = np.where(found | ~mask[j], np.nan, series.images[j])
                images[j][found] = _neighbours_median(rest, found)
            elif n:
                mask[j] &= ~found
        where = f"{count} hot or dead pixel{'s' if count != 1 else ''} in {tilts} tilt{'s' if tilts != 1 else ''}"
        what = "replaced by the median of their neighbours" if replace else "masked"
        part, name = max((count / max(pixels, 1), "field"), (of_specimen / max(specimen, 1), "specimen"))
        caveats = (f"{100 * part:.2g} % of the {name}'s pixels are hot or dead, {CAVEAT}",) if part > TOO_MANY else ()
        return series.after(
            f"{where} {what} (more than {self.threshold:g} σ from their neighbours)." if count else self.nothing_to_do,
            images=images,
            mask=series.mask if replace or not count else mask,
            warnings=(*series.warnings, *caveats),
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
