"""Files of atoms and images, read back by this package and by readers that share no code with it."""

import csv
import json

import h5py
import numpy as np
import pytest
import scipy.io
import tifffile

from napari_lot.atoms import Orbitals
from napari_lot.errors import InputError
from napari_lot.export import (
    UNKNOWN_HEIGHT,
    UNKNOWN_WIDTH_A,
    read_atoms,
    with_elements,
    write_atoms_csv,
    write_atoms_xyz,
    write_stack,
)
from napari_lot.report import check_output_folder, to_plain, write_folder, write_json


@pytest.fixture
def atoms():
    rng = np.random.default_rng(1)
    return Orbitals.create(
        rng.normal(0, 20, (30, 3)),
        height=rng.uniform(0.1, 3, 30),
        width=rng.uniform(0.4, 0.7, 30),
        species=rng.integers(0, 2, 30),
        elements=("Fe", "Pt"),
        id=rng.permutation(1000)[:30],
    )


@pytest.mark.parametrize(("write", "name"), [(write_atoms_csv, "a.csv"), (write_atoms_xyz, "a.xyz")])
def test_atoms_come_back(atoms, tmp_path, write, name):
    write(tmp_path / name, atoms, {"tilts_seen": np.arange(30)})
    back = read_atoms(tmp_path / name)
    np.testing.assert_allclose(back.positions, atoms.positions, atol=1e-6)
    np.testing.assert_allclose(back.height, atoms.height, rtol=1e-8)
    np.testing.assert_allclose(back.width, atoms.width, rtol=1e-8)
    assert back.id.tolist() == atoms.id.tolist()
    assert back.symbols == atoms.symbols


def test_csv_has_the_columns_of_the_contract(atoms, tmp_path):
    write_atoms_csv(tmp_path / "a.csv", atoms, {"tilts_seen": np.arange(30)})
    with open(tmp_path / "a.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == "id,element,x_A,y_A,z_A,height,width_A,integrated_A2,tilts_seen".split(",")
    assert float(rows[7]["z_A"]) == pytest.approx(atoms.positions[7, 2], abs=1e-6)
    assert float(rows[7]["integrated_A2"]) == pytest.approx(np.pi * atoms.height[7] * atoms.width[7] ** 2, rel=1e-7)
    assert rows[7]["tilts_seen"] == "7"
    write_atoms_csv(tmp_path / "b.csv", atoms)
    assert "tilts_seen" not in (tmp_path / "b.csv").read_text()


def test_xyz_is_readable_as_plain_xyz(atoms, tmp_path):
    write_atoms_xyz(tmp_path / "a.xyz", atoms)
    lines = (tmp_path / "a.xyz").read_text().splitlines()
    assert int(lines[0]) == 30 == len(lines) - 2
    symbol, *xyz = lines[2 + 4].split()[:4]
    assert symbol == atoms.symbols[4]
    np.testing.assert_allclose([float(x) for x in xyz], atoms.positions[4], atol=1e-6)


def test_plain_xyz_of_others(tmp_path):
    (tmp_path / "o.xyz").write_text("2\nsomebody's \"unbalanced comment\nAu 1 2 3\nAu 4 5 6\n\n")
    got = read_atoms(tmp_path / "o.xyz")
    assert got.positions.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert got.elements == ("Au",)
    assert (got.height == UNKNOWN_HEIGHT).all()
    assert (got.width == UNKNOWN_WIDTH_A).all()


@pytest.mark.parametrize("name", ["model", "atom_pos", "whatever"])
def test_resire_atoms_v5(tmp_path, name):
    xyz = np.random.default_rng(0).normal(0, 9, (3, 12))
    scipy.io.savemat(tmp_path / "m.mat", {name: xyz, "atoms": np.array([[1, 2] * 6])})
    got = read_atoms(tmp_path / "m.mat")
    np.testing.assert_array_equal(got.positions, xyz.T)
    assert with_elements(got, ("Co", "Pd")).symbols == ["Co", "Pd"] * 6


def test_resire_atoms_v73(tmp_path):
    xyz = np.random.default_rng(0).normal(0, 9, (3, 12))
    with h5py.File(tmp_path / "m.mat", "w", userblock_size=512) as file:
        file["model"] = xyz.T  # MATLAB stores with reversed axes
    with open(tmp_path / "m.mat", "r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    np.testing.assert_array_equal(read_atoms(tmp_path / "m.mat").positions, xyz.T)


def test_species_are_counted_in_the_elements_of_the_run(atoms):
    assert with_elements(atoms, ("Pt", "Fe")).symbols == atoms.symbols
    unknown = Orbitals.create(np.zeros((2, 3)))
    assert with_elements(unknown, ("Ta",)).symbols == ["Ta", "Ta"]
    with pytest.raises(InputError, match=r"start: holds atoms of Fe, but the elements of the run are Pt\."):
        with_elements(atoms, ("Pt",))


BAD_FILES = {
    "empty.xyz": ("", "the file is empty (0 bytes): copy the file of atoms again"),
    "blank.xyz": ("\n", "line 1: an XYZ file starts with the number of its atoms"),
    "short.xyz": ("3\n\nPt 0 0 0\n", "line 1 promises 3 atoms, 1 follow; the file is cut short"),
    "two.xyz": ("1\n\nPt 0 0 0\n1\n\nPt 0 0 0\n", "line 4: more lines than the 1 atoms of line 1"),
    "word.xyz": ("1\n\nPt 0 zero 0\n", "line 3: y_A is not a number: 'zero'"),
    "few.xyz": ("1\n\nPt 0 0\n", "line 3: 3 fields, expected 4"),
    "symbol.xyz": ("1\n\nQq 0 0 0\n", "line 3: 'Qq' is no element symbol"),
    "nan.xyz": ("2\n\nPt 0 0 0\nPt 0 nan 0\n", "atom 2 has positions that are no finite number"),
    "none.xyz": ("0\n\n", "the file holds no atoms"),
    "header.csv": ("a,b,c\n1,2,3\n", "the header has no column x_A"),
    "ragged.csv": ("x_A,y_A,z_A\n1,2,3\n1,2\n", "line 3: 2 fields where the header has 3"),
    "twice.csv": ("id,x_A,y_A,z_A\n5,0,0,0\n5,1,1,1\n", "an id occurs twice"),
    "flat.csv": ("x_A,y_A,z_A,width_A\n0,0,0,0.5\n0,1,1,0\n", "atom 2 has a width that is not positive"),
    "atoms.doc": ("1\n\nPt 0 0 0\n", ".csv, RESIRE .mat, LAMMPS data (.lmp) or .lot.h5 files, not from .doc"),
    "text.mat": (
        "this is no MAT file at all, only text that is long enough" * 9,
        "this MATLAB file is truncated or damaged",
    ),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files_of_atoms_are_one_sentence(tmp_path, name):
    text, sentence = BAD_FILES[name]
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError) as caught:
        read_atoms(tmp_path / name)
    assert sentence in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / name))
    assert "\n" not in str(caught.value)
    assert (tmp_path / name).read_text() == text


def test_missing_file_and_mat_without_atoms(tmp_path):
    with pytest.raises(InputError, match="no such file of atoms: check the name"):
        read_atoms(tmp_path / "no.xyz")
    scipy.io.savemat(tmp_path / "m.mat", {"volume": np.zeros((4, 5, 6))})
    with pytest.raises(InputError, match="no 3 by N array of atoms"):
        read_atoms(tmp_path / "m.mat")


def test_stacks_are_float32_with_pixel_size(tmp_path):
    stack = np.random.default_rng(0).normal(size=(3, 5, 7))
    write_stack(tmp_path / "s.tif", stack, 0.195)
    with tifffile.TiffFile(tmp_path / "s.tif") as file:
        assert file.is_imagej
        assert file.imagej_metadata["unit"] in ("angstrom", "Å")
        assert file.series[0].axes == "TYX"
        pixels, length = file.pages[0].tags["XResolution"].value
        assert length / pixels == pytest.approx(0.195, rel=1e-6)
        read = file.asarray()
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, stack.astype(np.float32))


def test_stacks_of_one_image_keep_their_axis(tmp_path):
    write_stack(tmp_path / "s.tif", np.ones((1, 5, 7)), 0.2)
    assert tifffile.imread(tmp_path / "s.tif").size == 35


def test_json_is_strict(tmp_path):
    value = {"a": np.array([1.5, np.nan]), "b": (np.int64(3), np.float32(np.inf)), "c": {"d": None, "e": [[1, -2e-9]]}}
    write_json(tmp_path / "r.json", to_plain(value))

    def refuse(name):
        raise AssertionError(name)

    read = json.loads((tmp_path / "r.json").read_text(), parse_constant=refuse)
    assert read == {"a": [1.5, None], "b": [3, None], "c": {"d": None, "e": [[1, -2e-9]]}}
    assert "[1.5, null]" in (tmp_path / "r.json").read_text()


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    out = tmp_path / "deep" / "out"

    def text(value):
        return lambda path: path.write_text(value)

    def fail(path):
        path.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_folder(out, {"atoms.csv": text("new"), "atoms.xyz": fail})
    assert not out.exists()
    write_folder(out, {"atoms.csv": text("old"), "probe.tif": text("old")})
    (out / "notes.txt").write_text("the user's own")
    with pytest.raises(OSError, match="No space"):
        write_folder(out, {"atoms.csv": text("new"), "atoms.xyz": fail})
    assert {p.name: p.read_text() for p in out.iterdir()} == {
        "atoms.csv": "old",
        "probe.tif": "old",
        "notes.txt": "the user's own",
    }
    write_folder(out, {"atoms.csv": text("new")})
    assert {p.name: p.read_text() for p in out.iterdir()} == {"atoms.csv": "new", "notes.txt": "the user's own"}


def test_folders_that_cannot_take_results(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thing").write_text("x")
    (tmp_path / "empty").mkdir()
    for out, sentence in [
        (tmp_path / "file", "is a file, not a folder"),
        (tmp_path / "file" / "below", "is a file where a folder"),
        (tmp_path / "full", "not empty; give another --out, or --overwrite"),
    ]:
        with pytest.raises(InputError, match=sentence):
            check_output_folder(out)
    assert check_output_folder(tmp_path / "full", overwrite=True)
    assert check_output_folder(tmp_path / "empty")
    assert check_output_folder(tmp_path / "not" / "yet")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["empty", "file", "full", "thing"]
