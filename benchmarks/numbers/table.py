"""The last fit of the cases of the accuracy table, in single precision and in double, against the truth of each."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.accuracy.measure import FWHM_OF_SIGMA, score
from benchmarks.numbers.exact import Exact
from benchmarks.numbers.precision import FITTED, elsewhere, fitted, moved_pm, stepped

from napari_lot.job import Job
from napari_lot.lot.problem import State
from napari_lot.series.read import read_series
from napari_lot.settings import settings_from_dict

STEPS, FEW_STEPS = 30, 3
"""Of the last fit: enough for the atoms to come back from where they were put; and of a case of more orbitals, seen by
more tilts, than ``AFFORDED``, of which double precision takes minutes for every step."""
AFFORDED = 50_000
SCORED = ("recall", "precision", "rmsd_pm", "median_pm")


def job_of(folder: Path) -> Job:
    """A case with what its case.json knows of the measurement; never the rotation centre."""
    case = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    mask = folder / "mask.tif"
    series = read_series(
        folder / "series.tif",
        angles=folder / "angles.csv",
        pixel_size_A=case["pixel_size_A"],
        mask=mask if mask.exists() else None,
        counts=True if case.get("counts") else None,
    )
    lens = {"energy_eV": case["energy_eV"], "semiangle_mrad": case["semiangle_mrad"]}
    lens |= {"source_size_A": FWHM_OF_SIGMA * case.get("source_sigma_A", 0.0), "defocus_A": case.get("defocus_A", 0.0)}
    elements = case.get("elements") or [case["element"]]
    model = {"elements": elements}
    return Job(series, settings_from_dict({"microscope": lens, "model": model, "data": {"counts": series.counts}}))


def scored(state: State, element: str, score_program: Path, folder: Path) -> dict[str, Any]:
    """What the score program says of the atoms of a state."""
    lines = [str(len(state.height)), "", *(f"{element} {x:.9f} {y:.9f} {z:.9f}" for x, y, z in state.positions)]
    with tempfile.TemporaryDirectory(prefix="napari-lot-numbers-") as work:
        file = Path(work) / "atoms.xyz"
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        found = score(score_program, folder, file)
    return {name: found[name] for name in SCORED if name in found}


def measured(folder: Path, score_program: Path, say: Callable[[str], None] = print) -> dict[str, Any]:
    """One case by both: what each scores, and how far they end apart."""
    job = job_of(folder)
    solver = fitted(job)
    state, element = elsewhere(solver.state, np.random.default_rng(0)), job.settings.model.elements[0]
    groups = (*FITTED, "learnt") if state.learnt.size else FITTED
    steps = STEPS if len(state.height) * len(solver.problem) <= AFFORDED else FEW_STEPS
    found: dict[str, Any] = {"atoms": len(state.height), "tilts": len(solver.problem), "steps": steps}
    ends = {}
    for name, problem in (("single", solver.problem), ("double", Exact.of(solver.problem))):
        began = time.perf_counter()
        ends[name] = stepped(solver, problem, state, steps, groups)
        found[name] = scored(ends[name], element, score_program, folder)
        say(f"{folder.name} {name}: {found[name]}, {time.perf_counter() - began:.0f} s")
    found["moved_pm"], found["apart_pm"] = moved_pm(ends["double"], state), moved_pm(*ends.values())
    found["heights_percent"] = 100 * float(np.abs(ends["single"].height / ends["double"].height - 1).max())
    say(f"{folder.name} apart: {found['apart_pm']}, heights {found['heights_percent']:.2g} %")
    solver.problem.model.close()
    return found
