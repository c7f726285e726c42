"""The layer in which a person edits the atoms of a paused run, and the residual peaks that could be more of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from napari.layers import Points
from numpy.typing import NDArray

from napari_lot.atoms import Orbitals
from napari_lot.edit import Candidates
from napari_lot.errors import InputError
from napari_lot.gui.canvas.color_bar import show_color_bar
from napari_lot.gui.canvas.colors import Coloring
from napari_lot.gui.canvas.points import AXES_3D, UNITS_3D, PointsBuffer

EDITING, PEAKS = "Atoms (editing)", "Residual peaks"
KEPT = "Atoms (edited, not used)"
LAYER_DELETED = "The layer Atoms (editing) was deleted: Undo changes brings it back."
NEW_COLOR = "#cc79a7"
PEAK_COLOR = "#56b4e9"


class AtomEditor:
    """Owns an editable Points layer with one row an atom, told apart by the feature ``id`` (-1 for a new one).

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    on_change : callable
        Called after points were added, moved or removed.
    on_refused : callable
        Called where somebody wants to change the residual peaks.
    """

    def __init__(self, viewer: Any, on_change: Callable[[], None], on_refused: Callable[[], None]) -> None:
        self.viewer = viewer
        self.on_change, self.on_refused = on_change, on_refused
        self.layer: Points | None = None
        self.before: Orbitals | None = None
        self.candidates: Candidates | None = None
        self.peaks: PointsBuffer | None = None
        self._places = np.zeros((0, 3))
        self._size_A = 1.0
        self.colors: Coloring | None = None

    @property
    def active(self) -> bool:
        """Whether atoms are being edited; also when somebody has deleted the layer."""
        return self.before is not None

    def begin(self, orbitals: Orbitals, size_A: float, colors: Coloring) -> None:
        """Make the layer, in the colours that the orbitals have elsewhere, and the bar that tells what they mean."""
        self.before, self._size_A, self.colors = orbitals, size_A, colors
        self.candidates = None
        self._make(visible=True)

    def _make(self, visible: bool) -> None:
        before, colors = self.before, self.colors
        assert before is not None
        assert colors is not None
        self._remove()
        layer = Points(
            before.positions[:, ::-1].copy(),
            name=EDITING,
            size=self._size_A,
            face_color=colors.rgba(),
            border_width=0,
            antialiasing=0,
            shading="spherical",
            units=UNITS_3D,
            axis_labels=AXES_3D,
            features={"id": before.id.copy()},
            feature_defaults={"id": -1},
            visible=visible,
            metadata={"napari_lot_role": "editing"},
        )
        layer.events.data.connect(self._on_data)
        self.layer = layer
        self.viewer.add_layer(layer)
        show_color_bar(layer, colors)
        layer.current_face_color = NEW_COLOR
        layer.current_size = self._size_A
        # Clicks select and Delete removes at once; napari's Space turns the view meanwhile.
        layer.mode = "select"

    def _on_data(self, event: Any) -> None:
        layer = self.layer
        if layer is None or event.source is not layer:
            return
        action = getattr(event.action, "value", event.action)
        if action == "added":
            # napari gives a new point the features of what was selected last: it would pass for that atom
            rows = np.asarray(event.data_indices, np.int64) % len(layer.data)
            layer.features.loc[rows, "id"] = -1
        if action in ("added", "changed", "removed"):
            self.on_change()

    @property
    def there(self) -> bool:
        """Whether the layer is in the viewer."""
        return self.layer is not None and self.layer in self.viewer.layers

    def atoms(self) -> Orbitals:
        """The atoms as they stand in the layer; those of the pause where somebody has deleted it.

        Raises
        ------
        InputError
            The layer has lost its ids.
        """
        before = self.before
        assert before is not None
        if self.layer is None or not self.there:
            return before
        points = np.asarray(self.layer.data, np.float64)
        if points.ndim != 2 or points.shape[1] != 3 or "id" not in self.layer.features:
            raise InputError(f"{EDITING}: the layer has lost its ids or axes; press Undo changes, and edit again.")
        ids = np.asarray(self.layer.features["id"], np.float64)
        ids = np.where(np.isfinite(ids), ids, -1).astype(np.int64)
        row_of = {int(i): row for row, i in enumerate(before.id)}
        rows = np.array([row_of.get(int(i), -1) for i in ids], np.int64)
        known = rows >= 0
        blank = Orbitals.create(
            points[:, ::-1], float(np.median(before.height)), float(np.median(before.width)), -1, before.elements, ids
        )
        height, width, species = blank.height, blank.width, blank.species
        height[known], width[known] = before.height[rows[known]], before.width[rows[known]]
        species[known] = before.species[rows[known]]
        return replace(blank, height=height, width=width, species=species)

    def add(self, position: NDArray[np.float64]) -> None:
        """Add an atom at x, y, z in Å."""
        if not self.there:
            self._make(visible=False)
        assert self.layer is not None
        self.layer.add(np.asarray(position, np.float64)[::-1])

    def delete_selected(self) -> int:
        """Remove what is selected; returns how many."""
        if self.layer is None or not self.there:
            return 0
        count = len(self.layer.selected_data)
        self.layer.remove_selected()
        return count

    def undo(self) -> None:
        """The atoms as they were when the run was paused."""
        self._make(visible=self.layer is None or self.layer.visible)
        self.on_change()

    def end(self, keep: bool = False) -> None:
        """Take the layer away, or leave it to the viewer under another name."""
        if self.layer is not None:
            self.layer.events.data.disconnect(self._on_data)
        if keep and self.layer is not None and self.there:
            self.layer.name = KEPT
            self.layer.mode = "pan_zoom"
            self.layer.face_colorbar.visible = False  # the layer of the run's atoms has one again
        else:
            self._remove()
        self.layer = self.before = self.candidates = None
        self._remove_peaks()

    def _remove(self) -> None:
        # given up before it is taken away: so nobody takes it for a layer that a person has deleted
        layer, self.layer = self.layer, None
        if layer is not None and layer in self.viewer.layers:
            self.viewer.layers.remove(layer)

    # -- residual peaks ---------------------------------------------------------------------------------------

    def show_peaks(self, places: NDArray[np.float64]) -> None:
        """Rings (M, 3) at the candidates: as (0, v, u) where the shown tilt has them, or as z, y, x in 3-D."""
        if not len(places):
            self._remove_peaks()
            return
        self._places = places
        if self.peaks is None:
            self.peaks = PointsBuffer(
                PEAKS,
                0.9 * self._size_A,
                touched=self._on_peaks_touched,
                spare=False,
                face_color="transparent",
                border_color=PEAK_COLOR,
                border_width=0.12,
                blending="translucent_no_depth",
                projection_mode="all",
            )
        self.peaks.show(self.viewer, places)

    def _on_peaks_touched(self, changed: bool) -> None:
        if changed:
            self.show_peaks(self._places)
        self.on_refused()

    def _remove_peaks(self) -> None:
        if self.peaks is not None and self.peaks.layer is not None and self.peaks.layer in self.viewer.layers:
            self.viewer.layers.remove(self.peaks.layer)
        self.peaks = None

    def own(self) -> dict[str, Points]:
        """Its layers that are on screen, by name."""
        found: dict[str, Points] = {}
        if self.layer is not None and self.there:
            found[EDITING] = self.layer
        if self.peaks is not None and self.peaks.layer is not None and self.peaks.layer in self.viewer.layers:
            found[PEAKS] = self.peaks.layer
        return found
