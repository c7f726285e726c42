"""Where the window keeps its autosaves, and which of them belong to a program or a workbench that is gone."""

from __future__ import annotations

import itertools
import os
import re
from pathlib import Path

import platformdirs

from napari_lot import owner
from napari_lot.session.file import SUFFIX

_COUNT = itertools.count(1)
_IN_USE: set[str] = set()
"""Names of this process' autosaves whose workbench is open."""
_NAME = re.compile(r"(?P<host>.+)_(?P<pid>\d+)_(?P<began>\d+)_(?P<n>\d+)\.lot\.h5")
_HALF = re.compile(r"\.(?P<host>.+)_(?P<pid>\d+)_(?P<began>\d+)_(?P<n>\d+)\.lot-\w+\.h5")
"""What a process that is killed while it writes one leaves of it."""


def autosave_folder() -> Path:
    """The folder of this user's autosaves; not made."""
    return Path(platformdirs.user_state_dir("napari-lot", appauthor=False)) / "autosaves"


def new_autosave(folder: Path | None = None) -> Path:
    """A name that no other run has; it says which process writes it. It is in use until it is given up."""
    name = f"{owner.host()}_{os.getpid()}_{owner.began(os.getpid())}_{next(_COUNT)}{SUFFIX}"
    _IN_USE.add(name)
    return (folder or autosave_folder()) / name


def give_up(path: Path) -> None:
    """Its workbench is closed: what is left there is offered by the next one, of this process, too."""
    _IN_USE.discard(path.name)


def is_autosave(path: Path) -> bool:
    """Whether a file is an autosave of a window: its name says who wrote it, and nothing to a person."""
    return _NAME.fullmatch(path.name) is not None and path.parent.resolve() == autosave_folder().resolve()


def left_behind(folder: Path | None = None) -> list[Path]:
    """Autosaves of processes that have ended, on this computer, and of closed workbenches of this one; newest first.

    What such processes have written by half is deleted.
    """
    folder = folder or autosave_folder()
    if not folder.is_dir():
        return []
    found = []
    for path in folder.iterdir():
        half = _HALF.fullmatch(path.name)
        name = half or _NAME.fullmatch(path.name)
        if name is None or name["host"] != owner.host():
            continue
        pid, began = int(name["pid"]), int(name["began"])
        if half:
            if pid != os.getpid() and not owner.is_alive(pid, began):
                path.unlink(missing_ok=True)
        elif path.name not in _IN_USE if pid == os.getpid() else not owner.is_alive(pid, began):
            found.append(path)
    return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)
