"""Where drawing is slow a run is drawn less often, so that the window keeps some of its time for the person."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import pytest
from qtpy.QtWidgets import QWidget
from steps import child

from napari_lot.gui.work.share import MOST, FairShare

pytestmark = pytest.mark.slow  # part of `make test-all`


class Slow(QWidget):
    """Takes as long to draw as software OpenGL does with many atoms."""

    paints_s = 0.0
    painted = 0

    def paintEvent(self, event: Any) -> None:
        time.sleep(self.paints_s)
        self.painted += 1


def test_what_is_drawn_because_of_an_update_counts_as_its_work(qtbot: Any) -> None:
    widget, share = Slow(), FairShare()
    share.most = 0.5
    qtbot.addWidget(widget)
    widget.resize(50, 50)
    widget.show()
    qtbot.waitExposed(widget)
    qtbot.waitUntil(lambda: widget.painted > 0)
    assert not share.rests, "before there was any update"
    widget.paints_s, before = 0.2, widget.painted
    began = time.monotonic()
    with share.busy():
        share.begin()
        widget.update()
        time.sleep(0.1)
    assert share.rests, "it is not drawn yet"
    qtbot.waitUntil(lambda: not share.rests, timeout=3000)
    took = time.monotonic() - began
    assert widget.painted == before + 1
    assert took > 0.58, "0.1 s of work and 0.2 s of drawing are half of the time"
    share.most = 1.0
    assert not share.rests


def test_what_is_slow_once_is_not_waited_for_long(qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    share, now = FairShare(), [0.0]
    monkeypatch.setattr("napari_lot.gui.work.share.time.monotonic", lambda: now[0])
    with share.busy():
        share.begin()
        now[0] = 3600.0
    qtbot.wait(20)
    assert share.rests
    now[0] = 3611.0
    assert not share.rests


@pytest.mark.parametrize("slow_s", [0.0, 0.4])
def test_drawing_a_run_leaves_some_of_the_time(ready: Any, hand: Any, slow_s: float) -> None:
    """With 10 a second as the upper limit."""
    began: list[float] = []
    show = ready.run.on_snapshot

    def slowly(snapshot: Any) -> None:
        show(snapshot)
        began.append(time.monotonic())
        time.sleep(slow_s)

    ready.run.on_snapshot = slowly
    hand.click(child(ready, "start"))
    hand.until(lambda: len(began) >= 6, 60)
    hand.click(child(ready, "cancel"))
    hand.until(lambda: not ready.state.running, 20)
    gaps = [b - a for a, b in pairwise(began[2:])]
    assert min(gaps) >= max(0.09, slow_s / MOST), "never faster than the setting, nor than its share of the time"
