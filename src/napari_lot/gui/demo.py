"""The sample in the window, from tilt series to atoms, by itself: what ``napari-lot demo`` shows."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from napari_lot.job import Result

RUN_TIMEOUT_S = 240.0


def run_demo(out: Path, screenshot: Path | bool = True, stay_open: bool | None = None) -> Result | None:
    """Open napari with the workbench, reconstruct the sample, save a screenshot.

    Parameters
    ----------
    out : path
        Folder for ``screenshot.png``; made when absent.
    screenshot : path or bool
        Where to save it, True for ``out / "screenshot.png"``, False for none.
    stay_open : bool, optional
        Leave the window to the person until it is closed. By default only where somebody can see it: not on a display
        that ``xvfb-run`` made.

    Returns
    -------
    Result or None
        None where the window was closed before the end.

    Raises
    ------
    RuntimeError
        The reconstruction failed, in its own words, or took longer than four minutes.
    """
    import napari
    from qtpy.QtWidgets import QApplication

    from napari_lot.gui.workbench import Workbench

    if stay_open is None:
        stay_open = display_is_seen()
    out.mkdir(parents=True, exist_ok=True)
    target = out / "screenshot.png" if screenshot is True else screenshot
    viewer = napari.Viewer(title="napari-lot demo", show=True)
    viewer.window.resize(1440, 960)
    workbench = Workbench(viewer)
    viewer.window.add_dock_widget(workbench, name="Workbench", area="right")
    failures: list[str] = []
    workbench.state.failed.connect(failures.append)

    def wait(done: Callable[[], bool], seconds: float) -> bool:
        until = time.monotonic() + seconds
        while not done() and time.monotonic() < until and not workbench.is_closed:
            QApplication.processEvents()
            time.sleep(0.01)
        return done()

    try:
        workbench.data.source.sample.click()
        wait(lambda: workbench.run.start_button.isEnabled(), 10)
        workbench.run.start_button.click()
        ended = wait(lambda: not workbench.state.running, RUN_TIMEOUT_S)
        if workbench.is_closed:
            return None
        if failures:
            raise RuntimeError(failures[0])
        if not ended:
            raise RuntimeError(f"The reconstruction did not end within {RUN_TIMEOUT_S:.0f} s.")
        wait(lambda: False, 0.5)  # let the last layers be drawn
        if target:
            viewer.screenshot(path=str(target), canvas_only=False, flash=False)
        if stay_open:
            napari.run()
        return workbench.state.result
    finally:
        if not workbench.is_closed:
            workbench.shutdown()
            viewer.close()


def display_is_seen() -> bool:
    """Whether a person can see the display: xvfb-run leaves its mark in XAUTHORITY."""
    if sys.platform in ("win32", "darwin"):
        return True
    if "xvfb-run" in os.environ.get("XAUTHORITY", ""):
        return False
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
