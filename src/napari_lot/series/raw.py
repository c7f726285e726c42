"""What a format reader hands over: the file's own facts, not yet judged. And what every reader needs."""

from __future__ import annotations

import errno
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_lot.errors import InputError
from napari_lot.series.angles import AngleTable

MAX_PIXELS = 2**31
"""More than this (8.6 GB in float32) is refused before anything is allocated: a damaged header, or a need to bin."""


@dataclass(frozen=True)
class RawSeries:
    """Images as the file holds them, (T, V, U) when it is a stack, and whatever else the file says.

    ``pixel_size_doubtful`` marks a value that writers also put where they know nothing.
    """

    images: NDArray[Any]
    angles: AngleTable | None = None
    pixel_size_A: float | None = None
    pixel_size_doubtful: bool = False
    center_px: tuple[float, float] | None = None
    tilt_axis_deg: float | None = None
    mask: NDArray[Any] | None = None
    counts: bool | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    excluded: tuple[int, ...] = ()


def check_readable(path: Path, what: str) -> None:
    """Refuse a missing file, a folder, an empty or unreadable file."""
    if path.is_dir():
        raise InputError(
            f"{path}: this is a folder, not {'an' if what[0] in 'aeiou' else 'a'} {what}: give the file itself."
        )
    try:
        with path.open("rb") as stream:
            first = stream.read(1)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file: check the name of the {what}.") from None
    except OSError as error:
        raise InputError(f"{path}: cannot read the {what}: {error.strerror}.") from None
    if not first:
        raise InputError(f"{path}: the file is empty (0 bytes): copy the {what} again.")


FAILING = {
    getattr(errno, name) for name in ("EIO", "ESTALE", "ETIMEDOUT", "ENOTCONN", "ENODEV") if hasattr(errno, name)
}
"""What a system says of a disk, or of the connection to one, that fails while a file is read."""


def damaged(path: Path, kind: str, reason: str = "") -> InputError:
    """The error for a file that ends too early or holds nonsense."""
    because = f" ({reason})" if reason else ""
    return InputError(f"{path}: this {kind} file is truncated or damaged{because}: copy or export it again.")


def reason_of(error: Exception) -> str:
    """The first line of what a decoder says, or failing that the name of its error.

    Raises
    ------
    MemoryError, OSError
        The error itself, where the file is not to blame: memory ran out, or the disk or its connection fails.
    """
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in FAILING):
        raise error
    return str(error).splitlines()[0][:80] if str(error).strip() else type(error).__name__


def check_size(path: Path, shape: Sequence[int]) -> None:
    """Refuse a declared size that cannot be meant, before memory is asked for."""
    if math.prod(int(n) for n in shape) > MAX_PIXELS:
        sizes = " x ".join(str(n) for n in shape)
        raise InputError(
            f"{path}: the file declares {sizes} pixels, more than can be held: "
            "it is damaged, or the series must be cropped or binned first."
        )


_LENGTHS_A = {
    **dict.fromkeys(("å", "å", "a", "ang", "angstrom", "angstroms", "ångström", "ångstrom"), 1.0),
    **dict.fromkeys(("nm", "nanometer", "nanometers", "nanometre", "n_m"), 10.0),
    **dict.fromkeys(("pm", "picometer", "picometre", "p_m"), 0.01),
    **dict.fromkeys(("um", "µm", "μm", "micron", "microns", "micrometer", "micrometre"), 1e4),
    **dict.fromkeys(("mm", "millimeter", "millimetre"), 1e7),
    **dict.fromkeys(("cm", "centimeter", "centimetre"), 1e8),
    **dict.fromkeys(("m", "meter", "metre"), 1e10),
    **dict.fromkeys(("in", "inch", '"'), 2.54e8),
}


def unit_in_A(name: str) -> float | None:
    """Å per unit of a length's name; None for pixels and what is not known."""
    text = re.sub(r"\\u00([0-9a-fA-F]{2})", lambda m: chr(int(m[1], 16)), name).strip()
    return _LENGTHS_A.get(text.lower().replace("\u212b", "å").replace("µ", "µ"))


def plausible_pixel_size(value_A: float | None) -> float | None:
    """A size in Å rounded to what a TIFF's fraction can carry; None when it cannot be a microscope's (72 dpi)."""
    if value_A is None or not np.isfinite(value_A) or not 1e-3 <= value_A <= 100:
        return None
    return float(f"{value_A:.7g}")


def known_facts(values: Mapping[str, Any]) -> dict[str, Any]:
    """What a file says of microscope and specimen under the names of the settings, plain numbers and text only."""
    from napari_lot.settings import Microscope

    wanted = (*Microscope.model_fields, "source_sigma_A", "element", "elements")
    facts: dict[str, Any] = {}
    for name in wanted:
        array = np.asarray(values[name]) if name in values else np.empty(0)
        if array.size == 1 and array.dtype.kind in "buif":
            facts[name] = float(array.ravel()[0])
        elif array.size and array.dtype.kind in "USO":
            texts = [t.decode() if isinstance(t, bytes) else str(t) for t in array.ravel().tolist()]
            facts[name] = texts[0] if name == "element" else tuple(texts)
    return facts


def find_name(names: Sequence[str], wanted: Sequence[str]) -> str | None:
    """The first of ``wanted`` that is among ``names``, whatever its capitals and separators."""
    plain = {re.sub(r"[^a-z0-9]", "", name.lower()): name for name in reversed(names)}
    return next((plain[key] for key in (re.sub(r"[^a-z0-9]", "", w.lower()) for w in wanted) if key in plain), None)
