"""The pixel size from a distance that is known: along a line, or between planes of a lattice."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QComboBox, QLabel, QVBoxLayout, QWidget

from napari_lot.gui.canvas.drawings import RULER
from napari_lot.gui.forms.refusal_line import RefusalLine
from napari_lot.gui.forms.widgets import button, number, offer, row, text
from napari_lot.gui.look import warning
from napari_lot.gui.panels.data.preparation import Preparation
from napari_lot.series.spacing import lattice_periods_px

LINE, LATTICE = "line", "lattice"
FAR = 0.2
"""Relative change of the pixel size that no calibration errs by: another distance was meant."""
FAR_WORDS = "Calibrations err less: is it the true length of this distance?"


class PixelSizeBox(QWidget):
    """Measures distances in pixels and takes the pixel size that follows from what one of them really is."""

    def __init__(self, preparation: Preparation, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.preparation = preparation
        self.distance = QComboBox()
        self.distance.setObjectName("measured_distance")
        self.distance.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.distance.setMinimumContentsLength(8)
        self.distance.setPlaceholderText("nothing measured")
        self.distance.currentIndexChanged.connect(self._on_chosen)
        self._chosen = ""
        self.ruler = button("draw_ruler", "Draw a line")
        self.ruler.clicked.connect(self._on_ruler_started)
        self.lattice = button("find_lattice", "Find lattice")
        self.lattice.clicked.connect(self._on_lattice)
        self.known_A = number("known_distance_A", 0, 1e6, 0, " Å", "How long that distance is in truth, in Å.")
        self.known_A.setSpecialValueText("not given (Å)")
        self.known_A.valueChanged.connect(self._say_size)
        self.use = button("use_pixel_size", "Use size")
        self.use.clicked.connect(self._on_use)
        self.said = text("pixel_size_said")
        self.refusals = RefusalLine("pixel_size_refusals")
        self.refusals.watch("known_A", "True distance", self.known_A)
        self.refusals.changed.connect(self._enable)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(row(QLabel("Pixel size"), self.ruler, self.lattice))
        layout.addLayout(row(self.distance))
        layout.addLayout(row(QLabel("True distance"), self.known_A, self.use))
        layout.addWidget(self.refusals)
        layout.addWidget(self.said)
        preparation.new_series.connect(self.distance.clear)
        preparation.changed.connect(self._enable)
        self._enable()

    def shutdown(self) -> None:
        """Stop listening to the line."""
        line = self.preparation.drawings.layer(RULER)
        if line is not None:
            line.events.data.disconnect(self._on_ruler)

    def _enable(self) -> None:
        why = self.preparation.why_not
        offer(self.ruler, why, "Drag a line on the images over a distance that you know.")
        offer(self.lattice, why, "Find the lattice spacings of the tilt that is shown in its power spectrum.")
        offer(
            self.use,
            why or self.known_A.refusal or (None if self._size_A() else "Measure a distance, and say how long it is."),
            "Take this pixel size for the series.",
        )

    def _on_ruler_started(self) -> None:
        if self.preparation.series is not None:
            self.preparation.drawings.start_ruler(self.preparation.series).events.data.connect(self._on_ruler)
            self.preparation.say("Drag a line over a distance that you know, then give its length in Å.")

    def _on_ruler(self, event: Any = None) -> None:
        length = self.preparation.drawings.ruler_px()
        if length is not None:
            self._list(LINE, {f"{LINE} of {length:.2f} px": length})

    def _on_lattice(self) -> None:
        series, tilt = self.preparation.series, self.preparation.tilt
        if series is None:
            return

        def show(periods: list[float]) -> None:
            self._list(LATTICE, {f"{LATTICE}, {period:.3f} px": period for period in periods})
            if not periods:
                self.preparation.say(f"Tilt {tilt} shows no lattice: choose a tilt along a zone axis.", caveat=True)

        self._list(LATTICE, {})
        self.preparation.work("Power spectrum", lambda progress: lattice_periods_px(series.images[tilt]), show)

    def _list(self, kind: str, measured: dict[str, float]) -> None:
        """Put distances first, in place of those of the same kind."""
        self.distance.blockSignals(True)
        for i in reversed(range(self.distance.count())):
            if self.distance.itemText(i).startswith(kind):
                self.distance.removeItem(i)
        for i, (words, pixels) in enumerate(measured.items()):
            self.distance.insertItem(i, words, pixels)
        if measured:
            self.distance.setCurrentIndex(0)
        self.distance.blockSignals(False)
        self._on_chosen()

    def _on_chosen(self, *_: Any) -> None:
        """The true length belongs to the distance it was given for; a line that is drawn anew is the same."""
        words = self.distance.currentText()
        chosen = LINE if words.startswith(LINE) else words
        if self._chosen and chosen != self._chosen:
            self.known_A.setValue(0)
        self._chosen = chosen
        self._say_size()

    def _size_A(self) -> float | None:
        """Pixel size in Å that follows for the images as they are now."""
        pixels = self.distance.currentData()
        return self.known_A.value() / pixels if pixels and self.known_A.value() > 0 else None

    def _say_size(self, *_: Any) -> None:
        pixels, series, size = self.distance.currentData(), self.preparation.series, self._size_A()
        words, far = "", False
        if pixels and series is not None:
            words = (
                f"{pixels:.3f} px are {pixels * series.pixel_size_A:.4f} Å with pixels of {series.pixel_size_A:.5g} Å."
            )
            if size is not None:
                change = size / series.pixel_size_A - 1
                words += f" If they are {self.known_A.value():g} Å, a pixel is {size:.5g} Å ({100 * change:+.2f} %)."
                far = abs(change) > FAR
        words = words.replace("-", "−")
        self.said.setText(warning(f"{words} {FAR_WORDS}") if far else words)
        self.said.setVisible(bool(words))
        self._enable()

    def _on_use(self) -> None:
        p, size, series = self.preparation, self._size_A(), self.preparation.series
        if size is None or series is None or p.base is None or not p.may_change():
            return
        # The field speaks of the pixels of the file; these may have been binned since.
        p.on_value("pixel_size_A", float(f"{size * p.base.pixel_size_A / series.pixel_size_A:.6g}"))
