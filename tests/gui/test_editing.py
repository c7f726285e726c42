"""Atoms of a paused run are edited in the window: by layer operations, keys, buttons and clicks on the canvas."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from stand_in import StandInJob
from steps import child, open_step

from napari_lot.edit import Candidates
from napari_lot.gui.canvas.editing import LAYER_DELETED, PEAKS
from napari_lot.job import Control, Job, Snapshot
from napari_lot.simulate.images import simulate_series
from napari_lot.simulate.particles import amorphous_sphere

pytestmark = pytest.mark.slow  # part of `make test-all`

EDITING = "Atoms (editing)"


class PausesItself(Job):
    """The real solver, which pauses before its last fit: all orbitals are atoms by then."""

    def run(self, control: Control | None = None) -> Iterator[Snapshot]:
        assert control is not None
        paused = False
        for snapshot in super().run(control):
            yield snapshot
            if snapshot.stage == "polish" and not paused:
                paused = True
                control.pause()


@pytest.fixture
def small(workbench: Any, hand: Any) -> Any:
    """A workbench with 30 atoms in 21 tilts, ready for the real solver."""
    particle = amorphous_sphere("Pt", 11.0, 2.5, atoms=30, width_A=0.6, seed=3)
    series = simulate_series(particle, np.linspace(-70, 70, 21), 0.4, None, image_shape=(48, 52))
    noise = np.random.default_rng(5).normal(0.1, 0.01, series.images.shape)
    workbench.state.set_series(series.with_changes(images=(series.images + noise).astype(np.float32)))
    workbench.run.make_job = PausesItself
    open_step(workbench, hand, "run")
    hand.choose(child(workbench, "probe"), "direct")
    hand.type(child(workbench, "element"), "Pt")
    return workbench


@pytest.fixture
def paused(ready: Any, hand: Any) -> Any:
    """A workbench whose stand-in is paused when its orbitals have become atoms."""
    jobs = []

    def make(series: Any, settings: Any) -> StandInJob:
        jobs.append(StandInJob(series, settings, step_s=0.02, steps=30, pause_at=20))
        return jobs[-1]

    ready.run.make_job = make
    hand.click(child(ready, "start"))
    until_paused(ready, hand)
    ready.job = jobs[0]
    return ready


def until_paused(workbench: Any, hand: Any) -> Any:
    hand.until(lambda: EDITING in workbench.viewer.layers, 60)
    return workbench.viewer.layers[EDITING]


def press(workbench: Any, key: Any) -> None:
    from qtpy.QtTest import QTest

    native = workbench.viewer.window._qt_viewer.canvas.native
    native.setFocus()
    QTest.keyClick(native, key)


def click_canvas(workbench: Any, hand: Any, v: float, u: float) -> None:
    """A click at a point of the images, in Å, in a 2-D view without a grid."""
    from qtpy.QtCore import QPoint, Qt
    from qtpy.QtTest import QTest

    native = workbench.viewer.window._qt_viewer.canvas.native
    camera = workbench.viewer.scene.camera
    middle = np.array([native.height(), native.width()]) / 2
    y, x = middle + (np.array([v, u]) - np.array(camera.center)[-2:]) * camera.zoom
    QTest.mouseMove(native, QPoint(round(x), round(y)))
    hand.qtbot.wait(50)
    QTest.mouseClick(native, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, QPoint(round(x), round(y)))
    hand.qtbot.wait(50)


# -- with the real solver -----------------------------------------------------------------------------------------


def test_an_atom_is_deleted_and_a_peak_of_the_residual_added_in_its_place(small: Any, hand: Any) -> None:
    hand.click(child(small, "start"))
    layer = until_paused(small, hand)
    assert child(small, "pause").text() == "Resume"
    assert not small.viewer.layers["Atoms"].visible
    assert layer.editable
    n = len(layer.data)
    row = int(np.argmin(np.linalg.norm(layer.data, axis=1)))
    place, name = np.array(layer.data[row]), int(layer.features["id"][row])
    layer.selected_data = {row}
    hand.click(child(small, "edit_delete"))
    assert len(layer.data) == n - 1
    assert child(small, "edit_count").text() == "So far 0 added, 0 moved, 1 removed; Resume takes it."
    hand.click(child(small, "edit_find"))
    peaks = child(small, "edit_peaks")
    hand.until(lambda: peaks.count() > 0, 60)
    assert "σ, height" in peaks.item(0).text()
    peaks.setCurrentRow(0)
    hand.click(child(small, "edit_add"))
    assert len(layer.data) == n
    assert np.linalg.norm(layer.data[-1] - place) < 0.9
    assert layer.features["id"].iloc[-1] == -1
    hand.click(child(small, "pause"))
    assert EDITING not in small.viewer.layers
    assert child(small, "edited").text() == "Resumed with your edit: 1 added, 0 moved, 1 removed."
    hand.until(lambda: not small.state.running, 60)
    result = small.state.result
    assert name not in result.orbitals.id
    assert len(result.orbitals) == 30
    distance = np.linalg.norm(result.orbitals.positions[:, ::-1] - place, axis=1)
    assert distance.min() < 0.1, "the images have pulled it to where the atom was"
    assert [(len(e["added"]), len(e["removed"])) for e in result.details["edits"]] == [(1, 1)]
    assert "By hand: 1 added, 0 moved, 1 removed." in child(small, "stage").text()


def test_finish_now_keeps_the_edit(small: Any, hand: Any) -> None:
    hand.click(child(small, "start"))
    layer = until_paused(small, hand)
    n, gone = len(layer.data), int(layer.features["id"][0])
    layer.selected_data = {0}
    layer.remove_selected()
    hand.click(child(small, "finish"))
    hand.until(lambda: not small.state.running, 60)
    assert small.state.result.stop_reason == "finished early"
    assert len(small.state.result.orbitals) == n - 1
    assert gone not in small.state.result.orbitals.id
    assert EDITING not in small.viewer.layers


# -- with the stand-in --------------------------------------------------------------------------------------------


def test_what_is_done_in_the_layer_reaches_the_solver(paused: Any, hand: Any) -> None:
    from qtpy.QtCore import Qt

    layer = paused.viewer.layers[EDITING]
    before = np.array(layer.data)
    layer.selected_data = {3, 5}
    press(paused, Qt.Key.Key_Delete)
    assert len(layer.data) == 245
    layer.selected_data = {0}
    layer.add((1.0, 2.0, 33.0))  # as a click in napari's add mode does, which lends it the id of what is selected
    layer.selected_data = {7}
    layer._drag_start = None
    layer._move({7}, layer.data[7])
    layer._move({7}, layer.data[7] + 1.5)
    hand.click(child(paused, "pause"))
    hand.until(lambda: len(paused.job.edits) == 1)
    edit = paused.job.edits[0]
    assert edit.counts == (1, 1, 2)
    np.testing.assert_allclose(edit.removed_from, before[[3, 5], ::-1])
    np.testing.assert_allclose(edit.added, [[33.0, 2.0, 1.0]])
    np.testing.assert_allclose(edit.moved_to - before[[9], ::-1], [[1.5, 1.5, 1.5]], atol=1e-6)
    hand.until(lambda: not paused.state.running, 60)


def test_a_drag_with_the_mouse_moves_an_atom(paused: Any, hand: Any) -> None:
    from qtpy.QtCore import QPoint, Qt
    from qtpy.QtTest import QTest

    layer, viewer = paused.viewer.layers[EDITING], paused.viewer
    hand.click(paused.view_buttons["atoms"])
    native, camera = viewer.window._qt_viewer.canvas.native, viewer.scene.camera
    # the atom nearest to the viewer: nothing lies before it
    row = int(np.argmin(layer.data[:, 0]))
    before = np.array(layer.data)
    middle = np.array([native.height(), native.width()]) / 2
    y, x = middle + (before[row, 1:] - np.array(camera.center)[1:]) * camera.zoom
    start, end = QPoint(round(x), round(y)), QPoint(round(x) + 30, round(y))
    QTest.mouseMove(native, start)
    hand.qtbot.wait(100)
    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    QTest.mousePress(native, left, none, start)
    for k in range(1, 7):
        QTest.mouseMove(native, QPoint(start.x() + 5 * k, start.y()))
        hand.qtbot.wait(30)
    QTest.mouseRelease(native, left, none, end)
    hand.qtbot.wait(50)
    moved = np.flatnonzero(np.abs(layer.data - before).max(1) > 1e-9)
    assert len(moved) == 1
    shift = layer.data[moved[0]] - before[moved[0]]
    assert shift[2] == pytest.approx(30 / camera.zoom, rel=0.3), "to the right is +x"
    assert abs(shift[1]) < 0.2
    assert "1 moved" in child(paused, "edit_count").text()


def test_a_click_on_the_overlay_adds_the_peak_that_lies_there(paused: Any, hand: Any) -> None:
    viewer = paused.viewer
    paused.job.candidates = type(paused.job.candidates)(
        np.array([[5.0, 6.0, 4.0], [5.2, 6.2, -4.0], [-8.0, -8.0, 0.0]]), np.ones(3), np.array([9.0, 12.0, 20.0])
    )
    hand.click(child(paused, "edit_click"))
    assert paused.layers.view == "markers"
    hand.until(lambda: child(paused, "edit_peaks").count() == 3)
    assert "Residual peaks" in viewer.layers
    layer = viewer.layers[EDITING]
    v, u = paused.layers.candidates_on(paused.layers.tilt)[0, 1:]
    click_canvas(paused, hand, v, u)
    assert len(layer.data) == 248
    # of two that lie there in this tilt the more significant
    np.testing.assert_allclose(layer.data[-1], [-4.0, 6.2, 5.2])
    assert child(paused, "edit_peaks").count() == 2
    click_canvas(paused, hand, v + 20, u)
    assert len(layer.data) == 248
    assert "No residual peak within" in child(paused, "edit_count").text()
    hand.click(child(paused, "edit_click"))
    click_canvas(paused, hand, v, u)
    assert len(layer.data) == 248, "the button is up"


def test_enter_takes_the_first_peak_of_the_list(paused: Any, hand: Any) -> None:
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest

    places = np.array([[0.0, 0.0, 30.0], [0.0, 0.0, -30.0]])
    paused.job.candidates = Candidates(places, np.ones(2), np.array([9.0, 5.0]))
    hand.click(child(paused, "edit_find"))
    peaks, layer = child(paused, "edit_peaks"), paused.viewer.layers[EDITING]
    hand.until(lambda: peaks.count() == 2)
    for place in places:
        assert child(paused, "edit_add").isEnabled()
        peaks.setFocus()
        QTest.keyClick(peaks, Qt.Key.Key_Return)
        np.testing.assert_allclose(layer.data[-1], place[::-1])
    assert len(layer.data) == 249


def test_peaks_are_only_suggestions(paused: Any, hand: Any, notified: Any) -> None:
    """Delete took rings away while the list of peaks kept them."""
    from napari_lot.gui.canvas.layers import OF_PEAKS

    paused.job.candidates = Candidates(
        np.array([[0.0, 0.0, 30.0], [0.0, 0.0, -30.0]]), np.ones(2), np.array([9.0, 5.0])
    )
    hand.click(child(paused, "edit_find"))
    hand.until(lambda: child(paused, "edit_peaks").count() == 2)
    rings = paused.viewer.layers[PEAKS]
    places = rings.data.copy()
    rings.selected_data = {0}
    rings.remove_selected()
    assert notified()[-1] == OF_PEAKS
    rings.data = places + 1.0
    assert np.array_equal(paused.viewer.layers[PEAKS].data, places)


def test_a_click_looks_again_where_atoms_have_changed_since(paused: Any, hand: Any) -> None:
    paused.job.candidates = Candidates(np.zeros((0, 3)), np.zeros(0), np.zeros(0))
    hand.click(child(paused, "edit_click"))
    hand.until(lambda: paused.layers.editor.candidates is not None)
    layer = paused.viewer.layers[EDITING]
    layer.selected_data = {0}
    layer.remove_selected()
    on_axis = np.array([0.0, 5.0, 0.0])  # at one place of every tilt
    paused.job.candidates = Candidates(on_axis[None], np.ones(1), np.full(1, 9.0))
    click_canvas(paused, hand, 5.0, 0.0)
    hand.until(lambda: len(layer.data) == 247)
    np.testing.assert_allclose(layer.data[-1], on_axis[::-1])


def test_an_edit_that_cannot_be_used_is_said_and_nothing_is_lost(paused: Any, hand: Any, notified: Any) -> None:
    layer = paused.viewer.layers[EDITING]
    layer.add((0.0, 0.0, 500.0))
    assert "outside of what the tilts show" in child(paused, "edit_count").text()
    for button in ("pause", "finish"):
        seen = len(notified())
        hand.click(child(paused, button))
        assert "outside of what the tilts show" in notified()[seen:][0]
        assert paused.run.runner.control.is_paused
        assert len(paused.viewer.layers[EDITING].data) == 248
    hand.click(child(paused, "edit_undo"))
    assert len(paused.viewer.layers[EDITING].data) == 247
    assert child(paused, "edit_count").text() == "Nothing is changed yet."
    hand.click(child(paused, "pause"))
    hand.until(lambda: not paused.state.running, 60)
    assert paused.job.edits == []


def test_peaks_beside_atoms_that_are_no_more_are_not_shown(paused: Any, hand: Any, monkeypatch: Any) -> None:
    control, count = paused.run.runner.control, child(paused, "edit_count")
    answer: list[Any] = []
    monkeypatch.setattr(control, "candidates", lambda: answer[0] if answer else None)
    hand.click(child(paused, "edit_find"))
    layer = paused.viewer.layers[EDITING]
    layer.selected_data = set(range(len(layer.data)))
    layer.remove_selected()
    assert "none is left" in count.text()
    empty = Candidates(np.zeros((0, 3)), np.zeros(0), np.zeros(0))
    answer.append(empty)
    hand.until(child(paused, "edit_find").isEnabled)
    assert "none is left" in count.text(), "the warning stays"
    assert "No residual peak" not in count.text()
    assert "look for them again" in count.text()


def test_all_atoms_deleted_in_the_overlay_is_a_sentence(paused: Any, hand: Any, notified: Any) -> None:
    hand.click(child(paused, "view_markers"))
    layer = paused.viewer.layers[EDITING]
    layer.selected_data = set(range(len(layer.data)))
    hand.click(child(paused, "edit_delete"))
    assert len(layer.data) == 0
    assert "none is left" in child(paused, "edit_count").text()
    assert not paused.viewer.layers["Atoms on tilt"].shown.any()
    hand.click(child(paused, "edit_undo"))
    assert child(paused, "edit_count").text() == "Nothing is changed yet."
    assert paused.viewer.layers["Atoms on tilt"].shown.sum() == 247
    assert notified() == []


def test_peaks_go_when_the_atoms_change_and_while_they_are_looked_for(paused: Any, hand: Any) -> None:
    peaks, add, count = (child(paused, f"edit_{name}") for name in ("peaks", "add", "count"))
    places = np.array([[0.0, 0.0, 30.0], [0.0, 5.0, 30.0]])
    paused.job.candidates = Candidates(places, np.array([1234.5, 900.0]), np.array([9.0, 8.0]))
    layer = paused.viewer.layers[EDITING]
    layer.selected_data = {0}
    layer.remove_selected()
    hand.click(child(paused, "edit_find"))
    hand.until(add.isVisible)
    assert peaks.item(0).text() == "9.0 σ, height 1.23e+03, at 0.0, 0.0, 30.0 Å"
    hand.click(add)
    assert peaks.count() == 1, "the others were found together with it"
    hand.click(child(paused, "edit_undo"))
    assert (peaks.count(), peaks.isVisible(), add.isVisible()) == (0, False, False)
    assert "look for them again" in count.text()
    assert paused.layers.editor.candidates is None
    hand.click(child(paused, "edit_find"))
    hand.until(add.isVisible)
    paused.run.runner.control.candidates = lambda: None  # it goes on looking
    hand.click(child(paused, "edit_find"))
    assert (peaks.count(), add.isVisible()) == (0, False)


def test_peaks_are_seen_where_they_are_looked_for(paused: Any, hand: Any) -> None:
    places = np.array([[1.0, 2.0, 30.0], [0.0, 5.0, 30.0]])
    paused.job.candidates = Candidates(places, np.ones(2), np.array([9.0, 8.0]))
    assert paused.layers.view == "atoms"
    hand.click(child(paused, "edit_find"))
    hand.until(child(paused, "edit_add").isVisible)
    rings = paused.viewer.layers["Residual peaks"]
    assert rings.shown.all(), "of what is masked napari draws a dot in 3-D"
    assert rings.visible
    assert np.array_equal(rings.data[rings.shown], places[:, ::-1])
    assert paused.viewer.layers.selection.active.name == EDITING, "clicks are for the atoms"
    hand.click(child(paused, "view_markers"))
    assert np.array_equal(rings.data[rings.shown], paused.layers.candidates_on(paused.layers.tilt))
    hand.click(child(paused, "view_images"))
    assert not rings.visible
    hand.click(child(paused, "view_atoms"))
    assert rings.visible
    assert np.array_equal(rings.data[rings.shown], places[:, ::-1])
    hand.click(child(paused, "edit_undo"))
    assert "Residual peaks" in paused.viewer.layers, "nothing has changed"
    paused.viewer.layers[EDITING].remove([0])
    assert "Residual peaks" not in paused.viewer.layers


def test_the_list_of_peaks_is_no_wider_than_its_box(paused: Any, hand: Any) -> None:
    peaks = child(paused, "edit_peaks")
    places = np.array([[4.4, 0.5, -5.3], [-10002.3, -10000.5, -10052.3]])  # too long for any font
    paused.job.candidates = Candidates(places, np.array([0.0867, 12345.6]), np.array([152.8, 1100.0]))
    hand.click(child(paused, "edit_find"))
    hand.until(lambda: peaks.count() == 2)
    hand.reach(peaks)
    assert peaks.horizontalScrollBar().maximum() == 0
    room, wanted = peaks.viewport().width(), peaks.fontMetrics().horizontalAdvance(peaks.item(1).text())
    assert wanted > room, "else nothing is tested"
    assert peaks.visualItemRect(peaks.item(1)).height() > 1.5 * peaks.visualItemRect(peaks.item(0)).height()


def test_a_cancelled_run_leaves_the_edited_atoms_in_the_viewer(paused: Any, hand: Any) -> None:
    layer = paused.viewer.layers[EDITING]
    layer.selected_data = {0, 1}
    layer.remove_selected()
    hand.click(child(paused, "cancel"))
    hand.until(lambda: not paused.state.running)
    assert len(paused.viewer.layers["Atoms (edited, not used)"].data) == 245
    assert "stay in the layer" in child(paused, "edited").text()


def test_a_pause_is_said_and_its_colours_are_explained(paused: Any, hand: Any) -> None:
    from qtpy.QtWidgets import QProgressBar

    assert paused.sections["run"].status.accessibleName() == "Paused; Resume goes on."
    bar = paused.findChild(QProgressBar, "progress")
    assert bar.format().endswith("paused")
    for undone in (False, True):
        if undone:
            hand.click(child(paused, "edit_undo"))
        layer, atoms = paused.viewer.layers[EDITING], paused.viewer.layers["Atoms"]
        assert layer.face_colorbar.visible
        assert "coloured by height (image units), 0 to " in paused.viewer.canvas.overlays.text.text
        assert layer.face_contrast_limits == atoms.face_contrast_limits
        np.testing.assert_allclose(layer.face_color, atoms.face_color[:247], atol=1e-6)
    hand.click(child(paused, "pause"))
    assert paused.sections["run"].status.accessibleName() != "Paused; Resume goes on."
    hand.until(lambda: not paused.state.running, 60)


def test_a_pause_without_an_edit_changes_nothing(paused: Any, hand: Any) -> None:
    hand.click(child(paused, "pause"))
    hand.until(lambda: not paused.state.running, 60)
    assert EDITING not in paused.viewer.layers
    assert not child(paused, "edited").isVisible()
    hand.until(lambda: not paused.state.running, 30)
    assert paused.job.edits == []
    assert "Atoms" in paused.viewer.layers


def test_a_layer_that_was_deleted_is_no_edit_and_comes_back(paused: Any, hand: Any) -> None:
    words = paused.viewer.canvas.overlays.text
    assert words.text.startswith("247 atoms, editing")
    paused.viewer.layers[EDITING].remove([0])
    paused.viewer.layers.remove(EDITING)
    assert words.text.replace("\n", " ") == LAYER_DELETED
    assert max(map(len, words.text.splitlines())) < 45, "it lies beside the colour bar"
    assert child(paused, "edit_count").text().startswith(LAYER_DELETED)
    assert not child(paused, "edit_delete").isEnabled()
    hand.click(child(paused, "edit_undo"))
    assert len(paused.viewer.layers[EDITING].data) == 247
    assert words.text.startswith("247 atoms, editing")
    assert child(paused, "edit_count").text() == "Nothing is changed yet."
    assert child(paused, "edit_delete").isEnabled()
    paused.viewer.layers.remove(EDITING)
    hand.click(child(paused, "pause"))
    hand.until(lambda: not paused.state.running, 60)
    assert paused.job.edits == []


def test_what_an_action_says_leaves_the_sum_and_goes_with_the_next(paused: Any, hand: Any) -> None:
    layer, count = paused.viewer.layers[EDITING], child(paused, "edit_count")
    layer.remove([0, 1])
    removed = "So far 0 added, 0 moved, 2 removed; Resume takes it."
    assert count.text() == removed
    layer.selected_data = set()
    hand.click(child(paused, "edit_delete"))
    assert count.text() == f"{removed}\nNothing is selected: click or box atoms in Atoms 3D first."
    hand.click(child(paused, "edit_find"))
    assert count.text() == removed


def test_before_there_are_atoms_it_is_said_why_nothing_can_be_edited(ready: Any, hand: Any) -> None:
    ready.run.make_job = lambda series, settings: StandInJob(series, settings, steps=30, pause_at=5)
    hand.click(child(ready, "start"))
    hand.until(lambda: child(ready, "edit_text").isVisible())
    assert "several orbitals still stand for one atom" in child(ready, "edit_text").text()
    assert not child(ready, "edit_find").isVisible()
    assert EDITING not in ready.viewer.layers


def test_closing_the_viewer_while_atoms_are_edited_ends_the_run(paused: Any, hand: Any) -> None:
    from conftest import running_threads

    paused.viewer.layers[EDITING].add((0.0, 0.0, 1.0))
    paused.viewer.close()
    assert paused.is_closed
    assert not running_threads()
