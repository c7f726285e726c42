"""How large the atoms are drawn: all alike, or by their error bars. No Qt, no napari."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_lot.gui.canvas.colors import error_bar_pm
from napari_lot.job import Result

EQUAL, ERROR_BAR = "equal", "error bar"
SIZES = (EQUAL, ERROR_BAR)
_STEPS = (1, 2, 5)
_TYPICAL, _LARGEST = 0.3, 0.9
"""Radius of the median atom at most, and of the largest, as shares of the distance of neighbours."""


@dataclass(frozen=True)
class Sizing:
    """Diameters (N,) in Å and the sentence that is their legend."""

    diameters_A: NDArray[np.float64]
    legend: str


def by_error_bar(result: Result, spacing_A: float, usual_A: float) -> Sizing | None:
    """Radii of a round number of error bars; None where the run did not compute them.

    The number is the largest of 1, 2, 5, 10, 20, 50, ... that keeps the median radius below ``_TYPICAL`` of the
    distance of neighbours. Radii end at ``_LARGEST`` of it; atoms without an error bar have the usual diameter.
    """
    bars = error_bar_pm(result)
    if bars is None or not np.isfinite(bars).any():
        return None
    bars = bars / 100
    most = _TYPICAL * spacing_A / max(float(np.nanmedian(bars)), 1e-9)
    power = 10.0 ** np.floor(np.log10(most))
    factor = max(step * power for step in _STEPS if step * power <= most * (1 + 1e-9))
    limit = _LARGEST * spacing_A
    radius = np.minimum(factor * bars, limit)
    legend = f"radius = {factor:g} × error bar in 3D"
    cut = int((factor * bars > limit).sum())
    if cut:
        legend += f"; {cut} drawn at the limit of {limit:.2g} Å"
    unknown = int((~np.isfinite(bars)).sum())
    if unknown:
        legend += f"; {unknown} without one at the usual size"
    return Sizing(np.where(np.isfinite(radius), 2 * radius, usual_A), legend)
