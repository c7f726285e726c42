"""LAMMPS data read: what this package writes, and files of others of atom style atomic.

Source: the manual of LAMMPS, "read_data". Lengths are taken as Å (units metal or real), as they stand.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from napari_lot.atoms import Orbitals
from napari_lot.errors import InputError
from napari_lot.export.structures import LARGEST_LAMMPS_ID, MASS_U
from napari_lot.physics.elements import SYMBOLS

ENDINGS = (".lmp", ".lammps", ".data")
MOST_TYPES = 1000
_NAMES = "Atoms|Velocities|Masses|Bonds|Angles|Dihedrals|Impropers|Ellipsoids|Lines|Triangles|Bodies"
_SECTION = re.compile(rf"({_NAMES}|[A-Za-z]+ ?(?:Coeffs|Labels))\s*(?:#\s*(\S+).*)?")
_COUNT = re.compile(r"\s*(\d{1,12})\s+atoms\s*")
_TYPES = re.compile(r"types: (\d+ [A-Z][a-z]?(?:, \d+ [A-Z][a-z]?)*)")
"""Of this package's own first line."""
_NEAR_U, _NEAR = 0.02, 0.005
"""A mass is that of an element within so much, or within this part of it: files round it."""


class _Row(NamedTuple):
    line: int
    fields: list[str]
    comment: str


@dataclass
class _Section:
    """What stands behind a section's name, and its rows."""

    style: str
    rows: list[_Row] = field(default_factory=list)


def read_lammps(path: Path, text: str, height: float, width_A: float) -> Orbitals:
    """Atoms of a LAMMPS data file in the order in which they stand, with the ids that they had when they were written.

    Types are elements by what stands behind their masses (``1 195.084 # Pt``), or by the masses; else by the first
    line of this package's own files; else they are unknown (X).

    Parameters
    ----------
    path : Path
        For messages.
    text : str
        Of the file.
    height, width_A : float
        Of every atom: the format holds none.

    Raises
    ------
    InputError
        It is no LAMMPS data, of another atom style, or a line is wrong.
    """
    lines = text.splitlines()
    count, sections = _sections(path, lines)
    if "Atoms" not in sections:
        raise InputError(f"{path}: no section 'Atoms' as LAMMPS data have; give XYZ, CSV, CIF or PDB.")
    atoms = sections["Atoms"]
    if atoms.style not in ("", "atomic"):
        raise _other_style(path, atoms.style)
    if count is not None and len(atoms.rows) != count:
        raise InputError(f"{path}: the header promises {count} atoms, {len(atoms.rows)} follow; copy it again.")
    numbers, places = np.empty((len(atoms.rows), 2), np.int64), np.empty((len(atoms.rows), 3))
    for k, row in enumerate(atoms.rows):
        if len(row.fields) not in (5, 8):  # without, or with, how often it has crossed the box
            raise _other_style(path, atoms.style)
        try:
            numbers[k] = [int(value) for value in row.fields[:2]]
            places[k] = [float(value) for value in row.fields[2:5]]
        except (ValueError, OverflowError):
            raise InputError(
                f"{path}: line {row.line}: expected id, type, x, y and z in numbers; correct it."
            ) from None
        if not (1 <= numbers[k, 0] <= LARGEST_LAMMPS_ID and 1 <= numbers[k, 1] <= MOST_TYPES):
            raise InputError(f"{path}: line {row.line}: ids and types count from 1; correct it.")
    symbols = _symbols(path, lines[0], sections.get("Masses"))
    kinds = max(int(numbers[:, 1].max(initial=0)), *symbols, 0)
    elements = tuple(symbols.get(kind, "X") for kind in range(1, kinds + 1))
    ids = numbers[:, 0] - (1 if "atom = id + 1" in lines[0] else 0)
    return Orbitals.create(places, height, width_A, numbers[:, 1] - 1, elements, ids)


def _other_style(path: Path, style: str) -> InputError:
    given = f", not {style[:20]}" if style not in ("", "atomic") else ""
    return InputError(
        f"{path}: LAMMPS data are read of atom style atomic (id, type, x, y, z){given}; write it so, or give XYZ, CSV, "
        "CIF or PDB."
    )


def _sections(path: Path, lines: list[str]) -> tuple[int | None, dict[str, _Section]]:
    """How many atoms the header promises, and the sections by name."""
    found: dict[str, _Section] = {}
    count, now = None, None
    for number, line in enumerate(lines[1:], start=2):  # the first line says anything
        if (begins := _SECTION.fullmatch(line.strip())) is not None:
            if begins[1] in found:
                raise InputError(f"{path}: line {number}: a second section {begins[1]}; delete one of them.")
            now = found[begins[1]] = _Section(begins[2] or "")
            continue
        value, _, comment = line.partition("#")
        if now is not None and value.strip():
            now.rows.append(_Row(number, value.split(), comment.strip()))
        elif now is None and (promised := _COUNT.fullmatch(value)) is not None:
            count = int(promised[1])
    return count, found


def _symbols(path: Path, first: str, masses: _Section | None) -> dict[int, str]:
    """Symbol of each type, as far as it is known."""
    symbols: dict[int, str] = {}
    for row in masses.rows if masses else ():
        try:
            kind, mass = int(row.fields[0]), float(row.fields[1])
        except (ValueError, IndexError):
            raise InputError(f"{path}: line {row.line}: expected a type and its mass; correct it.") from None
        if not 1 <= kind <= MOST_TYPES:
            raise InputError(f"{path}: line {row.line}: types count from 1; correct it.")
        said = row.comment.split()[0] if row.comment else ""
        nearest = min(MASS_U, key=lambda symbol: abs(MASS_U[symbol] - mass))
        if said in SYMBOLS:
            symbols[kind] = said
        elif abs(MASS_U[nearest] - mass) <= max(_NEAR_U, _NEAR * MASS_U[nearest]):
            symbols[kind] = nearest
    if not symbols and (told := _TYPES.search(first)) is not None:
        pairs = (pair.split() for pair in told[1].split(", "))
        symbols = {int(kind): s for kind, s in pairs if s in SYMBOLS and len(kind) < 4 and 1 <= int(kind) <= MOST_TYPES}
    return symbols
