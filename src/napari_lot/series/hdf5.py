"""Plain HDF5, DXchange and Berkeley EMD: the one stack that is in the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from napari_lot.errors import InputError
from napari_lot.progress import Progress, in_pieces, nothing
from napari_lot.series.angles import AngleTable
from napari_lot.series.arrays import ANGLE_NAMES, IMAGE_NAMES
from napari_lot.series.raw import RawSeries, check_size, damaged, find_name, known_facts, listed, reason_of, unit_in_A
from napari_lot.series.stored import Attributes


def read_hdf5(path: Path, progress: Progress = nothing) -> RawSeries:
    """The stack named like one (``images``, ``projections``, ``exchange/data``, ...) or the only 3-D array of the file.

    In plain files the order is [tilt, v, u]; ``pixel_size_A``, ``tilt_axis_deg`` and ``counts`` may be data sets or
    attributes, the microscope and ``element`` attributes of the file. In Berkeley EMD files the axis whose name or unit
    is an angle is the tilt, and the others give the pixel size.

    Raises
    ------
    InputError
        Not HDF5, truncated, no stack or several, Velox EMD without RosettaSciIO, or absurdly large.
    """
    if not h5py.is_hdf5(path):
        raise damaged(path, "HDF5", "no HDF5 signature")
    try:
        with h5py.File(path, "r") as file:
            if isinstance(file.get("Data"), h5py.Group) and "Image" in file["Data"]:
                from napari_lot.series.rosetta import read_rosetta

                return read_rosetta(path, progress, "emd")
            return _from_file(path, file, progress)
    except InputError:
        raise
    except Exception as error:  # a damaged file makes the decoder fail in every way there is
        raise damaged(path, "HDF5", reason_of(error)) from None


def _from_file(path: Path, file: Any, progress: Progress) -> RawSeries:
    sets: dict[str, Any] = {}
    file.visititems(lambda name, item: sets.update({name: item}) if isinstance(item, h5py.Dataset) else None)
    numeric = {n: d for n, d in sets.items() if d.dtype.kind in "buif"}
    if {d.dtype.kind == "c" for d in sets.values() if d.ndim >= 3} == {True}:
        raise InputError(f"{path}: the pixels are complex numbers: save the real images of the tilt series.")
    emd = [n for n, d in numeric.items() if d.ndim == 3 and Attributes(d.parent).get("emd_group_type", 0) == 1]
    if emd:
        return _from_emd(path, numeric[emd[0]], progress)
    stacks = {n: d for n, d in numeric.items() if d.ndim >= 3}
    last = {n.rsplit("/", 1)[-1]: n for n in reversed(list(stacks))}
    name = next(iter(stacks)) if len(stacks) == 1 else last.get(find_name(list(last), IMAGE_NAMES) or "")
    if name is None:
        raise InputError(
            f"{path}: no stack of images to be told among the data sets ({listed(sets)}): name it 'images'."
        )
    check_size(path, stacks[name].shape, stacks[name].dtype.itemsize)
    small = {n.rsplit("/", 1)[-1]: n for n in reversed(list(numeric)) if n not in stacks}
    angle_name = find_name(list(small), ANGLE_NAMES)
    angles = None
    if angle_name is not None:
        angles = AngleTable(_small(path, numeric[small[angle_name]]), "lot", f"{path}:{small[angle_name]}")
    counts = _fact(path, file, numeric, small, "counts")
    return RawSeries(
        images=_stack(stacks[name], progress),
        angles=angles,
        pixel_size_A=_fact(path, file, numeric, small, "pixel_size_A"),
        tilt_axis_deg=_fact(path, file, numeric, small, "tilt_axis_deg"),
        counts=None if counts is None else bool(counts),
        metadata={**known_facts(Attributes(file)), "format": "HDF5", "images_from": name},
    )


def _stack(data: Any, progress: Progress) -> NDArray[Any]:
    """A data set, read in pieces none of which cuts a chunk in two."""
    return in_pieces(data, progress, data.chunks[0] if data.chunks else 1)


def _small(path: Path, data: Any) -> NDArray[np.float64]:
    """A data set that is no stack: angles, scales, a single number."""
    check_size(path, data.shape, data.dtype.itemsize)
    return np.asarray(data[()], np.float64)


def _fact(path: Path, file: Any, numeric: dict[str, Any], small: dict[str, str], name: str) -> float | None:
    """A scalar given as a data set anywhere or as an attribute of the file or of a stack."""
    value = _small(path, numeric[small[name]]) if name in small else None
    if value is None:
        value = next((a[name] for a in map(Attributes, (file, *numeric.values())) if name in a), None)
    if value is None:
        return None
    try:
        (number,) = np.asarray(value, np.float64).ravel()
    except (TypeError, ValueError):
        raise InputError(f"{path}: '{name}' must be one number: save it as one, or give what it says.") from None
    return float(number)


def _from_emd(path: Path, data: Any, progress: Progress) -> RawSeries:
    """Berkeley EMD: data beside dim1, dim2, dim3, each with a name and a unit."""
    check_size(path, data.shape, data.dtype.itemsize)
    dims = [data.parent[f"dim{i + 1}"] for i in range(3)]
    units = [_text(Attributes(d).get("units", "")).strip("[] ").replace("_", "") for d in dims]
    names = [_text(Attributes(d).get("name", "")).lower() for d in dims]
    tilt = next(
        (i for i in range(3) if units[i].lower().startswith(("deg", "°")) or "angle" in names[i] or "tilt" in names[i]),
        None,
    )
    angles = None
    if tilt is not None and dims[tilt].shape == (data.shape[tilt],):
        angles = AngleTable(_small(path, dims[tilt]), "lot", f"{path}:{dims[tilt].name}")
    tilt = 0 if tilt is None else tilt
    size = None
    for i in (i for i in range(3) if i != tilt):
        factor, steps = unit_in_A(units[i]), np.diff(_small(path, dims[i]))
        if factor is not None and len(steps):
            step = float(abs(np.mean(steps))) * factor
            if size is not None and abs(step - size) > 1e-3 * size:
                raise InputError(f"{path}: the pixels are not square ({size:g} and {step:g} Å): resample the series.")
            size = step
    images: NDArray[Any] = np.moveaxis(_stack(data, progress), tilt, 0)
    return RawSeries(
        images=images, angles=angles, pixel_size_A=size, metadata={"format": "EMD", "images_from": data.name}
    )


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
