"""Volumes that were in no file when their window closed: kept beside the autosaves, and offered by the next. No Qt."""

from __future__ import annotations

import itertools
import logging
import os
import time
from pathlib import Path

from napari_lot import owner
from napari_lot.export import write_volume
from napari_lot.session import leftovers
from napari_lot.voxel.volume import Volume

_LOG = logging.getLogger(__name__)
_COUNT = itertools.count(1)
ENDING = ".volume.mrc"
MOST = 3
"""So many are kept, the newest: each may be as large as the memory allows."""


def keep(volume: Volume) -> Path | None:
    """Write a volume where the next window finds it; None where that cannot be done."""
    folder = leftovers.autosave_folder()
    path = folder / f"{owner.host()}_{os.getpid()}_{owner.began(os.getpid())}_{next(_COUNT)}{ENDING}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_volume(path, volume)
    except OSError as error:
        _LOG.warning("The volume could not be kept in %s: %s", folder, error)
        return None
    for old in left()[MOST:]:
        forget(old)
    return path


def left() -> list[Path]:
    """Volumes of windows that are closed, the newest first."""
    folder = leftovers.autosave_folder()
    found = list(folder.glob(f"*{ENDING}")) if folder.is_dir() else []
    return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)


def forget(path: Path) -> None:
    """It is wanted no more."""
    path.unlink(missing_ok=True)


def when(path: Path) -> str:
    """'30 Nov, 23:10'."""
    return time.strftime("%d %b, %H:%M", time.localtime(path.stat().st_mtime)).lstrip("0")
