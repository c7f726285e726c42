"""The stages of a reconstruction: from a grid of orbitals to atoms."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from napari_lot.lot import polish, population
from napari_lot.lot.aberrations import fit_aberrations
from napari_lot.lot.adam import Adam
from napari_lot.lot.adaptive import fit_kernel
from napari_lot.lot.align import match_shifts
from napari_lot.lot.evidence import Evidence
from napari_lot.lot.mixture import Mixture, fit_mixture
from napari_lot.lot.problem import Problem, State
from napari_lot.lot.start import Hull, grid, split_shifts
from napari_lot.physics.elements import relative_strengths, weakest_contrast
from napari_lot.physics.optics import contrast_bound
from napari_lot.settings import REFINED_BY_DEFAULT, Solver

Floats = NDArray[np.float64]
FIRST_GUESS_BLUR = 0.35
"""Blur in nearest-neighbour distances that finds peaks on a grid whose points have hardly moved yet."""
FIRST_GUESS_S = 5.0
CENTER_SIGMA_A = 0.5
"""How well the rotation centre is known before the fit: a centre of mass, or the middle of an aligned series."""
PER_ATOM = ("positions", "height")
MOST_OVERSAMPLING = 4


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
    """What one mini-batch leaves for a consumer; arrays are not changed afterwards."""

    stage: str
    step: int
    steps_total: int
    tilts: NDArray[np.int64]
    calculated: NDArray[np.float32]
    loss: float


class Reconstruction:
    """Fits a ``State`` to a ``Problem``; its stages are generators of ``Progress`` that may be stopped between steps.

    Parameters
    ----------
    problem : Problem
    state : State
    hull : Hull
        Where births may happen.
    spacing_A : float
        Expected nearest-neighbour distance.
    settings : Solver
    elements : tuple of str
        Symbols of what the orbitals may be.
    adaptive : bool
        The images correct the probe.
    poll : callable
        Called before every mini-batch; raises ``Stopped``.
    """

    def __init__(
        self,
        problem: Problem,
        state: State,
        hull: Hull,
        spacing_A: float,
        settings: Solver,
        elements: tuple[str, ...] = ("X",),
        adaptive: bool = False,
        poll: Callable[[], None] = lambda: None,
    ) -> None:
        self.problem = problem
        self.state = state
        self.hull = hull
        self.spacing_A = spacing_A
        self.settings = settings
        self.elements = elements
        self.adaptive = adaptive
        self.weakest = weakest_contrast(elements)
        self.p_element: Floats | None = None
        self.poll = poll
        self.rng = np.random.default_rng(settings.seed)
        self.adam = Adam()
        self.stage = "start"
        self.step = 0
        self.steps_total = self._plan()
        self.mixture: Mixture | None = None
        self.log: list[str] = []
        self.seconds: dict[str, float] = {}
        self.evidence = Evidence(problem, hull, spacing_A, settings, one_height=len(elements) == 1)
        self.settled: State | None = None
        self.condensed = False
        self.refine = refined_groups(settings, hull.isolated)
        self.population_is_free = {"positions", "heights"} <= self.refine

    # -- the road -----------------------------------------------------------------------------------------------

    def _plan(self) -> int:
        s = self.settings
        return (
            s.heights_passes
            + s.positions_passes
            + (1 + len(s.merge_distances)) * s.merge_passes
            + s.refine_passes
            + s.polish_steps
        )

    def condense(self) -> Iterator[Progress]:
        """Heights, positions, gathering, merging: a grid of orbitals condenses to atoms."""
        s = self.settings
        yield from self.passes("heights", s.heights_passes, ("height", "background"))
        self._align()
        self._cull(0.02)
        groups = ("positions", "height", "center")
        yield from self.passes("positions", s.positions_passes, groups)
        self._align()
        self._cull(s.cull[0])
        self._gather(s.gather * self.spacing_A)
        self.condensed = True
        yield from self.passes("merge", s.merge_passes, groups)
        for k, distance in enumerate(s.merge_distances):
            part = s.cull[min(k + 1, len(s.cull) - 1)]
            self._cull(min(part, max(0.5 * self.weakest, s.cull[0])))
            self._merge(distance * self.spacing_A)
            self._align()
            yield from self.passes("merge", s.merge_passes, (*groups, "width", "background", "scale"))

    def _align(self) -> None:
        """Move tilts whose calculated image lies elsewhere than the measured one by more than noise explains."""
        if "shifts" not in self.refine:
            return
        moves = match_shifts(self.problem, self.state, self.spacing_A / self.problem.model.image_pixel_A)
        self.state = replace(self.state, shifts=self.state.shifts + moves)
        self._note(f"aligned {(moves != 0).any(1).sum()} tilts, by {np.sqrt((moves**2).mean()):.2f} pixels rms")
        self._fix_gauge(("shifts",))

    def settle(self) -> None:
        """What counts where a run is stopped: settled atoms, or the peaks of a grid that was still condensing."""
        if self.settled is not None:
            self.state = self.settled
        elif not self.condensed:
            # a grid that has hardly seen the images has no peaks yet: as many passes as a person waits for
            self.poll, until = lambda: None, time.perf_counter() + FIRST_GUESS_S
            planned = ["heights"] * max(3 - self.step, 0) + ["positions"] * 5
            for stage in planned:
                if time.perf_counter() < until:
                    groups = ("height", "background") if stage == "heights" else ("positions", "height", "center")
                    for _ in self.passes(stage, 1, groups):
                        pass
            self._cull(self.settings.cull[0])
            self._gather(FIRST_GUESS_BLUR * self.spacing_A)
            self._cull(min(self.settings.cull[-1], max(0.5 * self.weakest, self.settings.cull[0])))

    def to_atoms(self) -> Iterator[Progress]:
        """Births and deaths while they explain the images better, then the final fit."""
        s = self.settings
        groups = ("positions", "height", "width", "shifts", "angles", "scale", "background")
        self.condensed = True
        self._sample_finely()
        yield from self.passes("refine", s.refine_passes, groups, cosine=True)
        if len(self.state.height):
            self.evidence.proposals(self.state)  # sets the level of the noise
        yield from self.fit("refine", s.birth_steps, groups)
        if self.population_is_free:
            yield from self._mend_population(groups)
        self._sample_finely()  # the width has settled only now
        if self.tells_species():
            yield from self.fit("species", s.birth_steps, groups)
        yield from self._adapt(groups)
        yield from self.fit("polish", s.polish_steps, groups)
        self.tells_species()

    def _adapt(self, groups: tuple[str, ...]) -> Iterator[Progress]:
        """Atoms and probe in turn, while the probe gains: its aberrations first, its pixels then."""
        s, expected = self.settings, self.problem.model.microscope
        optics = [g for g in ("defocus", "probe") if g in self.refine and (self.adaptive or g == "defocus")]
        if not optics or expected is None or not len(self.state.height):
            return
        yield from self.fit("probe", s.birth_steps, groups)
        for _ in range(s.probe_rounds):
            variance = self.evidence.residual_variance(self.state)
            found = fit_aberrations(self.problem, self.state, optics, expected, variance)
            if found is None:
                break
            self.problem.model.close()
            self.problem.model, self.state = found
            lens = self.problem.model.microscope or expected
            self._note(f"probe: defocus {lens.defocus_A:.1f}, C12 {lens.c12_A:.1f}, C21 {lens.c21_A:.0f} Å")
            yield from self.fit("probe", s.birth_steps, groups)
        for _ in range(s.probe_rounds if self.adaptive and "probe" in self.refine else 0):
            variance = self.evidence.residual_variance(self.state)
            kernel = fit_kernel(self.problem, self.state, s.probe_reach_A, variance)
            self._note(f"probe: log evidence {kernel.significance:.1f}")
            if kernel.significance <= 0:
                self.problem.model.set_kernel(None)
                break
            self.problem.model.set_kernel(kernel.pixels)
            yield from self.fit("probe", 2 * s.birth_steps, groups)
        if self.population_is_free:  # with another probe other orbitals may be atoms
            yield from self._births_and_deaths(groups)
            self._prune()

    def _mend_population(self, groups: tuple[str, ...]) -> Iterator[Progress]:
        """Births, deaths and new arrangements, while the images ask for them."""
        s = self.settings
        yield from self._births_and_deaths(groups)
        for _ in range(s.melt_rounds):
            before = self.state
            if not self._melt():
                break
            self.settled = before  # what counts if the run is stopped while places are molten
            yield from self.condense()
            yield from self.passes("refine", s.refine_passes, groups, cosine=True)
            yield from self.fit("refine", s.birth_steps, groups)
            yield from self._births_and_deaths(groups)
            self.settled = None
            if not self._worth_it(before):
                break
        self._prune()

    def tells_species(self) -> bool:
        """Give every orbital the element that its scattering strength speaks for; False where there is only one.

        Elements are in the order of their strengths. The widths, one an element, begin as what the orbitals have.
        """
        state, n = self.state, len(self.state.height)
        if len(self.elements) < 2 or "X" in self.elements or n < 2 * len(self.elements):
            return False
        _, weight = self.evidence.images_and_weights(state)
        area = np.pi * state.width[state.species] ** 2
        error = self.evidence.inflation / np.sqrt(self.evidence.curvature(state, state.positions, weight.numpy()))
        self.mixture = fit_mixture(area * state.height, area * error, elements=self.elements)
        of_component = np.argsort(relative_strengths(self.elements), kind="stable")
        best = self.mixture.probability.argmax(1)
        width = state.width[state.species]
        state = state.copy()
        state.species = of_component[best]
        known = [width[state.species == k] for k in range(len(self.elements))]
        state.width = np.array([float(b.mean()) if len(b) else float(width.mean()) for b in known])
        # what an image measures is pi H B^2
        state.height = state.height * (width / state.width[state.species]) ** 2
        self.state = state
        self.p_element = self.mixture.probability[np.arange(n), best]
        counts = np.bincount(state.species, minlength=len(self.elements))
        self._note("species: " + ", ".join(f"{c} {e}" for c, e in zip(counts, self.elements, strict=True)))
        return True

    def _births_and_deaths(self, groups: tuple[str, ...]) -> Iterator[Progress]:
        s = self.settings
        for _ in range(s.birth_rounds if len(self.state.height) else 0):
            before = self.state
            places = self.evidence.proposals(self.state)
            if not self._deaths() + self._doubles() + self._births(*places):
                break
            yield from self.fit("birth", s.birth_steps, groups)
            if self._deaths():
                yield from self.fit("birth", s.birth_steps, groups)
            if not self._worth_it(before):
                break

    def _worth_it(self, before: State) -> bool:
        """True where the population is worth its cost, compared with an earlier one; else that one is back."""
        prior = self.evidence.height_prior(self.state)
        gain = self.evidence.cost(before, prior) - self.evidence.cost(self.state, prior)
        self._note(f"gain {gain:.1f} with {len(self.state.height)} for {len(before.height)}")
        if gain <= 0:
            self.state = before
            self.adam = Adam()
        return gain > 0

    def _melt(self) -> int:
        """Put the grid back where orbitals crowd or are too weak, so that several of them can find a new arrangement.

        A single birth or death cannot mend a place where the neighbours of a missing atom have moved into its gap.
        Returns how many orbitals were taken out.
        """
        s, state = self.settings, self.state
        reach = 0.9 * self.spacing_A
        crowded, weak, _ = self._doubts()
        doubtful = state.positions[crowded | weak]
        if len(doubtful) == 0:
            return 0
        melted = _distance(state.positions, doubtful) < reach
        if melted.mean() > s.melt_part:
            # Melting mends isolated places. Where the images leave a large part in doubt, the residual prefers
            # arrangements that explain the errors of the images.
            self._note(f"no melt: {melted.sum()} of {len(melted)} orbitals are in doubt")
            return 0
        low, high = doubtful.min(0) - reach, doubtful.max(0) + reach
        points = grid(self.hull, low, high, s.melt_grid * self.spacing_A)
        points = points[_distance(points, state.positions[melted]) < reach]
        if not melted.all():
            points = points[_distance(points, state.positions[~melted]) > 0.55 * self.spacing_A]
        if len(points) == 0:
            return 0
        height = state.height[melted].sum() / len(points)
        self._note(f"melt: {melted.sum()} of {len(melted)} orbitals, {len(points)} in their place")
        self.state = state.select(~melted).add(points, np.full(len(points), height))
        self.adam = Adam()
        return int(melted.sum())

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

    def _doubts(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.int64]]:
        """Which orbitals are too close to another, which are too weak for their element, and the nearest of each."""
        s, state = self.settings, self.state
        limit = s.weak * population.typical_height(state) if self.evidence.one_height else 0.0
        weak = np.asarray(state.height < limit)
        if len(weak) < 2:
            return np.zeros(len(weak), bool), weak, np.zeros(len(weak), np.int64)
        distance, neighbour = cKDTree(state.positions).query(state.positions, k=2)
        crowded = np.asarray(distance)[:, 1] < s.crowded * self.spacing_A
        return crowded, weak, np.asarray(neighbour, np.int64)[:, 1]

    def _prune(self) -> None:
        """Take away what is both: too weak for an atom and too close to a stronger one.

        Either alone may be an atom that is badly measured; together they are a part of their neighbour, or of a model
        that explains the errors of the images.
        """
        crowded, weak, neighbour = self._doubts()
        false = crowded & weak & (self.state.height < self.state.height[neighbour])
        self._note(f"prune: {false.sum()} of {len(false)}")
        self._select(~false)

    # -- passes over the series -------------------------------------------------------------------------------------

    def passes(self, stage: str, count: int, groups: tuple[str, ...], cosine: bool = False) -> Iterator[Progress]:
        """``count`` mini-batched passes over the series, refining the allowed ones of ``groups``."""
        began = time.perf_counter()
        self.stage = stage
        groups = self._allowed(groups)
        self._sort()
        fitted = self.problem.fitted
        batches = max(1, round(len(fitted) / self.settings.batch_tilts))
        steps = count * batches
        done = 0
        for _ in range(count if len(self.state.height) else 0):
            order = self.rng.permutation(fitted)
            for tilts in np.array_split(order, batches):
                self.poll()
                slow = 0.5 * (1 + np.cos(np.pi * done / steps)) if cosine else 1.0
                progress = self._mini_batch(np.sort(tilts), groups, max(slow, 0.01))
                done += 1
                yield progress
            self._fix_gauge(groups)
            self.step += 1
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - began

    def fit(self, stage: str, steps: int, groups: tuple[str, ...]) -> Iterator[Progress]:
        """Full-batch quasi-Newton fit of the allowed groups, to convergence or for so many steps."""
        began = time.perf_counter()
        self.stage = stage
        self.adam = Adam()  # its memory does not outlive a fit by other means
        self._sort()
        groups = self._allowed(groups)
        while steps > 0 and groups and len(self.state.height):
            fitting = self.problem.model
            for progress in self._descend(steps, groups):
                steps -= 1
                yield progress
                self.poll()
                if not fitting.fits_width(self.state.typical_width):
                    break  # the sampling of the windows no longer suits the width: set it anew, and go on
            else:
                steps = 0
            self._fix_gauge(groups)
            fitting.set_width(self.state.typical_width)
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - began

    def _descend(self, steps: int, groups: tuple[str, ...]) -> Iterator[Progress]:
        prior = self.evidence.height_prior(self.state)
        curvature = self.evidence.curvatures(self.state, groups)
        if prior is not None and "height" in curvature:
            curvature["height"] = curvature["height"] + prior.strength
        tilts = np.arange(len(self.problem))
        path = polish.lbfgs(self.problem, self.state, groups, curvature, steps, self.settings.tolerance, prior)
        for state, loss, calculated in path:
            self.state = state
            self.step += 1
            yield Progress(self.stage, self.step, max(self.steps_total, self.step + 1), tilts, calculated, loss)

    def _allowed(self, groups: tuple[str, ...]) -> tuple[str, ...]:
        refine = self.refine
        names = {"height": "heights"}
        wanted = [g for g in groups if names.get(g, g) in refine]
        if "shifts" in groups and "shifts" not in wanted and "center" in refine:
            wanted.append("center")
        return tuple(wanted)

    def _mini_batch(self, tilts: NDArray[np.int64], groups: tuple[str, ...], rate: float) -> Progress:
        state, s = self.state, self.settings
        asked = tuple("shifts" if g == "center" else g for g in groups)
        found = self.problem.evaluate(state, tilts, asked)
        g = found.gradients
        n, t = len(state.height), len(self.problem)
        typical = max(population.typical_height(state), 1e-12)
        state = state.select(slice(None))
        if "positions" in g:
            state.positions = state.positions + self.adam.step("positions", g["positions"], rate * s.position_step_A, n)
        if "height" in g:
            mean = float(state.height.mean())
            change = self.adam.step("height", g["height"], rate * s.height_step * mean, n)
            state.height = np.maximum(state.height + change, 0.0)
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
            state.background = state.background.copy()
            state.background[tilts] += self.adam.step("background", g["background"], rate * 0.02 * typical, t, tilts)
        self.state = state
        return Progress(
            self.stage, self.step, max(self.steps_total, self.step + 1), tilts, found.calculated, found.loss
        )

    def _fix_gauge(self, groups: tuple[str, ...]) -> None:
        """Mean scale 1; what shifts and angles have in common, a motion of the object, goes to the positions."""
        state = self.state
        if "angles" in groups and "positions" in self.refine:
            self._fix_turn()
        if {"scale", "heights"} <= self.refine:
            mean = float(state.scale[self.problem.fitted].mean())
            state.scale = state.scale / mean
            state.height = state.height * mean
        if ("shifts" in groups or "center" in groups) and "positions" in self.refine:
            move, _ = self.split_shifts()
            turn = self.problem.rotations(state)[:, :2]
            state.positions = state.positions + move
            state.shifts = state.shifts - (turn @ move) / self.problem.model.image_pixel_A

    def _fix_turn(self) -> None:
        """Turn the object by what the corrections of all tilts have in common, and take it from them."""
        own, fitted = self.problem.model.rotations.numpy(), self.problem.fitted
        state = self.state
        for _ in range(3):  # small turns add up only nearly
            turned = self.problem.rotations(state)
            design = turned[fitted].reshape(-1, 3)  # a turn q of the specimen is the turn R_j q of tilt j
            common = np.linalg.lstsq(design, state.angles[fitted].reshape(-1), rcond=1e-6)[0]
            turn = Rotation.from_rotvec(common).as_matrix()
            state.positions = state.positions @ turn.T
            rest = turned @ turn.T @ own.transpose(0, 2, 1)
            state.angles = Rotation.from_matrix(rest).as_euler("xyz")

    def split_shifts(self) -> tuple[Floats, Floats]:
        """What the shifts (T, 2) hold besides drift: a translation (3,) in Å and a centre (du, dv) in pixels.

        Where a centre cannot be told from a translation (along a single tilt axis) it is counted as a translation.
        """
        fitted = self.problem.fitted
        pixel = self.problem.model.image_pixel_A
        turn = self.problem.rotations(self.state)[fitted, :2]
        move, center = split_shifts(self.state.shifts[fitted] * pixel, turn, CENTER_SIGMA_A)
        return move, center / pixel

    def _sort(self) -> None:
        """Orbitals in the order of image rows: near in memory is near on the canvas, at every tilt about y."""
        p = self.state.positions
        self._select(np.lexsort((p[:, 0], np.floor(p[:, 1] / 2.0))))

    def _select(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> None:
        self.state = self.state.select(index)
        self.adam.select(PER_ATOM, index)

    # -- population -------------------------------------------------------------------------------------------------

    def _cull(self, part: float) -> None:
        keep = population.cull(self.state, part * float(np.quantile(self.state.height, 0.9)))
        self._note(f"cull {part}: {len(keep)} -> {keep.sum()}")
        self._select(keep)

    def _gather(self, sigma_A: float) -> None:
        before = len(self.state.height)
        self.state = population.gather(self.state, sigma_A, self.problem.model.threads)
        self.adam = Adam()  # an orbital's past steps say nothing of the peak
        self._note(f"gather {sigma_A:.2f}: {before} -> {len(self.state.height)}")

    def _merge(self, distance_A: float, guarded: bool = False) -> int:
        before = self.state.ids
        typical = population.typical_height(self.state)
        close = 0.45 * self.spacing_A

        def may_merge(a: Floats, b: Floats, d: Floats) -> NDArray[np.bool_]:
            return (a + b < 1.5 * typical) | (d < close)

        self.state = population.merge(self.state, distance_A, may_merge if guarded else None)
        self.adam.select(PER_ATOM, np.isin(before, self.state.ids))
        self._note(f"merge {distance_A:.2f}: {len(before)} -> {len(self.state.ids)}")
        return len(before) - len(self.state.ids)

    def _doubles(self) -> int:
        """Merge halves of one atom; returns how many orbitals went."""
        return self._merge(self.settings.halves_distance * self.spacing_A, guarded=True)

    def _deaths(self) -> int:
        """Remove orbitals that the images do not ask for; returns how many."""
        judge = self.evidence
        _, weight = judge.images_and_weights(self.state)
        curvature = judge.curvature(self.state, self.state.positions, weight.numpy())
        gain = 0.5 * self.state.height**2 * curvature / judge.inflation**2
        keep = gain >= judge.price(self.state)
        self._note(f"deaths: {(~keep).sum()} of {len(keep)}")
        self._select(keep)
        return int((~keep).sum())

    def _births(self, points: Floats, height: Floats, score: Floats) -> int:
        s = self.settings
        if len(points) == 0:
            return 0
        typical = population.typical_height(self.state)
        evidence = 0.5 * np.maximum(score / self.evidence.inflation, 0.0) ** 2
        # neighbours have been pulled towards a missing atom, so that the residual asks for less than all of it
        good = (height > s.birth_height * max(self.weakest, 0.05) * typical) & (
            evidence > 0.5 * s.birth_significance**2
        )
        points, height, score = points[good], height[good], score[good]
        chosen = population.separate(points, score, 0.6 * self.spacing_A, self.state.positions, 0.6 * self.spacing_A)
        # the best first: neighbours of a birth are judged again once it has been fitted
        chosen = chosen[: max(1, int(s.birth_part * len(self.state.height)))]
        self._note(f"births: {len(chosen)} of {good.sum()} places, scatter {self.evidence.inflation:.2f}")
        if len(chosen):
            self.state = self.state.add(points[chosen], np.minimum(height[chosen], typical))
            self.adam.extend(PER_ATOM, len(chosen))
        return len(chosen)

    def _note(self, text: str) -> None:
        self.log.append(text)


def _distance(points: Floats, to: Floats) -> Floats:
    """Distance (N,) of each point (N, 3) to the nearest of others (M, 3)."""
    return np.asarray(cKDTree(to).query(points)[0], np.float64)
