"""Files written: atoms as CSV and XYZ with all that is known of each, stacks as TIFF.

Lengths in Å, specimen frame, origin at the rotation centre.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_lot.atoms import Orbitals
from napari_lot.progress import Progress, counted, nothing

_LARGEST_IMAGEJ_BYTES = 2**32 - 2**20


def atom_columns(orbitals: Orbitals, more: Mapping[str, NDArray[Any]] | None = None) -> dict[str, Any]:
    """Every exported column in its order, name to values of length N; a column not computed is absent.

    Parameters
    ----------
    orbitals : Orbitals
    more : mapping of str to (N,) arrays, optional
        What a run knows besides (``Result.columns``).
    """
    x, y, z = orbitals.positions.T
    columns: dict[str, Any] = {
        "id": orbitals.id,
        "element": orbitals.symbols,
        "x_A": x,
        "y_A": y,
        "z_A": z,
        "height": orbitals.height,
        "width_A": orbitals.width,
        "integrated_A2": orbitals.integrated,
    }
    return columns | dict(more or {})


def _text(value: Any) -> str:
    # Nine significant digits: 1e-6 Å at 1000 Å, and the same text for the same run.
    return f"{value:.9g}" if isinstance(value, float | np.floating) else str(value)


def write_atoms_csv(path: str | Path, orbitals: Orbitals, more: Mapping[str, NDArray[Any]] | None = None) -> None:
    """Write ``atoms.csv`` (see ``atom_columns``)."""
    columns = atom_columns(orbitals, more)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_text(value) for value in row] for row in zip(*columns.values(), strict=True))


def write_atoms_xyz(path: str | Path, orbitals: Orbitals, more: Mapping[str, NDArray[Any]] | None = None) -> None:
    """Write extended XYZ: element x y z, then the same properties as the CSV."""
    columns = atom_columns(orbitals, more)
    order = ["element", "x_A", "y_A", "z_A"]
    order += [name for name in columns if name not in order]
    kinds = ["species:S:1", "pos:R:3"]
    kinds += [f"{name}:{'I' if np.asarray(columns[name]).dtype.kind == 'i' else 'R'}:1" for name in order[4:]]
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.write(f'{len(orbitals)}\nProperties={":".join(kinds)} units="angstrom" pbc="F F F"\n')
        for row in zip(*(columns[name] for name in order), strict=True):
            file.write(" ".join(_text(value) for value in row) + "\n")


def write_atoms_plain_xyz(path: str | Path, orbitals: Orbitals, comment: str = "") -> None:
    """Write plain XYZ: the number of atoms, a comment, then element x y z in Å and nothing else.

    Parameters
    ----------
    comment : str
        The second line of the file; line breaks in it become spaces.
    """
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.write(f"{len(orbitals)}\n{' '.join(comment.split()) or 'napari-lot, Angstrom'}\n")
        for symbol, (x, y, z) in zip(orbitals.symbols, orbitals.positions, strict=True):
            file.write(f"{symbol} {_text(x)} {_text(y)} {_text(z)}\n")


def write_stack(
    path: str | Path,
    images: NDArray[Any],
    pixel_size_A: float,
    axes: str = "TYX",
    progress: Progress = nothing,
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Write a float32 TIFF stack with its pixel size: ImageJ's kind, or OME-BigTIFF from 4 GB on.

    Parameters
    ----------
    images : (N, V, U) array
    pixel_size_A : float
    axes : str
        What the three axes are, in tifffile's letters.
    progress : callable
        Told how much is done, 0 to 1, before each image.
    facts : mapping, optional
        Names and values that the file's description is to hold besides; ``spacing`` is the distance of images in Å.
    """
    images = np.ascontiguousarray(images, dtype=np.float32)
    one_by_one: dict[str, Any] = {"data": counted(list(images), progress), "shape": images.shape, "dtype": images.dtype}
    if images.nbytes < _LARGEST_IMAGEJ_BYTES:
        tifffile.imwrite(
            path,
            **one_by_one,
            imagej=True,
            resolution=(1 / pixel_size_A, 1 / pixel_size_A),
            metadata={"axes": axes, "unit": "angstrom", **(facts or {})},
        )
    else:
        size = {f"PhysicalSize{axis}": pixel_size_A for axis in "XY"}
        unit = {f"PhysicalSize{axis}Unit": "Å" for axis in "XY"}
        if facts:
            size |= {"PhysicalSizeZ": facts["spacing"]} if "spacing" in facts else {}
            unit |= {"PhysicalSizeZUnit": "Å"} if "spacing" in facts else {}
            unit["Description"] = "\n".join(f"{name}={value}" for name, value in facts.items())
        tifffile.imwrite(path, **one_by_one, bigtiff=True, ome=True, metadata={"axes": axes, **size, **unit})
