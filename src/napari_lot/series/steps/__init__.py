"""Steps that prepare a series: each takes a series and gives a new one, with what was done as the last of its history.

A step is a value that can be applied again, to the same series read in another way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

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
    "changed_by",
]


class Step(Protocol):
    """One thing that is done to a series.

    Attributes
    ----------
    nothing_to_do : str
        What is said where it would change nothing.
    """

    @property
    def nothing_to_do(self) -> str: ...

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


def changed_by(step: Step, series: TiltSeries, progress: Progress = nothing) -> TiltSeries:
    """What a step makes of a series; the series itself where it changes nothing, which is then no step.

    Raises
    ------
    InputError
        It cannot be done.
    """
    after = step.apply(series, progress)
    return series if _are_same(series, after) else after


def _are_same(a: TiltSeries, b: TiltSeries) -> bool:
    if a.images.shape != b.images.shape:
        return False
    for name in ("pixel_size_A", "center_px", "center_known", "tilt_axis_deg", "counts"):
        if getattr(a, name) != getattr(b, name):
            return False
    used, used_after = (True if s.mask is None else s.mask for s in (a, b))
    if not np.all(np.equal(used, used_after)):
        return False
    return a.images is b.images or np.array_equal(a.images, b.images, equal_nan=True)
