"""``info``, ``compare`` and ``devices``: short answers on stdout."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from napari_lot.cli import options as o

if TYPE_CHECKING:
    from napari_lot.series.tilt_series import TiltSeries
    from napari_lot.settings import Settings


def _table(rows: dict[str, Any], title: str | None = None) -> None:
    table = Table(title=title, show_header=False, box=None, title_justify="left", title_style="bold")
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name, str(value))
    # Off a terminal nothing is cut to a width that nobody has.
    console = Console()
    if not console.is_terminal:
        console = Console(width=10_000)
    console.print(table, crop=False, markup=False, highlight=False)


def info(
    context: typer.Context,
    series: o.Series,
    angles: o.Angles = None,
    tilt_axis: o.TiltAxis = None,
    pixel_size: o.PixelSize = None,
    center: o.Center = None,
    mask: o.Mask = None,
    counts: o.Counts = None,
    exclude: o.Exclude = None,
    sets: o.Sets = None,
) -> None:
    """Say what is understood of a tilt series: size, pixel, angles, counts, beam damage, warnings."""
    from napari_lot.cli.reconstruct import read

    given = o.gather(context.params, sets=sets or ())
    measured = read(given, {"series": series, "angles": angles, "mask": mask})
    _table(describe(measured, given.settings()))


def describe(series: TiltSeries, settings: Settings) -> dict[str, Any]:
    """What is understood of a series, name to text."""
    import numpy as np

    from napari_lot.analysis.damage import check_damage
    from napari_lot.series.detector import choose_likelihood

    choice = choose_likelihood(series, settings)
    damage = check_damage(series, choice.detector, settings.data.denoised)

    tilts, rows, columns = series.images.shape
    size = series.pixel_size_A
    used = series.images[np.setdiff1d(np.arange(tilts), series.excluded)]
    center = series.center_px
    assert center is not None  # TiltSeries sets it
    found: dict[str, Any] = {
        "series": series.source,
        "tilts": f"{tilts}" + (f", without {', '.join(map(str, series.excluded))}" if series.excluded else ""),
        "image": f"{rows} x {columns} pixels, {rows * size:.4g} x {columns * size:.4g} Å (rows x columns)",
        "pixel size": f"{size:.6g} Å",
        "rotation centre": f"row {center[0]:g}, column {center[1]:g}",
    }
    if series.rotations is not None:
        found["angles"] = "rotation matrices"
    else:
        for name, values in zip(("psi", "theta", "phi"), series.angles_deg.T, strict=True):
            if name == "theta" or np.ptp(values) or values[0]:
                found[name] = _span(values)
    found |= {
        "tilt axis": f"{series.tilt_axis_deg:g}° from vertical, clockwise",
        "values": f"{'electron counts' if series.counts else 'intensity'}, {used.min():.5g} to {used.max():.5g}, "
        f"mean {used.mean(dtype=np.float64):.5g}",
        "mask": "none" if series.mask is None else f"{100 * series.mask.mean():.1f} % of the pixels are used",
    }
    found |= {"to be fitted": choice.words.removeprefix("fitted "), "beam damage": damage.verdict}
    if damage.gain is not None:
        found["gain, estimated"] = f"{damage.gain:.3g} units per electron, if the noise of the repeats is all Poisson"
    found |= {name.replace("_", " "): value for name, value in series.metadata.items() if np.isscalar(value)}
    found |= {f"warning {i}": text for i, text in enumerate(series.warnings, start=1)} or {"warnings": "none"}
    return found


def _span(values: Any) -> str:
    import numpy as np

    steps = np.diff(values)
    text = f"{values.min():g}° to {values.max():g}°"
    if len(steps) and np.ptp(steps) < 1e-3:
        text += f" in steps of {steps.mean():g}°"
    return text


def compare(
    found: Annotated[
        Path,
        typer.Argument(metavar="FOUND", help="Atoms: XYZ, CSV, RESIRE .mat or LAMMPS data; other formats through ASE."),
    ],
    truth: Annotated[Path, typer.Argument(metavar="TRUTH", help="Reference atoms.")],
    cutoff: Annotated[float, typer.Option("--cutoff", metavar="A", help="Largest distance of a pair in Å.")] = 1.0,
    rotate: Annotated[
        bool, typer.Option("--rotate", help="Remove the best proper rotation, too (for refined tilt angles).")
    ] = False,
    hands: Annotated[
        bool, typer.Option("--hands", help="Also try the mirror images and half turns that a tilt series confuses.")
    ] = False,
) -> None:
    """Compare found atoms with a reference: recall, precision, RMSD.

    Atoms are pairs where each is the other's nearest and they are within the cutoff, after the mean shift is removed.
    The structures may lie apart: the shift of largest overlap is found.
    """
    from napari_lot.analysis.compare import compare as compare_atoms
    from napari_lot.analysis.hands import AS_IT_IS, check_hands
    from napari_lot.structures import read_structure

    ours, theirs = read_structure(found), read_structure(truth)
    check = check_hands(ours, theirs, cutoff, rotate) if hands else None
    result = compare_atoms(ours, theirs, cutoff, rotate) if check is None else check.comparisons[AS_IT_IS]
    got = result.summary()
    rows = {
        "found": got["found"],
        "reference": got["reference"],
        "matched": f"{got['matched']} within {cutoff:g} Å",
        "recall": f"{got['recall']:.5f}",
        "precision": f"{got['precision']:.5f}",
    }
    if result.matched:
        rows |= {
            "RMSD": f"{got['rmsd_pm']:.3f} pm",
            "median": f"{got['median_pm']:.3f} pm",
            "95 % below": f"{got['p95_pm']:.3f} pm",
            "std x, y, z": ", ".join(f"{value:.2f}" for value in got["axis_std_pm"]) + " pm",
            "same element": f"{got['species_accuracy']:.5f}",
        }
    rows["shift removed"] = ", ".join(f"{value:.3f}" for value in got["shift_A"]) + " Å"
    if rotate:
        rows["rotation removed"] = f"{got['rotation_deg']:.4f}°"
    if check is not None:
        rows["hand"] = check.sentence
    _table(rows)


def devices() -> None:
    """Say what this computer offers, and what a run would take."""
    import psutil
    import torch

    from napari_lot.lot.device.choose import GPUS, offered
    from napari_lot.lot.device.memory import has_triton
    from napari_lot.machine import usable_cores

    there = {device.name: device for device in offered()}
    first = next(iter(there), "cpu")

    def row(name: str, words: str, total_gb: float, free_gb: float) -> str:
        used = f"--device auto and --device {name}" if name == first else f"--device {name}"
        return f"{words}, {total_gb:.1f} GB of memory, {free_gb:.1f} GB free; taken by {used}"

    memory = psutil.virtual_memory()
    cores = f"{usable_cores()} cores, {platform.processor() or platform.machine()}"
    rows = {"cpu": row("cpu", cores, memory.total / 1e9, memory.available / 1e9)}
    for name in GPUS:
        rows[name] = (
            "none" if name not in there else row(name, there[name].words, there[name].memory_gb, there[name].free_gb)
        )
    rows["PyTorch"] = torch.__version__
    rows["Triton"] = "there: its kernels are taken on cuda" if has_triton() else "none"
    _table(rows)
