"""A file for HDF5 to write into that bears a full disk.

HDF5 crashes the process where a write fails while it closes a file. Here it never learns of it: what the disk does not
take is kept in memory until HDF5 has closed the file, and only then the error is raised.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py


class Careful:
    """What ``h5py.File`` needs of a file-like object, over a file that may fail.

    Attributes
    ----------
    failure : OSError or None
        The first thing that went wrong.
    """

    def __init__(self, path: Path) -> None:
        self.failure: OSError | None = None
        self._file = open(path, "w+b", buffering=0)  # noqa: SIM115  # closed by ``writing``
        self._at = 0
        self._untaken: list[tuple[int, bytes]] = []

    def check(self) -> None:
        """Raise what went wrong, if anything has."""
        if self.failure is not None:
            raise self.failure

    def close(self) -> None:
        self._file.close()

    # -- called by HDF5: nothing may be raised ------------------------------------------------------------------

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence != os.SEEK_SET:
            offset += self._at if whence == os.SEEK_CUR else self._end()
        self._at = offset
        return offset

    def tell(self) -> int:
        return self._at

    def write(self, data: Any) -> int:
        taken, left = 0, memoryview(data).cast("B")
        if self.failure is None:
            try:
                self._file.seek(self._at)
                while taken < len(left):
                    taken += self._file.write(left[taken:]) or 0
            except OSError as error:
                self.failure = error
        if taken < len(left):
            self._untaken.append((self._at + taken, bytes(left[taken:])))
        self._at += len(left)
        return len(left)

    def read(self, size: int) -> bytes:
        data = bytearray(size)
        self.readinto(data)
        return bytes(data)

    def readinto(self, buffer: Any) -> int:
        wanted = memoryview(buffer).cast("B")
        wanted[:] = bytes(len(wanted))
        try:
            self._file.seek(self._at)
            found = self._file.read(len(wanted)) or b""
            wanted[: len(found)] = found
        except OSError as error:
            self.failure = self.failure or error
        for start, data in self._untaken:
            low, high = max(start, self._at), min(start + len(data), self._at + len(wanted))
            if low < high:
                wanted[low - self._at : high - self._at] = data[low - start : high - start]
        self._at += len(wanted)
        return len(wanted)

    def truncate(self, size: int | None = None) -> int:
        size = self._at if size is None else size
        try:
            self._file.truncate(size)
        except OSError as error:
            self.failure = self.failure or error
        return size

    def flush(self) -> None:
        """Nothing waits."""

    def _end(self) -> int:
        return max([os.fstat(self._file.fileno()).st_size, *(start + len(data) for start, data in self._untaken)])


@contextmanager
def writing(path: Path) -> Iterator[tuple[h5py.File, Careful]]:
    """A new HDF5 file at a path, and what lies under it, to be asked now and then whether it still goes on.

    Raises
    ------
    OSError
        Not everything could be written; HDF5 has let go of the file.
    """
    disk = Careful(path)
    try:
        with h5py.File(disk, "w") as file:
            yield file, disk
        disk.check()
    finally:
        disk.close()
