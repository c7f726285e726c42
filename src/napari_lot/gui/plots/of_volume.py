"""Plots of a volume: R while it iterates, three sections through a point, and what of Fourier space was measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from qtpy.QtCore import QRectF, Qt
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_lot.gui import look
from napari_lot.gui.plots.basic import MARK_COLOR, R_COLOR, _plot
from napari_lot.gui.work.one_paint import update_plot
from napari_lot.gui.work.seldom import Seldom
from napari_lot.voxel.fourier_plane import Directions

R_FREE_COLOR = look.AMBER
MEASURED_COLOR, WEDGE_COLOR = look.AMBER, look.BLUE
LINE_ALPHA, WEDGE_ALPHA = 70, 70
LEAST_PX = 195
"""Height of a plot, at least: below it the axes leave no room."""


class IterationPlot(QWidget):
    """Mean R of the tilts against iterations, and R_free where a method has one; both in percent."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.plot = _plot("R (%)", "iteration", 140)
        self.plot.setToolTip(
            "Mean R-factor of the fitted tilts in blue; in orange R_free of Fourier samples that were withheld, where "
            "the method has it."
        )
        self._r = self.plot.plot(pen=pg.mkPen(R_COLOR, width=2), symbolBrush=R_COLOR, symbolPen=None, symbolSize=4)
        self._free = self.plot.plot(pen=pg.mkPen(R_FREE_COLOR, width=2))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.plot)
        self.history: list[tuple[int, float, float]] = []
        self._seldom = Seldom(self._draw, parent=self)

    def clear(self) -> None:
        """Another run begins."""
        self.history = []
        self._seldom.forget()
        self.plot.setXRange(0, 1)
        self._draw()

    def add(self, history: Sequence[tuple[int, float, float]], total: int) -> None:
        """Iteration, mean R and R_free of some snapshots, of ``total``; while many come it is drawn once a second."""
        if history:
            self.plot.setXRange(0, max(total, 1))
            self.history.extend(history)
            self._seldom.wish()

    def end(self, history: NDArray[np.float64], r_free: float) -> None:
        """Every iteration (K, 2) of the finished volume with its R: snapshots are taken only now and then."""
        if not len(history):
            return
        known = {iteration: free for iteration, _, free in self.history}
        known[int(history[-1, 0])] = r_free
        self.history = [(int(n), float(r), known.get(int(n), float("nan"))) for n, r in history]
        self._seldom.wish()
        self._seldom.catch_up()

    def _draw(self) -> None:
        values = np.array(self.history, float).reshape(-1, 3)
        self._r.setData(values[:, 0], 100 * values[:, 1], symbol="o" if len(values) < 40 else None)
        free = values[np.isfinite(values[:, 2])]
        self._free.setData(free[:, 0], 100 * free[:, 2])
        update_plot(self.plot)


class SectionPlot(QWidget):
    """One section of a volume in grey, with a cross that can be dragged and the atoms that lie in it.

    Parameters
    ----------
    across, down : str
        Names of the axes.
    moved : callable
        Told the place of the cross along both, in Å, when somebody drags it.
    """

    def __init__(
        self, across: str, down: str, moved: Callable[[float, float], None], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.across, self.down, self._moved = across, down, moved
        self.plot = _plot(f"{down} (Å)", f"{across} (Å)", 100)
        self.plot.setMinimumHeight(LEAST_PX)
        self.plot.setMaximumHeight(16_777_215)
        item = self.plot.getPlotItem()
        item.showGrid(x=False, y=False)
        item.invertY(True)
        item.setAspectLocked(True)
        item.titleLabel.setText("", size="9pt", color=look.text())
        self.plot.setToolTip(f"Section {across}{down} of the volume; drag the lines, or click, to move the other two.")
        self._image = pg.ImageItem(axisOrder="row-major")
        self.plot.addItem(self._image)
        self._atoms = pg.ScatterPlotItem(pxMode=False, pen=pg.mkPen(MARK_COLOR, width=1), brush=None)
        self.plot.addItem(self._atoms)
        self._lines = [
            pg.InfiniteLine(0, angle=angle, movable=True, pen=pg.mkPen(R_COLOR, width=1)) for angle in (90, 0)
        ]
        for line in self._lines:
            self.plot.addItem(line)
            line.sigDragged.connect(self._on_dragged)
        self.plot.scene().sigMouseClicked.connect(self._on_clicked)
        self._framed: tuple[float, ...] = ()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.plot)

    @property
    def image(self) -> NDArray[np.float32] | None:
        """What is drawn, [down, across]."""
        found: NDArray[np.float32] | None = self._image.image
        return found

    @property
    def atoms(self) -> int:
        """How many atoms are drawn."""
        return len(self._atoms.data)

    def show_section(
        self, section: NDArray[np.float32], corner_A: tuple[float, float], voxel_A: float, limits: tuple[float, float]
    ) -> None:
        """Values [down, across]; ``corner_A`` is the place (across, down) of the centre of the first."""
        rows, columns = section.shape
        rect = (corner_A[0] - voxel_A / 2, corner_A[1] - voxel_A / 2, columns * voxel_A, rows * voxel_A)
        self._image.setImage(section, levels=limits, autoLevels=False)
        self._image.setRect(QRectF(*rect))
        if rect != self._framed:
            self._framed = rect
            self.plot.getPlotItem().vb.setRange(QRectF(*rect), padding=0.02)
        update_plot(self.plot)

    def show_place(self, across_A: float, down_A: float, title: str) -> None:
        """Put the cross there, and say where the section lies."""
        for line, value in zip(self._lines, (across_A, down_A), strict=True):
            line.setValue(value)
        self.plot.getPlotItem().setTitle(title, color=look.text(), size="9pt")

    def show_atoms(self, places_A: NDArray[np.float64], diameter_A: NDArray[np.float64]) -> None:
        """Rings (N, 2) at atoms (across, down)."""
        self._atoms.setData(x=places_A[:, 0], y=places_A[:, 1], size=diameter_A)
        update_plot(self.plot)

    def _on_dragged(self) -> None:
        self._moved(float(self._lines[0].value()), float(self._lines[1].value()))

    def _on_clicked(self, event: object) -> None:
        if event.button() != Qt.MouseButton.LeftButton:  # type: ignore[attr-defined]
            return
        view = self.plot.getPlotItem().vb
        if view.sceneBoundingRect().contains(event.scenePos()):  # type: ignore[attr-defined]
            place = view.mapSceneToView(event.scenePos())  # type: ignore[attr-defined]
            self._moved(float(place.x()), float(place.y()))


class WedgePlot(QWidget):
    """The plane of Fourier space across the tilt axis: amplitude in grey, measured directions, the missing wedge."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.plot = _plot("k<sub>z</sub> (1/Å)", "k<sub>x</sub> (1/Å)", 100)
        self.plot.setMinimumHeight(LEAST_PX)
        self.plot.setMaximumHeight(16_777_215)
        item = self.plot.getPlotItem()
        item.showGrid(x=False, y=False)
        item.invertY(True)  # as the sections: z downwards
        item.setAspectLocked(True)
        self._image = pg.ImageItem(axisOrder="row-major")
        self.plot.addItem(self._image)
        self._wedge = [pg.PlotCurveItem(pen=pg.mkPen(WEDGE_COLOR, width=1.5)) for _ in range(2)]
        for curve in self._wedge:
            color = pg.mkColor(WEDGE_COLOR)
            color.setAlpha(WEDGE_ALPHA)
            curve.setBrush(color)
            curve.setFillLevel("enclosed")
            self.plot.addItem(curve)
        measured = pg.mkColor(MEASURED_COLOR)
        measured.setAlpha(LINE_ALPHA)
        self._lines = pg.PlotCurveItem(pen=pg.mkPen(measured, width=1), connect="pairs")
        self.plot.addItem(self._lines)
        self.words = ""
        self._levels: tuple[float, float] | None = None
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.plot)

    @property
    def image(self) -> NDArray[np.float32] | None:
        """What is drawn, [second axis, first axis]."""
        found: NDArray[np.float32] | None = self._image.image
        return found

    def show_plane(self, plane: NDArray[np.float32], step: float, directions: Directions) -> None:
        """log10 of the amplitude (N, N), its step in 1/Å, and what the tilts have measured."""
        n = len(plane)
        low, high = (float(np.floor(2 * q) / 2) for q in np.quantile(plane, [0.05, 0.9995]))
        self._levels = (low, max(high, low + 0.5))
        self._image.setImage(plane, levels=self._levels, autoLevels=False)
        first = -(n // 2 + 0.5) * step
        rect = QRectF(first, first, n * step, n * step)
        self._image.setRect(rect)
        reach = n // 2 * step
        self._show_directions(directions, reach)
        self.plot.getPlotItem().vb.setRange(QRectF(-reach, -reach, 2 * reach, 2 * reach), padding=0.0)
        update_plot(self.plot)

    def _show_directions(self, directions: Directions, reach: float) -> None:
        angles = np.radians(directions.angles_deg)
        ends = reach * np.stack([np.cos(angles), np.sin(angles)], 1)
        lines = np.stack([-ends, ends], 1).reshape(-1, 2)
        self._lines.setData(lines[:, 0], lines[:, 1], connect="pairs")
        missing = directions.missing_deg
        names = ("x", "z") if directions.axis[1] > 0.9999 else ("1", "2")
        item = self.plot.getPlotItem()
        for side, name in zip(("bottom", "left"), names, strict=True):
            item.setLabel(side, f"k<sub>{name}</sub> (1/Å)", color=look.text(), **{"font-size": "9pt"})
        for curve, half in zip(self._wedge, (0.0, np.pi), strict=True):
            curve.setVisible(missing is not None)
            if missing is not None:
                arc = np.radians(np.linspace(*missing, 40)) + half
                x, y = (np.concatenate([[0.0], reach * f(arc), [0.0]]) for f in (np.cos, np.sin))
                curve.setData(x, y)
        wide = "" if missing is None else f", missing wedge {missing[1] - missing[0]:.0f}°"
        self.words = f"log |F|, {len(directions.angles_deg)} measured directions{wide}"
        item.setTitle(
            "log |F|" + (f", missing {missing[1] - missing[0]:.0f}°" if missing else ""), color=look.text(), size="9pt"
        )
        axis = ", ".join(f"{value:.2f}" for value in directions.axis)
        what = "the tilt axis" if directions.common else "y, for the tilts have no common axis,"
        self.plot.setToolTip(
            f"Amplitude of the volume's Fourier transform (logarithmic) in the plane through 0 across {what} "
            f"(x, y, z = {axis}). Orange: directions that tilts have measured; blue: where none has."
        )
