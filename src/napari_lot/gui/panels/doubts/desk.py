"""What is said of the shown atom, and the buttons of what can be done with it."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QGridLayout, QPushButton, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from napari_lot.analysis.doubts_queue import signed
from napari_lot.gui.doubts.queue import ALL_SEEN, DOUBTFUL_SEEN, DoubtQueue
from napari_lot.gui.doubts.words import gain_text
from napari_lot.gui.forms.sentence import Sentence
from napari_lot.gui.panels.doubts.words import BUTTONS, COST_TIP

LEAST_WIDTH = 300
ONE_ROW = 440
"""Width from which all buttons lie in one row, which leaves the height to the text."""
UNLIMITED = 16_777_215  # QWIDGETSIZE_MAX


class Desk(QWidget):
    """Title, reasons, facts, what deleting costs, what was done last, and the buttons.

    Parameters
    ----------
    press : callable
        Called with the name of a button that was clicked.
    """

    def __init__(self, press: Callable[[str], object], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.title, self.why, self.facts, self.cost, self.said, self.hint = (Sentence() for _ in range(6))
        for name in ("title", "why", "facts", "cost", "hint", "said"):
            label = getattr(self, name)
            label.setObjectName(f"doubt_{name}")
            label.setTextFormat(Qt.TextFormat.PlainText)
        self.cost.setToolTip(COST_TIP)
        font = self.title.font()
        font.setBold(True)
        self.title.setFont(font)
        self.buttons: dict[str, QPushButton] = {}
        for name, text, key, _ in BUTTONS:
            button = self.buttons[name] = QPushButton(f"{text} ({key})")
            button.setObjectName(f"doubt_{name}")
            button.clicked.connect(lambda _=False, name=name: press(name))
        inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(0, 0, 4, 0)
        column.setSpacing(3)
        for widget in (self.why, self.facts, self.cost, self.said):
            column.addWidget(widget)
        column.addStretch(1)
        self.scroll = QScrollArea()  # a low dock shows as much of it as there is room for
        self.scroll.setWidgetResizable(True)
        self.scroll.setFrameShape(QScrollArea.Shape.NoFrame)
        self.scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.scroll.setMinimumHeight(70)
        self.scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.scroll.setWidget(inside)
        self._grid = QGridLayout()
        self._grid.setSpacing(2)
        self._columns = 0
        rows = QVBoxLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(3)
        rows.addWidget(self.title)
        rows.addWidget(self.scroll, 1)
        rows.addWidget(self.hint)
        rows.addLayout(self._grid)
        self.setMinimumWidth(LEAST_WIDTH)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Preferred)
        self.arrange(UNLIMITED, LEAST_WIDTH)

    def arrange(self, most: int, width: int) -> None:
        """Be no wider than ``most`` pixels; ``width`` is what there will be."""
        self.setMaximumWidth(most)
        columns = len(BUTTONS) if width >= ONE_ROW else 3
        if columns != self._columns:
            self._columns = columns
            for i, button in enumerate(self.buttons.values()):
                self._grid.addWidget(button, i // columns, i % columns)

    def show_queue(self, queue: DoubtQueue, hint: str) -> None:
        """All that is to be said now; ``hint`` is what to do next where an atom is placed."""
        shown, needs = queue.shown, queue.needs
        self.said.setText(queue.said)
        self.said.setVisible(bool(queue.said) and not hint)
        self.hint.setText(hint)
        self.hint.setVisible(bool(hint))
        for label in (self.facts, self.cost):
            label.setVisible(shown is not None)
        if shown is None:
            self.title.setText(queue.doing + "…" if queue.busy else queue.ended or "Doubtful atoms")
            wait = "" if queue.busy or queue.ended == ALL_SEEN else "Press N for the most doubtful atom."
            if queue.ended == DOUBTFUL_SEEN:
                wait = "N goes on beyond them, to atoms that are not doubtful, the least certain first."
            self.why.setText(f"{needs[0].upper()}{needs[1:]}." if needs else wait)
            return
        left = queue.left
        more = "no other is doubtful" if not left else f"{left} more {'is' if left == 1 else 'are'} doubtful"
        more = shown.beyond or more
        self.title.setText(queue.doing + "…" if queue.busy else f"Atom {shown.atom}   ({more})")
        self.why.setText(shown.why)
        self.facts.setText(queue.facts())
        deletion = shown.deletion
        yardstick = f"an atom must be worth {signed(shown.price).lstrip('+')}"
        told = "Deleting it: …" if deletion is None else f"Deleting it {gain_text(deletion.gain)}; {yardstick}."
        self.cost.setText(told)

    def enable(self, queue: DoubtQueue) -> None:
        """Which buttons mean something now; the others say why not."""
        needs = queue.needs
        why_not = "Wait: " + queue.doing + "." if queue.busy else None
        if needs is not None:
            why_not = f"{needs[0].upper()}{needs[1:]}."
        for name, _, _, tip in BUTTONS:
            reason = why_not
            if reason is None and name == "undo":
                reason = None if queue.fit is not None and queue.fit.done else "No decision has been taken yet."
            elif reason is None and name != "next" and queue.shown is None:
                reason = "Press Next first: no atom is shown."
            button = self.buttons[name]
            button.setEnabled(reason is None)
            button.setToolTip(tip if reason is None else reason)
