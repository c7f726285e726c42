"""Doubtful atoms, one after the other: what every tilt shows of one, and what to do with it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication, QBoxLayout, QMainWindow, QWidget

from napari_lot.gui.canvas.labels import short_angle_text
from napari_lot.gui.canvas.layers import WorkbenchLayers
from napari_lot.gui.docks import dock_below, dock_of, main_window
from napari_lot.gui.doubts.judging import Made
from napari_lot.gui.doubts.queue import DoubtQueue, Shown
from napari_lot.gui.look import FOCUS
from napari_lot.gui.panels.doubts.desk import UNLIMITED, Desk
from napari_lot.gui.panels.doubts.keys import TYPED_IN, BorrowedKeys
from napari_lot.gui.panels.doubts.placing import ARROWS, Placing
from napari_lot.gui.panels.doubts.words import KEYS
from napari_lot.gui.plots.contact_sheet import ContactSheet
from napari_lot.gui.state import WorkbenchState

DOCK = "Doubtful atoms"
RING = 0.42
WIDE_PX = 620
"""Width from which text and sheet lie side by side."""
TEXT_PX, LEAST_TEXT_PX = 470, 340
"""Width of the text then, as far as the sheet leaves it."""


class DoubtsPanel(QWidget):
    """The contact sheet of the shown atom, why it is doubtful, and what can be done."""

    def __init__(self, state: WorkbenchState, layers: WorkbenchLayers, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("doubts_panel")
        self.state, self.layers = state, layers
        self.queue = DoubtQueue(state, self)
        self.queue.on_screen = lambda: layers.atoms.result is state.result
        self._drawn: Shown | None = None
        self._dock: Any = None
        self._closed = False
        self._covered = False
        self.desk = Desk(self.click)
        self.buttons = self.desk.buttons
        self.sheet = ContactSheet()
        self.sheet.tilt_chosen.connect(self.layers.go_to_tilt)
        self.placing = Placing(self.queue, layers, self.sheet, self._show)
        self._layout = QBoxLayout(QBoxLayout.Direction.LeftToRight, self)
        self._layout.setContentsMargins(4, 4, 4, 4)
        self._layout.addWidget(self.desk)
        self._layout.addWidget(self.sheet, 1)
        self.setMinimumWidth(320)
        self.setStyleSheet(FOCUS)
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        # N opens the panel; the other keys belong to others while it is closed, or nothing is placed
        self._always, self._while_open, self._while_placing = (
            BorrowedKeys(self.press, self._has_focus) for _ in range(3)
        )
        self._always.take(layers.viewer, [(KEYS["next"], "next")])
        self.queue.changed.connect(self._show)
        self.queue.decided.connect(self._on_decided)
        layers.viewer.dims.events.current_step.connect(self._on_step)
        layers.viewer.layers.events.inserted.connect(self._take_keys)
        self._show()

    def resizeEvent(self, event: Any) -> None:
        super().resizeEvent(event)
        wide = self.width() >= WIDE_PX
        self._layout.setDirection(QBoxLayout.Direction.LeftToRight if wide else QBoxLayout.Direction.TopToBottom)
        text = max(min(TEXT_PX, self.width() // 2), LEAST_TEXT_PX) if wide else self.width()
        self.desk.setMinimumWidth(text if wide else 300)
        self.desk.arrange(text if wide else UNLIMITED, text)

    # -- the dock and its keys --------------------------------------------------------------------------------

    def open(self) -> None:
        """Dock the panel below the canvas; a closed one comes back as it was."""
        if self._dock is None or self.parent() is None:
            self._dock = dock_below(self.layers.viewer.window, self, DOCK)
            self._covered = False
            if (around := dock_of(self)) is not None:
                around.visibilityChanged.connect(self._on_uncovered)
        self._dock.show()
        self._dock.raise_()
        self._show()

    def put_away(self) -> None:
        """Take the dock away, as a person does who closes it."""
        if self._dock is not None and self.parent() is not None:
            with suppress(LookupError, RuntimeError, AttributeError):  # the window may be going as well
                self.layers.viewer.window.remove_dock_widget(self)

    @property
    def is_open(self) -> bool:
        """Whether the person sees it; behind another tab it is visible for Qt, and shows nothing."""
        return self.parent() is not None and self.isVisible() and not self.visibleRegion().isEmpty()

    def showEvent(self, event: Any) -> None:
        super().showEvent(event)
        self._take_keys()
        self._show()

    def hideEvent(self, event: Any) -> None:
        super().hideEvent(event)
        self._release_keys()
        if not event.spontaneous() and not self._closed:  # closed by a person, and not minimised with the window
            self._drawn = None
            self.layers.unmark_doubt()

    def _release_keys(self) -> None:
        for keys in (self._while_placing, self._while_open):
            keys.release()

    def _on_uncovered(self, seen: bool) -> None:
        """Its tab is in front now, or another one is: keys that are pressed then are for the one that is seen."""
        was, self._covered = self._covered, not seen
        if not seen or self._closed:
            self._release_keys()
            return
        self._take_keys()
        self._show()
        if was and not self._has_focus():
            self.setFocus()

    def _has_focus(self) -> bool:
        """Whether keys are meant for the atoms: pressed on the canvas or in this panel, not in a list or a field.

        A key that was pressed anywhere else in the window gets to the viewer, too, and D would delete an atom.
        """
        main = main_window(self.layers.viewer.window)
        here = QApplication.focusWidget() or (None if main is None else main.focusWidget())
        if here is None or isinstance(here, TYPED_IN):
            return False
        around = here.window()
        canvas = around.centralWidget() if isinstance(around, QMainWindow) else None
        return here is self or self.isAncestorOf(here) or (canvas is not None and canvas.isAncestorOf(here))

    def _take_keys(self, event: Any = None) -> None:
        # as it opens it has no size yet
        if self._closed or self._covered or self.parent() is None or not self.isVisible():
            return
        viewer = self.layers.viewer
        self._while_open.take(viewer, [(key, name) for name, key in KEYS.items() if name != "next"])
        # napari's own A (select all points) goes before the viewer's: on our read-only atoms it would select nothing
        for layer in (self.layers.atoms.spheres, self.layers.atoms.markers, self.layers.doubt):
            if layer is not None and layer.layer is not None:
                self._while_open.take(layer.layer, [(KEYS["add"], "add")])

    def click(self, name: str) -> None:
        """A button: keys that follow are for this panel, wherever Qt puts the focus of a button that waits."""
        self.press(name)
        self.setFocus()

    def press(self, name: str) -> bool:
        """A key: of a button, an arrow, Enter or Escape; False where it means nothing now."""
        if self._closed or (name != "next" and not self.is_open):
            return False
        if name in self.buttons:
            if self.buttons[name].isEnabled():
                getattr(self, name)()
            return True
        if not self.placing.mode:
            return False
        if name in ARROWS:
            return self.placing.nudge(name)
        if name == "Enter":
            self.placing.enter()
        else:
            self.placing.set_mode("")
        return True

    def keyPressEvent(self, event: Any) -> None:
        keys = {Qt.Key.Key_Return: "Enter", Qt.Key.Key_Enter: "Enter", Qt.Key.Key_Escape: "Escape"}
        keys |= {getattr(Qt.Key, f"Key_{name}"): name for name in ARROWS}
        keys |= {getattr(Qt.Key, f"Key_{key}"): name for name, key in KEYS.items()}
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
        for keys in (self._while_placing, self._while_open, self._always):
            keys.release()
        self.queue.changed.disconnect(self._show)
        self.queue.decided.disconnect(self._on_decided)
        self.layers.viewer.dims.events.current_step.disconnect(self._on_step)
        self.layers.viewer.layers.events.inserted.disconnect(self._take_keys)
        self.queue.shutdown()
        self.layers.unmark_doubt()
        self.put_away()
        QTimer.singleShot(0, self.deleteLater)

    # -- the buttons ------------------------------------------------------------------------------------------

    def next(self) -> None:
        if self.queue.needs is None:
            if not self.is_open:
                self.open()
                if self.queue.shown is not None:  # it comes back with the atom that was looked at
                    return
            self.placing.set_mode("")
            self.queue.next()

    def keep(self) -> None:
        self.placing.set_mode("")
        self.queue.keep()

    def delete(self) -> None:
        self.placing.set_mode("")
        self.queue.delete()

    def undo(self) -> None:
        self.placing.set_mode("")
        self.queue.undo()

    def move(self) -> None:
        self.placing.set_mode("" if self.placing.mode == "move" else "move")
        self.setFocus()

    def add(self) -> None:
        self.placing.set_mode("" if self.placing.mode == "add" else "add")
        self.setFocus()

    # -- what is shown ----------------------------------------------------------------------------------------

    def _on_decided(self, made: Made) -> None:
        self.layers.change_result(made.result, made.windows)

    def _on_step(self, event: Any = None) -> None:
        if self._drawn is not None:
            self.sheet.mark(self.layers.tilt)

    def _show(self) -> None:
        if self._closed:
            return
        shown = self.queue.shown
        self.desk.enable(self.queue)
        self.desk.show_queue(self.queue, self.placing.hint)
        if self.placing.mode and not self._covered:
            self._while_placing.take(self.layers.viewer, [(name, name) for name in (*ARROWS, "Enter", "Escape")])
        else:
            self._while_placing.release()
        if shown is None:
            self._drawn = None
            self.layers.unmark_doubt()
            self.sheet.show_patches(None, [], 1.0, "", None)
        elif self.parent() is not None and self.isVisible():  # else nobody sees what the ring is about
            self._show_sheet(shown)

    def _show_sheet(self, shown: Shown) -> None:
        drawn, series, fit = self._drawn, self.state.series, self.queue.fit
        if series is None or fit is None or (drawn is not None and drawn.patches is shown.patches):
            return
        self._drawn = shown
        titles = [short_angle_text(series, t) for t in range(len(series))]
        limit = self.layers.stacks.residual_limit
        self.sheet.show_patches(shown.patches, titles, RING * fit.spacing_A, self.layers.atoms.intensity, limit)
        self.sheet.mark(self.layers.tilt)
        if drawn is None:
            self.sheet.scroll_to(self.layers.tilt)
        self.layers.mark_doubt(fit.position(shown.atom))
