"""Atoms from any file: the formats of this package, and through ASE (the extra ``ase``) those of others."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from napari_lot.atoms import Orbitals
from napari_lot.errors import InputError
from napari_lot.export import UNKNOWN_HEIGHT, UNKNOWN_WIDTH_A, lammps, read_atoms
from napari_lot.files import check_readable
from napari_lot.series.raw import reason_of

OWN = (".xyz", ".extxyz", ".csv", ".mat", *lammps.ENDINGS)


def read_structure(path: str | Path) -> Orbitals:
    """Atoms of an XYZ, CSV, RESIRE ``.mat`` or LAMMPS data file, or of any format that ASE reads.

    Positions are in Å, as they stand. Of a file with several structures the last one is taken, as ASE does. Periodic
    images are not made.

    Raises
    ------
    InputError
        The file cannot be read, holds no atoms, or needs ASE, which is not installed.
    """
    path = Path(path)
    if path.suffix.lower() in OWN or not os.path.lexists(path):
        return read_atoms(path)
    check_readable(path, "file of atoms")
    try:
        import ase.io
    except ImportError:
        raise InputError(
            f"{path}: atoms are read from {', '.join(OWN)}; for other formats install ASE: pip install napari-lot[ase]."
        ) from None
    try:
        # The whole path: a name that begins with "postgres" would be asked of a server. And "@" is part of it.
        found = ase.io.read(str(path.absolute()), do_not_split_by_at_sign=True)
        one = found[-1] if isinstance(found, list) else found
        positions, symbols = np.asarray(one.get_positions(), np.float64), one.get_chemical_symbols()
    except ase.io.formats.UnknownFileTypeError:
        raise InputError(f"{path}: ASE does not know this kind of file; give XYZ, CSV or RESIRE .mat.") from None
    except Exception as error:  # every reader of ASE has failures of its own
        why = f" ({reason_of(error)})" if str(error).strip() else ""
        raise InputError(f"{path}: ASE cannot read atoms from it{why}; give XYZ, CSV or RESIRE .mat.") from None
    if not len(positions):
        raise InputError(f"{path}: the file holds no atoms; give one that does.")
    if not np.isfinite(positions).all():
        raise InputError(f"{path}: holds positions that are no finite numbers; correct or delete those atoms.")
    elements = tuple(dict.fromkeys(symbols))
    return Orbitals.create(
        positions, UNKNOWN_HEIGHT, UNKNOWN_WIDTH_A, [elements.index(symbol) for symbol in symbols], elements
    )
