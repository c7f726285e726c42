"""napari's side doors, without napari."""

from __future__ import annotations

import subprocess
import sys
from importlib import resources

import numpy as np
import pytest
import tifffile
import yaml

from napari_lot.errors import InputError
from napari_lot.export import read_atoms
from napari_lot.napari_hooks import (
    NotWrittenError,
    get_atoms_reader,
    get_series_reader,
    sample_pt_deca,
    write_atoms,
)
from napari_lot.series.layer import series_from_layer_data
from napari_lot.series.sample import sample_path, sample_truth_path

STACK = np.random.default_rng(0).random((5, 8, 9)).astype(np.float32)
THETAS = np.linspace(-60, 60, 5)


def manifest():
    return yaml.safe_load(resources.files("napari_lot").joinpath("napari.yaml").read_text(encoding="utf-8"))


def printed_by(code):
    """What a program prints in a process of its own, which has imported nothing before."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    return done.stdout.strip()


def test_nothing_of_napari_or_qt_is_imported():
    code = (
        "import sys; from napari_lot import napari_hooks as h; h.sample_pt_deca(); "
        "print([m for m in sys.modules if m.split('.')[0] in ('napari', 'qtpy', 'PyQt6', 'PySide6', 'vispy')])"
    )
    assert printed_by(code) == "[]"


def test_what_reads_files_is_imported_when_a_file_is_read():
    code = (
        "import sys; from napari_lot import napari_hooks as h; h.get_series_reader('a.mrc'); "
        "print([m for m in ('h5py', 'mrcfile', 'tifffile', 'scipy', 'pydantic') if m in sys.modules])"
    )
    assert printed_by(code) == "[]"


def commands():
    """Modules that napari imports for its menus, readers, writers and samples; that of the widget when it is opened."""
    widgets = {widget["command"] for widget in manifest()["contributions"]["widgets"]}
    names = [c["python_name"] for c in manifest()["contributions"]["commands"] if c["id"] not in widgets]
    return sorted({name.partition(":")[0] for name in names})


def test_torch_is_imported_with_the_workbench_and_not_before():
    modules = commands()
    assert {"napari_lot.napari_hooks", "napari_lot.gui.commands"} <= set(modules)
    code = (
        f"import importlib, sys; [importlib.import_module(m) for m in {modules!r}]; "
        "from napari_lot import napari_hooks as h; h.sample_pt_deca(); h.get_series_reader('a.mrc'); "
        "print([m for m in ('torch', 'numba') if m in sys.modules])"
    )
    assert printed_by(code) == "[]"


def test_sample_is_one_image_layer():
    ((data, options, kind),) = sample_pt_deca()
    assert kind == "image"
    assert data.shape == (36, 1, 114, 114)
    assert options["scale"] == (1.0, 0.25, 0.25, 0.25)
    assert options["units"] == ("pixel", "angstrom", "angstrom", "angstrom")
    series = series_from_layer_data(data, options["metadata"], options["scale"], units=options["units"])
    np.testing.assert_array_equal(series.angles_deg[:, 1], np.arange(-70, 71, 4))


def test_series_with_its_angles_is_taken(tmp_path):
    path = tmp_path / "series.npz"
    np.savez(path, images=STACK, angles_deg=THETAS, pixel_size_A=0.3)
    reader = get_series_reader(str(path))
    assert reader is not None
    ((data, _, kind),) = reader(str(path))
    assert (data.shape, kind) == ((5, 1, 8, 9), "image")
    assert get_series_reader([str(path)]) is not None


def test_no_reader_for_every_tiff():
    """napari goes by names alone: where two readers claim a name, it asks which one at every such file."""
    from fnmatch import fnmatch

    assert get_series_reader(str(sample_path())) is None, "not even with angles beside it"
    patterns = [p for r in manifest()["contributions"]["readers"] for p in r["filename_patterns"]]
    for name in ("photo.tif", "photo.tiff", "photo.npy"):
        assert not any(fnmatch(name, pattern) for pattern in patterns)


def test_what_is_not_a_tilt_series_is_left_to_others(tmp_path):
    tifffile.imwrite(tmp_path / "photo.tif", STACK)
    assert get_series_reader(str(tmp_path / "photo.tif")) is None
    np.savez(tmp_path / "volume.npz", images=STACK)
    assert get_series_reader(str(tmp_path / "volume.npz")) is None
    np.savez(tmp_path / "other.npz", weights=np.eye(3))
    assert get_series_reader(str(tmp_path / "other.npz")) is None
    (tmp_path / "volume.tlt").write_text("1\n2\n3\n")  # another count: not the angles of these images
    assert get_series_reader(str(tmp_path / "volume.npz")) is None
    (tmp_path / "broken.mrc").write_bytes(b"nothing")
    assert get_series_reader(str(tmp_path / "broken.mrc")) is None
    assert get_series_reader(str(tmp_path / "nowhere.mrc")) is None
    assert get_series_reader(str(tmp_path)) is None
    assert get_series_reader([str(tmp_path / "photo.tif"), str(sample_path())]) is None
    np.savez(tmp_path / "series.npz", images=STACK, angles_deg=THETAS, pixel_size_A=0.3)
    assert get_series_reader(str(tmp_path / "series.npz")) is not None


def test_a_series_without_pixel_size_says_so_when_it_is_read(tmp_path):
    np.savez(tmp_path / "series.npz", images=STACK, angles_deg=THETAS)
    reader = get_series_reader(str(tmp_path / "series.npz"))
    assert reader is not None
    with pytest.raises(InputError, match="the pixel size is not known"):
        reader(str(tmp_path / "series.npz"))


def test_atoms_come_as_points_in_zyx():
    reader = get_atoms_reader(str(sample_truth_path()))
    assert reader is not None
    ((data, options, kind),) = reader(str(sample_truth_path()))
    assert (data.shape, kind) == ((247, 3), "points")
    first = sample_truth_path().read_text().splitlines()[2].split()
    np.testing.assert_allclose(data[0], [float(c) for c in first[:0:-1]])
    assert set(options["features"]["element"]) == {"Pt"}
    assert get_atoms_reader("nowhere.xyz") is None
    assert get_atoms_reader(str(sample_path())) is None


def test_points_are_written_in_the_specimen_frame(tmp_path):
    ((data, options, _),) = get_atoms_reader(str(sample_truth_path()))(str(sample_truth_path()))
    target = str(tmp_path / "atoms.xyz")
    assert write_atoms(target, data / 2 - 1, {**options, "scale": (2, 2, 2), "translate": (2, 2, 2)}) == [target]
    ((again, back, _),) = get_atoms_reader(target)(target)
    np.testing.assert_allclose(again, data, atol=1e-6)
    np.testing.assert_array_equal(back["features"]["element"], options["features"]["element"])
    np.testing.assert_array_equal(back["features"]["id"], options["features"]["id"])


def test_points_that_are_not_shown_are_not_written(tmp_path):
    points = np.arange(18.0).reshape(6, 3)
    features = {"element": ["Pt", "Fe", "Pt", "X", "X", "X"], "height": np.arange(6.0), "id": np.arange(10, 16)}
    shown = np.arange(6) < 3
    for name in ("a.xyz", "a.csv"):
        write_atoms(str(tmp_path / name), points, {"features": features, "shown": shown})
        atoms = read_atoms(tmp_path / name)
        np.testing.assert_allclose(atoms.positions, points[:3, ::-1])
        assert atoms.symbols == ["Pt", "Fe", "Pt"]
        assert atoms.height.tolist() == [0, 1, 2]
        assert atoms.id.tolist() == [10, 11, 12]
    with pytest.raises(NotWrittenError, match="only a Points layer of atoms"):
        write_atoms(str(tmp_path / "none.xyz"), points, {"shown": np.zeros(6, bool)})


def test_numbers_among_the_features_become_columns(tmp_path):
    features = {
        "element": ["Pt", "Pt"],
        "sigma_x_A": np.array([0.01, 0.02]),
        "tilts_seen": np.array([36, 35]),
        "remark": ["a", "b"],
        "no name": np.array([1.0, 2.0]),
    }
    for name in ("a.csv", "a.xyz"):
        write_atoms(str(tmp_path / name), np.arange(6.0).reshape(2, 3), {"features": features})
        assert len(read_atoms(tmp_path / name)) == 2
    header, first, _ = (tmp_path / "a.csv").read_text().splitlines()
    assert header.endswith("integrated_A2,sigma_x_A,tilts_seen")
    assert first.endswith(",0.01,36")
    assert "sigma_x_A:R:1:tilts_seen:I:1" in (tmp_path / "a.xyz").read_text()


@pytest.mark.parametrize("points", [np.zeros((0, 3)), np.zeros((4, 2)), np.zeros((4, 4))])
def test_other_points_are_not_written(points, tmp_path):
    with pytest.raises(NotWrittenError, match=r"only a Points layer of atoms in 3-D"):
        write_atoms(str(tmp_path / "a.xyz"), points, {})
    assert not (tmp_path / "a.xyz").exists()


def test_a_folder_that_cannot_be_written_to(tmp_path):
    with pytest.raises(NotWrittenError, match=r"cannot be written: .*: choose another folder"):
        write_atoms(str(tmp_path / "nowhere" / "a.xyz"), np.zeros((4, 3)), {})


@pytest.mark.parametrize("name", ["read_series", "read_atoms", "write_atoms", "sample_pt_deca"])
def test_the_manifest_names_what_is_there(name):
    import importlib

    command = next(c for c in manifest()["contributions"]["commands"] if c["id"] == f"napari-lot.{name}")
    module, function = command["python_name"].split(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_a_file_is_read_once(tmp_path, monkeypatch):
    from napari_lot.series import read

    path = tmp_path / "series.npz"
    np.savez(path, images=STACK, angles_deg=THETAS, pixel_size_A=0.3)
    seen = []
    reader = read.READERS[".npz"]
    monkeypatch.setitem(read.READERS, ".npz", lambda p, told: (seen.append(p), reader(p, told))[1])
    read_it = get_series_reader(str(path))
    ((data, _, _),) = read_it(str(path))
    assert len(seen) == 1
    np.testing.assert_array_equal(data[:, 0], STACK)
    ((again, _, _),) = read_it(str(path))  # napari may use a reader twice: then the file of that moment counts
    assert len(seen) == 2
    np.testing.assert_array_equal(again, data)


def full_series():
    from napari_lot.series.tilt_series import TiltSeries

    rng = np.random.default_rng(1)
    return TiltSeries(
        images=rng.poisson(20, STACK.shape).astype(np.float32),
        angles_deg=np.stack([np.full(5, 1.0), THETAS, np.zeros(5)], 1),
        pixel_size_A=0.31,
        center_px=(3.5, 4.25),
        tilt_axis_deg=2.5,
        mask=rng.random(STACK.shape) < 0.9,
        counts=True,
        excluded=(3,),
        metadata={"element": "Pt", "energy_eV": 2e5, "semiangle_mrad": 22.0},
    )


@pytest.mark.parametrize("name", ["a.npz", "a.lot.h5"])
def test_a_series_that_is_saved_and_opened_is_the_same(tmp_path, name):
    from napari_lot.napari_hooks import write_series
    from napari_lot.series.layer import layer_data

    series = full_series()
    data, options, _ = layer_data(series)
    path = str(tmp_path / name)
    assert write_series(path, data, options) == [path]
    (again, back, kind), *_ = get_series_reader(path)(path)
    assert kind == "image"
    found = series_from_layer_data(again, back["metadata"], back["scale"], units=back["units"])
    for field in ("images", "angles_deg", "mask"):
        np.testing.assert_array_equal(getattr(found, field), getattr(series, field))
    for field in ("pixel_size_A", "center_px", "tilt_axis_deg", "counts", "excluded"):
        assert getattr(found, field) == getattr(series, field), field
    assert {k: found.metadata[k] for k in series.metadata} == series.metadata


def test_mrc_and_tiff_keep_angles_beside_them_or_refuse(tmp_path):
    from napari_lot.export.series import write_series
    from napari_lot.napari_hooks import write_series as hook
    from napari_lot.series.read import read_series

    series = full_series()
    plain = series.with_changes(mask=None, tilt_axis_deg=0.0, excluded=(), counts=False)
    for name in ("a.mrc", "b.tif"):
        written = write_series(tmp_path / name, plain)
        assert [p.name for p in written] == [name, f"{name[0]}_angles.csv"]
        found = read_series(tmp_path / name)
        np.testing.assert_array_equal(found.images, series.images)
        np.testing.assert_allclose(found.angles_deg, series.angles_deg)
        assert found.pixel_size_A == pytest.approx(0.31, rel=1e-6)
    with pytest.raises(InputError, match="no place for: mask, tilt axis, tilts that are left out, electron counts"):
        write_series(tmp_path / "c.mrc", series)
    assert not (tmp_path / "c.mrc").exists()
    with pytest.raises(NotWrittenError, match="does not say its tilt angles"):
        hook(str(tmp_path / "d.npz"), STACK[:, None], {"name": "photo", "scale": (1, 1, 1, 1)})


def test_atoms_as_csv_with_all_columns(tmp_path):
    features = {"element": ["Pt", "Fe"], "id": [4, 9], "p_exists": [0.9, 1.0], "tilts_seen": [36, 35]}
    path = str(tmp_path / "my_atoms.csv")
    write_atoms(path, np.arange(6.0).reshape(2, 3), {"features": features})
    ((data, options, kind),) = get_atoms_reader(path)(path)
    assert kind == "points"
    np.testing.assert_allclose(data, np.arange(6.0).reshape(2, 3))
    assert options["features"]["p_exists"].tolist() == [0.9, 1.0]
    assert options["features"]["tilts_seen"].dtype.kind == "i"
    (tmp_path / "other_atoms.csv").write_text("index,axis-0,axis-1\n0,1,2\n")
    assert get_atoms_reader(str(tmp_path / "other_atoms.csv")) is None


def test_atoms_of_a_mat_file(tmp_path):
    import scipy.io

    scipy.io.savemat(tmp_path / "atoms.mat", {"model": np.arange(12.0).reshape(3, 4)})
    assert get_series_reader(str(tmp_path / "atoms.mat")) is None
    path = str(tmp_path / "atoms.mat")
    ((data, _, _),) = get_atoms_reader(path)(path)
    np.testing.assert_allclose(data[:, ::-1], np.arange(12.0).reshape(3, 4).T)


@pytest.mark.parametrize("ending", [".cif", ".pdb", ".lmp"])
def test_points_in_the_formats_of_others(tmp_path, ending):
    import ase.io

    path = str(tmp_path / f"a{ending}")
    points = np.arange(6.0).reshape(2, 3)
    write_atoms(path, points, {"features": {"element": ["Pt", "Fe"]}})
    found = ase.io.read(path, **({"format": "lammps-data", "atom_style": "atomic"} if ending == ".lmp" else {}))
    assert found.get_chemical_symbols() == ["Pt", "Fe"]
    np.testing.assert_allclose(found.positions[1] - found.positions[0], [3, 3, 3], atol=1e-5)
