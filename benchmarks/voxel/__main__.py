"""Orbitals against voxels with one command, from the root of the repository:

    python -m benchmarks.voxel [--cases DIR] [--docs DOCS] [--json FILE] [--only CASE ...] [--methods METHOD ...]

Runs every case by LOT and by all voxel methods through the command line, and writes docs/results-voxel.md and its
figures from the JSON file, which keeps the rows that are not run again. ``--page`` runs nothing and writes the page.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.accuracy.__main__ import machine
from benchmarks.voxel.cases import CASES, METHODS, find_case
from benchmarks.voxel.figures import draw
from benchmarks.voxel.libraries import is_there
from benchmarks.voxel.measure import measure
from benchmarks.voxel.page import make_page

ROOT = Path(__file__).resolve().parent.parent.parent
LIMIT_S = 900.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--cases", type=Path, default=ROOT.parent / "shared" / "data", help="folder of the case folders"
    )
    parser.add_argument("--only", nargs="+", choices=[c.name for c in CASES], help="these cases only")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS, help="these methods only")
    parser.add_argument("--program", default=str(Path(sys.executable).with_name("napari-lot")))
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "voxel", help="where the runs are kept")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="where the page and its figures go")
    parser.add_argument("--json", type=Path, help="the JSON file; default: results-voxel.json in --docs")
    parser.add_argument("--page", action="store_true", help="run nothing: write the page from the JSON file")
    options = parser.parse_args()
    store = options.json or options.docs / "results-voxel.json"
    found: dict[str, Any] = json.loads(store.read_text(encoding="utf-8")) if store.exists() else {}
    rows, remarks = found.get("rows", []), found.get("remarks", {})
    here = found.get("machine") if options.page else machine()
    failed = False
    for case in () if options.page else CASES:
        if options.only and case.name not in options.only:
            continue
        folder = find_case(case, options.cases, options.work, options.program)
        if folder is None:
            print(f"{case.name}: not in {options.cases}, left out", flush=True)
            continue
        for method in options.methods:
            if not is_there(method):
                print(f"{case.name} {method}: the library is not installed, left out", flush=True)
                continue
            row = measure(options.program, case, folder, options.work, method, LIMIT_S)
            rows = [r for r in rows if (r["case"], r["method"]) != (case.name, method)] + [row]
            store.parent.mkdir(parents=True, exist_ok=True)
            found |= {"machine": here, "remarks": remarks, "rows": rows}
            text = json.dumps(found, indent=1, ensure_ascii=False)
            store.write_text(text + "\n", encoding="utf-8")
            failed |= "error" in row
            told = ("recall", "precision", "rmsd_pm", "r_factor", "wall_s", "peak_memory_gb", "error")
            print(case.name, method, {name: row[name] for name in told if name in row}, flush=True)
    figures = draw(rows, options.docs / "figures", options.work)
    page = make_page(rows, here or machine(), figures, remarks, found.get("start", ()))
    (options.docs / "results-voxel.md").write_text(page, encoding="utf-8")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
