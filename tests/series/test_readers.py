"""Every format: write with the format's own library, read with ours, compare bit by bit."""

from __future__ import annotations

import mrcfile
import numpy as np
import pytest
import tifffile

from napari_lot.errors import InputError
from napari_lot.series import TiltSeries, read_series
from napari_lot.series.read import find_angle_file
from series.writers import WRITERS, write_hdf5, write_mat5, write_mat73, write_mrc, write_npz


@pytest.mark.parametrize("kind", sorted(WRITERS))
def test_round_trip(kind, tmp_path, stack, thetas, untouched):
    path = untouched(WRITERS[kind](tmp_path, stack))
    series = read_series(path, angles=thetas, pixel_size_A=0.3)
    assert isinstance(series, TiltSeries)
    np.testing.assert_array_equal(series.images, stack)
    assert series.images.dtype == np.float32
    np.testing.assert_array_equal(series.angles_deg[:, 1], thetas)
    assert not series.angles_deg[:, [0, 2]].any()
    assert series.center_px == (5.5, 4.5)
    assert series.pixel_size_A == 0.3
    assert series.mask is None
    assert not series.counts


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "int32", "float64", ">u2", ">f4"])
def test_tiff_pixel_types(dtype, tmp_path, stack, thetas):
    images = (stack / 4).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", images, photometric="minisblack")
    series = read_series(tmp_path / "a.tif", angles=thetas, pixel_size_A=0.3)
    np.testing.assert_array_equal(series.images, images.astype(np.float32))


# --- pixel sizes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("unit", "per_unit", "size_A"),
    [
        ("nm", 40.0, 0.25),
        ("micron", 51282.05, 0.195),
        ("\\u00B5m", 40000.0, 0.25),
        ("angstrom", 4.0, 0.25),
        ("pm", 0.04, 0.25),
    ],
)
def test_imagej_pixel_size(unit, per_unit, size_A, tmp_path, stack, thetas):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stack, imagej=True, resolution=(per_unit, per_unit), metadata={"unit": unit, "axes": "TYX"})
    series = read_series(path, angles=thetas)
    assert series.pixel_size_A == pytest.approx(size_A, rel=1e-5)
    np.testing.assert_array_equal(series.images, stack)


@pytest.mark.parametrize(
    ("unit", "value", "size_A"), [("nm", 0.0195, 0.195), ("µm", 2.5e-5, 0.25), ("Å", 0.3216, 0.3216)]
)
def test_ome_pixel_size(unit, value, size_A, tmp_path, stack, thetas):
    path = tmp_path / "a.ome.tif"
    metadata = {"axes": "TYX", "PhysicalSizeX": value, "PhysicalSizeXUnit": unit}
    tifffile.imwrite(path, stack, ome=True, metadata={**metadata, "PhysicalSizeY": value, "PhysicalSizeYUnit": unit})
    assert read_series(path, angles=thetas).pixel_size_A == pytest.approx(size_A, rel=1e-6)


def test_resolution_in_centimetres_is_a_pixel_size_and_a_printers_is_not(tmp_path, stack, thetas):
    tifffile.imwrite(tmp_path / "cm.tif", stack, resolution=(4e8, 4e8), resolutionunit="CENTIMETER")
    assert read_series(tmp_path / "cm.tif", angles=thetas).pixel_size_A == pytest.approx(0.25, rel=1e-6)
    tifffile.imwrite(tmp_path / "dpi.tif", stack, resolution=(72, 72), resolutionunit="INCH")
    with pytest.raises(InputError, match="pixel size is not known"):
        read_series(tmp_path / "dpi.tif", angles=thetas)


def test_callers_pixel_size_wins(tmp_path, stack, thetas):
    path = write_mrc(tmp_path, stack, voxel=0.5)
    assert read_series(path, angles=thetas).pixel_size_A == pytest.approx(0.5, rel=1e-6)
    assert read_series(path, angles=thetas, pixel_size_A=0.2).pixel_size_A == 0.2


def test_mrc_voxel_of_exactly_one_is_doubted(tmp_path, stack, thetas):
    series = read_series(write_mrc(tmp_path, stack, voxel=1.0), angles=thetas)
    assert series.pixel_size_A == 1.0
    assert any("placeholder" in w for w in series.warnings)


# --- MRC --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("extension", "dtype"), [(".st", "int16"), (".ali", "float32"), (".mrc", "uint16"), (".mrc", "int8")]
)
def test_mrc_family(extension, dtype, tmp_path, stack, thetas):
    images = (stack / 4).astype(dtype)
    path = write_mrc(tmp_path, images, voxel=0.4).rename(tmp_path / f"a{extension}")
    np.testing.assert_array_equal(read_series(path, angles=thetas).images, images.astype(np.float32))


def test_mrc_with_extended_header_and_no_map_word(tmp_path, stack, thetas):
    data = bytearray(write_mrc(tmp_path, stack, voxel=0.4).read_bytes())
    data[92:96] = np.int32(160).tobytes()  # length of the extended header
    data[208:212] = b"\0\0\0\0"  # as before MRC2000
    old = tmp_path / "old.mrc"
    old.write_bytes(bytes(data[:1024]) + b"\x07" * 160 + bytes(data[1024:]))
    np.testing.assert_array_equal(read_series(old, angles=thetas).images, stack)


def test_mrc_of_the_other_byte_order(tmp_path, stack, thetas):
    with mrcfile.new(tmp_path / "a.mrc") as mrc:
        mrc.set_data(stack.astype(">f4"))
        mrc.voxel_size = 0.4
        assert mrc.header.mode.dtype.byteorder == ">"
    series = read_series(tmp_path / "a.mrc", angles=thetas)
    np.testing.assert_array_equal(series.images, stack)
    assert series.pixel_size_A == pytest.approx(0.4)


def test_imod_unsigned_bytes(tmp_path, stack, thetas):
    images = np.clip(stack * 1.8, 0, 255).astype(np.uint8)
    assert images.max() > 127
    path = write_mrc(tmp_path, images.view(np.int8), voxel=0.4)
    data = bytearray(path.read_bytes())
    data[152:160] = np.array([1146047817, 0], np.int32).tobytes()  # IMOD's stamp, bytes unsigned
    path.write_bytes(data)
    np.testing.assert_array_equal(read_series(path, angles=thetas).images, images.astype(np.float32))


# --- files that say more ----------------------------------------------------------------------------------------


def test_npz_says_everything(tmp_path, stack, thetas):
    counts = np.abs(stack).round()
    mask = np.ones(stack.shape[1:], np.uint8)
    mask[:2] = 0
    angles = np.stack([0.1 * thetas, thetas, -0.2 * thetas], axis=1)
    path = write_npz(
        tmp_path,
        counts,
        angles_deg=angles,
        pixel_size_A=0.31,
        center_px=(6.0, 5.0),
        tilt_axis_deg=-3.5,
        mask=mask,
        counts=True,
    )
    series = read_series(path)
    np.testing.assert_array_equal(series.angles_deg, angles)
    assert (series.pixel_size_A, series.center_px, series.tilt_axis_deg, series.counts) == (
        0.31,
        (6.0, 5.0),
        -3.5,
        True,
    )
    np.testing.assert_array_equal(series.mask, np.broadcast_to(mask == 1, stack.shape))
    told = read_series(
        path, pixel_size_A=0.2, center_px=(1, 2), tilt_axis_deg=0.0, counts=False, mask=np.ones(stack.shape)
    )
    assert (told.pixel_size_A, told.center_px, told.tilt_axis_deg, told.counts) == (0.2, (1.0, 2.0), 0.0, False)
    assert told.mask is not None
    assert told.mask.all()


@pytest.mark.parametrize("write", [write_mat5, write_mat73])
@pytest.mark.parametrize(
    ("images_name", "angles_name"), [("projections", "angles"), ("Projections", "Angles"), ("proj", "tilt_angles")]
)
def test_mat_with_one_column_of_angles(write, images_name, angles_name, tmp_path, stack, thetas):
    """One column says no geometry: rows stay rows."""
    variables = {images_name: np.moveaxis(stack, 0, 2), angles_name: thetas[:, None], "pixel_size_A": 0.35}
    series = read_series(write(tmp_path, variables))
    np.testing.assert_array_equal(series.images, stack)
    np.testing.assert_allclose(series.angles_deg[:, 1], thetas)
    assert series.pixel_size_A == pytest.approx(0.35)
    assert series.center_px == (5.5, 4.5)


def test_mat_v73_is_hdf5(tmp_path, stack):
    """Guards the test itself: the v7.3 writer must make the other kind of file, stored in reversed order."""
    import h5py

    path = write_mat73(tmp_path, {"projections": np.moveaxis(stack, 0, 2)})
    with h5py.File(path) as file:
        assert file["projections"].shape == (7, 10, 12)


def test_hdf5_with_facts(tmp_path, stack, thetas):
    path = write_hdf5(tmp_path, {"exchange/data": stack, "exchange/theta": thetas}, pixel_size_A=0.4)
    series = read_series(path)
    np.testing.assert_array_equal(series.images, stack)
    np.testing.assert_array_equal(series.angles_deg[:, 1], thetas)
    assert series.pixel_size_A == 0.4


def test_microscope_and_element_where_a_file_says_them(tmp_path, stack, thetas):
    facts = {"energy_eV": 200e3, "semiangle_mrad": 22.5, "element": "Au"}
    found = read_series(write_npz(tmp_path, stack, pixel_size_A=0.3, **facts), angles=thetas).metadata
    assert {name: found[name] for name in facts} == facts
    found = read_series(write_hdf5(tmp_path, {"images": stack}, pixel_size_A=0.3, **facts), angles=thetas).metadata
    assert {name: found[name] for name in facts} == facts


def test_berkeley_emd(tmp_path, stack, thetas):
    import h5py

    path = tmp_path / "a.emd"
    with h5py.File(path, "w") as file:
        group = file.create_group("data/series")
        group.attrs["emd_group_type"] = 1
        group["data"] = np.moveaxis(stack, 0, 2)  # x, y, tilt as many acquisition programs have it
        for i, (name, unit, values) in enumerate(
            [("y", "[n_m]", np.arange(12) * 0.02), ("x", "[n_m]", np.arange(10) * 0.02), ("angles", "[deg]", thetas)]
        ):
            group[f"dim{i + 1}"] = values
            group[f"dim{i + 1}"].attrs["name"] = name
            group[f"dim{i + 1}"].attrs["units"] = unit
    series = read_series(path)
    np.testing.assert_array_equal(series.images, stack)
    np.testing.assert_array_equal(series.angles_deg[:, 1], thetas)
    assert series.pixel_size_A == pytest.approx(0.2)


# --- masks, exclusion, side files -------------------------------------------------------------------------------


def test_mask_files(tmp_path, stack, thetas, untouched):
    path = untouched(WRITERS["tiff"](tmp_path, stack))
    flat = np.ones(stack.shape[1:], np.uint8)
    flat[3, 4] = 0
    full = np.repeat(flat[None], len(stack), axis=0)
    full[2] = 1
    for name, mask in (("flat.tif", flat), ("full.tif", full)):
        tifffile.imwrite(tmp_path / name, mask)
        series = read_series(path, angles=thetas, pixel_size_A=0.3, mask=untouched(tmp_path / name))
        np.testing.assert_array_equal(series.mask, np.broadcast_to(mask == 1, stack.shape))


def test_excluded_and_masked_pixels_may_be_anything(tmp_path, stack, thetas, untouched):
    images = stack.copy()
    images[2] = 0
    images[4, 0, 0] = np.nan
    images[5] = np.nan
    path = untouched(WRITERS["tiff"](tmp_path, images))
    mask = np.ones(stack.shape[1:])
    mask[0, 0] = 0
    series = read_series(path, angles=thetas, pixel_size_A=0.3, mask=mask, exclude=(2, 5))
    assert series.excluded == (2, 5)
    assert np.isfinite(series.images).all()
    np.testing.assert_array_equal(series.used, [0, 1, 3, 4, 6])
    np.testing.assert_array_equal(series.images[[0, 1, 3, 6]], stack[[0, 1, 3, 6]])


@pytest.mark.parametrize("name", ["a.tlt", "a.rawtlt", "a_angles.csv", "a.csv", "angles.csv", "angles.txt"])
def test_angles_found_beside_the_series(name, tmp_path, stack, thetas):
    path = WRITERS["tiff"](tmp_path, stack)
    assert find_angle_file(path) is None
    (tmp_path / name).write_text("\n".join(f"{t:.4f}" for t in thetas) + "\n")
    assert find_angle_file(path) == tmp_path / name
    series = read_series(path, pixel_size_A=0.3)
    np.testing.assert_allclose(series.angles_deg[:, 1], thetas, atol=1e-4)
    assert series.metadata["angles_from"] == str(tmp_path / name)


def test_angles_as_a_function_of_the_count(tmp_path, stack):
    series = read_series(WRITERS["tiff"](tmp_path, stack), angles=lambda n: -30 + 10 * np.arange(n), pixel_size_A=0.3)
    np.testing.assert_array_equal(series.angles_deg[:, 1], -30 + 10 * np.arange(7))


def test_ali_stands_upright_whatever_the_mdoc_says(tmp_path, stack, thetas):
    text = "[T = Tilt axis angle = 85.3, binning = 1]\n" + "".join(
        f"[ZValue = {i}]\nTiltAngle = {t}\nPixelSpacing = 0.7\n" for i, t in enumerate(thetas)
    )
    (tmp_path / "a.mdoc").write_text(text)
    path = write_mrc(tmp_path, stack, voxel=0.4)
    assert read_series(path).tilt_axis_deg == 85.3
    assert read_series(path).pixel_size_A == pytest.approx(0.4)
    assert read_series(path.rename(tmp_path / "a.ali")).tilt_axis_deg == 0.0
