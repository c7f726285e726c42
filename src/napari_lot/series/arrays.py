"""Numpy files: .npz with named arrays, .npy with the images alone. Pickled objects are never loaded."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_lot.errors import InputError
from napari_lot.progress import Counted, Progress, nothing
from napari_lot.series.angles import AngleTable
from napari_lot.series.raw import RawSeries, check_size, damaged, find_name, known_facts, listed, reason_of

IMAGE_NAMES = ("images", "projections", "projs", "proj", "tilt_series", "series", "stack", "data", "arr_0")
T = TypeVar("T")
ANGLE_NAMES = ("angles_deg", "angles", "tilt_angles", "theta_deg", "theta")


def read_npz(path: Path, progress: Progress = nothing) -> RawSeries:
    """``images`` [tilt, v, u] and whatever else an NPZ of ours may hold.

    That is ``angles_deg``, ``pixel_size_A``, ``center_px``, ``tilt_axis_deg``, ``mask``, ``counts``,
    ``excluded`` (tilts that must not be used, counted from 0), ``element``, and
    the microscope's fields under their names in the settings (``energy_eV``, ...).

    Raises
    ------
    InputError
        Not an NPZ, truncated, without images, with pickled objects, or absurdly large.
    """
    return open_npz(path, _from_arrays, progress)


def open_npz(
    path: Path, take: Callable[[Path, Any, list[str]], T], progress: Progress = nothing, what: str = "series"
) -> T:
    """``take(path, arrays, names)`` of an NPZ whose arrays were judged before anything is allocated.

    Raises
    ------
    InputError
        Not an NPZ, truncated, with pickled objects, or absurdly large; ``what`` is what it is to hold.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
            for info in archive.infolist():
                if info.filename.endswith(".npy"):
                    with archive.open(info) as stream:
                        _check_header(path, stream, info.file_size, what)
        # what stands under a name without .npy is no array, and is taken first by NumPy
        arrays_in = (m.removesuffix(".npy") for m in members if m.endswith(".npy"))
        names = [name for name in arrays_in if name not in members]
        with path.open("rb") as stream, np.load(_told(path, stream, progress), allow_pickle=False) as arrays:
            return take(path, arrays, names)
    except InputError:
        raise
    except Exception as error:  # a damaged file makes the decoder fail in every way there is
        raise _refused(path, "NPZ", error) from None


def read_npy(path: Path, progress: Progress = nothing) -> RawSeries:
    """Images [tilt, v, u] and nothing else.

    Raises
    ------
    InputError
        Not an NPY, truncated, pickled, or absurdly large.
    """
    try:
        with path.open("rb") as stream:
            _check_header(path, stream, path.stat().st_size)
            stream.seek(0)
            images = np.load(_told(path, stream, progress), allow_pickle=False)
        return RawSeries(images=images, metadata={"format": "NPY"})
    except InputError:
        raise
    except Exception as error:  # a damaged file makes the decoder fail in every way there is
        raise _refused(path, "NPY", error) from None


def _told(path: Path, stream: IO[bytes], progress: Progress) -> Any:
    return Counted(stream, path.stat().st_size, progress)


def _refused(path: Path, kind: str, error: Exception) -> InputError:
    if "object array" in str(error).lower() or "pickled" in str(error):
        return _pickled(path)
    return damaged(path, kind, reason_of(error))


def _pickled(path: Path) -> InputError:
    return InputError(
        f"{path}: the file holds pickled Python objects, which are never loaded: save plain numeric arrays."
    )


def _check_header(path: Path, stream: IO[bytes], size: int, what: str = "series") -> None:
    """Judge what an .npy declares before anything is allocated."""
    version = np.lib.format.read_magic(stream)
    reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = reader(stream)
    if dtype.hasobject:
        raise _pickled(path)
    check_size(path, shape, dtype.itemsize, what)
    needed = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if size < needed:
        raise damaged(path, path.suffix.lstrip(".").upper(), f"{size} of {needed} bytes are there")


def _from_arrays(path: Path, arrays: Any, names: list[str]) -> RawSeries:
    image_name = find_name(names, IMAGE_NAMES)
    if image_name is None:
        raise InputError(f"{path}: no images among the arrays ({listed(names)}): name the stack [tilt, v, u] 'images'.")
    angle_name = find_name(names, ANGLE_NAMES)
    angles = None
    if angle_name is not None:
        angles = AngleTable(numbers_of(path, angle_name, arrays[angle_name]), "lot", str(path))
    center = numbers_of(path, "center_px", arrays["center_px"]).ravel() if "center_px" in names else None
    if center is not None and center.shape != (2,):
        raise InputError(f"{path}: center_px must be (row, column) in pixels, not {center.size} numbers.")
    return RawSeries(
        images=arrays[image_name],
        angles=angles,
        pixel_size_A=_scalar(path, arrays, names, "pixel_size_A"),
        tilt_axis_deg=_scalar(path, arrays, names, "tilt_axis_deg"),
        center_px=None if center is None else (float(center[0]), float(center[1])),
        mask=arrays["mask"] if "mask" in names else None,
        counts=None if (counts := _scalar(path, arrays, names, "counts")) is None else bool(counts),
        excluded=_tilts(path, arrays["excluded"]) if "excluded" in names else (),
        metadata={**known_facts(arrays), "format": "NPZ", "images_from": image_name},
    )


def numbers_of(path: Path, name: str, array: Any) -> NDArray[np.float64]:
    """An array of a file as numbers (InputError where it holds none)."""
    try:
        return np.asarray(array, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{path}: '{name}' does not hold numbers: save it as a numeric array.") from None


def _scalar(path: Path, arrays: Any, names: list[str], name: str) -> float | None:
    if name not in names:
        return None
    value = numbers_of(path, name, arrays[name])
    if value.size != 1:
        raise InputError(f"{path}: '{name}' must be one number, not {value.size}: save it as one.")
    return float(value.ravel()[0])


def _tilts(path: Path, array: Any) -> tuple[int, ...]:
    values = numbers_of(path, "excluded", array).ravel()
    if not (np.isfinite(values).all() and (values == np.round(values)).all()):
        raise InputError(f"{path}: 'excluded' must hold numbers of tilts, counted from 0: save them as integers.")
    return tuple(int(t) for t in values)
