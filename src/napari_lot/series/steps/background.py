"""The background of each tilt, from what it shows of the vacuum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_lot.errors import InputError
from napari_lot.progress import Progress, nothing
from napari_lot.series.checks import tilt_list
from napari_lot.series.tilt_series import TiltSeries
from napari_lot.series.vacuum import Vacuum, find_vacuum

ORDERS = {0: "constant", 1: "plane", 2: "parabolic"}


@dataclass(frozen=True)
class SubtractBackground:
    """A constant (``order`` 0), plane (1) or parabolic (2) background is fitted to each tilt's vacuum and taken off.

    The fit itself has a constant background of each tilt: only what changes within the field needs this. Electron
    counts with something taken off are no counts any more.
    """

    order: int = 1

    nothing_to_do = "Nothing to take off: the background of each tilt is zero."

    def apply(self, series: TiltSeries, progress: Progress = nothing) -> TiltSeries:
        """The series without background; InputError where a tilt shows no vacuum to take it from."""
        if self.order not in ORDERS:
            raise InputError(f"{series.source}: a background of order {self.order} is not offered: give 0, 1 or 2.")
        images = series.images.copy()
        levels, missing = [], []
        for done, j in enumerate(series.used):
            progress(done / len(series.used))
            vacuum = self.of_tilt(series, int(j))
            if vacuum is None:
                missing.append(int(j))
                continue
            images[j] -= vacuum.background.astype(np.float32)
            levels.append(float(vacuum.background.mean()))
        if missing:
            raise InputError(
                f"{series.source}: {tilt_list(missing)} show no vacuum that the background could be taken from: "
                "leave it to the fit, which has a constant background of each tilt."
            )
        low, high = min(levels), max(levels)
        amount = f"{low:.4g}" if f"{low:.4g}" == f"{high:.4g}" else f"{low:.4g} to {high:.4g}"
        lost = "; electron counts became intensities" if series.counts else ""
        return series.after(
            f"Took a {ORDERS[self.order]} background of each tilt off (mean {amount}){lost}.".replace("-", "−"),
            images=images,
            counts=False,
        )

    def of_tilt(self, series: TiltSeries, tilt: int) -> Vacuum | None:
        """What is taken for vacuum, None where there is too little of it, or nothing else."""
        found = find_vacuum(series.images[tilt], None if series.mask is None else series.mask[tilt], self.order)
        return found if found is not None and found.specimen.any() else None
