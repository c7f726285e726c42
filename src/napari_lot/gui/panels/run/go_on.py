"""The button that goes on with a run that broke off or was ended early: there while such a one is shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from qtpy.QtWidgets import QPushButton

from napari_lot.gui.broken_off import BrokenOff, did_not_end
from napari_lot.gui.state import WorkbenchState

NOTHING_TO_SHOW = 0
"""In place of the number of a run whose orbitals had not become atoms yet."""


class GoOn(QPushButton):
    """Knows how runs go on, by their numbers."""

    def __init__(self, state: WorkbenchState) -> None:
        super().__init__("Go on with it")
        self.setObjectName("go_on")
        self.setToolTip(
            "Go on where this run broke off or was ended, to the result that it would have come to; with other "
            "settings, another series, or where its file does not say exactly where it was, from its atoms."
        )
        self.state = state
        self._known: dict[int, BrokenOff] = {}
        self.hide()

    def offer(self, broken: BrokenOff, run: int) -> None:
        """A run, by its number or ``NOTHING_TO_SHOW``, did not come to its end, and can go on."""
        self._known[run] = broken
        self.update_shown()

    def forget(self, run: int | None = None) -> None:
        """A run is taken from the list, or all of them: those of another series are others."""
        if run is None:
            self._known.clear()
        else:
            self._known.pop(run, None)
        self.update_shown()

    @property
    def way(self) -> BrokenOff | None:
        """How the run that is shown goes on; None where it has come to its end.

        One whose atoms somebody has changed since goes on from these.
        """
        result = self.state.result
        if result is None:
            return self._known.get(NOTHING_TO_SHOW)
        known = self._known.get(self.state.result_run)
        if known is None or did_not_end(result) or result.checkpoint is not None:
            return known
        return replace(known, session=replace(known.session, result=result, notes=result.by_hand))

    def is_kept_in(self, path: Path) -> None:
        """The run that is shown was saved: what it was read from may go."""
        way = self.way
        if way is not None and self.state.result is not None:
            self._known[self.state.result_run] = replace(way, path=path)

    def update_shown(self) -> None:
        """Show or hide the button, by what is shown and whether something runs."""
        self.setVisible(self.way is not None and not self.state.running)
