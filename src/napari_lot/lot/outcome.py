"""What a fit has found, with all that says how far to trust it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_lot.analysis.damage import check_damage
from napari_lot.atoms import Orbitals
from napari_lot.edit import Edit
from napari_lot.job import ProbeSlices, Result
from napari_lot.lot import gauge, likelihood
from napari_lot.lot.candidates import find_candidates
from napari_lot.lot.caveats import NO_ATOMS_YET, STEPPED_BACK, agreement, caveats, unexplained, unfinished
from napari_lot.lot.correction import ProbeCorrection
from napari_lot.lot.handedness import Handedness
from napari_lot.lot.image_model import ImageModel
from napari_lot.lot.precision import ERROR_BAR_REACH, error_bars
from napari_lot.lot.prepare import Prepared
from napari_lot.lot.problem import State
from napari_lot.lot.reconstruct import Reconstruction
from napari_lot.lot.withheld import correlation, parted, predicted
from napari_lot.physics.probe import probe_slices
from napari_lot.result import Checkpoint

if TYPE_CHECKING:
    from napari_lot.job import Job

NOT_CALIBRATED = (
    "the images were denoised, so that their noise is not known: the error bars say how consistent the images are with "
    "the model, and are not calibrated."
)
ATTENUATION_DEPTHS = 9
MOST_ASKED = 20
APART = ("total", "paused")
"""Of the seconds by stage those that are none of the stages that the total is made of."""
"""Places that the residual asks for which a result names."""


def orbitals_of(job: Job, ready: Prepared, state: State) -> Orbitals:
    """The orbitals of a state in the intensity unit of the images."""
    return state.orbitals(ready.unit, job.settings.model.elements)


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
    known = np.clip(slices.depth_A, -correction.depth_scale_A, correction.depth_scale_A)
    factor = 1.0 + np.where(shown[:, None] & shown, turn @ correction.kernels_at(known) @ turn.T, 0.0)
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


def _attenuation(correction: ProbeCorrection | None) -> list[list[float]] | None:
    """(depth in Å, factor) of an adaptive probe's attenuation; None where there is none."""
    if correction is None or not correction.attenuation.any():
        return None
    depth = np.linspace(-1.0, 1.0, ATTENUATION_DEPTHS) * correction.depth_scale_A
    return np.column_stack([depth, correction.factor(depth)]).round(5).tolist()


def _asked_for(solver: Reconstruction, reason: str) -> list[list[float]]:
    """Places x, y, z in Å, with their significance, where the images ask for atoms that somebody took away.

    Nothing is born there, so that it is to be said; elsewhere a run that has converged has left none.
    """
    if reason != "converged" or not len(solver.by_hand.closed):
        return []
    found = find_candidates(solver, Edit())
    table = np.column_stack([found.positions, found.significance])[:MOST_ASKED]
    return [[round(float(value), 3) for value in row] for row in table]


def outcome(
    job: Job,
    ready: Prepared,
    solver: Reconstruction,
    hands: Handedness,
    reason: str,
    seconds: dict[str, float],
    began: float,
    converged: bool,
    checkpoint: Checkpoint | None,
) -> Result:
    """The result of a run that has ended for a ``reason``; ``began`` is when, by the clock of the solver.

    ``converged`` tells whether the fit came to its end, also where what followed it did not; ``checkpoint`` is where it
    would go on that has not.
    """
    mark = solver.clock()
    asked = _asked_for(solver, reason)
    state, problem, series, settings = solver.state, ready.problem, job.series, job.settings
    device = problem.model.device
    n = len(state.height)
    mask = series.usable
    mean = gauge.split_shifts(problem, state)[1] if "center" in solver.refine else np.zeros(2)
    if job.withheld:
        reach = 2.0 * job.spacing_A / series.pixel_size_A
        state = solver.state = predicted(problem, state, job.withheld, mask, mean, reach)
    calculated = problem.evaluate(state, np.arange(len(problem)), ()).calculated
    observed = problem.observed.numpy()
    r = likelihood.r_factor(observed, calculated, state.background, mask)
    use = ready.hull.silhouettes if mask is None else ready.hull.silhouettes & mask
    blurred = agreement(observed, calculated, use, 0.5 * job.spacing_A / series.pixel_size_A)[problem.fitted]
    agree = float(np.nanmean(blurred)) if np.isfinite(blurred).any() else 0.0
    tilts = problem.fitted
    left_over = unexplained(observed[tilts], calculated[tilts], state.background[tilts], use[tilts])
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
    seconds["result"] = solver.clock() - mark
    seconds["total"] = solver.clock() - began
    # births, deaths and what is decided between passes; snapshots for who looks at the run
    seconds["between"] = max(0.0, seconds["total"] - sum(s for name, s in seconds.items() if name not in APART))
    how = {"converged": "Converged", "finished early": "Finished early", "time limit": "Time limit reached"}.get(
        reason, reason
    )
    result = Result(
        orbitals=orbitals_of(job, ready, state),
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
        checkpoint=checkpoint,
        details={
            "width_A": state.width.tolist(),
            "log": list(solver.log),
            "rank": problem.model.rank,
            "next_id": state.next_id,
            "depth_range_A": list(problem.model.depth_range_A),
            "oversampling": problem.model.canvas.oversampling,
            "probe_correction": None if problem.model.correction is None else problem.model.correction.as_dict(),
            "attenuation": _attenuation(problem.model.correction),
            "tilt_defocus_A": state.focus.tolist() if state.focus.any() else None,
            "distortion": state.distortion.tolist() if settings.solver.distortion != "none" else None,
            "learnt_orbital": state.learnt.tolist() if state.learnt.any() else None,
            "refined": _refined(solver),
            "microscope": None if problem.model.microscope is None else problem.model.microscope.model_dump(),
            "microscope_sigma_A": solver.lens_sigma_A or None,
            "object": "particle" if ready.hull.isolated else "film",
            "thickness_A": ready.thickness_A,
            "threads": problem.model.threads,
            "processes": problem.model.ranks.size,
            "device": "cpu" if device is None else device.name,
            "device_name": None if device is None else device.words,
            "agreement": agree,
            "unexplained": left_over,
            "error_bar_inflation": None if precision is None else precision.inflation,
            "error_bar_variance": None if precision is None else precision.variance,
            "likelihood": {"kind": ready.likelihood.kind, "why": ready.likelihood.why},
            "damage": damage.as_dict(),
            "handedness": hands.as_dict(),
            "edits": list(solver.by_hand.log),
            "asked_for": asked,
            "mixture": None if solver.mixture is None else solver.mixture.as_dict(solver.elements, ready.unit),
        },
    )
    fitted, withheld = result.agreement(), result.agreement(withheld=True)
    known = [f"{n} atoms", f"R {100 * fitted[0]:.2f} %" if fitted else "no R"]
    if not solver.condensed:  # that orbitals explain little, and crowd, follows from it
        warnings = [NO_ATOMS_YET]
    else:
        warnings = [] if converged else [unfinished(reason, precision is not None)]
        across_A = min(series.images.shape[1:]) * series.pixel_size_A
        warnings += caveats(agree, left_over, state.positions, job.spacing_A, across_A)
    if precision is not None and settings.data.denoised:
        warnings.append(NOT_CALIBRATED)
    if damage.changed:
        warnings.append(damage.verdict)
    if withheld is not None:
        known.append(f"withheld R {100 * withheld[0]:.2f} % and correlation {withheld[1]:.3f}")
        warnings += [text] if fitted and (text := parted(fitted[0], withheld[0])) else []
    if solver.problem.not_finite:
        warnings.append(STEPPED_BACK)
    warnings += [*ready.notes, *(() if device is None else device.messages), *hands.other]
    edited = [f"By hand: {by_hand}."] if (by_hand := solver.by_hand.words) else []
    message = " ".join([f"{how}: {', '.join(known)}, {seconds['total']:.1f} s.", *edited, *hands.sentences])
    return replace(result, message=message, warnings=tuple(warnings))
