"""What is done to the images of the open series: steps in order, undone in reverse, worked out beside the window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_lot.gui.canvas.drawings import AXIS, MASK, PREVIEW, PREVIEW_MASK, RULER, Drawings
from napari_lot.gui.state import WorkbenchState
from napari_lot.gui.unsaved import may_go
from napari_lot.gui.work.task import Task
from napari_lot.progress import Progress
from napari_lot.series import TiltSeries
from napari_lot.series.steps import RemoveDrift, RemoveHotPixels, Step, TurnAxis, apply_steps
from napari_lot.series.steps.hot_pixels import CAVEAT as HOT_CAVEAT

KEEP = "Keep the tilts as they are, unless you know better."


class Preparation(QObject):
    """Steps on the open series, what is drawn of them, and the one thread that works them out.

    ``changed`` tells that something may be clicked now, or no more; ``new_series`` that other images are open;
    ``said`` a sentence and whether it is a caveat.

    Attributes
    ----------
    base : TiltSeries or None
        The series as it was read.
    steps : list of Step
        What was applied to it, in order.
    previewed : tuple or None
        What was asked for, the step and the series that it leaves, while a preview is on screen.
    keeps_axis : bool
        The tilt axis stays drawn when a preview goes.
    on_exclude : callable
        Told the tilts that are left out, when a click has changed them.
    on_value : callable
        Told a field of the data form and the value that it should have (pixel size).
    confirm : callable
        Asked with a sentence before atoms that are in no file would go; True goes on.
    """

    changed = Signal()
    new_series = Signal()
    said = Signal(str, bool)

    def __init__(self, state: WorkbenchState, viewer: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.state, self.viewer = state, viewer
        self.drawings = Drawings(viewer)
        self.task = Task("preparation", self)
        self.base: TiltSeries | None = None
        self.steps: list[Step] = []
        self.previewed: tuple[Any, Step, TiltSeries] | None = None
        self.keeps_axis = False
        self.on_exclude: Callable[[tuple[int, ...]], None] = lambda tilts: None
        self.on_value: Callable[[str, float], None] = lambda name, value: None
        self.confirm: Callable[[str], bool] = lambda question: True
        self.task.changed.connect(self._tell_changed)
        state.running_changed.connect(self._on_running)
        state.reading_changed.connect(self._tell_changed)
        state.series_changed.connect(self._on_series)
        viewer.layers.events.removed.connect(self._tell_changed)

    def shutdown(self) -> None:
        """Stop what is under way and all listening."""
        self.task.changed.disconnect(self._tell_changed)
        self.task.shutdown()
        self.state.running_changed.disconnect(self._on_running)
        self.state.reading_changed.disconnect(self._tell_changed)
        self.state.series_changed.disconnect(self._on_series)
        self.viewer.layers.events.removed.disconnect(self._tell_changed)

    # -- what can be done, and what is said -------------------------------------------------------------------

    @property
    def series(self) -> TiltSeries | None:
        """The series as it is now."""
        return self.state.series

    @property
    def why_not(self) -> str | None:
        """Why nothing can be done now, None where something can."""
        if self.state.series is None:
            return "Needs a tilt series."
        if self.state.running:
            return "Not while a reconstruction is running."
        if self.state.reading:
            return f"{self.state.reading}: wait, or cancel."
        return f"{self.task.what}: wait, or cancel." if self.task.running else None

    def may_change(self) -> bool:
        """Whether the series may change: the atoms of a run belong to it as it is."""
        what = "belong to the images as they are and go when these change"
        return may_go(self.state, what, "Change the images now?", self.confirm)

    def may_open(self, name: str) -> bool:
        """Whether another series may take the place of the one that is open."""
        return may_go(self.state, f"go when {name} is opened", "Open it now?", self.confirm)

    def say(self, text: str, caveat: bool = False) -> None:
        """A sentence for the person, '' for none."""
        self.said.emit(text, caveat)

    def fail(self, sentence: str) -> None:
        """Something cannot be done."""
        self.say(sentence, caveat=True)
        self.state.fail(sentence)

    def tell(self, prefix: str, step: Step, after: TiltSeries) -> None:
        """What a step does, or has done, and what is doubtful about it."""
        caveats: tuple[str, ...] = ()
        if isinstance(step, RemoveDrift):
            caveats, agreement = step.drift.caveats, step.agreement
            if agreement is not None and agreement.change > 0:
                caveats = (KEEP, *caveats)
        elif isinstance(step, RemoveHotPixels):
            caveats = tuple(f"{text[0].upper()}{text[1:]}" for text in after.warnings if text.endswith(HOT_CAVEAT))
        self.say(" ".join((prefix + after.history[-1], *caveats)), caveat=bool(caveats))

    # -- the series -------------------------------------------------------------------------------------------

    def begin(self, series: TiltSeries, again: bool) -> bool:
        """A series was read; ``again``: the one that was open. True where its steps are being applied to it first.

        What is open stays so until they are done, and stays for good where one of them cannot be done.
        """
        self.task.cancel()  # whatever is under way speaks of the series as it was
        steps = self.steps if again else []
        if self.base is not None and series.tilt_axis_deg != self.base.tilt_axis_deg:
            steps = [step for step in steps if not isinstance(step, TurnAxis)]  # somebody knows better than the images
        if not steps:
            self.base, self.steps = series, []
            return False
        return self._change(series, steps, "Applying the steps again")

    def work(self, what: str, work: Callable[[Progress], Any], then: Callable[[Any], None]) -> None:
        """Work something out of the series that is open; ``then`` hears of it unless another one is open by then."""
        series = self.series

        def done(found: Any) -> None:
            if series is self.series and not self.state.running:
                then(found)

        self.task.start(what, work, done, self.fail)

    def take(self, found: tuple[Step, TiltSeries]) -> None:
        """Do a step that has been worked out; one that changes nothing is none, and that is said."""
        if self.state.running:
            return
        step, after = found
        if after is self.series:
            self.say(step.nothing_to_do)
            return
        self.steps = [*self.steps, step]
        self._set(after)
        self.tell("", step, after)

    def undo(self) -> None:
        """Take the last step back."""
        if self.base is not None and self.steps and self.may_change():
            self._change(self.base, self.steps[:-1], "Undo")

    def exclude(self, tilts: tuple[int, ...]) -> None:
        """Leave out these tilts and no others."""
        series, base = self.series, self.base
        if series is None or base is None or not self.may_change():
            return

        def work(progress: Progress) -> tuple[TiltSeries, TiltSeries]:
            return base.with_changes(excluded=tilts), series.with_changes(excluded=tilts)

        def take(found: tuple[TiltSeries, TiltSeries]) -> None:
            self.on_exclude(tilts)
            if self.steps and len(tilts) < len(series.excluded):  # steps have passed over a tilt that was left out
                self._change(found[0], self.steps, "Applying the steps again")
            else:
                self.base = found[0]
                self._set(found[1])

        self.work("Choice of tilts", work, take)

    def _change(self, base: TiltSeries, steps: list[Step], what: str) -> bool:
        def finish(series: TiltSeries) -> None:
            if not self.state.running:
                self.base, self.steps = base, steps
                self._set(series)

        return self.task.start(what, lambda progress: apply_steps(base, steps, progress), finish, self.fail)

    def _set(self, series: TiltSeries) -> None:
        self.hide_preview()
        self.state.set_series(series, again=True)

    def hide_preview(self) -> None:
        """Take away what is drawn of a step that is not applied."""
        self.previewed = None
        self.drawings.remove(PREVIEW, PREVIEW_MASK)
        if self.drawings.layer(AXIS) is not None and not self.keeps_axis:
            self.drawings.remove(AXIS)

    @property
    def tilt(self) -> int:
        """The tilt that the slider shows."""
        series, dims = self.series, self.viewer.dims
        if series is None or dims.ndim < 4:
            return 0
        return int(np.clip(round(dims.point[dims.ndim - 4]), 0, len(series) - 1))

    # -- what happens -----------------------------------------------------------------------------------------

    def _on_series(self) -> None:
        self.drawings.remove(PREVIEW, PREVIEW_MASK, MASK, RULER)
        self.previewed = None
        self.say("")
        self.new_series.emit()
        self.changed.emit()

    def _on_running(self) -> None:
        if self.state.running:
            self.task.cancel()
            self.hide_preview()
        self.changed.emit()

    def _tell_changed(self, event: Any = None) -> None:
        self.changed.emit()
