"""Is a reference arrangement of atoms missed by the search, or not preferred by the images?

    python -m benchmarks.film CASE [--threads N] [--json FILE]
    python -m benchmarks.film CASE --withhold 5

CASE is a folder with series.tif, angles.csv, mask.tif, case.json, truth.xyz (reference atoms) and eval.csv (1: counts).
The series is fitted from the grid. Then reference atoms that were not found are put in at their places, orbitals that
no reference atom has are taken out, or both, and every such arrangement is fitted again. Printed are recall and
crowding as ``score.py`` has them, and the loss in units of the noise. The reference is used here, and nowhere in the
program.

With --withhold every N-th tilt is left out of two whole runs, one from the grid and one that starts from the reference
atoms, and R and correlation of the left-out tilts are printed: which atoms foretell images better.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from napari_lot.atoms import Orbitals
from napari_lot.export import read_atoms
from napari_lot.job import Job
from napari_lot.lot import population
from napari_lot.lot.prepare import prepare
from napari_lot.lot.problem import State
from napari_lot.lot.reconstruct import Reconstruction
from napari_lot.series.read import read_series
from napari_lot.settings import facts_as_settings, settings_from_dict

CUTOFF_A = 1.0
NEAR_A = 2.5  # as the score has it: farther ones may be real atoms that nobody traced
INSTEAD_A = 2.0
GROUPS = ("positions", "height", "width", "shifts", "angles", "scale", "background")
STEPS = 60

Floats = NDArray[np.float64]


class Reference:
    """Reference atoms, and which of them count."""

    def __init__(self, folder: Path) -> None:
        lines = (folder / "truth.xyz").read_text(encoding="utf-8").splitlines()[2:]
        self.atoms = np.array([line.split()[1:4] for line in lines if line.strip()], float)
        self.counts = np.loadtxt(folder / "eval.csv", skiprows=1).astype(bool)

    def shift(self, found: Floats) -> Floats:
        """Mean offset of the matched atoms."""
        shift = np.zeros(3)
        for _ in range(20):
            d, i = cKDTree(found - shift).query(self.atoms)
            near = d < CUTOFF_A
            shift = shift + (found[i[near]] - shift - self.atoms[near]).mean(0)
        return shift

    def matched(self, found: Floats) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
        """Which reference atoms are found, which found atoms are one, which found lie where the reference counts."""
        placed = found - self.shift(found)
        d, i = cKDTree(placed).query(self.atoms)
        away, nearest = cKDTree(self.atoms).query(placed)
        hit = (d <= CUTOFF_A) & (nearest[i] == np.arange(len(self.atoms)))
        one = np.zeros(len(found), bool)
        one[i[hit]] = True
        return hit, one, (away <= NEAR_A) & self.counts[nearest]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", type=Path)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--withhold", type=int, metavar="N")
    options = parser.parse_args()
    if options.withhold:
        foretold(options.case, options.threads, options.withhold)
        return
    torch.set_num_threads(1)
    reference = Reference(options.case)
    solver = prepared(options.case, options.threads)
    run(solver.condense())
    solver.condensed = True
    run(solver.passes("refine", solver.settings.refine_passes, GROUPS, cosine=True))
    solver.evidence.look_at_noise(solver.state)
    run(solver.fit("refine", STEPS, GROUPS))
    start = solver.state
    solver.evidence.images_and_weights(start)
    noise = solver.evidence.variance * solver.evidence.inflation**2
    hit, one, counted = reference.matched(start.positions)
    missing = reference.atoms[~hit] + reference.shift(start.positions)
    instead = ~one & (cKDTree(missing).query(start.positions)[0] < INSTEAD_A)
    nobodys = ~one & counted & ~instead
    rows = [told("as fitted", solver, reference, noise)]
    for name, out, atoms in (
        ("missing reference atoms put in, for those that stand there", instead, missing),
        ("orbitals that no reference atom has taken out", nobodys, missing[:0]),
        ("both", instead | nobodys, missing),
    ):
        solver.state = start.select(~out).add(atoms, np.full(len(atoms), population.typical_height(start)))
        run(solver.fit("refine", STEPS, GROUPS))
        rows.append(told(name, solver, reference, noise))
        if name.startswith("missing"):
            rows += weakest_left_out(solver.state, reference)
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def foretold(folder: Path, threads: int | None, withhold: int) -> None:
    """R and correlation of tilts that were left out, for a run from the grid and one from the reference atoms."""
    values: dict[str, dict[str, Any]] = {"data": {"withhold": withhold}, "solver": {"threads": threads}}
    for name, start in (("from the grid", None), ("from the reference atoms", read_atoms(folder / "truth.xyz"))):
        job = the_job(folder, values, start)
        run(job.run())
        assert job.result is not None
        agreement = job.result.agreement(withheld=True)
        assert agreement is not None
        found = scored(job.result.orbitals.positions, Reference(folder))
        print({"run": name, **found, "r_withheld": agreement[0], "correlation_withheld": agreement[1]}, flush=True)


def the_job(folder: Path, values: dict[str, dict[str, Any]], start: Orbitals | None = None) -> Job:
    """The case with what its file knows of the measurement."""
    case = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    values = {section: dict(fields) for section, fields in values.items()}
    for name, value in facts_as_settings(case).items():
        section, field = name.split(".")
        values.setdefault(section, {})[field] = value
    series = read_series(
        folder / "series.tif", angles=folder / "angles.csv", pixel_size_A=case["pixel_size_A"], mask=folder / "mask.tif"
    )
    return Job(series, settings_from_dict(values), start)


def prepared(folder: Path, threads: int | None) -> Reconstruction:
    """A run of the case that has not begun."""
    job = the_job(folder, {"solver": {"threads": threads}})
    ready = prepare(job)
    model = job.settings.model
    return Reconstruction(ready.problem, ready.state, ready.hull, job.spacing_A, job.settings.solver, model.elements)


def run(stages: Iterable[Any]) -> None:
    for _ in stages:
        pass


def scored(positions: Floats, reference: Reference) -> dict[str, Any]:
    hit, _, counted = reference.matched(positions)
    count = reference.counts.sum()
    return {
        "orbitals": len(positions),
        "recall": round(float(hit[reference.counts].mean()), 4),
        "crowding": round(float(counted.sum() / count), 4),
    }


def told(name: str, solver: Reconstruction, reference: Reference, noise: float) -> dict[str, Any]:
    loss = solver.problem.evaluate(solver.state, np.arange(len(solver.problem)), ()).loss / noise
    row = {"arrangement": name, **scored(solver.state.positions, reference), "loss": round(float(loss), 1)}
    print(row, flush=True)
    return row


def weakest_left_out(state: State, reference: Reference) -> list[dict[str, Any]]:
    """The score of what is left above some heights: whether height tells the reference's atoms from others."""
    rows = []
    for part in (0.4, 0.5, 0.6, 0.7):
        keep = state.height >= part * population.typical_height(state)
        rows.append(
            {
                "arrangement": f"  of these, above {part} of the typical height",
                **scored(state.positions[keep], reference),
            }
        )
        print(rows[-1], flush=True)
    return rows


if __name__ == "__main__":
    main()
