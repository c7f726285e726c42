"""Where things are in the workbench."""

from __future__ import annotations

from typing import Any


def child(workbench: Any, name: str) -> Any:
    from qtpy.QtWidgets import QWidget

    found = workbench.findChild(QWidget, name)
    assert found is not None, name
    return found


def open_step(workbench: Any, hand: Any, name: str) -> None:
    section = workbench.sections[name]
    if not section.isExpanded():
        hand.click(section.toggleButton())
    assert section.isExpanded()
