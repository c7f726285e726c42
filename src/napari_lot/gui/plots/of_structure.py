"""Plots of atoms: distances of neighbours, g(r), coordination, deviations from another structure, widths."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_lot.analysis.compare import Comparison
from napari_lot.analysis.structure import Structure
from napari_lot.gui import look
from napari_lot.gui.canvas.colors import ELEMENT_COLORS
from napari_lot.gui.plots.basic import BAR_COLOR, MARK_COLOR, _plot
from napari_lot.job import Result

Floats = NDArray[np.float64]
NEAREST, PAIRS, PARTIAL, COORDINATION = "nearest neighbours", "g(r)", "g(r) by elements", "coordination"
DISTANCES, AXES = "distance", "x, y and z"
AXIS_COLORS = ("#56b4e9", "#e69f00", "#cc79a7")
BINS = 40


def _color(index: int) -> tuple[int, ...]:
    return tuple(int(255 * c) for c in ELEMENT_COLORS[index % len(ELEMENT_COLORS)])


class _Plot(QWidget):
    """A plot with a legend that is cleared before it is drawn anew."""

    def __init__(self, name: str, height: int, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName(name)
        self.plot = _plot("", "", height)
        self.item = self.plot.getPlotItem()
        self.legend = self.item.addLegend(offset=(-4, 4), labelTextColor=look.text(), labelTextSize="8pt")
        self.legend.setBrush(pg.mkBrush(30, 34, 40, 200))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.plot)

    def begin(self, left: str, bottom: str, tip: str) -> None:
        self.item.clear()
        self.legend.clear()
        self.item.getAxis("bottom").setTicks(None)
        self.plot.setLabel("left", left)
        self.plot.setLabel("bottom", bottom)
        self.plot.setToolTip(tip)

    def bars(self, edges: Floats, counts: NDArray[np.int64]) -> None:
        middle = 0.5 * (edges[1:] + edges[:-1])
        bars = pg.BarGraphItem(x=middle, height=counts, width=edges[1] - edges[0], brush=BAR_COLOR, pen=None)
        self.item.addItem(bars)
        self.frame(edges[0], edges[-1], float(counts.max(initial=1)))

    def frame(self, low: float, high: float, top: float) -> None:
        self.plot.setXRange(low, high, padding=0)
        self.plot.setYRange(0, 1.08 * max(top, 1e-9), padding=0)

    def mark(self, x: float) -> None:
        self.item.addItem(pg.InfiniteLine(x, angle=90, pen=pg.mkPen(MARK_COLOR, width=1, style=Qt.PenStyle.DashLine)))


class StructurePlot(_Plot):
    """Distances of nearest neighbours, g(r), partial g(r), or coordination numbers."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("structure_plot", 190, parent)

    def show_structure(self, structure: Structure, what: str) -> None:
        """Draw one of ``NEAREST``, ``PAIRS``, ``PARTIAL`` and ``COORDINATION``."""
        cutoff = f"the dashed line is the cutoff of neighbours, {structure.cutoff_A:.2f} Å"
        if what == NEAREST:
            self.begin(
                "atoms", "distance to the nearest atom (Å)", f"Distance of each atom to its nearest one; {cutoff}."
            )
            top = max(float(np.quantile(structure.nearest_A, 0.995)) * 1.1, structure.cutoff_A * 1.02)
            edges = np.linspace(min(float(structure.nearest_A.min()) * 0.95, 0.9 * top), top, 2 * BINS + 1)
            self.bars(edges, np.histogram(np.minimum(structure.nearest_A, edges[-1]), edges)[0])
            self.mark(structure.cutoff_A)
        elif what == COORDINATION:
            self.begin(
                "atoms", f"neighbours within {structure.cutoff_A:.2f} Å", "How many atoms have how many neighbours."
            )
            top = int(structure.coordination.max(initial=1))
            self.bars(np.arange(top + 2) - 0.5, np.bincount(structure.coordination, minlength=top + 1))
        else:
            self.begin(
                "g(r)", "r (Å)", f"Pairs over those of a gas in the same shape, so that no order is 1; {cutoff}."
            )
            curves = {"": structure.g}
            if what == PARTIAL:
                curves = {f"{a}-{b}": structure.partial((a, b)) for a, b in structure.pairs}
            for i, (name, g) in enumerate(curves.items()):
                color = _color(i) if name else BAR_COLOR
                self.item.plot(structure.r_A, g, pen=pg.mkPen(color, width=2), name=name or None)
            one = pg.mkPen("#888888", width=1, style=Qt.PenStyle.DotLine)
            self.item.addItem(pg.InfiniteLine(1, angle=0, pen=one))
            self.mark(structure.cutoff_A)
            top = max(float(g.max()) for g in curves.values())
            self.frame(0, float(structure.r_A[-1]), top)


class DeviationPlot(_Plot):
    """How far matched atoms are from those of the other structure: distances, or each axis (Fig. 4 of the paper)."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("deviations", 190, parent)
        self.counts: dict[str, NDArray[np.int64]] = {}
        self.edges: Floats = np.zeros(0)

    def show_deviations(self, comparison: Comparison, what: str) -> None:
        """Draw ``DISTANCES`` or ``AXES`` of the matched atoms."""
        distance, axes = comparison.distance_pm, 100 * comparison.displacement_A
        if what == DISTANCES:
            self.begin(
                "atoms",
                "deviation (pm)",
                "Distance of every matched atom from its partner; the last bar has all beyond.",
            )
            top = max(float(np.quantile(distance, 0.99)) * 1.2 if len(distance) else 1.0, 1e-3)
            self.edges = np.linspace(0, top, BINS + 1)
            self.counts = {DISTANCES: np.histogram(np.minimum(distance, top), self.edges)[0]}
            self.bars(self.edges, self.counts[DISTANCES])
            return
        self.begin(
            "atoms", "deviation along an axis (pm)", "Deviation of the matched atoms along x, y and z; z is the beam."
        )
        reach = max(float(np.quantile(np.abs(axes), 0.995)) * 1.2 if len(axes) else 1.0, 1e-3)
        self.edges = np.linspace(-reach, reach, BINS + 1)
        self.counts = {}
        for k, (axis, color) in enumerate(zip("xyz", AXIS_COLORS, strict=True)):
            counts = np.histogram(np.clip(axes[:, k], -reach, reach), self.edges)[0]
            self.counts[axis] = counts
            name = f"{axis}, σ {axes[:, k].std():.2g} pm" if len(axes) else axis
            self.item.plot(self.edges, counts, stepMode="center", pen=pg.mkPen(color, width=2), name=name)
        # room for the legend above the curves
        self.frame(-reach, reach, 1.5 * float(max(c.max(initial=1) for c in self.counts.values())))


class WidthHistogram(_Plot):
    """Histogram of the widths B by element, for runs that fitted one an atom."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("widths", 150, parent)
        self.counts: dict[str, NDArray[np.int64]] = {}

    @staticmethod
    def worth(result: Result) -> bool:
        """Whether atoms of one element have widths of their own."""
        atoms = result.orbitals
        spans = [np.ptp(atoms.width[atoms.species == k]) for k in np.unique(atoms.species)]
        return bool(len(atoms) and max(spans) > 1e-6 * float(atoms.width.max()))

    def show_widths(self, result: Result) -> None:
        """Draw the widths of a result's atoms."""
        atoms = result.orbitals
        self.begin(
            "atoms", "width B (Å)", "Width B of every atom's orbital H exp(−r²/B²), in the colour of its element."
        )
        low, high = (float(q) for q in np.quantile(atoms.width, [0.002, 0.998]))
        span = max(high - low, 1e-6)
        edges = np.linspace(max(low - 0.1 * span, 0), high + 0.1 * span, BINS + 1)
        middle, base = 0.5 * (edges[1:] + edges[:-1]), np.zeros(BINS)
        self.counts = {}
        for k, element in enumerate(atoms.elements):
            counts = np.histogram(np.clip(atoms.width[atoms.species == k], edges[0], edges[-1]), edges)[0]
            self.counts[element] = counts
            brush = pg.mkBrush(*_color(k), 200)
            bars = pg.BarGraphItem(x=middle, y0=base, height=counts, width=edges[1] - edges[0], brush=brush, pen=None)
            self.item.addItem(bars)
            if len(atoms.elements) > 1:
                self.legend.addItem(pg.PlotDataItem(pen=pg.mkPen(_color(k), width=4)), element)
            base = base + counts
        self.frame(edges[0], edges[-1], float(base.max()))
