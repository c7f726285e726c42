"""Read a tilt series: which reader, which angles, whose geometry; the caller's word wins over the file's."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_lot.errors import InputError
from napari_lot.files import check_readable
from napari_lot.progress import Progress, nothing, part
from napari_lot.series.angles import AngleTable, Geometry, read_angles, to_lot_angles
from napari_lot.series.arrays import read_npy, read_npz
from napari_lot.series.checks import (
    check_angles,
    check_enough,
    check_mask,
    check_pixel_type,
    check_stack_shape,
    mask_of_finite,
)
from napari_lot.series.raw import RawSeries, check_ending
from napari_lot.series.rosetta import MODULES, read_rosetta
from napari_lot.series.several import by_name, images_in, read_several
from napari_lot.series.tilt_series import TiltSeries

Reader = Callable[[Path, Progress], RawSeries]
AngleSource = str | Path | Sequence[float] | NDArray[np.float64] | Callable[[int], Any] | None
"""An angle file, angles in degrees, or a function that makes them from the number of tilts."""


def _of(module: str) -> Reader:
    """Reader of a module of this folder, which is imported when it reads: napari, when it starts, waits for none."""

    def read(path: Path, progress: Progress) -> RawSeries:
        reader: Reader = getattr(import_module(f"napari_lot.series.{module}"), f"read_{module}")
        return reader(path, progress)

    return read


READERS: dict[str, Reader] = {
    **dict.fromkeys((".tif", ".tiff"), _of("tiff")),
    **dict.fromkeys((".mrc", ".mrcs", ".st", ".ali"), _of("mrc")),
    **dict.fromkeys((".h5", ".hdf5", ".emd"), _of("hdf5")),
    ".npz": read_npz,
    ".npy": read_npy,
    ".mat": _of("mat"),
    **dict.fromkeys(MODULES, read_rosetta),
}

SIDE_FILE_SUFFIXES = (".mdoc", ".tlt", ".rawtlt")


def read_series(
    path: str | Path | Sequence[str | Path],
    *,
    angles: AngleSource = None,
    pixel_size_A: float | None = None,
    tilt_axis_deg: float | None = None,
    center_px: tuple[float, float] | None = None,
    mask: str | Path | NDArray[Any] | None = None,
    counts: bool | None = None,
    geometry: Geometry | None = None,
    exclude: Sequence[int] = (),
    mask_nonfinite: bool = False,
    raw: RawSeries | None = None,
    progress: Progress = nothing,
) -> TiltSeries:
    """Read a tilt series and its angles. What the caller gives wins over what the files say.

    Parameters
    ----------
    path : path, or sequence of paths
        TIFF, MRC/ST/ALI, NPZ, NPY, MAT, HDF5/EMD, DM3/DM4, SER/EMI or BLO; see docs/formats.md for what is read from
        each. Several files, or a folder, with one image each are taken in the order of their names.
    angles : path, (T,) or (T, 3) array, or function, optional
        A file (CSV, .tlt, .rawtlt, .mdoc, .mat) or degrees: theta about y, or (psi, theta, phi) columns; a function
        is called with the number of tilts and returns such an array.
        When absent: from the series file, then from a side file (see ``find_angle_file``).
    pixel_size_A : float, optional
    tilt_axis_deg : float, optional
        In-plane direction of the tilt axis from vertical, positive clockwise on the screen.
    center_px : (row, column), optional
        Rotation centre in the images as they are shown, after any transposition.
    mask : path or array, optional
        TIFF or array, 2-D or [tilt, v, u] in the orientation of the file; 1 where a pixel may be used.
    counts : bool, optional
        The images are electron counts.
    geometry : {"lot", "resire", "genfire"}, optional
        Whose convention the file's or side file's angles follow, where it cannot be told from their names.
    exclude : sequence of int
        Tilts not to use, counted from 0; their pixels may be anything.
    mask_nonfinite : bool
        Mask pixels that are NaN or infinite and warn of them; else they are refused, for nobody may read a warning.
    raw : RawSeries, optional
        What the file's reader has found already (see ``stack_with_angles``): it is not read again.
    progress : callable
        Told how much is done, 0 to 1, image by image where the format can be read so; what it raises ends the reading.

    Returns
    -------
    TiltSeries
        In the package's frame; ``metadata`` says where the angles came from and whose geometry they had.

    Raises
    ------
    InputError
        The input cannot be used: one sentence that says what, where and what to do. No file is ever changed.
    """
    try:
        path, raw = _read_images(path, raw, part(progress, 0.0, 0.8))
    except (OSError, MemoryError) as error:
        raise InputError(
            f"{path if isinstance(path, (str, Path)) else 'The series'}: {_not_to_blame(error)}"
        ) from error
    progress(0.8)
    check_pixel_type(raw.images.dtype, str(path))
    if raw.images.ndim != 3:
        check_stack_shape(raw.images.shape, str(path))
    table = _angle_table(raw, path, angles)
    if table is None:
        raise InputError(
            f"{path}: no tilt angles in the file or beside it: give an angle file, such as {path.stem}.tlt."
        )
    shape_geometry: Geometry = geometry or table.geometry
    images = raw.images
    values = np.asarray(table.values_deg)
    # A single column says nothing about whose frame it is: then the images stay as they are unless the caller says so.
    transposed = shape_geometry != "lot" and ((values.ndim == 2 and values.shape[1] == 3) or geometry is not None)
    check_stack_shape(images.shape, str(path))
    check_angles(values, len(images), table.source)
    lot_angles = to_lot_angles(values, shape_geometry)
    check_enough(lot_angles, np.arange(len(images)), table.source)  # too few before any tilt is left out
    mask_array = read_mask(mask) if isinstance(mask, (str, Path)) else mask
    if mask_array is None:
        mask_array = raw.mask
    mask_array = check_mask(mask_array, images.shape, str(mask) if isinstance(mask, (str, Path)) else str(path))
    centre = center_px if center_px is not None else raw.center_px
    known = centre is not None
    warnings = raw.warnings
    if mask_nonfinite:
        mask_array, masked = mask_of_finite(images, mask_array, tuple(exclude) or raw.excluded, str(path))
        warnings += tuple(masked)
    if transposed:
        images = images.transpose(0, 2, 1)
        mask_array = None if mask_array is None else mask_array.transpose(0, 2, 1)
        if centre is None:
            rows, columns = images.shape[1:]
            centre = (float(rows // 2), float(columns // 2))
        warnings += (
            f"{table.source}: three angle columns read as {shape_geometry.upper()}'s (phi, theta, psi), "
            "images transposed, rotation centre at n/2: if they are not, give a CSV with the header "
            "psi_deg,theta_deg,phi_deg.",
        )
    size = pixel_size_A
    if size is None:
        size = raw.pixel_size_A
        if table.pixel_size_A is not None and (size is None or raw.pixel_size_doubtful):
            size = table.pixel_size_A
        elif raw.pixel_size_doubtful and size is not None:
            warnings += (f"{path}: a pixel size of exactly {size:g} Å is often a placeholder: check it.",)
    # Aligned stacks (.ali) are already turned upright, whatever the .mdoc of the raw series says.
    side_axis = None if path.suffix.lower() == ".ali" else table.tilt_axis_deg
    axis = next((a for a in (tilt_axis_deg, raw.tilt_axis_deg, side_axis) if a is not None), 0.0)
    return TiltSeries(
        images=images,
        angles_deg=lot_angles,
        pixel_size_A=size,  # type: ignore[arg-type]  # None is judged where everything is
        center_px=centre,
        center_known=known,
        tilt_axis_deg=axis,
        mask=mask_array,
        counts=bool(raw.counts) if counts is None else counts,
        source=str(path),
        metadata={**raw.metadata, "angles_from": table.source, "geometry": shape_geometry if transposed else "lot"},
        excluded=tuple(exclude) or raw.excluded,
        warnings=warnings,
    )


def _not_to_blame(error: OSError | MemoryError) -> str:
    """Why a file that may well be sound could not be read."""
    if isinstance(error, MemoryError):
        return (
            "there is not enough memory to read it: bin or crop the series, or close other programs; if it should be "
            "small it is damaged."
        )
    return (
        f"it cannot be read to its end ({error.strerror or error}): check the disk or the connection to it, and try "
        "again."
    )


def _reader_of(path: Path) -> Reader:
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        ending = f"'{path.suffix}'" if path.suffix else "(the name has no ending)"
        raise InputError(f"{path}: unknown file type {ending}: give a tilt series as {', '.join(sorted(READERS))}.")
    return reader


def _read_images(
    path: str | Path | Sequence[str | Path], known: RawSeries | None = None, progress: Progress = nothing
) -> tuple[Path, RawSeries]:
    """The images, and the path that they go by: the folder, or the first of several files; ``known`` is not read."""
    paths = [Path(path)] if isinstance(path, (str, Path)) else sorted((Path(p) for p in path), key=by_name)
    if not paths:
        raise InputError("No file was given: give a tilt series.")
    if known is not None:
        return paths[0], known
    if len(paths) == 1 and os.path.isdir(paths[0]):  # unlike Path.is_dir it raises nothing
        folder = paths[0]
        files = images_in(folder, tuple(READERS))
        if len(files) > 1:
            return folder, read_several(files, _reader_of, str(folder), progress)
        paths = files  # a stack by itself
    if len(paths) > 1:
        return paths[0], read_several(paths, _reader_of, str(paths[0].parent), progress)
    check_readable(paths[0], "tilt series")
    reader = _reader_of(paths[0])
    check_ending(paths[0])
    return paths[0], reader(paths[0], progress)


def find_angle_file(path: str | Path) -> Path | None:
    """The angle file that belongs to a series, or None.

    Looked for beside it, in this order: ``NAME.mdoc`` (with and without the series' extension), ``NAME.tlt``,
    ``NAME.rawtlt``, ``NAME_angles.csv``, ``NAME.csv``, ``NAME_angles.txt``, ``angles.csv``, ``angles.txt``,
    ``angles.mat``.
    """
    path = Path(path)
    stem = path.stem
    if path.is_dir():  # of a series with one image per file
        inside = next((f for f in map(path.joinpath, ("angles.csv", "angles.txt", "angles.mat")) if f.is_file()), None)
        if inside is not None:
            return inside
    names = [path.name + ".mdoc", *(stem + s for s in SIDE_FILE_SUFFIXES)]
    names += [f"{stem}_angles.csv", f"{stem}.csv", f"{stem}_angles.txt", "angles.csv", "angles.txt", "angles.mat"]
    return next((path.parent / name for name in names if (path.parent / name).is_file()), None)


def read_mask(path: str | Path) -> NDArray[Any]:
    """A mask from a TIFF, (V, U) or (T, V, U), 1 where a pixel may be used.

    Raises
    ------
    InputError
        No such file, not a TIFF, or another number of dimensions.
    """
    path = Path(path)
    check_readable(path, "mask")
    if path.suffix.lower() not in (".tif", ".tiff"):
        raise InputError(f"{path}: a mask must be a TIFF (.tif), 1 where a pixel may be used: convert it.")
    array = READERS[".tif"](path, nothing).images
    if array.ndim not in (2, 3):
        raise InputError(f"{path}: the mask has {array.ndim} dimensions: give one image, or one per tilt.")
    return array


def stack_with_angles(path: str | Path | Sequence[str | Path]) -> RawSeries | None:
    """What a file, or several with one image each, hold where it is a stack with as many angles as images, or None."""
    try:
        named, raw = _read_images(path)
        table = _angle_table(raw, named, None)
    except InputError:
        return None
    known = table is not None and raw.images.ndim == 3 and np.shape(table.values_deg)[:1] == raw.images.shape[:1]
    return raw if known else None


def angle_values(angles: AngleSource, tilts: int, source: str) -> NDArray[np.float64]:
    """Angles for images that are already in our frame, (T, 3) in degrees.

    Raises
    ------
    InputError
        As ``check_angles``, or the file's angles belong to images that would have to be transposed.
    """
    if isinstance(angles, (str, Path)):
        table = _angles_from_file(Path(angles))
        if table.geometry != "lot" and table.values_deg.ndim == 2:
            raise InputError(
                f"{table.source}: these are {table.geometry.upper()} angles, which go with transposed images: "
                "open the series' file together with this angle file."
            )
        return check_angles(table.values_deg, tilts, table.source)
    return check_angles(angles(tilts) if callable(angles) else angles, tilts, source)


def _angle_table(raw: RawSeries, path: Path, angles: AngleSource) -> AngleTable | None:
    if isinstance(angles, (str, Path)):
        return _angles_from_file(Path(angles))
    if callable(angles):
        angles = angles(len(raw.images))
    if angles is not None:
        try:
            return AngleTable(np.asarray(angles, dtype=np.float64), "lot", f"{path} (angles given)")
        except (TypeError, ValueError):
            raise InputError(f"{path}: the angles given are not numbers: give degrees, one per image.") from None
    if raw.angles is not None:
        return raw.angles
    found = find_angle_file(path)
    return None if found is None else _angles_from_file(found)


def _angles_from_file(path: Path) -> AngleTable:
    check_readable(path, "angle file")
    if path.suffix.lower() != ".mat":
        return read_angles(path)
    from napari_lot.series.mat import read_mat_angles

    return read_mat_angles(path)
