"""The flags of the command line, and how they become settings.

A flag that stands for a setting reads its help and bounds from the setting's field; which setting that is is written
here once. Precedence: flag, then ``--set``, then ``--config``, then what the file itself says, then the default.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
import yaml
from pydantic.fields import FieldInfo

from napari_lot.errors import InputError
from napari_lot.settings import Settings, load_settings, settings_from_dict
from napari_lot.settings.tilts import tilts_of

DATA, PROBE, ATOMS, FIT, RUN = "Data", "Probe", "Atoms", "Fit", "Run"

# Parameter of the command -> section.name of the setting. Flags of two values name two settings.
SETTING_OF: dict[str, tuple[str, ...]] = {
    "tilt_axis": ("data.tilt_axis_deg",),
    "pixel_size": ("data.pixel_size_A",),
    "center": ("data.center_px",),
    "counts": ("data.counts",),
    "thickness": ("data.thickness_A",),
    "exclude": ("data.exclude",),
    "withhold": ("data.withhold",),
    "probe": ("model.probe",),
    "energy": ("microscope.energy_eV",),
    "semiangle": ("microscope.semiangle_mrad",),
    "defocus": ("microscope.defocus_A",),
    "c30": ("microscope.c30_A",),
    "c12": ("microscope.c12_A", "microscope.phi12_deg"),
    "source_size": ("microscope.source_size_A",),
    "focal_spread": ("microscope.focal_spread_A",),
    "element": ("model.elements",),
    "elements": ("model.elements",),
    "spacing": ("model.spacing_A",),
    "orbital": ("model.orbital",),
    "likelihood": ("model.likelihood",),
    "start": ("start.kind",),
    "refine": ("solver.refine",),
    "fix": ("solver.fix",),
    "device": ("solver.device",),
    "threads": ("solver.threads",),
    "seed": ("solver.seed",),
    "max_minutes": ("solver.max_minutes",),
}


def flag_of(parameter: str) -> str:
    """``tilt_axis`` -> ``--tilt-axis``."""
    return "--" + parameter.replace("_", "-")


def field_of(setting: str) -> FieldInfo:
    """The pydantic field of ``section.name``."""
    section, name = setting.split(".")
    model: Any = Settings.model_fields[section].annotation
    found: FieldInfo = model.model_fields[name]
    return found


def bounds_text(field: FieldInfo) -> str:
    """``0 to 200``, ``over 0 to 200``, ``over 0``, or nothing."""
    limits = {k: getattr(m, k) for m in field.metadata for k in ("gt", "ge", "lt", "le") if hasattr(m, k)}
    low = next((limits[k] for k in ("gt", "ge") if k in limits), None)
    high = next((limits[k] for k in ("lt", "le") if k in limits), None)
    if low is not None and high is not None:
        over, below = "over " if "gt" in limits else "", "below " if "lt" in limits else ""
        return f"{over}{low:g} to {below}{high:g}"
    above = "over" if "gt" in limits else "at least"
    return f"{above} {low:g}" if low is not None else f"up to {high:g}" if high is not None else ""


def _help(setting: str) -> str:
    field = field_of(setting)
    default = field.default
    notes = [bounds_text(field)]
    if isinstance(default, tuple):
        notes.append(f"default: {','.join(map(str, default))}" if default else "")
    elif default is not None and not isinstance(default, bool):
        notes.append(f"default: {default}")
    note = "; ".join(part for part in notes if part)
    return f"{field.description} {f'({note})' if note else ''}".strip()


def setting_flag(flag: str, setting: str, panel: str, metavar: str | None = None) -> Any:
    """An option that stands for ``section.name``: absent means that the other sources speak."""
    return typer.Option(flag, help=_help(setting), metavar=metavar, rich_help_panel=panel, show_default=False)


def _setting(parameter: str, panel: str, metavar: str | None = None) -> Any:
    return setting_flag(flag_of(parameter), SETTING_OF[parameter][0], panel, metavar)


def _own(flag: str, panel: str, help: str, metavar: str | None = None) -> Any:
    """An option that is no setting of the run."""
    return typer.Option(flag, help=help, metavar=metavar, rich_help_panel=panel, show_default=False)


Series = Annotated[
    Path,
    typer.Argument(
        metavar="SERIES",
        help="Tilt series: TIFF, MRC, HDF5/EMD, NPZ, NPY, MAT, DM3/4, SER; or a folder, one image per tilt.",
    ),
]
Out = Annotated[Path, _own("--out", RUN, "Folder for the results; absent or empty unless --overwrite.", "DIR")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace results in DIR.", rich_help_panel=RUN)]

Angles = Annotated[
    Path | None, _own("--angles", DATA, "Tilt angles: CSV (psi_deg,theta_deg,phi_deg), .tlt, .rawtlt or .mdoc.", "FILE")
]
TiltAxis = Annotated[float | None, _setting("tilt_axis", DATA, "DEG")]
PixelSize = Annotated[float | None, _setting("pixel_size", DATA, "A")]
Center = Annotated[str | None, _setting("center", DATA, "ROW,COL")]
Mask = Annotated[Path | None, _own("--mask", DATA, "TIFF, one image for all tilts or one per tilt; 1 = use.", "FILE")]
Counts = Annotated[bool | None, _setting("counts", DATA)]
Thickness = Annotated[float | None, _setting("thickness", DATA, "A")]

Probe = Annotated[Literal["direct", "rigid", "adaptive"] | None, _setting("probe", PROBE)]
Energy = Annotated[float | None, _setting("energy", PROBE, "EV")]
Semiangle = Annotated[float | None, _setting("semiangle", PROBE, "MRAD")]
Defocus = Annotated[float | None, _setting("defocus", PROBE, "A")]
C30 = Annotated[float | None, _setting("c30", PROBE, "A")]
C12 = Annotated[str | None, _setting("c12", PROBE, "A,DEG")]
SourceSize = Annotated[float | None, _setting("source_size", PROBE, "A_FWHM")]
FocalSpread = Annotated[float | None, _setting("focal_spread", PROBE, "A")]

Element = Annotated[str | None, _own("--element", ATOMS, "Element symbol, such as Pt.", "X")]
Elements = Annotated[str | None, _own("--elements", ATOMS, "Element symbols of an alloy.", "A,B,...")]
Spacing = Annotated[float | None, _setting("spacing", ATOMS, "A")]
Orbital = Annotated[str | None, _setting("orbital", ATOMS, "gaussian|slater|learnt|FILE.csv")]
Start = Annotated[str | None, _setting("start", ATOMS, "grid|peaks|FILE")]

Likelihood = Annotated[Literal["auto", "lsq", "poisson"] | None, _setting("likelihood", FIT)]
Refine = Annotated[str | None, _setting("refine", FIT, "LIST")]
Fix = Annotated[str | None, _setting("fix", FIT, "LIST")]
Withhold = Annotated[int | None, _setting("withhold", FIT, "N")]
Exclude = Annotated[str | None, _setting("exclude", FIT, "I,J,...")]

Config = Annotated[Path | None, _own("--config", RUN, "Settings as YAML: {section: {name: value}}.", "RUN.yaml")]
Sets = Annotated[
    list[str] | None, _own("--set", RUN, "Any setting by its name; may be repeated.", "section.name=value")
]
Device = Annotated[Literal["auto", "cpu", "cuda", "mps"] | None, _setting("device", RUN)]
Threads = Annotated[int | None, _setting("threads", RUN, "N")]
Seed = Annotated[int | None, _setting("seed", RUN, "N")]
MaxMinutes = Annotated[float | None, _setting("max_minutes", RUN, "M")]


@dataclass(frozen=True)
class Given:
    """What the user gave: nested values, and where each ``section.name`` came from."""

    values: dict[str, dict[str, Any]]
    origins: dict[str, str]

    def settings(self) -> Settings:
        """Validated settings (InputError names the flag or file that a wrong value came from)."""
        return settings_from_dict(self.values, "settings", self.origins)

    def has(self, setting: str) -> bool:
        """Whether the user gave ``section.name``."""
        return setting in self.origins

    def with_file(self, facts: Mapping[str, Any], source: str) -> Given:
        """The same, with ``{section.name: value}`` of a file filled in where the user was silent."""
        values = {section: dict(names) for section, names in self.values.items()}
        origins = dict(self.origins)
        for setting, value in facts.items():
            if setting not in origins:
                _put(values, origins, setting, value, source)
        return Given(values, origins)


def _put(values: dict[str, dict[str, Any]], origins: dict[str, str], setting: str, value: Any, origin: str) -> None:
    section, _, name = setting.partition(".")
    values.setdefault(section, {})[name] = value
    origins[setting] = origin


def split_list(text: str, flag: str) -> list[str]:
    """``"a, b"`` -> ``["a", "b"]``."""
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise InputError(f"{flag}: expected values separated by commas (given: {text!r}).")
    return parts


def split_numbers(text: str, flag: str, names: Sequence[str]) -> list[float]:
    """``"12.5,40"`` -> two numbers, one per name."""
    parts = text.split(",")
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        numbers = []
    if len(numbers) != len(names):
        raise InputError(f"{flag}: expected {len(names)} numbers {','.join(names)} (given: {text!r}).")
    return numbers


def tilt_numbers(text: str, flag: str) -> tuple[int, ...]:
    """``"3, 17, 20-22"`` -> ``(3, 17, 20, 21, 22)``."""
    split_list(text, flag)  # nothing between two commas is a slip
    try:
        return tilts_of(text)
    except ValueError as error:
        raise InputError(f"{flag}: {error}.") from None


def _flag_values(parameter: str, value: Any) -> Sequence[Any]:
    """Values of the settings that a flag stands for."""
    flag = flag_of(parameter)
    if parameter == "center":
        return [tuple(split_numbers(value, flag, ("ROW", "COL")))]
    if parameter == "c12":
        return split_numbers(value, flag, ("A", "DEG"))
    if parameter == "element":
        return [(value,)]
    if parameter == "exclude":
        return [tilt_numbers(value, flag)]
    if parameter in ("elements", "refine", "fix"):
        return [tuple(split_list(value, flag))]
    return [value]


def of_config(config: Path | None, example: str) -> Iterator[tuple[str, Any]]:
    """``section.name`` and value of all that a settings file says; nothing of none. ``example`` is of such a line."""
    for section, names in (load_settings(config) if config else {}).items():
        if not isinstance(names, dict):
            raise InputError(f"{config}: {section}: expected names and values below it, such as '{example}'.")
        for name, value in names.items():
            yield f"{section}.{name}", value


def set_value(setting: str, text: str) -> Any:
    """What the text after ``--set NAME=`` means, as in a settings file."""
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, LookupError, RecursionError):  # as of a settings file
        raise InputError(f"--set {setting}: cannot read the value {text[:80]!r}; write it as in YAML.") from None


def gather(
    flags: Mapping[str, Any],
    config: Path | None = None,
    sets: Sequence[str] = (),
    more: Mapping[str, tuple[str, ...]] | None = None,
) -> Given:
    """Merge ``--config``, ``--set`` and flags (the later wins); nothing is validated yet but their form.

    ``more`` says what other flags than those of ``SETTING_OF`` stand for.
    """
    setting_of = {**SETTING_OF, **(more or {})}
    values: dict[str, dict[str, Any]] = {}
    origins: dict[str, str] = {}
    for setting, value in of_config(config, "seed: 1"):
        _put(values, origins, setting, value, str(config))
    for text in sets:
        setting, equals, value = text.partition("=")
        setting = setting.strip()
        if not equals or setting.count(".") != 1:
            sections = ", ".join(Settings.model_fields)
            raise InputError(
                f"--set: expected section.name=value, such as solver.seed=1, with a section of {sections} "
                f"(given: {text!r})."
            )
        _put(values, origins, setting, set_value(setting, value), f"--set {setting}")
    if flags.get("element") is not None and flags.get("elements") is not None:
        raise InputError("--element and --elements were both given; give one of them.")
    for parameter, value in flags.items():
        if parameter in setting_of and value is not None:
            for setting, part in zip(setting_of[parameter], _flag_values(parameter, value), strict=True):
                _put(values, origins, setting, part, flag_of(parameter))
    return Given(values, origins)
