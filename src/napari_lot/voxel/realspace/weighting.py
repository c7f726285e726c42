"""Weights of back-projection in Fourier space: how densely tilts sample every frequency."""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray

from napari_lot.voxel.projection.kernels import OPTIONS

Floats = NDArray[np.float64]

COPLANAR = 1e-3
"""Beams that leave a plane by less than this (a sine) belong to a single axis."""
WEDGE = 3.0
"""A gap of angles so many times the typical one is the missing wedge, which no tilt stands for."""


def single_axis(rotations: Floats) -> Floats | None:
    """The tilt axis, a unit vector in the frame of the specimen, or None where the beams lie in no plane."""
    _, spread, directions = np.linalg.svd(rotations[:, 2])
    return directions[2] if len(rotations) < 3 or spread[2] < COPLANAR * np.sqrt(len(rotations)) else None


def angular_weights(rotations: Floats, axis: Floats) -> Floats:
    """The angle in radians that each tilt about an axis stands for, (T,): half the gaps to its neighbours.

    At the border of the missing wedge, as much beyond a tilt as before it.
    """
    beams = rotations[:, 2]
    first = np.linalg.svd(beams)[2][0]
    second = np.cross(axis, first)
    angles = np.arctan2(beams @ second, beams @ first) % np.pi
    order = np.argsort(angles, kind="stable")
    gaps = np.diff(angles[order], append=angles[order[0]] + np.pi)  # after each, the last to the first
    typical = float(np.median(gaps[gaps > 1e-6])) if np.any(gaps > 1e-6) else np.pi
    before, after = np.roll(gaps, 1), gaps.copy()
    wide_before, wide_after = before > WEDGE * typical, after > WEDGE * typical
    before[wide_before] = np.where(wide_after, typical, after)[wide_before]
    after[wide_after] = np.where(wide_before, typical, np.roll(gaps, 1))[wide_after]
    weights = np.empty(len(beams))
    weights[order] = 0.5 * (before + after)
    return weights


def ramp(frequency: Floats, length: int) -> Floats:
    """|frequency| in cycles per pixel as a filter of images of a finite length.

    The transform of the sampled filter (A. Kak & M. Slaney, Principles of Computerized Tomographic Imaging, Ch. 3.3):
    its value at 0 is not 0, which keeps the mean of the volume right.
    """
    taps = np.arange(1, length, 2)
    fine = np.linspace(0.0, 0.5, 8 * length + 1)
    values = np.full(len(fine), 0.25)
    for n in taps:
        values -= 2.0 / (np.pi * n) ** 2 * np.cos(2 * np.pi * n * fine)
    return np.interp(np.abs(frequency), fine, values)


@nb.njit(**OPTIONS)
def overlap(beams, tilt, rotation, qu, qv, extent, found):  # type: ignore[no-untyped-def]
    """How many tilts speak for each frequency of one tilt, itself included, (len(qv), len(qu)).

    An object that reaches as far as D along the beam w_i of a tilt contributes to the back-projection of that tilt at a
    frequency X by D sinc(D X . w_i); the sum over tilts is to be divided out (M. Radermacher, in J. Frank (ed.),
    Electron Tomography, Plenum, 1992; G. Harauz & M. van Heel, Optik 73, 146 (1986)). Here a triangle of the same area
    and height stands for the sinc: it has no negative lobes that would make a sum of nothing.

    Parameters
    ----------
    beams : (T, 3)
    tilt : int
    rotation : (3, 3)
        Of that tilt.
    qu, qv : 1-D
        Cycles per pixel.
    extent : float
        D in pixels.
    found : (len(qv), len(qu))
        Is written.
    """
    for b in range(len(qv)):
        for a in range(len(qu)):
            x = rotation[0, 0] * qu[a] + rotation[1, 0] * qv[b]
            y = rotation[0, 1] * qu[a] + rotation[1, 1] * qv[b]
            z = rotation[0, 2] * qu[a] + rotation[1, 2] * qv[b]
            total = 1.0  # the tilt itself
            for i in range(beams.shape[0]):
                far = abs(beams[i, 0] * x + beams[i, 1] * y + beams[i, 2] * z) * extent
                if i != tilt and far < 1.0:
                    total += 1.0 - far
            found[b, a] = total
