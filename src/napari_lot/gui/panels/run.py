"""Step 3: start, watch, pause, finish or cancel a reconstruction."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QCheckBox,
    QFormLayout,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_lot.errors import InputError
from napari_lot.gui.canvas.layers import WorkbenchLayers
from napari_lot.gui.forms.section import DONE, DOUBT, READY
from napari_lot.gui.forms.settings_form import SettingsForm, choices_of
from napari_lot.gui.forms.words import in_window_words
from napari_lot.gui.live import Outcome, Pace, RunnableJob, Runner, time_text
from napari_lot.gui.look import warning
from napari_lot.gui.plots.basic import ConvergencePlot
from napari_lot.gui.state import WorkbenchState
from napari_lot.job import Job, Result, Snapshot, expected_spacing_A
from napari_lot.series import TiltSeries
from napari_lot.settings import REFINED_BY_DEFAULT, Data, Model, Settings, Solver, settings_from_dict

_LOG = logging.getLogger(__name__)

POLL_MS = 100
STAGES = {
    "prepare": "Preparing",
    "start": "Placing orbitals",
    "heights": "Heights",
    "positions": "Heights and positions",
    "merge": "Merging",
    "birth": "Adding missing atoms",
    "species": "Telling elements apart",
    "probe": "Correcting the probe",
    "refine": "Refining",
    "polish": "Last refinement",
    "handedness": "Comparing with the other hand",
    "finished": "Finished",
}
FALLBACK_SPACING_A = 2.5
# Ends that leave no result: the word, what to do, and the mark of the step.
NO_RESULT = {
    "cancelled": ("Cancelled", "the layers show the last state.", READY),
    "finished early": (
        "Finished before there was an atom",
        "there was nothing to keep yet; let it run until atoms appear, then finish.",
        DOUBT,
    ),
    "time limit": (
        "Time limit reached before there was an atom",
        "there was nothing to keep yet; allow more minutes under More settings.",
        DOUBT,
    ),
}


class RunPanel(QWidget):
    """Settings of the fit, the four buttons, progress and the convergence plot.

    Parameters
    ----------
    make_job : callable, optional
        ``(series, settings) -> job``; `napari_lot.job.Job` by default.
    """

    def __init__(
        self,
        state: WorkbenchState,
        layers: WorkbenchLayers,
        make_job: Callable[[TiltSeries, Settings], RunnableJob] = Job,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.state = state
        self.layers = layers
        self.make_job = make_job
        self.runner: Runner | None = None
        self.on_snapshot: Callable[[Snapshot], None] = lambda snapshot: None
        self._pace = Pace()
        self._paused_s = 0.0
        self._paused_since: float | None = None
        self._spacing_A = FALLBACK_SPACING_A
        self._settings: Settings | None = None
        # How the last run of this series ended: a section's state and a sentence.
        self.ended: tuple[str, str] | None = None

        self.model = SettingsForm(Model, ["probe", "spacing_A", "likelihood"], unset={"spacing_A": "from the element"})
        self.element = QLineEdit(placeholderText="Pt")
        self.element.setObjectName("element")
        self.element.setMaxLength(40)
        self.element.setToolTip(Model.model_fields["elements"].description or "")
        form = self.model.layout()
        assert isinstance(form, QFormLayout)
        form.insertRow(1, "Element", self.element)
        self.solver = SettingsForm(
            Solver,
            ["handedness", "threads", "seed", "max_minutes"],
            unset={"threads": "all cores", "max_minutes": "no limit"},
        )
        self.check = SettingsForm(Data, ["withhold"], unset={"withhold": "none"})
        self.refine: dict[str, QCheckBox] = {}
        boxes = QGridLayout()
        boxes.setContentsMargins(0, 0, 0, 0)
        for i, name in enumerate(choices_of(Solver, "refine")):
            box = QCheckBox(name)
            box.setObjectName(f"refine_{name}")
            box.setChecked(name in REFINED_BY_DEFAULT)
            box.setToolTip(REFINE_TIPS.get(name, f"Refine the {name}."))
            self.refine[name] = box
            boxes.addWidget(box, i // 3, i % 3)
        self.more_button = QPushButton("More settings ▸")
        self.more_button.setObjectName("more_run_settings")
        self.more_button.setCheckable(True)
        self.more_button.setToolTip(
            "What is refined, tilts withheld as a check, which hand, threads, seed and time limit."
        )
        self.more = QWidget()
        more = QVBoxLayout(self.more)
        more.setContentsMargins(0, 0, 0, 0)
        refine_label = QLabel("Refine")
        more.addWidget(refine_label)
        more.addLayout(boxes)
        more.addWidget(self.check)
        more.addWidget(self.solver)
        self.more.hide()
        self.more_button.toggled.connect(self._show_more)

        self.start_button = QPushButton("Start")
        self.pause_button = QPushButton("Pause")
        self.finish_button = QPushButton("Finish now")
        self.cancel_button = QPushButton("Cancel")
        buttons = QHBoxLayout()
        for button, name in (
            (self.start_button, "start"),
            (self.pause_button, "pause"),
            (self.finish_button, "finish"),
            (self.cancel_button, "cancel"),
        ):
            button.setObjectName(name)
            buttons.addWidget(button)
        self.start_button.clicked.connect(self._start)
        self.pause_button.clicked.connect(self._pause_or_resume)
        self.finish_button.clicked.connect(self._finish)
        self.cancel_button.clicked.connect(self._cancel)

        self.stage = QLabel()
        self.stage.setObjectName("stage")
        self.stage.setWordWrap(True)
        self.progress = QProgressBar()
        self.progress.setObjectName("progress")
        self.progress.setTextVisible(True)
        self.progress.setMinimumHeight(20)
        self.detail = QLabel()
        self.detail.setObjectName("detail")
        self.detail.setWordWrap(True)
        self.plot = ConvergencePlot()
        for widget in (self.stage, self.progress, self.detail, self.plot):
            widget.hide()

        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.model)
        layout.addWidget(self.more_button)
        layout.addWidget(self.more)
        layout.addLayout(buttons)
        layout.addWidget(self.stage)
        layout.addWidget(self.progress)
        layout.addWidget(self.detail)
        layout.addWidget(self.plot)

        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self._poll)
        self.model.changed.connect(self.update_buttons)
        self.element.textChanged.connect(lambda text: setattr(self.state, "element", text))
        state.element_changed.connect(self._on_element)
        state.series_changed.connect(self._on_series)
        state.microscope_changed.connect(self.update_buttons)
        self.on_change: Callable[[], None] = lambda: None
        self.on_end: Callable[[Outcome | None], None] = lambda outcome: None
        self.update_buttons()

    def use(self, threads: int | None, updates_per_s: float) -> None:
        """Take over preferences: threads of a run, and how often the window is drawn anew."""
        self.solver.fields["threads"].value = threads
        self._timer.setInterval(round(1000 / updates_per_s))

    # -- settings ---------------------------------------------------------------------------------------------

    def _show_more(self, shown: bool) -> None:
        self.more.setVisible(shown)
        self.more_button.setText("More settings ▾" if shown else "More settings ▸")

    def _on_element(self) -> None:
        if self.element.text() != self.state.element:
            self.element.setText(self.state.element)
        self.update_buttons()

    def _on_series(self) -> None:
        # How a run of another series went says nothing of this one.
        self.ended = None
        for widget in (self.stage, self.progress, self.detail, self.plot):
            widget.hide()
        self.update_buttons()

    def settings(self) -> Settings:
        """The settings of the run that Start would begin.

        Raises
        ------
        InputError
            A value cannot be used.
        """
        model = self.model.values()
        if self.elements():
            model["elements"] = self.elements()
        solver = self.solver.values()
        # Only what somebody has changed: what is refined without a word may depend on the data.
        chosen = {name for name, box in self.refine.items() if box.isChecked()}
        if chosen != set(REFINED_BY_DEFAULT):
            solver["refine"] = tuple(name for name in self.refine if name in chosen)
        series = self.state.series
        data = {"thickness_A": self.state.thickness_A, "counts": series is not None and series.counts}
        data |= self.check.values() | self.state.images
        return settings_from_dict(
            {"microscope": self.state.microscope.model_dump(), "model": model, "solver": solver, "data": data},
            where="Reconstruct",
        )

    def needs(self) -> str | None:
        """What is still missing for a start, None where nothing is."""
        if self.state.series is None:
            return "needs a tilt series (step 1)"
        model = self.model.fields["probe"].value
        if model != "direct" and not self.state.has_probe:
            return f"the {model} model needs energy and semi-angle (step 2); 'direct' does not"
        if not self.elements() and self.model.fields["spacing_A"].value is None:
            return "needs the element or the neighbour distance"
        return None

    def elements(self) -> tuple[str, ...]:
        """Element symbols that are typed."""
        return tuple(e.strip() for e in self.element.text().replace(";", ",").split(",") if e.strip())

    def update_buttons(self) -> None:
        """Enable what does something now; what does not says why."""
        running, needs = self.state.running, self.needs()
        self.start_button.setEnabled(not running and needs is None)
        self.start_button.setToolTip(
            "A reconstruction is running." if running else (needs or "Start the reconstruction.").capitalize()
        )
        stopping = self.runner is not None and self.runner.control.stop_request is not None
        why = "It is stopping." if running and stopping else "Nothing is running."
        for button, tip in (
            (self.pause_button, "Hold the fit; nothing is lost."),
            (self.finish_button, "Stop soon and keep the atoms found so far."),
            (self.cancel_button, "Stop soon without a result."),
        ):
            enabled = running and not stopping
            button.setEnabled(enabled)
            button.setToolTip(tip if enabled else why)
        paused = self.runner is not None and running and self.runner.control.pause_requested
        self.pause_button.setText("Resume" if paused else "Pause")
        if paused and running:
            self.pause_button.setToolTip("Go on with the fit.")
        for widget in (self.model, self.more):
            widget.setEnabled(not running)
            widget.setToolTip("Not while a reconstruction is running." if running else "")
        self.on_change()

    # -- the four buttons -------------------------------------------------------------------------------------

    def _start(self) -> None:
        if self.state.series is None or self.runner is not None:
            return
        try:
            self._settings = self.settings()
            self._spacing_A = expected_spacing_A(self._settings.model)
            job = self.make_job(self.state.series, self._settings)
        except InputError as error:
            self.state.fail(str(error))
            return
        self.layers.remove_results()
        self.ended = None
        self.state.runs += 1
        self.plot.clear()
        self._pace, self._paused_s, self._paused_since = Pace(), 0.0, None
        for widget in (self.stage, self.progress, self.detail, self.plot):
            widget.show()
        self.stage.setText("<b>Starting</b>: compiling the kernels at the first run")
        self.detail.setText("")
        self.progress.setRange(0, 0)
        self.runner = Runner(job)
        self.runner.start()
        self._timer.start()
        self.state.running = True
        self.update_buttons()

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
            self.stage.setText("<b>Finishing</b>: keeping the atoms found so far")
            self.update_buttons()

    def _cancel(self) -> None:
        if self.runner is not None:
            self.runner.control.cancel()
            self.stage.setText("<b>Cancelling</b>")
            self.update_buttons()

    # -- watching ---------------------------------------------------------------------------------------------

    def _poll(self) -> None:
        runner = self.runner
        if runner is None:
            self._timer.stop()
            return
        alive = runner.is_alive
        self._count_pause(runner)
        taken = runner.mailbox.take()
        if taken is not None:
            self._show(*taken)
        if not alive:
            self._end(runner)

    def _count_pause(self, runner: Runner) -> None:
        now = time.monotonic()
        if runner.control.is_paused and self._paused_since is None:
            self._paused_since = now
            self.stage.setText("<b>Paused</b>")
        elif not runner.control.is_paused and self._paused_since is not None:
            self._paused_s += now - self._paused_since
            self._paused_since = None

    def _show(self, snapshot: Snapshot, history: list[tuple[int, float, float]]) -> None:
        elapsed = snapshot.elapsed_s - self._paused_s
        runner = self.runner
        if runner is not None and runner.control.stop_request is None and not runner.control.is_paused:
            self.stage.setText(
                f"<b>{STAGES.get(snapshot.stage, snapshot.stage)}</b>: {in_window_words(snapshot.message)}"
            )
        self.progress.setRange(0, max(snapshot.steps_total, 1))
        self.progress.setValue(min(snapshot.step, snapshot.steps_total))
        left = self._pace.left_s(snapshot.step, snapshot.steps_total, elapsed)
        self.progress.setFormat(f"%p %  ·  {time_text(left)} left" if left else "%p %")
        parts = [f"{len(snapshot.orbitals):,} orbitals".replace(",", "\u202f")]
        finite = np.isfinite(snapshot.r_factor)
        if finite.any():
            parts.append(f"R {100 * float(snapshot.r_factor[finite].mean()):.2f} %")
        parts.append(f"{time_text(elapsed)} so far")
        self.detail.setText("  ·  ".join(parts))
        self.plot.add(history)
        if snapshot.probe is not None:
            self.layers.show_probe(snapshot.probe)
        self.layers.show_atoms(snapshot.orbitals, self._spacing_A)
        if len(snapshot.tilts):
            self.layers.show_calculated(snapshot.tilts, snapshot.calculated)
        self.on_snapshot(snapshot)

    def _end(self, runner: Runner) -> None:
        self._timer.stop()
        outcome = runner.outcome
        self.runner = None
        self.state.running = False
        self.progress.setRange(0, 100)
        if outcome is not None and outcome.result is not None:
            self.layers.show_result(outcome.result, self._spacing_A)
        self.layers.settle_atoms()
        if outcome is None or outcome.failure is not None:
            self._end_in_failure(outcome)
        elif outcome.result is None:
            self._end_without_result(outcome.stop_reason or "cancelled")
        else:
            self._end_with(outcome.result)
        self.on_end(outcome)
        self.update_buttons()

    def _end_in_failure(self, outcome: Outcome | None) -> None:
        sentence = outcome.failure if outcome is not None else None
        self.stage.setText("<b>Stopped by an error</b>")
        self.progress.setValue(0)
        self.progress.setFormat("stopped")
        self.detail.setText(self.state.fail(sentence or "The reconstruction ended without a word."))
        if outcome is not None and outcome.detail is not None:
            _LOG.error("%s", outcome.detail)
        self.ended = DOUBT, f"Run {self.state.runs} was stopped by an error."

    def _end_without_result(self, reason: str) -> None:
        how, why, state = NO_RESULT.get(reason, NO_RESULT["cancelled"])
        self.progress.setValue(0)
        self.progress.setFormat(reason)
        earlier = "" if self.state.result is None else f" Export still has run {self.state.result_run}."
        self.stage.setText(f"<b>{how}</b>: {why}{earlier}")
        self.detail.setText("")
        self.ended = state, f"Run {self.state.runs}: {how[0].lower()}{how[1:]}."

    def _end_with(self, result: Result) -> None:
        self.progress.setValue(100)
        self.progress.setFormat(result.stop_reason)
        # The message begins with how the run ended, in its own words.
        message = in_window_words(result.message)
        how, colon, rest = message.partition(": ")
        said = bool(colon) and how.lower().startswith(result.stop_reason)
        self.stage.setText(f"<b>{how}</b>: {rest}" if said else f"<b>Finished</b>: {message}")
        doubts = [in_window_words(w) for w in result.warnings]
        self.detail.setText("<br>".join(warning(w[:1].upper() + w[1:]) for w in doubts))
        self.detail.setVisible(bool(doubts))
        known = f"{len(result.orbitals)} atoms, {result.stop_reason}"
        self.ended = (DOUBT, f"{known}; see the doubts below.") if doubts else (DONE, f"{known}.")
        self.state.keep(result)

    # -- the end ----------------------------------------------------------------------------------------------

    def shutdown(self) -> bool:
        """Cancel and wait for a run, stop the timer, stop listening; False if the thread would not end."""
        self._timer.stop()
        self.state.series_changed.disconnect(self._on_series)
        self.state.element_changed.disconnect(self._on_element)
        self.state.microscope_changed.disconnect(self.update_buttons)
        stopped = True
        if self.runner is not None:
            stopped = self.runner.stop()
            self.runner = None
            self.state.running = False
        return stopped


REFINE_TIPS = {
    "positions": "Coordinates of every atom.",
    "heights": "Peak height of every atom.",
    "width": "One common width B per species.",
    "center": "One global offset (du, dv) of the rotation centre.",
    "shifts": "A shift (du, dv) of each tilt.",
    "angles": "Three small turns of each tilt.",
    "scale": "A brightness factor of each tilt.",
    "background": "A constant background of each tilt.",
    "defocus": "The focal plane of the probe.",
    "probe": "The shape of an adaptive probe.",
}
