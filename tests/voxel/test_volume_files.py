"""Volumes as files: to the last bit through ours, and as other programs write and read them."""

from __future__ import annotations

import bz2
import gzip
import struct

import mrcfile
import numpy as np
import pytest
import tifffile

from napari_lot.errors import InputError
from napari_lot.export import holds_volume, read_volume, write_volume
from napari_lot.voxel.volume import Volume

RNG = np.random.default_rng(0)
VALUES = RNG.normal(size=(5, 6, 7)).astype(np.float32)
# a voxel and an origin that no decimal of a header holds exactly
VOLUME = Volume(VALUES, 0.1 + 0.2, (-1 / 3, 2e-7, 117.25))
ENDINGS = [".mrc", ".map", ".rec", ".tif", ".tiff", ".npz"]


def assert_same(found, expected):
    np.testing.assert_array_equal(found.values, expected.values)
    assert found.values.dtype == np.float32
    assert found.values.dtype.isnative
    assert found.values.flags.c_contiguous
    assert found.voxel_A == expected.voxel_A
    assert found.origin_A == expected.origin_A


def write_mrc(path, values=VALUES, voxel=0.3, stack=False, **header):
    """As another program does."""
    with mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(values)
        if stack:
            mrc.set_image_stack()
        else:
            mrc.set_volume()
        if voxel is not None:
            mrc.voxel_size = voxel
        for name, value in header.items():
            mrc.header[name] = value
    return path


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("volume", [VOLUME, Volume(VALUES, 0.35, (0.0, 0.0, 0.0)), Volume.centred(VALUES, 0.277)])
def test_what_is_written_is_read_again_to_the_last_bit(ending, volume, tmp_path):
    write_volume(tmp_path / f"a{ending}", volume)
    assert_same(read_volume(tmp_path / f"a{ending}"), volume)
    assert [path.name for path in tmp_path.iterdir()] == [f"a{ending}"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_values_at_the_ends_of_their_type(ending, tmp_path):
    big = np.finfo(np.float32).max
    values = np.array([big, -big, np.finfo(np.float32).tiny, 1e-45, -0.0, 1.5] * 4, np.float32).reshape(2, 3, 4)
    write_volume(tmp_path / f"a{ending}", Volume(values, 0.3, (0.0, 1.0, 2.0)))
    assert read_volume(tmp_path / f"a{ending}").values.tobytes() == values.tobytes()


def test_other_programs_find_size_and_origin_in_an_mrc(tmp_path):
    write_volume(tmp_path / "a.mrc", VOLUME)
    assert mrcfile.validate(tmp_path / "a.mrc")
    with mrcfile.open(tmp_path / "a.mrc") as mrc:
        assert mrc.is_volume()
        assert mrc.header.mode == 2
        np.testing.assert_array_equal(mrc.data, VALUES)
        np.testing.assert_allclose([mrc.voxel_size.x, mrc.voxel_size.y, mrc.voxel_size.z], 0.3, rtol=1e-6)
        np.testing.assert_allclose([mrc.header.origin[n] for n in "xyz"], VOLUME.origin_A, rtol=1e-6)
        assert (mrc.header.nxstart, mrc.header.nystart, mrc.header.nzstart) == (-1, 0, 391)
        assert mrc.header.machst[0] in (0x44, 0x11)


def test_imagej_finds_size_and_unit_in_a_tiff(tmp_path):
    write_volume(tmp_path / "a.tif", VOLUME)
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert tif.series[0].axes == "ZYX"
        said = tif.imagej_metadata
        assert said["unit"] == "angstrom"
        assert said["spacing"] == pytest.approx(0.3)
        assert said["slices"] == 5
        above, below = tif.pages[0].tags["XResolution"].value
        assert below / above == pytest.approx(0.3, rel=1e-6)


def test_a_tiff_beyond_four_gigabytes_says_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_lot.export.write._LARGEST_IMAGEJ_BYTES", 1)
    write_volume(tmp_path / "a.tif", VOLUME)
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert tif.is_ome
        assert 'PhysicalSizeZ="0.3' in tif.ome_metadata
    assert_same(read_volume(tmp_path / "a.tif"), VOLUME)


@pytest.mark.parametrize(
    ("kind", "factor"), [(np.int8, 20), (np.int16, 1000), (np.uint16, 1000), (np.float16, 1), (np.float32, 1)]
)
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of sums of half numbers
def test_mrc_of_every_mode_and_byte_order(kind, factor, order, tmp_path):
    values = (np.abs(VALUES) * factor).astype(np.dtype(kind).newbyteorder(order))
    found = read_volume(write_mrc(tmp_path / "a.mrc", values))
    np.testing.assert_array_equal(found.values, values.astype(np.float32))
    assert found.voxel_A == pytest.approx(0.3, rel=1e-6)
    np.testing.assert_allclose(found.origin_A, Volume.centred(VALUES, 0.3).origin_A, rtol=1e-6)


def test_unsigned_bytes_of_imod_in_either_byte_order(tmp_path):
    values = np.arange(210, dtype=np.uint8).reshape(5, 6, 7)
    for order in "<>":
        whole = bytearray(write_mrc(tmp_path / "a.mrc", values.view(np.int8)).read_bytes())
        if order == ">":
            words = np.frombuffer(bytes(whole[:224]), "<i4").astype(">i4").tobytes()
            whole[:208], whole[212:216] = words[:208], b"\x11\x11\0\0"
        whole[152:160] = struct.pack(f"{order}2i", 1146047817, 0)
        (tmp_path / "b.mrc").write_bytes(whole)
        np.testing.assert_array_equal(read_volume(tmp_path / "b.mrc", 0.3).values, values)


@pytest.mark.parametrize(("ending", "pack"), [("gz", gzip.compress), ("bz2", bz2.compress)])
def test_packed_mrc(ending, pack, tmp_path):
    write_volume(tmp_path / "a.mrc", VOLUME)
    (tmp_path / f"b.mrc.{ending}").write_bytes(pack((tmp_path / "a.mrc").read_bytes()))
    assert_same(read_volume(tmp_path / f"b.mrc.{ending}"), VOLUME)


def test_the_extended_header_is_passed_over(tmp_path):
    write_volume(tmp_path / "a.mrc", VOLUME)
    with mrcfile.open(tmp_path / "a.mrc", "r+") as mrc:
        mrc.set_extended_header(np.arange(7000, dtype=np.uint8))
    assert_same(read_volume(tmp_path / "a.mrc"), VOLUME)


def test_the_origin_of_other_programs(tmp_path):
    """ORIGIN counts in Å; where it is zero NSTART does in voxels; where both are, the middle is the centre."""
    place = np.array((-3.0, 4.5, 1.25), dtype=[("x", "f4"), ("y", "f4"), ("z", "f4")])
    both = write_mrc(tmp_path / "a.mrc", origin=place, nxstart=7)
    assert read_volume(both).origin_A == (-3.0, 4.5, 1.25)
    start = write_mrc(tmp_path / "b.mrc", nxstart=-4, nystart=2, nzstart=1)
    np.testing.assert_allclose(read_volume(start).origin_A, (-1.2, 0.6, 0.3), rtol=1e-6)
    none = read_volume(write_mrc(tmp_path / "c.mrc"))
    np.testing.assert_allclose(none.origin_A, Volume.centred(VALUES, 0.3).origin_A, rtol=1e-6)


def test_axes_in_another_order(tmp_path):
    """Columns along z, rows along x, sections along y: each axis goes where it belongs."""
    stored = np.transpose(VALUES, (1, 2, 0))  # [y, x, z]
    path = write_mrc(tmp_path / "a.mrc", np.ascontiguousarray(stored), mapc=3, mapr=1, maps=2, nxstart=5)
    with mrcfile.open(path, "r+") as mrc:
        mrc.header.mx, mrc.header.my, mrc.header.mz = 7, 6, 5
        mrc.header.cella = (2.1, 1.8, 1.5)
    found = read_volume(path)
    np.testing.assert_array_equal(found.values, VALUES)
    np.testing.assert_allclose(found.origin_A, (0.0, 0.0, 1.5), rtol=1e-6)


def test_a_stack_of_images_is_a_volume_of_the_same_voxels(tmp_path):
    found = read_volume(write_mrc(tmp_path / "a.mrc", voxel=(0.3, 0.3, 7.0), stack=True))
    assert found.voxel_A == pytest.approx(0.3, rel=1e-6)


def test_what_a_person_says_wins(tmp_path):
    """The size of the voxels, where the file does not know it or is wrong; then its origin is not known either."""
    place = np.array((-3.0, 4.5, 1.25), dtype=[("x", "f4"), ("y", "f4"), ("z", "f4")])
    unknown = write_mrc(tmp_path / "a.mrc", voxel=None)
    assert read_volume(unknown, 0.4).voxel_A == 0.4
    wrong = write_mrc(tmp_path / "b.mrc", voxel=1.0, origin=place)
    assert read_volume(wrong, 0.4).origin_A == Volume.centred(VALUES, 0.4).origin_A
    right = write_mrc(tmp_path / "c.mrc", voxel=0.4, origin=place)
    assert read_volume(right, 0.4).origin_A == (-3.0, 4.5, 1.25)


def test_a_label_that_the_header_belies_is_not_believed(tmp_path):
    """Another program binned the volume and kept our words."""
    write_volume(tmp_path / "a.mrc", VOLUME)
    with mrcfile.open(tmp_path / "a.mrc", "r+") as mrc:
        mrc.voxel_size = 0.6
    assert read_volume(tmp_path / "a.mrc").voxel_A == pytest.approx(0.6, rel=1e-6)


def test_tiff_of_imagej_in_nanometres(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif",
        VALUES,
        imagej=True,
        resolution=(25, 25),
        metadata={"unit": "nm", "spacing": 0.04, "axes": "ZYX"},
    )
    found = read_volume(tmp_path / "a.tif")
    assert found.voxel_A == pytest.approx(0.4)
    np.testing.assert_array_equal(found.values, VALUES)


def test_npz_of_other_names(tmp_path):
    np.savez(tmp_path / "a.npz", Reconstruction=VALUES.astype(np.float64), pixel_size_A=0.5)
    found = read_volume(tmp_path / "a.npz")
    np.testing.assert_array_equal(found.values, VALUES)
    assert found.origin_A == Volume.centred(VALUES, 0.5).origin_A


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_write_that_fails_leaves_what_was_there(ending, tmp_path):
    path = tmp_path / f"a{ending}"
    write_volume(path, VOLUME)
    before = path.read_bytes()

    def stop(share):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_volume(path, Volume.centred(2 * VALUES, 0.5), stop)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_no_such_kind_of_file(tmp_path):
    with pytest.raises(InputError, match=r"a\.png: volumes are written as \.mrc, \.tif or \.npz, not as \.png"):
        write_volume(tmp_path / "a.png", VOLUME)
    assert list(tmp_path.iterdir()) == []


def test_which_names_are_volumes():
    for name in ("a.mrc", "A.MRC", "a.rec", "a.map", "a.tif", "a.npz", "a.mrc.gz", "a.rec.bz2"):
        assert holds_volume(name), name
    for name in ("grid", "peaks", "a.xyz", "a.csv", "a.mat", "a.lot.h5", "a.gz", "a.xyz.gz", "layer guess"):
        assert not holds_volume(name), name


def test_a_tilt_series_with_its_angles_beside_it_is_no_volume(tmp_path):
    series = np.random.default_rng(0).random((7, 8, 9)).astype(np.float32)
    tifffile.imwrite(tmp_path / "series.tif", series, imagej=True, resolution=(2.0, 2.0), metadata={"spacing": 0.5})
    write_mrc(tmp_path / "series.mrc", series, 0.5, stack=True)
    (tmp_path / "angles.csv").write_text("psi,theta,phi\n" + "".join(f"0,{10 * k},0\n" for k in range(7)))
    for name in ("series.tif", "series.mrc"):
        with pytest.raises(InputError, match=r"this is a tilt series, for angles\.csv beside it has an angle for each"):
            read_volume(tmp_path / name, 0.5)
    # a volume says what it is, or has another number of sections
    for name in ("ours.mrc", "ours.tif", "ours.npz"):
        write_volume(tmp_path / name, Volume(series, 0.5, (0.0, 0.0, 0.0)))
        assert read_volume(tmp_path / name).values.shape == series.shape
    tifffile.imwrite(tmp_path / "theirs.tif", series[:5])
    assert len(read_volume(tmp_path / "theirs.tif", 0.5).values) == 5
