"""WBP, ART, SART, SIRT and RESIRE on exact projections: what is published of each, on volumes that are known."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from napari_lot.settings.voxel import Art, Resire, Sart, Sirt, Wbp
from napari_lot.voxel.projection.projector import Projector
from napari_lot.voxel.realspace import weighting
from napari_lot.voxel.realspace.art import art
from napari_lot.voxel.realspace.misfit import correlations, r_factors, residual
from napari_lot.voxel.realspace.order import spread_order
from napari_lot.voxel.realspace.resire import oversampled, resire
from napari_lot.voxel.realspace.sart import sart
from napari_lot.voxel.realspace.sirt import sirt
from napari_lot.voxel.realspace.wbp import wbp
from voxel.balls import PIXEL_A, about_y, density, nothing, some_places, tilts_of

N, SIGMA_A = 28, 1.2
SHAPE = (N, N, N)
PLACES = some_places(radius_A=3.2)
ALL_ROUND = about_y(*np.linspace(-90, 84, 30))
WEDGE = about_y(*np.linspace(-70, 70, 29))
ANY = Rotation.random(30, random_state=1).as_matrix()
HERE = {"device": "cpu", "threads": 2}
ITERATIVE = {
    "art": (art, Art(iterations=8, **HERE)),
    "sart": (sart, Sart(iterations=10, **HERE)),
    "sirt": (sirt, Sirt(iterations=50, **HERE)),
    "resire": (resire, Resire(iterations=60, **HERE)),
}


def last(method, tilts, settings, shape=SHAPE):
    *_, end = method(tilts, shape, settings, nothing)
    return end


def like(found, truth):
    return float(np.corrcoef(found.ravel(), truth.ravel())[0, 1])


def shown(volume, tilts):
    return Projector.of(tilts, volume.values.shape).project(volume.values)


@pytest.fixture(scope="module")
def truth():
    return density(PLACES, SIGMA_A, SHAPE)


# -- all iterative methods ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ITERATIVE)
@pytest.mark.parametrize("turns", [ALL_ROUND, ANY], ids=["single axis", "any directions"])
def test_exact_images_lead_to_the_volume_that_they_show(name, turns, truth):
    method, settings = ITERATIVE[name]
    tilts = tilts_of(PLACES, turns)
    iterates = list(method(tilts, SHAPE, settings, nothing))
    assert [i.iteration for i in iterates] == list(range(1, settings.iterations + 1))
    means = np.array([i.r_factor.mean() for i in iterates])
    assert np.all(np.diff(means) < 1e-3 * means[0]), "R falls with every pass"
    assert means[-1] < 0.02
    volume = iterates[-1].volume
    assert like(volume.values, truth) > 0.999
    # in the unit of the images per Å: the whole is as strong as what the images add up
    assert volume.values.sum() == pytest.approx(truth.sum(), rel=0.01)
    assert volume.voxel_A == PIXEL_A
    assert volume.places_A(np.full((1, 3), 0.5 * (N - 1))) == pytest.approx(np.zeros((1, 3)))


@pytest.mark.parametrize("name", ITERATIVE)
def test_r_factors_are_those_of_the_volume_that_comes_with_them(name):
    method, settings = ITERATIVE[name]
    tilts = tilts_of(PLACES, WEDGE)
    end = last(method, tilts, settings.model_copy(update={"iterations": 3}))
    expected = np.abs(tilts.images - shown(end.volume, tilts)).sum((1, 2)) / tilts.images.sum((1, 2))
    np.testing.assert_allclose(end.r_factor, expected, rtol=1e-3)


@pytest.mark.parametrize("name", ITERATIVE)
def test_rotation_centre_and_drift_are_followed(name, truth):
    method, settings = ITERATIVE[name]
    shifts = np.random.default_rng(3).normal(0, 1.0, (len(ALL_ROUND), 2))
    moved = tilts_of(PLACES, ALL_ROUND, (30, 34), center_px=(12.2, 18.7), shifts_px=shifts)
    known = last(method, moved, settings)
    assert like(known.volume.values, truth) > 0.998
    assert known.r_factor.mean() < 0.03
    still = replace(moved, shifts_px=np.zeros_like(shifts))
    assert last(method, still, settings).r_factor.mean() > 0.2, "drift that is not known does harm"


@pytest.mark.parametrize("name", ITERATIVE)
def test_masked_pixels_do_not_count(name, truth):
    method, settings = ITERATIVE[name]
    tilts = tilts_of(PLACES, ALL_ROUND)
    usable = np.ones(tilts.images.shape, bool)
    usable[::3, 12:18, 10:20] = False
    wrong = np.where(usable, tilts.images, 1e3).astype(np.float32)
    masked = last(method, replace(tilts, images=wrong, usable=usable), settings)
    assert like(masked.volume.values, truth) > 0.999
    assert masked.r_factor.max() < 0.05
    hidden = np.where(usable, tilts.images, 0).astype(np.float32)
    assert like(last(method, replace(tilts, images=hidden), settings).volume.values, truth) < 0.995


@pytest.mark.parametrize("name", ITERATIVE)
def test_positivity_is_a_choice(name):
    method, settings = ITERATIVE[name]
    tilts = tilts_of(PLACES, WEDGE)
    free = last(method, tilts, settings.model_copy(update={"positivity": False}))
    held = last(method, tilts, settings)
    assert held.volume.values.min() >= 0
    assert free.volume.values.min() < -0.02 * free.volume.values.max()


@pytest.mark.parametrize("name", ITERATIVE)
def test_iterates_do_not_change_afterwards(name):
    method, settings = ITERATIVE[name]
    run = method(tilts_of(PLACES, WEDGE), SHAPE, settings, nothing)
    first = next(run)
    before = first.volume.values.copy()
    next(run)
    np.testing.assert_array_equal(first.volume.values, before)
    assert first.volume.values.flags.c_contiguous


@pytest.mark.parametrize("name", [*ITERATIVE, "wbp"])
def test_poll_ends_a_method_within_an_iteration(name):
    method, settings = {**ITERATIVE, "wbp": (wbp, Wbp(**HERE))}[name]
    calls = 0

    def poll():
        nonlocal calls
        calls += 1
        if calls > 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        next(method(tilts_of(PLACES, WEDGE), SHAPE, settings, poll))


# -- each ---------------------------------------------------------------------------------------------------------


def test_resire_reprojects_a_linear_series_to_0_999():
    tilts = tilts_of(PLACES, WEDGE)
    end = last(resire, tilts, Resire(iterations=100, **HERE))
    assert correlations(tilts, shown(end.volume, tilts)).min() > 0.999


def test_resire_does_not_diverge_at_its_longest_step():
    # a slab is met by rays much longer than it is thick
    tilts = tilts_of(np.array([[0.0, 0.0, 0.0], [3.0, 1.0, 0.0]]), about_y(*np.linspace(-75, 75, 21)))
    means = [i.r_factor.mean() for i in resire(tilts, (9, N, N), Resire(iterations=40, step=1.99, **HERE), nothing)]
    assert np.all(np.diff(means) < 0)


def test_resire_leaves_what_lies_beyond_the_object_in_the_margin(truth):
    tilts = tilts_of(PLACES, ALL_ROUND)
    veil = replace(tilts, images=tilts.images + np.float32(0.1))
    narrow, wide = (last(resire, veil, Resire(iterations=60, oversampling=s, **HERE)) for s in (1.0, 1.5))
    assert wide.volume.values.shape == SHAPE
    outside = truth < 0.01
    assert wide.volume.values[outside].mean() < 0.8 * narrow.volume.values[outside].mean()
    assert oversampled((31, 32, 33), 1.5) == (47, 48, 49)


def test_sirt_is_the_weighted_least_squares_of_a_solver():
    # two voxels, three rays: small enough to be solved
    tilts = tilts_of(np.zeros((1, 3)), about_y(-60, 0, 60), (1, 5), 1.0)
    rng = np.random.default_rng(0)
    tilts = replace(tilts, images=rng.random((3, 1, 5), np.float32))
    shape = (2, 1, 2)
    p = Projector.of(tilts, shape)
    columns = [p.project(np.eye(4, dtype=np.float32)[i].reshape(shape)).ravel() for i in range(4)]
    matrix = np.array(columns, float).T
    rows = matrix.sum(1)
    weight = np.where(rows > 0, 1 / np.maximum(rows, 0.05 * rows.max()), 0)
    expected = np.linalg.solve(matrix.T @ (weight[:, None] * matrix), matrix.T @ (weight * tilts.images.ravel()))
    end = last(sirt, tilts, Sirt(iterations=400, relaxation=1.0, positivity=False, **HERE), shape)
    np.testing.assert_allclose(end.volume.values.ravel(), expected, rtol=1e-3)


def test_art_puts_a_single_ray_right_at_once():
    tilts = tilts_of(np.zeros((1, 3)), about_y(25.0, 25.0, 25.0), (1, 1), 1.0)
    end = last(art, tilts, Art(iterations=1, relaxation=1.0, **HERE), (7, 1, 7))
    assert end.r_factor.max() < 1e-5


@pytest.mark.parametrize("turns", [ALL_ROUND, ANY], ids=["lines", "rays"])
def test_art_goes_ray_by_ray(turns):
    """Against Kaczmarz's method on the matrix itself, in the same order."""
    turns, shape, field = turns[:3], (5, 4, 6), (4, 6)
    rng = np.random.default_rng(0)
    tilts = replace(tilts_of(np.zeros((1, 3)), turns, field), images=rng.random((3, *field), np.float32))
    tilts = replace(tilts, shifts_px=np.array([[0.2, 0.3], [0.0, 0.0], [-0.4, 0.1]]))
    p = Projector.of(tilts, shape, 1)
    unit = np.eye(int(np.prod(shape)), dtype=np.float32)
    matrix = np.array([p.project(e.reshape(shape)) for e in unit], float)  # (voxels, T, V, U)
    x, relaxation = np.zeros(len(unit)), 0.7
    for j in spread_order(turns[:, 2]):
        weight = float(p._tilts[j].weight)
        whole = p._tilts[j].place[1, 0] % 1.0 == 0.0
        for u in range(field[1]):
            lines = range(field[0])
            if p._tilts[j].way == "along" and not whole:
                lines = [*range(0, field[0], 2), *range(1, field[0], 2)]
            for v in lines:
                ray = matrix[:, j, v, u]
                square = max(float(ray @ ray), weight**2)
                x += relaxation * (tilts.images[j, v, u] - ray @ x) / square * ray
    end = last(art, tilts, Art(iterations=1, relaxation=relaxation, positivity=False, **HERE), shape)
    np.testing.assert_allclose(end.volume.values.ravel(), x, atol=1e-4)


def test_neighbours_in_the_order_of_tilts_look_far_apart():
    order = spread_order(about_y(*np.linspace(-70, 70, 36))[:, 2])
    assert sorted(order) == list(range(36))
    assert np.abs(np.diff(order)).min() >= 5
    assert sorted(spread_order(ANY[:, 2])) == list(range(len(ANY)))


# -- weighted back-projection -------------------------------------------------------------------------------------


def test_back_projection_of_all_directions_is_the_volume(truth):
    tilts = tilts_of(PLACES, ALL_ROUND)
    end = last(wbp, tilts, Wbp(filter="ramp", **HERE))
    assert like(end.volume.values, truth) > 0.998
    assert np.vdot(end.volume.values, truth) / np.vdot(truth, truth) == pytest.approx(1.0, abs=0.03)
    exact = last(wbp, tilts, Wbp(filter="ramp", weighting="exact", **HERE)).volume.values
    inside = truth > 0.02  # around the object its rays end in a halo
    assert like(exact[inside], truth[inside]) > 0.99
    assert np.vdot(exact, truth) / np.vdot(truth, truth) == pytest.approx(1.0, abs=0.1)


def test_exact_weights_serve_any_directions(truth):
    tilts = tilts_of(PLACES, ANY)
    end = last(wbp, tilts, Wbp(filter="ramp", **HERE))
    assert like(end.volume.values, truth) > 0.98
    assert np.vdot(end.volume.values, truth) / np.vdot(truth, truth) == pytest.approx(1.0, abs=0.1)
    # a ramp of one axis does not
    assert like(last(wbp, tilts, Wbp(filter="ramp", weighting="ramp", **HERE)).volume.values, truth) < 0.97


@pytest.mark.parametrize("axis", [0.0, 37.0, 90.0])
def test_the_ramp_follows_the_tilt_axis(axis, truth):
    from napari_lot.physics.geometry import turn_axis

    tilts = tilts_of(PLACES, turn_axis(ALL_ROUND, axis))
    assert like(last(wbp, tilts, Wbp(filter="ramp", **HERE)).volume.values, truth) > 0.998


@pytest.mark.parametrize("most_deg", [50, 60, 70])
def test_a_missing_wedge_draws_out_along_the_beam_as_radermacher_says(most_deg):
    """Widths at the peak: sqrt((a + sin a cos a) / (a - sin a cos a)), Radermacher & Hoppe (1980)."""
    n = 81
    tilts = tilts_of(np.zeros((1, 3)), about_y(*np.arange(-most_deg, most_deg + 1.0)), (n, n), 4.0)
    values = last(wbp, tilts, Wbp(filter="ramp", **HERE), (n, 1, n)).volume.values[:, 0]
    # curvatures at the peak; not by the peak itself, the one place where no image is interpolated
    away = np.arange(1, 11)
    design = np.stack([away**power for power in (0, 2, 4, 6)], -1).astype(float)
    curvature = [
        np.linalg.lstsq(design, 0.5 * (line[40 + away] + line[40 - away]), rcond=None)[0][1]
        for line in (values[:, 40], values[40])
    ]
    a = np.deg2rad(most_deg + 0.5)  # each tilt stands for a degree
    expected = np.sqrt((a + np.sin(a) * np.cos(a)) / (a - np.sin(a) * np.cos(a)))
    assert np.sqrt(curvature[1] / curvature[0]) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("kind", ["hann", "cosine"])
def test_filters_damp_noise(kind):
    tilts = tilts_of(PLACES, ALL_ROUND)
    noise = replace(tilts, images=np.random.default_rng(0).normal(size=tilts.images.shape).astype(np.float32))
    ramp = last(wbp, noise, Wbp(filter="ramp", **HERE)).volume.values.std()
    assert last(wbp, noise, Wbp(filter=kind, **HERE)).volume.values.std() < 0.7 * ramp
    assert last(wbp, noise, Wbp(filter="ramp", cutoff=0.5, **HERE)).volume.values.std() < 0.6 * ramp


def test_masked_pixels_are_filled_before_the_filter():
    tilts = tilts_of(PLACES, ALL_ROUND)
    usable = np.random.default_rng(0).random(tilts.images.shape) > 0.02
    wrong = replace(tilts, images=np.where(usable, tilts.images, 50).astype(np.float32), usable=usable)
    whole, masked = last(wbp, tilts, Wbp(**HERE)), last(wbp, wrong, Wbp(**HERE))
    assert like(masked.volume.values, whole.volume.values) > 0.99


def test_tilts_stand_for_the_angles_between_them():
    def degrees(*angles):
        turns = about_y(*angles)
        axis = weighting.single_axis(turns)
        assert np.abs(axis) == pytest.approx([0, 1, 0], abs=1e-9)
        return np.rad2deg(weighting.angular_weights(turns, axis))

    assert degrees(-60, -40, -20, 0, 20, 40, 60) == pytest.approx(np.full(7, 20.0)), "half the gap on both sides"
    assert degrees(*np.arange(-90, 90, 10)) == pytest.approx(np.full(18, 10.0)), "all round"
    assert degrees(0, 10, 30, 40, 50, 60) == pytest.approx([10, 15, 15, 10, 10, 10])
    assert weighting.single_axis(ANY) is None


def test_scikit_image_back_projects_alike():
    transform = pytest.importorskip("skimage.transform")
    n, angles = 41, np.linspace(-90, 87, 60)
    places = np.array([[2.0, 0.0, -3.0], [-4.0, 0.0, 1.0]])
    tilts = tilts_of(places, about_y(*angles), (25, n), 1.2)
    found = last(wbp, tilts, Wbp(filter="ramp", **HERE), (n, 3, n)).volume.values[:, 1]
    theirs = transform.iradon(tilts.images[:, 12].T / PIXEL_A, -angles, filter_name="ramp", circle=True)
    v, u = np.indices((n, n)) - 20
    inside = np.hypot(v, u) < 18
    np.testing.assert_allclose(found[inside], theirs[inside], atol=0.03 * theirs.max())


def test_astra_s_sirt_alike():
    astra = pytest.importorskip("astra")
    n, angles = 31, np.linspace(-70, 70, 29)
    tilts = tilts_of(np.array([[2.0, 0.0, -2.0], [-2.0, 0.0, 1.0]]), about_y(*angles), (1, n), 1.2, (0.0, 15.0))
    grid = astra.create_vol_geom(n, n)
    rays = astra.create_proj_geom("parallel", 1.0, n, np.deg2rad(angles))
    pair = astra.create_projector("linear", rays, grid)
    data = astra.data2d.create("-sino", rays, tilts.images[:, 0] / PIXEL_A)
    volume = astra.data2d.create("-vol", grid, 0.0)
    what = astra.astra_dict("SIRT")
    what |= {"ProjectorId": pair, "ProjectionDataId": data, "ReconstructionDataId": volume}
    what["option"] = {"MinConstraint": 0.0}
    run = astra.algorithm.create(what)
    astra.algorithm.run(run, 60)
    theirs = astra.data2d.get(volume)[::-1]
    found = last(sirt, tilts, Sirt(iterations=60, relaxation=1.0, **HERE), (n, 1, n)).volume.values[:, 0]
    assert like(found, theirs) > 0.999
    np.testing.assert_allclose(found, theirs, atol=0.05 * theirs.max())


def test_r_factors_of_nothing_are_unknown():
    tilts = tilts_of(PLACES, WEDGE[:3])
    empty = replace(tilts, images=np.zeros_like(tilts.images))
    assert np.isnan(r_factors(empty, residual(empty, tilts.images))).all()
    assert np.isnan(correlations(empty, tilts.images)).all()
