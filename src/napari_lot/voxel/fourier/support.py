"""Where the object may be: the hull that the images leave it, or where a volume is not weak."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numba as nb
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_lot.errors import InputError
from napari_lot.settings.voxel_fourier import Constraints
from napari_lot.voxel.method import Poll, Tilts

Region = NDArray[np.bool_]

BLUR_PX = 1.5
"""Standard deviation in pixels of the blur before what is vacuum in an image is told."""
MISSES = 0.04
"""Part of the tilts that see it which may see vacuum where the object is: single images are wrong at times."""


class Support:
    """The region that a method keeps its object in.

    Parameters
    ----------
    settings : Constraints
    tilts : Tilts
    shape : (Z, Y, X)
    threads : int
    poll : Poll
    """

    def __init__(
        self, settings: Constraints, tilts: Tilts, shape: tuple[int, int, int], threads: int, poll: Poll
    ) -> None:
        self._settings, self._voxel_A = settings, tilts.pixel_size_A
        self.region: Region | None = None
        """True where the object may be; None where that is everywhere."""
        if settings.support == "hull":
            self.region = hull(tilts, shape, settings.hull_level, settings.hull_margin_A, threads, poll)
            if not self.region.any():
                raise InputError(
                    "support hull: every voxel is vacuum in some tilt; check angles, tilt axis and rotation centre, or "
                    "take support none."
                )

    def renew(self, values: NDArray[np.float32], iteration: int) -> None:
        """Where the support follows the volume, the region after an iteration (counted from 1)."""
        if self._settings.support == "threshold" and iteration % self._settings.threshold_every == 0:
            blur = self._settings.threshold_blur_A / self._voxel_A
            self.region = not_weak(values, self._settings.threshold_level, blur)

    def constrain(self, values: NDArray[np.float32]) -> None:
        """Nothing below 0 and nothing outside, in place."""
        if self._settings.positivity:
            np.maximum(values, 0, out=values)
        if self.region is not None:
            values *= self.region


def not_weak(values: NDArray[np.float32], level: float, blur_px: float) -> Region:
    """Where the blurred volume exceeds ``level`` of the 99.5 percentile of its positive values.

    Marchesini et al., PRB 68, 140101 (2003): a support that shrinks around the object.
    """
    blurred = ndimage.gaussian_filter(values, blur_px)
    positive = blurred[blurred > 0]
    if not len(positive):
        return np.ones(values.shape, bool)
    return np.asarray(blurred > level * np.percentile(positive, 99.5), np.bool_)


def hull(tilts: Tilts, shape: tuple[int, int, int], level: float, margin_A: float, threads: int, poll: Poll) -> Region:
    """Voxels (Z, Y, X) that hardly any tilt sees as vacuum; what no tilt sees is kept.

    Around an isolated object all that is outside the field is vacuum, too.
    """
    margin = round(margin_A / tilts.pixel_size_A)
    silhouettes = np.empty(tilts.images.shape, bool)
    usable = np.ones(tilts.images.shape, bool) if tilts.usable is None else tilts.usable
    for t, image in enumerate(tilts.images):
        silhouettes[t] = _silhouette(image, usable[t], level, margin)
        poll()
    rows = np.ascontiguousarray(tilts.rotations[:, :2])
    at = np.ascontiguousarray(tilts.shifts_px[:, ::-1] + np.asarray(tilts.center_px))
    found = np.empty(shape, np.bool_)

    def one(z: int) -> None:
        _kept(found[z], z - 0.5 * (shape[0] - 1), rows, at, silhouettes, usable, tilts.isolated, MISSES)

    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(one, range(shape[0])):
            poll()
    return found


def _silhouette(image: NDArray[np.float32], usable: Region, level: float, margin_px: int) -> Region:
    part = ndimage.gaussian_filter(usable.astype(np.float32), BLUR_PX)
    blurred = ndimage.gaussian_filter(image * usable, BLUR_PX) / np.maximum(part, 1e-3)
    if not usable.any():
        return np.ones(image.shape, bool)
    object_ = blurred > level * max(float(np.percentile(blurred[usable], 99.5)), 0.0)
    # what may not be used may hide the object
    far = ndimage.distance_transform_edt(~(object_ | ~usable))
    return np.asarray(far <= margin_px, np.bool_)


@nb.njit(nogil=True, cache=True)
def _kept(found, z, rows, at, silhouettes, usable, isolated, misses):  # type: ignore[no-untyped-def]
    """Of one slice of voxels, those that hardly any tilt sees as vacuum."""
    ny, nx = found.shape
    tilts, height, width = silhouettes.shape
    for j in range(ny):
        y = j - 0.5 * (ny - 1)
        for i in range(nx):
            x = i - 0.5 * (nx - 1)
            seen, missed = 0, 0
            for t in range(tilts):
                u = round(rows[t, 0, 0] * x + rows[t, 0, 1] * y + rows[t, 0, 2] * z + at[t, 1])
                v = round(rows[t, 1, 0] * x + rows[t, 1, 1] * y + rows[t, 1, 2] * z + at[t, 0])
                if 0 <= v < height and 0 <= u < width:
                    if usable[t, v, u]:
                        seen += 1
                        missed += not silhouettes[t, v, u]
                elif isolated:
                    seen += 1
                    missed += 1
            found[j, i] = missed <= misses * seen
