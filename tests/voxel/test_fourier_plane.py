"""The plane of Fourier space across the tilt axis, against transforms that are known in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from napari_lot.physics.geometry import rotations, turn_axis
from napari_lot.voxel.fourier_plane import directions_of, fourier_plane
from napari_lot.voxel.volume import Volume

ANGLES = np.arange(-60.0, 61.0, 5.0)


def single_axis(tilt_axis_deg: float) -> np.ndarray:
    return turn_axis(rotations(np.stack([0 * ANGLES, ANGLES, 0 * ANGLES], 1)), tilt_axis_deg)


@pytest.mark.parametrize("tilt_axis_deg", [0.0, 25.0, -40.0])
def test_the_axis_its_directions_and_the_wedge(tilt_axis_deg: float) -> None:
    found = directions_of(single_axis(tilt_axis_deg))
    a = np.radians(tilt_axis_deg)
    assert found.common
    assert found.axis == pytest.approx([-np.sin(a), np.cos(a), 0], abs=1e-9)
    assert found.along @ found.axis == pytest.approx([0, 0], abs=1e-12)
    assert np.sort(found.angles_deg) == pytest.approx(ANGLES, abs=1e-6)
    assert found.missing_deg == pytest.approx((60, 120), abs=1e-6)


def test_the_line_of_a_tilt_is_the_transform_of_its_projection() -> None:
    """A density that varies along one line only is seen by one tilt: its transform lies in the line of that tilt."""
    turn = rotations([[0.0, 35.0, 0.0]])[0]
    u = turn[0]  # what runs to the right in that image, in x y z
    z, y, x = np.meshgrid(*(np.arange(48) - 23.5,) * 3, indexing="ij")
    values = (np.exp(-(x**2 + y**2 + z**2) / 200) * np.cos(2 * np.pi * 0.2 * (u[0] * x + u[1] * y + u[2] * z))).astype(
        "f4"
    )
    found = directions_of(np.stack([rotations([[0.0, t, 0.0]])[0] for t in (0.0, 35.0, -20.0)]))
    plane, step = fourier_plane(Volume.centred(values, 1.0), found)
    row, column = np.unravel_index(int(plane[:, 24:].argmax()), (48, 24))
    k = np.array([column, row - 24]) * step
    assert np.linalg.norm(k) == pytest.approx(0.2, abs=step)
    assert np.degrees(np.arctan2(k[1], k[0])) == pytest.approx(found.angles_deg[1], abs=5)


@pytest.mark.parametrize("tilt_axis_deg", [0.0, 30.0])
def test_the_amplitude_of_an_ellipsoid(tilt_axis_deg: float) -> None:
    """exp(-r^2/B^2) along each axis has the transform exp(-(pi B k)^2); the widths differ along x and z."""
    voxel, widths = 0.5, (1.5, 2.0, 1.1)
    z, y, x = np.meshgrid(*(voxel * (np.arange(48) - 23.5),) * 3, indexing="ij")
    found = directions_of(single_axis(tilt_axis_deg))
    first, axis, second = (v[0] * x + v[1] * y + v[2] * z for v in (found.along[0], found.axis, found.along[1]))
    exponent = sum((c / w) ** 2 for c, w in zip((first, axis, second), widths, strict=True))
    plane, step = fourier_plane(Volume.centred(np.exp(-exponent).astype("f4"), voxel), found)
    n = len(plane)
    k = (np.arange(n) - n // 2) * step
    expected = -((np.pi * widths[2] * k[:, None]) ** 2 + (np.pi * widths[0] * k[None]) ** 2) / np.log(10)
    strong = expected > -1.0
    assert strong.sum() > 30
    # interpolation of a turned volume blurs it a little
    assert plane[strong] == pytest.approx(expected[strong], abs=1e-3 if tilt_axis_deg == 0 else 0.1)


def test_without_a_gap_or_a_common_axis_no_wedge_is_claimed() -> None:
    full = np.arange(0.0, 180.0, 6.0)
    assert directions_of(rotations(np.stack([0 * full, full, 0 * full], 1))).missing_deg is None
    other = np.stack([ANGLES, 0 * ANGLES, 0 * ANGLES], 1)
    both = directions_of(np.concatenate([single_axis(0.0), rotations(other)]))
    assert not both.common
    assert both.axis == pytest.approx([0, 1, 0])
