"""The plots of the workbench (pyqtgraph): loss and R while it runs, R per tilt, heights, the probe's section."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_lot.gui import look
from napari_lot.gui.canvas.colors import EXISTENCE, Coloring
from napari_lot.gui.work.one_paint import update_plot
from napari_lot.gui.work.seldom import Seldom
from napari_lot.job import ProbeSlices

LOSS_COLOR, R_COLOR, BAR_COLOR, MARK_COLOR = look.AMBER, look.BLUE, look.BLUE, look.AMBER
WITHHELD_COLOR = "#b06ad0"
BARS_TIP = "R-factor of each tilt in percent, withheld tilts in violet; click a bar to look at that tilt."


def _plot(left: str, bottom: str, height: int) -> pg.PlotWidget:
    widget = pg.PlotWidget()
    widget.setFixedHeight(height)
    widget.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # no key does anything here: Tab passes it by
    item = widget.getPlotItem()
    item.hideButtons()
    item.layout.setContentsMargins(0, 4, 4, 6)  # else the label of the lower axis is cut
    item.setMenuEnabled(False)
    item.setMouseEnabled(False, False)
    for side, text in (("left", left), ("bottom", bottom)):
        axis = item.getAxis(side)
        axis.enableAutoSIPrefix(False)
        axis.setStyle(autoReduceTextSpace=False)  # else the plot changes its width with the figures beside it
        item.setLabel(side, text)
    item.showGrid(x=False, y=True, alpha=0.2)
    look.follow(widget)
    return widget


class ConvergencePlot(QWidget):
    """Mean R (left, %) and loss (right, log) against passes over the series."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.plot = _plot("mean R (%)", "passes over the series", 150)
        self.plot.setToolTip("R-factor in blue (left axis) and loss in orange (right axis, logarithmic) of each pass.")
        item = self.plot.getPlotItem()
        item.getAxis("left").setTextPen(R_COLOR)
        item.getAxis("left").own_color = item.getAxis("right").own_color = True
        item.setLabel("left", "mean R (%)", color=R_COLOR, **{"font-size": "9pt"})
        item.showAxis("right")
        right = item.getAxis("right")
        right.setPen(look.text())
        right.setTextPen(LOSS_COLOR)
        right.enableAutoSIPrefix(False)
        right.setStyle(autoReduceTextSpace=False)
        right.setLabel("log₁₀ loss", color=LOSS_COLOR, **{"font-size": "9pt"})
        self._loss_view = pg.ViewBox(enableMenu=False)
        self._loss_view.setMouseEnabled(False, False)
        item.scene().addItem(self._loss_view)
        right.linkToView(self._loss_view)
        self._loss_view.setXLink(item)
        item.vb.sigResized.connect(self._follow)
        self._r = item.plot(pen=pg.mkPen(R_COLOR, width=2))
        self._loss = pg.PlotDataItem(pen=pg.mkPen(LOSS_COLOR, width=2))
        self._loss_view.addItem(self._loss)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.plot)
        self._history: list[tuple[int, float, float]] = []
        self._seldom = Seldom(self._draw, parent=self)

    def _follow(self) -> None:
        self._loss_view.setGeometry(self.plot.getPlotItem().vb.sceneBoundingRect())

    @property
    def history(self) -> list[tuple[int, float, float]]:
        """Pass, loss and mean R of every snapshot that is drawn."""
        return list(self._history)

    @property
    def points(self) -> int:
        """How many passes are drawn."""
        return len(self._history)

    def clear(self) -> None:
        self._history = []
        self._seldom.forget()
        self._draw()

    def add(self, history: list[tuple[int, float, float]]) -> None:
        """Add (step, loss, mean R) of some snapshots; while many come the plot is drawn once a second."""
        if history:
            self._history.extend(history)
            self._seldom.wish()

    def _draw(self) -> None:
        values = np.array(self._history, float).reshape(-1, 3)
        r = values[np.isfinite(values[:, 2])]
        self._r.setData(r[:, 0], 100 * r[:, 2])
        loss = values[np.isfinite(values[:, 1])]
        shown = loss[loss[:, 1] > 0] if len(loss) and (loss[:, 1] > 0).all() else loss
        log = len(shown) > 0 and bool((shown[:, 1] > 0).all())
        self._loss.setData(shown[:, 0], np.log10(shown[:, 1]) if log else shown[:, 1])
        axis, words = self.plot.getPlotItem().getAxis("right"), "log₁₀ loss" if log else "loss"
        if axis.labelText != words:
            axis.setLabel(words, color=LOSS_COLOR)
        update_plot(self.plot)


class TiltBars(QWidget):
    """R-factor of each tilt as bars; a click goes to that tilt."""

    def __init__(self, go_to: Callable[[int], None], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._go_to = go_to
        self.plot = _plot("R (%)", "tilt and its angle", 150)
        axis = self.plot.getPlotItem().getAxis("bottom")
        axis.setHeight(52)  # two lines of ticks and the label
        axis.setStyle(hideOverlappingLabels=False)  # else the first and the last are left out
        self.plot.setToolTip(BARS_TIP)
        self._bars = pg.BarGraphItem(x=[], height=[], width=0.8, brush=BAR_COLOR, pen=None)
        self._mark = pg.InfiniteLine(angle=90, pen=pg.mkPen(MARK_COLOR, width=2))
        self.plot.addItem(self._bars)
        self.plot.addItem(self._mark)
        self._mark.hide()
        self.values: NDArray[np.float64] = np.zeros(0)
        self._withheld: tuple[int, ...] = ()
        self.angles: list[str] = []
        self.colors: list[object] = []
        self.plot.scene().sigMouseClicked.connect(self._clicked)
        self.plot.scene().sigMouseMoved.connect(self._moved)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.plot)

    def show_angles(self, angles: list[str]) -> None:
        """The angle of every tilt, in words, for the axis and the tooltip."""
        self.angles = angles
        step = next((s for s in (1, 2, 5, 10, 20, 50, 100) if len(angles) <= 5 * s), 200)
        ticks = [(t, f"{t}\n{angles[t].replace('.0°', '°')}") for t in range(0, len(angles), step)]
        self.plot.getPlotItem().getAxis("bottom").setTicks([ticks, [(t, "") for t in range(len(angles))]])

    def show_values(self, r_factor: NDArray[np.float64], withheld: tuple[int, ...] = ()) -> None:
        """R of every tilt, (T,); NaN is drawn as nothing, tilts that were predicted in another colour."""
        self.values = np.asarray(r_factor, float)
        self._withheld = withheld
        height = 100 * np.nan_to_num(self.values)
        fitted, predicted = pg.mkBrush(BAR_COLOR), pg.mkBrush(WITHHELD_COLOR)
        self.colors = [predicted if t in withheld else fitted for t in range(len(height))]
        self._bars.setOpts(x=np.arange(len(height)), height=height, width=0.8, brushes=self.colors)
        self.plot.setXRange(-0.5, max(len(height) - 0.5, 0.5), padding=0.01)
        top = float(height.max()) if len(height) else 1.0
        self.plot.setYRange(0, top * 1.05 if top > 0 else 1.0, padding=0)
        update_plot(self.plot)

    def mark(self, tilt: int) -> None:
        """Show which tilt is looked at."""
        self._mark.setValue(tilt)
        self._mark.setVisible(len(self.values) > 0)
        update_plot(self.plot)

    def _moved(self, position: object) -> None:
        tilt = round(self.plot.getPlotItem().vb.mapSceneToView(position).x())
        if not 0 <= tilt < min(len(self.values), len(self.angles)):
            self.plot.setToolTip(BARS_TIP)
            return
        r = self.values[tilt]
        known = f"R {100 * r:.2f} %" if np.isfinite(r) else "no R"
        self.plot.setToolTip(
            f"tilt {tilt}, {self.angles[tilt]}: {known}{', withheld' if tilt in self._withheld else ''}; "
            "click to look at it"
        )

    def _clicked(self, event: object) -> None:
        position = self.plot.getPlotItem().vb.mapSceneToView(event.scenePos())  # type: ignore[attr-defined]
        tilt = round(position.x())
        if 0 <= tilt < len(self.values) and event.button() == Qt.MouseButton.LeftButton:  # type: ignore[attr-defined]
            self._go_to(tilt)


class ColorHistogram(QWidget):
    """Histogram of what the atoms are coloured by, in their colours: the legend of the 3-D view."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.plot = _plot("atoms", "height (image units)", 130)
        self._bars = pg.BarGraphItem(x=[], height=[], width=1.0, pen=None)
        self.plot.addItem(self._bars)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.plot)
        self.title = ""

    def show_coloring(self, coloring: Coloring) -> None:
        """How many atoms have which value."""
        values = coloring.values[np.isfinite(coloring.values)]
        if not len(values):
            return
        axis = self.plot.getPlotItem().getAxis("bottom")
        if self.title != coloring.title:
            self.title = coloring.title
            self.plot.setLabel("bottom", coloring.title)
            self.plot.setToolTip(f"Atoms by {coloring.title}; the colours are those of the atoms in 3D.")
        if coloring.elements:
            middle = np.arange(len(coloring.elements), dtype=float)
            counts = np.bincount(values.astype(np.int64), minlength=len(middle))
            low, high, width = -0.5, len(middle) - 0.5, 0.6
            names = [f"{e}: {n}" for e, n in zip(coloring.elements, counts, strict=True)]
            axis.setTicks([list(zip(middle, names, strict=True)), []])
        else:
            axis.setTicks(None)
            low, high = self._range(coloring, values)
            counts, edges = np.histogram(np.clip(values, low, high), bins=40, range=(low, high))
            middle, width = 0.5 * (edges[1:] + edges[:-1]), edges[1] - edges[0]
        brushes = [pg.mkBrush(*(int(255 * c) for c in color[:3])) for color in coloring.rgba(middle)]
        self._bars.setOpts(x=middle, height=counts, width=width, brushes=brushes)
        self.plot.setXRange(low, high, padding=0)
        self.plot.setYRange(0, counts.max() * 1.08, padding=0)
        update_plot(self.plot)

    @staticmethod
    def _range(coloring: Coloring, values: NDArray[np.float64]) -> tuple[float, float]:
        # Everything but a far tail, which goes into the last bar.
        low = min(coloring.limits[0], float(values.min()))
        high = min(float(values.max()), low + 3 * (coloring.limits[1] - low))
        return low, max(high * 1.02 if coloring.name != EXISTENCE else 1.0, coloring.limits[1])


def reach_A(probe: ProbeSlices) -> float:
    """Half width in Å of what there is to see of a probe: 1 % of the peak at any depth, at least 2 Å."""
    _, v, u = probe.images.shape
    across = probe.images[:, v // 2].max(0)
    lit = np.flatnonzero(across > 0.01 * across.max())
    widest = np.abs(lit - u // 2).max() if len(lit) else 0
    return float(min(max(1.3 * widest * probe.pixel_size_A, 2.0), (u // 2) * probe.pixel_size_A))


class ProbeSection(QWidget):
    """The probe's intensity in the plane through its axis: x across, depth w downwards.

    Parameters
    ----------
    of : str
        What its colours are a percentage of; '' for no colour bar.
    """

    def __init__(self, parent: QWidget | None = None, of: str = "the peak") -> None:
        super().__init__(parent)
        self.plot = _plot("depth w (Å)", "x (Å)", 190)
        self.plot.setToolTip(
            "Probe intensity through its axis, square-root scale; the beam goes down, 0 is the rotation centre."
        )
        self.plot.getPlotItem().showGrid(x=False, y=False)
        self.plot.getPlotItem().invertY(True)
        self._image = pg.ImageItem(axisOrder="row-major")
        self._image.setColorMap(pg.colormap.get("inferno"))
        self.plot.addItem(self._image)
        self._zero = pg.InfiniteLine(0, angle=0, pen=pg.mkPen("#888888", style=Qt.PenStyle.DashLine))
        self.plot.addItem(self._zero)
        self.scale: pg.ColorBarItem | None = None
        if of:
            self.scale = pg.ColorBarItem(
                values=(0.0, 1.0), width=10, colorMap=pg.colormap.get("inferno"), interactive=False
            )
            self.scale.setImageItem(self._image, insert_in=self.plot.getPlotItem())
            # the colours go with the square root of the intensity
            self.scale.axis.setTicks([[(float(np.sqrt(i / 100)), f"{i}") for i in (0, 5, 20, 50, 100)], []])
            self.scale.axis.setLabel(f"% of {of}", color=look.text(), **{"font-size": "9pt"})
            look.follow_axis(self.scale.axis)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.plot)
        self.section: NDArray[np.float32] = np.zeros((0, 0), np.float32)

    def show_probe(self, probe: ProbeSlices, top: float | None = None, reach: float | None = None) -> None:
        """Slices (D, V, U) centred at [V // 2, U // 2]; ``top`` is the brightest intensity, ``reach`` the widest x."""
        d, v, u = probe.images.shape
        section = probe.images[:, v // 2]
        self.section = section
        p, step = probe.pixel_size_A, float(probe.depth_A[1] - probe.depth_A[0]) if d > 1 else 1.0
        # The square root shows the tails that make neighbours overlap.
        top = float(section.max()) if top is None else top
        self._image.setImage(np.sqrt(np.maximum(section, 0) / (top or 1.0)), levels=(0.0, 1.0))
        self._image.setRect(-(u // 2 + 0.5) * p, float(probe.depth_A[0]) - step / 2, u * p, d * step)
        reach = reach_A(probe) if reach is None else reach
        self.plot.setXRange(-reach, reach, padding=0)
        self.plot.setYRange(float(probe.depth_A[0]), float(probe.depth_A[-1]), padding=0)
