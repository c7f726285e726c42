"""Files for the tests, written by each format's own library."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import mrcfile
import numpy as np
import scipy.io
import tifffile
from numpy.typing import NDArray


def write_tiff(folder: Path, stack: NDArray[Any], **options: Any) -> Path:
    tifffile.imwrite(folder / "a.tif", stack, photometric="minisblack", **options)
    return folder / "a.tif"


def write_tiff_pages(folder: Path, stack: NDArray[Any]) -> Path:
    """Page by page without a word about the shape, as most cameras' programs write."""
    with tifffile.TiffWriter(folder / "a.tif") as writer:
        for image in stack:
            writer.write(image, photometric="minisblack", metadata=None, contiguous=False)
    return folder / "a.tif"


def write_mrc(folder: Path, stack: NDArray[Any], voxel: float | None = None) -> Path:
    with mrcfile.new(folder / "a.mrc", overwrite=True) as mrc:
        mrc.set_data(stack)
        if voxel is not None:
            mrc.voxel_size = voxel
    return folder / "a.mrc"


def write_npz(folder: Path, images: NDArray[Any], **arrays: Any) -> Path:
    np.savez_compressed(folder / "a.npz", images=images, **arrays)
    return folder / "a.npz"


def write_npy(folder: Path, stack: NDArray[Any]) -> Path:
    np.save(folder / "a.npy", stack)
    return folder / "a.npy"


def write_mat5(folder: Path, variables: dict[str, Any]) -> Path:
    scipy.io.savemat(folder / "a.mat", variables)
    return folder / "a.mat"


def write_mat73(folder: Path, variables: dict[str, Any]) -> Path:
    """As MATLAB does: HDF5 behind a user block of 512 bytes, axes reversed, scalars as 1 x 1."""
    path = folder / "a.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in variables.items():
            array = np.asarray(value)
            file[name] = np.atleast_2d(array).T if array.ndim < 3 else array.T
            file[name].attrs["MATLAB_class"] = np.bytes_("double")
    with path.open("r+b") as stream:
        stream.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    return path


def write_hdf5(folder: Path, sets: dict[str, Any], **attributes: Any) -> Path:
    with h5py.File(folder / "a.h5", "w") as file:
        for name, value in sets.items():
            file[name] = value
        file.attrs.update(attributes)
    return folder / "a.h5"


WRITERS: dict[str, Callable[[Path, NDArray[Any]], Path]] = {
    "tiff": write_tiff,
    "tiff deflate": lambda folder, stack: write_tiff(folder, stack, compression="zlib"),
    "tiff bigtiff": lambda folder, stack: write_tiff(folder, stack, bigtiff=True),
    "tiff big-endian": lambda folder, stack: write_tiff(folder, stack, byteorder=">"),
    "tiff pages": write_tiff_pages,
    "tiff imagej": lambda folder, stack: write_tiff(folder, stack, imagej=True),
    "tiff imagej hyperstack": lambda folder, stack: write_tiff(folder, stack[:, None, None], imagej=True),
    "tiff ome": lambda folder, stack: write_tiff(folder, stack, ome=True, metadata={"axes": "TYX"}),
    "mrc": write_mrc,
    "npz": write_npz,
    "npy": write_npy,
    "mat v5": lambda folder, stack: write_mat5(folder, {"projections": np.moveaxis(stack, 0, 2)}),
    "mat v5, unknown name": lambda folder, stack: write_mat5(folder, {"mystack": np.moveaxis(stack, 0, 2), "n": 3.0}),
    "mat v7.3": lambda folder, stack: write_mat73(folder, {"projections": np.moveaxis(stack, 0, 2)}),
    "hdf5": lambda folder, stack: write_hdf5(folder, {"entry/images": stack}),
}
