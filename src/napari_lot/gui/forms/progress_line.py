"""What is under way, how far it is, and a button that ends it; hidden while nothing is."""

from __future__ import annotations

from qtpy.QtWidgets import QHBoxLayout, QWidget

from napari_lot.gui.forms.widgets import Bar, button
from napari_lot.gui.work.task import Task


class ProgressLine(QWidget):
    """Follows one task.

    Parameters
    ----------
    name : str
        Of the bar (``NAME_progress``) and the button (``cancel_NAME``).
    tip : str
        What a cancel leaves.
    """

    def __init__(self, name: str, task: Task, tip: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.task = task
        self.bar = Bar()
        self.bar.setObjectName(f"{name}_progress")
        self.bar.setRange(0, 100)
        self.cancel = button(f"cancel_{name}", "Cancel", tip)
        self.cancel.clicked.connect(task.cancel)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.bar, 1)
        layout.addWidget(self.cancel)
        task.changed.connect(self._show)
        self._show()

    def _show(self) -> None:
        task = self.task
        self.setVisible(task.running)
        if task.running:
            # a decoder that does not say how far it is is no 0 %
            self.bar.say(task.what, " %p%" if task.share > 0 else "…")
            self.bar.setToolTip(task.what)
            self.bar.setValue(round(100 * task.share))
