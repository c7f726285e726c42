"""Step 6: start, watch, pause, finish or cancel a voxel reconstruction; look at, trace and save its volume."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_lot.errors import InputError
from napari_lot.gui.canvas.atom_layers import SPHERE
from napari_lot.gui.canvas.layers import WorkbenchLayers
from napari_lot.gui.canvas.volume_layers import limits_of
from napari_lot.gui.forms.section import CAVEAT, DONE, NEEDS, READY
from napari_lot.gui.forms.widgets import button, offer
from napari_lot.gui.live import Outcome, RunnableJob, VolumeRunner
from napari_lot.gui.panels.volume.buttons import RunButtons
from napari_lot.gui.panels.volume.files_box import NO_VOLUME, VolumeFiles
from napari_lot.gui.panels.volume.form import VolumeForm
from napari_lot.gui.panels.volume.progress import VolumeProgress
from napari_lot.gui.panels.volume.sections import Sections
from napari_lot.gui.panels.volume.trace_box import TraceBox
from napari_lot.gui.panels.volume.words import ENDS, short_name
from napari_lot.gui.state import WorkbenchState
from napari_lot.gui.work.one_paint import lay_out, painted_once
from napari_lot.gui.work.share import FairShare
from napari_lot.gui.work.turns import Turns
from napari_lot.physics.geometry import series_rotations
from napari_lot.voxel.atoms.species import Found
from napari_lot.voxel.job import VoxelJob
from napari_lot.voxel.result import VoxelResult, VoxelSnapshot
from napari_lot.voxel.volume import Volume

_LOG = logging.getLogger(__name__)

POLL_MS = 100
APART_S = 0.3
"""Least time between two states of the volume on screen."""


class VolumePanel(QWidget):
    """Method, settings, the four buttons, progress; sections; atoms; files.

    Parameters
    ----------
    make_job : callable, optional
        ``(series, settings, method) -> job``; `napari_lot.voxel.job.VoxelJob` by default.
    """

    def __init__(
        self,
        state: WorkbenchState,
        layers: WorkbenchLayers,
        make_job: Callable[..., RunnableJob] = VoxelJob,
        folder: str = "",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.state, self.layers, self.make_job = state, layers, make_job
        self.runner: VolumeRunner | None = None
        self.result: VoxelResult | None = None
        """Of the volume that is on screen; None where it is the state of a run without a result, or from a file."""
        self.on_change: Callable[[], None] = lambda: None
        self.unsettled: Callable[[], str | None] = lambda: None
        self._turns = Turns()
        self.share = FairShare(self)
        self._drawn_at = 0.0
        self._method = ""
        self._first = True
        self._spacing_A = 1.0
        # How the last run ended: a section's state and a sentence; None before there was one.
        self.ended: tuple[str, str] | None = None

        self.form = VolumeForm(state)
        self.progress = VolumeProgress(layers.go_to_tilt)
        self.trace = TraceBox(state, layers)
        self.files = VolumeFiles(state, layers.viewer, folder)
        self.sections = Sections(layers.viewer.window)
        self.buttons = RunButtons(self._start, self._pause_or_resume, self._finish, self._cancel)
        self.show_sections = button("show_sections", "Sections and missing wedge")
        self.show_sections.clicked.connect(self._open_sections)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for part in (self.form, self.buttons, self.progress, self.show_sections, self.trace, self.files):
            layout.addWidget(part)
        self.setAcceptDrops(True)

        for box in (self.trace, self.files):
            box.volume = lambda: layers.volume.volume
            box.waits = self._waits
            box.changed.connect(self._tell)
        self.files.result = lambda: self.result
        self.files.may_go = self._may_go
        self.files.on_volume = self._take
        self.files.on_saved = self._on_saved
        self.trace.on_traced = self._on_traced
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self._poll)
        self.form.changed.connect(self.update_buttons)
        state.running_changed.connect(self.update_buttons)
        state.reading_changed.connect(self.update_buttons)
        for event in (layers.viewer.layers.events.inserted, layers.viewer.layers.events.removed):
            event.connect(self._on_layers)
        self.update_buttons()

    # -- what can be done -------------------------------------------------------------------------------------

    def needs(self) -> str | None:
        """What is still missing for a start, None where nothing is."""
        state = self.state
        if state.reading:
            return f"{state.reading[0].lower()}{state.reading[1:]}: wait, or cancel"
        if state.series is None:
            return "needs a tilt series (step 1)"
        return self.unsettled() or self.form.refusal

    def _waits(self) -> str | None:
        """Why the volume can be neither traced, saved nor replaced now."""
        if self.state.running_volume:
            return "Not while a volume is being reconstructed."
        return "Not while a reconstruction is running." if self.state.running else None

    @property
    def status(self) -> tuple[str, str]:
        """The state of the step and the line that explains it."""
        needs, shown = self.needs(), self.layers.volume.volume
        if self.state.running_volume:
            return READY, self._doing
        if self.ended is not None and shown is not None:
            return self.ended
        if needs is not None and shown is None:
            return NEEDS, needs[0].upper() + needs[1:] + "."
        if self.ended is not None:
            return self.ended
        return READY, "Conventional methods, which need no probe: ready to start."

    @property
    def _doing(self) -> str:
        control = None if self.runner is None else self.runner.control
        if control is not None and control.stop_request is not None:
            return "Stopping."
        if control is not None and control.pause_requested:
            return "Paused; Resume goes on." if control.is_paused else "Pausing."
        return f"{short_name(self._method)} is running."

    def update_buttons(self) -> None:
        """Enable what does something now; what does not says why."""
        control = None if self.runner is None else self.runner.control
        self.buttons.update_for(self.state, control, self.needs(), self.trace.task.running or self.files.task.running)
        self.form.setEnabled(not self.state.running)
        self.form.setToolTip("Not while a reconstruction is running." if self.state.running else "")
        offer(
            self.show_sections,
            None if self.layers.volume.volume is not None else NO_VOLUME,
            "Three sections through a point that you drag, and what of Fourier space the tilts have measured, below "
            "the canvas.",
        )
        self.trace.update_buttons()
        self.files.update_buttons()
        self._tell()

    def _tell(self) -> None:
        self.on_change()

    def _on_layers(self, event: Any = None) -> None:
        self.trace.update_buttons()

    def on_series(self) -> None:
        """Another series is on the canvas: the volume of the one before went with it."""
        self.ended = None
        if self.layers.volume.volume is None:
            self._forget()
        self.update_buttons()

    def _forget_result(self) -> None:
        """Another volume comes: what was known of the one before, and its atoms, are not its own."""
        self.result = None
        self.trace.forget()
        self.sections.forget_atoms()

    def _forget(self) -> None:
        self._forget_result()
        self.progress.hide()
        self.sections.forget()
        self.files.say("")

    # -- the four buttons -------------------------------------------------------------------------------------

    def _may_go(self, what_happens: str) -> bool:
        """Whether a volume that is in no file may make room for another: a person is asked."""
        if self.result is None or not self.state.unsaved_volume:
            return True
        return self.files.confirm(
            f"The volume by {short_name(self.result.method)} is in no file, and {what_happens}. Save it first, if you "
            "want to keep it. Go on now?"
        )

    def _start(self) -> None:
        series = self.state.series
        if series is None or self.state.running or self.runner is not None:
            return
        if not self._may_go("goes when another is reconstructed"):
            return
        try:
            method, settings = self.form.method, self.form.settings()
            job = self.make_job(series, settings, method)
        except InputError as error:
            self.state.fail(str(error))
            return
        self._method, self._first, self.ended = method, True, None
        self.files.say("")
        self.layers.view_chosen = False
        self.progress.begin(series)
        self._drawn_at = 0.0
        self.runner = VolumeRunner(job)
        self.runner.start()
        self._timer.start()
        self.state.run_volume(True)

    def _pause_or_resume(self) -> None:
        if self.runner is None:
            return
        control = self.runner.control
        if control.pause_requested:
            control.resume()
        else:
            control.pause()
        self.update_buttons()

    def _finish(self) -> None:
        if self.runner is not None:
            self.runner.control.finish()
            self.progress.stage.setText("<b>Finishing</b>: keeping the volume of this iteration")
            self.update_buttons()

    def _cancel(self) -> None:
        if self.runner is not None:
            self.runner.control.cancel()
            self.progress.stage.setText("<b>Cancelling</b>")
            self.update_buttons()

    # -- watching ---------------------------------------------------------------------------------------------

    def _poll(self) -> None:
        if self.runner is None:
            self._timer.stop()
            return
        if not self._turns.under_way:
            self._turns.begin(self._follow(self.runner))
        with self.share.busy(), painted_once(self):
            self._turns.take()
            lay_out(self.progress)

    def _follow(self, runner: VolumeRunner) -> Iterator[None]:
        # in this order: what the run left before it ended or paused is in the mailbox by then
        alive, paused = runner.is_alive, runner.control.is_paused
        self.progress.tell_pause(runner.control)
        now = time.monotonic()
        if (not self.share.rests and now - self._drawn_at >= APART_S) or paused or not alive:
            taken = runner.volumes.take()
            if taken is not None:
                self.share.begin()
                self._drawn_at = now
                snapshot, history = taken
                self.progress.follow(snapshot, history, runner.control)
                yield
                self._show(snapshot)
        if paused:
            self._tell()
        if not alive:
            yield from self._end(runner)

    def _show(self, snapshot: VoxelSnapshot) -> None:
        if snapshot.volume is None:
            return
        if self._first:
            self._forget_result()
        self._put(snapshot.volume, self._words(snapshot.volume, snapshot.step), of_series=True, turn=self._first)
        self._first = False

    def _put(self, volume: Volume, words: str, of_series: bool, turn: bool) -> None:
        """A volume on the canvas and in the sections."""
        self.layers.show_volume(volume, words, of_series, turn)
        self.state.unsaved_volume = of_series
        self._show_in_sections()
        self._tell()

    def _show_in_sections(self) -> None:
        volume, series = self.layers.volume.volume, self.state.series
        if volume is not None and self.sections.is_open:
            of_series = self.layers.volume.of_series and series is not None
            rotations = series_rotations(series)[series.used] if of_series and series is not None else None
            self.sections.show_volume(volume, limits_of(volume.values, None), rotations)

    def _words(self, volume: Volume, step: int) -> str:
        """Two lines for the canvas."""
        shape = " × ".join(map(str, volume.values.shape[::-1]))
        at = "" if self._method == "wbp" else f", iteration {step}"
        return f"{short_name(self._method)}{at}\n{shape} voxels (x, y, z) of {volume.voxel_A:g} Å"

    def _end(self, runner: VolumeRunner) -> Iterator[None]:
        yield
        outcome = runner.outcome
        try:
            result = None if outcome is None else outcome.result
            if result is not None:
                words = self._words(result.volume, result.iterations)
                self._put(result.volume, words, of_series=True, turn=self._first)
            yield
        finally:  # it is over, also where it cannot be shown
            self._timer.stop()
            self.runner = None
            self.layers.view_chosen = False
            self._end_with(outcome)
            self.state.run_volume(False)
        self.update_buttons()

    def _end_with(self, outcome: Outcome | None) -> None:
        name = short_name(self._method)
        if outcome is None or outcome.failure is not None:
            told = self.state.fail((outcome.failure if outcome else None) or "The reconstruction ended without a word.")
            self.progress.end("<b>Stopped by an error</b>", "stopped", told)
            if outcome is not None and outcome.detail is not None:
                _LOG.error("%s", outcome.detail)
            self.ended = CAVEAT, f"{name} was stopped by an error."
        elif outcome.result is None:
            reason = outcome.stop_reason or "cancelled"
            how, why, mark = ENDS.get(reason, ENDS["cancelled"])
            left = "the layer shows its last state" if not self._first else "there was no volume yet"
            self.progress.end(f"<b>{how}</b>: {why}{left}.", reason)
            self.ended = mark, f"{name}: {how[0].lower()}{how[1:]}; {left}."
        else:
            self.result = outcome.result
            caveats = self.progress.show_result(outcome.result)
            known = outcome.result.agreement()
            r = "" if known is None else f", R {100 * known[0]:.2f} %"
            line = f"{name}: {outcome.result.stop_reason}{r}"
            self.ended = (CAVEAT, f"{line}; see the doubts below.") if caveats else (DONE, f"{line}.")

    # -- the volume on screen ---------------------------------------------------------------------------------

    def _take(self, volume: Volume, name: str) -> None:
        """A volume that somebody has opened takes the place of the one on screen."""
        self._forget_result()
        shape = " × ".join(map(str, volume.values.shape[::-1]))
        words = f"{name}\n{shape} voxels (x, y, z) of {volume.voxel_A:g} Å"
        self.layers.view_chosen = False
        self._put(volume, words, of_series=False, turn=True)
        self.progress.say(f"<b>Opened</b>: {name}, {shape} voxels (x, y, z) of {volume.voxel_A:g} Å")
        self.ended = DONE, f"{name}, {shape} voxels of {volume.voxel_A:g} Å."
        self.update_buttons()

    def _on_saved(self, volume: Volume) -> None:
        if volume is self.layers.volume.volume:
            self.state.unsaved_volume = False

    def _open_sections(self) -> None:
        self.sections.open()
        self._show_in_sections()
        if self.trace.found is not None:
            self._draw_traced(self.trace.found)

    def _on_traced(self, found: Found, spacing_A: float) -> None:
        self._spacing_A = spacing_A
        points = self.layers.volume.traced
        if points is not None:
            points.events.data.connect(self._on_points)
        self._draw_traced(found)
        self._tell()

    def _on_points(self, event: Any = None) -> None:
        """Somebody has moved, deleted or added traced atoms: sections and sentence are of those that there are."""
        if self.trace.found is not None and getattr(event, "action", "changed") in ("changed", "removed", "added"):
            self._draw_traced(self.trace.found)
            self.trace.tell_edit()

    def _draw_traced(self, found: Found) -> None:
        points = self.layers.volume.traced
        atoms = found.traced.atoms.positions if points is None else np.asarray(points.data, float)[:, ::-1]
        self.sections.show_atoms(atoms, 0.5 * SPHERE * self._spacing_A)

    def dragEnterEvent(self, event: Any) -> None:
        if event.mimeData().hasUrls() and self._waits() is None:
            event.acceptProposedAction()

    def dropEvent(self, event: Any) -> None:
        if event.mimeData().urls():
            event.acceptProposedAction()
            self.files.drop([url.toLocalFile() for url in event.mimeData().urls()])

    # -- the end ----------------------------------------------------------------------------------------------

    def catch_up(self) -> None:
        """Show at once what is being shown in turns: a run that has left a result has not been in vain."""
        while self._turns.under_way:
            self._poll()

    def shutdown(self) -> bool:
        """Cancel and wait for a run, stop the timer, stop listening; False if the thread would not end."""
        self._timer.stop()
        self._turns.drop()
        self.state.running_changed.disconnect(self.update_buttons)
        self.state.reading_changed.disconnect(self.update_buttons)
        for event in (self.layers.viewer.layers.events.inserted, self.layers.viewer.layers.events.removed):
            event.disconnect(self._on_layers)
        stopped = True
        if self.runner is not None:
            stopped = self.runner.stop()
            self.runner = None
            self.state.run_volume(False)
        self.files.keep_last()
        self.trace.shutdown()
        self.files.shutdown()
        self.sections.shutdown()
        return stopped
