"""What a format reader hands over: the file's own facts, not yet judged. And what every reader needs."""

from __future__ import annotations

import errno
import math
import re
from collections.abc import Iterable, Mapping, Sequence
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


LARGEST_COMPRESSION = 1100
"""Bytes that come of a byte, at most: deflate's limit is 1032, and nothing makes noise a thousand times smaller."""


FAILING = {
    getattr(errno, name) for name in ("EIO", "ESTALE", "ETIMEDOUT", "ENOTCONN", "ENODEV") if hasattr(errno, name)
}
"""What a system says of a disk, or of the connection to one, that fails while a file is read."""


def damaged(path: Path, kind: str, reason: str = "") -> InputError:
    """The error for a file that ends too early or holds nonsense."""
    because = f" ({reason})" if reason else ""
    return InputError(
        f"{path}: this {f'{kind} file' if kind else 'file'} is truncated or damaged{because}: copy or export it again."
    )


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


def check_size(path: Path, shape: Sequence[int], itemsize: int = 0, what: str = "series") -> None:
    """Refuse a declared size that cannot be meant, before memory is asked for.

    ``what`` is what the file is to hold. With the ``itemsize`` in bytes of a pixel also a size that the file cannot
    hold, however well it is compressed.
    """
    pixels = math.prod(int(n) for n in shape)
    sizes = " x ".join(str(n) for n in shape)
    if pixels > MAX_PIXELS:
        raise InputError(
            f"{path}: the file declares {sizes} pixels, more than can be held: "
            f"it is damaged, or the {what} must be cropped or binned first."
        )
    held = path.stat().st_size
    if pixels * itemsize > LARGEST_COMPRESSION * held:
        raise damaged(path, "", f"it declares {sizes} pixels and has {held} bytes")


# What a file begins with (MRC: has at byte 208), what that is, and the endings that such files have here.
_BEGINNINGS = (
    (0, (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), "TIFF", (".tif", ".tiff")),
    (0, (b"\x89HDF\r\n\x1a\n",), "HDF5", (".h5", ".hdf5", ".emd", ".mat")),
    (0, (b"PK\3\4",), "NPZ (or another ZIP)", (".npz",)),
    (0, (b"\x93NUMPY",), "NPY", (".npy",)),
    (0, (b"MATLAB 5.0", b"MATLAB 7.3"), "MATLAB", (".mat", ".h5", ".hdf5")),
    (208, (b"MAP ",), "MRC", (".mrc", ".mrcs", ".st", ".ali")),
)


def check_ending(path: Path, also: Mapping[str, Sequence[str]] | None = None) -> None:
    """Refuse a file whose content is of another kind than its name says, where that can be told.

    ``also`` names more endings of a kind.
    """
    with path.open("rb") as stream:
        head = stream.read(212)
    for at, marks, kind, endings in _BEGINNINGS:
        known = (*endings, *(also or {}).get(kind, ()))
        if path.suffix.lower() not in known and any(head.startswith(mark, at) for mark in marks):
            raise InputError(
                f"{path}: the name ends in '{path.suffix}', but the content is {kind}: "
                f"rename it to end in {endings[0]}."
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


def listed(names: Iterable[str]) -> str:
    """Names for a sentence, however many there are, and however long: a damaged file may have any."""
    all_names = list(names)
    more = f" and {len(all_names) - 8} more" if len(all_names) > 8 else ""
    return (", ".join(name[:40] for name in all_names[:8]) or "none") + more


def find_name(names: Sequence[str], wanted: Sequence[str]) -> str | None:
    """The first of ``wanted`` that is among ``names``, whatever its capitals and separators."""
    plain = {re.sub(r"[^a-z0-9]", "", name.lower()): name for name in reversed(names)}
    return next((plain[key] for key in (re.sub(r"[^a-z0-9]", "", w.lower()) for w in wanted) if key in plain), None)
