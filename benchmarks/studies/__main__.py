"""The studies with one command each, from the root of the repository:

    python -m benchmarks.studies [error_bars] [misaligned] [alloy] [adaptive] [--cases DIR] [--full]

Series are simulated by the package's own fast image model (so that what is tested is the fit, not the physics), but
for the cases of the folder --cases. Writes docs/results-studies.md and docs/results-studies.json; studies that are not
named keep their figures. ``--full`` takes the sizes that take long: 20 noise draws and 18,000 atoms.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.accuracy.__main__ import machine
from benchmarks.studies import study
from benchmarks.studies.page import make_page

ROOT = Path(__file__).resolve().parent.parent.parent
STUDIES: dict[str, Callable[[study.Options], list[dict[str, Any]]]] = {
    "error_bars": study.error_bars,
    "misaligned": study.misaligned,
    "alloy": study.alloy,
    "adaptive": study.adaptive,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    beside = ROOT.parent / "shared"
    parser.add_argument("studies", nargs="*", metavar="STUDY", help=f"of {', '.join(STUDIES)}; all by default")
    parser.add_argument("--cases", type=Path, default=beside / "data", help="folder of the case folders (adaptive)")
    parser.add_argument("--full", action="store_true", help="20 noise draws, 18,000 atoms")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="where the page and the JSON file go")
    options = parser.parse_args()
    unknown = set(options.studies) - set(STUDIES)
    if unknown:
        parser.error(f"no study {', '.join(sorted(unknown))}: take of {', '.join(STUDIES)}")
    store = options.docs / "results-studies.json"
    found: dict[str, Any] = json.loads(store.read_text(encoding="utf-8")) if store.exists() else {}
    for name in options.studies or STUDIES:
        with ProcessPoolExecutor(2) as pool:
            rows = STUDIES[name](study.Options(options.full, options.cases, pool))
        found[name] = {"machine": machine(), "full": options.full, "rows": rows}
        for row in rows:
            print(name, row, flush=True)
        store.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (options.docs / "results-studies.md").write_text(make_page(found), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
