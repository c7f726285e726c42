"""Fits in which atoms come and go: culling, gathering, merging, births and deaths, melting, pruning."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from napari_lot.edit import Edit
from napari_lot.lot import population
from napari_lot.lot.adam import Adam
from napari_lot.lot.fitting import PER_ATOM, Fit, Progress, refined_groups
from napari_lot.lot.hull import Hull, grid_near
from napari_lot.lot.melting import Aside, set_aside, without_background
from napari_lot.lot.problem import Problem, State
from napari_lot.physics.elements import weakest_contrast
from napari_lot.settings import Solver

Floats = NDArray[np.float64]

SURROUNDINGS = 1.1
"""Expected nearest-neighbour distances around what has changed in which orbitals move along: the first shell."""
FEW = 0.1
"""Part of the orbitals up to which those near a change are fitted, and looked around, by themselves: of more it saves
nothing."""
MANY = 5_000
"""Orbitals from which on that is so: of fewer, the Fourier transforms that any fit makes are the most of a pass."""
MOVED = 0.1
"""Expected nearest-neighbour distances by which an orbital has to move for its surroundings to be looked at again."""

ODD_SCATTER, SIGMA_OF_MEDIAN = 16.0, 1.4826
"""How many times more than heights scatter one departs from the others that is odd: around a missing atom neighbours
share out what it shows. And standard deviations to a median absolute one."""


class PopulationFit(Fit):
    """Decides which orbitals are atoms: takes away what the images do not ask for, and adds what they do.

    Parameters
    ----------
    problem, state, hull, spacing_A, settings, poll, edits, clock
        As for ``Fit``.
    elements : tuple of str
        Symbols of what the orbitals may be.

    Attributes
    ----------
    settled : State or None
        What counts if the run is stopped now, while a change of the population is tried out.
    aside : Aside or None
        What stands still while ``state`` and ``problem`` are those of some places.
    kept : dict
        States that a later one will be compared with, and how many edits there were.
    """

    def __init__(
        self,
        problem: Problem,
        state: State,
        hull: Hull,
        spacing_A: float,
        settings: Solver,
        elements: tuple[str, ...],
        poll: Callable[[], None],
        edits: Callable[[], Edit | None] = lambda: None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        super().__init__(problem, state, hull, spacing_A, settings, len(elements) == 1, poll, edits, clock)
        self.elements = elements
        self.weakest = weakest_contrast(elements)
        self.settled: State | None = None
        self.aside: Aside | None = None
        self.kept: dict[str, tuple[State, int]] = {}

    @property
    def whole(self) -> State:
        """The state of all orbitals, also while those of some places are fitted by themselves."""
        return self.state if self.aside is None else self.aside.joined(self.state)

    def _may_be_edited(self) -> bool:
        return super()._may_be_edited() and self.aside is None

    def take(self, edit: Edit) -> None:
        since = len(self.by_hand)
        super().take(edit)
        if self.settled is not None:
            self.settled = self.by_hand.again(self.settled, since)

    def _births_and_deaths(self, groups: tuple[str, ...]) -> Generator[Progress, None, bool]:
        """Whether any orbital has come or gone."""
        s, any_change = self.settings, False
        for _ in range(s.birth_rounds if len(self.state.height) else 0):
            places = self._proposals()
            self.kept["births"] = self.state, len(self.by_hand)
            changed, merged = self._deaths(), self._doubles()
            changed += self._births(*places)
            if not changed + merged:
                break
            yield from self._fit_changed(groups)
            if died := self._deaths():
                yield from self._fit_changed(groups)
            # where only halves were merged another round would find what this one has found
            by_hand = len(self.by_hand) - self.kept["births"][1]
            worth = self._worth_it(*self.kept["births"])
            any_change |= worth
            if not worth or not changed + died + by_hand:
                break
        return any_change

    def _proposals(self) -> tuple[Floats, Floats, Floats]:
        """Places for another atom: everywhere, or where something has changed since they were looked for last."""
        where = self._changed("looked") if "looked" in self.kept else None
        if where is not None and len(where) > FEW * len(self.state.height):
            where = None
        self.kept["looked"] = self.state, 0
        return self.evidence.proposals(self.state, where)

    def _changed(self, since: str) -> Floats:
        """Where (M, 3) orbitals have come, gone or moved since a state that was kept."""
        before, now = self.kept[since][0], self.state
        _, a, b = np.intersect1d(before.ids, now.ids, assume_unique=True, return_indices=True)
        came, gone = np.ones(len(now.ids), bool), np.ones(len(before.ids), bool)
        far = np.linalg.norm(now.positions[b] - before.positions[a], axis=1) > MOVED * self.spacing_A
        came[b], gone[a] = far, far
        return np.concatenate([now.positions[came], before.positions[gone]])

    def _fit_changed(self, groups: tuple[str, ...]) -> Iterator[Progress]:
        """Fit what is near a birth or a death, while the rest stands still; or everything, where that is much."""
        if self._part():
            yield from self._by_itself(self.fit("birth", self.settings.birth_steps, ("positions", "height")))
        else:
            yield from self.fit("birth", self.settings.birth_steps, groups)
            self.kept.pop("looked", None)

    def _part(self) -> bool:
        """Let stand still what is far from all that has come or gone; False where that is not worth it."""
        where = self._changed("births")
        if len(self.state.height) < MANY or not len(where) or not {"positions", "heights"} <= self.refine:
            return False
        near = _distance(self.state.positions, where) < SURROUNDINGS * self.spacing_A
        if not near.any() or near.mean() > FEW:
            return False
        self._set_apart(near, self.state.select(near))
        return True

    def _set_apart(self, near: NDArray[np.bool_], moving: State) -> None:
        """Fit ``moving`` from here on, while the orbitals that are not ``near`` (N,) stand still."""
        self.kept["apart"] = self.state, len(self.by_hand)
        self._stand_still(self.state.select(~near))
        self.state = without_background(moving)
        self.adam = Adam()

    def _by_itself(self, steps: Iterator[Progress]) -> Iterator[Progress]:
        """Steps of what does not stand still, with the images of all; then all are together again."""
        try:
            for progress in steps:
                assert self.aside is not None
                yield replace(progress, calculated=progress.calculated + self.aside.images[progress.tilts])
        finally:
            self._together()

    def _worth_it(self, before: State, since: int) -> bool:
        """True where the population is worth its cost, compared with an earlier one; else that one is back.

        What somebody has changed by hand ``since`` then is not taken back.
        """
        if len(self.by_hand) > since:
            return True
        prior = self.evidence.height_prior(self.state)
        gain = self.evidence.cost(before, prior) - self.evidence.cost(self.state, prior)
        self._note(f"gain {gain:.1f} with {len(self.state.height)} for {len(before.height)}")
        if gain <= 0:
            self.state = before
            self.adam = Adam()
        return gain > 0

    def _melt(self, most: int) -> int:
        """Put the grid back where orbitals are doubtful, so that several of them can find a new arrangement.

        A single birth or death cannot mend a place where the neighbours of a missing atom have moved into its gap.
        Nothing melts where it would be more than ``most`` orbitals. Returns how many were taken out; what is far from
        the grid that took their place stands still until ``_together``.
        """
        s, state = self.settings, self.state
        reach = 0.9 * self.spacing_A
        crowded, weak, _ = self._crowded_and_weak()
        doubtful = state.positions[crowded | weak | self._odd()]
        if len(doubtful) == 0:
            return 0
        distance = _distance(state.positions, doubtful)
        melted = distance < reach
        if melted.sum() > most or melted.mean() < s.melt_least:
            return 0
        if melted.mean() > s.melt_part:
            # Melting mends isolated places. Where the images leave a large part in doubt, the residual prefers
            # arrangements that explain the errors of the images.
            self._note(f"no melt: {melted.sum()} of {len(melted)} orbitals are in doubt")
            return 0
        points = grid_near(self.hull, state.positions[melted], reach, s.melt_grid * self.spacing_A)
        if not melted.all():
            points = points[_distance(points, state.positions[~melted]) > 0.55 * self.spacing_A]
        points = points[self.by_hand.is_open(points)]
        if len(points) == 0:
            return 0
        height = state.height[melted].sum() / len(points)
        self._note(f"melt: {melted.sum()} of {len(melted)} orbitals, {len(points)} in their place")
        near = distance < reach + SURROUNDINGS * self.spacing_A
        self._set_apart(near, state.select(near & ~melted).add(points, np.full(len(points), height)))
        return int(melted.sum())

    def _stand_still(self, still: State) -> None:
        """From here on ``problem`` is that of the other orbitals, of which positions and heights are fitted."""
        self.aside, self.problem = set_aside(self.problem, self.evidence, still, self.kept["apart"][0])
        self.evidence = self.evidence.of_part(self.problem)
        self.refine = self.refine & {"positions", "heights"}

    def _together(self) -> None:
        """All orbitals are fitted again."""
        if self.aside is None:
            return
        self.aside.problem.not_finite += self.problem.not_finite
        self.state, self.problem, self.evidence, self.aside = self.whole, self.aside.problem, self.aside.evidence, None
        self.refine = refined_groups(self.settings, self.hull.isolated)
        self.adam = Adam()

    def _odd(self) -> NDArray[np.bool_]:
        """Which heights (N,) no atom of a single element has, and no noise explains.

        One that is too high has swallowed a neighbour, with others moved towards the gap; one that is too low is a part
        of an atom.
        """
        s, state, judge = self.settings, self.state, self.evidence
        if not judge.one_height or len(state.height) < 2:
            return np.zeros(len(state.height), bool)
        typical = population.typical_height(state)
        off = np.abs(state.height - typical)
        scatter = SIGMA_OF_MEDIAN * float(np.median(np.abs(state.height - np.median(state.height))))
        limit = min(s.odd * typical, max(s.odd_least * typical, ODD_SCATTER * scatter))
        return np.asarray(off > np.maximum(limit, s.birth_significance * judge.height_error(state)))

    def _crowded_and_weak(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.int64]]:
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
        crowded, weak, neighbour = self._crowded_and_weak()
        false = crowded & weak & (self.state.height < self.state.height[neighbour])
        self._note(f"prune: {false.sum()} of {len(false)}")
        self._select(~false)

    # -- one decision each -----------------------------------------------------------------------------------------

    def _cull(self, part: float) -> None:
        keep = population.cull(self.state, part * float(np.quantile(self.state.height, 0.9)))
        self._note(f"cull {part}: {len(keep)} -> {keep.sum()}")
        self._select(keep)

    def _join(self, distance_A: float) -> None:
        before = self.state.ids
        self.state = population.join(self.state, distance_A)
        # those that stay go on as they went
        place = np.argsort(before)
        self.adam.select(PER_ATOM, place[np.searchsorted(before, self.state.ids, sorter=place)])

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
        part = s.birth_height if len(self.elements) == 1 else s.birth_height_lightest * max(self.weakest, 0.05)
        good = (height > part * typical) & (evidence > 0.5 * s.birth_significance**2) & self.by_hand.is_open(points)
        points, height, score = points[good], height[good], score[good]
        chosen = population.separate(points, score, 0.6 * self.spacing_A, self.state.positions, 0.6 * self.spacing_A)
        # the best first: neighbours of a birth are judged again once it has been fitted
        chosen = chosen[: max(1, int(s.birth_part * len(self.state.height)))]
        self._note(f"births: {len(chosen)} of {good.sum()} places, scatter {self.evidence.inflation:.2f}")
        if len(chosen):
            self.state = self.state.add(points[chosen], np.minimum(height[chosen], typical))
            self.adam.extend(PER_ATOM, len(chosen))
        return len(chosen)


def _distance(points: Floats, to: Floats) -> Floats:
    """Distance (N,) of each point (N, 3) to the nearest of others (M, 3)."""
    return np.asarray(cKDTree(to).query(points)[0], np.float64)
