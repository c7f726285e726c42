"""What is known before the fit: units, hull, image model, and the orbitals that it begins with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_lot.errors import InputError
from napari_lot.job import ProbeSlices
from napari_lot.lot.device.memory import Device
from napari_lot.lot.device.trust import trusted
from napari_lot.lot.distributed import here
from napari_lot.lot.fitting import refined_groups
from napari_lot.lot.given import start_heights
from napari_lot.lot.hull import Hull, box, grid, make_hull
from napari_lot.lot.image_model import ImageModel
from napari_lot.lot.problem import Problem, State
from napari_lot.physics.geometry import series_rotations
from napari_lot.physics.orbital import orbital
from napari_lot.physics.probe import probe_slices
from napari_lot.series import first_look
from napari_lot.series.detector import Choice, choose_likelihood
from napari_lot.series.prepare import units_of_fit
from napari_lot.series.thickness import film_thickness
from napari_lot.settings import Settings

if TYPE_CHECKING:
    from napari_lot.job import Job

PROBE_SLICES = 41
PROBE_EXTENT_PX = 64


@dataclass
class Prepared:
    """A run that is ready to begin: intensity is ``unit`` times the solver's, plus ``zero``.

    ``notes`` are what a person is to be told of the device.
    """

    problem: Problem
    state: State
    hull: Hull
    unit: float
    zero: float
    probe: ProbeSlices
    center: tuple[float, float]
    thickness_A: float | None
    likelihood: Choice
    notes: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        """What calculates the images, in words."""
        model = self.problem.model
        threads = "one thread" if model.threads == 1 else f"{model.threads} threads"
        words = f"the processor ({threads})" if model.device is None else model.device.words
        many = f" in {model.ranks.size} processes" if model.ranks.size > 1 else ""
        return f"; calculated on {words}{many}"

    @property
    def object(self) -> str:
        """What the field shows, in words."""
        if self.hull.isolated:
            return "a particle that lies within the field at every tilt"
        known = "" if self.thickness_A is None else f" of {self.thickness_A:.0f} Å thickness"
        return f"a film{known} that leaves the field"


def _device(settings: Settings) -> tuple[Device | None, tuple[str, ...]]:
    """As ``trusted``; the processor where another process that shares the run has nothing else.

    A card and a processor round differently, and what one process decides all have to.
    """
    device, notes = trusted(settings.solver.device, settings.solver.device_memory_gb)
    if here().all_have(device is not None) or device is None:
        return device, notes
    device.close()
    return None, (*notes, f"{device.words} is not used, the processor is: another process of this run has no card.")


def prepare(job: Job, poll: Callable[[], None] = lambda: None) -> Prepared:
    """Units, hull, image model and start of a job.

    Raises
    ------
    InputError
        There is nothing in the images to begin with, the pixels are too coarse for atoms, or the device that is asked
        for cannot be used.
    """
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
    level = first_look.levels(observed, mask)
    if not first_look.shows_anything(observed, mask, level):
        raise InputError(
            f"{series.source}: no atoms in the field: most images show nothing brighter than their noise; "
            "check the images and the mask."
        )
    assert series.center_px is not None
    center = settings.data.center_px or series.center_px
    shifts = np.zeros((len(series), 2))
    drift = 0.5 * job.spacing_A / series.pixel_size_A
    aligned = first_look.find_alignment(observed, mask, rotations, center, level, drift)
    refined = refined_groups(settings.solver, isolated=aligned is not None)
    if aligned is not None and "shifts" in refined:
        shifts = aligned.shifts_px
    known = settings.data.center_px is not None or series.center_known
    if aligned is not None and "center" in refined and not known:
        center = aligned.center_px
    hull = make_hull(observed, mask, rotations, series.pixel_size_A, center, job.spacing_A, level)
    microscope = None if settings.model.probe == "direct" else settings.microscope
    low, high = box(observed.shape[1:], rotations, series.pixel_size_A, center, hull.least_seen)
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
        points = grid(hull, low, high, settings.start.grid_spacing * job.spacing_A, poll=poll)
    else:
        points = job.start.positions.copy()
    if len(points) == 0:
        raise InputError(
            f"{series.source}: no atoms in the field: no point is brighter than the background in all tilts; "
            "check the images, the angles, the mask and the rotation centre."
        )
    margin = 2.0 + 3.0 * (settings.solver.tilt_defocus_A or 0.0)
    # one tilt at a time: of millions of points all tilts at once take gigabytes
    ends = np.array([(depth.min(), depth.max()) for depth in (points @ toward for toward in rotations[:, 2])])
    reach = (float(ends[:, 0].min()) - margin, float(ends[:, 1].max()) + margin)
    width = settings.start.width_A if job.start is None else float(np.median(job.start.width))
    device, notes = _device(settings)
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
        ranks=here(),
        device=device,
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
    return Prepared(problem, state, hull, unit, zero, slices, center, thickness, choice, notes)
