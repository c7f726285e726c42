"""What a decision about a doubtful atom costs the window's own thread."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from napari_lot.job import Result
from napari_lot.series.tilt_series import TiltSeries

VIEWS = ("atoms", "images", "markers")
PATIENCE_S = 120.0


def measure(series: TiltSeries, result: Result, spacing_A: float, decisions: int) -> None:
    """Open the window on a result, walk, keep, delete, undo and move in each view, and print what each costs.

    The thread of the window must not be busy for long: told are the processor time that it spends on a key and all
    that follows from it (drawing included: on software OpenGL that is most of it in 3-D), and the most at one time.
    """
    import napari
    from qtpy.QtWidgets import QApplication

    viewer = napari.Viewer(show=True)
    viewer.window.resize(1280, 800)
    _, bench = viewer.window.add_plugin_dock_widget("napari-lot", "Workbench")
    bench.state.set_series(series)
    bench.layers.show_result(result, spacing_A)
    bench.layers.settle_atoms()
    bench.state.keep(result)
    panel, queue = bench.doubts, bench.doubts.queue

    def settle(until: Callable[[], bool]) -> tuple[float, float]:
        """Processor time of this thread in s, and the most at one time, until something holds and all is quiet."""
        spent, longest, quiet, end = 0.0, 0.0, 0, time.perf_counter() + PATIENCE_S
        while quiet < 5 and time.perf_counter() < end:
            cpu = time.thread_time()
            QApplication.processEvents()
            used = time.thread_time() - cpu
            spent, longest = spent + used, max(longest, used)
            quiet = quiet + 1 if until() and used < 2e-3 else 0
            time.sleep(0.01)
        return spent, longest

    def settled() -> bool:
        return queue.shown is not None and queue.shown.deletion is not None and not queue.busy

    def press(name: str) -> tuple[float, float]:
        cpu = time.thread_time()
        getattr(panel, name)()
        if name == "move":
            for arrow in ("Right", "Down"):
                panel.press(arrow)
            panel.press("Enter")
        began = time.thread_time() - cpu
        spent, longest = settle(settled)
        return spent + began, max(longest, began)

    settle(lambda: True)
    press("next")
    press("delete")  # compiles
    press("undo")
    for view in VIEWS:
        bench.layers.look_at(view)
        settle(lambda: True)
        for name in ("next", "keep", "delete", "undo", "move"):
            found = np.array([press(name) for _ in range(decisions)]) * 1e3
            print(
                f"{view:8} {name:7} {np.median(found[:, 0]):5.0f} ms of the window's thread, at most "
                f"{np.median(found[:, 1]):.0f} ms at a time (worst {found[:, 1].max():.0f} ms)",
                flush=True,
            )
    viewer.close()
