"""The padded grid on which tilts are calculated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.fft import next_fast_len
from torch import Tensor

from napari_lot.physics.orbital import Gaussian, Orbital
from napari_lot.settings import Microscope

SMALLEST_SPREAD_PX = 1.2
"""Spread width below which a sampled Gaussian aliases by more than about 1e-4 of its height."""
FAR_EDGE = 1e-3
"""Height of a tail that may wrap around, relative to the peak of the orbital: the probe spreads it further."""
WINDOW_EDGE = 1e-5
"""Height of an orbital at the edge of its window, after the sharpening filter, relative to its peak."""


@dataclass(frozen=True)
class Canvas:
    """The padded grid on which tilts are calculated.

    ``shape`` (V, U) canvas pixels, ``pad`` pixels before the first image pixel (the same on both axes),
    ``oversampling`` canvas pixels per image pixel, ``image_shape`` (V, U) image pixels, ``pixel_size_A`` of the canvas.
    """

    shape: tuple[int, int]
    pad: int
    oversampling: int
    image_shape: tuple[int, int]
    pixel_size_A: float

    @classmethod
    def around(
        cls, image_shape: tuple[int, int], pixel_size_A: float, margin_A: float, oversampling: int = 1
    ) -> Canvas:
        """A canvas with at least ``margin_A`` on every side, of sizes that FFTs like."""
        fine = pixel_size_A / oversampling
        pad = int(np.ceil(margin_A / fine))
        rows, columns = (_fast_and_even(n * oversampling + 2 * pad) for n in image_shape)
        return cls((rows, columns), pad, oversampling, image_shape, fine)

    def crop(self, canvas: Tensor) -> Tensor:
        """Image pixels of a (..., V, U) canvas."""
        v, u = self.image_shape
        k, p = self.oversampling, self.pad
        return canvas[..., p : p + k * v : k, p : p + k * u : k]


def _fast_and_even(least: int) -> int:
    """The smallest even length of at least so many pixels that FFTs like: 625 is one, and 626 = 2 x 313 the worst."""
    length = next_fast_len(least, real=True)
    while length % 2:
        length = next_fast_len(length + 1, real=True)
    return int(length)


def margin_A(
    microscope: Microscope | None,
    depth_range_A: tuple[float, float],
    width_A: float,
    pixel_size_A: float,
    orbital: Orbital | None = None,
) -> float:
    """Padding in Å so that nothing wraps around and no atom that touches the field is dropped.

    An orbital is left out once its window leaves the canvas, so twice the window, and the probe's geometric radius.
    Orbitals of another shape than a Gaussian reach beyond their window.
    """
    spread = 1.2 * max(width_A, SMALLEST_SPREAD_PX * pixel_size_A)
    margin = 2.0 * spread * float(np.sqrt(-np.log(WINDOW_EDGE)))
    beyond = (orbital or Gaussian()).reach_A(width_A, FAR_EDGE) - Gaussian().reach_A(width_A, FAR_EDGE)
    margin += max(0.0, beyond)
    if microscope is None or microscope.semiangle_mrad is None:
        return margin
    far = max(abs(edge - microscope.defocus_A) for edge in depth_range_A)
    return margin + far * microscope.semiangle_mrad * 1e-3 + 2.0
