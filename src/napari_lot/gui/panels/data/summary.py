"""A tilt series in one line."""

from __future__ import annotations

from pathlib import Path

from napari_lot.gui.canvas.labels import short_angle_text
from napari_lot.series import TiltSeries


def summary(series: TiltSeries, thickness_A: float | None = None) -> str:
    """One line about a series: name, images, pixel size, tilt range and axis, and what restricts it."""
    t, v, u = series.images.shape
    name = Path(series.source).name
    angles = sorted(range(t), key=lambda i: float(series.angles_deg[i][1]))
    span = f"{short_angle_text(series, angles[0])} to {short_angle_text(series, angles[-1])}"
    kind = "counts" if series.counts else "intensity"
    axis = f"axis at {series.tilt_axis_deg:g}°".replace("-", "−")
    parts = [f"{name}: {t} tilts of {v} × {u} pixels, {series.pixel_size_A:g} Å, {span}, {axis}, {kind}"]
    if series.excluded:
        listed = ", ".join(str(tilt) for tilt in series.excluded[:8])
        more = f" and {len(series.excluded) - 8} more" if len(series.excluded) > 8 else ""
        parts.append(f"without tilt{'s' if len(series.excluded) > 1 else ''} {listed}{more}")
    if series.mask is not None:
        parts.append("mask")
    if thickness_A is not None:
        parts.append(f"film of {thickness_A:g} Å")
    return " · ".join(parts)
