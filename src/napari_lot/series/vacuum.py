"""Where a tilt shows nothing but vacuum, how bright and how noisy that is: for the background and for alignment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_lot.series.tilt_series import TiltSeries

Floats = NDArray[np.float64]

SMOOTH_PX = 1.5
"""Vacuum is told from the specimen after averaging over a few pixels, so that faint parts are not taken for noise."""
LIMIT = 4.0
"""In standard deviations of the averaged noise: what lies further from the background is no vacuum."""
FAINTEST = 0.01
"""What is fainter than this part of the brightest is not told from vacuum, however little noise there is."""
LEAST_SHARE = 0.02
"""Less vacuum than this part of the field says nothing."""


@dataclass(frozen=True)
class Vacuum:
    """The vacuum of one tilt.

    Attributes
    ----------
    background : (V, U) float64
        Its level, extended over the whole field.
    where : (V, U) bool
        Pixels that show it.
    specimen : (V, U) bool
        Pixels that are clearly brighter.
    noise : float
        Standard deviation of one of its pixels.
    """

    background: Floats
    where: NDArray[np.bool_]
    specimen: NDArray[np.bool_]
    noise: float


def find_vacuum(image: NDArray[np.float32], use: NDArray[np.bool_] | None = None, order: int = 0) -> Vacuum | None:
    """The vacuum of one image, or None where there is too little of it to tell.

    A polynomial in u and v is fitted to the darkest quarter, then to all that lies near it on both sides, until nothing
    changes: taking both sides keeps the noise from choosing the pixels.

    Parameters
    ----------
    image : (V, U)
    use : (V, U) bool, optional
        Pixels that may be used.
    order : int
        Order of the polynomial: 0 constant, 1 plane, 2 parabolic.
    """
    allowed = np.ones(image.shape, bool) if use is None else use
    if not allowed.any():
        return None
    values = np.where(allowed, image, 0).astype(np.float64)
    share = ndimage.gaussian_filter(allowed.astype(np.float64), SMOOTH_PX)
    smooth = ndimage.gaussian_filter(values, SMOOTH_PX) / np.maximum(share, 1e-3)
    low, bright = np.percentile(smooth[allowed], [1, 99.5])
    where = allowed & (smooth <= np.percentile(smooth[allowed], 25))
    level = np.zeros(image.shape)
    noise = 0.0
    for degree in range(order + 1):
        terms = _terms(image.shape, degree)
        for _ in range(40):
            inside = where.ravel()
            fitted = np.linalg.lstsq(terms[inside], values.ravel()[inside], rcond=None)[0]
            level = (terms @ fitted).reshape(image.shape)
            noise = float((values - level)[where].std())
            limit = max(LIMIT * noise / np.sqrt(4 * np.pi * SMOOTH_PX**2), FAINTEST * float(bright - low))
            near = allowed & (np.abs(smooth - level) <= limit)
            if np.array_equal(near, where) or near.sum() < LEAST_SHARE * allowed.sum():
                break
            where = near
    specimen = allowed & (smooth - level > limit)
    where = where & ~ndimage.binary_dilation(specimen, iterations=3)
    if where.sum() < max(LEAST_SHARE * allowed.sum(), 3 * terms.shape[1]):
        return None
    inside = where.ravel()
    level = (terms @ np.linalg.lstsq(terms[inside], values.ravel()[inside], rcond=None)[0]).reshape(image.shape)
    return Vacuum(level, where, specimen, float((values - level)[where].std()))


def _terms(shape: tuple[int, ...], degree: int) -> Floats:
    """Monomials of u and v in [-1, 1] up to a degree, (V U, terms)."""
    v, u = (axis.ravel() for axis in np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij"))
    return np.stack([v**i * u**j for i in range(degree + 1) for j in range(degree + 1 - i)], axis=1)


@dataclass(frozen=True)
class Particle:
    """An isolated object on one tilt.

    ``signal`` (V, U): the image less its vacuum, 0 away from the object; ``noise`` of one pixel; ``inside`` (V, U) the
    pixels that were kept.
    """

    signal: Floats
    inside: NDArray[np.bool_]
    noise: float


def find_particle(series: TiltSeries, tilt: int) -> Particle | None:
    """The object of one tilt, or None where there is none that lies wholly within what may be used of the field."""
    use = np.ones(series.images.shape[1:], bool) if series.mask is None else series.mask[tilt]
    vacuum = find_vacuum(series.images[tilt], use)
    if vacuum is None:
        return None
    signal = np.where(use, series.images[tilt] - vacuum.background, 0.0)
    labels, count = ndimage.label(ndimage.binary_dilation(vacuum.specimen, iterations=4))
    if count == 0:
        return None
    inside = labels == 1 + int(np.argmax(ndimage.sum(signal, labels, range(1, count + 1))))
    # The object itself must not touch what cannot be seen: the edge of the field or of the mask.
    own = vacuum.specimen & inside
    unseen = np.pad(~use, 1, constant_values=True)
    touching = ndimage.binary_dilation(unseen, np.ones((3, 3), bool), iterations=2)[1:-1, 1:-1]
    if (own & touching).sum() > 0.02 * max(4, 2 * sum(_extent(own))):
        return None
    return Particle(np.where(inside, signal, 0.0), inside, vacuum.noise)


def _extent(where: NDArray[np.bool_]) -> tuple[int, int]:
    return int(where.any(1).sum()), int(where.any(0).sum())
