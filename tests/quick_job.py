"""A stand-in for the solver: a few snapshots and a result, quickly."""

from typing import ClassVar

import numpy as np

from napari_lot.atoms import Orbitals
from napari_lot.job import Job, ProbeSlices, Result, Snapshot


class QuickJob(Job):
    """Yields ``steps`` snapshots, or ends early when asked; records what it was given in ``seen``."""

    seen: ClassVar[list[Job]] = []
    steps = 3
    atoms = 4
    during = None  # called with (job, control, step)

    def run(self, control=None):
        type(self).seen.append(self)
        tilts, rows, columns = self.series.images.shape
        elements = self.settings.model.elements
        orbitals = Orbitals.create(np.arange(3.0 * self.atoms).reshape(-1, 3), 0.5, 0.4, 0, elements)
        r = np.full(tilts, 0.05)
        r[-1] = np.nan
        reason = "converged"
        for step in range(self.steps):
            if type(self).during:
                type(self).during(self, control, step)
            if control.stop_request:
                reason = "finished early"
                break
            stage = "start" if step == 0 else "refine"
            none = np.zeros((0, rows, columns), np.float32)
            yield Snapshot(
                stage, step, self.steps, orbitals, 1.0, r, np.zeros(0, np.int64), none, None, 0.1 * step, "goes on"
            )
        if control.stop_request == "cancel":
            return
        images = np.asarray(self.series.images, np.float32)
        self.result = Result(
            orbitals=orbitals,
            r_factor=r,
            calculated=0.9 * images,
            residual=0.1 * images,
            center_px=self.series.center_px,
            shifts_px=np.zeros((tilts, 2)),
            scale=np.ones(tilts),
            background=np.zeros(tilts),
            probe=ProbeSlices(np.full((3, 4, 4), 1 / 16, np.float32), np.array([-5.0, 0, 5]), 0.1),
            tilts_seen=np.full(self.atoms, tilts),
            wall_seconds={"prepare": 0.1, "refine": 0.2},
            stop_reason=reason,
            message="Nothing changed any more.",
            settings=self.settings,
        )


def quick_job_in_place(monkeypatch):
    """A ``QuickJob`` of a test's own, which runs wherever a ``Job`` would."""

    class Mine(QuickJob):
        seen = []  # noqa: RUF012  # each test has its own

    monkeypatch.setattr("napari_lot.job.Job", Mine)
    return Mine


def write_small_series(path):
    """An NPZ file of nine images with all that a run must know of them."""
    images = np.random.default_rng(0).random((9, 16, 18)).astype(np.float32)
    np.savez(path, images=images, angles_deg=np.linspace(-60, 60, 9), pixel_size_A=0.3)
    return path
