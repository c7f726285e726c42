"""Sessions in the terminal: written while a run goes on, gone on with, and exported from."""

import time
from dataclasses import replace

import ase.io
import numpy as np
import pytest

from napari_lot import __version__
from napari_lot.cli.app import run
from napari_lot.code_mark import code_mark
from napari_lot.export import read_atoms
from napari_lot.result import Checkpoint
from napari_lot.session import RunState, read_session, write_session
from quick_job import quick_job_in_place, write_small_series

PROBE = ["--energy", "3e5", "--semiangle", "25", "--element", "Pt"]


@pytest.fixture
def quick(monkeypatch):
    return quick_job_in_place(monkeypatch)


@pytest.fixture
def series(tmp_path):
    return write_small_series(tmp_path / "series.npz")


def done(series, out, *more):
    assert run(["reconstruct", str(series), "--out", str(out), *PROBE, *more]) == 0
    return out / "run.lot.h5"


def test_results_hold_a_session_and_a_methods_paragraph(quick, series, tmp_path):
    session = read_session(done(series, tmp_path / "out", "--seed", "4"))
    assert (len(session.result.orbitals), session.settings.solver.seed) == (4, 4)
    assert len(session.history) == 3
    assert "pixel size of 0.3 Å" in (tmp_path / "out" / "methods.md").read_text(encoding="utf-8")
    assert not (tmp_path / "out" / "autosave.lot.h5").exists()
    small = done(series, tmp_path / "two", "--set", "output.embed_images=false")
    assert read_session(small).series.images.shape == (9, 16, 18)


def test_a_crash_leaves_an_autosave_to_go_on_with(quick, series, tmp_path, capsys):
    def crash(job, control, step):
        if step == 1:
            time.sleep(1.05)
        if step == 2:
            raise RuntimeError("lightning")

    quick.during = crash
    out = tmp_path / "out"
    assert run(["reconstruct", str(series), "--out", str(out), *PROBE, "--set", "output.autosave_s=1"]) == 1
    said = capsys.readouterr().err
    assert f"The last state of the run is in {out / 'autosave.lot.h5'}: napari-lot resume goes on." in said
    assert "lightning" in said
    assert [p.name for p in out.iterdir()] == ["autosave.lot.h5"]
    session = read_session(out / "autosave.lot.h5")
    assert session.state.step == 1
    quick.during = None
    args = ["resume", str(out / "autosave.lot.h5"), "--out", str(tmp_path / "again"), "--threads", "1"]
    assert run(args) == 0
    job = quick.seen[-1]
    assert len(job.start) == 4
    np.testing.assert_array_equal(job.series.images, session.series.images)
    assert (job.settings.solver.threads, job.settings.model.elements) == (1, ("Pt",))
    assert job.settings.start.kind == str(out / "autosave.lot.h5")
    assert "began with given atoms" in (tmp_path / "again" / "methods.md").read_text(encoding="utf-8")
    assert run([*args[:2], "--out", str(out), "--overwrite"]) == 2, "it would be replaced by its own successor"


def test_resume_begins_anew_where_there_were_no_atoms(quick, series, tmp_path, capsys):
    session = read_session(done(series, tmp_path / "out"))
    state = RunState(session.orbitals, "positions", 4, 90, 1.0, np.zeros(9), 1.0, "")
    write_session(tmp_path / "early.lot.h5", replace(session, result=None, state=state))
    assert run(["resume", str(tmp_path / "early.lot.h5"), "--out", str(tmp_path / "b")]) == 0
    assert "had not become atoms yet: it begins anew" in capsys.readouterr().err
    assert quick.seen[-1].start is None
    assert run(["export", str(tmp_path / "early.lot.h5"), str(tmp_path / "a.cif")]) == 2
    assert run(["resume", str(series), "--out", str(tmp_path / "c")]) == 2
    assert "not a session" in capsys.readouterr().err.splitlines()[-1]


def test_resume_goes_on_exactly_where_the_file_says_where_the_run_was(quick, series, tmp_path, capsys):
    session = read_session(done(series, tmp_path / "out"))
    numbers, path = {"state: height": np.arange(3.0)}, tmp_path / "broken_off.lot.h5"
    for code, exactly in ((code_mark(), True), (f"{__version__} 0123456789ab", False)):
        words = {"code": code, "road": [["passes heights", None]], "random": {"state": 2**100}}
        state = RunState(session.orbitals, "refine", 4, 90, 1.0, np.zeros(9), 1.0, "", Checkpoint(numbers, words))
        write_session(path, replace(session, result=None, state=state))
        assert run(["resume", str(path), "--out", str(tmp_path / code)]) == 0
        job = quick.seen[-1]
        assert (job.start is None) == exactly, "of other code it is the atoms that a run begins with"
        assert ("was written by other code: its atoms are refined" in capsys.readouterr().err) == (not exactly)
        assert (job.checkpoint is not None) == exactly
        if exactly:
            assert job.checkpoint.words == words
            np.testing.assert_array_equal(job.checkpoint.numbers["state: height"], numbers["state: height"])
            assert job.settings == session.settings, "the road is that of the settings"


def test_a_session_is_a_start(quick, series, tmp_path):
    path = done(series, tmp_path / "out")
    done(series, tmp_path / "two", "--start", str(path))
    np.testing.assert_array_equal(quick.seen[-1].start.positions, read_session(path).orbitals.positions)


def test_nothing_is_left_of_a_run_without_a_result(quick, series, tmp_path):
    quick.atoms = 0
    out = tmp_path / "new"
    assert run(["reconstruct", str(series), "--out", str(out), *PROBE]) == 2
    assert not out.exists()


def test_export_of_a_session_and_of_a_file(quick, series, tmp_path, capsys):
    path = done(series, tmp_path / "out")
    capsys.readouterr()
    for name in ("a.cif", "a.pdb", "a.csv", "a.xyz"):
        assert run(["export", str(path), str(tmp_path / name)]) == 0
    assert len(ase.io.read(tmp_path / "a.cif")) == 4
    assert "tilts_seen" in (tmp_path / "a.csv").read_text().splitlines()[0]
    assert run(["export", str(tmp_path / "a.csv"), str(tmp_path / "b.xyz"), "--plain"]) == 0
    np.testing.assert_allclose(read_atoms(tmp_path / "b.xyz").positions, read_atoms(tmp_path / "a.csv").positions)
    assert run(["export", str(path), str(tmp_path / "methods.txt")]) == 0
    assert "HAADF-STEM" in (tmp_path / "methods.txt").read_text(encoding="utf-8")
    capsys.readouterr()
    for args, why in (
        ([str(path), str(tmp_path / "a.cif")], "exists already; give another name, or --overwrite"),
        ([str(path), str(tmp_path / "a.docx")], "atoms are written as"),
        ([str(tmp_path / "a.csv"), str(tmp_path / "m.md")], "needs the session of a run that ended"),
        ([str(path), str(tmp_path / "nowhere" / "a.csv")], "cannot write there"),
    ):
        assert run(["export", *args]) == 2
        assert why in capsys.readouterr().err


def test_a_time_limit_is_that_of_one_go(quick, series, tmp_path, capsys):
    path = done(series, tmp_path / "out", "--max-minutes", "3")
    assert quick.seen[-1].settings.solver.max_minutes == 3
    assert run(["resume", str(path), "--out", str(tmp_path / "b")]) == 0
    assert quick.seen[-1].settings.solver.max_minutes is None
    assert "This run had come to its end: its atoms are refined." in capsys.readouterr().err
    assert run(["resume", str(path), "--out", str(tmp_path / "c"), "--max-minutes", "5"]) == 0
    assert quick.seen[-1].settings.solver.max_minutes == 5
