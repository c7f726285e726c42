"""Spread and gather by a compact window as Triton kernels: one program for each orbital of each tilt.

A program holds the window of one orbital, W rows of 2 W numbers: the two channels of a pair lie side by side, so that
a row is one run of memory. Windows that overlap are added up by atomic additions, whose order is the device's: sums
repeat to single precision, not bit by bit. Importing this module needs Triton; ``TRITON_INTERPRET=1`` in the
environment, set before, runs it on the processor, slowly.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from napari_lot.lot.device.places import Places
from napari_lot.lot.device.windows import Compact, Orbitals, Poly


@triton.jit
def _windows(value, slope, rest_v, rest_u, WIDTH: tl.constexpr, DEGREE: tl.constexpr, SLOPES: tl.constexpr):  # type: ignore[no-untyped-def]
    """Window along v (W, 1), along u (1, 2 W) for both channels of a pair, and the derivatives of both."""
    rows = tl.arange(0, WIDTH)
    taps = tl.arange(0, 2 * WIDTH) // 2
    t_v, t_u = 2.0 * rest_v - 1.0, 2.0 * rest_u - 1.0
    along_v = tl.load(value + DEGREE * WIDTH + rows)
    along_u = tl.load(value + DEGREE * WIDTH + taps)
    for back in tl.static_range(1, DEGREE + 1):
        along_v = along_v * t_v + tl.load(value + (DEGREE - back) * WIDTH + rows)
        along_u = along_u * t_u + tl.load(value + (DEGREE - back) * WIDTH + taps)
    rise_v, rise_u = along_v, along_u
    if SLOPES:
        rise_v = tl.load(slope + (DEGREE - 1) * WIDTH + rows)
        rise_u = tl.load(slope + (DEGREE - 1) * WIDTH + taps)
        for back in tl.static_range(1, DEGREE):
            rise_v = rise_v * t_v + tl.load(slope + (DEGREE - 1 - back) * WIDTH + rows)
            rise_u = rise_u * t_u + tl.load(slope + (DEGREE - 1 - back) * WIDTH + taps)
    return along_v[:, None], along_u[None, :], rise_v[:, None], rise_u[None, :]


@triton.jit
def _spread(  # type: ignore[no-untyped-def]
    canvas,
    at_u,
    at_v,
    from_u,
    from_v,
    at_piece,
    at_along,
    is_seen,
    amplitude,
    poly,
    value,
    count,
    rows,
    columns,
    PAIRS: tl.constexpr,
    WIDTH: tl.constexpr,
    DEGREE: tl.constexpr,
):
    entry = tl.program_id(0).to(tl.int64)
    tilt, atom = entry // count, entry % count
    along_v, along_u, _, _ = _windows(
        value, value, tl.load(from_v + entry), tl.load(from_u + entry), WIDTH, DEGREE, False
    )
    strong = tl.load(amplitude + atom) * tl.load(is_seen + entry)
    if strong != 0.0:
        t = tl.load(at_along + entry)
        window = along_v * (along_u * strong)
        lanes = tl.arange(0, 2 * WIDTH)
        plane = rows.to(tl.int64) * columns * 2
        first = canvas + tilt * PAIRS * plane + (tl.load(at_v + entry) * columns + tl.load(at_u + entry)) * 2
        places = tl.arange(0, WIDTH)[:, None] * (columns * 2) + lanes[None, :]
        of_piece = poly + tl.load(at_piece + entry) * (8 * PAIRS) + (lanes % 2) * 4
        for k in tl.static_range(PAIRS):
            p = of_piece + 8 * k
            c = tl.load(p) + t * (tl.load(p + 1) + t * (tl.load(p + 2) + t * tl.load(p + 3)))
            tl.atomic_add(first + k * plane + places, window * c[None, :], sem="relaxed")


@triton.jit
def _gather(  # type: ignore[no-untyped-def]
    adjoint,
    at_u,
    at_v,
    from_u,
    from_v,
    at_piece,
    at_along,
    is_seen,
    poly,
    value,
    slope,
    sums,
    entries,
    count,
    rows,
    columns,
    PAIRS: tl.constexpr,
    WIDTH: tl.constexpr,
    DEGREE: tl.constexpr,
    SLOPES: tl.constexpr,
):
    entry = tl.program_id(0).to(tl.int64)
    tilt = entry // count
    seen = tl.load(is_seen + entry)
    along_v, along_u, rise_v, rise_u = _windows(
        value, slope, tl.load(from_v + entry), tl.load(from_u + entry), WIDTH, DEGREE, SLOPES
    )
    t = tl.load(at_along + entry)
    lanes = tl.arange(0, 2 * WIDTH)
    plane = rows.to(tl.int64) * columns * 2
    first = adjoint + tilt * PAIRS * plane + (tl.load(at_v + entry) * columns + tl.load(at_u + entry)) * 2
    places = tl.arange(0, WIDTH)[:, None] * (columns * 2) + lanes[None, :]
    of_piece = poly + tl.load(at_piece + entry) * (8 * PAIRS) + (lanes % 2) * 4
    plain = tl.zeros((WIDTH, 2 * WIDTH), tl.float32)
    deeper = tl.zeros((WIDTH, 2 * WIDTH), tl.float32)
    for k in tl.static_range(PAIRS):
        p = of_piece + 8 * k
        p1, p2, p3 = tl.load(p + 1), tl.load(p + 2), tl.load(p + 3)
        c = tl.load(p) + t * (p1 + t * (p2 + t * p3))
        here = tl.load(first + k * plane + places)
        plain += here * c[None, :]
        if SLOPES:
            deeper += here * (p1 + t * (2.0 * p2 + t * 3.0 * p3))[None, :]
    window = along_v * along_u
    tl.store(sums + entry, seen * tl.sum(tl.sum(plain * window, 1), 0))
    if SLOPES:
        tl.store(sums + entries + entry, seen * tl.sum(tl.sum(plain * (along_v * rise_u), 1), 0))
        tl.store(sums + 2 * entries + entry, seen * tl.sum(tl.sum(plain * (rise_v * along_u), 1), 0))
        tl.store(sums + 3 * entries + entry, seen * tl.sum(tl.sum(deeper * window, 1), 0))


def _launch(kernel: Any, canvas: Tensor, where: tuple[Tensor, ...], *others: Any, **known: Any) -> None:
    """A program for every place."""
    with torch.cuda.device(canvas.device) if canvas.is_cuda else nullcontext():
        kernel[(len(where[0]),)](canvas, *where, *others, **known)


def spread(canvas: Tensor, places: Places, orbitals: Orbitals, poly: Poly, window: Compact) -> None:
    """Add every orbital to the canvas (n, P, V, U, 2) of every tilt, as ``windows.spread``."""
    entries = len(places.u)
    if entries:
        _, pairs, rows, columns, _ = canvas.shape
        where = (places.u, places.v, places.from_u, places.from_v, places.piece, places.along, places.seen)
        _launch(
            _spread,
            canvas,
            where,
            orbitals.amplitude,
            poly,
            window.value,
            len(orbitals.amplitude),
            rows,
            columns,
            **_known(pairs, window),
        )


def gather(adjoint: Tensor, places: Places, orbitals: Orbitals, poly: Poly, window: Compact, level: int) -> Tensor:
    """Sums (1 or 4, n N) over the windows of the adjoint canvas, as ``windows.gather``."""
    entries = len(places.u)
    sums = torch.zeros((1, 4)[level], entries, dtype=torch.float32, device=adjoint.device)
    if entries:
        _, pairs, rows, columns, _ = adjoint.shape
        where = (places.u, places.v, places.from_u, places.from_v, places.piece, places.along, places.seen)
        _launch(
            _gather,
            adjoint,
            where,
            poly,
            window.value,
            window.slope,
            sums,
            entries,
            len(orbitals.amplitude),
            rows,
            columns,
            SLOPES=level > 0,
            **_known(pairs, window),
        )
    return sums


def _known(pairs: int, window: Compact) -> dict[str, int]:
    """What the compiler knows of a kernel: one warp has the few numbers of a window."""
    return {"PAIRS": pairs, "WIDTH": window.width, "DEGREE": len(window.value) - 1, "num_warps": 1}
