"""Lengths in HDF5 files that are claimed and not there: refused before memory is taken for them."""

from __future__ import annotations

import struct
from pathlib import Path

import h5py
import numpy as np
import pytest

from napari_lot.atoms import Orbitals
from napari_lot.errors import InputError
from napari_lot.series.read import read_series
from napari_lot.series.stored import Attributes, check_text
from napari_lot.series.tilt_series import TiltSeries
from napari_lot.session import RunState, Session, is_session, read_session, write_session
from napari_lot.settings import Settings

CLAIMED = struct.pack("<I", 0xFFFFFFF0)
MOST_MB = 100


def peak_mb():
    """The most memory that this process had, or None where nobody knows."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


@pytest.fixture(autouse=True)
def little_memory():
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the peak is what is taken now
    except OSError:
        yield
        return
    before = peak_mb()
    yield
    assert peak_mb() - before < MOST_MB


def session_file(path):
    images = np.random.default_rng(0).normal(3, 1, (5, 12, 15)).astype(np.float32)
    atoms = Orbitals.create([[1, 2, 3]], elements=("Pt",))
    state = RunState(atoms, "refine", 3, 9, 0.1, np.full(5, 0.1), 1.0, "on")
    write_session(path, Session(TiltSeries(images, np.linspace(-50, 50, 5), 0.3), Settings(), state=state))
    return path


def claim(path, text):
    """Let the text of an attribute say that it has 4 GB: where its length stands is found by its value."""
    whole = path.read_bytes()
    name, value = text
    at = whole.index(struct.pack("<I", len(value)), whole.index(name.encode() + b"\0"))
    path.write_bytes(whole[:at] + CLAIMED + whole[at + 4 :])


@pytest.mark.parametrize("name", ["format", "version", "saved"])
def test_attributes_of_a_session_that_claim_four_gigabytes(name, tmp_path):
    path = session_file(tmp_path / "a.lot.h5")
    with h5py.File(path) as file:
        value = str(file.attrs[name])
    claim(path, (name, value))
    with pytest.raises(InputError, match=rf"truncated or damaged \({name} is longer than the file\)"):
        read_session(path)
    assert is_session(path) == (name != "format")


@pytest.mark.parametrize("name", ["path", "images_sha256"])
def test_attributes_of_its_series(name, tmp_path):
    path = session_file(tmp_path / "a.lot.h5")
    with h5py.File(path, "r+") as file:
        del file["series"]["images"]
        file["series"].attrs[name] = "x" * 77
    claim(path, (name, "x" * 77))
    source = tmp_path / "a.npy"
    np.save(source, np.random.default_rng(1).random((5, 12, 15), np.float32))
    if name == "images_sha256":
        with h5py.File(path, "r+") as file:
            file["series"].attrs["path"] = str(source)
    with pytest.raises(InputError, match=rf"{name} is longer than the file"):
        read_session(path)


@pytest.mark.parametrize("libver", ["earliest", "latest"])
@pytest.mark.parametrize("more", [0, 6, 40])
def test_headers_of_either_kind_and_with_continuations(libver, more, tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver=libver) as file:
        group = file.create_group("inside")
        for k in range(more):
            group.attrs[f"other{k}"] = np.full(30, k)
        group.attrs["said"] = "word " * 9
        group.attrs["number"] = 3.5
        group.attrs["fixed"] = np.bytes_("abc")
    dense = libver == "latest" and more + 3 > 8  # not in the header any more
    with h5py.File(path) as file:
        found = Attributes(file["inside"], all_in_header=True)
        assert (found["number"], found["fixed"]) == (3.5, b"abc")
        assert (len(found), set(found)) == (more + 3, set(file["inside"].attrs))
        assert found.get("nothing", 7) == 7
        if dense:
            with pytest.raises(ValueError, match="said is not in the header"):
                found["said"]
            assert Attributes(file["inside"])["said"] == "word " * 9
            return
        assert found["said"] == "word " * 9
    whole = path.read_bytes()
    at = whole.index(struct.pack("<I", 45), whole.index(b"said\0"))
    if libver == "latest":
        return  # its checksum is no longer that of the header: HDF5 refuses it by itself
    path.write_bytes(whole[:at] + CLAIMED + whole[at + 4 :])
    with h5py.File(path) as file, pytest.raises(ValueError, match="said is longer than the file"):
        Attributes(file["inside"])["said"]


def test_attributes_whose_parts_say_their_own_length(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs["parts"] = np.zeros(2, [("a", "f8"), ("b", "i4")])
        with pytest.raises(ValueError, match="parts is neither a number nor a text"):
            Attributes(file)["parts"]


def no_text(file):
    file.create_dataset("settings", shape=(), dtype="S2000000000")


def endless_text(file):
    file.create_dataset("settings", shape=(), dtype=h5py.string_dtype())


def several(file):
    file["settings"] = ["{}", "{}"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (no_text, "settings is longer than the file"),
        (endless_text, "settings has no place in the file"),
        (several, "settings is not one text"),
        (lambda file: file.create_dataset("settings", data=3), "settings is not one text"),
    ],
)
def test_texts(make, words, tmp_path):
    path = session_file(tmp_path / "a.lot.h5")
    with h5py.File(path, "r+") as file:
        del file["settings"]
        make(file)
        with pytest.raises(ValueError, match=words):
            check_text(file["settings"])
    with pytest.raises(InputError, match=words):
        read_session(path)


def test_numbers_of_any_length(tmp_path):
    path = session_file(tmp_path / "a.lot.h5")
    with h5py.File(path, "r+") as file:
        del file["history"]
        data = file.create_dataset("history", (1,), h5py.vlen_dtype(np.float64))
        data[0] = np.arange(7.0)
        at = data.id.get_offset()
    whole = path.read_bytes()
    path.write_bytes(whole[:at] + CLAIMED + whole[at + 4 :])
    with pytest.raises(InputError, match="history holds no numbers"):
        read_session(path)


def test_attributes_of_a_series(tmp_path):
    path = tmp_path / "a.h5"
    images = np.random.default_rng(3).normal(100, 20, (7, 12, 10)).astype(np.float32)
    with h5py.File(path, "w") as file:
        file["images"] = images
        file.attrs["element"] = "Unobtainium, a text as long as none"
        file.attrs["pixel_size_A"] = 0.3
    kept = read_series(path, angles=np.linspace(-60, 60, 7))
    assert (kept.pixel_size_A, kept.metadata["element"]) == (0.3, "Unobtainium, a text as long as none")
    claim(path, ("element", "Unobtainium, a text as long as none"))
    with pytest.raises(InputError, match=r"this HDF5 file is truncated or damaged \(element is longer than the file\)"):
        read_series(path, angles=np.linspace(-60, 60, 7))
