"""Measured, calculated and residual patches of one atom at every tilt, on one sheet."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QImage, QPainter, QPen
from qtpy.QtWidgets import QHBoxLayout, QScrollArea, QSizePolicy, QWidget

from napari_lot.gui.canvas.stacks import residual_colormap
from napari_lot.gui.look import AMBER, background, text
from napari_lot.lot.local import Patches

ROWS = ("measured", "calculated", "residual")
LEAST_CELL, LARGEST_CELL, GAP, HEADER = 48, 150, 3, 18
LABELS = 74
RING, RING_ON_RESIDUAL, PLACE = "#ffb000", "#1e2228", "#00c8a0"
FAINT = 170
"""Opacity of what is said second, of 255."""


class _Canvas(QWidget):
    """The patches; a column a tilt."""

    clicked = Signal(int, float, float)
    tilt_chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("doubt_patches")
        self.cell = LEAST_CELL
        self.patches: Patches | None = None
        self.images: list[list[QImage]] = []
        self.titles: list[str] = []
        self.places: NDArray[np.float64] | None = None
        self.first_click: tuple[int, float, float] | None = None
        self.tilt = 0
        self.ring_px = 1.0
        self._buffers: list[NDArray[np.uint8]] = []

    def fit_height(self, height: int) -> None:
        """Take cells of the size that the height has room for."""
        cell = (height - HEADER - GAP * len(ROWS)) // len(ROWS)
        self.cell = int(np.clip(cell, LEAST_CELL, LARGEST_CELL))
        self.setFixedSize(self.sizeHint())
        self.update()

    def sizeHint(self) -> QSize:
        columns = max(len(self.titles), 1)
        return QSize(columns * (self.cell + GAP), HEADER + len(ROWS) * (self.cell + GAP))

    def show_patches(
        self, patches: Patches | None, titles: list[str], limits: tuple[float, float], residual: float
    ) -> None:
        """Patches in the grey scale of some limits, residuals on colours up to ``residual`` on both sides."""
        self.patches, self.titles, self.images, self._buffers = patches, titles, [], []
        if patches is not None:
            colors = (np.asarray(residual_colormap().map(np.linspace(0, 1, 256)))[:, :3] * 255).astype(np.uint8)
            greys = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, 1)
            ranges = (limits, limits, (-residual, residual))
            stacks = (patches.measured, patches.calculated, patches.residual)
            for stack, (low, high), table in zip(stacks, ranges, (greys, greys, colors), strict=True):
                level = np.clip((stack - low) / max(high - low, 1e-30), 0, 1)
                rgb = table[np.nan_to_num(level * 255, nan=0.0).astype(np.uint8)]
                # outside of the images the background of the theme shows
                there = np.where(np.isfinite(stack), 255, 0).astype(np.uint8)
                self.images.append([self._image(picture) for picture in np.concatenate([rgb, there[..., None]], -1)])
        self.setFixedSize(self.sizeHint())
        self.update()

    def _image(self, rgba: NDArray[np.uint8]) -> QImage:
        data = np.ascontiguousarray(rgba)
        self._buffers.append(data)  # Qt does not copy them
        return QImage(data.data, data.shape[1], data.shape[0], 4 * data.shape[1], QImage.Format.Format_RGBA8888)

    def rectangle(self, row: int, tilt: int) -> QRectF:
        """Where one patch lies."""
        side = self.cell
        return QRectF(tilt * (side + GAP), HEADER + row * (side + GAP), side, side)

    def place_of(self, row: int, tilt: int, pixel: Any) -> QPointF:
        """Where a (row, column) of one patch lies."""
        assert self.patches is not None
        box, scale = self.rectangle(row, tilt), self.cell / self.patches.measured.shape[-1]
        return QPointF(box.left() + (pixel[1] + 0.5) * scale, box.top() + (pixel[0] + 0.5) * scale)

    def paintEvent(self, event: Any) -> None:
        painter = QPainter(self)
        painter.fillRect(event.rect(), QColor(background()))
        patches = self.patches
        if patches is None:
            return
        font = painter.font()
        font.setPixelSize(11)
        painter.setFont(font)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        scale = self.cell / patches.measured.shape[-1]
        for tilt, title in enumerate(self.titles):
            left = tilt * (self.cell + GAP)
            if left > event.rect().right() or left + self.cell < event.rect().left():
                continue
            here = tilt == self.tilt
            painter.setPen(QColor(AMBER if here else text()))
            painter.drawText(QRectF(left - 2, 0, self.cell + 4, HEADER), Qt.AlignmentFlag.AlignCenter, title)
            for row, images in enumerate(self.images):
                painter.drawImage(self.rectangle(row, tilt), images[tilt])
                ring = RING_ON_RESIDUAL if ROWS[row] == "residual" else RING
                painter.setPen(QPen(QColor(ring), 1.5))
                radius = self.ring_px * scale
                painter.save()
                painter.setClipRect(self.rectangle(row, tilt))
                painter.drawEllipse(self.place_of(row, tilt, patches.marks[tilt]), radius, radius)
                if self.places is not None:
                    self._cross(painter, self.place_of(row, tilt, self.places[tilt]))
                if self.first_click is not None and self.first_click[0] == tilt:
                    self._cross(painter, self.place_of(row, tilt, self.first_click[1:]))
                painter.restore()
            if here:
                painter.setPen(QPen(QColor(RING), 1))
                height = len(ROWS) * (self.cell + GAP) - GAP
                painter.drawRect(QRectF(left, HEADER, self.cell - 1, height - 1))

    @staticmethod
    def _cross(painter: QPainter, at: QPointF) -> None:
        painter.setPen(QPen(QColor(PLACE), 2))
        painter.drawLine(at - QPointF(5, 0), at + QPointF(5, 0))
        painter.drawLine(at - QPointF(0, 5), at + QPointF(0, 5))

    def mousePressEvent(self, event: Any) -> None:
        if self.patches is None or event.button() != Qt.MouseButton.LeftButton:
            return
        at = event.position()
        tilt = int(at.x() // (self.cell + GAP))
        if not 0 <= tilt < len(self.titles):
            return
        for row in range(len(ROWS)):
            box = self.rectangle(row, tilt)
            if box.contains(at):
                scale = self.cell / self.patches.measured.shape[-1]
                self.clicked.emit(
                    tilt, (at.y() - box.top()) / scale - 0.5, (at.x() - box.left()) / scale - 0.5
                )  # the middle of the first pixel is 0
                return
        self.tilt_chosen.emit(tilt)


class _Labels(QWidget):
    """What the rows are and what their scales mean; stays where it is while the sheet scrolls."""

    def __init__(self, canvas: _Canvas) -> None:
        super().__init__()
        self.setFixedWidth(LABELS)
        self.canvas = canvas
        self.scales = ("", "", "")
        self.unit = ""

    def paintEvent(self, event: Any) -> None:
        painter = QPainter(self)
        painter.fillRect(event.rect(), QColor(background()))
        font = painter.font()
        font.setPixelSize(11)
        painter.setFont(font)
        strong, faint = QColor(text()), QColor(text())
        faint.setAlpha(FAINT)
        painter.setPen(strong)
        cell = self.canvas.cell
        painter.drawText(QRectF(4, 0, LABELS - 8, HEADER), Qt.AlignmentFlag.AlignVCenter, "tilt")
        for row, name in enumerate(ROWS):
            top = HEADER + row * (cell + GAP)
            lines = [name, self.scales[row], self.unit if self.scales[row] else ""]
            for k, line in enumerate(lines):
                painter.setPen(strong if k == 0 else faint)
                painter.drawText(QRectF(4, top + 15 * k, LABELS - 6, 15), Qt.AlignmentFlag.AlignVCenter, line)


class ContactSheet(QWidget):
    """Rows measured, calculated, residual; a column a tilt, with its angle. Scrolls where there are many.

    ``clicked`` gives tilt, row and column (pixels of the patch); ``tilt_chosen`` a tilt whose angle was clicked.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.canvas = _Canvas()
        self.clicked, self.tilt_chosen = self.canvas.clicked, self.canvas.tilt_chosen
        self.labels = _Labels(self.canvas)
        self.scroll = QScrollArea()
        self.scroll.setObjectName("doubt_sheet")
        self.scroll.setWidget(self.canvas)
        self.scroll.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.scroll.setFrameShape(QScrollArea.Shape.NoFrame)
        self.scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.scroll.setStyleSheet("QScrollArea { background: transparent; }")
        self.scroll.viewport().setStyleSheet("background: transparent;")
        self.scroll.setToolTip(
            "Columns are tilts. The ring is the atom. Red: the images have more than the model; blue: less. "
            "Click an angle to look at that tilt."
        )
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.labels)
        layout.addWidget(self.scroll, 1)
        self.setMinimumHeight(HEADER + len(ROWS) * (LEAST_CELL + GAP) + 16)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    def resizeEvent(self, event: Any) -> None:
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        bar = self.scroll.horizontalScrollBar().sizeHint().height()
        self.canvas.fit_height(self.height() - bar)
        self.labels.update()

    def show_patches(
        self, patches: Patches | None, titles: list[str], ring_A: float, unit: str, residual_limit: float | None
    ) -> None:
        """Show the patches of one atom, or none."""
        if patches is None:
            self.canvas.show_patches(None, [], (0.0, 1.0), 1.0)
            self.labels.scales = ("", "", "")
        else:
            known = patches.measured[np.isfinite(patches.measured)]
            low, high = (float(q) for q in np.quantile(known, [0.002, 0.998])) if len(known) else (0.0, 1.0)
            left = np.abs(patches.residual[np.isfinite(patches.residual)])
            own = float(np.quantile(left, 0.995)) if len(left) else 1.0
            # at least the scale of the whole series: small residuals should not look large
            limit = max(own, residual_limit or 0.0) or 1e-6
            self.canvas.ring_px = ring_A / patches.pixel_A
            self.canvas.show_patches(patches, titles, (low, high), limit)
            step = max(high - low, 1e-30) / 100  # finer than anybody tells shades of grey
            grey = f"{round(low / step) * step + 0.0:.2g}–{high:.2g}".replace("-", "−")
            self.labels.scales, self.labels.unit = (grey, grey, f"±{limit:.2g}"), unit
        self._fit()

    def mark(self, tilt: int) -> None:
        """Frame the tilt that is on the canvas."""
        self.canvas.tilt = tilt
        self.canvas.update()

    def scroll_to(self, tilt: int) -> None:
        """Bring a tilt into view."""
        side = self.canvas.cell + GAP
        bar = self.scroll.horizontalScrollBar()
        bar.setValue(int((tilt + 0.5) * side - self.scroll.viewport().width() / 2))

    def show_places(
        self, places: NDArray[np.float64] | None, first_click: tuple[int, float, float] | None = None
    ) -> None:
        """Crosses at a (row, column) of each tilt (T, 2), and at a first click; None for none."""
        self.canvas.places, self.canvas.first_click = places, first_click
        self.canvas.update()
