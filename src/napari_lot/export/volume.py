"""Volumes as files: MRC, TIFF and NPZ, written whole or not at all, and read again to the last bit.

MRC and TIFF keep the size and origin of voxels in the places that other programs know, with the precision these have,
and in words with full precision besides. What those programs wrote themselves has only the former. Lengths in Å.

Source of the MRC header: Cheng et al., J. Struct. Biol. 192, 146 (2015), and the MRC2014 page of CCP-EM.
"""

from __future__ import annotations

import bz2
import gzip
import math
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import mrcfile
import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_lot.errors import InputError
from napari_lot.export.write import write_stack
from napari_lot.files import check_readable, write_whole
from napari_lot.progress import Progress, nothing
from napari_lot.series.arrays import numbers_of, open_npz
from napari_lot.series.mrc import HEADER_BYTES, checked_header, unsigned_bytes
from napari_lot.series.raw import check_ending, damaged, find_name, listed, plausible_pixel_size, reason_of, unit_in_A
from napari_lot.series.tiff import quiet, read_tiff
from napari_lot.voxel.volume import Volume

MRC_ENDINGS = (".mrc", ".map", ".rec", ".ccp4", ".mrcs")
TIFF_ENDINGS = (".tif", ".tiff")
ENDINGS = (*MRC_ENDINGS, *TIFF_ENDINGS, ".npz")
"""Endings of files that can hold a volume; those of MRC also with .gz or .bz2 behind."""
_PACKED: dict[str, Callable[[Path], Any]] = {".gz": gzip.GzipFile, ".bz2": bz2.BZ2File}
_NAMES = ("volume", "reconstruction", "rec", "values", "data", "arr_0")
_VOXEL_NAMES = ("voxel_A", "voxel_size_A", "pixel_size_A")
_WORD, _FACTS = "napari-lot", ("voxel_A", "x_A", "y_A", "z_A")
_COUNTS = ("mx", "my", "mz")
_TYPES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}
_SAME = 1e-3
"""Relative difference of the sides of a voxel that is still none."""
_PIECE = 2**24


class VoxelSizeUnknown(InputError):
    """A volume that does not say how large its voxels are."""


def holds_volume(path: str | Path) -> bool:
    """Whether the ending of a name is that of a volume, and of no file of atoms."""
    path = Path(path)
    packed = path.suffix.lower() in _PACKED
    return (path.with_suffix("").suffix if packed else path.suffix).lower() in (MRC_ENDINGS if packed else ENDINGS)


def says_volume(path: str | Path) -> bool:
    """Whether a file without tilt angles says itself that it is a volume and no stack of images.

    ``.map``, ``.rec``, ``.ccp4`` and packed MRC say so by their ending; other MRC by the space group of the header,
    which is 1 for a volume and 0 for images, with voxels that are cubes; NPZ by the name of an array for their side.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix in (".map", ".rec", ".ccp4") or (suffix in _PACKED and holds_volume(path)):
        return True
    try:
        if suffix in MRC_ENDINGS:
            with path.open("rb") as stream:
                header = checked_header(path, stream.read(HEADER_BYTES), None, "volume", "values of the volume")
            lengths = [float(header.cella[n]) / max(int(header[m]), 1) for n, m in zip("xyz", _COUNTS, strict=True)]
            cubes = min(lengths) > 0 and max(lengths) - min(lengths) <= _SAME * lengths[0]
            return int(header.ispg) == 1 and int(header.nz) > 1 and cubes
        if suffix == ".npz":
            with zipfile.ZipFile(path) as archive:
                names = [Path(name).stem for name in archive.namelist()]
            return find_name(names, _VOXEL_NAMES[:2]) is not None and find_name(names, _NAMES) is not None
    except (InputError, OSError, zipfile.BadZipFile):
        return False
    return False


# -- writing ----------------------------------------------------------------------------------------------------------


def write_volume(path: str | Path, volume: Volume, progress: Progress = nothing) -> None:
    """Write a volume as the ending of the name says: MRC (mode 2), TIFF (ImageJ's, float32) or NPZ.

    Parameters
    ----------
    path : path
        ``.mrc``, ``.map``, ``.rec``, ``.tif``, ``.tiff`` or ``.npz``.
    volume : Volume
    progress : callable
        Told how much is done, 0 to 1; what it raises leaves nothing of the file.

    Raises
    ------
    InputError
        There is no such kind of file.
    OSError
        The file cannot be written; what was there before is as it was.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix in MRC_ENDINGS:
        write_whole(path, lambda place: _write_mrc(place, volume), progress)
    elif suffix in TIFF_ENDINGS:
        write_whole(path, lambda place: _write_tiff(place, volume, progress), progress)
    elif suffix == ".npz":
        write_whole(path, lambda place: _write_npz(place, volume), progress)
    else:
        raise InputError(
            f"{path}: volumes are written as .mrc, .tif or .npz, not as {suffix or 'a name without an ending'}."
        )


def _facts(volume: Volume) -> dict[str, str]:
    """Size and origin with all their digits."""
    numbers = (volume.voxel_A, *volume.origin_A)
    return {name: repr(float(number)) for name, number in zip(_FACTS, numbers, strict=True)}


def _write_mrc(path: Path, volume: Volume) -> None:
    # values near the end of their type have no finite variance for the header
    with np.errstate(over="ignore", invalid="ignore"), mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(np.ascontiguousarray(volume.values, np.float32))
        mrc.set_volume()
        mrc.voxel_size = volume.voxel_A
        header = mrc.header
        header.origin.x, header.origin.y, header.origin.z = volume.origin_A
        # in whole voxels, for programs that know no other place
        starts = np.clip(np.rint(np.array(volume.origin_A) / volume.voxel_A), -(2**31), 2**31 - 1).astype(np.int32)
        header.nxstart, header.nystart, header.nzstart = starts
        for name, text in _facts(volume).items():
            mrc.add_label(f"{_WORD} {name} {text}")


def _write_tiff(path: Path, volume: Volume, progress: Progress) -> None:
    facts: dict[str, Any] = {f"{_WORD} {name.lower()}": text for name, text in _facts(volume).items()}
    # ImageJ's name of the distance between images, beside which a program that knows no such names sees text
    write_stack(path, volume.values, volume.voxel_A, "ZYX", progress, {"spacing": volume.voxel_A, **facts})


def _write_npz(path: Path, volume: Volume) -> None:
    with path.open("wb") as stream:
        np.savez(
            stream,
            volume=np.asarray(volume.values, np.float32),
            voxel_A=np.float64(volume.voxel_A),
            origin_A=np.array(volume.origin_A, np.float64),
        )


# -- reading ----------------------------------------------------------------------------------------------------------


def read_volume(
    path: str | Path,
    voxel_A: float | None = None,
    progress: Progress = nothing,
    overruled: Callable[[float], None] = lambda own_A: None,
) -> Volume:
    """A volume from MRC (modes 0, 1, 2, 6, 12; also .gz, .bz2), TIFF or NPZ.

    Of MRC the ``origin`` of the header is the place of the first voxel; where it is zero ``nstart`` is, in voxels; and
    where that is zero, too, the middle of the volume is the rotation centre, as in TIFF and NPZ that say nothing. (A
    file of ours says that zero is meant.)

    Parameters
    ----------
    path : path
    voxel_A : float, optional
        Side of a voxel in Å, for files that do not say it; it wins over what they say.
    progress : callable
        Told how much is done, 0 to 1; what it raises ends the reading.
    overruled : callable
        Told the side of a voxel in Å that the file says, where ``voxel_A`` is another one.

    Raises
    ------
    InputError
        The file cannot be read, is damaged, absurdly large, no volume of real numbers, its voxels are not cubes, or
        their size is not known.
    """
    path = Path(path)
    check_readable(path, "volume")
    suffix = path.suffix.lower()
    try:
        if suffix in _PACKED and holds_volume(path):
            values, sides, origin = _read_mrc(path, _PACKED[suffix], progress)
        elif not holds_volume(path):
            raise InputError(
                f"{path}: volumes are read from {', '.join(ENDINGS)}, not from {suffix or 'a name without an ending'}."
            )
        else:
            check_ending(path, {"MRC": MRC_ENDINGS})
            if suffix in MRC_ENDINGS:
                values, sides, origin = _read_mrc(path, lambda place: place.open("rb"), progress)
            elif suffix == ".npz":
                values, sides, origin = open_npz(path, _from_arrays, progress, "volume")
            else:
                values, sides, origin = _read_tiff(path, progress)
    except OSError as error:
        raise InputError(f"{path}: cannot read the volume: {error.strerror or error}; copy it again.") from None
    values = _checked(path, values)
    if origin is None and not says_volume(path):
        _check_no_series(path, len(values))
    side = _side(path, sides) if voxel_A is None else voxel_A
    other = bool(sides) and abs(side - sides[0]) > _SAME * side
    if other and max(sides) - min(sides) <= _SAME * sides[0]:
        overruled(sides[0])
    if origin is None or other:
        return Volume.centred(values, side)
    return Volume(values, side, origin)


_Found = tuple[NDArray[Any], tuple[float, ...], tuple[float, float, float] | None]
"""Values, sides of a voxel along x, y, z as far as they are known, and origin where it is."""


def _check_no_series(path: Path, sections: int) -> None:
    """Refuse what does not say that it is a volume and has as many sections as an angle file beside it has angles."""
    from napari_lot.series.read import angle_values, find_angle_file

    beside = find_angle_file(path)
    if beside is None:
        return
    try:
        angle_values(beside, sections, str(path))
    except InputError:  # of another number of images, or none at all
        return
    raise InputError(
        f"{path}: this is a tilt series, for {beside.name} beside it has an angle for each of its {sections} images: "
        "give a volume (napari-lot voxel makes one of it)."
    )


def _side(path: Path, sides: tuple[float, ...]) -> float:
    if not sides:
        raise VoxelSizeUnknown(
            f"{path}: the voxel size is not known, for nothing here says it: save it in the file, or give it in Å to "
            "napari-lot trace (--voxel-size), whose atoms.xyz a fit can start from."
        )
    if max(sides) - min(sides) > _SAME * sides[0]:
        told = " x ".join(f"{side:g}" for side in sides)
        raise InputError(f"{path}: the voxels are not cubes ({told} Å): resample the volume to cubic voxels.")
    return sides[0]


def _checked(path: Path, values: NDArray[Any]) -> NDArray[np.float32]:
    """Real, finite numbers in three dimensions as float32."""
    if values.ndim != 3:
        sizes = " x ".join(map(str, values.shape))
        raise InputError(f"{path}: {sizes} values are not a volume: give three dimensions, z, y and x.")
    if values.dtype.kind == "c":
        raise InputError(f"{path}: voxels of complex numbers cannot be used: save real numbers (integer or float).")
    if values.dtype.kind not in "buif":
        raise InputError(f"{path}: voxels of type {values.dtype} cannot be used: save real numbers (integer or float).")
    if 0 in values.shape:
        raise InputError(f"{path}: the volume has no voxels; save it again.")
    with np.errstate(over="ignore", invalid="ignore"):
        plain: NDArray[np.float32] = np.ascontiguousarray(values, np.float32)
    # a sum that is finite proves it of all, without as many bytes again
    if not math.isfinite(float(np.sum(plain, dtype=np.float64))):
        at = ", ".join(str(int(n)) for n in np.argwhere(~np.isfinite(plain))[0])
        raise InputError(f"{path}: the voxel [{at}] (z, y, x) is no finite number: correct it, or crop the volume.")
    return plain


def _in_words(text: Mapping[str, str], sides: tuple[float, ...]) -> tuple[tuple[float, ...], tuple[float, ...] | None]:
    """Sides and origin with all their digits, where a file of ours has them and its header says the same."""
    try:
        voxel, *origin = (float(text[name]) for name in _FACTS)
    except (KeyError, ValueError):
        return sides, None
    known = math.isfinite(voxel) and len(sides) == 3 and all(abs(side - voxel) <= _SAME * voxel for side in sides)
    if not known or not all(map(math.isfinite, origin)):
        return sides, None
    return (voxel,) * 3, tuple(origin)


def _plausible(sides: tuple[float | None, ...]) -> tuple[float, ...]:
    found = [plausible_pixel_size(side) for side in sides]
    return tuple(side for side in found if side is not None)


def _read_mrc(path: Path, begin: Callable[[Path], Any], progress: Progress) -> _Found:
    packed = path.suffix.lower() in _PACKED
    try:
        with begin(path) as stream:
            held = None if packed else path.stat().st_size
            header = checked_header(path, stream.read(HEADER_BYTES), held, "volume", "values of the volume")
            shape = (int(header.nz), int(header.ny), int(header.nx))
            _skip(stream, int(header.nsymbt))
            kind = np.dtype(_TYPES[int(header.mode)]).newbyteorder(header.dtype["nx"].byteorder)
            values = _read_values(path, stream, shape, kind, progress)
    except InputError:
        raise
    except Exception as error:  # a damaged file makes the decoders fail in every way there is
        raise damaged(path, "MRC", reason_of(error)) from None
    if int(header.mode) == 0 and unsigned_bytes(header):
        values = values.view(np.uint8)
    if int(header.ispg) >= 401 and 0 < int(header.mz) < shape[0]:
        raise InputError(f"{path}: this is a stack of {shape[0] // int(header.mz)} volumes: save one of them.")
    angles = [float(header.cellb[name]) for name in ("alpha", "beta", "gamma")]
    if any(angle not in (0.0, 90.0) for angle in angles):
        raise InputError(f"{path}: the axes of the volume are not at right angles: resample it to cubic voxels.")
    return _in_order(path, values, header)


def _in_order(path: Path, values: NDArray[Any], header: Any) -> _Found:
    """Axes z, y, x whatever their order in the file, which the header tells; sides and origin."""
    stored = [int(header.mapc), int(header.mapr), int(header.maps)]  # columns, rows, sections: 1 is x, 2 y, 3 z
    stored = [1, 2, 3] if stored == [0, 0, 0] else stored
    if sorted(stored) != [1, 2, 3]:
        raise damaged(path, "MRC", "its axes are {}, {}, {}".format(*stored))
    axis_of = {name: 2 - at for at, name in enumerate(stored)}
    counts = [int(header.mx), int(header.my), int(header.mz)]
    cell = [float(header.cella[name]) for name in "xyz"]
    lengths = [length / count if count > 0 else 0.0 for length, count in zip(cell, counts, strict=True)]
    if int(header.ispg) == 0 and counts[2] == 1 and len(values) > 1:
        lengths = lengths[:2]  # saved as a stack of images, which have no thickness
    sides = _plausible(tuple(lengths))
    if 0 < len(sides) < len(lengths):
        sides = ()
    labels = [bytes(label).split(b"\0")[0].decode("ascii", "replace").split() for label in header.label]
    text = {words[1]: words[2] for words in labels if len(words) == 3 and words[0] == _WORD}
    sides, origin = _in_words(text, sides)
    if origin is None:
        told = [float(header.origin[name]) for name in "xyz"]
        starts = [int(header.nxstart), int(header.nystart), int(header.nzstart)]  # of columns, rows, sections
        in_A = [starts[stored.index(name)] * (sides[0] if sides else 0.0) for name in (1, 2, 3)]
        usable = [o for o in (told, in_A) if any(o) and all(math.isfinite(n) and abs(n) < 1e9 for n in o)]
        origin = tuple(usable[0]) if usable else None
    values = np.transpose(values, [axis_of[3], axis_of[2], axis_of[1]])
    return values, sides, None if origin is None else (origin[0], origin[1], origin[2])


def _skip(stream: IO[bytes], count: int) -> None:
    while count > 0:
        got = len(stream.read(min(count, _PIECE)))
        if got == 0:
            return
        count -= got


def _read_values(
    path: Path, stream: IO[bytes], shape: tuple[int, ...], kind: np.dtype[Any], progress: Progress
) -> NDArray[Any]:
    """The array that follows in a stream, taken piece by piece: what is not there takes no memory."""
    values: NDArray[Any] = np.empty(shape, kind)
    place = memoryview(values.reshape(-1).view(np.uint8).data)
    at = 0
    while at < len(place):
        piece = stream.read(min(_PIECE, len(place) - at))
        if not piece:
            raise damaged(path, "MRC", f"{at} of {len(place)} bytes of its values are there")
        place[at : at + len(piece)] = piece
        at += len(piece)
        progress(at / len(place))
    return values


def _read_tiff(path: Path, progress: Progress) -> _Found:
    raw = read_tiff(path, progress, "volume")
    with quiet(), tifffile.TiffFile(path) as tif:
        page = tif.pages[0]
        description = str(page.description or "")
    known = (raw.pixel_size_A,) * 2 if raw.pixel_size_A is not None else ()
    said = dict(re.findall(rf"{_WORD} (\w+)=([^\s<]+)", description))
    text = {name: said[name.lower()] for name in _FACTS if name.lower() in said}
    depth = _depth_A(description)
    sides: tuple[float, ...] = (*known, depth if depth is not None else known[0]) if known else ()
    sides, origin = _in_words(text, sides)
    return raw.images, sides, None if origin is None else (origin[0], origin[1], origin[2])


def _depth_A(description: str) -> float | None:
    """Distance of two images in Å, where ImageJ or OME says one that can be."""
    spacing, unit = re.search(r"^spacing=(\S+)$", description, re.M), re.search(r"^unit=(.+)$", description, re.M)
    if unit is None:
        spacing = re.search(r'PhysicalSizeZ="([^"]+)"', description)
        unit = re.search(r'PhysicalSizeZUnit="([^"]+)"', description)
    factor = None if unit is None else unit_in_A(unit[1])
    try:
        return None if spacing is None or factor is None else plausible_pixel_size(float(spacing[1]) * factor)
    except ValueError:
        return None


def _from_arrays(path: Path, arrays: Any, names: list[str]) -> _Found:
    name = find_name(names, _NAMES)
    if name is None:
        raise InputError(f"{path}: no volume among the arrays ({listed(names)}): name it [z, y, x] 'volume'.")
    sides: tuple[float, ...] = ()
    voxel_name = find_name(names, _VOXEL_NAMES)
    if voxel_name is not None:
        given = numbers_of(path, voxel_name, arrays[voxel_name]).ravel()
        if given.size not in (1, 3):
            raise InputError(f"{path}: '{voxel_name}' must be one number, not {given.size}: save it as one.")
        if not ((given >= 1e-3) & (given <= 100)).all():
            raise InputError(f"{path}: '{voxel_name}' must be a length in Å between 0.001 and 100: correct it.")
        sides = tuple(float(side) for side in given)
    origin = None
    if "origin_A" in names:
        place = numbers_of(path, "origin_A", arrays["origin_A"]).ravel()
        if place.size != 3 or not np.isfinite(place).all():
            raise InputError(f"{path}: 'origin_A' must be three finite numbers, x, y and z in Å: correct it.")
        origin = (float(place[0]), float(place[1]), float(place[2]))
    return arrays[name], sides, origin
