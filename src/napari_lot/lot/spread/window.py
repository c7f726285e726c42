"""Windows of few pixels by which orbitals of a common shape are spread: Kaiser and Bessel's.

    psi(x) = I0(beta sqrt(1 - (2 x / W)^2)) / I0(beta),  |x| <= W / 2, in canvas pixels

What an orbital looks like is then a filter f(q; B) / psi^(q_u) psi^(q_v), the same for all orbitals of a species; the
window itself only has to put them between the pixels (Beatty et al., IEEE Trans. Med. Imaging 24, 799, 2005; Barnett
et al., SIAM J. Sci. Comput. 41, C479, 2019). Against a Gaussian that aliases as little it has a quarter of the pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.polynomial import chebyshev, polynomial
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]

USED_BAND = 0.4
"""Frequencies in cycles a pixel up to which a window is chosen to alias little; little is left beyond."""
DEGREE = 7
"""Of the polynomials that stand for a window: exact to single precision."""


@dataclass(frozen=True)
class Window:
    """A window of ``taps`` pixels along each axis."""

    taps: int

    @cached_property
    def beta(self) -> float:
        """Shape of the window for its length and the used band (Beatty's choice)."""
        sigma = 0.5 / USED_BAND
        return float(np.pi * np.sqrt((self.taps / sigma) ** 2 * (sigma - 0.5) ** 2 - 0.8))

    def value(self, x_px: Floats) -> Floats:
        """The window at distances in pixels."""
        inside = np.sqrt(np.maximum(1.0 - (2.0 * x_px / self.taps) ** 2, 0.0))
        edge = np.abs(x_px) <= 0.5 * self.taps
        return np.where(edge, special.i0(self.beta * inside) / special.i0(self.beta), 0.0)

    def transform(self, q: Floats) -> Floats:
        """Its Fourier transform at frequencies in cycles a pixel."""
        root = np.sqrt(np.asarray((np.pi * self.taps * q) ** 2 - self.beta**2, np.complex128))
        return np.asarray((self.taps * np.sin(root) / root).real / special.i0(self.beta))

    @cached_property
    def pieces(self) -> Floats:
        """Polynomials (DEGREE + 1, W) in s = 2 t - 1: the window at t - W / 2 + j, 0 <= t < 1, for tap j."""
        nodes = np.cos(np.pi * (np.arange(4 * DEGREE) + 0.5) / (4 * DEGREE))
        of_taps = []
        for j in range(self.taps):
            series = chebyshev.chebfit(nodes, self.value(0.5 * (nodes + 1.0) - 0.5 * self.taps + j), DEGREE)
            of_taps.append(chebyshev.cheb2poly(series))
        return np.stack(of_taps, 1)

    @cached_property
    def slopes(self) -> Floats:
        """Derivatives (DEGREE, W) of the polynomials with respect to the distance in pixels."""
        return np.asarray(2.0 * polynomial.polyder(self.pieces))


FINE = Window(8)
"""A frequency of 0.3 (0.35, 0.4) cycles a pixel takes 2e-6 (2e-5, 5e-5) of its own from its image beyond the sampling
limit."""
COARSE = Window(4)
"""5e-3 (1e-2) here: enough where many orbitals stand for one atom, at a third of the work."""
