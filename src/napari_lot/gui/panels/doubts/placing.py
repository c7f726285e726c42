"""Where an atom goes: clicks on the contact sheet, and steps with the arrow keys."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from napari_lot.errors import InputError
from napari_lot.gui.canvas.layers import WorkbenchLayers
from napari_lot.gui.doubts.queue import DOUBTS, DoubtQueue
from napari_lot.gui.panels.doubts.words import TIPS
from napari_lot.gui.plots.contact_sheet import ContactSheet

Floats = NDArray[np.float64]

STEP_A = 0.1
MISS = 0.35
"""Expected distances that two clicks on one atom may miss each other by."""
ARROWS = {
    "Left": (0, -1),
    "Right": (0, 1),
    "Up": (-1, 0),
    "Down": (1, 0),
}


class Placing:
    """Moving the shown atom, or adding one beside it.

    Attributes
    ----------
    mode : "", "move" or "add"
    """

    def __init__(
        self, queue: DoubtQueue, layers: WorkbenchLayers, sheet: ContactSheet, changed: Callable[[], None]
    ) -> None:
        self.queue, self.layers, self.sheet = queue, layers, sheet
        self.changed = changed
        self.mode = ""
        self._place: Floats | None = None
        self._first: tuple[int, Floats] | None = None
        self._refused = ""
        sheet.clicked.connect(self.click)

    @property
    def hint(self) -> str:
        """What to do next, in a sentence; '' where nothing is placed."""
        if self._refused:
            return self._refused
        if self.mode == "move" and self._place is not None:
            return f"Arrow keys: {STEP_A:g} Å in the plane of the framed tilt. Enter moves the atom to the cross."
        if self.mode == "add" and self._first is not None:
            return "Now click the same atom on another tilt."
        return f"{TIPS[self.mode]} Esc leaves." if self.mode else ""

    def set_mode(self, mode: str, refused: str = "") -> None:
        """Begin, or leave with ''; ``refused`` is why what was tried cannot be."""
        self.mode, self._place, self._first, self._refused = mode, None, None, refused
        self.sheet.show_places(None)
        self.changed()

    def click(self, tilt: int, row: float, column: float) -> None:
        """A click on a patch: the place, the first of two, or just the tilt to look at."""
        fit, shown = self.queue.fit, self.queue.shown
        if fit is None or shown is None or self.queue.busy:
            return
        if not self.mode:
            self.layers.go_to_tilt(tilt)
            return
        pixel = np.array(shown.patches.pixel(tilt, row, column))
        if self.mode == "move":
            place = fit.view.moved(fit.position(shown.atom), tilt, pixel)
            self.set_mode("")
            self.queue.move(place)
        elif self._first is None:
            self._first, self._refused = (tilt, pixel), ""
            self.sheet.show_places(None, (tilt, row, column))
            self.changed()
        else:
            try:
                place = fit.view.met(self._first, (tilt, pixel), MISS * fit.spacing_A)
            except InputError as error:
                self.set_mode("add", self.queue.state.fail(str(error), DOUBTS))
                return
            self.set_mode("")
            self.queue.add(place)

    def nudge(self, arrow: str) -> bool:
        """A step of the place in the plane of the shown tilt; False where nothing is moved."""
        fit, shown = self.queue.fit, self.queue.shown
        if self.mode != "move" or fit is None or shown is None or self.queue.busy:
            return False
        place = fit.position(shown.atom) if self._place is None else self._place
        tilt = self.layers.tilt
        at = fit.view.pixels(place[None])[tilt, 0] + np.array(ARROWS[arrow]) * STEP_A / fit.view.pixel_A
        self._place = fit.view.moved(place, tilt, at)
        self.sheet.show_places(fit.view.pixels(self._place[None])[:, 0] - shown.patches.origins)
        self.changed()
        return True

    def enter(self) -> None:
        """Move the atom to where the steps have led, or add the one that the images ask for."""
        if self.mode == "move" and self._place is not None:
            place = self._place
            self.set_mode("")
            self.queue.move(place)
        elif self.mode == "add":
            self.set_mode("")
            self.queue.add()
