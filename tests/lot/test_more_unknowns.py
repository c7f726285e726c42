"""Distortion of the images, focus of each tilt, widths of single atoms: gradients, and fits that start off them."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import cKDTree

from napari_lot.errors import InputError
from napari_lot.job import Job
from napari_lot.lot.evidence import Evidence
from napari_lot.lot.fitting import Fit
from napari_lot.lot.image_model import ImageModel
from napari_lot.lot.problem import Problem, State
from napari_lot.physics.geometry import rotations
from napari_lot.physics.orbital import Gaussian, Learnt
from napari_lot.settings import Microscope, Solver, settings_from_dict
from napari_lot.simulate.images import Recording, simulate_series, with_cross_section
from napari_lot.simulate.particles import amorphous_sphere

TILTS = np.arange(-66.0, 67.0, 12.0)
LENS = Microscope(energy_eV=300e3, semiangle_mrad=30)
PIXEL, SHAPE = 0.35, (72, 72)


class Everywhere:
    """A hull that rules nothing out."""

    isolated = True
    silhouettes = np.ones((len(TILTS), *SHAPE), bool)

    def contains(self, points):
        return np.ones(len(points), bool)


def make_state(seed=0, atoms=50):
    rng = np.random.default_rng(seed)
    positions = amorphous_sphere("Pt", 17.0, 2.5, atoms=atoms, seed=seed).positions
    return State(
        positions,
        rng.normal(100.0, 3.0, atoms),
        np.array([0.55]),
        np.zeros(atoms, np.int64),
        np.arange(atoms),
        np.zeros((len(TILTS), 2)),
        np.ones(len(TILTS)),
        np.full(len(TILTS), 1.0),
    )


def make_problem(truth, noise=0.3, orbital=None, **change):
    model = ImageModel(
        rotations(np.stack([0 * TILTS, TILTS, 0 * TILTS], 1)),
        SHAPE,
        PIXEL,
        (35.5, 35.5),
        LENS,
        (-40, 40),
        0.55,
        threads=2,
        orbital=orbital,
    )
    truth = replace(truth, **change)
    empty = Problem(model, np.zeros((len(TILTS), *SHAPE), np.float32), None, "lsq")
    clean = empty.evaluate(truth, np.arange(len(TILTS)), ()).calculated
    images = clean + np.random.default_rng(9).normal(0, noise, clean.shape)
    return Problem(model, images.astype(np.float32), None, "lsq"), truth


@pytest.mark.parametrize("orbital", [Gaussian(), Learnt()], ids=["gaussian", "learnt"])
@pytest.mark.parametrize("per_tilt", [True, False])
def test_gradients_agree_with_finite_differences(per_tilt, orbital):
    rng = np.random.default_rng(3)
    t = len(TILTS)
    problem, truth = make_problem(
        make_state(atoms=8),
        orbital=orbital,
        distortion=rng.normal(0, 0.01, (t if per_tilt else 1, 4)),
        focus=rng.normal(0, 8, t),
        own_width=rng.normal(0, 0.03, 8),
        learnt=rng.normal(0, 0.1, (1, orbital.terms)),
        angles=rng.normal(0, 0.01, (t, 3)),
    )
    state = truth.copy()
    state.positions = state.positions + rng.normal(0, 0.05, state.positions.shape)
    groups = ("distortion", "focus", "own_width", "angles", "width") + (("learnt",) if orbital.terms else ())
    tilts = np.array([0, 3, 4, 9])
    gradients = problem.evaluate(state, tilts, groups).gradients
    steps = {"distortion": 3e-4, "focus": 0.5, "own_width": 3e-3, "angles": 3e-4, "width": 1e-3, "learnt": 1e-2}
    for name, gradient in gradients.items():
        whole = getattr(state, name)
        # along the gradient itself: single precision shows hardly more than its size
        direction = np.zeros(whole.shape)
        direction[tilts if len(gradient) < len(whole) else slice(None)] = gradient / np.linalg.norm(gradient)
        ends = []
        for sign in (1, -1):
            moved = state.copy()
            setattr(moved, name, whole + sign * steps[name] * direction)
            ends.append(problem.evaluate(moved, tilts, ()).loss)
        assert (ends[0] - ends[1]) / (2 * steps[name]) == pytest.approx(np.linalg.norm(gradient), rel=5e-3), name


def fitted(problem, truth, groups, **settings):
    """From positions 5 pm off and nothing known of the rest."""
    rng = np.random.default_rng(5)
    start = make_state()
    start.positions = truth.positions + rng.normal(0, 0.03, truth.positions.shape)
    if settings.get("distortion") == "tilt":
        start.distortion = np.zeros((len(TILTS), 4))
    fit = Fit(problem, start, Everywhere(), 2.7, Solver(**settings), True, lambda: None)
    every = ("positions", "height", "width", "shifts", "scale", "background", *groups)
    for name in (every[:6], every):
        for _ in fit.fit("fit", 150, name):
            pass
    _, match = cKDTree(fit.state.positions).query(truth.positions)
    found = fit.state.select(match)
    apart = found.positions - truth.positions
    return found, 100 * np.sqrt(((apart - apart.mean(0)) ** 2).sum(1).mean())


@pytest.mark.slow
def test_the_focus_of_every_tilt_is_found():
    rng = np.random.default_rng(1)
    focus = rng.normal(0, 15.0, len(TILTS))
    problem, truth = make_problem(make_state(), focus=focus)
    _, without = fitted(problem, truth, ())
    found, rmsd = fitted(problem, truth, ("focus",), tilt_defocus_A=20.0)
    # where a probe is symmetric about its focus, the depths of the atoms must tell the sign
    assert np.corrcoef(found.focus, focus)[0, 1] > 0.95
    assert np.abs(found.focus - focus).mean() < 4.0
    assert rmsd < without


def test_a_shear_of_the_scan_is_found_and_the_atoms_with_it():
    problem, truth = make_problem(make_state(), distortion=np.array([[0.0, 0.006, 0.006, 0.0]]))
    _, without = fitted(problem, truth, ())
    found, rmsd = fitted(problem, truth, ("distortion",), distortion="series")
    np.testing.assert_allclose(found.distortion[0, 1:3].mean(), 0.006, atol=5e-4)
    assert rmsd < 0.5 * without


def test_distortions_of_single_tilts_are_found_up_to_a_deformation_of_the_object():
    rng = np.random.default_rng(2)
    true = rng.normal(0, 0.004, (len(TILTS), 4))
    problem, truth = make_problem(make_state(), distortion=true)
    plain, _ = fitted(problem, truth, ())
    found, _ = fitted(problem, truth, ("distortion",), distortion="tilt")
    left = found.distortion - true
    assert np.sqrt(((left - left.mean(0)) ** 2).mean()) < 0.35 * np.sqrt((true**2).mean())
    # what all tilts have in common no image can tell from a deformed object
    assert deformed_pm(found, truth) < 0.6 * deformed_pm(plain, truth)


def deformed_pm(found, truth):
    """RMSD in pm up to an affine deformation."""
    with_one = np.column_stack([truth.positions, np.ones(len(truth.positions))])
    left = found.positions - with_one @ np.linalg.lstsq(with_one, found.positions, rcond=None)[0]
    return 100 * np.sqrt((left**2).sum(1).mean())


def test_widths_of_single_atoms_are_found():
    rng = np.random.default_rng(4)
    own = rng.normal(0, 0.04, 50)
    problem, truth = make_problem(make_state(), own_width=own)
    found, _ = fitted(problem, truth, ("own_width",), widths="atom", width_scatter_A=0.05)
    assert found.own_width.mean() == pytest.approx(0.0, abs=1e-6), "what all have in common is the width"
    assert found.width[0] == pytest.approx(0.55 + own.mean(), abs=3e-3)
    assert np.corrcoef(found.own_width, own)[0, 1] > 0.9


def series(tilts=12):
    atoms = amorphous_sphere("Pt", 12.0, 2.5, atoms=25, seed=1)
    angles = np.linspace(-60, 60, tilts)
    return atoms, simulate_series(atoms, angles, 0.35, Microscope(energy_eV=3e5, semiangle_mrad=25))


LENS_SETTINGS = {"energy_eV": 3e5, "semiangle_mrad": 25}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": {"probe": "direct"}, "solver": {"tilt_defocus_A": 10}}, "direct projection has no focus"),
        ({"solver": {"tilt_defocus_A": 10}}, "4 tilts cannot tell"),
        ({"solver": {"widths": "atom"}}, "4 tilts cannot tell"),
        ({"model": {"probe": "adaptive"}}, "4 tilts cannot tell"),
        ({"solver": {"distortion": "tilt"}}, "4 tilts cannot tell"),
    ],
)
def test_what_cannot_be_told_is_refused(change, message):
    _, few = series(4)
    values = {"microscope": LENS_SETTINGS, **change}
    values["model"] = {"elements": ["Pt"], **change.get("model", {})}
    with pytest.raises(InputError, match=message):
        Job(few, settings_from_dict(values))


def test_widths_that_are_fixed_are_no_atoms_own():
    _, tilts = series()
    values = {
        "microscope": LENS_SETTINGS,
        "model": {"elements": ["Pt"]},
        "solver": {"widths": "atom", "fix": ["width"]},
    }
    with pytest.raises(InputError, match="width is not refined"):
        Job(tilts, settings_from_dict(values))


def test_no_focus_is_made_of_noise_and_no_shape_of_a_width_that_is_fixed():
    atoms = with_cross_section(amorphous_sphere("Pt", 12.0, 2.5, atoms=25, seed=1), 0.03)
    lens = Microscope(energy_eV=3e5, semiangle_mrad=25)
    recording = Recording(dose_e_per_A2=1e4, background=1.0, seed=3)
    tilts = simulate_series(atoms, np.linspace(-66, 66, 12), 0.35, lens, recording=recording)
    values = {
        "microscope": LENS_SETTINGS,
        "model": {"elements": ["Pt"]},
        "solver": {"tilt_defocus_A": 5.0, "fix": ["width"], "error_bars": "none"},
    }
    job = Job(tilts, settings_from_dict(values))
    list(job.run())
    assert job.result.details["tilt_defocus_A"] is None
    assert job.result.details["learnt_orbital"] is None
    assert "not told by the images" in " ".join(job.result.details["log"])
    assert not {"probe", "tilt_defocus", "orbital_shape"} & set(job.result.details["refined"])


def test_what_judges_atoms_knows_their_learnt_shape():
    problem, truth = make_problem(make_state(), orbital=Learnt(), learnt=np.array([[0.3, -0.2, 0.1, 0.1]]))
    evidence = Evidence(problem, Everywhere(), 2.7, Solver(), True)
    alone = truth.select([int(np.linalg.norm(truth.positions, axis=1).argmin())])
    weight = np.ones((len(TILTS), *SHAPE), np.float32)
    judged = evidence.curvature(alone, alone.positions, weight)[0]
    seen = problem.images(replace(alone, height=np.ones(1)), np.arange(len(TILTS))).double()
    assert judged == pytest.approx(float((seen**2).sum()), rel=0.01)
    plain = replace(alone, learnt=np.zeros((1, 4)))
    assert abs(evidence.curvature(plain, plain.positions, weight)[0] / judged - 1) > 0.05


@pytest.mark.parametrize("orbital", [pytest.param("slater", marks=pytest.mark.slow), "learnt"])
def test_a_run_with_every_unknown_ends_at_the_atoms(orbital):
    atoms = amorphous_sphere("Pt", 12.0, 2.5, atoms=25, seed=1)
    lens = Microscope(energy_eV=3e5, semiangle_mrad=25)
    # with noise: without it what a focus gains is only how far either fit has converged
    recording = Recording(dose_e_per_A2=1e5, background=1.0, seed=3)
    series_of = with_cross_section(atoms, 0.03)
    tilts = simulate_series(series_of, np.linspace(-60, 60, 12), 0.35, lens, recording=recording)
    values = {
        "microscope": LENS_SETTINGS,
        "model": {"elements": ["Pt"], "orbital": orbital},
        "solver": {"tilt_defocus_A": 5.0, "distortion": "tilt", "widths": "atom", "polish_steps": 20},
    }
    job = Job(tilts, settings_from_dict(values))
    list(job.run())
    from napari_lot.analysis.compare import compare

    found = compare(job.result.orbitals, atoms)
    assert (found.recall, found.precision) == (1, 1)
    if orbital == "learnt":  # what a wrong shape leaves over a focus may take up
        assert job.result.details["tilt_defocus_A"] is None
    assert {"distortion", "own_widths"} < set(job.result.details["refined"])
    assert np.shape(job.result.details["distortion"]) == (12, 4)
    assert (job.result.details["learnt_orbital"] is not None) == (orbital == "learnt")
    assert np.isfinite(job.result.sigma_A).all()
