"""The command line in one process, with a stand-in for the solver: exit codes, sentences, files, precedence."""

import io
import json
import os
import shlex
import signal
import sys
from dataclasses import replace

import numpy as np
import pytest
import tifffile

from napari_lot.cli.app import run
from napari_lot.cli.options import gather
from napari_lot.errors import InputError
from napari_lot.lot.fitting import refined_groups
from napari_lot.report import RESULT_FILES
from napari_lot.settings import REFINED_BY_DEFAULT
from quick_job import QuickJob

SOURCE = ["--energy", "300e3", "--semiangle", "25", "--element", "Pt"]


@pytest.fixture(autouse=True)
def fake(monkeypatch):
    class Fake(QuickJob):
        seen = []  # noqa: RUF012  # each test has its own

    monkeypatch.setattr("napari_lot.job.Job", Fake)
    return Fake


@pytest.fixture
def series(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "series.tif"
    tifffile.imwrite(path, rng.uniform(1, 2, (5, 16, 18)).astype(np.float32))
    (tmp_path / "angles.csv").write_text(
        "psi_deg,theta_deg,phi_deg\n" + "".join(f"0,{a},0\n" for a in range(-20, 30, 10))
    )
    return path


@pytest.fixture
def call(series, tmp_path, capsys):
    """Run ``reconstruct`` on the series; (exit code, stdout, lines of stderr)."""

    def call(*flags, out="out"):
        code = run(["reconstruct", str(series), "--out", str(tmp_path / out), "--pixel-size", "0.5", *flags])
        captured = capsys.readouterr()
        return code, captured.out, captured.err.splitlines()

    return call


def test_a_probe_that_the_fit_changed_is_written_as_it_was_too(call, tmp_path, fake):
    was, changed = np.full((3, 4, 4), 1 / 16, np.float32), [True]
    was[:, 2, 2] += 0.5

    class Changed(fake):
        def run(self, control=None):
            yield from super().run(control)
            after = self.result.probe
            before = replace(after, images=was) if changed[0] else after
            self.result = replace(self.result, probe_before=before)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("napari_lot.job.Job", Changed)
        assert call(*SOURCE)[0] == 0
        with tifffile.TiffFile(tmp_path / "out" / "probe_before.tif") as file:
            np.testing.assert_array_equal(file.asarray(), was)
            assert file.series[0].axes == "ZYX"
        assert tifffile.imread(tmp_path / "out" / "probe.tif").max() == np.float32(1 / 16)
        changed[0] = False
        assert call(*SOURCE, "--overwrite")[0] == 0
    assert not (tmp_path / "out" / "probe_before.tif").exists(), "no file of another run is left"


def test_a_run_writes_the_files_of_the_contract(call, tmp_path, series):
    code, out, _ = call(*SOURCE, "--seed", "7")
    assert code == 0
    assert out.splitlines()[0].startswith("4 atoms, ")
    assert len(out.splitlines()) == 2
    assert {p.name for p in (tmp_path / "out").iterdir()} == set(RESULT_FILES) - {"probe_before.tif"}
    report = json.loads((tmp_path / "out" / "report.json").read_text(), parse_constant=pytest.fail)
    assert report["atoms"] == 4
    assert report["r_factor"] == {"mean": 0.05, "per_tilt": [0.05, 0.05, 0.05, 0.05, None]}
    assert set(report["corrections"]) == {"center_px", "shifts_px", "angles_deg", "scale", "background", "defocus_A"}
    assert report["corrections"]["center_px"] == [7.5, 8.5]
    assert np.shape(report["corrections"]["shifts_px"]) == (5, 2)
    assert report["wall_seconds"]["refine"] == 0.2
    assert report["wall_seconds"]["total"] > 0
    assert 0.02 < report["peak_memory_gb"] < 100
    assert report["stop_reason"] == "converged"
    assert report["settings"]["microscope"]["energy_eV"] == 300e3
    assert report["settings"]["model"]["elements"] == ["Pt"]
    assert report["seed"] == 7
    assert report["device"] == "cpu"
    assert report["probe"]["depths_A"] == [-5, 0, 5]
    assert {"napari-lot", "torch", "numpy", "python"} <= set(report["versions"])
    args = ["reconstruct", str(series), "--out", str(tmp_path / "out"), "--pixel-size", "0.5", *SOURCE, "--seed", "7"]
    assert report["command"] == shlex.join(["napari-lot", *args])
    measured = tifffile.imread(series)
    read = {name: tifffile.imread(tmp_path / "out" / f"{name}.tif") for name in ("calculated", "residual", "probe")}
    np.testing.assert_allclose(read["calculated"] + read["residual"], measured, rtol=1e-6)
    np.testing.assert_allclose(read["probe"].sum(axis=(1, 2)), 1, rtol=1e-6)


def test_the_job_gets_what_the_flags_say(call, fake, tmp_path):
    mask = np.ones((16, 18), np.uint8)
    mask[:, :3] = 0
    tifffile.imwrite(tmp_path / "mask.tif", mask)
    flags = "--tilt-axis 12 --center 7,9.5 --counts --thickness 40 --probe rigid --energy 200e3 --semiangle 30"
    flags += " --defocus -50"
    flags += (
        " --c30 1e4 --c12 20,45 --source-size 0.5 --focal-spread 30 --elements Fe,Pt --spacing 2.4 --orbital gaussian"
    )
    flags += " --start grid --likelihood poisson --fix width,scale --exclude 0 --withhold 4"
    flags += " --device cpu --threads 2 --seed 3"
    flags += f" --max-minutes 2 --set solver.seed=99 --mask {tmp_path / 'mask.tif'} --angles {tmp_path / 'angles.csv'}"
    assert call(*flags.split())[0] == 0
    (job,) = fake.seen
    s = job.settings
    m = s.microscope
    assert (m.energy_eV, m.semiangle_mrad, m.defocus_A, m.c30_A, m.c12_A, m.phi12_deg) == (200e3, 30, -50, 1e4, 20, 45)
    assert (m.source_size_A, m.focal_spread_A) == (0.5, 30)
    assert (s.data.thickness_A, s.data.exclude, s.data.withhold) == (40, (0,), 4)
    assert (s.data.center_px, s.data.counts) == ((7, 9.5), True)
    assert (s.model.probe, s.model.elements, s.model.spacing_A, s.model.likelihood) == (
        "rigid",
        ("Fe", "Pt"),
        2.4,
        "poisson",
    )
    assert s.solver.refine is None
    assert s.solver.fix == ("width", "scale")
    assert (s.solver.seed, s.solver.threads, s.solver.max_minutes) == (3, 2, 2)
    assert (job.series.tilt_axis_deg, job.series.center_px, job.series.counts) == (12, (7, 9.5), True)
    assert job.series.excluded == (0,)
    assert job.series.mask is not None
    assert job.series.mask.mean() == pytest.approx(15 / 18)
    assert job.start is None


def test_precedence(tmp_path):
    config = tmp_path / "run.yaml"
    config.write_text("solver: {seed: 1, threads: 1, max_minutes: 1}\nmodel: {elements: [Pt]}\n")
    given = gather({"seed": 3}, config, ["solver.seed=2", "solver.threads=2"])
    settings = given.with_file(
        {"solver.max_minutes": 9, "model.elements": ("Au",), "data.counts": True}, "f"
    ).settings()
    assert (settings.solver.seed, settings.solver.threads, settings.solver.max_minutes) == (3, 2, 1)
    assert (settings.model.elements, settings.data.counts, settings.model.probe) == (("Pt",), True, "rigid")


def test_what_is_fixed_is_not_refined_whatever_else_is_said(tmp_path):
    (tmp_path / "run.yaml").write_text("solver: {refine: [positions, heights, width]}\n")
    given = gather({"fix": "width"}, tmp_path / "run.yaml").settings().solver
    assert refined_groups(given, isolated=True) == {"positions", "heights"}
    given = gather({"refine": "positions,scale", "fix": "scale"}).settings().solver
    assert refined_groups(given, isolated=True) == {"positions"}
    given = gather({"fix": "scale"}).settings().solver
    assert refined_groups(given, isolated=True) == set(REFINED_BY_DEFAULT) - {"scale"}
    assert refined_groups(given, isolated=False) == set(REFINED_BY_DEFAULT) - {"scale", "shifts"}, "a film's are kept"


def test_start_from_a_file(call, fake, tmp_path):
    (tmp_path / "start.xyz").write_text("2\n\nAu 1 2 3\nAu 4 5 6\n")
    assert call(*SOURCE[:4], "--start", str(tmp_path / "start.xyz"))[0] == 0
    (job,) = fake.seen
    assert job.start.positions.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert job.settings.model.elements == ("Au",)


@pytest.mark.parametrize("args", [["nonsense"], ["reconstruct"], ["voxel", "wbp"], ["resume", "a.lot.h5"], ["info"]])
def test_wrong_commands_are_one_line(args, capsys):
    assert run(args) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_output_folder_is_judged_before_the_run(call, fake, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious.txt").write_text("mine")
    code, _, err = call(*SOURCE)
    assert (code, len(err), fake.seen) == (2, 1, [])
    assert "the output folder is not empty; give another --out, or --overwrite" in err[0]
    assert call(*SOURCE, "--overwrite")[0] == 0
    assert (tmp_path / "out" / "precious.txt").read_text() == "mine"


def test_a_run_that_broke_off_is_not_overwritten(call, fake, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "autosave.lot.h5").write_bytes(b"an hour of work")
    code, _, err = call(*SOURCE)
    assert (code, len(err), fake.seen) == (2, 1, [])
    assert f"holds a run that broke off: go on with it by napari-lot resume {out / 'autosave.lot.h5'}, give" in err[0]
    code, _, err = call(*SOURCE, "--overwrite")
    assert code == 0
    assert any(line.endswith(f"is kept as {out / 'broken-off.lot.h5'}.") for line in err)
    assert (out / "broken-off.lot.h5").read_bytes() == b"an hour of work"


def test_neither_an_autosave_nor_what_a_link_leads_to_is_replaced(call, fake, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    for name in ("autosave.lot.h5", "atoms.xyz"):
        (out / name).write_text("1\n\nAu 1 2 3\n")
    (tmp_path / "link.xyz").symlink_to(out / "atoms.xyz")
    for start in (out / "autosave.lot.h5", tmp_path / "link.xyz"):
        code, _, err = call(*SOURCE, "--overwrite", "--start", str(start))
        assert (code, fake.seen) == (2, [])
        assert err[0].endswith(f"{start}: would be replaced by the result of the same name; give another --out.")


def test_a_result_never_replaces_what_was_measured(tmp_path, capsys, series):
    measured = tmp_path / "calculated.tif"
    series.rename(measured)
    before = measured.read_bytes()
    code = run(["reconstruct", str(measured), "--out", str(tmp_path), "--overwrite", "--pixel-size", "0.5", *SOURCE])
    assert code == 2
    assert "would be replaced by the result of the same name" in capsys.readouterr().err
    assert measured.read_bytes() == before


def test_no_atoms_is_the_users_matter(call, fake, tmp_path):
    fake.atoms = 0
    code, _, err = call(*SOURCE)
    assert (code, len(err)) == (2, 3)  # two lines of progress before
    assert "no atoms were found; check" in err[-1]
    assert not (tmp_path / "out").exists()


def test_the_jobs_own_input_error(call, fake, tmp_path):
    def during(job, control, step):
        raise InputError("series: what,\nwhere and what to do.")

    fake.during = during
    code, _, err = call(*SOURCE)
    assert (code, err) == (2, ["napari-lot: series: what, where and what to do."])
    assert not (tmp_path / "out").exists()


def test_an_internal_error_is_one_line_and_a_log(call, fake, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def during(job, control, step):
        raise ZeroDivisionError("deep inside")

    fake.during = during
    code, _, err = call(*SOURCE)
    assert (code, len(err)) == (1, 1)
    assert err[0].startswith("napari-lot: internal error: ZeroDivisionError: deep inside (traceback in ")
    (log,) = tmp_path.glob("napari-lot-*.log")
    assert str(log) in err[0]
    assert "Traceback" in log.read_text()
    assert not (tmp_path / "out").exists()


def _told_by_a_loader():
    """As llvmlite tells that its library did not fit."""
    try:
        raise OSError("libllvmlite.so: failed to map segment from shared object")
    except OSError:
        raise OSError("Could not find/load shared object file 'libllvmlite.so'") from None


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB."),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        OSError("Could not find/load shared object file"),
    ],
)
def test_out_of_memory_says_a_way_out(call, fake, error):
    def during(job, control, step):
        if type(error) is OSError:
            _told_by_a_loader()
        raise error

    fake.during = during
    code, _, err = call(*SOURCE)
    way = " take --device cpu," if "CUDA" in str(error) else ""
    assert (code, err) == (1, [f"napari-lot: out of memory: bin or crop the series,{way} or close other programs."])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_keeps_what_there_is(call, fake, tmp_path, number):
    fake.steps = 10_000

    def during(job, control, step):
        if step == 3:
            os.kill(os.getpid(), number)

    fake.during = during
    before = signal.getsignal(number)
    code, _, err = call(*SOURCE)
    assert code == 130
    assert any("Interrupted: finishing with what there is" in line for line in err)
    assert json.loads((tmp_path / "out" / "report.json").read_text())["stop_reason"] == "finished early"
    assert signal.getsignal(number) is before


def test_a_second_interrupt_breaks_off(call, fake, tmp_path):
    def during(job, control, step):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    fake.during = during
    assert call(*SOURCE)[0] == 130
    assert not (tmp_path / "out").exists()


def test_a_full_disk_at_the_end_loses_nothing(call, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    from napari_lot import report

    real = report.write_atoms_csv

    def full(path, *args):
        if "out" in path.parts:
            raise OSError(28, "No space left on device")
        real(path, *args)

    monkeypatch.setattr(report, "write_atoms_csv", full)
    code, _, err = call(*SOURCE)
    assert code == 2
    assert "cannot write the results: No space left on device; they are in " in err[-1]
    assert not (tmp_path / "out").exists()
    (rescue,) = [p for p in tmp_path.glob("napari-lot-*") if p.is_dir()]
    assert (rescue / "atoms.xyz").is_file()


def test_where_no_file_may_grow_the_atoms_and_the_autosave_are_told_of(call, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    from napari_lot import report

    def full(path, *args, **named):
        raise OSError("12996 requested and 0 written")

    out = tmp_path / "out"
    monkeypatch.setattr(report, "write_stack", full)
    code, _, err = call(*SOURCE)
    why = f"{out}: cannot write the results: the disk is full, or files may not grow so large"
    assert code == 2
    assert err[-1] == f"napari-lot: {why}; the atoms are in {out}."
    assert sorted(path.name for path in out.iterdir()) == ["atoms.csv", "atoms.xyz"]
    monkeypatch.setattr(report, "write_atoms_csv", full)
    (out / "autosave.lot.h5").write_bytes(b"the last state")
    monkeypatch.setattr("napari_lot.cli.reconstruct._keep_broken_off", lambda out: None)
    code, _, err = call(*SOURCE, "--overwrite")
    last = f"The last state of the run is in {out / 'autosave.lot.h5'}: napari-lot resume goes on."
    assert err[-1] == f"napari-lot: {why}; they are lost. {last}"
    assert not list(tmp_path.glob("napari-lot-*")), "nothing empty is left behind"


@pytest.mark.parametrize("args", [["info", ""], ["reconstruct", "a.tif", "--out", ""]])
def test_an_empty_variable_of_the_shell(args, capsys):
    assert run(args) == 2
    before = " ".join(["napari-lot", *args[:-1]])
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"napari-lot: after '{before}' an argument is empty")


def test_truth_is_no_number(call, fake):
    code, _, err = call(*SOURCE, "--set", "solver.threads=true")
    assert (code, fake.seen) == (2, [])
    assert "solver.threads: must be a number, not true or false" in err[0]


def test_progress_off_a_terminal_is_plain_and_on_stderr(call):
    code, out, err = call(*SOURCE)
    assert code == 0
    assert err == ["    0.0 s, start 0/3, 4 orbitals, R 5.00 %", "    0.1 s, refine 1/3, 4 atoms, R 5.00 %"]
    assert "refine" not in out


def test_progress_on_a_terminal(call, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "140")
    assert call(*SOURCE)[0] == 0
    assert "refine" in terminal.getvalue()
    assert "4 atoms  R 5.00 %" in terminal.getvalue()
    assert "left" in terminal.getvalue()


def test_info(series, capsys):
    assert run(["info", str(series), "--pixel-size", "0.5", "--exclude", "4"]) == 0
    out = capsys.readouterr().out
    for part in ("16 x 18 pixels, 8 x 9 Å", "0.5 Å", "-20° to 20° in steps of 10°", "intensity, 1.0", "without 4"):
        assert part in out


def test_info_needs_a_pixel_size(series, capsys):
    assert run(["info", str(series)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "pixel size" in line


def test_compare(tmp_path, capsys):
    (tmp_path / "a.xyz").write_text("2\n\nAu 0.1 0 0\nAu 3.1 0 0\n")
    (tmp_path / "b.xyz").write_text("3\n\nAu 0 0 0\nPt 3 0 0\nPt 9 9 9\n")
    assert run(["compare", str(tmp_path / "a.xyz"), str(tmp_path / "b.xyz"), "--cutoff", "0.5"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["matched", "2", "within", "0.5", "Å"] in lines
    assert ["recall", "0.66667"] in lines
    assert ["precision", "1.00000"] in lines
    assert ["RMSD", "0.000", "pm"] in lines
    assert ["shift", "removed", "0.100,", "0.000,", "0.000", "Å"] in lines
    assert run(["compare", str(tmp_path / "a.xyz"), str(tmp_path / "nowhere")]) == 2
    assert "nowhere: no such file of atoms" in capsys.readouterr().err


def test_devices_and_version(capsys):
    assert run(["devices"]) == 0
    assert "PyTorch" in capsys.readouterr().out
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == "napari-lot 0.1.0\n"
