"""Windows around an atom, one on every tilt: where they lie, what they show, and where they meet in the specimen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_lot.errors import InputError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEAST_ANGLE_DEG = 8.0
"""Two views closer than this hardly tell a depth."""


@dataclass(frozen=True)
class View:
    """Where every tilt shows the specimen.

    ``matrices`` (T, 3, 3), ``center_px`` (row, column), ``shifts_px`` (T, 2) as (du, dv), ``pixel_A``.
    """

    matrices: Floats
    center_px: tuple[float, float]
    shifts_px: Floats
    pixel_A: float

    def pixels(self, positions: Floats) -> Floats:
        """Row and column of each point (N, 3) on every tilt, (T, N, 2)."""
        vu = np.einsum("tij,nj->tni", self.matrices[:, 1::-1], positions) / self.pixel_A
        return np.asarray(vu + np.array(self.center_px) + self.shifts_px[:, None, ::-1])

    def origins(self, point: Floats, half: int) -> Ints:
        """First row and column (T, 2) of windows of ``2 half + 1`` pixels around a point."""
        return np.round(self.pixels(point[None])[:, 0]).astype(np.int64) - half

    def moved(self, point: Floats, tilt: int, pixel: ArrayLike) -> Floats:
        """The point (3,) moved across the beam of one tilt so that it is seen at a (row, column)."""
        turn = self.matrices[tilt]
        change = (np.asarray(pixel, np.float64) - self.pixels(point[None])[tilt, 0]) * self.pixel_A
        step: Floats = np.linalg.solve(turn, np.array([change[1], change[0], 0.0]))
        return point + step

    def met(self, first: tuple[int, ArrayLike], second: tuple[int, ArrayLike], largest_miss_A: float) -> Floats:
        """Point (3,) in the specimen that two tilts show at given (row, column).

        Raises
        ------
        InputError
            The tilts look from about the same direction, or what they show are two different things.
        """
        tilts = [first[0], second[0]]
        along = np.linalg.inv(self.matrices[tilts])[:, :, 2]
        along /= np.linalg.norm(along, axis=1, keepdims=True)
        if np.linalg.norm(np.cross(*along)) < np.sin(np.deg2rad(LEAST_ANGLE_DEG)):
            raise InputError(
                f"Tilts {tilts[0]} and {tilts[1]} look from about the same direction: click on tilts that are at least "
                f"{LEAST_ANGLE_DEG:g}° apart."
            )
        rows, seen = [], []
        for tilt, pixel in (first, second):
            vu = (np.asarray(pixel, np.float64) - self.center_px - self.shifts_px[tilt, ::-1]) * self.pixel_A
            rows.append(self.matrices[tilt, 1::-1])
            seen.append(vu)
        a, b = np.concatenate(rows), np.concatenate(seen)
        point = np.linalg.lstsq(a, b, rcond=None)[0]
        miss = float(np.linalg.norm(a @ point - b))
        if miss > largest_miss_A:
            raise InputError(
                f"The two places do not belong to one atom (they miss each other by {miss:.2g} Å): click the same spot "
                "on both tilts."
            )
        return np.asarray(point, np.float64)


@dataclass(frozen=True)
class Windows:
    """One square of pixels on every tilt: ``origins`` (T, 2), first row and column, and ``size`` in pixels."""

    origins: Ints
    size: int

    def slices(self, shape: tuple[int, ...]) -> list[tuple[slice, slice]]:
        """What of images of some shape (V, U) lies in each window."""
        return [overlap(origin, self.size, shape)[0] for origin in self.origins]


@dataclass(frozen=True)
class Patches:
    """Cut-outs around one place at every tilt, in the units of the images.

    Attributes
    ----------
    measured, calculated, residual : (T, P, P) float32
        NaN outside the image.
    origins : (T, 2) int
        Row and column of each cut-out's first pixel.
    marks : (T, 2) float64
        (row, column) of the place in each cut-out.
    angles_deg : (T, 3)
        psi, theta, phi of each tilt.
    pixel_A : float
    """

    measured: NDArray[np.float32]
    calculated: NDArray[np.float32]
    residual: NDArray[np.float32]
    origins: Ints
    marks: Floats
    angles_deg: Floats
    pixel_A: float

    def pixel(self, tilt: int, row: float, column: float) -> tuple[float, float]:
        """(row, column) of the image at a place in one tilt's cut-out."""
        return float(self.origins[tilt, 0] + row), float(self.origins[tilt, 1] + column)


def cut(stack: NDArray[np.float32], origins: Ints, size: int, outside: float) -> NDArray[np.float32]:
    """Windows (T, size, size) of a stack (T, V, U); ``outside`` where they leave the images."""
    found = np.full((len(origins), size, size), outside, np.float32)
    for j, origin in enumerate(origins):
        inner, here = overlap(origin, size, stack.shape[1:])
        found[j][here] = stack[j][inner]
    return found


def add(stack: NDArray[np.float32], origins: Ints, windows: NDArray[np.float32]) -> None:
    """Add windows (T, P, P) to a stack (T, V, U) in place."""
    for j, origin in enumerate(origins):
        inner, here = overlap(origin, windows.shape[-1], stack.shape[1:])
        stack[j][inner] += windows[j][here]


def overlap(origin: Ints, size: int, shape: tuple[int, ...]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Slices of an image, and of a window that begins at ``origin``, where both are."""
    inner, here = [], []
    for first, length in zip(origin, shape, strict=True):
        lo, hi = max(int(first), 0), max(min(int(first) + size, length), 0)
        lo = min(lo, hi)
        inner.append(slice(lo, hi))
        here.append(slice(lo - int(first), hi - int(first)))
    return (inner[0], inner[1]), (here[0], here[1])
