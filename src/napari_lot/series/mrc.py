"""MRC stacks (.mrc, .mrcs, .st, .ali, .rec of older programs), read permissively; the extended header is ignored.

Source of the layout: Cheng et al., J. Struct. Biol. 192, 146 (2015); IMOD's unsigned bytes: its MRC description.
"""

from __future__ import annotations

import math
import sys
import warnings
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
from mrcfile.dtypes import HEADER_DTYPE

from napari_lot.errors import InputError
from napari_lot.progress import Progress, in_pieces, nothing
from napari_lot.series.raw import RawSeries, check_size, damaged, plausible_pixel_size, reason_of

HEADER_BYTES = 1024
BYTES_OF_MODE = {0: 1, 1: 2, 2: 4, 6: 2, 12: 2}
_IMOD_STAMP = 1146047817


def read_mrc(path: Path, progress: Progress = nothing) -> RawSeries:
    """Images and voxel size of an MRC file, (T, V, U); row 0 of the file is row 0 here.

    Raises
    ------
    InputError
        Not an MRC, truncated, complex pixels, pixels that are not square, or absurdly large.
    """
    with warnings.catch_warnings():  # what the permissive reader doubts is judged here, in one sentence
        warnings.simplefilter("ignore")
        header = _checked_header(path)
        try:
            with mrcfile.mmap(path, permissive=True) as mrc:
                if mrc.data is None:
                    raise damaged(path, "MRC")
                images = in_pieces(np.asarray(mrc.data), progress)
                size = mrc.voxel_size
                x, y = float(size.x), float(size.y)
        except InputError:
            raise
        except Exception as error:  # a damaged file makes the decoder fail in every way there is
            raise damaged(path, "MRC", reason_of(error)) from None
    if int(header.mode) == 0 and unsigned_bytes(header):
        images = images.view(np.uint8)
    x_A, y_A = plausible_pixel_size(x), plausible_pixel_size(y)
    if x_A is not None and y_A is not None and abs(x_A - y_A) > 1e-3 * x_A:
        raise InputError(
            f"{path}: the pixels are not square ({x_A:g} x {y_A:g} Å): resample the series to square pixels."
        )
    return RawSeries(images=images, pixel_size_A=x_A, pixel_size_doubtful=x_A == 1.0, metadata={"format": "MRC"})


def _checked_header(path: Path) -> Any:
    """The main header, judged before the reader believes the sizes in it."""
    with path.open("rb") as stream:
        return checked_header(path, stream.read(HEADER_BYTES), path.stat().st_size)


def checked_header(
    path: Path, block: bytes, held: int | None, what: str = "series", real: str = "images of the tilt series"
) -> Any:
    """The main header from its 1024 bytes, in the byte order of the file.

    Parameters
    ----------
    block : bytes
        What the file, decompressed, begins with.
    held : int or None
        Bytes of the decompressed file, where that is known.
    what, real : str
        What the file is to hold, for the messages.

    Raises
    ------
    InputError
        Not an MRC, complex, absurdly large, or not all of it is there.
    """
    if len(block) < HEADER_BYTES:
        raise damaged(path, "MRC", f"{len(block)} bytes, less than a header")
    header: Any = np.frombuffer(block, dtype=HEADER_DTYPE).view(np.recarray)[0]
    other = 0x11 if sys.byteorder == "little" else 0x44
    # then the bytes are the other way round; a mode of 0 looks the same either way
    if not 0 <= int(header.mode) <= 127 or (int(header.mode) == 0 and int(header.machst[0]) == other):
        header = np.frombuffer(block, dtype=HEADER_DTYPE.newbyteorder()).view(np.recarray)[0]
    shape = (int(header.nz), int(header.ny), int(header.nx))
    mode, extended = int(header.mode), int(header.nsymbt)
    if mode in (3, 4) and min(shape) > 0:
        raise InputError(f"{path}: the pixels are complex numbers: save the real {real}.")
    if mode not in BYTES_OF_MODE or min(shape) < 1 or extended < 0:
        raise damaged(path, "MRC", f"mode {mode}, {shape[2]} x {shape[1]} x {shape[0]}")
    check_size(path, shape, what=what)
    needed = HEADER_BYTES + extended + math.prod(shape) * BYTES_OF_MODE[mode]
    if held is not None and held < needed:
        raise damaged(path, "MRC", f"{held} of {needed} bytes are there")
    return header


def unsigned_bytes(header: Any) -> bool:
    """IMOD marks its files and says in a flag whether bytes are signed."""
    extra = header.extra2.tobytes()
    stamp, flags = np.frombuffer(extra[40:48], dtype=header.dtype["nx"])
    return int(stamp) == _IMOD_STAMP and not int(flags) & 1
