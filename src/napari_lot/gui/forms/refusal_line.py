"""Why numbers that were typed are not taken, in sentences below their fields."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget

from napari_lot.gui.forms.number_box import NumberBox
from napari_lot.gui.forms.sentence import Sentence
from napari_lot.gui.look import warning


class RefusalLine(Sentence):
    """A line for each watched box that does not take what stands in it; hidden while there is none.

    ``changed`` tells that other lines are there. A box that is hidden with the page or row that it lies in does not
    count; ``update_lines`` looks again after another one is shown.
    """

    changed = Signal()

    def __init__(self, name: str = "refusals", parent: QWidget | None = None) -> None:
        super().__init__(name, parent)
        self._boxes: dict[str, tuple[str, NumberBox]] = {}
        self.hide()

    def watch(self, name: str, label: str, box: NumberBox) -> None:
        """Tell of a box, under the label that a person sees."""
        self._boxes[name] = label, box
        box.refused.connect(self.update_lines)

    @property
    def said(self) -> dict[str, str]:
        """By name, why what was typed is not taken; the value is the one before."""
        return {name: box.refusal for name, (_, box) in self._boxes.items() if box.refusal and self._is_shown(box)}

    def _is_shown(self, box: NumberBox) -> bool:
        around = self.parentWidget()
        return around is None or box.isVisibleTo(around)

    def update_lines(self, *_: object) -> None:
        """Look at all boxes again."""
        said = self.said
        self.setText("<br>".join(warning(f"{self._boxes[name][0]}: {why}") for name, why in said.items()))
        self.setVisible(bool(said))
        self.changed.emit()
