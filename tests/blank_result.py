"""A result of which only what a test names says anything."""

import numpy as np

from napari_lot.job import ProbeSlices, Result


def blank_result(orbitals, images, calculated, settings, /, **changes):
    """A run that converged: images (T, V, U), ``calculated`` in the same units, no corrections; ``changes`` win."""
    tilts = len(images)
    values = {
        "orbitals": orbitals,
        "calculated": calculated,
        "residual": images - calculated,
        "shifts_px": np.zeros((tilts, 2)),
        "scale": np.ones(tilts),
        "background": np.zeros(tilts),
        "probe": ProbeSlices(np.ones((1, 2, 2), np.float32), np.zeros(1), 0.1),
        "tilts_seen": np.full(len(orbitals), tilts),
        "stop_reason": "converged",
        "message": "",
        "settings": settings,
    }
    return Result(**{**values, **changes})
