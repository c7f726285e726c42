"""Equal-slope tomography of Gaussian balls, whose projections are known in closed form."""

from dataclasses import replace

import numpy as np
import pytest
from gaussian_balls import PIXEL_A, Balls, assert_ends_at_poll, error, noisy
from pydantic import ValidationError

from napari_lot.errors import InputError
from napari_lot.physics.geometry import rotations, turn_axis
from napari_lot.settings.voxel_fourier import Est, Genfire
from napari_lot.voxel.fourier.est import est
from napari_lot.voxel.fourier.est_lines import _wedges, measured_lines, place, single_axis
from napari_lot.voxel.fourier.slices import ImageTransforms

SHAPE = (30, 32, 31)
BALLS = Balls.some(radius_A=4.5, sigma_A=0.8)
TRUTH = BALLS.volume(SHAPE)
THETA = np.arange(-68.0, 69.0, 4.0)
WEDGE = BALLS.tilts(THETA, (32, 32))
DRIFT = np.random.default_rng(1).uniform(-2, 2, (len(THETA), 2))


def run(tilts, **settings):
    return list(est(tilts, SHAPE, Est(threads=1, **settings), lambda: None))


def about_y(theta):
    theta = np.asarray(theta, float)
    return rotations(np.stack([0 * theta, theta, 0 * theta], -1))


@pytest.mark.parametrize("turn_deg", [0.0, 33.0])
def test_measured_lines_are_those_of_the_object(turn_deg):
    """Seen from behind, steep from either side; drift, centre, and an axis that is turned in the image."""
    theta = np.array([-170.0, -120, -80, -45, -10, 0, 30, 45, 60, 90, 100, 140, 179])
    matrices = rotations([[0.0, 0.0, turn_deg]])[0] @ about_y(theta)
    shifts = np.random.default_rng(0).uniform(-2, 2, (len(theta), 2))
    tilts = BALLS.tilts(None, (36, 33), (16.7, 18.2), shifts, matrices)
    transforms = ImageTransforms(tilts.images, tilts.center_px, shifts)
    axis = single_axis(matrices)
    assert axis.image_deg == pytest.approx(turn_deg, abs=1e-6)
    assert axis.specimen_deg == pytest.approx(0, abs=1e-6)
    assert np.cos(np.deg2rad(axis.theta_deg - theta)) == pytest.approx(1)
    placed = place(axis.theta_deg, 64, True)
    assert np.abs(placed.slope).max() <= 1 + 1e-12
    slices = TRUTH.transpose(1, 0, 2)
    kinds = measured_lines(transforms, axis, placed, SHAPE, 64, None, PIXEL_A, lambda: None)
    assert sum(kind.values.shape[1] for kind in kinds) == len(theta)
    for kind in kinds:
        expected = kind.transform.forward(slices)
        assert np.abs((kind.values - expected) * (kind.weight > 0)).max() < 2e-3 * np.abs(expected).max()


def test_nearest_lines_and_how_far_off_they_are():
    placed = place(np.array([0.0, 14.0, 45.0, 80.0, 136.0, 194.0]), 8, False)
    assert placed.steep.tolist() == [False, False, False, True, False, False]
    assert placed.slope * 8 == pytest.approx([0, 2, 8, 1, -8, 2])
    by_hand = [0, 14 - np.rad2deg(np.arctan(0.25)), 0, np.rad2deg(np.arctan(8)) - 80, 1]
    assert placed.off_deg == pytest.approx([*np.abs(by_hand), abs(by_hand[1])], abs=1e-6)
    to_line = THETA - np.rad2deg(np.arctan(np.rint(16 * np.tan(np.deg2rad(THETA))) / 16))
    off = np.abs(to_line[np.abs(THETA) < 45]).max()
    assert f"at most {off:.2g} degrees off" in run(WEDGE, iterations=1, placement="nearest", lines=64)[0].message


def test_what_each_line_stands_for():
    full = np.deg2rad(np.arange(-90, 90, 3.0))
    assert _wedges(full) == pytest.approx(np.deg2rad(3))
    part = np.deg2rad(np.arange(-60, 61, 3.0))
    assert _wedges(part) == pytest.approx(np.deg2rad(3))
    assert _wedges(np.concatenate([part, part])) == pytest.approx(np.deg2rad(1.5))
    uneven = np.deg2rad([0.0, 2, 6, 10, 14, 18])
    assert _wedges(uneven)[1:3] == pytest.approx(np.deg2rad([3, 4]))


def test_tilts_all_around_give_the_object_at_once():
    found = run(BALLS.tilts(np.arange(-90, 90, 4.0), (32, 32)), iterations=10, placement="exact")
    assert error(found[0].volume.values, TRUTH) < 0.05
    assert error(found[10].volume.values, TRUTH) < 0.005
    assert found[10].r_factor.max() < 0.005


@pytest.mark.parametrize("settings", [{}, {"acceleration": False}, {"placement": "nearest"}])
def test_the_missing_wedge_is_filled_and_iterates_converge(settings):
    found = run(WEDGE, iterations=40, **settings)
    errors = [error(f.volume.values, TRUTH) for f in found]
    assert errors[0] > 0.3
    assert errors[40] < errors[20] < errors[10] < errors[1] < errors[0]
    assert errors[40] < 0.15 * errors[0]
    assert [f.iteration for f in found] == list(range(41))
    r = [np.mean(found[i].r_factor) for i in (0, 5, 20, 40)]
    assert r == sorted(r, reverse=True)
    assert np.isnan(found[4].r_factor).all()
    assert all((f.volume.values >= 0).all() for f in found[1:])
    assert np.isnan(found[-1].r_free)


def test_acceleration_and_what_is_known_both_help():
    last = error(run(WEDGE, iterations=30)[-1].volume.values, TRUTH)
    assert last < 0.8 * error(run(WEDGE, iterations=30, acceleration=False)[-1].volume.values, TRUTH)
    assert last < 0.2 * error(run(WEDGE, iterations=30, positivity=False, support="none")[-1].volume.values, TRUTH)


def test_exact_slopes_spare_what_the_nearest_line_costs():
    tilts = BALLS.tilts(np.linspace(-71.3, 70.1, 41), (32, 32))
    coarse, nearest, exact = (
        run(tilts, iterations=50, **how)[-1]
        for how in ({"placement": "nearest", "lines": 64}, {"placement": "nearest"}, {})
    )
    assert np.mean(exact.r_factor) < 0.2 * np.mean(coarse.r_factor)
    assert np.mean(exact.r_factor) < 0.3 * np.mean(nearest.r_factor)
    assert error(exact.volume.values, TRUTH) < error(nearest.volume.values, TRUTH)


def test_positivity_makes_less_brightness_of_noise_where_the_origin_counts(monkeypatch):
    held = run(noisy(WEDGE, 0.05), iterations=20)[-1].volume.values.sum() / TRUTH.sum() - 1
    monkeypatch.setattr("napari_lot.voxel.fourier.est_lines.LEAST_AREA", 0.0)
    free = run(noisy(WEDGE, 0.05), iterations=20)[-1].volume.values.sum() / TRUTH.sum() - 1
    assert held < 0.6 * free


@pytest.mark.parametrize(
    ("specimen_deg", "image_deg"), [(0.0, 0.0), (0.01, 0.01), (8.0, 8.0), (90.0, 90.0), (0.0, -25.0), (-8.0, 0.0)]
)
def test_drift_centre_and_an_axis_of_any_direction(specimen_deg, image_deg):
    turns = rotations([[0.0, 0.0, image_deg], [0.0, 0.0, -specimen_deg]])
    matrices = turns[0] @ about_y(THETA) @ turns[1]
    if specimen_deg == image_deg:
        assert matrices == pytest.approx(turn_axis(about_y(THETA), image_deg))
    tilts = BALLS.tilts(None, (36, 34), (16.3, 18.1), DRIFT, matrices)
    before = tilts.images.copy()
    found = run(tilts, iterations=30)[-1]
    assert found.volume.values.shape == SHAPE
    assert error(found.volume.values, TRUTH) < 0.06
    assert np.mean(found.r_factor) < 0.02
    assert (tilts.images == before).all()


def test_the_error_tells_a_wrong_centre():
    right, wrong = (np.mean(run(replace(WEDGE, center_px=(15.5, c)), iterations=20)[-1].r_factor) for c in (15.5, 16.5))
    assert wrong > 4 * right


def test_noise_raises_the_r_factor():
    r = [np.mean(run(noisy(WEDGE, part), iterations=10)[-1].r_factor) for part in (0.0, 0.02, 0.1)]
    assert r[0] < 0.5 * r[1] < 0.25 * r[2]


def test_masked_pixels_show_what_the_volume_shows_there():
    rng = np.random.default_rng(2)
    usable = np.ones(WEDGE.images.shape, bool)
    for t in range(0, len(WEDGE), 3):
        v, u = rng.integers(9, 17, 2)
        usable[t, v : v + 6, u : u + 6] = False
    usable[4] = False
    tilts = replace(WEDGE, images=np.where(usable, WEDGE.images, 0).astype(np.float32), usable=usable)
    before = tilts.images.copy()
    found = run(tilts, iterations=40)[-1]
    taken_for_zeros = run(replace(tilts, usable=None), iterations=40)[-1]
    assert error(found.volume.values, TRUTH) < 0.06
    assert error(taken_for_zeros.volume.values, TRUTH) > 2 * error(found.volume.values, TRUTH)
    assert np.isnan(found.r_factor[4])
    assert np.nanmax(found.r_factor) < 0.05
    assert (tilts.images == before).all()


def test_threads_change_nothing():
    one = run(WEDGE, iterations=3)[-1].volume.values
    two = list(est(WEDGE, SHAPE, Est(threads=2, iterations=3), lambda: None))[-1].volume.values
    assert (one == two).all()


def tilted(psi_theta_phi):
    return BALLS.tilts(np.asarray(psi_theta_phi, float), (32, 32))


def test_other_than_single_axis_series_are_refused():
    with pytest.raises(InputError, match=r"^est: tilt \d is .* degrees off the common tilt axis"):
        next(est(tilted([[0, -40, 0], [0, 0, 0], [0, 40, 0], [30, 0, 0], [-30, 0, 0]]), SHAPE, Est(), lambda: None))
    leaning = BALLS.tilts(None, (32, 32), matrices=about_y(THETA) @ rotations([[10.0, 0.0, 0.0]])[0])
    with pytest.raises(InputError, match=r"^est: the tilt axis leaves the plane of the specimen by 10 degrees"):
        next(est(leaning, SHAPE, Est(), lambda: None))
    conical = BALLS.tilts(None, (32, 32), matrices=rotations([[-10.0, 0.0, 0.0]])[0] @ about_y(THETA))
    with pytest.raises(InputError, match=r"^est: the tilt axis leaves the plane of the images by 10 degrees"):
        next(est(conical, SHAPE, Est(), lambda: None))
    with pytest.raises(InputError, match=r"^est: all tilts are the same"):
        next(est(tilted([[0, 10, 0]] * 3), SHAPE, Est(), lambda: None))


def test_a_wobble_that_does_not_matter_is_let_pass():
    wobble = np.random.default_rng(0).uniform(-0.1, 0.1, (len(THETA), 3)) + np.stack([0 * THETA, THETA, 0 * THETA], -1)
    assert error(run(tilted(wobble), iterations=20)[-1].volume.values, TRUTH) < 0.08


def test_bad_input_is_told_in_a_sentence():
    with pytest.raises(InputError, match=r"^est: the settings are not those of equal-slope tomography"):
        next(est(WEDGE, SHAPE, Genfire(), lambda: None))
    with pytest.raises(InputError, match=r"^est: lines must be a multiple of 4 \(given: 30\); give 28"):
        next(est(WEDGE, SHAPE, Est(lines=30), lambda: None))
    nothing = replace(WEDGE, usable=np.zeros(WEDGE.images.shape, bool))
    with pytest.raises(InputError, match=r"^est: no tilt has a usable pixel"):
        next(est(nothing, SHAPE, Est(), lambda: None))
    for wrong in ({"oversampling": 0.5}, {"lines": 4}, {"iterations": 0}, {"withheld": 0.1}, {"placement": "far"}):
        with pytest.raises(ValidationError):
            Est(**wrong)


def test_poll_ends_it_at_once():
    assert_ends_at_poll(lambda poll: est(WEDGE, SHAPE, Est(threads=2), poll), 150)
