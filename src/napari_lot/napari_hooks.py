"""napari's side doors: readers, writers and sample data as plain LayerData. Neither napari nor Qt is imported."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_lot.errors import InputError
from napari_lot.files import write_whole
from napari_lot.series.layer import layer_data, series_from_layer_data
from napari_lot.series.raw import RawSeries
from napari_lot.series.read import READERS, read_series, stack_with_angles

if TYPE_CHECKING:
    from napari_lot.atoms import Orbitals

LayerData = tuple[Any, dict[str, Any], str]
PathOrPaths = str | Path | Sequence[str | Path]

# Anybody's images: napari goes by names alone, so a claim on these would make it ask at every TIFF which reader to use.
# The workbench takes them as files, or as layers with an angle file beside their file.
_NOT_CLAIMED = (".tif", ".tiff", ".npy")
_OWN_COLUMNS = ("id", "element", "x_A", "y_A", "z_A", "height", "width_A", "integrated_A2")


def _single(path: PathOrPaths) -> Path | None:
    if isinstance(path, (str, Path)):
        return Path(path)
    return Path(path[0]) if len(path) == 1 else None


def get_series_reader(path: PathOrPaths) -> Callable[[PathOrPaths], list[LayerData]] | None:
    """A reader when the file looks like a tilt series or is a session, otherwise None so that another reader takes it.

    TIFF and NPY stay with napari's own reader. What has no angles is no tilt series, but MRC and NPZ may be a volume.
    The file is read once: what was looked at to decide is what the reader hands over.
    """
    files = [Path(path)] if isinstance(path, (str, Path)) else [Path(p) for p in path]  # several: one image each
    file = files[0] if len(files) == 1 else None
    if not files or not all(f.is_file() and f.suffix.lower() in READERS.keys() - _NOT_CLAIMED for f in files):
        return None
    if file is not None and file.suffix.lower() in (".h5", ".hdf5"):
        from napari_lot.session import is_session

        if is_session(file):
            return read_session_layers
    raw = stack_with_angles(files)
    if raw is None:
        return get_volume_reader(path)
    found = [raw]

    def read(again: PathOrPaths) -> list[LayerData]:
        # handed over once: napari may keep a reader, and must not keep a stack with it
        return read_series_layers(again, found.pop() if found and again == path else None)

    return read


def get_volume_reader(path: PathOrPaths) -> Callable[[PathOrPaths], list[LayerData]] | None:
    """A reader where a file says that it is a volume: by the ending, or by its header or its arrays."""
    from napari_lot.export.volume import says_volume

    file = _single(path)
    return read_volume_layers if file is not None and file.is_file() and says_volume(file) else None


def read_volume_layers(path: PathOrPaths) -> list[LayerData]:
    """The volume as one 3-D image layer [z, y, x] in Å with the rotation centre at the origin.

    Raises
    ------
    InputError
        As ``read_volume``; napari shows the sentence as a notification.
    """
    from napari_lot.export import read_volume
    from napari_lot.voxel.layer import bright_limits, volume_layer_data

    file = _single(path)
    if file is None:
        raise InputError("Several files were given: open volumes one by one.")
    volume = read_volume(file)
    values, options, kind = volume_layer_data(volume, file.name.split(".")[0])
    return [(values, {**options, "contrast_limits": bright_limits(values), "rendering": "attenuated_mip"}, kind)]


def read_series_layers(path: PathOrPaths, raw: RawSeries | None = None) -> list[LayerData]:
    """The series as one 4-D image layer [tilt, 1, v, u] in Å; pixels that are not numbers are masked.

    Raises
    ------
    InputError
        As ``read_series``; napari shows the sentence as a notification.
    """
    return [layer_data(read_series(_single(path) or path, mask_nonfinite=True, raw=raw))]


def read_session_layers(path: PathOrPaths) -> list[LayerData]:
    """A session's measured and calculated images and its atoms, with error bars and probabilities as features.

    Raises
    ------
    InputError
        As ``read_session``.
    """
    from napari_lot.session import read_session

    file = _single(path)
    if file is None:
        raise InputError("Several files were given: open sessions one by one.")
    session = read_session(file)
    layers = [layer_data(session.series)]
    result, atoms = session.result, session.orbitals
    if result is not None:
        _, options, kind = layer_data(session.series, "Calculated")
        layers.append((result.calculated[:, None], {**options, "visible": False}, kind))
    if atoms is not None and len(atoms):
        layers.append(_points(atoms, "Atoms", {} if result is None else result.columns))
    return layers


def get_atoms_reader(path: PathOrPaths) -> Callable[[PathOrPaths], list[LayerData]] | None:
    """A reader of atoms for .xyz and .extxyz files, CSV with x_A, y_A, z_A columns, and RESIRE .mat."""
    from napari_lot.export import read_atoms

    file = _single(path)
    if file is None or not file.is_file() or file.suffix.lower() not in (".xyz", ".extxyz", ".csv", ".mat"):
        return None
    if file.suffix.lower() in (".csv", ".mat"):  # anybody's: only what holds atoms
        try:
            atoms = read_atoms(file)
        except InputError:
            return None
        return lambda again: [_points(atoms, file.stem, _more(file))]
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
    return [_points(read_atoms(file), file.stem, {})]


def _more(file: Path) -> dict[str, Any]:
    """Further columns of numbers in a CSV (error bars, probabilities): what was written comes back."""
    if file.suffix.lower() != ".csv":
        return {}
    with file.open(encoding="utf-8-sig", newline="") as stream:
        rows = [row for row in csv.reader(stream) if row]
    found: dict[str, Any] = {}
    for name, *values in zip(*rows, strict=True):
        if name.strip() not in _OWN_COLUMNS:
            try:
                found[name.strip()] = np.array([float(value) for value in values])
            except ValueError:
                continue
            if name.strip() == "tilts_seen":
                found[name.strip()] = found[name.strip()].astype(np.int64)
    return found


def _points(atoms: Orbitals, name: str, more: dict[str, Any]) -> LayerData:
    options = {
        "name": name,
        "units": ("angstrom",) * 3,
        "axis_labels": ("z", "y", "x"),
        "size": 1.5,
        "features": {
            "id": atoms.id,
            "element": np.array(atoms.symbols),
            "height": atoms.height,
            "width_A": atoms.width,
            **more,
        },
    }
    return (atoms.positions[:, ::-1].copy(), options, "points")


class NotWrittenError(Exception):
    """A layer cannot be written: one sentence that says what is wrong, where, and what to do.

    Not an ``InputError``: napari takes any ValueError of a writer to mean that there is no writer, and says only that.
    """


def _says_why(
    write: Callable[[str, Any, dict[str, Any]], list[str]],
) -> Callable[[str, Any, dict[str, Any]], list[str]]:
    """What cannot be written is said in a way that reaches the person."""

    @wraps(write)
    def write_or_say(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
        try:
            return write(path, data, attributes)
        except InputError as error:
            raise NotWrittenError(str(error)) from error

    return write_or_say


@_says_why
def write_atoms(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write a 3-D Points layer (z, y, x) as extended XYZ, CSV, CIF, PDB or LAMMPS data; returns the path written.

    Positions are taken in the world frame (scale and translate applied), which for this package's layers is the
    specimen frame in Å. Points that are not shown (the spare rows of a layer that atoms stream into) are left out.
    Features that are numbers (error bars and probabilities after a run) become columns of their own.

    Raises
    ------
    NotWrittenError
        Not a 3-D layer, no points, or a folder that cannot be written to.
    """
    from napari_lot.atoms import Orbitals
    from napari_lot.export import UNKNOWN_HEIGHT, UNKNOWN_WIDTH_A, atom_columns
    from napari_lot.export import write_atoms as write_file

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
    try:
        write_whole(path, lambda temporary: write_file(temporary, atoms, more))
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}: choose another folder.") from None
    return [str(path)]


@_says_why
def write_series(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write a series' 4-D image layer [tilt, 1, v, u] with its angles as NPZ, MRC or session; the paths written.

    A layer that is a volume is written as one, as MRC or NPZ.

    Raises
    ------
    NotWrittenError
        The layer is neither, or the format would lose something of it.
    """
    from napari_lot.export.series import write_series as write_file
    from napari_lot.voxel.layer import KEY as VOLUME

    if VOLUME in (attributes.get("metadata") or {}):
        return _write_volume(path, data, attributes)
    series = series_from_layer_data(
        data,
        attributes.get("metadata"),
        attributes.get("scale"),
        units=attributes.get("units"),
        name=str(attributes.get("name", "layer")),
    )
    try:
        return [str(written) for written in write_file(path, series)]
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}: choose another folder.") from None


def _write_volume(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    from napari_lot.export import write_volume
    from napari_lot.voxel.layer import volume_from_layer_data

    said = {name: attributes.get(name) for name in ("metadata", "scale", "translate", "units")}
    volume = volume_from_layer_data(data, **said, name=str(attributes.get("name", "layer")))
    try:
        write_volume(path, volume)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}: choose another folder.") from None
    return [str(path)]


def sample_pt_deca() -> list[LayerData]:
    """The sample series as an image layer."""
    from napari_lot.series.sample import load_sample

    return [layer_data(load_sample(), "Pt decahedron")]
