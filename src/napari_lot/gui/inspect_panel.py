"""Step 4: R-factor per tilt and the heights of the atoms."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_lot.gui.layers import WorkbenchLayers, angle_text
from napari_lot.gui.plots import HeightHistogram, TiltBars
from napari_lot.gui.state import WorkbenchState
from napari_lot.job import Snapshot


class InspectPanel(QWidget):
    """Bars of R per tilt (a click goes to the tilt) and the histogram of heights."""

    def __init__(self, state: WorkbenchState, layers: WorkbenchLayers, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.state = state
        self.layers = layers
        self.bars = TiltBars(self._go_to)
        self.heights = HeightHistogram(layers.colors)
        self.text = QLabel()
        self.text.setObjectName("tilt_text")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.bars)
        layout.addWidget(self.text)
        layout.addWidget(self.heights)
        layers.viewer.dims.events.current_step.connect(self._on_step)
        state.result_changed.connect(self._on_result)
        self._empty()

    def shutdown(self) -> None:
        """Stop listening."""
        self.layers.viewer.dims.events.current_step.disconnect(self._on_step)
        self.state.result_changed.disconnect(self._on_result)

    def _empty(self) -> None:
        self.text.setText("R-factor per tilt and heights appear here while a reconstruction runs.")
        self.text.setWordWrap(True)
        self.bars.hide()
        self.heights.hide()

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Follow a running reconstruction."""
        self._show(snapshot.r_factor, snapshot.orbitals.height)

    def _on_result(self) -> None:
        result = self.state.result
        if result is None:
            self._empty()
        else:
            self._show(result.r_factor, result.orbitals.height, result.withheld)

    def _show(self, r_factor: np.ndarray, height: np.ndarray, withheld: tuple[int, ...] = ()) -> None:
        self.bars.show()
        self.heights.show()
        self.bars.show_values(r_factor, withheld)
        self.heights.show_values(height)
        self._on_step()

    def _go_to(self, tilt: int) -> None:
        self.layers.go_to_tilt(tilt)

    def _on_step(self, event: Any = None) -> None:
        series = self.state.series
        if series is None or not len(self.bars.values):
            return
        tilt = self.layers.tilt
        if tilt >= len(self.bars.values):
            return
        self.bars.mark(tilt)
        r = self.bars.values[tilt]
        value = f"R {100 * r:.2f} %" if np.isfinite(r) else "no R yet"
        result = self.state.result
        if result is not None and tilt in result.withheld:
            value += f", withheld (correlation {result.correlation[tilt]:.3f})"
        self.text.setText(f"tilt {tilt}, {angle_text(series, tilt)}: {value}")
