"""``napari-lot simulate``: a tilt series of given atoms by the fast image model."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_lot.cli import options as o
from napari_lot.cli.reconstruct import check_inputs_survive
from napari_lot.errors import InputError
from napari_lot.report import check_output_folder, to_plain, versions, write_folder, write_json

FILES = ("series.tif", "angles.csv", "truth.xyz", "simulation.json")
RECORDING = "Recording"
LARGEST_SIDE = 16384
"""Pixels: no detector of a scan has more, and a slip must not ask for terabytes."""


def simulate(
    context: typer.Context,
    atoms: Annotated[Path, typer.Argument(metavar="ATOMS", help="XYZ, CSV or RESIRE .mat, Å, origin at the centre.")],
    out: o.Out,
    pixel_size: Annotated[float, typer.Option("--pixel-size", metavar="A", help="Pixel size in Å.")],
    overwrite: o.Overwrite = False,
    angles: o.Angles = None,
    tilts: Annotated[
        str, typer.Option("--tilts", metavar="FIRST,LAST,STEP", help="Tilts about y in degrees, without --angles.")
    ] = "-70,70,4",
    size: Annotated[str | None, typer.Option("--size", metavar="ROWS,COLS", help="Pixels; default: all atoms.")] = None,
    cross_section: Annotated[
        str | None,
        typer.Option(
            "--cross-section",
            metavar="A2,...",
            help="Scattering cross-section in Å^2, one or one per element (Si about 0.0017); heights of ATOMS else.",
        ),
    ] = None,
    dose: Annotated[
        float | None,
        typer.Option(
            "--dose", metavar="E", help="Electrons per Å^2 and tilt: Poisson counts.", rich_help_panel=RECORDING
        ),
    ] = None,
    background: Annotated[
        float, typer.Option("--background", help="Added to each pixel.", rich_help_panel=RECORDING)
    ] = 0.0,
    drift: Annotated[
        float,
        typer.Option(
            "--drift", metavar="A", help="Standard deviation of each tilt's shift.", rich_help_panel=RECORDING
        ),
    ] = 0.0,
    probe: o.Probe = None,
    energy: o.Energy = None,
    semiangle: o.Semiangle = None,
    defocus: o.Defocus = None,
    c30: o.C30 = None,
    c12: o.C12 = None,
    source_size: o.SourceSize = None,
    focal_spread: o.FocalSpread = None,
    config: o.Config = None,
    sets: o.Sets = None,
    threads: o.Threads = None,
    seed: o.Seed = None,
) -> None:
    """Simulate a tilt series of given atoms: series.tif, angles.csv, truth.xyz, simulation.json."""
    given = o.gather(context.params, config, sets or ())
    settings = given.settings()
    check_output_folder(out, overwrite)
    check_inputs_survive(out, (atoms, angles, config), FILES)

    import numpy as np

    from napari_lot.export import read_atoms, write_atoms_xyz, write_stack
    from napari_lot.simulate.images import Recording, simulate_series, with_cross_section

    began = time.monotonic()
    truth = read_atoms(atoms)
    if cross_section is not None:
        values = o.split_list(cross_section, "--cross-section")
        if len(values) not in (1, len(truth.elements)):
            raise InputError(f"--cross-section: one value, or one for each of {', '.join(truth.elements)}.")
        numbers = o.split_numbers(cross_section, "--cross-section", ["A2"] * len(values))
        truth = with_cross_section(truth, numbers if len(numbers) > 1 else numbers[0])
    direct = settings.model.probe == "direct"
    series = simulate_series(
        truth,
        tilt_angles(angles, tilts),
        pixel_size,
        None if direct else settings.microscope,
        image_shape=_image_shape(size),
        recording=Recording.checked(
            dose_e_per_A2=dose, background=background, drift_A=drift, seed=settings.solver.seed
        ),
        threads=settings.solver.threads,
    )
    table = "psi_deg,theta_deg,phi_deg\n" + "".join(
        ",".join(f"{a:.9g}" for a in row) + "\n" for row in series.angles_deg
    )
    record: dict[str, Any] = {
        "command": context.obj,
        "pixel_size_A": pixel_size,
        "shape": series.images.shape,
        "atoms": len(truth),
        "elements": truth.elements,
        "counts": series.counts,
        "probe": settings.model.probe,
        **({} if direct else settings.microscope.model_dump(mode="json")),
        **series.metadata,
        "versions": versions(),
    }
    write_folder(
        out,
        {
            "series.tif": lambda path: write_stack(path, series.images, pixel_size),
            "angles.csv": lambda path: _write_text(path, table),
            "truth.xyz": lambda path: write_atoms_xyz(path, truth),
            "simulation.json": lambda path: write_json(path, to_plain(record)),
        },
        stale=FILES,
    )
    size_text = " x ".join(map(str, np.shape(series.images)[1:]))
    print(f"{len(series)} tilts of {size_text} pixels, {len(truth)} atoms, {time.monotonic() - began:.1f} s: {out}")


def tilt_angles(angles: Path | None, tilts: str) -> Any:
    """(T, 3) angles in degrees from a file, or from ``FIRST,LAST,STEP`` about y."""
    import numpy as np

    if angles is not None:
        from napari_lot.series.angles import read_angles, to_lot_angles

        table = read_angles(angles)
        return to_lot_angles(table.values_deg, table.geometry)
    first, last, step = o.split_numbers(tilts, "--tilts", ("FIRST", "LAST", "STEP"))
    count = np.floor((last - first) / step + 1 + 1e-9) if step else 0
    if not 1 <= count <= 10_000:
        raise InputError(f"--tilts: from {first:g} to {last:g} in steps of {step:g} degrees gives no usable series.")
    theta = first + step * np.arange(int(count))
    return np.stack([np.zeros_like(theta), theta, np.zeros_like(theta)], axis=1)


def _image_shape(size: str | None) -> tuple[int, int] | None:
    if size is None:
        return None
    rows, columns = o.split_numbers(size, "--size", ("ROWS", "COLS"))
    if not (float(rows).is_integer() and float(columns).is_integer()):
        raise InputError(f"--size: expected whole numbers of pixels (given: {size!r}).")
    if not (0 < rows <= LARGEST_SIDE and 0 < columns <= LARGEST_SIDE):
        raise InputError(f"--size: give between 1 and {LARGEST_SIDE} pixels on each side (given: {size!r}).")
    return int(rows), int(columns)


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
