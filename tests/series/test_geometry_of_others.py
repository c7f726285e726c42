"""RESIRE's and GENFIRE's geometry: points are projected by their documented convention, then located with ours.

The oracle uses none of the package's rotations: RESIRE samples the volume at ``R [x', y', z']`` with
``R = Rz(phi) Ry(theta) Rx(psi)``; GENFIRE places the Fourier sample (kx, ky, 0) at ``R^T k`` with the passive ZYZ
matrix.
In both the row is x, the column is y, and index n // 2 is the origin.
"""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from napari_lot.errors import InputError
from napari_lot.physics.geometry import series_rotations
from napari_lot.series import read_series
from napari_lot.series.angles import angles_from_rotations, to_lot_angles
from series.writers import write_mat5, write_mat73, write_tiff

N_ROWS, N_COLUMNS, PIXEL_A = 40, 46, 0.4
ANGLES = np.array(  # phi, theta, psi: nothing small, nothing symmetric
    [
        [0.0, -63.0, 0.0],
        [10.0, -40.0, 5.0],
        [-7.0, -11.0, 12.0],
        [33.0, 20.0, -8.0],
        [-20.0, 55.0, 70.0],
        [5.0, 118.0, -9.0],
    ]
)
POINTS_A = np.array([[2.1, -1.2, 0.7], [-0.4, 2.6, 1.9], [1.0, 0.3, -2.5], [-2.2, -1.7, -0.6]])
HEIGHTS = np.array([1.0, 2.0, 3.0, 4.0])


def resire_matrix(phi: float, theta: float, psi: float) -> NDArray[np.float64]:
    """Image axes in terms of the specimen: uvw = R^T xyz."""
    return (
        (
            Rotation.from_rotvec([0, 0, phi], degrees=True)
            * Rotation.from_rotvec([0, theta, 0], degrees=True)
            * Rotation.from_rotvec([psi, 0, 0], degrees=True)
        )
        .as_matrix()
        .T
    )


def genfire_matrix(phi: float, theta: float, psi: float) -> NDArray[np.float64]:
    """GENFIRE's printed matrix, element by element: uvw = R xyz."""
    (cf, ct, cp), (sf, st, sp) = np.cos(np.deg2rad([phi, theta, psi])), np.sin(np.deg2rad([phi, theta, psi]))
    return np.array(
        [
            [cp * ct * cf - sp * sf, cp * ct * sf + sp * cf, -cp * st],
            [-sp * ct * cf - cp * sf, -sp * ct * sf + cp * cf, sp * st],
            [st * cf, st * sf, ct],
        ]
    )


MATRICES = {"resire": resire_matrix, "genfire": genfire_matrix}


def their_projections(geometry: str) -> NDArray[np.float64]:
    """(rows, columns, tilts): row = x + n_rows // 2, column = y + n_columns // 2."""
    rows, columns = np.mgrid[:N_ROWS, :N_COLUMNS]
    images = np.zeros((N_ROWS, N_COLUMNS, len(ANGLES)))
    for t, angles in enumerate(ANGLES):
        x, y, _ = (MATRICES[geometry](*angles) @ POINTS_A.T) / PIXEL_A
        for row, column, height in zip(x + N_ROWS // 2, y + N_COLUMNS // 2, HEIGHTS, strict=True):
            images[..., t] += height * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 2.0)
    return images


def assert_our_frame_finds_the_points(series) -> None:
    assert series.images.shape == (len(ANGLES), N_COLUMNS, N_ROWS)  # row became u
    assert series.center_px == (N_COLUMNS // 2, N_ROWS // 2)
    seen = series_rotations(series) @ POINTS_A.T / series.pixel_size_A
    row, column = series.center_px
    clear = 0
    for t, image in enumerate(series.images):
        u, v = seen[t, 0] + column, seen[t, 1] + row
        expected = np.zeros_like(image)
        grid_v, grid_u = np.mgrid[: image.shape[0], : image.shape[1]]
        for a, b, height in zip(v, u, HEIGHTS, strict=True):
            expected += height * np.exp(-((grid_v - a) ** 2 + (grid_u - b) ** 2) / 2.0)
        np.testing.assert_allclose(image, expected, atol=1e-5)
        mirrored = scipy.ndimage.shift(expected[:, ::-1], (0, 2 * column - image.shape[1] + 1), order=1)
        clear += float(np.abs(image - mirrored).max()) > 0.1
    assert clear == len(series)  # a reflection would have been noticed


@pytest.mark.parametrize("write", [write_mat5, write_mat73])
@pytest.mark.parametrize(
    ("geometry", "name"), [("resire", "angles"), ("resire", "Angles"), ("genfire", "Euler_angles")]
)
def test_points_land_where_their_program_put_them(write, geometry, name, tmp_path):
    path = write(tmp_path, {"projections": their_projections(geometry), name: ANGLES})
    series = read_series(path, pixel_size_A=PIXEL_A)
    assert series.metadata["geometry"] == geometry
    assert any("images transposed" in w for w in series.warnings)
    assert_our_frame_finds_the_points(series)


def test_angles_in_a_file_of_their_own(tmp_path):
    """RESIRE's usual pair: projections.mat and angles.mat."""
    import scipy.io

    path = write_mat5(tmp_path, {"projections": their_projections("resire")})
    scipy.io.savemat(tmp_path / "angles.mat", {"angles": ANGLES})
    assert_our_frame_finds_the_points(read_series(path, pixel_size_A=PIXEL_A))


def test_resire_columns_as_text_beside_a_tiff(tmp_path):
    stack = np.moveaxis(their_projections("resire"), 2, 0).astype(np.float32)
    path = write_tiff(tmp_path, stack)
    (tmp_path / "angles.txt").write_text("\n".join(" ".join(f"{a:.6f}" for a in row) for row in ANGLES))
    assert_our_frame_finds_the_points(read_series(path, pixel_size_A=PIXEL_A))


def test_geometry_named_by_the_caller(tmp_path):
    stack = np.moveaxis(their_projections("genfire"), 2, 0).astype(np.float32)
    path = write_tiff(tmp_path, stack)
    series = read_series(path, angles=ANGLES, pixel_size_A=PIXEL_A, geometry="genfire")
    assert_our_frame_finds_the_points(series)
    with pytest.raises(AssertionError):  # and the two geometries are not the same thing
        assert_our_frame_finds_the_points(read_series(path, angles=ANGLES, pixel_size_A=PIXEL_A, geometry="resire"))


def test_mask_is_turned_with_the_images(tmp_path):
    projections = their_projections("resire")
    mask = np.ones(projections.shape[:2], np.uint8)
    mask[3, 8] = 0
    path = write_mat5(tmp_path, {"projections": projections, "angles": ANGLES})
    series = read_series(path, pixel_size_A=PIXEL_A, mask=mask)
    assert series.mask is not None
    assert not series.mask[:, 8, 3].any()
    assert series.mask.sum() == series.mask.size - len(ANGLES)


def test_callers_centre_is_in_the_images_as_shown(tmp_path):
    path = write_mat5(tmp_path, {"projections": their_projections("resire"), "angles": ANGLES})
    assert read_series(path, pixel_size_A=PIXEL_A, center_px=(22.5, 19.5)).center_px == (22.5, 19.5)


def test_our_angles_with_their_images_leave_the_rows_alone(tmp_path):
    (tmp_path / "ours.csv").write_text("psi_deg,theta_deg,phi_deg\n" + "\n".join(f"0,{a},0" for a in ANGLES[:, 1]))
    path = write_mat5(tmp_path, {"projections": their_projections("resire"), "angles": ANGLES})
    series = read_series(path, angles=tmp_path / "ours.csv", pixel_size_A=PIXEL_A)
    assert series.images.shape == (len(ANGLES), N_ROWS, N_COLUMNS)
    assert series.center_px == ((N_ROWS - 1) / 2, (N_COLUMNS - 1) / 2)
    np.testing.assert_array_equal(series.angles_deg[:, 1], ANGLES[:, 1])


@pytest.mark.parametrize("geometry", ["resire", "genfire"])
def test_angles_survive_conversion_for_any_orientation(geometry):
    angles = np.random.default_rng(0).uniform(-180, 180, (300, 3))
    angles[:4, 1] = [90, -90, 0, 180]
    angles[4:6] = [[10, 90, 0], [0, -90, 20]]
    ours = to_lot_angles(angles, geometry)
    again = Rotation.from_euler("xyz", ours, degrees=True).as_matrix()  # extrinsic x, y, z: Rz Ry Rx
    np.testing.assert_allclose(again, [MATRICES[geometry](*a) for a in angles], atol=1e-9)


def test_a_single_axis_series_keeps_its_plain_form():
    thetas = np.arange(0.0, -180.0, -3.0)
    ours = to_lot_angles(np.stack([0 * thetas, -thetas, 0 * thetas], axis=1), "resire")
    np.testing.assert_allclose(ours, np.stack([0 * thetas, thetas, 0 * thetas], axis=1), atol=1e-9)


def test_gimbal_lock_keeps_the_matrix():
    matrices = Rotation.from_euler("xyz", [[12.0, 90.0, 30.0], [5.0, -90.0, 40.0]], degrees=True).as_matrix()
    again = Rotation.from_euler("xyz", angles_from_rotations(matrices), degrees=True).as_matrix()
    np.testing.assert_allclose(again, matrices, atol=1e-9)


def test_an_unknown_layout_of_angles_is_refused(tmp_path):
    path = write_mat5(tmp_path, {"projections": their_projections("resire"), "angles": ANGLES[:, :2]})
    with pytest.raises(InputError, match="give theta, or psi, theta and phi, for each tilt"):
        read_series(path, pixel_size_A=PIXEL_A)
