"""Files of atoms read: CSV and XYZ of this package or another, RESIRE ``.mat``, LAMMPS data, sessions.

Lengths in Å, specimen frame, origin at the rotation centre.
"""

from __future__ import annotations

import csv
import io
import os
import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io
from numpy.typing import NDArray

from napari_lot.atoms import Orbitals
from napari_lot.errors import InputError
from napari_lot.export import lammps
from napari_lot.files import check_readable
from napari_lot.physics.elements import SYMBOLS
from napari_lot.series.mat import NUMERIC
from napari_lot.series.mat5 import complex_variables
from napari_lot.series.raw import check_size, damaged, reason_of

UNKNOWN_HEIGHT = 1.0
UNKNOWN_WIDTH_A = 0.5

_COORDINATE_NAMES = (
    "model_refined",
    "model",
    "atom_pos",
    "atoms_pos",
    "atomic_positions",
    "coordinates",
    "coord",
    "xyz",
)
_CSV_NAMES = ("id", "element", "x_A", "y_A", "z_A", "height", "width_A")
_SPECIES_NAMES = ("atoms", "atom_type", "atomtype", "atom_types", "types", "species", "atom")


def read_atoms(path: str | Path) -> Orbitals:
    """Atoms from an XYZ or CSV file of this package or another, a RESIRE ``.mat``, LAMMPS data, or a session.

    Heights and widths that the file does not hold become ``UNKNOWN_HEIGHT`` and ``UNKNOWN_WIDTH_A``. Positions are
    taken as they stand: Å, specimen frame, origin at the rotation centre.

    Raises
    ------
    InputError
        The file cannot be read, holds no atoms, or a line of it is wrong (naming the line).
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if not os.path.lexists(path):
        raise InputError(f"{path}: no such file of atoms: check the name.")
    check_readable(path, "file of atoms")
    try:
        if suffix == ".mat":
            orbitals = _read_mat(path)
        elif suffix in (".h5", ".hdf5"):
            orbitals = _read_session_atoms(path)
        elif suffix == ".csv":
            orbitals = _read_csv(path, path.read_text(encoding="utf-8-sig"))
        elif suffix in (".xyz", ".extxyz"):
            orbitals = _read_xyz(path, path.read_text(encoding="utf-8-sig"))
        elif suffix in lammps.ENDINGS:
            text = path.read_text(encoding="utf-8-sig")
            orbitals = lammps.read_lammps(path, text, UNKNOWN_HEIGHT, UNKNOWN_WIDTH_A)
        else:
            raise InputError(
                f"{path}: atoms are read from .xyz, .csv, RESIRE .mat, LAMMPS data (.lmp) or .lot.h5 files, not from "
                f"{suffix or 'a name without an ending'}."
            )
    except OSError as error:
        raise InputError(f"{path}: cannot read the file of atoms: {error.strerror or error}; copy it again.") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file of atoms; give XYZ or CSV.") from None
    except csv.Error as error:  # a field of more than 131072 characters
        raise InputError(f"{path}: not a table of atoms ({error}); give one atom a line.") from None
    if not len(orbitals):
        raise InputError(f"{path}: the file holds no atoms; give one that does.")
    for name in ("positions", "height", "width"):
        values = getattr(orbitals, name)
        if not np.isfinite(values).all():
            row = int(np.argwhere(~np.isfinite(values))[0][0])
            raise InputError(f"{path}: atom {row + 1} has {name} that are no finite number; correct or delete it.")
    if (orbitals.width <= 0).any():
        row = int(np.argmax(orbitals.width <= 0))
        raise InputError(f"{path}: atom {row + 1} has a width that is not positive; correct or delete it.")
    if len(np.unique(orbitals.id)) != len(orbitals):
        raise InputError(f"{path}: an id occurs twice; every atom needs its own.")
    return orbitals


def _orbitals(path: Path, columns: dict[str, list[str]], first_line: int) -> Orbitals:
    """Orbitals from columns of text under the names of ``atom_columns``."""

    def numbers(name: str, default: float | None = None) -> NDArray[np.float64]:
        if name not in columns and default is not None:
            return np.full(count, default)
        values = np.empty(count)
        for row, text in enumerate(columns[name]):
            try:
                values[row] = float(text)
            except ValueError:
                raise InputError(
                    f"{path}: line {first_line + row}: {name} is not a number: {text[:40]!r}; correct it."
                ) from None
        return values

    count = len(columns["x_A"])
    symbols = columns.get("element", ["X"] * count)
    for row, symbol in enumerate(symbols):
        if symbol not in SYMBOLS:
            raise InputError(
                f"{path}: line {first_line + row}: {symbol[:40]!r} is no element symbol; write one such as Pt, or X."
            )
    elements = tuple(dict.fromkeys(symbols)) or ("X",)
    return Orbitals.create(
        np.stack([numbers("x_A"), numbers("y_A"), numbers("z_A")], axis=1),
        height=numbers("height", UNKNOWN_HEIGHT),
        width=numbers("width_A", UNKNOWN_WIDTH_A),
        species=[elements.index(symbol) for symbol in symbols],
        elements=elements,
        id=_ids(path, numbers("id"), first_line) if "id" in columns else None,
    )


def _ids(path: Path, values: NDArray[np.float64], first_line: int) -> NDArray[np.int64]:
    wrong = ~((values >= 0) & (values < 2**53) & (values == np.floor(values)))
    if wrong.any():
        line = first_line + int(np.argmax(wrong))
        raise InputError(f"{path}: line {line}: an id must be a whole number from 0 on; correct or delete the column.")
    return values.astype(np.int64)


def _read_csv(path: Path, text: str) -> Orbitals:
    rows = [row for row in csv.reader(io.StringIO(text)) if row]
    if not rows:
        raise InputError(f"{path}: the file is empty; copy it again.")
    short = {"x": "x_A", "y": "y_A", "z": "z_A", "symbol": "element", "width": "width_A"}
    header = [short.get(name.strip(), name.strip()) for name in rows[0]]
    absent = [name for name in ("x_A", "y_A", "z_A") if name not in header]
    if absent:
        raise InputError(f"{path}: the header has no column {absent[0]}; expected 'id,element,x_A,y_A,z_A,...'.")
    twice = next((name for name in _CSV_NAMES if header.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"{path}: the header names the column {twice} twice; every column needs its own name.")
    for line, row in enumerate(rows[1:], start=2):
        if len(row) != len(header):
            raise InputError(f"{path}: line {line}: {len(row)} fields where the header has {len(header)}; correct it.")
    columns = {name: [row[i].strip() for row in rows[1:]] for i, name in enumerate(header)}
    return _orbitals(path, columns, first_line=2)


def _xyz_header(comment: str) -> list[str]:
    """Column names from an extended XYZ comment; plain XYZ has element x y z."""
    try:
        fields = dict(part.split("=", 1) for part in shlex.split(comment) if "=" in part)
    except ValueError:  # an unbalanced quotation mark in a plain comment
        fields = {}
    parts = fields.get("Properties", "species:S:1:pos:R:3").split(":")
    names: list[str] = []
    for name, _, width in zip(parts[::3], parts[1::3], parts[2::3], strict=False):
        n = int(width) if re.fullmatch("[0-9]{1,3}", width) else 1
        if name == "species":
            names.append("element")
        elif name == "pos":
            names += ["x_A", "y_A", "z_A"]
        else:
            names += [name] if n == 1 else [f"{name}_{i}" for i in range(n)]
    return names


def _read_xyz(path: Path, text: str) -> Orbitals:
    lines = text.splitlines()
    try:
        count = int(lines[0])
    except (IndexError, ValueError):
        raise InputError(f"{path}: line 1: an XYZ file starts with the number of its atoms; write it there.") from None
    body = lines[2 : 2 + count]
    if count < 0 or len(body) < count:
        raise InputError(
            f"{path}: line 1 promises {count} atoms, {len(body)} follow; the file is cut short: copy it again."
        )
    if any(line.strip() for line in lines[2 + count :]):
        raise InputError(f"{path}: line {3 + count}: more lines than the {count} atoms of line 1; give one structure.")
    names = _xyz_header(lines[1] if len(lines) > 1 else "")
    if not {"element", "x_A", "y_A", "z_A"} <= set(names):
        raise InputError(f"{path}: line 2: Properties lack species or pos; write species:S:1:pos:R:3.")
    if len(set(names)) < len(names):
        raise InputError(f"{path}: line 2: Properties name a column twice; every column needs its own name.")
    columns: dict[str, list[str]] = {name: [] for name in names}
    for line, row in enumerate((line.split() for line in body), start=3):
        if len(row) < len(names):
            raise InputError(f"{path}: line {line}: {len(row)} fields, expected {len(names)}; correct it.")
        for name, value in zip(names, row, strict=False):
            columns[name].append(value)
    return _orbitals(path, columns, first_line=3)


def _read_session_atoms(path: Path) -> Orbitals:
    from napari_lot.session import read_session

    atoms = read_session(path).atoms
    if atoms is None:
        raise InputError(f"{path}: the orbitals of this session had not become atoms yet: take a later one.")
    return atoms


def _mat_variables(path: Path) -> dict[str, NDArray[Any]]:
    """Numeric variables of a MAT file, v5 or v7.3, in MATLAB's index order."""
    try:
        if not h5py.is_hdf5(path):
            not_real = complex_variables(path)
            told = scipy.io.whosmat(path)
            shapes = {name: shape for name, shape, kind in told if kind in NUMERIC and name not in not_real}
            for shape in shapes.values():
                check_size(path, shape, 1)
            content = scipy.io.loadmat(path, variable_names=list(shapes))
            return {k: v for k, v in content.items() if isinstance(v, np.ndarray) and v.dtype.kind in "fiu"}
        with h5py.File(path) as file:  # v7.3 is HDF5, stored with its axes reversed
            sets = {k: v for k, v in file.items() if isinstance(v, h5py.Dataset) and v.dtype.kind in "fiu"}
            for data in sets.values():
                check_size(path, data.shape, data.dtype.itemsize)
            return {k: np.asarray(v).T for k, v in sets.items()}
    except InputError:
        raise
    except Exception as error:  # a damaged file makes the decoders fail in every way there is
        raise damaged(path, "MATLAB", reason_of(error)) from None


def _read_mat(path: Path) -> Orbitals:
    variables = _mat_variables(path)
    shaped = {k: v for k, v in variables.items() if v.ndim == 2 and 3 in v.shape}
    named = [k for k in _COORDINATE_NAMES if k in shaped] or (list(shaped) if len(shaped) == 1 else [])
    if not named:
        raise InputError(
            f"{path}: no 3 by N array of atoms; expected a variable named "
            f"{', '.join(_COORDINATE_NAMES[:-1])} or {_COORDINATE_NAMES[-1]}."
        )
    model = variables[named[0]]
    # RESIRE keeps atoms as columns; three atoms are read so, too.
    positions = model.T if model.shape[0] == 3 else model
    types = [v.ravel() for k, v in variables.items() if k in _SPECIES_NAMES and v.size == len(positions)]
    species = np.zeros(len(positions), np.int64)
    elements: tuple[str, ...] = ("X",)
    if types:
        # Numbered species without a symbol: all are X, told apart by nothing but their number until a user names them.
        kinds, species = np.unique(types[0], return_inverse=True)
        elements = ("X",) * len(kinds)
    return Orbitals.create(positions, UNKNOWN_HEIGHT, UNKNOWN_WIDTH_A, species, elements)


def with_elements(orbitals: Orbitals, elements: tuple[str, ...], source: str = "start") -> Orbitals:
    """The same atoms with ``species`` counted in ``elements`` (those of the run's settings).

    Atoms of unknown element (X) go to the only element, or, where a file numbers as many species as there are
    elements, to the element of the same place.

    Raises
    ------
    InputError
        An atom's element is not among ``elements``, or unknown atoms cannot be assigned.
    """
    if set(orbitals.elements) == {"X"} and len(orbitals.elements) == len(elements):
        return replace(orbitals, elements=elements)
    place = np.zeros(len(orbitals.elements), np.int64)
    for i, symbol in enumerate(orbitals.elements):
        if symbol in elements:
            place[i] = elements.index(symbol)
        elif symbol == "X" and len(elements) == 1:
            place[i] = 0
        elif (orbitals.species == i).any():
            raise InputError(
                f"{source}: holds atoms of {symbol}, but the elements of the run are {', '.join(elements)}."
            )
    return replace(orbitals, species=place[orbitals.species], elements=elements)
