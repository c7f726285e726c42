"""What of Fourier space a tilt series has measured: the plane across the tilt axis, directions, missing wedge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from napari_lot.voxel.volume import Volume

Floats = NDArray[np.float64]
_COMMON = 0.05
"""Largest part of the beams beside a plane, in parts of that within it, with which they still tilt about one axis."""
_ALONG = 0.2
"""Length below which what a beam has across the axis tells no direction."""
_WIDE, _LEAST_DEG = 2.0, 3.0
"""A gap between directions is a missing wedge where it is so many times wider than the median one, and so wide."""
_TAPER = 0.15
"""Part of a side, at either end, over which the volume fades before it is transformed: its edges are no structure."""


@dataclass(frozen=True, eq=False)
class Directions:
    """Where tilts have measured the plane of Fourier space across an axis.

    Attributes
    ----------
    axis : (3,) float64
        x, y, z of the axis: the common one of the tilts, or y where they have none.
    common : bool
        They have one.
    along : (2, 3) float64
        x, y, z of the plane's own axes; x and z where the axis is y.
    angles_deg : (T,) float64
        Direction of every tilt's line through 0 from the first axis of the plane to the second, -90 to 90.
    missing_deg : (from, to) or None
        Between which directions nothing was measured, counted upwards; ``to`` may be beyond 90.
    """

    axis: Floats
    common: bool
    along: Floats
    angles_deg: Floats
    missing_deg: tuple[float, float] | None


def directions_of(rotations: Floats) -> Directions:
    """The plane across the tilt axis and what was measured in it.

    By the central slice theorem a tilt measures the plane of Fourier space across its beam; it cuts the plane across
    the axis in a line.

    Parameters
    ----------
    rotations : (T, 3, 3) float64
        ``[u v w] = R [x y z]``.
    """
    beams = np.asarray(rotations, np.float64)[:, 2]
    _, size, across = np.linalg.svd(beams, full_matrices=True)
    size = np.concatenate([size, np.zeros(3 - len(size))])
    common = bool(size[2] <= _COMMON * size[0] and size[1] > 1e-6 * size[0])
    axis = across[2] if common else np.array([0.0, 1.0, 0.0])
    axis = axis * np.sign(axis[np.abs(axis).argmax()])
    first = np.eye(3)[0 if abs(axis[0]) < 0.9 else 2]
    first = first - (first @ axis) * axis
    first /= np.linalg.norm(first)
    along = np.stack([first, np.cross(first, axis)])
    lines = np.cross(axis, beams)
    lines = lines[np.linalg.norm(lines, axis=1) > _ALONG] @ along.T
    angles = np.degrees(np.arctan2(lines[:, 1], lines[:, 0]))
    angles = (angles + 90.0) % 180.0 - 90.0
    return Directions(axis, common, along, angles, _widest_gap(angles))


def _widest_gap(angles_deg: Floats) -> tuple[float, float] | None:
    """The gap that stands out among directions that come again after 180 degrees."""
    found = np.unique(np.round(angles_deg, 6))
    if len(found) < 2:
        return None
    gaps = np.diff(np.append(found, found[0] + 180.0))
    widest = int(gaps.argmax())
    if gaps[widest] < max(_WIDE * float(np.median(gaps)), _LEAST_DEG):
        return None
    return float(found[widest]), float(found[widest] + gaps[widest])


def fourier_plane(volume: Volume, directions: Directions) -> tuple[NDArray[np.float32], float]:
    """log10 of the amplitude in the plane through 0 across the axis, and the step of its pixels in 1/Å.

    It is the transform of the volume summed along the axis, relative to its largest amplitude.

    Returns
    -------
    plane : (N, N) float32
        Index [second axis, first axis]; 0 is at [N // 2, N // 2].
    step : float
        In 1/Å.
    """
    seen = _summed(volume, directions)
    seen = (seen - np.median(_rim(seen))) * np.outer(*(_taper(n) for n in seen.shape))
    n = max(seen.shape)
    amplitude = np.abs(np.fft.fftshift(np.fft.fft2(seen, (n, n))))
    largest = float(amplitude.max())
    plane = np.log10(np.maximum(amplitude / (largest or 1.0), 1e-8))
    return plane.astype(np.float32), 1.0 / (n * volume.voxel_A)


def _summed(volume: Volume, directions: Directions) -> Floats:
    """The sum along the axis, [second axis, first axis]."""
    values, axis = volume.values, directions.axis
    if axis[1] > 1 - 1e-9:
        return np.asarray(values.sum(1, dtype=np.float64))
    middle = (np.array(values.shape) - 1) / 2
    half = int(np.ceil(middle.max()))
    reach = np.arange(-half, half + 1.0)
    grid = reach[:, None, None] * directions.along[1] + reach[None, :, None] * directions.along[0]
    total = np.zeros(grid.shape[:2])
    for step in reach:
        places: Any = np.moveaxis((grid + step * axis)[..., ::-1] + middle, -1, 0)
        total += map_coordinates(values, places, order=1, mode="constant", cval=0.0, output=np.float64)
    return total


def _rim(seen: Floats) -> Floats:
    return np.concatenate([seen[0], seen[-1], seen[:, 0], seen[:, -1]])


def _taper(n: int) -> Floats:
    """1 in the middle, falling to 0 as a cosine at either end."""
    place = (np.arange(n) + 0.5) / n
    edge = np.clip(np.minimum(place, 1 - place) / _TAPER, 0.0, 1.0)
    return np.asarray(0.5 - 0.5 * np.cos(np.pi * edge))
