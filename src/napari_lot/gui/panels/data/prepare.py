"""Part of step 1: prepare the images. Each step can be looked at before it is applied, and undone after."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_lot.gui.panels.data.pixel_size_box import PixelSizeBox
from napari_lot.gui.panels.data.preparation import Preparation
from napari_lot.gui.panels.data.steps_box import StepsBox
from napari_lot.gui.panels.data.tilts_box import TiltsBox
from napari_lot.gui.state import WorkbenchState
from napari_lot.gui.unsaved import ask


class PreparePanel(QWidget):
    """Steps on the open series, what is not used of it, and its pixel size.

    Attributes
    ----------
    confirm : callable
        Asked with a sentence before atoms that are in no file would go; True goes on.
    """

    def __init__(self, state: WorkbenchState, viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.confirm: Callable[[str], bool] = lambda question: ask(self, question)
        self.preparation = Preparation(state, viewer, self)
        self.preparation.confirm = lambda question: self.confirm(question)
        self.task = self.preparation.task
        self.steps = StepsBox(self.preparation)
        self.tilts = TiltsBox(self.preparation)
        self.pixel_size = PixelSizeBox(self.preparation)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        for box in (self.steps, self.tilts, self.pixel_size):
            layout.addWidget(box)

    def shutdown(self) -> None:
        """Stop what is under way and all listening."""
        self.preparation.shutdown()
        self.tilts.shutdown()
        self.pixel_size.shutdown()
