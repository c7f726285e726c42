"""End to end: the bundled sample through the command line's own process, judged by the comparison and by hand."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tifffile
from scipy.spatial.distance import cdist

from napari_lot.report import RESULT_FILES
from napari_lot.series.sample import sample_path, sample_truth_path

FLAGS = ["--pixel-size", "0.25", "--element", "Pt", "--energy", "300e3", "--semiangle", "25", "--source-size", "0.7064"]


def command(out, *flags):
    return [sys.executable, "-m", "napari_lot", "reconstruct", str(sample_path()), "--out", str(out), *FLAGS, *flags]


@pytest.mark.timeout(600)
def test_the_sample_becomes_its_atoms(tmp_path):
    out = tmp_path / "out"
    done = subprocess.run(command(out), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "247 atoms" in done.stdout
    assert "polish" in done.stderr
    assert {p.name for p in out.iterdir()} == set(RESULT_FILES) - {"probe_before.tif"}
    rows = np.loadtxt(out / "atoms.xyz", skiprows=2, usecols=(1, 2, 3))
    truth = np.loadtxt(sample_truth_path(), skiprows=2, usecols=(1, 2, 3))
    distance = cdist(rows, truth)
    nearest = distance.argmin(axis=1)
    assert sorted(nearest) == list(range(247))  # one to one
    off = rows - truth[nearest]
    assert np.sqrt(((off - off.mean(axis=0)) ** 2).sum(axis=1).mean()) <= 0.016
    report = json.loads((out / "report.json").read_text())
    assert report["atoms"] == 247
    assert len(report["r_factor"]["per_tilt"]) == 36
    assert report["r_factor"]["mean"] < 0.1
    assert report["corrections"]["center_px"] == pytest.approx([56.5, 56.5], abs=1)
    measured = tifffile.imread(sample_path())
    calculated, residual = (tifffile.imread(out / f"{name}.tif") for name in ("calculated", "residual"))
    np.testing.assert_allclose(calculated + residual, measured, atol=1e-6 * measured.max())
    assert np.abs(residual).sum() < 0.15 * measured.sum()


@pytest.mark.timeout(300)
@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
def test_ctrl_c_writes_what_there_is(tmp_path):
    out = tmp_path / "out"
    run = subprocess.Popen(
        command(out), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    try:
        for line in run.stderr:
            if "positions" in line:
                break
        time.sleep(0.2)
        run.send_signal(signal.SIGINT)
        _, err = run.communicate(timeout=120)
    finally:
        run.kill()
    assert run.returncode == 130
    assert "Interrupted" in err
    assert "Traceback" not in err
    report = json.loads((out / "report.json").read_text())
    assert report["stop_reason"] == "finished early"
    assert report["atoms"] == int((out / "atoms.xyz").read_text().split("\n", 1)[0]) > 0


@pytest.mark.timeout(300)
def test_given_atoms_are_refined_whatever_their_heights(tmp_path):
    rng = np.random.default_rng(0)
    truth = np.loadtxt(sample_truth_path(), skiprows=2, usecols=(1, 2, 3))
    lines = [f"Pt {x:.5f} {y:.5f} {z:.5f}" for x, y, z in truth + rng.normal(0, 0.1, truth.shape)]
    (tmp_path / "start.xyz").write_text("\n".join([str(len(lines)), "no heights", *lines]) + "\n")
    done = subprocess.run(
        command(tmp_path / "out", "--start", str(tmp_path / "start.xyz")), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("247 orbitals inside the hull")
    rows = np.loadtxt(tmp_path / "out" / "atoms.xyz", skiprows=2, usecols=(1, 2, 3, 4))
    order = np.argsort(rows[:, 3])
    assert rows[order, 3].tolist() == list(range(247))  # ids are the places in the file
    off = rows[order, :3] - truth
    assert np.sqrt(((off - off.mean(axis=0)) ** 2).sum(axis=1).mean()) <= 0.016
