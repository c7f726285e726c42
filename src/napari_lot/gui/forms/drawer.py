"""A part of a step that opens at a click."""

from __future__ import annotations

from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget


class Drawer(QWidget):
    """A button with a triangle and what it opens.

    Parameters
    ----------
    title : str
    name : str
        Object name of the button.
    tip : str
        What is inside, in a sentence.
    content : QWidget
    """

    def __init__(self, title: str, name: str, tip: str, content: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._title, self._tip, self._content = title, tip, content
        self.button = QPushButton(f"{title} ▸")
        self.button.setObjectName(name)
        self.button.setCheckable(True)
        self.button.toggled.connect(self._on_toggled)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.button)
        layout.addWidget(content)
        content.hide()

    def _on_toggled(self, is_open: bool) -> None:
        self._content.setVisible(is_open)
        self.button.setText(f"{self._title} {'▾' if is_open else '▸'}")

    def enable(self, ready: bool) -> None:
        """Closed and out of reach until there is a result."""
        if not ready:
            self.button.setChecked(False)
        self.button.setEnabled(ready)
        self.button.setToolTip(self._tip if ready else "Needs a finished reconstruction (step 3).")
