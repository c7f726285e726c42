"""The bundled sample by different numbers of threads, and twice by the same."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from napari_lot.export import read_atoms
from napari_lot.series.sample import sample_path

FLAGS = "--pixel-size 0.25 --element Pt --energy 300e3 --semiangle 25 --source-size 0.7064 --seed 0".split()
ALIKE = ("atoms.csv", "atoms.xyz", "calculated.tif", "residual.tif", "probe.tif")
"""Files that hold nothing but results: no time, no path."""


def run(out: Path, threads: int) -> dict[str, Any]:
    """One run of the command line: what its files are, and where it ended."""
    words = [sys.executable, "-m", "napari_lot", "reconstruct", str(sample_path()), "--out", str(out), "--overwrite"]
    done = subprocess.run([*words, "--threads", str(threads), *FLAGS], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-500:])
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    return {
        "threads": threads,
        "r": report["r_factor"]["mean"],
        "seed": report["seed"],
        "threads_told": report["threads"],
        "wall_s": round(report["wall_seconds"]["total"], 1),
        "sha256": {name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in ALIKE},
    }


def apart(a: Path, b: Path) -> dict[str, float]:
    """Largest distance of an atom from its nearest in the other result in pm, and difference of heights in %."""
    ours, theirs = (read_atoms(out / "atoms.csv") for out in (a, b))
    distance, nearest = cKDTree(theirs.positions).query(ours.positions)
    back = cKDTree(ours.positions).query(theirs.positions)[0]
    return {
        "atoms": len(ours) - len(theirs),
        "positions_pm": 100 * float(max(distance.max(), back.max())),
        "heights_percent": 100 * float(np.abs(theirs.height[nearest] / ours.height - 1).max()),
    }


def measured(work: Path, threads: tuple[int, ...] = (1, 2, 4)) -> dict[str, Any]:
    """Every number of threads twice, and all pairs of numbers."""
    runs, pairs = [], []
    for count in threads:
        first, again = (run(work / f"{count}-{k}", count) for k in range(2))
        runs.append({**first, "again": {name: first["sha256"][name] == again["sha256"][name] for name in ALIKE}})
        print(count, "threads: R", first["r"], "again", runs[-1]["again"], flush=True)
    for a, b in combinations(runs, 2):
        found = apart(work / f"{a['threads']}-0", work / f"{b['threads']}-0")
        pairs.append({"threads": [a["threads"], b["threads"]], **found, "r": abs(a["r"] - b["r"])})
        print(pairs[-1], flush=True)
    return {"runs": runs, "pairs": pairs}
