"""Given atoms as the start of a fit."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from napari_lot.atoms import Orbitals
from napari_lot.lot.image_model import ImageModel

_TILTS = 8


def start_heights(
    model: ImageModel,
    observed: NDArray[np.float32],
    mask: NDArray[np.bool_] | None,
    background: float,
    atoms: Orbitals,
    width_A: float,
) -> NDArray[np.float64]:
    """Heights of given atoms in the unit of ``observed`` (T, V, U), shape (N,).

    A file of atoms knows no intensity unit of these images, or no heights at all: their ratios are kept, and one common
    factor is fitted by least squares to a few tilts.
    """
    tilts = np.unique(np.linspace(0, len(observed) - 1, min(_TILTS, len(observed))).round().astype(np.int64))
    # pi H B^2 is what an image measures: the same scattering strength at the width that the fit begins with
    strength = atoms.height * (atoms.width / width_A) ** 2
    with torch.no_grad():
        calculated = model.images(
            tilts,
            torch.from_numpy(np.ascontiguousarray(atoms.positions)),
            torch.from_numpy(strength),
            torch.tensor(width_A, dtype=torch.float64),
        ).numpy()
    signal = observed[tilts].astype(np.float64) - background
    if mask is not None:
        calculated, signal = calculated * mask[tilts], signal * mask[tilts]
    power = float(np.sum(calculated.astype(np.float64) ** 2))
    factor = float(np.sum(signal * calculated)) / power if power > 0 else 0.0
    # Atoms outside every image, or on dark ground: weak, and left to the fit.
    floor = 1e-3 * float(np.abs(signal).max()) / max(float(strength.max()), 1e-30)
    heights: NDArray[np.float64] = strength * max(factor, floor)
    return heights
