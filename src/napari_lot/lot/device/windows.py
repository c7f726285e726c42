"""Spread and gather in plain torch operations, for any device: the contract of ``lot.spread`` in batches of tilts.

A canvas is (n, P, V, U, 2): tilts, pairs of depth channels, rows, columns, and the two channels of a pair. The orbitals
of all tilts are one list, tilt after tilt (``Places``), of which so many are taken at once as memory allows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from napari_lot.lot.device.places import Places

Factors = tuple[Tensor, Tensor]
"""Along v and along u (m, F, W): the window, and what its slopes need of it."""


class Orbitals(NamedTuple):
    """What all tilts share: amplitude (N,), and 1 / width^2 (N,) of Gaussians; float32."""

    amplitude: Tensor
    inv_s2: Tensor | None


class Compact(NamedTuple):
    """A compact window: its polynomials (D + 1, W) and those of its slope (D, W), highest power last; float32."""

    value: Tensor
    slope: Tensor

    @property
    def width(self) -> int:
        """Pixels."""
        return self.value.shape[1]


Poly = Tensor
"""Cubic pieces (K - 1, 2 P, 4) of the channels' coefficients over depth, float32."""


# -- windows and depths -------------------------------------------------------------------------------------------


def horner(table: Tensor, at: Tensor) -> Tensor:
    """Polynomials (D + 1, W), highest power last, at places (m,): (m, W)."""
    total = table[-1].expand(len(at), -1)
    for power in range(len(table) - 2, -1, -1):
        total = torch.addcmul(table[power], total, at[:, None])
    return total


def coefficients(poly: Poly, piece: Tensor, along: Tensor) -> Tensor:
    """Of the channels at depths (m,): (m, 2 P)."""
    p, t = poly[piece], along[:, None]
    return p[..., 0] + t * (p[..., 1] + t * (p[..., 2] + t * p[..., 3]))


def coefficient_slopes(poly: Poly, piece: Tensor, along: Tensor) -> Tensor:
    """Their derivatives along a piece, (m, 2 P)."""
    p, t = poly[piece], along[:, None]
    return p[..., 1] + t * (2.0 * p[..., 2] + t * 3.0 * p[..., 3])


def compact_factors(window: Compact, from_v: Tensor, from_u: Tensor, level: int) -> Factors:
    """Of compact windows; with their slopes where ``level`` is above 0."""

    def along(rest: Tensor) -> Tensor:
        at = 2.0 * rest - 1.0
        value = horner(window.value, at)
        return torch.stack([value, horner(window.slope, at)], 1) if level else value[:, None]

    return along(from_v), along(from_u)


def gaussian_factors(half: int, inv_s2: Tensor, places: Places, shape: tuple[int, int], level: int) -> Factors:
    """Of Gaussians: themselves, times the distance, and times its square, as far as ``level`` asks for them.

    0 beyond the canvas, which has that ``shape`` (V, U).
    """
    steps = torch.arange(2 * half + 1, device=inv_s2.device)

    def along(rest: Tensor, first: Tensor, size: int) -> Tensor:
        d = (steps - half).to(torch.float32) - rest[:, None]
        at = first[:, None] + steps
        value = torch.exp(-(d**2) * inv_s2[:, None]) * ((at >= 0) & (at < size))
        return torch.stack([value, value * d, value * d**2][: level + 1], 1)

    return along(places.from_v, places.v, shape[0]), along(places.from_u, places.u, shape[1])


def _pixels(canvas: Tensor, places: Places, tilt: Tensor, width: int) -> Tensor:
    """Where the windows lie in the first pair, (m, W, W): rows of the canvas as (n P V U, 2).

    Pixels beyond the canvas, where ``factors_of`` is 0, are those at its edge.
    """
    _, pairs, rows, columns, _ = canvas.shape
    steps = torch.arange(width, device=canvas.device)
    row = (places.v[:, None] + steps).clamp(0, rows - 1) + (tilt * (pairs * rows))[:, None]
    column = (places.u[:, None] + steps).clamp(0, columns - 1)
    return row[:, :, None] * columns + column[:, None, :]


# -- spread and gather --------------------------------------------------------------------------------------------


def spread(
    canvas: Tensor,
    places: Places,
    orbitals: Orbitals,
    poly: Poly,
    width: int,
    factors_of: Callable[[Places, Tensor, int], Factors],
    at_once: int,
) -> None:
    """Add every orbital to the canvas of every tilt.

    ``factors_of(places, atoms, level)`` are the windows of some of them; ``at_once``: of how many.
    """
    count, pairs = len(orbitals.amplitude), canvas.shape[1]
    flat, plane = canvas.view(-1, 2), canvas.shape[2] * canvas.shape[3]
    for first in range(0, len(places.u), at_once):
        some = places.part(first, first + at_once)
        entry = torch.arange(first, first + len(some.u), device=canvas.device)
        atoms = entry % count
        c = coefficients(poly, some.piece, some.along) * (orbitals.amplitude[atoms] * some.seen)[:, None]
        along_v, along_u = factors_of(some, atoms, 0)
        window = along_v[:, 0, :, None] * along_u[:, 0, None, :]
        pixels = _pixels(canvas, some, entry // count, width)
        for k in range(pairs):
            values = window[..., None] * c[:, None, None, 2 * k : 2 * k + 2]
            flat.index_add_(0, (pixels + k * plane).flatten(), values.view(-1, 2))


def gather(
    adjoint: Tensor,
    places: Places,
    orbitals: Orbitals,
    poly: Poly,
    width: int,
    factors_of: Callable[[Places, Tensor, int], Factors],
    level: int,
    at_once: int,
) -> Tensor:
    """Sums (1, 4 or 5, n N) over the windows of the adjoint canvas: by amplitude, u, v, w and width.

    Those by u, v and w, before the amplitude and what belongs to the window, are there for ``level`` 1 and above; those
    by the width for ``level`` 2.
    """
    count, pairs = len(orbitals.amplitude), adjoint.shape[1]
    flat, plane = adjoint.view(-1, 2), adjoint.shape[2] * adjoint.shape[3]
    sums = torch.empty((1, 4, 5)[level], len(places.u), dtype=torch.float32, device=adjoint.device)
    for first in range(0, len(places.u), at_once):
        some = places.part(first, first + at_once)
        m = len(some.u)
        entry = torch.arange(first, first + m, device=adjoint.device)
        c = coefficients(poly, some.piece, some.along)
        dc = coefficient_slopes(poly, some.piece, some.along) if level else c
        pixels = _pixels(adjoint, some, entry // count, width)
        plain = torch.zeros(m, width, width, dtype=torch.float32, device=adjoint.device)
        deeper = torch.zeros_like(plain) if level else plain
        for k in range(pairs):
            values = flat.index_select(0, (pixels + k * plane).flatten()).view(m, width * width, 2)
            channels = slice(2 * k, 2 * k + 2)
            plain += torch.bmm(values, c[:, channels, None]).view_as(plain)
            if level:
                deeper += torch.bmm(values, dc[:, channels, None]).view_as(plain)
        along_v, along_u = factors_of(some, entry % count, level)
        products = torch.bmm(torch.bmm(along_v, plain), along_u.transpose(1, 2))  # (m, F, F)
        out = sums[:, first : first + m]
        out[0] = products[:, 0, 0]
        if level:
            out[1], out[2] = products[:, 0, 1], products[:, 1, 0]
            out[3] = torch.bmm(torch.bmm(along_v[:, :1], deeper), along_u[:, :1].transpose(1, 2))[:, 0, 0]
        if level == 2:
            out[4] = products[:, 0, 2] + products[:, 2, 0]
        out *= some.seen
    return sums
