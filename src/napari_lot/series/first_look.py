"""What is known of a series before a reconstruction: levels, rotation centre, drift, whether the object is isolated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_lot.series.alignment.drift import split_shifts

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Levels:
    """Background, noise and brightness of a series, in the unit of the images.

    ``background`` is the level of vacuum, ``noise`` the standard deviation of one pixel there, ``bright`` the 99.5
    percentile above the background.
    """

    background: float
    noise: float
    bright: float


def levels(images: NDArray[np.float32], mask: NDArray[np.bool_] | None) -> Levels:
    """Levels of a series (T, V, U) from its pixel distribution and its pixel-to-pixel scatter."""
    use = np.ones(images.shape, bool) if mask is None else mask
    used = use.any((1, 2))  # a tilt that is left out says nothing of its neighbours
    images, use = images[used], use[used]
    bright = float(np.percentile(images[use], 99.5))
    # the darkest tenth, chosen in the neighbouring tilts: noise that chose the pixels would bias their mean
    share = ndimage.gaussian_filter(use.astype(np.float32), (0, 3, 3))
    smooth = ndimage.gaussian_filter(np.where(use, images, 0), (0, 3, 3))
    others = np.roll(smooth, 1, 0) + np.roll(smooth, -1, 0)
    others /= np.maximum(np.roll(share, 1, 0) + np.roll(share, -1, 0), 1e-6)
    known = use & (np.roll(share, 1, 0) + np.roll(share, -1, 0) > 0.2)
    known = known if known.any() else use
    dark = known & (others <= np.percentile(others[known], 10))
    background = float(images[dark].mean())
    # only where all four neighbours exist and count; 20 = 4^2 + 4 * 1^2, for white noise
    second = 4 * images[:, 1:-1, 1:-1] - _neighbours(images, np.add)
    whole = dark[:, 1:-1, 1:-1] & _neighbours(use, np.logical_and)
    noise = float(np.sqrt(np.mean(second[whole] ** 2) / 20)) if whole.any() else 0.0
    return Levels(background, noise, max(bright - background, 1e-12))


def _neighbours(stack: NDArray[Any], join: np.ufunc) -> NDArray[Any]:
    """The four neighbours in the image of every inner pixel, joined: (T, V, U) -> (T, V - 2, U - 2)."""
    up, down = stack[:, :-2, 1:-1], stack[:, 2:, 1:-1]
    left, right = stack[:, 1:-1, :-2], stack[:, 1:-1, 2:]
    return np.asarray(join(join(up, down), join(left, right)))


@dataclass(frozen=True)
class Alignment:
    """Where the axis and the single tilts lie in the field.

    ``center_px`` (row, column) is the rotation centre; ``shifts_px`` (T, 2) is what each tilt's drift (du, dv) beyond
    it seems to be, 0 where it is too small to tell. ``held`` is the part of a tilt's signal that lies within the
    outline whose centre of mass was taken, in nine of ten tilts at least: low where noise draws the outline.
    """

    center_px: tuple[float, float]
    shifts_px: Floats
    held: float = 1.0


def find_alignment(
    images: NDArray[np.float32],
    mask: NDArray[np.bool_] | None,
    rotations: Floats,
    center_px: tuple[float, float],
    level: Levels,
    least_drift_px: float,
) -> Alignment | None:
    """Rotation centre and drift from the centres of mass of an isolated object, or None where there is none.

    The centre of mass of tilt j lies at centre + R_j X for one point X of the specimen; centre and X follow by least
    squares. Only the part of the centre that no translation of the object imitates is taken (for a single axis: across
    it). What is left over is the drift of single tilts and noise.
    """
    if not is_isolated(images, mask, level):
        return None
    shifts = np.zeros((len(images), 2))
    used = np.arange(len(images))
    if mask is not None:  # tilts left out, and those of which a part is hidden
        bright = _clearly_bright(np.where(mask, images, level.background), level)
        hidden = ndimage.binary_dilation(bright, np.ones((1, 9, 9), bool)) & ~mask
        used = np.flatnonzero(mask.any((1, 2)) & ~hidden.any((1, 2)))
        if len(used) < 3:
            return None
        images = np.where(mask, images, level.background)
    images, rotations = images[used], rotations[used]
    signal = images.astype(np.float64) - level.background
    inside = _clearly_bright(images, level)
    variance = np.empty((len(images), 2))
    whole = signal.sum((1, 2))
    row, column = np.arange(images.shape[1]) - center_px[0], np.arange(images.shape[2]) - center_px[1]
    for j in range(len(images)):  # specks of noise far away would pull the centre of mass
        labels, count = ndimage.label(ndimage.binary_dilation(inside[j], iterations=4))
        if count == 0:
            return None
        largest = labels == np.argmax(ndimage.sum(signal[j], labels, range(1, count + 1))) + 1
        signal[j] *= largest
        variance[j] = (largest * column**2).sum(), (largest * row[:, None] ** 2).sum()
    mass = signal.sum((1, 2))
    if np.any(mass <= 0):
        return None
    variance *= (level.noise / mass[:, None]) ** 2
    v, u = (signal.sum(2) @ row) / mass, (signal.sum(1) @ column) / mass
    measured = np.column_stack([u, v])
    translation, center = split_shifts(measured, rotations[:, :2], 0.02 * max(images.shape[1:]))
    left = measured - rotations[:, :2] @ translation - center
    # The outline that noise draws, and contrast that tilts change, move a centre of mass, too. Smaller drift is found
    # later, by what the atoms look like.
    large = np.sqrt((left**2).mean(0)) > np.maximum(least_drift_px, 5.0 * np.sqrt(variance.mean(0)))
    shifts[used] = np.where(large, left, 0.0)
    held = float(np.quantile(mass / np.maximum(whole, 1e-12), 0.1))
    return Alignment((center_px[0] + float(center[1]), center_px[1] + float(center[0])), shifts, held)


def is_isolated(images: NDArray[np.float32], mask: NDArray[np.bool_] | None, level: Levels) -> bool:
    """True where the object touches no edge of the field in any tilt, so that what lies outside is vacuum.

    Where a mask hides more than a tenth of the edges in every tilt, the object may touch them unseen. What is hidden in
    some, because their drift was taken out, is seen in others: those have an edge of their own further inside.
    """
    use = np.ones(images.shape, bool) if mask is None else mask
    seen = use.any((1, 2))  # the others are tilts left out
    if np.asarray(use.any(0))[_frame(np.ones(images.shape[1:], bool))].mean() < 0.9:
        return False
    edges = np.stack([_frame(tilt) for tilt in use[seen]])
    known = use[seen] & edges
    if known.sum() < 0.9 * edges.sum():
        return False
    bright = _clearly_bright(np.where(use, images, level.background)[seen], level)
    return float(bright[known].mean()) < 0.02


def _frame(use: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The outermost two pixels of the field, or of the rectangle that is left of it where drift was taken out."""
    rows, columns = np.flatnonzero(use.any(1)), np.flatnonzero(use.any(0))
    field = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    frame = np.zeros(use.shape, bool)
    frame[field] = True
    frame[rows[0] + 2 : rows[-1] - 1, columns[0] + 2 : columns[-1] - 1] = False
    return frame


def _clearly_bright(images: NDArray[np.float32], level: Levels) -> NDArray[np.bool_]:
    """Pixels well above vacuum after averaging over a few of them."""
    sigma = 2.0
    noise = level.noise / np.sqrt(4 * np.pi * sigma**2)
    smooth = ndimage.gaussian_filter(images, (0, sigma, sigma))
    return np.asarray(smooth - level.background > max(4 * noise, 0.02 * level.bright))


def shows_anything(images: NDArray[np.float32], mask: NDArray[np.bool_] | None, level: Levels) -> bool:
    """False where most tilts hold nothing, not one averaged spot, that their noise does not explain (5 sigma)."""
    sigma = 2.0
    filled = images if mask is None else np.where(mask, images, level.background)
    smooth = ndimage.gaussian_filter(filled, (0, sigma, sigma))
    bright = smooth - level.background > 5 * level.noise / np.sqrt(4 * np.pi * sigma**2)
    if mask is not None:
        bright &= mask
    used = np.ones(len(images), bool) if mask is None else mask.any((1, 2))
    return bool(used.any() and bright[used].any(axis=(1, 2)).mean() >= 0.5)
