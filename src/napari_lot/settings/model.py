"""What an atom and its image look like, and where the orbitals come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from napari_lot.physics.elements import SYMBOLS
from napari_lot.settings.section import Frozen

ORBITALS = ("gaussian", "slater", "learnt")
"""Shapes of an atom that have a name."""
WITHOUT_FILE = ("grid", "peaks")
"""Kinds of start that name no file."""


class Model(Frozen):
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


class Start(Frozen):
    """Where the orbitals come from."""

    kind: str = Field(
        "grid",
        description="grid; peaks, those of a volume that is reconstructed from the series first; a file of atoms (XYZ, "
        "CSV, RESIRE .mat or LAMMPS data); or a volume (MRC, TIFF or NPZ), whose peaks are traced; in the window also "
        "a layer.",
    )
    peaks_method: Literal["wbp", "art", "sart", "sirt", "est", "genfire", "resire"] = Field(
        "sirt", description="Voxel method of the volume that a start from peaks begins with."
    )
    peaks_iterations: int | None = Field(
        None, ge=1, le=10000, description="Its iterations; 20 when absent, where it has any."
    )
    peaks_bin: int | None = Field(
        None,
        ge=1,
        le=64,
        description="Pixels that are averaged to one for it, along either side; when absent as many as leave 6 voxels "
        "to the expected nearest-neighbour distance.",
    )
    grid_spacing: float = Field(
        0.42, gt=0.1, le=2, description="Grid constant of the start, in nearest-neighbour distances."
    )
    width_A: float = Field(0.6, gt=0.05, le=5, description="Width B of a new orbital in Å.")
