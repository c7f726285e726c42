"""What a MATLAB v5 file declares, looked at before SciPy reads it: SciPy's reader ends the program at some damage.

Where a number's type is none that the format knows, or an array claims to be complex and nothing follows, its compiled
code reads from address 0; no exception could be caught. Layout: MathWorks, MAT-File Format, chapter 1.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

_COMPRESSED, _MATRIX = 15, 14
_NUMBERS = frozenset((1, 2, 3, 4, 5, 6, 7, 9, 12, 13))
"""Types of stored numbers: int8 to float64."""
_NUMERIC_CLASSES = range(6, 16)
_HEAD = 65536
"""Bytes in which flags, dimensions and name of a variable stand."""


def complex_variables(path: Path) -> frozenset[str]:
    """Names of the complex variables of a v5 file; none of a v4 file, which SciPy reads by other means.

    Raises
    ------
    ValueError
        A variable is not as the format says, or is there twice.
    """
    found: dict[str, bool] = {}
    with path.open("rb") as file:
        header = file.read(128)
        if len(header) < 128 or 0 in header[:4]:
            return frozenset()
        order = "<" if header[126:128] == b"IM" else ">"
        while len(tag := file.read(8)) == 8:
            kind, size = struct.unpack(f"{order}2I", tag)
            end = file.tell() + size
            head = file.read(min(size, _HEAD))
            if kind == _COMPRESSED:
                head = zlib.decompressobj().decompress(head, _HEAD)
                kind, _ = struct.unpack_from(f"{order}2I", head)
                head = head[8:]
            if kind != _MATRIX:
                raise ValueError(f"type {kind} where a variable is expected")
            name, is_complex = _variable(head, order)
            if name in found:
                raise ValueError(f"the variable {name[:40]!r} is there twice")
            found[name] = is_complex
            file.seek(end)
    return frozenset(name for name, is_complex in found.items() if is_complex)


def _variable(head: bytes, order: str) -> tuple[str, bool]:
    """Name of a variable, and whether it is complex."""
    try:
        flags = struct.unpack_from(f"{order}I", head, 8)[0]
        at = _after(head, order, 16)
        name, at = _element(head, order, at)[1], _after(head, order, at)
        if (flags & 0xFF) in _NUMERIC_CLASSES and _element(head, order, at)[0] not in _NUMBERS:
            raise ValueError("numbers of an unknown type")
    except struct.error:
        raise ValueError("a variable is cut short") from None
    return name.decode("latin-1"), bool(flags >> 11 & 1)


def _element(head: bytes, order: str, at: int) -> tuple[int, bytes]:
    """Type and bytes, as far as they are here, of the element that begins there."""
    first, second = struct.unpack_from(f"{order}2I", head, at)
    if first >> 16:  # a small one: size and type in one number, up to four bytes in the other
        return first & 0xFFFF, head[at + 4 : at + 4 + min(first >> 16, 4)]
    return first, head[at + 8 : at + 8 + second]


def _after(head: bytes, order: str, at: int) -> int:
    first, second = struct.unpack_from(f"{order}2I", head, at)
    return at + 8 if first >> 16 else at + 8 + (second + 7) // 8 * 8
