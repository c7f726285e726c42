"""How far a piece of work is: what long functions tell, and what stops them by raising in its place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Progress = Callable[[float], None]
"""Told how much is done, 0 to 1, now and then; what it raises ends the work."""

T = TypeVar("T")


def nothing(share: float) -> None:
    """For those who do not want to know how far it is."""


def part(progress: Progress, begin: float, end: float) -> Progress:
    """The progress of a part of the work, from ``begin`` to ``end`` of the whole."""
    return lambda share: progress(begin + (end - begin) * share)


def counted(items: Sequence[T], progress: Progress) -> Iterator[T]:
    """The items one after the other, with a word before each and after the last."""
    for done, item in enumerate(items):
        progress(done / len(items))
        yield item
    progress(1.0)


def in_pieces(held: Any, progress: Progress, rows: int = 1) -> NDArray[Any]:
    """An array that lies on the disk (of h5py, or mapped), read ``rows`` of its first axis at a time."""
    found: NDArray[Any] = np.empty(held.shape, held.dtype)
    for first in counted(range(0, len(found), rows), progress):
        found[first : first + rows] = held[first : first + rows]
    return found


class Counted:
    """A binary file that tells with every read how far into its ``size`` bytes it is."""

    def __init__(self, stream: IO[bytes], size: int, progress: Progress) -> None:
        self._stream, self._size, self._progress = stream, max(size, 1), progress

    def read(self, size: int = -1) -> bytes:
        """As of any file."""
        self._progress(min(self._stream.tell() / self._size, 1.0))
        return self._stream.read(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
