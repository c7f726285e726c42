"""Long work beside the window: it goes on answering, Cancel leaves what was there, and a closed viewer ends it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import running_threads
from stand_in import StandInJob
from steps import child, open_step

from napari_lot.series import read

IMAGES = np.random.default_rng(0).random((5, 24, 24)).astype(np.float32) + 1
GAP_S = 0.2


@pytest.fixture
def path(tmp_path: Path) -> Path:
    np.savez(tmp_path / "slow.npz", images=IMAGES, angles_deg=np.linspace(-60, 60, 5), pixel_size_A=0.3)
    return tmp_path / "slow.npz"


class Slow:
    """A reader that takes its time, with a word of progress now and then or without any."""

    def __init__(self, seconds: float, tells: bool = True) -> None:
        self.seconds, self.tells = seconds, tells
        self.reader = read.READERS[".npz"]
        self.ended: list[str] = []
        self.threads: list[threading.Thread] = []

    def __call__(self, path: Path, progress: Callable[[float], None]) -> Any:
        self.threads.append(threading.current_thread())
        try:
            end = time.monotonic() + self.seconds
            while (left := end - time.monotonic()) > 0:
                if self.tells:
                    progress(1 - left / self.seconds)
                time.sleep(0.01)
        except BaseException as stopped:
            self.ended.append(type(stopped).__name__)
            raise
        self.ended.append("read")
        return self.reader(path)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Slow]:
    """Make the reader of NPZ files slow."""

    def make(*how: Any, **more: Any) -> Slow:
        reader = Slow(*how, **more)
        monkeypatch.setitem(read.READERS, ".npz", reader)
        return reader

    return make


def begin(bench: Any, hand: Any, path: Path) -> None:
    """Type a path, and see that reading has begun."""
    open_step(bench, hand, "data")
    hand.type(child(bench, "series_path"), str(path), enter=False)
    child(bench, "series_path").returnPressed.emit()


def longest_gap(hand: Any, going_on: Callable[[], bool]) -> float:
    """The longest that the window answers to nobody, in s, while something goes on."""
    from qtpy.QtWidgets import QApplication

    longest = 0.0
    while going_on():
        start = time.monotonic()
        QApplication.processEvents()
        longest = max(longest, time.monotonic() - start)
        time.sleep(0.002)
    return longest


def test_the_window_answers_while_a_series_is_read(workbench: Any, hand: Any, slow: Any, path: Path) -> None:
    reader = slow(1.5)
    began = time.monotonic()
    begin(workbench, hand, path)
    assert time.monotonic() - began < 1.2, "typing has not waited for the reader"
    bar, cancel = child(workbench, "reading_progress"), child(workbench, "cancel_reading")
    hand.until(lambda: bar.value() > 0)
    assert bar.isVisible()
    assert bar.format() == "Reading slow.npz %p%"
    assert cancel.isEnabled()
    assert "Reading slow.npz…" in workbench.sections["data"].status.accessibleName()
    for name in ("open_series", "open_sample", "series_path"):
        assert not child(workbench, name).isEnabled(), name
    assert not workbench.run.start_button.isEnabled()
    assert workbench.run.start_button.toolTip() == "Reading slow.npz: wait, or cancel."
    assert longest_gap(hand, lambda: workbench.state.reading and bar.value() < 70) < GAP_S
    hand.until(lambda: workbench.state.series is not None)
    assert reader.threads[0] is not threading.main_thread()
    assert reader.ended == ["read"]
    assert not bar.isVisible()
    assert child(workbench, "open_sample").isEnabled()


@pytest.mark.parametrize("tells", [True, False], ids=["tells", "says nothing"])
def test_cancel_leaves_the_series_that_was_open(
    ready: Any, hand: Any, slow: Any, path: Path, tells: bool, notified: Any
) -> None:
    open_step(ready, hand, "data")
    hand.type(child(ready, "pixel_size_A"), "0.31", enter=False)
    before, state = ready.state.series, ready.state.microscope
    reader = slow(1.0, tells=tells)
    begin(ready, hand, path)
    hand.until(lambda: bool(ready.state.reading))
    hand.click(child(ready, "cancel_reading"))
    assert ready.state.reading == ""
    assert not child(ready, "reading_progress").isVisible()
    assert child(ready, "open_sample").isEnabled()
    # also when a reader that could not be stopped has come to its end
    hand.until(lambda: bool(reader.ended))
    assert reader.ended == ["_Cancelled" if tells else "read"]
    hand.qtbot.wait(200)
    assert ready.state.series is before
    assert ready.state.microscope == state
    assert child(ready, "pixel_size_A").text() == "0.31 Å", "what was typed stays, too"
    assert child(ready, "series_path").text() == "", "the sample has no path"
    assert notified() == []


def test_another_series_can_be_read_at_once_after_a_cancel(workbench: Any, hand: Any, slow: Any, path: Path) -> None:
    slow(1.0, tells=False)
    begin(workbench, hand, path)
    hand.until(lambda: bool(workbench.state.reading))
    hand.click(child(workbench, "cancel_reading"))
    hand.click(child(workbench, "open_sample"))
    hand.until(lambda: workbench.state.series is not None)
    hand.qtbot.wait(1200)
    assert workbench.state.series.images.shape == (36, 114, 114)


@pytest.mark.parametrize("tells", [True, False], ids=["tells", "says nothing"])
def test_a_viewer_that_closes_while_a_series_is_read(
    workbench: Any, viewer: Any, hand: Any, slow: Any, path: Path, tells: bool
) -> None:
    reader = slow(1.0, tells=tells)
    begin(workbench, hand, path)
    hand.until(lambda: bool(workbench.state.reading))
    viewer.window._qt_window.close()
    assert workbench.is_closed
    assert not running_threads()
    assert reader.ended
    assert workbench.state.series is None


def test_a_fault_of_a_reader_is_said_and_nothing_changes(
    ready: Any, hand: Any, monkeypatch: Any, path: Path, notified: Any
) -> None:
    before = ready.state.series

    def broken(path: Path, progress: Any) -> Any:
        raise RuntimeError("boom")

    monkeypatch.setitem(read.READERS, ".npz", broken)
    begin(ready, hand, path)
    hand.until(lambda: bool(notified()))
    (sentence,) = notified()
    assert sentence.startswith("Reading slow.npz stopped because of a fault in the program (RuntimeError: boom)")
    assert ready.state.series is before
    assert child(ready, "open_sample").isEnabled()


def finished(bench: Any, hand: Any) -> None:
    bench.run.make_job = lambda series, settings: StandInJob(series, settings, step_s=0.0, steps=3)
    hand.click(child(bench, "start"))
    hand.until(lambda: bench.state.result is not None and not bench.state.running, 30)


def test_a_failed_save_names_what_was_saved(
    ready: Any, hand: Any, monkeypatch: Any, tmp_path: Path, notified: Any
) -> None:
    finished(ready, hand)
    open_step(ready, hand, "export")
    for error, says in (
        (RuntimeError("boom"), "Saving mine.xyz stopped because of a fault in the program (RuntimeError: boom)"),
        (MemoryError(), "Saving mine.xyz ran out of memory"),
        (OSError(28, "No space left on device", "/full/mine.xyz"), "Saving mine.xyz failed: /full/mine.xyz cannot be"),
    ):

        def fail(*what: Any, error: BaseException = error) -> None:
            raise error

        monkeypatch.setattr("napari_lot.gui.panels.export.save", fail)
        hand.type(child(ready, "export_path"), str(tmp_path / "mine.xyz"), enter=False)
        hand.click(child(ready, "export_save"))
        hand.until(lambda: not ready.export.saving)
        assert notified()[-1].startswith(says)
        assert "reconstruction" not in notified()[-1]


def test_a_cancelled_save_leaves_nothing(ready: Any, hand: Any, monkeypatch: Any, tmp_path: Path) -> None:
    from napari_lot.export import write

    finished(ready, hand)
    open_step(ready, hand, "export")
    hand.choose(child(ready, "export_kind"), "Calculated tilts, TIFF")
    counted = write.counted

    def slowly(items: Any, progress: Any) -> Any:
        for item in counted(items, progress):
            time.sleep(0.05)
            yield item

    monkeypatch.setattr(write, "counted", slowly)
    hand.type(child(ready, "export_path"), str(tmp_path / "c.tif"), enter=False)
    hand.click(child(ready, "export_save"))
    hand.until(lambda: child(ready, "export_progress").value() > 0)
    assert child(ready, "export_progress").format() == "Saving c.tif %p%"
    hand.click(child(ready, "cancel_export"))
    assert child(ready, "export_note").text() == "Cancelled; nothing was written."
    hand.until(lambda: not any(thread.name == "napari-lot saving" for thread in threading.enumerate()))
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(write, "counted", counted)
    hand.click(child(ready, "export_save"))
    hand.until((tmp_path / "c.tif").is_file)


def test_a_run_that_waits_on_disk_is_shown_again_beside_the_window(ready: Any, hand: Any, monkeypatch: Any) -> None:
    for _ in range(4):
        ready.state._result = None
        finished(ready, hand)
    runs = ready.run.table.runs
    runs.wait()
    assert runs[1].path is not None
    load, gate = np.load, threading.Event()

    def slowly(*what: Any, **how: Any) -> Any:
        gate.wait(20)
        return load(*what, **how)

    monkeypatch.setattr("napari_lot.gui.runs.np.load", slowly)
    began = time.monotonic()
    ready.run.table.table.selectRow(0)
    assert time.monotonic() - began < 2, "it has not waited for the disk"
    assert ready.state.result_run == 4
    hand.click(child(ready, "cancel_runs"))
    gate.set()
    hand.qtbot.wait(300)
    assert ready.state.result_run == 4
    ready.run.table.table.selectRow(0)
    hand.until(lambda: ready.state.result_run == 1)
    result = ready.state.result
    np.testing.assert_array_equal(result.residual, ready.state.series.images - result.calculated)
