"""The studies of the paper with one command, from the root of the repository:

    python -m benchmarks.paper [m0] [sizes] [--source fast|multislice] [--full]

Writes docs/results-paper.md, docs/results-paper.json and docs/figures/paper-*.png; parts that are not run keep theirs.
The fast image model takes some 20 minutes on two cores, multislice (m0 only) half an hour on one; its tilts are kept
under build/paper, and a repeated command goes on with them. Needs the extra ``bench``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.accuracy.__main__ import machine
from benchmarks.paper import figures, models
from benchmarks.paper.page import make_page
from benchmarks.paper.study import Run, order, reconstruct, series_of

ROOT = Path(__file__).resolve().parent.parent.parent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="*", metavar="STUDY", help="m0, sizes; both by default")
    parser.add_argument("--source", choices=("fast", "multislice"), help="images of m0; both by default")
    parser.add_argument("--full", action="store_true", help="sizes of the paper, by the fast image model")
    parser.add_argument("--probes", nargs="+", choices=tuple(figures.COLORS), help="of sizes; default: direct rigid")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "paper", help="where multislice tilts are kept")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="where page, figures and the JSON file go")
    options = parser.parse_args()
    unknown = set(options.studies) - {"m0", "sizes"}
    if unknown:
        parser.error(f"no study {', '.join(sorted(unknown))}: take of m0, sizes")
    studies = options.studies or ["m0", "sizes"]
    sources = [options.source] if options.source else ["fast", "multislice"]
    end = "-full" if options.full else ""
    if "m0" in studies and "fast" in sources:
        m0(f"m0-fast{end}", models.m0(options.full), options)
    if "m0" in studies and "multislice" in sources and not options.full:
        m0("m0-multislice", models.m0_multislice(), options)
    if "sizes" in studies and "fast" in sources:
        sizes(f"sizes-fast{end}", models.sizes(options.full), options)
    return 0


def m0(name: str, case: models.Case, options: argparse.Namespace) -> None:
    """One object, three probes: table, images and histogram."""
    series = series_of(case, options.work, options.threads)
    runs: dict[str, Run] = {}
    for probe in figures.COLORS:
        runs[probe] = reconstruct(case, series, probe, options.threads)
        print(runs[probe].figures, flush=True)
    files = {"images": f"paper-{name}-images.png", "histogram": f"paper-{name}-deviations.png"}
    figures.images(options.docs / "figures" / files["images"], runs)
    figures.histograms(options.docs / "figures" / files["histogram"], runs)
    keep(name, [run.figures for run in runs.values()], files, options.docs)


def sizes(name: str, cases: list[models.Case], options: argparse.Namespace) -> None:
    """Objects of several sizes; kept after each of them."""
    rows: list[dict[str, Any]] = []
    files = {"size": f"paper-{name}.png"}
    for index, case in enumerate(cases):
        series = series_of(case, options.work, options.threads)
        for probe in options.probes or ("direct", "rigid"):
            rows.append(reconstruct(case, series, probe, options.threads).figures)
            print(rows[-1], flush=True)
        figures.against_size(options.docs / "figures" / files["size"], rows)
        keep(name, rows, files, options.docs, [later.name for later in cases[index + 1 :]])


def keep(name: str, rows: list[dict[str, Any]], files: dict[str, str], docs: Path, left: Sequence[str] = ()) -> None:
    """Put a part into the JSON file and make the page again; ``left`` are objects that are still to come."""
    store = docs / "results-paper.json"
    found: dict[str, Any] = json.loads(store.read_text(encoding="utf-8")) if store.exists() else {}
    found[name] = {"machine": machine(), "rows": rows, "figures": files, "left": list(left)}
    store.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (docs / "results-paper.md").write_text(make_page(found), encoding="utf-8")
    for sentence in order(rows):
        print(sentence, flush=True)


if __name__ == "__main__":
    sys.exit(main())
