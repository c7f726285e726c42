"""Orbitals against voxels: what a run is given, how atoms are judged, failures told; nothing long is run."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from napari_lot.atoms import Orbitals
from napari_lot.export import write_atoms

ROOT = Path(__file__).parents[2]


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks.voxel import cases, figures, measure, page

    return cases, measure, page, figures


def test_all_are_given_the_same_facts_and_nothing_else(bench, folder):
    cases, measure, _, _ = bench
    orbitals, voxels = (measure.flags_of(folder, method) for method in ("lot", "est"))
    assert set(orbitals) - set(voxels) == {
        "--energy",
        "300000.0",
        "--semiangle",
        "25.0",
        "--source-size",
        orbitals[orbitals.index("--source-size") + 1],
    }
    assert set(voxels) - set(orbitals) == {"--trace"}
    assert all(measure.flags_of(folder, method) == voxels for method in cases.VOXEL_METHODS)
    assert measure.flags_of(folder, "lot-peaks") == [*orbitals, "--start", "peaks"]


def test_atoms_are_judged_by_pairs(bench, tmp_path):
    rng = np.random.default_rng(0)
    truth = rng.uniform(-20, 20, (40, 3)) * [1, 1, 1]
    truth = truth[[i for i in range(40) if np.sort(np.linalg.norm(truth - truth[i], axis=1))[1] > 3.0]]
    moved = truth + rng.normal(0, 1, truth.shape) * [0.02, 0.05, 0.2]
    found = np.concatenate([moved[1:], [[90.0, 90, 90]]])
    for name, positions in (("truth.xyz", truth), ("found.xyz", found)):
        write_atoms(tmp_path / name, Orbitals.create(positions, elements=("Pt",)))
    row = bench[1].judged(tmp_path / "found.xyz", tmp_path / "truth.xyz")
    n = len(truth)
    assert (row["atoms"], row["found"]) == (n, n)
    assert row["recall"] == row["precision"] == pytest.approx((n - 1) / n, abs=1e-5)
    assert row["rmsd_pm"] == pytest.approx(np.sqrt(np.square(row["rms_xyz_pm"]).sum()), rel=1e-3)
    x, y, z = row["rms_xyz_pm"]
    assert x < y < z
    assert sum(row["histogram"]) == n - 1


def test_a_failed_run_is_a_row_and_the_page_says_why(bench, folder, tmp_path):
    cases, measure, page, figures = bench
    program = tmp_path / "program.py"
    program.write_text(f"#!{sys.executable}\nimport sys\nsys.exit('series.tif: there is nothing in it.')\n")
    program.chmod(0o755)
    case = cases.CASES[0]
    row = measure.measure(str(program), case, folder, tmp_path / "work", "sirt", 60)
    assert row["error"] == "series.tif: there is nothing in it."
    assert str(tmp_path) not in row["command"]
    good = {
        **row,
        "method": "lot",
        "recall": 1.0,
        "precision": 0.99,
        "rmsd_pm": 2.5,
        "median_pm": 2.0,
        "rms_xyz_pm": [1.0, 1.0, 2.0],
        "r_factor": 0.1,
        "atoms": 208,
        "histogram": [5] * 40,
    }
    del good["error"]
    drawn = figures.draw([good, row], tmp_path / "figures", tmp_path / "work")
    assert all((tmp_path / "figures" / name).stat().st_size > 1000 for name in drawn.values())
    text = page.make_page([row, good], "a machine", drawn, {case.name: "It was so because."})
    assert "| LOT | 1 | 0.99 | 2.5 | 2 | 1, 1, 2 | 10.00 % |" in text
    assert "SIRT failed: series.tif: there is nothing in it." in text
    assert "It was so because." in text
    assert text.index("| LOT |") < text.index("| SIRT |")
    for name in drawn.values():
        assert f"(figures/{name})" in text


def test_a_case_that_cannot_be_had_is_left_out(bench, tmp_path):
    cases = bench[0]
    assert cases.find_case(cases.CASES[0], tmp_path, tmp_path, "no-program") is None
    assert [case.name for case in cases.CASES if case.generate] == ["pt2000_wedge"]


@pytest.mark.parametrize(("method", "library"), [("sart-skimage", "skimage"), ("sirt-astra", "astra")])
def test_a_library_in_place_of_our_own_method_finds_the_same(bench, method, library):
    pytest.importorskip(library)
    from balls import about_y, nothing, tilts_of
    from benchmarks.voxel import libraries

    from napari_lot.settings.voxel import Sart, Sirt
    from napari_lot.voxel.realspace.sart import sart
    from napari_lot.voxel.realspace.sirt import sirt

    places = np.array([[2.0, 0.4, -3.0], [-4.0, -0.5, 1.0]])
    ours, theirs, settings = {
        "sart-skimage": (sart, libraries.skimage_sart, Sart(iterations=6)),
        "sirt-astra": (sirt, libraries.astra_sirt, Sirt(iterations=60, relaxation=1.0)),
    }[method]
    shifts = np.random.default_rng(1).normal(0, 1, (29, 2))
    turns = about_y(*np.linspace(-70, 70, 29))
    tilts = tilts_of(places, turns, (17, 33), 1.2, center_px=(8.3, 16.8), shifts_px=shifts)
    volumes = []
    for run in (ours, theirs):
        *_, last = run(tilts, (27, 9, 31), settings, nothing)
        volumes.append(last.volume)
    a, b = (volume.values.ravel() for volume in volumes)
    assert volumes[0].values.shape == volumes[1].values.shape
    assert np.corrcoef(a, b)[0, 1] > 0.98
    assert a @ b / (a @ a) == pytest.approx(1.0, abs=0.03)
