"""Single precision against double and one number of threads against another, on a few atoms; and the page of both."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from benchmarks.numbers import page, precision
from benchmarks.numbers.exact import Exact
from short_run import SHORT, noisy_series, small_particle
from tiny import ANGLES, MIDDLE, PIXEL, SHAPE, make_state

from napari_lot.job import Job
from napari_lot.lot.image_model import ImageModel
from napari_lot.lot.problem import Problem
from napari_lot.physics.geometry import rotations
from napari_lot.settings import Microscope, settings_from_dict

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
GROUPS = ("positions", "height", "width", "shifts", "angles", "distortion", "focus", "scale", "background")


def make_problem(truth, kind):
    """Noisy images of a few atoms by a lens that shows their depth."""
    lens = Microscope(energy_eV=300e3, semiangle_mrad=25, defocus_A=10, c21_A=4000, phi21_deg=35)
    model = ImageModel(rotations(ANGLES), SHAPE, PIXEL, MIDDLE, lens, (-8, 8), 0.6, threads=1)
    clean = Problem(model, np.zeros((len(ANGLES), *SHAPE), np.float32), None, "lsq")
    images = clean.evaluate(truth, np.arange(len(ANGLES)), ()).calculated
    noise = np.random.default_rng(0).normal(0, 0.05, images.shape)
    return Problem(model, (images + noise).astype(np.float32), None, kind)


@pytest.mark.parametrize("kind", ["lsq", "poisson"])
def test_double_precision_is_the_slope_of_its_own_loss(kind):
    truth = make_state()
    problem = Exact.of(make_problem(truth, kind))
    state = precision.near(truth)
    every = np.arange(len(problem))
    found = problem.evaluate(state, every, GROUPS)
    rng = np.random.default_rng(3)
    for name in GROUPS:
        direction = rng.normal(size=getattr(state, name).shape)
        step = 1e-6

        def loss(sign, name=name, direction=direction, step=step):
            moved = replace(state, **{name: getattr(state, name) + sign * step * direction})
            return problem.evaluate(moved, every, ()).loss

        slope = (loss(1) - loss(-1)) / (2 * step)
        assert slope == pytest.approx(float((found.gradients[name] * direction).sum()), rel=1e-5, abs=1e-6), name


@pytest.mark.parametrize("kind", ["lsq", "poisson"])
@pytest.mark.parametrize("road", precision.ROADS)
def test_single_precision_is_near_double(kind, road):
    truth = make_state()
    problem = make_problem(truth, kind)
    state = precision.on_road(problem, precision.near(truth), road)
    every, groups = np.arange(len(problem)), precision.ROADS[road]
    found, exact = (p.evaluate(state, every, groups) for p in (problem, Exact.of(problem)))
    assert precision.relative(found.calculated, exact.calculated) < page.LARGEST_IMAGE
    assert precision.relative(found.loss, exact.loss) < page.LARGEST_LOSS
    for name in groups:
        assert precision.relative(found.gradients[name], exact.gradients[name]) < page.LARGEST_GRADIENT, name
        assert np.abs(exact.gradients[name]).max() > 0, name


def short_result(threads):
    settings = settings_from_dict(
        {"model": {"probe": "direct", "elements": ["Pt"]}, "solver": {**SHORT, "polish_steps": 60, "threads": threads}}
    )
    job = Job(noisy_series(small_particle()), settings)
    for _ in job.run():
        pass
    return job.result


def test_results_of_other_numbers_of_threads_are_within_what_the_documentation_says():
    alone, again, shared = (short_result(n).orbitals for n in (1, 1, 3))
    for name in ("positions", "height", "width", "id"):
        np.testing.assert_array_equal(getattr(alone, name), getattr(again, name))
    assert len(shared) == len(alone)
    apart = np.linalg.norm(alone.positions[:, None] - shared.positions, axis=2)
    assert 100 * apart.min(1).max() < page.THREADS_PM
    heights = shared.height[apart.argmin(1)] / alone.height - 1
    assert 100 * np.abs(heights).max() < page.THREADS_PERCENT
    told = " ".join((DOCS / "solver.md").read_text(encoding="utf-8").split())
    assert f"by less than {page.THREADS_PM:g} pm and heights by less than {page.THREADS_PERCENT:g} %" in told


def test_the_page_is_that_of_its_numbers_and_says_what_is_missed():
    found = json.loads((DOCS / "results-numbers.json").read_text(encoding="utf-8"))
    assert page.make_page(found) == (DOCS / "results-numbers.md").read_text(encoding="utf-8")
    assert "All limits are kept." in page.make_page(found)
    found["threads"]["pairs"][0]["positions_pm"] = 3.0
    found["threads"]["runs"][0]["again"]["atoms.csv"] = False
    first = next(iter(found["precision"].values()))
    next(iter(first["roads"].values()))["gradients"]["height"] = float("nan")
    assert len(page.missed(found)) == 3
    assert "**Missed:**" in page.make_page(found)
    assert "**not all the same**" in page.make_page(found)
