"""One run from series to result: prepare, start, reconstruct, report. What ``Job.run`` does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from napari_lot.analysis.damage import check_damage
from napari_lot.atoms import Orbitals
from napari_lot.errors import InputError
from napari_lot.job import Control, ProbeSlices, Result, Snapshot
from napari_lot.lot import gauge, likelihood, start
from napari_lot.lot.doubts import agreement, doubts
from napari_lot.lot.fitting import Progress, Stopped, refined_groups
from napari_lot.lot.given import start_heights
from napari_lot.lot.handedness import Handedness
from napari_lot.lot.image_model import ImageModel
from napari_lot.lot.precision import error_bars
from napari_lot.lot.problem import Problem, State
from napari_lot.lot.reconstruct import Reconstruction
from napari_lot.lot.thickness import film_thickness
from napari_lot.lot.withheld import correlation, parted, predicted
from napari_lot.physics.geometry import series_rotations
from napari_lot.physics.orbital import orbital
from napari_lot.physics.probe import probe_slices
from napari_lot.series.detector import Choice, choose_likelihood
from napari_lot.series.prepare import units_of_fit

if TYPE_CHECKING:
    from napari_lot.job import Job

Floats = NDArray[np.float64]
SNAPSHOT_INTERVAL_S = 0.15
"""Least time between snapshots: more are never looked at, and each copies the orbitals."""
LONGEST_PREPARATION_S = 20.0
STOP_REASONS = {"finish": "finished early", "cancel": "cancelled"}
ERROR_BAR_REACH = 1.6
"""Expected nearest-neighbour distances up to which atoms count as neighbours for the error bars."""
NOT_CALIBRATED = (
    "the images were denoised, so that their noise is not known: the error bars say how consistent the images are with "
    "the model, and are not calibrated."
)
PROBE_SLICES = 41
PROBE_EXTENT_PX = 64


@dataclass
class _Prepared:
    problem: Problem
    state: State
    hull: start.Hull
    unit: float
    zero: float
    probe: ProbeSlices
    center: tuple[float, float]
    thickness_A: float | None
    likelihood: Choice

    @property
    def object(self) -> str:
        """What the field shows, in words."""
        if self.hull.isolated:
            return "a particle that lies within the field at every tilt"
        known = "" if self.thickness_A is None else f" of {self.thickness_A:.0f} Å thickness"
        return f"a film{known} that leaves the field"


def run_job(job: Job, control: Control) -> Iterator[Snapshot]:
    """Generator behind ``Job.run``.

    Torch works on one thread meanwhile: the tilts are shared out over the model's own threads, and OpenMP threads that
    wait for work by spinning take the cores from them (5 times slower on a busy machine).
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield from _run(job, control)
    finally:
        torch.set_num_threads(before)


def _run(job: Job, control: Control) -> Iterator[Snapshot]:
    began = time.perf_counter()
    seconds: dict[str, float] = {}
    limit = job.settings.solver.max_minutes
    paused = 0.0

    def poll() -> None:
        nonlocal paused
        if control.pause_requested:
            mark = time.perf_counter()
            control.wait_while_paused()
            paused += time.perf_counter() - mark
        if control.stop_request is not None:
            raise Stopped(control.stop_request)
        if limit is not None and time.perf_counter() - began - paused > 60 * limit:
            raise Stopped("time limit")

    def poll_early() -> None:
        # whoever wants what there is gets a first guess, unless already the grid takes longer than anybody waits
        if control.stop_request == "cancel" or time.perf_counter() - began > LONGEST_PREPARATION_S:
            poll()

    try:
        ready = _prepare(job, poll_early)
    except Stopped as stop:  # there is nothing to show yet
        job.stop_reason = STOP_REASONS.get(str(stop), str(stop))
        return
    seconds["prepare"] = time.perf_counter() - began
    live = _Live(job, ready, began)
    message = (
        f"{len(ready.state.height)} orbitals inside the hull of the object, {ready.object}; {ready.likelihood.words}"
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
    )
    hands = Handedness(solver, solver.adaptive)
    reason = "converged"
    try:
        if job.start is None:
            for progress in solver.condense():
                yield from live.after(progress, solver.state)
        for progress in solver.to_atoms():
            yield from live.after(progress, solver.state)
        for progress in hands.compare():
            yield from live.after(progress, solver.state)
    except Stopped as stop:
        reason = STOP_REASONS.get(str(stop), str(stop))
    job.stop_reason = reason
    if reason not in ("converged", "cancelled"):
        solver.settle()
    if reason == "cancelled" or (reason != "converged" and not len(solver.state.height)):
        ready.problem.model.close()
        why = "Cancelled" if reason == "cancelled" else "Ended before there was an atom"
        yield live.snapshot("finished", solver.step, solver.step, solver.state, f"{why}; no result was kept.")
        return
    seconds |= solver.seconds
    mark = time.perf_counter()
    job.result = _result(job, ready, solver, hands, reason, seconds, mark, began)
    ready.problem.model.close()
    live.everything(job.result)
    yield live.snapshot("finished", solver.step, solver.step, solver.state, job.result.message)


class _Live:
    """Turns solver progress into snapshots at a bearable rate; keeps the newest calculated image of each tilt."""

    def __init__(self, job: Job, ready: _Prepared, began: float) -> None:
        self.job, self.ready, self.began = job, ready, began
        tilts = len(job.series)
        self.r = np.full(tilts, np.nan)
        self.fresh: dict[int, NDArray[np.float32]] = {}
        self.last = 0.0
        self.stage = ""
        self.loss = np.nan
        self.final = False

    def after(self, progress: Progress, state: State) -> Iterator[Snapshot]:
        for j, image in zip(progress.tilts, progress.calculated, strict=True):
            self.fresh[int(j)] = image
        now = time.perf_counter()
        if progress.stage == self.stage and now - self.last < SNAPSHOT_INTERVAL_S:
            return
        self.last, self.stage = now, progress.stage
        self.loss = progress.loss / max(progress.calculated.size, 1)
        yield self.snapshot(progress.stage, progress.step, progress.steps_total, state, STAGES[progress.stage])

    def everything(self, result: Result) -> None:
        """Make all tilts of a result part of the next snapshot."""
        self.r, self.final = result.r_factor.copy(), True
        self.fresh = {j: (image - self.ready.zero) / self.ready.unit for j, image in enumerate(result.calculated)}

    def snapshot(
        self, stage: str, step: int, total: int, state: State, message: str, probe: ProbeSlices | None = None
    ) -> Snapshot:
        ready, tilts = self.ready, np.array(sorted(self.fresh), np.int64)
        shape = self.job.series.images.shape[1:]
        calculated = np.stack([self.fresh[int(j)] for j in tilts]) if len(tilts) else np.zeros((0, *shape), np.float32)
        if len(tilts) and not self.final:  # the result's hold withheld tilts, too
            observed = ready.problem.observed[tilts].numpy()
            mask = None if ready.problem.weights is None else ready.problem.weights[tilts].numpy() > 0
            self.r[tilts] = likelihood.r_factor(observed, calculated, state.background[tilts], mask)
        self.fresh = {}
        return Snapshot(
            stage=stage,
            step=step,
            steps_total=max(total, 1),
            orbitals=_orbitals(self.job, ready, state),
            loss=float(self.loss),
            r_factor=self.r.copy(),
            tilts=tilts,
            calculated=(calculated * np.float32(ready.unit) + np.float32(ready.zero)).astype(np.float32),
            probe=probe,
            elapsed_s=time.perf_counter() - self.began,
            message=message,
        )


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


def _prepare(job: Job, poll: Callable[[], None] = lambda: None) -> _Prepared:
    series, settings = job.series, job.settings
    if series.pixel_size_A > 0.6 * job.spacing_A:
        raise InputError(
            f"{series.source}: pixels of {series.pixel_size_A:g} Å cannot show atoms {job.spacing_A:.3g} Å apart: "
            "check the pixel size (--pixel-size, in Å; 100 pm are 1 Å) and the element or spacing."
        )
    choice = choose_likelihood(series, settings)
    zero, unit = units_of_fit(job.fitted, choice)
    everything = ((series.images - np.float32(zero)) / np.float32(unit)).astype(np.float32)
    usable, mask = series.usable, job.fitted.usable
    if usable is not None:
        everything = np.where(usable, everything, 0).astype(np.float32)
    # what is withheld has no part in anything but its prediction at the end
    observed = everything if mask is None else np.where(mask, everything, 0).astype(np.float32)
    rotations = series_rotations(series)
    level = start.levels(observed, mask)
    if not start.shows_anything(observed, mask, level):
        raise InputError(
            f"{series.source}: no atoms in the field: most images show nothing brighter than their noise; "
            "check the images and the mask."
        )
    assert series.center_px is not None
    center = settings.data.center_px or series.center_px
    shifts = np.zeros((len(series), 2))
    drift = 0.5 * job.spacing_A / series.pixel_size_A
    aligned = start.find_alignment(observed, mask, rotations, center, level, drift)
    refined = refined_groups(settings.solver, isolated=aligned is not None)
    if aligned is not None and "shifts" in refined:
        shifts = aligned.shifts_px
    known = settings.data.center_px is not None or series.center_known
    if aligned is not None and "center" in refined and not known:
        center = aligned.center_px
    hull = start.make_hull(observed, mask, rotations, series.pixel_size_A, center, job.spacing_A, level)
    microscope = None if settings.model.probe == "direct" else settings.microscope
    low, high = start.box(observed.shape[1:], rotations, series.pixel_size_A, center, hull.least_seen)
    thickness = settings.data.thickness_A
    if settings.data.thickness_A is not None:
        low[2], high[2] = -0.5 * settings.data.thickness_A, 0.5 * settings.data.thickness_A
    elif not hull.isolated and job.start is None:
        slab = film_thickness(observed, mask, rotations, series.pixel_size_A, center, high[2] - low[2])
        if slab is not None:
            thickness = slab[0]
            # a film thins out rather than ends: the slab of equal coherence, widened by half its thickness on each side
            low[2], high[2] = max(low[2], slab[1] - slab[0]), min(high[2], slab[1] + slab[0])
    if job.start is None:
        points = start.grid(hull, low, high, settings.start.grid_spacing * job.spacing_A, poll=poll)
    else:
        points = job.start.positions.copy()
    if len(points) == 0:
        raise InputError(
            f"{series.source}: no atoms in the field: no point is brighter than the background in all tilts; "
            "check the images, the angles, the mask and the rotation centre."
        )
    depth = np.einsum("tj,nj->tn", rotations[:, 2], points)
    margin = 2.0 + 3.0 * (settings.solver.tilt_defocus_A or 0.0)
    reach = (float(depth.min()) - margin, float(depth.max()) + margin)
    width = settings.start.width_A if job.start is None else float(np.median(job.start.width))
    model = ImageModel(
        rotations,
        (observed.shape[1], observed.shape[2]),
        series.pixel_size_A,
        center,
        microscope,
        reach,
        width,
        tolerance=settings.model.depth_tolerance,
        threads=settings.solver.threads,
        orbital=orbital(settings.model.orbital),
    )
    weights = None if mask is None else mask.astype(np.float32)
    if (job.tilt_weights != 1).any():
        every = np.ones(observed.shape, np.float32) if weights is None else weights
        weights = every * job.tilt_weights.astype(np.float32)[:, None, None]
    n, t = len(points), len(series)
    species, ids = np.zeros(n, np.int64), np.arange(n)
    if job.start is None:
        height = np.full(n, 1e-3 * level.bright)
    else:
        height = start_heights(model, observed, mask, level.background, job.start, width)
        species, ids = job.start.species.copy(), job.start.id.copy()
    state = State(
        positions=points,
        height=height,
        width=np.full(1 if settings.solver.widths == "common" else int(species.max()) + 1, width),
        species=species,
        ids=ids,
        shifts=shifts,
        scale=np.ones(t),
        background=np.full(t, level.background),
        distortion=np.zeros((t if settings.solver.distortion == "tilt" else 1, 4)),
        next_id=int(ids.max()) + 1,
    )
    far = max(abs(edge) for edge in reach)
    slices = probe_slices(
        microscope, np.linspace(-far, far, PROBE_SLICES), PROBE_EXTENT_PX, min(0.2, series.pixel_size_A)
    )
    problem = Problem(model, everything, weights, choice.kind)
    return _Prepared(problem, state, hull, unit, zero, slices, center, thickness, choice)


def _orbitals(job: Job, ready: _Prepared, state: State) -> Orbitals:
    return Orbitals(
        positions=state.positions.copy(),
        height=state.height * ready.unit,
        width=state.widths,
        species=state.species.copy(),
        elements=job.settings.model.elements,
        id=state.ids.copy(),
    )


def _fitted_probe(before: ProbeSlices, model: ImageModel) -> ProbeSlices:
    """The probe slices of a fitted model: its aberrations and its kernel."""
    if model.microscope is None:
        return before
    slices = probe_slices(model.microscope, before.depth_A, before.images.shape[-1], before.pixel_size_A)
    correction = model.correction
    if correction is None or not correction.kernels.any():
        return slices
    # the kernel is known up to the finest detail that the measured pixels show
    n = correction.kernels.shape[-1] // 2
    step = np.arange(-n, n + 1) * model.image_pixel_A
    q = np.fft.fftfreq(slices.images.shape[-1], slices.pixel_size_A)
    turn = np.exp(-2j * np.pi * q[:, None] * step)
    shown = np.abs(q) < 0.5 / model.image_pixel_A
    # beyond the depths of the atoms nothing is known of it
    t = np.clip(slices.depth_A / correction.depth_scale_A, -1.0, 1.0)
    kernels = np.einsum("pd,pvu->dvu", t[None] ** np.arange(len(correction.kernels))[:, None], correction.kernels)
    factor = 1.0 + np.where(shown[:, None] & shown, turn @ kernels @ turn.T, 0.0)
    images = np.fft.ifft2(np.fft.fft2(slices.images) * factor).real
    images /= images.sum((1, 2), keepdims=True)
    return replace(slices, images=images.astype(np.float32))


def _refined(solver: Reconstruction) -> list[str]:
    """What the fit was free to move."""
    found = solver.refine if solver.adaptive else solver.refine - {"probe"}
    others = {
        "distortion": "distortion" in solver.geometry(),
        "tilt_defocus": bool(solver.state.focus.any()),
        "own_widths": "own_width" in solver.shape() and "width" in found,
        "orbital_shape": bool(solver.state.learnt.any()),
    }
    return sorted(found | {name for name, so in others.items() if so})


def _attenuation(model: ImageModel) -> list[list[float]] | None:
    """(depth in Å, factor) of an adaptive probe's attenuation; None where there is none."""
    correction = model.correction
    if correction is None or not correction.attenuation.any():
        return None
    depth = np.linspace(-1.0, 1.0, 9) * correction.depth_scale_A
    return np.column_stack([depth, correction.factor(depth)]).round(5).tolist()


def _result(
    job: Job,
    ready: _Prepared,
    solver: Reconstruction,
    hands: Handedness,
    reason: str,
    seconds: dict[str, float],
    mark: float,
    began: float,
) -> Result:
    state, problem, series, settings = solver.state, ready.problem, job.series, job.settings
    n = len(state.height)
    mask = series.usable
    mean = gauge.split_shifts(problem, state)[1] if "center" in solver.refine else np.zeros(2)
    if job.withheld:
        reach = 2.0 * job.spacing_A / series.pixel_size_A
        state = solver.state = predicted(problem, state, job.withheld, mask, mean, reach)
    calculated = np.concatenate([problem.evaluate(state, [j], ()).calculated for j in range(len(problem))])
    observed = problem.observed.numpy()
    r = likelihood.r_factor(observed, calculated, state.background, mask)
    use = ready.hull.silhouettes if mask is None else ready.hull.silhouettes & mask
    blurred = agreement(observed, calculated, use, 0.5 * job.spacing_A / series.pixel_size_A)[problem.fitted]
    agree = float(np.nanmean(blurred)) if np.isfinite(blurred).any() else 0.0
    precision = None
    if n and solver.condensed and settings.solver.error_bars != "none":
        precision = error_bars(
            problem,
            state,
            calculated,
            ready.hull.silhouettes,
            ERROR_BAR_REACH * job.spacing_A,
            settings.solver.error_bars == "joint",
        )
    damage = check_damage(series, ready.likelihood.detector, settings.data.denoised)
    images = (calculated * np.float32(ready.unit) + np.float32(ready.zero)).astype(np.float32)
    seen, _ = ready.hull.seen_and_missed(state.positions)
    seconds = dict(seconds)
    seconds["result"] = time.perf_counter() - mark
    seconds["total"] = time.perf_counter() - began
    how = {"converged": "Converged", "finished early": "Finished early", "time limit": "Time limit reached"}.get(
        reason, reason
    )
    result = Result(
        orbitals=_orbitals(job, ready, state),
        r_factor=r,
        calculated=images,
        residual=series.images - images,
        center_px=(ready.center[0] + float(mean[1]), ready.center[1] + float(mean[0])),
        shifts_px=state.shifts - mean,
        scale=state.scale.copy(),
        background=state.background * ready.unit + ready.zero,
        sigma_A=None if precision is None else precision.position_A,
        p_exists=None if precision is None else solver.evidence.existence(state, precision.height),
        p_element=solver.p_element,
        angles_deg=np.rad2deg(state.angles),
        probe=_fitted_probe(ready.probe, problem.model),
        probe_before=ready.probe,
        tilts_seen=seen,
        wall_seconds=seconds,
        stop_reason=reason,
        message="",
        settings=job.settings,
        correlation=correlation(observed, calculated, mask),
        withheld=job.withheld,
        details={
            "width_A": state.width.tolist(),
            "log": list(solver.log),
            "rank": problem.model.rank,
            "attenuation": _attenuation(problem.model),
            "tilt_defocus_A": state.focus.tolist() if state.focus.any() else None,
            "distortion": state.distortion.tolist() if settings.solver.distortion != "none" else None,
            "learnt_orbital": state.learnt.tolist() if state.learnt.any() else None,
            "refined": _refined(solver),
            "microscope": None if problem.model.microscope is None else problem.model.microscope.model_dump(),
            "object": "particle" if ready.hull.isolated else "film",
            "thickness_A": ready.thickness_A,
            "threads": problem.model.threads,
            "agreement": agree,
            "error_bar_inflation": None if precision is None else precision.inflation,
            "likelihood": {"kind": ready.likelihood.kind, "why": ready.likelihood.why},
            "damage": damage.as_dict(),
            "handedness": hands.as_dict(),
            "mixture": None if solver.mixture is None else solver.mixture.as_dict(solver.elements, ready.unit),
        },
    )
    fitted, withheld = result.agreement(), result.agreement(withheld=True)
    known = [f"{n} atoms", f"R {100 * fitted[0]:.2f} %" if fitted else "no R"]
    warnings = list(doubts(agree, state.positions, job.spacing_A))
    if precision is not None and settings.data.denoised:
        warnings.append(NOT_CALIBRATED)
    if damage.changed:
        warnings.append(damage.verdict)
    if not solver.condensed:
        warnings.append("the run ended before the orbitals had become atoms: the atoms are a first guess.")
    if withheld is not None:
        known.append(f"withheld R {100 * withheld[0]:.2f} % and correlation {withheld[1]:.3f}")
        warnings += [text] if fitted and (text := parted(fitted[0], withheld[0])) else []
    warnings += hands.other
    message = " ".join([f"{how}: {', '.join(known)}, {seconds['total']:.1f} s.", *hands.sentences])
    return replace(result, message=message, warnings=tuple(warnings))
