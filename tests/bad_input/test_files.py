"""Files that cannot be used: one exact sentence that says what, where and what to do, and nothing touched.

``(...)`` stands for what a library says of a damaged file; all else is exact.
"""

from __future__ import annotations

import os
import pickle
import struct
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.sparse

from bad_input import given as g
from bad_input.given import STACK, THETAS, spoiled
from napari_lot.errors import InputError
from napari_lot.export import read_atoms
from napari_lot.series import read_series
from napari_lot.series.angles import read_angles
from napari_lot.session import read_session
from napari_lot.settings import load_settings
from napari_lot.structures import read_structure
from series.dm3 import write_dm3
from series.tia import write_ser
from series.velox import frame_metadata, write_velox

COLUMNS = np.moveaxis(STACK, 0, 2)


def set_to(value: Any, *at: Any) -> Any:
    """The good stack with one value at some pixels."""

    def change(images: Any) -> None:
        images[at] = value

    return spoiled(change)


def unknown_numbers(path: Path) -> None:
    """Of a type that there is not: SciPy's reader would end the program."""
    g.mat(projections=COLUMNS)(path)
    whole = path.read_bytes()
    at = whole.index(b"projections") + 16
    path.write_bytes(whole[:at] + struct.pack("<I", 99) + whole[at + 4 :])


def velox(path: Path, second: str = "BF") -> None:
    said = [frame_metadata("DF", 2e-11, None)] * 7
    write_velox(path, {"DF": STACK, second: STACK}, {"DF": said, second: said})


def emd(step: float = 0.3, dims: int = 3) -> g.Make:
    def write(path: Path) -> None:
        with h5py.File(path, "w") as file:
            group = file.create_group("data/stack")
            group.attrs["emd_group_type"] = 1
            group["data"] = STACK
            for i, (values, unit) in enumerate(
                [(THETAS, "[deg]"), (np.arange(12) * 0.3, "[nm]"), (None, "[nm]")][:dims]
            ):
                group[f"dim{i + 1}"] = np.arange(10) * step if values is None else values
                group[f"dim{i + 1}"].attrs["units"] = unit

    return write


# Of each case: the files, the first of which is read; what is said besides (None: not said); the sentence.
SERIES: dict[str, tuple[dict[str, g.Make], dict[str, Any], str]] = {
    # -- whatever the format -----------------------------------------------------------------------------------------
    "missing": ({}, {"path": "a.tif"}, "a.tif: no such file: check the name of the tilt series."),
    "folder": (
        {"a.tif": g.folder()},
        {},
        "a.tif: no images in this folder: give a tilt series, or a folder with one image per tilt.",
    ),
    "broken link": ({"a.tif": g.link("nowhere.tif")}, {}, "a.tif: no such file: check the name of the tilt series."),
    "link to itself": (
        {"a.tif": g.link("a.tif")},
        {},
        "a.tif: cannot read the tilt series: Too many levels of symbolic links: check its path and rights.",
    ),
    "pipe": ({"a.tif": os.mkfifo}, {}, "a.tif: this is a device or a pipe: give the tilt series as a file."),
    "device": (
        {"a.tif": g.link("/dev/zero")},
        {},
        "a.tif: this is a device or a pipe: give the tilt series as a file.",
    ),
    "below a file": (
        {"a.tif": g.tif()},
        {"path": "a.tif/b.tif"},
        "a.tif/b.tif: cannot read the tilt series: Not a directory: check its path and rights.",
    ),
    "name too long": (
        {},
        {"path": "a" * 300 + ".tif"},
        "a" * 300 + ".tif: cannot read the tilt series: File name too long: check its path and rights.",
    ),
    "zero byte in the name": (
        {},
        {"path": "a\0.tif"},
        "'a\\x00.tif': this cannot be the name of a file: check the name of the tilt series.",
    ),
    "no ending": (
        {"series": g.text("x")},
        {},
        "series: unknown file type (the name has no ending): give a tilt series as .ali, .blo, .dm3, .dm4, .emd, .emi, .h5, .hdf5, .mat, .mrc, .mrcs, .npy, .npz, .ser, .st, .tif, .tiff.",
    ),
    "unknown ending": (
        {"a.jpg": g.text("x")},
        {},
        "a.jpg: unknown file type '.jpg': give a tilt series as .ali, .blo, .dm3, .dm4, .emd, .emi, .h5, .hdf5, .mat, .mrc, .mrcs, .npy, .npz, .ser, .st, .tif, .tiff.",
    ),
    **{
        f"empty {end}": (
            {f"a.{end}": g.text("")},
            {},
            f"a.{end}: the file is empty (0 bytes): copy the tilt series again.",
        )
        for end in ("tif", "mrc", "h5", "npz", "npy", "mat", "dm3", "ser", "blo")
    },
    # -- TIFF ---------------------------------------------------------------------------------------------------------
    "TIFF, other content": (
        {"a.tif": g.mrc()},
        {},
        "a.tif: the name ends in '.tif', but the content is MRC: rename it to end in .mrc.",
    ),
    "TIFF, truncated": (
        {"a.tif": g.cut(g.tif(), 0.6)},
        {},
        "a.tif: this TIFF file is truncated or damaged (the images reach beyond the end of the file): copy or export it again.",
    ),
    "TIFF, huge": (
        {"a.tif": g.huge_tiff},
        {},
        "a.tif: the file declares 60000 x 60000 pixels, more than can be held: it is damaged, or the series must be cropped or binned first.",
    ),
    "TIFF, single image": (
        {"a.tif": g.tif(STACK[0])},
        {},
        "a.tif: this is a single image (12 x 10), not a tilt series: give a stack, one image per tilt.",
    ),
    "TIFF, colour": (
        {"a.tif": g.tif(np.zeros((7, 12, 10, 3), np.uint8), photometric="rgb")},
        {},
        "a.tif: this is an RGB colour stack: save it in grey (one value per pixel) and try again.",
    ),
    "TIFF, complex": (
        {"a.tif": g.tif(STACK.astype(np.complex64))},
        {},
        "a.tif: pixels of complex numbers cannot be used: save real numbers (integer or float).",
    ),
    "TIFF, sizes differ": (
        {"a.tif": g.pages(*STACK, STACK[0, :-1])},
        {},
        "a.tif: the images differ in size (11 x 10 and 12 x 10): a tilt series needs images of one size.",
    ),
    "TIFF, not square": (
        {"a.tif": g.tif(imagej=True, resolution=(4.0, 5.0), metadata={"unit": "angstrom"})},
        {"pixel_size_A": None},
        "a.tif: the pixels are not square (0.25 x 0.2 Å): resample the series to square pixels.",
    ),
    "TIFF, printer's resolution": (
        {"a.tif": g.tif(resolution=(72, 72))},
        {"pixel_size_A": None},
        "a.tif: the pixel size is not known, for nothing here says it: give it in Å (--pixel-size).",
    ),
    # -- MRC ----------------------------------------------------------------------------------------------------------
    "MRC, other content": (
        {"a.mrc": g.tif()},
        {},
        "a.mrc: the name ends in '.mrc', but the content is TIFF: rename it to end in .tif.",
    ),
    "MRC, no header": (
        {"a.mrc": g.cut(g.mrc(), 0.1)},
        {},
        "a.mrc: this MRC file is truncated or damaged (438 bytes, less than a header): copy or export it again.",
    ),
    "MRC, truncated": (
        {"a.mrc": g.cut(g.mrc(), 0.9)},
        {},
        "a.mrc: this MRC file is truncated or damaged (3945 of 4384 bytes are there): copy or export it again.",
    ),
    "MRC, huge": (
        {"a.mrc": g.mrc(header=g.MRC_HUGE)},
        {},
        "a.mrc: the file declares 500 x 60000 x 60000 pixels, more than can be held: it is damaged, or the series must be cropped or binned first.",
    ),
    "MRC, negative sizes": (
        {"a.mrc": g.mrc(header=struct.pack("<3i", 10, -12, 7))},
        {},
        "a.mrc: this MRC file is truncated or damaged (mode 2, 10 x -12 x 7): copy or export it again.",
    ),
    "MRC, complex": (
        {"a.mrc": g.mrc(STACK.astype(np.complex64))},
        {},
        "a.mrc: the pixels are complex numbers: save the real images of the tilt series.",
    ),
    "MRC, not square": (
        {"a.mrc": g.mrc(voxel=(0.3, 0.4, 1.0))},
        {"pixel_size_A": None},
        "a.mrc: the pixels are not square (0.3 x 0.4 Å): resample the series to square pixels.",
    ),
    # -- NumPy --------------------------------------------------------------------------------------------------------
    "NPZ, other content": (
        {"a.npz": g.text("not a ZIP file" * 50)},
        {},
        "a.npz: this NPZ file is truncated or damaged (...): copy or export it again.",
    ),
    "NPZ, truncated": (
        {"a.npz": g.cut(g.npz(), 0.5)},
        {},
        "a.npz: this NPZ file is truncated or damaged (...): copy or export it again.",
    ),
    "NPZ, pickled": (
        {"a.npz": g.npz(images=g.OBJECTS)},
        {},
        "a.npz: the file holds pickled Python objects, which are never loaded: save plain numeric arrays.",
    ),
    "NPZ, other array pickled": (
        {"a.npz": g.npz(mask=g.OBJECTS)},
        {},
        "a.npz: the file holds pickled Python objects, which are never loaded: save plain numeric arrays.",
    ),
    "NPZ, no images": (
        {"a.npz": lambda path: np.savez(path, first=np.eye(3))},
        {},
        "a.npz: no images among the arrays (first): name the stack [tilt, v, u] 'images'.",
    ),
    "NPZ, no array": (
        {"a.npz": g.zipped(images=b"1 2 3")},
        {},
        "a.npz: no images among the arrays (none): name the stack [tilt, v, u] 'images'.",
    ),
    "NPZ, huge": (
        {"a.npz": g.zipped(images__npy=g.npy_header((500, 60000, 60000)))},
        {},
        "a.npz: the file declares 500 x 60000 x 60000 pixels, more than can be held: it is damaged, or the series must be cropped or binned first.",
    ),
    "NPZ, more than it can hold": (
        {"a.npz": g.zipped(images__npy=g.npy_header((2000, 1000, 1000)))},
        {},
        "a.npz: this file is truncated or damaged (it declares 2000 x 1000 x 1000 pixels and has 246 bytes): copy or export it again.",
    ),
    "NPZ, text": (
        {"a.npz": g.npz(images=np.array([["a", "b"]]))},
        {},
        "a.npz: pixels of type <U1 cannot be used: save real numbers (integer or float).",
    ),
    "NPZ, complex": (
        {"a.npz": g.npz(images=STACK + 1j)},
        {},
        "a.npz: pixels of complex numbers cannot be used: save real numbers (integer or float).",
    ),
    "NPZ, four dimensions": (
        {"a.npz": g.npz(images=np.stack([STACK, STACK]))},
        {},
        "a.npz: a tilt series needs three dimensions [tilt, v, u], but this has 4 (2 x 7 x 12 x 10): save one image per tilt.",
    ),
    "NPZ, pixel size in words": (
        {"a.npz": g.npz(pixel_size_A="small")},
        {"pixel_size_A": None},
        "a.npz: 'pixel_size_A' does not hold numbers: save it as a numeric array.",
    ),
    "NPZ, negative pixel size": (
        {"a.npz": g.npz(pixel_size_A=-0.3)},
        {"pixel_size_A": None},
        "a.npz: the pixel size is -0.3 Å, but it must be positive: give it in Å.",
    ),
    "NPZ, two counts": (
        {"a.npz": g.npz(counts=[True, False])},
        {},
        "a.npz: 'counts' must be one number, not 2: save it as one.",
    ),
    "NPZ, centre of three": (
        {"a.npz": g.npz(center_px=[1, 2, 3])},
        {},
        "a.npz: center_px must be (row, column) in pixels, not 3 numbers.",
    ),
    "NPZ, excluded in words": (
        {"a.npz": g.npz(excluded=["third"])},
        {},
        "a.npz: 'excluded' does not hold numbers: save it as a numeric array.",
    ),
    "NPZ, excluded half": (
        {"a.npz": g.npz(excluded=[1.5])},
        {},
        "a.npz: 'excluded' must hold numbers of tilts, counted from 0: save them as integers.",
    ),
    "NPZ, one angle": (
        {"a.npz": g.npz(angles_deg=5.0)},
        {"angles": None},
        "a.npz: angles of shape () cannot be used: give theta, or psi, theta and phi, for each tilt.",
    ),
    "NPY, other content": (
        {"a.npy": g.text(pickle.dumps(g.Bomb()))},
        {},
        "a.npy: this NPY file is truncated or damaged (...): copy or export it again.",
    ),
    "NPY, pickled": (
        {"a.npy": g.npy(g.OBJECTS)},
        {},
        "a.npy: the file holds pickled Python objects, which are never loaded: save plain numeric arrays.",
    ),
    "NPY, truncated": (
        {"a.npy": g.cut(g.npy(STACK), 0.5)},
        {},
        "a.npy: this NPY file is truncated or damaged (1744 of 3360 bytes are there): copy or export it again.",
    ),
    "NPY, huge": (
        {"a.npy": g.text(g.npy_header((500, 60000, 60000)))},
        {},
        "a.npy: the file declares 500 x 60000 x 60000 pixels, more than can be held: it is damaged, or the series must be cropped or binned first.",
    ),
    "NPY, endless header": (
        {"a.npy": g.text(b"\x93NUMPY\x02\0" + struct.pack("<I", 30000) + b" " * 30000)},
        {},
        "a.npy: this NPY file is truncated or damaged (...): copy or export it again.",
    ),
    "NPY, no tilt": (
        {"a.npy": g.npy(STACK[:0])},
        {"angles": []},
        "a.npy: the stack is empty (0 x 12 x 10): check how it was saved.",
    ),
    "NPY, one tilt": (
        {"a.npy": g.npy(STACK[:1])},
        {"angles": [0]},
        "a.npy: this is a single image (1 x 12 x 10), not a tilt series: give one image per tilt.",
    ),
    "NPY, a number": (
        {"a.npy": g.npy(np.float32(3))},
        {},
        "a.npy: a tilt series needs three dimensions [tilt, v, u], but this has 0 (a number): save one image per tilt.",
    ),
    # -- HDF5, EMD ----------------------------------------------------------------------------------------------------
    "HDF5, other content": (
        {"a.h5": g.text("no signature" * 50)},
        {},
        "a.h5: this HDF5 file is truncated or damaged (no HDF5 signature): copy or export it again.",
    ),
    "HDF5, truncated": (
        {"a.h5": g.cut(g.h5(), 0.5)},
        {},
        "a.h5: this HDF5 file is truncated or damaged (...): copy or export it again.",
    ),
    "HDF5, no stack": (
        {"a.h5": g.h5({"first": np.eye(3), "second": 1.0})},
        {},
        "a.h5: no stack of images to be told among the data sets (first, second): name it 'images'.",
    ),
    "HDF5, two stacks": (
        {"a.h5": g.h5({"first": STACK, "second": STACK})},
        {},
        "a.h5: no stack of images to be told among the data sets (first, second): name it 'images'.",
    ),
    "HDF5, complex": (
        {"a.h5": g.h5({"images": STACK + 1j})},
        {},
        "a.h5: the pixels are complex numbers: save the real images of the tilt series.",
    ),
    "HDF5, huge": (
        {"a.h5": g.declared((500, 60000, 60000))},
        {},
        "a.h5: the file declares 500 x 60000 x 60000 pixels, more than can be held: it is damaged, or the series must be cropped or binned first.",
    ),
    "HDF5, more than it can hold": (
        {"a.h5": g.declared((500, 1000, 1000))},
        {},
        "a.h5: this file is truncated or damaged (it declares 500 x 1000 x 1000 pixels and has 1400 bytes): copy or export it again.",
    ),
    "HDF5, pixel size in words": (
        {"a.h5": g.h5(pixel_size_A="small")},
        {"pixel_size_A": None},
        "a.h5: 'pixel_size_A' must be one number: save it as one, or give what it says.",
    ),
    "HDF5, no pixel size in it": (
        {"a.h5": g.h5({"images": STACK, "pixel_size_A": np.zeros(0)})},
        {},
        "a.h5: 'pixel_size_A' must be one number: save it as one, or give what it says.",
    ),
    "EMD, not square": (
        {"a.emd": emd(0.4)},
        {"angles": None, "pixel_size_A": None},
        "a.emd: the pixels are not square (3 and 4 Å): resample the series.",
    ),
    "EMD, a dimension missing": (
        {"a.emd": emd(dims=2)},
        {"angles": None},
        "a.emd: this HDF5 file is truncated or damaged (...): copy or export it again.",
    ),
    "Velox, two stacks": (
        {"a.emd": velox},
        {},
        "a.emd: several stacks of images (DF, DF): export the HAADF series alone as TIFF or MRC.",
    ),
    "Velox, truncated": (
        {"a.emd": g.cut(velox, 0.9)},
        {},
        "a.emd: this HDF5 file is truncated or damaged (...): copy or export it again.",
    ),
    # -- MATLAB -------------------------------------------------------------------------------------------------------
    "MAT, other content": (
        {"a.mat": g.text("no MATLAB file" * 50)},
        {},
        "a.mat: this MATLAB file is truncated or damaged (...): copy or export it again.",
    ),
    "MAT, truncated": (
        {"a.mat": g.cut(g.mat(projections=COLUMNS), 0.5)},
        {},
        "a.mat: this MATLAB file is truncated or damaged (...): copy or export it again.",
    ),
    "MAT, no projections": (
        {"a.mat": g.mat(first=np.eye(3), second=1.0)},
        {},
        "a.mat: no stack of projections among the variables of numbers (first, second): name it 'projections'.",
    ),
    "MAT, cells": (
        {"a.mat": g.mat(projections=np.array([[1, "a"]], object))},
        {},
        "a.mat: no stack of projections among the variables of numbers (none): name it 'projections'.",
    ),
    "MAT, structure": (
        {"a.mat": g.mat(projections={"a": STACK})},
        {},
        "a.mat: no stack of projections among the variables of numbers (none): name it 'projections'.",
    ),
    "MAT, sparse": (
        {"a.mat": g.mat(projections=scipy.sparse.eye(3).tocsc())},
        {},
        "a.mat: no stack of projections among the variables of numbers (none): name it 'projections'.",
    ),
    "MAT, complex": (
        {"a.mat": g.mat(projections=COLUMNS + 1j)},
        {},
        "a.mat: the variable 'projections' holds complex numbers: save real ones.",
    ),
    "MAT, numbers of an unknown type": (
        {"a.mat": unknown_numbers},
        {},
        "a.mat: this MATLAB file is truncated or damaged (numbers of an unknown type): copy or export it again.",
    ),
    "MAT 7.3, huge": (
        {"a.mat": g.declared((500, 60000, 60000), name="projections")},
        {},
        "a.mat: the file declares 60000 x 60000 x 500 pixels, more than can be held: it is damaged, or the series must be cropped or binned first.",
    ),
    "MAT 7.3, more than it can hold": (
        {"a.mat": g.declared((500, 1000, 1000), name="projections")},
        {},
        "a.mat: this file is truncated or damaged (it declares 1000 x 1000 x 500 pixels and has 1400 bytes): copy or export it again.",
    ),
    # -- the microscopes' own -----------------------------------------------------------------------------------------
    "DM3, other content": (
        {"a.dm3": g.text("no DM3 file" * 50)},
        {},
        "a.dm3: this DigitalMicrograph file is truncated or damaged (...): copy or export it again.",
    ),
    "DM3, truncated": (
        {"a.dm3": g.cut(lambda path: write_dm3(path, STACK, [(0.03, "nm")] * 3), 0.5)},
        {},
        "a.dm3: this DigitalMicrograph file is truncated or damaged (...): copy or export it again.",
    ),
    "DM3, not square": (
        {"a.dm3": lambda path: write_dm3(path, STACK, [(0.03, "nm"), (0.04, "nm"), (20.0, "deg")], first=-60)},
        {"pixel_size_A": None},
        "a.dm3: the pixels are not square (0.3 x 0.4 Å): resample the series to square pixels.",
    ),
    "SER, other content": (
        {"a.ser": g.text("no SER file" * 50)},
        {},
        "a.ser: this TIA file is truncated or damaged (...): copy or export it again.",
    ),
    "SER, truncated": (
        {"a.ser": g.cut(lambda path: write_ser(path, STACK, 3e-11), 0.5)},
        {},
        "a.ser: this TIA file is truncated or damaged (...): copy or export it again.",
    ),
    "EMI without its SER": (
        {"a.emi": g.text("<ObjectInfo></ObjectInfo>")},
        {},
        "a.emi: no images of real numbers in the file: export the tilt series as TIFF or MRC.",
    ),
    "BLO, other content": (
        {"a.blo": g.text("no BLO file" * 50)},
        {},
        "a.blo: this Blockfile file is truncated or damaged (...): copy or export it again.",
    ),
    # -- one image per file -------------------------------------------------------------------------------------------
    "folder, nothing in it": (
        {"a": g.folder()},
        {},
        "a: no images in this folder: give a tilt series, or a folder with one image per tilt.",
    ),
    "folder, two formats": (
        {"a": g.folder(a__tif=g.tif(STACK[0]), b__mrc=g.mrc(STACK[0]))},
        {},
        "a: images of several formats (.mrc, .tif): leave only those of the series there, or choose the files themselves.",
    ),
    "folder, two stacks": (
        {"a": g.folder(a__tif=g.tif(), b__tif=g.tif())},
        {},
        "a/a.tif: this holds 7 images, not one: give that file alone, or one image per file.",
    ),
    "folder, sizes differ": (
        {"a": g.folder(a__tif=g.tif(STACK[0]), b__tif=g.tif(STACK[0, 1:]))},
        {},
        "a/b.tif: the images differ in size (12 x 10 and 11 x 10): a tilt series needs images of one size.",
    ),
    "folder, numbers": (
        {"a": g.folder(a__npy=g.npy(1.0), b__npy=g.npy(2.0))},
        {},
        "a/a.npy: this holds no images, not one: give that file alone, or one image per file.",
    ),
    "folder, an empty file": (
        {"a": g.folder(a__tif=g.tif(STACK[0]), b__tif=g.text(""))},
        {},
        "a/b.tif: the file is empty (0 bytes): copy the image again.",
    ),
    # -- pixels -------------------------------------------------------------------------------------------------------
    "not a number": (
        {"a.tif": g.tif(set_to(np.nan, 1, 2, 3))},
        {},
        "a.tif: 1 pixel is NaN or infinite, in tilt 1: mask these pixels (--mask) or exclude these tilts (--exclude).",
    ),
    "infinite": (
        {"a.tif": g.tif(set_to(np.inf, [0, 4], 2, 3))},
        {},
        "a.tif: 2 pixels are NaN or infinite, in tilts 0, 4: mask these pixels (--mask) or exclude these tilts (--exclude).",
    ),
    "too large for float32": (
        {"a.npy": g.npy(set_to(0, 0, 0, 0).astype(float) * 1e60)},
        {},
        "a.npy: 839 pixels are NaN or infinite, in tilts 0, 1, 2, 3, 4, 5, 6: mask these pixels (--mask) or exclude these tilts (--exclude).",
    ),
    "constant": (
        {"a.tif": g.tif(set_to(3.0, [3, 5]))},
        {},
        "a.tif: the image of tilts 3, 5 is constant: leave it out (--exclude), or put the measured image there.",
    ),
    "all zero": ({"a.tif": g.tif(0 * STACK)}, {}, "a.tif: holds nothing but zeros: copy or export the series again."),
    "negative counts": (
        {"a.tif": g.tif(set_to(-1, 2, 3, slice(3, 5)))},
        {"counts": True},
        "a.tif: 2 negative values in tilt 2, but counts cannot be negative: leave 'counts' off, or give the raw counts.",
    ),
    # -- angles -------------------------------------------------------------------------------------------------------
    "no angles": (
        {"a.tif": g.tif()},
        {"angles": None},
        "a.tif: no tilt angles in the file or beside it: give an angle file, such as a.tlt.",
    ),
    "too few angles": (
        {"a.tif": g.tif()},
        {"angles": [0, 20, 40]},
        "a.tif (angles given): 3 angles but 7 images: give exactly one angle per image, in the same order.",
    ),
    "angles in words": (
        {"a.tif": g.tif()},
        {"angles": ["a"] * 7},
        "a.tif: the angles given are not numbers: give degrees, one per image.",
    ),
    "angles in radians": (
        {"a.tif": g.tif()},
        {"angles": np.deg2rad(THETAS) / 2},
        "a.tif (angles given): the angles run only from -0.5236 to 0.5236 in steps up to 0.175, which looks like radians: convert them to degrees.",
    ),
    "angles beyond 360": (
        {"a.tif": g.tif()},
        {"angles": 100 * THETAS},
        "a.tif (angles given): the largest angle is 6000, beyond 360: angles must be in degrees, check their unit.",
    ),
    "angles not finite": (
        {"a.tif": g.tif()},
        {"angles": [0, 1, 2, np.nan, 4, 5, np.inf]},
        "a.tif (angles given): the angle of tilts 3, 6 is not a finite number: correct the angles.",
    ),
    "one angle for all": (
        {"a.tif": g.tif()},
        {"angles": [5] * 7},
        "a.tif (angles given): only 1 distinct tilt to use: tomography needs at least 3, and in practice dozens.",
    ),
    "two angles": (
        {"a.tif": g.tif()},
        {"angles": [5, 6] * 3 + [5]},
        "a.tif (angles given): only 2 distinct tilts to use: tomography needs at least 3, and in practice dozens.",
    ),
    **{
        f"angle file, {name}": ({"a.tif": g.tif(), file: make}, {"angles": file}, sentence)
        for name, file, make, sentence in [
            ("missing", "b.tlt", lambda path: None, "b.tlt: no such file: check the name of the angle file."),
            ("a folder", "b.tlt", g.folder(), "b.tlt: this is a folder, not an angle file: give the file itself."),
            ("empty", "b.tlt", g.text(" \n"), "b.tlt: the angle file is empty: give one angle per image, in degrees."),
            (
                "not text",
                "b.tlt",
                g.text(b"\xff\xfe\x00\x01"),
                "b.tlt: not a text file of angles: give CSV, .tlt, .rawtlt or .mdoc with one tilt a line.",
            ),
            (
                "words",
                "b.tlt",
                g.text("ten\ntwenty\n"),
                "b.tlt: no angle column in the header (ten): name the columns psi_deg,theta_deg,phi_deg.",
            ),
            (
                "a word",
                "b.csv",
                g.text("theta_deg\n1\nten\n"),
                "b.csv: line 3 is not a number ('ten'): give one angle per image, in degrees.",
            ),
            (
                "header only",
                "b.csv",
                g.text("theta_deg\n"),
                "b.csv: no angles below the header: give one line per image, in degrees.",
            ),
            (
                "no column of angles",
                "b.csv",
                g.text("image,time\n1,2\n"),
                "b.csv: no angle column in the header (image,time): name the columns psi_deg,theta_deg,phi_deg.",
            ),
            (
                "radians",
                "b.csv",
                g.text("theta_rad\n0.1\n"),
                "b.csv: the header says radians (theta_rad): convert the angles to degrees.",
            ),
            (
                "uneven",
                "b.csv",
                g.text("psi_deg,theta_deg,phi_deg\n0,1,0\n0,2\n"),
                "b.csv: line 3 has 2 values where the others have 3: correct that line.",
            ),
            (
                "four columns",
                "b.txt",
                g.text("1 2 3 4\n" * 7),
                "b.txt: 4 columns without a header: give one angle a line, or the header psi_deg,theta_deg,phi_deg; where commas stand before decimals, write points.",
            ),
            (
                "speaking to the terminal",
                "b.csv",
                g.text("a\x1b[2J,b\n1,2\n"),
                "b.csv: no angle column in the header (a\\x1b[2j,b): name the columns psi_deg,theta_deg,phi_deg.",
            ),
            (
                "endless field",
                "b.csv",
                g.text('a,theta_deg\n"' + "x" * 200_000 + '",1\n'),
                "b.csv: not a table of angles (field larger than field limit (131072)): give one tilt a line.",
            ),
            (
                "no tilts",
                "b.mdoc",
                g.text("[ZValue = 0]\nExposureTime = 1\n"),
                "b.mdoc: section 0 has no TiltAngle: give an .mdoc of a tilt series, or the angles as CSV.",
            ),
            (
                "tilt in words",
                "b.mdoc",
                g.text("[ZValue = 0]\nTiltAngle = ten\n"),
                "b.mdoc: a TiltAngle, PixelSpacing or RotationAngle is not a number: correct the .mdoc.",
            ),
            (
                "no variable",
                "b.mat",
                g.mat(first=np.eye(3), second=np.eye(3)),
                "b.mat: no variable of angles in the file: name it 'angles' (RESIRE) or 'Euler_angles' (GENFIRE).",
            ),
            (
                "text in place of angles",
                "b.mat",
                g.mat(angles="ten"),
                "b.mat: no variable of angles in the file: name it 'angles' (RESIRE) or 'Euler_angles' (GENFIRE).",
            ),
            (
                "other content",
                "b.mat",
                g.text("no MATLAB file" * 50),
                "b.mat: this MATLAB file is truncated or damaged (...): copy or export it again.",
            ),
        ]
    },
    # -- what is given besides ----------------------------------------------------------------------------------------
    "pixel size unknown": (
        {"a.tif": g.tif()},
        {"pixel_size_A": None},
        "a.tif: the pixel size is not known, for nothing here says it: give it in Å (--pixel-size).",
    ),
    "pixel size 0": (
        {"a.tif": g.tif()},
        {"pixel_size_A": 0},
        "a.tif: the pixel size is 0 Å, but it must be positive: give it in Å.",
    ),
    "pixel size negative": (
        {"a.tif": g.tif()},
        {"pixel_size_A": -0.3},
        "a.tif: the pixel size is -0.3 Å, but it must be positive: give it in Å.",
    ),
    "pixel size in metres": (
        {"a.tif": g.tif()},
        {"pixel_size_A": 2.5e-11},
        "a.tif: a pixel size of 2.5e-11 Å is not between 0.001 and 100 Å: check its unit.",
    ),
    "pixel size in words": (
        {"a.tif": g.tif()},
        {"pixel_size_A": "small"},
        "a.tif: the pixel size must be a number, not 'small': give it as one.",
    ),
    "centre not finite": (
        {"a.tif": g.tif()},
        {"center_px": (np.nan, 1)},
        "a.tif: the rotation centre (nan, 1.0) is not finite: give (row, column) in pixels.",
    ),
    "tilt axis not finite": (
        {"a.tif": g.tif()},
        {"tilt_axis_deg": np.inf},
        "a.tif: the tilt axis must be a number, not inf: give it as one.",
    ),
    "excluding what is not there": (
        {"a.tif": g.tif()},
        {"exclude": (7,)},
        "a.tif: cannot exclude tilt 7: the 7 tilts are counted from 0 to 6.",
    ),
    "excluding too many": (
        {"a.tif": g.tif()},
        {"exclude": range(5)},
        "a.tif: only 2 distinct tilts to use: tomography needs at least 3, and in practice dozens.",
    ),
    "mask of another kind": (
        {"a.tif": g.tif(), "m.png": g.text("x")},
        {"mask": "m.png"},
        "m.png: a mask must be a TIFF (.tif), 1 where a pixel may be used: convert it.",
    ),
    "mask of another shape": (
        {"a.tif": g.tif(), "m.tif": g.tif(np.ones((5, 5)))},
        {"mask": "m.tif"},
        "m.tif: the mask (5 x 5) does not fit the images (7 x 12 x 10): give one of the same rows and columns, 2-D or one per tilt.",
    ),
    "mask that leaves nothing": (
        {"a.tif": g.tif(), "m.tif": g.tif(np.zeros((12, 10)))},
        {"mask": "m.tif"},
        "m.tif: the mask leaves no pixel to use: it must be 1 where a pixel may be used, 0 elsewhere.",
    ),
    "mask missing": ({"a.tif": g.tif()}, {"mask": "m.tif"}, "m.tif: no such file: check the name of the mask."),
}


@pytest.mark.parametrize("name", SERIES)
def test_a_series_that_cannot_be_used(name, tmp_path, monkeypatch):
    files, options, sentence = SERIES[name]
    g.write(tmp_path, files)
    monkeypatch.chdir(tmp_path)
    said = {"path": next(iter(files), None), "angles": THETAS, "pixel_size_A": 0.3, **options}
    before = g.state(tmp_path)
    with pytest.raises(InputError) as caught:
        read_series(said.pop("path"), **said)
    g.assert_said(sentence, str(caught.value))
    assert g.state(tmp_path) == before


ATOM = "1\n\nPt 0 0 0\n"
# Of each case: the file's name, what it is, the sentence.
ATOMS: dict[str, tuple[str, g.Make, str]] = {
    "missing": ("a.xyz", lambda path: None, "a.xyz: no such file of atoms: check the name."),
    "folder": ("a.xyz", g.folder(), "a.xyz: this is a folder, not a file of atoms: give the file itself."),
    "broken link": ("a.xyz", g.link("nowhere"), "a.xyz: no such file: check the name of the file of atoms."),
    "pipe": ("a.cif", os.mkfifo, "a.cif: this is a device or a pipe: give the file of atoms as a file."),
    "name too long": (
        "a" * 300 + ".xyz",
        lambda path: None,
        "a" * 300 + ".xyz: no such file of atoms: check the name.",
    ),
    "unknown ending": (
        "a.docx",
        g.text(ATOM),
        "a.docx: atoms are read from .xyz, .csv, RESIRE .mat, LAMMPS data (.lmp) or .lot.h5 files, not from .docx.",
    ),
    "XYZ, empty": ("a.xyz", g.text(""), "a.xyz: the file is empty (0 bytes): copy the file of atoms again."),
    "XYZ, not text": ("a.xyz", g.text(b"\xff\xfe\0"), "a.xyz: not a text file of atoms; give XYZ or CSV."),
    "XYZ, no number": (
        "a.xyz",
        g.text("Pt 0 0 0\n"),
        "a.xyz: line 1: an XYZ file starts with the number of its atoms; write it there.",
    ),
    "XYZ, no atoms": ("a.xyz", g.text("0\n\n"), "a.xyz: the file holds no atoms; give one that does."),
    "XYZ, a line": ("a.xyz", g.text("0"), "a.xyz: the file holds no atoms; give one that does."),
    "XYZ, negative number": (
        "a.xyz",
        g.text("-1\n\n"),
        "a.xyz: line 1 promises -1 atoms, 0 follow; the file is cut short: copy it again.",
    ),
    "XYZ, cut short": (
        "a.xyz",
        g.text("3\n\nPt 0 0 0\n"),
        "a.xyz: line 1 promises 3 atoms, 1 follow; the file is cut short: copy it again.",
    ),
    "XYZ, two structures": (
        "a.xyz",
        g.text(ATOM + ATOM),
        "a.xyz: line 4: more lines than the 1 atoms of line 1; give one structure.",
    ),
    "XYZ, a coordinate missing": ("a.xyz", g.text("1\n\nPt 0 0\n"), "a.xyz: line 3: 3 fields, expected 4; correct it."),
    "XYZ, a word": ("a.xyz", g.text("1\n\nPt 0 zero 0\n"), "a.xyz: line 3: y_A is not a number: 'zero'; correct it."),
    "XYZ, not a number": (
        "a.xyz",
        g.text("1\n\nPt 0 nan 0\n"),
        "a.xyz: atom 1 has positions that are no finite number; correct or delete it.",
    ),
    "XYZ, unknown element": (
        "a.xyz",
        g.text("1\n\nQq 0 0 0\n"),
        "a.xyz: line 3: 'Qq' is no element symbol; write one such as Pt, or X.",
    ),
    "XYZ, no positions": (
        "a.xyz",
        g.text("1\nProperties=species:S:1\nPt\n"),
        "a.xyz: line 2: Properties lack species or pos; write species:S:1:pos:R:3.",
    ),
    "XYZ, a column twice": (
        "a.xyz",
        g.text("1\nProperties=species:S:1:species:S:1:pos:R:3\nPt Pt 0 0 0\n"),
        "a.xyz: line 2: Properties name a column twice; every column needs its own name.",
    ),
    "XYZ, a billion columns": (
        "a.xyz",
        g.text("1\nProperties=species:S:1:pos:R:3:a:R:999999999\nPt 0 0 0\n"),
        "a.xyz: line 3: 4 fields, expected 5; correct it.",
    ),
    "XYZ, half an id": (
        "a.xyz",
        g.text("1\nProperties=species:S:1:pos:R:3:id:I:1\nPt 0 0 0 0.5\n"),
        "a.xyz: line 3: an id must be a whole number from 0 on; correct or delete the column.",
    ),
    "XYZ, huge id": (
        "a.xyz",
        g.text("1\nProperties=species:S:1:pos:R:3:id:I:1\nPt 0 0 0 1e300\n"),
        "a.xyz: line 3: an id must be a whole number from 0 on; correct or delete the column.",
    ),
    "CSV, empty": ("a.csv", g.text(""), "a.csv: the file is empty (0 bytes): copy the file of atoms again."),
    "CSV, no column z": (
        "a.csv",
        g.text("x,y\n1,2\n"),
        "a.csv: the header has no column z_A; expected 'id,element,x_A,y_A,z_A,...'.",
    ),
    "CSV, a column twice": (
        "a.csv",
        g.text("x,x_A,y,z\n1,2,3,4\n"),
        "a.csv: the header names the column x_A twice; every column needs its own name.",
    ),
    "CSV, a field missing": (
        "a.csv",
        g.text("x,y,z\n1,2,3\n1,2\n"),
        "a.csv: line 3: 2 fields where the header has 3; correct it.",
    ),
    "CSV, id twice": (
        "a.csv",
        g.text("id,x,y,z\n5,0,0,0\n5,1,1,1\n"),
        "a.csv: an id occurs twice; every atom needs its own.",
    ),
    "CSV, width 0": (
        "a.csv",
        g.text("x,y,z,width_A\n0,0,0,0\n"),
        "a.csv: atom 1 has a width that is not positive; correct or delete it.",
    ),
    "CSV, endless field": (
        "a.csv",
        g.text('x,y,z\n"' + "1" * 200_000 + '",1,1\n'),
        "a.csv: not a table of atoms (field larger than field limit (131072)); give one atom a line.",
    ),
    "MAT, other content": (
        "a.mat",
        g.text("no MATLAB file" * 50),
        "a.mat: this MATLAB file is truncated or damaged (...): copy or export it again.",
    ),
    "MAT, no atoms": (
        "a.mat",
        g.mat(model=np.eye(2)),
        "a.mat: no 3 by N array of atoms; expected a variable named model_refined, model, atom_pos, atoms_pos, atomic_positions, coordinates, coord or xyz.",
    ),
    "MAT, not a number": (
        "a.mat",
        g.mat(model=np.full((3, 2), np.nan)),
        "a.mat: atom 1 has positions that are no finite number; correct or delete it.",
    ),
    "MAT 7.3, huge": (
        "a.mat",
        g.declared((3, 2**31), "f8", "model"),
        "a.mat: the file declares 3 x 2147483648 pixels, more than can be held: it is damaged, or the series must be cropped or binned first.",
    ),
    "CIF, other content": (
        "a.cif",
        g.text("no CIF"),
        "a.cif: ASE cannot read atoms from it; give XYZ, CSV or RESIRE .mat.",
    ),
    "CIF, no atoms": (
        "a.cif",
        g.text("data_x\n"),
        "a.cif: ASE cannot read atoms from it; give XYZ, CSV or RESIRE .mat.",
    ),
    "PDB, damaged": (
        "a.pdb",
        g.text("ATOM  99999999\n"),
        "a.pdb: ASE cannot read atoms from it (...); give XYZ, CSV or RESIRE .mat.",
    ),
    "POSCAR, damaged": (
        "POSCAR",
        g.text("x\n"),
        "POSCAR: ASE cannot read atoms from it (...); give XYZ, CSV or RESIRE .mat.",
    ),
    "HDF5, no session": (
        "a.h5",
        g.h5(),
        "a.h5: this is not a session of napari-lot: give a file that it saved (.lot.h5).",
    ),
}


@pytest.mark.parametrize("name", ATOMS)
def test_atoms_that_cannot_be_used(name, tmp_path, monkeypatch):
    file, make, sentence = ATOMS[name]
    if file[:-4] != "a" * 300:
        make(tmp_path / file)
    monkeypatch.chdir(tmp_path)
    before = g.state(tmp_path)
    read = read_structure if not file.endswith((".docx", ".h5")) else read_atoms
    with pytest.raises(InputError) as caught:
        read(file)
    g.assert_said(sentence, str(caught.value))
    assert g.state(tmp_path) == before


KIND = {"format": "napari-lot session", "schema": 1, "version": "0.1.0", "saved": ""}


def endless_text(path: Path) -> None:
    """Settings whose length HDF5 would ask two gigabytes for."""
    g.h5({"settings": "{}"}, **KIND)(path)
    with h5py.File(path) as file:
        at = file["settings"].id.get_offset()
    whole = path.read_bytes()
    path.write_bytes(whole[:at] + struct.pack("<I", 2**31) + whole[at + 4 :])


SESSIONS: dict[str, tuple[g.Make, str]] = {
    "missing": (lambda path: None, "a.lot.h5: no such file: check the name of the session."),
    "folder": (g.folder(), "a.lot.h5: this is a folder, not a session: give the file itself."),
    "empty": (g.text(""), "a.lot.h5: the file is empty (0 bytes): copy the session again."),
    "other content": (
        g.text("no session"),
        "a.lot.h5: this is not a session of napari-lot: give a file that it saved (.lot.h5).",
    ),
    "other HDF5": (g.h5(), "a.lot.h5: this is not a session of napari-lot: give a file that it saved (.lot.h5)."),
    "of a later version": (
        g.h5({}, **{**KIND, "schema": 7, "version": "9.0"}),
        "a.lot.h5: this session was written by napari-lot 9.0, which knows more than this version (0.1.0): upgrade with 'pip install --upgrade napari-lot'.",
    ),
    "of no version": (
        g.h5({}, **{**KIND, "schema": 0}),
        "a.lot.h5: this session says that its schema is 0, which there never was: open another copy.",
    ),
    "schema in words": (
        g.h5({}, **{**KIND, "schema": "one"}),
        "a.lot.h5: this session is truncated or damaged (...): open another copy.",
    ),
    "nothing in it": (g.h5({}, **KIND), "a.lot.h5: this session is truncated or damaged (...): open another copy."),
    "settings of another kind": (
        g.h5({"settings": "[1]"}, **KIND),
        "a.lot.h5: expected sections such as 'microscope:', found list.",
    ),
    "text longer than the file": (
        endless_text,
        "a.lot.h5: this session is truncated or damaged (settings is longer than the file): open another copy.",
    ),
    "unknown setting": (
        g.h5({"settings": '{"solver": {"sede": 1}}'}, **KIND),
        "a.lot.h5: solver.sede: there is no such setting; did you mean solver.seed? (given: 1).",
    ),
    "settings nested without end": (
        g.h5({"settings": "[" * 100_000}, **KIND),
        "a.lot.h5: this session is truncated or damaged (...): open another copy.",
    ),
    "more images than it can hold": (
        g.declared((500, 1000, 1000), name="series/images"),
        "a.lot.h5: this file is truncated or damaged (it declares 500 x 1000 x 1000 pixels and has 8576 bytes): copy or export it again.",
    ),
}


@pytest.mark.parametrize("name", SESSIONS)
def test_sessions_that_cannot_be_used(name, tmp_path, monkeypatch):
    make, sentence = SESSIONS[name]
    monkeypatch.chdir(tmp_path)
    make(Path("a.lot.h5"))
    if name == "more images than it can hold":
        with h5py.File("a.lot.h5", "r+") as file:
            file.attrs.update(KIND)
    before = g.state(tmp_path)
    with pytest.raises(InputError) as caught:
        read_session("a.lot.h5")
    g.assert_said(sentence, str(caught.value))
    assert g.state(tmp_path) == before


# -- rights, names and traps ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "read", "what"),
    [
        ("a.tif", lambda p: read_series(p, angles=THETAS), "tilt series"),
        ("a.tlt", read_angles, "angle file"),
        ("a.xyz", read_atoms, "file of atoms"),
        ("a.yaml", load_settings, "settings file"),
        ("a.lot.h5", read_session, "session"),
    ],
)
def test_a_file_without_the_right_to_read(name, read, what, tmp_path):
    path = tmp_path / name
    path.write_bytes(b"x" * 100)
    path.chmod(0)
    for above in (tmp_path, *tmp_path.parents[:2]):
        above.chmod(0o755)
    with g.as_nobody(), pytest.raises(InputError) as caught:
        read(path)
    assert str(caught.value) == f"{path}: cannot read the {what}: Permission denied: check its path and rights."
    path.chmod(0o600)
    assert path.read_bytes() == b"x" * 100


@pytest.mark.parametrize(
    "name", ["with spaces.tif", "Größe ☃ 試料.tif", os.fsdecode(b"s\xe9rie.tif"), "²1².tif", "a@2.tif"]
)
def test_names_that_work(name, tmp_path):
    g.write(tmp_path, {name: g.tif(), "angles of it.tlt": g.text(g.ANGLES)})
    series = read_series(tmp_path / name, angles=tmp_path / "angles of it.tlt", pixel_size_A=0.3)
    np.testing.assert_array_equal(series.images, STACK)
    single = tmp_path / "one by one"
    single.mkdir()
    for i, image in enumerate(STACK):
        g.tif(image)(single / f"{i}{name}")
    np.testing.assert_array_equal(read_series(single, angles=THETAS, pixel_size_A=0.3).images, STACK)


def test_no_pickle_is_ever_loaded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (n for n in SERIES if "pickled" in n or n == "NPY, other content"):
        g.write(tmp_path, SERIES[name][0])
        with pytest.raises(InputError):
            read_series(next(iter(SERIES[name][0])), angles=THETAS)
    assert pickle.loads(pickle.dumps(g.Bomb())) is None
    assert (tmp_path / "exploded").exists(), "else the test could not fail"
