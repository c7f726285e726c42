"""The walk through doubtful atoms: which one is looked at, and what is decided about it.

All that is computed runs in one thread, in order; the window is told when there is something else to show.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_lot.analysis.doubts_queue import BY_HAND, Ranking, asked_by_residual
from napari_lot.gui.broken_off import did_not_end
from napari_lot.gui.doubts.judging import Judging, Made, Trial
from napari_lot.gui.doubts.words import facts, told
from napari_lot.gui.state import WorkbenchState
from napari_lot.gui.work.in_order import InOrder
from napari_lot.gui.work.sentences import explained
from napari_lot.job import Result
from napari_lot.lot.local import Change, LocalFit, NothingMissing, Patches

THREAD = "napari-lot doubts"
DOUBTS = "doubts"
NONE_DOUBTFUL = "no atom is doubtful; this is the least certain"
NOT_DOUBTFUL = "not doubtful"
DOUBTFUL_SEEN = "All doubtful atoms have been looked at"
ALL_SEEN = "All atoms have been looked at"


@dataclass(frozen=True)
class Shown:
    """The atom that is looked at; the ``deletion`` that is tried comes a moment after the rest.

    ``price`` is what an atom must gain in log-likelihood, ``beyond`` why it is looked at though it is not doubtful.
    """

    atom: int
    why: str
    patches: Patches
    trial: Trial
    price: float
    beyond: str = ""
    deletion: Change | None = None


class DoubtQueue(QObject):
    """Walks the atoms of the state's result from the most doubtful on, and changes that result.

    ``changed`` tells that there is something else to show, ``prepared`` that the atoms of a result have been
    ranked; ``decided`` brings what was made of a result (``Made``)
    before the state takes it. ``on_screen`` tells whether the layers show the state's result.
    """

    changed = Signal()
    prepared = Signal()
    decided = Signal(object)

    def __init__(self, state: WorkbenchState, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.state = state
        self.worker = InOrder(THREAD, self)
        self.on_screen: Callable[[], bool] = lambda: True
        self.judging: Judging | None = None
        self.queue: Ranking | None = None
        self.shown: Shown | None = None
        self.decisions: list[dict[str, Any]] = []
        self.doing = ""
        self.said = ""
        self.ended = ""
        """What has been looked at, '' while there is an atom to show."""
        self._beyond = False
        self._seen: set[int] = set()
        self._deleting: Trial | None = None
        self._result: Result | None = None
        self._generation = 0
        state.result_changed.connect(self._on_result)
        state.running_changed.connect(self._on_running)

    def shutdown(self) -> None:
        """Stop the thread and all listening."""
        self.state.result_changed.disconnect(self._on_result)
        self.state.running_changed.disconnect(self._on_running)
        judging = self.judging
        self._forget()  # a trial ends at once
        self.worker.shutdown()
        if judging is not None:
            judging.close()

    def _forget(self) -> None:
        self._generation += 1
        if self.judging is not None:
            self.worker.do(self.judging.close)  # after what may be under way with it
        self.judging, self.queue, self.shown, self._result, self._deleting = None, None, None, None, None
        self.decisions, self.doing, self.said, self.ended = [], "", "", ""
        self._seen, self._beyond = set(), False

    def _on_result(self) -> None:
        if self.state.result is not self._result:  # of another run, or none
            self._forget()
        self.changed.emit()

    def _on_running(self) -> None:
        self.changed.emit()

    # -- what can be done -------------------------------------------------------------------------------------

    @property
    def fit(self) -> LocalFit | None:
        """The engine of the decisions, None before the first atom is shown."""
        return None if self.judging is None else self.judging.fit

    @property
    def needs(self) -> str | None:
        """Why there is nothing to look at, None where there is."""
        if self.state.running:
            return "a reconstruction is running"
        if self.state.result is None or not len(self.state.result.orbitals):
            return "needs a finished reconstruction (step 3)"
        if did_not_end(self.state.result):
            return f"run {self.state.result_run} did not end: go on with it first (step 3)"
        if not self.on_screen():
            return f"run {self.state.result_run} is not on screen: show it again (step 4)"
        return None

    def ranking_of(self, result: Result) -> Ranking | None:
        """The ranking of a result's atoms, residuals included; None before these have been looked at."""
        return self.queue if result is self._result else None

    @property
    def busy(self) -> bool:
        """Whether a decision or the next atom is being worked out."""
        return bool(self.doing)

    @property
    def left(self) -> int:
        """How many atoms of the queue are worth a look and have not been looked at."""
        if self.queue is None:
            return 0
        return int((~np.isin(self.queue.atoms[self.queue.scores >= 1.0], list(self._seen))).sum())

    def facts(self) -> str:
        """Element, position, height, error bar and probability of the shown atom, in a few lines."""
        if self.shown is None or self._result is None:
            return ""
        counts = self.state.series is not None and self.state.series.counts
        return facts(self._result, self.shown.atom, "counts" if counts else "image units")

    def _start(self, doing: str, task: Callable[[], Any], then: Callable[[Any], None], *, quiet: bool = False) -> None:
        """Work something out; what is ``quiet`` goes on beside the person, and is named only where it fails."""
        generation = self._generation

        def finished(value: Any) -> None:
            if generation == self._generation:
                if not quiet:
                    self.doing = ""
                    self.state.succeed(DOUBTS)
                then(value)

        def failed(error: BaseException) -> None:
            if generation == self._generation:
                self.doing, self._deleting = "", None
                if isinstance(error, NothingMissing):  # what somebody asked is answered: nothing has failed
                    self.state.succeed(DOUBTS)
                    self.said = str(error)
                    self.changed.emit()
                    return
                self.said = self.state.fail(explained(error, doing), DOUBTS)
                self.changed.emit()

        self.worker.do(task, finished, failed)
        if not quiet:
            self.doing = doing
            self.changed.emit()

    # -- walking ----------------------------------------------------------------------------------------------

    def next(self) -> None:
        """Show the next doubtful atom; the first time the result is prepared for that."""
        if self.needs is not None or self.busy:
            return
        if self.judging is None:
            self._prepare()
        else:
            self._step()

    def _prepare(self) -> None:
        series, result = self.state.series, self.state.result
        if series is None or result is None:
            return
        self._result = result

        def built(judging: Judging) -> None:
            self.judging, self.queue, self.decisions = judging, judging.ranking, judging.log
            self.prepared.emit()
            self._step()

        self._start("Looking for doubtful atoms", lambda: Judging(series, result), built)

    def _step(self) -> None:
        queue = self.queue
        left = [] if queue is None else np.flatnonzero(~np.isin(queue.atoms, list(self._seen)))
        if queue is None or not len(left):
            self._end(ALL_SEEN)
            return
        doubtful = queue.scores[left[0]] >= 1.0
        if not doubtful and self._seen and not self._beyond:
            self._end(DOUBTFUL_SEEN)
            self._beyond = True
            return
        beyond = "" if doubtful else NOT_DOUBTFUL if self._seen else NONE_DOUBTFUL
        self._beyond = not doubtful
        self.look_at(int(queue.atoms[left[0]]), queue.tell(int(left[0])), beyond)

    def _end(self, ended: str) -> None:
        self.shown, self.ended = None, ended
        self.changed.emit()

    def look_at(self, atom: int, why: str = "", beyond: str = "") -> None:
        """Show one atom, and try what the images would say of its absence: known before anybody decides."""
        fit = self.fit
        if fit is None:
            return
        self._seen.add(atom)
        self.ended = ""

        def show(found: tuple[Patches, float]) -> None:
            trial = Trial(atom, lambda: self._wants(trial))
            shown = self.shown = Shown(atom, why, found[0], trial, found[1], beyond)

            def tried(deletion: Change | None) -> None:
                if deletion is not None and self.shown is shown:
                    self.shown = replace(shown, deletion=deletion)
                    self.changed.emit()

            self._start(f"Looking what deleting atom {atom} costs", lambda: trial.run(fit), tried, quiet=True)
            self.changed.emit()

        self._start(f"Showing atom {atom}", lambda: (fit.patches(fit.position(atom)), fit.price(atom)), show)

    def _wants(self, trial: Trial) -> bool:
        """Whether somebody waits for a trial: its atom is shown, and nothing else was decided about it."""
        return self._deleting is trial or (self.shown is not None and self.shown.trial is trial and not self.busy)

    # -- deciding ---------------------------------------------------------------------------------------------

    def keep(self) -> None:
        """The shown atom stays; on to the next."""
        if (shown := self._ready()) is not None:
            self._decide(lambda fit: (fit.keep(shown.atom), shown.why), shown, "Keeping", self._go_on)

    def delete(self) -> None:
        """The shown atom goes; on to the next. A trial that is under way is waited for, not begun again."""
        if (shown := self._ready()) is None:
            return
        self._deleting = shown.trial

        def task(fit: LocalFit) -> tuple[Change, str]:
            return shown.trial.run(fit) or fit.delete(shown.atom), shown.why

        self._decide(task, shown, "Deleting", self._go_on)

    def move(self, position_A: Any) -> None:
        """The shown atom goes to a place, and is fitted from there."""
        if (shown := self._ready()) is not None:
            self._decide(lambda fit: (fit.move(shown.atom, position_A), shown.why), shown, "Moving", self._stay)

    def add(self, position_A: Any | None = None) -> None:
        """An atom at a place, or the one around the shown one that is worth most to the images."""
        if (shown := self._ready()) is None:
            return

        def task(fit: LocalFit) -> tuple[Change, str]:
            if position_A is not None:
                return fit.add(position_A), BY_HAND
            change, significance = fit.missing(fit.position(shown.atom))
            return change, asked_by_residual(significance)

        self._decide(task, shown, "Adding an atom beside", self._stay)

    def undo(self) -> None:
        """Take the last decision back, and show its atom."""
        judging, shown = self.judging, self.shown
        if judging is None or self.busy or not judging.fit.done:
            return

        def then(made: Made) -> None:
            change, fit = made.change, judging.fit
            self._take(made)
            self.said = f"Undone: {change.what} atom {change.atom}."
            if change.what != "add":
                atom = change.atom
            elif shown is not None and shown.atom != change.atom:
                atom = shown.atom
            else:  # the new atom was shown: back to the nearest
                atom = int(fit.table.columns["ids"][fit.tree.query(change.position_A)[1]])
            self._beyond = False
            self.look_at(atom, made.ranking.why(atom), "" if made.ranking.doubtful(atom) else NOT_DOUBTFUL)

        self._start("Undoing the last decision", judging.undo, then)

    def _ready(self) -> Shown | None:
        return None if self.judging is None or self.busy or self.needs is not None else self.shown

    def _decide(
        self,
        tried: Callable[[LocalFit], tuple[Change, str]],
        shown: Shown,
        doing: str,
        go: Callable[[Shown, Made], None],
    ) -> None:
        judging = self.judging
        assert judging is not None

        def then(made: Made) -> None:
            self._deleting = None
            self.said = told(made.change)
            if made.change.nothing:
                self.changed.emit()
                return
            self._take(made)
            go(shown, made)

        self._start(f"{doing} atom {shown.atom}", lambda: judging.decide(shown.atom, tried, shown.trial), then)

    def _go_on(self, shown: Shown, made: Made) -> None:
        self._step()

    def _stay(self, shown: Shown, made: Made) -> None:
        why = shown.why if made.change.what == "move" else f"Added: {made.reason}."
        self.look_at(made.change.atom, why)

    def _take(self, made: Made) -> None:
        self._result, self.queue, self.decisions = made.result, made.ranking, made.log
        self.decided.emit(made)
        self.state.change(made.result)
