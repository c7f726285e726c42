"""Gaussian balls of different heights: density and projections are known in closed form."""

import numpy as np

from napari_lot.physics.geometry import rotations
from napari_lot.voxel.method import Tilts

PIXEL_A = 0.5


def about_y(*angles_deg):
    """Rotations about the y axis."""
    angles = np.asarray(angles_deg, float)
    return rotations(np.stack([0 * angles, angles, 0 * angles], -1))


def some_places(number=6, radius_A=4.0, seed=0):
    """Positions (N, 3) in Å within a radius."""
    rng = np.random.default_rng(seed)
    places = rng.normal(size=(number, 3))
    return places * (radius_A * rng.random(number) ** (1 / 3) / np.linalg.norm(places, axis=1))[:, None]


def heights_of(places):
    return 1.0 + 0.1 * np.arange(len(places))


def density(places, sigma_A, shape, voxel_A=PIXEL_A):
    """(Z, Y, X) of balls ``height exp(-r^2 / (2 sigma^2))``."""
    z, y, x = ((np.arange(n) - 0.5 * (n - 1)) * voxel_A for n in shape)
    total = np.zeros(shape)
    for (a, b, c), height in zip(places, heights_of(places), strict=True):
        squares = (x - a) ** 2 + ((y - b) ** 2)[:, None] + ((z - c) ** 2)[:, None, None]
        total += height * np.exp(-squares / (2 * sigma_A**2))
    return total.astype(np.float32)


def images(places, sigma_A, turns, field, center_px, shifts_px, pixel_A=PIXEL_A):
    """(T, V, U): integrals along the beam."""
    rows, columns = np.indices(field)
    found = np.zeros((len(turns), *field))
    for t, (turn, (du, dv)) in enumerate(zip(turns, shifts_px, strict=True)):
        for (u, v, _), height in zip(places @ turn.T, heights_of(places), strict=True):
            square = ((columns - center_px[1] - du) * pixel_A - u) ** 2 + (
                (rows - center_px[0] - dv) * pixel_A - v
            ) ** 2
            found[t] += height * np.sqrt(2 * np.pi) * sigma_A * np.exp(-square / (2 * sigma_A**2))
    return found.astype(np.float32)


def tilts_of(places, turns, field=(32, 32), sigma_A=1.2, center_px=None, shifts_px=None, **others):
    """A series of exact projections."""
    center = center_px or (0.5 * (field[0] - 1), 0.5 * (field[1] - 1))
    shifts = np.zeros((len(turns), 2)) if shifts_px is None else np.asarray(shifts_px, float)
    return Tilts(images(places, sigma_A, turns, field, center, shifts), turns, PIXEL_A, center, shifts, **others)


def nothing():
    """To be called in the place of a poll."""
