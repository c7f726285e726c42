"""VoxelJob: one voxel reconstruction from series to volume. The command line, the window and a notebook consume it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import psutil
from numpy.typing import NDArray

from napari_lot.agreement import check_facts, shared_out
from napari_lot.control import Control
from napari_lot.errors import InputError
from napari_lot.machine import peak_memory_gb
from napari_lot.series.tilt_series import TiltSeries
from napari_lot.settings.voxel import VoxelSettings
from napari_lot.voxel.method import Iterate, Tilts
from napari_lot.voxel.methods import method_entry, voxel_settings
from napari_lot.voxel.prepare import Prepared, prepare
from napari_lot.voxel.projection.projector import Projector
from napari_lot.voxel.realspace.misfit import correlations, r_factors, residual
from napari_lot.voxel.result import VoxelResult, VoxelSnapshot
from napari_lot.voxel.volume import Volume

__all__ = ["VoxelJob", "VoxelResult", "VoxelSnapshot"]

SNAPSHOT_INTERVAL_S = 0.3
"""Least time between snapshots: a volume is drawn anew for each."""
VOLUMES_AT_LEAST = 5
"""Volumes of float32 that the leanest of the methods holds at once, and a snapshot."""
EARLY = {"finish": "finished early", "cancel": "cancelled"}


class _Stopped(Exception):
    """Ends a method where it polls; its text is the reason."""


class VoxelJob:
    """One voxel reconstruction.

    >>> job = VoxelJob(series, method="sirt")          # doctest: +SKIP
    >>> for snapshot in job.run():                     # doctest: +SKIP
    ...     print(snapshot.step, snapshot.message)
    >>> job.result.volume.values                       # doctest: +SKIP

    Parameters
    ----------
    series : TiltSeries
    settings : VoxelSettings, optional
        With the section of the method; the defaults when absent.
    method : str
        One of ``methods.METHODS``.

    Attributes
    ----------
    result : VoxelResult or None
        None before the end of a run, after a cancel, and where a run was stopped before there was a volume.
    stop_reason : str or None
        How the last run ended: as in ``VoxelResult``, or 'cancelled'.

    Raises
    ------
    InputError
        From the constructor, where settings, series and method do not go together.
    """

    def __init__(self, series: TiltSeries, settings: VoxelSettings | None = None, method: str = "sirt") -> None:
        entry = method_entry(method)
        self.method = method
        self.settings = voxel_settings(method) if settings is None else settings
        if not isinstance(self.settings.method, entry.section):
            raise InputError(
                f"method: the settings are those of {type(self.settings.method).__name__}, and {method} is to run: "
                "give its own."
            )
        data = self.settings.data
        weighted = [tilt for tilt, weight in data.tilt_weights if weight not in (0, 1)]
        if weighted:
            raise InputError(
                f"data.tilt_weights: voxel methods take all tilts alike, and tilt {weighted[0]} has a weight of its "
                "own: give it weight 0, which leaves it out, or none."
            )
        self.series, self.withheld, _ = shared_out(series, data)
        check_facts(series, data, "pixel_size_A", "tilt_axis_deg")
        self.result: VoxelResult | None = None
        self.stop_reason: str | None = None

    def run(self, control: Control | None = None) -> Iterator[VoxelSnapshot]:
        """Yield snapshots, not more than a person can follow; sets ``result`` at the end.

        ``result`` stays None after a cancel. A run that is asked to finish, or whose time is up, goes on to its first
        volume.
        """
        self.result = self.stop_reason = None
        yield from _Run(self, control or Control()).snapshots()


class _Run:
    """What a run knows while it goes on."""

    def __init__(self, job: VoxelJob, control: Control) -> None:
        self.job, self.control = job, control
        self.paused_s = 0.0
        self.began = time.perf_counter()
        self.last: Iterate | None = None
        self.history: list[tuple[float, float]] = []

    def elapsed(self) -> float:
        return time.perf_counter() - self.began - self.paused_s

    def poll(self) -> None:
        """What a method calls: waits in a pause, and ends it by raising."""
        if self.control.pause_requested:
            mark = time.perf_counter()
            self.control.wait_while_paused()
            self.paused_s += time.perf_counter() - mark
        reason, limit = self.control.stop_request, self.job.settings.grid.max_minutes
        if reason == "cancel" or (reason == "finish" and self.last is not None):
            raise _Stopped(EARLY[reason])
        if limit is not None and self.last is not None and self.elapsed() > 60 * limit:
            raise _Stopped("time limit")

    def snapshots(self) -> Iterator[VoxelSnapshot]:
        job, seconds = self.job, {}
        unknown = np.full(len(job.series), np.nan)
        reason = "finished"
        try:
            yield VoxelSnapshot("prepare", 0, 1, None, unknown, np.nan, 0.0, "Levels, rotation centre and box")
            ready = prepare(job.series, job.settings, job.withheld, self.poll)
            _check_memory(job.series.source, ready)
            seconds["prepare"] = self.elapsed()
            message = f"{' x '.join(map(str, ready.shape))} voxels; {ready.words}"
            yield VoxelSnapshot("prepare", 1, 1, None, unknown, np.nan, self.elapsed(), message)
            self.poll()
            yield from self._iterates(ready)
        except _Stopped as stop:
            reason = str(stop)
        job.stop_reason = reason
        if reason == "cancelled" or self.last is None:
            message = "Cancelled; no result was kept."
            yield VoxelSnapshot("finished", 1, 1, None, unknown, np.nan, self.elapsed(), message)
            return
        seconds["reconstruct"] = self.elapsed() - seconds["prepare"]
        result = job.result = self._outcome(ready, self.last, reason, seconds)
        last = self.last
        yield VoxelSnapshot(
            "finished",
            last.iteration,
            last.iterations_total,
            result.volume,
            np.where(np.isin(np.arange(len(job.series)), job.withheld), np.nan, result.r_factor),
            result.r_free,
            self.elapsed(),
            result.message,
        )

    def _iterates(self, ready: Prepared) -> Iterator[VoxelSnapshot]:
        job, shown = self.job, 0.0
        method = method_entry(job.method).load()
        for iterate in method(ready.tilts, ready.shape, job.settings.method, self.poll):
            self.last = iterate
            if np.isfinite(iterate.r_factor).any():
                self.history.append((float(iterate.iteration), float(np.nanmean(iterate.r_factor))))
            now = time.perf_counter()
            if now - shown >= SNAPSHOT_INTERVAL_S:
                shown = now
                yield VoxelSnapshot(
                    job.method,
                    iterate.iteration,
                    iterate.iterations_total,
                    iterate.volume,
                    _of_series(len(job.series), ready.fitted, iterate.r_factor),
                    iterate.r_free,
                    self.elapsed(),
                    iterate.message,
                )
            self.poll()

    def _outcome(self, ready: Prepared, last: Iterate, reason: str, seconds: dict[str, float]) -> VoxelResult:
        job, series = self.job, self.job.series
        mark = self.elapsed()
        r = np.full(len(series), np.nan)
        correlation = r.copy()
        for tilts, members in ((ready.tilts, ready.fitted), (ready.others, ready.withheld)):
            if tilts is not None:
                calculated = _images_of(last.volume, tilts, getattr(job.settings.method, "threads", None))
                r[members], correlation[members] = (
                    r_factors(tilts, residual(tilts, calculated)),
                    correlations(tilts, calculated),
                )
        seconds["compare"] = self.elapsed() - mark
        seconds["total"] = self.elapsed()
        if self.paused_s:
            seconds["paused"] = self.paused_s
        shifts = np.full((len(series), 2), np.nan)
        times = job.settings.grid.bin
        for tilts, members in ((ready.tilts, ready.fitted), (ready.others, ready.withheld)):
            if tilts is not None:
                shifts[members] = tilts.shifts_px * times
        row, column = (c * times + 0.5 * (times - 1) for c in ready.tilts.center_px)
        found = VoxelResult(
            method=job.method,
            volume=last.volume,
            r_factor=r,
            correlation=correlation,
            r_free=last.r_free,
            history=np.array(self.history).reshape(-1, 2),
            center_px=(row, column),
            shifts_px=shifts,
            background=ready.background,
            withheld=job.withheld,
            iterations=last.iteration,
            wall_seconds=seconds,
            peak_memory_gb=peak_memory_gb(),
            stop_reason=reason,
            message="",
            warnings=(*series.warnings, *ready.warnings, *_caveats(last.volume)),
            settings=job.settings,
            object=ready.words,
        )
        return replace(found, message=_message(found))


def _message(result: VoxelResult) -> str:
    """The end of a run in a sentence."""
    count = f"{result.iterations} iteration{'' if result.iterations == 1 else 's'}"
    ended = {"finished early": ", ended by hand", "time limit": ", ended by the time limit"}.get(result.stop_reason, "")
    said = f"{result.method.upper()}, {count}{ended}"
    fitted, other = result.agreement(), result.agreement(withheld=True)
    if fitted is not None:
        said += f": R {100 * fitted[0]:.2f} %, correlation {fitted[1]:.4f} over the tilts that were fitted"
    if other is not None:
        said += f"; R {100 * other[0]:.2f} %, correlation {other[1]:.4f} over those withheld"
    return f"{said}."


def _caveats(volume: Volume) -> tuple[str, ...]:
    """What to hold against a volume, a sentence each."""
    if volume.values.any():
        return ()
    return (
        "the volume is empty: no ray meets it, or the images are darker than vacuum; check the rotation centre, "
        "the shape of the volume and the level of vacuum.",
    )


def _of_series(count: int, members: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    found = np.full(count, np.nan)
    found[members] = values
    return found


def _images_of(volume: Volume, tilts: Tilts, threads: int | None) -> NDArray[np.float32]:
    """What a volume shows at the tilts; its middle is the rotation centre."""
    z, y, x = volume.values.shape
    projector = Projector.of(tilts, (z, y, x), threads)
    try:
        return projector.project(volume.values)
    finally:
        projector.close()


def _check_memory(source: str, ready: Prepared) -> None:
    """Refuse a volume that this computer cannot hold, before it is filled."""
    voxels = int(np.prod(np.array(ready.shape, np.int64)))
    needed, there = 4.0 * VOLUMES_AT_LEAST * voxels, psutil.virtual_memory().available
    if needed > there:
        raise InputError(
            f"{source}: a volume of {' x '.join(map(str, ready.shape))} voxels needs some {needed / 1e9:.1f} GB, and "
            f"{there / 1e9:.1f} GB are free: bin the images (--bin), or give a smaller volume (--thickness, "
            "--set grid.shape=[Z,Y,X])."
        )
