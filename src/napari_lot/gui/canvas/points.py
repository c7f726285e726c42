"""A Points layer that atoms stream into."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from napari.layers import Points
from numpy.typing import NDArray

from napari_lot.gui.canvas.guard import Guard

UNITS_3D = ("angstrom",) * 3
AXES_3D = ("z", "y", "x")
ROOM, TOO_MUCH = 1.05, 1.3
"""Rows that a layer gets, and above which it loses some, over those that it needs: spare rows are drawn, too, as
nothing, and cost almost as much as others."""


class PointsBuffer:
    """A read-only Points layer of some capacity whose spare rows wait: mostly no reallocation while atoms stream in.

    Spare rows are masked with ``shown``, and because napari 0.9 ignores that mask in 3-D (when no axis is sliced) they
    also have no size, no opacity, and lie inside shown points.

    Parameters
    ----------
    name, size_A, options
        Of the layer: its name, the diameter of its points, and what else napari is told.
    streaming : callable
        Makes a context for changes of where points are, and in which colours.
    spare : bool
        Whether there are spare rows. Without, nothing is drawn of them, and other numbers of points make a new layer:
        of rows without a size napari draws a dot of the border's colour in 3-D.
    touched : callable
        As for ``Guard``: napari's tools and scripts cannot change the points.
    """

    def __init__(
        self,
        name: str,
        size_A: float,
        streaming: Callable[[], AbstractContextManager[None]] = nullcontext,
        touched: Callable[[bool], None] = lambda changed: None,
        spare: bool = True,
        **options: Any,
    ) -> None:
        self.name = name
        self.touched = touched
        self.spare = spare
        self._guard: Guard | None = None
        self.size_A = size_A
        self.streaming = streaming
        self.options = options
        self.layer: Points | None = None
        self.visible = True
        self.count = 0

    def release(self) -> None:
        """The layer is nobody's now, or another's: its points may be changed."""
        if self._guard is not None:
            self._guard.release()
        self._guard = None

    def _on_touched(self, changed: bool) -> None:
        if changed:
            self.count = -1  # of its rows nothing is what it should be
        self.touched(changed)

    def show(self, viewer: Any, zyx: NDArray[np.float64], colors: NDArray[np.float32] | None = None) -> None:
        """Put N points (N, 3) on screen, with RGBA colours (N, 4) or the layer's own."""
        n = len(zyx)
        layer = self.layer
        # A settled layer says something about each of its points: it cannot take others.
        settled = layer is not None and len(layer.features.columns)
        if layer is None or layer not in viewer.layers or settled or not (self.spare or n == len(layer.data)):
            self._make(viewer, zyx, colors, _capacity(n) if self.spare else n)
            return
        if self.spare and (n > len(layer.data) or len(layer.data) > TOO_MUCH * _capacity(n)):
            self._change_capacity(layer, _capacity(n))
        capacity = len(layer.data)
        if n:  # else all rows wait, where they are
            _fill(layer.data, zyx)
        # Written into the arrays, and one refresh at the end: each setter alone would slice and draw again, that of the
        # colours even with its events blocked.
        if colors is not None:
            layer.face_color[:] = _faces(colors, capacity)
        if n != self.count:
            shown = np.arange(capacity) < n
            layer.size[:] = np.where(shown, self.size_A, 0.0)
            with layer.events.blocker_all():
                layer.shown = shown
        self.count = n
        with self.streaming():
            layer.refresh(thumbnail=False)  # that waits until nothing streams any more

    def recolor(self, colors: NDArray[np.float32]) -> None:
        """Other colours (N, 4) for the points on screen."""
        if self.layer is not None:
            self.layer.face_color = _faces(colors, len(self.layer.data))

    def resize(self, sizes_A: NDArray[np.float64] | float) -> None:
        """Other diameters (N,) for the points on screen."""
        if self.layer is not None:
            sizes = np.zeros(len(self.layer.data))
            sizes[: self.count] = sizes_A
            self.layer.size = sizes

    def settle(
        self,
        viewer: Any,
        zyx: NDArray[np.float64],
        colors: NDArray[np.float32],
        features: dict[str, NDArray[Any]],
        sizes_A: NDArray[np.float64] | float | None = None,
    ) -> None:
        """The last points (N, 3), without spare rows, with what is known of each and their diameters (N,) or one.

        A layer that is there takes the points as they are, however few or many: to make one anew costs napari most of
        a second.
        """
        sizes = self.size_A if sizes_A is None else sizes_A
        layer = self.layer
        if layer is None or layer not in viewer.layers:
            self._make(viewer, zyx, colors, len(zyx), features=features)
            self.resize(sizes)
            return
        _select_none(layer)
        # Written into the arrays where a setter would draw: one refresh at the end is enough, and a hidden layer, which
        # is not sliced, would be drawn with the rows of before.
        if len(zyx) != len(layer.data):
            self._change_capacity(layer, len(zyx))
        with layer.events.blocker_all():
            layer.data[:] = zyx
            layer.face_color[:] = colors
            layer.size[:] = sizes
            layer.shown = np.ones(len(zyx), bool)
            layer.features = features
        self.count = len(zyx)
        if layer.visible:
            layer.refresh()
        else:  # nothing else makes napari look again how far a hidden layer reaches
            layer.translate = layer.translate

    def _change_capacity(self, layer: Points, capacity: int) -> None:
        """More or fewer rows, nothing in which is what it should be."""
        _select_none(layer)
        with layer.events.blocker_all():
            layer.data = np.resize(layer.data, (capacity, 3)) if len(layer.data) else np.zeros((capacity, 3))
            _name_symbols(layer)
        self.count = -1

    def _make(
        self,
        viewer: Any,
        zyx: NDArray[np.float64],
        colors: NDArray[np.float32] | None,
        capacity: int,
        **more: Any,
    ) -> None:
        n = len(zyx)
        shown = np.arange(capacity) < n
        options = {"border_width": 0, **self.options, **more}
        if colors is not None:
            options["face_color"] = _faces(colors, capacity)
        old = self.layer if self.layer is not None and self.layer in viewer.layers else None
        layer = Points(
            _padded(zyx, capacity),
            name=self.name,
            size=np.where(shown, self.size_A, 0.0),
            shown=shown,
            units=UNITS_3D,
            axis_labels=AXES_3D,
            visible=old.visible if old is not None else self.visible,
            metadata={"napari_lot_role": self.name.lower()},
            **options,
        )
        layer.editable = False
        _name_symbols(layer)
        self.release()
        self._guard = Guard(layer, self._on_touched)
        position = viewer.layers.index(old) if old is not None else None
        if old is not None:
            viewer.layers.remove(old)
        # Before it is added: whoever hears of the new layer asks whether it is there.
        self.layer, self.count = layer, n
        viewer.add_layer(layer)
        if position is not None:
            viewer.layers.move(len(viewer.layers) - 1, position)


def _capacity(count: int) -> int:
    return max(256, int(ROOM * count))


def _select_none(layer: Points) -> None:
    """Its rows may be others now."""
    if layer.selected_data:
        layer.selected_data = set()


def _name_symbols(layer: Points) -> None:
    """Give each row the name of its symbol and no member of napari's Symbol.

    napari asks every row for its name whenever points are drawn, and a member takes twenty times as long to answer as
    a word.
    """
    layer.symbol[:] = str(layer.symbol[0]) if len(layer.data) else ""


def _padded(zyx: NDArray[np.float64], capacity: int) -> NDArray[np.float64]:
    """Points (capacity, 3) as ``_fill`` makes them."""
    rows = np.zeros((capacity, 3))
    if len(zyx):
        _fill(rows, zyx)
    return rows


def _fill(rows: NDArray[np.float64], zyx: NDArray[np.float64]) -> None:
    """The given points, then copies of them (all in one place would stall software OpenGL)."""
    for first in range(0, len(rows), len(zyx)):
        part = rows[first : first + len(zyx)]
        part[:] = zyx[: len(part)]


def _faces(colors: NDArray[np.float32], capacity: int) -> NDArray[np.float32]:
    faces = np.zeros((capacity, 4), np.float32)
    faces[: len(colors)] = colors
    return faces
