"""Doubtful atoms, one after the other, below the canvas."""

from napari_lot.gui.panels.doubts.panel import DoubtsPanel

__all__ = ["DoubtsPanel"]
