"""What rounding does to the results, with one command, from the root of the repository:

    python -m benchmarks.numbers [--only sample particle table threads] [--cases DIR]

Compares images, losses and gradients of the compiled float32 path with plain PyTorch in float64, near the solution of
the bundled sample and of a particle of 1,000 atoms; the last fit of the cases of the accuracy table by both, as far as
they are in ``--cases``; and the sample by 1, 2 and 4 threads. Writes docs/results-numbers.md and
docs/results-numbers.json, and exits with 1 where a limit of ``page.py`` is missed. Half an hour on two cores, of which
the double precision takes most.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.accuracy.__main__ import machine
from benchmarks.accuracy.cases import CASES
from benchmarks.accuracy.measure import found_or_made
from benchmarks.numbers import precision, table, threads
from benchmarks.numbers.page import make_page, missed

ROOT = Path(__file__).resolve().parent.parent.parent
SAMPLE, PARTICLE = "bundled sample", "1,000 Si"


def main() -> int:
    """Measure and write the page; 1 where a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = ["sample", "particle", "table", "threads"]
    parser.add_argument("--only", nargs="+", choices=parts, default=parts, help="the others are kept as they were")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="where the page and the JSON file go")
    beside = ROOT.parent / "shared"
    parser.add_argument("--cases", type=Path, default=beside / "data", help="folder of the case folders")
    parser.add_argument("--score", type=Path, help="the score program; default: score.py beside the cases")
    options = parser.parse_args()
    store = options.docs / "results-numbers.json"
    found: dict[str, Any] = json.loads(store.read_text(encoding="utf-8")) if store.exists() else {"precision": {}}
    found["machine"] = machine()
    if "sample" in options.only:
        found["precision"][SAMPLE] = precision.measured(precision.sample_job(), (1, 30))
    if "particle" in options.only:
        found["precision"][PARTICLE] = precision.measured(precision.particle_job(1000), (1,))
    score = options.score or options.cases.parent / "score.py"
    for case in CASES if "table" in options.only else ():
        folder = found_or_made(case.name, options.cases, options.cases, None)
        if folder is None or not score.exists():
            print(f"{case.name}: not in {options.cases}, or no {score}: left out", flush=True)
            continue
        found.setdefault("table", {})[case.name] = table.measured(folder, score)
    if "threads" in options.only:
        with tempfile.TemporaryDirectory(prefix="napari-lot-numbers-") as work:
            found["threads"] = threads.measured(Path(work))
    store.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (options.docs / "results-numbers.md").write_text(make_page(found), encoding="utf-8")
    lost = missed(found)
    for words in lost:
        print("MISSED", words)
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
