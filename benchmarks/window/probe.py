"""How long from a changed value to a drawn probe, through the real window:

    xvfb-run -a -s "-screen 0 1600x1200x24 +extension GLX" python -m benchmarks.window probe [--changes 20]

Presses the arrow keys in the Defocus field while the probe's slices are shown, and waits until the canvas has drawn the
new ones. Prints the median and the longest time in ms. 128 x 128 pixels at 41 depths.
"""

from __future__ import annotations

import argparse
import time

import napari
import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_lot.gui.canvas.views import PROBE
from napari_lot.settings import Microscope

SHORTEST_REST_S = 0.3
LONGEST_S = 5.0


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--changes", type=int, default=20, help="how often a value is changed (default 20)")


def measure(options: argparse.Namespace) -> None:
    """Change values, and time each until it is drawn."""
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1280, 800)
    _, bench = viewer.window.add_plugin_dock_widget("napari-lot", "Workbench")
    bench.state.microscope = Microscope(energy_eV=300e3, semiangle_mrad=25.0)
    bench.sections["data"].close_up()
    bench.sections["probe"].open()

    def wait(seconds: float, until: object = None) -> None:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end and not (callable(until) and until()):
            QApplication.processEvents()
            time.sleep(0.0005)

    wait(2.0)
    bench.layers.look_at("probe")
    wait(2.0)
    canvas = viewer.window._qt_viewer.canvas._scene_canvas
    layer = viewer.layers[PROBE]
    drawn: list[float] = []
    fresh: list[float] = []
    canvas.events.draw.connect(lambda event: drawn.append(time.perf_counter()), position="last")
    layer.events.set_data.connect(lambda event: fresh.append(time.perf_counter()))
    box = bench.probe.form.fields["defocus_A"].native
    times = []
    for k in range(options.changes):
        wait(SHORTEST_REST_S)
        drawn.clear()
        fresh.clear()
        began = time.perf_counter()
        QTest.keyClick(box, Qt.Key.Key_Up if k % 10 < 5 else Qt.Key.Key_Down)
        wait(LONGEST_S, lambda: fresh and drawn and drawn[-1] > fresh[-1])
        if not (fresh and drawn and drawn[-1] > fresh[-1]):
            raise SystemExit(f"change {k}: nothing was drawn within {LONGEST_S:g} s")
        times.append(1e3 * (drawn[-1] - began))
    shape = " x ".join(map(str, layer.data.shape))
    print(f"{len(times)} changes of a probe of {shape}: median {np.median(times):.0f} ms, longest {max(times):.0f} ms")
    viewer.close()
