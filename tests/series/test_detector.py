"""What a pixel says of electrons: the likelihood that is chosen, why, and the values that it is given."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_lot.cli.options import gather
from napari_lot.errors import InputError
from napari_lot.series import TiltSeries
from napari_lot.series.detector import choose_likelihood
from napari_lot.series.prepare import intensity_limits, units_of_fit
from napari_lot.settings import settings_from_dict

THETAS = np.linspace(-60, 60, 8)


def series(counts=False):
    return TiltSeries(np.random.default_rng(0).poisson(40, (8, 20, 22)), THETAS, 0.3, counts=counts)


def settings(likelihood="auto", **data):
    return settings_from_dict({"model": {"likelihood": likelihood, "elements": ["Pt"]}, "data": data})


@pytest.mark.parametrize(
    ("counts", "likelihood", "data", "kind", "why"),
    [
        (False, "auto", {}, "lsq", "nothing says how the values relate to electrons"),
        (True, "auto", {}, "poisson", "the images are electron counts"),
        (True, "lsq", {}, "lsq", "as asked for"),
        (False, "auto", {"gain": 120.0, "offset": 50.0}, "poisson", "electrons are (value − 50) / 120"),
        (False, "lsq", {"gain": 120.0}, "lsq", "as asked for"),
        (False, "poisson", {"gain": 2.0}, "poisson", "the detector's gain is given"),
        (False, "auto", {"gain": 4.0, "read_noise": 2.0}, "poisson", "a read noise of 0.5 electrons"),
        (True, "auto", {"gain": 1.0, "read_noise": 0.5}, "poisson", "a read noise of 0.5 electrons"),
        (False, "auto", {"denoised": True}, "lsq", "the images were denoised"),
        (True, "auto", {"denoised": True}, "lsq", "the images were denoised"),
    ],
)
def test_which_likelihood_and_why(counts, likelihood, data, kind, why):
    choice = choose_likelihood(series(counts), settings(likelihood, **data))
    assert choice.kind == kind
    assert why in choice.why
    assert why in choice.words


def test_whole_numbers_may_be_counts_and_that_is_said():
    hint = "they are whole numbers: if these are electrons, say that the images are counts"
    whole = series()
    assert hint in choose_likelihood(whole, settings()).words
    assert hint not in choose_likelihood(series(counts=True), settings()).words
    for images in (whole.images + np.float32(0.5), whole.images - np.float32(60.0)):
        assert hint not in choose_likelihood(replace(whole, images=images), settings()).words


@pytest.mark.parametrize(
    ("counts", "likelihood", "data", "sentence"),
    [
        (False, "poisson", {}, "the Poisson likelihood needs electron counts"),
        (True, "auto", {"gain": 120.0}, "the images are electron counts, yet data.gain is 120"),
        (False, "auto", {"offset": 3.0}, "data.offset is 3, but without a gain"),
        (False, "auto", {"read_noise": 3.0}, "data.read_noise is 3, but without a gain"),
        (True, "poisson", {"denoised": True}, "denoised images do not have the noise of counts"),
        (False, "auto", {"denoised": True, "gain": 3.0}, "say nothing of the noise of denoised images"),
    ],
)
def test_contradictions_are_refused(counts, likelihood, data, sentence):
    with pytest.raises(InputError, match=sentence):
        choose_likelihood(series(counts), settings(likelihood, **data))


@pytest.mark.parametrize("gain", [0.0, -2.0])
def test_a_gain_is_positive(gain):
    with pytest.raises(InputError, match=r"data\.gain: input should be greater than 0"):
        settings(gain=gain)


def test_shifted_values_have_the_variance_of_their_mean():
    """Snyder et al.: electrons and rate raised by the variance of the read noise are Poisson in mean and variance."""
    rng = np.random.default_rng(1)
    rate = np.linspace(0.5, 60, 8)[:, None, None]
    values = 700.0 + 35.0 * rng.poisson(rate, (8, 200, 200)) + rng.normal(0, 70.0, (8, 200, 200))
    recorded = TiltSeries(values, THETAS, 0.3)
    choice = choose_likelihood(recorded, settings(gain=35.0, offset=700.0, read_noise=70.0))
    zero, unit = units_of_fit(recorded, choice)
    shifted = (recorded.images.astype(float) - zero) / unit
    np.testing.assert_allclose(shifted.mean((1, 2)), rate[:, 0, 0] + 4.0, rtol=0.01)
    np.testing.assert_allclose(shifted.var((1, 2)), shifted.mean((1, 2)), rtol=0.03)


def test_without_a_gain_intensities_are_scaled_as_ever():
    for given in (settings(), settings(denoised=True)):
        assert units_of_fit(series(), choose_likelihood(series(), given)) == intensity_limits(series())


# -- tilt weights -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given", ["3=0.5, 7=0", " 3 = 0.5; 7=0 ", {3: 0.5, 7: 0}, {"3": "0.5", "7": "0"}, [[3, 0.5], [7, 0.0]]]
)
def test_weights_as_people_and_files_write_them(given):
    data = settings(tilt_weights=given).data
    assert data.tilt_weights == ((3, 0.5), (7, 0.0))
    assert data.left_out == (7,)
    assert settings(**data.model_dump(mode="json")).data == data


def test_weights_of_several_tilts():
    data = settings(tilt_weights="20-22=0", exclude=(4, 21)).data
    assert data.tilt_weights == ((20, 0.0), (21, 0.0), (22, 0.0))
    assert data.left_out == (4, 20, 21, 22)
    assert settings(tilt_weights=None).data.tilt_weights == ()
    assert settings(tilt_weights="").data.tilt_weights == ()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("3", "'3' is no tilt and its weight"),
        ("a=1", "'a=1' is no tilt and its weight"),
        ("=1", "'=1' is no tilt and its weight"),
        ("22-20=0", "the range 22-20 is the wrong way round: give 20-22"),
        (180.5, "expected tilts and their weights, such as 3=0.5"),
        ("3=-1", "the weight of tilt 3 must be between 0 and 1000"),
        ("3=nan", "the weight of tilt 3 must be between"),
        ("3=1, 3=2", "a tilt has two weights"),
        ({-1: 0.5}, "there is no tilt -1"),
    ],
)
def test_weights_that_are_none(given, sentence):
    with pytest.raises(InputError, match=sentence):
        settings(tilt_weights=given)


def test_weights_on_the_command_line():
    """YAML takes 3:0.5 for a number of base 60, so that the sign is =."""
    for value in ("3=0.5", '"3=0.5"', "{3: 0.5}", "[[3, 0.5]]"):
        given = gather({}, sets=[f"data.tilt_weights={value}", "model.elements=Pt"])
        assert given.settings().data.tilt_weights == ((3, 0.5),)
    with pytest.raises(InputError, match=r"--set data\.tilt_weights: expected tilts and their weights"):
        gather({}, sets=["data.tilt_weights=3:0.5"]).settings()
