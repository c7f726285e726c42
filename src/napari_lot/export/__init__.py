"""Results as files: atoms in the formats of other programs, image stacks, figures, and the words of a paper."""

from napari_lot.export.formats import ATOM_FORMATS, AtomFormat, format_of, write_atoms
from napari_lot.export.read import UNKNOWN_HEIGHT, UNKNOWN_WIDTH_A, read_atoms, with_elements
from napari_lot.export.volume import holds_volume, read_volume, write_volume
from napari_lot.export.write import (
    atom_columns,
    write_atoms_csv,
    write_atoms_plain_xyz,
    write_atoms_xyz,
    write_stack,
)

__all__ = [
    "ATOM_FORMATS",
    "UNKNOWN_HEIGHT",
    "UNKNOWN_WIDTH_A",
    "AtomFormat",
    "atom_columns",
    "format_of",
    "holds_volume",
    "read_atoms",
    "read_volume",
    "with_elements",
    "write_atoms",
    "write_atoms_csv",
    "write_atoms_plain_xyz",
    "write_atoms_xyz",
    "write_stack",
    "write_volume",
]
