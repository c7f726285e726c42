"""The oracle of every fast path: the same channels by plain torch, without windows, in any precision.

Each orbital is the outer product of two full-length Gaussians or windows, so a channel is one matrix product; autograd
gives every gradient. Memory is N * (V + U) numbers a tilt: for tests and small objects.
"""

from __future__ import annotations

import torch
from torch import Tensor

from napari_lot.lot.spread.window import Window


def depth_coefficients(w: Tensor, w0: float, inv_dw: float, poly: Tensor) -> Tensor:
    """c_r(w), shape (N, R), from the cubic pieces ``poly`` (K - 1, R, 4); differentiable in w (Å)."""
    t = (w - w0) * inv_dw
    piece = t.detach().floor().clamp(0, len(poly) - 1).long()
    t = (t - piece).clamp(0.0, 1.0).unsqueeze(-1)
    p = poly[piece]
    return p[..., 0] + t * (p[..., 1] + t * (p[..., 2] + t * p[..., 3]))


def spread(
    positions: Tensor,
    amplitude: Tensor,
    inv_s2: Tensor | None,
    matrix: Tensor,
    offset: Tensor,
    w0: float,
    inv_dw: float,
    poly: Tensor,
    rows: int,
    columns: int,
    window: Window,
) -> Tensor:
    """Depth channels (R, V, U) of one tilt; arguments as in ``gaussian.spread``; ``window`` without widths."""
    uvw = positions @ matrix.T
    c = amplitude[:, None] * depth_coefficients(uvw[:, 2] + offset[2], w0, inv_dw, poly)
    u = torch.arange(columns, dtype=positions.dtype) - (uvw[:, :1] + offset[0])
    v = torch.arange(rows, dtype=positions.dtype) - (uvw[:, 1:2] + offset[1])
    gu, gv = (_window(x, window) if inv_s2 is None else torch.exp(-(x**2) * inv_s2[:, None]) for x in (u, v))
    return torch.einsum("nr,nv,nu->rvu", c, gv, gu)


def _window(x: Tensor, window: Window) -> Tensor:
    """A compact window at distances in pixels, without the polynomials that the compiled path has for it."""
    square = 1.0 - (2.0 * x / window.taps) ** 2
    inside = square > 0
    root = torch.sqrt(torch.where(inside, square, 1.0))  # no slope of a root at 0
    beta = torch.tensor(window.beta, dtype=x.dtype)
    return torch.where(inside, torch.special.i0(beta * root) / torch.special.i0(beta), 0.0)
