"""Rotations against scipy and against what is seen on the screen."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from napari_lot.physics.geometry import rotations, rotations_torch, series_rotations, turn_axis
from napari_lot.series.tilt_series import TiltSeries

ANGLES = np.array([[0.0, 0.0, 0.0], [10.0, -35.0, 140.0], [-170.0, 89.0, 3.0], [33.0, 12.0, -71.0]])


def _series(**kwargs: object) -> TiltSeries:
    images = np.random.default_rng(0).random((len(ANGLES), 8, 9)).astype(np.float32)
    return TiltSeries(images=images, angles_deg=ANGLES, pixel_size_A=0.5, **kwargs)


def test_rotations_are_extrinsic_x_then_y_then_z() -> None:
    expected = Rotation.from_euler("xyz", ANGLES, degrees=True).as_matrix()
    np.testing.assert_allclose(rotations(ANGLES), expected, atol=1e-14)


@pytest.mark.parametrize(
    ("angles", "before", "after"),
    [
        ((90, 0, 0), (0, 1, 0), (0, 0, 1)),  # psi turns y towards z
        ((0, 90, 0), (0, 0, 1), (1, 0, 0)),  # theta turns z towards x: an atom downstream appears on the right
        ((0, 0, 90), (1, 0, 0), (0, 1, 0)),  # phi turns x towards y: right to down on the screen
    ],
)
def test_rotations_are_active_and_right_handed(angles: tuple, before: tuple, after: tuple) -> None:
    np.testing.assert_allclose(rotations([angles])[0] @ before, after, atol=1e-15)


def test_torch_twin_equals_numpy_and_differentiates() -> None:
    radians = torch.deg2rad(torch.from_numpy(ANGLES)).requires_grad_()
    np.testing.assert_allclose(rotations_torch(radians).detach().numpy(), rotations(ANGLES), atol=1e-14)
    assert torch.autograd.gradcheck(rotations_torch, (radians,))
    assert rotations_torch(radians.float()).dtype == torch.float32


@pytest.mark.parametrize("axis_deg", [30.0, 90.0, -45.0])
def test_positive_tilt_axis_turns_clockwise_on_the_screen(axis_deg: float) -> None:
    tilt = rotations([[0.0, 37.0, 0.0]])
    turned = turn_axis(tilt, axis_deg)[0]
    # on the screen u points right and v down; turning the downward axis clockwise brings it to the left
    axis = np.array([-np.sin(np.deg2rad(axis_deg)), np.cos(np.deg2rad(axis_deg)), 0.0])
    np.testing.assert_allclose(turned @ axis, axis, atol=1e-14)
    vector = Rotation.from_matrix(turned).as_rotvec(degrees=True)
    np.testing.assert_allclose(vector, 37.0 * axis, atol=1e-10)


def test_series_rotations_take_angles_axis_and_given_matrices() -> None:
    np.testing.assert_allclose(series_rotations(_series()), rotations(ANGLES))
    turned = series_rotations(_series(tilt_axis_deg=20.0))
    np.testing.assert_allclose(turned, turn_axis(rotations(ANGLES), 20.0))
    given = rotations(ANGLES[::-1])
    np.testing.assert_allclose(series_rotations(_series(rotations=given)), given)
    np.testing.assert_allclose(series_rotations(_series(rotations=given, tilt_axis_deg=20.0)), turn_axis(given, 20.0))
