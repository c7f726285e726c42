"""Which voxel method a start from peaks should take: peaks of binned volumes, by method and iterations.

    python -m benchmarks.voxel.start [--cases DIR] [--json FILE]

Series are prepared, binned and traced as ``reconstruct --start peaks`` does; times are CPU times of volume and
tracing, all threads together, after a run that compiles. The figures go into the JSON file of the page (``start``).
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from benchmarks.accuracy.measure import facts
from benchmarks.voxel.__main__ import ROOT
from benchmarks.voxel.measure import CUTOFF_A

from napari_lot.agreement import expected_spacing_A
from napari_lot.analysis.compare import compare
from napari_lot.export import read_atoms
from napari_lot.peaks_start import voxel_settings_of
from napari_lot.series import read_series
from napari_lot.settings import settings_from_dict
from napari_lot.voxel.atoms.species import find_atoms
from napari_lot.voxel.job import VoxelJob

CASES = ("asi208_1p6e5", "asi208_8p0e3", "asi208_1p6e5_wedge", "pt_deca")
TRIED = (
    *(("wbp", None), ("sirt", 10), ("sirt", 20), ("sirt", 40), ("sirt", 100), ("resire", 20), ("resire", 60)),
    *(("est", 10), ("est", 50), ("genfire", 20), ("genfire", 50)),
)


def one(folder: Path, method: str, iterations: int | None) -> dict[str, Any]:
    """Peaks of a series by a method: how many of the atoms they are."""
    given = facts(folder)
    case = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    start = {"kind": "peaks", "peaks_method": method, "peaks_iterations": iterations}
    settings = settings_from_dict({"model": {"elements": [case["element"]], "probe": "direct"}, "start": start})
    pixel = float(given[given.index("--pixel-size") + 1])
    series = read_series(folder / "series.tif", angles=folder / "angles.csv", pixel_size_A=pixel)
    spacing = expected_spacing_A(settings.model)
    began = time.process_time()
    job = VoxelJob(series, voxel_settings_of(settings, pixel, spacing), method)
    for _ in job.run():
        pass
    assert job.result is not None
    atoms = find_atoms(job.result.volume, settings).traced.atoms
    seconds = time.process_time() - began
    match = compare(atoms, read_atoms(folder / "truth.xyz"), CUTOFF_A)
    return {
        "case": folder.name,
        "method": method,
        "iterations": iterations,
        "voxel_A": job.result.volume.voxel_A,
        "found": len(atoms),
        "recall": round(match.recall, 4),
        "precision": round(match.precision, 4),
        "rmsd_pm": round(match.rmsd_pm, 2),
        "cpu_s": round(seconds, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--json", type=Path, default=ROOT / "docs" / "results-voxel.json")
    options = parser.parse_args()
    folders = [options.cases / name for name in CASES if (options.cases / name / "case.json").exists()]
    rows = []
    for method in dict.fromkeys(method for method, _ in TRIED):
        one(folders[0], method, None if method == "wbp" else 1)
        for folder in folders:
            for iterations in (n for m, n in TRIED if m == method):
                rows.append(one(folder, method, iterations))
                print(rows[-1], flush=True)
    found = json.loads(options.json.read_text(encoding="utf-8")) if options.json.exists() else {}
    options.json.write_text(json.dumps(found | {"start": rows}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
