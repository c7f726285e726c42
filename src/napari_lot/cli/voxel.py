"""``napari-lot voxel``: a tilt series in, a volume out, by a conventional method."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_lot.cli import options as o
from napari_lot.cli.reconstruct import INTERRUPTED, check_inputs_survive, read, write_or_rescue
from napari_lot.cli.trace import refused, summary, table_writers, tell_doubts, traced_report
from napari_lot.errors import InputError
from napari_lot.machine import processes
from napari_lot.owner import claimed
from napari_lot.report import check_output_folder, to_plain, write_folder, write_json
from napari_lot.settings import settings_from_dict
from napari_lot.voxel.methods import METHODS, sections, voxel_settings

if TYPE_CHECKING:
    from napari_lot.series.tilt_series import TiltSeries
    from napari_lot.settings import Settings
    from napari_lot.settings.voxel import VoxelSettings
    from napari_lot.voxel.atoms.species import Found
    from napari_lot.voxel.job import VoxelResult, VoxelSnapshot

VOLUME_FILE = "volume.mrc"
RESULT_FILES = (VOLUME_FILE, "report.json", "atoms.csv", "atoms.xyz", "peaks.csv")
VOLUME, ATOMS = "Volume", "Atoms (with --trace)"
OF_ATOMS = ("model", "tracing")
"""Sections of the settings that count where the volume is traced."""

# Parameter of the command -> section.name; a name alone is the method's own.
SETTING_OF: dict[str, str] = {
    **{name: o.SETTING_OF[name][0] for name in ("tilt_axis", "pixel_size", "center", "counts", "thickness")},
    **{name: o.SETTING_OF[name][0] for name in ("exclude", "withhold")},
    "bin": "grid.bin",
    "max_minutes": "grid.max_minutes",
    "iterations": "iterations",
    "device": "device",
    "threads": "threads",
}

Name = Annotated[str, typer.Argument(metavar="METHOD", help=f"One of {', '.join(METHODS)}.")]
Bin = Annotated[int | None, o._own("--bin", VOLUME, "Pixels that are averaged to one, along either side.", "N")]
Iterations = Annotated[int | None, o._own("--iterations", VOLUME, "Iterations of the method.", "N")]
Trace = Annotated[bool, o._own("--trace", ATOMS, "Trace the volume: also atoms.csv, atoms.xyz and peaks.csv.")]
Element = Annotated[
    str | None,
    typer.Option(
        "--element",
        "--elements",
        help="Element symbols, such as Pt or Pt,Fe, told apart by what their atoms show.",
        metavar="A,B,...",
        rich_help_panel=ATOMS,
        show_default=False,
    ),
]
Spacing = Annotated[float | None, o.setting_flag("--spacing", "model.spacing_A", ATOMS, "A")]
Sets = Annotated[
    list[str] | None,
    o._own(
        "--set",
        o.RUN,
        "Any setting: the method's by its name, others as data.name or grid.name; with --trace also tracing.name.",
        "name=value",
    ),
]
Device = Annotated[str | None, o._own("--device", o.RUN, "Where volumes are projected.", "auto|cpu|cuda")]
Config = Annotated[Path | None, o._own("--config", o.RUN, "Settings as YAML: {section: {name: value}}.", "RUN.yaml")]


def voxel(
    context: typer.Context,
    method: Name,
    series: o.Series,
    out: o.Out,
    overwrite: o.Overwrite = False,
    angles: o.Angles = None,
    tilt_axis: o.TiltAxis = None,
    pixel_size: o.PixelSize = None,
    center: o.Center = None,
    mask: o.Mask = None,
    counts: o.Counts = None,
    thickness: o.Thickness = None,
    withhold: o.Withhold = None,
    exclude: o.Exclude = None,
    bin: Bin = None,
    iterations: Iterations = None,
    trace: Trace = False,
    elements: Element = None,
    spacing: Spacing = None,
    config: Config = None,
    sets: Sets = None,
    device: Device = None,
    threads: o.Threads = None,
    max_minutes: o.MaxMinutes = None,
) -> int:
    """Reconstruct a volume by a conventional method, and with --trace the atoms at its peaks.

    Flags win over --set, --set over --config, --config over what the file says. Ctrl-C ends the run with what there is.
    """
    if processes() > 1:
        raise InputError("napari-lot voxel runs in one process: start it without torchrun.")
    given = gather(method, context.params, config, sets or ())
    atoms = _tracing(given, trace, elements, spacing)
    settings = settings_of(method, given)  # wrong settings are told before a large file is read
    files = {"series": series, "angles": angles, "mask": mask}
    check_output_folder(out, overwrite)
    check_inputs_survive(out, [*files.values(), config], RESULT_FILES)
    began = time.monotonic()
    facts = {"data": given.values.get("data", {})}
    measured = read(o.Given(facts, given.origins), files)
    for warning in measured.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return run_and_write(measured, settings, method, out, began, context.obj, atoms)


def _tracing(given: o.Given, wanted: bool, elements: str | None, spacing: float | None) -> Settings | None:
    """Settings of the tracing, taken out of what was ``given``; None where the volume is not traced."""
    own = {section: given.values.pop(section) for section in OF_ATOMS if section in given.values}
    if not wanted:
        told = [flag for flag, value in (("--element", elements), ("--spacing", spacing)) if value is not None]
        told += [place for place in given.origins.values() if place.startswith(("--set model.", "--set tracing."))]
        if told:
            raise InputError(f"{told[0]}: says something of atoms, which are not traced; give --trace, too.")
        return None
    from napari_lot.voxel.atoms.species import trace_spacing_A

    origins = dict(given.origins)
    symbols = None if elements is None else tuple(o.split_list(elements, "--element"))
    for flag, name, given_value in (("--element", "elements", symbols), ("--spacing", "spacing_A", spacing)):
        if given_value is not None:
            own.setdefault("model", {})[name] = given_value
            origins[f"model.{name}"] = flag
    settings = settings_from_dict(own, "settings", origins)
    trace_spacing_A(settings)  # what is missing is told now
    return settings


def gather(method: str, flags: Mapping[str, Any], config: Path | None, sets: Sequence[str]) -> o.Given:
    """Merge ``--config``, ``--set`` and flags (the later wins); nothing is validated yet but their form."""
    own = sections(method)
    values: dict[str, dict[str, Any]] = {}
    origins: dict[str, str] = {}

    def put(setting: str, value: Any, origin: str) -> None:
        section, _, name = setting.rpartition(".")
        section = section or method
        if section == method and not _has(own, method, name) and origin.startswith("--") and "set" not in origin:
            raise InputError(f"{origin}: {method} has no such setting; leave it out.")
        values.setdefault(section, {})[name] = value
        origins[f"{section}.{name}"] = origin

    for setting, value in o.of_config(config, "iterations: 30"):
        put(setting, value, str(config))
    for text in sets:
        setting, equals, value = text.partition("=")
        setting = setting.strip()
        if not equals or not setting or setting.count(".") > 1:
            raise InputError(
                f"--set: expected name=value, such as iterations=30, or section.name=value with a section of "
                f"{', '.join(own)} (given: {text!r})."
            )
        parsed = o.set_value(setting, value)
        section = setting.rpartition(".")[0]
        if section in METHODS and section != method:
            raise InputError(f"--set {setting}: {method} runs, not {section}; leave it out.")
        put(setting, parsed, f"--set {setting}")
    for parameter, value in flags.items():
        if parameter in SETTING_OF and value is not None:
            part = o._flag_values(parameter, value)[0]
            put(SETTING_OF[parameter], part, o.flag_of(parameter))
    return o.Given(values, origins)


def _has(own: Mapping[str, Any], section: str, name: str) -> bool:
    return name in own[section].model_fields


def settings_of(method: str, given: o.Given) -> VoxelSettings:
    """Validated settings (InputError names the flag or file that a wrong value came from)."""
    return voxel_settings(method, given.values, "settings", given.origins)


def run_and_write(
    measured: TiltSeries,
    settings: VoxelSettings,
    method: str,
    out: Path,
    began: float,
    command: str,
    atoms: Settings | None = None,
) -> int:
    """Reconstruct and write; the exit code.

    ``began`` is when the ``command`` began, by ``time.monotonic``; ``atoms`` are the settings of a tracing.
    """
    from napari_lot.cli.progress import finish_on_interrupt, follow
    from napari_lot.control import Control
    from napari_lot.voxel.job import VoxelJob

    read_seconds = time.monotonic() - began
    control = Control()
    job = VoxelJob(measured, settings, method)
    with claimed(out), finish_on_interrupt(control) as interrupt:
        follow(job, control, found=_voxels)
        result = job.result
        if result is None:
            print("Interrupted before there was a volume: nothing was written.", file=sys.stderr)
            return INTERRUPTED
        new = [warning for warning in result.warnings if warning not in measured.warnings]
        for warning in new:
            print(f"warning: {warning}", file=sys.stderr)
        seconds, found, mark = {"read": read_seconds}, None, time.monotonic()
        if atoms is not None:
            from napari_lot.voxel.atoms.species import find_atoms

            found = find_atoms(result.volume, atoms)
            seconds["trace"] = time.monotonic() - mark
        seconds["total"] = time.monotonic() - began
        write(out, measured, result, {"command": command, "wall_seconds": seconds}, found, atoms)
    shape = " x ".join(map(str, result.volume.values.shape))
    print(f"{shape} voxels (z, y, x), {time.monotonic() - began:.1f} s: {out / VOLUME_FILE}\n{result.message}")
    if found is not None:
        if not len(found.traced.atoms):
            raise InputError(
                f"{out / VOLUME_FILE}: no atoms were found in it{refused(found)}; trace it again with another "
                "threshold or spacing (napari-lot trace)."
            )
        tell_doubts(found)
        print(summary(found, out))
    return INTERRUPTED if interrupt.asked else 0


def _voxels(snapshot: VoxelSnapshot) -> str:
    return "" if snapshot.volume is None else " x ".join(map(str, snapshot.volume.values.shape)) + " voxels"


def write(
    out: Path,
    series: TiltSeries,
    result: VoxelResult,
    run: dict[str, Any],
    found: Found | None = None,
    atoms: Settings | None = None,
) -> None:
    """Write the results; where ``out`` fails now (a full disk), into a temporary folder: the run is not lost."""
    from napari_lot.export import write_volume
    from napari_lot.voxel.report import make_voxel_report

    report = make_voxel_report(series, result, run)
    writers: dict[str, Callable[[Path], None]] = {
        VOLUME_FILE: lambda path: write_volume(path, result.volume),
        "report.json": lambda path: write_json(path, report),
    }
    if found is not None and atoms is not None:
        report |= to_plain(traced_report(found, atoms))
        report["settings"] |= {name: getattr(atoms, name).model_dump(mode="json") for name in OF_ATOMS}
        if len(found.traced):
            writers |= table_writers(found)
    write_or_rescue(out, lambda folder: write_folder(folder, writers, RESULT_FILES))
