"""The layers of the workbench: stacks, atoms, probe, and the four ways to look at them.

Stacks are 4-D ``[tilt, 1, v, u]``, atoms 3-D ``(z, y, x)``: napari lines axes up from the last one, so the tilt
slider stays a tilt slider and the atoms stay on screen. World coordinates are Å with the rotation centre at 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Image, Layer
from napari.utils import Colormap
from numpy.typing import NDArray

from napari_lot.atoms import Orbitals
from napari_lot.gui.plots import reach_A
from napari_lot.gui.points import AXES_3D, UNITS_3D, PointsBuffer
from napari_lot.job import ProbeSlices, Result
from napari_lot.physics.geometry import series_rotations
from napari_lot.series import TiltSeries

# In (z, y, x) napari's default 3-D camera shows a mirror image; with depth going away from the viewer it does not.
RIGHT_HANDED = ("away", "down", "right")
UNITS_4D = ("pixel", "angstrom", "angstrom", "angstrom")
AXES_4D = ("tilt angle", "z", "y", "x")  # napari makes room for this; the angle itself is shown in its place
MAX_SHOWN = 100_000

MEASURED, CALCULATED, RESIDUAL = "Measured", "Calculated", "Residual"
ATOMS, MARKERS, PROBE = "Atoms", "Atoms on tilt", "Probe"

# Cool-warm (Moreland 2009): diverging, equal lightness steps on both sides of a light middle.
_COOL_WARM = [
    (0.230, 0.299, 0.754),
    (0.407, 0.537, 0.934),
    (0.603, 0.732, 0.999),
    (0.788, 0.846, 0.939),
    (0.865, 0.865, 0.865),
    (0.931, 0.806, 0.752),
    (0.968, 0.657, 0.537),
    (0.887, 0.413, 0.325),
    (0.706, 0.016, 0.150),
]


def residual_colormap() -> Colormap:
    """Blue (too bright in the model) - light grey - red (too dark in the model)."""
    return Colormap(np.array([(*c, 1.0) for c in _COOL_WARM]), name="cool-warm")


def stack_layer(series: TiltSeries, images: NDArray[np.float32], name: str, **options: Any) -> Image:
    """An Image layer ``[tilt, 1, v, u]`` in Å with the rotation centre at the origin."""
    p = series.pixel_size_A
    row, column = series.center_px if series.center_px is not None else (0.0, 0.0)
    return Image(
        images[:, None],
        name=name,
        scale=(1, p, p, p),
        translate=(0, 0, -row * p, -column * p),
        units=UNITS_4D,
        axis_labels=AXES_4D,
        projection_mode="mean",
        metadata={"napari_lot_role": name.lower()},
        **options,
    )


def height_limits(height: NDArray[np.float64]) -> tuple[float, float]:
    """Limits of the colours of heights: 0 to a robust maximum."""
    top = float(np.quantile(height, 0.98)) if len(height) else 1.0
    return 0.0, top * 1.05 if top > 0 else 1.0


class WorkbenchLayers:
    """Owns the workbench's layers in one viewer; a layer that the user deleted is made anew when it is needed."""

    def __init__(self, viewer: Any) -> None:
        self.viewer = viewer
        self.series: TiltSeries | None = None
        self.rotations: NDArray[np.float64] | None = None
        self.stacks: dict[str, Image] = {}
        self.atoms: PointsBuffer | None = None
        self.markers: PointsBuffer | None = None
        self.probe: Image | None = None
        self.orbitals: Orbitals | None = None
        self._residual_limited = False
        self._noun = "orbitals"
        self._probe_reach_A = 1.0
        self._residual_limits = (-1.0, 1.0)
        self._view: str | None = None
        self._calculated: NDArray[np.float32] | None = None
        self._residual: NDArray[np.float32] | None = None
        viewer.dims.events.current_step.connect(self._on_step)
        viewer.dims.events.ndisplay.connect(self._on_ndisplay)
        viewer.layers.events.inserted.connect(self._on_inserted)

    def close(self) -> None:
        """Disconnect from the viewer; the layers stay."""
        self.viewer.dims.events.current_step.disconnect(self._on_step)
        self.viewer.dims.events.ndisplay.disconnect(self._on_ndisplay)
        self.viewer.layers.events.inserted.disconnect(self._on_inserted)

    # -- measured ---------------------------------------------------------------------------------------------

    def has(self, name: str) -> bool:
        """Whether a stack of this name is on screen."""
        return name in self.stacks and self.stacks[name] in self.viewer.layers

    def show_series(self, series: TiltSeries, replacing: Layer | None = None) -> None:
        """Show the measured stack; layers of another series go."""
        if self.series is not None and series is not self.series:
            self.remove_results()
            if self.has(MEASURED):
                self.viewer.layers.remove(self.stacks[MEASURED])
        if replacing is not None and replacing in self.viewer.layers:
            replacing.visible = False
        self.series = series
        self.rotations = series_rotations(series)
        lo, hi = np.quantile(series.images[:: max(1, len(series) // 12)], [0.001, 0.9995])
        layer = stack_layer(series, series.images, MEASURED, contrast_limits=_limits(lo, hi), colormap="gray")
        self.viewer.add_layer(layer)
        self.stacks[MEASURED] = layer
        # By hand, not with the camera's fit, because the slider should start at the least tilted image.
        flat = int(np.argmax(self.rotations[:, 2, 2]))
        self.viewer.dims.set_point(0, flat)
        self.look_at("images")

    def remove_results(self) -> None:
        """Take away what belongs to an earlier run."""
        for layer in (
            self.stacks.get(CALCULATED),
            self.stacks.get(RESIDUAL),
            self.atoms.layer if self.atoms else None,
            self.markers.layer if self.markers else None,
        ):
            if layer is not None and layer in self.viewer.layers:
                self.viewer.layers.remove(layer)
        self.stacks.pop(CALCULATED, None)
        self.stacks.pop(RESIDUAL, None)
        self.atoms = self.markers = None
        self.orbitals = None
        self._noun = "orbitals"
        self._calculated = self._residual = None
        self._residual_limited = False

    # -- calculated and residual ------------------------------------------------------------------------------

    def show_calculated(self, tilts: NDArray[np.int64], calculated: NDArray[np.float32]) -> None:
        """Fill in calculated images (n, V, U) of some tilts and their residuals."""
        series = self.series
        if series is None or not len(tilts):
            return
        new = not (self.has(CALCULATED) and self.has(RESIDUAL))
        if self._calculated is None or self._residual is None:
            self._calculated = np.zeros_like(series.images)
            self._residual = np.zeros_like(series.images)
        self._calculated[tilts] = calculated
        self._residual[tilts] = series.images[tilts] - calculated
        if not self._residual_limited:
            self.limit_residual(self._residual[tilts])
        if new:
            self._add_result_stacks()
        elif self.tilt in tilts:
            for name in (CALCULATED, RESIDUAL):
                self.stacks[name].refresh(thumbnail=False, extent=False, highlight=False)

    def _add_result_stacks(self) -> None:
        assert self.series is not None
        assert self._calculated is not None
        assert self._residual is not None
        limits = self.stacks[MEASURED].contrast_limits if self.has(MEASURED) else None
        if not self.has(CALCULATED):
            layer = stack_layer(
                self.series,
                self._calculated,
                CALCULATED,
                contrast_limits=limits,
                colormap="gray",
                visible=self._view == "images",
            )
            self.stacks[CALCULATED] = layer
            self.viewer.add_layer(layer)
        if not self.has(RESIDUAL):
            layer = stack_layer(
                self.series,
                self._residual,
                RESIDUAL,
                contrast_limits=self._residual_limits,
                colormap=residual_colormap(),
                visible=self._view == "images",
            )
            self.stacks[RESIDUAL] = layer
            self.viewer.add_layer(layer)
        self._order()
        if self._view == "images":
            self.look_at("images", reset=False)
        self._select_main()

    def limit_residual(self, residual: NDArray[np.float32]) -> None:
        """Symmetric limits around zero from the 99.5th percentile of |residual|."""
        top = float(np.quantile(np.abs(residual), 0.995)) or 1e-6
        self._residual_limits = (-top, top)
        self._residual_limited = True
        if self.has(RESIDUAL):
            self.stacks[RESIDUAL].contrast_limits_range = self._residual_limits
            self.stacks[RESIDUAL].contrast_limits = self._residual_limits

    # -- atoms ------------------------------------------------------------------------------------------------

    def show_atoms(self, orbitals: Orbitals, spacing_A: float) -> None:
        """Stream orbitals into the 3-D layer (coloured by height) and onto the shown tilt."""
        if not len(orbitals):
            return
        if len(orbitals) > MAX_SHOWN:
            keep = np.argpartition(orbitals.height, -MAX_SHOWN)[-MAX_SHOWN:]
            orbitals = orbitals.take(np.sort(keep))
        self.orbitals = orbitals
        first = self.atoms is None
        if self.atoms is None:
            self.atoms = PointsBuffer(ATOMS, 0.62 * spacing_A, antialiasing=0, shading="spherical")
            self.markers = PointsBuffer(
                MARKERS,
                0.45 * spacing_A,
                face_color="transparent",
                border_color="#ffb000",
                border_width=0.12,
                blending="translucent_no_depth",
                projection_mode="all",
            )
            self.atoms.visible = self._view == "atoms"
        self.atoms.show(self.viewer, orbitals.positions[:, ::-1], self.colors(orbitals.height))
        self._show_markers()
        if first:
            self._order()
            self.look_at("atoms")
        elif self._view == "atoms":
            self.label_tilt()

    @staticmethod
    def colors(height: NDArray[np.float64]) -> NDArray[np.float32]:
        """Viridis over the heights, (N, 4) RGBA."""
        from napari.utils.colormaps import ensure_colormap

        lo, hi = height_limits(height)
        return np.asarray(ensure_colormap("viridis").map(np.clip((height - lo) / (hi - lo), 0, 1)), np.float32)

    def projected(self, tilt: int) -> NDArray[np.float64]:
        """Atoms on one tilt's image, (N, 3) as (0, v, u) in Å from the rotation centre."""
        assert self.orbitals is not None
        assert self.rotations is not None
        uvw = self.orbitals.positions @ self.rotations[tilt].T
        return np.column_stack([np.zeros(len(uvw)), uvw[:, 1], uvw[:, 0]])

    def _show_markers(self) -> None:
        # Made and moved only while they are looked at: hidden markers cost as much as visible ones.
        if self.markers is not None and self.orbitals is not None and self._view == "markers":
            self.markers.show(self.viewer, self.projected(self.tilt))

    def show_result(self, result: Result, spacing_A: float) -> None:
        """Show what a finished run leaves: all calculated images, residuals and the final atoms."""
        if self.series is None:
            return
        self.show_calculated(np.arange(len(self.series)), result.calculated)
        self.limit_residual(result.residual)
        self.show_probe(result.probe)
        self._noun = "atoms"
        self.show_atoms(result.orbitals, spacing_A)

    # -- probe ------------------------------------------------------------------------------------------------

    def show_probe(self, probe: ProbeSlices) -> None:
        """Show probe slices (D, V, U) as a 3-D layer along depth."""
        n, v, u = probe.images.shape
        step = float(probe.depth_A[1] - probe.depth_A[0]) if n > 1 else 1.0
        p = probe.pixel_size_A
        scale, translate = (step, p, p), (float(probe.depth_A[0]), -(v // 2) * p, -(u // 2) * p)
        limits = _limits(0.0, float(probe.images.max()))
        self._probe_reach_A = reach_A(probe)
        if self.probe is not None and self.probe in self.viewer.layers:
            layer = self.probe
            layer.data = probe.images
            layer.scale, layer.translate = scale, translate
            layer.contrast_limits_range = limits
            layer.contrast_limits = limits
            return
        self.probe = Image(
            probe.images,
            name=PROBE,
            scale=scale,
            translate=translate,
            units=UNITS_3D,
            axis_labels=AXES_3D,
            colormap="inferno",
            contrast_limits=limits,
            visible=self._view == "probe",
            metadata={"napari_lot_role": "probe"},
        )
        self.viewer.add_layer(self.probe)
        self._order()
        self._select_main()

    # -- ways to look -----------------------------------------------------------------------------------------

    @property
    def view(self) -> str | None:
        """The way to look that is shown, None before there is anything."""
        return self._view

    @property
    def tilt(self) -> int:
        """Index of the tilt that the slider shows."""
        dims = self.viewer.dims
        if self.series is None or dims.ndim < 4:
            return 0
        return int(np.clip(round(dims.point[dims.ndim - 4]), 0, len(self.series) - 1))

    def go_to_tilt(self, tilt: int) -> None:
        """Move the slider; from 3-D or the probe change to the images of that tilt."""
        if self._view not in ("images", "markers"):
            self.look_at("images")
        dims = self.viewer.dims
        if dims.ndim >= 4:
            dims.set_point(dims.ndim - 4, tilt)

    def available(self, view: str) -> str | None:
        """None where a view can be shown, else what is missing."""
        if view == "images" and not self.has(MEASURED):
            return "needs a tilt series (step 1)"
        if view == "probe" and (self.probe is None or self.probe not in self.viewer.layers):
            return "needs energy and semi-angle (step 2)"
        if view in ("atoms", "markers") and (self.atoms is None or self.atoms.layer not in self.viewer.layers):
            return "needs atoms (step 3)"
        return None

    def look_at(self, view: str, reset: bool = True) -> None:
        """Show one way to look: 'images', 'markers', 'atoms' or 'probe'; other people's layers are left alone."""
        viewer = self.viewer
        self._view = view
        visible = {
            "images": (MEASURED, CALCULATED, RESIDUAL),
            "markers": (MEASURED, MARKERS),
            "atoms": (ATOMS,),
            "probe": (PROBE,),
        }[view]
        self._show_markers()
        self._order()
        # Every change of a layer or the grid makes napari build its scene anew: only real changes, in one batch.
        with viewer.layers.batched_update():
            for name, layer in self._own().items():
                if layer.visible != (name in visible):
                    layer.visible = name in visible
        # The grid outside the batch: napari sizes its boxes only when it is told about it.
        grid = viewer.canvas.grid
        grid.stride, grid.shape, grid.spacing = 1, (1, -1), 4
        grid.enabled = view == "images" and self.has(CALCULATED)
        for layer in self.stacks.values():
            layer.name_overlay.position = "top_center"
            layer.name_overlay.visible = grid.enabled
        viewer.dims.ndisplay = 3 if view == "atoms" else 2
        if view == "atoms":
            viewer.scene.camera.orientation = RIGHT_HANDED
        elif viewer.dims.ndim >= 4:
            # The stacks and markers lie in the plane z = 0; the probe's focus is looked at from there as well.
            viewer.dims.set_point(viewer.dims.ndim - 3, 0.0)
        self._set_depth_margin(1e4 if view in ("images", "markers") else 0.0)
        viewer.canvas.overlays.scale_bar.visible = True
        viewer.canvas.overlays.scale_bar.gridded = False
        if reset:
            self._frame(view)
        self._select_main()

    def _select_main(self) -> None:
        """Select the layer that the view is about (napari selects the newest) and say what is shown."""
        main = {"images": MEASURED, "markers": MARKERS, "atoms": ATOMS, "probe": PROBE}.get(self._view or "")
        own = self._own()
        if main in own:
            self.viewer.layers.selection.active = own[main]
        self.label_tilt()

    def _set_depth_margin(self, margin_A: float) -> None:
        """Thickness of what is shown in 2-D along the beam: a projection has no depth, so moving z must not hide it."""
        dims = self.viewer.dims
        if dims.ndim >= 3:
            margins = [0.0] * dims.ndim
            margins[-3] = margin_A
            dims.margin_left = dims.margin_right = tuple(margins)

    def _frame(self, view: str) -> None:
        """Fill the canvas with what is looked at, not with everything there is."""
        viewer = self.viewer
        if view in ("images", "markers"):
            if self.has(MEASURED):
                viewer.reset_view(layers=[self.stacks[MEASURED]])
            return
        # napari 0.9 cannot frame a layer of fewer dimensions than the viewer has, so this is done by hand.
        layer = self.probe if view == "probe" else (self.atoms.layer if self.atoms else None)
        if layer is None or layer not in viewer.layers:
            return
        low, high = (np.asarray(edge)[-3:] for edge in layer.extent.world)
        camera = viewer.scene.camera
        if view == "probe":
            reach = self._probe_reach_A
            low, high = np.array([low[0], -reach, -reach]), np.array([high[0], reach, reach])
        if view == "atoms":
            camera.angles = (0, 0, 0)
            camera.center = tuple((low + high) / 2)
            if self.has(MEASURED):
                # The scale and the middle of the images, whatever far orbitals an early stage has.
                low, high = (np.asarray(edge)[-3:] for edge in self.stacks[MEASURED].extent.world)
                camera.center = tuple((low + high) / 2)
        else:
            camera.center = (0.0, *((low + high) / 2)[1:])
        size = (high - low)[1:] if view == "probe" else high - low
        camera.zoom = 0.85 * float(min(viewer.canvas.size)) / max(float(np.max(size)), 1e-3)

    def _own(self) -> dict[str, Layer]:
        own: dict[str, Layer] = {k: v for k, v in self.stacks.items() if v in self.viewer.layers}
        for buffer in (self.atoms, self.markers):
            if buffer is not None and buffer.layer is not None and buffer.layer in self.viewer.layers:
                own[buffer.name] = buffer.layer
        if self.probe is not None and self.probe in self.viewer.layers:
            own[PROBE] = self.probe
        return own

    def _order(self) -> None:
        """Own layers to the top of the list, in reading order for the side-by-side view."""
        own, layers = self._own(), self.viewer.layers
        wanted = [own[n] for n in (PROBE, MEASURED, CALCULATED, RESIDUAL, MARKERS, ATOMS) if n in own]
        if [layer for layer in layers if layer in wanted] != wanted:
            for layer in wanted:
                layers.move(layers.index(layer), len(layers))

    def _on_ndisplay(self, event: Any = None) -> None:
        # Whoever switches to 3-D, by our buttons or napari's, sees the hand that the specimen has.
        if self.viewer.dims.ndisplay == 3 and self.atoms is not None:
            self.viewer.scene.camera.orientation = RIGHT_HANDED

    def _on_step(self, event: Any = None) -> None:
        self.label_tilt()
        if self._view == "markers":
            self._show_markers()

    def _on_inserted(self, event: Any = None) -> None:
        # A new layer puts its own axis labels on the sliders.
        self.label_tilt()

    def label_tilt(self) -> None:
        """Say which tilt is shown, in degrees, on the canvas and beside the slider."""
        overlay = self.viewer.canvas.overlays.text
        if self.series is None or not self.has(MEASURED):
            overlay.visible = False
            return
        view = self._view
        t = self.tilt
        text = ""
        if view in ("images", "markers"):
            text = f"tilt {t}   {angle_text(self.series, t)}"  # counted from 0, as the slider and every message do
        elif view == "probe":
            z = self.viewer.dims.point[-3] if self.viewer.dims.ndim >= 3 else 0.0
            text = f"probe at depth {z:+.1f} Å".replace("-", "−")
        elif view == "atoms" and self.orbitals is not None:
            text = f"{len(self.orbitals)} {self._noun}, coloured by height"
        overlay.text = text
        overlay.position = "bottom_left"
        overlay.font_size = 11
        overlay.gridded = False
        overlay.visible = bool(text)
        labels = list(self.viewer.dims.axis_labels)
        if len(labels) >= 4:
            labels[-4] = f"tilt {short_angle_text(self.series, t)}"[: len(AXES_4D[0]) + 2]
            if tuple(labels) != self.viewer.dims.axis_labels:
                self.viewer.dims.axis_labels = tuple(labels)


def _limits(lo: float, hi: float) -> tuple[float, float]:
    return (float(lo), float(hi)) if hi > lo else (float(lo), float(lo) + 1.0)


def angle_text(series: TiltSeries, tilt: int) -> str:
    """'θ = −22.0°', with psi and phi where they are not zero throughout."""
    if series.rotations is not None:
        w = np.asarray(series.rotations)[tilt][2, 2]
        return f"tilted by {np.degrees(np.arccos(np.clip(w, -1, 1))):.1f}°"
    psi, theta, phi = (float(a) for a in series.angles_deg[tilt])
    parts = [f"θ = {theta:+.1f}°"]
    if np.any(series.angles_deg[:, 0]):
        parts.insert(0, f"ψ = {psi:+.1f}°")
    if np.any(series.angles_deg[:, 2]):
        parts.append(f"φ = {phi:+.1f}°")
    return "  ".join(parts).replace("-", "−")


def short_angle_text(series: TiltSeries, tilt: int) -> str:
    """'−22.0°' for the slider."""
    if series.rotations is not None:
        return angle_text(series, tilt).removeprefix("tilted by ")
    return f"{float(series.angles_deg[tilt][1]):+.1f}°".replace("-", "−")
