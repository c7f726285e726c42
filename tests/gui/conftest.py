"""Window tests: they need a display (xvfb-run makes one), and drive the window by mouse and keyboard only."""

from __future__ import annotations

import gc
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# A person's theme, window and preferences are neither what is tested nor to be changed; napari reads this once.
_CONFIG = tempfile.TemporaryDirectory(prefix="napari-lot-tests-")
os.environ["NAPARI_CONFIG"] = str(Path(_CONFIG.name) / "settings.yaml")

NO_DISPLAY = "no display: run the window's tests under xvfb-run (make test does)"
HAS_DISPLAY = sys.platform in ("win32", "darwin") or bool(
    os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.gui)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gui") and Path(__file__).parent in item.path.parents and not HAS_DISPLAY:
        if os.environ.get("CI") == "true":
            pytest.fail(NO_DISPLAY, pytrace=False)
        pytest.skip(NO_DISPLAY)


@pytest.fixture(scope="session", autouse=True)
def warmed_up() -> None:
    """What the first workbench of a process lets a thread do once is done, so that no test ends before it is."""
    from napari_lot.gui.canvas.drawings import warm_up

    if HAS_DISPLAY:
        warm_up()


@pytest.fixture(autouse=True)
def nothing_is_compiled_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes a core; tests/test_warm_up.py has a test of its own."""
    monkeypatch.setattr("napari_lot.gui.workbench.compile_beside", lambda: None)


class Hand:
    """A person's mouse and keyboard on visible, enabled widgets."""

    def __init__(self, qtbot: Any) -> None:
        self.qtbot = qtbot

    def reach(self, widget: Any) -> None:
        """Scroll to a widget and see that it can be used."""
        from qtpy.QtWidgets import QScrollArea

        scroll = widget.parentWidget()
        while scroll is not None and not isinstance(scroll, QScrollArea):
            scroll = scroll.parentWidget()

        def in_view() -> bool:
            # Panels above may still be growing: scroll again until it stays in view.
            if scroll is not None:
                scroll.ensureWidgetVisible(widget)
            return widget.isVisible() and not widget.visibleRegion().isEmpty()

        self.qtbot.wait(30)
        self.qtbot.waitUntil(in_view, timeout=3000)
        self.qtbot.wait(20)
        assert in_view(), f"{widget.objectName()} is not in view"
        assert widget.isEnabled(), f"{widget.objectName()} is disabled: {widget.toolTip()}"

    def click(self, widget: Any, position: Any = None) -> None:
        from qtpy.QtCore import QPoint, Qt
        from qtpy.QtTest import QTest

        self.reach(widget)
        place = position if position is not None else QPoint()
        QTest.mouseClick(widget, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, place)
        self.qtbot.wait(20)

    def tick(self, box: Any) -> None:
        """Click the square of a check box, which may be narrower than the widget."""
        from qtpy.QtCore import QPoint

        self.click(box, QPoint(8, box.height() // 2))

    def type(self, widget: Any, text: str, enter: bool = True) -> None:
        """Replace what stands in a field."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        self.click(widget)
        QTest.keyClick(widget, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
        QTest.keyClick(widget, Qt.Key.Key_Delete)
        QTest.keyClicks(widget, text)
        if enter:
            QTest.keyClick(widget, Qt.Key.Key_Return)
        self.qtbot.wait(20)

    def choose(self, combo: Any, text: str) -> None:
        """Walk a closed combo box with the arrow keys."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        self.reach(combo)
        target = combo.findText(text)
        assert target >= 0, f"{text!r} is not offered"
        combo.setFocus()
        while combo.currentIndex() != target:
            before = combo.currentIndex()
            QTest.keyClick(combo, Qt.Key.Key_Down if target > before else Qt.Key.Key_Up)
            assert combo.currentIndex() != before
        self.qtbot.wait(20)

    def until(self, condition: Callable[[], bool], seconds: float = 30.0) -> None:
        """Wait for it; with three times as many processes as cores a window takes ten seconds for what takes one."""
        self.qtbot.waitUntil(condition, timeout=int(1000 * seconds))


@pytest.fixture(autouse=True)
def own_autosaves(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test meets the autosaves of another, or of the person who runs it."""
    folder = tmp_path_factory.mktemp("autosaves")
    monkeypatch.setattr("napari_lot.session.leftovers.autosave_folder", lambda: folder)
    return folder


@pytest.fixture(autouse=True)
def no_question(monkeypatch: pytest.MonkeyPatch) -> None:
    """A question that a test does not expect would wait for ever; it fails instead, and is answered by no."""
    from qtpy.QtWidgets import QMessageBox

    def asked(parent: Any, title: str, question: str, *_: Any) -> Any:
        raise AssertionError(f"asked: {question}")

    monkeypatch.setattr(QMessageBox, "question", asked)


@pytest.fixture
def hand(qtbot: Any) -> Hand:
    return Hand(qtbot)


@pytest.fixture
def viewer(qtbot: Any) -> Iterator[Any]:
    """A visible napari viewer; afterwards no thread, timer or widget of ours may be left."""
    import napari
    from napari.utils.notifications import notification_manager

    notification_manager.records.clear()
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1280, 800)
    window = viewer.window._qt_window
    qtbot.waitExposed(window)

    def active() -> bool:
        # Without a window manager nobody else does it, and no field would have the focus; the X server does not hear
        # of it before it has put the window on the screen.
        window.activateWindow()
        return bool(window.isActiveWindow())

    try:
        qtbot.waitUntil(active, timeout=15_000)
    except BaseException:
        viewer.close()
        raise
    yield viewer
    if is_open(viewer):
        viewer.close()
    qtbot.wait(50)
    gc.collect()
    assert not running_threads()

    def all_gone() -> None:
        left = [w for w in our_widgets() if w.isVisible() or w.isWindow()]
        assert not left, f"of a closed viewer there are still {left}"

    qtbot.waitUntil(all_gone, timeout=3000)


def is_open(viewer: Any) -> bool:
    """Whether neither a test nor a person has closed it."""
    try:
        return hasattr(viewer.window, "_qt_window") and bool(viewer.window._qt_window.isVisible())
    except RuntimeError:  # Qt has deleted it
        return False


def our_widgets() -> list[Any]:
    """Every widget of a class of this package that Qt knows of."""
    from qtpy.QtWidgets import QApplication

    return [w for w in QApplication.allWidgets() if type(w).__module__.startswith("napari_lot")]


def running_threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("napari-lot")]


@pytest.fixture
def workbench(viewer: Any, qtbot: Any) -> Any:
    """The workbench as the manifest makes it, docked."""
    _, widget = viewer.window.add_plugin_dock_widget("napari-lot", "Workbench")
    qtbot.wait(50)
    return widget


@pytest.fixture
def ready(workbench: Any, hand: Any) -> Any:
    """A workbench with the sample loaded and a stand-in for the solver that goes on until it is stopped."""
    from stand_in import StandInJob
    from steps import child, open_step

    workbench.run.make_job = lambda series, settings: StandInJob(series, settings, step_s=0.05, steps=10_000)
    hand.click(child(workbench, "open_sample"))
    hand.until(workbench.run.start_button.isEnabled)
    open_step(workbench, hand, "run")
    return workbench


@pytest.fixture
def notified(viewer: Any) -> Callable[[], list[str]]:
    """Messages that napari has shown since the viewer opened."""
    from napari.utils.notifications import notification_manager

    return lambda: [record.message for record in notification_manager.records]
