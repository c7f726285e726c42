"""The Fourier transform of slices on lines of equal slopes (the pseudo-polar grid), and its adjoint.

Averbuch, Coifman, Donoho, Israeli, Shkolnisky, Sedelnikov, SIAM J. Sci. Comput. 30, 764 (2008); Miao, Förster, Levi,
PRB 72, 052103 (2005). Lines nearer to x than to z have samples at kx = m / M and kz = s kx, with slopes s that differ
by equal steps; the others change places. An FFT along one axis and, at each m, a transform of fractional frequencies
along the other give all of them, without any interpolation: exact sums, in single precision.
"""

from __future__ import annotations

from typing import Protocol

import numba as nb
import numpy as np
from numpy.typing import NDArray
from scipy import fft

Floats = NDArray[np.float64]
Slices = NDArray[np.float32]
Lines = NDArray[np.complex64]


class Transform(Protocol):
    """Of slices (S, Z, X) on the lines of one kind: samples (M / 2, L, S) at m = 0, 1, ..., below Nyquist.

    Phases refer to the middle of a slice, index (n - 1) / 2. The adjoint is that for the real part of the inner
    product.
    """

    def forward(self, slices: Slices) -> Lines: ...

    def adjoint(self, lines: Lines) -> Slices: ...


class Direct:
    """Lines of any slopes, by a product of matrices at each m: the fastest where there are few of them.

    Parameters
    ----------
    shape : (Z, X)
    samples : int
        M, even and at least X and Z: samples on a whole line.
    slopes : (L,) float64
        kz / kx, or kx / kz of ``steep`` lines.
    steep : bool
        Lines nearer to z than to x.
    """

    def __init__(self, shape: tuple[int, int], samples: int, slopes: Floats, steep: bool) -> None:
        self._along = _Along(shape, samples, steep)
        k = np.arange(samples // 2) / samples
        at = np.arange(self._along.across) - 0.5 * (self._along.across - 1)
        self._matrix = np.exp(-2j * np.pi * np.einsum("m,l,z->mlz", k, slopes, at)).astype(np.complex64)
        self._back = np.ascontiguousarray(self._matrix.conj().transpose(0, 2, 1))

    def forward(self, slices: Slices) -> Lines:
        return _products(self._matrix, self._along.forward(slices))

    def adjoint(self, lines: Lines) -> Slices:
        return self._along.adjoint(_products(self._back, np.ascontiguousarray(lines)))


class EqualSlopes:
    """All 2 K + 1 lines of slopes -1, -1 + 1/K, ..., 1, by a chirp transform at each m.

    Bluestein's identity l z = (l² + z² - (l - z)²) / 2 makes a convolution of the fractional transform: Bailey,
    Swarztrauber, SIAM Rev. 33, 389 (1991).

    Parameters
    ----------
    shape, samples, steep :
        As of ``Direct``.
    to_diagonal : int
        K, lines from the axis to the diagonal.
    """

    def __init__(self, shape: tuple[int, int], samples: int, to_diagonal: int, steep: bool) -> None:
        self._along = _Along(shape, samples, steep)
        across = self._along.across
        fraction = np.arange(samples // 2)[:, None] / samples / to_diagonal
        line, at = np.arange(-to_diagonal, to_diagonal + 1.0), np.arange(across) - 0.5 * (across - 1)
        self._size, self._lines, self._across = fft.next_fast_len(across + len(line) - 1), len(line), across
        lag = np.arange(len(line) + across - 1) + line[0] - at[-1]
        self._before = _turn(-fraction * at**2)[..., None]
        self._after = _turn(-fraction * line**2)[..., None]
        self._chirp = fft.fft(_turn(fraction * lag**2).astype(np.complex128), self._size, axis=1)[..., None]
        self._chirp = self._chirp.astype(np.complex64)

    def forward(self, slices: Slices) -> Lines:
        columns = self._along.forward(slices) * self._before
        wave = fft.fft(columns, self._size, axis=1) * self._chirp
        found = fft.ifft(wave, axis=1, overwrite_x=True)[:, self._across - 1 : self._across - 1 + self._lines]
        return np.asarray(found * self._after, np.complex64)

    def adjoint(self, lines: Lines) -> Slices:
        spread = np.zeros((len(lines), self._size, lines.shape[2]), np.complex64)
        spread[:, self._across - 1 : self._across - 1 + self._lines] = lines * self._after.conj()
        wave = fft.fft(spread, axis=1, overwrite_x=True) * self._chirp.conj()
        columns = fft.ifft(wave, axis=1, overwrite_x=True)[:, : self._across]
        return self._along.adjoint(np.asarray(columns * self._before.conj(), np.complex64))


class _Along:
    """The FFT along the axis that lines are near to: slices (S, Z, X) to columns (M / 2, across, S); its adjoint."""

    def __init__(self, shape: tuple[int, int], samples: int, steep: bool) -> None:
        self._samples, self._steep = samples, steep
        self._n, self.across = (shape[0], shape[1]) if steep else (shape[1], shape[0])
        m = np.arange(samples // 2)
        self._to_middle = np.exp(1j * np.pi * m * (self._n - 1) / samples).astype(np.complex64)

    def forward(self, slices: Slices) -> Lines:
        turned = slices.transpose(0, 2, 1) if self._steep else slices
        half = fft.rfft(turned, self._samples, axis=2)[..., : self._samples // 2] * self._to_middle
        return np.ascontiguousarray(half.transpose(2, 1, 0))

    def adjoint(self, columns: Lines) -> Slices:
        half = columns.transpose(2, 1, 0) * self._to_middle.conj()
        half[..., 1:] *= np.float32(0.5)  # the inverse FFT adds the mirrored half, the real part does not
        found = fft.irfft(half, self._samples, axis=2)[..., : self._n] * np.float32(self._samples)
        return np.ascontiguousarray(found.transpose(0, 2, 1) if self._steep else found)


def transform(
    shape: tuple[int, int], samples: int, slopes: Floats, steep: bool, to_diagonal: int | None = None
) -> Transform:
    """The faster of the two for lines of given slopes, which are equal slopes where ``to_diagonal`` is given."""
    across = shape[1] if steep else shape[0]
    if to_diagonal is not None:
        size = fft.next_fast_len(across + 2 * to_diagonal)
        if across * len(slopes) > 2.5 * size * np.log2(size):
            return _Chosen(EqualSlopes(shape, samples, to_diagonal, steep), np.rint(slopes * to_diagonal), to_diagonal)
    return Direct(shape, samples, slopes, steep)


class _Chosen:
    """Some of all lines of equal slopes, each as often as it is named."""

    def __init__(self, whole: EqualSlopes, numbers: Floats, to_diagonal: int) -> None:
        self._whole, self._index, self._lines = whole, numbers.astype(np.int64) + to_diagonal, 2 * to_diagonal + 1

    def forward(self, slices: Slices) -> Lines:
        return self._whole.forward(slices)[:, self._index]

    def adjoint(self, lines: Lines) -> Slices:
        spread = np.zeros((len(lines), self._lines, lines.shape[2]), np.complex64)
        for i, line in enumerate(self._index):
            spread[:, line] += lines[:, i]
        return self._whole.adjoint(spread)


def _products(matrices: Lines, columns: Lines) -> Lines:
    """Products (M, L, N) @ (M, N, S): by a loop of our own, as BLAS would start threads inside those of a pool."""
    found = np.empty((len(matrices), matrices.shape[1], columns.shape[2]), np.complex64)
    _multiply(matrices, columns.view(np.float32), found)
    return found


@nb.njit(nogil=True, cache=True, fastmath=True)
def _multiply(matrices, columns, found):  # type: ignore[no-untyped-def]
    count, lines, n = matrices.shape
    width = columns.shape[2]  # real, imaginary, real, ...
    by_real, by_imaginary = np.empty(width, np.float32), np.empty(width, np.float32)
    for m in range(count):
        for line in range(lines):
            by_real[:], by_imaginary[:] = 0, 0
            z = 0
            while z + 4 <= n:  # four at once: sums stay in registers longer
                a, b = matrices[m, line, z], matrices[m, line, z + 1]
                c, d = matrices[m, line, z + 2], matrices[m, line, z + 3]
                for s in range(width):
                    w, x, y, v = columns[m, z, s], columns[m, z + 1, s], columns[m, z + 2, s], columns[m, z + 3, s]
                    by_real[s] += a.real * w + b.real * x + c.real * y + d.real * v
                    by_imaginary[s] += a.imag * w + b.imag * x + c.imag * y + d.imag * v
                z += 4
            while z < n:
                a = matrices[m, line, z]
                for s in range(width):
                    by_real[s] += a.real * columns[m, z, s]
                    by_imaginary[s] += a.imag * columns[m, z, s]
                z += 1
            for s in range(width // 2):
                real = by_real[2 * s] - by_imaginary[2 * s + 1]
                found[m, line, s] = complex(real, by_real[2 * s + 1] + by_imaginary[2 * s])


def _turn(half_turns: Floats) -> Lines:
    """exp(i pi ...), of large numbers of half turns, too."""
    return np.exp(1j * np.pi * np.remainder(half_turns, 2.0)).astype(np.complex64)
