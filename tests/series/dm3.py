"""A DigitalMicrograph 3 file by hand: the few tags that an image or a stack needs, little-endian values."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def _tag(name: str, body: bytes, group: bool) -> bytes:
    return struct.pack(">bh", 20 if group else 21, len(name)) + name.encode("latin-1") + body


def _data(info: list[int], raw: bytes) -> bytes:
    return b"%%%%" + struct.pack(f">{len(info) + 1}i", len(info), *info) + raw


def _value(value: Any) -> bytes:
    if isinstance(value, str):
        return _data([20, 4, len(value)], value.encode("utf-16-le"))
    if isinstance(value, float):
        return _data([7], struct.pack("<d", value))
    if isinstance(value, np.ndarray):
        return _data([20, 6, value.size], value.astype("<f4").tobytes())
    return _data([5], struct.pack("<I", value))


def _group(tags: list[tuple[str, Any]]) -> bytes:
    body = struct.pack(">bbi", 0, 0, len(tags))
    for name, value in tags:
        group = isinstance(value, list)
        body += _tag(name, _group(value) if group else _value(value), group)
    return body


def write_dm3(
    path: Path,
    images: NDArray[np.float32],
    scales: list[tuple[float, str]],
    tilt_deg: float | None = None,
    voltage_V: float | None = None,
    first: float = 0.0,
) -> Path:
    """``images`` (V, U) or (T, V, U); ``scales``: (step, unit) of u, v and, of a stack, the tilt, from ``first`` on."""
    info: list[tuple[str, Any]] = []
    if tilt_deg is not None:
        info.append(("Stage Position", [("Stage Alpha", tilt_deg)]))
    if voltage_V is not None:
        info.append(("Voltage", voltage_V))
    origins = [0.0, 0.0, -first / scales[-1][0]]
    dimension = [
        ("", [("Origin", origin), ("Scale", scale), ("Units", unit)])
        for origin, (scale, unit) in zip(origins, scales, strict=False)
    ]
    image = [
        (
            "ImageData",
            [
                (
                    "Calibrations",
                    [("Brightness", [("Origin", 0.0), ("Scale", 1.0), ("Units", "")]), ("Dimension", dimension)],
                ),
                ("Data", np.asarray(images)),
                ("DataType", 2),
                ("Dimensions", [("", n) for n in images.shape[::-1]]),
                ("PixelDepth", 4),
            ],
        ),
        ("ImageTags", [("Microscope Info", info)] if info else []),
        ("Name", "HAADF"),
    ]
    root = _group([("ImageList", [("", image)])])
    path.write_bytes(struct.pack(">iii", 3, len(root), 1) + root + bytes(8))
    return path
