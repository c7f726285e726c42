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
BY_AMPLITUDE: Wanted = (False, True, False, False, False, False)


def level_of(wanted: Wanted) -> int:
    """What is gathered for them: 0 amplitudes, 1 places too, 2 widths too."""
    positions, _, widths, matrices, offsets, _ = wanted
    return 2 if widths else (1 if positions or matrices or offsets else 0)


class Sums:
    """Gradients that one worker adds up over its tilts: of the orbitals of each group (N_s, 5), by the filters."""

    def __init__(self, scene: Scene, by_filter: bool) -> None:
        self.atoms = [np.zeros((len(atoms.amplitude), 5)) for atoms in scene.atoms]
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
    """The gradients of all workers."""
    atoms = [np.zeros((len(atoms.amplitude), 5)) for atoms in scene.atoms]
    tilts = len(scene.matrices)
    g_matrices, g_offsets = np.zeros((tilts, 3, 3)), np.zeros((tilts, 3))
    filters = None
    for sums, others in parts:
        for total, part in zip(atoms, sums.atoms, strict=True):
            total += part
        if sums.filters is not None:
            filters = sums.filters.astype(np.float64) + (0.0 if filters is None else filters)
        for j, (g_matrix, g_offset) in others.items():
            g_matrices[j], g_offsets[j] = g_matrix, g_offset
    g_atom = np.zeros((count, 5))
    for some, part in zip(scene.members, atoms, strict=False):
        g_atom[some] = part

    def tensor(array: Floats, wished: bool) -> Tensor | None:
        return torch.from_numpy(np.ascontiguousarray(array)).to(dtype) if wished else None

    by_filter = None
    if wanted[5] and scene.filters is not None:
        by_filter = np.zeros(scene.filters.shape) if filters is None else _by_filter(filters, model.canvas.shape)
    return Found(
        tensor(g_atom[:, 1:4], wanted[0]),
        tensor(g_atom[:, 0], wanted[1]),
        tensor(g_atom[:, 4], wanted[2]),
        tensor(g_matrices, wanted[3]),
        tensor(g_offsets, wanted[4]),
        None if by_filter is None else torch.from_numpy(by_filter),
    )


def _by_filter(products: Floats, shape: tuple[int, int]) -> Floats:
    """Gradient by real filters F of images irfft2(F X), from the sums of Re conj(rfft2(gradient)) X."""
    rows, columns = shape
    products /= rows * columns
    products[..., 1 : (columns + 1) // 2] *= 2.0  # half of the spectrum is stored, and stands for both halves
    return products
