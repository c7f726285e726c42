"""A series in RESIRE's conventions, from its files to a volume: where its program puts the points, there they come out.

The oracle uses none of the package's rotations: RESIRE looks at the specimen along the axes of
``R = Rz(phi) Ry(theta) Rx(psi)``, the row is x, the column is y, and index n // 2 is the origin.
"""

import json

import numpy as np
import pytest
import scipy.io
from scipy.spatial.transform import Rotation

from napari_lot.cli.app import run
from napari_lot.export import read_volume

PIXEL_A, SIGMA_PX, FIELD = 0.4, 1.6, (36, 42)
PLACES_A = np.array([[2.1, -1.2, 0.7], [-0.4, 2.6, 1.9], [1.0, 0.3, -2.5], [-2.2, -1.7, -0.6]])
HEIGHTS = np.array([1.0, 1.2, 1.4, 1.6])
ANGLES = np.stack([np.linspace(-6, 8, 25), np.linspace(-72, 72, 25), np.linspace(5, -4, 25)], 1)


def projections():
    """(rows, columns, tilts): integrals of Gaussian balls in closed form."""
    rows, columns = np.mgrid[: FIELD[0], : FIELD[1]]
    found = np.zeros((*FIELD, len(ANGLES)))
    for t, (phi, theta, psi) in enumerate(ANGLES):
        turn = Rotation.from_euler("ZYX", [phi, theta, psi], degrees=True).as_matrix()
        for place, height in zip(PLACES_A, HEIGHTS, strict=True):
            x, y, _ = turn.T @ place / PIXEL_A
            square = (rows - FIELD[0] // 2 - x) ** 2 + (columns - FIELD[1] // 2 - y) ** 2
            found[..., t] += height * np.exp(-square / (2 * SIGMA_PX**2))
    return found


def as_mat(folder):
    scipy.io.savemat(folder / "projections.mat", {"projections": projections(), "angles": ANGLES})
    return [str(folder / "projections.mat")]


def as_npz(folder):
    np.savez(folder / "projections.npz", images=np.moveaxis(projections(), 2, 0))
    np.savetxt(folder / "angles.txt", ANGLES)
    return [str(folder / "projections.npz"), "--angles", str(folder / "angles.txt")]


@pytest.mark.parametrize("write", [as_mat, as_npz])
def test_a_noise_free_series_is_reprojected_and_the_points_lie_where_they_are(write, tmp_path):
    out = tmp_path / "out"
    flags = ["--pixel-size", str(PIXEL_A), "--device", "cpu", "--threads", "2"]
    assert run(["voxel", "resire", *write(tmp_path), "--out", str(out), *flags]) == 0
    report = json.loads((out / "report.json").read_text())
    assert min(report["correlation"]["per_tilt"]) >= 0.999
    assert report["corrections"]["center_px"] == pytest.approx([FIELD[1] // 2, FIELD[0] // 2], abs=1e-3)
    volume = read_volume(out / "volume.mrc")
    index = np.stack(np.indices(volume.values.shape), -1).reshape(-1, 3)
    for place in PLACES_A:
        near = np.linalg.norm(volume.places_A(index) - place, axis=1) < 1.0
        weight = np.maximum(volume.values.reshape(-1)[near], 0) ** 2
        middle = (volume.places_A(index[near]) * weight[:, None]).sum(0) / weight.sum()
        assert np.linalg.norm(middle - place) < 0.25
