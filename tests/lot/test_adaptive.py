"""The probe from the images: a kernel that is there is found, one that is not is not invented."""

import numpy as np
import pytest
import tiny
import torch
from scipy import ndimage

from napari_lot.analysis.compare import compare
from napari_lot.errors import InputError
from napari_lot.job import Job
from napari_lot.lot.aberrations import Coordinates, _radians
from napari_lot.lot.adaptive import fit_correction, free_of_atoms
from napari_lot.lot.correction import ProbeCorrection
from napari_lot.lot.image_model import ImageModel
from napari_lot.lot.problem import Problem, State
from napari_lot.physics.geometry import rotations
from napari_lot.settings import Microscope, settings_from_dict
from napari_lot.simulate.images import Recording, simulate_series, with_cross_section
from napari_lot.simulate.particles import amorphous_sphere


def odd_kernel():
    """Neither round nor symmetric; without sum, first moments and mean second moment."""
    v, u = np.mgrid[-3:4, -3:4]
    raw = 0.006 * np.sin(1.1 * u + 0.4 * v) * np.exp(-(u**2 + v**2) / 4) + 0.009 * u * v * np.exp(-(u**2 + v**2) / 3)
    inside = np.hypot(v, u) <= 3.0
    parts = np.stack([np.ones(v.shape), v, u, v**2 + u**2])[:, inside].T
    kernel = np.zeros(v.shape)
    kernel[inside] = raw[inside] - parts @ np.linalg.lstsq(parts, raw[inside], rcond=None)[0]
    return kernel


def with_kernel(noise=0.0, kind="lsq", factor=1.0):
    truth = tiny.make_state()
    if kind == "poisson":
        truth.height *= 3000
        truth.background += 60
    problem = tiny.make_problem(truth)
    problem.model.set_correction(ProbeCorrection(factor * odd_kernel()[None]))
    images = problem.evaluate(truth, np.arange(5), ()).calculated
    rng = np.random.default_rng(0)
    images = rng.poisson(images) if kind == "poisson" else images + rng.normal(0, noise, images.shape)
    problem.model.set_correction(None)
    return Problem(problem.model, images.astype(np.float32), None, kind), truth


def test_a_kernel_that_is_there_is_found():
    problem, truth = with_kernel(3e-5)
    found = fit_correction(problem, truth, 1.25, 9e-10)
    np.testing.assert_allclose(found.correction.kernels[0], odd_kernel(), atol=2e-3 * np.abs(odd_kernel()).max() + 2e-4)
    assert found.significance > 1000
    assert problem.model.correction is None, "looked for, not set"


def test_counts_show_it_too():
    problem, truth = with_kernel(kind="poisson")
    found = fit_correction(problem, truth, 1.25, 1.0)
    error = np.linalg.norm(found.correction.kernels[0] - odd_kernel()) / np.linalg.norm(odd_kernel())
    assert error < 0.5
    assert found.significance > 10


def test_noise_has_no_kernel():
    truth = tiny.make_state()
    problem = tiny.make_problem(truth, 0.2)
    found = fit_correction(problem, truth, 1.25, 0.04)
    assert np.abs(found.correction.kernels[0]).max() < 0.1 * np.abs(odd_kernel()).max()
    assert found.significance < 5


def test_what_atoms_can_do_the_kernel_leaves_to_them():
    """Wider, brighter and displaced images are no kernel."""
    truth = tiny.make_state()
    problem = tiny.make_problem(truth)
    other = truth.copy()
    other.height, other.shifts = 1.05 * truth.height, truth.shifts + np.array([0.1, -0.05])
    pixels = fit_correction(problem, other, 1.25, 1e-6).correction.kernels[0]
    v, u = np.mgrid[-3:4, -3:4]
    for moment in (np.ones(v.shape), v, u, v**2 + u**2):
        assert abs((pixels * moment).sum()) < 1e-9


def test_no_image_of_an_atom_becomes_negative():
    """A kernel eight times as strong would make the ground beside an atom darker than no atom at all."""
    problem, truth = with_kernel(1e-4, factor=8.0)
    found = fit_correction(problem, truth, 1.25, 1e-8).correction
    alone, width = truth.select([0]), torch.tensor([0.6], dtype=torch.float64)
    at = (torch.from_numpy(alone.positions), torch.ones(1, dtype=torch.float64), width)
    for kernels, negative in ((8.0 * odd_kernel()[None], True), (found.kernels, False)):
        problem.model.set_correction(ProbeCorrection(kernels))
        image = problem.model.images([0], *at)[0].numpy()
        assert (image.min() < -0.015 * image.max()) == negative
    assert np.abs(found.kernels[0]).max() > 0.5 * np.abs(odd_kernel()).max(), "held back, not given up"


def deep_state(lens, seed=0):
    """30 atoms through 80 Å, and a model of them that looks from five sides."""
    rng = np.random.default_rng(seed)
    positions = rng.uniform(-1, 1, (30, 3)) * np.array([8.0, 8.0, 40.0])
    angles = np.array([[0.0, a, 0.0] for a in (-8.0, -4.0, 0.0, 4.0, 8.0)])
    model = ImageModel(rotations(angles), (90, 90), 0.3, (44.5, 44.5), lens, (-50, 50), 0.6, threads=1)
    state = State(
        positions, np.full(30, 100.0), np.array([0.6]), np.zeros(30, np.int64), np.arange(30), np.zeros((5, 2)),
        np.ones(5), np.zeros(5),
    )  # fmt: skip
    return model, state


def test_a_kernel_that_changes_with_depth_and_an_attenuation_are_found():
    lens = Microscope(energy_eV=300e3, semiangle_mrad=20)
    model, truth = deep_state(lens)
    v, u = np.mgrid[-4:5, -4:5]
    inside = np.hypot(v, u) * 0.3 <= 1.25
    kappa = np.zeros(v.shape)
    free = free_of_atoms(np.stack([v[inside], u[inside]], 1))
    kappa[inside] = free @ (free.T @ (0.02 * (u * np.exp(-(u**2 + v**2) / 4.0))[inside]))
    depth = np.einsum("tj,nj->tn", model.rotations.numpy()[:, 2], truth.positions)
    scale = float(np.abs(depth).max())
    means = np.array([(depth / scale).mean(), ((depth / scale) ** 2).mean()])
    model.set_correction(ProbeCorrection(np.stack([0 * kappa, kappa]), np.array([-0.15, 0.05]), scale, means))
    clean = Problem(model, np.zeros((5, 90, 90), np.float32), None, "lsq").evaluate(truth, np.arange(5), ()).calculated
    noisy = clean + np.random.default_rng(1).normal(0, 0.02, clean.shape).astype(np.float32)
    model.set_correction(None)
    problem = Problem(model, noisy, None, "lsq")
    found = fit_correction(problem, truth, 1.25, 4e-4)
    correction = found.correction
    assert found.significance > 100
    n = correction.kernels.shape[-1] // 2
    found_0 = ndimage.gaussian_filter(np.pad(correction.kernels[0], 4), 0.6 / 0.3 / np.sqrt(2))
    # behind an atom's own width, for what is finer no image shows
    found_1, true_1 = (
        ndimage.gaussian_filter(np.pad(k, 4), 0.6 / 0.3 / np.sqrt(2))
        for k in (correction.kernels[1], kappa[4 - n : 5 + n, 4 - n : 5 + n])
    )
    assert np.abs(found_0).max() < 0.1 * np.abs(true_1).max()
    np.testing.assert_allclose(found_1, true_1, atol=0.1 * np.abs(true_1).max())
    wanted = ProbeCorrection(np.zeros((1, 1, 1)), np.array([-0.15, 0.05]), scale, means)
    at = np.linspace(-scale, scale, 9)
    np.testing.assert_allclose(correction.factor(at), wanted.factor(at), atol=0.015)
    # and with both in place the fast model and the plain one agree
    model.set_correction(correction)
    tensors = (torch.from_numpy(truth.positions), torch.from_numpy(truth.height), torch.full((30,), 0.6).double())
    fast, slow = (model.images(range(5), *tensors, backend=name).numpy() for name in ("cpu", "reference"))
    np.testing.assert_allclose(fast, slow, atol=1e-4 * slow.max())
    assert np.sqrt(((fast - clean) ** 2).mean()) < 0.3 * 0.02, "what is left is below the noise"


def test_gradients_with_a_kernel():
    problem, truth = with_kernel(1e-3)
    problem.model.set_correction(ProbeCorrection(odd_kernel()[None]))
    state = truth.copy()
    state.positions = state.positions + 0.05
    gradient = problem.evaluate(state, np.arange(5), ("positions",)).gradients["positions"]
    for atom, axis in ((0, 0), (2, 1), (4, 2)):
        ends = []
        for sign in (1, -1):
            moved = state.copy()
            moved.positions[atom, axis] += sign * 1e-3
            ends.append(problem.evaluate(moved, np.arange(5), ()).loss)
        assert gradient[atom, axis] == pytest.approx((ends[0] - ends[1]) / 2e-3, rel=2e-3)


@pytest.mark.parametrize("oversampling", [1, 2])
def test_the_reference_and_the_compiled_model_have_the_same_kernel(oversampling):
    problem, truth = with_kernel()
    model = problem.model.oversampled(oversampling, 0.6)
    model.set_correction(ProbeCorrection(odd_kernel()[None]))
    arguments = (range(5), torch.from_numpy(truth.positions), torch.from_numpy(truth.height), torch.tensor(0.6))
    fast, slow = (model.images(*arguments, backend=name).numpy() for name in ("cpu", "reference"))
    np.testing.assert_allclose(fast, slow, atol=1e-4 * slow.max())


def test_coordinates_go_there_and_back():
    lens = Microscope(energy_eV=3e5, semiangle_mrad=25.0, c12_A=10.0, phi12_deg=20.0, c21_A=300.0, phi21_deg=-70.0)
    numbers = Coordinates.of(lens, ["probe"])
    assert numbers.names == ("defocus_A", "c12_x", "c12_y", "c21_x", "c21_y", "c30_A")
    # a radian of defocus at the edge of the aperture: pi defocus alpha^2 / lambda
    assert numbers.scale_A[0] == pytest.approx(0.01968748 / (np.pi * 0.025**2), rel=1e-4)
    assert numbers.moved(lens, np.zeros(6)).model_dump() == pytest.approx(lens.model_dump())
    assert Coordinates.of(lens, ["defocus"]).names == ("defocus_A",)


@pytest.fixture(scope="module")
def aberrated():
    particle = with_cross_section(amorphous_sphere("Pt", 24.0, 2.5, atoms=200, width_A=0.5, seed=3), 0.03)
    lens = Microscope(
        energy_eV=3e5, semiangle_mrad=30.0, defocus_A=20.0, c12_A=12.0, phi12_deg=30.0, c21_A=500.0, phi21_deg=70.0
    )
    recording = Recording(dose_e_per_A2=2e5, background=1.0, seed=2)
    return particle, lens, simulate_series(particle, np.arange(-70, 71, 7.0), 0.3, lens, recording=recording)


def run(series, probe, **solver):
    values = {
        "microscope": {"energy_eV": 3e5, "semiangle_mrad": 30.0},
        "model": {"probe": probe, "elements": ["Pt"], "orbital": "gaussian"},  # as they were simulated
        "solver": solver,
    }
    job = Job(series, settings_from_dict(values))
    list(job.run())
    return job.result


@pytest.mark.slow
def test_aberrations_are_found_and_atoms_with_them(aberrated):
    particle, lens, series = aberrated
    # the kernel that changes with depth has tests of its own above, and takes long
    rigid, adaptive = run(series, "rigid"), run(series, "adaptive", probe_with_depth=False)
    found = adaptive.details["microscope"]
    assert found["defocus_A"] == pytest.approx(lens.defocus_A, abs=5)
    assert found["c12_A"] == pytest.approx(lens.c12_A, abs=2)
    assert found["phi12_deg"] == pytest.approx(lens.phi12_deg, abs=6)
    assert found["c21_A"] == pytest.approx(lens.c21_A, abs=120)
    assert found["phi21_deg"] == pytest.approx(lens.phi21_deg, abs=10)
    sigma = adaptive.details["microscope_sigma_A"]
    coordinates = Coordinates.of(lens, ("probe",))
    assert set(sigma) == set(coordinates.names)
    off = _radians(coordinates, lens, Microscope(**found)) * coordinates.scale_A
    told = np.array([sigma[name] for name in coordinates.names])
    assert (np.abs(off) < 4 * told).all()
    assert (told < coordinates.scale_A).all(), "the images tell more than what was expected before"
    right, wrong = compare(adaptive.orbitals, particle), compare(rigid.orbitals, particle)
    assert (right.recall, right.precision) == (1, 1)
    assert right.rmsd_pm < 0.4 * wrong.rmsd_pm
    assert np.nanmean(adaptive.r_factor) < np.nanmean(rigid.r_factor)
    np.testing.assert_allclose(adaptive.probe.images.sum((1, 2)), 1.0, rtol=1e-5)
    before, after = adaptive.probe_before.images, adaptive.probe.images
    assert np.abs(after - before).max() > 0.05 * before.max()
    np.testing.assert_array_equal(rigid.probe.images, rigid.probe_before.images)


def test_defocus_alone(aberrated):
    _, lens, series = aberrated
    groups = ["positions", "heights", "width", "center", "shifts", "scale", "background", "defocus"]
    found = run(series, "rigid", refine=groups).details["microscope"]
    assert found["defocus_A"] == pytest.approx(lens.defocus_A, abs=10)
    assert (found["c12_A"], found["c21_A"], found["c30_A"]) == (0, 0, 0)


def test_a_probe_that_cannot_be_told_from_the_atoms_is_refused(aberrated):
    _, _, series = aberrated
    with pytest.raises(InputError, match="3 tilts cannot tell a probe from heights and widths"):
        run(series.take([0, 10, 20]), "adaptive")
    with pytest.raises(InputError, match="direct projection has no probe"):
        run(series, "direct", refine=["positions", "heights", "defocus"])
