"""How the time of a pass grows with the atoms, the tilts and the pixels, each by itself.

All atoms lie in a sphere of 50 Å, so that the depth, and with it the number of channels, stays the same; pixels grow at
a fixed pixel size, with the same 5,000 atoms in the middle of the field. Of time = a + b size both are
told, and the exponent of a power, which is below 1 where the constant part is large. Steps other than passes are those
of ``benchmarks/speed/steps.py``.
"""

from __future__ import annotations

import argparse
from typing import Any

from benchmarks.speed import steps
from benchmarks.speed.common import ask, tell
from benchmarks.speed.fits import line, power

SWEEPS: dict[str, tuple[int, ...]] = {
    "atoms": (1_000, 3_000, 10_000, 30_000, 100_000),
    "tilts": (18, 36, 72, 144),
    "pixels": (160, 224, 312, 448, 640),
}
QUICK_SWEEPS: dict[str, tuple[int, ...]] = {"atoms": (1_000, 10_000, 30_000), "tilts": (12, 36), "pixels": (160, 312)}
ATOMS, TILTS, SIDE, DIAMETER_A = 5_000, 36, 312, 50.0


def sweep(name: str, values: tuple[int, ...], repeats: int) -> list[dict[str, float]]:
    """Wall times of a pass in ms; pixels as the number of pixels of an image."""
    from benchmarks.speed.passes import ours_s, problem_of

    rows = []
    for value in values:
        given = {"atoms": ATOMS, "tilts": TILTS, "side": SIDE, "side" if name == "pixels" else name: value}
        problem, state = problem_of(diameter=DIAMETER_A, **given)
        taken = ours_s(problem, state, repeats)
        problem.model.close()
        rows.append({name: value**2 if name == "pixels" else value, "ms": round(1e3 * taken, 2)})
    return rows


def measure(quick: bool) -> dict[str, Any]:
    """All sweeps, each in a process of its own, with their fits."""
    found: dict[str, Any] = {}
    flags = ["--quick"] if quick else []
    for name in SWEEPS:
        rows = ask("growth", name, *flags)
        size, ms = [row[name] for row in rows], [row["ms"] for row in rows]
        start, slope = line(size, ms)
        found[name] = {
            "rows": rows,
            "constant_ms": round(start, 2),
            "ms_each": float(f"{slope:.4g}"),
            "exponent": round(power(size, ms)[0], 3),
        }
        print(name, found[name], flush=True)
    if not quick:
        found["steps"] = of_steps()
        print("steps", found["steps"], flush=True)
    return found


def of_steps(sizes: tuple[int, ...] = steps.SIZES) -> dict[str, Any]:
    """Times of the steps by size, and the exponent of each, each size in a process of its own."""
    rows = [{"atoms": atoms, "ms": ask("growth", "steps", "--atoms", str(atoms))} for atoms in sizes]
    exponents = {name: round(power(sizes, [row["ms"][name] for row in rows])[0], 3) for name in rows[0]["ms"]}
    return {"rows": rows, "exponents": exponents}


def main() -> None:
    """One sweep."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=(*SWEEPS, "steps"))
    parser.add_argument("--atoms", type=int, default=steps.SIZES[0])
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.name == "steps":
        tell(steps.times_ms(options.atoms, 3))
        return
    tell(sweep(options.name, (QUICK_SWEEPS if options.quick else SWEEPS)[options.name], 3 if options.quick else 7))


if __name__ == "__main__":
    main()
