"""One run from series to result: prepare, start, reconstruct, report. What ``Job.run`` does."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_lot.atoms import Orbitals
from napari_lot.code_mark import code_mark
from napari_lot.edit import Candidates, Edit, Held
from napari_lot.errors import InputError, RunFailed
from napari_lot.job import Control, ProbeSlices, Result, Snapshot
from napari_lot.lot.candidates import find_candidates
from napari_lot.lot.device.memory import lost
from napari_lot.lot.distributed import Ranks, here
from napari_lot.lot.fitting import GRID_STAGES, Progress, Stopped
from napari_lot.lot.handedness import Handedness
from napari_lot.lot.outcome import orbitals_of, outcome
from napari_lot.lot.prepare import Prepared, prepare
from napari_lot.lot.problem import State
from napari_lot.lot.reconstruct import Reconstruction
from napari_lot.lot.shown import EVERYWHERE, shown
from napari_lot.lot.torch_threads import one_torch_thread
from napari_lot.result import Checkpoint

if TYPE_CHECKING:
    from napari_lot.job import Job

SNAPSHOT_INTERVAL_S = 0.15
"""Least time between snapshots: more are never looked at, and each copies the orbitals."""
LARGEST_SHARE, SLOWEST_INTERVAL_S = 0.01, 0.3
"""Part of the time that may go into snapshots; but as many as this come however dear they are."""
LONGEST_PREPARATION_S = 20.0
REASONS = (None, "finish", "cancel", "time limit")
"""Why a run is stopped, in an order that processes that share it may tell one another."""
STOP_REASONS = {"finish": "finished early", "cancel": "cancelled"}


def run_job(job: Job, control: Control, before: Mapping[str, float] | None = None) -> Iterator[Snapshot]:
    """Generator behind ``Job.run``. ``before`` are seconds by stage that the run has taken already.

    Torch works on one thread meanwhile: the tilts are shared out over the model's own threads, and OpenMP threads that
    wait for work by spinning take the cores from them (5 times slower on a busy machine).
    """
    try:
        with one_torch_thread():
            yield from _run(job, control, before or {})
    except RuntimeError as error:
        if not lost(error):
            raise
        raise RunFailed(
            f"The device of the run failed ({str(error).strip().splitlines()[0]}): take --device cpu, or start the "
            "program anew; what was saved of the run can be gone on with."
        ) from error


def check_alike(job: Job, ranks: Ranks) -> None:
    """See that all processes that share a run were given the same one.

    Raises
    ------
    InputError
        They were not: what is not the same.
    """
    if ranks.size == 1:
        return
    series, start, own = job.series, job.start, {"device", "threads", "device_memory_gb"}
    images = [series.images, series.angles_deg, series.mask, series.rotations]
    facts = (series.pixel_size_A, series.center_px, series.tilt_axis_deg, series.counts, series.excluded)
    atoms = [] if start is None else [start.positions, start.height, start.width, start.species]
    differing = ranks.differing(
        {
            "tilt series": b"".join(
                [*(np.ascontiguousarray(a).tobytes() for a in images if a is not None), repr(facts).encode()]
            ),
            "settings": job.settings.model_dump_json(exclude={"solver": own, "output": True}).encode(),
            "starting atoms": b"".join(np.ascontiguousarray(a).tobytes() for a in atoms),
            "program": code_mark().encode(),
        }
    )
    if differing:
        raise InputError(
            f"The processes of this run do not have the same {' and '.join(differing)}: give all of them one command, "
            "and all nodes the same files and version."
        )


def _run(job: Job, control: Control, before: Mapping[str, float]) -> Iterator[Snapshot]:
    seconds = {stage: spent for stage, spent in before.items() if stage != "paused"}
    earlier = sum(seconds.values())
    limit = job.settings.solver.max_minutes
    paused = before.get("paused", 0.0)
    ranks = here()
    check_alike(job, ranks)

    def clock() -> float:
        """Stands still in pauses, as the time of a run does."""
        return time.perf_counter() - paused

    began = clock() - earlier

    solver: Reconstruction | None = None

    def end_where_asked() -> None:
        reason = control.stop_request
        if reason is None and limit is not None and clock() - began > 60 * limit:
            reason = "time limit"
        if ranks.size > 1:  # all end alike
            reason = REASONS[int(ranks.agree(REASONS.index(reason)))]
        if reason is not None:
            raise Stopped(reason)

    def poll() -> None:
        nonlocal paused
        if control.pause_requested:
            mark = time.perf_counter()
            if solver is None:
                control.wait_while_paused()
            else:
                control.wait_while_paused(held(job, ready, solver), partial(_search, solver, control, ready))
            paused += time.perf_counter() - mark
        end_where_asked()

    def poll_early() -> None:
        # whoever wants what there is gets a first guess, unless already the grid takes longer than anybody waits
        late = control.stop_request == "cancel" or clock() - began - earlier > LONGEST_PREPARATION_S
        if ranks.agree(late):
            poll()

    try:
        ready = prepare(job, poll_early)
    except Stopped as stop:  # there is nothing to show yet
        job.stop_reason = STOP_REASONS.get(str(stop), str(stop))
        return
    seconds["prepare"] = clock() - began - earlier
    live = _Live(job, ready, began)
    message = (
        f"{len(ready.state.height)} orbitals inside the hull of the object, {ready.object}; {ready.likelihood.words}"
        f"{ready.where}"
    )
    yield live.snapshot("prepare", 0, 1, ready.state, message, probe=ready.probe)

    solver = Reconstruction(
        ready.problem,
        ready.state,
        ready.hull,
        job.spacing_A,
        job.settings.solver,
        job.settings.model.elements,
        job.settings.model.probe == "adaptive",
        poll,
        control.take_edit,
        clock,
    )
    if job.checkpoint is not None:
        solver.go_on_from(job.checkpoint)
    live.solver = solver
    hands = Handedness(solver, solver.adaptive)
    reason, converged = "converged", False
    reached: Checkpoint | None = None
    try:
        if job.start is None:
            for progress in solver.condense():
                yield from live.after(progress, solver.whole)
        for progress in solver.to_atoms():
            yield from live.after(progress, solver.whole)
            if not progress.stepped:  # in the midst of a pass, where nothing else asks
                end_where_asked()
        converged = True
        for progress in hands.compare():
            yield from live.after(progress, solver.whole)
    except Stopped as stop:
        reason = STOP_REASONS.get(str(stop), str(stop))
    job.stop_reason = reason
    if reason not in ("converged", "cancelled"):
        reached = solver.reached()
        solver.settle()
        if (edit := control.take_edit()) is not None:
            reached = None  # which knows nothing of the edit
            # what was edited during the last pause is a part of what there is: fitted as long as a person waits
            solver.take(edit)
            solver.fit_briefly()
    if reason == "cancelled" or (reason != "converged" and not len(solver.state.height)):
        why = "Cancelled" if reason == "cancelled" else "Ended before there was an atom"
        last = live.snapshot("finished", solver.step, solver.step, solver.state, f"{why}; no result was kept.")
        ready.problem.model.close()
        yield last
        return
    seconds |= solver.seconds
    if paused:
        seconds["paused"] = paused
    # what the stages took before a run went on is in their seconds, and so in the total
    before_that = 0.0 if job.checkpoint is None else sum(job.checkpoint.words["plain"].get("seconds", {}).values())
    job.result = outcome(job, ready, solver, hands, reason, seconds, began - before_that, converged, reached)
    ready.problem.model.close()
    live.everything(job.result)
    yield live.snapshot("finished", solver.step, solver.step, solver.state, job.result.message)


STILL_A_GRID = "several orbitals still stand for one atom: resume, and pause again when the stage is Refining or later."
OTHER_WORK = "the run is at work that needs the atoms as they are: resume, and pause again a little later."


def held(job: Job, ready: Prepared, solver: Reconstruction) -> Held:
    """What a paused run shows: its exact state, and how its atoms appear on the measured images."""
    state, problem, series = solver.whole, ready.problem, job.series
    expected = series.center_px or ready.center
    offset = np.array([ready.center[1] - expected[1], ready.center[0] - expected[0]]) + state.shifts
    rotations = problem.projections(state)
    least, most = problem.model.depth_range_A
    # as far as births go beyond what the run began with
    least, most = least - 2.0 * job.spacing_A, most + 2.0 * job.spacing_A

    def usable(points: NDArray[np.float64]) -> NDArray[np.bool_]:
        depth = points @ rotations[:, 2].T
        seen, _ = ready.hull.seen_and_missed(points)
        return np.asarray((seen > 0) & ((depth >= least) & (depth <= most)).all(1))

    refusal = ""
    if not solver.editable:
        refusal = STILL_A_GRID if solver.stage in GRID_STAGES else OTHER_WORK
    return Held(orbitals_of(job, ready, state), rotations, offset * series.pixel_size_A, usable, refusal)


def _search(solver: Reconstruction, control: Control, ready: Prepared, edit: Edit) -> Candidates:
    """Where the images ask for atoms while the run is paused, with heights in their unit."""
    found = find_candidates(solver, edit, wanted=lambda: control.pause_requested)
    return replace(found, height=ready.unit * found.height)


class _Live:
    """Turns solver progress into snapshots at a bearable rate; keeps the newest calculated image of each tilt."""

    def __init__(self, job: Job, ready: Prepared, began: float) -> None:
        self.job, self.ready, self.began = job, ready, began
        self.r = np.full(len(job.series), np.nan)
        self.fresh: dict[int, NDArray[np.float32]] = {}
        self.last = 0.0
        self.cost, self.drawn = 0.0, 0.0
        self.stage = ""
        self.loss = np.nan
        self.result: Result | None = None
        self.solver: Reconstruction | None = None
        # The same object while a pass goes on: who shows it sees that no atom has changed.
        self._of: tuple[State, Orbitals] | None = None

    def after(self, progress: Progress, state: State) -> Iterator[Snapshot]:
        for j, image in zip(progress.tilts, progress.calculated, strict=True):
            self.fresh[int(j)] = image
        now = time.perf_counter()
        apart = max(SNAPSHOT_INTERVAL_S, min(self.cost / LARGEST_SHARE, SLOWEST_INTERVAL_S))
        if progress.stage == self.stage and now - self.last < apart:
            return
        self.last, self.stage = now, progress.stage
        if progress.stepped:
            self.loss = progress.loss / max(progress.pixels, progress.calculated.size, 1)
        worked, self.drawn = time.thread_time(), 0.0
        if progress.stepped or self._of is None or self._of[0] is not state:
            self._of = state, orbitals_of(self.job, self.ready, state)
        snapshot = self.snapshot(
            progress.stage, progress.step, progress.steps_total, state, STAGES[progress.stage], atoms=self._of[1]
        )
        self.cost = time.thread_time() - worked + self.drawn
        yield snapshot

    def everything(self, result: Result) -> None:
        """Make all tilts of a result part of the next snapshot."""
        self.r, self.result = result.r_factor.copy(), result

    def snapshot(
        self,
        stage: str,
        step: int,
        total: int,
        state: State,
        message: str,
        probe: ProbeSlices | None = None,
        atoms: Orbitals | None = None,
    ) -> Snapshot:
        tilts, calculated = self._new_images(state)
        return Snapshot(
            stage=stage,
            step=step,
            steps_total=max(total, 1),
            orbitals=orbitals_of(self.job, self.ready, state) if atoms is None else atoms,
            loss=float(self.loss),
            r_factor=self.r.copy(),
            tilts=tilts,
            calculated=calculated,
            probe=probe,
            elapsed_s=time.perf_counter() - self.began,
            message=message,
            checkpoint=None if self.solver is None else self.solver.checkpoint,
        )

    def _new_images(self, state: State) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Tilts that are new since the last snapshot, and their images in the unit of the series."""
        ready, fresh = self.ready, self.fresh
        self.fresh = {}
        if self.result is not None:  # with withheld tilts, too
            return np.arange(len(self.r)), self.result.calculated
        tilts = np.array(sorted(fresh), np.int64)
        images = np.empty((len(tilts), *self.job.series.images.shape[1:]), np.float32)
        observed, weights = ready.problem.observed.numpy(), ready.problem.weights
        model = ready.problem.model

        def draw(k: int) -> float:
            began, j = time.thread_time(), int(tilts[k])
            counting = EVERYWHERE if weights is None else weights[j].numpy()
            calculated = np.ascontiguousarray(fresh[j], np.float32)
            self.r[j] = shown(
                observed[j], calculated, counting, float(state.background[j]), ready.unit, ready.zero, images[k]
            )
            return time.thread_time() - began

        # the fit stands still meanwhile, so its threads are free
        drawn = sum(model.run(draw, len(tilts)))
        self.drawn = drawn / model.threads if model.threads > 1 else 0.0  # one thread is this one
        return tilts, images


STAGES = {
    "heights": "Heights of the grid of orbitals",
    "positions": "Orbitals move to where the images want them",
    "merge": "Orbitals of one atom are merged",
    "birth": "Missing atoms are added, false ones removed",
    "species": "Atoms are told apart by their strength",
    "probe": "The images correct the probe",
    "refine": "Final fit of all parameters",
    "polish": "Last digits",
    "handedness": "The other hand is fitted for comparison",
}
