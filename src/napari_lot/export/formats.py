"""The formats of atoms by name and by a file's ending: one list for the window, the command line and napari."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

from napari_lot.atoms import Orbitals
from napari_lot.errors import InputError
from napari_lot.export.structures import write_cif, write_lammps, write_pdb
from napari_lot.export.write import write_atoms_csv, write_atoms_plain_xyz, write_atoms_xyz

AtomFormat = Literal["csv", "extxyz", "xyz", "cif", "pdb", "lammps"]

ATOM_FORMATS: dict[AtomFormat, tuple[str, str]] = {
    "extxyz": ("Atoms, XYZ", ".xyz"),
    "csv": ("Atoms, CSV", ".csv"),
    "xyz": ("Atoms, plain XYZ", ".xyz"),
    "cif": ("Atoms, CIF", ".cif"),
    "pdb": ("Atoms, PDB", ".pdb"),
    "lammps": ("Atoms, LAMMPS data", ".lmp"),
}
"""What a person calls a format, and how its files end. ``xyz`` holds nothing but elements and coordinates."""

_BY_ENDING: dict[str, AtomFormat] = {
    ".csv": "csv",
    ".xyz": "extxyz",
    ".extxyz": "extxyz",
    ".cif": "cif",
    ".pdb": "pdb",
    ".lmp": "lammps",
    ".data": "lammps",
    ".lammps": "lammps",
}


def format_of(path: str | Path) -> AtomFormat:
    """The format that a file's ending stands for.

    Raises
    ------
    InputError
        The ending stands for none.
    """
    ending = Path(path).suffix.lower()
    if ending not in _BY_ENDING:
        raise InputError(f"{path}: atoms are written as {', '.join(_BY_ENDING)}, not as {ending or 'this'}.")
    return _BY_ENDING[ending]


def write_atoms(
    path: str | Path,
    orbitals: Orbitals,
    more: Mapping[str, NDArray[Any]] | None = None,
    kind: AtomFormat | None = None,
) -> None:
    """Write atoms in a format, by default that of the file's ending.

    Parameters
    ----------
    orbitals : Orbitals
        Å, specimen frame.
    more : mapping of str to (N,) arrays, optional
        What is known besides (``Result.columns``): goes into CSV and extended XYZ.
    kind : str, optional
        One of ``ATOM_FORMATS``.

    Raises
    ------
    InputError
        There are no atoms, or the format cannot hold them, in one sentence.
    """
    if not len(orbitals):
        raise InputError(f"{path}: there are no atoms to write.")
    kind = kind or format_of(path)
    if kind == "csv":
        write_atoms_csv(path, orbitals, more)
    elif kind == "extxyz":
        write_atoms_xyz(path, orbitals, more)
    elif kind == "xyz":
        write_atoms_plain_xyz(path, orbitals, "napari-lot: Angstrom, specimen frame, origin at the rotation centre")
    else:
        {"cif": write_cif, "pdb": write_pdb, "lammps": write_lammps}[kind](path, orbitals)
