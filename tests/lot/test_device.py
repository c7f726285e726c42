"""The road of other devices, by PyTorch's operations on the processor, against the compiled road."""

from __future__ import annotations

import sys
from functools import cache

import numpy as np
import pytest
import tifffile
import torch
from scipy.spatial import cKDTree
from short_run import SHORT, noisy_series, small_particle

from napari_lot.cli.app import run
from napari_lot.errors import InputError
from napari_lot.job import Job
from napari_lot.lot import prepare as lot_prepare
from napari_lot.lot.device import choose, trust
from napari_lot.lot.device.memory import Device, lost
from napari_lot.lot.image_model import ImageModel, Shapes
from napari_lot.lot.render.scene import Measured
from napari_lot.physics.geometry import rotations, rotations_torch
from napari_lot.physics.orbital import orbital
from napari_lot.report import make_report
from napari_lot.settings import Microscope, settings_from_dict

FIELD, ANGLES = (60, 54), np.array([[0.0, -50.0, 0.0], [0.0, 0.0, 0.0], [0.0, 20.0, 0.0], [3.0, 60.0, 1.0]])
LENS = Microscope(energy_eV=3e5, semiangle_mrad=25.0, defocus_A=10.0, c21_A=800.0)
TILTS = np.array([3, 0, 2])


def here(**options):
    return Device(torch.device("cpu"), **options)


class Case:
    """A model, its parameters, and what it is compared with."""

    def __init__(self, lens, shape, kinds, common, oversampling=1, width=0.5, atoms=50):
        self.options = {"oversampling": oversampling, "threads": 1, "orbital": orbital(shape)}
        self.about = (rotations(ANGLES), FIELD, 0.35, (29.3, 27.9), lens, (-40.0, 40.0), width)
        rng = np.random.default_rng(1)
        n, t, terms = atoms, len(TILTS), self.options["orbital"].terms
        widths = width + 0.02 * np.arange(kinds)
        self.common, self.kinds = common, kinds
        values = {
            "positions": rng.uniform(-7, 7, (n, 3)),
            "height": rng.uniform(20, 40, n),
            "width": widths,
            "own": rng.uniform(-0.05, 0.05, n),
            "learnt": np.full((kinds, terms), 0.1),
            "shifts": rng.normal(0, 0.7, (t, 2)),
            "angles": np.deg2rad(ANGLES[TILTS]),
            "focus": rng.normal(0, 3.0, t),
            "scale": rng.uniform(0.9, 1.1, t),
            "background": rng.uniform(3.0, 5.0, t),  # rates near none make any rounding large
        }
        values["positions"][0] = [-30.0, 0.0, 0.0]  # beyond the canvas
        values["positions"][1] = [0.0, 0.0, 39.5]  # beyond the depths at some tilts
        self.values = {name: value for name, value in values.items() if value.size and (name != "own" or not common)}
        self.species = torch.from_numpy(rng.integers(0, kinds, n))
        self.observed = rng.poisson(4.0, (len(ANGLES), *FIELD)).astype(np.float32)
        self.observed[:, :2] = -0.5  # read noise
        self.weights = (rng.random(self.observed.shape) > 0.2).astype(np.float32)

    def model(self, device=None):
        return ImageModel(*self.about, device=device, **self.options)

    def leaves(self):
        return {name: torch.tensor(value).requires_grad_() for name, value in self.values.items()}

    def seen(self, leaf):
        width = leaf["width"][self.species]
        if not self.common:
            width = width + leaf["own"]
        learnt = leaf.get("learnt", torch.zeros(self.kinds, 0, dtype=torch.float64))
        atoms = (leaf["positions"], leaf["height"], width, leaf["shifts"], rotations_torch(leaf["angles"]))
        shapes = Shapes(self.species, leaf["width"], learnt, common=self.common)
        return atoms, {"focus_A": leaf["focus"], "shapes": shapes}

    def fitted(self, model, kind="lsq", weighted=False):
        """Loss, calculated images and gradients."""
        leaf = self.leaves()
        atoms, others = self.seen(leaf)
        measured = Measured(self.observed, self.weights if weighted else None, TILTS, kind)
        loss, calculated = model.loss(measured, leaf["scale"], leaf["background"], *atoms, **others)
        gradients = torch.autograd.grad(3.0 * loss, list(leaf.values()), allow_unused=True)
        return loss.item(), calculated.numpy(), dict(zip(leaf, gradients, strict=True))

    def rendered(self, model):
        """Images and the gradients of half the squares of what they leave of the measured ones."""
        leaf = self.leaves()
        atoms, others = self.seen(leaf)
        images = model.images(TILTS, *atoms, **others)
        out = images.detach() - torch.from_numpy(self.observed[TILTS])
        gradients = torch.autograd.grad(images, list(leaf.values()), out, allow_unused=True)
        return None, images.detach().numpy(), dict(zip(leaf, gradients, strict=True))


CASES = {
    "learnt": (LENS, "learnt", 1, True),
    "two species, a finer canvas": (LENS, "learnt", 2, True, 2),
    "Gaussians of a common width": (LENS, "gaussian", 2, True),
    "own widths": (LENS, "gaussian", 1, False),
    "own widths, spread wider": (LENS, "gaussian", 1, False, 1, 0.3),
    "own widths of another shape": (LENS, "slater", 2, False),
    "direct, own widths": (None, "gaussian", 1, False),
    "direct, learnt": (None, "learnt", 1, True),
    "direct, narrow": (None, "gaussian", 1, True, 1, 0.3),
}


@cache
def case_of(name):
    """A case and its models on the compiled road and on that of devices, which are made once."""
    case = Case(*CASES[name])
    return case, case.model(), case.model(here())


def limit_of(name):
    # no probe damps what single precision rounds at the sampling limit, where filters raise it
    return 1e-4 if name.startswith("direct") else 1e-5


def assert_alike(found, expected, limit=1e-5):
    loss, images, gradients = found
    true_loss, true_images, true = expected
    if loss is not None:
        assert loss == pytest.approx(true_loss, rel=1e-6)
    assert np.abs(images - true_images).max() <= limit * np.abs(true_images).max()
    assert gradients.keys() == true.keys()
    for name, gradient in gradients.items():
        if true[name] is None:
            assert gradient is None
            continue
        size = float(true[name].norm())
        off = float((gradient - true[name]).norm())
        assert off <= limit * size, f"{name}: {off:.1e} of {size:.1e}"


@pytest.mark.parametrize("kind", ["lsq", "poisson"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_loss_images_and_every_gradient_are_those_of_the_compiled_road(kind, weighted, name):
    case, compiled, model = case_of(name)
    assert_alike(case.fitted(model, kind, weighted), case.fitted(compiled, kind, weighted), limit_of(name))


@pytest.mark.parametrize("name", CASES)
def test_so_are_images_by_themselves(name):
    case, compiled, model = case_of(name)
    assert_alike(case.rendered(model), case.rendered(compiled), limit_of(name))


@pytest.mark.parametrize("tilts", [1, 2, 5])
def test_batches_of_any_size_agree(tilts, monkeypatch):
    case, _, model = case_of("two species, a finer canvas")
    whole = case.fitted(model, "poisson", True), case.rendered(model)
    device = here()
    device.most_tilts = tilts
    monkeypatch.setattr(device, "entries", lambda _: 7)  # windows at once
    parts = case.model(device)
    # to single precision: a library of transforms rounds another number of them at once in another way
    assert_alike(case.fitted(parts, "poisson", True), whole[0], 5e-6)
    assert_alike(case.rendered(parts), whole[1], 5e-6)


def test_the_window_and_the_measured_images_may_change():
    """What is kept on the device goes when it is no longer what is asked for."""
    case, compiled, model = Case(*CASES["learnt"]), *(Case(*CASES["learnt"]).model(one) for one in (None, here()))
    for coarse in (True, False):
        for one in (compiled, model):
            one.set_coarse(coarse)
        assert_alike(case.fitted(model), case.fitted(compiled))
    for one in (compiled, model):
        one.set_width(0.7)
    case.observed = case.observed + np.float32(1.0)
    case.weights = case.weights[:, ::-1].copy()
    assert_alike(case.fitted(model, weighted=True), case.fitted(compiled, weighted=True))


@pytest.mark.parametrize("road", ["compiled", "device"])
@pytest.mark.parametrize("name", CASES)
def test_no_orbitals_are_an_empty_field(name, road):
    case = Case(*CASES[name], atoms=2)
    model = case.model(here() if road == "device" else None)
    leaf = case.leaves()
    level = leaf["background"]
    nothing, one = torch.zeros(0, dtype=torch.float64), torch.tensor([0.5], dtype=torch.float64)
    shapes = Shapes(nothing.to(torch.int64), one, torch.zeros(1, model.orbital.terms), common="own" not in name)
    measured = Measured(case.observed, None, TILTS, "lsq")
    atoms = (torch.zeros(0, 3, dtype=torch.float64, requires_grad=True), nothing, nothing if "own" in name else one[0])
    loss, calculated = model.loss(measured, leaf["scale"], level, *atoms, shapes=shapes)
    (slope, by_atoms) = torch.autograd.grad(loss, [level, atoms[0]])
    assert by_atoms.shape == (0, 3)
    off = level.detach().numpy()[:, None, None] - case.observed[TILTS]
    np.testing.assert_allclose(slope, off.sum((1, 2)), rtol=1e-5)
    np.testing.assert_allclose(calculated, np.broadcast_to(level.detach().numpy()[:, None, None], calculated.shape))


# -- memory -------------------------------------------------------------------------------------------------------


class Full:
    """Fourier transforms that have memory for so many tilts at once."""

    def __init__(self, monkeypatch, tilts, error):
        self.most, self.error, self.asked = tilts, error, []
        self.real = torch.fft.fft2
        monkeypatch.setattr(torch.fft, "fft2", self)

    def __call__(self, canvas, *args, **options):
        if canvas.dim() == 4:  # not those of the compiled road
            self.asked.append(len(canvas))
            if len(canvas) > self.most:
                raise self.error
        return self.real(canvas, *args, **options)


ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("MPS backend out of memory (MPS allocated: 9.00 GB, max allowed: 9.07 GB)."),
    RuntimeError("cuFFT error: CUFFT_ALLOC_FAILED"),
]


@pytest.mark.parametrize("error", ERRORS, ids=["cuda", "mps", "cufft"])
def test_where_memory_ends_the_batch_is_halved_and_it_goes_on(error, monkeypatch):
    case, compiled, _ = case_of("learnt")
    expected = case.fitted(compiled)
    device = here()
    model = case.model(device)
    full = Full(monkeypatch, 1, error)
    assert_alike(case.fitted(model), expected)
    assert full.asked == [3, 1, 1, 1]
    (said,) = device.messages
    assert "went on with one tilt at a time" in said
    case.fitted(model)
    assert full.asked[4:] == [1, 1, 1], "what did not fit is not tried again"


def test_where_not_one_tilt_fits_it_ends_in_a_sentence(monkeypatch):
    case = Case(*CASES["learnt"])
    model = case.model(here(words="a small device"))
    Full(monkeypatch, 0, ERRORS[0])
    with pytest.raises(InputError, match=r"a small device.* does not hold one tilt: .*--device cpu"):
        case.fitted(model)


def test_other_errors_are_not_taken_for_it(monkeypatch):
    case, _, model = case_of("learnt")
    Full(monkeypatch, 0, RuntimeError("an illegal instruction"))
    with pytest.raises(RuntimeError, match="illegal instruction"):
        case.fitted(model)


def test_batches_are_as_large_as_the_memory_that_is_given():
    case = Case(*CASES["learnt"])
    seen = []
    for memory_gb in (1e-6, 0.02, 1.0):
        device = here(memory_gb=memory_gb)
        tilts = [list(some) for some, _ in device.batches(6, 8_000_000, lambda some: some)]
        assert [tilt for some in tilts for tilt in some] == list(range(6))
        seen.append(len(tilts))
        assert_alike(case.fitted(case.model(device)), case.fitted(case_of("learnt")[1]))
    assert seen == [6, 6, 1]


class Lost(Full):
    """Fourier transforms of a device that is gone after so many."""

    def __call__(self, canvas, *args, **options):
        if canvas.dim() == 4:
            self.asked.append(len(canvas))
            if len(self.asked) > self.most:
                raise self.error
        return self.real(canvas, *args, **options)


def test_a_device_that_is_lost_in_mid_run_ends_it_in_a_sentence(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(lot_prepare, "trusted", lambda *_: (here(words="a card"), ()))
    Lost(monkeypatch, 1, RuntimeError("CUDA error: unspecified launch failure\nCUDA kernel errors might be"))
    series = noisy_series(small_particle())
    np.savez(tmp_path / "series.npz", images=series.images, angles_deg=series.angles_deg[:, 1], pixel_size_A=0.4)
    words = ["reconstruct", str(tmp_path / "series.npz"), "--out", str(tmp_path / "out"), "--element", "Pt"]
    words += ["--probe", "direct", "--set", "solver.heights_passes=1", "--set", "solver.positions_passes=1"]
    assert run(words) == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        "napari-lot: The device of the run failed (CUDA error: unspecified launch failure): take --device cpu, or "
        "start the program anew; what was saved of the run can be gone on with."
    )


@pytest.mark.parametrize("text", ["cuFFT error: CUFFT_EXEC_FAILED", "Device lost", "HIP error: no device"])
def test_what_devices_say_when_they_are_lost(text):
    assert lost(RuntimeError(text))
    assert not any(lost(error) for error in (*ERRORS, RuntimeError("shapes do not fit"), MemoryError()))


# -- which device -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_device_that_is_missing_is_refused(name, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(choose, "offered", tuple)
    assert choose.chosen("auto") is choose.chosen("cpu") is None
    with pytest.raises(InputError, match=f"--device {name}: there is no .*; take --device auto or --device cpu"):
        choose.chosen(name)
    series = tmp_path / "series.tif"
    images = np.random.default_rng(0).uniform(1, 2, (len(ANGLES), 16, 18)).astype(np.float32)
    tifffile.imwrite(series, images, photometric="minisblack")
    (tmp_path / "angles.csv").write_text(
        "psi_deg,theta_deg,phi_deg\n" + "".join(f"{a},{b},{c}\n" for a, b, c in ANGLES)
    )
    words = ["reconstruct", str(series), "--out", str(tmp_path / "out"), "--pixel-size", "0.5", "--element", "Pt"]
    assert run([*words, "--probe", "direct", "--device", name]) == 2
    (line,) = capsys.readouterr().err.splitlines()[-1:]
    assert line.startswith(f"napari-lot: --device {name}: there is no")
    assert not (tmp_path / "out").exists()


def test_auto_takes_what_there_is_in_order(monkeypatch):
    there = [choose.Offered("cuda", "a card", 8.0, 7.0), choose.Offered("mps", "Apple GPU", 8.0, 4.0)]
    monkeypatch.setattr(choose, "offered", lambda: tuple(there))
    assert choose.chosen("auto").name == "cuda"
    assert choose.chosen("mps").name == "mps"
    assert choose.chosen("cpu") is None
    del there[0]
    assert choose.chosen("auto").words == "Apple GPU"


def test_a_device_that_does_not_agree_is_not_trusted(monkeypatch):
    monkeypatch.setattr(trust, "chosen", lambda name, memory_gb=None: here(words="a card"))
    device, notes = trust.trusted("auto")
    assert (device.words, notes) == ("a card", ())
    assert trust.disagreement(here()) < 1e-5
    real = torch.fft.irfft2
    monkeypatch.setattr(torch.fft, "irfft2", lambda x, **given: (1.1 if x.dim() == 3 else 1.0) * real(x, **given))
    device, (note,) = trust.trusted("auto")
    assert device is None
    assert note.startswith("a card is not used, the processor is: what it calculates is ")
    with pytest.raises(InputError, match=r"--device cuda: a card cannot be used: .*; take --device cpu"):
        trust.trusted("cuda")
    monkeypatch.setattr(torch.fft, "irfft2", real)
    Full(monkeypatch, 0, NotImplementedError("The operator 'aten::_fft_c2c' is not there\nmore of it"))
    _, (note,) = trust.trusted("auto")
    assert note.endswith("a trial ended with \"The operator 'aten::_fft_c2c' is not there\".")


def test_where_triton_fails_the_other_operations_take_its_place(monkeypatch):
    monkeypatch.setattr(trust, "chosen", lambda name, memory_gb=None: here(words="a card", triton=True))
    monkeypatch.setitem(sys.modules, "napari_lot.lot.device.triton_kernels", None)
    device, (note,) = trust.trusted("auto")
    assert not device.triton
    assert note.startswith("Triton's kernels are not used on a card: a trial ended with ")


# -- a whole run --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def both_runs():
    """The same short run on the compiled road and on that of devices, whose memory ends on the way."""
    series = noisy_series(small_particle())
    found, messages = [], []
    for device in (None, here(words="a small card")):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                lot_prepare, "trusted", lambda *_, device=device: (device, () if device is None else ("Note.",))
            )
            if device is not None:
                Full(patch, 2, ERRORS[0])
            values = {"model": {"probe": "direct", "elements": ["Pt"]}, "solver": {"threads": 1, **SHORT}}
            job = Job(series, settings_from_dict(values))
            messages.append([snapshot.message for snapshot in job.run()])
            found.append(job.result)
    return series, found, messages


def test_a_whole_run_finds_the_same_atoms(both_runs):
    _, (expected, result), _ = both_runs
    assert len(result.orbitals) == len(expected.orbitals)
    apart, _ = cKDTree(expected.orbitals.positions).query(result.orbitals.positions)
    assert np.sqrt((apart**2).mean()) < 0.01
    assert np.nanmean(result.r_factor) == pytest.approx(np.nanmean(expected.r_factor), rel=1e-2)


def test_a_run_says_what_it_was_calculated_on(both_runs):
    series, (expected, result), (_, messages) = both_runs
    assert messages[0].endswith("; calculated on a small card")
    assert (expected.details["device"], expected.details["device_name"]) == ("cpu", None)
    assert (result.details["device"], result.details["device_name"]) == ("cpu", "a small card")
    assert "Note." in result.warnings
    assert any("a small card) ran out: it went on with" in warning for warning in result.warnings)
    assert make_report(series, result, {})["details"]["device_name"] == "a small card"


def test_what_all_batches_need_and_does_not_fit_ends_in_a_sentence():
    device = here(words="a card")

    def bring():
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(InputError, match=r"\(a card\) does not hold the images and orbitals.*--device cpu"):
        device.held(bring)
    tries = iter([True, False])

    def bring_later():
        if next(tries):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return "there"

    assert device.held(bring_later) == "there", "once PyTorch has let go of what it held"
