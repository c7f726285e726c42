"""The slice theorem both ways: transforms of the images at any frequency, and projections of a volume.

Frequencies are in cycles per pixel, phases refer to the rotation centre: a projection's transform at (qu, qv) is the
volume's at ``qu R[0] + qv R[1]``, whatever the place of the centre in the image and the drift.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numba as nb
import numpy as np
from numpy.typing import NDArray
from scipy import fft

from napari_lot.voxel.fourier import kaiser_bessel, padded_fft
from napari_lot.voxel.method import Poll, Tilts

Floats = NDArray[np.float64]
Images = NDArray[np.float32]


class ImageTransforms:
    """Fourier transforms of images, which are read at any frequency below Nyquist.

    Parameters
    ----------
    images : (T, V, U) float32
        Beyond their field there is nothing.
    center_px : (row, column) float
    shifts_px : (T, 2) float64
        (du, dv): tilt t shows the rotation centre at column + du, row + dv.
    poll : Poll, optional
    """

    def __init__(
        self, images: Images, center_px: tuple[float, float], shifts_px: Floats, poll: Poll = lambda: None
    ) -> None:
        rows, columns = images.shape[1:]
        self.field = (rows, columns)
        self.points = (kaiser_bessel.padded(rows), kaiser_bessel.padded(columns))
        taper_v, taper_u = (kaiser_bessel.taper(n, p) for n, p in zip((rows, columns), self.points, strict=True))
        self._taper = (1 / np.outer(taper_v, taper_u)).astype(np.float32)
        self.half = np.empty((len(images), self.points[0], self.points[1] // 2 + 1), np.complex64)
        # the FFT's phases refer to pixel 0; the kernel needs those of the middle, whoever reads those of the centre
        self._to_middle = _ramps(self.points, (rows // 2, columns // 2))
        shifts = np.asarray(shifts_px, np.float64)
        self.from_middle = np.stack(
            [center_px[0] + shifts[:, 1] - rows // 2, center_px[1] + shifts[:, 0] - columns // 2], -1
        )
        """(T, 2): row and column of the centre, counted from pixel [V // 2, U // 2]."""
        for t, image in enumerate(images):
            self.replace(t, image)
            poll()

    def __len__(self) -> int:
        return len(self.half)

    def replace(self, tilt: int, image: Images) -> None:
        """Another image of a tilt, of the same size."""
        whole = fft.rfft2(image * self._taper, self.points)
        self.half[tilt] = whole * self._to_middle

    def at(self, tilt: int, qv: Floats, qu: Floats) -> NDArray[np.complex64]:
        """The transform of a tilt at frequencies (N,) in cycles per pixel, its phases those of the rotation centre."""
        return np.asarray(
            _at(self.half[tilt], self.points[1], qv, qu, self.from_middle[tilt], kaiser_bessel.table()), np.complex64
        )


class Reprojector:
    """Projections of a volume onto the tilts, by the slice theorem.

    Exact for what the voxels can hold: a voxel is a sample of a band-limited density, not a cube.

    Parameters
    ----------
    tilts : Tilts
    shape : (Z, Y, X)
        Of the volume, which is centred.
    threads : int
    """

    def __init__(self, tilts: Tilts, shape: tuple[int, int, int], threads: int = 1) -> None:
        self.tilts, self.shape, self.threads = tilts, shape, threads
        z, y, x = (kaiser_bessel.padded(n) for n in shape)
        self.points = (z, y, x)
        tapers = [1 / kaiser_bessel.taper(n, p) for n, p in zip(shape, self.points, strict=True)]
        self._taper = [t.astype(np.float32) for t in tapers]
        self.field = (tilts.images.shape[1], tilts.images.shape[2])
        self.frame = self._frame()

    def _frame(self) -> tuple[int, int]:
        """Rows and columns in which what lies beyond the field does not come back into it from the other side."""
        half = 0.5 * np.asarray(self.shape[::-1], np.float64)  # x y z
        reach = np.abs(self.tilts.rotations[:, :2]) @ half + 2  # (T, 2): u v
        sizes = []
        for axis, n, center in (
            (1, self.field[0], self.tilts.center_px[0]),
            (0, self.field[1], self.tilts.center_px[1]),
        ):
            at = center + self.tilts.shifts_px[:, axis]
            need = np.maximum(n - 1 - at, at) + reach[:, axis]
            sizes.append(fft.next_fast_len(int(np.ceil(max(need.max(), n, 2 * reach[:, axis].max()))), real=True))
        return sizes[0], sizes[1]

    def project(self, values: Images, poll: Poll) -> Iterator[Images]:
        """One image (V, U) after the other, in the unit of the measured ones."""
        tapered = values * self._taper[0][:, None, None] * self._taper[1][:, None] * self._taper[2]
        with ThreadPoolExecutor(self.threads) as pool:
            half = padded_fft.whole(tapered, self.points, pool, poll)
        for axis, n in enumerate(self.shape):  # phases from voxel 0 to n // 2, as the kernel needs them
            k = fft.fftfreq(self.points[axis])[: half.shape[axis]]
            half *= _ramp(k, n // 2).reshape([-1 if a == axis else 1 for a in range(3)])
        with ThreadPoolExecutor(self.threads) as pool:
            waiting = [pool.submit(self._project, half, t) for t in range(min(self.threads + 1, len(self.tilts)))]
            try:
                for t in range(len(self.tilts)):
                    image = waiting.pop(0).result()
                    if t + self.threads + 1 < len(self.tilts):
                        waiting.append(pool.submit(self._project, half, t + self.threads + 1))
                    poll()
                    yield image
            finally:
                for late in waiting:
                    late.cancel()

    def _project(self, half: NDArray[np.complex64], tilt: int) -> Images:
        qv, qu = fft.fftfreq(self.frame[0]), np.abs(fft.fftfreq(self.frame[1])[: self.frame[1] // 2 + 1])
        plane = np.zeros((len(qv), len(qu)), np.complex64)
        _slice(half, self.points[2], self.tilts.rotations[tilt], qv, qu, kaiser_bessel.table(), plane)
        du, dv = self.tilts.shifts_px[tilt] + self.tilts.center_px[::-1]
        u, v, _ = self.tilts.rotations[tilt] @ [0.5 * (n - 1) - n // 2 for n in self.shape[::-1]]
        plane *= _ramp(qv, v - dv)[:, None] * _ramp(qu, u - du)
        image = fft.irfft2(plane, self.frame)[: self.field[0], : self.field[1]]
        return np.asarray(image * np.float32(self.tilts.pixel_size_A), np.float32)


def r_factor(measured: Images, calculated: Images, usable: NDArray[np.bool_] | None) -> float:
    """Sum of |measured - calculated| over sum of |measured|, of the pixels that count (Eq. 11); NaN where all are 0."""
    difference, size = np.abs(measured - calculated), np.abs(measured)
    if usable is not None:
        difference, size = difference[usable], size[usable]
    total = float(size.sum(dtype=np.float64))
    return float(difference.sum(dtype=np.float64)) / total if total > 0 else float("nan")


def _ramp(k: Floats, by: float) -> NDArray[np.complex64]:
    return np.exp(2j * np.pi * k * by).astype(np.complex64)


def _ramps(points: tuple[int, int], by: tuple[float, float]) -> NDArray[np.complex64]:
    v = _ramp(fft.fftfreq(points[0]), by[0])
    u = _ramp(fft.rfftfreq(points[1]), by[1])
    return np.asarray(v[:, None] * u, np.complex64)


@nb.njit(nogil=True, cache=True)
def _at(half, columns, qv, qu, from_middle, kernel):  # type: ignore[no-untyped-def]
    found = np.empty(len(qv), np.complex64)
    index, weight = np.empty((2, kaiser_bessel.WIDTH), np.int64), np.empty((2, kaiser_bessel.WIDTH), np.float32)
    rows = half.shape[0]
    for i in range(len(qv)):
        value = kaiser_bessel.value_2d(half, columns, qv[i] * rows, qu[i] * columns, kernel, index, weight)
        phase = 2 * np.pi * (qv[i] * from_middle[0] + qu[i] * from_middle[1])
        found[i] = value * np.complex64(complex(np.cos(phase), np.sin(phase)))
    return found


@nb.njit(nogil=True, cache=True)
def _slice(half, columns, rotation, qv, qu, kernel, plane):  # type: ignore[no-untyped-def]
    """The volume's transform on the plane of one tilt; 0 beyond Nyquist along any axis of the volume."""
    index, weight = np.empty((3, kaiser_bessel.WIDTH), np.int64), np.empty((3, kaiser_bessel.WIDTH), np.float32)
    slices, rows = half.shape[:2]
    for i in range(len(qv)):
        for j in range(len(qu)):
            if abs(qv[i]) >= 0.5 or abs(qu[j]) >= 0.5:
                continue
            kx = qu[j] * rotation[0, 0] + qv[i] * rotation[1, 0]
            ky = qu[j] * rotation[0, 1] + qv[i] * rotation[1, 1]
            kz = qu[j] * rotation[0, 2] + qv[i] * rotation[1, 2]
            if abs(kx) < 0.5 and abs(ky) < 0.5 and abs(kz) < 0.5:
                plane[i, j] = kaiser_bessel.value_3d(
                    half, columns, kz * slices, ky * rows, kx * columns, kernel, index, weight
                )
