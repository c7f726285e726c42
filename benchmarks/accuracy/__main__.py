"""The accuracy table with one command, from the root of the repository:

    python -m benchmarks.accuracy [--cases DIR] [--score SCORE.py] [--only NAME ...] [--seeds 0 1 2]

Runs every case through the command line, writes docs/results-accuracy.md and docs/results-accuracy.json, and exits
with 1 if a limit is missed. With --only or --seeds the other runs of the JSON file are kept.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

from benchmarks.accuracy.cases import CASES
from benchmarks.accuracy.measure import find_case, measure
from benchmarks.accuracy.page import judged, make_page, missed

ROOT = Path(__file__).resolve().parent.parent.parent


def machine() -> str:
    """The machine and the versions, in words."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [s.split(":", 1)[1].strip() for s in info.read_text().splitlines() if s.startswith("model name")]
        model = names[0] if names else model
    packages = ", ".join(f"{name} {version(name)}" for name in ("napari-lot", "torch", "numba", "numpy"))
    return f"{cores} cores ({model}), no GPU, Python {platform.python_version()}, {packages}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    beside = ROOT.parent / "shared"
    parser.add_argument("--cases", type=Path, default=beside / "data", help="folder of the case folders")
    parser.add_argument("--score", type=Path, help="the score program; default: score.py beside the cases")
    parser.add_argument("--only", nargs="+", choices=[c.name for c in CASES], help="these cases only")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--program", default=str(Path(sys.executable).with_name("napari-lot")))
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "accuracy", help="where the runs are kept")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="where the page and the JSON file go")
    options = parser.parse_args()
    score = options.score or options.cases.parent / "score.py"
    if not score.exists():
        parser.error(f"no score program at {score}: give its path with --score")

    store = options.docs / "results-accuracy.json"
    runs = json.loads(store.read_text(encoding="utf-8"))["runs"] if store.exists() else []
    kept = True
    for case in CASES:
        if options.only and case.name not in options.only:
            continue
        folder = find_case(case, options.cases, options.work)
        if folder is None:
            print(f"{case.name}: not in {options.cases}, left out", flush=True)
            continue
        for seed in options.seeds:
            for variant in case.variants:
                run = measure(options.program, score, case, folder, options.work, seed, variant)
                runs = [r for r in runs if (r["case"], r["probe"], r["seed"]) != (case.name, variant, seed)] + [run]
                options.docs.mkdir(parents=True, exist_ok=True)
                text = json.dumps({"machine": machine(), "runs": runs}, indent=1, ensure_ascii=False)
                store.write_text(text + "\n", encoding="utf-8")
            now = next(r for r in judged(case, runs) if r["seed"] == seed)
            lost = missed(case, now)
            kept &= not lost
            figures = "  ".join(f"{limit.figure} {now.get(limit.figure)} ({limit})" for limit in case.limits)
            verdict = "MISSED " + ", ".join(limit.figure for limit in lost) if lost else "kept"
            print(f"{case.name} seed {seed}: {figures}  {now.get('error', '')}  {verdict}", flush=True)
    page = make_page(CASES, runs, machine())
    (options.docs / "results-accuracy.md").write_text(page, encoding="utf-8")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
