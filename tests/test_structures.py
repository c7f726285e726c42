"""Atoms in the formats of other programs, read back by ASE: a reader that knows nothing of this package."""

import ase.io
import numpy as np
import pytest

from napari_lot.atoms import Orbitals
from napari_lot.errors import InputError
from napari_lot.export import ATOM_FORMATS, read_atoms, write_atoms
from napari_lot.export.structures import MARGIN_A, MASS_U

ASE_NAME = {
    "csv": None,
    "extxyz": "extxyz",
    "xyz": "xyz",
    "cif": "cif",
    "pdb": "proteindatabank",
    "lammps": "lammps-data",
}
DIGITS = {"pdb": 5.1e-4, "cif": 1e-6, "lammps": 5.1e-7}


def alloy(n: int = 60, first_id: int = 7) -> Orbitals:
    rng = np.random.default_rng(4)
    species = rng.integers(0, 3, n)
    ids = first_id + 3 * np.arange(n)
    return Orbitals.create(rng.normal(size=(n, 3)) * (20, 5, 9) - 3, 1.5, 0.5, species, ("W", "Pt", "C"), ids)


@pytest.mark.parametrize("kind", [k for k in ATOM_FORMATS if ASE_NAME[k]])
def test_ase_reads_the_same_atoms(kind, tmp_path):
    atoms = alloy()
    path = tmp_path / f"a{ATOM_FORMATS[kind][1]}"
    write_atoms(path, atoms, kind=kind)
    # sorting by ids is what ASE before 3.27 did only to ids from 1 to N
    options = {"atom_style": "atomic", "units": "metal", "sort_by_id": False} if kind == "lammps" else {}
    found = ase.io.read(path, format=ASE_NAME[kind], **options)
    assert found.get_chemical_symbols() == atoms.symbols
    # a cell's corner may lie elsewhere: distances to the first atom are what has to be the same
    moved = found.positions - found.positions[0] - (atoms.positions - atoms.positions[0])
    assert np.abs(moved).max() <= 2 * DIGITS.get(kind, 1e-7)
    if kind != "cif":
        assert np.abs(found.positions - atoms.positions).max() <= DIGITS.get(kind, 1e-7)
    if kind in ("cif", "lammps"):
        extent = np.ptp(atoms.positions, axis=0) + 2 * MARGIN_A
        np.testing.assert_allclose(found.cell.lengths(), extent, atol=2e-6)
        np.testing.assert_allclose(found.cell.angles(), 90)
    else:
        assert not found.pbc.any()
    if kind == "lammps":
        assert found.arrays["id"].tolist() == atoms.id.tolist()
        assert set(found.arrays["type"].tolist()) == {1, 2, 3}
        np.testing.assert_allclose(found.get_masses(), [MASS_U[s] for s in atoms.symbols])


def test_the_ending_says_the_format(tmp_path):
    for name, begins in (
        ("a.csv", "id,"),
        ("a.xyz", "60\nProperties="),
        ("a.cif", "# napari-lot"),
        ("a.PDB", "REMARK"),
        ("a.lmp", "napari-lot, units metal"),
        ("a.data", "napari-lot, units metal"),
    ):
        write_atoms(tmp_path / name, alloy())
        assert (tmp_path / name).read_text().startswith(begins)
    with pytest.raises(InputError, match=r"a.docx: atoms are written as .csv, .xyz"):
        write_atoms(tmp_path / "a.docx", alloy())
    with pytest.raises(InputError, match="there are no atoms"):
        write_atoms(tmp_path / "b.cif", alloy(0))
    assert not (tmp_path / "b.cif").exists()


def test_the_corner_in_a_cif_leads_back_to_the_specimen_frame(tmp_path):
    atoms = alloy()
    write_atoms(tmp_path / "a.cif", atoms)
    comment = next(line for line in (tmp_path / "a.cif").read_text().splitlines() if line.startswith("# Corner"))
    corner = [float(part) for part in comment.split(": ")[1].removesuffix(" Angstrom.").split(", ")]
    found = ase.io.read(tmp_path / "a.cif")
    assert np.abs(found.positions + corner - atoms.positions).max() < 1.1e-4
    assert f"\nW{atoms.id[atoms.species == 0][0]} W " in (tmp_path / "a.cif").read_text()


def test_unknown_elements(tmp_path):
    atoms = Orbitals.create(np.arange(9.0).reshape(3, 3))
    for name in ("a.cif", "a.pdb", "a.xyz"):
        write_atoms(tmp_path / name, atoms)
        assert ase.io.read(tmp_path / name).get_chemical_symbols() == ["X"] * 3
    write_atoms(tmp_path / "a.lmp", atoms)
    text = (tmp_path / "a.lmp").read_text()
    assert "Masses" not in text
    assert text.splitlines()[0].endswith("types: 1 X; atom = id + 1")
    assert "\n1 1 0.000000 1.000000 2.000000\n" in text


def test_limits_of_pdb(tmp_path):
    far = Orbitals.create([[0, 0, 0], [0, -1000.0, 0]])
    with pytest.raises(InputError, match=r"atom 1 lies at \(0.0000, -1000.0000, 0.0000\) Å.*save CIF"):
        write_atoms(tmp_path / "a.pdb", far)
    many = Orbitals.create(np.zeros((100_000, 3)))
    with pytest.raises(InputError, match="at most 99,999 atoms, these are 100,000"):
        write_atoms(tmp_path / "a.pdb", many)
    assert not (tmp_path / "a.pdb").exists()
    widest = Orbitals.create([[-999.999, 9999.999, 0], [1, 2, 3]], elements=("Pt",), id=[5, 400_000])
    write_atoms(tmp_path / "a.pdb", widest)
    _, note, first, *_ = (tmp_path / "a.pdb").read_text().splitlines()
    assert "SERIAL NUMBERS ARE ROWS" in note
    assert (first[6:11], first[12:16], first[30:54], first[76:78]) == (
        "    1",
        "PT  ",
        "-999.9999999.999   0.000",
        "PT",
    )
    np.testing.assert_allclose(ase.io.read(tmp_path / "a.pdb").positions, widest.positions)


def test_masses_against_ase():
    from ase.data import atomic_masses, atomic_numbers

    for symbol, mass in MASS_U.items():
        assert mass == pytest.approx(atomic_masses[atomic_numbers[symbol]], rel=1e-6)


def test_plain_xyz_is_read_again(tmp_path):
    atoms = alloy()
    write_atoms(tmp_path / "a.xyz", atoms, kind="xyz")
    lines = (tmp_path / "a.xyz").read_text().splitlines()
    assert {len(line.split()) for line in lines[2:]} == {4}
    found = read_atoms(tmp_path / "a.xyz")
    np.testing.assert_allclose(found.positions, atoms.positions, atol=1e-6)
    assert found.symbols == atoms.symbols
