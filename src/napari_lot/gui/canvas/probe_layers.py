"""The probe on the canvas: slices over depth, and after a fit that changed it what it was and the change."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Image, Layer
from napari.utils import Colormap

from napari_lot.gui.canvas.points import AXES_3D, UNITS_3D
from napari_lot.gui.canvas.stacks import limits
from napari_lot.gui.canvas.views import PROBE, PROBE_BEFORE, PROBE_CHANGE
from napari_lot.gui.plots.basic import reach_A
from napari_lot.job import ProbeSlices

FITTED = "Probe (fitted)"
GAMMA = 0.5
"""The square root shows the tails that make neighbours overlap, as in the sections."""


def change_colormap() -> Colormap:
    """Blue (darker than before) - black - orange (brighter than before)."""
    colors = [
        (0.65, 0.85, 1.0, 1.0),
        (0.1, 0.4, 0.85, 1.0),
        (0.0, 0.0, 0.0, 1.0),
        (0.85, 0.35, 0.0, 1.0),
        (1.0, 0.85, 0.5, 1.0),
    ]
    return Colormap(np.array(colors), name="blue-black-orange")


class ProbeLayers:
    """Image layers ``[z, y, x]`` of one probe, or of a probe before and after a fit and their difference.

    Intensities are in percent of the largest that the probe of the settings has at any depth.
    """

    def __init__(self, viewer: Any) -> None:
        self.viewer = viewer
        self.layers: dict[str, Image] = {}
        self.slices: ProbeSlices | None = None
        self.before: ProbeSlices | None = None

    @property
    def reach_A(self) -> float:
        """Half width in Å of what there is to see."""
        return max((reach_A(probe) for probe in (self.slices, self.before) if probe is not None), default=1.0)

    def own(self) -> dict[str, Layer]:
        """The layers that are on screen, by name."""
        return {name: layer for name, layer in self.layers.items() if layer in self.viewer.layers}

    def show(self, probe: ProbeSlices, before: ProbeSlices | None, visible: bool) -> bool:
        """Show a probe, beside what it was ``before`` where that is given; True where layers were added."""
        self.slices, self.before = probe, before
        return self.restore(visible)

    def remove(self) -> None:
        """There is no probe any more."""
        for layer in self.own().values():
            self.viewer.layers.remove(layer)
        self.layers.clear()
        self.slices = self.before = None

    def restore(self, visible: bool) -> bool:
        """Bring the layers to what is to be shown; True where any was added."""
        probe, before = self.slices, self.before
        if probe is None:
            return False
        if before is None:
            for name in (PROBE_BEFORE, PROBE_CHANGE):
                layer = self.layers.pop(name, None)
                if layer is not None and layer in self.viewer.layers:
                    self.viewer.layers.remove(layer)
            # in percent of the brightest: the contrast stays while values are changed
            images = probe.images * (100 / (float(probe.images.max()) or 1.0))
            added = self._put(PROBE, probe, images, (0.0, 100.0), visible)
            self.layers[PROBE].name = PROBE
            return added
        percent = 100 / float(before.images.max())
        old, new = percent * before.images, percent * probe.images
        contrast = limits(0.0, float(max(old.max(), new.max())))
        change = new - old
        most = float(abs(change).max()) or 1.0
        added = [
            self._put(PROBE_BEFORE, before, old, contrast, visible, gamma=GAMMA),
            self._put(PROBE, probe, new, contrast, visible, gamma=GAMMA),
            self._put(PROBE_CHANGE, probe, change, (-most, most), visible, change_colormap()),
        ]
        self.layers[PROBE].name = FITTED
        return any(added)

    def _put(
        self,
        name: str,
        probe: ProbeSlices,
        images: Any,
        contrast: tuple[float, float],
        visible: bool,
        colormap: Any = "inferno",
        gamma: float = 1.0,
    ) -> bool:
        n, v, u = images.shape
        step = float(probe.depth_A[1] - probe.depth_A[0]) if n > 1 else 1.0
        p = probe.pixel_size_A
        scale, translate = (step, p, p), (float(probe.depth_A[0]), -(v // 2) * p, -(u // 2) * p)
        layer = self.layers.get(name)
        if layer is not None and layer in self.viewer.layers:
            if layer.data.shape == images.shape:
                # in place, and only what has changed: each setter makes napari look at all layers anew
                layer.data[:] = images
                layer.refresh(thumbnail=False, highlight=False, extent=False)
            else:
                layer.data = images
            if not (np.allclose(layer.scale, scale) and np.allclose(layer.translate, translate)):
                layer.scale, layer.translate = scale, translate
            if tuple(layer.contrast_limits_range) != contrast:
                layer.contrast_limits_range = layer.contrast_limits = contrast
            if layer.gamma != gamma:
                layer.gamma = gamma
            return False
        layer = self.layers[name] = Image(
            np.array(images),  # its own: it is written to
            name=name,
            scale=scale,
            translate=translate,
            units=UNITS_3D,
            axis_labels=AXES_3D,
            colormap=colormap,
            contrast_limits=contrast,
            gamma=gamma,
            interpolation2d="cubic",  # the intensity has no finer detail than its pixels
            visible=visible,
            metadata={"napari_lot_role": name.lower()},
        )
        self.viewer.add_layer(layer)
        return True
