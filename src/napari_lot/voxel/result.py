"""What a voxel reconstruction shows while it runs, and what it leaves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_lot.settings.voxel import VoxelSettings
from napari_lot.voxel.volume import Volume

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class VoxelSnapshot:
    """A voxel reconstruction at one moment; nothing in it changes afterwards.

    Attributes
    ----------
    stage : str
        prepare, the name of the method, finished.
    step, steps_total : int
        Iterations.
    volume : Volume or None
        None before the first iteration.
    r_factor : (T,) float64
        Eq. 11 per tilt of the series; NaN where not calculated.
    r_free : float
        As of ``Iterate``.
    elapsed_s : float
        Without pauses.
    message : str
        One sentence for a person.
    """

    stage: str
    step: int
    steps_total: int
    volume: Volume | None
    r_factor: Floats
    r_free: float
    elapsed_s: float
    message: str


@dataclass(frozen=True, eq=False)
class VoxelResult:
    """What a finished voxel reconstruction leaves.

    Attributes
    ----------
    method : str
    volume : Volume
        Intensity of the images per Å.
    r_factor, correlation : (T,) float64
        Eq. 11 and Pearson's, of the measured (binned) images and those of the volume; of withheld tilts a prediction,
        NaN where a tilt was left out.
    r_free : float
        Of withheld Fourier samples; NaN where there are none.
    history : (K, 2) float64
        Iteration and mean R-factor of what a method told.
    center_px : (row, column)
        Rotation centre in the images of the series.
    shifts_px : (T, 2) float64
        Drift (du, dv) beyond it; NaN where a tilt was left out.
    background : (T,) float64
        What was taken from each tilt; NaN where it was left out.
    withheld : tuple of int
    iterations : int
        That were done.
    wall_seconds : dict
        prepare, reconstruct, compare, total; without pauses, which are ``paused``.
    peak_memory_gb : float or None
        Of the process, in 1e9 bytes.
    stop_reason : str
        'finished', 'finished early' or 'time limit'.
    message : str
    warnings : tuple of str
    settings : VoxelSettings
    object : str
        What the field shows, in words.
    """

    method: str
    volume: Volume
    r_factor: Floats
    correlation: Floats
    r_free: float
    history: Floats
    center_px: tuple[float, float]
    shifts_px: Floats
    background: Floats
    withheld: tuple[int, ...]
    iterations: int
    wall_seconds: dict[str, float]
    peak_memory_gb: float | None
    stop_reason: str
    message: str
    warnings: tuple[str, ...]
    settings: VoxelSettings
    object: str

    def agreement(self, withheld: bool = False) -> tuple[float, float] | None:
        """Mean R and mean correlation of the fitted or of the withheld tilts; None where there are none to judge."""
        chosen = np.isin(np.arange(len(self.r_factor)), self.withheld) == withheld
        chosen &= np.isfinite(self.r_factor)
        if not chosen.any():
            return None
        known = self.correlation[chosen & np.isfinite(self.correlation)]
        return float(self.r_factor[chosen].mean()), float(known.mean()) if len(known) else float("nan")
