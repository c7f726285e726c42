"""Where tilts show orbitals, and the way of a gradient back to their places: in double precision.

Single precision places an orbital to 3e-5 pixels on a canvas of 500 pixels. So places are calculated in double
precision, and only what is left of them within a pixel, or within a piece of the depth, goes on as float32. CUDA
devices calculate double precision themselves; Apple's cannot, and the processor does it for them (nine products an
orbital and tilt).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Places(NamedTuple):
    """Where each of n tilts shows each of N orbitals, (n N,) all.

    u, v: first pixel of its window (int64; of a Gaussian it may lie beyond the canvas); from_u, from_v: where it is
    from there, as its window counts it (float32);
    piece, along: piece of the depth (int64), and how far along it (float32); inside: 1 within the knots of the depth, 0
    beyond (float32); seen: 1 where the window lies on the canvas, 0 elsewhere (float32; u and v are 0 there).
    """

    u: Tensor
    v: Tensor
    from_u: Tensor
    from_v: Tensor
    piece: Tensor
    along: Tensor
    inside: Tensor
    seen: Tensor

    def part(self, first: int, last: int) -> Places:
        """Some of them."""
        return Places(*(each[first:last] for each in self))


class Depths(NamedTuple):
    """Knots of the depth: the first in Å, 1 / their distance, and the number of pieces between them."""

    first_A: float
    inv_step: float
    pieces: int


def exact(device: torch.device) -> torch.device:
    """Where numbers of double precision are calculated for a device: there, or on the processor."""
    return torch.device("cpu") if device.type == "mps" else device


def places(
    positions: Tensor,
    matrices: Tensor,
    offsets: Tensor,
    depths: Depths,
    shape: tuple[int, int],
    width: int,
    halves: Tensor | None,
    device: torch.device,
) -> Places:
    """Places on a device, from positions (N, 3) Å, matrices (n, 3, 3) and offsets (n, 3), float64 where ``exact`` is.

    ``width`` pixels has a window, and counts how far before its first pixel it begins, from 0 to 1. With ``halves``
    (N,) they are Gaussians', about the pixel that is nearest to the orbital, and count from there; what an orbital has
    of such a window is its own half to each side, and the rest may lie beyond the canvas.
    """
    at = matrices @ positions.T + offsets[:, :, None]  # (n, 3, N)
    rows, columns = shape
    seen = torch.ones(at.shape[0], at.shape[2], dtype=torch.bool, device=at.device)
    first, rest = [], []
    for place, size in ((at[:, 0], columns), (at[:, 1], rows)):
        if halves is not None:
            nearest = torch.floor(place + 0.5)
            begin, left = nearest - width // 2, place - nearest
            seen &= (nearest >= halves) & (nearest < size - halves)
        else:
            edge = place - 0.5 * width
            begin = torch.ceil(edge)
            left = begin - edge
            seen &= (begin >= 0) & (begin + width <= size)
        first.append(begin)
        rest.append(left)
    depth = torch.nan_to_num((at[:, 2] - depths.first_A) * depths.inv_step)
    piece = depth.floor().clamp(0, depths.pieces - 1)
    along = (depth - piece).clamp(0.0, 1.0)
    inside = (depth >= 0) & (depth <= depths.pieces)

    def whole(values: Tensor) -> Tensor:
        return values.to(torch.int64).flatten().to(device)

    def single(values: Tensor) -> Tensor:
        return values.to(torch.float32).flatten().to(device)

    u, v = (whole(torch.where(seen, begin, 0.0)) for begin in first)
    from_u, from_v = (single(torch.where(seen, left, 0.0)) for left in rest)
    return Places(
        u,
        v,
        from_u,
        from_v,
        whole(piece),
        single(along),
        single(inside),
        single(seen),
    )


def by_place(slopes: Tensor, positions: Tensor, matrices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients by positions (N, 3), matrices (n, 3, 3) and offsets (n, 3), all float64, from those by (u, v, w).

    ``slopes`` (3, n, N); summed in double precision, for near the best fit they all but cancel.
    """
    slopes = slopes.to(positions.device).to(torch.float64).transpose(0, 1)  # (n, 3, N)
    by_positions = torch.einsum("njp,njk->pk", slopes, matrices)
    return by_positions, slopes @ positions, slopes.sum(2)
