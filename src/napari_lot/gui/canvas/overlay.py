"""Where a tilt's measured image shows the atoms. Numpy only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_lot.job import Result
from napari_lot.physics.geometry import rotations, series_rotations
from napari_lot.series import TiltSeries


class Projection:
    """From the specimen frame onto the measured images, in Å from the rotation centre that the series expects.

    Parameters
    ----------
    series : TiltSeries
    result : Result, optional
        A run of this series: its refined centre, shifts and turns are what puts the atoms on the images.
    """

    def __init__(self, series: TiltSeries, result: Result | None = None) -> None:
        self.rotations = series_rotations(series)
        self.offset_A: NDArray[np.float64] = np.zeros((len(series), 2))
        if result is None:
            return
        turns = getattr(result, "angles_deg", None)
        if turns is not None and len(turns):
            self.rotations = rotations(turns) @ self.rotations
        row, column = np.subtract(result.center_px, series.center_px or (0.0, 0.0))
        self.offset_A = (np.array([column, row]) + result.shifts_px) * series.pixel_size_A

    @classmethod
    def of(cls, series: TiltSeries, rotations: NDArray[np.float64], offset_A: NDArray[np.float64]) -> Projection:
        """That of a run which is paused: its rotations (T, 3, 3) and offsets (du, dv) in Å."""
        found = cls(series)
        found.rotations, found.offset_A = rotations, offset_A
        return found

    @property
    def flattest(self) -> int:
        """The least tilted image."""
        return int(np.argmax(self.rotations[:, 2, 2]))

    def on_tilt(self, positions: NDArray[np.float64], tilt: int) -> NDArray[np.float64]:
        """Positions (N, 3) as x, y, z on one image, (N, 3) as (0, v, u)."""
        uv = (positions @ self.rotations[tilt].T)[:, :2] + self.offset_A[tilt]
        return np.column_stack([np.zeros(len(uv)), uv[:, 1], uv[:, 0]])
