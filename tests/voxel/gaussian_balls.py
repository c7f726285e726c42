"""Gaussian balls: their density and their projections, in closed form."""

from dataclasses import replace

import numpy as np
import pytest

from napari_lot.physics.geometry import rotations
from napari_lot.voxel.method import Tilts
from napari_lot.voxel.volume import Volume

PIXEL_A = 0.5


class Balls:
    """Balls ``height exp(-r²/(2 sigma²))`` at positions (N, 3) in Å."""

    def __init__(self, positions, heights, sigma_A):
        self.positions, self.heights, self.sigma_A = np.asarray(positions, float), np.asarray(heights, float), sigma_A

    @classmethod
    def some(cls, number=12, radius_A=5.0, sigma_A=0.9, seed=0):
        rng = np.random.default_rng(seed)
        points = rng.normal(size=(number, 3))
        points *= (radius_A * rng.uniform(0, 1, number) ** (1 / 3) / np.linalg.norm(points, axis=1))[:, None]
        return cls(points, rng.uniform(0.5, 1.5, number), sigma_A)

    def volume(self, shape, pixel_A=PIXEL_A):
        empty = Volume.centred(np.zeros(shape, np.float32), pixel_A)
        at = empty.places_A(np.stack(np.indices(shape), -1).reshape(-1, 3).astype(float))
        total = np.zeros(len(at))
        for position, height in zip(self.positions, self.heights, strict=True):
            total += height * np.exp(-((at - position) ** 2).sum(1) / (2 * self.sigma_A**2))
        return total.reshape(shape).astype(np.float32)

    def images(self, matrices, field, center_px, shifts_px, pixel_A=PIXEL_A):
        rows, columns = np.arange(field[0]), np.arange(field[1])
        images = np.zeros((len(matrices), *field))
        for t, (matrix, (du, dv)) in enumerate(zip(matrices, shifts_px, strict=True)):
            for (u, v, _), height in zip(self.positions @ matrix.T, self.heights, strict=True):
                along_v = (rows - center_px[0] - dv) * pixel_A - v
                along_u = (columns - center_px[1] - du) * pixel_A - u
                peak = height * np.sqrt(2 * np.pi) * self.sigma_A
                images[t] += peak * np.outer(*(np.exp(-(a**2) / (2 * self.sigma_A**2)) for a in (along_v, along_u)))
        return images.astype(np.float32)

    def tilts(self, angles_deg, field=(40, 40), center_px=None, shifts_px=None, matrices=None, **others):
        """A series of tilts; ``angles_deg``: theta alone, or psi, theta, phi."""
        if matrices is None:
            angles = np.asarray(angles_deg, float)
            matrices = rotations(angles if angles.ndim == 2 else np.stack([0 * angles, angles, 0 * angles], -1))
        center = center_px or (0.5 * (field[0] - 1), 0.5 * (field[1] - 1))
        shifts = np.zeros((len(matrices), 2)) if shifts_px is None else np.asarray(shifts_px, float)
        return Tilts(self.images(matrices, field, center, shifts), matrices, PIXEL_A, center, shifts, **others)


def error(found, truth):
    """Root of the summed squared differences, over that of the truth."""
    return float(np.linalg.norm(found.astype(float) - truth) / np.linalg.norm(truth))


def everywhere(number, seed=1):
    """Random rotations: directions of all the sphere."""
    rng = np.random.default_rng(seed)
    return np.stack(
        [
            rng.uniform(-180, 180, number),
            np.rad2deg(np.arcsin(rng.uniform(-1, 1, number))),
            rng.uniform(-180, 180, number),
        ],
        -1,
    )


def noisy(tilts, part, seed=0):
    """The tilts with white noise of a part of their brightest pixel."""
    noise = np.random.default_rng(seed).normal(0, part * tilts.images.max(), tilts.images.shape)
    return replace(tilts, images=(tilts.images + noise).astype(np.float32))


def assert_ends_at_poll(method, count):
    """What ``method(poll)`` yields ends with the error of the ``count``-th poll, and polls no more."""

    class Enough(Exception):
        pass

    calls = []

    def poll():
        calls.append(0)
        if len(calls) == count:
            raise Enough

    with pytest.raises(Enough):
        list(method(poll))
    assert len(calls) == count
