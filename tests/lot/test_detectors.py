"""Whole fits of what a detector records, and tilts that count more or less than others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch

from napari_lot.errors import InputError
from napari_lot.job import Job
from napari_lot.lot.adaptive import fit_correction
from napari_lot.lot.evidence import Evidence
from napari_lot.lot.hull import Hull
from napari_lot.lot.likelihood import loss
from napari_lot.lot.precision import error_bars
from napari_lot.lot.problem import Problem
from napari_lot.report import make_report, to_plain
from napari_lot.series import TiltSeries
from napari_lot.settings import Solver, settings_from_dict
from napari_lot.simulate.images import Recording, simulate_series, with_cross_section
from napari_lot.simulate.particles import amorphous_sphere

ANGLES = np.linspace(-70, 70, 15)
GAIN, OFFSET = 40.0, 900.0


@pytest.fixture(scope="module")
def particle():
    return with_cross_section(amorphous_sphere("Pt", 11.0, 2.5, atoms=30, width_A=0.6, seed=3), 0.02)


@pytest.fixture(scope="module")
def counts(particle):
    recording = Recording(dose_e_per_A2=2e4, background=2.0)
    return simulate_series(particle, ANGLES, 0.4, None, image_shape=(48, 52), recording=recording, threads=1)


def fitted(series, particle, likelihood="auto", **data):
    settings = settings_from_dict(
        {
            "model": {"probe": "direct", "elements": ["Pt"], "likelihood": likelihood},
            "data": data,
            "solver": {"threads": 1, "tolerance": 1e-10, "fix": ["center", "shifts"]},
        }
    )
    job = Job(series, settings, particle)
    messages = [snapshot.message for snapshot in job.run()]
    assert len(job.result.orbitals) == len(particle)
    order = np.argsort(job.result.orbitals.id)
    return job.result, job.result.orbitals.positions[order], messages


def read_out(counts, read_noise=0.0):
    noise = np.random.default_rng(7).normal(0, read_noise, counts.images.shape) if read_noise else 0.0
    return TiltSeries(OFFSET + GAIN * counts.images + noise, ANGLES, 0.4)


def test_units_of_a_detector_make_no_difference(counts, particle):
    ours, positions, _ = fitted(counts, particle)
    series = read_out(counts)
    theirs, same, messages = fitted(series, particle, gain=GAIN, offset=OFFSET)
    np.testing.assert_allclose(same, positions, atol=1e-4)
    np.testing.assert_allclose(theirs.sigma_A, ours.sigma_A, rtol=1e-3)
    np.testing.assert_allclose(theirs.orbitals.height, GAIN * ours.orbitals.height, rtol=1e-4)
    np.testing.assert_allclose(theirs.background, OFFSET + GAIN * ours.background, rtol=1e-5)
    np.testing.assert_allclose(theirs.calculated, OFFSET + GAIN * ours.calculated, rtol=1e-4)
    np.testing.assert_array_equal(theirs.residual, series.images - theirs.calculated)
    np.testing.assert_allclose(theirs.r_factor, ours.r_factor, rtol=1e-3)
    assert "fitted by Poisson likelihood: the detector's gain is given" in messages[0]
    report = make_report(series, theirs, {})
    assert report["likelihood"]["kind"] == "poisson"
    assert "(value − 900) / 40" in report["likelihood"]["why"]
    assert report["damage"]["changed"] is None


def test_read_noise_is_part_of_the_noise(counts, particle):
    """Told, the residual is as large as it should be; not told, it is larger, and the error bars are widened for it."""
    series = read_out(counts, 6.0 * GAIN)
    told, positions, _ = fitted(series, particle, gain=GAIN, offset=OFFSET, read_noise=6.0 * GAIN)
    silent, _, _ = fitted(series, particle, gain=GAIN, offset=OFFSET)
    assert told.details["error_bar_inflation"] == pytest.approx(1.0, abs=0.05)
    assert silent.details["error_bar_inflation"] > 1.3
    np.testing.assert_allclose(told.background, OFFSET + 2.0 * GAIN, atol=0.5 * GAIN)
    away = (positions - particle.positions)[np.argsort(particle.id)]
    scores = (away - away.mean(0)) / told.sigma_A[np.argsort(told.orbitals.id)]
    assert np.sqrt((scores**2).mean()) == pytest.approx(1.0, abs=0.25)


def test_values_below_zero_do_not_bias_the_rate():
    """Read noise takes some shifted values below zero: the derivative by the rate still vanishes at the truth."""
    rng = np.random.default_rng(0)
    shifted = rng.poisson(0.3, 400_000) + rng.normal(0, 0.7, 400_000) + 0.7**2
    assert (shifted < 0).mean() > 0.05
    rate = torch.tensor(0.3 + 0.49, dtype=torch.float64, requires_grad=True)
    total = loss("poisson", rate.expand(len(shifted)), torch.from_numpy(shifted), None)
    (slope,) = torch.autograd.grad(total, rate)
    information = len(shifted) / 0.79
    assert abs(float(slope)) < 4 * np.sqrt(information)
    assert np.isfinite(float(total.detach()))


def test_denoised_images_are_fitted_by_least_squares(counts, particle):
    found, _, messages = fitted(counts, particle, denoised=True)
    assert "fitted by least squares: the images were denoised" in messages[0]
    assert found.details["likelihood"]["kind"] == "lsq"
    assert any("are not calibrated" in warning for warning in found.warnings)
    plain, _, _ = fitted(counts, particle, "lsq")
    assert not any("calibrated" in warning for warning in plain.warnings)


# -- tilt weights -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("likelihood", ["poisson", "lsq"])
def test_a_weight_of_two_is_a_tilt_that_is_there_twice(counts, particle, likelihood):
    twice = counts.take([*range(15), 4])
    doubled, expected, _ = fitted(twice, particle, likelihood)
    weighted, positions, _ = fitted(counts, particle, likelihood, tilt_weights="4=2")
    plain, other, _ = fitted(counts, particle, likelihood)
    np.testing.assert_allclose(positions, expected, atol=1e-4)
    np.testing.assert_allclose(weighted.sigma_A, doubled.sigma_A, rtol=0.01)
    assert np.abs(positions - other).max() > 1e-3, "it matters"
    assert (weighted.sigma_A < plain.sigma_A * 1.02).all()
    np.testing.assert_allclose(weighted.r_factor, plain.r_factor, rtol=0.05)


def test_a_weight_of_none_leaves_a_tilt_out(counts, particle):
    excluded, expected, _ = fitted(counts, particle, exclude=(4, 9))
    weighted, positions, _ = fitted(counts, particle, tilt_weights={4: 0, 9: 0})
    np.testing.assert_array_equal(positions, expected)
    np.testing.assert_array_equal(weighted.r_factor, excluded.r_factor)
    assert np.isnan(weighted.r_factor[[4, 9]]).all()
    report = make_report(counts, weighted, {})
    assert report["corrections"]["scale"][4] is None
    assert report["settings"]["data"]["tilt_weights"] == [[4, 0.0], [9, 0.0]]


def test_a_nearly_empty_weight_is_nearly_left_out(counts, particle):
    """A tilt of noise that hardly counts does no harm, and is still judged by an R-factor."""
    images = counts.images.copy()
    images[4] = np.random.default_rng(0).poisson(30, images[4].shape)
    spoiled = counts.with_changes(images=images)
    clean, expected, _ = fitted(counts, particle, exclude=(4,))
    weighted, positions, _ = fitted(spoiled, particle, tilt_weights={4: 1e-6})
    np.testing.assert_allclose(positions, expected, atol=1e-4)
    np.testing.assert_allclose(weighted.sigma_A, clean.sigma_A, rtol=0.02)
    assert weighted.r_factor[4] > 0.5


def test_weights_hold_together_with_masks_and_withheld_tilts(counts, particle):
    mask = np.ones(counts.images.shape, bool)
    mask[:, :3] = False
    found, positions, _ = fitted(counts.with_changes(mask=mask), particle, tilt_weights="4=0.5", withhold=7)
    _, expected, _ = fitted(counts.with_changes(mask=mask), particle, withhold=7)
    assert found.withheld == (3, 10)
    assert np.abs(positions - expected).max() < 0.05
    assert np.isfinite(found.r_factor).all()


def test_a_tilt_that_is_not_there_has_no_weight(counts, particle):
    with pytest.raises(InputError, match="names tilt 15: the 15 tilts are counted from 0 to 14"):
        fitted(counts, particle, tilt_weights="15=2")


def two_ways(kind="lsq"):
    """A problem with one tilt twice, and the same with a weight of 2 for it."""
    state = tiny.make_state()
    one = tiny.make_problem(state, noise=0.05, kind=kind)
    index = [0, 1, 2, 3, 4, 2]
    observed = one.observed.numpy()
    weights = np.ones(observed.shape, np.float32)
    weights[2] = 2.0
    twice = replace(state, **{n: getattr(state, n)[index] for n in ("shifts", "scale", "background", "angles")})
    doubled = Problem(tiny.make_model(tiny.ANGLES[index]), observed[index], None, kind)
    return (doubled, twice), (Problem(one.model, observed, weights, kind), state)


@pytest.mark.parametrize("kind", ["lsq", "poisson"])
def test_everything_that_judges_a_state_takes_weights_as_repeats(kind):
    found = []
    for problem, state in two_ways(kind):
        inside = np.ones(tuple(problem.observed.shape), bool)
        hull = Hull(inside, inside, problem.model.rotations.numpy(), tiny.PIXEL, tiny.MIDDLE)
        evidence = Evidence(problem, hull, 2.5, Solver(), one_height=True)
        images, weight = evidence.images_and_weights(state)
        curvature = evidence.curvature(state, state.positions, weight.numpy())
        bars = error_bars(problem, state, images.numpy(), inside, 4.0)
        loss_of = problem.evaluate(state, np.arange(len(problem)), ()).loss
        kernel = fit_correction(problem, state, 1.0, evidence.variance).correction.kernels[0]
        found.append((evidence.variance, curvature, bars.position_A, bars.height, loss_of, kernel))
    # degrees of freedom: the repeated tilt is four parameters and one image more
    for one, other, rtol in zip(*found, (1e-5, 1e-5, 0.01, 0.01, 1e-5, 1e-4), strict=True):
        np.testing.assert_allclose(one, other, rtol=rtol, atol=1e-9)


def test_the_report_of_damage_is_plain(counts, particle):
    repeated = counts.take([*range(15), 7])
    images = repeated.images.copy()
    images[15] = np.random.default_rng(3).poisson(images[7])
    found, _, _ = fitted(repeated.with_changes(images=images), particle)
    damage = to_plain(found.details["damage"])
    assert damage["repeats"] == [[7, 15]]
    assert damage["pairs"][0]["tilts"] == [7, 15]
    assert damage["verdict"]
