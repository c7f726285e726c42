"""The hand of a structure: told where the lens tells it, and never otherwise."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import stats

from napari_lot.atoms import Orbitals
from napari_lot.job import Job
from napari_lot.lot.handedness import Handedness, asked, judge, mirrored, phase_difference
from napari_lot.lot.image_model import ImageModel
from napari_lot.physics.geometry import rotations, turn_axis
from napari_lot.settings import Microscope, Solver, settings_from_dict
from napari_lot.simulate.images import Recording, simulate_series, with_cross_section
from napari_lot.simulate.particles import amorphous_sphere

LENS = {"energy_eV": 3e5, "semiangle_mrad": 25.0}
TILTS = np.arange(-70, 71, 7.0)
M, F = np.diag([1.0, 1.0, -1.0]), np.diag([1.0, -1.0, 1.0])


@pytest.fixture(scope="module")
def particle():
    """A rod of 81 atoms along the tilt axis, without order enough for a mirror plane."""
    grid = np.stack(np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in (3, 9, 3)), indexing="ij"), -1).reshape(-1, 3)
    positions = 2.9 * grid + np.random.default_rng(1).normal(0, 0.3, grid.shape)
    return with_cross_section(Orbitals.create(positions, 0.5, 0.5, 0, ("Pt",)), 0.03)


def series_of(particle, lens, seed=2):
    recording = Recording(dose_e_per_A2=1e5, background=1.0, seed=seed)
    return simulate_series(particle, TILTS, 0.35, lens, image_shape=(96, 50), recording=recording, threads=2)


def hands(series, lens, particle, **values):
    """From atoms that are off the truth, so that there is something to fit."""
    moved = particle.positions + np.random.default_rng(5).normal(0, 0.05, particle.positions.shape)
    start = Orbitals.create(moved, particle.height, 0.55, 0, ("Pt",))
    settings = {
        "microscope": lens.model_dump(),
        "model": {"elements": ["Pt"], "probe": "rigid", **values.pop("model", {})},
        "start": {"kind": "given.xyz"},
        "solver": {"threads": 2, "handedness": "both", "error_bars": "none", "melt_rounds": 0, **values},
    }
    job = Job(series, settings_from_dict(settings), start)
    list(job.run())
    return job.result


def verdicts(result):
    return {question: found["verdict"] for question, found in result.details["handedness"].items()}


@pytest.mark.parametrize(("question", "mirror"), [("tilt_sense", M), ("reflection", F)])
def test_the_twin_is_this_hand_seen_with_the_mirrored_lens(question, mirror):
    """Mirrored rotations, atoms and images, with the same lens: images of the mirrored lens."""
    lens = Microscope(
        **LENS, defocus_A=70.0, c12_A=25.0, phi12_deg=25.0, c21_A=700.0, phi21_deg=40.0, c23_A=500.0, phi23_deg=10.0,
        c30_A=3e4, c50_A=2e7,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    positions, height = rng.uniform(-6, 6, (12, 3)), rng.uniform(1, 2, 12)
    turn = turn_axis(rotations(np.column_stack([rng.uniform(-20, 20, 4), [-60, -10, 35, 70], np.zeros(4)])), 12.0)

    def images(lens, turn, positions):
        model = ImageModel(turn, (81, 81), 0.3, (40, 40), lens, (-11, 11), 0.5, tolerance=1e-6, threads=1)
        atoms = torch.from_numpy(positions), torch.from_numpy(height)
        return model.images(range(4), *atoms, torch.tensor(0.5, dtype=torch.float64)).numpy()

    twin = images(lens, mirror @ turn @ mirror, positions @ mirror)
    if question == "reflection":
        twin = twin[:, ::-1]
    there = images(mirrored(lens, question), turn, positions)
    np.testing.assert_allclose(there, twin, atol=1e-4 * twin.max())
    assert np.abs(images(lens, turn, positions) - twin).max() > 0.02 * twin.max(), "with this lens the hands differ"
    assert phase_difference(lens, mirrored(mirrored(lens, question), question)) < 1e-9


def test_which_lenses_are_their_own_mirror_image():
    def differs(question, **values):
        lens = Microscope(**LENS, **values)
        return phase_difference(lens, mirrored(lens, question)) > 1e-6

    assert not differs("tilt_sense")
    assert not differs("reflection")
    assert differs("tilt_sense", defocus_A=60.0)
    assert not differs("reflection", defocus_A=60.0)
    assert differs("tilt_sense", c30_A=1e4)
    assert not differs("reflection", c30_A=1e4)
    # coma alone, whatever its direction, does not know up from down
    assert not differs("tilt_sense", c21_A=1000.0, phi21_deg=60.0)
    assert not differs("tilt_sense", c23_A=500.0)
    assert differs("reflection", c21_A=1000.0, phi21_deg=60.0)
    assert not differs("reflection", c21_A=1000.0)
    assert differs("reflection", c12_A=20.0, phi12_deg=30.0)
    assert not differs("reflection", c12_A=20.0, phi12_deg=90.0)


def test_what_a_verdict_needs():
    rng = np.random.default_rng(0)
    even = rng.normal(50, 10, 20)
    assert judge(even)[0] == "this hand"
    assert judge(-even)[0] == "the other hand"
    assert judge(0.005 * even)[0] == "undecidable", "significant, but little"
    assert judge(rng.normal(0, 50, 20))[0] == "undecidable", "much, but of both signs"
    assert judge(np.zeros(20)) == ("undecidable", 0.0, 0.0)
    assert judge(np.array([50.0]))[0] == "undecidable", "one tilt knows no scatter"
    # the statistic of two gains, here 3, has Cauchy's distribution
    assert judge(np.array([20.0, 40.0]))[2] == pytest.approx(stats.norm.isf(0.5 - np.arctan(3.0) / np.pi))
    assert asked("both") == ("tilt_sense", "reflection")
    assert asked("none") == ()


@pytest.mark.slow
def test_focus_tells_the_tilt_sense(particle):
    lens = Microscope(**LENS, defocus_A=60.0)
    series = series_of(particle, lens)
    assert verdicts(hands(series, lens, particle)) == {"tilt_sense": "this hand", "reflection": "undecidable"}
    turned = Orbitals.create(particle.positions @ M, particle.height, 0.5, 0, ("Pt",))
    result = hands(series.with_changes(angles_deg=-series.angles_deg), lens, turned)
    assert verdicts(result) == {"tilt_sense": "the other hand", "reflection": "undecidable"}
    (warning,) = (w for w in result.warnings if w.startswith("Tilt sense"))
    assert "check the sign of the tilt angles" in warning
    assert warning in result.message


def test_coma_tells_a_reflection(particle):
    lens = Microscope(**LENS, c21_A=1500.0, phi21_deg=60.0)
    series = series_of(particle, lens)
    assert verdicts(hands(series, lens, particle)) == {"tilt_sense": "undecidable", "reflection": "this hand"}
    flipped = Orbitals.create(particle.positions @ F, particle.height, 0.5, 0, ("Pt",))
    result = hands(series.with_changes(images=series.images[:, ::-1].copy()), lens, flipped)
    assert verdicts(result) == {"tilt_sense": "undecidable", "reflection": "the other hand"}


@pytest.mark.slow
def test_a_lens_that_is_wrong_for_both_hands_gives_none():
    """In focus, said to be 20 Å out of it: every tilt prefers the same hand, by chance of the structure."""
    particle = with_cross_section(amorphous_sphere("Pt", 16.0, 2.5, atoms=70, width_A=0.5, seed=6), 0.03)
    series = series_of(particle, Microscope(**LENS))
    result = hands(
        series,
        Microscope(**LENS, defocus_A=20.0),
        particle,
        model={"orbital": "gaussian"},
        handedness="tilt_sense",
        birth_rounds=0,
    )
    found = result.details["handedness"]["tilt_sense"]
    assert abs(found["gain"]) > 8
    assert abs(found["significance"]) > 3
    assert found["verdict"] == "undecidable"
    assert "the images ask for another lens (defocus" in found["sentence"]


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({}, "with this probe both hands make the same images"),
        ({"model": {"probe": "direct"}}, "direct projection"),
        ({"refine": ["positions", "heights", "defocus"]}, "refined on these images"),
        ({"tilt_defocus_A": 5.0}, "refined on these images"),
    ],
)
def test_what_cannot_be_told_is_said_without_a_fit(particle, values, why):
    lens = Microscope(**LENS)
    result = hands(series_of(particle, lens), lens, particle, **values)
    assert verdicts(result) == {"tilt_sense": "undecidable", "reflection": "undecidable"}
    for found in result.details["handedness"].values():
        assert found["gain"] is None
        assert why in found["sentence"]
        assert found["sentence"] in result.message


def test_unasked_nothing_is_said(particle):
    lens = Microscope(**LENS)
    result = hands(series_of(particle, lens), lens, particle, handedness="none")
    assert result.details["handedness"] == {}
    assert "undecidable" not in result.message


def test_a_run_that_ended_before_says_so():
    unasked = SimpleNamespace(settings=Solver(handedness="reflection"))
    found = Handedness(unasked, adaptive=False).as_dict()
    assert list(found) == ["reflection"]
    assert found["reflection"]["verdict"] == "undecidable"
    assert "the run ended before the hands were compared" in found["reflection"]["sentence"]
