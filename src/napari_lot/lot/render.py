"""The compiled road from orbitals to images and back, as one differentiable operation.

Forward: spread into depth channels, one real FFT each, times the kernel's channels (and the filter of the orbital's
shape), summed, one inverse FFT. Backward: the same road with conjugates, then gathered at the orbitals.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_lot.lot.canvas import WINDOW_EDGE
from napari_lot.lot.spread import cpu

if TYPE_CHECKING:
    from napari_lot.lot.image_model import ImageModel


@dataclass(frozen=True)
class Atoms:
    arrays: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
    half: int


@dataclass(frozen=True)
class Groups:
    """Orbitals that share a filter, and the filters (S, V, U // 2 + 1); one group without a filter for Gaussians."""

    atoms: tuple[Atoms, ...]
    filters: Tensor | None


@dataclass
class Gradients:
    """Sums of one worker: by the orbitals of each group (N_s, 5), and by the filters where asked for."""

    atoms: list[NDArray[np.float64]]
    filters: Tensor | None


@dataclass(frozen=True)
class Geometry:
    matrices: NDArray[np.float64]
    offsets: NDArray[np.float64]

    def at(self, j: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return self.matrices[j], self.offsets[j]


class Render(torch.autograd.Function):
    """The compiled image model as one differentiable operation; everything else is plain torch around it."""

    @staticmethod
    def forward(
        ctx: Any,
        positions: Tensor,
        amplitude: Tensor,
        inv_s2: Tensor,
        matrices: Tensor,
        offsets: Tensor,
        filters: Tensor | None,
        members: tuple[NDArray[np.int64], ...],
        model: ImageModel,
    ) -> Tensor:
        def array(tensor: Tensor) -> NDArray[np.float64]:
            return np.ascontiguousarray(tensor.detach().numpy(), dtype=np.float64)

        every = (array(positions), array(amplitude), array(inv_s2))
        half = _half(model, every[2])
        if filters is None:
            groups = Groups((Atoms(every, half),), None)
        else:
            parts = tuple(Atoms((every[0][m], every[1][m], every[2][m]), half) for m in members)
            groups = Groups(parts, filters.detach().float())
        geometry = Geometry(array(matrices), array(offsets))
        ctx.model, ctx.groups, ctx.members, ctx.geometry = model, groups, members, geometry
        ctx.count, ctx.dtype = len(every[1]), positions.dtype
        ctx.filter_dtype = None if filters is None else filters.dtype
        images = model.run(lambda j: _forward(model, groups, geometry, j), len(geometry.matrices))
        return torch.stack(images)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        model, groups, geometry = ctx.model, ctx.groups, ctx.geometry
        want_pos, want_amp, want_s2, want_matrix, want_offset, want_filter = ctx.needs_input_grad[:6]
        level = 2 if want_s2 else (1 if want_pos or want_matrix or want_offset else 0)
        count = len(geometry.matrices)
        # each share of the tilts is summed in order by one worker: the sum does not depend on who is faster
        shares = min(model.threads, count)
        images = gradients[0]

        def work(share: int) -> tuple[Gradients, list[tuple[NDArray[np.float64], NDArray[np.float64]]]]:
            total = Gradients(
                [np.zeros((len(atoms.arrays[0]), 5)) for atoms in groups.atoms],
                torch.zeros_like(groups.filters) if want_filter else None,
            )
            return total, [
                _backward(model, groups, geometry, images[j], j, level, total) for j in range(share, count, shares)
            ]

        parts = [np.zeros((len(atoms.arrays[0]), 5)) for atoms in groups.atoms]
        g_filter = torch.zeros_like(groups.filters) if want_filter else None
        g_matrices, g_offsets = np.zeros((count, 3, 3)), np.zeros((count, 3))
        for share, (total, others) in enumerate(model.run(work, shares)):
            for part, found in zip(parts, total.atoms, strict=True):
                part += found
            if g_filter is not None:
                g_filter += total.filters
            for j, (g_matrix, g_offset) in zip(range(share, count, shares), others, strict=True):
                g_matrices[j], g_offsets[j] = g_matrix, g_offset
        g_atom = parts[0] if groups.filters is None else np.zeros((ctx.count, 5))
        for some, part in zip(ctx.members, parts, strict=False):
            g_atom[some] = part

        def tensor(array: NDArray[np.float64], wanted: bool) -> Tensor | None:
            return torch.from_numpy(np.ascontiguousarray(array)).to(ctx.dtype) if wanted else None

        return (
            tensor(g_atom[:, 1:4], want_pos),
            tensor(g_atom[:, 0], want_amp),
            tensor(g_atom[:, 4], want_s2),
            tensor(g_matrices, want_matrix),
            tensor(g_offsets, want_offset),
            None if g_filter is None else g_filter.to(ctx.filter_dtype),
            None,
            None,
        )


def _half(model: ImageModel, inv_s2: NDArray[np.float64]) -> int:
    widest = 1.0 / np.sqrt(inv_s2.min()) if len(inv_s2) else 1.0
    # ln of the filter at Nyquist, for shaped orbitals that of the whole spread Gaussian
    amplification = 0.25 * np.pi**2 * (widest**2 if model.shaped else model.extra2 / model.canvas.pixel_size_A**2)
    return int(np.ceil(np.sqrt(amplification - np.log(WINDOW_EDGE)) * widest))


def _channels(model: ImageModel, atoms: Atoms, geometry: Geometry, j: int) -> Tensor:
    """Depth channels (V, U, R) of one tilt."""
    rows, columns = model.canvas.shape
    rank = len(model.transfer)
    flat = np.zeros(cpu.canvas_length(rows, columns, rank), np.float32)
    cpu.spread(
        *atoms.arrays, *geometry.at(j), model.first_depth_A, model.inv_step, model.poly, atoms.half, rows, columns, flat
    )
    return torch.from_numpy(flat[: rows * columns * rank]).view(rows, columns, rank)


def _summed(model: ImageModel, channels: Tensor) -> Tensor:
    """Spectrum (V, U // 2 + 1) of an image from its depth channels."""
    return (torch.fft.rfft2(channels, dim=(0, 1)).permute(2, 0, 1) * model.transfer).sum(0)


def _forward(model: ImageModel, groups: Groups, geometry: Geometry, j: int) -> Tensor:
    if model.plain:
        return model.canvas.crop(_channels(model, groups.atoms[0], geometry, j)[..., 0]).clone()
    total: Tensor | None = None
    for s, atoms in enumerate(groups.atoms):
        spectrum = _summed(model, _channels(model, atoms, geometry, j))
        if groups.filters is not None:
            spectrum = spectrum * groups.filters[s]
        total = spectrum if total is None else total.add_(spectrum)
    if total is None:
        return torch.zeros(model.canvas.image_shape)
    return model.canvas.crop(torch.fft.irfft2(total, s=model.canvas.shape)).clone()


def _backward(
    model: ImageModel, groups: Groups, geometry: Geometry, gradient: Tensor, j: int, level: int, total: Gradients
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rows, columns = model.canvas.shape
    rank = len(model.transfer)
    canvas = torch.zeros(rows, columns)
    model.canvas.crop(canvas)[:] = gradient
    seen = None if model.plain else torch.fft.rfft2(canvas)
    g_matrix, g_offset = np.zeros((3, 3)), np.zeros(3)
    for s, atoms in enumerate(groups.atoms):
        flat = np.zeros(cpu.canvas_length(rows, columns, rank), np.float32)
        channels = torch.from_numpy(flat[: rows * columns * rank]).view(rows, columns, rank)
        if seen is None:
            channels[..., 0] = canvas
        else:
            here = seen if groups.filters is None else seen * groups.filters[s]
            channels.copy_(torch.fft.irfft2(here * model.transfer_conj, s=(rows, columns)).permute(1, 2, 0))
        cpu.gather(
            *atoms.arrays,
            *geometry.at(j),
            model.first_depth_A,
            model.inv_step,
            model.poly,
            atoms.half,
            rows,
            columns,
            flat,
            level,
            total.atoms[s],
            g_matrix,
            g_offset,
        )
        if total.filters is not None and seen is not None:
            # image = irfft2(F X): half of the spectrum is stored, and stands for both halves
            product = (seen.conj() * _summed(model, _channels(model, atoms, geometry, j))).real
            product[:, 1 : (columns + 1) // 2] *= 2.0
            total.filters[s] += product / (rows * columns)
    return g_matrix, g_offset
