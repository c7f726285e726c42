"""Fits of a state: mini-batched passes by Adam, quasi-Newton fits of the whole series. No atom comes or goes here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_lot.edit import Edit
from napari_lot.errors import RunFailed
from napari_lot.lot import gauge, polish, population
from napari_lot.lot.adam import Adam
from napari_lot.lot.editing import ByHand
from napari_lot.lot.evidence import Evidence
from napari_lot.lot.hull import Hull
from napari_lot.lot.problem import Evaluation, Problem, State
from napari_lot.lot.shared import WHOLLY_SHARED, shared_modes
from napari_lot.physics.optics import contrast_bound
from napari_lot.settings import REFINED_BY_DEFAULT, Solver

PER_ATOM = ("positions", "height")
MOST_OVERSAMPLING = 4
GRID_STAGES = ("start", "heights", "positions", "merge")
"""Stages in which several orbitals stand for one atom: there is nothing to edit."""
PART, LEAST_OF_A_PART = 600_000, 6
"""Orbitals seen by tilts, about, after which a pass is told of: some tenths of a second on two cores. And tilts of such
a part for each thread at least: threads that have none left wait for the last one."""
RECOVERY, LEAST_CAUTION = 1.1, 1e-3
"""Growth of steps that had become smaller, with each step that was none too many, and where they are given up."""
LEAST_STEPS, FAR = 8, 0.02
"""Steps after which, and change of the images by what orbitals share above which, its curvature is calculated anew."""


class Stopped(Exception):
    """The consumer asked for an end (finish or cancel), or time is up."""


def refined_groups(settings: Solver, isolated: bool) -> set[str]:
    """What is refined of an object that does, or does not, lie within the field at every tilt.

    What lies outside the field of a film is not modelled and pulls at every tilt; drift and structure then trade
    places. The images of films come aligned to each other, so that is kept unless drift is asked for.
    """
    if settings.refine is not None:
        asked: set[str] = {*settings.refine}
        return asked - {*settings.fix}
    refine: set[str] = {*REFINED_BY_DEFAULT}
    return (refine if isolated else refine - {"shifts"}) - {*settings.fix}


@dataclass(frozen=True)
class Progress:
    """What one mini-batch leaves for a consumer, or a part of a pass; arrays are not changed afterwards.

    Without ``stepped`` the state is the one of before, and the images are those of a step that is tried. ``pixels`` is
    how many the loss is of, where these are more than the images have.
    """

    stage: str
    step: int
    steps_total: int
    tilts: NDArray[np.int64]
    calculated: NDArray[np.float32]
    loss: float
    stepped: bool = True
    pixels: int = 0


def row_order(positions: NDArray[np.float64]) -> NDArray[np.int64]:
    """Order of orbitals (N, 3) by image rows: near in memory is near on the canvas, at every tilt about y."""
    return np.lexsort((positions[:, 0], np.floor(positions[:, 1] / 2.0)))


def mini_batches(directions: NDArray[np.float64], count: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Tilts in ``count`` batches, each drawn at random from all over the tilt range; indices in order.

    Far above or below the focal plane an atom is sharp in few tilts, which are neighbours: of batches drawn from all
    tilts alike, many would have none of them.

    Parameters
    ----------
    directions : (T, 3)
        Of the beam in the specimen, of each tilt.
    """
    spread = directions - directions.mean(0)
    along = spread @ np.linalg.svd(spread, full_matrices=False)[2][0]
    in_order = np.argsort(along, kind="stable")
    batches: list[list[int]] = [[] for _ in range(count)]
    for first in range(0, len(in_order), count):
        stratum = in_order[first : first + count]
        # the last one has fewer tilts than there are batches
        for tilt, k in zip(stratum, rng.permutation(count), strict=False):
            batches[k].append(int(tilt))
    for batch in batches:
        if batch:
            yield np.sort(np.array(batch, np.int64))


class Fit:
    """Fits a ``State`` to a ``Problem``; its stages are generators of ``Progress`` that may be stopped between steps.

    Parameters
    ----------
    problem : Problem
    state : State
    hull : Hull
        Where atoms may be.
    spacing_A : float
        Expected nearest-neighbour distance.
    settings : Solver
    one_height : bool
        All atoms are of one element and so of about one height.
    poll : callable
        Called before every mini-batch; raises ``Stopped``.
    edits : callable
        What somebody has changed among the atoms since it was last asked, or None.
    clock : callable
        Seconds of work, for the time of each stage.

    Attributes
    ----------
    editable : bool
        While ``poll`` is called: whether an edit could be taken now.
    """

    def __init__(
        self,
        problem: Problem,
        state: State,
        hull: Hull,
        spacing_A: float,
        settings: Solver,
        one_height: bool,
        poll: Callable[[], None],
        edits: Callable[[], Edit | None] = lambda: None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.problem = problem
        self.state = state
        self.hull = hull
        self.spacing_A = spacing_A
        self.settings = settings
        self.poll = poll
        self.edits = edits
        self.clock = clock
        self.editable = False
        self.by_hand = ByHand(spacing_A)
        self.rng = np.random.default_rng(settings.seed)
        self.adam = Adam()
        # part of a step of Adam's that is taken, and the last state whose gradients were numbers
        self.caution, self._good = 1.0, state
        self.stage = "start"
        self.step = 0
        self.steps_total = 0
        self.log: list[str] = []
        self.seconds: dict[str, float] = {}
        self.evidence = Evidence(problem, hull, spacing_A, settings, one_height)
        self.refine = refined_groups(settings, hull.isolated)

    def passes(self, stage: str, count: int, groups: tuple[str, ...], cosine: bool = False) -> Iterator[Progress]:
        """``count`` mini-batched passes over the series, refining the allowed ones of ``groups``."""
        began = self.clock()
        self.stage = stage
        # what the images' geometry needs is left to whole fits: no mini-batch steps it
        groups = tuple(g for g in self._allowed(groups) if g not in self.geometry())
        self._sort()
        fitted = self.problem.fitted
        batches = max(1, round(len(fitted) / self.settings.batch_tilts))
        steps = count * batches
        done = 0
        for _ in range(count if len(self.state.height) else 0):
            for tilts in mini_batches(self.problem.model.rotations.numpy()[fitted, 2], batches, self.rng):
                self._poll_and_take_edit()
                slow = 0.5 * (1 + np.cos(np.pi * done / steps)) if cosine else 1.0
                progress = self._mini_batch(fitted[tilts], groups, max(slow, 0.01))
                done += 1
                yield progress
            gauge.fix(self.problem, self.state, groups, self.refine)
            self.step += 1
        self.seconds[stage] = self.seconds.get(stage, 0.0) + self.clock() - began

    def fit(self, stage: str, steps: int, groups: tuple[str, ...]) -> Iterator[Progress]:
        """Full-batch quasi-Newton fit of the allowed groups, to convergence or for so many steps."""
        began = self.clock()
        self.stage = stage
        self.adam = Adam()  # its memory does not outlive a fit by other means
        self._sort()
        groups = self._allowed(groups)
        steps, goes_on = self._begun(steps)
        while steps > 0 and groups and len(self.state.height):
            fitting = self.problem.model
            path = self._descend(steps, groups, goes_on)
            if goes_on is not None:
                steps, goes_on = steps - (goes_on.taken - 1), None
            for progress in path:
                yield progress
                if not progress.stepped:
                    continue
                steps -= 1
                if self._poll_and_take_edit():
                    steps = max(steps, self.settings.birth_steps)  # what was added has not been fitted yet
                    break
                if not fitting.fits_width(self.state.typical_width):
                    break  # the sampling of the windows no longer suits the width: set it anew, and go on
            else:
                steps = 0
            self.state = replace(self.state)  # another one than was told of
            gauge.fix(self.problem, self.state, groups, self.refine)
            fitting.set_width(self.state.typical_width)
        self.seconds[stage] = self.seconds.get(stage, 0.0) + self.clock() - began

    def _poll_and_take_edit(self) -> bool:
        """Poll where the population may change; True where it did.

        After every stage in which that can be comes a fit of all atoms, before any of them is judged.
        """
        self.editable = self._may_be_edited()
        try:
            self.poll()
        finally:
            self.editable = False
        edit = self.edits()
        if edit is None:
            return False
        self.take(edit)
        return True

    def _may_be_edited(self) -> bool:
        return self.stage not in GRID_STAGES

    def take(self, edit: Edit) -> None:
        """Change the population as somebody has asked; what the optimiser remembers of the other atoms stays."""
        stays = ~np.isin(self.state.ids, edit.removed)
        self.state = self.by_hand.make(edit, self.state, self.stage, self.step)
        self.adam.select(PER_ATOM, stays)
        self.adam.extend(PER_ATOM, len(edit.added))
        self.adam.forget(PER_ATOM, np.isin(self.state.ids, edit.moved))
        self._note(f"by hand: {edit.words}")

    def _begun(self, steps: int) -> tuple[int, polish.Descent | None]:
        """Steps of a fit that begins, and where it goes on if it had begun before."""
        return steps, None

    def _descent_begins(self, steps: int) -> None:
        """So many steps begin from the state as it is."""

    def _descent_is_at(self, descent: polish.Descent) -> None:
        """A step was taken."""

    def _descend(self, steps: int, groups: tuple[str, ...], goes_on: polish.Descent | None) -> Iterator[Progress]:
        """Quasi-Newton steps, begun again where what all orbitals share has moved far from where its curvature was."""
        while steps > 0:
            self._descent_begins(steps)
            priors = self.evidence.priors(self.state, groups)
            curvature = self.evidence.curvatures(self.state, groups)
            for name in curvature.keys() & priors.keys():
                curvature[name] = curvature[name] + priors[name].strength
            shared = shared_modes(self.problem, self.state, groups, priors)
            for name in WHOLLY_SHARED:
                if name in groups:
                    curvature[name] = shared.diagonal(self.state, name)
            begun = self.state
            path = polish.lbfgs(
                self.problem,
                begun,
                groups,
                curvature,
                steps,
                self.settings.tolerance,
                priors,
                shared=shared,
                parts=self._parts(),
                least=self.evidence.least_loss(self.state),
                goes_on=goes_on,
            )
            taken = 0
            if goes_on is not None:  # which yields its last step again
                taken = goes_on.taken - 1
                self.step, steps, goes_on = self.step + taken, steps - taken, None
            for step in path:
                if step.accepted:
                    self.state = step.state
                    self.step += 1
                    steps -= 1
                    taken += 1
                if step.descent is not None:
                    self._descent_is_at(step.descent)
                total = max(self.steps_total, self.step + 1)
                yield Progress(
                    self.stage, self.step, total, step.tilts, step.calculated, step.loss, step.accepted, step.pixels
                )
                if step.accepted and taken >= LEAST_STEPS and shared.moved(begun, step.state) > FAR:
                    break
            else:
                return

    def _parts(self) -> int:
        """In how many parts a whole pass is told of, so that nobody waits long for the next; the same each time.

        Not where processes or a graphics card share the tilts out: they want many at once.
        """
        model, tilts = self.problem.model, len(self.problem)
        if model.ranks.size > 1 or model.device is not None:
            return 1
        wanted = len(self.state.height) * tilts / PART
        return int(np.clip(round(wanted), 1, max(1, tilts // (LEAST_OF_A_PART * model.threads))))

    def geometry(self) -> tuple[str, ...]:
        """What of each image is refined besides its shift and angles, where the settings ask for it."""
        s = self.settings
        asked = {"distortion": s.distortion != "none", "focus": s.tilt_defocus_A is not None}
        return tuple(name for name, wanted in asked.items() if wanted)

    def shape(self) -> tuple[str, ...]:
        """What of the orbitals is refined besides a common width: not before it is clear which of them are atoms."""
        asked = {"own_width": self.settings.widths == "atom", "learnt": self.state.learnt.size > 0}
        return tuple(name for name, wanted in asked.items() if wanted)

    def _allowed(self, groups: tuple[str, ...]) -> tuple[str, ...]:
        refine = self.refine
        names = {"height": "heights", "own_width": "width", "learnt": "width"}
        geometry = self.geometry()
        wanted = [g for g in groups if names.get(g, g) in refine or g in geometry]
        if "shifts" in groups and "shifts" not in wanted and "center" in refine:
            wanted.append("center")
        return tuple(wanted)

    def _mini_batch(self, tilts: NDArray[np.int64], groups: tuple[str, ...], rate: float) -> Progress:
        state, s = self.state, self.settings
        asked = tuple("shifts" if g == "center" else g for g in groups)
        found = self.problem.evaluate(state, tilts, asked)
        if np.isnan(found.loss):
            return self._step_back(found)
        self._good, rate, self.caution = state, rate * self.caution, min(1.0, RECOVERY * self.caution)
        g = found.gradients
        n, t = len(state.height), len(self.problem)
        state = state.select(slice(None))
        run = self.problem.model.run
        if "positions" in g:
            change = self.adam.step("positions", g["positions"], rate * s.position_step_A, n, run=run)
            state.positions = np.add(state.positions, change, out=change)
        if "height" in g:
            mean = float(state.height.mean())
            change = self.adam.step("height", g["height"], rate * s.height_step * mean, n, run=run)
            change += state.height
            state.height = np.maximum(change, 0.0, out=change)
        if "width" in g:
            change = self.adam.step("width", g["width"], rate * s.width_step_A, len(state.width))
            state.width = np.clip(state.width + change, 0.15, 2.0)
            if not self.problem.model.fits_width(state.typical_width):
                self.problem.model.set_width(state.typical_width)
        pixel = self.problem.model.image_pixel_A
        if "shifts" in groups:
            change = self.adam.step("shifts", g["shifts"], rate * s.shift_step_A / pixel, t, tilts)
            state.shifts = state.shifts.copy()
            state.shifts[tilts] += change
        elif "center" in groups:
            change = self.adam.step("center", g["shifts"].sum(0, keepdims=True), rate * s.shift_step_A / pixel, 1)
            state.shifts = state.shifts + change
        if "angles" in g:
            # as far as the outermost atoms move by a step of the positions
            reach = float(np.linalg.norm(state.positions, axis=1).max()) + 1e-6
            rate_angles = rate * s.position_step_A / reach
            state.angles = state.angles.copy()
            state.angles[tilts] += self.adam.step("angles", g["angles"], rate_angles, t, tilts)
        if "scale" in g:
            state.scale = state.scale.copy()
            state.scale[tilts] += self.adam.step("scale", g["scale"], rate * s.scale_step, t, tilts)
        if "background" in g:
            typical = max(population.typical_height(self.state), 1e-12)
            state.background = state.background.copy()
            state.background[tilts] += self.adam.step("background", g["background"], rate * 0.02 * typical, t, tilts)
        self.state = state
        return Progress(
            self.stage, self.step, max(self.steps_total, self.step + 1), found.tilts, found.calculated, found.loss
        )

    def _step_back(self, found: Evaluation) -> Progress:
        """To the last state whose gradients were numbers, from which smaller steps are taken for a while.

        Raises
        ------
        RunFailed
            However small the steps were, it was of no use.
        """
        self.caution *= 0.5
        if self.caution < LEAST_CAUTION:
            raise RunFailed(
                "The fit does not go on: loss or gradient are not numbers however small its steps; check the values of "
                "the images for extremes, and the settings of the microscope."
            )
        if np.array_equal(self._good.ids, self.state.ids):
            self.state = self._good
        self.adam = Adam()  # its memory led there
        self._note(f"{self.stage}: not a number; back to the last good state, steps of {self.caution:g}")
        return Progress(
            self.stage, self.step, max(self.steps_total, self.step + 1), found.tilts[:0], found.calculated[:0], np.nan,
            stepped=False,
        )  # fmt: skip

    def _sort(self) -> None:
        """Orbitals in the order in which the image model takes them fastest."""
        self._select(row_order(self.state.positions))

    def _select(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> None:
        self.state = self.state.select(index)
        self.adam.select(PER_ATOM, index)

    def _sample_finely(self) -> None:
        """Calculate on a finer grid where the image pixels are too coarse for what the probe and the orbitals show.

        The grid of orbitals condenses without: 20 orbitals per atom would pay for it, and find the same places.
        """
        model, width = self.problem.model, self.state.typical_width
        fine = 1
        while fine < MOST_OVERSAMPLING and (
            contrast_bound(model.microscope, width, 0.5 * fine / model.image_pixel_A) > self.settings.aliasing
        ):
            fine += 1
        if fine > model.canvas.oversampling:
            self._note(f"calculated at {fine} points per pixel")
            model.close()
            self.problem.model = model.oversampled(fine, width)

    def _note(self, text: str) -> None:
        self.log.append(text)
