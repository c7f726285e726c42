"""Writes SER files as TIA does: enough of the format for images, by the description of C. B. Boothroyd (2016)."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

DATA_TYPES = {"u1": 1, "u2": 2, "u4": 3, "i1": 4, "i2": 5, "i4": 6, "f4": 7, "f8": 8}
IMAGES, TIME_ONLY = 0x4122, 0x4152


def write_ser(path: Path, images: NDArray[Any], pixel_m: float) -> Path:
    """A series (T, V, U) with one dimension, the number of the image; pixels of ``pixel_m`` metres."""
    name, unit = b"Number", b""
    count, v, u = images.shape
    dimension = struct.pack("<IddI", count, 0.0, 1.0, 0)
    dimension += struct.pack("<I", len(name)) + name + struct.pack("<I", len(unit)) + unit
    start = 34 + len(dimension)
    axis = struct.pack("<ddI", 0.0, pixel_m, 0)
    kind = DATA_TYPES[images.dtype.str[1:]]
    # rows from the lowest on
    elements = [axis + axis + struct.pack("<HII", kind, u, v) + image[::-1].tobytes() for image in images]
    tag = struct.pack("<HHI", TIME_ONLY, 0, 0)
    offsets = start + 16 * count + np.cumsum([0, *(len(e) + len(tag) for e in elements[:-1])])
    tags = offsets + [len(e) for e in elements]
    header = struct.pack("<HHHIIIIQI", 0x4949, 0x0197, 0x0220, IMAGES, TIME_ONLY, count, count, start, 1)
    body = b"".join(element + tag for element in elements)
    path.write_bytes(header + dimension + np.concatenate([offsets, tags]).astype("<u8").tobytes() + body)
    return path
