"""What a road gives back: gradients of each worker, and of all workers together."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from napari_lot.lot.render.scene import Floats, Scene

if TYPE_CHECKING:
    from napari_lot.lot.image_model import ImageModel

Wanted = tuple[bool, bool, bool, bool, bool, bool]
"""Whether gradients are by positions, amplitudes, widths, matrices, offsets, filters."""
ROWS_AT_ONCE = 65536
"""Orbitals whose gradients a worker adds up in one go: a few MB, less than a cache."""
BY_AMPLITUDE: Wanted = (False, True, False, False, False, False)


def level_of(wanted: Wanted) -> int:
    """What is gathered for them: 0 amplitudes, 1 places too, 2 widths too."""
    positions, _, widths, matrices, offsets, _ = wanted
    return 2 if widths else (1 if positions or matrices or offsets else 0)


class Sums:
    """Gradients that one worker adds up over its tilts: of the orbitals of each group (N_s, 4 or 5), by the filters."""

    def __init__(self, scene: Scene, by_filter: bool) -> None:
        # amplitude, place and, of what is spread as a Gaussian, width
        columns = [4 if atoms.inv_s2 is None else 5 for atoms in scene.atoms]
        self.atoms = [np.zeros((len(a.amplitude), n)) for a, n in zip(scene.atoms, columns, strict=True)]
        self.filters = np.zeros_like(scene.filters) if by_filter and scene.filters is not None else None


class Found(NamedTuple):
    """Gradients by positions, amplitudes, widths, matrices, offsets and filters; None where they are not wanted."""

    positions: Tensor | None
    amplitude: Tensor | None
    inv_s2: Tensor | None
    matrices: Tensor | None
    offsets: Tensor | None
    filters: Tensor | None


Parts = list[tuple[Sums, dict[int, tuple[Floats, Floats]]]]
"""Gradients of some workers: sums over their tilts, and those by matrix and offset of each of these."""


def together(
    model: ImageModel,
    scene: Scene,
    count: int,
    dtype: torch.dtype,
    wanted: Wanted,
    parts: Parts,
) -> Found:
    """The gradients of all workers; their sums are used up."""
    tilts = len(scene.matrices)
    g_matrices, g_offsets = np.zeros((tilts, 3, 3)), np.zeros((tilts, 3))
    filters = None
    for sums, others in parts:
        if sums.filters is not None:
            filters = sums.filters.astype(np.float64) + (0.0 if filters is None else filters)
        for j, (g_matrix, g_offset) in others.items():
            g_matrices[j], g_offsets[j] = g_matrix, g_offset
    by_filter = None
    if wanted[5] and scene.filters is not None:
        by_filter = np.zeros(scene.filters.shape) if filters is None else _by_filter(filters, model.canvas.shape)
    places, amplitude, wide = _of_orbitals(model, scene, count, wanted, parts)

    def tensor(array: Floats | None) -> Tensor | None:
        return None if array is None else torch.from_numpy(array).to(dtype)

    return Found(
        tensor(places),
        tensor(amplitude),
        tensor(wide),
        tensor(g_matrices) if wanted[3] else None,
        tensor(g_offsets) if wanted[4] else None,
        None if by_filter is None else torch.from_numpy(by_filter),
    )


def _of_orbitals(
    model: ImageModel, scene: Scene, count: int, wanted: Wanted, parts: Parts
) -> tuple[Floats | None, Floats | None, Floats | None]:
    """Gradients by positions (N, 3), amplitudes (N,) and widths (N,), as far as wanted, of all workers.

    Of millions of orbitals this is as much work for the memory as finding them: shared out, and nothing twice.
    """
    # what no worker has seen has no gradient
    new = np.empty if parts and any(isinstance(some, slice) for some in scene.members) else np.zeros
    places = new((count, 3)) if wanted[0] else None
    amplitude = new(count) if wanted[1] else None
    wide = new(count) if wanted[2] else None
    pieces = [
        (s, some, slice(first, first + ROWS_AT_ONCE))
        for s, some in enumerate(scene.members if parts else ())
        for first in range(0, len(scene.atoms[s].amplitude), ROWS_AT_ONCE)
    ]

    def add(k: int) -> None:
        s, some, rows = pieces[k]
        total, *others = (sums.atoms[s][rows] for sums, _ in parts)
        for other in others:
            total += other
        to = rows if isinstance(some, slice) else some[rows]
        if places is not None:
            places[to] = total[:, 1:4]
        if amplitude is not None:
            amplitude[to] = total[:, 0]
        if wide is not None:
            wide[to] = total[:, 4]  # asked for only where orbitals are spread as Gaussians

    if len(pieces) < 2:
        for k in range(len(pieces)):
            add(k)
    else:
        model.run(add, len(pieces))
    return places, amplitude, wide


def _by_filter(products: Floats, shape: tuple[int, int]) -> Floats:
    """Gradient by real filters F of images irfft2(F X), from the sums of Re conj(rfft2(gradient)) X."""
    rows, columns = shape
    products /= rows * columns
    products[..., 1 : (columns + 1) // 2] *= 2.0  # half of the spectrum is stored, and stands for both halves
    return products
