"""Channels of the depth basis: what an orbital at a depth puts into each, and what each shows on the canvas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from napari_lot.lot.canvas import Canvas
from napari_lot.lot.correction import ProbeCorrection
from napari_lot.physics.probe import DepthBasis


class Channels:
    """Channels of the imaging kernel.

    ``poly`` (K - 1, R, 4) float32 are cubic pieces of the coefficients over depth, ``coefficients`` (K, R) their values
    at the depths of the basis, ``spectra`` (R, V, U // 2 + 1) complex128 the channels themselves.
    """

    def __init__(
        self,
        poly: NDArray[Any],
        spectra: NDArray[np.complex128],
        coefficients: NDArray[np.float64],
        over_depth: Callable[[float], NDArray[np.float64]],
    ) -> None:
        self.poly, self.spectra, self.coefficients = np.ascontiguousarray(poly, np.float32), spectra, coefficients
        self._over_depth = over_depth

    @classmethod
    def of(cls, basis: DepthBasis, correction: ProbeCorrection | None, canvas: Canvas) -> Channels:
        """Those of a depth basis, and of what the images have corrected of it."""
        if correction is None:
            return cls(basis.polynomial, basis.transfer.astype(np.complex128), basis.coefficients, basis.at)
        g = correction.factor(basis.depth_A)[:, None]
        change = correction.spectra(canvas.shape, canvas.oversampling)
        t = (basis.depth_A / correction.depth_scale_A)[:, None]
        coefficients = np.hstack([basis.coefficients * g * t**p for p in range(len(change))])
        spline = CubicSpline(basis.depth_A, coefficients)
        pieces = np.moveaxis(spline.c[::-1] * (basis.step_A ** np.arange(4))[:, None, None], 0, -1)
        spectra = np.concatenate([basis.transfer * c for c in change])
        return cls(pieces, spectra, coefficients, lambda depth: spline(np.atleast_1d(depth)))

    def strongest(self, tolerance: float) -> Channels:
        """The fewest channels that leave out no more than a part of what all of them show, root mean square."""
        energy = (self.coefficients**2).mean(0) * (np.abs(self.spectra) ** 2).sum((1, 2))
        falling = np.argsort(-energy, kind="stable")
        left_out = 1.0 - np.cumsum(energy[falling]) / energy.sum()
        kept = np.sort(falling[: 1 + int(np.argmax(left_out <= tolerance**2))])  # of all of them nothing is left out
        return Channels(
            self.poly[:, kept],
            self.spectra[kept],
            self.coefficients[:, kept],
            lambda depth: self._over_depth(depth)[..., kept],
        )

    def seen_at(self, depth_A: float) -> NDArray[np.complex128]:
        """Spectrum of the imaging kernel at one depth, (V, U // 2 + 1)."""
        return np.einsum("r,rvu->vu", self._over_depth(depth_A)[0], self.spectra)
