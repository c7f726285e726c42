"""What a cut of the power leaves: content is on the disk before its name, and the name before anybody is told of it."""

import os
import stat

import numpy as np
import pytest

from napari_lot import files
from napari_lot.atoms import Orbitals
from napari_lot.cli.app import run
from napari_lot.export import write_atoms_csv
from napari_lot.files import make_folder, write_whole
from napari_lot.job import Snapshot
from napari_lot.report import write_folder
from napari_lot.series.tilt_series import TiltSeries
from napari_lot.session import Autosave, Session, read_session
from napari_lot.settings import Settings

pytestmark = pytest.mark.skipif(not hasattr(os, "O_DIRECTORY"), reason="folders cannot be synchronised there")


@pytest.fixture
def order(monkeypatch):
    """What was asked of the disk, in order: ("content", inode, size), ("renamed", inode, name), ("names", inode)."""
    done, fsync, replace = [], os.fsync, os.replace

    def synced(descriptor):
        told = os.fstat(descriptor)
        if stat.S_ISDIR(told.st_mode):
            done.append(("names", told.st_ino))
        else:
            done.append(("content", told.st_ino, told.st_size))
        fsync(descriptor)

    def renamed(source, target):
        done.append(("renamed", os.stat(source).st_ino, os.path.basename(target)))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    return done


def inode(path):
    return os.stat(path).st_ino


def check(order, path):
    """All of a file was on the disk before it had its name, and its name was, afterwards."""
    at = [i for i, step in enumerate(order) if step[:1] + step[2:] == ("renamed", path.name)]
    assert at, "it was not renamed"
    assert ("content", inode(path), path.stat().st_size) in order[: at[-1]]
    assert ("names", inode(path.parent)) in order[at[-1] :]


def test_a_file(order, tmp_path):
    path = tmp_path / "a.txt"
    write_whole(path, lambda p: p.write_text("content"))
    check(order, path)
    assert [step[0] for step in order] == ["content", "renamed", "names"]


def test_it_would_be_noticed(order, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "sync_folder", lambda path: None)
    write_whole(tmp_path / "a.txt", lambda p: p.write_text("content"))
    with pytest.raises(AssertionError):
        check(order, tmp_path / "a.txt")


def test_an_autosave_and_the_folder_that_is_made_for_it(order, tmp_path):
    path = tmp_path / "new" / "run" / "autosave.lot.h5"
    images = np.random.default_rng(0).normal(3, 1, (5, 12, 15)).astype(np.float32)
    autosave = Autosave(path, Session(TiltSeries(images, np.linspace(-50, 50, 5), 0.3), Settings()), 0.0)
    atoms, none = Orbitals.create([[1, 2, 3]], elements=("Pt",)), np.zeros((0, 12, 15), np.float32)
    r = np.full(5, 0.1)
    assert autosave.add(Snapshot("refine", 1, 9, atoms, 0.1, r, np.zeros(0, np.int64), none, None, 1.0, "on"))
    autosave.wait()
    assert autosave.failure is None
    check(order, path)
    for folder in (tmp_path, tmp_path / "new"):
        assert ("names", inode(folder)) in order
    assert read_session(path).state.step == 1


def test_results_are_all_on_the_disk_before_one_has_its_name_and_the_old_go_last(order, tmp_path, monkeypatch):
    out = tmp_path / "out"
    write_folder(out, {"autosave": lambda p: p.write_text("old"), "b": lambda p: p.write_text("old")})
    order.clear()
    unlink = type(out).unlink

    def removed(path, missing_ok=False):
        order.append(("removed", 0, path.name))
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(type(out), "unlink", removed)
    write_folder(out, {"a": lambda p: p.write_text("new"), "b": lambda p: p.write_text("new")}, stale=("autosave", "b"))
    assert [step[0] for step in order] == ["content", "content", "renamed", "renamed", "names", "removed"]
    assert order[-1][2] == "autosave"
    check(order, out / "a")
    check(order, out / "b")


def test_an_export(order, tmp_path):
    write_atoms_csv(tmp_path / "a.csv", Orbitals.create([[1, 2, 3]], elements=("Pt",)))
    assert run(["export", str(tmp_path / "a.csv"), str(tmp_path / "a.cif")]) == 0
    check(order, tmp_path / "a.cif")


def test_a_disk_that_cannot_synchronise_a_folder_is_no_failure(tmp_path, monkeypatch):
    fsync = os.fsync

    def refused(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(22, "Invalid argument")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", refused)
    write_whole(tmp_path / "a.txt", lambda p: p.write_text("content"))
    assert (tmp_path / "a.txt").read_text() == "content"
    make_folder(tmp_path / "b" / "c")
    assert (tmp_path / "b" / "c").is_dir()
