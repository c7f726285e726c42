"""A guard against slower code: a short form of the passes, judged by ratios alone.

    python -m benchmarks.speed.check [--json FILE]

Seconds differ from machine to machine and from hour to hour; the ratios to the peer and to the Fourier transforms,
measured in turns in the same minute, do less, those of CPU times the least. ``benchmarks/speed/expected.json`` holds
what they were on a quiet machine of two cores, how much they may change, and why so much. Exits with 1 where one of
them became worse than that; where one became better by as much it says so, and the file should be made anew.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.speed.common import ask
from benchmarks.speed.keys import keys

EXPECTED = Path(__file__).with_name("expected.json")


def compared(measured: dict[str, float], expected: dict[str, dict[str, Any]]) -> tuple[list[str], bool]:
    """A sentence for every expected ratio, and whether all hold.

    Parameters
    ----------
    measured
        Ratios by name.
    expected
        By name: ``value``, ``tolerance`` (part of the value by which it may become worse), ``better`` ("higher" or
        "lower"), ``why`` the tolerance is what it is.
    """
    lines, kept = [], True
    for name, given in expected.items():
        value, tolerance = given["value"], given["tolerance"]
        now = measured.get(name)
        if now is None:
            lines.append(f"{name}: NOT MEASURED")
            kept = False
            continue
        change = now / value - 1.0 if given["better"] == "lower" else value / now - 1.0
        limit = value * (1.0 + tolerance) if given["better"] == "lower" else value / (1.0 + tolerance)
        verdict = "kept"
        if change > tolerance:
            verdict, kept = "WORSE", False
        elif change < -tolerance / (1.0 + tolerance):
            verdict = "better: write the new value down"
        bound = "at most" if given["better"] == "lower" else "at least"
        lines.append(f"{name}: {now:g}, expected {value:g}, {bound} {limit:.4g}: {verdict}")
    return lines, kept


def main(words: list[str] | None = None) -> int:
    """Measure and compare."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed.check",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="compare the figures of this file instead")
    options = parser.parse_args(words)
    if options.json:
        measured = json.loads(options.json.read_text(encoding="utf-8"))
    else:
        row = ask("passes", "size", "25000", "--quick")
        measured = keys({"passes": {"rows": [row]}})
    lines, kept = compared(measured, json.loads(EXPECTED.read_text(encoding="utf-8")))
    print("\n".join(lines))
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
