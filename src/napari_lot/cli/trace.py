"""``napari-lot trace``: a volume in, the atoms at its peaks out."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from napari_lot.cli import options as o
from napari_lot.cli.reconstruct import check_inputs_survive
from napari_lot.errors import InputError
from napari_lot.report import check_output_folder, peak_memory_gb, to_plain, versions, write_folder, write_json

if TYPE_CHECKING:
    from napari_lot.settings import Settings
    from napari_lot.voxel.atoms.species import Found
    from napari_lot.voxel.volume import Volume

FILES = ("atoms.csv", "atoms.xyz", "peaks.csv", "report.json")
VOLUME = "Volume"
SETTING_OF = {
    "min_distance": ("tracing.min_distance_A",),
    "threshold": ("tracing.threshold",),
    "fit": ("tracing.fit",),
}
"""Flags of this command alone."""


def _flag(parameter: str, metavar: str | None = None) -> Any:
    return o.setting_flag(o.flag_of(parameter), SETTING_OF[parameter][0], o.ATOMS, metavar)


def trace(
    context: typer.Context,
    volume: Annotated[Path, typer.Argument(metavar="VOLUME", help="Volume: MRC (also .gz, .bz2), TIFF or NPZ.")],
    out: o.Out,
    overwrite: o.Overwrite = False,
    voxel_size: Annotated[
        float | None, o._own("--voxel-size", VOLUME, "Side of a voxel in Å; from the file when absent.", "A")
    ] = None,
    mask: Annotated[
        Path | None, o._own("--mask", VOLUME, "Volume of the same size; atoms only where it is over 0.", "FILE")
    ] = None,
    elements: Annotated[
        str | None,
        typer.Option(
            "--element",
            "--elements",
            help="Element symbols, such as Pt or Pt,Fe, told apart by what their atoms show.",
            metavar="A,B,...",
            rich_help_panel=o.ATOMS,
            show_default=False,
        ),
    ] = None,
    spacing: o.Spacing = None,
    min_distance: Annotated[float | None, _flag("min_distance", "A")] = None,
    threshold: Annotated[float | None, _flag("threshold")] = None,
    fit: Annotated[Literal["ellipsoid", "gaussian", "polynomial", "none"] | None, _flag("fit")] = None,
    config: o.Config = None,
    sets: Annotated[
        list[str] | None,
        o._own("--set", o.RUN, "Any setting of the tracing by its name; may be repeated.", "name=value"),
    ] = None,
) -> int:
    """Find the atoms of a volume: atoms.csv, atoms.xyz, peaks.csv, report.json.

    The volume may be of any program. Its atoms can also be given to a fit: reconstruct --start VOLUME.
    """
    from napari_lot.export import read_volume
    from napari_lot.voxel.atoms.species import find_atoms, trace_spacing_A

    own = [text if "." in text.partition("=")[0] else f"tracing.{text}" for text in sets or ()]
    settings = o.gather(context.params, config, own, SETTING_OF).settings()
    trace_spacing_A(settings)  # what is missing is told before a large file is read
    if voxel_size is not None and not 1e-3 <= voxel_size <= 100:
        raise InputError(f"--voxel-size: must be a length in Å between 0.001 and 100 (given: {voxel_size}).")
    check_output_folder(out, overwrite)
    check_inputs_survive(out, (volume, mask, config), FILES)
    began = time.monotonic()
    read = read_volume(volume, voxel_size, overruled=lambda own_A: _tell_other_size(volume, own_A, voxel_size))
    where = None
    if mask is not None:
        where = read_volume(mask, read.voxel_A).values > 0
        if where.shape != read.values.shape:
            sizes = (" x ".join(map(str, array.shape)) for array in (where, read.values))
            raise InputError("{}: the mask has {} voxels, the volume {}: give one of its size.".format(mask, *sizes))
    seconds = {"read": time.monotonic() - began}
    found = find_atoms(read, settings, where)
    seconds["trace"] = time.monotonic() - began - seconds["read"]
    if not len(found.traced.atoms):
        raise InputError(
            f"{volume}: no atoms were found{refused(found)}; check the voxel size and the spacing, that atoms are "
            "bright on a dark background, and --threshold."
        )
    seconds["total"] = time.monotonic() - began
    try:
        write(out, found, _report(volume, read, found, settings, seconds, context.obj))
    except OSError as error:
        raise InputError(f"{out}: cannot write the results: {error.strerror or error}; give another --out.") from None
    tell_doubts(found)
    print(summary(found, out, time.monotonic() - began))
    return 0


def _tell_other_size(path: Path, own_A: float, given_A: float | None) -> None:
    print(f"warning: {path} says that its voxels are {own_A:g} Å; they are taken as {given_A:g} Å.", file=sys.stderr)


def tell_doubts(found: Found) -> None:
    """What to hold against the atoms, on stderr."""
    for doubt in found.doubts:
        print(f"warning: {doubt}", file=sys.stderr)


def write(out: Path, found: Found, report: dict[str, Any]) -> None:
    """All files, whole or not at all."""
    writers = table_writers(found)
    write_folder(out, writers | {"report.json": lambda path: write_json(path, to_plain(report))}, stale=FILES)


def table_writers(found: Found) -> dict[str, Callable[[Path], None]]:
    """What writes atoms.csv, atoms.xyz and peaks.csv."""
    from napari_lot.export import write_atoms_csv, write_atoms_xyz

    traced = found.traced
    columns = traced.columns()
    if found.p_element is not None:
        columns["p_element"] = found.p_element
    return {
        "atoms.csv": lambda path: write_atoms_csv(path, traced.atoms, columns),
        "atoms.xyz": lambda path: write_atoms_xyz(path, traced.atoms, columns),
        "peaks.csv": lambda path: write_atoms_csv(path, traced.orbitals, traced.columns(atoms_only=False)),
    }


def traced_report(found: Found, settings: Settings) -> dict[str, Any]:
    """What a report says of the atoms of a volume."""
    from napari_lot.voxel.atoms.tracing import FLAG_WORDS

    atoms, elements = found.traced.atoms, settings.model.elements
    return {
        "atoms": len(atoms),
        "elements": {name: int((atoms.species == k).sum()) for k, name in enumerate(elements)},
        "peaks": found.traced.counts(),
        "flags": {str(int(flag)): words for flag, words in FLAG_WORDS.items()},
        "tracing": found.traced.details,
        "mixture": None if found.mixture is None else found.mixture.as_dict(elements),
        "doubts": list(found.doubts),
    }


def _report(
    source: Path, volume: Volume, found: Found, settings: Settings, seconds: dict[str, float], command: str
) -> dict[str, Any]:
    return {
        **traced_report(found, settings),
        "volume": {
            "source": source,
            "shape": volume.values.shape,
            "voxel_A": volume.voxel_A,
            "origin_A": volume.origin_A,
        },
        "wall_seconds": seconds,
        "peak_memory_gb": peak_memory_gb(),
        "settings": {name: getattr(settings, name).model_dump(mode="json") for name in ("model", "tracing")},
        "versions": versions(),
        "command": command,
    }


def refused(found: Found) -> str:
    """How many peaks are none, and why, in brackets; '' where all are atoms."""
    counts = {name: count for name, count in found.traced.counts().items() if count and name != "ok"}
    told = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items())
    return f" ({told})" if told else ""


def summary(found: Found, out: Path, seconds: float | None = None) -> str:
    """What a person wants to know of a tracing at the end."""
    atoms = found.traced.atoms
    took = "" if seconds is None else f", {seconds:.1f} s"
    text = f"{len(atoms)} atoms{took}: {out / 'atoms.xyz'}"
    if len(atoms.elements) > 1:
        counts = ((name, int((atoms.species == k).sum())) for k, name in enumerate(atoms.elements))
        text += "\n" + ", ".join(f"{count} {name}" for name, count in counts)
    none = len(found.traced) - len(atoms)
    return text + (f"\nPeaks that are no atoms: {none}{refused(found)}." if none else "")
