"""Rotation centre and drift of a particle: by its centres of mass, over what can be told from the noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_lot.series import first_look
from napari_lot.series.alignment.drift import split_shifts

Floats = NDArray[np.float64]

HELD = 0.9
"""An outline that holds less than this part of a tilt's signal is drawn by noise: its centre of mass is that of a piece
of the object, another one in every tilt."""
CERTAIN = 5.0
"""Drift is believed from so many standard deviations on."""
AROUND_PX = 8
"""What is left around the object where it is seen in all tilts together."""


def find_centre_and_drift(
    images: NDArray[np.float32],
    mask: NDArray[np.bool_] | None,
    rotations: Floats,
    center_px: tuple[float, float],
    level: first_look.Levels,
    least_drift_px: float,
) -> first_look.Alignment | None:
    """As ``first_look.find_alignment``; where single tilts are too noisy for an outline, by one window for all.

    The window is where the mean of all tilts is bright. What its pixels count is not chosen by a tilt's own noise, so
    that the noise of its centre of mass is known, and drift below ``CERTAIN`` of it is left alone.

    Parameters
    ----------
    images : (T, V, U) float32
    mask : (T, V, U) bool or None
        True where a pixel counts.
    rotations : (T, 3, 3)
    center_px : (row, column)
        Where the centre is expected.
    level : Levels
        Of these images.
    least_drift_px : float
        Root mean square below which drift is left alone.
    """
    found = first_look.find_alignment(images, mask, rotations, center_px, level, least_drift_px)
    if found is None or found.held >= HELD:
        return found
    used = np.arange(len(images)) if mask is None else np.flatnonzero(mask.all((1, 2)))
    if len(used) < 3:
        return first_look.Alignment(center_px, np.zeros((len(images), 2)), found.held)
    signal = images[used].astype(np.float64) - level.background
    window = _window(signal, level)
    signal *= window
    mass = signal.sum((1, 2))
    row, column = np.arange(images.shape[1]) - center_px[0], np.arange(images.shape[2]) - center_px[1]
    if not window.any() or np.any(mass <= 0):
        return first_look.Alignment(center_px, np.zeros((len(images), 2)), found.held)
    measured = np.column_stack([(signal.sum(1) @ column) / mass, (signal.sum(2) @ row) / mass])
    spread = np.array([(window * column**2).sum(), (window * row[:, None] ** 2).sum()])
    sigma = np.sqrt(spread * float(np.mean((level.noise / mass) ** 2)))
    translation, center = split_shifts(measured, rotations[used, :2], 0.02 * max(images.shape[1:]))
    left = measured - rotations[used, :2] @ translation - center
    large = np.sqrt((left**2).mean(0)) > np.maximum(least_drift_px, CERTAIN * sigma)
    shifts = np.zeros((len(images), 2))
    shifts[used] = np.where(large, left, 0.0)
    return first_look.Alignment((center_px[0] + float(center[1]), center_px[1] + float(center[0])), shifts, found.held)


def _window(signal: Floats, level: first_look.Levels) -> NDArray[np.bool_]:
    """Where the object is in all tilts together (V, U), with a margin."""
    sigma = 2.0
    mean = ndimage.gaussian_filter(signal.mean(0), sigma)
    noise = level.noise / np.sqrt(4 * np.pi * sigma**2 * len(signal))
    bright = mean > max(4 * noise, 0.05 * float(mean.max()))
    labels, count = ndimage.label(bright)
    if count == 0:
        return bright
    largest = labels == np.argmax(ndimage.sum(mean, labels, range(1, count + 1))) + 1
    return np.asarray(ndimage.binary_dilation(largest, iterations=AROUND_PX), np.bool_)
