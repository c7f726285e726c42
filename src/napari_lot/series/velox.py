"""Stage tilts of Velox's EMD files, which keep a whole set of metadata for every frame of a stack.

Layout: ``Data/Image/ID/Data`` (v, u, frame) and ``Data/Image/ID/Metadata`` (bytes, frame), each column the JSON text
of one frame, filled up with zeros; in it ``Stage.AlphaTilt`` and ``Stage.BetaTilt`` in radians, as text. RosettaSciIO
reads the first column alone.
"""

from __future__ import annotations

import json
import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from napari_lot.errors import InputError
from napari_lot.series.raw import check_size

STILL_DEG = 0.01
"""A stage that moves by less than this does not tilt."""


def check_declared(path: Path) -> None:
    """Refuse images that say they are larger than the file can hold, before memory is asked for.

    Raises
    ------
    InputError
        One does. What cannot be read is left to the reader of the images.
    """
    declared = []
    with suppress(OSError, RuntimeError, KeyError, ValueError, AttributeError), h5py.File(path) as file:
        for stack in file["Data/Image"].values():
            data = stack.get("Data")
            if isinstance(data, h5py.Dataset):
                declared.append((data.shape, data.dtype.itemsize))
    for shape, itemsize in declared:
        check_size(path, shape, itemsize)


def stage_tilts(path: Path, frames: int) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Alpha and beta of each frame in degrees, (T,) each, of the stacks of that many frames; None where none says them.

    Raises
    ------
    InputError
        Stacks of one file that say different tilts.
    """
    found: list[NDArray[np.float64]] = []
    with h5py.File(path, "r") as file:
        for group in file["Data/Image"].values():
            if isinstance(group, h5py.Group) and "Metadata" in group and "Data" in group:
                if group["Data"].shape[-1] != frames or group["Metadata"].shape[-1] != frames:
                    continue
                tilts = np.array([_stage(text) for text in group["Metadata"][()].T])
                if np.isfinite(tilts[:, 0]).all() and np.ptp(tilts[:, 0]) >= STILL_DEG:
                    found.append(tilts)
    if not found:
        return None
    if any(not np.allclose(tilts, found[0], atol=STILL_DEG, equal_nan=True) for tilts in found):
        raise InputError(f"{path}: its stacks were tilted differently: export the HAADF series alone as TIFF or MRC.")
    return found[0][:, 0], found[0][:, 1]


def _stage(text: NDArray[np.uint8]) -> tuple[float, float]:
    """Alpha and beta in degrees of one frame's JSON text; NaN where it does not say one."""
    try:
        stage = json.loads(text.tobytes().rstrip(b"\0"))["Stage"]
    except (ValueError, KeyError, TypeError):
        return math.nan, math.nan
    return _degrees(stage, "AlphaTilt"), _degrees(stage, "BetaTilt")


def _degrees(stage: Any, name: str) -> float:
    try:
        return math.degrees(float(stage[name]))
    except (KeyError, TypeError, ValueError):
        return math.nan
