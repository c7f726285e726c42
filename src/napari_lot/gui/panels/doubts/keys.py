"""Keys of the viewer and of single layers, taken while they mean something, and given back afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from qtpy.QtWidgets import QAbstractSpinBox, QComboBox, QLineEdit, QPlainTextEdit, QTextEdit

TYPED_IN = (QLineEdit, QAbstractSpinBox, QTextEdit, QPlainTextEdit, QComboBox)


class BorrowedKeys:
    """Keys that call a function where they are meant for it; ``release`` puts back what was there.

    Parameters
    ----------
    press : callable
        Called with the name that a key was bound to.
    meant : callable
        Whether a key that is pressed now is meant: napari gives the viewer what is pressed anywhere in its window.
    """

    def __init__(self, press: Callable[[str], Any], meant: Callable[[], bool]) -> None:
        self.press = press
        self.meant = meant
        self._bound: list[tuple[Any, str, Any]] = []

    def take(self, to: Any, keys: Iterable[tuple[str, str]]) -> None:
        """Bind (key, name) on a viewer or a layer; one that is bound there already stays."""
        for key, name in keys:
            if any(to is other and key == known for other, known, _ in self._bound):
                continue
            before = dict(to.keymap)
            to.bind_key(key, self._pressed(name), overwrite=True)
            replaced = {k: f for k, f in before.items() if to.keymap.get(k) is not f}
            self._bound.append((to, key, next(iter(replaced.values()), None)))

    def _pressed(self, name: str) -> Callable[[Any], None]:
        def pressed(_: Any) -> None:
            if self.meant():
                self.press(name)

        return pressed

    def release(self) -> None:
        """Every key does again what it did before."""
        for to, key, before in reversed(self._bound):
            to.bind_key(key, before, overwrite=True)
        self._bound.clear()
