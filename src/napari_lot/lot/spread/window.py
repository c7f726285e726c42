"""A window of few pixels by which orbitals of a common shape are spread: Kaiser and Bessel's.

    psi(x) = I0(beta sqrt(1 - (2 x / W)^2)) / I0(beta),  |x| <= W / 2, in canvas pixels

What an orbital looks like is then a filter f(q; B) / psi^(q_u) psi^(q_v), the same for all orbitals of a species; the
window itself only has to put them between the pixels (Beatty et al., IEEE Trans. Med. Imaging 24, 799, 2005; Barnett
et al., SIAM J. Sci. Comput. 41, C479, 2019). Against a Gaussian that aliases as little it has a quarter of the pixels.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.polynomial import chebyshev, polynomial
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]

TAPS = 8
"""Pixels along each axis. With the other constants: what a frequency of 0.3 (0.35, 0.4) cycles a pixel takes from its
image beyond the sampling limit is below 4e-5 (4e-5, 2e-4) of its own."""
USED_BAND = 0.4
"""Frequencies in cycles a pixel up to which the window is chosen to alias little; little is left beyond."""
DEGREE = 7
"""Of the polynomials that stand for the window: exact to single precision."""


def beta() -> float:
    """Shape of the window for its length and the used band (Beatty's choice)."""
    sigma = 0.5 / USED_BAND
    return float(np.pi * np.sqrt((TAPS / sigma) ** 2 * (sigma - 0.5) ** 2 - 0.8))


def value(x_px: Floats) -> Floats:
    """The window at distances in pixels."""
    inside = np.sqrt(np.maximum(1.0 - (2.0 * x_px / TAPS) ** 2, 0.0))
    return np.where(np.abs(x_px) <= 0.5 * TAPS, special.i0(beta() * inside) / special.i0(beta()), 0.0)


def transform(q: Floats) -> Floats:
    """Its Fourier transform at frequencies in cycles a pixel."""
    root = np.sqrt(np.asarray((np.pi * TAPS * q) ** 2 - beta() ** 2, np.complex128))
    return np.asarray((TAPS * np.sin(root) / root).real / special.i0(beta()))


@cache
def pieces() -> Floats:
    """Polynomials (DEGREE + 1, TAPS) in s = 2 t - 1: the window at t - W / 2 + j, 0 <= t < 1, for tap j."""
    nodes = np.cos(np.pi * (np.arange(4 * DEGREE) + 0.5) / (4 * DEGREE))
    of_taps = []
    for j in range(TAPS):
        series = chebyshev.chebfit(nodes, value(0.5 * (nodes + 1.0) - 0.5 * TAPS + j), DEGREE)
        of_taps.append(chebyshev.cheb2poly(series))
    return np.stack(of_taps, 1)


@cache
def slopes() -> Floats:
    """Derivatives (DEGREE, TAPS) of the polynomials with respect to the distance in pixels."""
    return np.asarray(2.0 * polynomial.polyder(pieces()))
