"""The doubt queue behind its panel: which atom is looked at, what is decided, and the thread that computes.

Every task runs in one daemon thread, in order; what it finds comes back through a mailbox that a timer looks into.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from napari_lot.analysis.doubts_queue import Ranking, decision, rank, signed
from napari_lot.gui.state import WorkbenchState
from napari_lot.gui.work.sentences import sentence_of
from napari_lot.job import Result
from napari_lot.lot.local import Change, LocalFit, Patches

_LOG = logging.getLogger(__name__)
POLL_MS = 40
THREAD = "napari-lot doubts"
BY_HAND = "placed by hand"


class Worker:
    """A daemon thread that works off tasks; whatever goes wrong in one comes back as a value."""

    def __init__(self) -> None:
        self._tasks: SimpleQueue[tuple[Callable[[], Any], Callable[[Any], None], str] | None] = SimpleQueue()
        self._mail: deque[tuple[Callable[[Any], None], Any, BaseException | None, str]] = deque()
        self._thread: threading.Thread | None = None
        self.pending = 0

    def do(self, task: Callable[[], Any], then: Callable[[Any], None], what: str) -> None:
        """Run ``task`` in the thread; ``then`` gets what it returns when the mail is read. ``what`` names the task."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=THREAD, daemon=True)
            self._thread.start()
        self.pending += 1
        self._tasks.put((task, then, what))

    def _work(self) -> None:
        while (item := self._tasks.get()) is not None:
            task, then, what = item
            try:
                self._mail.append((then, task(), None, what))
            except BaseException as error:
                self._mail.append((then, None, error, what))

    def read(self, failed: Callable[[BaseException, str], None]) -> None:
        """Hand over what has come, on the caller's thread; what failed with the name of its task."""
        while self._mail:
            then, value, error, what = self._mail.popleft()
            self.pending -= 1
            if error is not None:
                failed(error, what)
            else:
                then(value)

    def stop(self, timeout_s: float = 10.0) -> None:
        """End the thread after the task it is at; what waits behind it is not begun."""
        thread, self._thread = self._thread, None
        if thread is not None:
            with suppress(Empty):
                while True:
                    self._tasks.get_nowait()
            self._tasks.put(None)
            thread.join(timeout_s)


@dataclass(frozen=True)
class Shown:
    """The atom that is looked at; ``deletion`` comes a moment after the rest."""

    atom: int
    row: int
    why: str
    patches: Patches
    deletion: Change | None = None


class DoubtQueue(QObject):
    """Walks the atoms of the state's result from the most doubtful on, and changes that result.

    ``changed`` tells that there is something else to show; ``decided`` brings a result that the state is about to take.
    ``on_screen`` tells whether the layers show the state's result.
    """

    changed = Signal()
    decided = Signal(object)

    def __init__(self, state: WorkbenchState, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.state = state
        self.worker = Worker()
        self.on_screen: Callable[[], bool] = lambda: True
        self.fit: LocalFit | None = None
        self.queue: Ranking | None = None
        self.shown: Shown | None = None
        self.decisions: list[dict[str, Any]] = []
        self.doing = ""
        self.said = ""
        self._seen: set[int] = set()
        self._misfit: dict[int, float] = {}
        self._result: Result | None = None
        self._generation = 0
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self._poll)
        state.result_changed.connect(self._on_result)
        state.running_changed.connect(self._on_running)

    def shutdown(self) -> None:
        """Stop the thread, the timer and all listening."""
        self.state.result_changed.disconnect(self._on_result)
        self.state.running_changed.disconnect(self._on_running)
        self._timer.stop()
        self.worker.stop()
        self._forget()

    def _forget(self) -> None:
        self._generation += 1
        if self.fit is not None:
            self.fit.close()
        self.fit, self.queue, self.shown, self._result = None, None, None, None
        self.decisions, self.doing, self.said = [], "", ""
        self._seen, self._misfit = set(), {}

    def _on_result(self) -> None:
        if self.state.result is not self._result:  # of another run, or none
            self._forget()
        self.changed.emit()

    def _on_running(self) -> None:
        self.changed.emit()

    # -- what can be done -------------------------------------------------------------------------------------

    @property
    def needs(self) -> str | None:
        """Why there is nothing to look at, None where there is."""
        if self.state.running:
            return "a reconstruction is running"
        if self.state.result is None or not len(self.state.result.orbitals):
            return "needs a finished reconstruction (step 3)"
        if not self.on_screen():
            return f"run {self.state.result_run} is not on screen: show it again (step 4)"
        return None

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

    def _start(self, doing: str, task: Callable[[], Any], then: Callable[[Any], None], quiet: bool = False) -> None:
        generation = self._generation

        def finished(value: Any) -> None:
            if generation == self._generation:
                if not quiet:
                    self.doing = ""
                then(value)

        if not quiet:
            self.doing = doing
        self.worker.do(task, finished, doing)
        self._timer.start()
        if not quiet:
            self.changed.emit()

    def _poll(self) -> None:
        self.worker.read(self._failed)
        if not self.worker.pending:
            self._timer.stop()

    def _failed(self, error: BaseException, what: str) -> None:
        self.doing = ""
        sentence, detail = sentence_of(error, what)
        if detail is not None:
            _LOG.error("%s\n%s", sentence, detail)
        self.said = self.state.fail(sentence)
        self.changed.emit()

    # -- walking ----------------------------------------------------------------------------------------------

    def next(self) -> None:
        """Show the next doubtful atom; the first time the result is prepared for that."""
        if self.needs is not None or self.busy:
            return
        if self.fit is None:
            self._prepare()
        else:
            self._step()

    def _prepare(self) -> None:
        series, result = self.state.series, self.state.result
        if series is None or result is None:
            return
        self._result = result
        self.decisions = list(result.details.get("decisions", ()))

        def build() -> tuple[LocalFit, dict[int, float], Ranking]:
            fit = LocalFit(series, result)
            misfit = dict(zip(result.orbitals.id.tolist(), fit.misfit().tolist(), strict=True))
            return fit, misfit, _ranked(fit, result, misfit)

        def built(found: tuple[LocalFit, dict[int, float], Ranking]) -> None:
            self.fit, self._misfit, self.queue = found
            self._step()

        self._start("Looking for doubtful atoms", build, built)

    def _step(self) -> None:
        queue = self.queue
        left = [] if queue is None else np.flatnonzero(~np.isin(queue.atoms, list(self._seen)))
        if queue is None or not len(left):
            self.said = "That was the last atom: all have been looked at."
            self.changed.emit()
        else:
            self.look_at(int(queue.atoms[left[0]]), queue.tell(int(left[0])))

    def look_at(self, atom: int, why: str = "") -> None:
        """Show one atom."""
        fit = self.fit
        if fit is None:
            return
        self._seen.add(atom)

        def patches() -> Shown:
            return Shown(atom, fit.table.index(atom), why, fit.patches(fit.position(atom)))

        def show(found: Shown) -> None:
            self.shown = found
            self._try_deletion(found)
            self.changed.emit()

        self._start(f"Showing atom {atom}", patches, show)

    def _try_deletion(self, shown: Shown) -> None:
        """What the images would say of the atom's absence: known before anybody decides."""
        fit = self.fit
        assert fit is not None

        def task() -> Change | None:
            wanted = self.shown is shown and not self.busy
            return fit.delete(shown.atom) if wanted else None

        def then(change: Change | None) -> None:
            if change is not None and self.shown is shown:
                self.shown = Shown(shown.atom, shown.row, shown.why, shown.patches, change)
                self.changed.emit()

        self._start(f"Looking what deleting atom {shown.atom} costs", task, then, quiet=True)

    # -- deciding ---------------------------------------------------------------------------------------------

    def keep(self) -> None:
        """The shown atom stays; on to the next."""
        if (shown := self._ready()) is not None:
            self._decide(lambda fit: fit.keep(shown.atom), shown, "Keeping", advance=True)

    def delete(self) -> None:
        """The shown atom goes; on to the next."""
        if (shown := self._ready()) is not None:
            self._decide(lambda fit: shown.deletion or fit.delete(shown.atom), shown, "Deleting", advance=True)

    def move(self, position_A: Any) -> None:
        """The shown atom goes to a place, and is fitted from there."""
        if (shown := self._ready()) is not None:
            self._decide(lambda fit: fit.move(shown.atom, position_A), shown, "Moving")

    def add(self, position_A: Any | None = None) -> None:
        """An atom at a place, or where the residual around the shown one wants it most."""
        if (shown := self._ready()) is None:
            return
        why = [BY_HAND]

        def task(fit: LocalFit) -> Change:
            place = position_A
            if place is None:
                place, significance = fit.strongest_residual(fit.position(shown.atom))
                why[0] = f"residual of {significance:.3g} standard deviations"
            return fit.add(place)

        self._decide(task, shown, "Adding an atom beside", why=why)

    def undo(self) -> None:
        """Take the last decision back, and show its atom."""
        fit = self.fit
        if fit is None or self.busy or not fit.done:
            return
        shown = self.shown
        decisions, misfit = self.decisions[:-1], self._misfit

        def task() -> tuple[Change, Result, Ranking]:
            change = fit.undo()
            result = fit.changed_result(decisions=decisions)
            return change, result, _ranked(fit, result, misfit)

        def then(found: tuple[Change, Result, Ranking]) -> None:
            change, result, self.queue = found
            self.decisions = decisions
            self.said = f"Undone: {change.what} atom {change.atom}."
            self._take(result)
            if change.what != "add":
                atom = change.atom
            elif shown is not None and shown.atom != change.atom:
                atom = shown.atom
            else:  # the new atom was shown: back to the nearest
                atom = int(fit.table.columns["ids"][fit.tree.query(change.position_A)[1]])
            self.look_at(atom, self.queue.why(atom))

        self._start("Undoing the last decision", task, then)

    def _ready(self) -> Shown | None:
        return None if self.fit is None or self.busy or self.needs is not None else self.shown

    def _decide(
        self,
        tried: Callable[[LocalFit], Change],
        shown: Shown,
        doing: str,
        advance: bool = False,
        why: list[str] | None = None,
    ) -> None:
        fit = self.fit
        assert fit is not None
        decisions, misfit = self.decisions, self._misfit

        def task() -> tuple[Change, Result, list[dict[str, Any]], Ranking]:
            element = fit.result.orbitals.elements[int(fit.table.columns["species"][fit.table.index(shown.atom)])]
            change = tried(fit)
            fit.apply(change)
            more: dict[str, Any] = {"refitted": change.refitted}
            if change.what == "move":
                more["moved_A"] = round(change.moved_A, 4)
            if change.what == "keep" and shown.deletion is not None:
                more["gain_of_deleting"] = round(shown.deletion.gain, 3)
            if change.what == "add":
                element = fit.result.orbitals.elements[
                    int(change.after["species"][change.after["ids"] == change.atom][0])
                ]
            now = datetime.now(UTC).isoformat(timespec="seconds")
            reason = why[0] if why else shown.why
            made = decision(change.what, change.atom, element, change.position_A, change.gain, reason, now, **more)
            log = [*decisions, made]
            result = fit.changed_result(decisions=log)
            return change, result, log, _ranked(fit, result, misfit)

        def then(found: tuple[Change, Result, list[dict[str, Any]], Ranking]) -> None:
            change, result, self.decisions, self.queue = found
            self.said = told(change)
            self._take(result)
            if advance:
                self._step()
            else:
                self.look_at(change.atom, shown.why if change.what == "move" else f"Added: {(why or [''])[0]}.")

        self._start(f"{doing} atom {shown.atom}", task, then)

    def _take(self, result: Result) -> None:
        self._result = result
        self.decided.emit(result)
        self.state.change(result)

    # -- what is known of the shown atom ----------------------------------------------------------------------

    def facts(self) -> str:
        """Element, position, height, error bar and probability of the shown atom, in a few lines."""
        fit, shown, result = self.fit, self.shown, self._result
        if fit is None or shown is None or result is None:
            return ""
        rows = np.flatnonzero(result.orbitals.id == shown.atom)
        if not len(rows):
            return ""
        i, atoms = int(rows[0]), result.orbitals
        x, y, z = atoms.positions[i]
        unit = "counts" if self.state.series is not None and self.state.series.counts else "image units"
        lines = [
            f"{atoms.elements[atoms.species[i]]} at x {x:.2f}, y {y:.2f}, z {z:.2f} Å".replace("-", "−"),
            f"height {atoms.height[i]:.3g} {unit}",
        ]
        if result.sigma_A is not None:
            sx, sy, sz = 100 * result.sigma_A[i]
            lines.append(f"error bars x {sx:.3g}, y {sy:.3g}, z {sz:.3g} pm")
        if result.p_exists is not None:
            lines.append(f"exists with probability {result.p_exists[i]:.3g}")
        return "\n".join(lines)


def _ranked(fit: LocalFit, result: Result, misfit: dict[int, float]) -> Ranking:
    """The order of doubt; the residual around an atom is that of the beginning, around a new one a typical one."""
    typical = float(np.median(list(misfit.values()))) if misfit else 1.0
    values = np.array([misfit.get(i, typical) for i in result.orbitals.id.tolist()])
    return rank(result, fit.spacing_A, values)


def told(change: Change) -> str:
    """A change in a sentence."""
    done = {"keep": "kept", "delete": "deleted", "move": "moved", "add": "added"}[change.what]
    text = f"Atom {change.atom} {done}"
    if change.what == "keep":
        return text + "."
    if change.what == "move":
        text += f" by {100 * change.moved_A:.0f} pm"
    return f"{text}: {gain_text(change.gain)}; {change.refitted} atoms refitted."


def gain_text(gain: float) -> str:
    """What a decision gains or costs."""
    number = signed(abs(gain)).lstrip("+")
    return f"{'gains' if gain >= 0 else 'costs'} {number} in log-likelihood"
