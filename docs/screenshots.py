"""Take the screenshots of the documentation: every step of the window on the sample, with the real solver.

    xvfb-run -a -s "-screen 0 1600x1200x24 +extension GLX" python docs/screenshots.py

Writes docs/screenshots/*.png (in 256 colours where that is needed to stay under 300 kB). ``--size 1280x720`` checks a
small screen, ``--out`` writes elsewhere.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import napari
from PIL import Image
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QComboBox, QPushButton, QWidget

from napari_lot.gui.workbench import Workbench

HERE = Path(__file__).parent / "screenshots"
LIMIT_BYTES = 290_000


class Tour:
    """Walks through the window and saves what is seen."""

    def __init__(self, out: Path, width: int, height: int) -> None:
        self.out = out
        out.mkdir(parents=True, exist_ok=True)
        self.viewer = napari.Viewer(show=True)
        self.viewer.window.resize(width, height)
        _, self.bench = self.viewer.window.add_plugin_dock_widget("napari-lot", "Workbench")
        assert isinstance(self.bench, Workbench)
        self.wait(0.5)

    def wait(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not until():
            QApplication.processEvents()
            time.sleep(0.01)

    def widget(self, name: str) -> QWidget:
        found = self.bench.findChild(QWidget, name)
        assert found is not None, name
        return found

    def click(self, name: str) -> None:
        button = self.widget(name)
        assert isinstance(button, QPushButton)
        self.bench.scroll.ensureWidgetVisible(button)
        self.wait(0.1)
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)
        self.wait(0.2)

    def choose(self, name: str, text: str) -> None:
        box = self.widget(name)
        assert isinstance(box, QComboBox)
        assert box.findText(text) >= 0, f"{text} is not offered"
        box.setFocus()
        while box.currentText() != text:
            QTest.keyClick(box, Qt.Key.Key_Down if box.findText(text) > box.currentIndex() else Qt.Key.Key_Up)
        self.wait(0.2)

    def toggle(self, step: str) -> None:
        QTest.mouseClick(self.bench.sections[step].toggleButton(), Qt.MouseButton.LeftButton)
        self.wait(0.2)

    def scroll_to(self, step: str) -> None:
        self.wait(0.2)
        self.bench.scroll.verticalScrollBar().setValue(self.bench.sections[step].y())
        self.wait(0.2)

    def shot(self, name: str) -> None:
        self.wait(0.6)
        path = self.out / f"{name}.png"
        picture = self.viewer.screenshot(canvas_only=False, flash=False)
        image = Image.fromarray(picture[..., :3])
        image.save(path, optimize=True)
        if path.stat().st_size > LIMIT_BYTES:
            image.quantize(256, kmeans=2).save(path, optimize=True)
        print(f"{path}  {path.stat().st_size // 1000} kB")

    def walk(self) -> None:
        bench = self.bench
        self.shot("0_start")
        self.click("open_sample")
        self.wait(1.0)
        self.shot("1_data")
        self.toggle("data")
        self.click("view_probe")
        self.shot("2_probe")
        self.toggle("probe")
        self.toggle("run")
        self.click("view_images")
        self.click("start")
        self.wait(120, lambda: bench.run.progress.maximum() > 0 and bench.run.progress.value() > 12)
        self.scroll_to("run")
        self.shot("3_running")
        self.wait(400, lambda: not bench.state.running)
        self.scroll_to("run")
        self.shot("4_atoms")
        self.choose("color_by", "error bar")
        self.scroll_to("inspect")
        self.shot("8_error_bars")
        self.choose("color_by", "height")
        self.click("view_images")
        self.scroll_to("inspect")
        self.shot("5_images")
        self.click("view_markers")
        self.shot("6_overlay")
        self.click("view_atoms")
        self.scroll_to("export")
        self.shot("7_export")
        self.viewer.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--size", default="1280x800", help="width x height of the window in pixels")
    arguments = parser.parse_args()
    width, height = (int(n) for n in arguments.size.split("x"))
    Tour(arguments.out, width, height).walk()


if __name__ == "__main__":
    main()
