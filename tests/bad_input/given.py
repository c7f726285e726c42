"""What the tables of bad input begin with: a good series, ways to spoil it, and what a folder holds."""

from __future__ import annotations

import io
import os
import re
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io
import tifffile

from series.writers import write_mrc

Make = Callable[[Path], object]
"""Writes the file of that name."""

STACK = np.random.default_rng(3).normal(100, 20, (7, 12, 10)).astype(np.float32)
THETAS = np.linspace(-60, 60, 7)
ANGLES = "theta_deg\n" + "\n".join(f"{a:g}" for a in THETAS) + "\n"


def spoiled(change: Callable[[Any], Any]) -> Any:
    """The good stack after ``change``, which may write into it or return another."""
    images = STACK.copy()
    changed = change(images)
    return images if changed is None else changed


def text(content: str | bytes) -> Make:
    return lambda path: path.write_bytes(content if isinstance(content, bytes) else content.encode())


def tif(images: Any = STACK, **options: Any) -> Make:
    return lambda path: tifffile.imwrite(path, images, **{"photometric": "minisblack", **options})


def pages(*images: Any) -> Make:
    def write(path: Path) -> None:
        with tifffile.TiffWriter(path) as writer:
            for image in images:
                writer.write(image, photometric="minisblack", metadata=None)

    return write


def mrc(images: Any = STACK, voxel: Any = None, at: int = 0, header: bytes = b"") -> Make:
    """An MRC, with some bytes of its header from ``at`` on replaced."""

    def write(path: Path) -> None:
        whole = bytearray(write_mrc(path.parent, images, voxel).rename(path).read_bytes())
        whole[at : at + len(header)] = header
        path.write_bytes(whole)

    return write


def npz(**arrays: Any) -> Make:
    return lambda path: np.savez_compressed(path, **{"images": STACK, **arrays})


def npy(array: Any) -> Make:
    return lambda path: np.save(path, array)


def mat(**variables: Any) -> Make:
    return lambda path: scipy.io.savemat(path, variables)


def h5(sets: dict[str, Any] | None = None, **attributes: Any) -> Make:
    def write(path: Path) -> None:
        with h5py.File(path, "w") as file:
            for name, value in ({"images": STACK} if sets is None else sets).items():
                file[name] = value
            file.attrs.update(attributes)

    return write


def declared(shape: tuple[int, ...], kind: str = "f4", name: str = "images") -> Make:
    """HDF5 that says it holds so much, and holds nothing."""

    def write(path: Path) -> None:
        with h5py.File(path, "w") as file:
            file.create_dataset(name, shape, kind, chunks=(1, *(min(n, 100) for n in shape[1:])))

    return write


def npy_header(shape: tuple[int, ...], kind: str = "<f4") -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": kind, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def zipped(**members: bytes) -> Make:
    """A ZIP file with members of these names, ``__`` for a dot."""

    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                archive.writestr(name.replace("__", "."), content)

    return write


def cut(make: Make, part: float) -> Make:
    """The first part of a file."""

    def write(path: Path) -> None:
        make(path)
        whole = path.read_bytes()
        path.write_bytes(whole[: int(part * len(whole))])

    return write


def link(target: str) -> Make:
    return lambda path: path.symlink_to(target)


def folder(**files: Make) -> Make:
    """A folder with files of these names, ``__`` for a dot."""

    def write(path: Path) -> None:
        path.mkdir()
        for name, make in files.items():
            make(path / name.replace("__", "."))

    return write


def huge_tiff(path: Path) -> None:
    tif()(path)
    with tifffile.TiffFile(path, mode="r+") as file:
        for page in file.pages:
            page.tags["ImageWidth"].overwrite(60000)
            page.tags["ImageLength"].overwrite(60000)


class Bomb:
    """A pickle of it makes the file ``exploded`` when it is loaded."""

    def __reduce__(self) -> Any:
        return Path.touch, (Path("exploded"),)


OBJECTS = np.array([Bomb()], dtype=object)
MRC_HUGE = struct.pack("<3i", 60000, 60000, 500)


def write(where: Path, files: dict[str, Make]) -> None:
    for name, make in files.items():
        make(where / name)


def state(where: Path) -> dict[str, Any]:
    """Every file below a folder: its bytes and when it was last changed; of what is no file the kind and time.

    The folder itself has no time: a folder for results may have come and gone in it.
    """
    found: dict[str, Any] = {".": (oct(where.lstat().st_mode), 0, None)}
    for path in sorted(where.rglob("*")):
        said = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else None
        found[str(path.relative_to(where))] = (oct(said.st_mode), said.st_mtime_ns, content)
    return found


def assert_said(expected: str, said: str) -> None:
    """The very sentence, ``(...)`` being anything in brackets."""
    pattern = re.escape(expected).replace(r"\(\.\.\.\)", r"\(.+\)")
    assert re.fullmatch(pattern, said), f"expected {expected!r}\n     but {said!r}"


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without the rights of root, who may read and write everything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
