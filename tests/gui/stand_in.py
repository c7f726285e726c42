"""A stand-in for a reconstruction: fast, with every behaviour on request; test_workbench.py runs the real one."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from napari_lot.atoms import Orbitals
from napari_lot.edit import Candidates, Edit, Held
from napari_lot.export import read_atoms
from napari_lot.job import Control, ProbeSlices, Result, Snapshot, withheld_tilts
from napari_lot.physics.geometry import series_rotations
from napari_lot.series import TiltSeries
from napari_lot.series.sample import sample_truth_path
from napari_lot.settings import Settings


class StandInJob:
    """Walks noisy atoms to the truth of the sample.

    ``error`` is raised half-way; with ``knows_errors`` the result has error bars and probabilities; ``ends_empty`` is
    how a run ends that was stopped before there was an atom;
    ``pause_at`` is a step at which it pauses itself.
    """

    def __init__(
        self,
        series: TiltSeries,
        settings: Settings,
        error: BaseException | None = None,
        step_s: float = 0.02,
        steps: int = 40,
        knows_errors: bool = False,
        ends_empty: str | None = None,
        pause_at: int | None = None,
    ) -> None:
        self.series, self.settings, self.error = series, settings, error
        self.step_s, self.steps = step_s, steps
        self.knows_errors, self.ends_empty = knows_errors, ends_empty
        self.pause_at = pause_at
        self.edits: list[Edit] = []
        # what it says when it is asked where the residual has peaks
        self.candidates = Candidates(np.array([[0.0, 0.0, 30.0]]), np.ones(1), np.full(1, 9.0))
        self.result: Result | None = None
        self.stop_reason: str | None = None

    def _held(self, orbitals: Orbitals | None) -> Held | None:
        if orbitals is None:
            return None
        t = len(self.series)
        within = lambda points: np.abs(points).max(1) < 40  # noqa: E731
        refusal = "several orbitals still stand for one atom." if len(orbitals) > 247 else ""
        return Held(orbitals, series_rotations(self.series), np.zeros((t, 2)), within, refusal)

    def run(self, control: Control | None = None) -> Iterator[Snapshot]:
        control = control or Control()
        truth = read_atoms(sample_truth_path())
        rng = np.random.default_rng(self.settings.solver.seed)
        images = self.series.images
        t = len(images)
        kick = rng.normal(size=truth.positions.shape)
        probe_images = np.zeros((9, 32, 32), np.float32)
        probe_images[:, 16, 16] = 1
        probe = ProbeSlices(probe_images, np.linspace(-12, 12, 9), 0.25)
        began = time.monotonic()
        done = 0
        orbitals: Orbitals | None = None
        for step in range(self.steps):
            if step == self.pause_at:
                control.pause()
            if control.pause_requested:
                control.wait_while_paused(self._held(orbitals), lambda edit: self.candidates)
            if (edit := control.take_edit()) is not None:
                self.edits.append(edit)
            if control.stop_request:
                break
            if self.error is not None and step == self.steps // 2:
                raise self.error
            time.sleep(self.step_s)
            left = 1 - step / self.steps
            extra = rng.normal(size=(int(1500 * max(left - 0.5, 0)), 3)) * 6
            positions = np.concatenate([truth.positions + 0.5 * left * kick, extra])
            height = np.concatenate([rng.normal(1, 0.06, len(truth)), rng.random(len(extra)) * 0.5])
            orbitals = Orbitals.create(positions, height, 0.5, elements=self.settings.model.elements)
            tilts = np.arange(step * 6 % t, min(step * 6 % t + 6, t))
            calculated = images[tilts] * np.float32(1 - 0.3 * left)
            calculated += np.float32(0.02 * left) * rng.normal(size=calculated.shape).astype(np.float32)
            done = step + 1
            stage = "positions" if left > 0.5 else "refine"
            yield Snapshot(
                stage=stage,
                step=done,
                steps_total=self.steps,
                orbitals=orbitals,
                loss=1e-3 * left**2 + 1e-6,
                r_factor=0.02 + 0.3 * left * (1 + 0.2 * np.cos(np.arange(t))),
                tilts=tilts,
                calculated=calculated,
                probe=probe if step == 0 else None,
                elapsed_s=time.monotonic() - began,
                message=f"{len(orbitals)} orbitals",
            )
        self.stop_reason = {"cancel": "cancelled", "finish": "finished early"}.get(control.stop_request, "converged")
        if self.ends_empty is not None:
            self.stop_reason = self.ends_empty
        if control.stop_request == "cancel" or self.ends_empty is not None:
            return
        n = len(truth)
        sigma_A = np.full((n, 3), 0.02)
        sigma_A[:, 2] = np.linspace(0.01, 0.05, n)
        p_exists = np.where(np.arange(n) < 2, 0.6, 0.999)
        atoms = Orbitals.create(truth.positions, 1.0, 0.5, elements=self.settings.model.elements)
        self.result = Result(
            orbitals=atoms,
            r_factor=np.full(t, 0.02),
            calculated=images * np.float32(0.98),
            residual=images * np.float32(0.02),
            center_px=self.series.center_px or (0.0, 0.0),
            shifts_px=np.zeros((t, 2)),
            scale=np.ones(t),
            background=np.zeros(t),
            probe=probe,
            tilts_seen=np.full(len(atoms), t),
            wall_seconds={"total": time.monotonic() - began},
            stop_reason=self.stop_reason,
            message="Finished early: the stand-in is done." if control.stop_request else "The stand-in is done.",
            sigma_A=sigma_A if self.knows_errors else None,
            p_exists=p_exists if self.knows_errors else None,
            p_element=np.full(n, 0.99) if self.knows_errors else None,
            settings=self.settings,
            correlation=np.full(t, 0.98),
            withheld=withheld_tilts(t, self.settings.data.withhold),
            warnings=("The stand-in doubts.",) if self.settings.data.withhold else (),
        )
