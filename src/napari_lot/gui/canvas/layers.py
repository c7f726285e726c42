"""The layers of the workbench: stacks, atoms, probe, and what is said about them.

Stacks are 4-D ``[tilt, 1, v, u]``, atoms 3-D ``(z, y, x)``: napari lines axes up from the last one, so the tilt
slider stays a tilt slider and the atoms stay on screen. World coordinates are Å with the rotation centre at 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
from napari.layers import Layer
from numpy.typing import NDArray

from napari_lot.atoms import Orbitals
from napari_lot.edit import Candidates, Held
from napari_lot.gui.broken_off import did_not_end
from napari_lot.gui.canvas.atom_layers import SPHERE, AtomLayers
from napari_lot.gui.canvas.colors import coloring
from napari_lot.gui.canvas.doubt_mark import DOUBT, DoubtMark
from napari_lot.gui.canvas.editing import LAYER_DELETED, AtomEditor
from napari_lot.gui.canvas.guard import Refusal
from napari_lot.gui.canvas.labels import atoms_text, depth_texts, short_angle_text, tilt_text
from napari_lot.gui.canvas.overlay import Projection
from napari_lot.gui.canvas.probe_layers import ProbeLayers
from napari_lot.gui.canvas.stacks import AXES_4D, CALCULATED, LEFT, MEASURED, RESIDUAL, ROLE, Stacks, is_copy
from napari_lot.gui.canvas.views import RIGHT_HANDED, Views
from napari_lot.gui.canvas.volume_layers import VolumeLayers
from napari_lot.job import ProbeSlices, Result
from napari_lot.lot.local import Windows
from napari_lot.series import TiltSeries
from napari_lot.voxel.volume import Volume

OF_FINISHED = (
    "Not changed: the doubt queue deletes atoms of a finished run (N shows one, D deletes it and refits what is around "
    "it)."
)
OF_UNFINISHED = "Not changed: pause the run, and edit its atoms in the layer Atoms (editing)."
OF_PEAKS = (
    "Not changed: rings are where an atom could be added; with Add this atom or Add at a click one becomes an atom."
)

P = ParamSpec("P")
R = TypeVar("R")


def _still(change: Callable[Concatenate[WorkbenchLayers, P], R]) -> Callable[Concatenate[WorkbenchLayers, P], R]:
    """Draw the canvas once after a change of many layers."""

    @wraps(change)
    def changed(layers: WorkbenchLayers, *args: P.args, **kwargs: P.kwargs) -> R:
        with layers.views.still.held():
            return change(layers, *args, **kwargs)

    return changed


class WorkbenchLayers:
    """Owns the workbench's layers in one viewer; a layer that the user deleted is made anew when it is needed."""

    def __init__(self, viewer: Any) -> None:
        self.viewer = viewer
        self.series: TiltSeries | None = None
        self.projection: Projection | None = None
        self.stacks = Stacks(viewer)
        self.probe = ProbeLayers(viewer)
        self.on_edit: Callable[[], None] = lambda: None
        self._refusal = Refusal()
        self.editor = AtomEditor(viewer, self._on_edited, lambda: self._refusal.say(OF_PEAKS))
        self.views = Views(viewer, self._own)
        self.atoms = AtomLayers(viewer, self.views.still.list_held)
        self.atoms.on_refused = self._on_refused
        self.doubt = DoubtMark(viewer, self._doubt_place)
        self.volume = VolumeLayers(viewer, self.views.still.list_held)
        self._tilt = 0
        self.view_chosen = False
        """Whether a person has chosen the view since a run was started: its atoms do not turn it then."""
        viewer.dims.events.current_step.connect(self._on_step)
        viewer.dims.events.ndisplay.connect(self._on_ndisplay)
        viewer.dims.events.axis_labels.connect(self._on_axis_labels)
        viewer.layers.events.inserted.connect(self._on_layers)
        viewer.layers.events.removed.connect(self._on_layers)

    def close(self) -> None:
        """Disconnect from the viewer; the layers stay."""
        self.viewer.dims.events.current_step.disconnect(self._on_step)
        self.viewer.dims.events.ndisplay.disconnect(self._on_ndisplay)
        self.viewer.dims.events.axis_labels.disconnect(self._on_axis_labels)
        self.viewer.layers.events.inserted.disconnect(self._on_layers)
        self.viewer.layers.events.removed.disconnect(self._on_layers)
        self.views.close()
        self.atoms.release()
        for name, layer in self._own().items():
            layer.metadata[LEFT] = True
            if name == MEASURED:  # a stack like any other now, which the next workbench may take
                layer.metadata.pop(ROLE)

    # -- images -----------------------------------------------------------------------------------------------

    @_still
    def show_series(self, series: TiltSeries, replacing: Layer | None = None, keep_tilt: bool = False) -> None:
        """Show the measured stack; layers of another series go, and so does a layer that shows just the same.

        ``keep_tilt`` leaves the slider at the tilt that is shown.
        """
        tilt = self.tilt
        self.remove_results()
        if self.volume.of_series:
            self.volume.remove()
        self.series = series
        self.atoms.intensity = "counts" if series.counts else "image units"
        self.projection = Projection(series)
        self.stacks.show_measured(series)
        own = self.stacks.layers.values()
        for layer in list(self.viewer.layers):
            if layer not in own and is_copy(layer, series):
                self.viewer.layers.remove(layer)
            elif layer.metadata.pop(LEFT, False):  # beside this series' own they would be taken for them
                layer.visible = False
        if replacing is not None and replacing in self.viewer.layers:
            replacing.visible = False
        self.stacks.layers[MEASURED].name = MEASURED  # napari numbers it where a copy had the name until now
        # By hand, not with the camera's fit, because the slider should start at the least tilted image.
        self.set_tilt(min(tilt, len(series) - 1) if keep_tilt else self.projection.flattest)
        self.look_at("images")

    @_still
    def remove_results(self) -> None:
        """Take away what belongs to an earlier run."""
        self.editor.end()
        self.doubt.remove()
        drawn = self.atoms.own() or self.stacks.has(CALCULATED) or self.stacks.has(RESIDUAL)
        # in one batch: napari rebuilds its scene, and looks for garbage, once and not for every layer (nor for none)
        with self.viewer.layers.batched_update() if drawn else nullcontext():
            self.stacks.remove_results()
            self.atoms.remove()
        if self.probe.before is not None and self.probe.slices is not None:
            self.show_probe(self.probe.before)
        self.projection = Projection(self.series) if self.series is not None else None
        self.label_tilt()  # the words were those of what is gone

    def show_calculated(self, tilts: NDArray[np.int64], calculated: NDArray[np.float32]) -> Iterator[None]:
        """Fill in calculated images (n, V, U) of some tilts and their residuals, in turns where layers have to come."""
        with self.views.still.list_held():
            self.stacks.show_calculated(tilts, calculated, self.tilt)
        if not self.stacks.has(CALCULATED):
            yield
        yield from self._add_stacks()

    def _add_stacks(self) -> Iterator[None]:
        """Those that there are images for and that are not on screen, in a turn each."""
        # napari frames the first one that comes, as if it had the canvas for itself
        tilt, added, framed = self.tilt, False, self.stacks.has(MEASURED)
        with self.views.still.held():
            while self.stacks.restore_one(visible=self.view == "images"):
                added = True
                self.set_tilt(tilt)  # whoever looks in the turn between finds it where it was
                yield
        if added:
            self._arrange_again(tilt, reset=not framed)

    @_still
    def _arrange_again(self, tilt: int, reset: bool) -> None:
        """After stacks were added: they take their places, and the slider its own."""
        self.set_tilt(tilt)
        self.views.order()
        if self.view in ("images", "markers"):
            self.look_at(self.view, reset=reset)
        self._select_main()

    def show_result(self, result: Result, spacing_A: float) -> None:
        """Show what a finished run leaves: all calculated images, residuals and the final atoms."""
        for _ in self.show_result_in_turns(result, spacing_A):
            pass

    def show_result_in_turns(self, result: Result, spacing_A: float, turn: bool = True) -> Iterator[None]:
        """The same, in turns between which the window may answer; ``turn`` to the atoms where none were there."""
        if self.series is None:
            return
        self.projection = Projection(self.series, result)
        if result.calculated.size:  # a run that was broken off has none
            self.stacks.show_all(result.calculated, result.residual)
            self.stacks.limit_residual(result.residual)
            yield from self._add_stacks()
        with self.views.still.held():
            if result.probe.images.size:
                self.show_probe(result.probe, result.probe_before if result.probe_changed else None)
            self.atoms.noun, self.atoms.result = "atoms", result
            first = self.atoms.spheres is None
            self._stream(result.orbitals, spacing_A)
            self.settle_atoms()
        if turn and first and not self.view_chosen:
            yield
            self.look_at("atoms")

    def change_result(self, result: Result, windows: Windows | None) -> None:
        """Take over a result in which single atoms were changed, and its images within the ``windows``.

        None: there is another result, but nothing that is drawn has changed.
        """
        if self.series is None or self.atoms.result is None or self.atoms.spheres is None:
            return
        if windows is None:
            self.atoms.result = result
            return
        self.stacks.change(result.calculated, result.residual, windows)
        there = self.atoms.spheres.layer in self.viewer.layers
        self.atoms.change(result)
        if not there:  # somebody had deleted it
            self.views.order()
            self._select_main()
        self._show_markers()
        self.label_tilt()

    # -- atoms ------------------------------------------------------------------------------------------------

    def show_atoms(self, orbitals: Orbitals, spacing_A: float) -> None:
        """Stream orbitals into the coloured 3-D layer and onto the shown tilt."""
        first = self.atoms.spheres is None
        self._stream(orbitals, spacing_A)
        if first and self.atoms.spheres is not None and not self.view_chosen:
            self.look_at("atoms")
        elif self.view == "atoms":
            self.label_tilt()

    @property
    def _shows_atoms(self) -> bool:
        """Whether the atoms' layer is to be seen if it has to be made."""
        return self.view == "atoms" and not self.editor.active

    def _stream(self, orbitals: Orbitals, spacing_A: float) -> None:
        if len(orbitals) and self.atoms.show(orbitals, spacing_A, visible=self._shows_atoms):
            self._show_markers()

    @_still
    def settle_atoms(self) -> None:
        """Nothing more will stream: the atoms' layer gets its own size, and what napari saves with it."""
        self.stacks.write()
        if self.atoms.spheres is not None and self.atoms.orbitals is not None:
            self.atoms.spheres.visible = self._shows_atoms
            self.atoms.settle()
            self.views.order()
            self._select_main()

    # -- editing ----------------------------------------------------------------------------------------------

    @_still
    def begin_editing(self, held: Held) -> None:
        """A run is paused: its exact atoms in a layer of their own, and where they are on the tilts."""
        assert self.series is not None
        self.stacks.write()
        self.projection = Projection.of(self.series, held.rotations, held.offset_A)
        self.show_atoms(held.orbitals, self.atoms.spacing_A)
        colors = coloring(self.atoms.color_by, held.orbitals, intensity=self.atoms.intensity)
        self.editor.begin(held.orbitals, SPHERE * self.atoms.spacing_A, colors)
        self.views.order()
        self.look_at(self.view or "atoms", reset=False)

    @_still
    def end_editing(self, keep: bool = False) -> None:
        """The run goes on, or is over; ``keep`` leaves the edited layer to the viewer."""
        if not self.editor.active:
            return
        self.editor.end(keep)
        if self.series is not None:
            self.projection = Projection(self.series, self.atoms.result)
        if self.view is not None:
            self.look_at(self.view, reset=False)

    def show_candidates(self, candidates: Candidates | None) -> None:
        """Rings at residual peaks, in the overlay and in 3-D."""
        self.editor.candidates = candidates
        self._show_markers()
        self.views.arrange(self.view or "markers", reset=False)
        self.label_tilt()

    def candidates_on(self, tilt: int) -> NDArray[np.float64]:
        """Where the candidates appear on one tilt, (M, 3) as (0, v, u) in Å."""
        found = self.editor.candidates
        if found is None or self.projection is None:
            return np.zeros((0, 3))
        return self.projection.on_tilt(found.positions, tilt)

    def _on_edited(self) -> None:
        self._show_markers()
        self.label_tilt()
        self.on_edit()

    def _on_refused(self) -> None:
        """Somebody wanted to change the atoms where they are only shown: say where that is done."""
        ended = self.atoms.result is not None and not did_not_end(self.atoms.result)
        self._refusal.say(OF_FINISHED if ended else OF_UNFINISHED)

    def color_atoms(self, by: str) -> None:
        """Colour the atoms by height, element, error bar or existence probability."""
        if self.atoms.color(by):
            self.label_tilt()

    def centre_on(self, points: NDArray[np.int64]) -> None:
        """Bring some of the atoms on screen into the middle of the view."""
        if self.atoms.orbitals is None or not len(points) or self.view not in ("atoms", "markers"):
            return
        if self.view == "markers":
            middle = self.projected(self.tilt)[points].mean(axis=0)
        else:
            middle = self.atoms.orbitals.positions[points].mean(axis=0)[::-1]
        self.viewer.scene.camera.center = tuple(float(x) for x in middle)

    def own_layers(self) -> dict[str, Layer]:
        """The workbench's layers that are in the viewer, by name."""
        return self._own()

    def projected(self, tilt: int) -> NDArray[np.float64]:
        """Atoms on one tilt's measured image, (N, 3) as (0, v, u) in Å."""
        assert self.atoms.orbitals is not None
        assert self.projection is not None
        layer = self.editor.layer if self.editor.there else None
        edited = layer is not None and layer.data.ndim == 2 and layer.data.shape[1] == 3
        positions = np.asarray(layer.data)[:, ::-1] if layer is not None and edited else self.atoms.orbitals.positions
        return self.projection.on_tilt(positions, tilt)

    def _show_markers(self) -> None:
        # Made and moved only while they are looked at: hidden markers cost as much as visible ones.
        if self.atoms.markers is not None and self.atoms.orbitals is not None and self.view == "markers":
            self.atoms.show_markers(self.projected(self.tilt))
            self.editor.show_peaks(self.candidates_on(self.tilt))
        elif self.view == "atoms" and self.editor.active:
            found = self.editor.candidates
            self.editor.show_peaks(np.zeros((0, 3)) if found is None else found.positions[:, ::-1])

    def mark_doubt(self, position: NDArray[np.float64]) -> None:
        """Ring an atom at x, y, z, and bring it to the middle of the views that show atoms."""
        if self.doubt.show(position, 1.1 * self.atoms.spacing_A, self.view in ("atoms", "markers")):
            self.views.order()
            self._select_main()
        self._center_on_doubt()

    def unmark_doubt(self) -> None:
        """Take the ring away, and put the view where it was, unless somebody has moved it since."""
        self.doubt.remove()
        self.doubt.put_back_view()

    def _doubt_place(self, position: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where the ring is drawn, z, y, x: in 3-D at the atom, else where the shown tilt has it."""
        if self.view == "atoms" or self.projection is None:
            return position[::-1]
        return self.projection.on_tilt(position[None], self.tilt)[0]

    def _center_on_doubt(self) -> None:
        if self.view in ("atoms", "markers"):
            self.doubt.center()

    # -- probe ------------------------------------------------------------------------------------------------

    @_still
    def show_probe(self, probe: ProbeSlices, before: ProbeSlices | None = None) -> None:
        """Show probe slices (D, V, U) along depth, and those ``before`` the fit where it changed them."""
        compared = self.probe.before is not None
        added = self.probe.show(probe, before, visible=self.view == "probe")
        self.views.probe_reach_A = self.probe.reach_A
        if added or compared:
            self.views.order()
            if self.view == "probe":
                self.look_at("probe")
            self._select_main()

    def remove_probe(self) -> None:
        """There is none: whoever looks at it sees the images instead."""
        self.probe.remove()
        if self.view == "probe":
            self.look_at("images" if self.series is not None else "probe")

    # -- volume -----------------------------------------------------------------------------------------------

    def show_volume(self, volume: Volume, words: str, of_series: bool = True, turn: bool = False) -> None:
        """Stream a volume into its layer; ``turn`` to it, unless a person has chosen another view since the start."""
        added = self.volume.show(volume, words, self.view == "volume", of_series)
        if turn and not self.view_chosen:
            self.look_at("volume")
        elif added:
            self._arrange_again(self.tilt, reset=False)
        elif self.view == "volume":
            self.label_tilt()

    @_still
    def show_traced(self, atoms: Orbitals, spacing_A: float, columns: dict[str, NDArray[Any]]) -> None:
        """The atoms of the volume as a layer of points, over the volume."""
        self.volume.show_traced(atoms, spacing_A, columns, self.atoms.intensity)
        self.views.order()
        self.look_at("volume", reset=self.view != "volume")

    # -- ways to look -----------------------------------------------------------------------------------------

    @property
    def view(self) -> str | None:
        """The way to look that is shown, None before there is anything."""
        return self.views.current

    @property
    def tilt(self) -> int:
        """Index of the tilt that the slider shows."""
        dims = self.viewer.dims
        if self.series is None:
            return 0
        if dims.ndim >= 4:
            self._tilt = round(dims.point[dims.ndim - 4])
        # Without any stack on screen there is no slider: it comes back where it was.
        return int(np.clip(self._tilt, 0, len(self.series) - 1))

    def set_tilt(self, tilt: int) -> None:
        """Move the slider, whatever is looked at."""
        dims = self.viewer.dims
        if dims.ndim >= 4:
            dims.set_point(dims.ndim - 4, tilt)

    def go_to_tilt(self, tilt: int) -> None:
        """Move the slider; from 3-D or the probe change to the images of that tilt."""
        if self.view not in ("images", "markers"):
            self.look_at("images")
        self.set_tilt(tilt)

    def available(self, view: str) -> str | None:
        """None where a view can be shown, else what is missing."""
        there = {"images": self.series, "probe": self.probe.slices, "volume": self.volume.volume}.get(
            view, self.atoms.orbitals
        )
        return None if there is not None else self.views.available(view)

    def _make_missing(self, view: str) -> None:
        """Bring back what a view shows and the user has deleted."""
        before = self.tilt
        if view in ("images", "markers") and self.stacks.restore(visible=False):
            self.set_tilt(before)
        buffer = self.atoms.spheres
        gone = buffer is not None and (buffer.layer is None or buffer.layer not in self.viewer.layers)
        if view == "atoms" and gone and self.atoms.orbitals is not None:
            if self.atoms.settled:
                self.settle_atoms()
            else:
                self.show_atoms(self.atoms.orbitals, self.atoms.spacing_A)
        if (view == "probe" and self.probe.restore(visible=False)) or (view == "volume" and self.volume.restore()):
            self.views.order()

    @_still
    def look_at(self, view: str, reset: bool = True) -> None:
        """Show one way to look: 'images', 'markers', 'atoms', 'probe', 'volume'; layers of others are left alone."""
        self._make_missing(view)
        self.views.current = view
        self.views.leave_grid(view)
        self._show_markers()
        self.doubt.draw()
        self.views.arrange(view, reset)
        self._center_on_doubt()
        self.label_tilt()

    def _select_main(self) -> None:
        self.views.select_main()
        self.label_tilt()

    def _own(self) -> dict[str, Layer]:
        own: dict[str, Layer] = {k: v for k, v in self.stacks.layers.items() if v in self.viewer.layers}
        own |= self.atoms.own()
        if self.doubt.layer is not None and self.doubt.is_there:
            own[DOUBT] = self.doubt.layer
        return own | self.probe.own() | self.editor.own() | self.volume.own()

    def _on_ndisplay(self, event: Any = None) -> None:
        # Whoever switches to 3-D, by our buttons or napari's, sees the hand that the specimen has.
        if self.viewer.dims.ndisplay == 3 and (self.atoms.spheres is not None or self.volume.volume is not None):
            self.viewer.scene.camera.orientation = RIGHT_HANDED

    def _on_step(self, event: Any = None) -> None:
        self.stacks.look_at(self.tilt)
        self.label_tilt()
        # Whoever takes layers away moves the slider, too: it moves what is there, and makes nothing anew.
        if self.view == "markers" and self.atoms.markers is not None and self.atoms.markers.layer in self.viewer.layers:
            self._show_markers()
            self.doubt.draw()

    def _on_layers(self, event: Any = None) -> None:
        self.views.sliders.update()
        self.label_tilt()
        if event is not None and event.type == "removed" and event.value is self.editor.layer is not None:
            self.on_edit()

    def _on_axis_labels(self, event: Any = None) -> None:
        # Whatever changes among the layers puts their own axis labels back on the sliders.
        if AXES_4D[0] in self.viewer.dims.axis_labels:
            self.label_tilt()

    def label_tilt(self) -> None:
        """Say which tilt is shown, in degrees, on the canvas and beside the slider."""
        if self.series is None:
            self.views.say("", ())
            return
        view, t = self.view, self.tilt
        text, depth = "", "w"
        if view in ("images", "markers"):
            text = tilt_text(self.series, t)
        elif view == "probe":
            w = self.viewer.dims.point[-3] if self.viewer.dims.ndim >= 3 else 0.0
            text, depth = depth_texts(w, compared=self.probe.before is not None)
        elif view == "volume":
            text = self.volume.words
        elif view == "atoms" and self.editor.active and not self.editor.there:
            text = LAYER_DELETED.replace(": ", ":\n")  # the colour bar lies beside it
        elif view == "atoms" and self.editor.layer is not None:
            colors = self.editor.colors
            text = atoms_text(len(self.editor.layer.data), "atoms, editing", None if colors is None else colors.words)
        elif view == "atoms" and self.atoms.orbitals is not None:
            text = atoms_text(len(self.atoms.orbitals), self.atoms.noun, self.atoms.coloring().words, self.atoms.of)
        self.views.say(text, (f"tilt {short_angle_text(self.series, t)}", depth))
