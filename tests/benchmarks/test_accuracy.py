"""The accuracy table: facts handed over, limits judged, failures told; with a stand-in for the command line."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

STAND_IN = """\
import json, sys, time
from pathlib import Path
while time.process_time() < 0.3:
    pass
given = sys.argv[1:]
out = Path(given[given.index("--out") + 1])
if given[given.index("--seed") + 1] == "7":
    sys.exit("series.tif: there is nothing in it.")
out.mkdir(parents=True)
(out / "given.json").write_text(json.dumps(given))
(out / "atoms.xyz").write_text("1\\n\\nSi 0 0 0\\n")
(out / "report.json").write_text(json.dumps({"r_factor": {"mean": 0.05}, "stop_reason": "converged"}))
"""


@pytest.fixture
def accuracy(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks.accuracy import cases, measure, page

    return cases, measure, page


def test_the_facts_of_a_case_are_given_and_the_centre_is_not(accuracy, folder):
    flags = accuracy[1].facts(folder)
    assert flags[flags.index("--pixel-size") + 1] == "0.25"
    assert float(flags[flags.index("--source-size") + 1]) == pytest.approx(0.3 * 2.3548, rel=1e-4)
    assert "--counts" in flags
    assert flags[-2:] == ["--element", "Pt"]
    assert "--center" not in flags
    assert "64.0" not in flags
    assert "--mask" not in flags
    (folder / "mask.tif").touch()
    assert "--mask" in accuracy[1].facts(folder)


def run(accuracy, folder, tmp_path, seed):
    cases, measure, _ = accuracy
    program, score = tmp_path / "program.py", tmp_path / "score.py"
    program.write_text(f"#!{sys.executable}\n{STAND_IN}")
    program.chmod(0o755)
    score.write_text('print(\'{"recall": 0.5, "precision": 1.0, "rmsd_pm": 3.0, "found": 1}\')\nraise SystemExit(1)')
    case = cases.Case("some_case", "a case", (cases.at_least("recall", 0.9), cases.at_most("wall_s", 60)))
    return case, measure.measure(str(program), score, case, folder, tmp_path / "work", seed, "rigid")


def test_a_run_is_measured_and_judged(accuracy, folder, tmp_path):
    case, result = run(accuracy, folder, tmp_path, 3)
    assert (result["exit"], result["recall"], result["r_factor"]) == (0, 0.5, 0.05)
    assert 0.3 <= result["cpu_s"] <= result["wall_s"] < 30
    assert str(folder) not in result["flags"]
    given = json.loads((tmp_path / "work" / "some_case-rigid-seed3" / "given.json").read_text())
    assert given[:2] == ["reconstruct", str(folder / "series.tif")]
    assert [limit.figure for limit in accuracy[2].missed(case, result)] == ["recall"]
    text = accuracy[2].make_page((case,), [result], "a machine")
    assert "**0.5**" in text
    assert "**missed**" in text
    assert str(tmp_path) not in text


def test_a_failed_run_misses_and_says_why(accuracy, folder, tmp_path):
    case, result = run(accuracy, folder, tmp_path, 7)
    assert result["error"] == "series.tif: there is nothing in it."
    assert "recall" in [limit.figure for limit in accuracy[2].missed(case, result)]
    assert "Seed 7 failed: series.tif: there is nothing in it." in accuracy[2].make_page((case,), [result], "a machine")


def test_the_peak_of_the_memory_is_reported(tmp_path):
    # From a small process of its own: a child starts out with its parent's peak, and that of the tests is large.
    child = [sys.executable, "-c", "x = b'x' * 200_000_000; del x"]
    code = (
        f"from benchmarks.accuracy.measure import *; print(measured_run({child}, Path({str(tmp_path / 'log')!r}), 60))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert 0.2 < ast.literal_eval(done.stdout)["peak_memory_gb"] < 0.25


def test_a_run_that_never_ends_is_killed(accuracy, tmp_path):
    result = accuracy[1].measured_run([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path / "log", 0.5)
    assert result["exit"] < 0
    assert result["wall_s"] < 20


def test_rigid_is_judged_against_direct_of_the_same_seed(accuracy):
    cases, _, page = accuracy
    case = cases.Case("a", "about", (cases.at_least("direct_over_rigid", 5),), against_direct=True)
    figures = (("rigid", 0, 0.4), ("rigid", 1, 0.4), ("direct", 0, 5.0), ("direct", 1, 1.0))
    runs = [{"case": "a", "probe": probe, "seed": seed, "rmsd_pm": rmsd, "cpu_s": 1.0} for probe, seed, rmsd in figures]
    first, second = page.judged(case, runs)
    assert first["direct_over_rigid"] == pytest.approx(12.5)
    assert not page.missed(case, first)
    assert page.missed(case, second)
