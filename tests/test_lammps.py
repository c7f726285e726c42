"""LAMMPS data read: our own come back as they were, those that ASE writes as ASE reads them, others are refused."""

import ase
import ase.io
import numpy as np
import pytest

from napari_lot.atoms import Orbitals
from napari_lot.cli.app import run
from napari_lot.errors import InputError
from napari_lot.export import read_atoms, write_atoms
from napari_lot.structures import read_structure

RNG = np.random.default_rng(4)
HEAD = "by hand\n\n2 atoms\n1 atom types\n\n0 9 xlo xhi\n0 9 ylo yhi\n0 9 zlo zhi\n\n"


def alloy(n=40, first=0):
    return Orbitals.create(
        RNG.normal(0, 20, (n, 3)), 2.0, 0.6, RNG.integers(0, 3, n), ("W", "Pt", "Co"), first + RNG.permutation(n)
    )


@pytest.mark.parametrize("name", ["a.lmp", "a.data", "a.LAMMPS"])
@pytest.mark.parametrize("first", [0, 1, 17])
def test_our_own_come_back(name, first, tmp_path):
    atoms = alloy(first=first)
    write_atoms(tmp_path / name, atoms, kind="lammps")
    for read in (read_atoms, read_structure):
        found = read(tmp_path / name)
        np.testing.assert_allclose(found.positions, atoms.positions, atol=1e-6)
        assert found.symbols == atoms.symbols
        np.testing.assert_array_equal(found.id, atoms.id)


def test_unknown_elements_and_those_that_only_the_first_line_tells(tmp_path):
    atoms = Orbitals.create(np.arange(9.0).reshape(3, 3), species=[0, 1, 1], elements=("X", "Pt"))
    write_atoms(tmp_path / "a.lmp", atoms)
    assert "Masses" not in (tmp_path / "a.lmp").read_text()
    assert read_atoms(tmp_path / "a.lmp").symbols == ["X", "Pt", "Pt"]


@pytest.mark.parametrize("masses", [True, False])
def test_what_ase_writes(masses, tmp_path):
    made = ase.Atoms("Pt3Co2", positions=RNG.uniform(1, 9, (5, 3)), cell=[10, 10, 10])
    path = tmp_path / "a.lmp"
    ase.io.write(path, made, format="lammps-data", masses=masses, units="metal", specorder=["Co", "Pt"])
    found = read_structure(path)
    back = ase.io.read(path, format="lammps-data", atom_style="atomic", units="metal")
    np.testing.assert_allclose(found.positions, back.positions, atol=1e-9)
    assert found.id.tolist() == back.arrays["id"].tolist()
    assert found.symbols == (made.get_chemical_symbols() if masses else ["X"] * 5)


def test_masses_without_names_images_and_other_sections(tmp_path):
    (tmp_path / "a.data").write_text(
        HEAD.replace("1 atom types", "3 atom types")
        + "Masses\n\n1 195.1\n2 58.93 # Co1\n3 77.7\n\nPair Coeffs # lj/cut\n\n1 0.1 3\n"
        "\nVelocities\n\n1 0 0 0\n2 0 0 0\n"
        "\nAtoms\n\n2 1 1.5 2.5 3.5 0 -1 0 # a note\n1 2 4 5 6 0 0 0\n\nBonds\n\n1 1 1 2\n"
    )
    found = read_atoms(tmp_path / "a.data")
    assert found.positions.tolist() == [[1.5, 2.5, 3.5], [4, 5, 6]]
    assert (found.symbols, found.id.tolist(), found.elements) == (["Pt", "Co"], [2, 1], ("Pt", "Co"))


BAD = {
    "no data": ("nothing\n", "a.lmp: no section 'Atoms' as LAMMPS data have; give XYZ, CSV, CIF or PDB."),
    "another style": (
        f"{HEAD}Atoms # full\n\n1 1 1 0.5 0 0 0\n",
        "LAMMPS data are read of atom style atomic (id, type, x, y, z), not full; write it so, or give XYZ, CSV, CIF",
    ),
    "another style, not said": (f"{HEAD}Atoms\n\n1 1 1 0.5 0 0 0\n2 1 1 0.5 0 0 0\n", "read of atom style atomic"),
    "cut short": (f"{HEAD}Atoms # atomic\n\n1 1 0 0 0\n", "the header promises 2 atoms, 1 follow; copy it again."),
    "no number": (
        f"{HEAD}Atoms\n\n1 1 0 0 zero\n2 1 0 0 0\n",
        "line 12: expected id, type, x, y and z in numbers; correct it.",
    ),
    "id 0": (f"{HEAD}Atoms\n\n0 1 0 0 0\n2 1 0 0 0\n", "line 12: ids and types count from 1; correct it."),
    "huge id": (f"{HEAD}Atoms\n\n{10**30} 1 0 0 0\n2 1 0 0 0\n", "line 12: expected id, type, x, y and z in numbers"),
    "huge type": (f"{HEAD}Atoms\n\n1 1000000 0 0 0\n2 1 0 0 0\n", "line 12: ids and types count from 1"),
    "id twice": (f"{HEAD}Atoms\n\n1 1 0 0 0\n1 1 1 0 0\n", "an id occurs twice"),
    "not finite": (f"{HEAD}Atoms\n\n1 1 0 0 nan\n2 1 1 0 0\n", "atom 1 has positions that are no finite number"),
    "no atoms": (f"{HEAD.replace('2 atoms', '0 atoms')}Atoms\n\n", "the file holds no atoms; give one that does."),
    "twice": (f"{HEAD}Atoms\n\n1 1 0 0 0\n\nAtoms\n\n", "line 14: a second section Atoms; delete one of them."),
    "mass": (f"{HEAD}Masses\n\n1 heavy\n", "a.lmp: no section 'Atoms'"),
    "no mass": (
        f"{HEAD}Masses\n\n1 heavy\n\nAtoms\n\n1 1 0 0 0\n2 1 1 0 0\n",
        "line 12: expected a type and its mass; correct it.",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_others_are_refused_in_a_sentence(name, tmp_path):
    text, sentence = BAD[name]
    (tmp_path / "a.lmp").write_text(text)
    with pytest.raises(InputError) as caught:
        read_structure(tmp_path / "a.lmp")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_compare_and_export_take_it(tmp_path, capsys):
    atoms = alloy(60)
    write_atoms(tmp_path / "a.lmp", atoms)
    write_atoms(tmp_path / "a.xyz", atoms)
    assert run(["compare", str(tmp_path / "a.lmp"), str(tmp_path / "a.xyz")]) == 0
    out = capsys.readouterr().out
    assert "recall" in out
    assert "60 within 1 Å" in out
    assert run(["export", str(tmp_path / "a.lmp"), str(tmp_path / "b.csv")]) == 0
    assert read_atoms(tmp_path / "b.csv").symbols == atoms.symbols
