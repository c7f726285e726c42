"""The speed suite: its fits, page, guard and timers, and the peer as an image of the same atoms."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def root(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))


def test_a_power_and_a_line_are_found():
    from benchmarks.speed.fits import line, power

    size = [1e3, 5e3, 25e3, 1e5]
    exponent, factor = power(size, [3e-3 * n**1.2 for n in size])
    assert (exponent, factor) == (pytest.approx(1.2), pytest.approx(3e-3))
    assert line(size, [7.0 + 0.02 * n for n in size]) == (pytest.approx(7.0), pytest.approx(0.02))
    # what would be less than nothing at nothing is nothing
    start, slope = line(size, [0.02 * n - 5.0 for n in size])
    assert start == 0.0
    assert slope == pytest.approx(0.02, rel=0.3)
    for bad in (([1.0], [1.0]), ([1.0, 1.0], [1.0, 2.0]), ([1.0, 2.0], [0.0, 1.0])):
        with pytest.raises(ValueError, match="two sizes"):
            power(*bad)


EXPECTED = {
    "pass_ratio": {"value": 10.0, "tolerance": 0.25, "better": "higher", "why": "noise"},
    "over_fft": {"value": 3.0, "tolerance": 0.2, "better": "lower", "why": "noise"},
}


@pytest.mark.parametrize(
    ("ratio", "over", "kept", "words"),
    [
        (10.0, 3.0, True, ("kept", "kept")),
        (8.1, 3.55, True, ("kept", "kept")),
        (7.9, 3.0, False, ("WORSE", "kept")),
        (10.0, 3.65, False, ("kept", "WORSE")),
        (14.0, 2.4, True, ("better", "better")),
        (None, 3.0, False, ("NOT MEASURED", "kept")),
    ],
)
def test_a_ratio_that_became_worse_is_told(ratio, over, kept, words):
    from benchmarks.speed.check import compared

    lines, held = compared({"over_fft": over} | ({} if ratio is None else {"pass_ratio": ratio}), EXPECTED)
    assert held is kept
    for line, word in zip(lines, words, strict=True):
        assert line.split(": ", 1)[1].split(": ")[-1 if word != "better" else -2].startswith(word)


def test_the_committed_ratios_are_ratios_with_a_reason(tmp_path):
    from benchmarks.speed.check import EXPECTED as FILE
    from benchmarks.speed.check import main

    expected = json.loads(FILE.read_text(encoding="utf-8"))
    assert expected
    for given in expected.values():
        assert set(given) == {"value", "tolerance", "better", "why"}
        assert 0 < given["tolerance"] < 1
        assert len(given["why"]) > 20
    measured = tmp_path / "measured.json"
    measured.write_text(json.dumps({name: given["value"] for name, given in expected.items()}))
    assert main(["--json", str(measured)]) == 0
    measured.write_text("{}")
    assert main(["--json", str(measured)]) == 1


@pytest.fixture(scope="module")
def small():
    sys.path.insert(0, str(ROOT))
    try:
        from benchmarks.speed.passes import model_of, state_of

        from napari_lot.lot.problem import Problem
    finally:
        sys.path.pop(0)
    theta = np.array([-40.0, 25.0])
    model = model_of(48, 24.0, theta, threads=1)
    rng = np.random.default_rng(0)
    state = state_of(rng.uniform(-4.0, 4.0, (12, 3)) * (1, 1, 2), 2)
    observed = rng.random((2, 48, 48), np.float32)
    yield Problem(model, observed, None, "lsq"), state
    model.close()


def test_the_peer_calculates_the_same_images_up_to_its_slices(small):
    import torch
    from benchmarks.speed.peer import Peer

    problem, state = small
    exact = problem.evaluate(state, [0, 1], ()).calculated
    index = torch.tensor([0, 1])

    def error(slice_A):
        with torch.no_grad():
            image = Peer.of(problem.model, slice_A).images(index, Peer.leaves(state, index)).numpy()
        return np.abs(image - exact).max() / exact.max()

    assert error(4.0) < 0.03
    assert error(0.25) < min(0.004, 0.5 * error(4.0))


def test_the_peer_has_the_gradients_of_all_parameters(small):
    from benchmarks.speed.passes import GROUPS
    from benchmarks.speed.peer import Peer

    problem, state = small
    ours = problem.evaluate(state, [0, 1], GROUPS)
    loss, gradients = Peer.of(problem.model, 0.25).loss(state, [0, 1], problem.observed, GROUPS)
    assert loss == pytest.approx(ours.loss, rel=1e-3)
    for name in GROUPS:
        mine, its = ours.gradients[name], gradients[name].numpy()
        assert mine.shape == its.shape
        # in the direction of the beam the peer has none: its slices are steps
        if name in ("positions", "angles"):
            continue
        assert np.abs(its - mine).max() < 0.03 * np.abs(mine).max(), name


def test_timers_share_out_a_pass_and_go_again(small):
    import torch
    from benchmarks.speed.passes import PLACES, shares

    from napari_lot.lot.render import compiled

    before = (compiled._spread, torch.fft.rfft2)
    found = shares(*small, 1)
    assert tuple(found) == PLACES
    assert sum(found.values()) == pytest.approx(1.0, abs=0.01)
    assert all(found[name] > 0 for name in PLACES[:-1])
    assert (compiled._spread, torch.fft.rfft2) == before


def test_own_time_leaves_out_what_others_do(tmp_path):
    import napari
    from benchmarks.speed.profile import OwnTime

    import napari_lot

    def module(folder, text):
        path = tmp_path / folder / "code.py"
        path.parent.mkdir()
        path.write_text(text)
        names = {"time": time}
        exec(compile(text, str(path), "exec"), names)
        return names

    burn = (
        "def burn(s, then=lambda: None):\n    end = time.thread_time() + s\n    while time.thread_time() < end: pass\n"
    )
    burn += "    then()\n"
    ours, theirs = module("ours", burn)["burn"], module("theirs", burn)["burn"]
    own = OwnTime((f"{tmp_path / 'ours'}{os.sep}",), (f"{tmp_path / 'theirs'}{os.sep}",))
    # ours calls napari, which calls ours again
    own.call(lambda: ours(0.03, lambda: theirs(0.1, lambda: ours(0.02))))
    assert own.own_s == pytest.approx(0.05, abs=0.02)
    usual = OwnTime()
    assert usual.whose(napari_lot.__file__) == "own"
    assert usual.whose(napari.__file__) == "foreign"
    assert usual.whose(np.__file__) is None


def found_of_all():
    def gaps(ms):
        rate = {"updates": 36, "updates_per_s": 2.5, "median_updates_per_s": 2.6}
        return rate | {"longest_gap_ms": ms, "median_gap_ms": 0.5 * ms}

    row = {"atoms": 25_000, "pixels": 312, "channels": 4, "ms_per_tilt": 9.0, "peer_ms_per_tilt": 117.0,
           "fft_ms_per_tilt": 3.0, "peer_over_ours": 13.0, "ours_over_fft": 3.0, "peak_gb": 1.2,
           "peer_over_ours_cpu": 12.0, "peer_batch": 1,
           "peer_tilts_shared_out": True, "peer_by_torch_threads_over_ours": 15.0, "ours_over_fft_cpu": 3.1,
           "shares": {"spread": 0.2, "rest": 0.8}}  # fmt: skip
    errors = {f"{who}_{kind}_error": 1e-3 for who in ("ours", "peer") for kind in ("largest", "rms")}
    run = {"atoms": 5_000, "pixels": 206, "exit": 0, "wall_s": 40.0, "cpu_s": 60.0, "peak_memory_gb": 1.0,
           "recall": 1.0, "precision": 1.0, "rmsd_pm": 0.5, "stop_reason": "converged",
           "stages_s": {"refine": 20.0}}  # fmt: skip
    drawn = {"atoms": 25_000, "workbench": gaps(300.0) | {"slot_ms_per_update": 40.0}, "bare_napari": gaps(250.0),
             "bare_napari_idle": gaps(200.0), "own_ms_per_update": 9.0, "gap_ratio_to_bare_napari": 1.2,
             "median_gap_ratio_to_bare_napari": 1.2, "enough": True}  # fmt: skip
    grown = {"constant_ms": 1.0, "ms_each": 0.1, "exponent": 0.9}
    parts = {
        "passes": {"rows": [row], "accuracy": errors},
        "gpu": {"rows": [], "said": "There is no card."},
        "runs": {"rows": [run]},
        "sirt": {"rows": [{"atoms": 25_000, "program": "some SIRT", "slices": 312, "sampled": 3, "slice_s": 1.0,
                           "iteration_s": 156.0, "volume_s": 7800.0}]},
        "window": {"rows": [drawn], "said": None,
                   "publishing": [{"atoms": 25_000, "snapshots": 30, "seconds": 6.0, "share": 0.01}]},
        "start": {"napari_s": 1.0, "import_added_s": 0.05, "repeats": 4, "spread_s": 0.01, "first_atoms_s": 2.0},
        "growth": {name: grown | {"rows": [{name: 1, "ms": 1.0}, {name: 9, "ms": 2.0}]}
                   for name in ("atoms", "tilts", "pixels")},
    }  # fmt: skip
    return {name: {"machine": "a machine", "load": 1.0, "quick": True} | part for name, part in parts.items()}


def test_the_page_has_all_parts_and_names_those_that_are_missing():
    from benchmarks.speed.page import make_page

    found = found_of_all()
    text = make_page(found, {"growth": "speed-growth.png"})
    for words in ("13 |", "| 25,000 |", "converged", "some SIRT", "Own: 9 ms", "added to it", "speed-growth.png"):
        assert words in text
    assert "Not yet measured" not in text
    assert "quick form" in text
    assert "bare napari, idle" in text
    del found["window"]["rows"][0]["bare_napari_idle"]  # of the quick form
    assert "bare napari, idle" not in make_page(found)
    del found["sirt"]
    found["window"] = {**found["window"], "rows": [], "said": "There is no screen."}
    text = make_page(found)
    assert "## Not yet measured\n\n- Voxels instead" in text
    assert "There is no screen." in text
    assert "## A graphics card" in text
    assert "There is no card." in text


def test_the_key_figures_are_single_numbers():
    from benchmarks.speed.keys import keys

    found = keys(found_of_all())
    wanted = ("pass_ratio_25k", "pass_ms_per_tilt_25k", "fft_ms_per_tilt_25k", "peak_gb_25k", "grid_to_atoms_s_5k",
              "own_ms_per_update_25k", "gap_ratio_to_bare_napari_25k", "import_added_s", "first_atoms_s")  # fmt: skip
    assert set(wanted) <= set(found)
    assert all(isinstance(value, int | float) for value in found.values())
    assert keys({}) == {}


def test_sizes_that_are_measured_one_by_one_stay_beside_each_other():
    from benchmarks.speed.__main__ import merged

    def part(atoms, wall, **more):
        return {"quick": False, "rows": [{"atoms": atoms, "exit": 0, "wall_s": wall}], **more}

    both = merged(part(1_000, 10.0), part(10_000, 200.0))
    assert [row["atoms"] for row in both["rows"]] == [1_000, 10_000]
    assert both["exponent"] == pytest.approx(np.log10(20.0), abs=1e-3)
    again = merged(both, part(1_000, 20.0))
    assert [row["wall_s"] for row in again["rows"]] == [20.0, 200.0]
    # a quick form is not mixed with a whole one
    assert len(merged(both, part(1_000, 20.0) | {"quick": True})["rows"]) == 1


@pytest.mark.parametrize("how", [["benchmarks/speed"], ["-m", "benchmarks.speed"]])
def test_it_starts_both_ways_and_refuses_a_part_that_is_none(how):
    done = subprocess.run([sys.executable, *how, "nonsense"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no part nonsense" in done.stderr


def test_a_part_in_a_process_of_its_own_tells_its_result():
    from benchmarks.speed.common import ask

    found = ask("start", "imported", "without")
    assert found["torch"] is False
    assert found["s"] > 0
    with pytest.raises(RuntimeError, match="no result"):
        ask("start", "nonsense")


def test_where_there_is_no_gpu_one_sentence_says_so(monkeypatch, capsys):
    from benchmarks.speed import gpu
    from benchmarks.speed.page import make_page

    monkeypatch.setattr(gpu, "chosen", lambda name: None)
    found = gpu.measure(True)
    assert found["rows"] == []
    assert capsys.readouterr().out.splitlines() == [gpu.NO_GPU]
    assert gpu.NO_GPU in make_page({"gpu": {**found, "machine": "a machine"}})


def test_a_gpu_is_measured(monkeypatch):
    """By PyTorch's operations on the processor in place of a card."""
    import torch
    from benchmarks.speed import gpu
    from benchmarks.speed.keys import keys
    from benchmarks.speed.page import make_page

    from napari_lot.lot.device.memory import Device

    monkeypatch.setattr(gpu, "chosen", lambda name: Device(torch.device("cpu"), "no card"))
    monkeypatch.setattr(gpu, "REPEATS", 1)
    monkeypatch.setattr(gpu, "thetas", lambda: np.linspace(-72.0, 70.0, 3))
    monkeypatch.setattr("benchmarks.speed.passes.thetas", gpu.thetas)
    row = gpu.one_size(60, quick=True)
    assert max(row["agreement"].values()) < 1e-4
    assert set(row["agreement"]) == {"loss", "images", *gpu.GROUPS}
    assert all(row["profile"][part] > 0 for part in ("fft", "spread", "gather"))
    found = {"gpu": {"rows": [row], "machine": "a machine"}}
    assert keys(found)["gpu_pass_s_60"] == row["pass_s"]
    assert "| 60 | no card | no |" in make_page(found)


def test_every_step_around_the_passes_is_timed(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks.speed import steps

    found = steps.times_ms(300, 1)
    assert set(found) == {"pass", "hull", "grid", "gather", "merge", "births", "error bars"}
    assert min(found.values()) > 0
