"""The table in its dock, and its selection on the canvas: rows select points, points select rows."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
from napari.layers import Points
from numpy.typing import NDArray

from napari_lot.gui.canvas.layers import WorkbenchLayers
from napari_lot.gui.canvas.views import ATOMS, MARKERS
from napari_lot.gui.docks import dock_below
from napari_lot.gui.table.columns import columns_of
from napari_lot.gui.table.view import AtomsTable

TITLE = "Atoms of the run"


class LinkedTable:
    """Opens, fills and closes the table of one workbench."""

    def __init__(self, layers: WorkbenchLayers) -> None:
        self.layers = layers
        self.table: AtomsTable | None = None
        self.coordination: NDArray[np.int64] | None = None
        self._dock: Any = None
        self._listened: list[Points] = []
        self._busy = False
        layers.viewer.layers.events.inserted.connect(self._listen)

    def open(self) -> AtomsTable:
        """Show the table, anew where its dock was closed."""
        table = self.table
        if table is None or not self._is_docked():
            self._delete()
            table = self.table = AtomsTable(self._on_table)
            self._dock = dock_below(self.layers.viewer.window, table, TITLE)
            self.fill()
            self._listen()
            self._from_layer(self._listened[0] if self._listened else None)
        self._dock.show()
        self._dock.raise_()
        return table

    def _is_docked(self) -> bool:
        # napari takes a closed dock's widget out of its parent.
        try:
            return self.table is not None and self.table.parent() is not None
        except RuntimeError:  # deleted with its dock
            return False

    def fill(self, coordination: NDArray[np.int64] | None = None) -> None:
        """Show the atoms of the result on screen, with their neighbours where these are known."""
        if coordination is not None or self.layers.atoms.result is None:
            self.coordination = coordination
        if self.table is None or not self._is_docked():
            return
        result = self.layers.atoms.result
        if result is None:
            self.table.show_atoms([])
            return
        known = self.coordination
        if known is not None and len(known) != len(result.orbitals):
            known = None
        self.table.show_atoms(columns_of(result, self.layers.atoms.intensity, known))

    def forget(self) -> None:
        """The atoms are others now."""
        self.coordination = None
        if self.table is not None and self._is_docked():
            self.table.select(np.zeros(0, np.int64))
        self.fill()

    def close(self) -> None:
        """Stop listening and take the dock away."""
        self.layers.viewer.layers.events.inserted.disconnect(self._listen)
        for layer in self._listened:
            self._leave(layer)
        self._listened = []
        self.put_away()

    def put_away(self) -> None:
        """Take the dock away; it is made anew when it is wanted."""
        if self._is_docked():
            with suppress(LookupError, RuntimeError, AttributeError):  # the window may be going, too
                self.layers.viewer.window.remove_dock_widget(self._dock)
        self._delete()
        self._dock = None

    def _delete(self) -> None:
        # Of a closed dock napari leaves the widget, and nobody else deletes it.
        if self.table is not None:
            with suppress(RuntimeError):  # deleted with its dock
                self.table.deleteLater()
        self.table = None

    # -- selection --------------------------------------------------------------------------------------------

    def _listen(self, event: Any = None) -> None:
        """Follow the layers of atoms that are there now: a finished run makes them anew."""
        there = [layer for name, layer in self.layers.own_layers().items() if name in (ATOMS, MARKERS)]
        for layer in self._listened:
            if layer not in there:
                self._leave(layer)
        for layer in there:
            if layer not in self._listened:
                layer.selected_data.events.items_changed.connect(self._on_points)
                layer.mouse_drag_callbacks.append(self._on_press)
        self._listened = there

    def _leave(self, layer: Points) -> None:
        layer.selected_data.events.items_changed.disconnect(self._on_points)
        if self._on_press in layer.mouse_drag_callbacks:
            layer.mouse_drag_callbacks.remove(self._on_press)

    def _atoms(self, points: Any) -> NDArray[np.int64]:
        """Atoms of the result that points of a layer are."""
        index = np.array(sorted(points), np.int64)
        orbitals = self.layers.atoms.orbitals
        index = index[index < (0 if orbitals is None else len(orbitals))]  # no spare rows
        kept = self.layers.atoms.kept
        return index if kept is None else kept[index]

    def _is_whole(self, layer: Points) -> bool:
        """Whether the layer has a point for each atom: it is filled after the atoms are others."""
        return self.layers.atoms.orbitals is not None and len(layer.data) >= len(self.layers.atoms.orbitals)

    def _points(self, atoms: NDArray[np.int64]) -> NDArray[np.int64]:
        kept = self.layers.atoms.kept
        if kept is None:
            return atoms
        place = np.searchsorted(kept, atoms)
        there = place < len(kept)
        there[there] = kept[place[there]] == atoms[there]
        return place[there]

    def _on_table(self, atoms: NDArray[np.int64]) -> None:
        points = self._points(atoms)
        self._busy = True
        try:
            for layer in self._listened:
                if self._is_whole(layer):
                    layer.selected_data = {int(i) for i in points}
        finally:
            self._busy = False
        if len(points):
            self.layers.centre_on(points)

    def _on_points(self, *_: Any) -> None:
        if self._busy or self.table is None or not self._is_docked():
            return
        active = self.layers.viewer.layers.selection.active
        self._from_layer(active if active in self._listened else next(iter(self._listened), None))

    def _from_layer(self, layer: Points | None) -> None:
        if layer is not None and self.table is not None and self._is_whole(layer):
            self.table.select(self._atoms(layer.selected_data))

    def _on_press(self, layer: Points, event: Any) -> Any:
        """A click selects the atom under it, with Shift one more; napari's own select mode does that by itself."""
        if layer.mode != "pan_zoom" or event.button != 1:
            return
        yield
        if event.type == "mouse_move":
            return
        if self.table is None or not self._is_docked():
            return
        hit = layer.get_value(
            event.position, view_direction=event.view_direction, dims_displayed=event.dims_displayed, world=True
        )
        if hit is None:
            if "Shift" not in event.modifiers:
                layer.selected_data = set()
            return
        chosen = set(layer.selected_data) if "Shift" in event.modifiers else set()
        layer.selected_data = chosen ^ {int(hit)}
