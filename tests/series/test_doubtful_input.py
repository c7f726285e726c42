"""Damage inside of every format, and what is usable but doubtful. What is refused outright: tests/bad_input."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.io
import tifffile

from napari_lot.errors import InputError
from napari_lot.series import TiltSeries, read_series
from napari_lot.series.layer import series_from_layer_data
from series.writers import WRITERS, write_tiff


def refused(sentence, path, /, **options):
    """Reading must fail with one line that names the file and matches the sentence."""
    with pytest.raises(InputError, match=sentence) as caught:
        read_series(path, **options)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(str(path)), text
    assert text.endswith((".", "?")), text
    assert ": " in text.removeprefix(str(path))
    return text


@pytest.fixture
def good(tmp_path, stack, untouched):
    return untouched(write_tiff(tmp_path, stack))


def save(tmp_path, stack, untouched, **options):
    return untouched(write_tiff(tmp_path, stack, **options))


# --- what it is -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.tif", "TIFF"), ("a.mrc", "MRC"), ("a.npz", "NPZ"), ("a.npy", "NPY"), ("a.mat", "MATLAB"), ("a.h5", "HDF5")],
)
@pytest.mark.parametrize("content", [b"x", b"not what the name says " * 100, bytes(range(256)) * 20])
def test_another_content_than_the_name(name, kind, content, tmp_path, thetas, untouched):
    (tmp_path / name).write_bytes(content)
    refused(
        f"this {kind} file is truncated or damaged.*: copy or export it again",
        untouched(tmp_path / name),
        angles=thetas,
    )


@pytest.mark.parametrize("kind", sorted(WRITERS))
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.95])
def test_truncated(kind, kept, tmp_path, stack, thetas, untouched):
    path = WRITERS[kind](tmp_path, stack)
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    refused("file is truncated or damaged.*: copy or export it again", untouched(path), angles=thetas, pixel_size_A=0.3)


@pytest.mark.parametrize("kind", ["tiff deflate", "npz", "mat v5"])
def test_damaged_inside(kind, tmp_path, stack, thetas, untouched):
    """Bytes overwritten in the middle of compressed images, the length as it should be."""
    path = WRITERS[kind](tmp_path, stack)
    if kind == "mat v5":
        scipy.io.savemat(path, {"projections": np.moveaxis(stack, 0, 2)}, do_compression=True)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 200] = b"\xff" * 200
    path.write_bytes(data)
    refused("file is truncated or damaged", untouched(path), angles=thetas, pixel_size_A=0.3)


def test_compression_that_cannot_be_read(tmp_path, stack, thetas, untouched):
    pytest.importorskip("tifffile")
    path = write_tiff(tmp_path, stack)
    with tifffile.TiffFile(path, mode="r+") as tif:
        for page in tif.pages:
            page.tags["Compression"].overwrite(50001)  # WebP, which needs a codec
    try:
        import imagecodecs  # noqa: F401
    except ImportError:
        refused("WEBP compression of this TIFF cannot be read: save it uncompressed", untouched(path), angles=thetas)
    else:
        refused("truncated or damaged", untouched(path), angles=thetas)


# --- the stack --------------------------------------------------------------------------------------------------


def test_not_a_number_says_how_many_and_where(tmp_path, stack, thetas, untouched):
    stack[1, 2, 3] = np.nan
    stack[4, :2, 0] = np.inf
    path = save(tmp_path, stack, untouched)
    refused("3 pixels are NaN or infinite, in tilts 1, 4: mask these", path, angles=thetas, pixel_size_A=0.3)
    mask = np.isfinite(stack)
    assert np.isfinite(read_series(path, angles=thetas, pixel_size_A=0.3, mask=mask).images).all()


def test_not_a_number_can_be_masked_with_a_warning(tmp_path, stack, thetas, untouched):
    stack[1, 2, 3] = np.nan
    stack[4, :2, 0] = -np.inf
    stack[5] = np.nan
    path = save(tmp_path, stack, untouched)
    mask = np.ones(stack.shape[1:], bool)
    mask[2, 3] = False
    series = read_series(path, angles=thetas, pixel_size_A=0.3, mask=mask, exclude=[5], mask_nonfinite=True)
    expected = np.broadcast_to(mask, stack.shape).copy()
    expected[4, :2, 0] = False
    assert (series.mask == expected).all()
    assert np.isfinite(series.images).all()
    assert [w for w in series.warnings if "NaN" in w] == [
        f"{path}: 2 pixels are NaN or infinite, in tilt 4: they are masked, not used."
    ]


def test_nothing_is_masked_where_all_are_numbers(tmp_path, stack, thetas, untouched):
    path = save(tmp_path, stack, untouched)
    series = read_series(path, angles=thetas, pixel_size_A=0.3, mask_nonfinite=True)
    assert series.mask is None
    assert not series.warnings


def test_a_layers_pixels_that_are_no_numbers_are_masked_when_asked(stack, thetas):
    stack[2, 3, 1] = np.nan
    with pytest.raises(InputError, match="1 pixel is NaN or infinite, in tilt 2: mask"):
        series_from_layer_data(stack, name="a", angles=thetas, pixel_size_A=0.3)
    series = series_from_layer_data(stack, name="a", angles=thetas, pixel_size_A=0.3, mask_nonfinite=True)
    assert list(zip(*np.nonzero(~series.mask), strict=True)) == [(2, 3, 1)]
    assert series.warnings == ("a: 1 pixel is NaN or infinite, in tilt 2: it is masked, not used.",)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("field", "warned"), [("particle", False), ("inverted", True), ("film", False)])
def test_dark_atoms_on_a_bright_ground_are_warned_of(field, warned, masked):
    rng = np.random.default_rng(2)
    v, u = np.mgrid[-32:32, -32:32]
    thickness = {"particle": np.exp(-(u**2 + v**2) / 200.0), "film": np.ones((64, 64))}
    clean = 1.0 - thickness["particle"] if field == "inverted" else thickness[field]
    images = (clean + rng.normal(0.0, 1.0, (9, 64, 64))).astype(np.float32)
    mask = np.ones((64, 64), bool)
    mask[:, :6] = False
    images[:, ~mask] = -99.0 if masked else images[:, ~mask]
    series = TiltSeries(images, np.linspace(-60, 60, 9), 0.3, mask=mask if masked else None)
    assert any("atoms must be bright on dark" in text for text in series.warnings) == warned


def test_values_beyond_float32(tmp_path, stack, thetas, untouched):
    wide = stack.astype(np.float64)
    wide[6, 1, 1] = 1e300
    refused("1 pixel is NaN or infinite, in tilt 6", save(tmp_path, wide, untouched), angles=thetas, pixel_size_A=0.3)


@pytest.mark.parametrize(("value", "kind"), [(0.0, "all zero"), (7.0, "constant")])
def test_a_tilt_without_an_image(value, kind, tmp_path, stack, thetas, untouched):
    stack[[3, 5]] = value
    path = save(tmp_path, stack, untouched)
    refused(f"the image of tilts 3, 5 is {kind}: leave it out", path, angles=thetas, pixel_size_A=0.3)
    assert read_series(path, angles=thetas, pixel_size_A=0.3, exclude=(3, 5)).excluded == (3, 5)


def test_nothing_but_zeros(tmp_path, stack, thetas, untouched):
    path = save(tmp_path, 0 * stack, untouched)
    refused("holds nothing but zeros: copy or export", path, angles=thetas, pixel_size_A=0.3)
    words = "all tilts that are used hold nothing but zeros"
    refused(words, path, angles=thetas, pixel_size_A=0.3, exclude=(1,))


def test_negative_counts(tmp_path, stack, thetas, untouched):
    stack = np.abs(stack) + 0.25
    stack[2, 3, 3:5] = -1
    path = save(tmp_path, stack, untouched)
    refused(
        "2 negative values in tilt 2, but counts cannot be negative", path, angles=thetas, pixel_size_A=0.3, counts=True
    )
    assert not read_series(path, angles=thetas, pixel_size_A=0.3).counts
    stack[2] = np.abs(stack[2])  # counts need not be whole numbers: a gain may have been applied
    assert read_series(save(tmp_path, stack, untouched), angles=thetas, pixel_size_A=0.3, counts=True).counts


def test_counts_that_cannot_be_counts_are_a_warning(stack, thetas):
    fractions = stack - stack.min()
    fractions /= 2 * fractions.max()
    series = TiltSeries(fractions, thetas, 0.3, counts=True)
    assert any("the largest value is 0.5, too small for electron counts" in w for w in series.warnings)
    assert not TiltSeries(fractions, thetas, 0.3).warnings


# --- pixel size, centre, axis -----------------------------------------------------------------------------------


@pytest.mark.parametrize("center", [(1, 2, 3), "middle", (float("nan"), 1)])
def test_impossible_centres(center, good, thetas):
    refused("the rotation centre", good, angles=thetas, pixel_size_A=0.3, center_px=center)


# --- angles -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [36, 60, 180])
def test_radians_of_usual_series(count):
    images = np.random.default_rng(0).random((count, 4, 4))
    with pytest.raises(InputError, match="looks like radians"):
        TiltSeries(images, np.linspace(-np.pi / 2, np.pi / 2, count), 0.3)
    TiltSeries(images, np.linspace(-70, 70, count), 0.3)


@pytest.mark.parametrize("tilt", [7, -1])
def test_excluding_what_is_not_there(tilt, good, thetas):
    refused(
        rf"cannot exclude tilt {tilt}: the 7 tilts are counted from 0 to 6",
        good,
        angles=thetas,
        pixel_size_A=0.3,
        exclude=(tilt,),
    )


def test_duplicate_angles_are_a_warning(good, thetas):
    thetas[3] = thetas[2]
    series = read_series(good, angles=thetas, pixel_size_A=0.3)
    assert any("1 angle appears more than once (theta -20 degrees)" in w for w in series.warnings)
    assert series.with_changes(pixel_size_A=0.4).warnings == series.warnings  # said once


def test_angles_repeated_on_purpose_are_no_warning(stack, thetas):
    assert not TiltSeries(stack, [0.0, -40, -20, 0, 20, 40, 0], 0.3).warnings, "before, within and after"
    assert not TiltSeries(stack, [-40.0, -20, 0, 0, 0, 20, 40], 0.3).warnings, "sorted"
    assert not TiltSeries(stack, [-20.0, -20, 0, 0, 20, 20, 40], 0.3).warnings, "every tilt twice"


def test_an_image_that_is_there_twice_is_a_warning(stack, thetas):
    stack = stack.copy()
    stack[6] = stack[0]
    (warning,) = TiltSeries(stack, [0.0, -40, -20, 10, 20, 40, 0], 0.3).warnings
    assert "tilts 0, 6 hold the same image" in warning
    assert not TiltSeries(stack, [0.0, -40, -20, 10, 20, 40, 0], 0.3, excluded=(6,)).warnings


def test_matrices_that_are_not_rotations(stack, thetas):
    matrices = np.repeat(np.eye(3)[None], 7, axis=0)
    matrices[2] = np.diag([1, 1, -1])
    with pytest.raises(InputError, match="the matrix of tilt 2 is not a rotation"):
        TiltSeries(stack, thetas, 0.3, rotations=matrices)


# --- masks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(10, 12), (7, 12, 9), (6, 12, 10), (7,)])
def test_mask_of_another_shape(shape, good, thetas):
    refused("does not fit the images .7 x 12 x 10.", good, angles=thetas, pixel_size_A=0.3, mask=np.ones(shape))


def test_mask_that_hides_a_whole_tilt_is_a_warning(good, thetas):
    mask = np.ones((7, 12, 10))
    mask[4] = 0
    series = read_series(good, angles=thetas, pixel_size_A=0.3, mask=mask)
    assert any("leaves nothing of tilt 4" in w for w in series.warnings)


# --- nothing that was given is changed --------------------------------------------------------------------------


def test_arrays_given_are_not_changed(stack, thetas):
    stack[0, 0, 0] = np.nan
    mask = np.ones(stack.shape[1:], bool)
    mask[0, 0] = False
    before = stack.copy()
    series = TiltSeries(stack, thetas, 0.3, mask=mask)
    np.testing.assert_array_equal(stack, before)
    assert series.images[0, 0, 0] == 0
    assert mask.shape == stack.shape[1:]
