"""Steps that prepare a series: each takes a series and gives a new one, with what was done as the last of its history.

A step is a value that can be applied again, to the same series read in another way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from napari_lot.progress import Progress, nothing, part
from napari_lot.series.steps.background import SubtractBackground
from napari_lot.series.steps.field import Bin, Crop
from napari_lot.series.steps.hot_pixels import RemoveHotPixels
from napari_lot.series.steps.masking import UseMask
from napari_lot.series.steps.move import RemoveDrift, TurnAxis
from napari_lot.series.tilt_series import TiltSeries

__all__ = [
    "Bin",
    "Crop",
    "RemoveDrift",
    "RemoveHotPixels",
    "Step",
    "SubtractBackground",
    "TurnAxis",
    "UseMask",
    "apply_steps",
]


class Step(Protocol):
    """One thing that is done to a series."""

    def apply(self, series: TiltSeries, progress: Progress = ...) -> TiltSeries:
        """A new series; InputError where it cannot be done. ``progress`` is told the share that is done."""
        ...


def apply_steps(series: TiltSeries, steps: Sequence[Step], progress: Progress = nothing) -> TiltSeries:
    """All steps in order.

    Raises
    ------
    InputError
        As the step that cannot be done.
    """
    for i, step in enumerate(steps):
        series = step.apply(series, part(progress, i / len(steps), (i + 1) / len(steps)))
    return series
