"""What every voxel method takes and what it yields."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from napari_lot.voxel.volume import Volume


@dataclass(frozen=True, eq=False)
class Tilts:
    """What the methods see of a tilt series: projections of the object alone.

    Attributes
    ----------
    images : (T, V, U) float32
        Background taken away; pixels that may not be used are 0.
    rotations : (T, 3, 3) float64
        ``[u v w] = R [x y z]``, the tilt axis applied.
    pixel_size_A : float
    center_px : (row, column) float
        Where the rotation centre is seen.
    shifts_px : (T, 2) float64
        Drift (du, dv) of each tilt beyond it.
    usable : (T, V, U) bool or None
        True where a pixel counts; None where all do.
    isolated : bool
        The object lies within the field at every tilt: outside it there is nothing.
    """

    images: NDArray[np.float32]
    rotations: NDArray[np.float64]
    pixel_size_A: float
    center_px: tuple[float, float]
    shifts_px: NDArray[np.float64]
    usable: NDArray[np.bool_] | None = None
    isolated: bool = True

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True, eq=False)
class Iterate:
    """What an iteration leaves; nothing in it changes afterwards.

    Attributes
    ----------
    volume : Volume
    iteration, iterations_total : int
    r_factor : (T,) float64
        Sum of |measured - reprojected| over sum of |measured| of each tilt (Eq. 11); NaN where not calculated.
    r_free : float
        Of Fourier samples that were withheld (GENFIRE); NaN where there is none.
    message : str
        One sentence for a person.
    """

    volume: Volume
    iteration: int
    iterations_total: int
    r_factor: NDArray[np.float64]
    r_free: float = float("nan")
    message: str = ""


Poll = Callable[[], None]
"""Called several times a second; raises to end the method."""


class Method(Protocol):
    """A reconstruction: ``wbp``, ``sirt``, ... in a module of its own, whose settings are a section of their own."""

    def __call__(self, tilts: Tilts, shape: tuple[int, int, int], settings: object, poll: Poll) -> Iterator[Iterate]:
        """Yield iterates of a volume of ``shape`` (Z, Y, X), centred, its voxels as large as the pixels."""
        ...
