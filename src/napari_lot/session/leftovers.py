"""Where the window keeps its autosaves, and which of them belong to a program or a workbench that is gone."""

from __future__ import annotations

import itertools
import os
import platform
import re
from pathlib import Path

import platformdirs
import psutil

from napari_lot.session.file import SUFFIX

_COUNT = itertools.count(1)
_IN_USE: set[str] = set()
"""Names of this process' autosaves whose workbench is open."""
_NAME = re.compile(r"(?P<host>.+)_(?P<pid>\d+)_(?P<began>\d+)_(?P<n>\d+)\.lot\.h5")


def autosave_folder() -> Path:
    """The folder of this user's autosaves; not made."""
    return Path(platformdirs.user_state_dir("napari-lot", appauthor=False)) / "autosaves"


def new_autosave(folder: Path | None = None) -> Path:
    """A name that no other run has; it says which process writes it. It is in use until it is given up."""
    began = int(psutil.Process().create_time())
    name = f"{_host()}_{os.getpid()}_{began}_{next(_COUNT)}{SUFFIX}"
    _IN_USE.add(name)
    return (folder or autosave_folder()) / name


def give_up(path: Path) -> None:
    """Its workbench is closed: what is left there is offered by the next one, of this process, too."""
    _IN_USE.discard(path.name)


def is_autosave(path: Path) -> bool:
    """Whether a file is an autosave of a window: its name says who wrote it, and nothing to a person."""
    return _NAME.fullmatch(path.name) is not None and path.parent.resolve() == autosave_folder().resolve()


def left_behind(folder: Path | None = None) -> list[Path]:
    """Autosaves of processes that have ended, on this computer, and of closed workbenches of this one; newest first."""
    folder = folder or autosave_folder()
    if not folder.is_dir():
        return []
    found = []
    for path in folder.iterdir():
        name = _NAME.fullmatch(path.name)
        if name is None or name["host"] != _host():
            continue
        pid, began = int(name["pid"]), int(name["began"])
        if path.name not in _IN_USE if pid == os.getpid() else not _is_alive(pid, began):
            found.append(path)
    return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)


def _is_alive(pid: int, began: int) -> bool:
    """Whether the very process runs: a number may have gone to another one since."""
    try:
        # the start of a process is known to a second or so
        return abs(psutil.Process(pid).create_time() - began) < 2
    except psutil.Error:
        return False


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9-]", "-", platform.node()) or "computer"
