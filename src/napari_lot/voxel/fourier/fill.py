"""Pixels that were not measured: a Fourier transform needs every pixel, so they show what the volume shows there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_lot.voxel.fourier.slices import Images, ImageTransforms, Reprojector, r_factor
from napari_lot.voxel.method import Poll, Tilts

FADE_PX = 8.0
"""Length in pixels over which, before there is a volume, what is next to a gap fades into it."""


def complete(tilts: Tilts, shape: tuple[int, int, int], poll: Poll) -> Tilts:
    """The tilts with every pixel given that a volume of ``shape`` (Z, Y, X) can show.

    Unusable pixels, and around an object that is not isolated those beyond the field, are guessed from the nearest
    usable ones, and stay marked as unusable. Tilts that miss nothing are returned as they are.
    """
    usable = np.ones(tilts.images.shape, bool) if tilts.usable is None else tilts.usable
    images, center = tilts.images, tilts.center_px
    if not tilts.isolated:
        before, after = _beyond(tilts, shape)
        pad = ((0, 0), (before[0], after[0]), (before[1], after[1]))
        images, usable = np.pad(images, pad), np.pad(usable, pad)
        poll()
        center = (center[0] + before[0], center[1] + before[1])
    if usable.all():
        return tilts
    images = images.copy()
    for image, use in zip(images, usable, strict=True):
        if use.any() and not use.all():
            far, (v, u) = ndimage.distance_transform_edt(~use, return_indices=True)
            gap = ~use
            image[gap] = image[v[gap], u[gap]] * np.exp(-((far[gap] / FADE_PX) ** 2))
        poll()
    return replace(tilts, images=images, usable=usable, center_px=center)


def refill(tilts: Tilts, tilt: int, calculated: NDArray[np.float32]) -> bool:
    """Put what is calculated (V, U) where a completed tilt was not measured, in place; whether there are any."""
    if tilts.usable is None or tilts.usable[tilt].all() or not tilts.usable[tilt].any():
        return False
    gap = ~tilts.usable[tilt]
    tilts.images[tilt][gap] = calculated[gap]
    return True


def reprojected(
    tilts: Tilts,
    values: Images,
    seen: NDArray[np.bool_],
    reprojector: Reprojector,
    filled: ImageTransforms | None,
    poll: Poll,
) -> NDArray[np.float64]:
    """R-factor (T,) of each tilt that is ``seen``, NaN of the others.

    Where completed tilts and their ``filled`` transforms are given, what was not measured is filled in from the volume.
    """
    found = np.full(len(tilts), np.nan)
    number = np.cumsum(seen) - 1
    for t, calculated in enumerate(reprojector.project(values, poll)):
        if not seen[t]:
            continue
        usable = None if tilts.usable is None else tilts.usable[t]
        found[t] = r_factor(tilts.images[t], calculated, usable)
        if filled is not None and refill(tilts, t, calculated):
            filled.replace(int(number[t]), tilts.images[t])
    return found


def seen(tilts: Tilts) -> NDArray[np.bool_]:
    """(T,) True for a tilt of which any pixel is usable."""
    if tilts.usable is None:
        return np.ones(len(tilts), bool)
    return np.asarray(tilts.usable.any(axis=(1, 2)), np.bool_)


def _beyond(tilts: Tilts, shape: tuple[int, int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Rows and columns by which the volume's projections go beyond the field: before it, and after it."""
    reach = np.abs(tilts.rotations[:, :2]) @ (0.5 * np.asarray(shape[::-1], np.float64))  # (T, 2): u v
    at = np.asarray(tilts.center_px) + tilts.shifts_px[:, ::-1]
    field = np.asarray(tilts.images.shape[1:])
    before = np.ceil(np.maximum((reach[:, ::-1] - at).max(0), 0)).astype(int)
    after = np.ceil(np.maximum((at + reach[:, ::-1] - (field - 1)).max(0), 0)).astype(int)
    return (int(before[0]), int(before[1])), (int(after[0]), int(after[1]))
