"""What several groups of parameters have in common and no image can tell: pinned, without a trace in the images."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from napari_lot.lot.problem import Problem, State
from napari_lot.series.alignment import drift

Floats = NDArray[np.float64]

CENTER_SIGMA_A = 0.5
"""How well the rotation centre is known before the fit: a centre of mass, or the middle of an aligned series."""


def fix(problem: Problem, state: State, groups: Collection[str], refine: Collection[str]) -> None:
    """Mean scale 1; what shifts and angles have in common, a motion of the object, goes to the positions.

    Parameters
    ----------
    problem : Problem
    state : State
        Changed in place.
    groups : collection of str
        What has just been fitted.
    refine : collection of str
        What may be refined at all: nothing moves into what is fixed.
    """
    if "own_width" in groups:  # what all of a species are wider by is its width
        for s in np.unique(state.width_of):
            mean = float(state.own_width[state.width_of == s].mean())
            state.width[s] += mean
            state.own_width = state.own_width - np.where(state.width_of == s, mean, 0.0)
    if "angles" in groups and "positions" in refine:
        _fix_turn(problem, state)
    if {"scale", "heights"} <= set(refine):
        mean = float(state.scale[problem.fitted].mean())
        state.scale = state.scale / mean
        state.height = state.height * mean
    if ("shifts" in groups or "center" in groups) and "positions" in refine:
        move, _ = split_shifts(problem, state)
        turn = problem.rotations(state)[:, :2]
        state.positions = state.positions + move
        state.shifts = state.shifts - (turn @ move) / problem.model.image_pixel_A


def directions(problem: Problem, state: State, groups: Collection[str]) -> list[dict[str, Floats]]:
    """Changes of the state that no image shows, to first order: by group, the change of that field.

    Heights against scales, a translation against drift or centre, a turn of the object against the angles of all tilts.
    A fit that steps along them goes nowhere, but rounding would let it wander. A probe that changes with depth sees a
    translation along the beam, though hardly: that one is pinned all the same, where drift has nothing of it (``fix``).
    """
    found: list[dict[str, Floats]] = []
    if {"height", "scale"} <= set(groups):
        found.append({"height": state.height.copy(), "scale": -state.scale})
    if "positions" not in groups:
        return found
    positions, turn = state.positions, problem.rotations(state)
    pixel = problem.model.image_pixel_A
    if "shifts" in groups:
        for axis in range(3):
            shifts = -turn[:, :2, axis] / pixel
            found.append({"positions": np.tile(np.eye(3)[axis], (len(positions), 1)), "shifts": shifts})
    elif "center" in groups:  # what all tilts show as one shift: along a single tilt axis
        design = np.concatenate([turn[:, :2], np.tile(np.eye(2), (len(turn), 1, 1))], 2).reshape(-1, 5)
        _, sizes, rows = np.linalg.svd(design)
        for row in rows[sizes < 1e-9 * sizes[0]]:
            found.append({"positions": np.tile(row[:3], (len(positions), 1)), "center": row[3:] / pixel})
    if "angles" in groups:
        for axis in range(3):
            common = np.eye(3)[axis]
            found.append({"positions": np.cross(common, positions), "angles": -turn @ common})
    return found


def _fix_turn(problem: Problem, state: State) -> None:
    """Turn the object by what the corrections of all tilts have in common, and take it from them."""
    own, fitted = problem.model.rotations.numpy(), problem.fitted
    for _ in range(3):  # small turns add up only nearly
        turned = problem.rotations(state)
        design = turned[fitted].reshape(-1, 3)  # a turn q of the specimen is the turn R_j q of tilt j
        common = np.linalg.lstsq(design, state.angles[fitted].reshape(-1), rcond=1e-6)[0]
        turn = Rotation.from_rotvec(common).as_matrix()
        state.positions = state.positions @ turn.T
        rest = turned @ turn.T @ own.transpose(0, 2, 1)
        state.angles = Rotation.from_matrix(rest).as_euler("xyz")


def split_shifts(problem: Problem, state: State) -> tuple[Floats, Floats]:
    """What the shifts (T, 2) hold besides drift: a translation (3,) in Å and a centre (du, dv) in pixels.

    Where a centre cannot be told from a translation (along a single tilt axis) it is counted as a translation.
    """
    pixel = problem.model.image_pixel_A
    turn = problem.rotations(state)[problem.fitted, :2]
    move, center = drift.split_shifts(state.shifts[problem.fitted] * pixel, turn, CENTER_SIGMA_A)
    return move, center / pixel
