"""From a tilt series to a volume: preparation, the run and how it ends, settings, and the command."""

import json
import subprocess
import sys
import threading

import numpy as np
import pytest

from napari_lot.cli.app import run
from napari_lot.control import Control
from napari_lot.errors import InputError
from napari_lot.export import read_atoms, read_volume
from napari_lot.series import first_look
from napari_lot.series.tilt_series import TiltSeries
from napari_lot.settings.voxel import Sirt, VoxelSettings, Wbp
from napari_lot.voxel.centring import find_centre_and_drift
from napari_lot.voxel.job import VoxelJob
from napari_lot.voxel.methods import METHODS, voxel_settings
from napari_lot.voxel.prepare import prepare
from napari_lot.voxel.realspace.misfit import correlations
from voxel.balls import PIXEL_A, about_y, density, images, nothing, some_places

N, SIGMA_A, VACUUM = 36, 1.2, 40.0
ANGLES = np.linspace(-70, 70, 15)
PLACES = some_places(radius_A=3.0)
HERE = {"device": "cpu", "threads": 2}


def series(center=(17.5, 17.5), shifts=None, noise=0.02, angles=ANGLES, seed=0, **others):
    """Balls on a bright vacuum, with a little noise."""
    turns = about_y(*angles)
    moved = np.zeros((len(turns), 2)) if shifts is None else shifts
    found = images(PLACES, SIGMA_A, turns, (N, N), center, moved) + VACUUM
    found += np.random.default_rng(seed).normal(0, noise, found.shape)
    columns = np.stack([0 * angles, angles, 0 * angles], -1)
    return TiltSeries(found.astype(np.float32), columns, PIXEL_A, **others)


def quick(method="sirt", **sections):
    sections.setdefault(method, {})
    fields = METHODS[method].section.model_fields
    own = {name: value for name, value in (HERE | {"iterations": 12}).items() if name in fields}
    return voxel_settings(method, sections | {method: own | sections[method]})


def finished(job, control=None):
    seen = list(job.run(control))
    return job.result, seen


# -- preparation --------------------------------------------------------------------------------------------------


def test_vacuum_is_taken_from_every_tilt():
    measured = series()
    raised = measured.with_changes(images=measured.images + np.arange(15, dtype=np.float32)[:, None, None])
    ready = prepare(raised, quick(), (), nothing)
    np.testing.assert_allclose(ready.background, VACUUM + np.arange(15), atol=0.02)
    assert ready.tilts.isolated
    assert np.abs(ready.tilts.images[:, :4]).mean() < 0.03
    told = prepare(measured, quick(grid={"background": 39.0}), (), nothing)
    np.testing.assert_array_equal(told.background, np.full(15, 39.0))


def test_rotation_centre_and_drift_are_found_where_nobody_knows_them():
    rng = np.random.default_rng(0)
    shifts = rng.normal(0, 2.0, (15, 2))
    measured = series((17.5, 19.0), shifts)
    found = prepare(measured, quick(), (), nothing).tilts
    # drift is told apart from a centre and from a motion of the object: their sum is what the images show
    moved = found.shifts_px + np.array(found.center_px[::-1]) - (shifts + np.array([19.0, 17.5]))
    turns = about_y(*ANGLES)[:, :2]
    explained = np.concatenate([turns, np.tile(np.eye(2), (15, 1, 1))], 2).reshape(30, 5)
    left = moved.ravel() - explained @ np.linalg.lstsq(explained, moved.ravel(), rcond=None)[0]
    assert np.abs(left).max() < 0.1
    with_drift, _ = finished(VoxelJob(measured, quick(sirt={"iterations": 40})))
    without, _ = finished(VoxelJob(measured, quick(sirt={"iterations": 40}, grid={"align": False})))
    assert with_drift.agreement()[1] > 0.99
    assert without.agreement()[1] < 0.95


def test_outlines_that_noise_draws_tell_no_drift():
    """At low dose the brightest piece of an object is another one in every tilt; centres of mass of pieces drift."""
    places, turns, expected = some_places(40, 18.0, seed=4), about_y(*ANGLES), (47.5, 47.5)
    clean = images(places, 0.7, turns, (96, 96), (47.5, 48.5), np.zeros((15, 2)))
    noisy = clean + np.random.default_rng(0).normal(0, 1.5 * clean.std(), clean.shape)
    columns = np.stack([0 * ANGLES, ANGLES, 0 * ANGLES], -1)
    measured = TiltSeries(noisy.astype(np.float32), columns, PIXEL_A)
    level = first_look.levels(measured.images, None)
    by_outlines = first_look.find_alignment(measured.images, None, turns, expected, level, 1.0)
    assert by_outlines.held < 0.9
    assert np.abs(by_outlines.shifts_px).max() > 5.0
    found = find_centre_and_drift(measured.images, None, turns, expected, level, 1.0)
    assert not found.shifts_px.any()
    assert found.center_px == pytest.approx((47.5, 48.5), abs=0.8)
    # drift that is far beyond the noise is seen
    moved = np.stack([np.roll(image, 9 * (-1) ** t, 1) for t, image in enumerate(measured.images)])
    drift = find_centre_and_drift(moved, None, turns, expected, level, 1.0).shifts_px[:, 0]
    assert (np.sign(drift) == (-1.0) ** np.arange(15)).all()
    np.testing.assert_allclose(np.abs(drift), 9.0, atol=2.0)


def test_a_centre_that_is_known_is_kept():
    measured = series((17.5, 19.0), center_px=(17.5, 19.0))
    assert prepare(measured, quick(), (), nothing).tilts.center_px == (17.5, 19.0)
    searched = prepare(series((17.5, 19.0)), quick(), (), nothing).tilts.center_px
    assert searched[1] == pytest.approx(19.0, abs=0.05)


def test_binned_images_show_the_same_object():
    measured = series((17.5, 18.3), center_px=(17.5, 18.3))
    fine, coarse = (prepare(measured, quick(grid={"bin": times}), (), nothing) for times in (1, 3))
    assert coarse.tilts.images.shape == (15, 12, 12)
    assert coarse.tilts.pixel_size_A == 3 * PIXEL_A
    assert coarse.tilts.center_px == pytest.approx(((17.5 - 1) / 3, (18.3 - 1) / 3))
    assert coarse.tilts.images.sum() * 9 == pytest.approx(fine.tilts.images.sum(), rel=1e-4)
    assert np.abs(np.array(coarse.shape) * 3 - fine.shape).max() <= 3


def test_masked_pixels_and_tilts_left_out():
    mask = np.ones((15, N, N), bool)
    mask[:, 2:4, 2:4] = False
    measured = series()
    values = measured.images.copy()
    values[:, 2:4, 2:4] = np.nan
    values[6] = 1e4
    ready = prepare(measured.with_changes(images=values, mask=mask, excluded=(6,)), quick(), (3, 10), nothing)
    assert list(ready.fitted) == [0, 1, 2, 4, 5, 7, 8, 9, 11, 12, 13, 14]
    assert len(ready.others) == 2
    assert not ready.tilts.usable[:, 2:4, 2:4].any()
    assert not ready.tilts.images[:, 2:4, 2:4].any()
    assert np.abs(ready.tilts.images).max() < 100
    assert np.isnan(ready.background[6])


def test_a_box_holds_all_that_the_field_shows():
    assert prepare(series(), quick(), (), nothing).shape == (round(36 / np.sin(np.deg2rad(70))), 36, 36)
    assert prepare(series(center_px=(17.5, 20.0)), quick(), (), nothing).shape[2] == 41
    assert prepare(series(), quick(data={"thickness_A": 10.0}), (), nothing).shape[0] == 20
    assert prepare(series(), quick(grid={"shape": [9, 8, 7]}), (), nothing).shape == (9, 8, 7)


def film(thickness_A=12.0):
    """Balls at random in a slab wider than the field, on no background."""
    rng = np.random.default_rng(0)
    places = rng.uniform([-40, -12, -thickness_A / 2], [40, 12, thickness_A / 2], (150, 3))
    turns = about_y(*np.linspace(-60, 60, 13))
    center = (17.5, 17.5)
    found = images(places, 0.8, turns, (N, N), center, np.zeros((13, 2)))
    columns = np.stack([np.zeros(13), np.linspace(-60, 60, 13), np.zeros(13)], -1)
    return TiltSeries(found, columns, PIXEL_A)


def test_a_film_has_no_vacuum_and_a_box_wider_than_the_field():
    ready = prepare(film(), quick(data={"thickness_A": 12.0}), (), nothing)
    assert not ready.tilts.isolated
    assert (ready.background == 0).all()
    assert ready.shape[0] == 24
    assert 36 < ready.shape[2] <= 72
    lifted = film()
    lifted = lifted.with_changes(images=lifted.images + 500)
    assert "vacuum" in prepare(lifted, quick(data={"thickness_A": 12.0}), (), nothing).warnings[0]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_runs_on_a_film(method):
    result, _ = finished(VoxelJob(film(), quick(method, data={"thickness_A": 14.0}), method))
    assert np.isfinite(result.volume.values).all()
    if method != "wbp":
        assert result.agreement()[1] > 0.8


# -- the run ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_a_run_leaves_volume_agreement_time_and_memory(method):
    more = {"iterations": 25} if "iterations" in METHODS[method].section.model_fields else {}
    result, seen = finished(VoxelJob(series(), quick(method, **{method: more}), method))
    assert seen[0].stage == "prepare"
    assert seen[-1].stage == "finished"
    assert seen[-1].volume is result.volume
    truth = density(PLACES, SIGMA_A, result.volume.values.shape)
    assert np.corrcoef(truth.ravel(), result.volume.values.ravel())[0, 1] > (0.8 if method == "wbp" else 0.95)
    assert result.agreement()[1] > (0.8 if method == "wbp" else 0.97)
    assert result.stop_reason == "finished"
    assert result.wall_seconds["total"] >= result.wall_seconds["reconstruct"] > 0
    assert 0.02 < result.peak_memory_gb < 100
    assert result.message.startswith(method.upper())
    # methods in Fourier space begin with number 0 and reproject now and then
    told = {"wbp": [1], "est": [0, 5, 10, 15, 20, 25], "genfire": [0, 5, 10, 15, 20, 25]}
    assert result.history[:, 0].tolist() == told.get(method, list(range(1, 26)))


def test_withheld_tilts_are_predicted_and_nothing_else():
    measured = series()
    job = VoxelJob(measured, quick(data={"withhold": 5}))
    result, seen = finished(job)
    assert job.withheld == (2, 7, 12)
    for snapshot in seen[2:-1]:
        assert np.isnan(snapshot.r_factor[[2, 7, 12]]).all()
    assert np.isfinite(result.r_factor).all()
    assert result.agreement(withheld=True)[0] > result.agreement()[0]
    assert "withheld" in result.message
    spoiled = measured.images.copy()
    spoiled[[2, 7, 12]] *= 2
    other, _ = finished(VoxelJob(measured.with_changes(images=spoiled), quick(data={"withhold": 5})))
    np.testing.assert_array_equal(other.volume.values, result.volume.values)
    assert other.agreement(withheld=True)[0] > 2 * result.agreement(withheld=True)[0]


def test_tilts_left_out_have_no_part():
    measured = series()
    spoiled = measured.images.copy()
    spoiled[4] = np.random.default_rng(0).normal(0, 1e5, (N, N))
    result, _ = finished(VoxelJob(measured.with_changes(images=spoiled), quick(data={"exclude": [4]})))
    assert np.isnan(result.r_factor[4])
    assert np.isnan(result.shifts_px[4]).all()
    assert result.agreement()[1] > 0.95


def test_cancel_keeps_nothing_and_finish_keeps_what_there_is():
    long = quick(sirt={"iterations": 10_000})
    for ask, reason in (("cancel", "cancelled"), ("finish", "finished early")):
        control, job = Control(), VoxelJob(series(), long)
        for snapshot in job.run(control):
            if snapshot.step >= 3 and snapshot.stage == "sirt":
                getattr(control, ask)()
        assert job.stop_reason == reason
        assert (job.result is None) == (ask == "cancel")
    assert 3 <= job.result.iterations < 10_000
    assert "ended by hand" in job.result.message


def test_finish_before_the_first_volume_waits_for_it():
    control = Control()
    control.finish()
    result, _ = finished(VoxelJob(series(), quick(sirt={"iterations": 10_000})), control)
    assert result.iterations == 1


@pytest.mark.parametrize("method", METHODS)
def test_a_volume_that_no_ray_meets_is_empty_and_said_to_be(method):
    measured = series(center_px=(17.5, 71.0))
    sections = {"grid": {"shape": [20, 20, 20], "align": False}}
    if method in ("est", "genfire"):
        with pytest.raises(InputError, match="every voxel is vacuum in some tilt"):
            finished(VoxelJob(measured, quick(method, **sections), method))
        return
    result, _ = finished(VoxelJob(measured, quick(method, **sections), method))
    assert not result.volume.values.any()
    assert "the volume is empty" in result.warnings[-1]


def test_a_time_limit_ends_a_run():
    result, _ = finished(VoxelJob(series(), quick(sirt={"iterations": 10_000}, grid={"max_minutes": 0.005})))
    assert result.stop_reason == "time limit"
    assert result.wall_seconds["total"] < 30


def test_a_pause_holds_the_run_and_is_not_counted():
    control, job = Control(), VoxelJob(series(), quick(sirt={"iterations": 20}))
    control.pause()
    timer = threading.Timer(0.6, control.resume)
    timer.start()
    result, _ = finished(job, control)
    assert result.wall_seconds["paused"] > 0.4
    assert result.iterations == 20


def test_volumes_are_shown_at_most_a_few_times_a_second():
    import time

    began = time.perf_counter()
    _, seen = finished(VoxelJob(series(), quick(sirt={"iterations": 150})))
    assert len(seen) < 5 + 4 * (time.perf_counter() - began)


# -- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "values", "sentence"),
    [
        ("sird", {}, "did you mean sirt"),
        ("sirt", {"sirt": {"relaxation": 2.5}}, "sirt.relaxation: input should be less than 2 (given: 2.5)"),
        ("sirt", {"sirt": {"iteration": 5}}, "did you mean sirt.iterations"),
        ("sirt", {"girt": {}}, "girt: there is no such section"),
        ("sirt", {"grid": {"shape": [0, 5, 5]}}, "grid.shape: must be three numbers of voxels"),
        ("wbp", {"wbp": {"filter": "hamming"}}, "wbp.filter"),
    ],
)
def test_wrong_settings_are_told_in_a_sentence(method, values, sentence):
    with pytest.raises(InputError) as told:
        voxel_settings(method, values)
    assert sentence in str(told.value)
    assert len(str(told.value).splitlines()) == 1


def test_sections_of_other_methods_are_left_to_them():
    settings = voxel_settings("sirt", {"wbp": {"filter": "ramp"}, "sirt": {"iterations": 3}})
    assert settings.method == Sirt(iterations=3)
    assert voxel_settings("wbp", {"wbp": {"filter": "ramp"}}).method == Wbp(filter="ramp")


def refusal(measured, settings=None, method="sirt"):
    with pytest.raises(InputError) as told:
        list(VoxelJob(measured, settings, method).run())
    return str(told.value)


def test_what_cannot_be_reconstructed_is_refused():
    noise = series().with_changes(images=np.random.default_rng(0).normal(0, 1, (15, N, N)).astype(np.float32))
    assert "no object in the field" in refusal(noise)
    assert "bin less" in refusal(series(), quick(grid={"bin": 16}))
    assert "would be withheld" in refusal(series(), quick(data={"withhold": 100}))
    assert "weight of its own" in refusal(series(), quick(data={"tilt_weights": "3=0.5"}))
    assert "but 0.5 in the series" in refusal(series(), quick(data={"pixel_size_A": 0.4}))
    assert "those of Wbp" in refusal(series(), VoxelSettings(method=Wbp()))
    assert "GB are free" in refusal(series(), quick(grid={"shape": [8000, 8000, 8000]}))
    # pixels too coarse for what tells a film's thickness
    assert "thickness cannot be told" in refusal(film().with_changes(pixel_size_A=20.0))


def test_every_setting_says_what_it_is():
    from napari_lot.settings.voxel import Grid

    for section in (Grid, *(entry.section for entry in METHODS.values())):
        for name, field in section.model_fields.items():
            assert field.description, f"{section.__name__}.{name}"
            assert field.description.endswith("."), f"{section.__name__}.{name}"


def test_neither_torch_nor_lot_is_loaded():
    program = "import sys\nimport napari_lot.voxel.job, napari_lot.cli.voxel\n"
    program += "import napari_lot.voxel.realspace.sirt, napari_lot.voxel.realspace.wbp\n"
    program += "sys.exit('torch' in sys.modules or any(m.startswith('napari_lot.lot') for m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# -- the command --------------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "series.npz"
    measured = series()
    np.savez(path, images=measured.images, angles_deg=ANGLES, pixel_size_A=PIXEL_A)
    return path


@pytest.fixture
def call(file, tmp_path, capsys):
    """Run ``voxel METHOD`` on the series; (exit code, stdout, lines of stderr)."""

    def call(method, *flags, out="out"):
        code = run(["voxel", method, str(file), "--out", str(tmp_path / out), *flags])
        captured = capsys.readouterr()
        return code, captured.out, captured.err.splitlines()

    return call


def test_the_command_writes_volume_and_report(call, tmp_path, file):
    code, said, told = call(
        "sirt", "--set", "iterations=8", "--device", "cpu", "--withhold", "6", "--set", "grid.bin=2"
    )
    assert code == 0
    assert "SIRT, 8 iterations: R " in said
    assert any("sirt 8/8" in line or "finished 8/8" in line for line in told)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["report.json", "volume.mrc"]
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    volume = read_volume(tmp_path / "out" / "volume.mrc")
    assert volume.values.shape == tuple(report["volume"]["shape"])
    assert volume.voxel_A == pytest.approx(2 * PIXEL_A)
    np.testing.assert_allclose(volume.origin_A, -(np.array(volume.values.shape[::-1]) - 1) * PIXEL_A, atol=1e-5)
    assert report["method"] == "sirt"
    assert report["settings"]["sirt"]["iterations"] == 8
    assert report["settings"]["grid"]["bin"] == 2
    assert report["withheld"] == [3, 9]
    assert 0 < report["r_factor"]["mean"] < 1
    assert 0 < report["r_withheld"] < 1
    assert report["command"].startswith("napari-lot voxel sirt")
    assert report["wall_seconds"]["total"] > 0


def test_flags_win_over_set_and_set_over_a_file(call, tmp_path):
    config = tmp_path / "run.yaml"
    config.write_text("resire: {iterations: 5, step: 1.1}\nsirt: {iterations: 9}\ngrid: {bin: 3}\n")
    call("resire", "--config", str(config), "--set", "iterations=6", "--iterations", "7", "--set", "grid.bin=2")
    settings = json.loads((tmp_path / "out" / "report.json").read_text())["settings"]
    assert settings["resire"]["iterations"] == 7
    assert settings["resire"]["step"] == 1.1
    assert settings["grid"]["bin"] == 2


def test_a_folder_that_is_not_empty_needs_overwrite(call, tmp_path):
    assert call("wbp")[0] == 0
    code, _, told = call("wbp")
    assert code == 2
    assert "not empty" in told[-1]
    assert call("wbp", "--overwrite")[0] == 0


@pytest.mark.parametrize(
    ("method", "flags", "sentence"),
    [
        ("srit", [], "did you mean sirt"),
        ("wbp", ["--iterations", "3"], "--iterations: wbp has no such setting"),
        ("sirt", ["--set", "relaxation=3"], "--set relaxation: input should be less than 2"),
        ("sirt", ["--set", "relax=1"], "did you mean sirt.relaxation"),
        ("sirt", ["--set", "wbp.filter=ramp"], "sirt runs, not wbp"),
        ("sirt", ["--set", "iterations"], "--set: expected name=value"),
        ("sirt", ["--bin", "0"], "--bin: input should be greater than or equal to 1"),
        ("sirt", ["--iterations", "0"], "--iterations: input should be greater than or equal to 1"),
        ("sirt", ["--mask", "no.tif"], "no such file"),
        ("sirt", ["--thickness", "-3"], "--thickness"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(call, tmp_path, method, flags, sentence):
    code, said, told = call(method, *flags)
    assert code == 2
    assert said == ""
    assert len(told) == 1
    assert sentence in told[0]
    assert not (tmp_path / "out").exists()


def test_an_interrupt_writes_what_there_is(call, tmp_path, monkeypatch):
    import os
    import signal

    from napari_lot.voxel import job as jobs

    plain = jobs.VoxelJob.run

    def interrupted(self, control=None):
        for snapshot in plain(self, control):
            if snapshot.step == 2 and snapshot.stage == "sirt":
                os.kill(os.getpid(), signal.SIGINT)
            yield snapshot

    monkeypatch.setattr(jobs, "SNAPSHOT_INTERVAL_S", 0.0)
    monkeypatch.setattr(jobs.VoxelJob, "run", interrupted)
    assert call("sirt", "--set", "iterations=5000")[0] == 130
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["stop_reason"] == "finished early"
    assert 2 <= report["iterations"] < 5000


def test_correlation_of_identical_images_is_one():
    ready = prepare(series(), quick(), (), nothing)
    np.testing.assert_allclose(correlations(ready.tilts, ready.tilts.images), 1.0)


# -- the atoms of the volume --------------------------------------------------------------------------------------


def test_a_volume_is_traced_where_that_is_asked_for(call, tmp_path, file):
    places = np.array([[-3.5, -2, 0], [0.5, -3, 2.5], [3.5, 0, -2], [-1, 3, -3], [1.5, 2.5, 2.5]])
    shown = images(places, 0.6, about_y(*ANGLES), (N, N), (17.5, 17.5), np.zeros((15, 2)))
    np.savez(file, images=shown, angles_deg=ANGLES, pixel_size_A=PIXEL_A)
    flags = ("--trace", "--element", "Pt", "--spacing", "3.2", "--iterations", "40", "--device", "cpu")
    code, said, told = call("sirt", *flags, "--set", "tracing.fit=gaussian")
    assert code == 0, told
    names = ["atoms.csv", "atoms.xyz", "peaks.csv", "report.json", "volume.mrc"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    found = read_atoms(tmp_path / "out" / "atoms.xyz")
    assert found.elements == ("Pt",)
    assert f"\n{len(found)} atoms: {tmp_path / 'out' / 'atoms.xyz'}" in said
    apart = np.linalg.norm(found.positions[:, None] - places - (found.positions.mean(0) - places.mean(0)), axis=2)
    assert sorted(apart.argmin(1)) == list(range(len(places)))
    assert apart.min(1).max() < 0.2
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["atoms"] == len(found)
    assert sum(report["peaks"].values()) >= len(found)
    assert report["settings"]["tracing"]["fit"] == "gaussian"
    assert report["settings"]["model"]["spacing_A"] == 3.2
    assert report["wall_seconds"]["trace"] > 0
    assert report["method"] == "sirt"
    assert call("wbp", "--overwrite")[0] == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["report.json", "volume.mrc"]


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--element", "Pt"], "--element: says something of atoms, which are not traced; give --trace, too."),
        (["--set", "tracing.fit=none"], "--set tracing.fit: says something of atoms"),
        (["--trace"], "give the element (--element Pt) or the spacing"),
        (["--trace", "--element", "Qx"], "--element: 'Qx' is no element symbol"),
        (["--trace", "--element", "Pt", "--set", "tracing.fits=none"], "did you mean tracing.fit?"),
    ],
)
def test_what_is_wrong_with_a_tracing_is_told_before_the_run(call, tmp_path, flags, sentence):
    code, _, (line,) = call("sirt", *flags)
    assert code == 2
    assert sentence in line
    assert not (tmp_path / "out").exists()


def test_a_volume_without_atoms_is_written_and_that_is_said(call, tmp_path):
    flags = ["--trace", "--element", "Pt", "--set", "tracing.within_A=[90,91,90,91,90,91]"]
    code, _, told = call("sirt", *flags, "--iterations", "5", "--device", "cpu")
    assert code == 2
    assert "no atoms were found in it" in told[-1]
    assert (tmp_path / "out" / "volume.mrc").exists()
