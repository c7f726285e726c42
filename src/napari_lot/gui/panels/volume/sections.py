"""A dock with three sections through one point of the volume, and the Fourier plane with the missing wedge."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QGridLayout, QLabel, QVBoxLayout, QWidget

from napari_lot.gui.docks import dock_below
from napari_lot.gui.plots.of_volume import SectionPlot, WedgePlot
from napari_lot.gui.work.latest import Latest
from napari_lot.gui.work.seldom import Seldom
from napari_lot.voxel.fourier_plane import Directions, directions_of, fourier_plane
from napari_lot.voxel.volume import Volume

DOCK = "Sections of the volume"
AXES = ("x", "y", "z")
SECTIONS = (("x", "y"), ("x", "z"), ("y", "z"))
"""What goes across and what down in each."""
NARROW_PX = 700
"""Width below which two plots lie side by side, and not four."""
FLAT = "The series has no directions to draw: the volume was opened from a file."


class Sections(QWidget):
    """The sections xy, xz and yz through a point that a drag or a click moves, and the Fourier plane.

    Attributes
    ----------
    place_A : (3,) float64
        x, y, z of the point.
    directions : Directions or None
        What the series that is open has measured.
    """

    def __init__(self, window: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("volume_sections")
        self._window = window
        self._dock: Any = None
        self.volume: Volume | None = None
        self.place_A = np.zeros(3)
        self._limits = (0.0, 1.0)
        self._atoms: NDArray[np.float64] = np.zeros((0, 3))
        self._radius_A = 1.0
        self.directions: Directions | None = None
        self.plots: dict[str, SectionPlot] = {}
        self.wedge = WedgePlot()
        self.wedge.setObjectName("wedge")
        self.why_no_wedge = QLabel(FLAT)
        self.why_no_wedge.setWordWrap(True)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(2, 2, 2, 2)
        self._grid.setSpacing(2)
        for across, down in SECTIONS:
            plot = SectionPlot(across, down, lambda a, b, names=(across, down): self._on_moved(names, a, b))
            plot.setObjectName(f"section_{across}{down}")
            self.plots[across + down] = plot
        self._fourier = QWidget()
        inside = QVBoxLayout(self._fourier)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.addWidget(self.wedge)
        inside.addWidget(self.why_no_wedge)
        self._columns = 0
        self._arrange(4)
        self.setMinimumWidth(300)
        self._plane = Latest("fourier plane", self)
        self._plane.done.connect(self._on_plane)
        self._seldom = Seldom(self._ask_plane, parent=self)

    # -- the dock ---------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Dock it below the canvas; a closed one comes back."""
        if self._dock is None or self.parent() is None:
            self._dock = dock_below(self._window, self, DOCK)
        self._dock.show()
        self._dock.raise_()
        self._draw()

    def put_away(self) -> None:
        """Take the dock away, as a person does who closes it."""
        if self._dock is not None and self.parent() is not None:
            with suppress(LookupError, RuntimeError, AttributeError):  # the window may be going as well
                self._window.remove_dock_widget(self)

    def shutdown(self) -> None:
        """End the thread, and take the dock away."""
        self._seldom.forget()
        self._plane.stop()
        self.put_away()
        QTimer.singleShot(0, self.deleteLater)

    @property
    def is_open(self) -> bool:
        """Whether a person sees it."""
        return self.parent() is not None and self.isVisible()

    def showEvent(self, event: Any) -> None:
        super().showEvent(event)
        self._draw()

    def resizeEvent(self, event: Any) -> None:
        super().resizeEvent(event)
        self._arrange(4 if self.width() >= NARROW_PX else 2)

    def _arrange(self, columns: int) -> None:
        if columns == self._columns:
            return
        self._columns = columns
        for i, widget in enumerate((*self.plots.values(), self._fourier)):
            self._grid.addWidget(widget, i // columns, i % columns)
        for column in range(4):
            self._grid.setColumnStretch(column, 1 if column < columns else 0)

    # -- what is shown ----------------------------------------------------------------------------------------

    def show_volume(self, volume: Volume, limits: tuple[float, float], rotations: NDArray[np.float64] | None) -> None:
        """Another volume, or the next state of one; ``rotations`` (T, 3, 3) of the tilts that it is made of."""
        before, self.volume, self._limits = self.volume, volume, limits
        if before is None or before.values.shape != volume.values.shape or before.origin_A != volume.origin_A:
            self.place_A = volume.places_A((np.array([volume.values.shape]) - 1) / 2)[0]
        self.directions = None if rotations is None else directions_of(rotations)
        self._draw()

    def forget(self) -> None:
        """There is no volume any more."""
        self.volume = None
        self.forget_atoms()
        self._seldom.forget()
        self.put_away()

    def forget_atoms(self) -> None:
        """Traced atoms were those of another volume."""
        self.show_atoms(np.zeros((0, 3)), 1.0)

    def show_atoms(self, positions: NDArray[np.float64], radius_A: float) -> None:
        """Rings where spheres around atoms (N, 3), x y z in Å, are cut by a section."""
        self._atoms, self._radius_A = positions, radius_A
        self._draw_sections()

    def _draw(self) -> None:
        if self.volume is None or not self.is_open:
            return
        self._draw_sections()
        self._seldom.wish()

    def _draw_sections(self) -> None:
        volume = self.volume
        if volume is None or not self.is_open:
            return
        index = np.rint((self.place_A - volume.origin_A) / volume.voxel_A).astype(np.int64)
        index = np.clip(index, 0, np.array(volume.values.shape)[::-1] - 1)
        at_A = np.array(volume.origin_A) + index * volume.voxel_A
        for name, plot in self.plots.items():
            across, down = (AXES.index(axis) for axis in name)
            through = 3 - across - down
            section = np.take(volume.values, int(index[through]), axis=2 - through)
            corner = (volume.origin_A[across], volume.origin_A[down])
            plot.show_section(section, corner, volume.voxel_A, self._limits)
            value = f"{at_A[through]:+.1f}".replace("-", "−")
            plot.show_place(self.place_A[across], self.place_A[down], f"{name} at {AXES[through]} = {value} Å")
            beside = self._atoms[:, through] - at_A[through]
            cut = np.abs(beside) < self._radius_A
            circles = 2 * np.sqrt(self._radius_A**2 - beside[cut] ** 2)
            plot.show_atoms(self._atoms[cut][:, [across, down]], circles)

    def _on_moved(self, names: tuple[str, str], across_A: float, down_A: float) -> None:
        volume = self.volume
        if volume is None:
            return
        for name, value in zip(names, (across_A, down_A), strict=True):
            axis = AXES.index(name)
            low = volume.origin_A[axis]
            high = low + (volume.values.shape[2 - axis] - 1) * volume.voxel_A
            self.place_A[axis] = np.clip(value, low, high)
        self._draw_sections()

    # -- Fourier space ----------------------------------------------------------------------------------------

    def _ask_plane(self) -> None:
        volume, directions = self.volume, self.directions
        self.wedge.setVisible(directions is not None)
        self.why_no_wedge.setVisible(directions is None)
        if volume is None or directions is None or not self.is_open:
            return
        self._plane.ask(lambda wanted: (*fourier_plane(volume, directions), directions))

    def _on_plane(self, order: int, value: object) -> None:
        if isinstance(value, Exception):
            raise value
        assert isinstance(value, tuple)
        self.wedge.show_plane(*value)
