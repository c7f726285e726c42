"""napari's side doors: readers, writers and sample data as plain LayerData. Neither napari nor Qt is imported."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_lot.errors import InputError
from napari_lot.series.layer import layer_data
from napari_lot.series.read import READERS, holds_series, read_series

LayerData = tuple[Any, dict[str, Any], str]
PathOrPaths = str | Path | Sequence[str | Path]

# Anybody's images: napari goes by names alone, so a claim on these would make it ask at every TIFF which reader to use.
# The workbench takes them as files, or as layers with an angle file beside their file.
_NOT_CLAIMED = (".tif", ".tiff", ".npy")


def _single(path: PathOrPaths) -> Path | None:
    if isinstance(path, (str, Path)):
        return Path(path)
    return Path(path[0]) if len(path) == 1 else None


def get_series_reader(path: PathOrPaths) -> Callable[[PathOrPaths], list[LayerData]] | None:
    """A reader when the file looks like a tilt series, otherwise None so that another reader takes it.

    TIFF and NPY stay with napari's own reader; a volume in MRC, NPZ, MAT or HDF5 without angles is not a tilt series.
    """
    file = _single(path)
    if file is None:  # several files, opened as one stack: one image each
        files = [Path(p) for p in path]  # type: ignore[union-attr]
        claimed = all(f.is_file() and f.suffix.lower() in READERS.keys() - _NOT_CLAIMED for f in files)
        return read_series_layers if files and claimed and holds_series(files) else None
    if not file.is_file() or file.suffix.lower() not in READERS.keys() - _NOT_CLAIMED:
        return None
    return read_series_layers if holds_series(file) else None


def read_series_layers(path: PathOrPaths) -> list[LayerData]:
    """The series as one 4-D image layer [tilt, 1, v, u] in Å.

    Raises
    ------
    InputError
        As ``read_series``; napari shows the sentence as a notification.
    """
    return [layer_data(read_series(_single(path) or path))]


def get_atoms_reader(path: PathOrPaths) -> Callable[[PathOrPaths], list[LayerData]] | None:
    """A reader of atoms for .xyz and .extxyz files."""
    file = _single(path)
    if file is None or not file.is_file() or file.suffix.lower() not in (".xyz", ".extxyz"):
        return None
    return read_atoms_layers


def read_atoms_layers(path: PathOrPaths) -> list[LayerData]:
    """Atoms as a 3-D Points layer (z, y, x) in Å; element, height and width become features.

    Raises
    ------
    InputError
        The file holds no atoms that can be read.
    """
    from napari_lot.export import read_atoms

    file = _single(path)
    if file is None:
        raise InputError("Several files were given: open files of atoms one by one.")
    atoms = read_atoms(file)
    options = {
        "name": file.stem,
        "units": ("angstrom",) * 3,
        "axis_labels": ("z", "y", "x"),
        "size": 1.5,
        "features": {
            "id": atoms.id,
            "element": np.array(atoms.symbols),
            "height": atoms.height,
            "width_A": atoms.width,
        },
    }
    return [(atoms.positions[:, ::-1].copy(), options, "points")]


def write_atoms(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write a 3-D Points layer (z, y, x) as extended XYZ or CSV, by the extension; returns the path written.

    Positions are taken in the world frame (scale and translate applied), which for this package's layers is the
    specimen frame in Å. Points that are not shown (the spare rows of a layer that atoms stream into) are left out.
    Features that are numbers (error bars and probabilities after a run) become columns of their own.

    Raises
    ------
    InputError
        Not a 3-D layer, no points, or a folder that cannot be written to.
    """
    from napari_lot.atoms import Orbitals
    from napari_lot.export import UNKNOWN_HEIGHT, UNKNOWN_WIDTH_A, atom_columns, write_atoms_csv, write_atoms_xyz

    points = np.asarray(data, dtype=np.float64)
    shown = np.broadcast_to(np.asarray(attributes.get("shown", True), bool), len(points))
    if points.ndim != 2 or points.shape[1] != 3 or not shown.any():
        raise InputError(f"{path}: only a Points layer of atoms in 3-D (z, y, x) can be written: select that layer.")
    scale = np.asarray(attributes.get("scale", (1.0, 1.0, 1.0)), np.float64)[-3:]
    translate = np.asarray(attributes.get("translate", (0.0, 0.0, 0.0)), np.float64)[-3:]
    features = attributes.get("features", {})
    known = {name: np.asarray(features[name])[shown] for name in features} if len(features) else {}
    symbols = [str(s) for s in known.get("element", ["X"] * int(shown.sum()))]
    elements = tuple(dict.fromkeys(symbols))
    atoms = Orbitals.create(
        (points[shown] * scale + translate)[:, ::-1],
        height=known.get("height", UNKNOWN_HEIGHT),
        width=known.get("width_A", UNKNOWN_WIDTH_A),
        species=np.array([elements.index(s) for s in symbols]),
        elements=elements,
        id=known.get("id"),
    )
    own = atom_columns(atoms)
    more = {n: v for n, v in known.items() if n not in own and n.isidentifier() and v.dtype.kind in "iuf"}
    write = write_atoms_csv if Path(path).suffix.lower() == ".csv" else write_atoms_xyz
    try:
        write(path, atoms, more)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}: choose another folder.") from None
    return [str(path)]


def sample_pt_deca() -> list[LayerData]:
    """The sample series as an image layer."""
    from napari_lot.series.sample import load_sample

    return [layer_data(load_sample(), "Pt decahedron")]
