"""The mailbox loses no image, the runner turns every failure into a value, the pace tells the time left."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from napari_lot.atoms import Orbitals
from napari_lot.errors import InputError, RunFailed
from napari_lot.gui.live import Mailbox, Pace, Runner, time_text
from napari_lot.job import Control, ProbeSlices, Snapshot


def snapshot(step: int, tilts: list[int], probe: ProbeSlices | None = None) -> Snapshot:
    return Snapshot(
        stage="refine",
        step=step,
        steps_total=10,
        orbitals=Orbitals.create(np.zeros((step, 3))),
        loss=1.0 / (step + 1),
        r_factor=np.full(4, 0.1 * step),
        tilts=np.array(tilts, np.int64),
        calculated=np.full((len(tilts), 2, 2), step, np.float32),
        probe=probe,
        elapsed_s=float(step),
        message="",
    )


def test_mailbox_keeps_only_the_newest_snapshot_but_every_tilt() -> None:
    box = Mailbox()
    assert box.take() is None
    probe = ProbeSlices(np.ones((1, 1, 1), np.float32), np.zeros(1), 1.0)
    box.put(snapshot(1, [0, 1], probe))
    box.put(snapshot(2, [1, 3]))
    taken = box.take()
    assert taken is not None
    newest, history = taken
    assert newest.step == 2
    assert newest.tilts.tolist() == [0, 1, 3]
    assert newest.calculated[:, 0, 0].tolist() == [1, 2, 2]
    assert newest.probe is probe
    assert [h[0] for h in history] == [1, 2]
    assert history[1][2] == pytest.approx(0.2)
    assert box.take() is None


def test_mailbox_never_holds_up_a_fast_writer() -> None:
    box = Mailbox()
    began = time.perf_counter()
    for step in range(2000):
        box.put(snapshot(step % 10, [step % 4]))
    assert time.perf_counter() - began < 2.0
    taken = box.take()
    assert taken is not None
    assert len(taken[0].tilts) == 4
    assert box.received == 2000


class Breaking:
    result = stop_reason = None

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def run(self, control: Control | None = None) -> Iterator[Snapshot]:
        yield snapshot(1, [0])
        raise self.error


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


@pytest.mark.parametrize(
    ("error", "says", "has_detail"),
    [
        (InputError("series.tif: an all-zero tilt: exclude it."), "series.tif: an all-zero tilt: exclude it.", False),
        (RuntimeError("bad\nsecond line"), "fault in the program (RuntimeError: bad)", True),
        (OutOfMemoryError("no memory"), "The reconstruction ran out of memory: use fewer tilts", False),
        (RuntimeError("[...] can't allocate memory: 8 GB"), "The reconstruction ran out of memory: use", False),
        (RunFailed("The device of the run failed (gone): take the CPU."), "The device of the run failed (gone)", False),
        (MemoryError(), "The reconstruction ran out of memory: use fewer tilts", False),
        (KeyboardInterrupt(), "fault in the program (KeyboardInterrupt", True),
    ],
)
def test_every_failure_comes_back_as_a_sentence(error: BaseException, says: str, has_detail: bool) -> None:
    runner = Runner(Breaking(error))
    runner.start()
    assert runner.stop()
    assert runner.outcome is not None
    assert runner.outcome.result is None
    assert runner.outcome.failure is not None
    assert says in runner.outcome.failure
    assert "\n" not in runner.outcome.failure
    assert (runner.outcome.detail is not None) == has_detail
    assert runner.mailbox.take() is not None


def test_stopping_wakes_a_paused_run_and_waits_for_its_end() -> None:
    class Endless:
        result = stop_reason = None

        def run(self, control: Control | None = None) -> Iterator[Snapshot]:
            assert control is not None
            while control.stop_request is None:
                yield snapshot(1, [0])
                control.wait_while_paused()
                time.sleep(0.002)

    runner = Runner(Endless())
    runner.start()
    runner.control.pause()
    while not runner.control.is_paused:
        time.sleep(0.005)
    assert runner.stop(2.0)
    assert not runner.is_alive
    assert "napari-lot reconstruction" not in [t.name for t in threading.enumerate()]


def test_pace_follows_the_last_passes() -> None:
    pace = Pace()
    assert pace.left_s(0, 100, 0.0) is None
    for step in range(1, 11):
        left = pace.left_s(step, 100, 10.0 * step)
    assert left == pytest.approx(900.0)
    for step in range(11, 61):
        left = pace.left_s(step, 100, 100.0 + (step - 10) * 1.0)
    assert left == pytest.approx(40.0)


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (59.2, "59 s"), (65, "1 min 05 s"), (3720, "1 h 02 min")])
def test_time_text(seconds: float, text: str) -> None:
    assert time_text(seconds) == text
