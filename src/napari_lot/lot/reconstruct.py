"""The stages of a reconstruction: from a grid of orbitals to atoms."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_lot.analysis.mixture import Mixture, fit_mixture
from napari_lot.edit import Edit
from napari_lot.lot import gauge
from napari_lot.lot.aberrations import fit_aberrations
from napari_lot.lot.adaptive import fit_correction
from napari_lot.lot.align import match_shifts
from napari_lot.lot.checkpoint import Road, act, at_the_start, in_the_midst, put_in_place, taken, unfinished
from napari_lot.lot.fitting import Progress
from napari_lot.lot.hull import Hull
from napari_lot.lot.polish import Descent
from napari_lot.lot.population_fit import PopulationFit
from napari_lot.lot.problem import Problem, State
from napari_lot.physics.elements import relative_strengths
from napari_lot.physics.orbital import Gaussian
from napari_lot.result import Checkpoint
from napari_lot.settings import Microscope, Solver

Floats = NDArray[np.float64]
LEAST_FOCUS_GAIN = 2.0
"""Gain in log-likelihood for each tilt below which its focus is noise: a free number gains a half by chance."""
MOST_KINDS = 4
"""Kinds of atoms looked for where no element is named."""
LEAST_EVIDENCE = 5.0
"""Natural logarithm of the odds at which a correction of the probe is believed: 150 to one."""
CHECKPOINT_S = 5.0
"""Seconds between checkpoints in the midst of a fit, at least: more often than a run is saved."""
CONDENSING = ("heights_passes", "positions_passes", "merge_passes")
FIRST_GUESS_BLUR = 0.35
"""Blur in nearest-neighbour distances that finds peaks on a grid whose points have hardly moved yet."""
FIRST_GUESS_S = 5.0
"""As long as a person waits for what there is."""


class Reconstruction(PopulationFit):
    """From a grid of orbitals, or from given atoms, to atoms: when to fit what, and which orbitals are atoms.

    Parameters
    ----------
    problem, state, hull, spacing_A, settings, elements, poll, edits, clock
        As for ``PopulationFit``.
    adaptive : bool
        The images correct the probe.
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
        edits: Callable[[], Edit | None] = lambda: None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        super().__init__(problem, state, hull, spacing_A, settings, elements, poll, edits, clock)
        self.adaptive = adaptive
        self.orbital = problem.model.orbital
        if self.orbital.terms:
            problem.model.set_orbital(Gaussian())
        self.p_element: Floats | None = None
        self.mixture: Mixture | None = None
        self.lens_sigma_A: dict[str, float] = {}
        self.steps_total = self._plan()
        self.condensed = False
        self.population_is_free = {"positions", "heights"} <= self.refine
        self.significance = 0.0
        self.road = Road()
        self.checkpoint: Checkpoint | None = None
        # the checkpoint from which the fit under way began, its steps, and when one in its midst was taken
        self._base: tuple[Checkpoint, int] | None = None
        self._taken_at = -float("inf")
        # that fit, of a run that goes on in its midst
        self._unfinished: tuple[int, Descent] | None = None

    # -- going on where another run was -------------------------------------------------------------------------

    def go_on_from(self, checkpoint: Checkpoint) -> None:
        """Pass over what had been done when a checkpoint was taken."""
        self.road.left = [(str(name), value) for name, value in checkpoint.words["road"]]
        self.checkpoint = checkpoint
        self._unfinished = unfinished(checkpoint)

    def reached(self) -> Checkpoint | None:
        """Where the run would go on now; None where atoms were edited since then."""
        checkpoint = self.checkpoint or at_the_start()
        return checkpoint if len(checkpoint.words["edits"]) == len(self.by_hand) else None

    def passes(self, stage: str, count: int, groups: tuple[str, ...], cosine: bool = False) -> Iterator[Progress]:
        """As of any fit; passed over where it had been done."""
        return self._gone_once(
            f"passes {stage}", lambda: super(Reconstruction, self).passes(stage, count, groups, cosine)
        )

    def fit(self, stage: str, steps: int, groups: tuple[str, ...]) -> Iterator[Progress]:
        """As of any fit; passed over where it had been done."""
        return self._gone_once(f"fit {stage}", lambda: super(Reconstruction, self).fit(stage, steps, groups))

    def _gone_once(self, name: str, piece: Callable[[], Iterator[Progress]]) -> Iterator[Progress]:
        if self.road.left:
            self.road.passed(name)
            if not self.road.left and self._unfinished is None:
                assert self.checkpoint is not None
                put_in_place(self, self.checkpoint)
            return
        if self._unfinished is not None:
            assert self.checkpoint is not None
            put_in_place(self, self.checkpoint)
        yield from piece()
        self.road.done.append((name, None))
        self.checkpoint = taken(self)

    def _begun(self, steps: int) -> tuple[int, Descent | None]:
        found, self._unfinished = self._unfinished or (steps, None), None
        return found

    def _descent_begins(self, steps: int) -> None:
        self._base = taken(self), steps

    def _descent_is_at(self, descent: Descent) -> None:
        now = time.monotonic()
        if self._base is not None and now - self._taken_at >= CHECKPOINT_S:
            self._taken_at = now
            self.checkpoint = in_the_midst(*self._base, descent)

    # what a fit of a population decides by itself
    _cull = act(PopulationFit._cull)
    _join = act(PopulationFit._join)
    _gather = act(PopulationFit._gather)
    _merge = act(PopulationFit._merge)
    _deaths = act(PopulationFit._deaths)
    _births = act(PopulationFit._births)
    _melt = act(PopulationFit._melt)
    _part = act(PopulationFit._part)
    _together = act(PopulationFit._together)
    _prune = act(PopulationFit._prune)
    _worth_it = act(PopulationFit._worth_it)
    _sample_finely = act(PopulationFit._sample_finely)

    def _proposals(self) -> tuple[Floats, Floats, Floats]:
        if self.road.left:  # nobody looks at them
            return np.zeros((0, 3)), np.zeros(0), np.zeros(0)
        return super()._proposals()

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

    def condense(self, settings: Solver | None = None) -> Iterator[Progress]:
        """Heights, positions, gathering, merging: a grid of orbitals condenses to atoms.

        ``settings`` of this time, where they are others than those of the run.
        """
        s = settings or self.settings
        self.problem.model.set_coarse(True)
        yield from self.passes("heights", s.heights_passes, ("height", "background"))
        self._align()
        self._cull(0.02)
        groups = ("positions", "height", "center")
        for _ in range(s.positions_passes):
            yield from self.passes("positions", 1, groups)
            self._join(s.join * self.spacing_A)
        self._align()
        self._cull(s.cull[0])
        self._gather(s.gather * self.spacing_A)
        self.condensed = True
        self.problem.model.set_coarse(False)
        yield from self.passes("merge", s.merge_passes, groups)
        for k, distance in enumerate(s.merge_distances):
            part = s.cull[min(k + 1, len(s.cull) - 1)]
            self._cull(min(part, max(0.5 * self.weakest, s.cull[0])))
            self._merge(distance * self.spacing_A)
            self._align()
            yield from self.passes("merge", s.merge_passes, (*groups, "width", "background", "scale"))

    @act
    def _align(self) -> None:
        """Move tilts whose calculated image lies elsewhere than the measured one by more than noise explains."""
        if "shifts" not in self.refine:
            return
        moves = match_shifts(self.problem, self.state, self.spacing_A / self.problem.model.image_pixel_A)
        self.state = replace(self.state, shifts=self.state.shifts + moves)
        self._note(f"aligned {(moves != 0).any(1).sum()} tilts, by {np.sqrt((moves**2).mean()):.2f} pixels rms")
        gauge.fix(self.problem, self.state, ("shifts",), self.refine)

    def settle(self) -> None:
        """What counts where a run is stopped: settled atoms, or the peaks of a grid that was still condensing."""
        if self.settled is not None:
            self.state = self.settled
        elif not self.condensed:
            # a grid that has hardly seen the images has no peaks yet: as many passes as a person waits for
            self.poll, in_time = lambda: None, self._waited_for()
            planned = ["heights"] * max(3 - self.step, 0) + ["positions"] * 5
            for stage in planned:
                if in_time():
                    groups = ("height", "background") if stage == "heights" else ("positions", "height", "center")
                    for _ in self.passes(stage, 1, groups):
                        pass
            self._cull(self.settings.cull[0])
            self._gather(FIRST_GUESS_BLUR * self.spacing_A)
            self._cull(min(self.settings.cull[-1], max(0.5 * self.weakest, self.settings.cull[0])))
        self.problem.model.set_coarse(False)
        self.state = self.state.select(self.state.height > 0)
        if self.p_element is not None:  # of orbitals in another order, or of others
            self.tells_species()

    def _waited_for(self) -> Callable[[], bool]:
        """Whether a person still waits; processes that share the run go by one clock."""
        until = time.perf_counter() + FIRST_GUESS_S
        return lambda: bool(self.problem.model.ranks.agree(time.perf_counter() < until))

    def fit_briefly(self) -> None:
        """Fit all atoms as long as a person who has asked for the end waits."""
        self.poll, in_time = lambda: None, self._waited_for()
        groups = ("positions", "height", "scale", "background")
        for _ in self.fit("refine", self.settings.birth_steps, groups):
            if not in_time():
                break
        if self.p_element is not None:
            self.tells_species()

    def to_atoms(self) -> Iterator[Progress]:
        """Births and deaths while they explain the images better, then the final fit."""
        s = self.settings
        groups: tuple[str, ...] = ("positions", "height", "width", "shifts", "angles", "scale", "background")
        self.condensed = True
        self._sample_finely()
        yield from self.passes("refine", s.refine_passes, groups, cosine=True)
        groups += self.geometry()
        self._look_at_noise()
        if self.population_is_free:
            # first of all: around a wrong arrangement the whole is fitted for nothing; what is left is clearer then
            yield from self._mend_places(min(1, s.melt_rounds))
        yield from self.fit("refine", s.birth_steps, groups)
        if self.population_is_free:
            yield from self._mend_population(groups)
        self._sample_finely()  # the width has settled only now
        self._learn_shape()
        groups += tuple(self._shape_that_is_fitted())
        if self.tells_species():
            yield from self.fit("species", s.birth_steps, groups)
        yield from self._adapt(groups)
        yield from self._doubt_focus(groups)
        groups = tuple(g for g in groups if g != "focus" or self._has_focus())
        yield from self.fit("polish", s.polish_steps, groups)
        self.tells_species()

    @act
    def _look_at_noise(self) -> None:
        if len(self.state.height):
            self.evidence.look_at_noise(self.state)

    @act
    def _shape_that_is_fitted(self) -> list[str]:
        return list(self.shape())

    @act
    def _has_focus(self) -> bool:
        return bool(self.state.focus.any())

    @act
    def _learn_shape(self) -> None:
        """From here on the images correct the shape of the orbitals; while they condense, Gaussians do."""
        if self.orbital.terms and "width" in self.refine:
            self.problem.model.set_orbital(self.orbital)
            self.state = replace(self.state, learnt=np.zeros((len(self.state.width), self.orbital.terms)))

    def _doubt_focus(self, groups: tuple[str, ...]) -> Iterator[Progress]:
        """Take the foci of the tilts back where they gain no more than noise would: near focus either sign fits it."""
        if "focus" not in groups or not len(self.state.height):
            return
        self.kept["focus"] = self.state, len(self.by_hand)
        self.state = replace(self.state.copy(), focus=np.zeros_like(self.state.focus))
        yield from self.fit("polish", self.settings.birth_steps, tuple(g for g in groups if g != "focus"))
        self._judge_focus()

    @act
    def _judge_focus(self) -> None:
        with_focus, since = self.kept["focus"]
        prior = self.evidence.height_prior(with_focus)
        with_focus = self.by_hand.again(with_focus, since)
        gain = self.evidence.cost(self.state, prior) - self.evidence.cost(with_focus, prior)
        told = gain > LEAST_FOCUS_GAIN * len(self.problem.fitted)
        self._note(f"focus of the tilts: gain {gain:.1f}, {'kept' if told else 'not told by the images'}")
        if told:
            self.state = with_focus

    def _adapt(self, groups: tuple[str, ...]) -> Iterator[Progress]:
        """Atoms and probe in turn, while the probe gains: its aberrations first, its pixels then."""
        s, expected = self.settings, self.problem.model.microscope
        optics = [g for g in ("defocus", "probe") if g in self.refine and (self.adaptive or g == "defocus")]
        if not optics or expected is None or not len(self.state.height):
            return
        yield from self.fit("probe", s.birth_steps, groups)
        for _ in range(s.probe_rounds):
            if not self._fit_lens(optics, expected):
                break
            yield from self.fit("probe", s.birth_steps, groups)
        for _ in range(s.probe_rounds if self.adaptive and "probe" in self.refine else 0):
            if not self._correct_probe():
                break
            yield from self.fit("probe", 2 * s.birth_steps, groups)
        if self.population_is_free:  # with another probe other orbitals may be atoms
            self.kept.pop("looked", None)
            yield from self._births_and_deaths(groups)
            self._prune()

    @act
    def _fit_lens(self, optics: Sequence[str], expected: Microscope) -> bool:
        """Fit aberrations; False where there is nothing to be gained."""
        variance = self.evidence.residual_variance(self.state)
        found = fit_aberrations(self.problem, self.state, optics, expected, variance, self.settings.learnt_scatter)
        if found is None:
            return False
        self.problem.model.close()
        self.problem.model, self.state = found.model, found.state
        # residuals that are correlated tell less than they seem to
        self.lens_sigma_A = {k: float(self.evidence.inflation * one) for k, one in found.sigma_A.items()}
        lens = self.problem.model.microscope or expected
        self._note(f"probe: defocus {lens.defocus_A:.1f}, C12 {lens.c12_A:.1f}, C21 {lens.c21_A:.0f} Å")
        return True

    @act
    def _correct_probe(self) -> bool:
        """Fit the pixels of the probe; False where the images do not ask for (more of) it."""
        s = self.settings
        variance = self.evidence.residual_variance(self.state)
        adapted = fit_correction(self.problem, self.state, s.probe_reach_A, variance, with_depth=s.probe_with_depth)
        self._note(f"probe: log evidence {adapted.significance:.1f}")
        if adapted.significance < LEAST_EVIDENCE:
            self.problem.model.set_correction(None)
            return False
        if adapted.significance < 1.01 * self.significance:
            return False
        self.significance = adapted.significance
        self.problem.model.set_correction(adapted.correction)
        return True

    def _mend_population(self, groups: tuple[str, ...]) -> Iterator[Progress]:
        """New arrangements, births and deaths, while the images ask for them.

        Arrangements first: around a wrong one births are looked for in vain, and halves of two atoms seem to be one.
        """
        s = self.settings
        for k in range(max(s.melt_rounds, 1)):
            mended = yield from self._mend_places(s.melt_rounds, s.melt_passes, fitted=True)
            if k and not mended:
                break
            # where nothing came or went, the same places would melt again
            if not (yield from self._births_and_deaths(groups)):
                break
        self._prune()

    def _mend_places(self, rounds: int, part: float = 1.0, fitted: bool = False) -> Generator[Progress, None, bool]:
        """Melt doubtful places and let them condense anew, while that pays; whether anything has changed.

        ``part`` of the passes in which a grid condenses. What had been ``fitted`` is compared with what is fitted, too.
        """
        mended, most = False, len(self.state.height)
        for _ in range(rounds):
            self.kept["melt"] = self.state, len(self.by_hand)
            melted = self._melt(most)
            if not melted:
                break
            most = melted // 2  # places that come back are not mended this way
            self.settled = self.kept["melt"][0]  # what counts if the run is stopped while places are molten
            yield from self._by_itself(self._condense_again(part, fitted))
            self.settled = None
            if not self._worth_it(*self.kept["melt"]):
                break
            mended = True
        return mended

    def _condense_again(self, part: float, fitted: bool) -> Iterator[Progress]:
        s = self.settings
        counts = {name: _part_of(getattr(s, name), part) for name in CONDENSING}
        yield from self.condense(s.model_copy(update=counts))
        yield from self.passes("merge", _part_of(s.refine_passes, part), ("positions", "height"), cosine=True)
        if fitted:
            yield from self.fit("merge", s.birth_steps, ("positions", "height"))

    @act
    def tells_species(self) -> bool:
        """Give every orbital the element that its scattering strength speaks for; False where none or one is named.

        Without a named element the number of kinds that the strengths speak for is noted, and nothing is changed.

        Elements are in the order of their strengths. Widths, where each element has its own, begin as what its
        orbitals have.
        """
        state, n = self.state, len(self.state.height)
        unknown = self.elements == ("X",)
        if (len(self.elements) < 2 and not unknown) or n < 2 * (MOST_KINDS if unknown else len(self.elements)):
            if self.p_element is not None and len(self.p_element) != n:
                self.p_element = None
            return False
        named = None if "X" in self.elements else self.elements
        self.mixture = mixture = self._mixture(named)
        if named is None:
            self._note(f"strengths speak for {len(mixture)} kind(s) of atoms")
            self.mixture = mixture if len(mixture) > 1 else None
            return False
        of_component = np.argsort(relative_strengths(self.elements), kind="stable")
        best = mixture.probability.argmax(1)
        width = state.widths
        state = state.copy()
        learnt = state.learnt[state.width_of]
        state.species = of_component[best]
        if self.settings.widths != "common":
            known = [state.species == k for k in range(len(self.elements))]
            state.width = np.array([float(width[k].mean()) if k.any() else float(width.mean()) for k in known])
            state.learnt = np.array([learnt[k].mean(0) if k.any() else learnt.mean(0) for k in known])
        if self.settings.widths == "atom":
            state.own_width = width - state.width[state.width_of]
        # what an image measures is pi H B^2
        state.height = state.height * (width / state.widths) ** 2
        self.state = state
        self.p_element = mixture.probability[np.arange(n), best]
        counts = np.bincount(state.species, minlength=len(self.elements))
        self._note("species: " + ", ".join(f"{c} {e}" for c, e in zip(counts, self.elements, strict=True)))
        return True

    def _mixture(self, named: tuple[str, ...] | None) -> Mixture:
        """Mixture of the strengths of all orbitals, and of their widths where each has its own."""
        state = self.state
        area, error = np.pi * state.widths**2, self.evidence.height_error(state)
        widths: dict[str, Floats] = {}
        if self.settings.widths == "atom" and state.own_width.any():
            own = self.evidence.curvatures(state, ("own_width",))["own_width"]
            noise = 1.0 if self.problem.kind == "poisson" else self.evidence.variance
            spread = self.evidence.inflation * np.sqrt(noise / own)
            widths = {"width_A": state.widths, "width_error_A": spread}
        # X among other elements is one kind more; X alone may be any number
        count = len(self.elements) if named is None and len(self.elements) > 1 else None
        return fit_mixture(area * state.height, area * error, elements=named, species=count, most=MOST_KINDS, **widths)


def _part_of(passes: int, part: float) -> int:
    """A part of so many passes, but not none of some."""
    return max(round(part * passes), min(1, passes))
