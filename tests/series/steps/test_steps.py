"""Each step against what it must do, made by hand: fields, backgrounds and hot pixels that are known."""

from __future__ import annotations

import numpy as np
import pytest

from napari_lot.errors import InputError
from napari_lot.physics.geometry import series_rotations
from napari_lot.series import TiltSeries
from napari_lot.series.alignment import Drift
from napari_lot.series.first_look import is_isolated, levels
from napari_lot.series.layer import layer_data, series_from_layer_data
from napari_lot.series.sample import load_sample
from napari_lot.series.steps import (
    Bin,
    Crop,
    RemoveDrift,
    RemoveHotPixels,
    SubtractBackground,
    TurnAxis,
    UseMask,
    apply_steps,
    changed_by,
)
from napari_lot.series.steps.hot_pixels import find_hot_pixels
from series.particle import atoms, images

THETAS = np.linspace(-60, 60, 9)
POINTS = atoms()
CLEAN = images(POINTS, THETAS)
RNG = np.random.default_rng(4)


def place_of(series: TiltSeries, point_px: np.ndarray, tilt: int) -> tuple[float, float]:
    """(row, column) at which a point in units of the first pixel size appears."""
    u, v, _ = series_rotations(series)[tilt] @ (point_px * 0.5) / series.pixel_size_A
    row, column = series.center_px
    return row + v, column + u


def brightest(image: np.ndarray) -> tuple[float, float]:
    """Centre of mass of one bright spot."""
    v, u = np.indices(image.shape)
    return float((v * image).sum() / image.sum()), float((u * image).sum() / image.sum())


@pytest.mark.parametrize("step", [Crop((5, 70), (8, 77)), Bin(2), Bin(3)])
def test_the_specimen_stays_where_it_is_about_the_rotation_centre(step) -> None:
    point = np.array([7.0, -4.0, 5.0])
    series = TiltSeries(images(point[None], THETAS, width_px=2.5), THETAS, 0.5)
    after = step.apply(series)
    for tilt in (0, 4, 7):
        np.testing.assert_allclose(brightest(after.images[tilt]), place_of(after, point, tilt), atol=0.01)


def test_a_crop_keeps_the_pixels_of_images_and_mask() -> None:
    mask = RNG.random(CLEAN.shape) > 0.1
    series = TiltSeries(CLEAN, THETAS, 0.5, mask=mask)
    after = Crop((3, 60), (10, 50)).apply(series)
    np.testing.assert_array_equal(after.images, CLEAN[:, 3:60, 10:50])
    np.testing.assert_array_equal(after.mask, mask[:, 3:60, 10:50])
    assert after.history == ("Cropped to rows 3 to 59 and columns 10 to 49 of 72 × 80 pixels.",)
    assert series.history == ()
    assert not after.center_known, "a middle that nobody said is still to be refined"


@pytest.mark.parametrize(
    ("rows", "columns"), [((-1, 50), (0, 80)), ((10, 10), (0, 80)), ((0, 72), (0, 81)), ((3, 8), (0, 80))]
)
def test_a_crop_beyond_the_field_is_refused(rows, columns) -> None:
    with pytest.raises(InputError, match=r"rows|columns"):
        Crop(rows, columns).apply(TiltSeries(CLEAN, THETAS, 0.5))


def test_binning_adds_counts_and_averages_intensities() -> None:
    counts = RNG.poisson(20 * CLEAN + 1).astype(np.float32)
    mask = np.ones(CLEAN.shape[1:], bool)
    mask[10, 11] = False
    series = TiltSeries(counts, THETAS, 0.5, counts=True, mask=mask)
    added = Bin(3).apply(series)
    assert added.images[2, 4, 5] == counts[2, 12:15, 15:18].sum()
    assert added.pixel_size_A == 1.5
    assert added.images.shape == (9, 24, 26)
    assert added.counts
    assert (~added.mask[0]).sum() == 1
    assert not added.mask[0, 3, 3]
    assert "counts added, without 2 columns at the right" in added.history[-1]
    mean = Bin(3).apply(series.with_changes(counts=False))
    assert mean.images[2, 4, 5] == pytest.approx(counts[2, 12:15, 15:18].mean())
    with pytest.raises(InputError, match="too few"):
        Bin(16).apply(series)


@pytest.mark.parametrize("order", [0, 1, 2])
def test_a_background_is_taken_off_and_the_specimen_is_not(order: int) -> None:
    v, u = (np.linspace(-1, 1, n) for n in CLEAN.shape[1:])
    terms = [np.ones((72, 80)), v[:, None] + 0.5 * u, u**2 - 0.4 * np.outer(v, u)]
    peak = float(CLEAN.max())
    truth = sum(peak * 0.2 * term for term in terms[: order + 1]) * np.linspace(0.5, 1.5, 9)[:, None, None]
    loud = CLEAN + truth + 0.02 * peak * RNG.normal(size=CLEAN.shape)
    after = SubtractBackground(order).apply(TiltSeries(loud, THETAS, 0.5))
    left = (after.images - CLEAN).reshape(9, -1)
    vacuum = (1e-3 * peak > CLEAN).reshape(9, -1)
    for tilt in range(9):
        assert abs(left[tilt][vacuum[tilt]].mean()) < 0.002 * peak
        assert abs(left[tilt][~vacuum[tilt]].mean()) < 0.01 * peak
    assert "background of each tilt" in after.history[0]


def test_counts_without_background_are_no_counts_and_that_is_said() -> None:
    counts = RNG.poisson(30 * CLEAN + 4).astype(np.float32)
    after = SubtractBackground(0).apply(TiltSeries(counts, THETAS, 0.5, counts=True))
    assert not after.counts
    assert "electron counts became intensities" in after.history[0]
    assert after.images[:, :5].mean() == pytest.approx(0, abs=0.1)


def test_a_film_has_no_vacuum_for_a_background() -> None:
    rng = np.random.default_rng(8)
    points = np.column_stack([rng.uniform(-90, 90, (2500, 2)), np.zeros(2500)])
    with pytest.raises(InputError, match="no vacuum"):
        SubtractBackground(1).apply(TiltSeries(images(points, THETAS, width_px=2.0), THETAS, 0.5))


def spoiled(stack: np.ndarray, amplitude: float) -> tuple[np.ndarray, np.ndarray]:
    """Forty hot and dead pixels anywhere, atoms included."""
    where = np.zeros(stack.shape, bool)
    flat = np.random.default_rng(6).choice(stack.size, 40, replace=False)
    where.ravel()[flat] = True
    bad = stack.copy()
    bad.ravel()[flat[:20]] += amplitude
    bad.ravel()[flat[20:]] -= amplitude
    return bad, where


@pytest.mark.parametrize("noise", [0.0, 0.03, 0.1])
def test_hot_and_dead_pixels_are_found_and_atoms_are_not(noise: float) -> None:
    """Atoms as sharp as one and a half pixels."""
    peak = float(CLEAN.max())
    stack = (images(POINTS, THETAS, width_px=1.5) + noise * peak * RNG.normal(size=CLEAN.shape)).astype(np.float32)
    clean = RemoveHotPixels().apply(TiltSeries(stack, THETAS, 0.5))
    assert clean.mask is None or (~clean.mask).sum() <= 3
    bad, where = spoiled(stack, 2.0 * peak)
    after = RemoveHotPixels().apply(TiltSeries(bad, THETAS, 0.5))
    found = ~after.mask
    assert (found & where).sum() >= 38
    assert (found & ~where).sum() <= 3
    np.testing.assert_array_equal(after.images, bad)


@pytest.mark.parametrize("counts", [False, True])
def test_atoms_of_a_particle_that_is_small_in_its_field_are_not_hot(counts: bool) -> None:
    """Multislice images in a field of which the particle fills less than 2 %: faint noise, or that of counts."""
    rng = np.random.default_rng(3)
    sample = load_sample().images[[0, 17]]
    particle = (slice(None), slice(455, 455 + sample.shape[1]), slice(455, 455 + sample.shape[2]))
    field = np.zeros((2, 1024, 1024), np.float32)
    field[particle] = sample
    if counts:
        stack = rng.poisson(1000 * np.maximum(field, 0) / field.max() + 0.05).astype(np.float32)
    else:
        stack = field + rng.normal(0, 1e-4, field.shape).astype(np.float32)
    assert not any(find_hot_pixels(image).any() for image in stack)
    where = np.zeros(field.shape, bool)
    where[particle] = rng.random(sample.shape) < 0.004
    where[:, :400] |= rng.random((2, 400, 1024)) < 1e-4
    hot = np.where(where, stack + 1.5 * stack.max(), stack)
    found = np.array([find_hot_pixels(image) for image in hot])
    assert not (found & ~where).any()
    assert (found & where).sum() > 0.98 * where.sum()


def test_more_hot_pixels_than_a_detector_has_are_doubted() -> None:
    bad, _ = spoiled(CLEAN, 2 * float(CLEAN.max()))
    few = RemoveHotPixels().apply(TiltSeries(bad, THETAS, 0.5, warnings=("before",)))
    assert few.warnings == ("before",)
    many = np.where(
        np.random.default_rng(5).random(CLEAN.shape) < 0.03, 100.0, CLEAN + 0.01 * RNG.normal(size=CLEAN.shape)
    )
    (doubt,) = RemoveHotPixels().apply(TiltSeries(many.astype(np.float32), THETAS, 0.5)).warnings
    assert "than a detector has" in doubt
    assert "raise the threshold" in doubt


def test_each_image_is_filtered_once_for_hot_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two medians are what takes the time: of the neighbours, and of theirs."""
    from scipy import ndimage

    filtered: list[tuple[int, ...]] = []
    median_filter = ndimage.median_filter

    def counted(image: np.ndarray, **how: object) -> np.ndarray:
        filtered.append(image.shape)
        return median_filter(image, **how)

    monkeypatch.setattr(ndimage, "median_filter", counted)
    RemoveHotPixels().apply(TiltSeries(CLEAN, THETAS, 0.5))
    assert len(filtered) == 2 * len(CLEAN)


def test_hot_pixels_of_intensities_can_be_replaced_those_of_counts_are_masked() -> None:
    stack = (CLEAN + 0.02 * CLEAN.max() * RNG.normal(size=CLEAN.shape)).astype(np.float32)
    bad, where = spoiled(stack, 3 * float(stack.max()))
    replaced = RemoveHotPixels(replace=True).apply(TiltSeries(bad, THETAS, 0.5))
    assert replaced.mask is None
    assert np.abs(replaced.images - CLEAN)[where].max() < 0.5 * CLEAN.max()
    np.testing.assert_array_equal(replaced.images[~where], bad[~where])
    counts = RNG.poisson(20 * CLEAN + 2).astype(np.float32)
    hot = np.where(where, 5000, counts).astype(np.float32)
    masked = RemoveHotPixels(replace=True).apply(TiltSeries(hot, THETAS, 0.5, counts=True))
    np.testing.assert_array_equal(masked.images, hot)
    assert masked.counts
    assert (~masked.mask & where).sum() == where.sum()
    assert "masked" in masked.history[0]


def test_painted_masks_of_all_tilts_and_of_each() -> None:
    mask = np.ones(CLEAN.shape, bool)
    mask[3, :10] = False
    series = TiltSeries(CLEAN, THETAS, 0.5, mask=mask)
    painted = np.zeros(CLEAN.shape[1:], bool)
    painted[20:30, 40:60] = True
    common = UseMask(painted).apply(series)
    np.testing.assert_array_equal(common.mask, mask & ~painted)
    own = np.zeros(CLEAN.shape, bool)
    own[5, 4, 4] = True
    np.testing.assert_array_equal(UseMask(own).apply(series).mask, ~own)
    with pytest.raises(InputError, match="does not fit"):
        UseMask(painted).apply(Crop((0, 40), (0, 40)).apply(series))


def test_whole_pixels_change_no_value_and_mask_what_left_the_field() -> None:
    drift = np.array([[j - 4.2, 3.3 - j] for j in range(9)])
    counts = RNG.poisson(20 * CLEAN + 1).astype(np.float32)
    after = RemoveDrift(Drift(drift, (35.5, 39.5), "by hand")).apply(TiltSeries(counts, THETAS, 0.5, counts=True))
    assert after.counts
    whole = np.rint(drift).astype(int)
    for j, (du, dv) in enumerate(whole):
        rolled = np.roll(counts[j], (-dv, -du), (0, 1))
        inside = np.roll(np.ones(counts[j].shape, bool), (-dv, -du), (0, 1))
        inside[:] = True
        if dv > 0:
            inside[-dv:] = False
        if dv < 0:
            inside[:-dv] = False
        if du > 0:
            inside[:, -du:] = False
        if du < 0:
            inside[:, :-du] = False
        np.testing.assert_array_equal(after.mask[j], inside)
        np.testing.assert_array_equal(after.images[j][inside], rolled[inside])


def test_parts_of_a_pixel_are_interpolated_and_no_masked_pixel_takes_part() -> None:
    shifts = np.random.default_rng(3).uniform(-3, 3, (9, 2))
    moved = images(POINTS, THETAS, shifts=shifts)
    mask = np.ones(moved.shape, bool)
    mask[:, 30:33, 35:38] = False
    poisoned = np.where(mask, moved, 1e6)
    step = RemoveDrift(Drift(shifts, (35.5, 39.5), "by hand"), subpixel=True)
    after = step.apply(TiltSeries(poisoned, THETAS, 0.5, mask=mask))
    assert np.abs(after.images - CLEAN)[after.mask].max() < 0.02 * CLEAN.max()
    assert not after.mask[:, 30:33, 35:38].all()
    assert after.mask.mean() > 0.85


def test_a_particle_is_still_isolated_after_its_drift_was_taken_out() -> None:
    shifts = np.random.default_rng(3).uniform(-6, 6, (9, 2))
    moved = images(POINTS, THETAS, shifts=shifts)
    after = RemoveDrift(Drift(shifts, (35.5, 39.5), "by hand")).apply(TiltSeries(moved, THETAS, 0.5))
    assert is_isolated(after.images, after.usable, levels(after.images, after.usable))
    cut = np.zeros(moved.shape, bool)
    cut[:, 25:50, 20:60] = True  # a window within which the particle reaches all edges
    assert not is_isolated(after.images, cut, levels(after.images, cut))


def test_far_drift_and_strange_numbers_are_refused() -> None:
    series = TiltSeries(CLEAN, THETAS, 0.5)
    with pytest.raises(InputError, match="more than half of the field"):
        RemoveDrift(Drift(np.full((9, 2), 45.0), (35.5, 39.5), "x")).apply(series)
    with pytest.raises(InputError, match="do not fit 9 tilts"):
        RemoveDrift(Drift(np.zeros((8, 2)), (35.5, 39.5), "x")).apply(series)
    with pytest.raises(InputError, match="between 3 and 100"):
        RemoveHotPixels(threshold=1).apply(series)
    with pytest.raises(InputError, match="order 3"):
        SubtractBackground(3).apply(series)


def test_steps_are_recorded_in_order_and_travel_with_a_layer() -> None:
    told: list[float] = []
    steps = [Crop((4, 68), (4, 76)), Bin(2), SubtractBackground(0), TurnAxis(-3.5)]
    series = apply_steps(TiltSeries(CLEAN, THETAS, 0.5), steps, told.append)
    assert [s.split()[0] for s in series.history] == ["Cropped", "Binned", "Took", "Tilt"]
    assert series.tilt_axis_deg == -3.5
    assert told == sorted(told)
    array, options, _ = layer_data(series)
    again = series_from_layer_data(array, options["metadata"], options["scale"], units=options["units"])
    assert again.history == series.history


def test_a_step_that_changes_nothing_is_told_from_one_that_does() -> None:
    series = TiltSeries(CLEAN, THETAS, 0.5, tilt_axis_deg=3.0)
    rows, columns = CLEAN.shape[1:]
    painted = np.zeros((rows, columns), bool)
    for step, words in (
        (Crop((0, rows), (0, columns)), "Nothing to crop"),
        (RemoveHotPixels(100), "No hot or dead pixels"),
        (UseMask(painted), "Nothing is painted"),
        (TurnAxis(3.0), "there already"),
        (RemoveDrift(Drift(np.zeros((len(THETAS), 2)), series.center_px, "by hand")), "nothing to move"),
    ):
        if isinstance(step, RemoveDrift):  # it knows the centre afterwards
            series = series.with_changes(center_known=True)
        assert changed_by(step, series) is series
        assert words in step.nothing_to_do
    painted[3, 4] = True
    for step in (Crop((0, rows - 1), (0, columns)), UseMask(painted), TurnAxis(4.0), SubtractBackground(0)):
        after = changed_by(step, series)
        assert after is not series
        assert len(after.history) == 1
    assert changed_by(UseMask(painted), UseMask(painted).apply(series)).history[0].startswith("Masked by hand")
