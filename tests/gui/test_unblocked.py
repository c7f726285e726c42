"""The window answers while much is being shown: what takes long is done in turns, and nothing is done twice."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.layers import Image, Points
from qtpy.QtCore import QEvent, QObject, QTimer
from qtpy.QtWidgets import QApplication, QWidget
from stand_in import StandInJob
from steps import child

from napari_lot.gui.canvas.garbage import Garbage
from napari_lot.gui.canvas.layers import WorkbenchLayers
from napari_lot.gui.forms.widgets import Bar
from napari_lot.gui.work.task import Task
from napari_lot.series.sample import load_sample
from napari_lot.session import Session, write_session
from napari_lot.settings import Settings

pytestmark = pytest.mark.slow  # part of `make test-all`


class Turns(QObject):
    """Counts the turns of the event loop, and in which of them layers came."""

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self.now = 0
        self.came: dict[str, int] = {}
        viewer.layers.events.inserted.connect(lambda event: self.came.setdefault(event.value.name, self.now))
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._count)
        self._timer.start(0)

    def _count(self) -> None:
        self.now += 1


class Painted(QObject):
    """Counts how often a widget is painted."""

    def __init__(self, widget: Any) -> None:
        super().__init__()
        self.times = 0
        widget.installEventFilter(self)

    def eventFilter(self, watched: Any, event: Any) -> bool:
        self.times += event.type() == QEvent.Type.Paint
        return False


def finished() -> Any:
    """A result of the sample."""
    job = StandInJob(load_sample(), Settings(), step_s=0.0, steps=2)
    for _ in job.run():
        pass
    assert job.result is not None
    return job.result


def canvas_of(viewer: Any) -> Any:
    """The widget that shows the layers."""
    children = viewer.window._qt_window.findChildren(QWidget)
    return next(widget for widget in children if widget.inherits("QOpenGLWidget"))


def test_a_session_opens_with_turns_of_the_event_loop_between_its_layers(
    workbench: Any, viewer: Any, hand: Any, tmp_path: Path
) -> None:
    path = tmp_path / "whole.lot.h5"
    write_session(path, Session(load_sample(), Settings(), finished(), view={"view": "images", "tilt": 3}))
    turns = Turns(viewer)
    seen = []
    viewer.dims.events.ndisplay.connect(lambda event: seen.append(viewer.dims.ndisplay))
    workbench.sessions.open(path)
    assert workbench.state.reading, "nothing else can be opened, and no run begin, before all is shown"
    hand.until(lambda: not workbench.state.reading)
    came = [turns.came[name] for name in ("Measured", "Calculated", "Residual", "Atoms")]
    assert len(set(came)) == 4, came
    assert seen == [], "it was saved with its images shown: nothing turns to 3-D and back"
    assert (workbench.layers.view, workbench.layers.tilt) == ("images", 3)


def test_what_a_run_leaves_comes_in_turns(ready: Any, viewer: Any, hand: Any) -> None:
    ready.run.make_job = lambda series, settings: StandInJob(series, settings, step_s=0.0, steps=2)
    turns = Turns(viewer)
    hand.click(child(ready, "start"))
    hand.until(lambda: ready.state.result is not None)
    came = [turns.came[name] for name in ("Atoms", "Calculated", "Residual")]
    assert len(set(came)) == 3, came


def test_a_window_that_closes_in_the_middle_of_showing_a_result_keeps_it(ready: Any, hand: Any) -> None:
    ready.run.make_job = lambda series, settings: StandInJob(series, settings, step_s=0.0, steps=2)
    hand.click(child(ready, "start"))
    hand.until(lambda: ready.run._turns.under_way and not ready.run.runner.is_alive)
    ended: list[Any] = []
    ready.run.on_end = ended.append
    ready.shutdown()
    if not ended:  # it was the turn of a snapshot: the run ends as any that a window leaves
        assert ready.state.result is None
    else:
        assert ended[0].result is ready.state.result


def test_a_run_whose_result_cannot_be_shown_is_over(
    ready: Any, hand: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*args: Any) -> Iterator[None]:
        yield
        raise RuntimeError("no")

    ready.run.make_job = lambda series, settings: StandInJob(series, settings, step_s=0.0, steps=2)
    monkeypatch.setattr(ready.layers, "show_result_in_turns", fails)
    with qtbot.captureExceptions() as raised:
        hand.click(child(ready, "start"))
        hand.until(lambda: bool(raised))
    assert not ready.state.running
    assert [str(error[1]) for error in raised] == ["no"]


def test_no_layer_is_added_whose_contrast_napari_has_to_look_for(viewer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would look at all pixels of a stack."""

    def looks(self: Any, *args: Any, **kwargs: Any) -> None:
        raise AssertionError(f"{self} looks for its contrast")

    monkeypatch.setattr(Image, "_calc_data_range", looks)
    layers = WorkbenchLayers(viewer)
    layers.show_series(load_sample())
    layers.show_result(finished(), 2.8)
    layers.show_series(load_sample())
    layers.close()


def test_the_canvas_is_drawn_once_after_many_changes(viewer: Any, qtbot: Any) -> None:
    layers = WorkbenchLayers(viewer)
    layers.show_series(load_sample())
    layers.show_result(finished(), 2.8)
    qtbot.wait(300)
    painted = Painted(canvas_of(viewer))
    viewer.window._qt_window.resize(900, 700)
    QApplication.processEvents()
    assert painted.times, "it would be seen"
    for view in ("images", "atoms", "markers"):
        drawn = []
        draw = viewer.window._qt_viewer.canvas._scene_canvas.events.draw
        draw.connect(drawn.append)
        layers.look_at(view)
        assert drawn == [], view
        qtbot.wait(200)
        assert drawn, view
        draw.disconnect(drawn.append)
    layers.close()


def test_the_search_for_garbage_passes_over_what_was_there(viewer: Any, qtbot: Any) -> None:
    before = gc.get_freeze_count()
    old = viewer.add_layer(Image(np.zeros((9, 9)), name="old"))
    garbage = Garbage(viewer)
    try:
        assert gc.get_freeze_count() > before + 100_000
        new = viewer.add_layer(Image(np.zeros((9, 9)), name="new"))
        gone = weakref.ref(new)
        del new
        viewer.layers.remove("new")
        qtbot.wait(50)
        gc.collect()
        assert gc.get_freeze_count() > before + 100_000
        assert gone() is None, "what came later is searched as ever"
        gone = weakref.ref(old)
        del old
        viewer.layers.remove("old")
        qtbot.wait(50)
        gc.collect()
        assert gone() is None, "a layer of before is waited for"
        qtbot.waitUntil(lambda: gc.get_freeze_count() > before + 100_000)
    finally:
        garbage.close()
    assert gc.get_freeze_count() == before


def test_layers_out_of_place_move_and_others_do_not(viewer: Any) -> None:
    layers = WorkbenchLayers(viewer)
    layers.show_series(load_sample())
    layers.show_result(finished(), 2.8)
    wanted = [layer.name for layer in viewer.layers]
    other = viewer.add_layer(Points(np.zeros((1, 3)), name="other"))
    moved: list[Any] = []
    viewer.layers.events.moved.connect(moved.append)
    layers.views.order()
    assert [layer.name for layer in viewer.layers] == ["other", *wanted]
    del moved[:]
    layers.views.order()
    assert moved == []
    viewer.layers.move(len(wanted), 1)  # the last of ours to the bottom of ours
    del moved[:]
    layers.views.order()
    assert [layer.name for layer in viewer.layers] == ["other", *wanted]
    viewer.layers.move(viewer.layers.index(other), 3)
    layers.views.order()
    assert [layer.name for layer in viewer.layers] == ["other", *wanted]
    layers.close()


def test_a_bar_is_not_drawn_at_once(qtbot: Any) -> None:
    bar = Bar()
    qtbot.addWidget(bar)
    bar.show()
    qtbot.waitExposed(bar)
    qtbot.wait(50)
    painted = Painted(bar)
    bar.setRange(0, 7)
    bar.setValue(6)
    assert painted.times == 0
    qtbot.waitUntil(lambda: painted.times > 0)


def shown(log: list[Any], turns: int) -> Iterator[None]:
    for i in range(turns):
        log.append(i)
        yield
    log.append("end")


def test_a_task_shows_in_turns_and_is_under_way_until_the_last(qtbot: Any) -> None:
    log: list[Any] = []
    task = Task("test")
    task.changed.connect(lambda: log.append("running" if task.running else "idle"))
    task.start("Trying", lambda progress: 3, lambda n: shown(log, n), log.append)
    assert task.running
    assert not task.start("Trying", lambda progress: 3, lambda n: None, log.append)
    qtbot.waitUntil(lambda: not task.running)
    assert log == ["running", 0, 1, 2, "end", "idle"]


def test_a_cancelled_task_shows_nothing_by_halves(qtbot: Any) -> None:
    log: list[Any] = []
    task = Task("test")
    task.start("Trying", lambda progress: 3, lambda n: shown(log, n), log.append)
    qtbot.waitUntil(lambda: 0 in log)
    task.cancel()
    assert log == [0, 1, 2, "end"]
    assert not task.running


def test_a_task_whose_showing_fails_is_over(qtbot: Any) -> None:
    def fails() -> Iterator[None]:
        yield
        raise RuntimeError("no")

    task = Task("test")
    with qtbot.captureExceptions() as raised:
        task.start("Trying", lambda progress: 3, lambda n: fails(), lambda sentence: None)
        qtbot.waitUntil(lambda: not task.running)
    assert [str(error[1]) for error in raised] == ["no"]
