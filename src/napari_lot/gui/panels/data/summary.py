"""A tilt series in one line, and what is doubtful about the tilts that are used of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_lot.gui.canvas.labels import short_angle_text
from napari_lot.physics.geometry import series_rotations
from napari_lot.series import TiltSeries

FEWEST_TILTS = 10
"""Fewer tilts than this leave atoms at different depths on top of each other."""
SMALLEST_RANGE_DEG = 90.0
"""Below it atoms are more than twice as long along the beam as across (Radermacher, in Electron Tomography, 1992)."""


def summary(series: TiltSeries, thickness_A: float | None = None, weights: Mapping[int, float] | None = None) -> str:
    """One line about a series: name, images, pixel size, range of the tilts in use, axis, and what restricts it.

    ``weights`` by tilt, counted from 0; a tilt of weight 0 is left out.
    """
    t, v, u = series.images.shape
    used = used_tilts(series, weights)
    name = Path(series.source).name
    many = f"{t} tilts" if len(used) == t else f"{len(used)} of {t} tilts used,"
    kind = "counts" if series.counts else "intensity"
    axis = f"axis at {series.tilt_axis_deg:g}°".replace("-", "−")
    parts = [f"{name}: {many} of {v} × {u} pixels, {series.pixel_size_A:g} Å, {_span(series, used)}, {axis}, {kind}"]
    left_out = [str(tilt) for tilt in np.setdiff1d(np.arange(t), used)]
    if left_out:
        parts.append(f"without tilt{'s' if len(left_out) > 1 else ''} {_listed(left_out)}")
    weighed = [f"{tilt}={weight:g}" for tilt, weight in sorted((weights or {}).items()) if weight not in (0, 1)]
    if weighed:
        parts.append(f"weight{'s' if len(weighed) > 1 else ''} {_listed(weighed)}")
    if series.mask is not None:
        parts.append("mask")
    if thickness_A is not None:
        parts.append(f"film of {thickness_A:g} Å")
    return " · ".join(parts)


def shortcomings(series: TiltSeries, weights: Mapping[int, float] | None = None) -> list[str]:
    """Sentences about tilts that are too few, or too much alike, for atoms to be told apart along the beam."""
    used = used_tilts(series, weights)
    found = []
    if len(used) < FEWEST_TILTS:
        found.append(
            f"Only {len(used)} tilt{'s are' if len(used) != 1 else ' is'} used: a reconstruction needs dozens."
        )
    beams = series_rotations(series)[used][:, 2]
    range_deg = float(np.degrees(np.arccos(np.clip(beams @ beams.T, -1, 1)).max())) if len(used) else 0.0
    if range_deg < SMALLEST_RANGE_DEG:
        found.append(f"The tilts in use span only {range_deg:.0f}°: atoms are drawn out along the beam.")
    return found


def used_tilts(series: TiltSeries, weights: Mapping[int, float] | None = None) -> NDArray[np.int64]:
    """Tilts that are neither excluded nor of weight 0."""
    return np.setdiff1d(series.used, [tilt for tilt, weight in (weights or {}).items() if weight == 0])


def _span(series: TiltSeries, used: NDArray[np.int64]) -> str:
    if not len(used):
        return "no tilt"
    angles = sorted(used, key=lambda i: float(series.angles_deg[i][1]))
    return f"{short_angle_text(series, angles[0])} to {short_angle_text(series, angles[-1])}"


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words[:8]) + (f" and {len(words) - 8} more" if len(words) > 8 else "")
