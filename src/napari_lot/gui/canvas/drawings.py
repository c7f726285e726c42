"""What is drawn on the measured images while they are prepared: axis, crop, mask, ruler, preview."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from napari.layers import Image, Labels, Layer, Shapes
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray

from napari_lot.gui.canvas.stacks import AXES_4D, CALCULATED, RESIDUAL, UNITS_4D, limits
from napari_lot.gui.canvas.views import DRAWN, LAST
from napari_lot.series import TiltSeries

AXIS, MASK, RULER, PREVIEW, PREVIEW_MASK = "Tilt axis", "Mask (painted = not used)", "Ruler", "Preview", "Preview mask"
IN_USE = "Mask (in use)"
RANKS = {name: rank for rank, name in enumerate((IN_USE, PREVIEW, PREVIEW_MASK, AXIS, MASK, RULER))}
ORANGE, BLUE = "#e69f00", "#56b4e9"
HATCHES = 28
"""Stripes across the field where a mask is in use: as wide to the eye whatever the size of the images."""
UNITS_2D, AXES_2D = ("angstrom", "angstrom"), ("y", "x")


def _place(series: TiltSeries) -> dict[str, Any]:
    """Scale and origin of a 2-D layer whose data are pixels of the images."""
    p = series.pixel_size_A
    row, column = series.center_px or (0.0, 0.0)
    return {"scale": (p, p), "translate": (-row * p, -column * p), "units": UNITS_2D, "axis_labels": AXES_2D}


def _place_4d(series: TiltSeries) -> dict[str, Any]:
    p = series.pixel_size_A
    row, column = series.center_px or (0.0, 0.0)
    return {
        "scale": (1, p, p, p),
        "translate": (0, 0, -row * p, -column * p),
        "units": UNITS_4D,
        "axis_labels": AXES_4D,
    }


def axis_line(series: TiltSeries, angle_deg: float) -> NDArray[np.float64]:
    """Both ends of the tilt axis as (row, column) in pixels: through the rotation centre, to the edges of the field."""
    v, u = series.images.shape[1:]
    a = np.deg2rad(angle_deg)
    along = np.array([np.cos(a), -np.sin(a)])  # (row, column), clockwise from vertical
    center = np.array(series.center_px)
    reach = 0.48 * min(size / max(abs(part), 1e-9) for size, part in zip((v, u), along, strict=True))
    return np.stack([center - reach * along, center + reach * along])


@cache
def warm_up() -> None:
    """Draw once what napari compiles functions for at first, which takes it a second; to be called in a thread."""
    DirectLabelColormap(color_dict={None: "transparent", 1: ORANGE}).map(np.zeros((2, 2), np.uint8))
    Shapes([np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, 0.0]])], shape_type="rectangle")


class Drawings:
    """The drawings of one viewer; each is there once."""

    def __init__(self, viewer: Any) -> None:
        self.viewer = viewer
        self._layers: dict[str, Layer] = {}

    def layer(self, name: str) -> Layer | None:
        """A drawing that is on screen."""
        found = self._layers.get(name)
        return found if found is not None and found in self.viewer.layers else None

    def remove(self, *names: str) -> None:
        """Take drawings away."""
        for name in names:
            found = self.layer(name)
            if found is not None:
                self.viewer.layers.remove(found)
            self._layers.pop(name, None)

    def _add(self, name: str, layer: Layer, keep_grid: bool = False) -> Layer:
        """A new drawing, in the place of one of the same name; the slider stays where it is."""
        point, active = self.viewer.dims.point, self.viewer.layers.selection.active
        self.remove(name)
        # not "|=": napari empties the very dictionary that it is given
        layer.metadata = {**layer.metadata, "napari_lot_role": name.lower(), DRAWN: RANKS[name]}
        self._layers[name] = self.viewer.add_layer(layer)
        for other in sorted(self._layers, key=RANKS.__getitem__):
            if self.layer(other) is not None:
                self.viewer.layers.move(self.viewer.layers.index(self._layers[other]), len(self.viewer.layers))
        if keep_grid:
            layer.visible = layer.metadata[LAST] = not self.viewer.canvas.grid.enabled
        elif self.viewer.canvas.grid.enabled:  # side by side a drawing would get a place of its own
            self.viewer.canvas.grid.enabled = False
            for shown in self.viewer.layers:
                if shown.metadata.get("napari_lot_role") in (CALCULATED.lower(), RESIDUAL.lower()):
                    shown.visible = False
        if active in self.viewer.layers:
            self.viewer.layers.selection.active = active
        if len(point) == len(self.viewer.dims.point):
            self.viewer.dims.point = point
        return self._layers[name]

    def show_axis(self, series: TiltSeries, angle_deg: float | None = None) -> None:
        """A line along the tilt axis, that of the series where no other is given."""
        angle = series.tilt_axis_deg if angle_deg is None else angle_deg
        self._line(AXIS, series, [axis_line(series, angle)], "line", ORANGE)

    def show_crop(self, series: TiltSeries, rows: tuple[int, int], columns: tuple[int, int]) -> None:
        """The edge of what would be kept, as the preview."""
        (r0, r1), (c0, c1) = ((low - 0.5, high - 0.5) for low, high in (rows, columns))
        corners = np.array([[r0, c0], [r0, c1], [r1, c1], [r1, c0]])
        self._line(PREVIEW, series, [corners], "rectangle", BLUE)

    def _line(self, name: str, series: TiltSeries, data: list[Any], kind: str, color: str) -> None:
        wide = max(1.0, max(series.images.shape[1:]) / 200)
        layer = Shapes(
            data,
            shape_type=kind,
            edge_color=color,
            face_color="transparent",
            edge_width=wide,
            name=name,
            **_place(series),
        )
        layer.editable = False
        self._add(name, layer)

    def start_ruler(self, series: TiltSeries) -> Layer:
        """A layer in which the next drag draws a line."""
        wide = max(1.0, max(series.images.shape[1:]) / 200)
        layer = self._add(RULER, Shapes(ndim=2, edge_color=BLUE, edge_width=wide, name=RULER, **_place(series)))
        layer.mode = "add_line"
        layer.current_edge_color, layer.current_edge_width = BLUE, wide
        self.viewer.layers.selection.active = layer
        return layer

    def ruler_px(self) -> float | None:
        """Length of the last line that was drawn, in pixels."""
        layer = self.layer(RULER)
        if layer is None or not len(layer.data):
            return None
        ends = np.asarray(layer.data[-1])
        return float(np.linalg.norm(ends[-1] - ends[0])) or None

    def start_mask(self, series: TiltSeries, each: bool) -> Layer:
        """A layer to paint what must not be used: one for all tilts, or one for each; what is masked is painted."""
        unused = np.zeros(series.images.shape, bool) if series.mask is None else ~series.mask
        colors = DirectLabelColormap(color_dict={None: "transparent", 0: "transparent", 1: ORANGE})
        if each:
            data, place = unused[:, None].astype(np.uint8), _place_4d(series)
        else:
            data, place = unused.all(0).astype(np.uint8), _place(series)
        layer = self._add(MASK, Labels(data, name=MASK, opacity=0.5, colormap=colors, **place))
        layer.mode = "paint"
        layer.selected_label = 1
        layer.brush_size = max(3, max(series.images.shape[1:]) // 25)
        self.viewer.layers.selection.active = layer
        return layer

    def show_mask(self, series: TiltSeries) -> None:
        """Hatch what a mask in use leaves out; without one nothing is drawn."""
        mask = series.mask
        if mask is None or mask.all():
            self.remove(IN_USE)
            return
        same = all(np.array_equal(of_tilt, mask[0]) for of_tilt in mask)
        unused = ~mask[0] if same else ~mask[:, None]
        row, column = np.indices(series.images.shape[1:])
        # stripes of another lightness than what is below them, wherever that is dark or bright
        period = max(4, max(series.images.shape[1:]) // HATCHES)
        stripes = np.where((row + column) % period < period // 2, 1, 2).astype(np.uint8)
        colors = DirectLabelColormap(color_dict={None: "transparent", 0: "transparent", 1: BLUE, 2: "black"})
        place = _place(series) if same else _place_4d(series)
        layer = Labels(unused * stripes, name=IN_USE, opacity=0.6, colormap=colors, **place)
        layer.editable = False
        self._add(IN_USE, layer, keep_grid=True)

    def painted(self) -> NDArray[np.bool_] | None:
        """What was painted, (V, U) or (T, V, U); None without a mask layer."""
        layer = self.layer(MASK)
        if layer is None:
            return None
        data = np.asarray(layer.data) > 0
        return data[:, 0] if data.ndim == 4 else data

    def show_preview(self, before: TiltSeries, after: TiltSeries) -> None:
        """The prepared images over the measured ones, and what of them is newly masked."""
        lo, hi = np.quantile(after.images[:: max(1, len(after) // 12)], [0.001, 0.9995])
        look = {"contrast_limits": limits(lo, hi), "colormap": "gray", "projection_mode": "mean"}
        self._add(PREVIEW, Image(after.images[:, None], name=PREVIEW, **look, **_place_4d(after)))
        self.remove(PREVIEW_MASK)
        if after.mask is not None and (
            before.mask is None or before.mask.shape != after.mask.shape or (before.mask & ~after.mask).any()
        ):
            colors = DirectLabelColormap(color_dict={None: "transparent", 0: "transparent", 1: ORANGE})
            data = (~after.mask)[:, None].astype(np.uint8)
            layer = Labels(data, name=PREVIEW_MASK, opacity=0.5, colormap=colors, **_place_4d(after))
            layer.editable = False
            self._add(PREVIEW_MASK, layer)

    @property
    def previewing(self) -> bool:
        """Whether a preview is on screen."""
        return self.layer(PREVIEW) is not None
