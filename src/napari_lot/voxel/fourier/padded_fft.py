"""FFTs of a real volume in a larger empty box, in blocks: what is empty is neither held nor transformed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Executor

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from napari_lot.voxel.method import Poll

Real = NDArray[np.float32]
Complex = NDArray[np.complex64]

BLOCK_BYTES = 4e6


def blocks(number: int, bytes_each: float) -> list[tuple[int, int]]:
    """First and end of each block of ``number`` things, so that a block takes some ``BLOCK_BYTES``."""
    size = int(max(1, BLOCK_BYTES // bytes_each))
    return [(a, min(a + size, number)) for a in range(0, number, size)]


def planes(
    values: Real, points: tuple[int, int, int], pool: Executor, poll: Poll, room: Complex | None = None
) -> Complex:
    """Transforms of the slices (Z, Y, X) of a volume along y and x: (Z, My, Mx // 2 + 1), of an FFT of ``points``.

    ``room``, where it is given, is an array whose first Z planes they are written to.
    """
    columns = points[2] // 2 + 1
    found = np.empty((len(values), points[1], columns), np.complex64) if room is None else room

    def one(part: tuple[int, int]) -> None:
        a, b = part
        rows = fft.rfft(values[a:b], points[2], axis=2)
        found[a:b] = fft.fft(rows, points[1], axis=1)

    each(one, blocks(len(values), 8.0 * points[1] * columns), pool, poll)
    return found


def from_planes(
    spectra: Complex, shape: tuple[int, int, int], points: tuple[int, int, int], pool: Executor, poll: Poll
) -> Real:
    """The volume (Z, Y, X) again; ``spectra`` are left as they are."""
    found = np.empty(shape, np.float32)

    def one(part: tuple[int, int]) -> None:
        a, b = part
        rows = fft.ifft(spectra[a:b], axis=1)[:, : shape[1]]
        found[a:b] = fft.irfft(rows, points[2], axis=2)[..., : shape[2]]

    each(one, blocks(shape[0], 8.0 * points[1] * spectra.shape[2]), pool, poll)
    return found


def whole(values: Real, points: tuple[int, int, int], pool: Executor, poll: Poll) -> Complex:
    """The transform (Mz, My, Mx // 2 + 1) of a volume (Z, Y, X) padded to ``points``, as of ``rfftn``."""
    found = np.empty((points[0], points[1], points[2] // 2 + 1), np.complex64)
    planes(values, points, pool, poll, found)

    def one(part: tuple[int, int]) -> None:
        a, b = part
        found[:, a:b] = fft.fft(found[: len(values), a:b], points[0], axis=0)

    each(one, blocks(points[1], 8.0 * points[0] * found.shape[2]), pool, poll)
    return found


def each(work: Callable[[tuple[int, int]], None], parts: Iterable[tuple[int, int]], pool: Executor, poll: Poll) -> None:
    """Do the work on every part, polling after each; what waits when the poll ends it is not begun."""
    waiting = [pool.submit(work, part) for part in parts]
    try:
        for one in waiting:
            one.result()
            poll()
    finally:
        for one in waiting:
            one.cancel()
