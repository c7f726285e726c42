"""Levels, centre and hull of objects whose truth is known."""

from dataclasses import replace

import numpy as np
import pytest

from napari_lot.atoms import Orbitals
from napari_lot.lot.hull import Hull, box, grid, make_hull, project
from napari_lot.physics.geometry import rotations
from napari_lot.series import first_look as start
from napari_lot.series.alignment.drift import split_shifts
from napari_lot.simulate.images import simulate_series
from napari_lot.simulate.particles import amorphous_sphere

PIXEL = 0.4
SHAPE = (64, 72)
MIDDLE = (31.5, 35.5)
DRIFT = 2.0  # pixels, from which on it is looked for
ABOUT_Y = np.array([[0.0, theta, 0.0] for theta in np.linspace(-70, 70, 15)])
TWO_AXES = np.concatenate([ABOUT_Y[::2], ABOUT_Y[1::2] + np.array([40.0, 0.0, 0.0])])


@pytest.fixture(scope="module")
def particle():
    return amorphous_sphere("Pt", 13.0, 2.5, atoms=50, width_A=0.6, seed=1)


def images_of(particle, angles=ABOUT_Y, background=0.2, noise=0.02, seed=0):
    """Direct projections on a noisy background, axis in the middle."""
    series = simulate_series(particle, angles, PIXEL, None, image_shape=SHAPE)
    rng = np.random.default_rng(seed)
    return (series.images + background + rng.normal(0, noise, series.images.shape)).astype(np.float32)


# -- levels -------------------------------------------------------------------------------------------------------


def disk():
    v, u = np.indices((80, 80)) - 39.5
    return 30.0 * (v**2 + u**2 < 20**2)


@pytest.mark.parametrize("scene", [np.zeros((80, 80)), disk()], ids=["vacuum", "object"])
@pytest.mark.parametrize("rate", [0.3, 2.0])
def test_levels_of_counted_vacuum(scene, rate):
    images = np.random.default_rng(0).poisson(np.broadcast_to(scene + rate, (15, 80, 80))).astype(np.float32)
    level = start.levels(images, None)
    # 9600 pixels: the mean is known to sqrt(rate / 9600)
    assert level.background == pytest.approx(rate, abs=4 * np.sqrt(rate / 9600))
    assert level.noise == pytest.approx(np.sqrt(rate), rel=0.05)


@pytest.mark.parametrize("scene", [np.zeros((80, 80)), disk()], ids=["vacuum", "object"])
def test_levels_of_gaussian_vacuum(scene):
    images = (scene + np.random.default_rng(1).normal(5.0, 0.7, (15, 80, 80))).astype(np.float32)
    level = start.levels(images, None)
    assert level.background == pytest.approx(5.0, abs=4 * 0.7 / np.sqrt(9600))
    assert level.noise == pytest.approx(0.7, rel=0.05)
    if scene.any():
        assert level.bright == pytest.approx(30.0, rel=0.1)


def test_masked_pixels_have_no_level():
    images = np.random.default_rng(1).normal(5.0, 0.7, (15, 80, 80)).astype(np.float32)
    mask = np.ones(images.shape, bool)
    mask[:, :, :10] = False
    images[:, :, :10] = -100.0
    level = start.levels(images, mask)
    assert level.background == pytest.approx(5.0, abs=0.05)
    assert level.noise == pytest.approx(0.7, rel=0.05)


def test_only_vacuum_shows_nothing(particle):
    noise = np.random.default_rng(1).normal(5.0, 0.7, (15, 80, 80)).astype(np.float32)
    assert not start.shows_anything(noise, None, start.levels(noise, None))
    images = images_of(particle)
    level = start.levels(images, None)
    assert start.shows_anything(images, None, level)
    assert not start.shows_anything(images, np.zeros(images.shape, bool), level)


# -- centre -------------------------------------------------------------------------------------------------------


def shifted(images, dv, du):
    """The same images with the rotation axis that many pixels further down and right."""
    return np.roll(images, (dv, du), (1, 2))


@pytest.mark.parametrize("du", [-4, 0, 3])
def test_an_axis_off_the_middle_is_found(particle, du):
    images = shifted(images_of(particle), 2, du)
    found = start.find_alignment(images, None, rotations(ABOUT_Y), MIDDLE, start.levels(images, None), DRIFT)
    assert found is not None
    assert found.center_px[1] == pytest.approx(MIDDLE[1] + du, abs=0.05)
    # along a single axis a shift is a translation of the object: nothing to be found
    assert found.center_px[0] == pytest.approx(MIDDLE[0], abs=0.05)


def test_two_axes_show_both_coordinates(particle):
    images = shifted(images_of(particle, TWO_AXES), 2, -3)
    found = start.find_alignment(images, None, rotations(TWO_AXES), MIDDLE, start.levels(images, None), DRIFT)
    assert found.center_px == pytest.approx((MIDDLE[0] + 2, MIDDLE[1] - 3), abs=0.1)


def test_an_object_off_the_axis_does_not_move_the_axis(particle):
    away = particle.take(slice(None))
    away.positions[:] += [2.0, -1.0, 1.5]
    try:
        images = images_of(away)
    finally:
        away.positions[:] -= [2.0, -1.0, 1.5]
    found = start.find_alignment(images, None, rotations(ABOUT_Y), MIDDLE, start.levels(images, None), DRIFT)
    assert found.center_px == pytest.approx(MIDDLE, abs=0.05)


def test_tilts_left_out_do_not_move_the_axis(particle):
    images = shifted(images_of(particle), 0, 3)
    mask = np.ones(images.shape, bool)
    mask[4] = False
    images[4] = 0.0  # as the solver sees them
    found = start.find_alignment(images, mask, rotations(ABOUT_Y), MIDDLE, start.levels(images, mask), DRIFT)
    assert found is not None
    assert found.center_px[1] == pytest.approx(MIDDLE[1] + 3, abs=0.05)


def test_the_drift_of_single_tilts_is_found(particle):
    drift = np.random.default_rng(3).normal(0, 4.0, (len(ABOUT_Y), 2)).round()
    still = images_of(particle)
    images = np.stack([np.roll(i, (int(v), int(u)), (0, 1)) for i, (u, v) in zip(still, drift, strict=True)])
    found = start.find_alignment(images, None, rotations(ABOUT_Y), MIDDLE, start.levels(images, None), DRIFT)
    assert found is not None
    # what all tilts share, and along u what follows the cosine and sine of the angle, is a motion of the object
    theta = np.deg2rad(np.array(ABOUT_Y)[:, 1])
    same = np.column_stack([np.ones_like(theta), np.cos(theta), np.sin(theta)])
    motion = same @ np.linalg.pinv(same)
    difference = found.shifts_px - drift
    difference[:, 0] -= motion @ difference[:, 0]
    difference[:, 1] -= difference[:, 1].mean()
    np.testing.assert_allclose(difference, 0, atol=0.1)


def test_what_drift_cannot_tell_is_no_centre():
    """A centre and a translation look nearly alike: large drift leaves the centre where it was."""
    turn = rotations(ABOUT_Y)[:, :2]
    rng = np.random.default_rng(0)
    for drift, certain in ((0.001, True), (3.0, False)):
        shifts = turn @ [0.4, -0.3, 0.2] + [0.6, 0.0] + rng.normal(0, drift, (len(turn), 2))
        move, center = split_shifts(shifts, turn, 0.5)
        if certain:
            np.testing.assert_allclose(move, [0.4, -0.3, 0.2], atol=0.02)
            np.testing.assert_allclose(center, [0.6, 0.0], atol=0.02)
        else:
            assert np.abs(center).max() < 0.3


def test_noise_is_no_drift(particle):
    images = images_of(particle)
    noisy = images + np.random.default_rng(3).normal(0, 0.1 * images.max(), images.shape).astype(np.float32)
    found = start.find_alignment(noisy, None, rotations(ABOUT_Y), MIDDLE, start.levels(noisy, None), DRIFT)
    assert found is not None
    np.testing.assert_array_equal(found.shifts_px, 0)


def film():
    """A slab far wider than the field."""
    points = np.random.default_rng(2).uniform([-45, -20, -4], [45, 20, 4], (900, 3))
    return images_of(Orbitals.create(points, width=0.6))


def test_a_film_has_no_centre():
    images = film()
    assert start.find_alignment(images, None, rotations(ABOUT_Y), MIDDLE, start.levels(images, None), DRIFT) is None


# -- isolated objects ---------------------------------------------------------------------------------------------


def test_what_is_isolated(particle):
    images = images_of(particle)
    level = start.levels(images, None)
    assert start.is_isolated(images, None, level)
    whole = np.ones(images.shape, bool)
    assert start.is_isolated(images, whole, level)

    without_tilt = whole.copy()
    without_tilt[3] = False
    damaged = images.copy()
    damaged[3] = 9.0
    assert start.is_isolated(damaged, without_tilt, level), "a tilt that is left out says nothing"

    part = whole.copy()
    part[:, :10] = False
    assert not start.is_isolated(images, part, level), "masked pixels may hide anything"
    corner = whole.copy()
    corner[:, :4, :4] = False
    damaged = images.copy()
    damaged[:, :4, :4] = 50.0
    assert start.is_isolated(damaged, corner, start.levels(damaged, corner)), "a few hide nothing"
    assert not start.is_isolated(shifted(images, 0, 30), None, level), "cut by the edge of the field"
    assert not start.is_isolated(film(), None, start.levels(film(), None))


# -- hull ---------------------------------------------------------------------------------------------------------


def hull_of(images, mask=None, angles=ABOUT_Y):
    level = start.levels(images, mask)
    return make_hull(images, mask, rotations(angles), PIXEL, MIDDLE, 2.8, level)


def test_the_hull_holds_a_light_adatom_and_no_vacuum(particle):
    adatom = np.array([[0.0, 9.5, 0.0]])
    both = particle.take(np.r_[np.arange(50), 0])
    both.positions[50] = adatom
    both.height[50] = 0.15 * particle.height[0]
    images = images_of(both, noise=0.005)
    hull = hull_of(images)
    assert hull.isolated
    assert hull.contains(both.positions).all()
    away = np.array([[12.0, 0, 0], [0, -12, 0], [0, 0, 12], [9, 9, 0], [4, 9.5, 0], [0, 9.5, -4], [60, 0, 0]])
    assert not hull.contains(away).any()
    points = grid(hull, np.full(3, -14.0), np.full(3, 14.0), 1.2)
    distance = np.linalg.norm(points[:, None] - both.positions, axis=2).min(1)
    assert distance.max() < 6.0
    assert np.linalg.norm(points - adatom, axis=1).min() < 1.2
    # without the adatom its place is vacuum: the test above can fail
    assert not hull_of(images_of(particle, noise=0.005)).contains(adatom).any()


def test_a_masked_place_is_neither_seen_nor_vacuum(particle):
    images = images_of(particle, noise=0.005)
    mask = np.ones(images.shape, bool)
    mask[:, :, 54:] = False
    inside, hidden = np.array([[0.0, 0, 0]]), np.array([[0.0, 20.0, 0]])
    seen, missed = hull_of(images, mask).seen_and_missed(np.concatenate([inside, hidden, [[13.0, 0, 0]]]))
    assert (seen[0], missed[0]) == (15, 0)
    assert (seen[1], missed[1]) == (0, 0), "outside the field"
    plain = hull_of(images).seen_and_missed(np.array([[13.0, 0, 0]]))[0][0]
    assert seen[2] < plain, "where u > 54 nothing is seen"
    mask[:] = False
    mask[7] = True
    assert not hull_of(images, mask).contains(inside).any(), "one tilt is not enough"


def test_a_tilt_left_out_does_not_shape_the_hull(particle):
    images = images_of(particle, noise=0.005)
    mask = np.ones(images.shape, bool)
    mask[5] = False
    points = np.random.default_rng(3).uniform(-13, 13, (4000, 3))
    # the solver sets what may not be used to 0
    empty = np.where(mask, images, 0).astype(np.float32)
    hull = hull_of(empty, mask)
    assert hull.contains(particle.positions).all(), "an empty tilt would have removed everything"
    assert hull.seen_and_missed(points)[0].max() == 14
    others = np.delete(np.arange(15), 5)
    alone = hull_of(images[others], angles=ABOUT_Y[others])
    assert (hull.contains(points) == alone.contains(points)).mean() > 0.999


def test_points_that_are_left_early_are_those_outside(particle):
    mask = np.ones((len(ABOUT_Y), *SHAPE), bool)
    mask[:, :, 50:] = False
    mask[3] = False
    points = np.random.default_rng(3).uniform(-20, 20, (20000, 3))
    for isolated in (False, True):
        hull = replace(hull_of(images_of(particle), mask), isolated=isolated)
        seen, missed = hull.seen_and_missed(points)
        # the definition, by NumPy
        v, u = np.rint(np.stack([project(points, r, PIXEL, MIDDLE) for r in hull.rotations], 1)).astype(int)
        inside = (v >= 0) & (v < SHAPE[0]) & (u >= 0) & (u < SHAPE[1])
        at = (np.arange(len(v))[:, None], np.where(inside, v, 0), np.where(inside, u, 0))
        known = inside & hull.usable[at]
        np.testing.assert_array_equal(seen, known.sum(0))
        np.testing.assert_array_equal(missed, (known & ~hull.silhouettes[at]).sum(0) + isolated * (~inside).sum(0))
        enough = (seen >= max(2, 0.15 * len(v))) & (missed <= 0.04 * seen)
        assert 0 < enough.sum() < len(points)
        np.testing.assert_array_equal(hull.contains(points), enough)


def test_the_grid_has_the_density_of_a_cubic_one(particle):
    hull = hull_of(images_of(particle))
    everywhere = Hull(np.ones_like(hull.silhouettes), np.ones_like(hull.usable), hull.rotations, PIXEL, MIDDLE, False)
    points = grid(everywhere, np.full(3, -6.0), np.full(3, 6.0), 1.0, chunk=500)
    cell = 2 ** (1 / 3)  # of two points
    inner = points[((points > -4.1 * cell) & (points < 3.9 * cell)).all(1)]
    assert len(inner) == 2 * 8**3
    gaps = np.linalg.norm(inner[:, None] - inner, axis=2)
    assert gaps[gaps > 0].min() == pytest.approx(cell * np.sqrt(3) / 2)


def test_the_box_holds_what_enough_tilts_see():
    low, high = box(SHAPE, rotations(ABOUT_Y), PIXEL, MIDDLE, 0.15)
    np.testing.assert_allclose(low, -high)
    assert high[1] == pytest.approx(0.5 * SHAPE[0] * PIXEL, rel=0.02)
    # at 60 and 70 degrees (4 of 15 tilts) a point at x is seen at x cos(60)
    assert high[0] == pytest.approx(0.5 * SHAPE[1] * PIXEL / np.cos(np.deg2rad(60)), rel=0.03)
