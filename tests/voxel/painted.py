"""Volumes of known atoms: Gaussian balls on a grid, for the tests of tracing."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from napari_lot.voxel.volume import Volume

VOXEL_A = 0.4
WIDTH_A = 0.85
SPACING_A = 2.7


def random_atoms(seed: int, radius_A: float, least_A: float = 2.2, tries: int = 6000) -> NDArray[np.float64]:
    """Positions (N, 3) at random in a sphere, none nearer to another than ``least_A``."""
    kept, count = np.empty((tries, 3)), 0
    for place in np.random.default_rng(seed).uniform(-radius_A, radius_A, (tries, 3)):
        if place @ place < radius_A**2 and not (((kept[:count] - place) ** 2).sum(1) < least_A**2).any():
            kept[count], count = place, count + 1
    return kept[:count].copy()


def painted(
    positions: Any, strength: Any = 1.0, width_A: Any = WIDTH_A, size: int = 48, voxel_A: float = VOXEL_A
) -> NDArray[np.float64]:
    """(size, size, size) values at the middle of every voxel of Gaussians of integral ``strength``."""
    positions = np.asarray(positions, float)
    at = (np.arange(size) - 0.5 * (size - 1)) * voxel_A
    strength = np.broadcast_to(strength, len(positions))
    width = np.broadcast_to(
        np.asarray(width_A, float).reshape(-1, 1) if np.ndim(width_A) == 1 else width_A, (len(positions), 3)
    )
    x, y, z = (np.exp(-(((at - positions[:, a : a + 1]) / width[:, a : a + 1]) ** 2)) for a in range(3))
    planes = (strength / (np.pi**1.5 * width.prod(1)))[:, None] * z
    return (planes.T @ np.einsum("nj,nk->njk", y, x).reshape(len(positions), -1)).reshape(size, size, size)


def noise(seed: int, size: int, sigma: float, blur: float = 0.6) -> NDArray[np.float64]:
    """Noise of a standard deviation whose neighbours go together, as those of a reconstruction do."""
    values = gaussian_filter(np.random.default_rng(seed).normal(size=(size, size, size)), blur)
    return np.asarray(sigma * values / values.std())


def volume_of(values: Any, voxel_A: float = VOXEL_A) -> Volume:
    return Volume.centred(np.asarray(values, np.float32), voxel_A)


def pairs(found: NDArray[np.float64], truth: NDArray[np.float64], cutoff_A: float = 1.0) -> NDArray[np.int64]:
    """(M, 2) of found and true atoms that are each other's nearest within the cutoff; nothing is aligned."""
    distance, nearest = cKDTree(truth).query(found)
    _, back = cKDTree(found).query(truth)
    mine = np.arange(len(found))
    good = (back[nearest] == mine) & (distance < cutoff_A)
    return np.stack([mine[good], nearest[good]], axis=1)
