"""Withheld tilts: which, that they have no influence, and that their prediction is fair."""

from __future__ import annotations

import numpy as np
import pytest
import tiny

from napari_lot.errors import InputError
from napari_lot.job import Job, withheld_tilts
from napari_lot.lot.withheld import correlation, parted, predicted
from napari_lot.report import make_report
from napari_lot.settings import settings_from_dict
from napari_lot.simulate.images import simulate_series
from napari_lot.simulate.particles import amorphous_sphere

ANGLES = np.linspace(-70, 70, 21)
QUICK = {"threads": 1, "positions_passes": 6, "merge_passes": 3, "refine_passes": 2, "polish_steps": 30}


def settings(**data):
    return settings_from_dict({"model": {"probe": "direct", "elements": ["Pt"]}, "data": data, "solver": QUICK})


@pytest.fixture(scope="module")
def series():
    particle = amorphous_sphere("Pt", 11.0, 2.5, atoms=30, width_A=0.6, seed=3)
    made = simulate_series(particle, ANGLES, 0.4, None, image_shape=(48, 52))
    noise = np.random.default_rng(5).normal(0.1, 0.01, made.images.shape)
    return made.with_changes(images=(made.images + noise).astype(np.float32))


@pytest.fixture(scope="module")
def fitted(series):
    job = Job(series, settings(withhold=5))
    list(job.run())
    return job.result


@pytest.mark.parametrize(
    ("tilts", "every", "expected"), [(12, 5, (2, 7)), (46, 20, (10, 30)), (6, 2, (1, 3, 5)), (9, None, ()), (3, 8, ())]
)
def test_which_tilts(tilts, every, expected):
    assert withheld_tilts(tilts, every) == expected


def test_the_prediction_agrees_as_well_as_the_fit(fitted):
    assert fitted.withheld == (2, 7, 12, 17)
    (r, c), (r_withheld, c_withheld) = fitted.agreement(), fitted.agreement(withheld=True)
    assert r_withheld == pytest.approx(r, rel=0.15)
    assert 0.99 < c_withheld <= 1.0
    assert c_withheld == pytest.approx(c, abs=0.002)
    assert fitted.warnings == ()
    assert f"withheld R {100 * r_withheld:.2f} %" in fitted.message


def test_the_report_keeps_fitted_and_withheld_apart(series, fitted):
    report = make_report(series, fitted, {})
    (r, c), (r_withheld, c_withheld) = fitted.agreement(), fitted.agreement(withheld=True)
    assert (report["r_factor"]["mean"], report["correlation"]["mean"]) == (r, c)
    assert (report["r_withheld"], report["correlation_withheld"]) == (r_withheld, c_withheld)
    assert report["withheld"] == [2, 7, 12, 17]
    assert len(report["correlation"]["per_tilt"]) == len(series)
    kept = [x for t, x in enumerate(report["r_factor"]["per_tilt"]) if t not in (2, 7, 12, 17)]
    assert np.mean(kept) == pytest.approx(r)


def test_withheld_tilts_have_no_influence(series, fitted):
    images = series.images.copy()
    images[list(fitted.withheld)] = np.random.default_rng(0).uniform(0, 1, images[:4].shape)
    job = Job(series.with_changes(images=images), settings(withhold=5))
    list(job.run())
    np.testing.assert_array_equal(job.result.orbitals.positions, fitted.orbitals.positions)
    kept = np.setdiff1d(np.arange(21), fitted.withheld)
    np.testing.assert_array_equal(job.result.r_factor[kept], fitted.r_factor[kept])
    assert job.result.agreement(withheld=True)[1] < 0.1, "noise is not predicted"
    assert "times that of the fitted ones" in job.result.warnings[0]


@pytest.mark.parametrize("kind", ["lsq", "poisson"])
def test_drift_gain_and_background_of_a_withheld_tilt_are_fitted(kind):
    truth = tiny.make_state()
    truth.shifts[1], truth.scale[1], truth.background[1] = (0.7, -0.4), 1.2, 0.5
    problem = tiny.make_problem(truth, kind=kind)
    start = tiny.make_state()
    found = predicted(problem, start, (1,), None, np.zeros(2), 8.0)
    np.testing.assert_allclose(found.shifts, truth.shifts, atol=1e-3)
    np.testing.assert_allclose(found.scale, truth.scale, atol=1e-3)
    np.testing.assert_allclose(found.background, truth.background, atol=1e-3)
    np.testing.assert_array_equal(found.positions, start.positions)
    np.testing.assert_array_equal(start.shifts, 0.0)


def test_excluded_tilts_are_neither_fitted_nor_predicted(series):
    job = Job(series, settings(withhold=5, exclude=(2, 3)))
    assert job.withheld == (7, 12, 17)
    assert job.fitted.excluded == (2, 3, 7, 12, 17)


@pytest.mark.parametrize(("every", "sentence"), [(50, "none of the 21 tilts would be withheld")])
def test_what_cannot_be_withheld(series, every, sentence):
    with pytest.raises(InputError, match=sentence):
        Job(series, settings(withhold=every))


def test_too_few_tilts_are_left(series):
    with pytest.raises(InputError, match="too few tilts are left to fit"):
        Job(series.take([0, 5, 10, 15]), settings(withhold=2))


def test_correlation_counts_usable_pixels_only():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(3, 6, 6)).astype(np.float32)
    b = (2 * a + 1).astype(np.float32)
    b[:, 0] = 100.0
    mask = np.ones(a.shape, bool)
    mask[:, 0] = False
    mask[2] = False
    np.testing.assert_allclose(correlation(a, b, mask), [1, 1, np.nan], atol=1e-6)
    assert (correlation(a, b, None) < 0.5).all()


def test_a_warning_only_where_they_part():
    assert parted(0.2, 0.22) is None
    assert "1.5 times" in parted(0.2, 0.3)
