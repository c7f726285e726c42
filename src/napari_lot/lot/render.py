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
from napari_lot.lot.spread import compact, gaussian
from napari_lot.lot.spread.common import canvas_length, interleave

if TYPE_CHECKING:
    from napari_lot.lot.image_model import ImageModel

Floats = NDArray[np.float64]


KEPT_SPECTRA_BYTES = 2**29
"""Memory for what the gradient by the filters needs of the way there; beyond it that part of the way is gone twice."""


@dataclass(frozen=True)
class Atoms:
    """Positions (N, 3), amplitudes (N,) and, of orbitals that are spread as Gaussians, 1 / width^2 and half window."""

    positions: Floats
    amplitude: Floats
    inv_s2: Floats | None
    half: int = 0


@dataclass(frozen=True)
class Groups:
    """Orbitals that share a filter, and the filters (S, V, U // 2 + 1); one group without a filter for Gaussians."""

    atoms: tuple[Atoms, ...]
    filters: Tensor | None


@dataclass
class Gradients:
    """Sums of one worker: by the orbitals of each group (N_s, 5); by the filters, complex, where asked for."""

    atoms: list[Floats]
    filters: Tensor | None


@dataclass(frozen=True)
class Geometry:
    matrices: Floats
    offsets: Floats

    def at(self, j: int) -> tuple[Floats, Floats]:
        return self.matrices[j], self.offsets[j]


class Render(torch.autograd.Function):
    """The compiled image model as one differentiable operation; everything else is plain torch around it."""

    @staticmethod
    def forward(
        ctx: Any,
        positions: Tensor,
        amplitude: Tensor,
        inv_s2: Tensor | None,
        matrices: Tensor,
        offsets: Tensor,
        filters: Tensor | None,
        members: tuple[NDArray[np.int64], ...],
        model: ImageModel,
    ) -> Tensor:
        def array(tensor: Tensor) -> NDArray[np.float64]:
            return np.ascontiguousarray(tensor.detach().numpy(), dtype=np.float64)

        places, strong = array(positions), array(amplitude)
        wide, half = None, 0
        if inv_s2 is not None:
            wide = array(inv_s2)
            half = _half(model, wide)
        if filters is None:
            groups = Groups((Atoms(places, strong, wide, half),), None)
        else:
            groups = Groups(
                tuple(Atoms(places[m], strong[m], None if wide is None else wide[m], half) for m in members),
                filters.detach().float(),
            )
        geometry = Geometry(array(matrices), array(offsets))
        ctx.model, ctx.groups, ctx.members, ctx.geometry = model, groups, members, geometry
        ctx.count, ctx.dtype = len(strong), positions.dtype
        ctx.filter_dtype = None if filters is None else filters.dtype
        size = 8 * len(geometry.matrices) * (0 if filters is None else filters.numel())
        keep = ctx.needs_input_grad[5] and size <= KEPT_SPECTRA_BYTES
        found = model.run(lambda j: _forward(model, groups, geometry, j, keep), len(geometry.matrices))
        ctx.spectra = [spectra for _, spectra in found]
        return torch.stack([image for image, _ in found])

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
                [np.zeros((len(atoms.amplitude), 5)) for atoms in groups.atoms],
                torch.zeros_like(groups.filters, dtype=torch.complex64) if want_filter else None,
            )
            return total, [
                _backward(model, groups, geometry, images[j], j, level, total, ctx.spectra[j])
                for j in range(share, count, shares)
            ]

        parts = [np.zeros((len(atoms.amplitude), 5)) for atoms in groups.atoms]
        g_filter = torch.zeros_like(groups.filters, dtype=torch.complex128) if want_filter else None
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
            None if g_filter is None else _by_filter(g_filter, model.canvas.shape).to(ctx.filter_dtype),
            None,
            None,
        )


def _by_filter(products: Tensor, shape: tuple[int, int]) -> Tensor:
    """Gradient by real filters F of images irfft2(F X), from the sums of conj(rfft2(gradient)) X."""
    rows, columns = shape
    found = products.real / (rows * columns)
    found[..., 1 : (columns + 1) // 2] *= 2.0  # half of the spectrum is stored, and stands for both halves
    return found


def _half(model: ImageModel, inv_s2: Floats) -> int:
    widest = 1.0 / np.sqrt(inv_s2.min()) if len(inv_s2) else 1.0
    # ln of the filter at Nyquist, for shaped orbitals that of the whole spread Gaussian
    amplification = 0.25 * np.pi**2 * (widest**2 if model.shaped else model.extra2 / model.canvas.pixel_size_A**2)
    return int(np.ceil(np.sqrt(amplification - np.log(WINDOW_EDGE)) * widest))


def _transfer(model: ImageModel, atoms: Atoms) -> Tensor:
    return model.kernel if atoms.inv_s2 is None else model.transfer


def _canvas(model: ImageModel) -> tuple[NDArray[np.float32], Tensor]:
    """An empty canvas, flat with its margin, and the depth channels (V, U, R) in it."""
    rows, columns = model.canvas.shape
    flat = np.zeros(canvas_length(rows, columns, model.rank), np.float32)
    return flat, torch.from_numpy(flat[: rows * columns * model.rank]).view(rows, columns, model.rank)


def _channels(model: ImageModel, atoms: Atoms, geometry: Geometry, j: int) -> Tensor:
    """Depth channels (V, U, R) of one tilt."""
    flat, channels = _canvas(model)
    place = (*geometry.at(j), model.first_depth_A, model.inv_step)
    if atoms.inv_s2 is None:
        size, tables = model.tables[:4], model.tables[4:]
        compact.spread(atoms.positions, atoms.amplitude, *place, size, tables, *model.canvas.shape, flat)
    else:
        orbitals = (atoms.positions, atoms.amplitude, atoms.inv_s2)
        gaussian.spread(*orbitals, *place, model.poly, atoms.half, *model.canvas.shape, flat)
    return channels


def _gather(
    model: ImageModel,
    atoms: Atoms,
    geometry: Geometry,
    j: int,
    adjoint: NDArray[np.float32],
    level: int,
    sums: tuple[Floats, Floats, Floats],
) -> None:
    """Add the gradients of the orbitals, the matrix and the offset of one tilt to ``sums``."""
    place = (*geometry.at(j), model.first_depth_A, model.inv_step)
    if atoms.inv_s2 is None:
        size, tables = model.tables[:4], model.tables[4:]
        orbitals = (atoms.positions, atoms.amplitude)
        compact.gather(*orbitals, *place, size, tables, *model.canvas.shape, adjoint, min(level, 1), *sums)
    else:
        wide = (atoms.positions, atoms.amplitude, atoms.inv_s2)
        gaussian.gather(*wide, *place, model.poly, atoms.half, *model.canvas.shape, adjoint, level, *sums)


def _spectrum(model: ImageModel, atoms: Atoms, geometry: Geometry, j: int) -> Tensor:
    """Spectrum (V, U // 2 + 1) of what is spread of some orbitals, seen by the probe, before their filter."""
    channels = _channels(model, atoms, geometry, j)
    return (torch.fft.rfft2(channels, dim=(0, 1)).permute(2, 0, 1) * _transfer(model, atoms)).sum(0)


def _forward(
    model: ImageModel, groups: Groups, geometry: Geometry, j: int, keep: bool
) -> tuple[Tensor, list[Tensor] | None]:
    """Image of one tilt, and the spectra of the groups where they are to be kept."""
    if groups.filters is None and model.plain:
        return model.canvas.crop(_channels(model, groups.atoms[0], geometry, j)[..., 0]).clone(), None
    total: Tensor | None = None
    spectra: list[Tensor] | None = [] if keep else None
    for s, atoms in enumerate(groups.atoms):
        spectrum = _spectrum(model, atoms, geometry, j)
        if spectra is not None:
            spectra.append(spectrum)
        if groups.filters is not None:
            spectrum = spectrum * groups.filters[s]
        total = spectrum if total is None else total.add_(spectrum)
    if total is None:
        return torch.zeros(model.canvas.image_shape), spectra
    return model.canvas.crop(torch.fft.irfft2(total, s=model.canvas.shape)).clone(), spectra


def _backward(
    model: ImageModel,
    groups: Groups,
    geometry: Geometry,
    gradient: Tensor,
    j: int,
    level: int,
    total: Gradients,
    spectra: list[Tensor] | None,
) -> tuple[Floats, Floats]:
    rows, columns = model.canvas.shape
    canvas = torch.zeros(rows, columns)
    model.canvas.crop(canvas)[:] = gradient
    seen = None if groups.filters is None and model.plain else torch.fft.rfft2(canvas)
    seen_conj = None if seen is None or total.filters is None else seen.conj().resolve_conj()
    g_matrix, g_offset = np.zeros((3, 3)), np.zeros(3)
    for s, atoms in enumerate(groups.atoms):
        flat, channels = _canvas(model)
        if seen is None:
            channels[..., 0] = canvas
        else:
            here = seen if groups.filters is None else seen * groups.filters[s]
            back = model.kernel_conj if atoms.inv_s2 is None else model.transfer_conj
            interleave(torch.fft.irfft2(here * back, s=(rows, columns)).numpy(), flat)
        _gather(model, atoms, geometry, j, flat, level, (total.atoms[s], g_matrix, g_offset))
        if total.filters is not None and seen_conj is not None:
            there = _spectrum(model, atoms, geometry, j) if spectra is None else spectra[s]
            total.filters[s].addcmul_(seen_conj, there)
    return g_matrix, g_offset
