"""What is not used, by hand: single tilts, and what is painted; and the tilt axis on the images."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QCheckBox, QLabel, QVBoxLayout, QWidget

from napari_lot.gui.canvas.drawings import AXIS, MASK
from napari_lot.gui.forms.widgets import button, choice, offer, row
from napari_lot.gui.panels.data.preparation import Preparation
from napari_lot.series.steps import UseMask, changed_by


class TiltsBox(QWidget):
    """Leaves out the shown tilt, shows the tilt axis, paints a mask."""

    def __init__(self, preparation: Preparation, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.preparation = preparation
        self.leave_out = button("leave_out", "Leave out this tilt")
        self.leave_out.clicked.connect(self._on_leave_out)
        self.axis = QCheckBox("Show tilt axis")
        self.axis.setObjectName("show_axis")
        self.axis.toggled.connect(self._on_axis)
        self.mask_for = choice(
            "mask_for", ["every tilt", "each tilt"], "One mask for every tilt, or one for each tilt of its own."
        )
        self.paint = button("paint_mask", "Paint mask")
        self.paint.clicked.connect(self._on_paint)
        self.use_mask = button("use_mask", "Use mask")
        self.use_mask.clicked.connect(self._on_use_mask)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(row(self.leave_out, self.axis))
        layout.addLayout(row(QLabel("Mask of"), self.mask_for))
        layout.addLayout(row(self.paint, self.use_mask))
        preparation.new_series.connect(self._on_series)
        preparation.changed.connect(self._enable)
        preparation.viewer.dims.events.current_step.connect(self._on_tilt)
        self._enable()

    def shutdown(self) -> None:
        """Stop listening to the viewer."""
        self.preparation.viewer.dims.events.current_step.disconnect(self._on_tilt)

    def _enable(self) -> None:
        why = self.preparation.why_not
        self._on_tilt()
        offer(self.axis, why, "Draw the tilt axis through the rotation centre.")
        offer(self.paint, why, "Add a layer to paint what must not be used with napari's brush.")
        painted = self.preparation.drawings.layer(MASK) is not None
        offer(
            self.use_mask,
            why or (None if painted else "Press Paint mask first."),
            "What is painted is not used any more.",
        )

    def _on_series(self) -> None:
        if self.axis.isChecked():
            self._on_axis(True)

    def _left_out(self) -> bool:
        series = self.preparation.series
        return series is not None and self.preparation.tilt in series.excluded

    def _on_tilt(self, event: Any = None) -> None:
        out = self._left_out()
        self.leave_out.setText("Use this tilt again" if out else "Leave out this tilt")
        offer(
            self.leave_out,
            self.preparation.why_not,
            "Use the tilt that is shown again." if out else "Do not use the tilt that is shown.",
        )

    def _on_leave_out(self) -> None:
        series = self.preparation.series
        if series is not None:
            self.preparation.exclude(tuple(sorted(set(series.excluded) ^ {self.preparation.tilt})))

    def _on_axis(self, shown: bool) -> None:
        p = self.preparation
        p.keeps_axis = shown
        if shown and p.series is not None:
            p.drawings.show_axis(p.series)
        else:
            p.drawings.remove(AXIS)

    def _on_paint(self) -> None:
        p = self.preparation
        if p.series is not None:
            p.drawings.start_mask(p.series, each=self.mask_for.currentIndex() == 1)
            p.say("Paint over what must not be used (1: eraser, 2: brush; [ and ] its size), then press Use mask.")
            p.changed.emit()

    def _on_use_mask(self) -> None:
        p, series = self.preparation, self.preparation.series
        painted = p.drawings.painted()
        if painted is None or series is None or not p.may_change():
            return
        step = UseMask(painted.copy())
        p.work("Mask", lambda progress: (step, changed_by(step, series, progress)), p.take)
