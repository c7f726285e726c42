"""What to hold against a finished result, a sentence each; single doubtful atoms are another matter."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

Floats = NDArray[np.float64]

LEAST_AGREEMENT = 0.7
"""Correlation of measured and calculated images, both blurred to atomic distances, below which atoms explain little.

Blurred, because at low dose the pixels themselves hardly correlate even where every atom is right.
"""
CROWDED = 0.5
CROWDED_PART = 0.1
"""More than this part of the atoms closer than ``CROWDED`` expected distances to another: that is no solid."""


def agreement(
    observed: NDArray[np.float32], calculated: NDArray[np.float32], use: NDArray[np.bool_], sigma_px: float
) -> Floats:
    """Correlation (T,) of both stacks, blurred, over the pixels that may be used; NaN where a tilt has none."""
    found = np.full(len(observed), np.nan)
    for j in range(len(observed)):
        if use[j].sum() < 9:
            continue
        share = np.maximum(ndimage.gaussian_filter(use[j].astype(np.float64), sigma_px), 1e-3)
        a, b = (
            (ndimage.gaussian_filter(np.where(use[j], image[j], 0.0).astype(np.float64), sigma_px) / share)[use[j]]
            for image in (observed, calculated)
        )
        if a.std() > 0 and b.std() > 0:
            found[j] = np.corrcoef(a, b)[0, 1]
        else:
            found[j] = 0.0
    return found


def caveats(mean_agreement: float, positions: Floats, spacing_A: float) -> tuple[str, ...]:
    """Sentences for a person.

    Parameters
    ----------
    mean_agreement : float
        Mean of ``agreement`` over the fitted tilts.
    positions : (N, 3) Å
    spacing_A : float
        Expected nearest-neighbour distance.
    """
    found = []
    if mean_agreement < LEAST_AGREEMENT:
        found.append(
            f"the atoms hardly explain the images (correlation {mean_agreement:.2f} after blurring to atomic "
            "distances): check the alignment, the angles and their sign, the pixel size, and that atoms are bright on "
            "dark."
        )
    if len(positions) > 1:
        nearest = np.asarray(cKDTree(positions).query(positions, 2)[0])[:, 1]
        part = float((nearest < CROWDED * spacing_A).mean())
        if part > CROWDED_PART:
            found.append(
                f"{100 * part:.0f} % of the atoms are closer than {CROWDED * spacing_A:.2f} Å to another: "
                "check the pixel size and the expected distance of neighbours."
            )
    return tuple(found)
