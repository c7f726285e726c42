"""A volume as a napari layer's plain data, and back. Numpy only: napari is not imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_lot.errors import InputError
from napari_lot.series.raw import unit_in_A
from napari_lot.voxel.volume import Volume

KEY = "napari_lot_volume"
"""In the metadata of a layer that is a volume, side of a voxel and origin."""
AXIS_LABELS = ("z", "y", "x")
UNITS = ("angstrom",) * 3
_SAME = 1e-3
_SAMPLE = 2_000_000
BRIGHT = 0.9998
"""Quantile of the voxels that is white: atoms are a small part of a volume."""


def volume_layer_data(volume: Volume, name: str) -> tuple[NDArray[np.float32], dict[str, Any], str]:
    """napari's LayerData of a volume: a 3-D image [z, y, x] in Å with the rotation centre at the origin."""
    options = {
        "name": name,
        **volume_place(volume),
        "units": UNITS,
        "axis_labels": AXIS_LABELS,
        "metadata": {KEY: volume_facts(volume)},
    }
    return volume.values, options, "image"


def volume_place(volume: Volume) -> dict[str, tuple[float, ...]]:
    """Scale and translation of a layer [z, y, x] in Å; napari's place of a voxel is its centre, as ours."""
    return {"scale": (volume.voxel_A,) * 3, "translate": volume.origin_A[::-1]}


def volume_facts(volume: Volume) -> dict[str, Any]:
    """What a layer's metadata hold under ``KEY``."""
    return {"voxel_A": volume.voxel_A, "origin_A": volume.origin_A}


def volume_from_layer_data(
    array: Any,
    metadata: Mapping[str, Any] | None = None,
    scale: Sequence[float] | None = None,
    translate: Sequence[float] | None = None,
    units: Sequence[Any] | None = None,
    name: str = "layer",
) -> Volume:
    """The volume of an image layer [z, y, x], its place as the layer says.

    A layer that lies at 0 and does not say that it is a volume is taken to have the rotation centre in its middle.

    Raises
    ------
    InputError
        Not three dimensions of real, finite numbers, voxels that are no cubes, or whose side is not known.
    """
    values = np.asarray(array)
    if values.ndim != 3 or min(values.shape, default=0) < 1 or values.dtype.kind not in "buif":
        raise InputError(f"{name}: a volume has three axes, z y x, of real numbers; choose another layer.")
    marked = KEY in (metadata or {})
    if units is None:
        factors = [1.0] * 3
    else:
        names = [str(unit) for unit in units][-3:]
        factors = [1.0 if unit == "pixel" else unit_in_A(unit) or float("nan") for unit in names]
        if not np.isfinite(factors).all():
            raise InputError(f"{name}: its unit {names[-1]!r} is no length; give the layer angstrom or nanometer.")
    sides = np.asarray((1.0,) * 3 if scale is None else scale, np.float64)[-3:] * factors
    unknown = (units is None or all(str(unit) == "pixel" for unit in units)) and bool((sides == 1.0).all())
    if unknown and not marked:
        raise InputError(
            f"{name}: the size of its voxels is not known: open the file with 'Open a volume', or give the layer its "
            "scale in Å."
        )
    if not (sides > 0).all() or sides.max() - sides.min() > _SAME * sides[0]:
        told = " x ".join(f"{side:g}" for side in sides[::-1])
        raise InputError(f"{name}: the voxels are not cubes ({told} Å): resample the volume to cubic voxels.")
    plain = np.ascontiguousarray(values, np.float32)
    if not np.isfinite(np.sum(plain, dtype=np.float64)):
        raise InputError(f"{name}: the volume holds values that are no finite numbers; correct it, or crop it.")
    place = np.asarray((0.0,) * 3 if translate is None else translate, np.float64)[-3:] * factors
    if not marked and not place.any():
        return Volume.centred(plain, float(sides[0]))
    z, y, x = (float(p) for p in place)
    return Volume(plain, float(sides[0]), (x, y, z))


def brightness(values: NDArray[np.float32]) -> float:
    """What is white of a volume: a high quantile of its voxels, of very many only some."""
    flat = values.reshape(-1)
    # an odd step takes its turn along every axis
    return float(np.quantile(flat[:: max(1, len(flat) // _SAMPLE) | 1], BRIGHT))


def bright_limits(values: NDArray[np.float32]) -> tuple[float, float]:
    """Contrast limits of a volume: vacuum is black."""
    bright = brightness(values)
    return (0.0, bright) if bright > 0 else (float(values.min()), float(max(values.max(), values.min() + 1.0)))
