"""Spectra of channel pairs, combined into that of an image and back (compiled).

Two real channels x and y are the parts of one complex image z = x + i y. With Z its Fourier transform and
Z'(q) = conj Z(-q), X = (Z + Z') / 2 and Y = (Z - Z') / 2 i, so that what a probe makes of them,

    sum_r T_r X_r = sum_k (A_k Z_k + B_k Z'_k),   A = (T_x - i T_y) / 2,   B = (T_x + i T_y) / 2,

takes as many products as channels, and the channels are never taken apart. The way back is the transpose: the adjoint
of a real image with spectrum G is, for pair k, the inverse transform of 2 conj(A_k) G at q and of 2 B_k conj G at -q.
(Press et al., Numerical Recipes, 3rd ed., 12.3.1, for the transform of two real functions at once.)
"""

from __future__ import annotations

from typing import NamedTuple

import numba as nb
import numpy as np
from numpy.typing import NDArray

from napari_lot.lot.spread.common import OPTIONS


class PairTransfer(NamedTuple):
    """A and B of every pair of channels, complex64 (P, V, U // 2 + 1)."""

    a: NDArray[np.complex64]
    b: NDArray[np.complex64]

    @classmethod
    def of(cls, transfer: NDArray[np.complexfloating]) -> PairTransfer:
        """Of the channels' own transfer functions (R, V, U // 2 + 1), R even."""
        x, y = transfer[::2], transfer[1::2]
        return cls(
            np.ascontiguousarray(0.5 * (x - 1j * y), np.complex64),
            np.ascontiguousarray(0.5 * (x + 1j * y), np.complex64),
        )


@nb.njit(**OPTIONS)
def combine(z, a, b, out):  # type: ignore[no-untyped-def]
    """Spectrum (V, U // 2 + 1) of the image of pairs z (P, V, U), complex64 all."""
    pairs, rows, columns = z.shape
    half = out.shape[1]
    for v in range(rows):
        back = (rows - v) % rows
        for k in range(pairs):
            here, there, ak, bk, to = z[k, v], z[k, back], a[k, v], b[k, v], out[v]
            first = ak[0] * here[0] + bk[0] * np.conj(there[0])
            if k == 0:
                to[0] = first
                for u in range(1, half):
                    to[u] = ak[u] * here[u] + bk[u] * np.conj(there[columns - u])
            else:
                to[0] += first
                for u in range(1, half):
                    to[u] += ak[u] * here[u] + bk[u] * np.conj(there[columns - u])


@nb.njit(**OPTIONS)
def apart(g, a, b, out):  # type: ignore[no-untyped-def]
    """Transpose of ``combine``: spectra (P, V, U), U even, of pairs from an image's spectrum g (V, U // 2 + 1)."""
    pairs, rows, columns = out.shape
    half = g.shape[1]
    for k in range(pairs):
        for v in range(rows):
            back = (rows - v) % rows
            here, there, ak, bk, seen = out[k, v], out[k, back], a[k, v], b[k, v], g[v]
            # frequencies that are their own opposites along u stand for themselves, and share with those at -v
            for u in (0, half - 1):
                here[u] = seen[u] * (np.conj(ak[u]) + b[k, back, u])
            for u in range(1, half - 1):
                here[u] = np.float32(2.0) * seen[u] * np.conj(ak[u])
                there[columns - u] = np.float32(2.0) * np.conj(seen[u]) * bk[u]


@nb.njit(**OPTIONS)
def filtered(spectrum, factor, add, out):  # type: ignore[no-untyped-def]
    """out = factor * spectrum, or added to it; complex64 (V, H), float32 (V, H)."""
    for v in range(out.shape[0]):
        for u in range(out.shape[1]):
            if add:
                out[v, u] += factor[v, u] * spectrum[v, u]
            else:
                out[v, u] = factor[v, u] * spectrum[v, u]


@nb.njit(**OPTIONS)
def add_product(seen, spectrum, out):  # type: ignore[no-untyped-def]
    """out += Re(conj(seen) * spectrum): the gradient by a real filter; complex64 (V, H) both, float32 (V, H)."""
    for v in range(out.shape[0]):
        for u in range(out.shape[1]):
            s, x = seen[v, u], spectrum[v, u]
            out[v, u] += s.real * x.real + s.imag * x.imag
