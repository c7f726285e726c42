"""Step 1, prepared by hand: look at a step, apply it, take it back; tilts, masks, pixel size and axis."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from steps import child, open_step

from napari_lot.series.sample import load_sample
from napari_lot.series.steps import RemoveHotPixels

pytestmark = pytest.mark.slow  # part of `make test-all`


@pytest.fixture
def prepare(workbench: Any, hand: Any) -> Any:
    """The sample is open and so is the part that prepares it."""
    hand.click(child(workbench, "open_sample"))
    hand.until(lambda: workbench.state.series is not None)
    hand.click(child(workbench, "prepare_images"))
    return workbench.data.prepare


def choose(workbench: Any, hand: Any, name: str) -> None:
    hand.choose(child(workbench, "operation"), name)


def press(workbench: Any, hand: Any, name: str) -> None:
    """Press a button and wait until what it began has ended."""
    hand.click(child(workbench, name))
    hand.until(lambda: not workbench.data.prepare.task.running, 60)


def test_a_preview_changes_nothing_and_goes_again(prepare: Any, workbench: Any, hand: Any, viewer: Any) -> None:
    before = workbench.state.series
    choose(workbench, hand, "Align: centre of mass")
    press(workbench, hand, "preview_step")
    assert "Preview" in viewer.layers
    assert workbench.state.series is before
    said = child(workbench, "prepare_said").text()
    assert "Preview: Aligned by centres of mass" in said
    mismatch = "mismatch of their profiles along the tilt axis 1.88 % → 2.50 %"
    assert f"This makes the tilts agree less: {mismatch}. Keep the tilts as they are" in said
    press(workbench, hand, "preview_step")
    assert "Preview" not in viewer.layers
    choose(workbench, hand, "Crop")
    for button in ("preview_step", "apply_step"):  # all rows and columns, as it is offered
        press(workbench, hand, button)
        assert child(workbench, "prepare_said").text().startswith("Nothing to crop")
        assert "Preview" not in viewer.layers
        assert workbench.state.series is before
    assert prepare.preparation.steps == []
    assert "nothing" in child(workbench, "undo_step").toolTip().lower()
    hand.type(child(workbench, "crop_left"), "10")
    press(workbench, hand, "preview_step")
    corners = viewer.layers["Preview"].data[0]
    assert corners[:, 1].min() == 9.5
    choose(workbench, hand, "Bin")
    assert "Preview" not in viewer.layers, "another operation has another preview"


def test_steps_are_applied_in_order_and_undone_to_what_was_read(
    prepare: Any, workbench: Any, hand: Any, viewer: Any
) -> None:
    read = workbench.state.series
    viewer.dims.set_point(0, 5)
    choose(workbench, hand, "Crop")
    hand.type(child(workbench, "crop_top"), "7")
    hand.type(child(workbench, "crop_right"), "100")
    press(workbench, hand, "preview_step")
    press(workbench, hand, "apply_step")
    assert workbench.state.series.images.shape == (36, 107, 101)
    choose(workbench, hand, "Bin")
    press(workbench, hand, "apply_step")
    series = workbench.state.series
    assert series.images.shape == (36, 53, 50)
    assert series.pixel_size_A == 0.5
    assert [line[:2] for line in child(workbench, "prepare_history").text().split("<br>")] == ["1.", "2."]
    assert "53 × 50 pixels, 0.5 Å" in workbench.sections["data"].status.text()
    assert viewer.dims.point[0] == 5, "the slider stays at the tilt that is looked at"
    # the middle of the specimen is where it was: the rotation centre is at the origin of the canvas
    row, column = read.center_px
    assert series.center_px == pytest.approx(((row - 7 - 0.5) / 2, (column - 0.5) / 2))
    press(workbench, hand, "undo_step")
    assert workbench.state.series.images.shape == (36, 107, 101)
    press(workbench, hand, "undo_step")
    np.testing.assert_array_equal(workbench.state.series.images, read.images)
    assert workbench.state.series.history == ()
    assert not child(workbench, "undo_step").isEnabled()


def test_two_clicks_are_one_step(prepare: Any, workbench: Any, hand: Any, monkeypatch: Any) -> None:
    from qtpy.QtWidgets import QApplication

    monkeypatch.setattr(QApplication, "doubleClickInterval", lambda: 60_000)
    choose(workbench, hand, "Bin")
    press(workbench, hand, "apply_step")
    hand.click(child(workbench, "apply_step"))
    assert not workbench.state.reading
    assert workbench.state.series.images.shape == (36, 57, 57)
    hand.type(child(workbench, "bin_factor"), "3")
    press(workbench, hand, "apply_step")
    assert workbench.state.series.images.shape == (36, 19, 19), "another step is meant"
    press(workbench, hand, "undo_step")
    press(workbench, hand, "apply_step")
    assert workbench.state.series.images.shape == (36, 19, 19), "so is one that was taken back"


def test_a_step_that_cannot_be_done_is_explained(prepare: Any, workbench: Any, hand: Any, notified: Any) -> None:
    before = workbench.state.series
    choose(workbench, hand, "Bin")
    hand.type(child(workbench, "bin_factor"), "16")
    press(workbench, hand, "apply_step")
    assert "too few" in child(workbench, "prepare_said").text()
    assert any("too few" in message for message in notified())
    assert workbench.state.series is before


def test_a_whole_number_that_cannot_be_used_is_marked_and_explained(prepare: Any, workbench: Any, hand: Any) -> None:
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest

    choose(workbench, hand, "Crop")
    said, left = child(workbench, "step_refusals"), child(workbench, "crop_left")
    hand.type(left, "10.5")
    assert left.text() == "10.5 px", "nothing of it is gone"
    assert left.property("refused") is True
    assert said.isVisible()
    assert "First column: 10.5 px is not a whole number." in said.text()
    for name in ("preview_step", "apply_step"):
        assert not child(workbench, name).isEnabled()
        assert "not a whole number" in child(workbench, name).toolTip()
    choose(workbench, hand, "Bin")
    assert not said.isVisible(), "it is of another step"
    assert child(workbench, "apply_step").isEnabled()
    hand.type(child(workbench, "bin_factor"), "40")
    assert "Bin by: 40 pixels must be at most 16 pixels." in said.text()
    hand.type(child(workbench, "bin_factor"), "4")
    assert not said.isVisible()
    choose(workbench, hand, "Crop")
    assert "First column" in said.text()
    hand.type(left, "10", enter=False)
    QTest.keyClick(left, Qt.Key.Key_Tab)
    assert not said.isVisible()
    press(workbench, hand, "apply_step")
    assert workbench.state.series.images.shape[2] == 104


def test_after_binning_the_pixel_sizes_are_told_apart(prepare: Any, workbench: Any, hand: Any) -> None:
    note = child(workbench, "pixels_note")
    assert not note.isVisible()
    choose(workbench, hand, "Bin")
    press(workbench, hand, "apply_step")
    assert note.isVisible()
    assert note.text().startswith("Pixel size 0.25 Å in the file; 0.5 Å after")
    press(workbench, hand, "undo_step")
    assert not note.isVisible()
    hand.type(child(workbench, "pixel_size_A"), "0.3")
    hand.click(child(workbench, "apply_data"))
    hand.until(lambda: workbench.state.series.pixel_size_A == 0.3)
    assert note.text() == "Pixel size 0.3 Å as typed here, whatever the file says."
    press(workbench, hand, "apply_step")
    assert note.text().startswith("Pixel size 0.3 Å as typed here, whatever the file says; 0.6 Å after")


def test_what_takes_long_can_be_cancelled(prepare: Any, workbench: Any, hand: Any, viewer: Any) -> None:
    import threading

    before = workbench.state.series
    gate = threading.Event()

    def slow(progress: Any) -> None:
        for i in range(2000):
            progress(i / 2000)
            gate.wait(0.01)

    prepare.task.start("Slow", slow, lambda value: pytest.fail("nothing may come of it"), pytest.fail)
    hand.until(lambda: child(workbench, "prepare_progress").value() > 0)
    assert not child(workbench, "apply_step").isEnabled()
    assert child(workbench, "apply_step").toolTip() == "Slow: wait, or cancel."
    hand.click(child(workbench, "cancel_prepare"))
    hand.until(lambda: not prepare.task.running)
    assert child(workbench, "apply_step").isEnabled()
    assert not child(workbench, "cancel_prepare").isVisible()
    assert workbench.state.series is before
    prepare.task.start("Slow", slow, pytest.fail, pytest.fail)
    workbench.shutdown()
    assert not any(t.name == "napari-lot preparation" for t in threading.enumerate())


def test_a_tilt_is_left_out_by_a_click_and_the_field_agrees(
    prepare: Any, workbench: Any, hand: Any, viewer: Any
) -> None:
    viewer.dims.set_point(0, 3)
    hand.click(child(workbench, "leave_out"))
    assert workbench.state.series.excluded == (3,)
    assert child(workbench, "exclude").text() == "3"
    assert viewer.canvas.overlays.text.text.endswith("left out")
    assert "without tilt 3" in workbench.sections["data"].status.text()
    assert not child(workbench, "apply_data").isEnabled(), "there is nothing to apply"
    viewer.dims.set_point(0, 9)
    assert child(workbench, "leave_out").text() == "Leave out this tilt"
    assert child(workbench, "leave_out").toolTip() == "Do not use the tilt that is shown."
    hand.click(child(workbench, "leave_out"))
    assert child(workbench, "exclude").text() == "3, 9"
    viewer.dims.set_point(0, 3)
    assert child(workbench, "leave_out").text() == "Use this tilt again"
    assert child(workbench, "leave_out").toolTip() == "Use the tilt that is shown again."
    hand.click(child(workbench, "leave_out"))
    assert workbench.state.series.excluded == (9,)
    assert child(workbench, "exclude").text() == "9"
    assert not viewer.canvas.overlays.text.text.endswith("left out")


def test_steps_stay_when_the_series_is_read_again(prepare: Any, workbench: Any, hand: Any, viewer: Any) -> None:
    choose(workbench, hand, "Crop")
    hand.type(child(workbench, "crop_top"), "7")
    press(workbench, hand, "apply_step")
    hand.type(child(workbench, "pixel_size_A"), "0.3")
    hand.click(child(workbench, "apply_data"))
    hand.until(lambda: workbench.state.series.pixel_size_A == 0.3)
    assert workbench.state.series.images.shape == (36, 107, 114)
    assert len(workbench.state.series.history) == 1
    hand.click(child(workbench, "open_sample"))
    hand.until(lambda: workbench.state.series.pixel_size_A == 0.25)


@pytest.mark.parametrize("each", [False, True])
def test_a_painted_mask_is_not_used(prepare: Any, workbench: Any, hand: Any, viewer: Any, each: bool) -> None:
    hand.choose(child(workbench, "mask_for"), "each tilt" if each else "every tilt")
    assert not child(workbench, "use_mask").isEnabled()
    assert child(workbench, "use_mask").toolTip() == f"Press {child(workbench, 'paint_mask').text()} first."
    hand.click(child(workbench, "paint_mask"))
    layer = viewer.layers["Mask (painted = not used)"]
    assert layer.data.shape == ((36, 1, 114, 114) if each else (114, 114))
    assert layer.mode == "paint"
    layer.paint((4, 0, 20, 30) if each else (20, 30), 1)
    painted = layer.data.copy() > 0
    assert painted.any()
    press(workbench, hand, "use_mask")
    mask = workbench.state.series.mask
    np.testing.assert_array_equal(mask, ~painted[:, 0] if each else np.broadcast_to(~painted, mask.shape))
    assert "Mask (painted = not used)" not in viewer.layers
    assert "Masked by hand" in child(workbench, "prepare_history").text()
    hatched = viewer.layers["Mask (in use)"]
    assert hatched.visible
    np.testing.assert_array_equal(hatched.data > 0, painted)
    assert set(np.unique(hatched.data)) == {0, 1, 2}, "stripes, that are seen on dark and bright"
    assert viewer.layers.index(hatched) > viewer.layers.index("Measured")
    hatched.visible = False  # a click on its eye
    hand.click(child(workbench, "view_images"))
    assert not hatched.visible, "switched off"
    hatched.visible = True
    hand.click(child(workbench, "view_images"))
    assert hatched.visible
    press(workbench, hand, "undo_step")
    assert workbench.state.series.mask is None
    assert "Mask (in use)" not in viewer.layers


def test_the_pixel_size_from_a_lattice_and_from_a_line(prepare: Any, workbench: Any, hand: Any, viewer: Any) -> None:
    viewer.dims.set_point(0, 18)
    press(workbench, hand, "find_lattice")
    periods = [
        child(workbench, "measured_distance").itemData(i) for i in range(child(workbench, "measured_distance").count())
    ]
    # platinum (111): 3.92 / sqrt(3) = 2.263 Å, 9.05 pixels of 0.25 Å
    assert any(abs(period - 9.05) < 0.1 for period in periods)
    assert not child(workbench, "use_pixel_size").isEnabled()
    hand.click(child(workbench, "draw_ruler"))
    layer = viewer.layers["Ruler"]
    assert layer.mode == "add_line"
    layer.add_lines(np.array([[10.0, 10.0], [40.0, 50.0]]))
    hand.until(lambda: child(workbench, "measured_distance").currentText() == "line of 50.00 px")
    assert child(workbench, "known_distance_A").text() == "not given (Å)"
    hand.type(child(workbench, "known_distance_A"), "13")
    assert "a pixel is 0.26 Å (+4.00 %)" in child(workbench, "pixel_size_said").text()
    hand.click(child(workbench, "use_pixel_size"))
    hand.until(lambda: workbench.state.series.pixel_size_A == 0.26)
    assert workbench.data.description.form.fields["pixel_size_A"].value == 0.26


def test_more_hot_pixels_than_a_detector_has_are_marked(prepare: Any, workbench: Any, hand: Any) -> None:
    series = workbench.state.series
    rng = np.random.default_rng(1)
    noisy = series.images + rng.normal(0, 0.001, series.images.shape)
    spoilt = np.where(rng.random(series.images.shape) < 0.02, 1.0, noisy)
    preparation = workbench.data.prepare.preparation
    preparation.take((RemoveHotPixels(), RemoveHotPixels().apply(series.with_changes(images=spoilt))))
    said = child(workbench, "prepare_said").text()
    assert "⚠" in said
    assert "hot or dead, more than a detector has" in said
    press(workbench, hand, "undo_step")
    preparation.take((RemoveHotPixels(), RemoveHotPixels().apply(series)))
    assert "⚠" not in child(workbench, "prepare_said").text()


def test_a_true_length_belongs_to_the_distance_it_was_given_for(
    prepare: Any, workbench: Any, hand: Any, viewer: Any
) -> None:
    hand.click(child(workbench, "draw_ruler"))
    layer = viewer.layers["Ruler"]
    layer.add_lines(np.array([[10.0, 10.0], [40.0, 50.0]]))
    measured, known = child(workbench, "measured_distance"), child(workbench, "known_distance_A")
    hand.until(lambda: measured.currentText() == "line of 50.00 px")
    hand.type(known, "12")
    layer.data = [np.array([[10.0, 10.0], [40.0, 49.0]])]
    hand.until(lambda: measured.currentText() == "line of 49.20 px")
    assert known.value() == 12, "the same line, drawn better"
    assert "⚠" not in child(workbench, "pixel_size_said").text()
    viewer.dims.set_point(0, 17)
    press(workbench, hand, "find_lattice")
    hand.until(lambda: measured.currentText().startswith("lattice"))
    assert measured.currentData() == pytest.approx(9.09, abs=0.05)
    assert known.text() == "not given (Å)"
    assert not child(workbench, "use_pixel_size").isEnabled()
    hand.type(known, "11")
    said = child(workbench, "pixel_size_said").text()
    assert "⚠" in said
    assert "is it the true length of this distance?" in said
    hand.type(known, "2.265")
    assert "⚠" not in child(workbench, "pixel_size_said").text()


def test_the_tilt_axis_is_drawn_and_found(prepare: Any, workbench: Any, hand: Any, viewer: Any) -> None:
    hand.tick(child(workbench, "show_axis"))
    ends = viewer.layers["Tilt axis"].data[0]
    np.testing.assert_allclose(ends[:, 1], 56.5, atol=1e-6)
    assert viewer.layers["Tilt axis"] in list(viewer.layers)[-1:], "above the images"
    assert viewer.layers["Tilt axis"].metadata["napari_lot_role"] == "tilt axis"
    choose(workbench, hand, "Tilt axis")
    press(workbench, hand, "apply_step")
    found = workbench.state.series.tilt_axis_deg
    assert 0 < abs(found) < 0.5
    assert child(workbench, "prepare_history").text().startswith("1. Tilt axis set to")
    assert "The tilt axis lies at" in child(workbench, "prepare_said").text()
    hand.tick(child(workbench, "show_axis"))
    assert "Tilt axis" not in viewer.layers


def test_a_tilt_axis_that_was_found_is_a_step_like_any_other(prepare: Any, workbench: Any, hand: Any) -> None:
    choose(workbench, hand, "Crop")
    hand.type(child(workbench, "crop_left"), "4")
    press(workbench, hand, "apply_step")
    choose(workbench, hand, "Tilt axis")
    press(workbench, hand, "apply_step")
    assert workbench.state.series.tilt_axis_deg != 0
    press(workbench, hand, "undo_step")
    assert workbench.state.series.tilt_axis_deg == 0
    assert workbench.state.series.images.shape[2] == 110, "the step before it stays"
    press(workbench, hand, "apply_step")
    press(workbench, hand, "undo_step")
    press(workbench, hand, "undo_step")
    assert workbench.state.series.tilt_axis_deg == 0, "it rests on what was undone"
    # what a person types later takes its place
    press(workbench, hand, "apply_step")
    hand.type(child(workbench, "tilt_axis_deg"), "2.5")
    hand.click(child(workbench, "apply_data"))
    hand.until(lambda: workbench.state.series.tilt_axis_deg == 2.5)
    assert workbench.state.series.history == ()


def test_another_series_does_not_take_the_place_of_unsaved_atoms_unasked(
    ready: Any, hand: Any, viewer: Any, tmp_path: Any
) -> None:
    from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
    from qtpy.QtGui import QDropEvent
    from stand_in import StandInJob

    from napari_lot.series.sample import sample_path
    from napari_lot.session import Session, write_session

    ready.run.make_job = lambda series, settings: StandInJob(series, settings, step_s=0.0, steps=3)
    for n in (1, 2):
        hand.click(child(ready, "start"))
        hand.until(lambda n=n: ready.state.result_run == n and not ready.state.running, 30)
    result, series = ready.state.result, ready.state.series
    session = tmp_path / "other.lot.h5"
    write_session(session, Session(series, result.settings, result))
    viewer.open_sample("napari-lot", "pt_deca")
    open_step(ready, hand, "data")
    asked: list[str] = []
    ready.data.prepare.confirm = lambda question: bool(asked.append(question))
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(sample_path()))])
    drop = QDropEvent(
        QPointF(5, 5), Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    )
    for name, choose_other in (
        ("the sample", lambda: hand.click(child(ready, "open_sample"))),
        ("Pt decahedron", lambda: hand.click(child(ready, "use_layer"))),
        (sample_path().name, lambda: hand.type(child(ready, "series_path"), str(sample_path()))),
        (sample_path().name, lambda: ready.data.dropEvent(drop)),
        (session.name, lambda: hand.type(child(ready, "series_path"), str(session))),
    ):
        seen = len(asked)
        choose_other()
        hand.until(lambda seen=seen: len(asked) == seen + 1)
        assert asked[-1].startswith("The atoms of runs 1 and 2 go when "), asked[-1]
        assert name in asked[-1]
        hand.qtbot.wait(50)
        assert ready.state.result is result
        assert ready.state.series is series
        assert not ready.state.reading
        assert child(ready, "series_path").text() == "", "the path is that of what is open"
    # what is in a file is not lost
    open_step(ready, hand, "export")
    hand.choose(child(ready, "export_kind"), "Atoms, CSV")
    hand.type(child(ready, "export_path"), str(tmp_path / "a.csv"), enter=False)
    hand.click(child(ready, "export_save"))
    hand.until(lambda: not ready.export.saving)
    assert ready.state.unsaved_atoms() == "the atoms of run 1"
    ready.run.table.show_run(1)
    hand.until(lambda: ready.state.result_run == 1)
    hand.type(child(ready, "export_path"), str(tmp_path / "b.csv"), enter=False)
    hand.click(child(ready, "export_save"))
    hand.until(lambda: not ready.export.saving)
    seen = len(asked)
    hand.click(child(ready, "open_sample"))
    hand.until(lambda: ready.state.result is None)
    # and what was opened from a file is there already
    hand.type(child(ready, "series_path"), str(session))
    hand.until(lambda: ready.state.result is not None and not ready.state.reading)
    open_step(ready, hand, "data")
    hand.click(child(ready, "open_sample"))
    hand.until(lambda: ready.state.result is None)
    assert len(asked) == seen


def test_the_result_of_a_run_does_not_go_unasked(ready: Any, hand: Any, viewer: Any) -> None:
    from stand_in import StandInJob

    workbench = ready
    workbench.run.make_job = lambda series, settings: StandInJob(series, settings, step_s=0.01, steps=5)
    hand.click(child(workbench, "start"))
    hand.until(lambda: workbench.state.result is not None, 30)
    open_step(workbench, hand, "data")
    hand.click(child(workbench, "prepare_images"))
    asked: list[str] = []
    prepare = workbench.data.prepare
    prepare.confirm = lambda question: bool(asked.append(question))
    hand.click(child(workbench, "leave_out"))
    assert workbench.state.series.excluded == ()
    assert workbench.state.result is not None
    assert "The atoms of run 1 belong to the images" in asked[0]
    hand.tick(child(workbench, "show_axis"))
    assert not viewer.canvas.grid.enabled, "side by side a drawing would take a place of its own"
    hand.type(child(workbench, "pixel_size_A"), "0.3")
    hand.click(child(workbench, "apply_data"))
    assert asked[1:] == asked[:1], "the same question where the images are read again"
    assert workbench.state.series.pixel_size_A == 0.25
    assert workbench.state.result is not None
    hand.click(child(workbench, "discard_data"))
    prepare.confirm = lambda question: True
    hand.click(child(workbench, "leave_out"))
    hand.until(lambda: workbench.state.result is None)
    assert len(workbench.state.series.excluded) == 1


def test_the_dock_is_no_wider_than_it_may_be(prepare: Any, workbench: Any, hand: Any) -> None:
    from napari_lot.gui.workbench import MINIMUM_WIDTH

    for name in [child(workbench, "operation").itemText(i) for i in range(child(workbench, "operation").count())]:
        choose(workbench, hand, name)
        assert workbench.scroll.widget().minimumSizeHint().width() <= MINIMUM_WIDTH - 14, name
    assert len(load_sample()) == 36


def test_files_with_one_image_each_are_dropped_together(workbench: Any, hand: Any, tmp_path: Any) -> None:
    import tifffile
    from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
    from qtpy.QtGui import QDropEvent

    images = load_sample().images[::6]
    for i, image in enumerate(images):
        tifffile.imwrite(tmp_path / f"tilt_{i + 8}.tif", image)  # tilt_9 before tilt_10
    (tmp_path / "angles.csv").write_text("theta_deg\n" + "\n".join(str(10.0 * i) for i in range(len(images))))
    (tmp_path / "tilt_8.tlt").write_text("\n".join(str(10.0 * i) for i in range(len(images))))
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(f)) for f in tmp_path.glob("*.tif")])
    hand.type(child(workbench, "pixel_size_A"), "0.25")
    event = QDropEvent(
        QPointF(5, 5), Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    )
    workbench.data.dropEvent(event)
    hand.until(lambda: workbench.state.series is not None)
    np.testing.assert_array_equal(workbench.state.series.images, images)
    assert child(workbench, "series_path").text().endswith("and 5 more")
    hand.type(child(workbench, "pixel_size_A"), "0.3")
    hand.click(child(workbench, "apply_data"))
    hand.until(lambda: workbench.state.series.pixel_size_A == 0.3)
