"""What is said on the canvas about what it shows. No Qt, no napari."""

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


def tilt_text(series: TiltSeries, tilt: int) -> str:
    """'tilt 3   θ = −22.0°'; tilts are counted from 0, as the slider and every message do."""
    left_out = "   left out" if tilt in series.excluded else ""
    return f"tilt {tilt}   {angle_text(series, tilt)}{left_out}"


def depth_texts(w_A: float, compared: bool) -> tuple[str, str]:
    """'probe at depth w +3.5 Å' for the canvas, and 'w +3.5 Å' for the slider, beside which is little room."""
    exact = f"w {w_A:+.1f} Å".replace("-", "−")
    short = exact if abs(w_A) < 9.95 else f"w {w_A:+.0f} Å".replace("-", "−")
    return (f"depth {exact}, % of peak before" if compared else f"probe at depth {exact}"), short


def atoms_text(count: int, noun: str, colored_by: str | None, of: int = 0) -> str:
    """'247 atoms' and in another line what their colours mean; of more than are drawn, ``of``, that it is not all."""
    text = f"{count} {noun}" if of <= count else f"the {count} strongest of {of} {noun}"
    return text if colored_by is None else f"{text}\ncoloured by {colored_by}"
