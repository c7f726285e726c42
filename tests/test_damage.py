"""Repeated tilts: what noise and drift alone do is not called a change; few atoms that moved are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from napari_lot.analysis.damage import check_damage, find_repeats
from napari_lot.analysis.difference import compare_images
from napari_lot.cli.app import run
from napari_lot.series import TiltSeries
from napari_lot.series.detector import Detector
from napari_lot.simulate.images import Recording, simulate_series, with_cross_section
from napari_lot.simulate.particles import amorphous_sphere

DOSE = 1.6e5
THETAS = np.array([0.0, -60, -30, 30, 60, 0])
DRAWS = 20
DETECTOR = {"gain": 120.0, "offset": 50.0, "read": 100.0}


@pytest.fixture(scope="module")
def silicon():
    return with_cross_section(amorphous_sphere("Si", 28.0, 2.4, atoms=400, width_A=0.6, seed=1), 0.0017)


@pytest.fixture(scope="module")
def damaged(silicon):
    """3 % of the atoms moved by 1 Å, and 3 % of them away."""
    rng = np.random.default_rng(0)
    some = rng.permutation(400)[:12]
    moved = silicon.positions.copy()
    way = rng.normal(size=(12, 3))
    moved[some] += way / np.linalg.norm(way, axis=1)[:, None]
    return {
        "moved": replace(silicon, positions=moved),
        "removed": silicon.take(np.setdiff1d(np.arange(400), some)),
    }


@pytest.fixture(scope="module")
def rates(silicon, damaged):
    """Electrons expected of every specimen at every tilt, drift of 0.5 Å and current of 2 % differing, noise-free."""

    def of(orbitals, seed):
        recording = Recording(drift_A=0.5, current_spread=0.02, seed=seed)
        made = simulate_series(orbitals, THETAS, 0.35, None, image_shape=(96, 100), recording=recording, threads=1)
        return DOSE * 0.35**2 * made.images.astype(float)

    return {name: [of(o, seed) for seed in range(4)] for name, o in {"same": silicon, **damaged}.items()}


def recorded(rates, what, seed, detector=False, background=0.0):
    expected = rates["same"][seed % 4].copy()
    expected[-1] = rates[what][seed % 4][-1]
    rng = np.random.default_rng(100 + seed)
    images = rng.poisson(expected + background).astype(float)
    if detector:
        images = DETECTOR["offset"] + DETECTOR["gain"] * images + rng.normal(0, DETECTOR["read"], images.shape)
    return TiltSeries(images, THETAS, 0.35, counts=not detector)


KNOWN = Detector(DETECTOR["gain"], DETECTOR["offset"], (DETECTOR["read"] / DETECTOR["gain"]) ** 2)
WAYS = {"counts": (False, Detector()), "gain known": (True, KNOWN), "gain unknown": (True, None)}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("background", [0.0, 30.0])
def test_noise_and_drift_are_no_change(rates, way, background):
    with_detector, known = WAYS[way]
    found = [check_damage(recorded(rates, "same", s, with_detector, background), known) for s in range(DRAWS)]
    assert sum(bool(f.changed) for f in found) <= 1
    assert "no change of the specimen beyond noise between tilts 0 and 5" in found[0].verdict
    chi2 = np.mean([f.pairs[0][2].chi2_per_pixel for f in found])
    assert chi2 == pytest.approx(1.0, abs=0.06)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("what", ["moved", "removed"])
def test_few_atoms_that_changed_are_found(rates, what, way):
    with_detector, known = WAYS[way]
    for seed in range(4):
        found = check_damage(recorded(rates, what, seed, with_detector), known)
        assert found.changed
        assert "changed between tilt 0 and tilt 5" in found.verdict


def test_where_a_change_is(rates):
    """The peak of the difference lies where the expected images differ most."""
    series = recorded(rates, "removed", 1)
    place = check_damage(series, Detector()).pairs[0][2].place
    change = np.abs(ndimage.gaussian_filter(rates["removed"][1][-1] - rates["same"][1][-1], 2.0))
    assert change[place] > 0.5 * change.max()


def test_shift_and_scale_are_found(silicon):
    recording = Recording(drift_A=0.5, current_spread=0.05, dose_e_per_A2=DOSE, seed=3)
    made = simulate_series(silicon, THETAS, 0.35, None, image_shape=(96, 100), recording=recording, threads=1)
    (pair,) = check_damage(made, Detector()).pairs
    shift, current = made.metadata["shifts_px"], made.metadata["current"]
    np.testing.assert_allclose(pair[2].shift_px, shift[5] - shift[0], atol=0.02)
    change = current[5] / current[0] - 1
    assert abs(pair[2].intensity_change - change) < 4 * pair[2].intensity_sigma
    assert pair[2].intensity_sigma < 0.01


def test_distortion_of_a_scan_is_no_change(rates):
    expected = rates["same"][0][[0, 0]]
    v, u = np.mgrid[:96, :100].astype(float)
    expected[1] = ndimage.map_coordinates(expected[1], [v + 0.006 * (u - 50), u - 0.005 * (v - 48)], order=5)
    images = np.random.default_rng(2).poisson(np.maximum(expected, 0) + 20.0).astype(np.float32)
    use = np.ones(images[0].shape, bool)
    assert compare_images(images[0], images[1], (use, use), (1.0, 0.0, 0.0)).p_value > 1e-3


def test_masked_pixels_do_not_matter(rates):
    series = recorded(rates, "same", 2)
    images, mask = series.images.copy(), np.ones(series.images.shape, bool)
    images[0, 30:40, 50:60], images[5, 60:64, 20:30] = 1e4, 0
    assert check_damage(series.with_changes(images=images), Detector()).changed is not False
    mask[0, 30:40, 50:60] = mask[5, 60:64, 20:30] = False
    assert check_damage(series.with_changes(images=images, mask=mask), Detector()).changed is False


def test_the_gain_is_estimated_from_repeats(rates):
    every = [check_damage(recorded(rates, "same", s, True), None).gain for s in range(12)]
    found = np.array([gain for gain in every if gain is not None])
    assert len(found) >= 10
    assert found.mean() == pytest.approx(DETECTOR["gain"], rel=0.05)
    assert found.std() < 0.15 * DETECTOR["gain"]
    assert check_damage(recorded(rates, "same", 0), Detector()).gain is None, "known"
    series = recorded(rates, "same", 0, True)
    images = series.images.copy()
    images[5] = images[0]
    assert check_damage(series.with_changes(images=images), None).gain is None, "one image twice has no noise"


def test_what_cannot_be_told(rates):
    series = recorded(rates, "moved", 0)
    assert check_damage(series.take([0, 1, 2, 3]), Detector()).changed is None
    assert "no orientation is repeated" in check_damage(series.exclude(5), Detector()).verdict
    denoised = check_damage(series, None, denoised=True)
    assert denoised.changed is None
    assert "denoised" in denoised.verdict
    wrong = series.with_changes(angles_deg=np.array([0.0, -2, 30, 40, 60, 30])).take([2, 1, 3, 4, 5])
    assert check_damage(wrong, Detector()).changed is not False


def test_one_angle_on_two_different_views(silicon):
    views = np.array([0.0, 2.0, 40.0, 60.0])
    recording = Recording(dose_e_per_A2=DOSE)
    made = simulate_series(silicon, views, 0.35, None, image_shape=(96, 100), recording=recording, threads=1)
    found = check_damage(made.with_changes(angles_deg=np.array([0.0, 2.0, 40.0, 0.0])), Detector())
    assert found.changed is None
    assert "tilts 0 and 3 have one angle, yet are less alike than neighbouring tilts" in found.verdict


def test_a_copy_of_an_image_is_no_evidence(rates):
    made = recorded(rates, "moved", 0)
    images = made.images.copy()
    first, other = find_repeats(made)[0]
    images[other] = images[first]
    found = check_damage(made.with_changes(images=images), Detector())
    assert found.changed is None
    assert f"tilts {first} and {other} are equal to the last digit" in found.verdict


def test_which_tilts_are_repeats():
    images = np.random.default_rng(0).random((7, 20, 20))
    thetas = [0.0, 0.05, 30, 60, 30.2, 0, 60]
    series = TiltSeries(images, thetas, 0.3)
    assert find_repeats(series) == ((0, 1, 5), (3, 6))
    assert find_repeats(series.exclude(6, 1)) == ((0, 5),)
    turned = [[10, 20, 30], [0, 5, 0], [10, 20, 30.05], [0, 7, 0], [0, 9, 0], [0, 11, 0], [0, 13, 0]]
    assert find_repeats(TiltSeries(images, turned, 0.3)) == ((0, 2),)


def test_info_tells(rates, tmp_path, capsys):
    series = recorded(rates, "removed", 1, True, 30.0)
    path = tmp_path / "series.npz"
    np.savez(path, images=series.images, angles_deg=series.angles_deg, pixel_size_A=0.35)
    assert run(["info", str(path)]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "changed between tilt 0 and tilt 5" in told
    assert "units per electron" in told
    assert "least squares: nothing says" in told
    assert run(["info", str(path), "--set", "data.gain=120", "--set", "data.offset=50"]) == 0
    assert "Poisson likelihood: the detector's gain is given" in " ".join(capsys.readouterr().out.split())
    assert run(["info", str(path), "--set", "data.gain=-1"]) == 2
