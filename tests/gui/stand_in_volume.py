"""A stand-in for a voxel reconstruction: Gaussians at the places of the sample's atoms, which grow."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from napari_lot.control import Control
from napari_lot.export import read_atoms
from napari_lot.series import TiltSeries
from napari_lot.series.sample import sample_truth_path
from napari_lot.settings.voxel import VoxelSettings
from napari_lot.voxel.result import VoxelResult, VoxelSnapshot
from napari_lot.voxel.volume import Volume

SIDES, VOXEL_A = (52, 44, 60), 0.6
"""Of three lengths, so that axes that are confused are found out."""


def truth_volume(height: float = 1.0) -> Volume:
    """The sample's atoms as Gaussians in a box of z, y, x voxels, by their distances."""
    volume = Volume.centred(np.zeros(SIDES, np.float32), VOXEL_A)
    z, y, x = (np.arange(n) * VOXEL_A for n in SIDES)
    for ax, ay, az in read_atoms(sample_truth_path()).positions:
        factors = [
            np.exp(-(((line + start - at) / 0.75) ** 2))
            for line, start, at in (
                (z, volume.origin_A[2], az),
                (y, volume.origin_A[1], ay),
                (x, volume.origin_A[0], ax),
            )
        ]
        volume.values[:] += height * np.einsum("i,j,k->ijk", *factors).astype(np.float32)
    return volume


class StandInVolume:
    """Yields the same volume, ever brighter; ``error`` is raised half-way."""

    def __init__(
        self,
        series: TiltSeries,
        settings: VoxelSettings,
        method: str,
        error: BaseException | None = None,
        step_s: float = 0.05,
        steps: int = 10_000,
    ) -> None:
        self.series, self.settings, self.method = series, settings, method
        self.error, self.step_s, self.steps = error, step_s, steps
        self.result: VoxelResult | None = None
        self.stop_reason: str | None = None
        self.stages: list[Any] = []

    def run(self, control: Control | None = None) -> Iterator[VoxelSnapshot]:
        control = control or Control()
        t, began, full = len(self.series), time.monotonic(), truth_volume()
        unknown = np.full(t, np.nan)
        yield VoxelSnapshot("prepare", 0, 1, None, unknown, np.nan, 0.0, "Levels, rotation centre and box")
        volume, step, r = full, 0, unknown
        for step in range(1, self.steps + 1):
            control.wait_while_paused()
            if control.stop_request:
                break
            if self.error is not None and step > self.steps // 2:
                raise self.error
            time.sleep(self.step_s)
            volume = Volume(full.values * np.float32(1 - 0.5 / step), VOXEL_A, full.origin_A)
            r = np.full(t, 0.1 + 0.2 / step)
            r[0] = np.nan
            yield VoxelSnapshot(
                self.method, step, self.steps, volume, r, 0.3, time.monotonic() - began, f"iteration {step}"
            )
        self.stop_reason = {"cancel": "cancelled", "finish": "finished early"}.get(control.stop_request, "finished")
        if control.stop_request == "cancel":
            return
        self.result = VoxelResult(
            method=self.method,
            volume=volume,
            r_factor=r,
            correlation=np.full(t, 0.95),
            r_free=float("nan"),
            history=np.array([[k, 0.1 + 0.2 / k] for k in range(1, step + 1)]).reshape(-1, 2),
            center_px=(0.0, 0.0),
            shifts_px=np.zeros((t, 2)),
            background=np.zeros(t),
            withheld=(),
            iterations=step,
            wall_seconds={"total": time.monotonic() - began},
            peak_memory_gb=None,
            stop_reason=self.stop_reason,
            message="The stand-in is done.",
            warnings=(),
            settings=self.settings,
            object="a particle",
        )
