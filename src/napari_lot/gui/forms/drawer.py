"""A part of a step that opens at a click."""

from __future__ import annotations

from qtpy.QtWidgets import QComboBox, QPushButton, QSizePolicy, QVBoxLayout, QWidget


def grow_with_text(*widgets: QWidget) -> None:
    """Let labels that wrap push down what follows, instead of being cut."""
    for widget in widgets:
        widget.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)


def narrow(*boxes: QComboBox) -> None:
    """Let long choices be cut in the closed box, so that the dock stays as narrow as it is."""
    for box in boxes:
        box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        box.setMinimumContentsLength(6)
        box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)


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
        self.button.setAutoDefault(True)  # Enter does what Space does
        self.button.toggled.connect(self._on_toggled)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.button)
        layout.addWidget(content)
        content.hide()
        grow_with_text(self, content)

    def _on_toggled(self, is_open: bool) -> None:
        self._content.setVisible(is_open)
        self.button.setText(f"{self._title} {'▾' if is_open else '▸'}")

    def enable(self, ready: bool) -> None:
        """Closed and out of reach until there is a result."""
        if not ready:
            self.button.setChecked(False)
        self.button.setEnabled(ready)
        self.button.setToolTip(self._tip if ready else "Needs a finished reconstruction (step 3).")
