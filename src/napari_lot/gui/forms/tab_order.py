"""Where the Tab key goes: what a person reads next, whatever was made first."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractScrollArea, QScrollArea, QWidget


def takes_tab(widget: QWidget) -> bool:
    """Whether the Tab key stops at a widget now."""
    policy = widget.focusPolicy().value & Qt.FocusPolicy.TabFocus.value
    return bool(policy) and widget.isVisible() and widget.isEnabled() and widget.focusProxy() is None


def tab_stops(container: QWidget) -> list[QWidget]:
    """What the Tab key stops at inside a widget: row by row, one container after the other."""
    found: list[QWidget] = []
    inner = container.widget() if isinstance(container, QScrollArea) else container
    children = [] if inner is None else [w for w in inner.children() if isinstance(w, QWidget) and w.isVisible()]
    for child in _by_rows([w for w in children if not w.isWindow()]):
        if takes_tab(child):
            found.append(child)
        elif isinstance(child, QScrollArea) or not isinstance(child, QAbstractScrollArea):
            found += tab_stops(child)
    return found


def _by_rows(widgets: list[QWidget]) -> list[QWidget]:
    """From the top to the bottom; what lies side by side from the left to the right."""
    ordered: list[QWidget] = []
    left = sorted(widgets, key=lambda w: w.y())
    while left:
        middle = left[0].y() + left[0].height() / 2
        row = [w for w in left if w.y() <= middle]
        ordered += sorted(row, key=lambda w: w.x())
        left = [w for w in left if w.y() > middle]
    return ordered


def go_on(container: QWidget, at: QWidget | None, forward: bool) -> QWidget | None:
    """Move the focus from one of a container's stops to the next, or out of it; where it is then, None for nowhere."""
    stops = tab_stops(container)
    while at is not None and at not in stops and at is not container:  # a part of a compound widget
        at = at.parentWidget()
    place = stops.index(at) + (1 if forward else -1) if at in stops else 0 if forward else len(stops) - 1
    if 0 <= place < len(stops):
        there: QWidget | None = stops[place]
    else:
        there = _outside(container, forward)
    if there is not None:
        reason = Qt.FocusReason.TabFocusReason if forward else Qt.FocusReason.BacktabFocusReason
        there.setFocus(reason)
    return there


def _outside(container: QWidget, forward: bool) -> QWidget | None:
    """The next stop of the window that is not inside."""
    there = container
    while True:
        step = there.nextInFocusChain() if forward else there.previousInFocusChain()
        if step is None or step is container:
            return None
        there = step
        if not container.isAncestorOf(there) and takes_tab(there) and there.window() is container.window():
            return there
