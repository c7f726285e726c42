"""Step 1: the tilt series, what its file does not say of it, and what is done to its images before the fit."""

from napari_lot.gui.panels.data.panel import DataPanel
from napari_lot.gui.panels.data.summary import shortcomings, summary

__all__ = ["DataPanel", "shortcomings", "summary"]
