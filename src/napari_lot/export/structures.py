"""Atoms in the formats of other programs: CIF, PDB and LAMMPS data, written here so that nothing else is needed.

Positions in Å. A reconstructed specimen is not periodic; where a format asks for a cell, it is the bounding box of the
atoms with ``MARGIN_A`` of vacuum on every side.

References
----------
CIF: Hall, Allen & Brown, Acta Cryst. A 47, 655 (1991), core dictionary. PDB: wwPDB format 3.3, 2012. LAMMPS: its
manual, "read_data". Masses: Meija et al., Pure Appl. Chem. 88, 265 (2016).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_lot.atoms import Orbitals
from napari_lot.errors import InputError
from napari_lot.physics.elements import SYMBOLS

MARGIN_A = 5.0
"""Vacuum around the atoms on every side of a cell: their periodic images are twice that apart."""
MOST_PDB_ATOMS = 99_999
LARGEST_LAMMPS_ID = 2**31 - 1

# Standard atomic weights (g/mol) of H to Og; of what has none, the mass of its longest-lived isotope.
_MASSES = (
    "1.008 4.002602 6.94 9.012183 10.81 12.011 14.007 15.999 18.9984 20.1797 22.98977 24.305 26.98154 28.085 "
    "30.97376 32.06 35.45 39.948 39.0983 40.078 44.95591 47.867 50.9415 51.9961 54.93804 55.845 58.93319 58.6934 "
    "63.546 65.38 69.723 72.63 74.92159 78.971 79.904 83.798 85.4678 87.62 88.90584 91.224 92.90637 95.95 97.90721 "
    "101.07 102.9055 106.42 107.8682 112.414 114.818 118.71 121.76 127.6 126.9045 131.293 132.9055 137.327 138.9055 "
    "140.116 140.9077 144.242 144.9128 150.36 151.964 157.25 158.9254 162.5 164.9303 167.259 168.9342 173.054 "
    "174.9668 178.49 180.9479 183.84 186.207 190.23 192.217 195.084 196.9666 200.592 204.38 207.2 208.9804 208.9824 "
    "209.9872 222.0176 223.0197 226.0254 227.0277 232.0377 231.0359 238.0289 237.0482 244.0642 243.0614 247.0703 "
    "247.0703 251.0796 252.083 257.0951 258.0984 259.101 262.11 267.122 268.126 271.134 270.133 269.1338 278.156 "
    "281.165 281.166 285.177 286.182 289.19 289.194 293.204 293.208 294.214"
)
MASS_U = dict(zip(SYMBOLS[1:], map(float, _MASSES.split()), strict=True))


def bounding_box(positions: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lower corner and edges (3,) in Å of the atoms' bounding box with ``MARGIN_A`` on every side."""
    low, high = positions.min(0) - MARGIN_A, positions.max(0) + MARGIN_A
    return low, high - low


def write_cif(path: str | Path, orbitals: Orbitals) -> None:
    """Write a CIF: space group P 1, an orthogonal cell around the atoms, labels of element and id.

    Fractional coordinates count from the lower corner of the cell; a comment says where that is in the specimen frame.
    Atoms of unknown element have the symbol X.
    """
    low, edges = bounding_box(orbitals.positions)
    lines = [
        "# napari-lot: a specimen that is not periodic, in a box with vacuum around it.",
        f"# Corner of the cell in the specimen frame (origin at the rotation centre): {_three(low)} Angstrom.",
        "data_napari_lot",
        *(f"_cell_length_{axis}    {length:.6f}" for axis, length in zip("abc", edges, strict=True)),
        *(f"_cell_angle_{axis}    90" for axis in ("alpha", "beta", "gamma")),
        "_space_group_name_H-M_alt    'P 1'",
        "_space_group_IT_number    1",
        "loop_",
        "_space_group_symop_operation_xyz",
        "'x, y, z'",
        "loop_",
        "_atom_site_label",
        "_atom_site_type_symbol",
        "_atom_site_fract_x",
        "_atom_site_fract_y",
        "_atom_site_fract_z",
        "_atom_site_occupancy",
    ]
    rows = zip(orbitals.symbols, orbitals.id, (orbitals.positions - low) / edges, strict=True)
    lines += [f"{symbol}{number} {symbol} {x:.9f} {y:.9f} {z:.9f} 1.0" for symbol, number, (x, y, z) in rows]
    _write(path, lines)


def write_pdb(path: str | Path, orbitals: Orbitals) -> None:
    """Write a PDB: one HETATM record an atom, the id as serial number where it fits, no CRYST1 (not periodic).

    Raises
    ------
    InputError
        More than 99,999 atoms, or a coordinate that the 8 columns of the format cannot hold.
    """
    n, p = len(orbitals), orbitals.positions
    if n > MOST_PDB_ATOMS:
        raise InputError(
            f"{path}: a PDB file holds at most 99,999 atoms, these are {n:,}: save CIF, XYZ or LAMMPS data."
        )
    wide = (p.round(3) < -999.999) | (p.round(3) > 9999.999)
    if wide.any():
        row = int(np.argwhere(wide)[0][0])
        raise InputError(
            f"{path}: atom {orbitals.id[row]} lies at ({_three(p[row])}) Å, but the columns of a PDB file hold only "
            "-999.999 to 9999.999 Å: save CIF, XYZ or LAMMPS data."
        )
    ids, lines = orbitals.id, ["REMARK   1 NAPARI-LOT: SPECIMEN FRAME, ANGSTROM, ORIGIN AT THE ROTATION CENTRE"]
    if ids.min() < 0 or ids.max() > MOST_PDB_ATOMS:
        ids = np.arange(1, n + 1)
        lines.append("REMARK   1 SERIAL NUMBERS ARE ROWS: SOME IDS HAVE MORE THAN 5 DIGITS")
    for symbol, serial, (x, y, z) in zip(orbitals.symbols, ids, p, strict=True):
        # an element of one letter begins in the second column of the name
        name = f"{symbol.upper():<4s}" if len(symbol) == 2 else f" {symbol.upper():<3s}"
        lines.append(
            f"HETATM{serial:5d} {name} {'LOT':>3s} A{1:4d}    {x:8.3f}{y:8.3f}{z:8.3f}{1.0:6.2f}{0.0:6.2f}"
            f"          {symbol.upper():>2s}  "
        )
    _write(path, [*lines, "END"])


def write_lammps(path: str | Path, orbitals: Orbitals) -> None:
    """Write LAMMPS data: atom style atomic, units metal (Å, g/mol), the box around the atoms in the specimen frame.

    Types are numbered in the order of ``orbitals.elements``. LAMMPS counts atoms from 1: where an id is 0, every atom
    has its id + 1, and the first line says so. Whether the box is periodic is said in a LAMMPS script (``boundary f f
    f``), not here.

    Raises
    ------
    InputError
        An id that LAMMPS cannot hold.
    """
    first = 1 if len(orbitals) and orbitals.id.min() == 0 else 0
    ids = orbitals.id + first
    if ids.min() < 1 or ids.max() > LARGEST_LAMMPS_ID:
        raise InputError(f"{path}: LAMMPS takes ids from 1 to {LARGEST_LAMMPS_ID:,}: save CSV or XYZ.")
    low, edges = bounding_box(orbitals.positions)
    elements = orbitals.elements
    types = ", ".join(f"{i} {symbol}" for i, symbol in enumerate(elements, start=1))
    lines = [
        f"napari-lot, units metal, boundary f f f; types: {types}" + ("; atom = id + 1" if first else ""),
        "",
        f"{len(orbitals)} atoms",
        f"{len(elements)} atom types",
        "",
        *(f"{a:.6f} {a + e:.6f} {axis}lo {axis}hi" for axis, a, e in zip("xyz", low, edges, strict=True)),
        "",
    ]
    if all(symbol in MASS_U for symbol in elements):  # an unknown element has no mass: the script has to say it
        lines += ["Masses", "", *(f"{i} {MASS_U[s]:g} # {s}" for i, s in enumerate(elements, start=1)), ""]
    lines += ["Atoms # atomic", ""]
    rows = zip(ids, orbitals.species + 1, orbitals.positions, strict=True)
    _write(path, lines + [f"{number} {kind} {x:.6f} {y:.6f} {z:.6f}" for number, kind, (x, y, z) in rows])


def _three(values: NDArray[np.float64]) -> str:
    return ", ".join(f"{value:.4f}" for value in values)


def _write(path: str | Path, lines: list[str]) -> None:
    with open(path, "w", encoding="ascii", errors="replace", newline="\n") as file:
        file.write("\n".join(lines) + "\n")
