"""The stacks: measured, calculated and residual images as 4-D layers ``[tilt, 1, v, u]``."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from napari.layers import Image, Layer
from napari.utils import Colormap
from numpy.typing import NDArray

from napari_lot.lot.local import Windows
from napari_lot.series import TiltSeries
from napari_lot.series.layer import KEY, layer_facts, layer_place

UNITS_4D = ("pixel", "angstrom", "angstrom", "angstrom")
AXES_4D = ("tilt angle", "z", "y", "x")  # napari makes room for this; the angle itself is shown in its place
MEASURED, CALCULATED, RESIDUAL = "Measured", "Calculated", "Residual"
ROLE = "napari_lot_role"
"""In the metadata of a layer that a workbench keeps up to date, what it is for."""
LEFT = "napari_lot_left"
"""In the metadata of a layer whose workbench is closed."""

WRITTEN_S = 2.0
"""Between writing into the stacks images that nobody looks at: while a run goes on there are new ones all the time."""
SAMPLE = 400_000
ROUND = (1, 1.25, 1.5, 2, 2.5, 3, 3.5, 4, 5, 6, 7.5, 10)
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
    return Image(
        images[:, None],
        name=name,
        **layer_place(series),
        units=UNITS_4D,
        axis_labels=AXES_4D,
        projection_mode="mean",
        metadata=_metadata(series, name),
        **options,
    )


def _metadata(series: TiltSeries, name: str) -> dict[str, Any]:
    """What napari's own File > Save needs to write the stack as a series: its angles, pixel size and so on."""
    facts = layer_facts(series)
    if name != MEASURED:  # these are no electrons that somebody has counted
        facts["counts"] = False
    return {ROLE: name.lower(), KEY: facts}


class Stacks:
    """The three stacks of one series in a viewer; one that the user deleted is made anew when it is needed."""

    def __init__(self, viewer: Any) -> None:
        self.viewer = viewer
        self.layers: dict[str, Image] = {}
        self._series: TiltSeries | None = None
        self._calculated: NDArray[np.float32] | None = None
        self._residual: NDArray[np.float32] | None = None
        self._is_ours = True
        # images of tilts that are not on screen, and when those before them were put into the stacks
        self._waiting: dict[int, NDArray[np.float32]] = {}
        self._written_at = -float("inf")
        self._residual_limits: tuple[float, float] | None = None
        self._limits = (0.0, 1.0)

    def has(self, name: str) -> bool:
        """Whether a stack of this name is on screen."""
        return name in self.layers and self.layers[name] in self.viewer.layers

    def show_measured(self, series: TiltSeries) -> None:
        """Show the measured images in place of another series', whose other stacks go."""
        self.remove_results()
        self._series = series
        lo, hi = np.quantile(sample(series.images), [0.001, 0.9995])
        self._limits = limits(lo, hi)
        if not self.has(MEASURED):
            self.restore(visible=True)
            return
        # a layer that goes and another that comes would each hold the window up for half a second (see Views)
        layer, place = self.layers[MEASURED], layer_place(series)
        layer.data = series.images[:, None]
        layer.scale, layer.translate = place["scale"], place["translate"]
        layer.metadata = _metadata(series, MEASURED)
        layer.contrast_limits_range = layer.contrast_limits = self._limits
        layer.visible = True

    def restore(self, visible: bool) -> bool:
        """Add the stacks that there are images for and that are not on screen; True where any was added."""
        added = False
        while self.restore_one(visible):
            added = True
        return added

    def restore_one(self, visible: bool) -> bool:
        """The same for one stack only: the window may answer before the next."""
        if self._series is None:
            return False
        images = {MEASURED: self._series.images, CALCULATED: self._calculated, RESIDUAL: self._residual}
        for name, stack in images.items():
            if stack is None or self.has(name):
                continue
            if name == RESIDUAL:
                look: dict[str, Any] = {"contrast_limits": self._residual_limits, "colormap": residual_colormap()}
            else:
                same = self.layers[MEASURED].contrast_limits if self.has(MEASURED) else self._limits
                look = {"contrast_limits": same, "colormap": "gray"}
            layer = self.layers[name] = stack_layer(self._series, stack, name, visible=visible, **look)
            self.viewer.add_layer(layer)
            return True
        return False

    @property
    def residual_limit(self) -> float | None:
        """Largest residual that has a colour of its own, None before there are residuals."""
        return None if self._residual_limits is None else self._residual_limits[1]

    def remove_results(self) -> None:
        """Take away what belongs to an earlier run."""
        for name in (CALCULATED, RESIDUAL):
            if self.has(name):
                self.viewer.layers.remove(self.layers[name])
            self.layers.pop(name, None)
        self._calculated = self._residual = None
        self._waiting.clear()
        self._written_at = -float("inf")
        self._residual_limits = None

    def show_calculated(self, tilts: NDArray[np.int64], calculated: NDArray[np.float32], shown_tilt: int) -> None:
        """Fill in calculated images (n, V, U) of some tilts and their residuals, in the layers that are there.

        Parameters
        ----------
        shown_tilt : int
            The tilt on screen: only when it has changed is anything drawn anew.
        """
        series = self._series
        if series is None or not len(tilts):
            return
        if self._calculated is None or self._residual is None:
            self._calculated = np.zeros(series.images.shape, np.float32)  # not "_like": that writes every page
            self._residual = np.zeros(series.images.shape, np.float32)
            self._is_ours = True
        if not self._is_ours:  # what a result holds is not painted over
            self.show_all(self._calculated.copy(), self._residual.copy())
            self._is_ours = True
        self._waiting.update(zip(tilts.tolist(), calculated, strict=True))
        if time.monotonic() - self._written_at > WRITTEN_S:
            self.write()
            self._written_at = time.monotonic()
        if self._residual_limits is None:
            self.limit_residual(self._residual[tilts])
        if shown_tilt in tilts:
            self.write(shown_tilt)
            self._draw()

    def write(self, tilt: int | None = None) -> bool:
        """Put calculated images that wait, of one tilt or of all, into the stacks; True where there were any."""
        series, calculated, residual = self._series, self._calculated, self._residual
        if series is None or calculated is None or residual is None:
            return False
        found = [t for t in self._waiting if tilt is None or t == tilt]
        for t in found:  # in place: fresh memory costs more than the numbers
            calculated[t] = self._waiting.pop(t)
            np.subtract(series.images[t], calculated[t], out=residual[t])
        return bool(found)

    def look_at(self, tilt: int) -> None:
        """Another tilt is on screen: its images may be waiting."""
        if self._waiting and self.write(tilt):
            self._draw()

    def _draw(self) -> None:
        for name in (CALCULATED, RESIDUAL):
            if self.has(name):
                self.layers[name].refresh(thumbnail=False, extent=False, highlight=False)

    def show_all(self, calculated: NDArray[np.float32], residual: NDArray[np.float32]) -> None:
        """Show what a run leaves, all tilts at once, in the layers that are there; the arrays are not copied."""
        self._calculated, self._residual, self._is_ours = calculated, residual, False
        self._waiting.clear()
        if self._residual_limits is None:
            self.limit_residual(residual)
        for name, stack in ((CALCULATED, calculated), (RESIDUAL, residual)):
            if self.has(name):
                self.layers[name].data = stack[:, None]

    def change(self, calculated: NDArray[np.float32], residual: NDArray[np.float32], windows: Windows) -> None:
        """Take over stacks (T, V, U) that differ from those on screen within some windows only."""
        if self._calculated is None or self._residual is None:
            return
        if not self._is_ours:  # what another result holds is not painted over
            self.show_all(self._calculated.copy(), self._residual.copy())
            self._is_ours = True
        for old, new in ((self._calculated, calculated), (self._residual, residual)):
            for tilt, window in enumerate(windows.slices(old.shape[1:])):
                old[tilt][window] = new[tilt][window]
        self.restore(visible=False)
        self._draw()

    def limit_residual(self, residual: NDArray[np.float32]) -> None:
        """Symmetric limits around zero: the 99.5th percentile of |residual|, up to the next round number."""
        top = round_up(float(np.quantile(np.abs(sample(residual)), 0.995)) or 1e-6)
        self._residual_limits = (-top, top)
        if self.has(RESIDUAL):
            self.layers[RESIDUAL].contrast_limits_range = self._residual_limits
            self.layers[RESIDUAL].contrast_limits = self._residual_limits


def sample(stack: NDArray[np.float32]) -> NDArray[np.float32]:
    """Pixels of a stack (T, V, U) that stand for all, in equal steps along every axis: some hundred thousand at most.

    Limits of contrast need no more, and the window waits for them.
    """
    t = max(1, len(stack) // 12)
    step = max(1, int(np.sqrt(stack[::t].size / SAMPLE)))
    return stack[::t, ::step, ::step]


def round_up(value: float) -> float:
    """The next round number: between limits that are none, the colour bar may find room for no number but 0."""
    power = 10.0 ** np.floor(np.log10(value))
    return float(power * next(step for step in ROUND if step * power >= value * (1 - 1e-6)))


def limits(lo: float, hi: float) -> tuple[float, float]:
    """Contrast limits that differ."""
    return (float(lo), float(hi)) if hi > lo else (float(lo), float(lo) + 1.0)


def is_copy(layer: Layer, series: TiltSeries) -> bool:
    """Whether a layer of this package's reader shows the images of a series."""
    if KEY not in layer.metadata or not isinstance(layer, Image) or layer.data.size != series.images.size:
        return False
    shown = np.asarray(layer.data).reshape(series.images.shape)
    # image by image: most that differ do so in the first
    return all(np.array_equal(a, b) for a, b in zip(shown, series.images, strict=True))
