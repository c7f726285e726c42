"""Step 3: start, watch, pause, edit, finish or cancel a reconstruction."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_lot.atoms import Orbitals
from napari_lot.errors import InputError
from napari_lot.export import with_elements
from napari_lot.gui.canvas.layers import WorkbenchLayers
from napari_lot.gui.forms.preset_row import PresetRow
from napari_lot.gui.forms.progress_line import ProgressLine
from napari_lot.gui.forms.section import CAVEAT, DONE
from napari_lot.gui.forms.sentence import Sentence
from napari_lot.gui.live import Outcome, RunnableJob, Runner
from napari_lot.gui.look import failure
from napari_lot.gui.panels.run.editing import EditBox
from napari_lot.gui.panels.run.form import RunForm
from napari_lot.gui.panels.run.go_on import GoOn
from napari_lot.gui.panels.run.progress import ProgressView
from napari_lot.gui.panels.run.runs import RunTable
from napari_lot.gui.panels.run.words import CHANGED_SINCE, NO_RESULT, NOTHING_DRAWN
from napari_lot.gui.plots.basic import ConvergencePlot
from napari_lot.gui.state import History, WorkbenchState, history_of
from napari_lot.gui.work.one_paint import lay_out, painted_once
from napari_lot.gui.work.share import FairShare
from napari_lot.gui.work.task import Task
from napari_lot.gui.work.turns import Turns
from napari_lot.job import Job, Result, Snapshot, expected_spacing_A
from napari_lot.session import going_on
from napari_lot.session.going_on import how_it_goes_on
from napari_lot.settings import Settings

_LOG = logging.getLogger(__name__)

POLL_MS = 100
WORDS_S = 0.5
"""Least time between changes of words and bar where no layer changes with them: beside a canvas of OpenGL any change
makes Qt compose the whole window anew, which without a graphics card takes a quarter of a second."""
FALLBACK_SPACING_A = 2.5
UPDATES = {"10 a second": 0.0, "5 a second": 0.2, "2 a second": 0.5, "1 a second": 1.0, "1 in 2 s": 2.0, "off": None}
"""Least seconds between updates of the layers; None for none but the last."""


class RunPanel(QWidget):
    """Settings of the fit, the four buttons, the edit of a paused run, progress, and the runs so far.

    Parameters
    ----------
    make_job : callable, optional
        ``(series, settings) -> job``, with given atoms ``(series, settings, atoms) -> job``;
        `napari_lot.job.Job` by default.
    """

    def __init__(
        self,
        state: WorkbenchState,
        layers: WorkbenchLayers,
        make_job: Callable[..., RunnableJob] = Job,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.state = state
        self.layers = layers
        self.make_job = make_job
        self.runner: Runner | None = None
        self._turns = Turns()
        self.share = FairShare(self)
        self.starting = Task("start", self)
        self.start_line = ProgressLine("start", self.starting, "Begin no run.")
        self.on_snapshot: Callable[[Snapshot], None] = lambda snapshot: None
        self.on_change: Callable[[], None] = lambda: None
        self.unsettled: Callable[[], str | None] = lambda: None
        self.on_end: Callable[[Outcome | None], None] = lambda outcome: None
        self._spacing_A = FALLBACK_SPACING_A
        self._has_series = False
        self._drawn_at = self._told_at = 0.0
        # How the run that is shown ended, or one after it that left no result: a section's state and a sentence.
        self.ended: tuple[str, str] | None = None

        self.form = RunForm(state, layers.viewer)
        self.presets = PresetRow("run", self.form.values, self.form.take, state.fail)
        self.edit = EditBox(state, layers)
        self.progress = ProgressView()
        self.table = RunTable(state, layers)
        self.edited = Sentence("edited")
        self.edited.hide()
        self.go_on = GoOn(state)
        self.go_on.clicked.connect(self._go_on)
        self.table.on_remove = self.go_on.forget
        self.updates = QComboBox()
        self.updates.setObjectName("updates")
        self.updates.addItems(list(UPDATES))
        self.updates.setToolTip(
            "How often the layers follow a run at most; the last state always comes. Fewer leave more of the computer "
            "to the fit. Where drawing is slow there are fewer by themselves, so that the window answers."
        )

        self.start_button = QPushButton("Start")
        self.pause_button = QPushButton("Pause")
        self.finish_button = QPushButton("Finish now")
        self.cancel_button = QPushButton("Cancel")
        buttons = QHBoxLayout()
        for button, name, call in (
            (self.start_button, "start", self._start),
            (self.pause_button, "pause", self._pause_or_resume),
            (self.finish_button, "finish", self._finish),
            (self.cancel_button, "cancel", self._cancel),
        ):
            button.setObjectName(name)
            button.clicked.connect(call)
            buttons.addWidget(button)
        following = QHBoxLayout()
        label = QLabel("Layers follow the run")
        label.setBuddy(self.updates)
        following.addWidget(label)
        following.addWidget(self.updates, 1)

        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.presets)
        layout.addWidget(self.form)
        layout.addLayout(following)
        layout.addLayout(buttons)
        layout.addWidget(self.start_line)
        for widget in (self.edit, self.edited, self.progress, self.go_on, self.table):
            layout.addWidget(widget)

        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self._poll)
        self.starting.changed.connect(self._on_starting)
        self.form.changed.connect(self.update_buttons)
        state.series_changed.connect(self._on_series)
        state.result_changed.connect(self._on_result)
        state.microscope_changed.connect(self.update_buttons)
        state.reading_changed.connect(self.update_buttons)
        self.update_buttons()

    @property
    def plot(self) -> ConvergencePlot:
        """Loss and R of the run that is followed."""
        return self.progress.plot

    def use(self, threads: int | None, updates_per_s: float) -> None:
        """Take over preferences: threads of a run, and how often the layers follow it (the nearest that is offered)."""
        self.form.solver.fields["threads"].value = threads
        wanted = 1.0 / updates_per_s
        offered = {name: interval or 0.1 for name, interval in UPDATES.items() if interval is not None}
        self.updates.setCurrentText(min(offered, key=lambda name: abs(np.log(offered[name] / wanted))))

    @property
    def doing(self) -> str:
        """What a run is about, in a sentence."""
        control = None if self.runner is None else self.runner.control
        if control is not None and control.stop_request is not None:
            return "Stopping."
        if control is not None and control.pause_requested:
            return "Paused; Resume goes on." if control.is_paused else "Pausing."
        return "Running."

    # -- settings ---------------------------------------------------------------------------------------------

    def settings(self) -> Settings:
        """The settings of the run that Start would begin; InputError where a value cannot be used."""
        return self.form.settings()

    def needs(self, atoms: bool = False) -> str | None:
        """What is still missing for a start, None where nothing is; ``atoms``: those to start from are given."""
        before = self.unsettled() if self.state.series is not None and not self.state.reading else None
        return before or self.form.needs(atoms)

    def _on_series(self) -> None:
        # How runs of another series went says nothing of this one.
        self.ended = None
        self.progress.hide()
        self.edited.hide()
        self.table.clear()
        if not self.state.again and self._has_series:
            self.form.begin_anew()
        if self.state.result is None:
            self.go_on.forget()
        self._has_series = self.state.series is not None
        self.update_buttons()

    def _on_starting(self) -> None:
        # it counts as reading: what is begun with must not change meanwhile
        self.state.reading = self.starting.what if self.starting.running else ""

    def update_buttons(self) -> None:
        """Enable what does something now; what does not says why."""
        running, needs = self.state.running, self.needs()
        self.start_button.setEnabled(not running and needs is None)
        tip = "Start the reconstruction." if needs is None else f"{needs[0].upper()}{needs[1:]}."
        of_volume = "A volume is being reconstructed (step 6)." if self.state.running_volume else None
        self.start_button.setToolTip(of_volume or ("A reconstruction is running." if running else tip))
        stopping = self.runner is not None and self.runner.control.stop_request is not None
        why = "It is stopping." if running and stopping else "Nothing is running."
        why = of_volume or why
        for button, tip in (
            (self.pause_button, "Hold the fit, to look at its atoms or to edit them; nothing is lost."),
            (self.finish_button, "Stop soon and keep the atoms found so far."),
            (self.cancel_button, "Stop soon without a result."),
        ):
            enabled = self.state.fitting and not stopping
            button.setEnabled(enabled)
            button.setToolTip(tip if enabled else why)
        paused = self.runner is not None and running and self.runner.control.pause_requested
        self.pause_button.setText("Resume" if paused else "Pause")
        if paused:
            self.pause_button.setToolTip("Go on with the fit, with the atoms as edited.")
        for widget in (self.presets, self.form):
            widget.setEnabled(not running)
            widget.setToolTip("Not while a reconstruction is running." if running else "")
        self.on_change()

    # -- the four buttons -------------------------------------------------------------------------------------

    def keep_broken_off(self, result: Result, history: History, spacing_A: float) -> None:
        """A session was opened whose run did not end: its last atoms are what is shown."""
        self.state.keep(result, history)
        self.table.add(result, spacing_A)

    def _go_on(self) -> None:
        broken = self.go_on.way
        if broken is None or not self._may_begin():
            return
        needs = self.needs(atoms=True)
        if needs is not None:
            self.state.fail(f"Not yet: {needs}.")
            return
        try:
            says = self.form.settings(broken.path)
            way = going_on(broken.session, broken.path)
        except InputError as error:
            self.state.fail(str(error))
            return
        as_it_was = broken.is_as_it_was(self.state.series, says)
        how = how_it_goes_on(broken.session, way) if as_it_was else CHANGED_SINCE
        if way.checkpoint is not None and as_it_was:
            as_then = broken.settings(says)
            make = partial(self.make_job, way.series, as_then, way.start, way.checkpoint)
            self._start_job(as_then, make, how, way.history)
        elif broken.session.atoms is not None:
            self._start_with(says, lambda: broken.session.atoms, how)
        else:
            self.state.fail(
                "The settings or the series are not those of the run that broke off, and its orbitals had not become "
                "atoms yet: Start begins anew."
            )

    def _start(self) -> None:
        if not self._may_begin():
            return
        try:
            settings = self.form.settings()
            self._start_with(settings, self.form.begin.reader(settings))
        except InputError as error:
            self.state.fail(str(error))

    def _may_begin(self) -> bool:
        if self.state.running_volume:
            self.state.fail("Not while a volume is being reconstructed: let it end first (step 6).")
            return False
        return self.state.series is not None and self.runner is None

    def _start_with(self, settings: Settings, read: Callable[[], Orbitals | None], how: str = "") -> None:
        """Begin a run with atoms that are read in a thread, or without any; ``how`` it goes on with another one."""
        series = self.state.series

        def make() -> RunnableJob:
            atoms = read()
            if atoms is None:
                return self.make_job(series, settings)
            return self.make_job(series, settings, with_elements(atoms, settings.model.elements, settings.start.kind))

        self._start_job(settings, make, how)

    def _start_job(
        self,
        settings: Settings,
        make: Callable[[], RunnableJob],
        how: str,
        history: NDArray[np.float64] | None = None,
    ) -> None:
        try:
            self._spacing_A = expected_spacing_A(settings.model)
        except InputError as error:
            self.state.fail(str(error))
            return
        self.layers.view_chosen = False
        told = [] if history is None else history_of(history)
        self.starting.start(
            "Preparing the run", lambda progress: make(), lambda job: self._begin(job, how, told), self._not_begun
        )

    def _not_begun(self, sentence: str) -> None:
        """What is begun with cannot be read or used: said where Start is, too."""
        self.edited.setText(failure(self.state.fail(sentence)))
        self.edited.show()

    def _begin(self, job: RunnableJob, how: str, history: list[tuple[int, float, float]]) -> None:
        self.layers.remove_results()
        self.ended = None
        self.go_on.hide()
        self.state.runs += 1
        self.edited.setText(how)
        self.edited.setVisible(bool(how))
        self.progress.begin()
        self.plot.add(history)
        self._drawn_at = self._told_at = 0.0
        self.runner = Runner(job)
        self.runner.start()
        self._timer.start()
        self.state.running = True
        self.update_buttons()

    def _pause_or_resume(self) -> None:
        if self.runner is None:
            return
        control = self.runner.control
        if not control.pause_requested:
            control.pause()
        elif self._hand_over("Resumed"):
            control.resume()
            self.edit.end()
        self.update_buttons()

    def _hand_over(self, how: str) -> bool:
        """Give the edit of a paused run to the solver; False where it cannot be used, and the run stays paused."""
        words = self.edit.hand_over()
        if words:
            self.edited.setText(f"{how} with your edit: {words}.")
            self.edited.show()
        return words is not None

    def _finish(self) -> None:
        if self.runner is None or not self._hand_over("Finished"):
            return
        self.runner.control.finish()
        self.edit.end()
        self.progress.stage.setText("<b>Finishing</b>: keeping the atoms found so far")
        self.update_buttons()

    def _cancel(self) -> None:
        if self.runner is None:
            return
        kept = self.edit.changed
        self.edit.end(keep=kept)
        if kept:
            self.edited.setText("Your edited atoms stay in the layer Atoms (edited, not used).")
            self.edited.show()
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

    def _follow(self, runner: Runner) -> Iterator[None]:
        """Show what the run has come to; where layers come, in turns between which the window answers."""
        # in this order: what the run left before it ended or paused is in the mailbox by then
        alive, paused = runner.is_alive, runner.control.is_paused
        self.progress.count_pause(runner.control)
        self.progress.tick(runner.control)
        interval, now = UPDATES[self.updates.currentText()], time.monotonic()
        free = not self.share.rests
        due = free and interval is not None and now - self._drawn_at >= interval
        if due or paused or not alive or (free and now - self._told_at >= WORDS_S):
            self.share.begin()
            self._told_at = now
            looked = runner.mailbox.look()
            if looked is not None:
                self.progress.follow(*looked, runner.control)
        if due or paused or not alive:
            taken = runner.mailbox.take()
            if taken is not None:
                yield from self._show(*taken)
                self._drawn_at = time.monotonic()
        if paused and not self.edit.active and runner.control.pause_requested:
            self.edit.begin(runner.control, self._spacing_A)
            self.update_buttons()
        self.edit.poll()
        if not alive:
            yield from self._end(runner)

    def _show(self, snapshot: Snapshot, history: list[tuple[int, float, float]]) -> Iterator[None]:
        self.plot.add(history)
        if snapshot.probe is not None:
            self.layers.show_probe(snapshot.probe)
        first = self.layers.atoms.spheres is None
        self.layers.show_atoms(snapshot.orbitals, self._spacing_A)
        if first:
            yield
        if len(snapshot.tilts):
            yield from self.layers.show_calculated(snapshot.tilts, snapshot.calculated)
        self.on_snapshot(snapshot)

    def _end(self, runner: Runner) -> Iterator[None]:
        yield
        outcome = runner.outcome
        self.edit.end(keep=self.edit.changed)
        try:
            if outcome is not None and outcome.result is not None:
                yield from self.layers.show_result_in_turns(outcome.result, self._spacing_A)
            else:
                self.layers.settle_atoms()
            yield
        finally:  # it is over, also where it cannot be shown
            self._timer.stop()
            self.runner = None
            self.layers.view_chosen = False
            self.state.running = False
        if outcome is None or outcome.failure is not None:
            self._end_in_failure(outcome)
        elif outcome.result is None:
            self._end_without_result(outcome.stop_reason or "cancelled")
        else:
            self._end_with(outcome.result)
        self.on_end(outcome)
        self.go_on.update_shown()
        self.update_buttons()

    def _end_in_failure(self, outcome: Outcome | None) -> None:
        sentence = outcome.failure if outcome is not None else None
        told = self.state.fail(sentence or "The reconstruction ended without a word.")
        self.progress.end("<b>Stopped by an error</b>", "stopped", told)
        if outcome is not None and outcome.detail is not None:
            _LOG.error("%s", outcome.detail)
        self.ended = CAVEAT, f"Run {self.state.runs} was stopped by an error."

    def _end_without_result(self, reason: str) -> None:
        how, why, state = NO_RESULT.get(reason, NO_RESULT["cancelled"])
        if not self.layers.atoms.own():  # it ended before there was anything to see
            self.layers.look_at("images")
            why = NOTHING_DRAWN if reason == "cancelled" else why
        earlier = "" if self.state.result is None else f" Export still has run {self.state.result_run}."
        self.progress.end(f"<b>{how}</b>: {why}{earlier}", reason)
        self.ended = state, f"Run {self.state.runs}: {how[0].lower()}{how[1:]}."

    def _end_with(self, result: Result) -> None:
        self.state.keep(result, self.plot.history)
        self.table.add(result, self._spacing_A)

    def _on_result(self) -> None:
        """Another run is shown, or its atoms are others: what the step says is of that run."""
        result, run = self.state.result, self.state.result_run
        if self.state.running:
            return
        self.go_on.update_shown()
        if result is None:
            self.ended = None
            self.progress.hide()
            self.edited.hide()
            return
        caveats = self.progress.show_run(result, self.state.history)
        known = f"Run {run}: {len(result.orbitals)} atoms, {result.stop_reason}"
        self.ended = (CAVEAT, f"{known}; see the doubts below.") if caveats else (DONE, f"{known}.")
        self.edited.setVisible(bool(self.edited.text()) and run == self.state.runs)

    # -- the end ----------------------------------------------------------------------------------------------

    def catch_up(self) -> None:
        """Show at once what is being shown in turns: a run that has left a result has not been in vain."""
        while self._turns.under_way:
            self._poll()

    def shutdown(self) -> bool:
        """Cancel and wait for a run, stop the timer, stop listening; False if the thread would not end."""
        self._timer.stop()
        self._turns.drop()
        self.starting.changed.disconnect(self._on_starting)
        self.starting.shutdown()
        self.state.series_changed.disconnect(self._on_series)
        self.state.result_changed.disconnect(self._on_result)
        self.state.microscope_changed.disconnect(self.update_buttons)
        self.state.reading_changed.disconnect(self.update_buttons)
        self.edit.shutdown()
        self.form.shutdown()
        stopped = True
        if self.runner is not None:
            stopped = self.runner.stop()
            self.runner = None
            self.state.running = False
        self.table.shutdown()
        return stopped
