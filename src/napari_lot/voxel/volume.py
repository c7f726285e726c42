"""Volume: the scattering strength of every voxel, and where it lies in the specimen frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Volume:
    """A box of cubic voxels in the specimen frame.

    Attributes
    ----------
    values : (Z, Y, X) float32
        Intensity of the images per Å of path: a projection is its integral along the beam. Index [z, y, x], as napari
        and MRC files have it; x fastest.
    voxel_A : float
        Side of a voxel.
    origin_A : (x, y, z) float
        Centre of the voxel [0, 0, 0]; (0, 0, 0) is the rotation centre.
    """

    values: NDArray[np.float32]
    voxel_A: float
    origin_A: tuple[float, float, float]

    @classmethod
    def centred(cls, values: NDArray[np.float32], voxel_A: float) -> Volume:
        """A volume whose middle, index (n - 1) / 2 along each axis, is the rotation centre."""
        z, y, x = (float(-0.5 * (n - 1) * voxel_A) for n in values.shape)
        return cls(values, voxel_A, (x, y, z))

    def places_A(self, index_zyx: NDArray[np.float64]) -> NDArray[np.float64]:
        """Positions (N, 3), x y z in Å, of indices (N, 3) in the order z, y, x, which may lie between voxels."""
        places: NDArray[np.float64] = np.asarray(index_zyx, np.float64)[:, ::-1] * self.voxel_A
        return places + np.asarray(self.origin_A, np.float64)
