"""Tomography in Fourier space: GENFIRE and equal-slope tomography."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from napari_lot.settings.section import Frozen

Support = Literal["none", "hull", "threshold"]


class Constraints(Frozen):
    """What is known of the object, and what both methods share."""

    positivity: bool = Field(True, description="Voxels below 0 become 0.")
    support: Support = Field(
        "hull",
        description="Where the object may be: anywhere in the volume (none), where no tilt sees vacuum (hull), or "
        "where the volume itself, blurred, is not weak (threshold).",
    )
    hull_level: float = Field(
        0.05, gt=0, lt=1, description="Vacuum of the hull is below this part of the 99.5 percentile of a blurred image."
    )
    hull_margin_A: float = Field(2.0, ge=0, le=1000, description="Margin in Å around what is no vacuum.")
    threshold_level: float = Field(
        0.05,
        gt=0,
        lt=1,
        description="Weak is below this part of the 99.5 percentile of the blurred volume's positives.",
    )
    threshold_blur_A: float = Field(1.5, gt=0, le=1000, description="Standard deviation in Å of that blur.")
    threshold_every: int = Field(10, ge=1, le=100000, description="Iterations from one such support to the next.")
    reproject_every: int = Field(
        5,
        ge=1,
        le=100000,
        description="Iterations from one reprojection to the next, which gives the R-factor of each tilt and what "
        "masked pixels show.",
    )
    threads: int | None = Field(None, ge=1, le=1024, description="Threads; all cores when absent.")


class Genfire(Constraints):
    """GENFIRE: measured slices on a Cartesian grid of Fourier space, and what is known of the object between them."""

    iterations: int = Field(50, ge=1, le=100000, description="Iterations between real and Fourier space.")
    oversampling: float = Field(
        3.0, ge=1, le=8, description="Side of the box that is transformed, in sides of the volume: the rest is empty."
    )
    cutoff: float = Field(
        0.5,
        gt=0,
        le=2,
        description="Distance from a measured slice, in voxels of the padded Fourier grid, within which a point counts "
        "as measured.",
    )
    enforcement: Literal["extension_suppression", "extension", "all"] = Field(
        "extension_suppression",
        description="Measured points that are enforced: up to a resolution that rises in the first half of the "
        "iterations and falls again in the second (extension_suppression), rises and stays (extension), or all at "
        "every iteration.",
    )
    withheld: float = Field(
        0.05, ge=0, le=0.5, description="Part of the measured points that is not enforced but predicted, for R_free."
    )
    withheld_block: float = Field(
        2.0,
        ge=0,
        le=100,
        description="Side of the blocks in which points are withheld, in voxels of the Fourier grid without padding; 0 "
        "withholds single points, which their neighbours tell of.",
    )
    seed: int = Field(0, ge=0, description="Seed of the choice of withheld points.")


class Est(Constraints):
    """Equal-slope tomography: slice by slice along the tilt axis, by the pseudo-polar Fourier transform."""

    iterations: int = Field(50, ge=1, le=100000, description="Iterations between real and Fourier space.")
    lines: int | None = Field(
        None,
        ge=8,
        le=1000000,
        description="Lines of the pseudo-polar grid in 180 degrees, a multiple of 4, for the nearest; 8 to a voxel of "
        "the larger side of a slice when absent.",
    )
    placement: Literal["nearest", "exact"] = Field(
        "exact",
        description="A tilt keeps its exact slope, a line of its own between those of equal slopes, or goes to the "
        "nearest of them, as published.",
    )
    oversampling: float = Field(
        2.0, ge=1, le=8, description="Samples along a line, from -Nyquist to Nyquist, to a voxel of the larger side."
    )
    acceleration: bool = Field(
        True, description="Each iteration goes on from where the last two point to (Nesterov); the papers do not."
    )
