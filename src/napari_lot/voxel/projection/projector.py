"""Projection of a volume along the beam of every tilt, and its matched adjoint.

    (P x)_j(u, v) = integral of x along w at (u, v) of tilt j,  <P x, y> = <x, P^T y>

Rays are summed slice by slice along the axis of the volume nearest to the beam, with bilinear interpolation in the
slice (Joseph, IEEE Trans. Med. Imaging 1, 192 (1982)); voxels beyond the faces of the volume are 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from napari_lot.machine import usable_cores
from napari_lot.voxel.method import Poll, Tilts
from napari_lot.voxel.projection import kernels, ray_kernels

Floats = NDArray[np.float64]
Images = NDArray[np.float32]

ALIGNED_PX = 1e-4
"""Lines of an image that leave those of the volume by less than this, over the whole image, run along them."""
NEARLY = 0.12
"""Sum of the slopes across the lines of the volume up to which those of an image are taken in runs."""
LINES_A_PIECE = 32
"""Lines of an image that a thread projects at a time, where there are fewer tilts than would keep all busy."""


_GATHER = {"along": kernels.line_gather, "nearly": kernels.run_gather, "any": kernels.gather}
_SCATTER = {"along": kernels.line_scatter, "nearly": kernels.run_scatter, "any": kernels.scatter}


def _way(place: Floats, reach: tuple[int, int, int]) -> str:
    """Which loops serve lines of so many m, n and k at a ``place``; those but "any" need voxels of f side by side."""
    if np.abs(place[:, 2] - [0.0, 1.0]).sum() >= NEARLY:
        return "any"
    apart = np.abs(place[0, 2]) * reach[1] + (np.abs(place[1, 1:] - [0.0, 1.0, 0.0]) * reach).sum()
    return "along" if apart < ALIGNED_PX else "nearly"


def nothing() -> None:
    """For who never asks to end."""


@dataclass(frozen=True)
class _Tilt:
    """How one tilt's rays run through the volume: see ``kernels``. ``axis`` is k, 0 to 2 for x, y, z."""

    axis: int
    step: NDArray[np.int64]
    size: NDArray[np.int64]
    place: Floats
    weight: np.float32
    way: str


class Projector:
    """P and P^T of a set of tilts.

    Parameters
    ----------
    rotations : (T, 3, 3)
        ``[u v w] = R [x y z]``.
    image_shape : (V, U)
    pixel_size_A : float
    center_px : (row, column)
        Pixel that shows the rotation centre, the middle of the volume.
    shape : (Z, Y, X)
        Of the volume.
    shifts_px : (T, 2), optional
        Drift (du, dv) of each tilt beyond the centre.
    voxel_A : float, optional
        Side of a voxel; the pixel size by default.
    threads : int, optional
        All cores by default. The result does not depend on it.

    Notes
    -----
    Volumes are taken as (Z, Y, X) float32 in any memory order. One order needs no copy: that of ``zeros()``, which
    numpy keeps in element-wise operations.
    """

    def __init__(
        self,
        rotations: Floats,
        image_shape: tuple[int, int],
        pixel_size_A: float,
        center_px: tuple[float, float],
        shape: tuple[int, int, int],
        shifts_px: Floats | None = None,
        voxel_A: float | None = None,
        threads: int | None = None,
    ) -> None:
        self.rotations = np.asarray(rotations, np.float64)
        self.image_shape = image_shape
        self.shape = shape
        self.pixel_size_A, self.voxel_A = pixel_size_A, voxel_A or pixel_size_A
        self.center_px = center_px
        self.shifts_px = np.zeros((len(self.rotations), 2)) if shifts_px is None else np.asarray(shifts_px, np.float64)
        self.threads = threads or usable_cores()
        beam = np.abs(self.rotations[:, 2]).max(0)
        # z can only be the fast axis of a series that never looks along it, which memory order is not worth a case
        self._fast = 1 if beam[1] <= beam[0] else 0
        across = np.abs(self.rotations[:, :2, self._fast]).sum(0)
        self._along_v = bool(across[1] >= across[0])
        self._order = (0, 2, 1) if self._fast == 1 else (0, 1, 2)  # of z, y, x
        self._tilts = [self._tilt(j) for j in range(len(self.rotations))]
        self._pool: ThreadPoolExecutor | None = None

    @classmethod
    def of(cls, tilts: Tilts, shape: tuple[int, int, int], threads: int | None = None) -> Projector:
        """That of a series and a volume with voxels as large as the pixels."""
        size = (tilts.images.shape[1], tilts.images.shape[2])
        geometry = (tilts.rotations, size, tilts.pixel_size_A, tilts.center_px)
        return cls(*geometry, shape, tilts.shifts_px, threads=threads)

    def __len__(self) -> int:
        return len(self._tilts)

    def _tilt(self, j: int) -> _Tilt:
        turn, scale = self.rotations[j], self.pixel_size_A / self.voxel_A
        size = np.array(self.shape[::-1], np.int64)  # x, y, z
        memory = [self.shape[i] for i in self._order]
        steps = {self._order[0]: memory[1] * memory[2], self._order[1]: memory[2], self._order[2]: 1}
        step = np.array([steps[2], steps[1], steps[0]], np.int64)
        axis = int(np.argmax(np.abs(turn[2])))
        slow, fast = (i for i in (2, 0, 1) if i != axis)
        if fast != self._fast and slow == self._fast:
            slow, fast = fast, slow
        du, dv = self.shifts_px[j]
        place = np.empty((2, 4))
        for row, i in enumerate((slow, fast)):
            per_u, per_v = scale * (turn[:2, i] - turn[2, i] * turn[:2, axis] / turn[2, axis])
            per_k = turn[2, i] / turn[2, axis]
            constant = 0.5 * (size[i] - 1) - per_k * 0.5 * (size[axis] - 1)
            constant -= per_u * (self.center_px[1] + du) + per_v * (self.center_px[0] + dv)
            place[row] = constant, *((per_u, per_v) if self._along_v else (per_v, per_u)), per_k
        way = _way(place, (*self._turned(self.image_shape), int(size[axis]))) if fast == self._fast else "any"
        chosen = [axis, slow, fast]
        weight = np.float32(self.voxel_A / abs(turn[2, axis]))
        return _Tilt(axis, step[chosen], size[chosen], place, weight, way)

    def _turned(self, shape: tuple[int, int]) -> tuple[int, int]:
        return (shape[1], shape[0]) if self._along_v else shape

    def _lines(self, images: Images) -> Images:
        """Images (count, V, U) as (count, M, N)."""
        turned = images.transpose(0, 2, 1) if self._along_v else images
        return np.ascontiguousarray(turned, np.float32)

    def zeros(self) -> Images:
        """An empty volume (Z, Y, X) in the memory order that needs no copy."""
        memory = np.zeros([self.shape[i] for i in self._order], np.float32)
        return memory.transpose(np.argsort(self._order))

    def _flat(self, values: Images) -> Images:
        if values.shape != self.shape:
            raise ValueError(f"a volume of {values.shape} for a projector of {self.shape}")
        return np.ascontiguousarray(values.transpose(self._order), np.float32).reshape(-1)

    def project(self, values: Images, tilts: Sequence[int] | None = None, poll: Poll = nothing) -> Images:
        """Images (count, V, U) of a volume (Z, Y, X): its integrals along the beam, in its unit times Å.

        Parameters
        ----------
        values : (Z, Y, X) float32
        tilts : sequence of int, optional
            All by default.
        poll : callable
            Called after every piece of work; may raise.
        """
        chosen = range(len(self)) if tilts is None else tilts
        flat = self._flat(values)
        lines, length = self._turned(self.image_shape)
        found = np.zeros((len(chosen), lines, length), np.float32)
        pieces = 1 if len(chosen) >= 4 * self.threads or self.threads == 1 else -(-lines // LINES_A_PIECE)
        edges = np.linspace(0, lines, pieces + 1).astype(np.int64)

        def work(place: int, first: int, last: int) -> None:
            t = self._tilts[chosen[place]]
            loop = _GATHER[t.way]
            loop(flat, t.step, t.size, t.place, t.weight, found[place], first, last)

        jobs = ((place, edges[i], edges[i + 1]) for place in range(len(chosen)) for i in range(pieces))
        self.run(work, jobs, poll)
        return np.ascontiguousarray(found.transpose(0, 2, 1)) if self._along_v else found

    def adjoint(
        self, images: Images, tilts: Sequence[int] | None = None, poll: Poll = nothing, into: Images | None = None
    ) -> Images:
        """P^T of images (count, V, U), a volume (Z, Y, X); added to ``into`` where that is given.

        Parameters
        ----------
        images : (count, V, U) float32
            One for each of ``tilts``.
        into : (Z, Y, X) float32, optional
            From ``zeros``; it is changed and returned.
        """
        chosen = range(len(self)) if tilts is None else tilts
        if len(images) != len(chosen):
            raise ValueError(f"{len(images)} images for {len(chosen)} tilts")
        lines = self._lines(images)
        volume = self.zeros() if into is None else into
        flat = self._flat(volume)
        if not np.shares_memory(flat, volume):
            raise ValueError("into: a volume as from zeros() is needed")
        for axis in range(3):  # a thread has slices of its own: nothing is added to by two
            members = [place for place, j in enumerate(chosen) if self._tilts[j].axis == axis]
            if not members:
                continue
            count = self.shape[2 - axis]
            edges = np.linspace(0, count, min(count, 4 * self.threads) + 1).astype(np.int64)

            def work(place: int, first: int, last: int) -> None:
                t = self._tilts[chosen[place]]
                loop = _SCATTER[t.way]
                loop(flat, t.step, t.size, t.place, t.weight, lines[place], first, last)

            def slab(first: int, last: int, members: list[int] = members) -> None:
                for place in members:
                    work(place, first, last)

            self.run(slab, pairwise(edges), poll)
        return volume

    def backproject(self, images: Images, tilts: Sequence[int] | None = None, poll: Poll = nothing) -> Images:
        """Sum over tilts of what images (count, V, U) show at every voxel (Z, Y, X), bilinear; 0 outside their field.

        This is no adjoint: the images are sampled at the voxels, not the volume at the pixels. Of filtered images it is
        the smoother sum, as direct methods need it.
        """
        chosen = range(len(self)) if tilts is None else tilts
        if len(images) != len(chosen):
            raise ValueError(f"{len(images)} images for {len(chosen)} tilts")
        lines = self._lines(images)
        flat = lines.reshape(len(lines), -1)
        volume = self.zeros()
        memory = volume.transpose(self._order)
        step = np.array([0, lines.shape[2], 1], np.int64)
        size = np.array([1, *lines.shape[1:]], np.int64)
        places = [self._seen(j) for j in chosen]
        ways = [_way(place[:, [0, 2, 3, 1]], (memory.shape[1], memory.shape[2], memory.shape[0])) for place in places]

        def plane(first: int, last: int) -> None:
            for a in range(first, last):
                for j, seen in enumerate(places):
                    place = np.zeros((2, 4))
                    place[:, 0], place[:, 1:3] = seen[:, 0] + a * seen[:, 1], seen[:, 2:]
                    _GATHER[ways[j]](flat[j], step, size, place, np.float32(1.0), memory[a], 0, memory.shape[1])

        edges = np.linspace(0, len(memory), min(len(memory), 8 * self.threads) + 1).astype(np.int64)
        self.run(plane, pairwise(edges), poll)
        return volume

    def kaczmarz(
        self,
        values: Images,
        tilt: int,
        image: Images,
        usable: NDArray[np.bool_] | None,
        relaxation: float,
        poll: Poll = nothing,
    ) -> None:
        """Put right the misfit of one ray of a tilt after the other; a volume from ``zeros`` is changed.

        Parameters
        ----------
        values : (Z, Y, X) float32
        image : (V, U)
        usable : (V, U) bool or None
            Rays that count.
        relaxation : float
            Part of the misfit.
        """
        flat, t = self._flat(values), self._tilts[tilt]
        if not np.shares_memory(flat, values):
            raise ValueError("values: a volume as from zeros() is needed")
        lines = self._lines(image[None])[0]
        counts = (
            np.zeros((0, 0), bool) if usable is None else np.ascontiguousarray(usable.T if self._along_v else usable)
        )

        loop = ray_kernels.line_kaczmarz if t.way == "along" else ray_kernels.kaczmarz
        loop(flat, t.step, t.size, t.place, t.weight, lines, counts, relaxation)
        poll()

    def add_share(
        self, values: Images, back: Images, seen: Images, relaxation: float, positive: bool, least: float
    ) -> None:
        """Add ``relaxation * back / max(seen, least)`` to a volume; all are from ``zeros`` or ``adjoint``."""
        flat, others = self._flat(values), (self._flat(back), self._flat(seen))
        edges = np.linspace(0, len(flat), 2 * self.threads + 1).astype(np.int64)
        more = (np.float32(least), np.float32(relaxation), positive)
        self.run(lambda first, last: ray_kernels.add_share(flat, *others, *more, first, last), pairwise(edges))

    def _seen(self, j: int) -> Floats:
        """Where tilt j shows a voxel, (m, n) by [constant, per index of the memory's three axes]."""
        scale = self.voxel_A / self.pixel_size_A
        axes = [2 - i for i in self._order]  # of x, y, z
        middle = 0.5 * (np.array(self.shape[::-1]) - 1.0)
        center = np.array(self.center_px[::-1]) + self.shifts_px[j]  # u, v
        per = scale * self.rotations[j, :2]
        seen = np.column_stack([center - per @ middle, per[:, axes]])
        return seen if self._along_v else seen[::-1]

    def run(self, work: Callable[..., None], jobs: Iterable[tuple[int, ...]], poll: Poll = nothing) -> None:
        """Call ``work(*job)`` for all jobs, on the threads; ``poll`` after each."""
        if self.threads == 1:
            for job in jobs:
                work(*job)
                poll()
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.threads, "voxel")
        futures = [self._pool.submit(work, *job) for job in jobs]
        try:
            for future in futures:
                future.result()
                poll()
        except BaseException:
            for future in futures:
                future.cancel()
            raise

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None
