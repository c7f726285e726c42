"""TiltSeries itself: defaults, helpers, the layer that it becomes and the sample."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from napari_lot.errors import InputError
from napari_lot.physics.geometry import series_rotations
from napari_lot.series import TiltSeries
from napari_lot.series.layer import layer_data, series_from_layer_data
from napari_lot.series.sample import load_sample, sample_facts, sample_path, sample_truth_path


@pytest.fixture
def series(stack, thetas):
    mask = np.ones(stack.shape[1:], bool)
    mask[:2] = False
    return TiltSeries(
        images=np.abs(stack),
        angles_deg=np.stack([0.1 * thetas, thetas, 0.3 * thetas], axis=1),
        pixel_size_A=0.31,
        center_px=(6.0, 5.0),
        tilt_axis_deg=4.0,
        mask=mask,
        counts=True,
        source="somewhere/a.mrc",
        metadata={"format": "MRC"},
        excluded=(3,),
        warnings=("somewhere: beware.",),
    )


def assert_same(a: TiltSeries, b: TiltSeries) -> None:
    for name in ("images", "angles_deg", "mask", "rotations"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    for name in ("pixel_size_A", "center_px", "tilt_axis_deg", "counts", "excluded", "warnings", "metadata"):
        assert getattr(a, name) == getattr(b, name), name


def test_defaults(stack, thetas):
    series = TiltSeries(stack, thetas, 0.3)
    assert series.center_px == (5.5, 4.5)
    assert series.angles_deg.shape == (7, 3)
    assert len(series) == 7
    assert series.warnings == ()
    np.testing.assert_array_equal(series.used, np.arange(7))


def test_take_and_exclude(series):
    part = series.take([5, 1, 2])
    np.testing.assert_array_equal(part.images, series.images[[5, 1, 2]])
    np.testing.assert_array_equal(part.angles_deg, series.angles_deg[[5, 1, 2]])
    assert part.mask is not None
    assert part.mask.shape == part.images.shape
    assert series.exclude(0, 3).excluded == (0, 3)
    assert series.excluded == (3,)


def test_usable_pixels_are_the_mask_without_excluded_tilts(series, stack, thetas):
    assert TiltSeries(stack, thetas, 0.3).usable is None
    expected = np.ones(stack.shape, bool)
    expected[:, :2] = False
    expected[3] = False
    np.testing.assert_array_equal(series.usable, expected)
    assert series.mask[3].any()


def test_rotation_matrices_follow_the_convention(series):
    from scipy.spatial.transform import Rotation

    turn = Rotation.from_euler("z", 4.0, degrees=True)
    expected = [
        (turn * Rotation.from_euler("xyz", a, degrees=True) * turn.inv()).as_matrix() for a in series.angles_deg
    ]
    np.testing.assert_allclose(series_rotations(series), expected, atol=1e-12)


def test_layer_is_four_dimensional_in_angstrom_with_the_centre_at_the_origin(series):
    data, options, kind = layer_data(series)
    assert kind == "image"
    assert data.shape == (7, 1, 12, 10)
    assert options["scale"] == (1.0, 0.31, 0.31, 0.31)
    assert options["units"] == ("pixel", "angstrom", "angstrom", "angstrom")
    assert options["name"] == "a"
    world = np.array(options["scale"]) * [0, 0, *series.center_px] + options["translate"]
    np.testing.assert_allclose(world, 0, atol=1e-12)


def test_layer_brings_the_series_back(series):
    data, options, _ = layer_data(series)
    again = series_from_layer_data(data, options["metadata"], options["scale"], units=options["units"], name="a")
    assert_same(again, series)
    flat = series_from_layer_data(data[:, 0], options["metadata"], options["scale"][1:], units=options["units"][1:])
    assert_same(flat, series)


def test_layer_brings_explicit_rotations_back(stack, thetas):
    from scipy.spatial.transform import Rotation

    matrices = Rotation.from_quat(np.random.default_rng(0).normal(size=(7, 4))).as_matrix()
    series = TiltSeries(stack, thetas, 0.3, rotations=matrices)
    data, options, _ = layer_data(series)
    assert_same(series_from_layer_data(data, options["metadata"], options["scale"], units=options["units"]), series)
    new = series_from_layer_data(data, options["metadata"], angles=thetas)
    assert new.rotations is None  # angles given by the caller replace the matrices


def test_what_the_caller_or_the_layer_says_wins(series):
    data, options, _ = layer_data(series)
    scale = (1.0, 0.5, 0.5, 0.5)
    changed = series_from_layer_data(data, options["metadata"], scale, units=options["units"])
    assert changed.pixel_size_A == 0.5
    nm = series_from_layer_data(
        data, None, (1, 0.03, 0.03, 0.03), units=("pixel", "nm", "nm", "nm"), angles=np.arange(7) * 9
    )
    assert nm.pixel_size_A == pytest.approx(0.3)
    told = series_from_layer_data(
        data, options["metadata"], scale, units=options["units"], pixel_size_A=0.2, counts=False, center_px=(1, 1)
    )
    assert (told.pixel_size_A, told.counts, told.center_px) == (0.2, False, (1.0, 1.0))


def test_a_cropped_layer_forgets_the_centre_and_the_angles_of_another_shape(series):
    data, options, _ = layer_data(series)
    with pytest.raises(InputError, match="does not say its tilt angles: choose an angle file, or give start and step"):
        series_from_layer_data(data[:5], options["metadata"], options["scale"], units=options["units"], name="cropped")
    cropped = series_from_layer_data(data[:5], options["metadata"], angles=lambda n: 10.0 * np.arange(n))
    assert cropped.center_px == (5.5, 4.5)
    assert cropped.mask is None


def test_somebody_elses_layer(stack, tmp_path):
    """napari's own TIFF reader knows neither angles nor pixel size."""
    with pytest.raises(InputError, match="stack: this layer does not say its tilt angles"):
        series_from_layer_data(stack, {}, (1, 1, 1), units=("pixel",) * 3, name="stack")
    with pytest.raises(InputError, match="stack: the pixel size is not known"):
        series_from_layer_data(stack, {}, (1, 1, 1), units=("pixel",) * 3, name="stack", angles=np.arange(7) * 5)
    with pytest.raises(InputError, match="stack: this is a single image"):
        series_from_layer_data(stack[0], name="stack")
    (tmp_path / "resire.txt").write_text("0 1 2\n" * 7)
    with pytest.raises(InputError, match=r"resire\.txt: these are RESIRE angles, which go with transposed images"):
        series_from_layer_data(stack, name="stack", angles=tmp_path / "resire.txt", pixel_size_A=0.3)
    (tmp_path / "ok.tlt").write_text("\n".join(str(10 * i) for i in range(7)))
    series = series_from_layer_data(stack, name="stack", angles=tmp_path / "ok.tlt", pixel_size_A=0.3)
    np.testing.assert_array_equal(series.angles_deg[:, 1], 10 * np.arange(7))


def test_sample():
    series = load_sample()
    assert series.images.shape == (36, 114, 114)
    assert series.pixel_size_A == 0.25
    np.testing.assert_array_equal(series.angles_deg[:, 1], np.arange(-70, 71, 4))
    assert series.warnings == ()
    assert sample_facts()["element"] == "Pt"
    assert (series.metadata["element"], series.metadata["energy_eV"], series.metadata["semiangle_mrad"]) == (
        "Pt",
        3e5,
        25,
    )
    assert int(sample_truth_path().read_text().split()[0]) == 247
    size = sum(p.stat().st_size for p in sample_path().parent.iterdir())
    assert size < 3_000_000


def test_sample_pixels_are_the_originals():
    """The compressed copy is bit-exact: a checksum of the float32 pixels as they came from the multislice program."""
    import hashlib

    images = tifffile.imread(sample_path())
    assert images.dtype == np.float32
    assert (
        hashlib.sha256(images.astype("<f4").tobytes()).hexdigest()
        == "b7d498d710e9edb47b57dcc319f4722a207fae0d1b9a217cf8ac72929f060ac5"
    )


def test_sample_atoms_lie_where_the_images_show_them():
    """The whole frame at once: the true atoms, turned and projected, sit on bright pixels of every tilt."""
    series = load_sample()
    rows = [line.split() for line in sample_truth_path().read_text().splitlines()[2:]]
    atoms = np.array([[float(x) for x in row[1:4]] for row in rows])
    seen = np.einsum("tij,nj->tni", series_rotations(series), atoms) / series.pixel_size_A
    mirrored = seen * [-1, 1, 1]

    def brightness(positions):
        column = np.rint(positions[..., 0] + series.center_px[1]).astype(int)
        row = np.rint(positions[..., 1] + series.center_px[0]).astype(int)
        return np.mean([image[r, c].mean() for image, r, c in zip(series.images, row, column, strict=True)])

    assert brightness(seen) > 1.5 * brightness(mirrored)
    assert brightness(seen) > 2.5 * series.images.mean()
