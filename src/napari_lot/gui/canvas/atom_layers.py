"""The atoms: coloured spheres in 3-D and rings on the shown tilt."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_lot.atoms import Orbitals
from napari_lot.gui.canvas.color_bar import show_color_bar
from napari_lot.gui.canvas.colors import HEIGHT, Coloring, coloring
from napari_lot.gui.canvas.points import PointsBuffer
from napari_lot.gui.canvas.sizes import EQUAL, Sizing, by_error_bar
from napari_lot.gui.canvas.views import ATOMS, MARKERS
from napari_lot.job import Result

MAX_SHOWN = 100_000
SPHERE, RING = 0.62, 0.45
"""Diameters in expected nearest-neighbour distances."""


class AtomLayers:
    """Owns the two layers of atoms; of very many the ``MAX_SHOWN`` highest are shown.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    streaming : callable
        As for ``PointsBuffer``.

    Attributes
    ----------
    spheres, markers : PointsBuffer or None
        None before there are atoms.
    orbitals : Orbitals or None
        The atoms on screen.
    result : Result or None
        That of a finished run, whose atoms these are.
    kept : (N,) int64 or None
        Which atoms of the result are on screen, None for all of them.
    intensity : str
        Unit of the images, in words.
    noun : str
        What they are called: the orbitals of a running fit are no atoms yet.
    of : int
        How many there are, of which the strongest ``MAX_SHOWN`` are on screen.
    on_refused : callable
        Told when napari's tools or a script wanted to change the points of a layer.
    """

    def __init__(self, viewer: Any, streaming: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        self.viewer = viewer
        self._streaming = streaming
        self.spheres: PointsBuffer | None = None
        self.markers: PointsBuffer | None = None
        self.orbitals: Orbitals | None = None
        self.result: Result | None = None
        self.kept: NDArray[np.int64] | None = None
        self.color_by = HEIGHT
        self.size_by = EQUAL
        self.spacing_A = 1.0
        self.intensity = "image units"
        self.settled = False
        self.noun = "orbitals"
        self.of = 0
        self.on_refused: Callable[[], None] = lambda: None
        self._on_tilt: NDArray[np.float64] = np.zeros((0, 3))
        # what is on screen, where nothing else has been since
        self._streamed: Orbitals | None = None
        self._coloring: Coloring | None = None
        self._coloring_of: tuple[Any, ...] = ()

    def remove(self) -> None:
        """Take both layers away, and forget whose atoms they showed."""
        self.release()
        for buffer in (self.spheres, self.markers):
            if buffer is not None and buffer.layer in self.viewer.layers:
                self.viewer.layers.remove(buffer.layer)
        self.spheres = self.markers = None
        self.orbitals = self.result = self.kept = self._coloring = self._streamed = None
        self.settled = False
        self.noun = "orbitals"

    def release(self) -> None:
        """Whoever has the layers may do with their points what they like."""
        for buffer in (self.spheres, self.markers):
            if buffer is not None:
                buffer.release()

    def own(self) -> dict[str, Any]:
        """The layers that are on screen, by name."""
        there = [b for b in (self.spheres, self.markers) if b is not None and b.layer in self.viewer.layers]
        return {buffer.name: buffer.layer for buffer in there}

    # -- what is shown ----------------------------------------------------------------------------------------

    def show(self, orbitals: Orbitals, spacing_A: float, visible: bool) -> bool:
        """Stream orbitals into the spheres; ``visible`` is for a layer that has to be made.

        False where just these are on screen: while a pass goes on there are new images, and no other atoms.
        """
        if orbitals is self._streamed and ATOMS in self.own():
            return False
        self.spacing_A, self.settled = spacing_A, False
        self._take(orbitals)
        if self.spheres is None:
            self.spheres = PointsBuffer(
                ATOMS, SPHERE * spacing_A, self._streaming, self._on_spheres, antialiasing=0, shading="spherical"
            )
            self.markers = PointsBuffer(
                MARKERS,
                RING * spacing_A,
                self._streaming,
                self._on_markers,
                face_color="transparent",
                border_color="#ffb000",
                border_width=0.12,
                blending="translucent_no_depth",
                projection_mode="all",
            )
        self.spheres.visible = visible
        self._stream()
        self._streamed = orbitals
        self._show_color_bar(self.coloring())
        return True

    def _stream(self) -> None:
        assert self.spheres is not None
        assert self.orbitals is not None
        self.spheres.show(self.viewer, self.orbitals.positions[:, ::-1], self.coloring().rgba())

    def change(self, result: Result) -> None:
        """Take over a result in which single atoms were changed, in the layers that are there."""
        self.result = result
        self._take(result.orbitals)
        self.settle()

    def _take(self, orbitals: Orbitals) -> None:
        self.kept, self.of = None, len(orbitals)
        if len(orbitals) > MAX_SHOWN:
            self.kept = np.sort(np.argpartition(orbitals.height, -MAX_SHOWN)[-MAX_SHOWN:])
            orbitals = orbitals.take(self.kept)
        self.orbitals = orbitals

    def settle(self) -> None:
        """Nothing more will stream: the spheres get their own sizes, and what napari saves with them."""
        if self.spheres is None or self.orbitals is None:
            return
        atoms, colors = self.orbitals, self.coloring()
        features: dict[str, NDArray[Any]] = {
            "id": atoms.id,
            "element": np.array(atoms.symbols),
            "height": atoms.height,
            "width_A": atoms.width,
        }
        if self.result is not None:
            kept = slice(None) if self.kept is None else self.kept
            features |= {name: values[kept] for name, values in self.result.columns.items()}
        self.settled, self._streamed = True, None
        self.spheres.settle(self.viewer, atoms.positions[:, ::-1], colors.rgba(), features, self._diameters())
        self._show_color_bar(colors)

    def show_markers(self, on_tilt: NDArray[np.float64]) -> None:
        """Rings at (N, 3) (0, v, u) in Å."""
        if self.markers is not None:
            self._on_tilt = on_tilt
            self.markers.show(self.viewer, on_tilt)

    def _on_spheres(self, changed: bool) -> None:
        if changed and self.spheres is not None and self.orbitals is not None and ATOMS in self.own():
            if self.settled:
                self.settle()
            else:
                self._stream()
        self.on_refused()

    def _on_markers(self, changed: bool) -> None:
        if changed and MARKERS in self.own():
            self.show_markers(self._on_tilt)
        self.on_refused()

    # -- colours and sizes ------------------------------------------------------------------------------------

    def coloring(self) -> Coloring:
        """The colours that the atoms on screen have; worked out once, for canvas, words and histogram."""
        assert self.orbitals is not None
        of = (self.orbitals, self.result, self.color_by, self.intensity)
        if self._coloring is None or any(a is not b for a, b in zip(of, self._coloring_of, strict=True)):
            self._coloring, self._coloring_of = self._new_coloring(), of
        return self._coloring

    def _new_coloring(self) -> Coloring:
        assert self.orbitals is not None
        if self.result is None:
            return coloring(self.color_by, self.orbitals, intensity=self.intensity)
        found = coloring(self.color_by, self.result.orbitals, self.result, self.intensity)
        return found if self.kept is None else replace(found, values=found.values[self.kept])

    def color(self, by: str) -> bool:
        """Colour by height, element, error bar or existence probability; False where there is nothing to colour."""
        self.color_by = by
        if self.orbitals is None or self.spheres is None or self.spheres.layer is None:
            return False
        colors = self.coloring()
        self.spheres.recolor(colors.rgba())
        self._show_color_bar(colors)
        return True

    def _show_color_bar(self, colors: Coloring) -> None:
        if self.spheres is not None and self.spheres.layer is not None:
            show_color_bar(self.spheres.layer, colors)

    @property
    def sizing(self) -> Sizing | None:
        """Diameters and legend where the atoms of a finished run are drawn by their error bars, else None."""
        if self.size_by == EQUAL or self.result is None or self.spheres is None:
            return None
        return by_error_bar(self.result, self.spacing_A, self.spheres.size_A)

    @property
    def size_A(self) -> float:
        """Usual diameter of a sphere."""
        return self.spheres.size_A if self.spheres is not None else SPHERE * self.spacing_A

    def size(self, by: str) -> None:
        """Draw the atoms all alike or by their error bars."""
        self.size_by = by
        # While atoms stream there are spare rows, and nothing is known of any of them.
        if self.spheres is not None and self.settled:
            self.spheres.resize(self._diameters())

    def _diameters(self) -> NDArray[np.float64] | float:
        sizing = self.sizing
        if sizing is None:
            return self.size_A
        return sizing.diameters_A if self.kept is None else sizing.diameters_A[self.kept]
