"""Sessions of the workbench: saved, opened again, and autosaved while a run goes on."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer
from scipy.spatial import cKDTree

from napari_lot.atoms import Orbitals
from napari_lot.errors import InputError
from napari_lot.gui.broken_off import BrokenOff, did_not_end, last_state, place
from napari_lot.gui.doubts.judging import Made
from napari_lot.gui.forms.section import READY
from napari_lot.gui.live import Outcome
from napari_lot.gui.panels.data.reading import name_of_file
from napari_lot.gui.panels.run.go_on import NOTHING_TO_SHOW
from napari_lot.gui.panels.run.panel import FALLBACK_SPACING_A
from napari_lot.gui.preferences import preferences
from napari_lot.gui.state import History, history_of, rows_of
from napari_lot.job import Result, Snapshot, expected_spacing_A
from napari_lot.session import Autosave, Session, read_session
from napari_lot.session.going_on import exact
from napari_lot.session.leftovers import give_up, left_behind, new_autosave
from napari_lot.settings import Settings

if TYPE_CHECKING:
    from napari_lot.gui.workbench import Workbench

_LOG = logging.getLogger(__name__)
DECIDED_MS = 1000
"""Decisions are written when none has followed for this long."""


class Sessions:
    """What the workbench keeps on disk of a run, and how it comes back."""

    def __init__(self, bench: Workbench) -> None:
        self.bench = bench
        self.autosave: Autosave | None = None
        # the autosave of an earlier window that is open here: it goes when it is saved elsewhere
        self._adopted: Path | None = None
        self._told = False
        # of the runs of this series that have ended, by their number
        self._of_run: dict[int, Autosave] = {}
        self._made: list[Path] = []
        # of runs that did not end, by their number: they are saved as what they are
        self._broken_off: dict[int, Session] = {}
        # what runs were given to begin with, by their number
        self._starts: dict[int, Orbitals | None] = {}
        self._decided: tuple[int, Result, History] | None = None
        self._timer = QTimer(bench)
        self._timer.setSingleShot(True)
        self._timer.setInterval(DECIDED_MS)
        self._timer.timeout.connect(self._keep_decisions)
        bench.recovery.on_open = self.open
        bench.recovery.offer(left_behind())
        bench.state.running_changed.connect(self._on_running)
        bench.state.series_changed.connect(self._on_series)
        bench.doubts.queue.decided.connect(self._on_decided)
        bench.run.on_end = self._on_end

    def keep_last(self) -> None:
        """The window goes: the last atoms of a run that goes on stay for the next window, with what was edited.

        And so do decisions that were taken just now.
        """
        bench = self.bench
        self._keep_decisions()
        if self.autosave is not None and bench.state.fitting:
            edit = bench.run.edit
            edited = None
            if edit.changed:
                try:
                    edited = numbered(bench.layers.editor.atoms())
                except InputError as error:  # a layer without ids is no edit
                    _LOG.warning("%s", error)
            self.autosave.keep_last(edited)

    def shutdown(self) -> None:
        """Stop listening; the autosave of a run that nobody has saved stays for the next window."""
        self.bench.state.running_changed.disconnect(self._on_running)
        self.bench.state.series_changed.disconnect(self._on_series)
        self._timer.stop()
        for autosave in {self.autosave, *self._of_run.values()} - {None}:
            autosave.wait()
        for path in self._made:
            give_up(path)

    def _new_autosave(self) -> Path:
        path = new_autosave()
        self._made.append(path)
        return path

    # -- a session of now -------------------------------------------------------------------------------------

    def session(self) -> Session:
        """What there is now: series, settings, result, history, and what is looked at."""
        bench = self.bench
        series, result = bench.state.series, bench.state.result
        assert series is not None
        assert result is not None
        layers = bench.layers
        unfinished = self._broken_off.get(bench.state.result_run) if did_not_end(result) else None
        return Session(
            series=series,
            settings=result.settings,
            result=result if unfinished is None else None,
            state=None if unfinished is None else unfinished.state,
            start=self._starts.get(bench.state.result_run),
            history=rows_of(bench.state.history),
            notes=result.by_hand,
            view={"view": layers.view, "tilt": layers.tilt, "color_by": layers.atoms.color_by},
        )

    def on_saved(self, kind: str, path: Path) -> None:
        """The result is on disk where the person wants it: no autosave has to keep it."""
        from napari_lot.gui.saving import EVERYTHING, SESSION

        if kind not in (EVERYTHING, SESSION):
            return
        self.bench.run.go_on.is_kept_in(path)
        autosave = self._of_run.pop(self.bench.state.result_run, None)
        if autosave is not None:
            self._decided = None
            autosave.remove()
        if autosave is self.autosave:
            self.autosave = None
        if self._adopted is not None:
            self.bench.recovery.handled(self._adopted)
            self._adopted = None

    # -- while a run goes on ----------------------------------------------------------------------------------

    def _on_running(self) -> None:
        run, state = self.bench.run, self.bench.state
        interval_s = preferences().autosave_s
        if not state.fitting or state.series is None or run.runner is None:
            return
        settings = getattr(run.runner.job, "settings", None)
        start = self._starts[state.runs] = getattr(run.runner.job, "start", None)
        if self.autosave is not None and state.result is None:
            self.autosave.remove()
        self.autosave = None  # that of an earlier run is of that run
        if interval_s is None or not isinstance(settings, Settings):
            return
        self._told = False
        begun = Session(state.series, settings, start=start, history=rows_of(run.plot.history))
        self.autosave = Autosave(self._new_autosave(), begun, interval_s)
        self._of_run[state.runs] = self.autosave

    def _on_series(self) -> None:
        """The runs of another series are others; what nobody has saved of them stays on disk."""
        self._keep_decisions()
        self._of_run, self._broken_off, self._starts = {}, {}, {}

    def add(self, snapshot: Snapshot) -> None:
        """The run is here now."""
        if self.autosave is None or not self.bench.state.running:
            return
        self.autosave.add(snapshot)
        if self.autosave.failure is not None and not self._told:
            self._tell_failure(self.autosave)

    def _on_end(self, outcome: Outcome | None) -> None:
        autosave = self.autosave
        if outcome is not None and outcome.result is not None:
            run = self.bench.state.runs
            path = Path(f"run {run}") if autosave is None else autosave.path
            self._offer_to_go_on(self.session(), path, run)
        if autosave is None:
            return
        if outcome is not None and outcome.result is not None:
            autosave.finish(outcome.result, outcome.result.by_hand)
        elif outcome is not None and outcome.failure is None:  # cancelled: no result is wanted
            autosave.remove()
            self.autosave = None
            self._of_run.pop(self.bench.state.runs, None)

    # -- after a run ------------------------------------------------------------------------------------------

    def _on_decided(self, made: Made) -> None:
        """A person has decided about an atom: it is on disk a moment later, with all that was decided by then."""
        self._decided = self.bench.state.result_run, made.result, self.bench.state.history
        self._timer.start()

    def _keep_decisions(self) -> None:
        self._timer.stop()
        decided, self._decided = self._decided, None
        state, interval_s = self.bench.state, preferences().autosave_s
        if decided is None or interval_s is None:
            return
        run, result, history = decided
        autosave = self._of_run.get(run)
        if autosave is None:  # it was opened from a file, or saved before
            if state.series is None:
                return
            begun = Session(state.series, result.settings, history=rows_of(history))
            autosave = self._of_run[run] = Autosave(self._new_autosave(), begun, interval_s)
        elif autosave.failure is not None and not self._told:
            self._tell_failure(autosave)
        autosave.finish(result, result.by_hand)

    def _tell_failure(self, autosave: Autosave) -> None:
        self._told = True
        self.bench.state.fail(autosave.complaint)

    # -- opened again -----------------------------------------------------------------------------------------

    def open(self, path: Path) -> None:
        """Read a session in a thread, then show it."""
        bench = self.bench
        if bench.state.running:
            bench.state.fail(f"{path}: not while a reconstruction is running: let it end first.")
            return
        name = name_of_file(path)
        if not bench.data.may_open(name):
            return
        task = bench.data.task
        begun = task.start(
            f"Opening {name}",
            lambda progress: read_session(path, progress),
            lambda session: self._show(session, path),
            bench.state.fail,
        )
        if not begun:
            bench.state.fail(f"{path}: not while something else is read ({task.what}): wait for it, or cancel it.")

    def _show(self, session: Session, path: Path) -> Iterator[None]:
        """Series, settings, atoms and views as they were, in turns between which the window answers."""
        bench, settings = self.bench, session.settings
        state = bench.state
        if path in left_behind():
            self._adopted = path
        bench.layers.remove_results()
        yield
        bench.data.adopt(path, session.series, settings.data)
        lens = settings.microscope
        elements = [element for element in settings.model.elements if element != "X"]
        state.take_facts(lens, ", ".join(elements) or None, alone=True)
        bench.run.form.take_session(settings)
        try:
            spacing_A = expected_spacing_A(settings.model)
        except InputError:
            spacing_A = spacing_of(session.orbitals)
            state.fail(
                f"{path}: its settings give neither an element nor a distance between atoms; what else is in it is "
                "shown. Give one of the two under 'Reconstruct' before you start a run."
            )
        bench.run.plot.clear()
        history = history_of(session.history)
        if history:
            bench.run.plot.add(history)
        yield
        if session.result is not None:
            yield from self._show_result(session.result, spacing_A, history)
            self._starts[state.result_run] = session.start
            if path != self._adopted:
                state.is_saved(state.result_run)
            self._offer_to_go_on(session, path, state.result_run)
        elif session.state is not None:
            yield from self._show_state(session, path, spacing_A, history)
            self._offer_to_go_on(session, path, NOTHING_TO_SHOW if session.atoms is None else state.result_run)
        yield
        self._show_view(session.view)
        for name in ("data", "probe"):
            bench.sections[name].close_up()
        bench.sections["inspect" if session.orbitals is not None else "run"].open()
        bench.run.update_buttons()
        bench.update_views()

    def _show_result(self, result: Result, spacing_A: float, history: History) -> Iterator[None]:
        bench = self.bench
        bench.state.runs += 1
        yield from bench.layers.show_result_in_turns(result, spacing_A, turn=False)
        yield
        bench.state.keep(result, history)
        bench.run.table.add(result, spacing_A)

    def _show_state(self, session: Session, path: Path, spacing_A: float, history: History) -> Iterator[None]:
        """The last state of a run that did not end."""
        bench, state, result = self.bench, session.state, last_state(session)
        assert state is not None
        if result is None:
            bench.layers.show_atoms(state.orbitals, spacing_A)
            bench.layers.settle_atoms()
            at = place(state)
            on = "Go on with it, below, or Start, which begins anew." if exact(session) else "Start begins anew."
            bench.run.progress.say(
                f"<b>Broken off</b> at {at}: its {len(state.orbitals)} orbitals had not become atoms yet. {on}"
            )
            bench.run.ended = READY, f"A run that was broken off at {at}. Ready to start."
            return
        bench.state.runs += 1
        self._broken_off[bench.state.runs] = session
        self._starts[bench.state.runs] = session.start
        yield from bench.layers.show_result_in_turns(result, spacing_A, turn=False)
        yield
        bench.run.keep_broken_off(result, history, spacing_A)
        if path != self._adopted:
            bench.state.is_saved(bench.state.result_run)

    def _offer_to_go_on(self, session: Session, path: Path, number: int) -> None:
        run, series = self.bench.run, self.bench.state.series
        result = session.result
        ended = result is not None and not result.ended_early
        if series is None or ended or (session.atoms is None and exact(session) is None):
            return
        if result is not None:  # its images are those of the run, and may make room
            none = np.zeros((0, 0, 0), np.float32)
            session = replace(session, result=replace(result, calculated=none, residual=none))
        try:
            said = run.form.settings()
        except InputError:  # what it says cannot be used, and so be what the run was begun with
            said = None
        run.go_on.offer(BrokenOff(session, path, series, said), number)

    def _show_view(self, view: dict[str, Any]) -> None:
        layers = self.bench.layers
        color_by = view.get("color_by")
        if color_by and layers.atoms.result is not None:
            layers.color_atoms(color_by)
            self.bench.inspect.take_over_colors()
        chosen = view.get("view") or "atoms"
        if layers.available(chosen) is None:
            layers.look_at(chosen)
        if "tilt" in view:
            layers.set_tilt(int(view["tilt"]))


def spacing_of(atoms: Orbitals | None) -> float:
    """Distance of neighbours in Å, the median of those that there are; only for how large atoms are drawn."""
    if atoms is None or len(atoms) < 2:
        return FALLBACK_SPACING_A
    nearest = cKDTree(atoms.positions).query(atoms.positions, k=2)[0][:, 1]
    return float(np.median(nearest)) or FALLBACK_SPACING_A


def numbered(atoms: Orbitals) -> Orbitals:
    """Atoms of which those that a person has added have an id of their own, and the commonest element."""
    new = atoms.id < 0
    ids, species = atoms.id.copy(), atoms.species.copy()
    ids[new] = atoms.id.max(initial=-1) + 1 + np.arange(int(new.sum()))
    known = species[species >= 0]
    species[species < 0] = np.bincount(known).argmax() if len(known) else 0
    return replace(atoms, id=ids, species=species)
