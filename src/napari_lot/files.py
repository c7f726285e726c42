"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from napari_lot.progress import Progress, nothing

# The process's mask of rights can only be read by setting it: once, before there are other threads that make files.
_MASK = os.umask(0)
os.umask(_MASK)


def write_whole(path: str | Path, write: Callable[[Path], object], progress: Progress = nothing) -> None:
    """Write a file under another name beside it, then rename it: a reader, or a crash, never meets half of it.

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
        with open(name, "rb+") as file:  # on the disk before the old one goes
            os.fsync(file.fileno())
        progress(1.0)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
