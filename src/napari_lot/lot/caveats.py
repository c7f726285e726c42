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
MOST_UNEXPLAINED = 0.25
"""Part of the signal that the atoms may leave over, noise set aside.

Published structures from measured series have R-factors of 8 to 20 %, noise included.
"""
NEIGHBOURS = ((0, 2), (0, -2), (2, 0), (-2, 0))
"""Rows and columns to the pixels that a residual is compared with to see its noise: far enough for noise that an
interpolation has spread over its next pixels, near enough for what is wrong about atoms."""
CROWDED = 0.5
CROWDED_PART = 0.1
"""More than this part of the atoms closer than ``CROWDED`` expected distances to another: that is no solid."""
FAR_OFF = 0.25
"""Relative difference of the typical nearest-neighbour distance from the expected one that needs a reason: bonds of an
element differ by less between its crystal, its surface and a glass, and a pixel size errs by a few percent."""
LEAST_ACROSS = 4.0
"""Expected distances of neighbours across the images, at least: of fewer most atoms lie beside the edge, where atoms
outside shine in."""
LEAST_ATOMS = 10
"""Fewer have no typical distance."""
NO_ATOMS_YET = "the run ended before the orbitals had become atoms: the atoms are a first guess."
STEPPED_BACK = (
    "loss or gradient were not numbers after a step of the fit: it went back to the last good state and took a smaller "
    "step; check the images for extreme values if this repeats."
)
ENDED = {
    "finished early": "the fit was ended by hand before it converged",
    "time limit": "the time limit ended the fit before it converged",
}
"""By the reason why a run stopped."""


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


def unexplained(
    observed: NDArray[np.float32], calculated: NDArray[np.float32], background: Floats, use: NDArray[np.bool_]
) -> float:
    """Part of the signal that neither the calculated images explain nor noise does; 0 without a pixel.

    The R-factor, sum |residual| / sum |calculated - background|, times the root of the part of the residual's variance
    that is not noise. Noise is what differs between a pixel and the mean of four near ones, whatever it comes from:
    counting, the detector, a gain that nobody knows; what is wrong about atoms is as wide as these are. Three standard
    errors are granted to the noise.

    Parameters
    ----------
    observed, calculated : (T, V, U)
    background : (T,)
    use : (T, V, U) bool
        Pixels that may be used.
    """
    left = signal = 0.0
    known, total, systematic, scatter = 0, 0.0, 0.0, 0.0
    for j in range(len(observed)):
        residual = np.where(use[j], observed[j] - calculated[j], 0.0).astype(np.float64)
        left += float(np.abs(residual).sum())
        signal += float(np.abs(calculated[j][use[j]] - background[j]).sum(dtype=np.float64))
        whole = use[j].copy()
        mean = np.zeros_like(residual)
        for shift in NEIGHBOURS:
            whole &= np.roll(use[j], shift, (0, 1))
            mean += np.roll(residual, shift, (0, 1)) / len(NEIGHBOURS)
        square = residual[whole] ** 2
        # the mean of four has a quarter of the noise's variance
        rest = square - (residual - mean)[whole] ** 2 / (1.0 + 1.0 / len(NEIGHBOURS))
        known += len(square)
        total, systematic = total + float(square.sum()), systematic + float(rest.sum())
        scatter += float((rest**2).sum())
    if not known or total <= 0 or signal <= 0:
        return 0.0
    sure = systematic - 3.0 * np.sqrt(max(scatter - systematic**2 / known, 0.0))
    return float(left / signal * np.sqrt(max(sure, 0.0) / total))


def unfinished(reason: str, error_bars: bool) -> str:
    """What to hold against a fit of atoms that stopped for a ``reason`` before it converged, in a sentence."""
    ended = ENDED.get(reason, f"the fit ended before it converged ({reason})")
    if not error_bars:
        return f"{ended}: how far it still had to go is not known."
    return f"{ended}: its error bars say how sharply the images fix the atoms, not how far it still had to go."


def caveats(
    mean_agreement: float, left_over: float, positions: Floats, spacing_A: float, across_A: float
) -> tuple[str, ...]:
    """Sentences for a person.

    Parameters
    ----------
    mean_agreement : float
        Mean of ``agreement`` over the fitted tilts.
    left_over : float
        ``unexplained`` of the fitted tilts.
    positions : (N, 3) Å
    spacing_A : float
        Expected nearest-neighbour distance.
    across_A : float
        The shorter side of the images.
    """
    found = []
    if across_A < LEAST_ACROSS * spacing_A:
        found.append(
            f"the images are {across_A:.1f} Å across, {across_A / spacing_A:.1f} distances of neighbours: most atoms "
            "lie beside the edge, where atoms outside shine in, and the thickness of a film is a guess. Take larger "
            "images, or check the pixel size."
        )
    if mean_agreement < LEAST_AGREEMENT:
        found.append(
            f"the atoms hardly explain the images (correlation {mean_agreement:.2f} after blurring to atomic "
            "distances): check the alignment, the angles and their sign, the pixel size, and that atoms are bright on "
            "dark."
        )
    elif left_over > MOST_UNEXPLAINED:
        found.append(
            f"the atoms leave {100 * left_over:.0f} % of the signal unexplained, noise set aside: check the direction "
            "of the tilt axis, the angles, the alignment and the pixel size."
        )
    if len(positions) > 1:
        nearest = np.asarray(cKDTree(positions).query(positions, 2)[0])[:, 1]
        part = float((nearest < CROWDED * spacing_A).mean())
        if part > CROWDED_PART:
            found.append(
                f"{100 * part:.0f} % of the atoms are closer than {CROWDED * spacing_A:.2f} Å to another: "
                "check the pixel size and the expected distance of neighbours."
            )
        typical = float(np.median(nearest))
        if part <= CROWDED_PART and len(positions) >= LEAST_ATOMS and abs(typical / spacing_A - 1.0) > FAR_OFF:
            found.append(
                f"neighbours are typically {typical:.2f} Å apart, and {spacing_A:.2f} Å are expected: check the pixel "
                "size and the element, or give the expected distance of neighbours."
            )
    return tuple(found)
