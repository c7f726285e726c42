"""Every setting, once: name, unit, bounds, default and help are one pydantic field.

The form in the window, the command line, the YAML file and the table in the docs are made from these fields.
Lengths in Å, angles in degrees, energies in eV, semi-angles in mrad.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from napari_lot.errors import InputError
from napari_lot.physics.elements import SYMBOLS

Refinable = Literal[
    "positions", "heights", "width", "center", "shifts", "angles", "scale", "background", "defocus", "probe"
]
REFINED_BY_DEFAULT: tuple[Refinable, ...] = (
    "positions",
    "heights",
    "width",
    "center",
    "shifts",
    "scale",
    "background",
    "probe",
)

LARGEST_TILT_WEIGHT = 1000.0

ORBITALS = ("gaussian", "slater", "learnt")
"""Shapes of an atom that have a name."""

FWHM_PER_SIGMA = 2.3548200450309493
"""Full width at half maximum of a Gaussian in standard deviations."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Microscope(_Frozen):
    """The probe-forming lens (aberrations in Krivanek's names, as abTEM has them)."""

    energy_eV: float | None = Field(None, gt=1e3, le=3e6, description="Electron energy in eV.")
    semiangle_mrad: float | None = Field(None, ge=1, le=200, description="Convergence semi-angle in mrad.")
    defocus_A: float = Field(
        0.0, ge=-1e5, le=1e5, description="Focal plane in Å from the rotation centre, downstream positive."
    )
    c12_A: float = Field(0.0, ge=0, le=1e5, description="Two-fold astigmatism in Å.")
    phi12_deg: float = Field(0.0, ge=-360, le=360, description="Azimuth of the two-fold astigmatism in degrees.")
    c21_A: float = Field(0.0, ge=0, le=1e7, description="Axial coma in Å.")
    phi21_deg: float = Field(0.0, ge=-360, le=360, description="Azimuth of the coma in degrees.")
    c23_A: float = Field(0.0, ge=0, le=1e7, description="Three-fold astigmatism in Å.")
    phi23_deg: float = Field(0.0, ge=-360, le=360, description="Azimuth of the three-fold astigmatism in degrees.")
    c30_A: float = Field(0.0, ge=-1e9, le=1e9, description="Spherical aberration C30 (Cs) in Å.")
    c50_A: float = Field(0.0, ge=-1e10, le=1e10, description="Fifth-order spherical aberration C50 in Å.")
    source_size_A: float = Field(
        0.0, ge=0, le=10, description="Effective source size, full width at half maximum, in Å."
    )
    focal_spread_A: float = Field(
        0.0, ge=0, le=1e3, description="Standard deviation of the focal spread (chromatic) along the beam in Å."
    )


ABERRATIONS = (
    ("defocus", "defocus_A", None),
    ("C12", "c12_A", "phi12_deg"),
    ("C21", "c21_A", "phi21_deg"),
    ("C23", "c23_A", "phi23_deg"),
    ("C30", "c30_A", None),
    ("C50", "c50_A", None),
)
"""What the lens departs by: its name in a text, the field of its size, and that of its azimuth where it has one."""


class Data(_Frozen):
    """What the file does not say, or says wrongly."""

    pixel_size_A: float | None = Field(None, gt=1e-3, le=100, description="Pixel size in Å; from the file when absent.")
    tilt_axis_deg: float = Field(
        0.0, ge=-360, le=360, description="Tilt axis in the image in degrees from vertical, clockwise positive."
    )
    center_px: tuple[float, float] | None = Field(
        None,
        description="Rotation centre (row, column) in pixels; when absent from the file, or found from the images.",
    )
    counts: bool = Field(False, description="The images are electron counts: noise is Poisson.")
    gain: float | None = Field(
        None,
        gt=0,
        le=1e12,
        description="Detector units per electron; with it values are turned into electrons and noise is Poisson.",
    )
    offset: float = Field(0.0, ge=-1e12, le=1e12, description="Detector units at no electron.")
    read_noise: float = Field(
        0.0, ge=0, le=1e12, description="Standard deviation of the detector's own noise in detector units."
    )
    denoised: bool = Field(
        False, description="The images were denoised: their noise is no longer known, and the fit is by least squares."
    )
    thickness_A: float | None = Field(
        None, gt=0, le=1e5, description="Thickness in Å of a film that fills the field; estimated when absent."
    )
    exclude: tuple[int, ...] = Field((), description="Tilts left out, counted from 0.")
    tilt_weights: tuple[tuple[int, float], ...] = Field(
        (),
        description="Factors on the log-likelihood of single tilts, counted from 0, such as 3=0.5, 20-22=0; "
        "1 where none is given, 0 leaves a tilt out.",
    )
    withhold: int | None = Field(
        None, ge=2, le=1000, description="Every N-th tilt, from N//2 on, is not fitted but predicted at the end."
    )

    @field_validator("tilt_weights", mode="before")
    @classmethod
    def _as_pairs(cls, weights: Any) -> Any:
        """``3=0.5, 20-22=0`` as a person types it, or a mapping of tilts to weights."""
        if weights is None:
            return ()
        if isinstance(weights, Mapping):
            return tuple(weights.items())
        if isinstance(weights, str):
            return tuple(pair for part in weights.replace(";", ",").split(",") if part.strip() for pair in _pairs(part))
        if not isinstance(weights, list | tuple):
            raise ValueError("expected tilts and their weights, such as 3=0.5, 20-22=0")
        return weights

    @field_validator("tilt_weights")
    @classmethod
    def _usable_weights(cls, weights: tuple[tuple[int, float], ...]) -> tuple[tuple[int, float], ...]:
        for tilt, weight in weights:
            if tilt < 0:
                raise ValueError(f"there is no tilt {tilt}: tilts are counted from 0")
            if not 0 <= weight <= LARGEST_TILT_WEIGHT:
                raise ValueError(f"the weight of tilt {tilt} must be between 0 and {LARGEST_TILT_WEIGHT:g}")
        if len({tilt for tilt, _ in weights}) != len(weights):
            raise ValueError("a tilt has two weights")
        return weights

    @property
    def left_out(self) -> tuple[int, ...]:
        """Tilts that have no part in anything: excluded, or of weight 0."""
        return tuple(sorted({*self.exclude, *(tilt for tilt, weight in self.tilt_weights if weight == 0)}))


def _pairs(text: str) -> list[tuple[int, float]]:
    """``20-22=0.5`` as a weight for each of the tilts."""
    tilts, _, weight = text.partition("=")
    first, _, last = tilts.partition("-")
    try:
        return [(tilt, float(weight)) for tilt in range(int(first), int(last or first) + 1)]
    except ValueError:
        raise ValueError(f"{text.strip()!r} is no tilt and its weight, such as 3=0.5 or 20-22=0") from None


class Model(_Frozen):
    """What an atom and its image look like."""

    probe: Literal["direct", "rigid", "adaptive"] = Field(
        "rigid",
        description="Direct projection; depth-dependent interaction with the microscope's probe, rigid; or adaptive, "
        "where the images correct the probe.",
    )
    elements: tuple[str, ...] = Field(
        ("X",), min_length=1, description="Element symbols, such as Pt; X where the element is unknown."
    )
    orbital: str = Field(
        "learnt",
        description="Shape of an atom: gaussian, slater, learnt (a Gaussian that the images correct), or a CSV file of "
        "radii in Å and values.",
    )
    spacing_A: float | None = Field(
        None, gt=0.3, le=20, description="Expected nearest-neighbour distance in Å; from the element when absent."
    )
    likelihood: Literal["auto", "lsq", "poisson"] = Field(
        "auto", description="Least squares or Poisson; auto takes Poisson for counts."
    )
    depth_tolerance: float = Field(
        1e-4, gt=1e-8, le=0.1, description="Largest error of the depth basis relative to the probe's peak."
    )

    @field_validator("elements", mode="before")
    @classmethod
    def _as_symbols(cls, elements: Any) -> Any:
        """``Au``, ``au`` or ``Co, Pd, Pt`` as a file may have them."""
        parts = elements.split(",") if isinstance(elements, str) else elements
        if isinstance(parts, list | tuple) and all(isinstance(part, str) for part in parts):
            return tuple(part.strip().capitalize() for part in parts)
        return elements

    @field_validator("orbital")
    @classmethod
    def _a_name_or_a_file(cls, orbital: str) -> str:
        if orbital not in ORBITALS and not Path(orbital).suffix:
            raise ValueError(f"{orbital!r} is none of {', '.join(ORBITALS)}, nor a CSV file of radii in Å and values")
        return orbital

    @field_validator("elements")
    @classmethod
    def _known_elements(cls, elements: tuple[str, ...]) -> tuple[str, ...]:
        for symbol in elements:
            if symbol not in SYMBOLS:
                raise ValueError(f"{symbol!r} is no element symbol; give one such as Pt, or X where it is unknown")
        if len(set(elements)) != len(elements):
            raise ValueError("an element is named twice")
        return elements


class Start(_Frozen):
    """Where the orbitals come from."""

    kind: str = Field(
        "grid", description="grid, or a file of atoms (XYZ, CSV or RESIRE .mat); in the window also a layer."
    )
    grid_spacing: float = Field(
        0.42, gt=0.1, le=2, description="Grid constant of the start, in nearest-neighbour distances."
    )
    width_A: float = Field(0.6, gt=0.05, le=5, description="Width B of a new orbital in Å.")


class Solver(_Frozen):
    """How the fit runs."""

    refine: tuple[Refinable, ...] | None = Field(
        None,
        description="What is refined; when absent positions, heights, width, center, scale, background, the shifts "
        "of an object that does not leave the field, and the probe where it is adaptive.",
    )
    fix: tuple[Refinable, ...] = Field((), description="What is not refined, of what would be.")
    seed: int = Field(0, ge=0, description="Seed of everything random; the same seed gives the same result.")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        "auto", description="Where images are calculated; auto takes cuda, mps (Apple), cpu, whichever there is first."
    )
    device_memory_gb: float | None = Field(
        None,
        gt=0,
        le=1e4,
        description="Memory of cuda or mps in GB that tilts calculated at once may take; of what is free when absent.",
    )
    threads: int | None = Field(None, ge=1, le=1024, description="Threads; all cores when absent.")
    max_minutes: float | None = Field(None, gt=0, description="Stop with what there is after this many minutes.")
    batch_tilts: int = Field(4, ge=1, le=1000, description="Tilts per step.")
    position_step_A: float = Field(0.04, gt=0, le=1, description="Largest move of an orbital per step in Å.")
    height_step: float = Field(0.04, gt=0, le=1, description="Largest change of a height per step, in mean heights.")
    width_step_A: float = Field(0.01, gt=0, le=0.5, description="Largest change of the common width per step in Å.")
    shift_step_A: float = Field(0.02, gt=0, le=1, description="Largest change of a shift per step in Å.")
    scale_step: float = Field(0.003, gt=0, le=0.5, description="Largest change of a tilt's scale per step.")
    heights_passes: int = Field(3, ge=0, le=1000, description="Passes on heights alone at the start.")
    positions_passes: int = Field(12, ge=0, le=1000, description="Passes on heights and positions before merging.")
    join: float = Field(
        0.05,
        ge=0,
        le=0.3,
        description="Distance up to which orbitals of the condensing grid become one after each pass, in expected "
        "nearest-neighbour distances.",
    )
    gather: float = Field(
        0.22,
        gt=0,
        le=1,
        description="Blur of the density whose peaks orbitals gather into, in expected nearest-neighbour distances.",
    )
    merge_distances: tuple[float, ...] = Field(
        (0.5, 0.6),
        min_length=1,
        description="Merge distances in expected nearest-neighbour distances.",
    )
    halves_distance: float = Field(
        0.72,
        ge=0,
        le=1,
        description="Distance below which two that are weak enough to be one atom become one, in expected "
        "nearest-neighbour distances.",
    )
    merge_passes: int = Field(5, ge=0, le=1000, description="Passes after gathering and after each merge.")
    cull: tuple[float, ...] = Field(
        (0.01, 0.2, 0.3),
        min_length=1,
        description="Orbitals below this part of the 0.9 quantile of heights go, before gathering and before each "
        "merge; with several elements at most half of what the lightest shows.",
    )
    height_scatter: float = Field(
        0.15, gt=0, le=10, description="Scatter of the heights of one element, in typical heights."
    )
    birth_rounds: int = Field(6, ge=0, le=100, description="Rounds of births and deaths at most.")
    birth_part: float = Field(0.1, gt=0, le=1, description="Most births in a round, as a part of the atoms.")
    birth_steps: int = Field(15, ge=1, le=1000, description="Quasi-Newton steps after each round of births and deaths.")
    birth_significance: float = Field(4.0, ge=0, le=100, description="Least significance of a birth in noise sigmas.")
    birth_height: float = Field(0.45, ge=0, le=2, description="Least height of a birth in typical heights.")
    birth_height_lightest: float = Field(
        0.25,
        ge=0,
        le=2,
        description="The same with several elements, in heights of the lightest: what it asks for goes to neighbours "
        "many times as bright.",
    )
    refine_passes: int = Field(6, ge=0, le=10000, description="Passes of the final fit.")
    melt_rounds: int = Field(1, ge=0, le=100, description="Rounds in which crowded places go back to a grid, at most.")
    melt_part: float = Field(
        0.2, ge=0, le=1, description="Nothing is melted where more than this part of the orbitals would be."
    )
    melt_grid: float = Field(
        0.42, gt=0.1, le=2, description="Grid constant of such a place, in nearest-neighbour distances."
    )
    crowded: float = Field(
        0.68,
        ge=0,
        le=1,
        description="Orbitals closer than this, in expected nearest-neighbour distances, are doubtful.",
    )
    weak: float = Field(
        0.6, ge=0, le=1, description="Orbitals of a single element below this part of a typical height are doubtful."
    )
    aliasing: float = Field(
        1e-2,
        gt=0,
        le=1,
        description="Contrast beyond the Nyquist frequency of the pixels above which a finer grid is calculated.",
    )
    widths: Literal["species", "common", "atom"] = Field(
        "species", description="Widths of the orbitals: one a species, one for all, or one an atom."
    )
    width_scatter_A: float = Field(
        0.03, gt=0, le=1, description="Expected scatter of the atoms' own widths in Å (thermal vibration)."
    )
    learnt_scatter: float = Field(
        0.3, gt=0, le=10, description="Expected size of the corrections of a learnt orbital, in parts of the Gaussian."
    )
    distortion: Literal["none", "series", "tilt"] = Field(
        "none", description="Stretch and shear of the images (scan distortion): one for the series, or one a tilt."
    )
    distortion_scatter: float = Field(
        0.005, gt=0, le=0.2, description="Expected size of stretch and shear, in parts of the image."
    )
    tilt_defocus_A: float | None = Field(
        None,
        gt=0,
        le=1e4,
        description="Scatter of the focus from tilt to tilt in Å; it is refined where this is given.",
    )
    error_bars: Literal["none", "block", "joint"] = Field(
        "joint",
        description="Error bars of the atoms: none, block (each atom by itself), or joint (neighbours unknown, too).",
    )
    handedness: Literal["none", "tilt_sense", "reflection", "both"] = Field(
        "none",
        description="Whether the images speak for this hand of the structure or for the other: tilt_sense, the tilts "
        "turned the other way (told by a focus away from the rotation centre or C30 of known sign); reflection, the "
        "images flipped top to bottom, seen from behind (told by coma, C12 or C23 of known direction); both; or none, "
        "not asked. The answer may be that it cannot be told.",
    )
    probe_rounds: int = Field(
        6, ge=0, le=100, description="Rounds in which atoms and probe are fitted in turn (adaptive probe)."
    )
    probe_reach_A: float = Field(
        2.5, gt=0, le=20, description="Radius in Å within which the images correct an adaptive probe."
    )
    probe_with_depth: bool = Field(
        True, description="An adaptive probe may change with depth beyond its aberrations, and be attenuated."
    )
    polish_steps: int = Field(100, ge=0, le=10000, description="Quasi-Newton steps over all tilts at the end, at most.")
    tolerance: float = Field(1e-7, gt=0, lt=1, description="Done when a step promises less than this part of the loss.")


class Output(_Frozen):
    """What is written besides the results."""

    autosave_s: float | None = Field(
        60.0, ge=1, le=86400, description="Seconds after which a running fit is saved again; never when absent."
    )
    embed_images: bool = Field(
        True, description="The session holds the measured images; otherwise their path and their SHA-256."
    )


class Settings(_Frozen):
    """All settings of one run."""

    microscope: Microscope = Microscope()
    data: Data = Data()
    model: Model = Model()
    start: Start = Start()
    solver: Solver = Solver()
    output: Output = Output()


def in_words(error: ValidationError) -> str:
    """The first problem of some values, as a sentence begins after its place."""
    first = error.errors()[0]
    message = str(first["msg"]).removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = "there is no such setting"
    if isinstance(first["input"], float) and first["input"] != first["input"]:
        message = "must be a number"
    return f"{message[:1].lower()}{message[1:]}"


def settings_from_dict(
    values: dict[str, Any], where: str = "settings", origins: Mapping[str, str] | None = None
) -> Settings:
    """Validate nested settings; every problem becomes one sentence.

    Parameters
    ----------
    values : dict
        ``{section: {name: value}}``; what is absent keeps its default.
    where : str
        Where the values come from, for the message.
    origins : mapping, optional
        Where a single ``section.name`` comes from, where that differs (a flag of the command line).

    Raises
    ------
    InputError
        Unknown name, wrong type or value out of bounds, naming the setting as section.name.
    """
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"][:2])
        given = first["input"] if first["type"] != "value_error" else _value_at(values, first["loc"][:2])
        if isinstance(given, tuple | list) and all(isinstance(part, str) for part in given):
            given = ",".join(given)
        # An unknown section has no origin of its own, but what was put into it has.
        source = next((o for s, o in (origins or {}).items() if s == name or s.startswith(f"{name}.")), None)
        place = source if source is not None and source.startswith("--") else f"{source or where}: {name}"
        raise InputError(f"{place}: {in_words(error)} (given: {given!r}).") from None


def _value_at(values: dict[str, Any], path: tuple[int | str, ...]) -> Any:
    value: Any = values
    for part in path:
        value = value[part]
    return value


def facts_as_settings(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What a file or a case says of microscope and specimen, as ``{section.name: value}``.

    Understood are the microscope's fields under their names, ``element`` or ``elements``, and ``source_sigma_A`` (the
    standard deviation of a Gaussian source, for ``source_size_A``).
    """
    found = {f"microscope.{n}": facts[n] for n in Microscope.model_fields if facts.get(n) is not None}
    if facts.get("source_sigma_A") is not None:
        found.setdefault("microscope.source_size_A", FWHM_PER_SIGMA * float(facts["source_sigma_A"]))
    elements = facts.get("elements") or facts.get("element")
    if elements:
        found["model.elements"] = (elements,) if isinstance(elements, str) else tuple(elements)
    return found


def load_settings(path: str | Path) -> dict[str, Any]:
    """Nested settings from a YAML file, not yet validated (flags are merged over them first)."""
    path = Path(path)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot read the settings file: {error.strerror}.") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise InputError(f"{path}: not a YAML settings file; expected sections such as 'microscope:'.") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected sections such as 'microscope:', found {type(values).__name__}.")
    return values
