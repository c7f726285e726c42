"""The figures of the page as small PNG files (matplotlib, of the extra ``bench``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.paper.study import Run
from matplotlib.figure import Figure

COLORS = {"direct": "tab:red", "rigid": "tab:blue", "adaptive": "tab:green"}
DPI = 80


def images(path: Path, runs: dict[str, Run]) -> None:
    """Fig. 3: the measured image, and with each probe the calculated one and the difference, on one scale each."""
    first = next(iter(runs.values()))
    peak = float(first.measured.max())
    differences = {probe: (run.measured - run.calculated) / peak for probe, run in runs.items()}
    most = max(float(np.abs(d).max()) for d in differences.values())
    figure = Figure(figsize=(2.6 * (len(runs) + 1), 5.2), layout="constrained")
    axes = figure.subplots(2, len(runs) + 1)
    axes[0, 0].imshow(first.measured / peak, cmap="gray", vmin=0, vmax=1)
    axes[0, 0].set_title("simulated")
    _scale_bar(axes[0, 0], first)
    shown = None
    for column, (probe, run) in enumerate(runs.items(), 1):
        axes[0, column].imshow(run.calculated / peak, cmap="gray", vmin=0, vmax=1)
        axes[0, column].set_title(f"{probe}, R {100 * run.figures['r_factor']:.2f} %")
        shown = axes[1, column].imshow(differences[probe], cmap="RdBu_r", vmin=-most, vmax=most)
    axes[1, 0].set_visible(False)
    figure.colorbar(shown, ax=axes[1, 1:], label="difference / peak", shrink=0.8)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    _save(figure, path)


def histograms(path: Path, runs: dict[str, Run]) -> None:
    """Fig. 4: deviations of the atoms that were found."""
    top = max(float(np.quantile(run.deviation_pm, 0.99)) for run in runs.values())
    bins = np.linspace(0.0, top, 41)
    figure = Figure(figsize=(5.0, 3.2), layout="constrained")
    axis = figure.subplots()
    for probe, run in runs.items():
        label = f"{probe}, RMSD {run.figures['rmsd_pm']:.2f} pm"
        axis.hist(run.deviation_pm, bins=bins, histtype="step", linewidth=1.6, color=COLORS[probe], label=label)
    axis.set(xlabel="deviation / pm", ylabel="atoms")
    axis.legend()
    _save(figure, path)


def against_size(path: Path, rows: list[dict[str, Any]]) -> None:
    """Fig. 6: RMSD against the number of atoms, one line per probe."""
    figure = Figure(figsize=(5.0, 3.2), layout="constrained")
    axis = figure.subplots()
    for probe in dict.fromkeys(row["probe"] for row in rows):
        line = sorted((row["atoms"], row["rmsd_pm"]) for row in rows if row["probe"] == probe)
        axis.plot(*zip(*line, strict=True), "o-", color=COLORS[probe], label=probe)
    axis.set(xlabel="atoms", ylabel="RMSD / pm", ylim=(0, None))
    axis.legend()
    _save(figure, path)


def _scale_bar(axis: Any, run: Run) -> None:
    length = 10.0 / run.pixel_size_A
    row = 0.94 * len(run.measured)
    axis.plot([4, 4 + length], [row, row], color="white", linewidth=3)
    axis.text(4, row - 3, "1 nm", color="white", fontsize=8)


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI)
