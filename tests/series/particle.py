"""Images of a particle made of Gaussians, by nothing but the geometry of the docs: an oracle for alignment."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def atoms(seed: int = 2, n: int = 60, radius_px: float = 18.0) -> NDArray[np.float64]:
    """Places (n, 3) in pixels within a lopsided ellipsoid about the origin, none heavier than another."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(4 * n, 3))
    points *= (rng.random(4 * n) ** (1 / 3) / np.linalg.norm(points, axis=1))[:, None]
    return points[:n] * radius_px * np.array([1.0, 0.75, 0.6])


def images(
    points: NDArray[np.float64],
    thetas_deg: NDArray[np.float64],
    shape: tuple[int, int] = (72, 80),
    axis_deg: float = 0.0,
    shifts: NDArray[np.float64] | None = None,
    width_px: float = 1.6,
) -> NDArray[np.float32]:
    """(T, V, U): tilted by theta about an axis ``axis_deg`` clockwise from vertical, then moved by (du, dv)."""
    v, u = np.arange(shape[0]) - (shape[0] - 1) / 2, np.arange(shape[1]) - (shape[1] - 1) / 2
    a = np.deg2rad(axis_deg)
    axis = np.array([-np.sin(a), np.cos(a), 0.0])  # Rodrigues' formula about it
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    stack = np.zeros((len(thetas_deg), *shape), np.float32)
    for j, theta in enumerate(np.deg2rad(thetas_deg)):
        turn = np.eye(3) + np.sin(theta) * cross + (1 - np.cos(theta)) * cross @ cross
        du, dv = (0.0, 0.0) if shifts is None else shifts[j]
        for x, y, _ in points @ turn.T:
            row = np.exp(-0.5 * ((v - y - dv) / width_px) ** 2)
            column = np.exp(-0.5 * ((u - x - du) / width_px) ** 2)
            stack[j] += np.outer(row, column)
    return stack
