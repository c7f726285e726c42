"""A hand on the mouse and the keyboard, and a camera."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

import napari
import numpy as np
from PIL import Image
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QAbstractSpinBox, QApplication, QCheckBox, QComboBox, QLineEdit, QPushButton, QWidget

from napari_lot.gui.workbench import Workbench

LIMIT_BYTES = 299_000


class Guide:
    """Walks through the window of one viewer and saves what is seen.

    Parameters
    ----------
    out : path
        Folder of the pictures.
    width, height : int
        Of the window, in pixels.
    only : iterable of str
        Names of the pictures to save; all where it is empty.
    """

    def __init__(self, out: Path, width: int, height: int, only: Iterable[str] = ()) -> None:
        self.out, self.only = out, set(only)
        out.mkdir(parents=True, exist_ok=True)
        self.viewer = napari.Viewer(show=True)
        self.viewer.window.resize(width, height)
        _, self.bench = self.viewer.window.add_plugin_dock_widget("napari-lot", "Workbench")
        assert isinstance(self.bench, Workbench)
        self.failures: list[str] = []
        self.bench.state.failed.connect(self.failures.append)
        self.wait(0.5)

    # -- wait -------------------------------------------------------------------------------------------------

    def wait(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Let the window live until something holds, or for some seconds; whether it holds."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not until():
            QApplication.processEvents()
            time.sleep(0.01)
        return until()

    def must(self, seconds: float, until: Callable[[], bool], what: str) -> None:
        """Wait for something that has to come."""
        if not self.wait(seconds, until):
            raise RuntimeError(f"{what}: not within {seconds:g} s. {' '.join(self.failures)}")

    # -- mouse and keyboard -----------------------------------------------------------------------------------

    def widget(self, name: str, inside: QWidget | None = None) -> QWidget:
        found = (inside or self.bench).findChild(QWidget, name)
        assert found is not None, name
        return found

    def reach(self, name: str, inside: QWidget | None = None) -> QWidget:
        """A widget that can be used, scrolled into view."""
        widget = self.widget(name, inside)
        self.bench.scroll.ensureWidgetVisible(widget)
        self.wait(0.15)
        self.bench.scroll.ensureWidgetVisible(widget)
        assert widget.isVisible(), f"{name} is hidden"
        assert widget.isEnabled(), f"{name} is disabled: {widget.toolTip()}"
        return widget

    def click(self, name: str, inside: QWidget | None = None) -> None:
        button = self.reach(name, inside)
        place = QPoint(8, button.height() // 2) if isinstance(button, QCheckBox) else QPoint()
        assert isinstance(button, QPushButton | QCheckBox), name
        QTest.mouseClick(button, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, place)
        self.wait(0.2)

    def type(self, name: str, text: str) -> None:
        field = self.reach(name)
        assert isinstance(field, QLineEdit | QAbstractSpinBox), name
        field.setFocus()
        QTest.keyClick(field, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
        QTest.keyClicks(field, text)
        QTest.keyClick(field, Qt.Key.Key_Return)
        self.wait(0.2)

    def choose(self, name: str, text: str) -> None:
        box = self.reach(name)
        assert isinstance(box, QComboBox)
        assert box.findText(text) >= 0, f"{text} is not offered"
        box.setFocus()
        while box.currentText() != text:
            QTest.keyClick(box, Qt.Key.Key_Down if box.findText(text) > box.currentIndex() else Qt.Key.Key_Up)
        self.wait(0.2)

    def key(self, key: Qt.Key) -> None:
        """A key with the focus on the canvas."""
        self.canvas.setFocus()
        QTest.keyClick(self.canvas, key)
        self.wait(0.2)

    @property
    def canvas(self) -> QWidget:
        return self.viewer.window._qt_viewer.canvas.native

    def on_canvas(self, v_A: float, u_A: float) -> QPoint:
        """Where a point of the images is, in a 2-D view without a grid."""
        middle = np.array([self.canvas.height(), self.canvas.width()]) / 2
        camera = self.viewer.scene.camera
        y, x = middle + (np.array([v_A, u_A]) - np.array(camera.center)[-2:]) * camera.zoom
        return QPoint(round(x), round(y))

    def drag(self, places_A: Iterable[tuple[float, float]]) -> None:
        """The left button held down along some points of the images, in Å."""
        points = [self.on_canvas(*place) for place in places_A]
        left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton

        def send(kind: QEvent.Type, point: QPoint, button: Qt.MouseButton, held: Qt.MouseButton) -> None:
            there = QPointF(point), QPointF(self.canvas.mapToGlobal(point))
            event = QMouseEvent(kind, *there, button, held, Qt.KeyboardModifier.NoModifier)
            QApplication.sendEvent(self.canvas, event)
            self.wait(0.05)

        send(QEvent.Type.MouseMove, points[0], none, none)
        send(QEvent.Type.MouseButtonPress, points[0], left, left)
        for point in points[1:]:
            send(QEvent.Type.MouseMove, point, none, left)
        send(QEvent.Type.MouseButtonRelease, points[-1], left, none)

    # -- the five steps ---------------------------------------------------------------------------------------

    def open(self, *steps: str) -> None:
        """Open some steps and close the others, by their headings."""
        for name, section in self.bench.sections.items():
            if section.isExpanded() != (name in steps):
                self.bench.scroll.ensureWidgetVisible(section.toggleButton())
                QTest.mouseClick(section.toggleButton(), Qt.MouseButton.LeftButton)
                self.wait(0.3)

    def scroll_to(self, name: str) -> None:
        """Bring a step, or a widget of one, to the top of the dock."""
        self.wait(0.3)
        inside = self.bench.scroll.widget()
        widget = self.bench.sections.get(name) or self.widget(name)
        self.bench.scroll.verticalScrollBar().setValue(widget.mapTo(inside, QPoint(0, 0)).y() - 2)
        self.wait(0.3)

    # -- the camera -------------------------------------------------------------------------------------------

    def shot(self, name: str) -> None:
        if self.only and name not in self.only:
            return
        self.wait(0.6)
        path = self.out / f"{name}.png"
        picture = self.viewer.screenshot(canvas_only=False, flash=False)
        image = Image.fromarray(picture[..., :3])
        image.save(path, optimize=True)
        if path.stat().st_size > LIMIT_BYTES:
            few = image.quantize(256, method=Image.Quantize.MAXCOVERAGE)  # keeps rare colours, as of a small mark
            few.save(path, optimize=True)
        print(f"{path}  {path.stat().st_size // 1000} kB", flush=True)

    def close(self) -> None:
        self.viewer.close()
        self.wait(0.3)
