"""Full-batch quasi-Newton fit for the last digits: limited-memory BFGS on scaled parameters (Nocedal & Wright, ch. 7).

The scale of every parameter is the Gauss-Newton curvature of the likelihood (one atom alone for heights and positions,
the whole image for shifts, scale and background), so that one step length suits pm, heights and counts; what all
orbitals share, and what trades places there, has its whole curvature (``shared``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from napari_lot.lot import gauge
from napari_lot.lot.prior import AlikePrior, Prior
from napari_lot.lot.problem import Evaluation, Problem, State
from napari_lot.lot.shared import WHOLLY_SHARED, SharedModes

Floats = NDArray[np.float64]

STILL_A = 2e-5
"""Move of an atom in Å, two thousandths of a pm, below which a step is none: many of them sum up to a tenth of a pm."""
STILL_PART, STILL_STEPS = 0.9, 3
"""Part of the atoms that move by less, in so many steps in a row, where a fit ends: a few in a wrong arrangement would
go on for ever."""
ROUNDING = 1e-6
"""Part of the loss that single precision may lose (Hager & Zhang, SIAM J. Optim. 16, 170, 2005: approximate Wolfe)."""
MEMORY = 20
"""Pairs of steps and changes of gradient that are kept."""


@dataclass(frozen=True, eq=False)
class Descent:
    """Where a fit is after a step: with it the next ones are the same bit by bit. Nothing in it changes.

    Attributes
    ----------
    x, gradient : (P,) float64
        Scaled parameters, and the gradient by them.
    pairs : tuple
        Steps, changes of the gradient, and 1 / their product.
    loss : float
    turns, taken : int
        Directions that were tried, and steps that were accepted.
    still : int
        Steps in a row in which nearly all atoms stood still.
    over : bool
        Whether this was the last step.
    """

    x: Floats
    gradient: Floats
    pairs: tuple[tuple[Floats, Floats, float], ...]
    loss: float
    turns: int
    taken: int
    still: int
    over: bool


@dataclass(frozen=True)
class Step:
    """What a fit has come to.

    Attributes
    ----------
    state : State
        After the last step that was accepted.
    loss : float
        Of the images, and the cost of the priors; NaN before the first pass has ended.
    tilts : (n,) indices
    calculated : (n, V, U)
        Images of these tilts: of ``state``, or where nothing was ``accepted`` yet, of the step that is tried. A step
        that was tried in parts is accepted with the last of them; the others have been told of.
    accepted : bool
        Whether the state is another one than before.
    pixels : int
        Whose loss it is.
    descent : Descent or None
        Of a step that was accepted: from where the fit can go on.
    """

    state: State
    loss: float
    tilts: NDArray[np.int64]
    calculated: NDArray[np.float32]
    accepted: bool = True
    pixels: int = 0
    descent: Descent | None = None


def pack(state: State, groups: tuple[str, ...]) -> Floats:
    """All refined parameters as one vector; "center" is a change of all shifts, and starts at 0."""
    return np.concatenate([np.zeros(2) if g == "center" else getattr(state, g).ravel() for g in groups])


def unpack(state: State, groups: tuple[str, ...], vector: Floats) -> State:
    """The state with the vector's parameters; heights are kept positive."""
    new = state.copy()
    start = 0
    for g in groups:
        old = np.zeros(2) if g == "center" else getattr(state, g)
        part = vector[start : start + old.size].reshape(old.shape)
        start += old.size
        if g == "center":
            new.shifts = state.shifts + part
        else:
            setattr(new, g, np.maximum(part, 0.0) if g == "height" else part.copy())
    return new


def lbfgs(
    problem: Problem,
    state: State,
    groups: tuple[str, ...],
    curvature: dict[str, Floats],
    iterations: int,
    tolerance: float,
    priors: Mapping[str, Prior | AlikePrior] | None = None,
    memory: int = MEMORY,
    shared: SharedModes | None = None,
    parts: int = 1,
    least: float = 0.0,
    goes_on: Descent | None = None,
) -> Iterator[Step]:
    """Yield every accepted step, and where the tilts are calculated in several ``parts``, what is between these.

    Ends after ``iterations`` steps, when the predicted gain of a step is below ``tolerance`` times the loss, when no
    step helps, when the loss of the images is below ``least``, or when several steps in a row have moved nearly all
    atoms by less than anybody can see (near noise-free data single precision ends before the loss does).

    One that ``goes_on`` was begun with the same arguments, and yields the step where it is once more, without images.
    """
    every, pixels = np.arange(len(problem)), problem.observed.numel()
    asked = tuple("shifts" if g == "center" else g for g in groups)
    scale = 1.0 / np.sqrt(np.concatenate([np.maximum(curvature[g].ravel(), 1e-30) for g in groups]))

    def value(vector: Floats, now: State, at: float) -> Generator[Step, None, tuple[float, Floats, Evaluation]]:
        there = unpack(state, groups, vector * scale)
        found: list[Evaluation] = []
        for some in np.array_split(every, parts):
            found.append(problem.evaluate(there, some, asked))
            if len(found) < parts:
                yield Step(now, at, found[-1].tilts, found[-1].calculated, False, pixels)
        whole = problem.together(there, found)
        if "center" in groups:
            whole.gradients["center"] = whole.gradients["shifts"].sum(0)
        total = whole.loss
        for name, prior in (priors or {}).items():
            total += prior.cost(getattr(there, name))
            whole.gradients[name] += prior.gradient(getattr(there, name))
        gradient = np.concatenate([whole.gradients[g].ravel() for g in groups])
        return total, seen(gradient * scale), whole

    seen = _without(gauge.directions(problem, state, groups), state, groups, scale)
    first_inverse = _first_inverse(state, groups, scale, shared)

    def inverse(gradient: Floats) -> Floats:
        return seen(first_inverse(gradient))

    where = _place_of(state, groups, "positions")
    pairs: deque[tuple[Floats, Floats, float]] = deque(goes_on.pairs if goes_on else (), maxlen=memory)
    if goes_on is None:
        x, accepted, still, taken, first = pack(state, groups) / scale, state, 0, 0, 0
        loss, g, whole = yield from value(x, state, np.nan)
        if np.isnan(loss):  # there is no direction to step in
            return
    else:
        x, g, loss, still = goes_on.x, goes_on.gradient, goes_on.loss, goes_on.still
        taken, first, accepted = goes_on.taken, goes_on.turns, unpack(state, groups, x * scale)
        none = np.zeros((0, *problem.observed.shape[1:]), np.float32)
        yield Step(accepted, loss, every[:0], none, True, pixels, goes_on)
        if goes_on.over:
            return
    for turn in range(first, iterations):
        direction = -_inverse_hessian(g, pairs, inverse)
        slope = float(direction @ g)
        if slope >= 0:
            pairs.clear()
            direction = -inverse(g)
            slope = float(direction @ g)
        if -slope <= tolerance * max(abs(loss), 1e-30):
            return
        step = 1.0 if pairs else 0.3
        for _ in range(12):
            trial = x + step * direction
            new_loss, new_g, new_whole = yield from value(trial, accepted, loss)
            if new_loss <= loss + 1e-4 * step * slope:
                break
            # where single precision no longer tells the losses apart, slopes still tell whether a step is one down
            if new_loss <= loss + ROUNDING * abs(loss) and abs(float(direction @ new_g)) < 0.5 * -slope:
                break
            # minimum of the parabola through both ends, within bounds
            curve = 2 * (new_loss - loss - step * slope) / step**2
            step = float(np.clip(-slope / curve if curve > 0 else 0.5 * step, 0.1 * step, 0.5 * step))
        else:
            if not pairs:
                return
            pairs.clear()
            continue
        s, y = trial - x, new_g - g
        if s @ y > 1e-10 * np.sqrt((s @ s) * (y @ y)):
            pairs.append((s, y, 1.0 / float(s @ y)))
        x, loss, g, whole = trial, new_loss, new_g, new_whole
        accepted, taken = unpack(state, groups, x * scale), taken + 1
        if where.stop > where.start:
            moves = np.linalg.norm((s * scale)[where].reshape(-1, 3), axis=1)
            still = still + 1 if np.quantile(moves, STILL_PART) < STILL_A else 0
        over = whole.loss < least or still == STILL_STEPS
        here = Descent(x, g, tuple(pairs), loss, turn + 1, taken, still, over)
        yield Step(accepted, loss, whole.tilts, whole.calculated, True, pixels, here)
        if over:
            return


def _place_of(state: State, groups: tuple[str, ...], group: str) -> slice:
    """Where one group lies in the packed vector; an empty slice where it is not refined."""
    start = 0
    for g in groups:
        size = 2 if g == "center" else getattr(state, g).size
        if g == group:
            return slice(start, start + size)
        start += size
    return slice(0, 0)


def _vectors(changes: Sequence[Mapping[str, Floats]], state: State, groups: tuple[str, ...]) -> Floats:
    """Changes of fields of the state as rows (K, P), packed."""
    nothing = {group: np.zeros(2) if group == "center" else np.zeros(getattr(state, group).size) for group in groups}
    return np.array([np.concatenate([change.get(g, nothing[g]).ravel() for g in groups]) for change in changes])


def _without(
    changes: Sequence[Mapping[str, Floats]], state: State, groups: tuple[str, ...], scale: Floats
) -> Callable[[Floats], Floats]:
    """Takes out of a scaled vector what no image shows: nothing is steep there, and rounding lets a fit wander."""
    if not changes:
        return lambda vector: vector
    unseen = linalg.orth((_vectors(changes, state, groups) / scale).T)  # (parameters, K)
    return lambda vector: vector - unseen @ (unseen.T @ vector)


def _first_inverse(
    state: State, groups: tuple[str, ...], scale: Floats, shared: SharedModes | None
) -> Callable[[Floats], Floats]:
    """Inverse Hessian of the scaled parameters before any step: each by itself, and the shared ones in full."""
    if shared is None or not shared.changes:
        return lambda g: g.copy()
    root = (_vectors(shared.changes, state, groups) / scale).T @ shared.inverse_root()  # (parameters, K)
    alone = np.ones(len(scale))
    for group in WHOLLY_SHARED:
        alone[_place_of(state, groups, group)] = 0.0  # the modes hold all of them
    return lambda g: alone * g + root @ (root.T @ g)


def _inverse_hessian(
    g: Floats, pairs: deque[tuple[Floats, Floats, float]], first: Callable[[Floats], Floats]
) -> Floats:
    """Two-loop recursion: the limited-memory inverse Hessian times g, begun with the inverse ``first``."""
    q = g.copy()
    alphas = []
    for s, y, rho in reversed(pairs):
        alpha = rho * float(s @ q)
        alphas.append(alpha)
        q -= alpha * y
    q = first(q)
    if pairs:
        s, y, _ = pairs[-1]
        q *= float(s @ y) / float(y @ first(y))
    for (s, y, rho), alpha in zip(pairs, reversed(alphas), strict=True):
        q += (alpha - rho * float(y @ q)) * s
    return q
