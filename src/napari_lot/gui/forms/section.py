"""A collapsible step of the workbench with a line that says what it still needs."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QIcon
from qtpy.QtWidgets import QSizePolicy, QVBoxLayout, QWidget
from superqt import QCollapsible

from napari_lot.gui.forms.sentence import Sentence
from napari_lot.gui.look import AMBER, BLUE, GREEN

_UNLIMITED = 16_777_215  # QWIDGETSIZE_MAX
NEEDS, READY, DONE, CAVEAT = "needs", "ready", "done", "caveat"
_MARKS = {
    NEEDS: ("○", AMBER),
    READY: ("●", BLUE),
    DONE: ("✓", GREEN),
    CAVEAT: ("⚠", AMBER),
}


class Section(QCollapsible):
    """One step: number and title (click to open), its state in one line, and its controls."""

    def __init__(self, number: int, title: str, content: QWidget, parent: QWidget | None = None) -> None:
        self._heading = f"{number}  {title}"
        super().__init__(self._heading, parent)
        self.setObjectName(f"step_{title.lower()}")
        self.setDuration(0)
        button = self.toggleButton()
        button.setStyleSheet(
            "QPushButton { text-align: left; border: none; font-weight: bold; padding: 4px; background: transparent; }"
            "QPushButton:checked { background: rgba(128, 150, 180, 40); }"
            f"QPushButton:focus {{ border: 1px solid {BLUE}; padding: 3px; }}"
            "QPushButton:hover { background: rgba(128, 150, 180, 80); }"
        )
        button.setToolTip("Open or close this step.")
        button.setAutoDefault(True)  # Enter does what Space does
        self.status = Sentence()
        self.status.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.status.setContentsMargins(8, 0, 4, 2)
        layout = self.layout()
        assert isinstance(layout, QVBoxLayout)
        layout.setContentsMargins(2, 0, 2, 0)
        layout.setSpacing(1)
        layout.insertWidget(1, self.status)
        inner = QWidget()
        inner_layout = QVBoxLayout(inner)
        inner_layout.setContentsMargins(8, 2, 4, 6)
        inner_layout.addWidget(content)
        inner.setMaximumHeight(0)
        old = self.content()
        self.setContent(inner)
        layout.removeWidget(old)
        old.deleteLater()
        # Not superqt's "Maximum": that keeps the height of unwrapped labels and cuts off what wrapped ones push down.
        for widget in (self, inner, self.status):
            widget.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
        self.toggled.connect(self._on_toggled)
        self._on_toggled(False)

    def _on_toggled(self, open_: bool) -> None:
        # superqt fixes the height to what was needed at that moment; labels that grow later would be cut off.
        self.content().setMaximumHeight(_UNLIMITED if open_ else 0)
        self.content().setVisible(open_)
        # superqt's icon goes each time: the heading has a mark of its own. (To give it an empty one fails with PySide6,
        # where an empty icon counts as none.)
        self.toggleButton().setIcon(QIcon())
        self.setText(f"{'▾' if open_ else '▸'}  {self._heading}")

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        return False

    def open(self) -> None:
        """Open without animation."""
        if not self.isExpanded():
            self.content().setVisible(True)
            self.expand(animate=False)

    def close_up(self) -> None:
        """Collapse without animation."""
        if self.isExpanded():
            self.collapse(animate=False)

    def set_status(self, state: str, text: str) -> None:
        """State (needs, ready, done or caveat) and the line that explains it."""
        mark, color = _MARKS[state]
        self.status.setText(f'<span style="color:{color}">{mark}</span>&nbsp; {text}')
        self.status.setAccessibleName(text)
