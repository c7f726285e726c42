"""A tilt series of several files, or of a folder, with one image each, sorted by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_lot.errors import InputError
from napari_lot.files import check_readable
from napari_lot.progress import Progress, counted, nothing
from napari_lot.series.angles import AngleTable
from napari_lot.series.raw import RawSeries, check_ending, check_size

ANGLES = "angles.mat"
"""In a folder of images, this holds their angles."""


def by_name(path: Path) -> list[tuple[int, int, str]]:
    """Sorts names as a person does: tilt_9 before tilt_10."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts if part]


def images_in(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """The files of a folder that hold the images of a series: of the one image format that is there, sorted by name.

    Raises
    ------
    InputError
        No images, or images of several formats.
    """
    files = [
        f
        for f in folder.iterdir()
        if f.is_file() and f.suffix.lower() in suffixes and not f.name.startswith(".") and f.name.lower() != ANGLES
    ]
    kinds = sorted({".tif" if f.suffix.lower() == ".tiff" else f.suffix.lower() for f in files})
    if not files:
        raise InputError(
            f"{folder}: no images in this folder: give a tilt series, or a folder with one image per tilt."
        )
    if len(kinds) > 1:
        raise InputError(
            f"{folder}: images of several formats ({', '.join(kinds)}): leave only those of the series "
            "there, or choose the files themselves."
        )
    return sorted(files, key=by_name)


def read_several(
    paths: Sequence[Path],
    reader_of: Callable[[Path], Callable[[Path, Progress], RawSeries]],
    source: str,
    progress: Progress = nothing,
) -> RawSeries:
    """One image of each file, in the order of the names.

    Raises
    ------
    InputError
        A file that cannot be read, holds more than one image, or another size or pixel size than the first.
    """
    single = []
    for path in counted(sorted(paths, key=by_name), progress):
        check_readable(path, "image")
        reader = reader_of(path)
        check_ending(path)
        single.append((path, reader(path, nothing)))
        check_size(path, (len(paths), *np.shape(single[0][1].images)[-2:]))  # before all of them are read
    return join(single, source)


def join(single: Sequence[tuple[Path, RawSeries]], source: str) -> RawSeries:
    """Single images as a stack (T, V, U); angles where every image has its own, else none."""
    images: list[NDArray[Any]] = []
    first_path, first = single[0]
    for path, raw in single:
        image = np.asarray(raw.images)
        image = image[0] if image.ndim == 3 and len(image) == 1 else image
        if image.ndim != 2:
            held = str(len(image)) if image.ndim else "no"
            raise InputError(f"{path}: this holds {held} images, not one: give that file alone, or one image per file.")
        if images and image.shape != images[0].shape:
            sizes = " and ".join(" x ".join(str(n) for n in i.shape) for i in (images[0], image))
            raise InputError(f"{path}: the images differ in size ({sizes}): a tilt series needs images of one size.")
        a, b = first.pixel_size_A, raw.pixel_size_A
        if (a is None) != (b is None) or (a is not None and b is not None and abs(a - b) > 1e-3 * a):
            raise InputError(
                f"{path}: the pixel size ({'unknown' if b is None else f'{b:g} Å'}) is not that of {first_path.name} "
                f"({'unknown' if a is None else f'{a:g} Å'}): a tilt series needs one."
            )
        images.append(image)
    angles = [raw.angles.values_deg for _, raw in single if raw.angles is not None]
    table = None
    if len(angles) == len(single) and all(np.size(a) == 1 for a in angles):
        table = AngleTable(
            np.array([float(np.ravel(a)[0]) for a in angles]), "lot", f"{source}: stage tilt of each file"
        )
    return RawSeries(
        images=np.stack(images),
        angles=table,
        pixel_size_A=first.pixel_size_A,
        pixel_size_doubtful=first.pixel_size_doubtful,
        metadata={**first.metadata, "files": tuple(path.name for path, _ in single)},
        warnings=tuple(dict.fromkeys(w for _, raw in single for w in raw.warnings)),
    )
