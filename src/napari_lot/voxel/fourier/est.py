"""Equal-slope tomography of a single-axis series.

Miao, Förster, Levi, PRB 72, 052103 (2005); Lee et al., J. Struct. Biol. 164, 221 (2008). Tilts are lines of a
pseudo-polar grid in Fourier space of the slices across the axis. Fourier space, where the lines were measured, and
real space, where the object is positive and within its support, take turns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_lot.errors import InputError
from napari_lot.machine import usable_cores
from napari_lot.settings.voxel_fourier import Est
from napari_lot.voxel.fourier.est_lines import Axis, Measured, measured_lines, place, single_axis, turn_z
from napari_lot.voxel.fourier.fill import complete, reprojected, seen
from napari_lot.voxel.fourier.slices import ImageTransforms, Reprojector
from napari_lot.voxel.fourier.support import Support
from napari_lot.voxel.method import Iterate, Poll, Tilts
from napari_lot.voxel.volume import Volume

Values = NDArray[np.float32]

BATCH = 16
"""Slices that are transformed at once."""
ALIGNED_DEG = 0.02
"""A tilt axis nearer to y than this needs no frame of its own."""


def est(tilts: Tilts, shape: tuple[int, int, int], settings: object, poll: Poll) -> Iterator[Iterate]:
    """Reconstruct by equal-slope tomography.

    As published, an iteration calculates the lines, puts the measured ones in place of the calculated, and transforms
    back. What is transformed back is the difference of the measured lines, by the adjoint with each sample weighted
    by the area it stands for (Fahimian, Mao, Cloetens, Miao, Phys. Med. Biol. 55, 5383 (2010)); a common step makes
    it convergent. Tilts keep their exact slopes unless the nearest of the equal ones is asked for; and samples about
    the origin, which stand for hardly any area, count for more (``est_lines.LEAST_AREA``).

    A tilt axis that is not vertical is followed in Fourier space of the images; where the axis is turned in the
    specimen, too, slices are across it, and the volume is turned back by cubic splines for every iterate.

    Parameters
    ----------
    tilts : Tilts
        About one axis across the beam. Pixels that are not usable show what the volume shows there.
    shape : (Z, Y, X)
        Of the volume, its voxels as large as the pixels.
    settings : Est
    poll : Poll

    Yields
    ------
    Iterate
        Number 0 is the weighted adjoint of the lines, nothing known of the object: a filtered back projection.

    Raises
    ------
    InputError
        More than one tilt axis, settings of another method, no usable tilt, or a hull in which there is no voxel.
    """
    if not isinstance(settings, Est):
        raise InputError("est: the settings are not those of equal-slope tomography; give an Est section.")
    if settings.lines is not None and settings.lines % 4:
        raise InputError(
            f"est: lines must be a multiple of 4 (given: {settings.lines}); give {4 * (settings.lines // 4)}."
        )
    used = seen(tilts)
    if not used.any():
        raise InputError("est: no tilt has a usable pixel; check the mask and the excluded tilts.")
    axis = single_axis(tilts.rotations[used])
    threads = settings.threads or usable_cores()
    with ThreadPoolExecutor(threads) as pool:
        try:
            yield from _Run(tilts, shape, settings, poll, axis, pool, threads).iterates()
        finally:
            pool.shutdown(cancel_futures=True)


class _Run:
    """One reconstruction. Inside, slices come first: (along the axis, Z, across it)."""

    def __init__(
        self,
        tilts: Tilts,
        shape: tuple[int, int, int],
        settings: Est,
        poll: Poll,
        axis: Axis,
        pool: ThreadPoolExecutor,
        threads: int,
    ) -> None:
        self.settings, self.poll, self.axis, self.pool = settings, poll, axis, pool
        self.shape, self.seen = shape, seen(tilts)
        self.turned = abs(axis.specimen_deg) > ALIGNED_DEG
        self.frame = _frame(shape, axis.specimen_deg) if self.turned else shape
        in_frame = replace(tilts, rotations=tilts.rotations @ turn_z(axis.specimen_deg)) if self.turned else tilts
        self.support = Support(settings, in_frame, self.frame, threads, poll)
        self.tilts = complete(tilts, shape, poll)
        self.gaps = self.tilts is not tilts
        self.reprojector = Reprojector(self.tilts, shape, threads)
        self.transforms = ImageTransforms(
            self.tilts.images[self.seen], self.tilts.center_px, self.tilts.shifts_px[self.seen], poll
        )
        side = max(self.frame[0], self.frame[2])
        self.samples = 2 * max(int(np.ceil(0.5 * settings.oversampling * side)), (side + 1) // 2)
        self.to_diagonal = 2 * side if settings.lines is None else settings.lines // 4
        self.exact = settings.placement == "exact"
        self.placed = place(axis.theta_deg, self.to_diagonal, self.exact)
        self.lines = self._lines()

    def _lines(self) -> list[Measured]:
        equal = None if self.exact else self.to_diagonal
        pixel = self.tilts.pixel_size_A
        return measured_lines(
            self.transforms, self.axis, self.placed, self.frame, self.samples, equal, pixel, self.poll
        )

    def iterates(self) -> Iterator[Iterate]:
        total = self.settings.iterations
        values = self._each(self._adjoint)
        off = float(self.placed.off_deg.max())
        words = "Weighted adjoint" if self.exact else f"Tilts are at most {off:.2g} degrees off their lines"
        shown = self._in_specimen(values, anything=True)
        yield self._iterate(shown, 0, self._reproject(shown), f"{words}.")
        step = np.float32(1 / self._norm())
        self._constrain(values)
        ahead, momentum = values, 1.0
        for iteration in range(1, total + 1):
            change, r_k = self._change(ahead)
            change *= step
            change += ahead
            self.support.renew(change.transpose(1, 0, 2), iteration)
            self._constrain(change)
            ahead, momentum = self._ahead(ahead, values, change, momentum)
            values = change
            last = iteration == total
            r = np.full(len(self.tilts), np.nan)
            shown = self._in_specimen(values)
            if last or iteration % self.settings.reproject_every == 0:
                r = self._reproject(shown)
                if self.gaps and not last:
                    self.lines = self._lines()
            yield self._iterate(shown, iteration, r, f"Measured lines agree to {r_k:.2%}.")

    def _ahead(self, ahead: Values, before: Values, now: Values, momentum: float) -> tuple[Values, float]:
        """Where the next iteration starts: beyond the last, along the way from the one before (Nesterov)."""
        if not self.settings.acceleration:
            return now, 1.0
        way = now - before
        if (
            float(((ahead - now) * way).sum(dtype=np.float64)) > 0
        ):  # turned back: O'Donoghue, Candès, Found. Comput. Math. 15, 715 (2015)
            momentum = 1.0
        following = 0.5 * (1 + np.sqrt(1 + 4 * momentum**2))
        way *= np.float32((momentum - 1) / following)
        way += now
        return way, float(following)

    def _constrain(self, values: Values) -> None:
        self.support.constrain(values.transpose(1, 0, 2))

    def _each(self, work: Callable[[slice], Values]) -> Values:
        """What ``work`` makes of every batch of slices, together."""
        rows = [slice(a, min(a + BATCH, self.frame[1])) for a in range(0, self.frame[1], BATCH)]
        found = np.empty((self.frame[1], self.frame[0], self.frame[2]), np.float32)
        for part, result in zip(rows, self.pool.map(work, rows), strict=True):
            found[part] = result
            self.poll()
        return found

    def _adjoint(self, rows: slice) -> Values:
        parts = [m.transform.adjoint(m.values[..., rows] * m.area) for m in self.lines]
        return np.sum(parts, axis=0, dtype=np.float32)

    def _change(self, values: Values) -> tuple[Values, float]:
        """Adjoint of the weighted difference of the lines, and that difference over what was measured."""
        sums: dict[int, tuple[float, float]] = {}

        def work(rows: slice) -> Values:
            away, size = 0.0, 0.0
            parts = []
            for m in self.lines:
                measured = m.values[..., rows]
                apart = measured - m.transform.forward(values[rows])
                away += float((np.abs(apart) * (m.weight > 0)).sum(dtype=np.float64))
                size += float((np.abs(measured) * (m.weight > 0)).sum(dtype=np.float64))
                parts.append(m.transform.adjoint(apart * m.weight))
            sums[rows.start] = (away, size)
            return np.sum(parts, axis=0, dtype=np.float32)

        change = self._each(work)
        away, size = np.sum([sums[row] for row in sorted(sums)], axis=0)
        return change, float(away / size) if size > 0 else float("nan")

    def _norm(self) -> float:
        """Largest eigenvalue of the weighted adjoint after the transform, the same for each slice: power iteration."""
        slice_ = np.random.default_rng(0).normal(size=(1, self.frame[0], self.frame[2])).astype(np.float32)
        largest = 1.0
        for _ in range(20):
            slice_ /= np.linalg.norm(slice_)
            parts = [m.transform.adjoint(m.transform.forward(slice_) * m.weight) for m in self.lines]
            slice_ = np.sum(parts, axis=0, dtype=np.float32)
            largest = float(np.linalg.norm(slice_))
            self.poll()
        return 1.05 * largest  # it comes from below

    def _in_specimen(self, values: Values, anything: bool = False) -> Values:
        """A copy (Z, Y, X) in the specimen frame; splines may fall below 0, which is cut unless anything goes."""
        volume = values.transpose(1, 0, 2)
        if not self.turned:
            return volume.copy()
        found = np.empty(self.shape, np.float32)
        c, s = np.cos(np.deg2rad(self.axis.specimen_deg)), np.sin(np.deg2rad(self.axis.specimen_deg))
        turn = np.array([[c, -s], [s, c]])  # row, column: y' = y cos a - x sin a
        middle, own = ((np.asarray(n[1:]) - 1) / 2 for n in (self.frame, self.shape))
        for z, plane in enumerate(volume):
            found[z] = ndimage.affine_transform(plane, turn, middle - turn @ own, self.shape[1:], order=3)
            self.poll()
        if self.settings.positivity and not anything:
            np.maximum(found, 0, out=found)
        return found

    def _reproject(self, values: Values) -> NDArray[np.float64]:
        filled = self.transforms if self.gaps else None
        return reprojected(self.tilts, values, self.seen, self.reprojector, filled, self.poll)

    def _iterate(self, shown: Values, iteration: int, r: NDArray[np.float64], message: str) -> Iterate:
        volume = Volume.centred(shown, self.tilts.pixel_size_A)
        return Iterate(volume, iteration, self.settings.iterations, r, message=message)


def _frame(shape: tuple[int, int, int], turn_deg: float) -> tuple[int, int, int]:
    """Size (Z, along the axis, across it) of what holds a volume whose axis is turned about z."""
    c, s = abs(np.cos(np.deg2rad(turn_deg))), abs(np.sin(np.deg2rad(turn_deg)))
    along, across = c * shape[1] + s * shape[2], s * shape[1] + c * shape[2]
    return shape[0], int(np.ceil(along - 1e-6)), int(np.ceil(across - 1e-6))
