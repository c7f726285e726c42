"""How the model is fitted, and what of it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from napari_lot.settings.section import Frozen

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


class Solver(Frozen):
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
    threads: int | None = Field(
        None, ge=1, le=1024, description="Threads; all cores when absent, under torchrun those of a process."
    )
    max_minutes: float | None = Field(None, gt=0, description="Stop with what there is after this many minutes.")
    batch_tilts: int = Field(4, ge=1, le=1000, description="Tilts per step.")
    position_step_A: float = Field(0.06, gt=0, le=1, description="Largest move of an orbital per step in Å.")
    height_step: float = Field(0.08, gt=0, le=1, description="Largest change of a height per step, in mean heights.")
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
    melt_rounds: int = Field(4, ge=0, le=100, description="Rounds in which doubtful places go back to a grid, at most.")
    melt_passes: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Passes in which places condense that melt once all orbitals have been fitted, as a part of those "
        "in which the grid does.",
    )
    melt_part: float = Field(
        0.2, ge=0, le=1, description="Nothing is melted where more than this part of the orbitals would be."
    )
    melt_least: float = Field(
        1e-4,
        ge=0,
        le=1,
        description="Nothing is melted where it would be less than this part of the orbitals: a pass for a handful of "
        "places takes half as long as one for all.",
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
    odd: float = Field(
        0.25,
        ge=0,
        le=10,
        description="Orbitals of a single element whose height departs by more than this part from a typical one, and "
        "by more than birth_significance standard deviations, are doubtful.",
    )
    odd_least: float = Field(
        0.12,
        ge=0,
        le=10,
        description="Where heights scatter little, those are doubtful that depart by more than sixteen times their "
        "scatter, but by no less than this part.",
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
    tolerance: float = Field(1e-8, gt=0, lt=1, description="Done when a step promises less than this part of the loss.")

    @field_validator("merge_distances", "cull")
    @classmethod
    def _parts_of_a_whole(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        for value in values:
            if not 0 <= value <= 1:
                raise ValueError(f"{value:g} is not between 0 and 1")
        return values
