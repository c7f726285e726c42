"""How far images and reprojections are apart, over the pixels that count."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_lot.voxel.method import Tilts

Images = NDArray[np.float32]
Floats = NDArray[np.float64]


def residual(tilts: Tilts, calculated: Images) -> Images:
    """Measured less calculated, (T, V, U); 0 where a pixel does not count."""
    left = tilts.images - calculated
    if tilts.usable is not None:
        left *= tilts.usable
    return left


def r_factors(tilts: Tilts, left: Images) -> Floats:
    """Sum of |residual| over sum of |measured| of each tilt (Eq. 11), (T,); NaN where a tilt shows nothing."""
    found = np.full(len(tilts), np.nan)
    for j in range(len(tilts)):
        image = tilts.images[j] if tilts.usable is None else tilts.images[j] * tilts.usable[j]
        total = float(np.abs(image).sum(dtype=np.float64))
        if total > 0:
            found[j] = float(np.abs(left[j]).sum(dtype=np.float64)) / total
    return found


def correlations(tilts: Tilts, calculated: Images) -> Floats:
    """Correlation of measured and calculated pixels of each tilt, (T,); NaN where either is constant."""
    found = np.full(len(tilts), np.nan)
    for j in range(len(tilts)):
        use = slice(None) if tilts.usable is None else tilts.usable[j]
        a, b = tilts.images[j][use].ravel().astype(np.float64), calculated[j][use].ravel().astype(np.float64)
        if len(a) > 2 and a.std() > 0 and b.std() > 0:
            found[j] = float(np.corrcoef(a, b)[0, 1])
    return found


def said(r_factor: Floats) -> str:
    """The mean of the R-factors in words."""
    known = r_factor[np.isfinite(r_factor)]
    return f"R {100 * known.mean():.2f} %" if len(known) else "R is not known"
