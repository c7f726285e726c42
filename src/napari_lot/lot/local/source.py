"""What was fitted, and how, read back from a result: no object of the run is needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from napari_lot.atoms import Orbitals
from napari_lot.errors import InputError
from napari_lot.job import Job, Result
from napari_lot.lot.correction import ProbeCorrection
from napari_lot.lot.image_model import ImageModel, Shapes
from napari_lot.lot.problem import State
from napari_lot.physics.geometry import rotations_torch, series_rotations
from napari_lot.physics.orbital import orbital
from napari_lot.series.detector import choose_likelihood
from napari_lot.series.prepare import units_of_fit
from napari_lot.series.tilt_series import TiltSeries
from napari_lot.settings import Microscope

Floats = NDArray[np.float64]

DEPTH_MARGIN_A = 4.0
"""Room above and below the atoms, where a result does not say which depths its model spans."""


@dataclass(frozen=True)
class Source:
    """A finished fit in the solver's unit.

    Attributes
    ----------
    job : Job
        Series, settings and expected distance.
    observed : (T, V, U) float32
    weights : (T, V, U) float32 or None
        As they were fitted: 0 also for withheld tilts.
    usable : (T, V, U) bool or None
        Pixels that may be judged, those of withheld tilts included.
    kind : "lsq" or "poisson"
    unit, zero : float
        Intensity of the images is ``unit`` times the solver's, plus ``zero``.
    state : State
    matrices : (T, 3, 3)
        ``[u v w] = R [x y z]`` as the images show it: turns and distortion included.
    center_px : (row, column)
    """

    job: Job
    observed: NDArray[np.float32]
    weights: NDArray[np.float32] | None
    usable: NDArray[np.bool_] | None
    kind: Literal["lsq", "poisson"]
    unit: float
    zero: float
    state: State
    matrices: Floats
    center_px: tuple[float, float]
    microscope: Microscope | None
    correction: ProbeCorrection | None
    depth_range_A: tuple[float, float]
    oversampling: int

    @property
    def pixel_A(self) -> float:
        """Pixel size of the images."""
        return self.job.series.pixel_size_A

    def model(self, image_shape: tuple[int, int], center_px: tuple[float, float], threads: int | None) -> ImageModel:
        """The image model of the fit for images of another size."""
        made = ImageModel(
            self.matrices,
            image_shape,
            self.pixel_A,
            center_px,
            self.microscope,
            self.depth_range_A,
            self.state.typical_width,
            tolerance=self.job.settings.model.depth_tolerance,
            oversampling=self.oversampling,
            threads=threads,
            orbital=orbital(self.job.settings.model.orbital),
        )
        made.set_correction(self.correction)
        return made

    def shapes(self, model: ImageModel, state: State) -> Shapes:
        """Species of the orbitals, and the shape of each."""
        learnt = state.learnt if state.learnt.shape[1] else np.zeros((len(state.width), model.orbital.terms))
        species, width, shape = (torch.from_numpy(a) for a in (state.width_of, state.width, learnt))
        return Shapes(species, width, shape, common=not state.own_width.any())


def source_of(series: TiltSeries, result: Result) -> Source:
    """What a result of a series was fitted with.

    Raises
    ------
    InputError
        The result does not say enough of its fit, or does not belong to this series.
    """
    if result.calculated.shape != series.images.shape:
        raise InputError(
            f"{series.source}: the result has images of {result.calculated.shape}, the series of "
            f"{series.images.shape}: open the series that was reconstructed."
        )
    settings, details = result.settings, result.details
    job = Job(series, settings, start=result.orbitals)
    series = job.series
    choice = choose_likelihood(series, settings)
    zero, unit = units_of_fit(job.fitted, choice)
    usable, mask = series.usable, job.fitted.usable
    observed = ((series.images - np.float32(zero)) / np.float32(unit)).astype(np.float32)
    if usable is not None:
        observed = np.where(usable, observed, 0).astype(np.float32)
    weights = None if mask is None else mask.astype(np.float32)
    if (job.tilt_weights != 1).any():
        every = np.ones(observed.shape, np.float32) if weights is None else weights
        weights = every * job.tilt_weights.astype(np.float32)[:, None, None]
    stated = details.get("microscope")
    microscope = Microscope(**stated) if stated else None if settings.model.probe == "direct" else settings.microscope
    numbers = details.get("probe_correction")
    if numbers is None and details.get("attenuation"):
        raise InputError("This result does not hold its adaptive probe: run the reconstruction again.")
    state = _state(result, unit, zero)
    matrices = series_rotations(series)
    if len(result.angles_deg) and np.any(result.angles_deg):
        matrices = rotations_torch(torch.from_numpy(np.deg2rad(result.angles_deg))).numpy() @ matrices
    if state.distortion.any():
        change = state.distortion.reshape(-1, 2, 2) @ matrices[:, :2]
        matrices = np.concatenate([matrices[:, :2] + change, matrices[:, 2:]], 1)
    span = details.get("depth_range_A")
    if span is None:
        depth = np.einsum("tj,nj->tn", matrices[:, 2], state.positions) - state.focus[:, None]
        span = (float(depth.min()) - DEPTH_MARGIN_A, float(depth.max()) + DEPTH_MARGIN_A)
    return Source(
        job,
        observed,
        weights,
        usable,
        choice.kind,
        unit,
        zero,
        state,
        np.ascontiguousarray(matrices),
        result.center_px,
        microscope,
        None if numbers is None else ProbeCorrection.from_dict(numbers),
        (float(span[0]), float(span[1])),
        int(details.get("oversampling", 1)),
    )


def _state(result: Result, unit: float, zero: float) -> State:
    atoms, details, tilts = result.orbitals, result.details, len(result.shifts_px)
    width = np.asarray(details.get("width_A") or _widths(atoms, result.settings.solver.widths == "common"), np.float64)
    which = atoms.species if len(width) > 1 else np.zeros_like(atoms.species)
    own = atoms.width - width[which]
    own[np.abs(own) < 1e-9] = 0.0
    learnt, focus, distortion = (details.get(n) for n in ("learnt_orbital", "tilt_defocus_A", "distortion"))
    return State(
        positions=atoms.positions.copy(),
        height=atoms.height / unit,
        width=width,
        species=atoms.species.copy(),
        ids=atoms.id.copy(),
        shifts=np.asarray(result.shifts_px, np.float64).copy(),
        scale=np.asarray(result.scale, np.float64).copy(),
        background=(np.asarray(result.background, np.float64) - zero) / unit,
        next_id=int(max(atoms.id.max(initial=-1) + 1, details.get("next_id", 0))),
        own_width=own,
        learnt=np.zeros((1, 0)) if learnt is None else np.asarray(learnt, np.float64),
        distortion=np.zeros((1, 4)) if distortion is None else np.asarray(distortion, np.float64),
        focus=np.zeros(tilts) if focus is None else np.asarray(focus, np.float64),
    )


def _widths(atoms: Orbitals, common: bool) -> list[float]:
    """Typical width of every species, or of all."""
    if not len(atoms):
        return [0.5]
    middle = float(np.median(atoms.width))
    if common:
        return [middle]
    there = [atoms.width[atoms.species == s] for s in range(int(atoms.species.max()) + 1)]
    return [float(np.median(some)) if len(some) else middle for some in there]
