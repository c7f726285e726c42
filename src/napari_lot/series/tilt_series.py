"""TiltSeries: the measured images and their geometry, validated once, when it is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_lot.series.checks import (
    check_angles,
    check_enough,
    check_mask,
    checked_center,
    checked_excluded,
    checked_pixel_size,
    checked_pixels,
    checked_rotations,
    checked_stack,
    duplicate_angles,
    finite_number,
)


@dataclass(frozen=True, eq=False)
class TiltSeries:
    """A tilt series in the package's one frame.

    Attributes
    ----------
    images : (T, V, U) float32
        u along columns (left to right), v along rows (top to bottom). Raw units: counts or intensity.
        Pixels that may not be used (masked, or in an excluded tilt) and are not finite are set to 0.
    angles_deg : (T, 3) float64
        (psi, theta, phi) in degrees about x, y, z: ``R = Rz(phi) Ry(theta) Rx(psi)`` (Eq. 3).
    pixel_size_A : float
    center_px : (row, column) float
        Pixel at which the rotation centre is expected; (n-1)/2 by default.
    center_known : bool
        Somebody said where it is; else it may be searched for. By default true where a centre is given.
    tilt_axis_deg : float
        In-plane direction of the tilt axis from v (the y axis), positive clockwise on the screen:
        ``Rz(a) R Rz(-a)``.
    mask : (T, V, U) bool or None
        True where a pixel may be used. A (V, U) mask serves every tilt.
    counts : bool
        Images are electron counts (Poisson) rather than an intensity.
    rotations : (T, 3, 3) float64 or None
        Explicit rotation matrices, for geometries that other programs define; replaces ``angles_deg``.
    source : str
        Where the images come from (a path or a layer's name), for messages.
    metadata : dict
        What the file says besides.
    excluded : tuple of int
        Tilts that are present but must not be used, counted from 0; their pixels are not judged.
    warnings : tuple of str
        What is usable but doubtful, one sentence each.
    history : tuple of str
        What was done to the images since they were read, in order, one sentence each.

    Raises
    ------
    InputError
        One sentence with what is wrong, where, and what to do. The arrays that were given are never changed.
    """

    images: NDArray[np.float32]
    angles_deg: NDArray[np.float64]
    pixel_size_A: float
    center_px: tuple[float, float] | None = None
    tilt_axis_deg: float = 0.0
    mask: NDArray[np.bool_] | None = None
    counts: bool = False
    rotations: NDArray[np.float64] | None = None
    source: str = "series"
    metadata: dict[str, Any] = field(default_factory=dict)
    excluded: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()
    center_known: bool | None = None
    history: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        images = checked_stack(self.images, self.source)
        angles = check_angles(self.angles_deg, len(images), self.source, values_matter=self.rotations is None)
        excluded = checked_excluded(self.excluded, len(images), self.source)
        mask = check_mask(self.mask, images.shape, self.source)
        rotations = checked_rotations(self.rotations, len(images), self.source)
        used = np.setdiff1d(np.arange(len(images)), excluded)
        check_enough(angles if rotations is None else rotations.reshape(-1, 9), used, self.source)
        images, caveats = checked_pixels(images, mask, used, self.counts, self.source)
        directions = angles if rotations is None else rotations.reshape(-1, 9)
        caveats += duplicate_angles(directions, angles, images, used, self.source)
        center, off_centre = checked_center(self.center_px, images.shape, self.source)
        caveats += off_centre
        values: dict[str, Any] = {
            "images": images,
            "angles_deg": angles,
            "pixel_size_A": checked_pixel_size(self.pixel_size_A, self.source),
            "center_px": center,
            "center_known": self.center_px is not None if self.center_known is None else self.center_known,
            "tilt_axis_deg": finite_number(self.tilt_axis_deg, "tilt axis", self.source),
            "mask": mask,
            "counts": bool(self.counts),
            "rotations": rotations,
            "excluded": excluded,
            "warnings": tuple(dict.fromkeys((*self.warnings, *caveats))),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def used(self) -> NDArray[np.int64]:
        """Indices of the tilts that are not excluded."""
        return np.setdiff1d(np.arange(len(self)), self.excluded).astype(np.int64)

    @property
    def usable(self) -> NDArray[np.bool_] | None:
        """Pixels that may be used, (T, V, U): the mask without the excluded tilts; None where that is every pixel."""
        if not self.excluded:
            return self.mask
        usable = np.ones(self.images.shape, bool) if self.mask is None else self.mask.copy()
        usable[list(self.excluded)] = False
        return usable

    def with_changes(self, **changes: Any) -> TiltSeries:
        """The same series with some fields replaced, validated again."""
        return replace(self, **changes)

    def after(self, sentence: str, **changes: Any) -> TiltSeries:
        """The series with changed fields, and in its history what was done."""
        return replace(self, history=(*self.history, sentence), **changes)

    def exclude(self, *tilts: int) -> TiltSeries:
        """The same series with more tilts marked as not to be used (counted from 0)."""
        return replace(self, excluded=(*self.excluded, *tilts))

    def take(self, tilts: Sequence[int] | NDArray[np.int64]) -> TiltSeries:
        """Only these tilts, in this order; nothing is excluded any more."""
        index = np.asarray(tilts, np.int64)
        return replace(
            self,
            images=self.images[index],
            angles_deg=self.angles_deg[index],
            mask=None if self.mask is None else self.mask[index],
            rotations=None if self.rotations is None else self.rotations[index],
            excluded=(),
        )
