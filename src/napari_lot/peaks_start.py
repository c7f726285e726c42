"""A start from peaks: a voxel reconstruction of the series first, whose traced atoms a fit of orbitals begins with.

The one place, with ``job``, that knows both ways of reconstruction: ``voxel`` and ``lot`` know nothing of one another.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_lot.atoms import Orbitals
from napari_lot.control import Control
from napari_lot.errors import InputError
from napari_lot.progress import Progress
from napari_lot.result import Snapshot
from napari_lot.settings import REFINED_BY_DEFAULT, Settings

if TYPE_CHECKING:
    from napari_lot.job import Job
    from napari_lot.settings.voxel import VoxelSettings
    from napari_lot.voxel.job import VoxelResult, VoxelSnapshot

STAGE = "peaks"
VOXELS_A_SPACING = 6.0
"""So many voxels at least lie between neighbouring atoms where pixels are binned by themselves: fewer hardly tell
peaks apart, more cost time (their third power) and the fit finds the exact places anyway."""
ITERATIONS = 20
"""Enough to tell atoms apart, and few enough for noise; exact positions are the work of the fit."""
SHARE_OF_TIME = 0.5
"""Part of a time limit that may go into the volume."""


class _Cancelled(Exception):
    """Ends the tracing."""


@dataclass(frozen=True, eq=False)
class Peaks:
    """What a fit begins with, and what was done for it.

    Attributes
    ----------
    atoms : Orbitals
    seconds : dict
        ``peaks`` and, where there was a pause, ``paused``.
    steps : int
        Passes over the series that were made.
    details : dict
        ``method``, ``iterations``, ``voxel_A``, ``r_factor`` (mean) and ``atoms`` (their number).
    """

    atoms: Orbitals
    seconds: dict[str, float]
    steps: int
    details: dict[str, Any]


def peaks_first(job: Job, control: Control) -> Generator[Snapshot, None, Peaks | None]:
    """Reconstruct a volume, trace it, and yield how that goes; None after a cancel.

    A run that is asked to finish goes on with the volume that there is.

    Raises
    ------
    InputError
        The volume has no atoms, or there can be none (see ``VoxelJob``).
    """
    from napari_lot.voxel.job import VoxelJob

    settings, series = job.settings, job.series
    began, paused = time.perf_counter(), 0.0
    method = settings.start.peaks_method
    voxels = VoxelJob(series, voxel_settings_of(settings, series.pixel_size_A, job.spacing_A), method)
    step, total = 0, 1
    for snapshot in voxels.run(control):
        if snapshot.stage == method:
            step, total = snapshot.step, snapshot.steps_total
        if snapshot.stage != "finished":
            yield _shown(job, snapshot, step, total, time.perf_counter() - began)
    result = voxels.result
    if result is None:
        yield _cancelled(job, began)
        return None
    paused += result.wall_seconds.get("paused", 0.0)

    def poll(part: float) -> None:
        nonlocal paused
        if control.pause_requested:
            mark = time.perf_counter()
            control.wait_while_paused()
            paused += time.perf_counter() - mark
        if control.stop_request == "cancel":
            raise _Cancelled

    try:
        poll(0.0)
        atoms = _traced(result, settings, series.source, poll)
    except _Cancelled:
        yield _cancelled(job, began)
        return None
    seconds = {STAGE: time.perf_counter() - began - paused}
    if paused:
        seconds["paused"] = paused
    agreed = result.agreement()
    details = {
        "method": method,
        "iterations": result.iterations,
        "voxel_A": result.volume.voxel_A,
        "r_factor": None if agreed is None else agreed[0],
        "atoms": len(atoms),
    }
    return Peaks(atoms, seconds, result.iterations, details)


def voxel_settings_of(settings: Settings, pixel_size_A: float, spacing_A: float) -> VoxelSettings:
    """Settings of the voxel reconstruction that a run asks for.

    Tilts that are left out have been taken from the series; weights between 0 and 1 have no part in a volume.

    Raises
    ------
    InputError
        Iterations are given of a method that has none.
    """
    from napari_lot.voxel.methods import method_entry, voxel_settings

    start, solver = settings.start, settings.solver
    fields = method_entry(start.peaks_method).section.model_fields
    own: dict[str, Any] = {"threads": solver.threads}
    if "device" in fields:
        own["device"] = "cpu" if solver.device == "mps" else solver.device
    if "iterations" in fields:
        own["iterations"] = start.peaks_iterations or ITERATIONS
    elif start.peaks_iterations is not None:
        raise InputError(f"start.peaks_iterations: {start.peaks_method} has no iterations; leave it out.")
    moves = {"center", "shifts"} <= set(solver.refine or REFINED_BY_DEFAULT) - set(solver.fix)
    times = start.peaks_bin or max(1, int(spacing_A / VOXELS_A_SPACING / pixel_size_A + 1e-9))
    minutes = None if solver.max_minutes is None else SHARE_OF_TIME * solver.max_minutes
    grid = {"bin": times, "align": moves, "max_minutes": minutes}
    found = voxel_settings(start.peaks_method, {start.peaks_method: own, "grid": grid})
    return found.model_copy(update={"data": settings.data.model_copy(update={"exclude": (), "tilt_weights": ()})})


def _traced(result: VoxelResult, settings: Settings, source: str, poll: Progress) -> Orbitals:
    """The atoms of the volume, as strong as there and as wide as orbitals begin: a peak is also wide by the probe."""
    from napari_lot.voxel.atoms.species import find_atoms

    atoms = find_atoms(result.volume, settings, progress=poll).traced.atoms
    if not len(atoms):
        raise InputError(
            f"{source}: there are no atoms among the peaks of the volume ({result.method}, R "
            f"{100 * float(np.nanmean(result.r_factor)):.1f} %); take --start grid, or check the pixel size, the "
            "angles and the spacing."
        )
    width = settings.start.width_A
    return replace(
        atoms, height=atoms.integrated / (np.pi * width**2), width=np.full(len(atoms), width), id=np.arange(len(atoms))
    )


def _shown(job: Job, snapshot: VoxelSnapshot, step: int, total: int, elapsed_s: float) -> Snapshot:
    words = f"A volume by {job.settings.start.peaks_method.upper()}, whose peaks the fit begins with"
    message = snapshot.message
    lower = message[:1].lower() + message[1:] if message[1:2].islower() else message  # R is a name
    said = f": {lower}" if message else "."
    return _nothing_yet(job, STAGE, step, total, words + said, elapsed_s, snapshot.r_factor)


def _cancelled(job: Job, began: float) -> Snapshot:
    return _nothing_yet(job, "finished", 1, 1, "Cancelled; no result was kept.", time.perf_counter() - began)


def _nothing_yet(
    job: Job,
    stage: str,
    step: int,
    total: int,
    message: str,
    elapsed_s: float,
    r_factor: NDArray[np.float64] | None = None,
) -> Snapshot:
    """A snapshot of a run that has no orbitals yet."""
    rows, columns = job.series.images.shape[1:]
    return Snapshot(
        stage=stage,
        step=step,
        steps_total=max(total, 1),
        orbitals=Orbitals.create(np.zeros((0, 3)), elements=job.settings.model.elements),
        loss=float("nan"),
        r_factor=np.full(len(job.series), np.nan) if r_factor is None else r_factor,
        tilts=np.zeros(0, np.int64),
        calculated=np.zeros((0, rows, columns), np.float32),
        probe=None,
        elapsed_s=elapsed_s,
        message=message,
    )
