"""The five ways to look at the workbench's layers: images side by side, overlay, atoms in 3-D, probe, volume."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from napari.layers import Layer

from napari_lot.gui.canvas.doubt_mark import DOUBT
from napari_lot.gui.canvas.editing import EDITING, PEAKS
from napari_lot.gui.canvas.scale_bar import ScaleBar
from napari_lot.gui.canvas.sliders import Sliders
from napari_lot.gui.canvas.stacks import AXES_4D, CALCULATED, MEASURED, RESIDUAL
from napari_lot.gui.canvas.still import Still
from napari_lot.gui.work.heap import give_back

# In (z, y, x) napari's default 3-D camera shows a mirror image; with depth going away from the viewer it does not.
RIGHT_HANDED = ("away", "down", "right")
ATOMS, MARKERS, PROBE = "Atoms", "Atoms on tilt", "Probe"
PROBE_BEFORE, PROBE_CHANGE = "Probe (settings)", "Probe change"
VOLUME, TRACED = "Volume", "Traced atoms"
IN_3D = ("atoms", "volume")
SHOWN = {
    "images": (MEASURED, CALCULATED, RESIDUAL),
    "markers": (MEASURED, MARKERS, PEAKS, DOUBT),
    "atoms": (ATOMS, EDITING, PEAKS, DOUBT),
    "probe": (PROBE_BEFORE, PROBE, PROBE_CHANGE),
    "volume": (VOLUME, TRACED),
}
WORDS_PX = 56
"""Height of the words above the atoms, which napari underlays with the colour of the canvas."""
DRAWN = "napari_lot_drawn"
"""In the metadata of what is drawn on the images: its rank from below."""
LAST, OFF = "napari_lot_shown", "napari_lot_off"
"""There as well: whether the view that was arranged last shows it, and whether a person has switched it off since."""
SIDE_BY_SIDE = {"images": CALCULATED, "probe": PROBE_BEFORE}
BARS = {"images": RESIDUAL, "probe": PROBE_CHANGE}
MAIN = {"images": MEASURED, "markers": MARKERS, "atoms": ATOMS, "probe": PROBE, "volume": VOLUME}
NEEDS = {
    "images": "needs a tilt series (step 1)",
    "markers": "needs atoms (step 3)",
    "atoms": "needs atoms (step 3)",
    "probe": "needs energy and semi-angle (step 2)",
    "volume": "needs a volume (step 6)",
}


class Views:
    """Arranges camera, grid and visibility; other people's layers are left alone.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    own : callable
        The workbench's layers that are on screen, by name.
    """

    def __init__(self, viewer: Any, own: Callable[[], dict[str, Layer]]) -> None:
        self.viewer = viewer
        self.own = own
        self.current: str | None = None
        self.probe_reach_A = 1.0
        self.sliders = Sliders(viewer, self._idle_axes)
        self.scale_bar = ScaleBar(viewer)
        self.still = Still(lambda: self.sliders.widget)

    def close(self) -> None:
        """Stop listening to the viewer."""
        self.sliders.close()
        self.scale_bar.close()

    def available(self, view: str) -> str | None:
        """None where a view can be shown, else what is missing."""
        there = (ATOMS, EDITING) if view in ("markers", "atoms") else (MAIN[view],)
        return None if self.own().keys() & set(there) else NEEDS[view]

    def arrange(self, view: str, reset: bool = True) -> None:
        """Show one way to look; ``reset`` frames it anew."""
        viewer = self.viewer
        self.current = view
        own = self.own()
        # While atoms are edited, what streamed before would lie over them.
        shown = set(SHOWN[view]) - ({ATOMS} if EDITING in own else set())
        # The grid outside the batch: napari sizes its boxes only when it is told about it. Off before layers are hidden
        # and on after they are shown: for another number of layers napari makes new boxes, and the old ones stay in
        # memory.
        grid = viewer.canvas.grid
        side_by_side = SIDE_BY_SIDE.get(view) in own
        self.leave_grid(view)
        self.order()
        # Every change of a layer or the grid, and every batch, makes napari build its scene anew and look through the
        # whole program for garbage, which takes it half a second: only real changes, in one batch.
        turned = [(layer, name in shown) for name, layer in own.items() if layer.visible != (name in shown)]
        if turned:
            with viewer.layers.batched_update():
                for layer, visible in turned:
                    layer.visible = visible
        grid.stride, grid.shape, grid.spacing = 1, (1, -1), 4
        reset = reset or (side_by_side and not grid.enabled)  # boxes are smaller than the canvas that was framed
        grid.enabled = side_by_side
        for layer in self._drawn():
            _show_drawn(layer, view == "markers" or (view == "images" and not grid.enabled))
        for name in (*SHOWN["images"], *SHOWN["probe"]):
            if name in own:
                own[name].name_overlay.position = "top_left"
                own[name].name_overlay.visible = grid.enabled and name in SHOWN[view]
        for of, name in BARS.items():
            if name in own:
                bar = own[name].colorbar
                bar.position, bar.size, bar.font_size = "top_right", (10, 90), 8
                bar.visible = grid.enabled and of == view
        ndisplay = 3 if view in IN_3D else 2
        if viewer.dims.ndisplay != ndisplay:
            viewer.dims.ndisplay = ndisplay
            # what OpenGL made for the other way to look leaves tens of MB free in small pieces, each time
            give_back()
        if view in IN_3D:
            viewer.scene.camera.orientation = RIGHT_HANDED
        elif viewer.dims.ndim >= 4:
            # The stacks and markers lie in the plane z = 0; the probe's focus is looked at from there as well.
            viewer.dims.set_point(viewer.dims.ndim - 3, 0.0)
        self._set_depth_margin(1e4 if view in ("images", "markers") else 0.0)
        viewer.canvas.overlays.scale_bar.visible = True
        viewer.canvas.overlays.scale_bar.gridded = False
        if reset:
            self._frame(view)
        self.select_main()
        self.sliders.update()
        self.scale_bar.update()

    def leave_grid(self, view: str) -> None:
        """Take the boxes away where a view has no layers side by side: each layer that comes would cost new ones."""
        if SIDE_BY_SIDE.get(view) not in self.own():
            self.viewer.canvas.grid.enabled = False

    def select_main(self) -> None:
        """Select the layer that the view is about: napari selects the newest."""
        own, main = self.own(), MAIN.get(self.current or "")
        main = EDITING if main == ATOMS and EDITING in own else main
        if main in own:
            self.viewer.layers.selection.active = own[main]

    def order(self) -> None:
        """Own layers to the top of the list, in reading order for the side-by-side view."""
        own, layers = self.own(), self.viewer.layers
        shown = (*SHOWN["probe"], *SHOWN["images"], *SHOWN["volume"], MARKERS, ATOMS, EDITING, PEAKS, DOUBT)
        wanted = [own[n] for n in shown if n in own] + self._drawn()
        lowest = len(layers) - len(wanted)
        # only what is out of place: for each layer that moves napari arranges its scene anew
        for layer in wanted:
            if layers.index(layer) < lowest:
                layers.move(layers.index(layer), len(layers))
        for place, layer in enumerate(wanted, start=lowest):
            if layers[place] is not layer:
                layers.move(layers.index(layer), place)

    def _drawn(self) -> list[Layer]:
        """What is drawn on the images, from below."""
        drawn = [layer for layer in self.viewer.layers if DRAWN in layer.metadata]
        return sorted(drawn, key=lambda layer: layer.metadata[DRAWN])

    def say(self, text: str, sliders: tuple[str, ...]) -> None:
        """Words on the canvas ('' for none), and words beside the sliders of tilt and depth (none leaves them)."""
        overlay = self.viewer.canvas.overlays.text
        if text:
            overlay.text = text
            # what the colours mean stands away from messages and scale bar; above images stand their names
            overlay.position = "top_left" if self.current in IN_3D else "bottom_left"
            overlay.font_size = 9 if self.current in IN_3D else 11  # atoms that are turned or zoomed lie behind
            overlay.gridded = False
        overlay.visible = bool(text)
        names = list(self.viewer.dims.axis_labels)
        if sliders and len(names) >= 4:
            names[-4 : len(sliders) - 4] = (word[: len(AXES_4D[0]) + 2] for word in sliders)
            if tuple(names) != self.viewer.dims.axis_labels:
                self.viewer.dims.axis_labels = tuple(names)

    def _idle_axes(self) -> tuple[int, ...]:
        """Axes whose sliders change nothing: depth beside projections, tilt beside the probe."""
        n, own = self.viewer.dims.ndim, self.own().values()
        if any(
            layer.visible and layer not in own and layer.ndim >= 3 and DRAWN not in layer.metadata
            for layer in self.viewer.layers
        ):
            return ()  # somebody else's layer may need them
        return {"images": (n - 3,), "markers": (n - 3,), "probe": (n - 4,)}.get(self.current or "", ())

    def _set_depth_margin(self, margin_A: float) -> None:
        """Thickness of what is shown in 2-D along the beam: a projection has no depth, so moving z must not hide it."""
        dims = self.viewer.dims
        if dims.ndim >= 3:
            margins = [0.0] * dims.ndim
            margins[-3] = margin_A
            dims.margin_left = dims.margin_right = tuple(margins)

    def _frame(self, view: str) -> None:
        """Fill the canvas with what is looked at, not with everything there is."""
        viewer, own = self.viewer, self.own()
        if view in ("images", "markers"):
            if MEASURED in own:
                viewer.reset_view(layers=[own[MEASURED]])
            return
        # napari 0.9 cannot frame a layer of fewer dimensions than the viewer has, so this is done by hand.
        layer = own.get(MAIN[view]) or own.get(EDITING)
        if layer is None:
            return
        low, high = (np.asarray(edge)[-3:] for edge in layer.extent.world)
        camera = viewer.scene.camera
        if view == "probe":
            reach = self.probe_reach_A
            low, high = np.array([low[0], -reach, -reach]), np.array([high[0], reach, reach])
            camera.center = (0.0, *((low + high) / 2)[1:])
        else:
            camera.angles = (0, 0, 0)
            if MEASURED in own:
                # The scale and the middle of the images, whatever far orbitals an early stage has.
                low, high = (np.asarray(edge)[-3:] for edge in own[MEASURED].extent.world)
            middle = (low + high) / 2
        size = (high - low)[1:] if view == "probe" else high - low
        height, width = viewer.canvas.size
        if view == "probe" and PROBE_BEFORE in own:
            width /= len(SHOWN["probe"])
        largest = max(float(np.max(size)), 1e-3)
        if view == "probe":
            camera.zoom = 0.85 * float(min(height, width)) / largest
        else:  # below the words
            camera.zoom = 0.85 * float(min(max(height - WORDS_PX, 1), width)) / largest
            camera.center = (middle[0], middle[1] - WORDS_PX / 2 / camera.zoom, middle[2])


def _show_drawn(layer: Layer, wanted: bool) -> None:
    """Show or hide a drawing with the view; what a person has switched off stays so until they switch it on."""
    notes = layer.metadata
    notes[OFF] = not layer.visible and (notes.get(OFF, False) or notes.get(LAST, True))
    layer.visible = notes[LAST] = wanted and not notes[OFF]
