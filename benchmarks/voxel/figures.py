"""The figures of the page as small PNG files (matplotlib, of the extra ``bench``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.voxel.cases import CASES, METHODS, WORDS
from benchmarks.voxel.measure import BINS_PM
from matplotlib import colormaps
from matplotlib.figure import Figure

DPI = 80
COLORS = dict(zip(METHODS, (*colormaps["tab10"].colors, "0.2"), strict=True))
PICTURED = ("lot", "wbp", "sirt", "resire")
"""Methods of the figure of images."""
PICTURED_CASE = "pt2000_wedge"


def draw(rows: list[dict[str, Any]], folder: Path, work: Path) -> dict[str, str]:
    """Draw what there is; file names by kind. Images need what the runs left in ``work``."""
    good = [row for row in rows if "rmsd_pm" in row]
    cases = [case.name for case in CASES if any(row["case"] == case.name for row in good)]
    drawn: dict[str, str] = {}
    if cases:
        drawn["errors"] = _save(errors(good, cases), folder, "voxel-errors.png")
        drawn["deviations"] = _save(deviations(good, cases), folder, "voxel-deviations.png")
        drawn["axes"] = _save(along_axes(good, cases), folder, "voxel-axes.png")
    pictures = {
        name: path
        for name in PICTURED
        if (path := work / f"{PICTURED_CASE}-{name}.picture.npz").exists()
        and any((row["case"], row["method"]) == (PICTURED_CASE, name) for row in good)
    }
    if len(pictures) > 1:
        drawn["images"] = _save(images(pictures, good), folder, "voxel-images.png")
    elif (folder / "voxel-images.png").exists():
        drawn["images"] = "voxel-images.png"
    return drawn


def _of(rows: list[dict[str, Any]], case: str) -> list[dict[str, Any]]:
    """Rows of a case in the order of the methods."""
    return sorted((row for row in rows if row["case"] == case), key=lambda row: METHODS.index(row["method"]))


def errors(rows: list[dict[str, Any]], cases: list[str]) -> Figure:
    """RMSD, and atoms that are missing or false, by method."""
    figure = Figure(figsize=(3.3 * len(cases), 5.0), layout="constrained")
    axes = figure.subplots(2, len(cases), squeeze=False, sharex="col")
    for (top, bottom), case in zip(axes.T, cases, strict=True):
        these = _of(rows, case)
        place = np.arange(len(these))
        top.bar(place, [row["rmsd_pm"] for row in these], color=[COLORS[row["method"]] for row in these])
        top.set(title=case, ylabel="RMSD / pm", ylim=(0, None))
        for part, offset, tone in (("recall", -0.2, "tab:gray"), ("precision", 0.2, "black")):
            bottom.bar(place + offset, [100 * (1 - row[part]) for row in these], 0.4, color=tone, label=_LACKS[part])
        bottom.set(ylabel="% of the atoms", ylim=(0, None))
        bottom.set_xticks(place, [WORDS[row["method"]] for row in these], rotation=90)
    axes[1, 0].legend(fontsize=8)
    return figure


_LACKS = {"recall": "missing", "precision": "false"}


def deviations(rows: list[dict[str, Any]], cases: list[str]) -> Figure:
    """Fig. 4 of the paper in spirit: how far the atoms lie from where they are, by method."""
    figure = Figure(figsize=(3.3 * len(cases) + 1.2, 3.0), layout="constrained")
    axes = figure.subplots(1, len(cases), squeeze=False)[0]
    for axis, case in zip(axes, cases, strict=True):
        for row in _of(rows, case):
            share = np.array(row["histogram"]) / row["atoms"]
            axis.stairs(100 * share, BINS_PM, color=COLORS[row["method"]], linewidth=1.3, label=WORDS[row["method"]])
        axis.set(xscale="log", xlabel="deviation / pm", ylabel="% of the atoms", title=case)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", fontsize=8)
    return figure


def along_axes(rows: list[dict[str, Any]], cases: list[str]) -> Figure:
    """What a missing wedge takes: the parts of the deviations along x, the tilt axis y, and the beam z."""
    figure = Figure(figsize=(3.3 * len(cases), 3.0), layout="constrained")
    axes = figure.subplots(1, len(cases), squeeze=False)[0]
    for axis, case in zip(axes, cases, strict=True):
        these = _of(rows, case)
        place = np.arange(len(these))
        for k, (name, tone) in enumerate(zip("xyz", ("tab:blue", "tab:gray", "tab:red"), strict=True)):
            axis.bar(place + 0.27 * (k - 1), [row["rms_xyz_pm"][k] for row in these], 0.27, color=tone, label=name)
        axis.set_xticks(place, [WORDS[row["method"]] for row in these], rotation=90)
        axis.set(ylabel="rms deviation / pm", title=case)
    axes[0].legend(fontsize=8)
    return figure


def images(pictures: dict[str, Path], rows: list[dict[str, Any]]) -> Figure:
    """Fig. 3 of the paper in spirit: measured, calculated and what is left at the tilt nearest to 0."""
    found = {name: dict(np.load(path)) for name, path in pictures.items()}
    first = next(iter(found.values()))
    floor = float(np.median(first["measured"]))
    peak = float(np.quantile(first["measured"], 0.999)) - floor
    most = 0.5
    figure = Figure(figsize=(2.4 * (len(found) + 1), 4.9), layout="constrained")
    axes = figure.subplots(2, len(found) + 1)
    axes[0, 0].imshow((first["measured"] - floor) / peak, cmap="gray", vmin=0, vmax=1)
    axes[0, 0].set_title("measured")
    axes[1, 0].set_visible(False)
    shown = None
    for column, (name, picture) in enumerate(found.items(), 1):
        (row,) = (row for row in rows if (row["case"], row["method"]) == (PICTURED_CASE, name))
        left = (picture["measured"] - picture["calculated"]) / peak
        axes[0, column].imshow((picture["calculated"] - floor) / peak, cmap="gray", vmin=0, vmax=1)
        axes[0, column].set_title(f"{WORDS[name]}, R {100 * row['r_factor']:.1f} %")
        shown = axes[1, column].imshow(left, cmap="RdBu_r", vmin=-most, vmax=most)
    figure.colorbar(shown, ax=axes[1, 1:], label="difference / peak", shrink=0.8)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    return figure


def _save(figure: Figure, folder: Path, name: str) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / name, dpi=DPI)
    return name
