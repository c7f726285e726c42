"""The figures of the page as small PNG files (matplotlib, of the extra ``bench``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

DPI = 80
GROWTH = {"atoms": "atoms", "tilts": "tilts", "pixels": "pixels of an image"}


def draw(found: dict[str, Any], folder: Path) -> dict[str, str]:
    """Draw what there is; file names by kind."""
    drawn: dict[str, str] = {}
    if len(found.get("passes", {}).get("rows", ())) > 1:
        drawn["passes"] = _save(passes(found["passes"]["rows"]), folder, "speed-passes.png")
    if len(found.get("runs", {}).get("rows", ())) > 1:
        drawn["runs"] = _save(runs(found["runs"]["rows"]), folder, "speed-runs.png")
    if "growth" in found:
        drawn["growth"] = _save(growth(found["growth"]), folder, "speed-growth.png")
    return drawn


def passes(rows: list[dict[str, Any]]) -> Figure:
    """Time of a tilt against the number of atoms: the peer, ours, and the Fourier transforms alone."""
    figure = Figure(figsize=(5.0, 3.4), layout="constrained")
    axis = figure.subplots()
    atoms = [row["atoms"] for row in rows]
    for key, label, color in (
        ("peer_ms_per_tilt", "PyTorch, slices and windows", "tab:red"),
        ("ms_per_tilt", "napari-lot", "tab:blue"),
        ("fft_ms_per_tilt", "its Fourier transforms alone", "tab:gray"),
    ):
        axis.loglog(atoms, [row[key] for row in rows], "o-", color=color, label=label)
    axis.set(xlabel="atoms", ylabel="ms per tilt", title="One pass: loss and all gradients")
    axis.legend()
    axis.grid(alpha=0.3)
    return figure


def runs(rows: list[dict[str, Any]]) -> Figure:
    """Wall time of whole runs, by stage."""
    figure = Figure(figsize=(5.6, 3.4), layout="constrained")
    axis = figure.subplots()
    names = list(dict.fromkeys(name for row in rows for name in row.get("stages_s", {}) if name != "total"))
    bottom = np.zeros(len(rows))
    tones = colormaps["tab20"]([*range(0, 20, 2), *range(1, 20, 2)])
    for name, tone in zip(names, tones, strict=False):
        share = np.array([row.get("stages_s", {}).get(name, 0.0) / row["wall_s"] for row in rows])
        axis.bar(range(len(rows)), 100 * share, bottom=100 * bottom, color=tone, label=name)
        bottom += share
    ticks = [f"{row['atoms']:,}\n{row['wall_s']:.0f} s" for row in rows]
    axis.set_xticks(range(len(rows)), ticks)
    axis.set(xlabel="atoms and wall time", ylabel="% of the wall time", ylim=(0, 100))
    figure.legend(loc="outside right upper", fontsize=8, reverse=True)
    return figure


def growth(found: dict[str, Any]) -> Figure:
    """Time of a pass against atoms, tilts and pixels, with straight lines fitted."""
    figure = Figure(figsize=(8.4, 2.8), layout="constrained")
    names = [name for name in GROWTH if name in found]
    for axis, name in zip(np.atleast_1d(figure.subplots(1, len(names))), names, strict=True):
        part = found[name]
        size = np.array([row[name] for row in part["rows"]], float)
        axis.plot(size, [row["ms"] for row in part["rows"]], "o", color="tab:blue")
        along = np.array([0.0, 1.05 * size.max()])
        axis.plot(along, part["constant_ms"] + part["ms_each"] * along, "-", color="tab:gray")
        axis.set(xlabel=GROWTH[name], ylabel="ms per pass", xlim=(0, along[1]), ylim=(0, None))
        axis.xaxis.set_major_locator(MaxNLocator(3))
        axis.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    return figure


def _save(figure: Figure, folder: Path, name: str) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / name, dpi=DPI)
    return name
