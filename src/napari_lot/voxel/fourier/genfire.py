"""GENFIRE: generalized Fourier iterative reconstruction.

Pryor et al., Sci. Rep. 7, 10409 (2017). The measured slices are brought onto the Cartesian grid of a padded volume's
Fourier transform; then real space, where the object is positive and within its support, and Fourier space, where
measured points are enforced, take turns, and the points in between are filled.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numba as nb
import numpy as np
from numpy.typing import NDArray
from scipy import fft

from napari_lot.errors import InputError
from napari_lot.machine import usable_cores
from napari_lot.settings.voxel_fourier import Genfire
from napari_lot.voxel.fourier import padded_fft
from napari_lot.voxel.fourier.fill import complete, reprojected, seen
from napari_lot.voxel.fourier.genfire_grid import Grid, Gridding, Slab
from napari_lot.voxel.fourier.slices import ImageTransforms, Reprojector
from napari_lot.voxel.fourier.support import Support
from napari_lot.voxel.method import Iterate, Poll, Tilts
from napari_lot.voxel.volume import Volume

Values = NDArray[np.float32]


def genfire(tilts: Tilts, shape: tuple[int, int, int], settings: object, poll: Poll) -> Iterator[Iterate]:
    """Reconstruct by GENFIRE.

    The first iterate, number 0, is the direct inversion: measured points alone, nothing known of the object. The last
    holds the volume of the iteration that predicts the withheld points best, with its R-factors; where none are
    withheld, its own. (The paper keeps the one that agrees best with the measured points, noise and all.)

    Parameters
    ----------
    tilts : Tilts
        At any angles. Pixels that are not usable show what the volume shows there, from reprojection to reprojection.
    shape : (Z, Y, X)
        Of the volume, its voxels as large as the pixels.
    settings : Genfire
    poll : Poll

    Yields
    ------
    Iterate
        ``r_free`` is the sum of |measured - calculated| over the sum of |measured|, of the complex values of the
        withheld points. They are withheld in blocks: single points, as published, lie among enforced ones, which tell
        what they are in a padded box, noise included, so that R_free falls on while noise is fitted. It tells of noise
        and of wrong geometry, not of what the missing wedge holds.

    Raises
    ------
    InputError
        Settings of another method, no usable tilt, or a hull in which there is no voxel.
    """
    if not isinstance(settings, Genfire):
        raise InputError("genfire: the settings are not those of GENFIRE; give a Genfire section.")
    if not seen(tilts).any():
        raise InputError("genfire: no tilt has a usable pixel; check the mask and the excluded tilts.")
    threads = settings.threads or usable_cores()
    with ThreadPoolExecutor(threads) as pool:
        try:
            yield from _Run(tilts, shape, settings, poll, pool, threads).iterates()
        finally:
            pool.shutdown(cancel_futures=True)


def resolution_limit(iteration: int, iterations: int, enforcement: str) -> float:
    """Up to which part of the largest frequency points are enforced at an iteration, counted from 1."""
    if enforcement == "all" or iterations < 2:
        return 1.0
    rise = 2 * iteration / iterations
    if enforcement == "extension":
        return min(1.0, rise)
    return min(1.0, rise, 2 * (iterations + 1 - iteration) / iterations)


@dataclass
class _Agreement:
    """Sums over Fourier points: of |measured - calculated| and of |measured|, enforced and withheld."""

    sums: NDArray[np.float64]

    @property
    def r_k(self) -> float:
        return _ratio(self.sums[0], self.sums[1])

    @property
    def r_free(self) -> float:
        return _ratio(self.sums[2], self.sums[3])


class _Run:
    """One reconstruction, from the first transform to the last iterate."""

    def __init__(
        self,
        tilts: Tilts,
        shape: tuple[int, int, int],
        settings: Genfire,
        poll: Poll,
        pool: ThreadPoolExecutor,
        threads: int,
    ) -> None:
        self.settings, self.poll, self.pool, self.threads = settings, poll, pool, threads
        self.support = Support(settings, tilts, shape, threads, poll)
        self.seen = seen(tilts)
        self.tilts = complete(tilts, shape, poll)
        self.gaps = self.tilts is not tilts
        self.grid = Grid.padded(shape, settings.oversampling)
        self.reprojector = Reprojector(self.tilts, shape, threads)
        self.transforms = ImageTransforms(
            self.tilts.images[self.seen], self.tilts.center_px, self.tilts.shifts_px[self.seen], poll
        )
        block = max(1, round(settings.withheld_block * settings.oversampling))
        self.gridding = Gridding(settings.cutoff, settings.withheld, block, settings.seed)
        self.slabs = self._gridded()
        self.largest = max((float(s.radius.max()) for s in self.slabs if len(s.radius)), default=0.5)

    def _gridded(self) -> list[Slab]:
        pixel = self.tilts.pixel_size_A
        return self.gridding.slabs(
            self.grid, self.transforms, self.tilts.rotations[self.seen], pixel, self.pool, self.poll
        )

    def iterates(self) -> Iterator[Iterate]:
        total = self.settings.iterations
        start, _ = self._enforced(np.zeros(self.grid.shape, np.float32), np.inf)
        nothing = _Agreement(np.full(4, np.nan))
        yield self._iterate(start.copy(), 0, nothing, self._reproject(start), "Direct inversion")
        self.support.constrain(start)
        best: tuple[Values, _Agreement, int] | None = None
        following, _ = self._enforced(start, self._limit(1))
        for iteration in range(1, total + 1):
            values = following
            self.support.renew(values, iteration)
            self.support.constrain(values)
            last = iteration == total
            following, agreement = self._enforced(values, self._limit(iteration + 1), back=not last)
            if best is None or not agreement.r_free >= best[1].r_free:  # without withheld points the last
                best = (values, agreement, iteration)
            words = f"Enforced up to {self._limit(iteration) / self.largest:.0%} of the largest frequency"
            if last and best[2] != iteration:
                values, agreement = best[:2]
                words = f"Iteration {best[2]} predicts the withheld points best and is kept"
            r = np.full(len(self.tilts), np.nan)
            if last or iteration % self.settings.reproject_every == 0:
                r = self._reproject(values)
                if self.gaps and not last:
                    self.slabs = self._gridded()
            yield self._iterate(values, iteration, agreement, r, f"{words}, R_k {agreement.r_k:.2%}")

    def _limit(self, iteration: int) -> float:
        """In cycles per voxel."""
        return self.largest * resolution_limit(iteration, self.settings.iterations, self.settings.enforcement)

    def _iterate(
        self, values: Values, iteration: int, agreement: _Agreement, r: NDArray[np.float64], words: str
    ) -> Iterate:
        volume = Volume.centred(values, self.tilts.pixel_size_A)
        return Iterate(volume, iteration, self.settings.iterations, r, agreement.r_free, f"{words}.")

    def _reproject(self, values: Values) -> NDArray[np.float64]:
        filled = self.transforms if self.gaps else None
        return reprojected(self.tilts, values, self.seen, self.reprojector, filled, self.poll)

    def _enforced(self, values: Values, limit: float, back: bool = True) -> tuple[Values, _Agreement]:
        """The volume with measured points up to ``limit`` (cycles per voxel) enforced, and how those of ``values``
        agreed.

        The transform along z is done slab by slab: the whole padded grid is never held. Without ``back`` the volume
        is what it was.
        """
        limit *= 1 + 1e-6  # radii are in single precision
        nz, mz = self.grid.shape[0], self.grid.points[0]
        planes = padded_fft.planes(values, self.grid.points, self.pool, self.poll)

        def one(job: tuple[tuple[int, int], Slab]) -> NDArray[np.float64]:
            (first, end), slab = job
            part = fft.fft(planes[:, first:end], mz, axis=0)
            flat = part.reshape(-1)
            sums = np.zeros(4)
            _enforce(flat, slab.index, slab.value, slab.radius, slab.withheld, limit, sums)
            if back:
                planes[:, first:end] = fft.ifft(part, axis=0, overwrite_x=True)[:nz]
            return sums

        sums = np.zeros(4)
        for found in self.pool.map(one, zip(self.grid.slabs(), self.slabs, strict=True)):
            sums += found
            self.poll()
        if not back:
            return values, _Agreement(sums)
        return padded_fft.from_planes(planes, self.grid.shape, self.grid.points, self.pool, self.poll), _Agreement(sums)


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0 else float("nan")


@nb.njit(nogil=True, cache=True)
def _enforce(flat, index, value, radius, withheld, limit, sums):  # type: ignore[no-untyped-def]
    for i in range(len(index)):
        at = index[i]
        away, size = abs(value[i] - flat[at]), abs(value[i])
        if withheld[i]:
            sums[2] += away
            sums[3] += size
        else:
            sums[0] += away
            sums[1] += size
            if radius[i] <= limit:
                flat[at] = value[i]
