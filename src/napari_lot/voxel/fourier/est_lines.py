"""A single-axis series on the lines of a pseudo-polar grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from napari_lot.errors import InputError
from napari_lot.voxel.fourier.pseudo_polar import Transform, transform
from napari_lot.voxel.fourier.slices import ImageTransforms
from napari_lot.voxel.method import Poll

Floats = NDArray[np.float64]

MOST_OFF_DEG = 0.3
"""How far an axis may be from where it should be: half a pixel a hundred pixels from the middle."""
SAME_LINE = 1e-4
"""Radians below which two tilts are on one line."""
MISSING = 3.0
"""A gap of more typical gaps than this is not measured, rather than measured coarsely."""

LEAST_AREA = 0.1
"""What a sample counts at least, in parts of the most. About the origin lines lie so close that a sample stands for
hardly anything: then nothing holds against the mean brightness that positivity makes of noise."""


@dataclass(frozen=True)
class Axis:
    """The tilt axis: ``R = Rz(image_deg) Ry(theta) Rz(-specimen_deg)``.

    Attributes
    ----------
    specimen_deg, image_deg : float
        Its direction in the plane of x, y and in that of u, v, from y and v, as a tilt-axis angle.
    theta_deg : (T,) float64
        Tilts about it.
    """

    specimen_deg: float
    image_deg: float
    theta_deg: Floats


def single_axis(rotations: Floats) -> Axis:
    """The axis that all tilts turn about.

    Raises
    ------
    InputError
        They turn about more than one axis, or about one that is not in the plane of the images.
    """
    apart = rotations - rotations.mean(axis=0)
    spread, directions = np.linalg.eigh(np.einsum("tij,tik->jk", apart, apart) / len(rotations))
    if spread[1] < np.deg2rad(0.05) ** 2:
        raise InputError("est: all tilts are the same; give at least two different tilts.")
    axis = directions[:, 0] * (1 if directions[1, 0] >= 0 else -1)
    seen = rotations @ axis
    mean = seen.mean(axis=0) / np.linalg.norm(seen.mean(axis=0))
    off = np.rad2deg(2 * np.arcsin(np.clip(0.5 * np.linalg.norm(seen - mean, axis=-1), 0, 1)))
    if off.max() > MOST_OFF_DEG:
        raise InputError(
            f"est: tilt {int(off.argmax())} is {off.max():.2g} degrees off the common tilt axis; equal-slope "
            "tomography takes single-axis series only: take genfire, or leave such tilts out."
        )
    for vector, where in ((axis, "specimen"), (mean, "images")):
        out = float(np.rad2deg(np.arcsin(abs(vector[2]))))
        if out > MOST_OFF_DEG:
            raise InputError(
                f"est: the tilt axis leaves the plane of the {where} by {out:.2g} degrees; equal-slope tomography "
                "needs it across the beam: take genfire."
            )
    specimen, image = (float(np.rad2deg(np.arctan2(-a[0], a[1]))) for a in (axis, mean))
    inner = turn_z(-image) @ rotations @ turn_z(specimen)
    return Axis(
        specimen, image, np.rad2deg(np.arctan2(inner[:, 0, 2] - inner[:, 2, 0], inner[:, 0, 0] + inner[:, 2, 2]))
    )


@dataclass(frozen=True)
class Placed:
    """Tilts on lines: for each whether the line is steep, its slope, and how far off it is in degrees."""

    steep: NDArray[np.bool_]
    slope: Floats
    off_deg: Floats


def place(theta_deg: Floats, to_diagonal: int, exact: bool) -> Placed:
    """The nearest of lines whose slopes differ by 1 / to_diagonal, or lines as steep as the tilts are."""
    theta = np.deg2rad(theta_deg)
    c, s = np.cos(theta), np.sin(theta)
    steep = np.abs(s) > np.abs(c)
    slope = np.where(steep, c, s) / np.where(steep, s, c)
    if exact:
        return Placed(steep, slope, np.zeros(len(theta)))
    nearest = np.rint(slope * to_diagonal) / to_diagonal
    return Placed(steep, nearest, np.abs(np.rad2deg(np.arctan(slope) - np.arctan(nearest))))


@dataclass(frozen=True, eq=False)
class Measured:
    """The lines of one kind.

    Attributes
    ----------
    transform : Transform
    values : (M / 2, L, A) complex64
        Transforms of the projections of each slice along the axis; phases refer to the middle of the slices.
    area : (M / 2, L, 1) float32
        What of Fourier space a sample stands for, in squared cycles per voxel; 0 beyond the images' Nyquist.
    weight : same
        The same, but nothing counts for more than a slice can tell apart, nor for less than a part of that.
    """

    transform: Transform
    values: NDArray[np.complex64]
    area: NDArray[np.float32]
    weight: NDArray[np.float32]


def measured_lines(
    transforms: ImageTransforms,
    axis: Axis,
    placed: Placed,
    frame: tuple[int, int, int],
    samples: int,
    to_diagonal: int | None,
    pixel_size_A: float,
    poll: Poll,
) -> list[Measured]:
    """The tilts as lines in Fourier space of the slices of a frame (Z, along the axis, across it)."""
    angles = np.where(placed.steep, 0.5 * np.pi - np.arctan(placed.slope), np.arctan(placed.slope))
    wedge = _wedges(angles)
    theta = np.deg2rad(axis.theta_deg)
    # the line's samples at m >= 0 are the projection's at negative frequencies where it is seen from behind
    sign = np.sign(np.where(placed.steep, np.sin(theta), np.cos(theta)))
    stretch = np.sqrt(1 + placed.slope**2)
    m = np.arange(samples // 2) / samples
    found = []
    for steep in (False, True):
        tilts = np.flatnonzero(placed.steep == steep)
        if not len(tilts):
            continue
        values = np.empty((samples // 2, len(tilts), frame[1]), np.complex64)
        area, weight = np.empty((2, samples // 2, len(tilts), 1), np.float32)
        for i, t in enumerate(tilts):
            q, step = m * stretch[t], stretch[t] / samples
            values[:, i] = _line(transforms, int(t), sign[t] * q, axis.image_deg, frame[1]) / pixel_size_A
            arc = np.where(q > 0, q * wedge[t], 0.25 * step * wedge[t])
            # of a real slice the half that is not there counts as much, but for the origin
            both = np.where(q > 0, 2.0, 1.0) * step * (q < 0.5)
            area[:, i, 0] = both * arc
            apart = 1 / max(frame[0], frame[2])
            weight[:, i, 0] = both * np.clip(arc, LEAST_AREA * apart, apart)
            poll()
        change = transform((frame[0], frame[2]), samples, placed.slope[tilts], steep, to_diagonal)
        found.append(Measured(change, values, area, weight))
    return found


def _line(transforms: ImageTransforms, tilt: int, q: Floats, image_deg: float, rows: int) -> NDArray[np.complex64]:
    """Transform across the axis, at frequencies q (M,), of the rows (A,) along it: (M, A).

    Rows are a voxel apart, the middle one at the rotation centre: the image is sampled there in Fourier space, so
    that neither drift nor the direction of the axis costs an interpolation.
    """
    turn = turn_z(image_deg)
    along = np.abs(turn[[1, 0], 1])  # of v and u
    reach = float(along @ (0.5 * np.asarray(transforms.field) + np.abs(transforms.from_middle[tilt]))) + 1
    points = fft.next_fast_len(int(np.ceil(2 * reach)) + rows)  # what lies beyond the rows does not come back into them
    p = fft.fftfreq(points)
    qu, qv = (q[:, None] * turn[i, 0] + p * turn[i, 1] for i in (0, 1))
    inside = (np.abs(qu) < 0.5) & (np.abs(qv) < 0.5)
    spectrum = np.zeros(inside.shape, np.complex64)
    spectrum[inside] = transforms.at(tilt, qv[inside], qu[inside])
    spectrum *= np.exp(-1j * np.pi * p * (rows - 1)).astype(np.complex64)
    return np.asarray(fft.ifft(spectrum, axis=1)[:, :rows], np.complex64)


def _wedges(angles: Floats) -> Floats:
    """Angle that each line stands for: half way to its neighbours, and at the missing wedge as far as to the other
    side.

    Tilts on the same line share what it stands for.
    """
    order = np.argsort(np.mod(angles, np.pi), kind="stable")
    sorted_ = np.mod(angles, np.pi)[order]
    group = np.cumsum(np.diff(sorted_, prepend=sorted_[0]) > SAME_LINE)
    first = sorted_[np.searchsorted(group, np.arange(group[-1] + 1))]
    after = np.diff(first, append=first[0] + np.pi)
    before = np.roll(after, 1)
    gap = MISSING * np.median(after)
    nearer = np.minimum(np.minimum(before, after), gap)
    width = 0.5 * (np.where(after > gap, nearer, after) + np.where(before > gap, nearer, before))
    wedge = np.empty(len(angles))
    wedge[order] = (width / np.bincount(group))[group]
    return wedge


def turn_z(degrees: float) -> Floats:
    """Rz of an angle, (3, 3)."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
