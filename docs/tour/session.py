"""A window that finds what an earlier one left behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil

from napari_lot.session.leftovers import new_autosave
from tour.guide import Guide


def leave_behind(folder: Path) -> None:
    """Give the newest autosave of this program to one that has ended, as after a crash."""
    newest = max(folder.glob("*.lot.h5"), key=lambda path: path.stat().st_mtime)
    ended = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    began = int(psutil.Process(ended.pid).create_time())
    ended.communicate(b"\n")
    host = new_autosave(folder).name.rsplit("_", 3)[0]
    newest.rename(folder / f"{host}_{ended.pid}_{began}_1.lot.h5")


def walk(guide: Guide) -> None:
    """Offered, then opened."""
    guide.shot("10_session")
    guide.click("recovery_open")
    guide.must(60, lambda: guide.bench.state.result is not None, "The session")
