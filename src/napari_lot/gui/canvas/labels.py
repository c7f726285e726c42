"""What the window says about tilts. No Qt, no napari."""

from __future__ import annotations

import numpy as np

from napari_lot.series import TiltSeries


def angle_text(series: TiltSeries, tilt: int) -> str:
    """'θ = −22.0°', with psi and phi where they are not zero throughout."""
    if series.rotations is not None:
        w = np.asarray(series.rotations)[tilt][2, 2]
        return f"tilted by {np.degrees(np.arccos(np.clip(w, -1, 1))):.1f}°"
    psi, theta, phi = (float(a) for a in series.angles_deg[tilt])
    parts = [f"θ = {theta:+.1f}°"]
    if np.any(series.angles_deg[:, 0]):
        parts.insert(0, f"ψ = {psi:+.1f}°")
    if np.any(series.angles_deg[:, 2]):
        parts.append(f"φ = {phi:+.1f}°")
    return "  ".join(parts).replace("-", "−")


def short_angle_text(series: TiltSeries, tilt: int) -> str:
    """'−22.0°' for the slider."""
    if series.rotations is not None:
        return angle_text(series, tilt).removeprefix("tilted by ")
    return f"{float(series.angles_deg[tilt][1]):+.1f}°".replace("-", "−")
