"""While a run is paused: edit its atoms, find missing ones, and hand all that over when it goes on."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
from qtpy.QtWidgets import QHBoxLayout, QListWidget, QPushButton, QVBoxLayout, QWidget

from napari_lot.atoms import Orbitals
from napari_lot.edit import Candidates
from napari_lot.errors import InputError
from napari_lot.gui.canvas.editing import LAYER_DELETED
from napari_lot.gui.canvas.layers import WorkbenchLayers
from napari_lot.gui.forms.sentence import Sentence
from napari_lot.gui.state import WorkbenchState
from napari_lot.job import Control

EDIT = "edit"
CLICK_REACH = 0.5
"""Neighbour distances around a click in which a residual peak is looked for."""
CLICK_PX = 5
OUTDATED = "The atoms have changed since residual peaks were looked for: look for them again."
HOW = (
    "In <b>Atoms 3D</b> click or box atoms and press Delete, or drag them; hold Space to turn the view. "
    "Missing atoms: find residual peaks."
)


class EditBox(QWidget):
    """Hidden unless a run is paused. The atoms themselves are in the layer *Atoms (editing)*."""

    def __init__(self, state: WorkbenchState, layers: WorkbenchLayers, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.state, self.layers = state, layers
        self.control: Control | None = None
        self.spacing_A = 1.0
        self._searching = False
        self._taking = False
        self._asked: Orbitals | None = None
        self._click_wanted: tuple[int, np.ndarray] | None = None
        self.words = Sentence("edit_text")
        self.count = Sentence("edit_count")
        self.delete = QPushButton("Delete selected")
        self.delete.setObjectName("edit_delete")
        self.delete.setToolTip("Delete the selected atoms of a paused run.")
        self.delete.clicked.connect(self._delete)
        self.undo = QPushButton("Undo changes")
        self.undo.setObjectName("edit_undo")
        self.undo.setToolTip("All atoms as they were when the run was paused.")
        self.undo.clicked.connect(self._undo)
        self.find = QPushButton("Find residual peaks")
        self.find.setObjectName("edit_find")
        self.find.setToolTip("Where the images ask for another atom after a fit of all, beside the atoms as edited.")
        self.find.clicked.connect(self._find)
        self.click_mode = QPushButton("Add at a click")
        self.click_mode.setObjectName("edit_click")
        self.click_mode.setCheckable(True)
        self.click_mode.setToolTip(
            "While this is down, a click in Images or Overlay adds the most significant peak of the list that lies "
            "there (within half a neighbour distance)."
        )
        self.click_mode.toggled.connect(self._on_click_mode)
        self.peaks = QListWidget()
        self.peaks.setObjectName("edit_peaks")
        self.peaks.setFixedHeight(110)
        self.peaks.setWordWrap(True)
        self.peaks.setResizeMode(QListWidget.ResizeMode.Adjust)
        self.peaks.setToolTip(
            "Missing atoms: significance in standard deviations, height in the unit of the images, x, y, z in Å. "
            "Enter or a double click adds one."
        )
        self.peaks.itemActivated.connect(lambda _: self._add_chosen())
        self.add = QPushButton("Add this atom")
        self.add.setObjectName("edit_add")
        self.add.setToolTip("Add an atom at the chosen peak of the list.")
        self.add.clicked.connect(self._add_chosen)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.words)
        layout.addWidget(self.count)
        self.tools = QWidget()
        tools = QVBoxLayout(self.tools)
        tools.setContentsMargins(0, 0, 0, 0)
        tools.setSpacing(4)
        for pair in ((self.delete, self.undo), (self.find, self.click_mode)):
            row = QHBoxLayout()
            for button in pair:
                row.addWidget(button)
            tools.addLayout(row)
        tools.addWidget(self.peaks)
        tools.addWidget(self.add)
        layout.addWidget(self.tools)
        layers.on_edit = self._on_edit
        self.hide()

    # -- begin and end ----------------------------------------------------------------------------------------

    @property
    def active(self) -> bool:
        """Whether a pause is shown."""
        return self.control is not None

    def begin(self, control: Control, spacing_A: float) -> None:
        """A run is paused."""
        held = control.held
        self.control, self.spacing_A = control, spacing_A
        refusal = "there are no atoms yet." if held is None else held.refusal
        editable = held is not None and not refusal
        self.words.setText(HOW if editable else f"The atoms cannot be edited here: {refusal}")
        self.tools.setVisible(editable)
        self.count.setVisible(editable)
        self.peaks.clear()
        self.peaks.hide()
        self.add.hide()
        if editable and held is not None:
            self.layers.begin_editing(held)
        self._on_edit()
        self.show()

    def hand_over(self) -> str | None:
        """Give the edit to the run; what it holds in words ('' for nothing), None where it cannot be used."""
        if self.control is None or not self.layers.editor.active:
            return ""
        try:
            edit = self.control.edit(self.layers.editor.atoms())
        except InputError as error:
            # the run stays paused, and the layer as it is
            self.state.fail(str(error), EDIT)
            return None
        self.state.succeed(EDIT)
        return edit.words if edit else ""

    @property
    def changed(self) -> bool:
        """Whether atoms differ from those of the pause."""
        if self.control is None or not self.layers.editor.active:
            return False
        try:
            return bool(self.control.difference(self.layers.editor.atoms()))
        except InputError:
            return True

    def end(self, keep: bool = False) -> None:
        """The run goes on or is over; ``keep`` leaves the edited layer in the viewer."""
        if self.control is None:
            return
        self.click_mode.setChecked(False)
        self.control, self._searching, self._click_wanted = None, False, None
        self.state.succeed(EDIT)
        self.layers.end_editing(keep)
        self.hide()

    def shutdown(self) -> None:
        """Stop listening; an edited layer stays in the viewer."""
        self.layers.on_edit = lambda: None
        self.end(keep=self.changed)

    # -- edit -------------------------------------------------------------------------------------------------

    def _delete(self) -> None:
        if not self.layers.editor.delete_selected():
            self._say("Nothing is selected: click or box atoms in Atoms 3D first.")

    def _undo(self) -> None:
        self.layers.editor.undo()
        self.layers.look_at(self.layers.view or "atoms", reset=False)

    def _on_edit(self) -> None:
        if self.control is None or not self.layers.editor.active:
            return
        outdated = not self._taking and self.layers.editor.candidates is not None and self._outdated
        if outdated:
            self._forget_peaks()
        self._say(OUTDATED if outdated else "")
        self._enable()

    def _say(self, more: str = "") -> None:
        """The sum of all changes, and below it what the last action has to say."""
        if self.control is None or not self.layers.editor.active:
            return
        try:
            edit = self.control.difference(self.layers.editor.atoms())
        except InputError as error:
            words = f"⚠ {error}"
        else:
            self.state.succeed(EDIT)
            words = f"So far {edit.words}; Resume takes it." if edit else "Nothing is changed yet."
        if not self.layers.editor.there:
            words = f"{LAYER_DELETED} Resume goes on with the atoms of the pause."
        self.count.setText(f"{words}\n{more}" if more else words)

    def _enable(self) -> None:
        there = self.layers.editor.there
        self.delete.setEnabled(there)
        self.delete.setToolTip(
            "Remove the atoms that are selected in the layer Atoms (editing)." if there else LAYER_DELETED
        )
        self.find.setEnabled(not self._searching)
        self.find.setText("Searching…" if self._searching else "Find residual peaks")

    # -- residual peaks ---------------------------------------------------------------------------------------

    def _find(self) -> None:
        if self.control is None or self._searching:
            return
        try:
            self._asked = self.layers.editor.atoms()
            self.control.ask_candidates(self._asked)
        except InputError as error:
            self.state.fail(str(error), EDIT)
            return
        self._searching = True
        self._say()
        self._forget_peaks()
        self._enable()

    def poll(self) -> None:
        """Look for the solver's answer; called by the panel's timer."""
        if not self._searching or self.control is None:
            return
        found = self.control.candidates()
        if found is None:
            return
        self._searching = False
        if self._outdated:
            self._on_edit()  # what it says of these atoms stays
            if self._click_wanted is not None:
                self._find()
            else:
                self._say(OUTDATED)
            return
        if isinstance(found, str):
            self.state.fail(found, EDIT)
        else:
            self._show(found)
        self._enable()
        wanted, self._click_wanted = self._click_wanted, None
        if wanted is not None and not isinstance(found, str):
            self._add_near(*wanted)

    @property
    def _outdated(self) -> bool:
        """Whether atoms have changed since peaks were asked for: the answer is about atoms that are no more."""
        asked = self._asked
        try:
            now = self.layers.editor.atoms()
        except InputError:
            return True
        return (
            asked is None or not np.array_equal(now.id, asked.id) or not np.array_equal(now.positions, asked.positions)
        )

    def _show(self, found: Candidates) -> None:
        self.layers.show_candidates(found)
        self.peaks.clear()
        for (x, y, z), height, score in zip(found.positions, found.height, found.significance, strict=True):
            place = ", ".join(f"{round(float(c), 1) + 0.0:.1f}" for c in (x, y, z)).replace("-", "−")
            self.peaks.addItem(f"{score:.1f} σ, height {height:.3g}, at {place} Å")
        self.peaks.setCurrentRow(0)  # the best: what Enter takes unless another is chosen
        self.peaks.setVisible(bool(len(found)))
        self.add.setVisible(bool(len(found)))
        if not len(found):
            self._say("No residual peak is worth an atom: the images ask for no other.")

    def _forget_peaks(self) -> None:
        """They were found beside atoms that are no more, or are looked for again: none may be added."""
        self.layers.show_candidates(None)
        self.peaks.clear()
        self.peaks.hide()
        self.add.hide()

    def _add_chosen(self) -> None:
        if self.peaks.currentRow() >= 0:
            self._take(self.peaks.currentRow())

    def _take(self, row: int) -> None:
        found = self.layers.editor.candidates
        if found is None:
            return
        rest = np.delete(np.arange(len(found)), row)
        position = found.positions[row]
        self._show(Candidates(found.positions[rest], found.height[rest], found.significance[rest]))
        self._taking = True
        try:
            self.layers.editor.add(position)
        finally:
            self._taking = False
        self._asked = self.layers.editor.atoms()  # the others were fitted together with this one

    # -- a click on an image ----------------------------------------------------------------------------------

    def _on_click_mode(self, on: bool) -> None:
        callbacks = self.layers.viewer.mouse_drag_callbacks
        if on and self._on_mouse not in callbacks:
            callbacks.append(self._on_mouse)
            if self.layers.view not in ("images", "markers"):
                self.layers.look_at("markers")
            if self.layers.editor.candidates is None:
                self._find()
        elif not on and self._on_mouse in callbacks:
            callbacks.remove(self._on_mouse)

    def _on_mouse(self, viewer: Any, event: Any) -> Generator[None, None, None]:
        """A click, not a drag, takes the peak that lies there."""
        pressed = np.asarray(event.pos)
        yield
        while event.type == "mouse_move":
            yield
        if np.linalg.norm(np.asarray(event.pos) - pressed) > CLICK_PX or self.layers.view not in ("images", "markers"):
            return
        at = np.asarray(event.position, float)[-2:]
        if self.layers.editor.candidates is None or self._outdated:
            self._click_wanted = self.layers.tilt, at
            self._find()
        else:
            self._add_near(self.layers.tilt, at)

    def _add_near(self, tilt: int, at: np.ndarray) -> None:
        found = self.layers.editor.candidates
        if found is None:
            return
        row = found.near(self.layers.candidates_on(tilt)[:, 1:], at, CLICK_REACH * self.spacing_A)
        if row is None:
            self._say(f"No residual peak within {CLICK_REACH * self.spacing_A:.1f} Å of the click on tilt {tilt}.")
        else:
            self._take(row)
