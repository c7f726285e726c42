"""Atoms from any file: the formats of this package, and through ASE (the extra ``ase``) those of others."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_lot.atoms import Orbitals
from napari_lot.errors import InputError
from napari_lot.export import UNKNOWN_HEIGHT, UNKNOWN_WIDTH_A, read_atoms

OWN = (".xyz", ".extxyz", ".csv", ".mat")


def read_structure(path: str | Path) -> Orbitals:
    """Atoms of an XYZ, CSV or RESIRE ``.mat`` file, or of any format that ASE reads; positions in Å as they stand.

    Of a file with several structures the last one is taken, as ASE does. Periodic images are not made.

    Raises
    ------
    InputError
        The file cannot be read, holds no atoms, or needs ASE, which is not installed.
    """
    path = Path(path)
    if path.suffix.lower() in OWN or not path.exists():
        return read_atoms(path)
    try:
        import ase.io
    except ImportError:
        raise InputError(
            f"{path}: atoms are read from {', '.join(OWN)}; for other formats install ASE: pip install napari-lot[ase]."
        ) from None
    try:
        found = ase.io.read(str(path))
    except Exception as error:  # every reader of ASE has failures of its own
        text = str(error).strip().split("\n")[0] or type(error).__name__
        raise InputError(f"{path}: ASE cannot read atoms from it ({text}); give XYZ, CSV or RESIRE .mat.") from None
    one = found[-1] if isinstance(found, list) else found
    if not len(one):
        raise InputError(f"{path}: the file holds no atoms.")
    positions = np.asarray(one.get_positions(), np.float64)
    if not np.isfinite(positions).all():
        raise InputError(f"{path}: holds positions that are no finite numbers; correct or delete those atoms.")
    symbols = one.get_chemical_symbols()
    elements = tuple(dict.fromkeys(symbols))
    return Orbitals.create(
        positions, UNKNOWN_HEIGHT, UNKNOWN_WIDTH_A, [elements.index(symbol) for symbol in symbols], elements
    )
