"""Files of the user that can be read, and files that appear whole or not at all."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

from napari_lot.errors import InputError
from napari_lot.progress import Progress, nothing

# The process's mask of rights can only be read by setting it: once, before there are other threads that make files.
_MASK = os.umask(0)
os.umask(_MASK)


def check_readable(path: Path, what: str, may_be_empty: bool = False) -> None:
    """Refuse a missing file, a folder, a device or pipe, an empty or unreadable file.

    Raises
    ------
    InputError
        One sentence, in which the file is called ``what``.
    """
    try:
        kind, first = path.stat().st_mode, b""
        if stat.S_ISREG(kind):  # a pipe would be waited for, a device read without end
            with path.open("rb") as stream:
                first = stream.read(1)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file: check the name of the {what}.") from None
    except OSError as error:
        raise InputError(f"{path}: cannot read the {what}: {error.strerror}: check its path and rights.") from None
    except ValueError:  # a zero byte
        raise InputError(f"{str(path)!r}: this cannot be the name of a file: check the name of the {what}.") from None
    if stat.S_ISDIR(kind):
        raise InputError(
            f"{path}: this is a folder, not {'an' if what[0] in 'aeiou' else 'a'} {what}: give the file itself."
        )
    if not stat.S_ISREG(kind):
        raise InputError(f"{path}: this is a device or a pipe: give the {what} as a file.")
    if not first and not may_be_empty:
        raise InputError(f"{path}: the file is empty (0 bytes): copy the {what} again.")


def write_whole(path: str | Path, write: Callable[[Path], object], progress: Progress = nothing) -> None:
    """Write a file under another name beside it, then rename it: a reader, or a crash, never meets half of it.

    What a file holds is on the disk before it is renamed, and its name before this returns: where the power fails,
    either the old file is there or the new one.

    Parameters
    ----------
    write : callable
        Writes the file that it is given.
    progress : callable
        Told 1 when that is done: what it raises leaves nothing of it.

    Raises
    ------
    OSError
        The file cannot be written; what was there before is as it was. What ``write`` and ``progress``
        raise comes through.
    """
    path = Path(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    try:
        write(Path(name))
        # A temporary file is private; the finished one gets the rights that any new file has.
        os.chmod(name, 0o666 & ~_MASK)
        sync_file(name)  # on the disk before the old one goes
        progress(1.0)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def make_folder(path: str | Path) -> None:
    """Make a folder and those above it that are not there, each name on the disk.

    Raises
    ------
    OSError
        One cannot be made.
    """
    path = Path(path)
    missing = [place for place in (path, *path.parents) if not place.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for place in reversed(missing):
        sync_folder(place.parent)


def sync_file(path: str | Path) -> None:
    """Return when the content of a file is on the disk: where the power fails before, it may be empty."""
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def sync_folder(path: str | Path) -> None:
    """Return when the names in a folder are on the disk, where the system can tell: else a new name may be lost.

    What has been renamed is there for every other program already, so that a failure is none of the file's.
    """
    if not hasattr(os, "O_DIRECTORY"):  # Windows opens no folders, and writes a name before it returns
        return
    try:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:  # one that may be written but not read
        return
    try:
        os.fsync(folder)
    except OSError:  # file systems over a network know no such thing
        pass
    finally:
        os.close(folder)
