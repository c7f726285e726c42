"""Defocus and low aberrations from the images, by Gauss-Newton on their finite differences.

The atoms stay meanwhile, but what all share may give way: height, width and a learnt radial shape trade places with a
probe that is too wide or too narrow, and the place of everything with coma. Every aberration is expected where the
settings put it, within about a radian at the edge of the aperture; what the images cannot tell stays there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from napari_lot.lot.image_model import ImageModel
from napari_lot.lot.problem import Problem, State
from napari_lot.physics.optics import require_probe
from napari_lot.settings import Microscope

Floats = NDArray[np.float64]

STEP_RAD = 0.2
"""Phase at the edge of the aperture by which an aberration is changed to see what it does."""
EXPECTED_RAD = 1.0
"""And by which the settings may be wrong."""
TILTS = 64
"""Looked at at most, evenly over the series: six numbers do not need more."""
ROUNDS = 2
LEAST_GAIN = 8.0
"""Gain in log-likelihood that a change must bring: four standard deviations."""
SHARED = 4
"""Numbers that all atoms share: height, width, and shifts along u and v; those of a learnt shape come after them."""
STEP_SHARED = 0.02
FOLDS = {"12": 2, "21": 1}
"""Azimuthal symmetry of astigmatism and coma."""
POWER = {"defocus_A": 2, "c12": 2, "c21": 3, "c30_A": 4}
"""What each aberration's phase grows with, of the angle."""


@dataclass(frozen=True)
class Coordinates:
    """Aberrations as Cartesian numbers in Å around a microscope: defocus, C12 and C21 by two components each, C30."""

    names: tuple[str, ...]
    scale_A: Floats  # of a radian at the edge of the aperture

    @classmethod
    def of(cls, microscope: Microscope, groups: Sequence[str]) -> Coordinates:
        """The numbers of some of "defocus" and "probe"."""
        wavelength, semiangle = require_probe(microscope)
        names: list[str] = []
        if "defocus" in groups or "probe" in groups:
            names.append("defocus_A")
        if "probe" in groups:
            names += ["c12_x", "c12_y", "c21_x", "c21_y", "c30_A"]
        scale = []
        for name in names:
            power = POWER[name if name in POWER else name[:3]]
            scale.append(wavelength * power / (2 * np.pi * semiangle**power))
        return cls(tuple(names), np.array(scale))

    def moved(self, microscope: Microscope, radians: Floats) -> Microscope:
        """The microscope with every aberration changed by so many radians at the edge of the aperture."""
        change = dict(zip(self.names, radians * self.scale_A, strict=True))
        values = {
            "defocus_A": microscope.defocus_A + change.get("defocus_A", 0.0),
            "c30_A": microscope.c30_A + change.get("c30_A", 0.0),
        }
        own = _cartesian(microscope)
        for name, fold in FOLDS.items():
            x = own[f"c{name}_x"] + change.get(f"c{name}_x", 0.0)
            y = own[f"c{name}_y"] + change.get(f"c{name}_y", 0.0)
            values[f"c{name}_A"] = float(np.hypot(x, y))
            values[f"phi{name}_deg"] = float(np.rad2deg(np.arctan2(y, x)) / fold)
        return microscope.model_copy(update={k: float(v) for k, v in values.items()})


class FittedLens(NamedTuple):
    """A model of the microscope that explains the images better, the state that goes with it, and error bars.

    ``sigma_A`` are standard deviations of the numbers of ``Coordinates`` in Å, the atoms given apart from what all of
    them share.
    """

    model: ImageModel
    state: State
    sigma_A: dict[str, float]


def fit_aberrations(
    problem: Problem,
    state: State,
    groups: Sequence[str],
    expected: Microscope,
    noise_variance: float,
    learnt_scatter: float = math.inf,
) -> FittedLens | None:
    """A model whose microscope explains the images better; None if there is none.

    Parameters
    ----------
    problem : Problem
        With the model of the present microscope.
    state : State
    groups : sequence of str
        "defocus" for the common defocus; "probe" for it and C12, C21, C30.
    expected : Microscope
        What the settings say: the prior's middle.
    noise_variance : float
        Of a pixel (least squares).
    learnt_scatter : float
        What each number of a learnt shape is expected to scatter by about 0.
    """
    begun = problem.model
    assert begun.microscope is not None
    coordinates = Coordinates.of(expected, groups)
    tilts = problem.fitted[:: -(-len(problem.fitted) // TILTS)]
    place = _radians(coordinates, expected, begun.microscope)
    shared = SHARED + state.learnt.shape[1]
    shape = len(state.learnt) / learnt_scatter**2  # strength of the prior where all species change together

    def loss_of(state: State, model: ImageModel, place: Floats) -> float:
        """Negative log-likelihood and log-prior; width and height gain nothing here."""
        loss = problem.loss(_images(problem, state, model, tilts), tilts)
        prior = (place**2).sum() / EXPECTED_RAD**2 + (state.learnt**2).sum() / learnt_scatter**2
        return loss / (1.0 if problem.kind == "poisson" else noise_variance) + 0.5 * float(prior)

    model, loss = begun, loss_of(state, begun, place)
    sigma = np.zeros(len(place))
    for _ in range(ROUNDS):
        base = _images(problem, state, model, tilts)
        columns = [
            (_images(problem, _shared(state, change), model, tilts) - base) / STEP_SHARED
            for change in STEP_SHARED * np.eye(shared)
        ]
        for k in range(len(place)):
            ends = []
            for sign in (1.0, -1.0):
                step = place.copy()
                step[k] += sign * STEP_RAD
                changed = begun.with_microscope(coordinates.moved(expected, step), state.typical_width)
                ends.append(_images(problem, state, changed, tilts))
                changed.close()
            columns.append((ends[0] - ends[1]) / (2 * STEP_RAD))
        weight = problem.weight(torch.from_numpy(base), torch.from_numpy(tilts), noise_variance).numpy()
        residual = (problem.observed[tilts].numpy() - base).astype(np.float64) * weight
        design = np.stack([c.ravel().astype(np.float64) for c in columns])
        matrix = (design * weight.ravel()) @ design.T
        right = design @ residual.ravel()
        prior = np.concatenate(
            [np.zeros(SHARED), np.full(shared - SHARED, shape), np.full(len(place), EXPECTED_RAD**-2)]
        )
        right -= prior * np.concatenate([np.zeros(SHARED), state.learnt.mean(0), place])
        held = prior + 1e-9 * np.diag(matrix)
        change = np.linalg.solve(matrix + np.diag(held), right)
        every = len(problem.fitted) / len(tilts)  # those that were not looked at tell as much
        sigma = np.sqrt(np.diag(np.linalg.inv(every * matrix + np.diag(held)))[shared:])
        change *= min(1.0, 1.0 / max(float(np.abs(change[shared:]).max()), 1e-12))  # a radian at most
        for part in (1.0, 0.5, 0.25):
            trial_place = place + part * change[shared:]
            trial_state = _shared(state, part * change[:shared])
            trial = begun.with_microscope(coordinates.moved(expected, trial_place), trial_state.typical_width)
            trial_loss = loss_of(trial_state, trial, trial_place)
            if trial_loss < loss - LEAST_GAIN:
                if model is not begun:
                    model.close()
                model, place, state, loss = trial, trial_place, trial_state, trial_loss
                break
            trial.close()
        else:
            break
    if model is begun:
        return None
    return FittedLens(model, state, dict(zip(coordinates.names, (sigma * coordinates.scale_A).tolist(), strict=True)))


def _shared(state: State, change: Floats) -> State:
    """The state with all heights and widths changed by a factor 1 + change, all shifts by pixels, and all shapes."""
    moved = state.copy()
    moved.height = state.height * (1.0 + change[0])
    moved.width = state.width * (1.0 + change[1])
    moved.shifts = state.shifts + change[2:4]
    moved.learnt = state.learnt + change[SHARED:]
    return moved


def _radians(coordinates: Coordinates, expected: Microscope, present: Microscope) -> Floats:
    """Where the present microscope is, from the expected one."""
    begun, now = _cartesian(expected), _cartesian(present)
    return np.array([now[name] - begun[name] for name in coordinates.names]) / coordinates.scale_A


def _cartesian(microscope: Microscope) -> dict[str, float]:
    """All numbers of ``Coordinates`` in Å."""
    found = {"defocus_A": microscope.defocus_A, "c30_A": microscope.c30_A}
    for name, fold in FOLDS.items():
        size, angle = getattr(microscope, f"c{name}_A"), fold * np.deg2rad(getattr(microscope, f"phi{name}_deg"))
        found |= {f"c{name}_x": float(size * np.cos(angle)), f"c{name}_y": float(size * np.sin(angle))}
    return found


def _images(problem: Problem, state: State, model: ImageModel, tilts: NDArray[np.int64]) -> NDArray[np.float32]:
    own, problem.model = problem.model, model
    try:
        return problem.evaluate(state, tilts, ()).calculated
    finally:
        problem.model = own
