"""Make the series of a case, reconstruct it with each kind of probe from the grid, and judge the atoms."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.paper.models import Case, core_and_tail
from numpy.typing import NDArray

from napari_lot.analysis.compare import compare
from napari_lot.job import Job
from napari_lot.series.tilt_series import TiltSeries
from napari_lot.settings import settings_from_dict
from napari_lot.simulate.images import simulate_series
from napari_lot.simulate.tilts import simulate_multislice

CUTOFF_A = 1.0
ALIASING = 1e-3
"""Finer than the default: without noise what is left is the sampling of the grid, and hides how the probes differ."""
FAST = "fast image model, atoms that are no Gaussians"
MULTISLICE = "multislice (abTEM, PRISM)"


@dataclass(frozen=True)
class Run:
    """One reconstruction: its figures, the deviation of each atom found, and its image near 0 degrees."""

    figures: dict[str, Any]
    deviation_pm: NDArray[np.float64]
    measured: NDArray[np.float32]
    calculated: NDArray[np.float32]
    pixel_size_A: float


def series_of(case: Case, work: Path, threads: int | None) -> TiltSeries:
    """Noise-free images of a case; a multislice series is kept in ``work`` and gone on with."""
    if case.multislice is None:
        atoms = core_and_tail(case.atoms)
        return simulate_series(atoms, case.theta_deg, case.pixel_size_A, case.lens, threads=threads)

    def progress(done: int, all: int, kept: bool) -> None:
        if not kept:
            print(f"{case.name}: multislice tilt {done}/{all}", file=sys.stderr, flush=True)

    return simulate_multislice(
        case.atoms,
        case.theta_deg,
        case.pixel_size_A,
        case.lens,
        case.multislice,
        work / "m0-multislice",
        progress=progress,
    )


def reconstruct(case: Case, series: TiltSeries, probe: str, threads: int | None) -> Run:
    """One run from the grid with the lens of the simulation, and how far its atoms are from the truth."""
    elements = list(case.atoms.elements)
    values = {
        "microscope": case.lens.model_dump(),
        "model": {"elements": elements, "probe": probe},
        "solver": {"threads": threads, "aliasing": ALIASING},
    }
    began = time.perf_counter()
    job = Job(series, settings_from_dict(values))
    for _ in job.run():
        pass
    result = job.result
    assert result is not None
    wall = time.perf_counter() - began
    found = compare(result.orbitals, case.atoms, CUTOFF_A)
    deviation = np.asarray(found.distance_pm, np.float64)
    agreement = result.agreement()
    middle = int(np.argmin(np.abs(np.asarray(case.theta_deg))))
    figures = {
        "object": case.name,
        "images": FAST if case.multislice is None else MULTISLICE,
        "semiangle_mrad": case.lens.semiangle_mrad,
        "thickness_A": round(case.thickness_A, 1),
        "depth_of_focus_A": round(case.depth_of_focus_A, 1),
        "tilts": len(series),
        "probe": probe,
        "aliasing": ALIASING,
        "atoms": len(case.atoms),
        "found": len(result.orbitals),
        "recall": round(found.recall, 5),
        "precision": round(found.precision, 5),
        "rmsd_pm": round(found.rmsd_pm, 3),
        "median_pm": round(float(np.median(deviation)), 3) if len(deviation) else None,
        "r_factor": None if agreement is None else round(agreement[0], 5),
        "wall_s": round(wall, 1),
    }
    return Run(figures, deviation, series.images[middle], result.calculated[middle], series.pixel_size_A)


def order(rows: list[dict[str, Any]]) -> list[str]:
    """Sentences: whether direct > rigid >= adaptive holds for each object, and whether it must."""
    said = []
    for name, images in dict.fromkeys((r["object"], r["images"]) for r in rows):
        of = {r["probe"]: r for r in rows if (r["object"], r["images"]) == (name, images)}
        if not {"direct", "rigid"} <= set(of):
            continue
        rmsd = {probe: row["rmsd_pm"] for probe, row in of.items()}
        holds = rmsd["direct"] > rmsd["rigid"] and rmsd["rigid"] >= rmsd.get("adaptive", 0.0)
        must = of["direct"]["thickness_A"] > of["direct"]["depth_of_focus_A"]
        text = "direct > rigid ≥ adaptive" if "adaptive" in rmsd else "direct > rigid"
        numbers = ", ".join(f"{probe} {rmsd[probe]:.3f} pm" for probe in rmsd)
        need = "thicker than the depth of focus" if must else "not thicker than the depth of focus: need not hold"
        said.append(f"{name}, {images} ({need}): {text} {'holds' if holds else '**does not hold**'}: {numbers}.")
    return said
