"""The stages of a reconstruction: from a grid of orbitals to atoms."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from napari_lot.lot import polish, population
from napari_lot.lot.adam import Adam
from napari_lot.lot.problem import Problem, State
from napari_lot.lot.start import Hull, grid, project
from napari_lot.settings import Solver

Floats = NDArray[np.float64]
PER_ATOM = ("positions", "height")


class Stopped(Exception):
    """The consumer asked for an end (finish or cancel), or time is up."""


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
    """Fits a ``State`` to a ``Problem``; ``run`` is a generator of ``Progress`` that may be stopped between mini-batches.

    Parameters
    ----------
    problem : Problem
    state : State
    hull : Hull
        Where births may happen.
    spacing_A : float
        Expected nearest-neighbour distance.
    settings : Solver
    one_height : bool
        All atoms are of one element and so of about one height.
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
        one_height: bool = True,
        poll: Callable[[], None] = lambda: None,
    ) -> None:
        self.problem = problem
        self.state = state
        self.hull = hull
        self.spacing_A = spacing_A
        self.settings = settings
        self.poll = poll
        self.rng = np.random.default_rng(settings.seed)
        self.adam = Adam()
        self.stage = "start"
        self.step = 0
        self.steps_total = self._plan()
        self.loss = np.nan
        self.loss_per_tilt = np.full(len(problem), np.nan)
        self.log: list[str] = []
        self.seconds: dict[str, float] = {}
        self.inflation = 1.0
        self.variance = 1.0
        self.one_height = one_height
        self.refine = set(settings.refine)
        if not hull.isolated and "refine" not in settings.model_fields_set:
            # What lies outside the field of a film is not modelled and pulls at every tilt; drift and structure then trade
            # places. The images of films come aligned to each other, so that is kept unless drift is asked for.
            self.refine -= {"shifts"}
            self._note("the object leaves the field: shifts are refined only on request")

    # -- the road -----------------------------------------------------------------------------------------------

    def _plan(self) -> int:
        s = self.settings
        return (
            s.heights_passes
            + s.positions_passes
            + len(s.merge_distances) * s.merge_passes
            + s.refine_passes
            + s.polish_steps
        )

    def condense(self) -> Iterator[Progress]:
        """Heights, positions, merging: a grid of orbitals condenses to atoms."""
        s = self.settings
        yield from self.passes("heights", s.heights_passes, ("height", "background"))
        self._cull(0.02)
        groups = ("positions", "height", "center")
        yield from self.passes("positions", s.positions_passes, groups)
        for k, distance in enumerate(s.merge_distances):
            self._cull(s.cull[min(k, len(s.cull) - 1)])
            self._merge(distance * self.spacing_A)
            more = ("width", "background", "scale") if k >= 2 else ()
            yield from self.passes("merge", s.merge_passes, (*groups, *more))

    def to_atoms(self) -> Iterator[Progress]:
        """Births and deaths while they explain the images better, then the final fit."""
        s = self.settings
        groups = ("positions", "height", "width", "shifts", "scale", "background")
        yield from self.passes("refine", s.refine_passes, groups, cosine=True)
        self.proposals()  # sets the level of the noise
        yield from self.fit("refine", s.birth_steps, groups)
        yield from self._births_and_deaths(groups)
        for _ in range(s.melt_rounds):
            before = self.state
            if not self._melt():
                break
            yield from self.condense()
            yield from self.passes("refine", s.refine_passes, groups, cosine=True)
            yield from self.fit("refine", s.birth_steps, groups)
            yield from self._births_and_deaths(groups)
            if not self._worth_it(before):
                break
        yield from self.fit("polish", s.polish_steps, groups)

    def _births_and_deaths(self, groups: tuple[str, ...]) -> Iterator[Progress]:
        s = self.settings
        for _ in range(s.birth_rounds):
            before = self.state
            places = self.proposals()
            if not self._deaths() + self._doubles() + self._births(*places):
                break
            yield from self.fit("birth", s.birth_steps, groups)
            if self._deaths():
                yield from self.fit("birth", s.birth_steps, groups)
            if not self._worth_it(before):
                break

    def _worth_it(self, before: State) -> bool:
        """True where the population explains more than it costs, compared with an earlier one; else that one is back."""
        prior = self._height_prior()
        gain = self._cost(before, prior) - self._cost(self.state, prior)
        self._note(f"gain {gain:.1f} with {len(self.state.height)} for {len(before.height)}")
        if gain <= 0:
            self.state = before
            self.adam = Adam()
        return gain > 0

    def _melt(self) -> int:
        """Put the grid back where orbitals crowd or are too weak, so that several of them can find a new arrangement.

        A single birth or death cannot mend a place where the neighbours of a missing atom have moved into its gap. Returns how many
        orbitals were taken out.
        """
        s, state = self.settings, self.state
        reach = 0.9 * self.spacing_A
        tree = cKDTree(state.positions)
        nearest = tree.query(state.positions, k=2)[0][:, 1]
        weak = self.one_height & (state.height < 0.7 * population.typical_height(state))
        doubtful = state.positions[(nearest < s.crowded * self.spacing_A) | weak]
        if len(doubtful) == 0:
            return 0
        melted = cKDTree(doubtful).query(state.positions, distance_upper_bound=reach)[0] < reach
        low, high = doubtful.min(0) - reach, doubtful.max(0) + reach
        points = grid(self.hull, low, high, s.melt_grid * self.spacing_A)
        near = cKDTree(state.positions[melted]).query(points, distance_upper_bound=reach)[0] < reach
        points = points[near]
        if not melted.all():
            points = points[cKDTree(state.positions[~melted]).query(points)[0] > 0.55 * self.spacing_A]
        if len(points) == 0:
            return 0
        height = state.height[melted].sum() / len(points)
        self._note(f"melt: {melted.sum()} of {len(melted)} orbitals, {len(points)} in their place")
        self.state = state.select(~melted).add(points, np.full(len(points), height))
        self.adam = Adam()
        return int(melted.sum())

    # -- passes over the series -------------------------------------------------------------------------------------

    def passes(
        self, stage: str, count: int, groups: tuple[str, ...], cosine: bool = False, rate: float = 1.0
    ) -> Iterator[Progress]:
        """``count`` mini-batched passes over the series, refining the allowed ones of ``groups``."""
        began = time.perf_counter()
        self.stage = stage
        groups = self._allowed(groups)
        self._sort()
        n = len(self.problem)
        batches = max(1, round(n / self.settings.batch_tilts))
        steps = count * batches
        done = 0
        for _ in range(count):
            order = self.rng.permutation(n)
            for tilts in np.array_split(order, batches):
                self.poll()
                slow = 0.5 * (1 + np.cos(np.pi * done / steps)) if cosine else 1.0
                progress = self._mini_batch(np.sort(tilts), groups, rate * max(slow, 0.01))
                done += 1
                yield progress
            self._fix_gauge(groups)
            self.step += 1
            self.loss = float(np.nanmean(self.loss_per_tilt))
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - began

    def fit(self, stage: str, steps: int, groups: tuple[str, ...]) -> Iterator[Progress]:
        """Full-batch quasi-Newton fit of the allowed groups, to convergence or for so many steps."""
        began = time.perf_counter()
        self.stage = stage
        self.adam = Adam()  # its memory does not outlive a fit by other means
        self._sort()
        groups = self._allowed(groups)
        while steps > 0 and groups:
            fitting = self.problem.model
            for progress in self._descend(steps, groups):
                steps -= 1
                yield progress
                self.poll()
                if not fitting.fits_width(float(self.state.width[0])):
                    break  # the sampling of the windows no longer suits the width: set it anew, and go on
            else:
                steps = 0
            self._fix_gauge(groups)
            fitting.set_width(float(self.state.width[0]))
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - began

    def _descend(self, steps: int, groups: tuple[str, ...]) -> Iterator[Progress]:
        prior = self._height_prior()
        curvature = self._curvatures(groups)
        if prior is not None and "height" in curvature:
            curvature["height"] = curvature["height"] + prior.strength
        tilts = np.arange(len(self.problem))
        path = polish.lbfgs(self.problem, self.state, groups, curvature, steps, self.settings.tolerance, prior)
        for state, loss, calculated in path:
            self.state = state
            self.loss = loss / calculated.size
            self.step += 1
            yield Progress(self.stage, self.step, max(self.steps_total, self.step + 1), tilts, calculated, loss)

    def _curvatures(self, groups: tuple[str, ...]) -> dict[str, Floats]:
        """Gauss-Newton curvature of the loss for every parameter of the groups, neighbours left out of account."""
        state, problem = self.state, self.problem
        n, t = len(state.height), len(problem)
        images, weight = self._images_and_weights(variance=1.0)
        energy, sharpness = self._unit_atom()
        height = self._curvature(state.positions, weight.numpy())
        weight = weight.double()
        signal = (images - torch.from_numpy(state.background)[:, None, None]).double()
        along_v, along_u = torch.gradient(signal, dim=(1, 2))
        shifts = torch.stack([(weight * along_u**2).sum((1, 2)), (weight * along_v**2).sum((1, 2))], 1)
        every = {
            "height": height,
            "positions": np.repeat((state.height**2 * height * sharpness)[:, None], 3, 1),
            "shifts": shifts.numpy(),
            "center": shifts.sum(0).numpy(),
            "scale": (weight * signal**2).sum((1, 2)).numpy(),
            "background": weight.sum((1, 2)).numpy(),
        }
        if "width" in groups:
            wider = state.copy()
            wider.width = state.width * 1.02
            some = np.arange(0, t, max(1, t // 8))
            change = problem.evaluate(wider, some, ()).calculated - images[some].numpy()
            part = weight[some].numpy() * (change / (0.02 * state.width[0])) ** 2
            every["width"] = np.full(len(state.width), part.sum(dtype=np.float64) * t / len(some))
        # what hardly any pixel sees has next to no curvature of its own and must not take endless steps
        return {g: np.maximum(every[g], 1e-2 * np.median(every[g])) for g in groups}

    def _images_and_weights(self, variance: float | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Calculated tilts and the weight of every pixel (mask / variance), both (T, V, U)."""
        n = len(self.problem)
        images = torch.cat([torch.from_numpy(self.problem.evaluate(self.state, [j], ()).calculated) for j in range(n)])
        if variance is None:
            variance = self.variance = self.noise_variance(images)
        return images, self.problem.weight(images, torch.arange(n), variance)

    def _unit_atom(self) -> tuple[Floats, float]:
        """Energy (T,) of the image of a unit orbital at the origin, and the energy of its gradient in space relative to that in 1/Å^2.

        The gradient counts with 2/3: over many tilts each axis of the specimen lies in the image for two thirds.
        """
        state, model = self.state, self.problem.model
        one = torch.ones(1, dtype=torch.float64)
        width = torch.from_numpy(state.width)[:1]
        alone = model.images(range(len(self.problem)), torch.zeros(1, 3, dtype=torch.float64), one, width, None)
        energy = (alone**2).sum((1, 2)).numpy().astype(np.float64) * state.scale**2
        along_v, along_u = torch.gradient(alone / model.image_pixel_A, dim=(1, 2))
        sharpness = float((along_u**2 + along_v**2).sum() / (alone**2).sum()) / 3.0
        return energy, sharpness

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
            if not self.problem.model.fits_width(float(state.width[0])):
                self.problem.model.set_width(float(state.width[0]))
        pixel = self.problem.model.image_pixel_A
        if "shifts" in groups:
            change = self.adam.step("shifts", g["shifts"], rate * s.shift_step_A / pixel, t, tilts)
            state.shifts = state.shifts.copy()
            state.shifts[tilts] += change
        elif "center" in groups:
            change = self.adam.step("center", g["shifts"].sum(0, keepdims=True), rate * s.shift_step_A / pixel, 1)
            state.shifts = state.shifts + change
        if "scale" in g:
            state.scale = state.scale.copy()
            state.scale[tilts] += self.adam.step("scale", g["scale"], rate * s.scale_step, t, tilts)
        if "background" in g:
            state.background = state.background.copy()
            state.background[tilts] += self.adam.step("background", g["background"], rate * 0.02 * typical, t, tilts)
        self.state = state
        self.loss_per_tilt[tilts] = found.loss / len(tilts) / found.calculated[0].size
        return Progress(
            self.stage, self.step, max(self.steps_total, self.step + 1), tilts, found.calculated, found.loss
        )

    def _fix_gauge(self, groups: tuple[str, ...]) -> None:
        """Mean scale 1; the part of the shifts that is a translation of the object goes to the positions."""
        state = self.state
        mean = float(state.scale.mean())
        state.scale = state.scale / mean
        state.height = state.height * mean
        if "shifts" in groups or "center" in groups:
            move, _ = self.split_shifts()
            turn = self.problem.model.rotations.numpy()[:, :2]
            state.positions = state.positions + move
            state.shifts = state.shifts - (turn @ move) / self.problem.model.image_pixel_A

    def split_shifts(self) -> tuple[Floats, Floats]:
        """What the shifts (T, 2) hold besides drift: a translation of the object (3,) in Å and a centre (du, dv) in pixels.

        Where a centre cannot be told from a translation (along a single tilt axis) it is counted as a translation.
        """
        turn = self.problem.model.rotations.numpy()
        pixel = self.problem.model.image_pixel_A
        t = len(turn)
        constant = np.tile(np.eye(2), (t, 1, 1))
        design = np.concatenate([turn[:, :2] / pixel, constant], 2).reshape(2 * t, 5)
        weight = np.array([1.0, 1.0, 1.0, 1e-3, 1e-3])
        solution = np.linalg.lstsq(design * weight, self.state.shifts.reshape(-1), rcond=1e-6)[0] * weight
        return solution[:3], solution[3:]

    def _sort(self) -> None:
        """Orbitals in the order of image rows: neighbours in memory are neighbours on the canvas, at every tilt about y."""
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
        return self._merge(self.settings.merge_distances[-1] * self.spacing_A, guarded=True)

    def _deaths(self) -> int:
        """Remove orbitals that the images do not ask for; returns how many."""
        _, weight = self._images_and_weights()
        curvature = self._curvature(self.state.positions, weight.numpy())
        evidence = 0.5 * self.state.height**2 * curvature / self.inflation**2
        keep = evidence >= self.price(self.state.height)
        self._note(f"deaths: {(~keep).sum()} of {len(keep)}")
        self._select(keep)
        return int((~keep).sum())

    def _height_prior(self) -> polish.HeightPrior | None:
        """The prior of the heights in units of the loss, where there is one.

        Counts need none: their noise is known, and pulling weak orbitals up would hide that they are not atoms.
        """
        if not self.one_height or self.problem.kind == "poisson":
            return None
        typical = population.typical_height(self.state)
        noise = self.inflation**2 * self.variance
        return polish.HeightPrior(typical, noise / (self.settings.height_scatter * typical) ** 2)

    def price(self, height: Floats) -> Floats:
        """What an atom of this height must gain in log-likelihood to be believed.

        An even price for every atom, which sets how rarely noise makes one, and with a single element also the prior of its
        height: all atoms of one element have one height, within a scatter.
        """
        s = self.settings
        price = np.full(len(height), 0.5 * s.birth_significance**2)
        if self.one_height:
            lack = np.maximum(1.0 - height / max(population.typical_height(self.state), 1e-300), 0.0)
            price += 0.5 * (lack / s.height_scatter) ** 2
        return price

    def _cost(self, state: State, prior: polish.HeightPrior | None) -> float:
        """What a population costs: negative log-likelihood and log-prior in units of the noise, and the price of every atom."""
        found = self.problem.evaluate(state, np.arange(len(self.problem)), ())
        loss = found.loss + (prior.cost(state.height) if prior is not None else 0.0)
        noise = 1.0 if self.problem.kind == "poisson" else self.variance
        return loss / (noise * self.inflation**2) + 0.5 * self.settings.birth_significance**2 * len(state.height)

    def _births(self, points: Floats, height: Floats, score: Floats) -> int:
        s = self.settings
        if len(points) == 0:
            return 0
        typical = population.typical_height(self.state)
        evidence = 0.5 * np.maximum(score / self.inflation, 0.0) ** 2
        # neighbours have been pulled towards a missing atom, so that the residual asks for less than all of it
        good = (height > s.birth_height * typical) & (evidence > 0.5 * s.birth_significance**2)
        points, height, score = points[good], height[good], score[good]
        chosen = population.separate(points, score, 0.6 * self.spacing_A, self.state.positions, 0.6 * self.spacing_A)
        # the best first: neighbours of a birth are judged again once it has been fitted
        chosen = chosen[: max(1, int(s.birth_part * len(self.state.height)))]
        self._note(f"births: {len(chosen)} of {good.sum()} places, scatter {self.inflation:.2f}")
        if len(chosen):
            self.state = self.state.add(points[chosen], np.minimum(height[chosen], typical))
            self.adam.extend(PER_ATOM, len(chosen))
        return len(chosen)

    def proposals(self) -> tuple[Floats, Floats, Floats]:
        """Places where the residual asks for another atom: points (M, 3), height that it asks for, significance.

        With g the back-projected weighted residual and A the curvature of the likelihood for a unit atom there, the best height
        of an added atom is g / A and its significance g / sqrt(A) standard deviations.
        """
        state, model = self.state, self.problem.model
        n = len(self.problem)
        calculated, weight = self._images_and_weights()
        residual = weight * (self.problem.observed - calculated)
        # candidates: a grid through the surroundings of the orbitals, not closer than an atom can be
        constant = 0.28 * self.spacing_A
        points = self._surroundings(constant)
        if len(points) == 0:
            return np.zeros((0, 3)), np.zeros(0), np.zeros(0)
        width = torch.from_numpy(state.width)[0]
        scale = torch.from_numpy(state.scale).float()[:, None, None]
        shifts = torch.from_numpy(state.shifts)
        g = model.adjoint(range(n), residual * scale, torch.from_numpy(points), width, shifts).numpy()
        curvature = self._curvature(points, weight.numpy())
        with np.errstate(divide="ignore", invalid="ignore"):
            height = np.where(curvature > 0, g / curvature, 0.0)
            score = np.where(curvature > 0, g / np.sqrt(curvature), 0.0)
        # Residuals that are correlated (denoised images, an imperfect model) make scores scatter more than independent noise
        # would; but misplaced atoms scatter them too. Half of the excess, on a logarithmic scale, counts as noise.
        scatter = 1.4826 * float(np.median(np.abs(score - np.median(score))))
        self.inflation = max(np.sqrt(scatter), 1.0 if self.problem.kind == "poisson" else 0.5)
        return points, height, score

    def _surroundings(self, constant_A: float) -> Floats:
        state = self.state
        lo, hi = state.positions.min(0) - 1.5 * self.spacing_A, state.positions.max(0) + 1.5 * self.spacing_A
        axes = [np.arange(a, b + constant_A, constant_A) for a, b in zip(lo, hi, strict=True)]
        tree = cKDTree(state.positions)
        found = []
        for y in axes[1]:
            points = np.stack(np.meshgrid(axes[0], [y], axes[2], indexing="ij"), -1).reshape(-1, 3)
            d, _ = tree.query(points, distance_upper_bound=2.0 * self.spacing_A)
            points = points[(d >= 0.6 * self.spacing_A) & np.isfinite(d)]
            found.append(points[self.hull.contains(points)])
        return np.concatenate(found)

    def _curvature(self, points: Floats, weight: NDArray[np.float32]) -> Floats:
        """Second derivative of the negative log-likelihood with respect to the height of a unit orbital at each point."""
        state, model = self.state, self.problem.model
        energy, _ = self._unit_atom()
        sigma = 0.7 * float(state.width[0]) / model.image_pixel_A
        total = np.zeros(len(points))
        rotations = model.rotations.numpy()
        for j in range(len(self.problem)):
            smooth = ndimage.gaussian_filter(weight[j], sigma)
            row, column = project(points, rotations[j], model.image_pixel_A, model.center_px)
            place = [row + state.shifts[j, 1], column + state.shifts[j, 0]]
            total += energy[j] * ndimage.map_coordinates(smooth, place, order=1, mode="constant", cval=0.0)
        return total

    def noise_variance(self, calculated: torch.Tensor) -> float:
        """Mean square residual where the object is: noise and what the model misses together."""
        squares = (self.problem.observed - calculated) ** 2
        inside = torch.from_numpy(self.hull.silhouettes)
        if self.problem.weights is not None:
            inside = inside & (self.problem.weights > 0)
        return float(squares[inside].mean())

    def _note(self, text: str) -> None:
        self.log.append(text)
