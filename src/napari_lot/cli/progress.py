"""Progress of a run on stderr: a live line on a terminal, an occasional plain line elsewhere. And Ctrl-C."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from napari_lot.control import Control
from napari_lot.machine import processes, writes
from napari_lot.session.file import NOT_ATOMS

if TYPE_CHECKING:
    from napari_lot.job import Job, Snapshot
    from napari_lot.voxel.job import VoxelJob, VoxelSnapshot

_PLAIN_INTERVAL_S = 10.0


class Interrupt:
    """Whether the user asked to stop."""

    asked = False


@contextmanager
def finish_on_interrupt(control: Control) -> Iterator[Interrupt]:
    """Ctrl-C (or a cluster's SIGTERM) ends the run with what there is; a second one breaks off at once."""
    interrupt = Interrupt()

    def handle(number: int, frame: FrameType | None) -> None:
        if interrupt.asked:
            raise KeyboardInterrupt
        interrupt.asked = True
        control.finish()
        if processes() == 1:
            sys.stderr.write("\nInterrupted: finishing with what there is (once more breaks off without a result).\n")
        elif number == signal.SIGINT and writes():  # SIGTERM is how torchrun ends those whose fellow is gone
            sys.stderr.write("\nInterrupted: finishing with what there is.\n")

    numbers = (signal.SIGINT, signal.SIGTERM)
    before: list[Any] = [signal.signal(number, handle) for number in numbers]
    try:
        yield interrupt
    finally:
        for number, old in zip(numbers, before, strict=True):
            signal.signal(number, old)


def mean_r(snapshot: Snapshot | VoxelSnapshot) -> float:
    """Mean R-factor over the tilts that have one; NaN before the first."""
    known = snapshot.r_factor[np.isfinite(snapshot.r_factor)]
    return float(known.mean()) if len(known) else float("nan")


def _r_text(snapshot: Snapshot | VoxelSnapshot) -> str:
    r = mean_r(snapshot)
    return f"R {100 * r:.2f} %" if np.isfinite(r) else ""


def count_of_atoms(snapshot: Any) -> str:
    """What a reconstruction of atoms has found."""
    what = "orbitals" if snapshot.stage in NOT_ATOMS else "atoms"
    return f"{len(snapshot.orbitals)} {what}"


def follow(
    job: Job | VoxelJob,
    control: Control,
    watch: Callable[[Any], object] = lambda snapshot: None,
    found: Callable[[Any], str] = count_of_atoms,
) -> None:
    """Run a job to its end and show how it goes.

    Parameters
    ----------
    job : Job or VoxelJob
    control : Control
    watch : callable
        Is given every snapshot.
    found : callable
        What a snapshot has found, in a few words.
    """
    if sys.stderr.isatty():
        _follow_live(job, control, watch, found)
    else:
        _follow_plain(job, control, watch, found)


def _told(snapshots: Iterator[Any], say: Callable[[str], None]) -> Iterator[Any]:
    """The same snapshots; what a run says of itself before it begins is said."""
    said = ""
    for snapshot in snapshots:
        if snapshot.stage == "prepare" and snapshot.message != said:
            said = snapshot.message
            say(said)
        yield snapshot


def _follow_live(
    job: Job | VoxelJob, control: Control, watch: Callable[[Any], object], found: Callable[[Any], str]
) -> None:
    columns = (
        TextColumn("{task.description:<10}"),
        BarColumn(bar_width=28),
        TaskProgressColumn(),
        TextColumn("{task.fields[found]:>14}  {task.fields[r]:<10}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("prepare", total=None, found="", r="")
        say = partial(progress.console.print, highlight=False, markup=False)
        for snapshot in _told(job.run(control), say):
            watch(snapshot)
            progress.update(
                task,
                description=snapshot.stage,
                completed=snapshot.step,
                total=snapshot.steps_total,
                found=found(snapshot),
                r=_r_text(snapshot),
            )


def _follow_plain(
    job: Job | VoxelJob, control: Control, watch: Callable[[Any], object], found: Callable[[Any], str]
) -> None:
    stage, last = "", -_PLAIN_INTERVAL_S
    for snapshot in _told(job.run(control), partial(print, file=sys.stderr, flush=True)):
        watch(snapshot)
        now = time.monotonic()
        if snapshot.stage != stage or now - last >= _PLAIN_INTERVAL_S:
            stage, last = snapshot.stage, now
            parts = [
                f"{snapshot.elapsed_s:7.1f} s",
                f"{stage} {snapshot.step}/{snapshot.steps_total}",
                found(snapshot),
                _r_text(snapshot),
            ]
            print(", ".join(part for part in parts if part), file=sys.stderr, flush=True)
