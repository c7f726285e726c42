"""What the images say of the imaging kernel beyond aberrations: pixels of it, and an attenuation through the thickness.

    p(r; w)  ->  g(w) (delta + kappa_0(r) + kappa_1(r) w / L) * p(r; w)

A smooth g of mean 1 is the loss of beam on its way through the object, kappa what no aberration explains; kappa_1 lets
it change with depth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ProbeCorrection:
    """Correction of the imaging kernel.

    Attributes
    ----------
    kernels : (P, 2 n + 1, 2 n + 1)
        kappa_0 and, where P is 2, kappa_1, v by u, in image pixels around their middle.
    attenuation : (A,)
        Coefficients of t, t^2, ... in g, t = w / L; each power less its mean over the atoms, so that g has mean 1.
    depth_scale_A : float
        L.
    power_means : (A,)
        Means of t, t^2, ... over the atoms.
    """

    kernels: Floats = field(default_factory=lambda: np.zeros((0, 1, 1)))
    attenuation: Floats = field(default_factory=lambda: np.zeros(0))
    depth_scale_A: float = 1.0
    power_means: Floats = field(default_factory=lambda: np.zeros(0))

    def as_dict(self) -> dict[str, Any]:
        """Its numbers as plain lists, for a report; ``from_dict`` makes it anew."""
        return {
            "kernels": self.kernels.tolist(),
            "attenuation": self.attenuation.tolist(),
            "depth_scale_A": float(self.depth_scale_A),
            "power_means": self.power_means.tolist(),
        }

    @classmethod
    def from_dict(cls, numbers: Mapping[str, Any]) -> ProbeCorrection:
        """The correction that ``as_dict`` has written."""
        kernels = np.asarray(numbers["kernels"], np.float64)
        return cls(
            kernels if kernels.ndim == 3 else np.zeros((0, 1, 1)),
            np.asarray(numbers["attenuation"], np.float64),
            float(numbers["depth_scale_A"]),
            np.asarray(numbers["power_means"], np.float64),
        )

    def factor(self, depth_A: ArrayLike) -> Floats:
        """g(w), same shape as ``depth_A``."""
        t = np.asarray(depth_A, np.float64) / self.depth_scale_A
        g = np.ones_like(t)
        for k, (a, mean) in enumerate(zip(self.attenuation, self.power_means, strict=True), start=1):
            g = g + a * (t**k - mean)
        return np.maximum(g, 0.0)

    def kernels_at(self, depth_A: Floats) -> Floats:
        """kappa_0 + kappa_1 w / L at depths (D,), shape (D, 2 n + 1, 2 n + 1)."""
        t = depth_A / self.depth_scale_A
        return np.einsum("pd,pvu->dvu", t[None] ** np.arange(len(self.kernels))[:, None], self.kernels)

    def spectra(self, shape: tuple[int, int], oversampling: int) -> NDArray[np.complex128]:
        """Factors (P, V, U // 2 + 1) on the spectra of a canvas; the first holds delta as well."""
        n = self.kernels.shape[-1] // 2
        place = np.arange(-n, n + 1) * oversampling
        found = []
        for kernel in self.kernels:
            canvas = np.zeros(shape)
            canvas[np.ix_(place % shape[0], place % shape[1])] = kernel
            found.append(np.fft.rfft2(canvas))
        if not found:
            return np.ones((1, shape[0], shape[1] // 2 + 1), np.complex128)
        found[0] = 1.0 + found[0]
        return np.stack(found)
