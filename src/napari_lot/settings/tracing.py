"""How atoms are found in a volume, and measured there."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from napari_lot.settings.section import Frozen

Fit = Literal["ellipsoid", "gaussian", "polynomial", "none"]


class Tracing(Frozen):
    """How atoms are found in a volume, and measured there."""

    min_distance_A: float | None = Field(
        None,
        gt=0.3,
        le=20,
        description="Least distance of two atoms in Å, the stronger one stays; 0.7 expected nearest-neighbour "
        "distances when absent.",
    )
    threshold: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Least strength of a peak, in parts of a typical strong one; from the histogram of the strengths "
        "when absent.",
    )
    blur_A: float | None = Field(
        None,
        ge=0,
        le=5,
        description="Standard deviation in Å of the blur under which maxima are looked for, not fitted; 0.1 expected "
        "nearest-neighbour distances when absent.",
    )
    maximum_within_A: float | None = Field(
        None,
        gt=0,
        le=20,
        description="Radius in Å within which a maximum is the largest value; the 26 voxels around it when absent.",
    )
    fit: Fit = Field(
        "ellipsoid",
        description="Position between the voxels: ellipsoid (a Gaussian of widths along x, y and z, as a missing wedge "
        "makes them), gaussian (one width), polynomial, or none (the voxel itself).",
    )
    degree: Literal[2, 4] = Field(2, description="Degree of the polynomial.")
    fit_radius_A: float | None = Field(
        None,
        gt=0.1,
        le=20,
        description="Radius in Å of the ball that is fitted, if it has voxels enough; 0.3 expected nearest-neighbour "
        "distances when absent.",
    )
    rounds: int = Field(
        3,
        ge=1,
        le=20,
        description="Rounds of fits and integrals; from the second on the neighbours of an atom are taken away before.",
    )
    most_move_A: float | None = Field(
        None,
        gt=0,
        le=20,
        description="Farthest in Å that a fitted position may lie from its maximum; 0.3 expected nearest-neighbour "
        "distances when absent.",
    )
    integral: Literal["sphere", "box"] = Field("sphere", description="Where the intensity of an atom is summed up.")
    integral_radius_A: float | None = Field(
        None,
        gt=0.1,
        le=20,
        description="Radius of the sphere in Å, or half the side of the box; 0.5 expected nearest-neighbour distances "
        "when absent.",
    )
    background: Literal["local", "none"] = Field(
        "local", description="What is taken from an integral: the level just around the atom, or nothing."
    )
    within_A: tuple[float, float, float, float, float, float] | None = Field(
        None, description="Only atoms within x from, x to, y from, y to, z from, z to, in Å."
    )

    @field_validator("within_A")
    @classmethod
    def _from_and_to(cls, box: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if box is not None and not all(low < high for low, high in zip(box[::2], box[1::2], strict=True)):
            raise ValueError("must go from a lower to a higher number along x, y and z")
        return box
