"""Where one structure lies in another: shifts of largest overlap, by cross-correlation of their densities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

Floats = NDArray[np.float64]

VOXEL_A = 1.0
_BLUR_A = 0.8
_LARGEST_GRID = 2**27
_FAR = 0.002
"""Share of the atoms at either end of an axis that may be strays: the grid is made for the others."""


class Overlap:
    """Cross-correlation of a fixed structure with another one in several orientations.

    The atoms are counted into voxels, blurred, and correlated by Fourier transform. A wrapped shift cannot be taken
    for a small one: the grid is as long as both structures' mean extent and the largest shift that leaves half of an
    axis in common.

    Parameters
    ----------
    moving, fixed : (N, 3), (M, 3)
        Positions in Å.
    voxel_A : float
        Larger for structures that would need more than 2^27 voxels.
    """

    def __init__(self, moving: Floats, fixed: Floats, voxel_A: float = VOXEL_A) -> None:
        self._middle_moving, size_moving = _box(moving)
        self._middle_fixed, size_fixed = _box(fixed)
        # Flipping an axis must turn one voxel onto another: boxes around the middle, with an odd number of voxels.
        length = 0.5 * np.maximum(size_moving, size_fixed) + 0.5 * (size_moving + size_fixed) + 6 * _BLUR_A
        self.voxel_A = max(voxel_A, float(np.prod(length) / _LARGEST_GRID) ** (1 / 3))
        self._shape = [fft.next_fast_len(int(n), real=True) for n in np.ceil(length / self.voxel_A) + 2]
        self._moving = self._transform(moving - self._middle_moving)
        self._fixed = self._transform(fixed - self._middle_fixed)

    def _transform(self, centred: Floats) -> NDArray[np.complex64]:
        shape = np.array(self._shape)
        cell = np.rint(centred / self.voxel_A).astype(np.int64)
        cell = cell[(np.abs(cell) < shape // 2).all(1)] % shape
        grid = np.bincount(np.ravel_multi_index(tuple(cell.T), tuple(shape)), minlength=int(shape.prod()))
        found = np.asarray(fft.rfftn(grid.reshape(shape).astype(np.float32)), np.complex64)
        for axis, n in enumerate(shape):
            q = fft.rfftfreq(n, self.voxel_A) if axis == 2 else fft.fftfreq(n, self.voxel_A)
            blur = np.exp(-2 * (np.pi * _BLUR_A * q) ** 2).astype(np.float32)
            found *= blur.reshape([-1 if a == axis else 1 for a in range(3)])
        return found

    def shifts(self, signs: tuple[int, int, int] = (1, 1, 1), count: int = 6) -> Floats:
        """Shifts s of largest overlap of ``signs * moving - s`` with the fixed structure, best first, (n, 3) in Å.

        Parameters
        ----------
        signs : (3,) of 1 or -1
            Axes of the moving structure that are turned over.
        count : int
            How many local maxima at most.
        """
        moving = self._moving
        # f(-x) has the transform F(-q); of the half that is kept along the last axis, -q is the conjugate of q.
        flips = [a for a in (0, 1) if signs[a] != signs[2]]
        if signs[2] < 0:
            moving = np.conj(moving)
        for axis in flips:
            moving = np.roll(np.flip(moving, axis), 1, axis)
        overlap = fft.irfftn(moving * np.conj(self._fixed), s=self._shape)
        cell = _highest(overlap, count)
        shape = np.array(self._shape)
        cell = (cell + shape // 2) % shape - shape // 2
        found: Floats = cell * self.voxel_A + np.array(signs) * self._middle_moving - self._middle_fixed
        return found


def _highest(values: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Indices (n, 3) of the highest local maxima of a periodic array, highest first."""
    flat = values.ravel()
    some = min(400 * count, flat.size)
    where = np.argpartition(flat, -some)[-some:]
    where = where[np.argsort(flat[where])[::-1]]
    cells = np.stack(np.unravel_index(where, values.shape), axis=1)
    around = np.stack(np.meshgrid(*[(-1, 0, 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    near = (cells[:, None] + around) % values.shape
    highest = values[tuple(np.moveaxis(near, 2, 0))].max(axis=1) <= flat[where]
    found: NDArray[np.int64] = cells[highest][:count]
    return found


def _box(positions: Floats) -> tuple[Floats, Floats]:
    """Middle and extent of all but a few strays, (3,) each."""
    low, high = np.quantile(positions, [_FAR, 1 - _FAR], axis=0)
    return 0.5 * (low + high), high - low
