"""A problem of a few atoms, small enough for dense linear algebra."""

import numpy as np
import torch

from napari_lot.lot.image_model import ImageModel
from napari_lot.lot.problem import Problem, State
from napari_lot.physics.geometry import rotations

PIXEL = 0.4
SHAPE = (30, 34)
MIDDLE = (14.5, 16.5)
ANGLES = np.array([[0.0, -60.0, 0.0], [0.0, -25.0, 0.0], [0.0, 10.0, 0.0], [0.0, 40.0, 0.0], [0.0, 65.0, 0.0]])


def make_model(angles=ANGLES):
    return ImageModel(rotations(angles), SHAPE, PIXEL, MIDDLE, None, (-6, 6), 0.6, threads=1)


def make_state():
    rng = np.random.default_rng(0)
    positions = np.array([[0.0, 0, 0], [2.4, 0.3, 0.5], [-2.2, 1.0, 1.2], [0.4, -2.6, -1.0], [0.2, 2.5, -2.0]])
    n, tilts = len(positions), len(ANGLES)
    return State(
        positions=positions,
        height=rng.uniform(1.5, 2.5, n),
        width=np.array([0.6]),
        species=np.zeros(n, np.int64),
        ids=np.arange(n),
        shifts=np.zeros((tilts, 2)),
        scale=np.ones(tilts),
        background=np.full(tilts, 0.3),
        next_id=n,
    )


def make_problem(truth, noise=0.0, kind="lsq", weights=None, angles=ANGLES, seed=0):
    model = make_model(angles)
    clean = np.zeros((len(angles), *SHAPE), np.float32)
    images = Problem(model, clean, None, "lsq").evaluate(truth, np.arange(len(angles)), ()).calculated
    images = images + np.random.default_rng(seed).normal(0, noise, images.shape)
    return Problem(model, images.astype(np.float32), weights, kind)


def unit(state):
    """Positions and width of a state, as the image model takes them."""
    return torch.from_numpy(state.positions), torch.from_numpy(state.width)[0], torch.from_numpy(state.shifts)


def unit_images(problem, state):
    """Image of every orbital at height 1 and scale 1, (N, T, V, U)."""
    width = torch.from_numpy(state.width)[0]
    return np.stack(
        [
            problem.model.images(
                range(len(problem)),
                torch.from_numpy(state.positions[k : k + 1]),
                torch.ones(1, dtype=torch.float64),
                width,
                torch.from_numpy(state.shifts),
            ).numpy()
            for k in range(len(state.height))
        ]
    ).astype(np.float64)
