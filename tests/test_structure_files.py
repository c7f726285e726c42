"""Structures from the formats of others, written here by ASE."""

import sys

import ase
import ase.io
import numpy as np
import pytest

from napari_lot.atoms import Orbitals
from napari_lot.cli.app import run
from napari_lot.errors import InputError
from napari_lot.export import write_atoms_csv, write_atoms_xyz
from napari_lot.structures import read_structure


@pytest.fixture
def alloy():
    rng = np.random.default_rng(0)
    return ase.Atoms("Pt3Co2", positions=rng.uniform(1, 9, (5, 3)), cell=[10, 10, 10])


@pytest.mark.parametrize("name", ["a.pdb", "a.cif", "POSCAR", "a.vasp", "a.json"])
def test_other_formats_come_through_ase(alloy, tmp_path, name):
    path = tmp_path / name
    ase.io.write(path, alloy)
    got = read_structure(path)
    back = ase.io.read(path)
    assert sorted(got.symbols) == ["Co", "Co", "Pt", "Pt", "Pt"]
    assert got.symbols == back.get_chemical_symbols()
    np.testing.assert_allclose(np.sort(got.positions, 0), np.sort(alloy.positions, 0), atol=2e-3)


def test_own_formats_stay_our_own(tmp_path):
    atoms = Orbitals.create([[1, 2, 3], [4, 5, 6]], [2.0, 3.0], 0.7, elements=("Pt",))
    write_atoms_csv(tmp_path / "a.csv", atoms)
    assert read_structure(tmp_path / "a.csv").height.tolist() == [2, 3]


def test_bad_files_are_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "a.cif").write_text("nonsense")
    with pytest.raises(InputError, match=r"a\.cif: ASE cannot read atoms from it"):
        read_structure(tmp_path / "a.cif")
    with pytest.raises(InputError, match=r"b\.cif: "):
        read_structure(tmp_path / "b.cif")
    monkeypatch.setitem(sys.modules, "ase.io", None)
    with pytest.raises(InputError, match=r"install ASE: pip install napari-lot\[ase\]"):
        read_structure(tmp_path / "a.cif")


def test_compare_says_which_hand(tmp_path, capsys):
    rng = np.random.default_rng(2)
    truth = rng.uniform(-9, 9, (60, 3))
    write_atoms_xyz(tmp_path / "t.xyz", Orbitals.create(truth))
    write_atoms_xyz(tmp_path / "f.xyz", Orbitals.create(truth * [1, 1, -1] + [30, 0, 0]))
    assert run(["compare", str(tmp_path / "f.xyz"), str(tmp_path / "t.xyz"), "--hands"]) == 0
    out = capsys.readouterr().out
    out = " ".join(out.split())
    assert "The other hand fits better: the mirror image (x, y, −z) pairs 60 atoms" in out
    assert "wrong sense" in out
    assert run(["compare", str(tmp_path / "f.xyz"), str(tmp_path / "t.xyz")]) == 0
    assert "hand" not in capsys.readouterr().out
