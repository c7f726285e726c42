"""Settings of voxel tomography: one section per method, and what all methods share."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SerializeAsAny, field_validator

from napari_lot.settings.measurement import Data
from napari_lot.settings.section import Frozen


class Grid(Frozen):
    """The volume, and how the images are made ready for it: for every method."""

    shape: tuple[int, int, int] | None = Field(
        None, description="Voxels along z, y and x; when absent what holds all that the tilts show."
    )
    bin: int = Field(1, ge=1, le=64, description="Pixels that are averaged to one, along either side of an image.")
    background: float | None = Field(
        None,
        ge=-1e12,
        le=1e12,
        description="Level of vacuum in the unit of the images; found in the images when absent.",
    )
    align: bool = Field(
        True, description="Rotation centre and drift of an isolated object are found from its centres of mass."
    )
    max_minutes: float | None = Field(None, gt=0, description="Stop with what there is after this many minutes.")

    @field_validator("shape")
    @classmethod
    def _a_box(cls, shape: tuple[int, int, int] | None) -> tuple[int, int, int] | None:
        if shape is not None and not all(1 <= n <= 8192 for n in shape):
            raise ValueError("must be three numbers of voxels, z, y and x, from 1 to 8192")
        return shape


class RealSpace(Frozen):
    """What methods that project in real space have in common."""

    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where volumes are projected; auto takes cuda where there is one."
    )
    threads: int | None = Field(None, ge=1, le=1024, description="Threads; all cores when absent.")


class Wbp(RealSpace):
    """Weighted back-projection."""

    filter: Literal["ramp", "hann", "cosine"] = Field(
        "hann", description="What damps high frequencies: nothing (ramp), a Hann window or a cosine."
    )
    cutoff: float = Field(
        1.0, gt=0.01, le=1, description="Frequency beyond which nothing is left, in parts of the Nyquist frequency."
    )
    weighting: Literal["auto", "ramp", "exact"] = Field(
        "auto",
        description="How the density of tilts is made up for: a ramp with the angles between tilts (a single axis), "
        "exactly from all directions (any geometry), or auto, the ramp where there is a single axis.",
    )


class Art(RealSpace):
    """Algebraic reconstruction technique: ray after ray."""

    iterations: int = Field(10, ge=1, le=10000, description="Passes over all rays.")
    relaxation: float = Field(0.25, gt=0, lt=2, description="Part of a ray's misfit that is put right at once.")
    positivity: bool = Field(True, description="No voxel is negative.")


class Sart(RealSpace):
    """Simultaneous algebraic reconstruction technique: tilt after tilt."""

    iterations: int = Field(20, ge=1, le=10000, description="Passes over all tilts.")
    relaxation: float = Field(0.3, gt=0, lt=2, description="Part of a tilt's misfit that is put right at once.")
    positivity: bool = Field(True, description="No voxel is negative.")


class Sirt(RealSpace):
    """Simultaneous iterative reconstruction technique: all tilts at once."""

    iterations: int = Field(100, ge=1, le=10000, description="Passes over all tilts.")
    relaxation: float = Field(1.5, gt=0, lt=2, description="Step in parts of the one that puts right the mean misfit.")
    positivity: bool = Field(True, description="No voxel is negative.")


class Resire(RealSpace):
    """Real-space iterative reconstruction: gradient descent on the misfit of all tilts."""

    iterations: int = Field(200, ge=1, le=10000, description="Steps.")
    step: float = Field(1.5, gt=0, lt=2, description="Step along the gradient, over the number of tilts and thickness.")
    oversampling: float = Field(
        1.0,
        ge=1,
        le=8,
        description="Side of the box that is calculated over that of the volume: what the images show beyond the "
        "object goes into the margin, which is cut off.",
    )
    positivity: bool = Field(True, description="No voxel is negative.")


class VoxelSettings(Frozen):
    """All settings of a run; ``method`` is the section of the method that it runs."""

    data: Data = Data()
    grid: Grid = Grid()
    method: SerializeAsAny[Frozen] = Sirt()
