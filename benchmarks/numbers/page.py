"""Limits, and the page of what was measured."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

LARGEST_IMAGE, LARGEST_LOSS, LARGEST_GRADIENT = 2e-6, 1e-5, 5e-5
"""Parts of the largest value by which single precision may be off."""
FIRST_STEP_PM, END_PM = 0.001, 0.02
"""How far it may put an atom elsewhere: by one step, and by a fit."""
THREADS_PM, THREADS_PERCENT, THREADS_R = 0.02, 0.02, 1e-5
"""How far results of different numbers of threads may lie apart: docs/solver.md says so."""


def missed(found: dict[str, Any]) -> list[str]:
    """The limits that are not kept, in words."""
    return [f"{what}: {value:.3g} > {limit:g}" for what, value, limit in _limits(found) if not value <= limit]


def _limits(found: dict[str, Any]) -> Iterator[tuple[str, float, float]]:
    for name, one in found["precision"].items():
        for road, of in one["roads"].items():
            yield f"{name}, {road}, images", of["images"], LARGEST_IMAGE
            yield f"{name}, {road}, loss", of["loss"], LARGEST_LOSS
            for group, value in of["gradients"].items():
                yield f"{name}, {road}, gradient by {group}", value, LARGEST_GRADIENT
        for count, of in one["steps"].items():
            limit = FIRST_STEP_PM if count == "1" else END_PM
            yield f"{name}, after {count} steps, pm", of["apart_pm"]["max"], limit
    for name, one in found.get("table", {}).items():
        yield f"{name}, last fit, pm", one["apart_pm"]["max"], END_PM
        yield f"{name}, last fit, heights in %", one["heights_percent"], THREADS_PERCENT
    for run in found.get("threads", {}).get("runs", ()):
        yield f"{run['threads']} threads, files that differ", sum(not same for same in run["again"].values()), 0
        yield f"{run['threads']} threads, seed not told", abs(run["seed"]), 0
    for pair in found.get("threads", {}).get("pairs", ()):
        what = f"{pair['threads'][0]} and {pair['threads'][1]} threads"
        yield f"{what}, atoms", abs(pair["atoms"]), 0
        yield f"{what}, positions in pm", pair["positions_pm"], THREADS_PM
        yield f"{what}, heights in %", pair["heights_percent"], THREADS_PERCENT
        yield f"{what}, R", pair["r"], THREADS_R


def make_page(found: dict[str, Any]) -> str:
    """The page of the documentation."""
    lines = [
        "# Numbers",
        "",
        "Images and gradients are calculated in single precision (float32), by compiled kernels; places of atoms, sums "
        "and what the optimiser does with them in double. What rounding does to the result is measured here. "
        f"{found['machine']}.",
        "",
        "## Single precision against double",
        "",
        "The same tilts, model and likelihood by plain PyTorch in float64, with autograd in place of gradients written "
        "by hand. The state is that in which a run ended, with every atom moved by 1 pm (standard deviation along each "
        "axis), heights by 1 %, the width by 0.5 pm, and small angles, foci and distortions: gradients as in the last "
        "steps of a fit. Errors are the largest difference as a part of "
        f"the largest value; limits: images {LARGEST_IMAGE:g}, loss {LARGEST_LOSS:g}, gradients {LARGEST_GRADIENT:g}.",
    ]
    for name, one in found["precision"].items():
        rows, columns = one["shape"]
        lines += [
            "",
            f"### {name[:1].upper()}{name[1:]}",
            "",
            f"{one['atoms']} atoms, {one['tilts']} tilts of {rows} × {columns} pixels.",
            "",
            *_roads(one["roads"]),
            "",
            "The error of the gradient by positions, divided by the curvature, is how far it moves an atom: "
            + "; ".join(f"{road}: {_pm(of['newton_pm'])}" for road, of in one["roads"].items())
            + ".",
            "",
            "| quasi-Newton steps | moved by them / pm, rms (largest) | single and double apart / pm, rms (largest) |",
            "| --- | --- | --- |",
            *(f"| {n} | {_cell(of['moved_pm'])} | {_cell(of['apart_pm'])} |" for n, of in one["steps"].items()),
        ]
    if "table" in found:
        lines += ["", *_table(found["table"])]
    if "threads" in found:
        lines += ["", *_threads(found["threads"])]
    lost = missed(found)
    lines += ["", f"**Missed:** {'; '.join(lost)}." if lost else "All limits are kept.", ""]
    return "\n".join([*lines, "Make this page again: `python -m benchmarks.numbers`.", ""])


def _roads(roads: dict[str, Any]) -> list[str]:
    groups = list(dict.fromkeys(group for of in roads.values() for group in of["gradients"]))
    lines = [f"| error of | {' | '.join(roads)} |", f"| --- |{' --- |' * len(roads)}"]
    for what in ("images", "loss"):
        lines.append(f"| {what} | {' | '.join(f'{of[what]:.1e}' for of in roads.values())} |")
    for group in groups:
        cells = (f"{of['gradients'][group]:.1e}" if group in of["gradients"] else "" for of in roads.values())
        lines.append(f"| gradient by {group} | {' | '.join(cells)} |")
    return lines


def _pm(of: dict[str, float]) -> str:
    return f"{of['rms']:.1e} pm (root mean square), {of['max']:.1e} pm at most"


def _cell(of: dict[str, float]) -> str:
    return f"{of['rms']:.2g} ({of['max']:.2g})"


def _table(found: dict[str, Any]) -> list[str]:
    lines = [
        "### Cases of the accuracy table",
        "",
        "The last fit of a run by both, from the atoms of the run, each moved by 1 pm at random and its height by 1 %. "
        "What it scores against the truth (of the measured film against reference atoms), cutoff 1 Å, and how far the "
        f"atoms of both end apart; limits: {END_PM:g} pm, heights {THREADS_PERCENT:g} %.",
        "",
        "| case | atoms, tilts, steps | by | recall | precision | RMSD / pm | median / pm | "
        "moved by it / pm, rms (largest) | apart / pm, rms (largest) | heights apart / % |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, one in found.items():
        apart = f"{_cell(one['moved_pm'])} | {_cell(one['apart_pm'])} | {one['heights_percent']:.2g} |"
        for by, what, last in (
            ("single", f"{name} | {one['atoms']}, {one['tilts']}, {one['steps']}", " | | |"),
            ("double", " | ", apart),
        ):
            of = one[by]
            known = (of.get(key) for key in ("recall", "precision", "rmsd_pm", "median_pm"))
            scores = " | ".join("" if value is None else f"{value:g}" for value in known)
            lines.append(f"| {what} | {by} | {scores} | {last}")
    return lines


def _threads(found: dict[str, Any]) -> list[str]:
    again = all(same for run in found["runs"] for same in run["again"].values())
    files = ", ".join(f"`{name}`" for name in found["runs"][0]["again"])
    return [
        "## Numbers of threads",
        "",
        "The bundled sample from the grid, by the command line with `--seed 0`. With another number of threads sums "
        "are rounded differently, and a fit ends elsewhere within its tolerance; limits: "
        f"positions {THREADS_PM:g} pm, heights {THREADS_PERCENT:g} %, R {THREADS_R:g}, the same number of atoms.",
        "",
        "| threads | atoms more | positions, largest / pm | heights, largest / % | R |",
        "| --- | --- | --- | --- | --- |",
        *(
            f"| {p['threads'][0]} and {p['threads'][1]} | {p['atoms']} | {p['positions_pm']:.2g} | "
            f"{p['heights_percent']:.2g} | {p['r']:.1e} |"
            for p in found["pairs"]
        ),
        "",
        f"Twice with the same seed and the same number of threads: {files} are "
        f"{'the same byte by byte' if again else '**not all the same**'} for "
        f"{', '.join(str(run['threads']) for run in found['runs'])} threads. "
        "`report.json` holds seed and threads of each.",
    ]
