"""From a running job to napari layers: a background thread, a latest-only mailbox, and the layers themselves.

The thread is a plain one: everything that can go wrong in it comes back as a value (napari's generator workers
swallow RuntimeError and with it running out of memory). The mailbox keeps only the newest snapshot, so a fast
solver never builds up a queue, but no calculated image is lost: images of tilts that a dropped snapshot brought are
carried over.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_lot.gui.work.sentences import sentence_of
from napari_lot.job import Control, ProbeSlices, Snapshot
from napari_lot.voxel.result import VoxelSnapshot

MORE_MEMORY = "use fewer tilts or a larger neighbour distance, or close other programs; then start again"


class RunnableJob(Protocol):
    """What the runner needs of a job: of a fit of orbitals, or of a voxel method."""

    @property
    def result(self) -> Any: ...

    @property
    def stop_reason(self) -> str | None: ...

    def run(self, control: Control | None = None) -> Iterator[Any]: ...


@dataclass(frozen=True)
class Outcome:
    """How a run ended: a result, a failure in one sentence, or neither.

    ``detail`` is a traceback where the failure is a fault of the program, ``stop_reason`` the job's own word.
    ``result`` is a ``Result``, or a ``VoxelResult`` of a voxel method.
    """

    result: Any = None
    failure: str | None = None
    detail: str | None = None
    stop_reason: str | None = None


@dataclass
class Mailbox:
    """Holds the newest snapshot only; thread-safe."""

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _latest: Snapshot | None = None
    _images: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    _probe: ProbeSlices | None = None
    _history: list[tuple[int, float, float]] = field(default_factory=list)
    received: int = 0

    def put(self, snapshot: Snapshot) -> None:
        """Replace what is there; never blocks on the reader."""
        r = np.asarray(snapshot.r_factor, float)
        mean_r = float(np.nanmean(r)) if np.isfinite(r).any() else float("nan")
        with self._lock:
            self.received += 1
            self._latest = snapshot
            for tilt, image in zip(snapshot.tilts, snapshot.calculated, strict=True):
                self._images[int(tilt)] = image
            if snapshot.probe is not None:
                self._probe = snapshot.probe
            self._history.append((snapshot.step, snapshot.loss, mean_r))

    def look(self) -> tuple[Snapshot, list[tuple[int, float, float]]] | None:
        """The newest snapshot and the history since the last call; the snapshot and its images stay for ``take``."""
        with self._lock:
            if self._latest is None:
                return None
            history, self._history = self._history, []
            return self._latest, history

    def take(self) -> tuple[Snapshot, list[tuple[int, float, float]]] | None:
        """The newest snapshot with all images since the last call, and (step, loss, mean R) of every one."""
        with self._lock:
            if self._latest is None:
                return None
            snapshot, images, probe, history = self._latest, self._images, self._probe, self._history
            self._latest, self._images, self._probe, self._history = None, {}, None, []
        if len(images) == len(snapshot.tilts):  # all that came are in it: nothing is copied
            return replace(snapshot, probe=probe), history
        tilts = np.array(sorted(images), dtype=np.int64)
        calculated = np.stack([images[t] for t in tilts]) if len(tilts) else np.zeros((0, 0, 0), np.float32)
        return replace(snapshot, tilts=tilts, calculated=calculated, probe=probe), history


@dataclass
class VolumeMailbox:
    """The same for a voxel method: the newest snapshot, and iteration, mean R and R_free of every one."""

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _latest: VoxelSnapshot | None = None
    _history: list[tuple[int, float, float]] = field(default_factory=list)
    received: int = 0

    def put(self, snapshot: VoxelSnapshot) -> None:
        """Replace what is there; never blocks on the reader."""
        r = snapshot.r_factor
        mean_r = float(np.nanmean(r)) if np.isfinite(r).any() else float("nan")
        with self._lock:
            self.received += 1
            self._latest = snapshot
            if np.isfinite(mean_r) and snapshot.stage != "finished":  # the last repeats one that has been there
                self._history.append((snapshot.step, mean_r, float(snapshot.r_free)))

    def take(self) -> tuple[VoxelSnapshot, list[tuple[int, float, float]]] | None:
        """The newest snapshot, once, and the history since the last call."""
        with self._lock:
            if self._latest is None:
                return None
            snapshot, history = self._latest, self._history
            self._latest, self._history = None, []
        return snapshot, history


class Runner:
    """Runs a job in a daemon thread and hands over snapshots and, at the end, an Outcome."""

    more_memory = MORE_MEMORY

    def __init__(self, job: RunnableJob) -> None:
        self.job = job
        self.control = Control()
        self.mailbox = Mailbox()
        self.outcome: Outcome | None = None
        self._thread = threading.Thread(target=self._work, name="napari-lot reconstruction", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def _work(self) -> None:
        try:
            for snapshot in self.job.run(self.control):
                self._put(snapshot)
            self.outcome = Outcome(result=self.job.result, stop_reason=self.job.stop_reason)
        except BaseException as error:
            self.outcome = Outcome(None, *sentence_of(error, "The reconstruction", self.more_memory))

    def _put(self, snapshot: Any) -> None:
        self.mailbox.put(snapshot)

    def stop(self, timeout_s: float = 10.0) -> bool:
        """Cancel and wait for the thread; False if it still runs (as a daemon it cannot hold up the exit)."""
        self.control.cancel()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()


class VolumeRunner(Runner):
    """The same for a voxel method, whose snapshots are in ``volumes``."""

    more_memory = "bin the images more, or give a smaller volume; then start again"

    def __init__(self, job: RunnableJob) -> None:
        super().__init__(job)
        self.volumes = VolumeMailbox()

    def _put(self, snapshot: Any) -> None:
        self.volumes.put(snapshot)


class Pace:
    """Time left, from the pace of the last passes: early passes carry twenty times the orbitals of late ones."""

    WINDOW = 15

    def __init__(self) -> None:
        self._marks: deque[tuple[int, float]] = deque()

    def left_s(self, step: int, steps_total: int, elapsed_s: float) -> float | None:
        """Seconds left after a mark at ``step``; None before there is a pace."""
        if not self._marks or step > self._marks[-1][0]:
            self._marks.append((step, elapsed_s))
        while len(self._marks) > 2 and self._marks[0][0] < step - self.WINDOW:
            self._marks.popleft()
        first_step, first_s = self._marks[0]
        last_step, last_s = self._marks[-1]
        if last_step <= first_step:
            return None
        return max(steps_total - step, 0) * (last_s - first_s) / (last_step - first_step)


def time_text(seconds: float) -> str:
    """'8 s', '2 min 05 s', '1 h 12 min'."""
    s = round(seconds)
    if s < 60:
        return f"{s} s"
    if s < 3600:
        return f"{s // 60} min {s % 60:02d} s"
    return f"{s // 3600} h {s % 3600 // 60:02d} min"
