"""The measured slices on the Cartesian grid of the padded volume's Fourier transform.

The grid is held in slabs of rows along ky, (Mz, rows, Mx // 2 + 1): half of Fourier space, for volumes are real.
Phases are those of an FFT whose index 0 is the volume's first voxel.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numba as nb
import numpy as np
from numpy.typing import NDArray
from scipy.fft import next_fast_len

from napari_lot.voxel.fourier import kaiser_bessel
from napari_lot.voxel.fourier.padded_fft import blocks
from napari_lot.voxel.fourier.slices import ImageTransforms
from napari_lot.voxel.method import Poll

NEAREST = 0.01
"""Voxels of the Fourier grid below which a slice is as good as exactly on the point."""

Points = tuple[int, int, int]


@dataclass(frozen=True)
class Grid:
    """The padded grid: ``shape`` (Z, Y, X) of the volume, ``points`` (Mz, My, Mx) of its transform."""

    shape: Points
    points: Points

    @classmethod
    def padded(cls, shape: Points, oversampling: float) -> Grid:
        z, y, x = (next_fast_len(int(np.ceil(oversampling * n - 1e-6)), real=True) for n in shape)
        return cls(shape, (z, y, x))

    @property
    def columns(self) -> int:
        return self.points[2] // 2 + 1

    def slabs(self) -> list[tuple[int, int]]:
        """First row along ky of each slab, and the one after its last."""
        return blocks(self.points[1], 8.0 * self.points[0] * self.columns)


@dataclass
class Slab:
    """Measured points of a slab: flat index, value, distance from the origin in cycles per voxel, withheld or not."""

    index: NDArray[np.int32]
    value: NDArray[np.complex64]
    radius: NDArray[np.float32]
    withheld: NDArray[np.bool_]


@dataclass(frozen=True)
class Gridding:
    """How slices are brought onto the grid.

    Attributes
    ----------
    cutoff : float
        In voxels of the grid: how far a point may be from a slice.
    withheld : float
        Part of the points that are marked as withheld; a point and its opposite together, the origin never.
    block : int
        Side in voxels of the blocks in which they are.
    seed : int
    """

    cutoff: float
    withheld: float
    block: int
    seed: int

    def slabs(
        self,
        grid: Grid,
        transforms: ImageTransforms,
        rotations: NDArray[np.float64],
        pixel_size_A: float,
        pool: ThreadPoolExecutor,
        poll: Poll,
    ) -> list[Slab]:
        """The measured points, slab by slab.

        A point takes the mean of the slices within the cutoff, weighted with the inverse of the distance; of each
        slice the value at the foot of the perpendicular (Pryor et al., Sci. Rep. 7, 10409 (2017): inverse distance
        weighting; at the foot rather than at the samples of an FFT, so that only the distance across the slice is
        left).
        """

        def one(rows: tuple[int, int]) -> Slab:
            return self._slab(grid, transforms, rotations, pixel_size_A, rows)

        return list(_polled(pool.map(one, grid.slabs()), poll))

    def _slab(
        self,
        grid: Grid,
        transforms: ImageTransforms,
        rotations: NDArray[np.float64],
        pixel_size_A: float,
        rows: tuple[int, int],
    ) -> Slab:
        shape = (grid.points[0], rows[1] - rows[0], grid.columns)
        total, weight = np.zeros(shape, np.complex64), np.zeros(shape, np.float32)
        kernel = kaiser_bessel.table()
        for half, centre, rotation in zip(transforms.half, transforms.from_middle, rotations, strict=True):
            _add(half, transforms.points[1], centre, rotation, grid.points, rows, self.cutoff, kernel, total, weight)
        index = np.flatnonzero(weight)
        z, y, x = np.unravel_index(index, shape)
        mz, my = _signed(z, grid.points[0]), _signed(y + rows[0], grid.points[1])
        k = [m / points for m, points in zip((mz, my, x), grid.points, strict=True)]
        to_corner = np.exp(-1j * np.pi * sum(a * (n - 1) for a, n in zip(k, grid.shape, strict=True)))
        value = (total.ravel()[index] / weight.ravel()[index] * to_corner / pixel_size_A).astype(np.complex64)
        # halves are rounded to even numbers: a point and its opposite are in opposite blocks
        bz, by, bx = (np.rint(m / self.block).astype(np.int64) for m in (mz, my, x))
        withheld = _drawn(bz, by, bx, self.seed) < self.withheld
        return Slab(
            index.astype(np.int32), value, np.sqrt(k[0] ** 2 + k[1] ** 2 + k[2] ** 2).astype(np.float32), withheld
        )


def _polled(results: Iterator[Slab], poll: Poll) -> Iterator[Slab]:
    for result in results:
        poll()
        yield result


def _signed(index: NDArray[np.intp], points: int) -> NDArray[np.int64]:
    return np.where(2 * index > points, index - points, index).astype(np.int64)


def _drawn(mz: NDArray[np.int64], my: NDArray[np.int64], mx: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
    """A number between 0 and 1 for each block, the same for its opposite (here only where mx = 0); 1 at the origin."""
    turn = (mx == 0) & ((mz < 0) | ((mz == 0) & (my < 0)))
    sign = np.where(turn, -1, 1)
    key = ((mz * sign + 2**20) << 42) + ((my * sign + 2**20) << 21) + mx
    bits = key.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15 * (seed + 1) % 2**64)
    # the finalizer of SplitMix64 (Steele, Lea, Flood 2014): the choice does not depend on slabs and threads
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        bits = (bits ^ (bits >> np.uint64(shift))) * np.uint64(factor)
    drawn = ((bits ^ (bits >> np.uint64(31))) >> np.uint64(11)) / 2.0**53
    return np.where((mz == 0) & (my == 0) & (mx == 0), 1.0, drawn)


@nb.njit(nogil=True, cache=True)
def _add(half, columns, centre, rotation, points, rows, cutoff, kernel, total, weight):  # type: ignore[no-untyped-def]
    """Add one slice to the points of a slab that are nearer to it than the cutoff."""
    mz_all, my_all, mx_all = points
    nx, ny, nz = rotation[2]
    # distance in voxels of the grid of a point that is 1 cycle per voxel away from the slice, along its normal
    scale = np.sqrt((nx * mx_all) ** 2 + (ny * my_all) ** 2 + (nz * mz_all) ** 2)
    most = cutoff / scale
    last = (mx_all + 1) // 2 - 1  # below Nyquist
    size_v = half.shape[0]
    index, tap = np.empty((2, kaiser_bessel.WIDTH), np.int64), np.empty((2, kaiser_bessel.WIDTH), np.float32)
    for jz in range(mz_all):
        if 2 * jz == mz_all:
            continue
        kz = (jz - mz_all if 2 * jz > mz_all else jz) / mz_all
        for jy in range(rows[0], rows[1]):
            if 2 * jy == my_all:
                continue
            ky = (jy - my_all if 2 * jy > my_all else jy) / my_all
            across = ky * ny + kz * nz
            first, end = 0, last
            if abs(nx) * last / mx_all > 1e-9 * most:
                one, other = (-most - across) * mx_all / nx, (most - across) * mx_all / nx
                low, high = min(one, other), max(one, other)
                if high < 0 or low > last:
                    continue
                first, end = max(0, int(np.ceil(low))), min(last, int(np.floor(high)))
            elif abs(across) >= most:
                continue
            for jx in range(first, end + 1):
                kx = jx / mx_all
                away = abs(across + kx * nx)
                if away >= most:
                    continue
                qu = rotation[0, 0] * kx + rotation[0, 1] * ky + rotation[0, 2] * kz
                qv = rotation[1, 0] * kx + rotation[1, 1] * ky + rotation[1, 2] * kz
                if abs(qu) >= 0.5 or abs(qv) >= 0.5:
                    continue
                value = kaiser_bessel.value_2d(half, columns, qv * size_v, qu * columns, kernel, index, tap)
                phase = 2 * np.pi * (qv * centre[0] + qu * centre[1])
                near = np.float32(1 / max(away * scale, NEAREST))
                total[jz, jy - rows[0], jx] += near * value * np.complex64(complex(np.cos(phase), np.sin(phase)))
                weight[jz, jy - rows[0], jx] += near
