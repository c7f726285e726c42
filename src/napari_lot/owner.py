"""Which process writes somewhere, told apart from a later one of the same number; and folders that one run has."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

from napari_lot.errors import InputError
from napari_lot.files import make_folder

CLAIM_FILE = ".napari-lot-run"
"""In a folder of results: which process writes there. A killed one leaves it behind, which then counts for nothing."""
_LEFT = (".autosave.lot-*", ".partial-*")
"""What a process that is killed while it writes leaves of its temporary files."""
_UNREADABLE_S = 1.0
"""A claim may be read before it is written; for so long nothing is concluded from it."""


def host() -> str:
    """The name of this computer, in letters that any file name may have."""
    return re.sub(r"[^A-Za-z0-9-]", "-", platform.node()) or "computer"


def began(pid: int) -> int | None:
    """When a process began, in a unit of the system; None where it is gone.

    On Linux in ticks since the start of the machine: psutil's time of day moves with a clock that is set.
    """
    try:
        if sys.platform == "linux":
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            return None if fields[0] in "ZX" else int(fields[19])
        return int(psutil.Process(pid).create_time())
    except (OSError, IndexError, ValueError, psutil.Error):
        return None


def is_alive(pid: int, since: int) -> bool:
    """Whether the very process that ``began`` then still runs: its number may have gone to another one."""
    now = began(pid)
    return now is not None and abs(now - since) < 2  # elsewhere the start is known to a second or so


def check_unclaimed(out: Path) -> None:
    """Refuse a folder into which another run writes.

    Raises
    ------
    InputError
        Another process has it.
    """
    claim = out / CLAIM_FILE
    until = time.monotonic() + _UNREADABLE_S
    while True:
        try:
            told = json.loads(claim.read_text(encoding="utf-8"))
            where, pid, since = str(told["host"]), int(told["pid"]), int(told["began"])
            break
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError):
            if time.monotonic() > until:  # broken off while it was written
                return
            time.sleep(0.05)
    if where != host():
        raise InputError(
            f"{out}: a run writes there (process {pid} on {where}): give another --out, or delete {claim} if that run "
            "is gone."
        )
    if is_alive(pid, since):
        raise InputError(f"{out}: another run writes there (process {pid}): give another --out, or wait for its end.")


@contextmanager
def _in_turn(folder: Path) -> Iterator[None]:
    """One process after the other, where the system can lock a folder."""
    if fcntl is None:
        yield
        return
    place = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems cannot
            fcntl.flock(place, fcntl.LOCK_EX)
        yield
    finally:
        os.close(place)


@contextmanager
def claimed(out: Path) -> Iterator[None]:
    """Have a folder for one run alone, which is made where it is absent, and goes where nothing was written.

    Raises
    ------
    InputError
        Another process has it, or it cannot be written.
    """
    claim, made = out / CLAIM_FILE, not out.exists()
    text = json.dumps({"host": host(), "pid": os.getpid(), "began": began(os.getpid())})
    try:
        make_folder(out)
        with _in_turn(out):  # what another has claimed meanwhile is not taken for one that was left behind
            check_unclaimed(out)
            claim.unlink(missing_ok=True)
            with open(claim, "x", encoding="utf-8") as file:
                file.write(text)
    except FileExistsError:
        raise InputError(f"{out}: another run has just begun to write there: give another --out.") from None
    except OSError as error:
        raise InputError(f"{out}: cannot write there: {error.strerror or error}; give another --out.") from None
    for left in [path for pattern in _LEFT for path in out.glob(pattern)]:
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)
    try:
        yield
    finally:
        with suppress(OSError):
            if claim.read_text(encoding="utf-8") == text:
                claim.unlink()
        if made and out.is_dir() and not any(out.iterdir()):
            out.rmdir()
