"""MATLAB files of RESIRE and GENFIRE: v5 through SciPy, v7.3 (HDF5, stored in reversed order) through h5py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np
import scipy.io
from numpy.typing import NDArray

from napari_lot.errors import InputError
from napari_lot.progress import Progress, nothing
from napari_lot.series.angles import AngleTable, Geometry
from napari_lot.series.mat5 import complex_variables
from napari_lot.series.raw import RawSeries, check_size, damaged, find_name, listed, reason_of

IMAGE_NAMES = ("projections", "proj", "projs", "projection", "images", "tilt_series", "stack", "data")
EULER_NAMES = ("Euler_angles", "euler")
ANGLE_NAMES = (*EULER_NAMES, "angles", "angle", "tilt_angles", "tilt_angle")
PIXEL_NAMES = ("pixel_size_A", "pixel_size", "pixsize", "res", "resolution")

NUMERIC = ("double", "single", "logical", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)))
"""MATLAB's classes of arrays of numbers: not cells, structures, text, functions or sparse matrices."""

Shapes = dict[str, tuple[int, ...]]
Load = Callable[[str], NDArray[Any]]
T = TypeVar("T")


def read_mat(path: Path, progress: Progress = nothing) -> RawSeries:
    """Projections (rows, columns, tilts) as (T, rows, columns), and the angles where they are in the same file.

    Three angle columns are RESIRE's (phi, theta, psi), or GENFIRE's when the variable is called ``Euler_angles``;
    turning their geometry into ours, with the transposition of the images, is ``read_series``'s work.

    Raises
    ------
    InputError
        Not a MATLAB file, truncated, without projections, or absurdly large.
    """
    return _with_variables(path, _series)


def read_mat_angles(path: Path) -> AngleTable:
    """The angles of a MATLAB file, under their name or as its only variable.

    Raises
    ------
    InputError
        Not a MATLAB file, truncated, or without angles.
    """
    table = _with_variables(path, lambda p, shapes, load: _angles(p, shapes, load, only=True))
    if table is None:
        raise InputError(
            f"{path}: no variable of angles in the file: name it 'angles' (RESIRE) or 'Euler_angles' (GENFIRE)."
        )
    return table


def _with_variables(path: Path, use: Callable[[Path, Shapes, Load], T]) -> T:
    """Call ``use`` with the shapes of all variables in MATLAB's order and a loader, for either file version."""
    try:
        if h5py.is_hdf5(path):
            with h5py.File(path, "r") as file:
                sets = {n: d for n, d in file.items() if isinstance(d, h5py.Dataset) and d.dtype.kind in "buif"}
                shapes = {n: tuple(reversed(d.shape)) for n, d in sets.items()}

                def load(name: str) -> NDArray[Any]:
                    check_size(path, shapes[name], sets[name].dtype.itemsize)
                    return np.transpose(sets[name][()])

                return use(path, shapes, load)
        not_real = complex_variables(path)
        shapes = {name: tuple(shape) for name, shape, kind in scipy.io.whosmat(path) if kind in NUMERIC}

        def load_v5(name: str) -> NDArray[Any]:
            if name in not_real:
                raise InputError(f"{path}: the variable '{name[:40]}' holds complex numbers: save real ones.")
            return np.asarray(scipy.io.loadmat(path, variable_names=[name])[name])

        return use(path, shapes, load_v5)
    except InputError:
        raise
    except Exception as error:  # a damaged file makes the decoder fail in every way there is
        raise damaged(path, "MATLAB", reason_of(error)) from None


def _series(path: Path, shapes: Shapes, load: Load) -> RawSeries:
    name = find_name(list(shapes), IMAGE_NAMES)
    if name is None:
        stacks = [n for n, shape in shapes.items() if len(shape) == 3]
        if len(stacks) != 1:
            raise InputError(
                f"{path}: no stack of projections among the variables of numbers ({listed(shapes)}): name it "
                "'projections'."
            )
        name = stacks[0]
    check_size(path, shapes[name], 1)
    images = load(name)
    angles = _angles(path, shapes, load, only=False)
    if images.ndim == 3:
        count = None if angles is None else len(angles.values_deg)
        # rows, columns, tilts is MATLAB's habit; only a count that fits the first axis alone says otherwise
        if count is None or images.shape[2] == count or images.shape[0] != count:
            images = np.moveaxis(images, 2, 0)
    pixel_name = find_name([n for n, shape in shapes.items() if int(np.prod(shape)) == 1], PIXEL_NAMES)
    size = None if pixel_name is None else float(np.asarray(load(pixel_name)).ravel()[0])
    caveats: tuple[str, ...] = ()
    if pixel_name is not None and not pixel_name.endswith("_A"):
        caveats = (f"{path}: the variable '{pixel_name}' ({size:g}) was taken as the pixel size in Å: check it.",)
    return RawSeries(
        images=images,
        angles=angles,
        pixel_size_A=size,
        metadata={"format": "MATLAB", "images_from": name},
        warnings=caveats,
    )


def _angles(path: Path, shapes: Shapes, load: Load, *, only: bool) -> AngleTable | None:
    name = find_name(list(shapes), ANGLE_NAMES)
    if name is None and only and len(shapes) == 1:
        name = next(iter(shapes))
    if name is None:
        return None
    check_size(path, shapes[name], 1)
    try:
        values = np.asarray(load(name), dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{path}: the variable '{name}' does not hold numbers: save the angles in degrees.") from None
    if values.ndim == 2 and 1 in values.shape and values.size != 3:
        values = values.ravel()
    elif values.ndim == 2 and values.shape[1] != 3 and values.shape[0] == 3:
        values = values.T
    euler = find_name([name], EULER_NAMES) is not None
    geometry: Geometry = "lot" if values.ndim == 1 else "genfire" if euler else "resire"
    return AngleTable(values, geometry, f"{path}:{name}")
