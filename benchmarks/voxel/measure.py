"""One row: one reconstruction through the command line, in a process of its own, and what its atoms are worth."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from benchmarks.accuracy.measure import facts, measured_run
from benchmarks.voxel.cases import LIBRARIES, Case

from napari_lot.analysis.compare import compare
from napari_lot.export import read_atoms, read_volume
from napari_lot.physics.geometry import series_rotations
from napari_lot.series import read_series
from napari_lot.series.tilt_series import TiltSeries
from napari_lot.voxel.projection.projector import Projector

CUTOFF_A = 1.0
BINS_PM = np.geomspace(0.5, 100.0, 41)
"""Edges of the histogram of deviations; the first bin also has what is nearer."""
OF_PROBE = ("--energy", "--semiangle", "--source-size", "--defocus")
"""Facts that a voxel method has no use for."""


def flags_of(folder: Path, method: str) -> list[str]:
    """Flags of a run: the facts of the case, nothing tuned to it."""
    flags = facts(folder)
    if method == "lot":
        return flags
    if method == "lot-peaks":
        return [*flags, "--start", "peaks"]
    for name in OF_PROBE:
        if name in flags:
            at = flags.index(name)
            del flags[at : at + 2]
    return [*flags, "--trace"]


def measure(program: str, case: Case, folder: Path, work: Path, method: str, limit_s: float) -> dict[str, Any]:
    """One run of one case: its figures, or how it failed."""
    out = work / f"{case.name}-{method}"
    out.parent.mkdir(parents=True, exist_ok=True)
    command = [program, "reconstruct"] if method.startswith("lot") else [program, "voxel", method]
    if method in LIBRARIES:
        command = [sys.executable, "-m", "benchmarks.voxel.libraries", method]
    flags = flags_of(folder, method)
    command += [str(folder / "series.tif"), "--out", str(out), "--overwrite", *flags]
    said = " ".join(command[1:]).replace(f"{folder}/", "").replace(str(out), "out")
    result: dict[str, Any] = {
        "case": case.name,
        "method": method,
        "command": f"{'python' if method in LIBRARIES else 'napari-lot'} {said}",
    }
    log = out.with_suffix(".log")
    result |= measured_run(command, log, limit_s)
    if result["exit"] != 0:
        text = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        if result["exit"] == -signal.SIGKILL:
            return result | {"error": f"killed after {result['wall_s']} s"}
        return result | {"error": text[-1] if text else f"ended with {result['exit']}"}
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    result |= {"r_factor": report["r_factor"]["mean"], "correlation": report["correlation"]["mean"]}
    result["seconds"] = {k: round(v, 2) for k, v in report["wall_seconds"].items()}
    _picture(folder, out, method, report)
    return result | judged(out / "atoms.xyz", folder / "truth.xyz")


def judged(found: Path, truth: Path) -> dict[str, Any]:
    """Recall, precision and deviations of atoms."""
    match = compare(read_atoms(found), read_atoms(truth), CUTOFF_A)
    apart = match.displacement_A * 100
    return {
        "found": match.matched + len(match.false_index),
        "atoms": match.matched + len(match.missing_index),
        "recall": round(match.recall, 5),
        "precision": round(match.precision, 5),
        "rmsd_pm": round(match.rmsd_pm, 3),
        "median_pm": round(float(np.median(match.distance_pm)), 3),
        "rms_xyz_pm": [round(float(v), 3) for v in np.sqrt((apart**2).mean(0))],
        "histogram": np.histogram(np.clip(match.distance_pm, BINS_PM[0], BINS_PM[-1]), BINS_PM)[0].tolist(),
    }


def _picture(folder: Path, out: Path, method: str, report: dict[str, Any]) -> None:
    """Keep what the tilt nearest to 0 shows: measured and calculated, for the figure."""
    flags = facts(folder)
    series = read_series(
        folder / "series.tif", angles=folder / "angles.csv", pixel_size_A=float(flags[flags.index("--pixel-size") + 1])
    )
    j = int(np.abs(series.angles_deg).max(1).argmin())
    if method.startswith("lot"):
        calculated = tifffile.imread(out / "calculated.tif")[j]
    else:
        calculated = reprojected(out / "volume.mrc", series, j, report)
    np.savez_compressed(
        out.with_suffix(".picture.npz"),
        measured=series.images[j],
        calculated=calculated,
        angle_deg=series.angles_deg[j],
        pixel_size_A=series.pixel_size_A,
    )


def reprojected(path: Path, series: TiltSeries, j: int, report: dict[str, Any]) -> Any:
    """What a volume shows at tilt ``j``, with the vacuum that was taken from it."""
    volume, corrections = read_volume(path), report["corrections"]
    values = volume.values
    projector = Projector(
        series_rotations(series)[[j]],
        (series.images.shape[1], series.images.shape[2]),
        series.pixel_size_A,
        tuple(corrections["center_px"]),
        (values.shape[0], values.shape[1], values.shape[2]),
        np.array(corrections["shifts_px"], float)[[j]],
        volume.voxel_A,
    )
    try:
        return projector.project(values)[0] + np.float32(corrections["background"][j])
    finally:
        projector.close()
