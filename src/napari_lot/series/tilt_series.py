"""TiltSeries: the measured images and their geometry, validated once, here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_lot.errors import InputError


@dataclass(frozen=True)
class TiltSeries:
    """A tilt series in the package's one frame.

    Attributes
    ----------
    images : (T, V, U) float32
        u along columns (left to right), v along rows (top to bottom). Raw units: counts or intensity.
    angles_deg : (T, 3) float64
        (psi, theta, phi) in degrees about x, y, z: ``R = Rz(phi) Ry(theta) Rx(psi)`` (Eq. 3).
    pixel_size_A : float
    center_px : (row, column) float
        Pixel at which the rotation centre is expected; (n-1)/2 by default.
    tilt_axis_deg : float
        In-plane direction of the tilt axis from v (the y axis), positive clockwise on the screen:
        ``Rz(a) R Rz(-a)``.
    mask : (T, V, U) bool or None
        True where a pixel may be used.
    counts : bool
        Images are electron counts (Poisson) rather than an intensity.
    rotations : (T, 3, 3) float64 or None
        Explicit rotation matrices, for geometries that other programs define; replaces ``angles_deg``.
    source : str
        Where the images come from (a path or a layer's name), for messages.
    metadata : dict
        What the file says besides.
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

    def __post_init__(self) -> None:
        if self.images.ndim != 3:
            raise InputError(
                f"{self.source}: a tilt series needs a stack [tilt, v, u], not {self.images.ndim} dimensions."
            )
        if self.center_px is None:
            v, u = self.images.shape[1:]
            object.__setattr__(self, "center_px", ((v - 1) / 2, (u - 1) / 2))

    def __len__(self) -> int:
        return len(self.images)
