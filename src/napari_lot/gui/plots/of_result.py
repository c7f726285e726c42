"""Plots of a finished run: the probe before and after the fit, and the elements in the strengths of the atoms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from napari_lot.gui import look
from napari_lot.gui.canvas.colors import ELEMENT_COLORS
from napari_lot.gui.plots.basic import ProbeSection, _plot, reach_A
from napari_lot.job import ProbeSlices, Result
from napari_lot.settings import ABERRATIONS, Microscope

FEWEST_BINS, MOST_BINS = 40, 150


class ProbeComparison(QWidget):
    """Sections x-w of the probe of the settings and of the fitted one, on one scale of intensity."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("probe_before_and_after")
        self.before, self.after = ProbeSection(of=""), ProbeSection(of="the higher peak")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        for section, title in ((self.before, "settings"), (self.after, "fitted")):
            section.plot.getPlotItem().setTitle(title, color=look.text(), size="9pt")
            layout.addWidget(section)
        self.after.plot.getPlotItem().setLabel("left", "")

    def show_probes(self, before: ProbeSlices, after: ProbeSlices) -> None:
        """Both on the scale of the brighter one, as wide as the wider one."""
        top = max(float(probe.images[:, probe.images.shape[1] // 2].max()) for probe in (before, after))
        reach = max(reach_A(before), reach_A(after))
        self.before.show_probe(before, top, reach)
        self.after.show_probe(after, top, reach)


def probe_text(result: Result) -> str:
    """What the fit did to the probe, in words; '' where it did nothing.

    Aberrations that changed, before and after, with their standard deviations; and the largest change of intensity in
    percent of the peak before.
    """
    before = result.probe_before
    if before is None or not result.probe_changed:
        return ""
    lens = result.settings.microscope
    values = result.details.get("microscope")
    fitted = lens if values is None else Microscope(**values)
    parts = []
    for name, size, azimuth in ABERRATIONS:
        ends = [_aberration(m, size, azimuth) for m in (lens, fitted)]
        if ends[0] != ends[1]:
            told = _told(result.details.get("microscope_sigma_A") or {}, size, azimuth)
            parts.append(f"{name} {ends[0]} → {ends[1]}{told} Å{'' if azimuth is None else _at(fitted, size, azimuth)}")
    change = 100 * float(np.abs(result.probe.images - before.images).max() / before.images.max())
    largest = f"largest change of intensity {change:.2g} % of the peak"
    return f"Probe, settings → fitted: {'; '.join([*(parts or ['aberrations as set']), largest])}.".replace("-", "−")


def _told(sigma_A: dict[str, float], size: str, azimuth: str | None) -> str:
    """How well the images tell an aberration: its standard deviation, the mean one of two components."""
    names = [size] if azimuth is None else [f"{size.removesuffix('_A')}_{part}" for part in "xy"]
    if not set(names) <= set(sigma_A):
        return ""
    mean = float(np.sqrt(np.mean([sigma_A[name] ** 2 for name in names])))
    return f" ± {mean:.0f}" if mean >= 10 else f" ± {mean:.2g}"


def _aberration(lens: Microscope, size: str, azimuth: str | None) -> str:
    value = getattr(lens, size)
    return f"{value:.4g}" if abs(value) >= 100 else f"{value:.1f}".replace("-0.0", "0.0")


def _at(lens: Microscope, size: str, azimuth: str) -> str:
    return f" at {getattr(lens, azimuth):.0f}°" if getattr(lens, size) else ""


class StrengthHistogram(QWidget):
    """Histogram of pi H B^2 in the colours of the elements, with the mixture that told them apart.

    A curve is what the mixture expects of an element whose atoms scatter and have the typical error bar; the dotted one
    is the sum.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("strengths")
        self.plot = _plot("atoms", "", 190)
        self.plot.setToolTip(
            "Integrated strength of every atom in the colour of its element; the curves are the mixture that tells "
            "the elements apart, widened by the typical error bar, and dotted their sum."
        )
        self.legend = self.plot.getPlotItem().addLegend(offset=(-4, 4), labelTextColor=look.text(), labelTextSize="8pt")
        look.restyle(self.plot)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.plot)
        self.counts: NDArray[np.int64] = np.zeros((0, 0), np.int64)
        self.edges: NDArray[np.float64] = np.zeros(0)
        self.curves: NDArray[np.float64] = np.zeros((0, 0))

    def show_strengths(self, result: Result, mixture: dict[str, Any], intensity: str) -> None:
        """Draw the atoms of a result and the mixture of its details; ``intensity`` is the unit of the images."""
        item = self.plot.getPlotItem()
        item.clear()
        self.legend.clear()
        atoms = result.orbitals
        strength = np.pi * atoms.height * atoms.width**2
        mean, part = np.array(mixture["mean"]), np.array(mixture["part"])
        spread = np.hypot(mixture["scatter"], mixture["error"])
        # all that belongs to an element, and of a far tail what is left of it in the last bar
        low = max(0.0, min(float(strength.min()), float((mean - 4 * spread).min())))
        high = min(float(strength.max()) * 1.02, float((mean + 6 * spread).max()))
        high = max(high, low + 1e-12)
        bins = int(np.clip(np.ceil(2 * (high - low) / spread.min()), FEWEST_BINS, MOST_BINS))
        self.edges = np.linspace(low, high, bins + 1)
        middle, width = 0.5 * (self.edges[1:] + self.edges[:-1]), self.edges[1] - self.edges[0]
        x = np.linspace(self.edges[0], self.edges[-1], 400)
        z = (x[:, None] - mean) / spread
        self.curves = len(atoms) * width * part * np.exp(-0.5 * z**2) / (np.sqrt(2 * np.pi) * spread)
        total = self.curves.sum(1)
        base = np.zeros(bins)
        found, lines = [], []
        for k, element in enumerate(mixture["elements"]):
            # kinds without a name are curves over the bars of all atoms
            named = element in atoms.elements
            species = atoms.elements.index(element) if named else k
            red, green, blue = (int(255 * c) for c in ELEMENT_COLORS[species % len(ELEMENT_COLORS)])
            these = atoms.species == species if named else np.full(len(atoms), k == 0)
            own = np.clip(strength[these], low, high)
            counts = np.histogram(own, self.edges)[0]
            found.append(counts)
            brush = pg.mkBrush(red, green, blue, 150) if named else pg.mkBrush(150, 150, 150, 150)
            item.addItem(pg.BarGraphItem(x=middle, y0=base, height=counts, width=width, brush=brush, pen=None))
            pen = pg.mkPen(red, green, blue, width=2)
            lines.append((x, self.curves[:, k], pen, f"{element}: {mixture['counts'][k]} atoms"))
            base = base + counts
        for across, up, pen, name in lines:
            item.plot(across, up, pen=pen, name=name)
        item.plot(x, total, pen=pg.mkPen("#888888", width=2, style=Qt.PenStyle.DotLine), name="sum")
        self.counts = np.array(found)
        self.plot.setLabel("bottom", f"π H B² ({intensity} · Å²)")
        self.plot.setXRange(self.edges[0], self.edges[-1], padding=0)
        self.plot.setYRange(0, 1.08 * max(float(base.max()), float(total.max()), 1.0), padding=0)
