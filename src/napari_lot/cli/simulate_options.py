"""The flags of ``napari-lot simulate``, made from the fields of :mod:`napari_lot.simulate.settings`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from napari_lot.cli import options as o
from napari_lot.errors import InputError
from napari_lot.simulate.settings import Checked, Kind, Multislice, Recipe, Recording, SizeError

Settings = TypeVar("Settings", bound=Checked)

PARTICLE, RECORDING, MULTISLICE = "Particle (in place of ATOMS)", "Recording", "Multislice"

# Parameter of the command -> field. The seed is --seed for all of them.
PARTICLE_FLAGS = {
    "particle": "kind",
    "diameter": "diameter_A",
    "min_distance": "min_distance_A",
    "atom_count": "atoms",
    "shells": "shells",
    "edge": "edge",
    "length": "length",
    "notch": "notch",
    "lattice": "lattice_A",
}
RECORDING_FLAGS = {
    "dose": "dose_e_per_A2",
    "background": "background",
    "drift": "drift_A",
    "angle_error": "angle_error_deg",
    "current_spread": "current_spread",
    "gain": "gain",
    "offset": "offset",
    "read_noise": "read_noise",
}
MULTISLICE_FLAGS = {
    "inner": "inner_mrad",
    "outer": "outer_mrad",
    "slice_thickness": "slice_A",
    "sampling": "sampling_A",
    "interpolation": "interpolation",
    "scan_step": "scan_step_A",
    "margin": "margin_A",
    "phonons": "phonon_configurations",
    "phonon_rms": "phonon_rms_A",
}


def flag_of(parameter: str) -> str:
    """``atom_count`` -> ``--atoms`` (ATOMS, the file, has that name among the parameters)."""
    return "--atoms" if parameter == "atom_count" else o.flag_of(parameter)


def _field(parameter: str, model: type[Checked], flags: Mapping[str, str], panel: str, metavar: str) -> Any:
    """An option that stands for a field: absent, the field keeps its default."""
    field = model.model_fields[flags[parameter]]
    default = "" if field.default is None or field.is_required() else f"default: {field.default:g}"
    note = "; ".join(part for part in (o.bounds_text(field), default) if part)
    text = f"{field.description} {f'({note})' if note else ''}".strip()
    return typer.Option(flag_of(parameter), help=text, metavar=metavar, rich_help_panel=panel, show_default=False)


def _particle(parameter: str, metavar: str) -> Any:
    return _field(parameter, Recipe, PARTICLE_FLAGS, PARTICLE, metavar)


def _recording(parameter: str, metavar: str) -> Any:
    return _field(parameter, Recording, RECORDING_FLAGS, RECORDING, metavar)


def _multislice(parameter: str, metavar: str) -> Any:
    return _field(parameter, Multislice, MULTISLICE_FLAGS, MULTISLICE, metavar)


Atoms = Annotated[
    Path | None,
    typer.Argument(
        metavar="[ATOMS]", help="XYZ, CSV, RESIRE .mat or LAMMPS data, Å, origin at the centre; or --particle."
    ),
]
PixelSize = Annotated[float, typer.Option("--pixel-size", metavar="A", help="Pixel size in Å.")]
Tilts = Annotated[
    str, typer.Option("--tilts", metavar="FIRST,LAST,STEP", help="Tilts about y in degrees, without --angles.")
]
Size = Annotated[str | None, typer.Option("--size", metavar="ROWS,COLS", help="Pixels; default: all atoms.")]
CrossSection = Annotated[
    str | None,
    typer.Option(
        "--cross-section",
        metavar="A2,...|auto",
        help="Scattering cross-section in Å^2, one or one per element; auto: 0.0017 Å^2 for Si, others by Z^1.7. "
        "Default: the heights of ATOMS, auto for a --particle.",
        show_default=False,
    ),
]
Width = Annotated[
    str | None,
    typer.Option(
        "--width",
        metavar="A,...",
        help="Width B of the orbitals in Å, one or one per element; default: that of ATOMS, 0.5 for a --particle.",
        show_default=False,
    ),
]

Particle = Annotated[Kind | None, _particle("particle", "KIND")]
Fractions = Annotated[
    str | None,
    typer.Option(
        "--fractions",
        metavar="A,B,...",
        help="Share of each of --elements, placed at random; equal by default.",
        rich_help_panel=PARTICLE,
        show_default=False,
    ),
]
Diameter = Annotated[float | None, _particle("diameter", "A")]
MinDistance = Annotated[float | None, _particle("min_distance", "A")]
AtomCount = Annotated[int | None, _particle("atom_count", "N")]
Shells = Annotated[int | None, _particle("shells", "N")]
Edge = Annotated[int | None, _particle("edge", "N")]
Length = Annotated[int | None, _particle("length", "N")]
Notch = Annotated[int | None, _particle("notch", "N")]
Lattice = Annotated[float | None, _particle("lattice", "A")]

Dose = Annotated[float | None, _recording("dose", "E")]
Background = Annotated[float | None, _recording("background", "X")]
Drift = Annotated[float | None, _recording("drift", "A")]
AngleError = Annotated[float | None, _recording("angle_error", "DEG")]
CurrentSpread = Annotated[float | None, _recording("current_spread", "X")]
Gain = Annotated[float | None, _recording("gain", "X")]
Offset = Annotated[float | None, _recording("offset", "X")]
ReadNoise = Annotated[float | None, _recording("read_noise", "X")]

UseMultislice = Annotated[
    bool,
    typer.Option(
        "--multislice",
        help="Images by multislice (abTEM, the extra 'multislice'); a repeated command goes on where it stopped.",
        rich_help_panel=MULTISLICE,
    ),
]
Inner = Annotated[float | None, _multislice("inner", "MRAD")]
Outer = Annotated[float | None, _multislice("outer", "MRAD")]
SliceThickness = Annotated[float | None, _multislice("slice_thickness", "A")]
Sampling = Annotated[float | None, _multislice("sampling", "A")]
Interpolation = Annotated[int | None, _multislice("interpolation", "N")]
ScanStep = Annotated[float | None, _multislice("scan_step", "A")]
Margin = Annotated[float | None, _multislice("margin", "A")]
Phonons = Annotated[int | None, _multislice("phonons", "N")]
PhononRms = Annotated[float | None, _multislice("phonon_rms", "A")]


def given(parameters: Mapping[str, Any], flags: Mapping[str, str]) -> dict[str, Any]:
    """``{field: value}`` of those flags that were given."""
    return {field: parameters[name] for name, field in flags.items() if parameters[name] is not None}


def checked(model: type[Settings], parameters: Mapping[str, Any], flags: Mapping[str, str], **more: Any) -> Settings:
    """Settings of the flags that were given and ``more``; a wrong value is told by its flag."""
    flag_by_field = {field: flag_of(name) for name, field in flags.items()}
    try:
        return model.checked(**given(parameters, flags), **more)
    except SizeError as error:
        raise InputError(error.sentence.format(*(flag_by_field[name] for name in error.names))) from None
    except InputError as error:
        field, colon, rest = str(error).partition(":")
        raise InputError(f"{flag_by_field.get(field, field)}{colon}{rest}") from None
