"""One turn of the event loop has the window painted once; what is drawn seldom comes at last."""

from __future__ import annotations

from typing import Any

import pytest
from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_lot.gui.plots.basic import TiltBars
from napari_lot.gui.work.one_paint import lay_out, painted_once
from napari_lot.gui.work.seldom import Seldom


class Paints(QObject):
    """Counts how often a window is painted."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def eventFilter(self, watched: Any, event: QEvent) -> bool:
        self.count += event.type() == QEvent.Type.Paint
        return False


@pytest.fixture
def window(qtbot: Any) -> QWidget:
    top = QWidget()
    inside = QWidget(top)
    words, bars = QLabel("a"), TiltBars(lambda tilt: None)
    words.setWordWrap(True)
    for parent, children in ((top, (inside,)), (inside, (words, bars))):
        layout = QVBoxLayout(parent)
        for child in children:
            layout.addWidget(child)
    top.words, top.bars = words, bars
    qtbot.addWidget(top)
    top.show()
    qtbot.waitExposed(top)
    bars.show_values([0.1, 0.2])
    qtbot.wait(300)
    return top


def test_words_and_a_plot_that_change_are_painted_together(window, qtbot):
    paints = Paints()
    window.installEventFilter(paints)
    with painted_once(window.words):
        window.words.setText("other words")
        window.bars.show_values([0.3, 0.1])
        window.bars.mark(1)
        lay_out(window.words)
        assert paints.count == 0
    qtbot.wait(300)
    assert paints.count == 1


def test_a_window_is_painted_after_an_error(window, qtbot):
    paints = Paints()
    window.installEventFilter(paints)

    def change() -> None:
        with painted_once(window.words):
            window.words.setText("other words")
            window.bars.show_values([0.3, 0.1])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        change()
    qtbot.waitUntil(lambda: paints.count > 0)


def test_what_is_drawn_seldom_comes_at_once_and_at_last(qtbot):
    calls: list[int] = []
    changes: list[int] = []
    seldom = Seldom(lambda: calls.append(len(changes)), 0.6)

    def change() -> None:
        changes.append(0)
        seldom.wish()

    change()
    change()
    change()
    assert calls == [1]
    qtbot.waitUntil(lambda: calls == [1, 3], timeout=5000)
    change()
    seldom.forget()
    qtbot.wait(1500)
    assert calls == [1, 3]
    change()
    change()
    assert calls == [1, 3, 5]
    seldom.catch_up()
    assert calls == [1, 3, 5, 6]


def test_two_things_that_are_drawn_seldom_take_turns(qtbot):
    calls: list[str] = []
    one, other = (Seldom(lambda name=name: calls.append(name), 0.2) for name in ("one", "other"))
    one.wish()
    other.wish()
    assert calls == ["one", "other"], "at first at once"
    qtbot.wait(300)
    one.wish()
    other.wish()
    assert calls == ["one", "other", "one"]
    qtbot.wait(150)
    other.wish()
    assert calls == ["one", "other", "one", "other"]
