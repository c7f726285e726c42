"""``napari-lot trace`` from a file to files, and a fit that begins with the peaks of a volume."""

from __future__ import annotations

import csv
import json
import shlex

import numpy as np
import pytest

from napari_lot.cli.app import run
from napari_lot.cli.trace import FILES
from napari_lot.export import read_atoms, write_volume
from napari_lot.voxel.volume import Volume
from quick_job import quick_job_in_place, write_small_series
from voxel.painted import VOXEL_A, noise, painted, pairs, random_atoms, volume_of

ATOMS = random_atoms(2, 6.5, tries=2500)
KIND = np.arange(len(ATOMS)) % 2
STRENGTH = np.where(KIND == 0, 1.0, 0.4)
VALUES = painted(ATOMS, STRENGTH, size=40) + noise(3, 40, 0.004)


@pytest.fixture
def volume(tmp_path):
    write_volume(tmp_path / "a.mrc", volume_of(VALUES))
    return tmp_path / "a.mrc"


@pytest.fixture
def call(volume, capsys):
    """Run ``trace`` on the volume; (exit code, stdout, lines of stderr)."""

    def call(*flags, out="out", of=volume):
        code = run(["trace", str(of), "--out", str(volume.parent / out), *flags])
        said = capsys.readouterr()
        return code, said.out, said.err.splitlines()

    return call


def table(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_volume_in_and_its_atoms_out(call, volume, tmp_path):
    code, out, errors = call("--element", "Pt,Fe")
    assert (code, errors) == (0, [])
    assert out.startswith(f"{len(ATOMS)} atoms, ")
    assert f"\n{(KIND == 0).sum()} Pt, {(KIND == 1).sum()} Fe" in out
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(FILES)
    for name in ("atoms.csv", "atoms.xyz"):
        found = read_atoms(tmp_path / "out" / name)
        these = pairs(found.positions, ATOMS, 0.3)
        assert len(these) == len(found) == len(ATOMS)
        of_kind = np.array(["Pt", "Fe"])[KIND[these[:, 1]]]
        assert np.array(found.symbols)[these[:, 0]].tolist() == of_kind.tolist()
        np.testing.assert_allclose(found.integrated[these[:, 0]], STRENGTH[these[:, 1]], rtol=0.12)
    rows = table(tmp_path / "out" / "atoms.csv")
    assert {row["flag"] for row in rows} == {"0"}
    for name in ("intensity_A2", "fit_residual", "p_element"):
        assert all(float(row[name]) > 0 for row in rows), name
    report = json.loads((tmp_path / "out" / "report.json").read_text(), parse_constant=pytest.fail)
    assert report["atoms"] == report["peaks"]["ok"] == len(ATOMS)
    assert report["elements"] == {"Pt": (KIND == 0).sum(), "Fe": (KIND == 1).sum()}
    assert report["mixture"]["elements"] == ["Fe", "Pt"]
    assert report["volume"]["shape"] == [40, 40, 40]
    assert report["volume"]["voxel_A"] == VOXEL_A
    assert 0 < report["tracing"]["threshold"] < 0.4
    assert report["settings"]["tracing"]["fit"] == "ellipsoid"
    assert report["wall_seconds"]["total"] >= report["wall_seconds"]["trace"] > 0
    assert report["command"] == shlex.join(
        ["napari-lot", "trace", str(volume), "--out", str(tmp_path / "out"), "--element", "Pt,Fe"]
    )


def test_flags_win_over_set_and_that_over_config(call, tmp_path):
    (tmp_path / "a.yaml").write_text("tracing: {fit: none, threshold: 0.9, rounds: 2}\nmodel: {elements: [Pt]}\n")
    flags = ["--config", str(tmp_path / "a.yaml"), "--set", "threshold=0.6", "--set", "tracing.fit=polynomial"]
    assert call(*flags, "--fit", "gaussian", "--min-distance", "2.1")[0] == 0
    said = json.loads((tmp_path / "out" / "report.json").read_text())
    asked = said["settings"]["tracing"]
    assert (asked["fit"], asked["threshold"], asked["rounds"]) == ("gaussian", 0.6, 2)
    assert said["tracing"]["min_distance_A"] == pytest.approx(2.1)
    assert said["tracing"]["threshold"] == 0.6
    assert said["atoms"] == (KIND == 0).sum(), "the weak ones are below it"


def test_peaks_that_are_no_atoms_are_told_and_kept_apart(call, tmp_path):
    code, out, _ = call("--min-distance", "3.5", "--threshold", "0.25")
    assert code == 0
    assert "Peaks that are no atoms: " in out
    assert "too close" in out
    atoms, peaks = table(tmp_path / "out" / "atoms.csv"), table(tmp_path / "out" / "peaks.csv")
    refused = [row for row in peaks if row["flag"] != "0"]
    assert len(peaks) == len(atoms) + len(refused)
    assert len(refused) > 5
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert sum(report["peaks"].values()) == len(peaks)
    assert {row["flag"] for row in peaks} <= set(report["flags"])


def test_a_mask_and_a_voxel_size(call, tmp_path):
    mask = np.zeros(VALUES.shape, np.float32)
    mask[:, :, 20:] = 1
    np.savez(tmp_path / "mask.npz", volume=mask)
    np.savez(tmp_path / "b.npz", volume=VALUES.astype(np.float32))
    flags = ["--element", "Pt,Fe", "--voxel-size", str(VOXEL_A), "--mask", str(tmp_path / "mask.npz")]
    code, _, errors = call(*flags, of=tmp_path / "b.npz")
    assert (code, errors) == (0, [])
    found = read_atoms(tmp_path / "out" / "atoms.csv")
    assert found.positions[:, 0].min() > -VOXEL_A
    assert abs(len(found) - (ATOMS[:, 0] > 0).sum()) <= 3


def test_results_are_replaced_only_where_that_is_asked_for(call, tmp_path):
    assert call("--element", "Pt")[0] == 0
    before = (tmp_path / "out" / "atoms.csv").read_bytes()
    code, _, (line,) = call("--element", "Pt", "--fit", "none")
    assert code == 2
    assert line.endswith("the output folder is not empty; give another --out, or --overwrite.")
    assert (tmp_path / "out" / "atoms.csv").read_bytes() == before
    assert call("--element", "Pt", "--fit", "none", "--overwrite")[0] == 0
    rows = table(tmp_path / "out" / "atoms.csv")
    assert "fit_residual" not in rows[0], "nothing was fitted"


def test_the_volume_itself_is_never_replaced(call, volume, tmp_path):
    (tmp_path / "out").mkdir()
    volume.rename(tmp_path / "out" / "a.mrc")
    assert call("--element", "Pt", "--overwrite", of=tmp_path / "out" / "a.mrc")[0] == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*FILES, "a.mrc"}


# -- a fit that begins with the peaks ----------------------------------------------------------------------------------


@pytest.fixture
def begin(tmp_path, monkeypatch, capsys):
    """Run ``reconstruct`` with a stand-in for the solver that keeps what it is given; (code, jobs, lines of stderr)."""
    job = quick_job_in_place(monkeypatch)
    series = write_small_series(tmp_path / "series.npz")

    def begin(*flags):
        lens = ["--energy", "300e3", "--semiangle", "25"]
        code = run(["reconstruct", str(series), "--out", str(tmp_path / "fit"), *lens, *flags])
        return code, job.seen, capsys.readouterr().err.splitlines()

    return begin


def test_a_fit_begins_with_the_peaks_of_a_volume(begin, volume):
    code, (job,), errors = begin("--start", str(volume), "--elements", "Pt,Fe", "--set", "tracing.fit=gaussian")
    assert code == 0, errors
    assert job.settings.start.kind == str(volume)
    assert job.start.elements == ("Pt", "Fe")
    these = pairs(job.start.positions, ATOMS, 0.3)
    assert len(these) == len(job.start) == len(ATOMS)
    np.testing.assert_array_equal(job.start.species[these[:, 0]], KIND[these[:, 1]])
    methods = (volume.parent / "fit" / "methods.md").read_text(encoding="utf-8")
    assert f"The fit began with the peaks of a volume ({volume})." in methods


def test_a_start_without_atoms_is_told_in_a_sentence(begin, tmp_path):
    write_volume(tmp_path / "none.mrc", Volume.centred(np.zeros((9, 9, 9), np.float32), 0.4))
    code, jobs, (line,) = begin("--start", str(tmp_path / "none.mrc"), "--element", "Pt")
    assert (code, jobs) == (2, [])
    assert "none.mrc: no atoms were found; check the voxel size" in line
    code, jobs, (line,) = begin("--start", str(tmp_path / "nowhere.mrc"), "--element", "Pt")
    assert (code, jobs) == (2, [])
    assert line.endswith("nowhere.mrc: no such file: check the name of the volume.")
    code, jobs, (line,) = begin("--start", str(tmp_path / "none.mrc"))
    assert (code, jobs) == (2, [])
    assert "give the element (--element Pt)" in line


def test_peaks_of_the_series_itself_are_left_to_the_job(begin):
    code, (job,), errors = begin("--start", "peaks", "--element", "Pt", "--set", "start.peaks_method=resire")
    assert code == 0, errors
    assert (job.settings.start.kind, job.settings.start.peaks_method) == ("peaks", "resire")
    assert job.start is None
    assert job.from_peaks
    code, jobs, (line,) = begin("--start", "peaks", "--element", "Pt", "--set", "start.peaks_method=fbp", "--overwrite")
    assert (code, len(jobs)) == (2, 1)
    assert line.startswith("napari-lot: --set start.peaks_method: input should be 'wbp'")
