"""Which code a fit goes on with: the version alone does not tell a working copy from the release that it came from."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

from napari_lot import __version__

OF_A_FIT = ("lot", "physics", "series", "settings")
"""Packages whose code decides what numbers a fit comes to."""


@functools.cache
def code_mark() -> str:
    """The version and twelve digits of the SHA-256 of the fit's source code; the version alone where there is none."""
    here, found, some = Path(__file__).parent, hashlib.sha256(), False
    for package in OF_A_FIT:
        for path in sorted((here / package).rglob("*.py")):
            found.update(path.relative_to(here).as_posix().encode())
            found.update(path.read_bytes().replace(b"\r\n", b"\n"))
            some = True
    return f"{__version__} {found.hexdigest()[:12]}" if some else __version__
