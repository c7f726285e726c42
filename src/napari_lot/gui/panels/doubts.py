"""Doubtful atoms, one after the other: what every tilt shows of one, and what to do with it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QApplication,
    QBoxLayout,
    QComboBox,
    QGridLayout,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QTextEdit,
    QVBoxLayout,
    QWidget,
)

from napari_lot.errors import InputError
from napari_lot.gui.canvas.labels import short_angle_text
from napari_lot.gui.canvas.layers import WorkbenchLayers
from napari_lot.gui.doubt_queue import DoubtQueue, Shown, gain_text
from napari_lot.gui.plots.contact_sheet import ContactSheet
from napari_lot.gui.state import WorkbenchState
from napari_lot.job import Result

DOCK = "Doubtful atoms"
BUTTONS = (
    ("next", "Next", "N", "Show the next doubtful atom."),
    ("keep", "Keep", "K", "This is an atom: keep it, and go on to the next."),
    ("delete", "Delete", "D", "This is no atom: delete it, refit its neighbours, and go on to the next."),
    ("move", "Move", "M", "Click where it belongs on a patch, or step with the arrow keys and press Enter."),
    ("add", "Add", "A", "Click the missing atom on two tilts, or press Enter for the strongest residual nearby."),
    ("undo", "Undo", "U", "Take the last decision back."),
)
TYPED_IN = (QLineEdit, QAbstractSpinBox, QTextEdit, QPlainTextEdit, QComboBox)
STEP_A = 0.1
MISS = 0.35
"""Expected distances that two clicks on one atom may miss each other by."""
RING = 0.42
WIDE_PX = 620
"""Width from which text and sheet lie side by side."""
ARROWS = {
    "Left": (0, -1),
    "Right": (0, 1),
    "Up": (-1, 0),
    "Down": (1, 0),
}


class DoubtsPanel(QWidget):
    """The contact sheet of the shown atom, why it is doubtful, and what can be done."""

    def __init__(self, state: WorkbenchState, layers: WorkbenchLayers, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("doubts_panel")
        self.state, self.layers = state, layers
        self.queue = DoubtQueue(state, self)
        self.queue.on_screen = lambda: layers.result is state.result
        self.mode = ""
        self._place: np.ndarray | None = None
        self._first: tuple[int, np.ndarray] | None = None
        self._drawn: Shown | None = None
        self._dock: Any = None
        self._bound: list[tuple[Any, str, Any]] = []
        self._closed = False
        self._build()
        self.queue.changed.connect(self._show)
        self.queue.decided.connect(self._on_decided)
        layers.viewer.dims.events.current_step.connect(self._on_step)
        self._bind_viewer()
        self._show()

    def _build(self) -> None:
        self.title = QLabel()
        self.title.setObjectName("doubt_title")
        self.why, self.facts, self.cost, self.said, self.hint = (QLabel() for _ in range(5))
        for label, name in (
            (self.title, "doubt_title"),
            (self.why, "doubt_why"),
            (self.facts, "doubt_facts"),
            (self.cost, "doubt_cost"),
            (self.hint, "doubt_hint"),
            (self.said, "doubt_said"),
        ):
            label.setObjectName(name)
            label.setWordWrap(True)
            label.setTextFormat(Qt.TextFormat.PlainText)
        font = self.title.font()
        font.setBold(True)
        self.title.setFont(font)
        self.buttons: dict[str, QPushButton] = {}
        grid = QGridLayout()
        grid.setSpacing(2)
        for i, (name, text, key, _) in enumerate(BUTTONS):
            button = QPushButton(f"{text} ({key})")
            button.setObjectName(f"doubt_{name}")
            button.clicked.connect(getattr(self, name))
            self.buttons[name] = button
            grid.addWidget(button, i // 3, i % 3)
        inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(0, 0, 4, 0)
        column.setSpacing(3)
        for widget in (self.why, self.facts, self.cost, self.said):
            column.addWidget(widget)
        column.addStretch(1)
        scroll = QScrollArea()  # a low dock shows as much of it as there is room for
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QScrollArea.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setMinimumHeight(70)
        scroll.setWidget(inside)
        texts = QWidget()
        rows = QVBoxLayout(texts)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(3)
        rows.addWidget(self.title)
        rows.addWidget(scroll, 1)
        rows.addWidget(self.hint)
        rows.addLayout(grid)
        texts.setMinimumWidth(300)
        texts.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Preferred)
        self._texts = texts
        self.sheet = ContactSheet()
        self.sheet.clicked.connect(self._on_click)
        self.sheet.tilt_chosen.connect(self.layers.go_to_tilt)
        self._layout = QBoxLayout(QBoxLayout.Direction.LeftToRight, self)
        self._layout.setContentsMargins(4, 4, 4, 4)
        self._layout.addWidget(texts)
        self._layout.addWidget(self.sheet, 1)
        self.setMinimumWidth(320)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def resizeEvent(self, event: Any) -> None:
        super().resizeEvent(event)
        wide = self.width() >= WIDE_PX
        self._layout.setDirection(QBoxLayout.Direction.LeftToRight if wide else QBoxLayout.Direction.TopToBottom)
        self._texts.setMaximumWidth(340 if wide else 16_777_215)

    # -- the dock and its keys --------------------------------------------------------------------------------

    def open(self) -> None:
        """Dock the panel below the canvas; a closed one comes back as it was."""
        window = self.layers.viewer.window
        if self._dock is None or self.parent() is None:
            self._dock = window.add_dock_widget(self, name=DOCK, area="bottom", add_vertical_stretch=False)
        self._dock.show()
        self._dock.raise_()
        self._bind_layers()
        self._show()

    @property
    def is_open(self) -> bool:
        """Whether the person sees it."""
        return self.parent() is not None and self.isVisible()

    def _bind_viewer(self) -> None:
        for name, _, key, _ in BUTTONS:
            self._bind(self.layers.viewer, key, name)
        for key in (*ARROWS, "Enter", "Escape"):
            self._bind(self.layers.viewer, key, key)

    def _bind(self, to: Any, key: str, name: str) -> None:
        before = dict(to.keymap)
        to.bind_key(key, self._on_viewer_key(name), overwrite=True)
        replaced = {k: f for k, f in before.items() if to.keymap.get(k) is not f}
        self._bound.append((to, key, next(iter(replaced.values()), None)))

    def _on_viewer_key(self, name: str) -> Any:
        def pressed(_: Any) -> None:
            focus = QApplication.focusWidget()
            if not self._closed and not isinstance(focus, TYPED_IN):
                self.press(name)

        return pressed

    def _bind_layers(self) -> None:
        # napari's own A (select all points) goes before the viewer's: on our read-only atoms it would select nothing
        own = [b.layer for b in (self.layers.atoms, self.layers.markers, self.layers.doubt) if b is not None]
        for layer in own:
            if layer is not None and all(layer is not to for to, _, _ in self._bound):
                self._bind(layer, "A", "add")

    def press(self, name: str) -> bool:
        """A key: of a button, an arrow, Enter or Escape; False where it means nothing now."""
        if name != "next" and not self.is_open:
            return False
        if name in self.buttons:
            if self.buttons[name].isEnabled():
                getattr(self, name)()
            return True
        if not self.mode:
            return False
        if name in ARROWS:
            return self._nudge(*ARROWS[name])
        if name == "Enter":
            self._enter()
        else:
            self._set_mode("")
        return True

    def keyPressEvent(self, event: Any) -> None:
        keys = {Qt.Key.Key_Return: "Enter", Qt.Key.Key_Enter: "Enter", Qt.Key.Key_Escape: "Escape"}
        keys |= {getattr(Qt.Key, f"Key_{name}"): name for name in ARROWS}
        keys |= {getattr(Qt.Key, f"Key_{key}"): name for name, _, key, _ in BUTTONS}
        name = keys.get(event.key())
        if name is None or event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier or not self.press(name):
            super().keyPressEvent(event)
        else:
            event.accept()

    def shutdown(self) -> None:
        """Stop the thread and all listening, free the keys, and take the dock away."""
        if self._closed:
            return
        self._closed = True
        for to, key, before in reversed(self._bound):
            to.bind_key(key, before, overwrite=True)
        self._bound.clear()
        self.queue.changed.disconnect(self._show)
        self.queue.decided.disconnect(self._on_decided)
        self.layers.viewer.dims.events.current_step.disconnect(self._on_step)
        self.queue.shutdown()
        self.layers.doubt.remove()
        if self._dock is not None and self.parent() is not None:
            with suppress(LookupError, RuntimeError, AttributeError):  # the window may be going as well
                self.layers.viewer.window.remove_dock_widget(self)
        QTimer.singleShot(0, self.deleteLater)

    # -- the buttons ------------------------------------------------------------------------------------------

    def next(self) -> None:
        if self.queue.needs is None:
            if not self.is_open:
                self.open()
                if self.queue.shown is not None:  # it comes back with the atom that was looked at
                    return
            self._set_mode("")
            self.queue.next()

    def keep(self) -> None:
        self._set_mode("")
        self.queue.keep()

    def delete(self) -> None:
        self._set_mode("")
        self.queue.delete()

    def undo(self) -> None:
        self._set_mode("")
        self.queue.undo()

    def move(self) -> None:
        self._set_mode("" if self.mode == "move" else "move")
        self.setFocus()

    def add(self) -> None:
        self._set_mode("" if self.mode == "add" else "add")
        self.setFocus()

    def _set_mode(self, mode: str) -> None:
        self.mode, self._place, self._first = mode, None, None
        self.sheet.show_places(None)
        self._show()

    # -- placing ----------------------------------------------------------------------------------------------

    def _on_click(self, tilt: int, row: float, column: float) -> None:
        fit, shown = self.queue.fit, self.queue.shown
        if fit is None or shown is None or self.queue.busy:
            return
        if not self.mode:
            self.layers.go_to_tilt(tilt)
            return
        pixel = np.array(shown.patches.pixel(tilt, row, column))
        if self.mode == "move":
            place = fit.view.moved(fit.position(shown.atom), tilt, pixel)
            self._set_mode("")
            self.queue.move(place)
        elif self._first is None:
            self._first = tilt, pixel
            self.sheet.show_places(None, (tilt, row, column))
            self._show()
        else:
            try:
                place = fit.view.met(self._first, (tilt, pixel), MISS * fit.spacing_A)
            except InputError as error:
                self._set_mode("add")
                self.hint.setText(self.state.fail(str(error)))
                return
            self._set_mode("")
            self.queue.add(place)

    def _nudge(self, down: int, right: int) -> bool:
        """A step of the place in the plane of the shown tilt."""
        fit, shown = self.queue.fit, self.queue.shown
        if self.mode != "move" or fit is None or shown is None or self.queue.busy:
            return False
        place = fit.position(shown.atom) if self._place is None else self._place
        tilt = self.layers.tilt
        step = STEP_A / fit.view.pixel_A
        at = fit.view.pixels(place[None])[tilt, 0] + np.array([down, right]) * step
        self._place = fit.view.moved(place, tilt, at)
        self.sheet.show_places(fit.view.pixels(self._place[None])[:, 0] - shown.patches.origins)
        self._show()
        return True

    def _enter(self) -> None:
        if self.mode == "move" and self._place is not None:
            place = self._place
            self._set_mode("")
            self.queue.move(place)
        elif self.mode == "add":
            self._set_mode("")
            self.queue.add()

    # -- what is shown ----------------------------------------------------------------------------------------

    def _on_decided(self, result: Result) -> None:
        self.layers.change_result(result)
        self._bind_layers()

    def _on_step(self, event: Any = None) -> None:
        if self._drawn is not None:
            self.sheet.mark(self.layers.tilt)

    def _show(self) -> None:
        if self._closed:
            return
        queue, shown = self.queue, self.queue.shown
        self._enable()
        if shown is None:
            self._drawn = None
            self.layers.doubt.remove()
            self.sheet.show_patches(None, [], 1.0, "", None)
            needs = queue.needs
            self.title.setText(queue.doing + "…" if queue.busy else "Doubtful atoms")
            self.why.setText(
                f"{needs[0].upper()}{needs[1:]}."
                if needs
                else ""
                if queue.busy
                else "Press N for the most doubtful atom."
            )
            for label in (self.facts, self.cost, self.hint):
                label.setText("")
            self.said.setText(queue.said)
            return
        self._show_sheet(shown)
        left = queue.left
        more = "no other is doubtful" if not left else f"{left} more {'is' if left == 1 else 'are'} doubtful"
        self.title.setText(queue.doing + "…" if queue.busy else f"Atom {shown.atom}   ({more})")
        self.why.setText(shown.why)
        self.facts.setText(queue.facts())
        if shown.deletion is None:
            self.cost.setText("Deleting it: …")
        else:
            self.cost.setText(f"Deleting it {gain_text(shown.deletion.gain)}.")
        self.cost.setToolTip(
            "Change of the log-likelihood of all images after a refit of the neighbours, in units of the noise: a "
            "false atom costs little or nothing."
        )
        self.hint.setText(self._hint())
        self.hint.setVisible(bool(self.mode))
        self.said.setText(queue.said)

    def _hint(self) -> str:
        if self.mode == "move" and self._place is not None:
            return f"Arrow keys: {STEP_A:g} Å in the plane of the framed tilt. Enter moves the atom to the cross."
        tips = {name: tip for name, _, _, tip in BUTTONS}
        if self.mode == "add" and self._first is not None:
            return "Now click the same atom on another tilt."
        return f"{tips[self.mode]} Esc leaves." if self.mode else ""

    def _show_sheet(self, shown: Shown) -> None:
        drawn, series, fit = self._drawn, self.state.series, self.queue.fit
        if series is None or fit is None or (drawn is not None and drawn.patches is shown.patches):
            return
        self._drawn = shown
        titles = [short_angle_text(series, t) for t in range(len(series))]
        limit = self.layers.stacks.residual_limit
        self.sheet.show_patches(shown.patches, titles, RING * fit.spacing_A, self.layers.intensity, limit)
        self.sheet.mark(self.layers.tilt)
        if drawn is None:
            self.sheet.scroll_to(self.layers.tilt)
        self.layers.mark_doubt(fit.position(shown.atom))
        self._bind_layers()

    def _enable(self) -> None:
        queue = self.queue
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
