"""Whole runs through the command line: from the regular grid to all atoms.

    napari-lot simulate --particle amorphous ...      the series, kept under build/speed
    napari-lot reconstruct series.tif ...             what is timed, with its defaults

Amorphous silicon of the density of 25,000 atoms in a sphere of 9 nm, 72 tilts, noise-free images by the package's own
image model. This part measures time; that the atoms are found is told beside it. Accuracy on images of independent
programs is on the page of accuracy.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.accuracy.measure import measured_run
from benchmarks.speed.common import (
    CLOSEST_SILICON_A,
    ENERGY_EV,
    PIXEL_A,
    ROOT,
    SEMIANGLE_MRAD,
    TILTS_DEG,
    WIDTH_A,
    diameter_A,
    pixels,
)
from benchmarks.speed.fits import power

SIZES, QUICK_SIZES = (1_000, 5_000), (5_000,)
"""Of the sizes that are run unasked; 25,000, 100,000 and 200,000 take minutes and are asked for."""
CUTOFF_A = 1.0
LONGEST_S = 6 * 3600.0
PROGRAM = [sys.executable, "-m", "napari_lot"]
LENS = ["--energy", repr(ENERGY_EV), "--semiangle", repr(SEMIANGLE_MRAD)]


def series_of(atoms: int, work: Path) -> Path:
    """Folder of the series of a size: found there, or made.

    Raises
    ------
    RuntimeError
        It cannot be made.
    """
    folder = work / f"si{atoms}"
    if (folder / "truth.xyz").exists():
        return folder
    work.mkdir(parents=True, exist_ok=True)
    side = pixels(atoms)
    particle = ["--particle", "amorphous", "--element", "Si", "--atoms", str(atoms), "--width", repr(WIDTH_A)]
    particle += ["--diameter", f"{diameter_A(atoms):.4f}", "--min-distance", repr(CLOSEST_SILICON_A)]
    tilts = ",".join(f"{value:g}" for value in TILTS_DEG)
    series = [f"--tilts={tilts}", "--pixel-size", repr(PIXEL_A), "--size", f"{side},{side}"]
    command = [*PROGRAM, "simulate", "--out", str(folder), "--overwrite", *particle, *series, *LENS]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"simulate ended with {done.returncode}: {done.stderr.strip().splitlines()[-1:]}")
    return folder


def one_size(atoms: int, work: Path) -> dict[str, Any]:
    """One run of one size and what it found."""
    folder = series_of(atoms, work)
    out = work / f"si{atoms}-run"
    given = ["--angles", str(folder / "angles.csv"), "--pixel-size", repr(PIXEL_A), "--element", "Si", *LENS]
    command = [
        *PROGRAM,
        "reconstruct",
        str(folder / "series.tif"),
        "--out",
        str(out),
        "--overwrite",
        "--probe",
        "rigid",
    ]
    figures = measured_run([*command, *given], work / f"si{atoms}-run.log", LONGEST_S)
    row: dict[str, Any] = {"atoms": atoms, "pixels": pixels(atoms), **figures}
    if figures["exit"] != 0:
        return row | {"error": f"ended with {figures['exit']}: see {work / f'si{atoms}-run.log'}"}
    return row | judged(out, folder / "truth.xyz")


def judged(out: Path, truth: Path) -> dict[str, Any]:
    """What a run found, and how long its stages took."""
    from napari_lot.analysis.compare import compare
    from napari_lot.export.read import read_atoms

    found = compare(read_atoms(out / "atoms.xyz"), read_atoms(truth), CUTOFF_A)
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    return {
        "found": report["atoms"],
        "recall": round(found.recall, 5),
        "precision": round(found.precision, 5),
        "rmsd_pm": round(found.rmsd_pm, 3),
        "cutoff_A": CUTOFF_A,
        "stop_reason": report["stop_reason"],
        "stages_s": {name: round(value, 1) for name, value in report["wall_seconds"].items()},
    }


def measure(quick: bool, sizes: tuple[int, ...] | None = None, work: Path = ROOT / "build" / "speed") -> dict[str, Any]:
    """All sizes, and how the time grows with them."""
    rows = []
    for atoms in sizes or (QUICK_SIZES if quick else SIZES):
        rows.append(one_size(atoms, work))
        print(rows[-1], flush=True)
    return {"rows": rows, **scaling(rows)}


def scaling(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Exponent of the wall time against the number of atoms, from two sizes on."""
    done = [row for row in rows if row["exit"] == 0]
    if len({row["atoms"] for row in done}) < 2:
        return {}
    exponent, _ = power([row["atoms"] for row in done], [row["wall_s"] for row in done])
    return {"exponent": round(exponent, 3)}
