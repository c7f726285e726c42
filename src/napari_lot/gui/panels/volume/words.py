"""What the Volume step calls the methods, and which of their settings are in front. No Qt."""

from __future__ import annotations

from napari_lot.gui.forms.section import CAVEAT, READY
from napari_lot.voxel.methods import METHODS

WHAT = {
    "wbp": "At once, and no iterations: every tilt is weighted for how densely the tilts lie, and smeared back.",
    "art": "Ray after ray: each pass puts right what the volume shows of one ray at a time.",
    "sart": "Tilt after tilt: each pass puts right what the volume shows of one tilt at a time.",
    "sirt": "All tilts at once: slow and robust; the most usual of the iterative methods.",
    "est": "Slice by slice along the tilt axis, between real and Fourier space; for a single tilt axis.",
    "genfire": "Measured slices on a grid of Fourier space, what is known of the object between them; any geometry.",
    "resire": "Steps down the misfit of all tilts, in real space; any geometry.",
}
FRONT = {
    "wbp": ("filter", "cutoff"),
    "art": ("iterations", "relaxation", "positivity"),
    "sart": ("iterations", "relaxation", "positivity"),
    "sirt": ("iterations", "relaxation", "positivity"),
    "est": ("iterations", "support", "positivity"),
    "genfire": ("iterations", "support", "positivity"),
    "resire": ("iterations", "step", "positivity"),
}
"""Settings that are not under *More settings*."""
UNSET = {"threads": "all cores", "lines": "8 a voxel"}
ENDS = {
    "cancelled": ("Cancelled", "no result was kept; ", READY),
    "time limit": ("Time limit reached", "allow more minutes under More settings; ", CAVEAT),
}
"""Ends that leave no result: the word, what to do, and the mark of the step."""


def short_name(method: str) -> str:
    """'SIRT'."""
    return method.upper()


def long_name(method: str) -> str:
    """'SIRT: simultaneous iterative reconstruction technique'."""
    return f"{short_name(method)}: {METHODS[method].words}"
