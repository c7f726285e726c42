"""The workbench without a mouse: the Tab key, headers, and shortcuts that are letters where a person types."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QLabel,
    QLineEdit,
    QWidget,
)
from steps import child, open_step
from test_robust import finished

pytestmark = pytest.mark.slow  # part of `make test-all`

DRAWERS = {
    "data": ("more_data", "prepare_images"),
    "probe": ("more_aberrations",),
    "run": ("more_run_settings",),
    "inspect": ("show_structure", "show_compare"),
    "export": (),
}


def stops(bench: Any) -> list[QWidget]:
    """Every widget that a person can go to by Tab, in no order."""
    found = [w for w in bench.findChildren(QWidget) if w.isVisible() and w.isEnabled() and not w.isWindow()]
    found = [w for w in found if w.focusPolicy().value & Qt.FocusPolicy.TabFocus.value and w.focusProxy() is None]
    # the field inside of a spin box or an editable box is no stop of its own
    return [w for w in found if not isinstance(w.parentWidget(), QAbstractSpinBox | QComboBox)]


def walk(bench: Any, first: QWidget) -> list[QWidget]:
    """What has the focus as Tab is pressed, until it leaves the workbench."""
    first.setFocus()
    met: list[QWidget] = []
    while (here := bench.window().focusWidget()) is not None and bench.isAncestorOf(here):
        assert here not in met, f"{here.objectName() or here} is met twice"
        met.append(here)
        QTest.keyClick(here, Qt.Key.Key_Tab)
    return met


def named(widgets: list[QWidget]) -> list[str]:
    return [w.objectName() or f"{type(w).__name__} {getattr(w, 'text', str)()}" for w in widgets]


@pytest.fixture
def all_open(ready: Any, hand: Any, qtbot: Any) -> Any:
    """A workbench after a run, every step and every drawer of it open, in a window that has the focus."""
    QApplication.setActiveWindow(ready.window())  # no window manager does it
    finished(ready, hand)
    for step, drawers in DRAWERS.items():
        open_step(ready, hand, step)
        for name in drawers:
            if not child(ready, name).isChecked():
                hand.click(child(ready, name))
    qtbot.wait(300)
    return ready


def test_tab_meets_every_control_in_the_order_in_which_they_are_read(all_open: Any) -> None:
    bench = all_open
    met = walk(bench, child(bench, "view_images"))
    missed = [w for w in stops(bench) if w not in met]
    assert not missed, named(missed)
    inside = bench.scroll.widget()
    for before, after in pairwise(met):
        if not inside.isAncestorOf(before):
            continue
        a, b = (w.mapTo(inside, QPoint(0, 0)) for w in (before, after))
        below = b.y() >= a.y() + before.height() // 2
        beside = abs(b.y() - a.y()) < max(before.height(), after.height()) and b.x() > a.x()
        assert below or beside, f"{named([before, after])}: {a} then {b}"
    steps = [name for w in met for name, section in bench.sections.items() if section.isAncestorOf(w)]
    assert steps == sorted(steps, key=list(bench.sections).index), "one step after the other"


def test_backwards_it_is_the_same_way(all_open: Any) -> None:
    bench = all_open
    met = walk(bench, child(bench, "view_images"))
    met[20].setFocus()
    for expected in met[19:9:-1]:
        QTest.keyClick(bench.window().focusWidget(), Qt.Key.Key_Backtab)
        assert bench.window().focusWidget() is expected, named([expected])


def test_what_has_the_focus_is_seen_and_shows_it(all_open: Any, qtbot: Any) -> None:
    bench = all_open
    for here in walk(bench, child(bench, "view_images")):
        here.setFocus()
        bench.scroll.ensureWidgetVisible(here)
        with_focus = here.grab().toImage()
        here.clearFocus()
        assert here.grab().toImage() != with_focus, named([here])


@pytest.mark.parametrize("key", [Qt.Key.Key_Space, Qt.Key.Key_Return, Qt.Key.Key_Enter])
def test_every_header_opens_and_closes_by_key(ready: Any, key: Any) -> None:
    for name, section in ready.sections.items():
        header, was = section.toggleButton(), section.isExpanded()
        header.setFocus()
        QTest.keyClick(header, key)
        assert section.isExpanded() != was, name
        QTest.keyClick(header, key)
        assert section.isExpanded() == was, name


def test_no_text_takes_a_letter_as_its_mnemonic(all_open: Any) -> None:
    widgets = all_open.findChildren(QAbstractButton) + all_open.findChildren(QLabel)
    assert not [w.text() for w in widgets if "&" in w.text().replace("&nbsp;", "").replace("&&", "")]


def test_letters_that_are_typed_are_no_shortcuts(all_open: Any, viewer: Any, hand: Any) -> None:
    bench, panel = all_open, all_open.doubts
    pressed: list[str] = []
    panel.queue.next = lambda: pressed.append("next")
    panel.open()
    for field in stops(bench):
        if isinstance(field, QLineEdit | QAbstractSpinBox | QComboBox) and field.isVisible() and field.isEnabled():
            field.setFocus()
            assert QApplication.focusWidget() is field
            for letter in "nkdmau":
                QTest.keyClick(field, letter)
            assert not pressed, named([field])
            assert panel.placing.mode == "", named([field])
