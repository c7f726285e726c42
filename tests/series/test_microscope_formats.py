"""DM3 by hand, BLO by its writer, SER and Velox at RosettaSciIO's door; series of several files."""

from __future__ import annotations

import re
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import h5py
import mrcfile
import numpy as np
import pytest
import scipy.io
import tifffile

from napari_lot.errors import InputError
from napari_lot.napari_hooks import get_series_reader
from napari_lot.series import read_series
from series.dm3 import write_dm3
from series.tia import write_ser
from series.velox import frame_metadata, write_velox

pytest.importorskip("rsciio")


def test_a_dm3_stack_says_its_angles_and_pixel_size(tmp_path: Path, stack: Any, thetas: Any) -> None:
    path = write_dm3(
        tmp_path / "a.dm3", stack, [(0.025, "nm"), (0.025, "nm"), (20.0, "deg")], first=-60.0, voltage_V=2e5
    )
    series = read_series(path)
    np.testing.assert_array_equal(series.images, stack)
    np.testing.assert_allclose(series.angles_deg[:, 1], thetas)
    assert series.pixel_size_A == pytest.approx(0.25)
    assert series.metadata["energy_eV"] == 2e5
    reader = get_series_reader(str(path))
    assert reader is not None
    assert reader(str(path))[0][0].shape == (7, 1, 12, 10)


def test_a_dm3_stack_that_does_not_say_angles_is_not_guessed(tmp_path: Path, stack: Any, thetas: Any) -> None:
    path = write_dm3(tmp_path / "a.dm3", stack, [(0.025, "nm"), (0.025, "nm"), (1.0, "")])
    with pytest.raises(InputError, match="no tilt angles"):
        read_series(path)
    np.testing.assert_array_equal(read_series(path, angles=thetas).images, stack)
    plain = write_dm3(tmp_path / "b.dm3", stack, [(1.0, ""), (1.0, ""), (1.0, "")])
    with pytest.raises(InputError, match="pixel size is not known"):
        read_series(plain, angles=thetas)
    odd = write_dm3(tmp_path / "c.dm3", stack, [(0.025, "nm"), (0.03, "nm"), (1.0, "")])
    with pytest.raises(InputError, match="not square"):
        read_series(odd, angles=thetas)


def test_single_dm3_images_are_a_series_in_the_order_of_their_names(tmp_path: Path, stack: Any, thetas: Any) -> None:
    order = [9, 10, 11, 8, 100, 1, 2]  # as numbers, not as text
    files = [
        write_dm3(tmp_path / f"tilt_{n}.dm3", image, [(25.0, "pm"), (25.0, "pm")], tilt_deg=float(t))
        for n, image, t in zip(order, stack, thetas, strict=True)
    ]
    place = np.argsort(order)
    for given in (files, tmp_path):
        series = read_series(given)
        np.testing.assert_array_equal(series.images, stack[place])
        np.testing.assert_allclose(series.angles_deg[:, 1], thetas[place], atol=1e-6)
        assert series.pixel_size_A == pytest.approx(0.25)
    assert get_series_reader([str(f) for f in files]) is not None
    write_dm3(files[3], stack[0], [(50.0, "pm"), (50.0, "pm")], tilt_deg=1.0)
    with pytest.raises(InputError, match=r"tilt_8\.dm3: the pixel size \(0\.5 Å\) is not that of tilt_1\.dm3"):
        read_series(files)


def test_a_folder_of_images_with_an_angle_file(tmp_path: Path, stack: Any, thetas: Any) -> None:
    for i, image in enumerate(stack):
        with mrcfile.new(tmp_path / f"s{i}.mrc") as mrc:
            mrc.set_data(image)
            mrc.voxel_size = 0.3
    with pytest.raises(InputError, match="no tilt angles"):
        read_series(tmp_path)
    (tmp_path / "angles.csv").write_text("theta_deg\n" + "\n".join(map(str, thetas)))
    series = read_series(tmp_path)
    np.testing.assert_array_equal(series.images, stack)
    np.testing.assert_allclose(series.angles_deg[:, 1], thetas)
    tifffile.imwrite(tmp_path / "other.tif", stack[0])
    with pytest.raises(InputError, match="several formats"):
        read_series(tmp_path)


def test_files_that_do_not_belong_together(tmp_path: Path, stack: Any) -> None:
    tifffile.imwrite(tmp_path / "a.tif", stack[0])
    tifffile.imwrite(tmp_path / "b.tif", stack[1][:5])
    with pytest.raises(InputError, match="differ in size"):
        read_series([tmp_path / "a.tif", tmp_path / "b.tif"], angles=[0, 1])
    tifffile.imwrite(tmp_path / "c.tif", stack)
    with pytest.raises(InputError, match="holds 7 images"):
        read_series([tmp_path / "a.tif", tmp_path / "c.tif"], angles=[0, 1])
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="no images in this folder"):
        read_series(tmp_path / "none")


def test_a_damaged_dm3(tmp_path: Path, stack: Any, thetas: Any) -> None:
    path = write_dm3(tmp_path / "a.dm3", stack, [(0.025, "nm"), (0.025, "nm"), (20.0, "deg")])
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(InputError, match="truncated or damaged"):
        read_series(path, angles=thetas)


@pytest.mark.parametrize("kept", [0.3, 0.6, 1.0])
def test_what_is_said_of_a_damaged_dm3_is_said_to_people(tmp_path: Path, stack: Any, thetas: Any, kept: float) -> None:
    whole = write_dm3(tmp_path / "a.dm3", stack, [(0.025, "nm"), (0.025, "nm"), (20.0, "deg")]).read_bytes()
    why = r"it ends too early, or says a wrong length of its parts|a part is missing, or is not what it says"
    rng, refused = np.random.default_rng(0), 0
    for _ in range(40):
        content = bytearray(whole[: int(kept * len(whole))])
        for at in rng.integers(0, 600, 2):
            content[at] = rng.integers(0, 256)
        (tmp_path / "b.dm3").write_bytes(content)
        try:
            read_series(tmp_path / "b.dm3", angles=thetas)
        except InputError as error:
            refused += 1
            if found := re.search(r"damaged \((.*)\): copy", str(error)):
                assert re.fullmatch(rf"{why}|(Currently|Expected|\[Errno) .*", found[1]), found[1]
    assert refused > 10


def test_a_blockfile_is_no_tilt_series(tmp_path: Path) -> None:
    """Scanned diffraction: four dimensions, and the sentence says so."""
    pytest.importorskip("skimage", reason="RosettaSciIO asks for scikit-image there")
    from rsciio.blockfile import file_writer

    names = ("y", "x", "dy", "dx")
    axes = [
        {
            "name": n,
            "units": "nm" if i < 2 else "cm",
            "size": s,
            "scale": 1.0,
            "offset": 0.0,
            "navigate": i < 2,
            "index_in_array": i,
        }
        for i, (n, s) in enumerate(zip(names, (3, 4, 8, 8), strict=True))
    ]
    general = {"title": "", "date": "2020-01-01", "time": "10:00:00"}
    file_writer(
        str(tmp_path / "a.blo"),
        {
            "data": np.arange(768, dtype=np.uint8).reshape(3, 4, 8, 8),
            "axes": axes,
            "metadata": {
                "General": general,
                "Acquisition_instrument": {"TEM": {"beam_energy": 200.0, "camera_length": 1.0}},
            },
            "original_metadata": {},
            "attributes": {"_lazy": False},
        },
    )
    with pytest.raises(InputError, match=r"4 dimensions \(3 x 4 x 8 x 8\) are no tilt series"):
        read_series(tmp_path / "a.blo", angles=[0, 1, 2])


def velox(path: Path, stacks: dict[str, Any], alphas: Any, betas: Any = None, pixel_m: float = 2e-11) -> Path:
    betas = np.zeros(len(alphas)) if betas is None else betas
    said = {d: [frame_metadata(d, pixel_m, a, b) for a, b in zip(alphas, betas, strict=True)] for d in stacks}
    return write_velox(path, stacks, said)


def test_velox_says_the_stage_tilt_of_every_frame(tmp_path: Path, stack: Any, thetas: Any) -> None:
    """Of several detectors the HAADF is taken; angles are those of each frame's own metadata, in radians there."""
    path = velox(tmp_path / "a.emd", {"BF": stack * 2, "HAADF": stack}, thetas)
    series = read_series(path)
    np.testing.assert_array_equal(series.images, stack)
    np.testing.assert_allclose(series.angles_deg[:, 1], thetas, atol=1e-9)
    assert series.pixel_size_A == pytest.approx(0.2)
    assert series.metadata["energy_eV"] == 3e5
    assert series.metadata["angles_from"].endswith("stage alpha of each frame")
    assert series.warnings == ()
    given = read_series(path, angles=thetas + 1)
    np.testing.assert_allclose(given.angles_deg[:, 1], thetas + 1)
    reader = get_series_reader(str(path))
    assert reader is not None
    assert reader(str(path))[0][0].shape == (7, 1, 12, 10)


def test_velox_without_a_tilting_stage_has_no_angles(tmp_path: Path, stack: Any, thetas: Any) -> None:
    """A film of one orientation, and frames that do not say where the stage was: nothing is guessed."""
    still = velox(tmp_path / "still.emd", {"HAADF": stack}, np.full(7, 3.2))
    one_missing = velox(tmp_path / "missing.emd", {"HAADF": stack}, [*thetas[:-1], None])
    for path in (still, one_missing):
        with pytest.raises(InputError, match="no tilt angles"):
            read_series(path)
        np.testing.assert_array_equal(read_series(path, angles=thetas).images, stack)


def test_a_second_tilt_of_velox_is_said(tmp_path: Path, stack: Any, thetas: Any) -> None:
    path = velox(tmp_path / "a.emd", {"HAADF": stack}, thetas, betas=np.linspace(0, 4, 7))
    (doubt,) = read_series(path).warnings
    assert "second tilt (beta) changes by 4 degrees" in doubt


def test_stacks_of_velox_that_cannot_be_told_apart(tmp_path: Path, stack: Any, thetas: Any) -> None:
    path = velox(tmp_path / "a.emd", {"BF": stack, "DF4": stack}, thetas)
    with pytest.raises(InputError, match=r"several stacks of images \(BF, DF4\)"):
        read_series(path)
    said = {d: [frame_metadata(d, 2e-11, a) for a in thetas * sign] for d, sign in (("HAADF", 1), ("BF", -1))}
    with pytest.raises(InputError, match="tilted differently"):
        read_series(write_velox(tmp_path / "b.emd", {"HAADF": stack, "BF": stack}, said))


def test_a_damaged_velox_file(tmp_path: Path, stack: Any, thetas: Any) -> None:
    path = velox(tmp_path / "a.emd", {"HAADF": stack}, thetas)
    with h5py.File(path, "r+") as file:
        del file["Data/Image"][f"{0:032x}/Metadata"]
    with pytest.raises(InputError, match="Velox EMD file is truncated or damaged"):
        read_series(path)


def test_a_velox_file_that_declares_more_than_it_has_costs_no_memory(tmp_path: Path, stack: Any, thetas: Any) -> None:
    """HDF5 gives zeros for images that were never written, as many as are asked for."""
    path = velox(tmp_path / "a.emd", {"HAADF": stack}, thetas)
    with h5py.File(path, "r+") as file:
        group = file[f"Data/Image/{0:032x}"]
        del group["Data"]
        group.create_dataset("Data", shape=(8192, 8192, len(stack)), dtype=np.float32, chunks=(8192, 8192, 1))
    tracemalloc.start()
    sizes = f"8192 x 8192 x {len(stack)}"
    with pytest.raises(InputError, match=rf"damaged \(it declares {sizes} pixels and has \d+ bytes\)"):
        read_series(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20e6


def test_a_ser_series_says_its_pixel_size(tmp_path: Path, stack: Any, thetas: Any) -> None:
    for kind in (np.uint16, np.float32):
        images = (100 * stack).astype(kind)
        path = write_ser(tmp_path / f"{np.dtype(kind).name}.ser", images, 2.5e-11)
        with pytest.raises(InputError, match="no tilt angles"):
            read_series(path)
        series = read_series(path, angles=thetas)
        np.testing.assert_array_equal(series.images, images)
        assert series.pixel_size_A == pytest.approx(0.25)
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(InputError, match="TIA file is truncated or damaged"):
        read_series(path, angles=thetas)


def test_without_rosettasciio_the_sentence_says_how_to_get_it(
    tmp_path: Path, stack: Any, thetas: Any, monkeypatch: Any
) -> None:
    path = write_dm3(tmp_path / "a.dm3", stack, [(0.025, "nm"), (0.025, "nm"), (20.0, "deg")])
    monkeypatch.setitem(sys.modules, "rsciio.digitalmicrograph", None)
    with pytest.raises(InputError, match=r'pip install "napari-lot\[formats\]"'):
        read_series(path, angles=thetas)


@pytest.mark.parametrize("angles", ["angles.csv", "angles.mat"])
def test_a_folder_of_one_stack_is_that_stack(tmp_path: Path, stack: Any, thetas: Any, angles: str) -> None:
    with mrcfile.new(tmp_path / "s.mrc") as mrc:
        mrc.set_data(stack)
        mrc.voxel_size = 0.3
    if angles.endswith(".mat"):
        scipy.io.savemat(tmp_path / angles, {"angles": thetas})
    else:
        (tmp_path / angles).write_text("theta_deg\n" + "\n".join(map(str, thetas)))
    series = read_series(tmp_path)
    np.testing.assert_array_equal(series.images, stack)
    np.testing.assert_allclose(series.angles_deg[:, 1], thetas)
    assert series.source == str(tmp_path / "s.mrc")


def test_the_command_line_takes_a_folder(tmp_path: Path, stack: Any, thetas: Any, capsys: Any) -> None:
    from typer.testing import CliRunner

    from napari_lot.cli.app import app

    for i, (image, theta) in enumerate(zip(stack, thetas, strict=True)):
        write_dm3(tmp_path / f"s{i}.dm3", image, [(0.025, "nm"), (0.025, "nm")], tilt_deg=float(theta))
    done = CliRunner().invoke(app, ["info", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "7" in done.output
    assert "-60" in done.output
