"""P and P^T: each the other's transpose, exact integrals of smooth objects, the same from every loop and library."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from napari_lot.physics.geometry import rotations, turn_axis
from napari_lot.voxel.projection.projector import Projector
from voxel.balls import PIXEL_A, about_y, density, images

FIELD, SHAPE, CENTER = (21, 26), (15, 18, 23), (9.3, 13.8)
SINGLE = about_y(*np.linspace(-88, 85, 9))
GEOMETRIES = {
    "about y": (SINGLE, "along"),
    "axis turned a little": (turn_axis(SINGLE, 1.5), "nearly"),
    "about x": (turn_axis(SINGLE, 90.0), "along"),
    "any": (Rotation.random(9, random_state=2).as_matrix(), "any"),
}


def projector(name, kind=Projector, voxel_A=None, threads=2, **others):
    turns, _ = GEOMETRIES[name]
    shifts = np.random.default_rng(1).normal(0, 1.5, (len(turns), 2))
    return kind(turns, FIELD, PIXEL_A, CENTER, SHAPE, shifts, voxel_A, threads, **others)


def random(seed=0):
    rng = np.random.default_rng(seed)
    return rng.random(SHAPE, np.float32), rng.random((9, *FIELD), np.float32)


def product(a, b):
    return float((a.astype(float) * b.astype(float)).sum())


@pytest.mark.parametrize("name", GEOMETRIES)
@pytest.mark.parametrize("voxel_A", [PIXEL_A, 2 * PIXEL_A])
def test_adjoint_is_the_transpose(name, voxel_A):
    p = projector(name, voxel_A=voxel_A)
    x, y = random()
    assert product(p.project(x), y) == pytest.approx(product(x, p.adjoint(y)), rel=1e-6)
    some = [4, 1]
    assert product(p.project(x, some), y[:2]) == pytest.approx(product(x, p.adjoint(y[:2], some)), rel=1e-6)


@pytest.mark.parametrize("name", GEOMETRIES)
def test_each_geometry_takes_its_own_loops(name):
    ways = [tilt.way for tilt in projector(name)._tilts]
    assert ways.count(GEOMETRIES[name][1]) > len(ways) // 2


@pytest.mark.parametrize("name", ["about y", "axis turned a little"])
def test_the_quick_loops_are_the_general_ones(name, monkeypatch):
    x, y = random()
    quick = projector(name)
    monkeypatch.setattr("napari_lot.voxel.projection.projector._way", lambda place, reach: "any")
    plain = projector(name)
    assert {tilt.way for tilt in plain._tilts} == {"any"}
    np.testing.assert_allclose(quick.project(x), plain.project(x), atol=2e-4)
    np.testing.assert_allclose(quick.adjoint(y), plain.adjoint(y), atol=2e-4)
    np.testing.assert_allclose(quick.backproject(y), plain.backproject(y), atol=2e-4)


@pytest.mark.parametrize("angles", [(0, 0, 0), (0, 45, 0), (0, 90, 0), (-30, 62, 15), (54.7, 45, 0), (170, -20, 100)])
def test_a_smooth_ball_projects_to_its_integral(angles):
    turn, field, shape, center = rotations(angles), (50, 54), (44, 46, 48), (23.2, 28.9)
    place, sigma, shift = np.array([[1.3, -0.8, 0.9]]), 5 * PIXEL_A, np.array([[0.7, -0.4]])
    p = Projector(turn, field, PIXEL_A, center, shape, shift)
    expected = images(place, sigma, turn, field, center, shift)
    found = p.project(density(place, sigma, shape))
    assert np.abs(found - expected).max() < 0.01 * expected.max()


def test_voxels_larger_than_pixels():
    turn, field, shape, center = about_y(-40, 0, 55), (60, 64), (30, 30, 30), (29.2, 33.0)
    place, sigma = np.array([[1.3, -0.8, 0.9]]), 5.0
    p = Projector(turn, field, PIXEL_A, center, shape, voxel_A=2 * PIXEL_A)
    expected = images(place, sigma, turn, field, center, np.zeros((3, 2)))
    found = p.project(density(place, sigma, shape, 2 * PIXEL_A))
    inner = np.abs(np.indices(field).T - np.array(center)).max(-1).T < 14  # farther out the box cuts the ball
    assert np.abs(found - expected)[:, inner].max() < 0.02 * expected.max()


def test_what_lies_outside_the_field_or_the_volume_counts_nothing():
    p = Projector(about_y(30.0), (8, 8), 1.0, (200.0, 3.5), (8, 8, 8))
    assert not p.project(np.ones((8, 8, 8), np.float32)).any()
    assert not p.adjoint(np.ones((1, 8, 8), np.float32)).any()


@pytest.mark.parametrize("shape", [(1, 7, 6), (6, 1, 7), (7, 6, 1), (1, 1, 1)])
def test_flat_volumes(shape):
    turns = rotations([[0, 20, 0], [10, 80, 0], [85, 0, 3]])
    p = Projector(turns, (9, 9), 1.0, (4.2, 4.1), shape, threads=1)
    x, y = np.random.default_rng(0).random(shape, np.float32), np.random.default_rng(1).random((3, 9, 9), np.float32)
    forward = product(p.project(x), y)
    assert forward > 0
    assert forward == pytest.approx(product(x, p.adjoint(y)), rel=1e-5)


def test_the_number_of_threads_changes_nothing():
    x, y = random()
    for name in GEOMETRIES:
        one, three = projector(name, threads=1), projector(name, threads=3)
        np.testing.assert_array_equal(one.project(x), three.project(x))
        np.testing.assert_array_equal(one.adjoint(y), three.adjoint(y))


@pytest.mark.parametrize("name", GEOMETRIES)
def test_backprojection_shows_at_a_voxel_what_the_images_show_there(name):
    from scipy import ndimage

    p = projector(name)
    _, y = random()
    z, v, x = ((np.arange(n) - 0.5 * (n - 1)) for n in SHAPE)
    places = np.stack(np.broadcast_arrays(x, v[:, None], z[:, None, None]), -1)
    expected = np.zeros(SHAPE)
    for image, turn, (du, dv) in zip(y, p.rotations, p.shifts_px, strict=True):
        uv = places @ turn[:2].T
        at = [uv[..., 1] + CENTER[0] + dv + 1, uv[..., 0] + CENTER[1] + du + 1]
        expected += ndimage.map_coordinates(np.pad(image, 1), at, order=1)
    np.testing.assert_allclose(p.backproject(y), expected, atol=2e-4)


@pytest.mark.parametrize("name", GEOMETRIES)
def test_torch_calculates_the_same(name):
    from napari_lot.voxel.projection.projector_torch import TorchProjector

    x, y = random()
    here, there = projector(name), projector(name, TorchProjector, device="cpu")
    np.testing.assert_allclose(there.project(x, [3, 0, 7]), here.project(x, [3, 0, 7]), atol=1e-4)
    before = y.copy()
    np.testing.assert_allclose(there.adjoint(y), here.adjoint(y), atol=1e-4)
    np.testing.assert_array_equal(y, before)


def test_a_card_is_tried_before_it_is_used(monkeypatch):
    from napari_lot.voxel.projection import device
    from napari_lot.voxel.projection.projector_torch import TorchProjector

    assert device._tried("cpu") == ""
    right = TorchProjector.project
    monkeypatch.setattr(TorchProjector, "project", lambda self, values: 1.01 * right(self, values))
    assert "differs" in device._tried("cpu")


def test_poll_ends_a_projection():
    class Enough(Exception):
        pass

    def poll():
        raise Enough

    x, y = random()
    p = projector("any")
    for work in (lambda: p.project(x, poll=poll), lambda: p.adjoint(y, poll=poll), lambda: p.backproject(y, poll=poll)):
        with pytest.raises(Enough):
            work()


def test_scikit_image_projects_alike():
    transform = pytest.importorskip("skimage.transform")
    n, angles = 41, np.array([0.0, 30.0, 75.0, 120.0])
    volume = density(np.array([[2.0, 0.0, -3.0], [-4.0, 0.0, 1.0]]), 1.5, (n, 1, n))
    p = Projector(about_y(*angles), (1, n), PIXEL_A, (0.0, 20.0), (n, 1, n))
    volume[volume < 1e-3] = 0  # it asks for nothing outside a circle
    # with z down its positive turns are ours the other way round
    theirs = PIXEL_A * transform.radon(volume[:, 0], -angles, circle=True)
    np.testing.assert_allclose(p.project(volume)[:, 0].T, theirs, atol=0.02 * theirs.max())


def test_astra_projects_alike():
    astra = pytest.importorskip("astra")
    n, angles = 41, np.array([0.0, 30.0, 75.0, 120.0])
    volume = density(np.array([[2.0, 0.0, -3.0], [-4.0, 0.0, 1.0]]), 1.5, (n, 1, n))
    p = Projector(about_y(*angles), (1, n), PIXEL_A, (0.0, 20.0), (n, 1, n))
    grid = astra.create_vol_geom(n, n)
    rays = astra.create_proj_geom("parallel", 1.0, n, np.deg2rad(angles))  # u = x cos + y sin, with y up: our z
    its = astra.create_projector("linear", rays, grid)
    name, theirs = astra.create_sino(np.ascontiguousarray(volume[::-1, 0]), its)
    astra.data2d.delete(name)
    theirs = PIXEL_A * theirs
    np.testing.assert_allclose(p.project(volume)[:, 0], theirs, atol=1e-3 * theirs.max())
