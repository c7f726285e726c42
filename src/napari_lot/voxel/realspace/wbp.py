"""WBP: images are filtered by how densely the tilts sample Fourier space, and back-projected."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from napari_lot.settings.voxel import Wbp
from napari_lot.voxel.method import Iterate, Poll, Tilts
from napari_lot.voxel.projection.device import projector_for
from napari_lot.voxel.projection.projector import Images, Projector
from napari_lot.voxel.realspace import weighting
from napari_lot.voxel.realspace.misfit import r_factors, residual, said
from napari_lot.voxel.volume import Volume

Floats = NDArray[np.float64]

SMOOTH_PX, FAINTEST = 2.0, 0.05
"""The object is where an image, averaged over so many pixels, is brighter than this part of its brightest."""


def wbp(tilts: Tilts, shape: tuple[int, int, int], settings: Wbp, poll: Poll) -> Iterator[Iterate]:
    """Weighted back-projection: filtered images, summed at every voxel.

    About a single axis the weight of a tilt is |q|, the frequency across the axis, times the angle that it stands for
    (G. Ramachandran & A. Lakshminarayanan, PNAS 68, 2236 (1971)). Of any other directions, or where that is asked for,
    it is the inverse of how many tilts speak for a frequency: ``weighting.overlap``. What a mask hides is filled from
    the nearest pixels that count: a filter reaches everywhere.

    Parameters
    ----------
    tilts : Tilts
    shape : (Z, Y, X)
    settings : Wbp
    poll : callable
        Called several times a second; may raise.

    Yields
    ------
    Iterate
        Once. Its R-factors are those of the volume as it is: a filter that damps, and a missing wedge, take from its
        contrast.
    """
    projector = projector_for(tilts, shape, settings)
    try:
        images = filtered(tilts, shape, settings, projector, poll)
        x = projector.backproject(images, poll=poll)
        r = r_factors(tilts, residual(tilts, projector.project(x, poll=poll)))
        yield Iterate(Volume.centred(x.copy("C"), tilts.pixel_size_A), 1, 1, r, message=said(r))
    finally:
        projector.close()


def filtered(tilts: Tilts, shape: tuple[int, int, int], settings: Wbp, projector: Projector, poll: Poll) -> Images:
    """Images (T, V, U) whose back-projection is the volume, in their unit per Å."""
    rows, columns = tilts.images.shape[1:]
    size = (fft.next_fast_len(2 * rows, real=True), fft.next_fast_len(2 * columns, real=True))
    qv, qu = fft.fftfreq(size[0]), fft.rfftfreq(size[1])  # cycles per pixel
    axis = weighting.single_axis(tilts.rotations)
    if settings.weighting == "exact":
        axis = None
    elif axis is None and settings.weighting == "ramp":
        # the direction that the beams turn about most nearly
        axis = np.linalg.svd(tilts.rotations[:, 2])[2][2]
    damped = window(np.hypot(qv[:, None], qu), settings.filter, 0.5 * settings.cutoff)
    out = np.empty(tilts.images.shape, np.float32)
    extent = extent_px(tilts, shape)
    angles = None if axis is None else weighting.angular_weights(tilts.rotations, axis)

    def work(j: int) -> None:
        rotation = np.ascontiguousarray(tilts.rotations[j])
        if axis is None or angles is None:
            covered = np.empty((len(qv), len(qu)))
            beams = np.ascontiguousarray(tilts.rotations[:, 2])
            weighting.overlap(beams, j, rotation, qu, qv, extent, covered)
            weight = 1.0 / (extent * covered)
        else:
            along = rotation[:2] @ axis
            across = np.array([along[1], -along[0]]) / max(float(np.hypot(*along)), 1e-12)
            frequency = np.abs(across[0] * qu + across[1] * qv[:, None])
            # beyond the ramp of either image axis (an axis in between) it goes on
            reach = weighting.ramp(np.minimum(frequency, 0.5), max(rows, columns))
            weight = angles[j] * (reach + np.maximum(frequency - 0.5, 0.0))
        image = padded(whole(tilts, j), size, tilts.isolated)
        spectrum = fft.rfft2(image) * (weight * damped / tilts.pixel_size_A)
        out[j] = fft.irfft2(spectrum, size)[:rows, :columns]

    projector.run(work, ((j,) for j in range(len(tilts))), poll)
    return out


def window(frequency: Floats, kind: str, limit: float) -> Floats:
    """What is left of a frequency in cycles per pixel: 1 at 0, nothing beyond ``limit``."""
    part = np.minimum(frequency / limit, 1.0)
    shape = np.ones_like(part)
    if kind == "hann":
        shape = 0.5 + 0.5 * np.cos(np.pi * part)
    elif kind == "cosine":
        shape = np.cos(0.5 * np.pi * part)
    return np.where(frequency <= limit, shape, 0.0)


def extent_px(tilts: Tilts, shape: tuple[int, int, int]) -> float:
    """How far the object reaches, in pixels: across its images, or the thickness of the volume for a film."""
    if not tilts.isolated:
        return float(shape[0])
    widest = 1.0
    for image in tilts.images:
        smooth = ndimage.gaussian_filter(image, SMOOTH_PX)
        bright = smooth > FAINTEST * float(smooth.max())
        sides = [np.flatnonzero(bright.any(axis)) for axis in (0, 1)]
        widest = max(widest, *(float(np.ptp(side) + 1) for side in sides if len(side)))
    return widest


def whole(tilts: Tilts, j: int) -> Images:
    """An image without holes."""
    if tilts.usable is None or tilts.usable[j].all() or not tilts.usable[j].any():
        return tilts.images[j]
    nearest = ndimage.distance_transform_edt(~tilts.usable[j], return_distances=False, return_indices=True)
    filled: Images = tilts.images[j][tuple(nearest)]
    return filled


def padded(image: Images, size: tuple[int, int], isolated: bool) -> Images:
    """An image at the beginning of a larger one: nothing around an isolated object, else its edge, fading out."""
    more = [(0, n - have) for n, have in zip(size, image.shape, strict=True)]
    if isolated:
        return np.pad(image, more)
    # half of the margin follows the last pixel, half, on the other side of the period, precedes the first
    halves = [(after // 2, after - after // 2) for _, after in more]
    wide = np.pad(image, halves, mode="edge")
    for dim, (before, after) in enumerate(halves):
        fade = np.ones(size[dim], np.float32)
        fade[:before] = np.sin(0.5 * np.pi * (np.arange(before) + 0.5) / max(before, 1)) ** 2
        fade[size[dim] - after :] = np.sin(0.5 * np.pi * (np.arange(after)[::-1] + 0.5) / max(after, 1)) ** 2
        wide *= fade[:, None] if dim == 0 else fade
    return np.roll(wide, [-before for before, _ in halves], (0, 1))
