"""Speed with one command, from the root of the repository:

    python benchmarks/speed [PART ...] [--quick] [--json FILE] [--sizes N ...] [--docs DIR]
    python -m benchmarks.speed ...

Parts: passes, gpu, runs, sirt, window, start, growth; all of them by default. Writes docs/results-speed.md,
docs/results-speed.json and docs/figures/speed-*.png; parts that are not run keep theirs. ``--quick`` takes some five
minutes on two cores and writes no page unless ``--docs`` is given; ``--json`` gets the key figures, one number each.
``--sizes`` are numbers of atoms for passes, gpu, runs, sirt and window. Quiet the machine first: other work makes all
times longer, and not all alike. Needs the extra ``bench``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

if not __package__:  # python benchmarks/speed
    sys.path[0] = str(Path(__file__).resolve().parent.parent.parent)

from benchmarks.accuracy.__main__ import machine
from benchmarks.speed.common import ROOT
from benchmarks.speed.keys import keys
from benchmarks.speed.page import make_page
from benchmarks.speed.runs import scaling

PARTS = ("passes", "gpu", "runs", "sirt", "window", "start", "growth")
SIZED = ("passes", "gpu", "runs", "sirt", "window")


def main(words: list[str] | None = None) -> int:
    """Measure some parts or all; 1 where one of them failed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--quick", action="store_true", help="25,000 atoms (runs: 5,000) and few repeats")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the key figures there")
    parser.add_argument("--sizes", type=int, nargs="+", metavar="N", help="numbers of atoms instead of the usual ones")
    parser.add_argument("--docs", type=Path, help="where the page, its figures and its JSON file go; default: docs")
    options = parser.parse_args(words)
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        parser.error(f"no part {', '.join(sorted(unknown))}: take of {', '.join(PARTS)}")
    docs = options.docs or (None if options.quick else ROOT / "docs")
    store = None if docs is None else docs / "results-speed.json"
    found: dict[str, Any] = json.loads(store.read_text(encoding="utf-8")) if store and store.exists() else {}
    fresh: dict[str, Any] = {}
    failed = False
    for part in [name for name in PARTS if name in (options.parts or PARTS)]:
        began, sized = time.monotonic(), part in SIZED and options.sizes
        print(f"{part} ...", flush=True)
        try:
            measured = import_module(f"benchmarks.speed.{part}").measure(
                options.quick, **({"sizes": tuple(options.sizes)} if sized else {})
            )
        except RuntimeError as error:
            print(f"{part}: {error}", file=sys.stderr, flush=True)
            failed = True
            continue
        took = round(time.monotonic() - began, 1)
        print(f"{part}: {took} s", flush=True)
        about = {"machine": machine(), "load": load(), "quick": options.quick, "took_s": took}
        fresh[part] = merged(found.get(part), {**about, **measured})
        found[part] = fresh[part]
        if options.json:
            options.json.write_text(json.dumps(keys(fresh), indent=1) + "\n", encoding="utf-8")
        if docs is not None and store is not None:
            docs.mkdir(parents=True, exist_ok=True)
            store.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            from benchmarks.speed import figures

            drawn = figures.draw(found, docs / "figures")
            (docs / "results-speed.md").write_text(make_page(found, drawn), encoding="utf-8")
    return int(failed)


def load() -> float | None:
    """How many programs wanted a core over the last minute, at the end of a part."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def merged(before: dict[str, Any] | None, now: dict[str, Any]) -> dict[str, Any]:
    """A part that was measured, and the rows of other sizes from before."""
    if before is None or "rows" not in now or before.get("quick") != now["quick"]:
        return now
    rows = {row["atoms"]: row for row in (*before.get("rows", ()), *now["rows"])}
    result = now | {"rows": [rows[atoms] for atoms in sorted(rows)]}
    if "publishing" in now:
        costs = {row["atoms"]: row for row in (*before.get("publishing", ()), *now["publishing"])}
        result["publishing"] = [costs[atoms] for atoms in sorted(costs)]
    if any("wall_s" in row for row in result["rows"]):
        result |= scaling(result["rows"])
    return result


if __name__ == "__main__":
    sys.exit(main())
