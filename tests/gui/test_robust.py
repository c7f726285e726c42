"""Viewers that are closed at a bad moment, two at once, docks that come and go: nothing of ours stays behind."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import is_open, our_widgets, running_threads
from stand_in import StandInJob
from steps import child, open_step
from test_doubts import Likely
from test_editing import EDITING

from napari_lot.session import read_session
from napari_lot.session.leftovers import left_behind
from napari_lot.simulate.images import simulate_series
from napari_lot.simulate.particles import amorphous_sphere

pytestmark = pytest.mark.slow  # part of `make test-all`


def close(viewer: Any, bench: Any, hand: Any) -> None:
    """Close a viewer as a person does, and see that nothing of its workbench goes on."""
    viewer.window._qt_window.close()
    assert bench.is_closed
    assert not running_threads()
    hand.qtbot.wait(150)
    gc.collect()
    assert not [w for w in our_widgets() if w.isVisible()]


def start(bench: Any, hand: Any) -> None:
    bench.run.make_job = lambda series, settings: Refining(series, settings, step_s=0.02, steps=10_000)
    hand.click(child(bench, "start"))
    hand.until(lambda: bench.run.plot.points > 2)


def finished(bench: Any, hand: Any, job: type[StandInJob] = StandInJob) -> None:
    """A run that has a result."""
    bench.run.make_job = lambda series, settings: job(series, settings, step_s=0.0, steps=3, knows_errors=True)
    hand.click(child(bench, "start"))
    hand.until(lambda: not bench.state.running, 30)
    assert bench.state.result is not None


class Refining(StandInJob):
    """Its orbitals are atoms from the beginning."""

    def run(self, control: Any = None) -> Any:
        for snapshot in super().run(control):
            yield replace(snapshot, stage="refine")


# -- closed at a bad moment ---------------------------------------------------------------------------------------


def test_closed_while_a_run_goes_on_its_last_state_stays(
    ready: Any, viewer: Any, hand: Any, own_autosaves: Path
) -> None:
    start(ready, hand)
    points = ready.run.plot.points
    close(viewer, ready, hand)
    (path,) = own_autosaves.iterdir()
    session = read_session(path)
    assert session.state is not None
    assert session.state.step >= points
    assert session.state.stage == "refine"
    assert len(session.orbitals) >= 247
    assert left_behind() == [path], "its window is closed: the next one of the same napari offers it"


def test_closed_during_a_pause_with_an_edit_the_edit_stays(
    ready: Any, viewer: Any, hand: Any, own_autosaves: Path
) -> None:
    ready.run.make_job = lambda series, settings: StandInJob(series, settings, step_s=0.02, steps=30, pause_at=20)
    hand.click(child(ready, "start"))
    hand.until(lambda: EDITING in viewer.layers)
    viewer.layers[EDITING].add((33.0, 2.0, 1.0))
    viewer.layers[EDITING].selected_data = {3, 5}
    viewer.layers[EDITING].remove_selected()
    edited = ready.layers.editor.atoms().positions
    close(viewer, ready, hand)
    (path,) = own_autosaves.iterdir()
    state = read_session(path).state
    assert state is not None
    assert len(state.orbitals) == 246
    assert len(set(state.orbitals.id.tolist())) == 246
    np.testing.assert_allclose(state.orbitals.positions, edited, atol=1e-5)


def test_closed_while_images_are_prepared(ready: Any, viewer: Any, hand: Any) -> None:
    def slow(progress: Any) -> None:
        for i in range(2000):
            progress(i / 2000)
            time.sleep(0.01)

    prepare = ready.data.prepare
    prepare.task.start("Slow", slow, lambda value: pytest.fail("nothing may come of it"), pytest.fail)
    hand.until(lambda: prepare.task.share > 0)
    close(viewer, ready, hand)


def test_closed_while_structures_are_compared_and_measured(
    ready: Any, viewer: Any, hand: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, closing = [], threading.Event()

    def slow(*_: Any) -> None:
        began.append(True)
        assert closing.wait(30.0)

    monkeypatch.setattr("napari_lot.gui.panels.inspect.compare_box.check_hands", slow)
    monkeypatch.setattr("napari_lot.gui.panels.inspect.structure_box.analyse", slow)
    finished(ready, hand)
    open_step(ready, hand, "inspect")
    from napari_lot.series.sample import sample_truth_path

    hand.click(child(ready, "show_table"))
    hand.click(child(ready, "show_structure"))
    hand.click(child(ready, "show_compare"))
    hand.type(child(ready, "compare_path"), str(sample_truth_path()))
    hand.until(lambda: len(began) >= 2)
    threading.Timer(0.5, closing.set).start()
    close(viewer, ready, hand)


def test_closed_during_a_decision_about_a_doubtful_atom(ready: Any, viewer: Any, hand: Any) -> None:
    finished(ready, hand, Likely)
    hand.click(child(ready, "next_doubtful"))
    queue = ready.doubts.queue
    hand.until(lambda: queue.shown is not None and not queue.busy, 60)
    ready.doubts.press("delete")
    assert queue.busy
    close(viewer, ready, hand)


def test_closed_while_a_session_is_saved_the_file_is_whole(
    ready: Any, viewer: Any, hand: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_lot.gui import saving

    real = saving.write_session

    def slow(*args: Any) -> None:
        time.sleep(0.6)
        real(*args)

    monkeypatch.setattr(saving, "write_session", slow)
    finished(ready, hand)
    open_step(ready, hand, "export")
    hand.choose(child(ready, "export_kind"), "Session, HDF5")
    hand.type(child(ready, "export_path"), str(tmp_path / "a.lot.h5"), enter=False)
    hand.click(child(ready, "export_save"))
    assert ready.export.saving
    close(viewer, ready, hand)
    saved = read_session(tmp_path / "a.lot.h5").result
    assert saved is not None
    assert len(saved.orbitals) == 247


def test_a_result_that_nobody_saved_stays(ready: Any, viewer: Any, hand: Any, own_autosaves: Path) -> None:
    finished(ready, hand)
    close(viewer, ready, hand)
    (path,) = own_autosaves.iterdir()
    assert read_session(path).result is not None


def test_closed_while_the_real_solver_works(workbench: Any, viewer: Any, hand: Any) -> None:
    particle = amorphous_sphere("Pt", 11.0, 2.5, atoms=30, width_A=0.6, seed=3)
    series = simulate_series(particle, np.linspace(-70, 70, 21), 0.4, None, image_shape=(48, 52))
    workbench.state.set_series(series)
    open_step(workbench, hand, "run")
    hand.choose(child(workbench, "probe"), "direct")
    hand.type(child(workbench, "element"), "Pt")
    hand.click(child(workbench, "start"))
    hand.until(lambda: workbench.run.plot.points > 1, 60)
    close(viewer, workbench, hand)


def test_a_full_disk_is_said_once_and_the_run_goes_on(
    ready: Any, hand: Any, notified: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("napari_lot.session.autosave.write_session", full)
    start(ready, hand)
    ready.sessions.autosave.interval_s = 0.05
    hand.until(lambda: any("the autosave cannot be written (No space left" in text for text in notified()))
    shown = ready.run.plot.points
    hand.until(lambda: ready.run.plot.points > shown + 10)
    assert sum("the autosave cannot be written" in text for text in notified()) == 1
    hand.click(child(ready, "finish"))
    hand.until(lambda: not ready.state.running)
    assert len(ready.state.result.orbitals) == 247


# -- layers that are deleted --------------------------------------------------------------------------------------


def test_layers_deleted_in_mid_run_come_back_and_the_result_is_whole(ready: Any, viewer: Any, hand: Any) -> None:
    start(ready, hand)
    hand.until(lambda: {"Measured", "Calculated", "Atoms"} <= {layer.name for layer in viewer.layers})
    for gone in ("Atoms", "Calculated", "Measured"):
        shown = ready.run.plot.points
        viewer.layers.selection = {viewer.layers[gone]}
        viewer.layers.remove_selected()
        hand.until(lambda shown=shown: ready.run.plot.points > shown + 3)
        assert ready.state.running, f"the run goes on without {gone}"
    viewer.layers.clear()
    shown = ready.run.plot.points
    hand.until(lambda: ready.run.plot.points > shown + 3)
    hand.click(child(ready, "finish"))
    hand.until(lambda: not ready.state.running)
    assert ready.state.result is not None
    assert len(ready.state.result.orbitals) == 247
    assert {"Measured", "Calculated", "Residual", "Atoms"} <= {layer.name for layer in viewer.layers}
    np.testing.assert_allclose(viewer.layers["Atoms"].data, ready.state.result.orbitals.positions[:, ::-1], atol=1e-5)


def running_fits() -> int:
    return sum(thread.name == "napari-lot reconstruction" for thread in running_threads())


# -- two viewers --------------------------------------------------------------------------------------------------


@pytest.fixture
def second(qtbot: Any, viewer: Any) -> Iterator[Any]:
    """Another viewer beside the first."""
    import napari

    other = napari.Viewer(show=True)
    qtbot.waitExposed(other.window._qt_window)
    yield other
    if is_open(other):
        other.close()
    qtbot.wait(50)


def test_two_viewers_run_side_by_side_and_one_closes(
    ready: Any, viewer: Any, second: Any, hand: Any, own_autosaves: Path
) -> None:
    _, other = second.window.add_plugin_dock_widget("napari-lot", "Workbench")
    hand.qtbot.wait(50)
    hand.click(child(other, "open_sample"))
    hand.until(other.run.start_button.isEnabled)
    open_step(other, hand, "run")
    start(ready, hand)
    start(other, hand)
    assert other.layers.atoms.spheres.layer in second.layers
    assert other.layers.atoms.spheres.layer not in viewer.layers
    assert running_fits() == 2
    hand.click(child(ready, "pause"))
    hand.until(lambda: ready.run.runner.control.is_paused)
    assert not other.run.runner.control.is_paused
    viewer.window._qt_window.close()
    assert ready.is_closed
    assert not other.is_closed
    points = other.run.plot.points
    hand.until(lambda: other.run.plot.points > points + 3)
    assert running_fits() == 1
    hand.click(child(other, "finish"))
    hand.until(lambda: not other.state.running)
    assert len(other.state.result.orbitals) == 247
    other.sessions.autosave.wait()
    assert len(list(own_autosaves.iterdir())) == 2, "each run has a file of its own"
    second.window._qt_window.close()
    assert other.is_closed


# -- the dock comes and goes --------------------------------------------------------------------------------------


def close_dock(bench: Any, hand: Any) -> None:
    """The cross in the title bar of the dock."""
    dock = bench.parent()
    while not hasattr(dock, "destroyOnClose"):
        dock = dock.parent()
    dock.destroyOnClose()
    hand.qtbot.wait(100)
    assert bench.is_closed
    assert not running_threads()


def test_a_closed_dock_opens_again_and_the_layers_stay(ready: Any, viewer: Any, hand: Any) -> None:
    keys = dict(ready.viewer.keymap)
    finished(ready, hand)
    layers = {layer.name: layer for layer in viewer.layers}
    assert {"Measured", "Calculated", "Residual", "Atoms"} <= layers.keys()
    close_dock(ready, hand)
    assert not viewer.keymap, f"keys that were bound: {keys}"
    assert {layer.name: layer for layer in viewer.layers} == layers
    _, again = viewer.window.add_plugin_dock_widget("napari-lot", "Workbench")
    hand.qtbot.wait(50)
    assert again is not ready
    assert viewer.keymap.keys() == keys.keys()
    hand.click(child(again, "open_sample"))
    hand.until(again.run.start_button.isEnabled)
    open_step(again, hand, "run")
    finished(again, hand)
    assert again.layers.atoms.spheres.layer in viewer.layers
    for view in ("images", "markers", "atoms"):
        hand.click(child(again, f"view_{view}"))
        assert again.layers.view == view


def test_a_closed_workbench_leaves_no_key_and_no_listener(ready: Any, viewer: Any, hand: Any) -> None:
    finished(ready, hand)
    close_dock(ready, hand)
    assert not viewer.keymap
    for emitter in (
        viewer.layers.events.inserted,
        viewer.layers.events.removed,
        viewer.dims.events.current_step,
        viewer.dims.events.ndisplay,
        viewer.dims.events.axis_labels,
        viewer.events.theme,
    ):
        ours = [owner for owner in map(owner_of, emitter.callbacks) if owner.__module__.startswith("napari_lot")]
        assert not ours


def owner_of(callback: Any) -> Any:
    """The class of the object that a callback of napari's events belongs to; most are pairs (weak object, name)."""
    target = callback[0] if isinstance(callback, tuple) else callback
    return type(target() if isinstance(target, weakref.ref) else target)
