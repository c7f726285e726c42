"""How a run is doing: its stage, time left, number of orbitals and R-factor, and the convergence plot."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_lot.gui.broken_off import did_not_end
from napari_lot.gui.forms.sentence import Sentence
from napari_lot.gui.forms.widgets import Bar
from napari_lot.gui.forms.words import in_window_words
from napari_lot.gui.live import Pace, time_text
from napari_lot.gui.look import warning
from napari_lot.gui.panels.run.words import STAGES
from napari_lot.gui.plots.basic import ConvergencePlot
from napari_lot.gui.state import History
from napari_lot.job import Control, Result, Snapshot

PAUSED = "%p %  ·  paused"
DONE_BY_HAND = {"delete": "deleted", "add": "added", "move": "moved"}


class ProgressView(QWidget):
    """Follows one run at a time; hidden before there is one."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._pace = Pace()
        self._paused_s = 0.0
        self._paused_since: float | None = None
        self._told: list[str] = []
        self._elapsed_s, self._since = 0.0, time.monotonic()
        self.stage = Sentence("stage")
        self.bar = Bar()
        self.bar.setObjectName("progress")
        self.bar.setTextVisible(True)
        self.bar.setMinimumHeight(20)
        self.detail = Sentence("detail")
        self.plot = ConvergencePlot()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self.stage, self.bar, self.detail, self.plot):
            layout.addWidget(widget)
        self.hide()

    def begin(self) -> None:
        """A run starts."""
        self.plot.clear()
        self._pace, self._paused_s, self._paused_since = Pace(), 0.0, None
        self.show()
        self.stage.setText(
            "<b>Starting</b>: finding the object and its background (a first run compiles its kernels, too)"
        )
        self._told, self._elapsed_s, self._since = [], 0.0, time.monotonic()
        self.tick(None)
        self.detail.show()
        self.bar.show()
        self.bar.setRange(0, 0)

    def say(self, headline: str) -> None:
        """Show a sentence about a run that did not go on here."""
        self.stage.setText(headline)
        self.bar.hide()
        self.detail.hide()
        self.show()

    def count_pause(self, control: Control) -> bool:
        """Leave pauses out of the time; True when one has just begun."""
        now = time.monotonic()
        if control.is_paused and self._paused_since is None:
            self._paused_since = now
            self.stage.setText("<b>Paused</b>")
            self.bar.setFormat(PAUSED)
            return True
        if not control.is_paused and self._paused_since is not None:
            self._paused_s += now - self._paused_since
            self._paused_since = None
        return False

    def follow(self, snapshot: Snapshot, history: list[tuple[int, float, float]], control: Control | None) -> None:
        """Show where the run is."""
        elapsed = snapshot.elapsed_s - self._paused_s
        if control is not None and control.stop_request is None and not control.is_paused:
            self.stage.setText(
                f"<b>{STAGES.get(snapshot.stage, snapshot.stage)}</b>: {in_window_words(snapshot.message)}"
            )
        self.bar.setRange(0, max(snapshot.steps_total, 1))
        self.bar.setValue(min(snapshot.step, snapshot.steps_total))
        left = self._pace.left_s(snapshot.step, snapshot.steps_total, elapsed)
        if control is not None and control.is_paused:
            self.bar.setFormat(PAUSED)
        else:
            self.bar.setFormat(in_words(snapshot, left))
        parts = [f"{len(snapshot.orbitals):,} orbitals".replace(",", "\u202f")]
        finite = np.isfinite(snapshot.r_factor)
        if finite.any():
            parts.append(f"R {100 * float(snapshot.r_factor[finite].mean()):.2f} %")
        self._told, self._elapsed_s, self._since = parts, elapsed, time.monotonic()
        self.tick(control)
        self.plot.add(history)

    def tick(self, control: Control | None) -> None:
        """Tell how long the run has gone on, also while it has nothing new to show."""
        waited = 0.0 if control is not None and control.is_paused else time.monotonic() - self._since
        text = "  ·  ".join([*self._told, f"{time_text(self._elapsed_s + waited)} so far"])
        if text != self.detail.text():
            self.detail.setText(text)

    def end(self, headline: str, bar: str, detail: str = "", done: bool = False) -> None:
        """The run is over."""
        self.bar.setRange(0, 100)
        self.bar.setValue(100 if done else 0)
        self.bar.setFormat(bar)
        self.stage.setText(headline)
        self.detail.setText(detail)

    def show_run(self, result: Result, history: History) -> list[str]:
        """What a run has left, and how it went; returns its caveats."""
        self.plot.clear()
        self.plot.add(list(history))
        self.bar.show()
        self.show()
        # The message begins with how the run ended, in its own words.
        message = in_window_words(result.message)
        how, colon, rest = message.partition(": ")
        said = bool(colon) and how.lower().startswith(result.stop_reason)
        caveats = [in_window_words(w) for w in result.warnings]
        lines = "<br>".join(warning(w[:1].upper() + w[1:]) for w in caveats)
        headline = f"<b>{how}</b>: {rest}" if said else f"<b>Finished</b>: {message}"
        self.end(headline + _changes(result), result.stop_reason, lines, done=not did_not_end(result))
        self.detail.setVisible(bool(caveats))
        return caveats


def in_words(snapshot: Snapshot, left_s: float | None) -> str:
    """The bar's text. What is planned is the most that a run may take: it ends as soon as it has converged."""
    if snapshot.step + 1 >= snapshot.steps_total > 1 and snapshot.stage != "finished":
        return "more passes than were planned"
    return f"%p %  ·  at most {time_text(left_s)} left" if left_s else "%p %"


def changes_since(decisions: Sequence[Mapping[str, Any]]) -> str:
    """Decisions about the atoms of a result in a few words: '1 atom deleted, 2 added'; '' where none changed any."""
    what = [decision["what"] for decision in decisions]
    counts = [(what.count(verb), done) for verb, done in DONE_BY_HAND.items() if verb in what]
    if not counts:
        return ""
    (n, done), *more = counts
    return ", ".join([f"{n} {'atom' if n == 1 else 'atoms'} {done}", *(f"{n} {done}" for n, done in more)])


def _changes(result: Result) -> str:
    """What the run's own last words do not know yet: what somebody has decided about its atoms since."""
    changes = changes_since(result.details.get("decisions", ()))
    if not changes:
        return ""
    fitted = result.agreement()
    r = "" if fitted is None else f", R {100 * fitted[0]:.2f} %"
    return f" Since then {changes} by hand: now {len(result.orbitals)} atoms{r}."
