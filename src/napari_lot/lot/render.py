"""The compiled road from orbitals to images and back, one tilt after the other.

Forward: spread into pairs of depth channels, one complex FFT a pair, times the kernel's channels (and the filter of the
orbitals' shape), summed, one inverse FFT. Backward: the same road with conjugates, then gathered at the orbitals.

``Render`` is images as one differentiable operation; ``Fitted`` is their loss, which goes there and back at every tilt
while what the tilt needs is at hand, and keeps no image but the calculated one. Both take a model's road: this one, or
that of another device (``lot.device.road``).
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_lot.lot import likelihood, spectra
from napari_lot.lot.canvas import WINDOW_EDGE
from napari_lot.lot.spread import compact, gaussian
from napari_lot.lot.spread.common import canvas_length
from napari_lot.lot.spread.simd import LANES

if TYPE_CHECKING:
    from napari_lot.lot.image_model import ImageModel

Floats = NDArray[np.float64]
Images = NDArray[np.float32]
Wanted = tuple[bool, bool, bool, bool, bool, bool]
"""Whether gradients are by positions, amplitudes, widths, matrices, offsets, filters."""
BY_AMPLITUDE: Wanted = (False, True, False, False, False, False)


@dataclass(frozen=True)
class Atoms:
    """Positions (N, 3), amplitudes (N,) and, of orbitals that are spread as Gaussians, 1 / width^2 and half window."""

    positions: Floats
    amplitude: Floats
    inv_s2: Floats | None
    half: int = 0


@dataclass(frozen=True)
class Scene:
    """What is seen: orbitals in groups that share a filter, the filters, and where each tilt shows them.

    ``filters`` (S, V, U // 2 + 1) float32, or None for one group of Gaussians; ``members``: which orbitals each group
    has; ``matrices`` (n, 3, 3) and ``offsets`` (n, 3) as in ``gaussian.spread``.
    """

    atoms: tuple[Atoms, ...]
    filters: NDArray[np.float32] | None
    members: tuple[NDArray[np.int64], ...]
    matrices: Floats
    offsets: Floats

    @classmethod
    def of(
        cls,
        model: ImageModel,
        positions: Tensor,
        amplitude: Tensor,
        inv_s2: Tensor | None,
        matrices: Tensor,
        offsets: Tensor,
        filters: Tensor | None,
        members: tuple[NDArray[np.int64], ...],
    ) -> Scene:
        """From tensors, as ``ImageModel`` has them."""

        def array(tensor: Tensor) -> Floats:
            return np.ascontiguousarray(tensor.detach().numpy(), dtype=np.float64)

        places, strong = array(positions), array(amplitude)
        wide, half = None, 0
        if inv_s2 is not None:
            wide = array(inv_s2)
            half = _half(model, wide)
        if filters is None:
            members = (np.arange(len(strong)),)
        atoms = tuple(Atoms(places[m], strong[m], None if wide is None else wide[m], half) for m in members)
        seen_as = None if filters is None else np.ascontiguousarray(filters.detach().numpy(), dtype=np.float32)
        return cls(atoms, seen_as, members, array(matrices), array(offsets))


class Workspace(threading.local):
    """Arrays of one worker: made once for a model, for fresh memory costs more than what is calculated in it.

    ``flat`` is the canvas with its margin and ``pairs`` (P, V, U) the same as complex images; ``transformed`` (P, V, U)
    their spectra; ``groups`` (V, H) spectra of what is spread of each group, seen by the probe, before their filters;
    ``total`` (V, H) their sum, ``seen`` (V, H) the spectrum of a gradient, ``gradient`` (V, U) the gradient itself.
    """

    def __init__(self, pairs: int, rows: int, columns: int) -> None:
        self.flat = np.zeros(canvas_length(rows, columns, pairs), np.float32)
        planes = torch.from_numpy(self.flat[: 2 * pairs * rows * columns]).view(pairs, rows, columns, 2)
        self.pairs = torch.view_as_complex(planes)
        self.transformed = torch.empty(pairs, rows, columns, dtype=torch.complex64)
        self.total, self.seen = (torch.empty(rows, columns // 2 + 1, dtype=torch.complex64) for _ in range(2))
        self.gradient = torch.zeros(rows, columns)
        self.groups: list[NDArray[np.complex64]] = []

    def group(self, s: int) -> NDArray[np.complex64]:
        """Of group ``s``."""
        while len(self.groups) <= s:
            self.groups.append(np.empty(tuple(self.total.shape), np.complex64))
        return self.groups[s]


# -- one tilt -----------------------------------------------------------------------------------------------------


def _half(model: ImageModel, inv_s2: Floats) -> int:
    widest = 1.0 / np.sqrt(inv_s2.min()) if len(inv_s2) else 1.0
    # ln of the filter at Nyquist, for shaped orbitals that of the whole spread Gaussian
    amplification = 0.25 * np.pi**2 * (widest**2 if model.shaped else model.extra2 / model.canvas.pixel_size_A**2)
    return int(np.ceil(np.sqrt(amplification - np.log(WINDOW_EDGE)) * widest))


def _spread(model: ImageModel, atoms: Atoms, scene: Scene, j: int, flat: Images) -> None:
    """Put the orbitals of a group into the empty canvas of one tilt."""
    flat[:] = 0.0
    place = (scene.matrices[j], scene.offsets[j], model.first_depth_A, model.inv_step)
    rows, columns = model.canvas.shape
    if atoms.inv_s2 is None:
        spread = compact.kernels(model.window.taps).spread
        tables = (model.pairs, len(model.poly), model.tables)
        spread(atoms.positions, atoms.amplitude, *place, *tables, rows, columns, flat)
        return
    for k, plane in enumerate(_planes(model, flat)):
        orbitals = (atoms.positions, atoms.amplitude, atoms.inv_s2)
        gaussian.spread(*orbitals, *place, model.poly_of_pair(k), atoms.half, rows, columns, plane)


def _gather(
    model: ImageModel, atoms: Atoms, scene: Scene, j: int, flat: Images, level: int, sums: tuple[Floats, Floats, Floats]
) -> None:
    """Add the gradients of the orbitals of a group, the matrix and the offset of one tilt to ``sums``."""
    place = (scene.matrices[j], scene.offsets[j], model.first_depth_A, model.inv_step)
    rows, columns = model.canvas.shape
    if atoms.inv_s2 is None:
        gather = compact.kernels(model.window.taps).gather
        tables = (model.pairs, len(model.poly), model.tables)
        gather(atoms.positions, atoms.amplitude, *place, *tables, rows, columns, flat, min(level, 1), *sums)
        return
    for k, plane in enumerate(_planes(model, flat)):
        wide = (atoms.positions, atoms.amplitude, atoms.inv_s2)
        gaussian.gather(*wide, *place, model.poly_of_pair(k), atoms.half, rows, columns, plane, level, *sums)


def _planes(model: ImageModel, flat: Images) -> list[Images]:
    """The canvas of each pair, with the margin that padded runs need: they add nothing to what lies there."""
    rows, columns = model.canvas.shape
    size = 2 * rows * columns
    return [flat[k * size : (k + 1) * size + LANES] for k in range(model.pairs)]


def _image(model: ImageModel, scene: Scene, j: int, work: Workspace) -> Tensor:
    """Image of one tilt on the canvas (V, U), until the next; leaves the spectra of the groups behind."""
    if not scene.atoms:
        return torch.zeros(model.canvas.shape)
    if scene.filters is None and model.plain:
        _spread(model, scene.atoms[0], scene, j, work.flat)
        return work.pairs[0].real
    transfer = model.kernel if scene.atoms[0].inv_s2 is None else model.transfer
    for s, atoms in enumerate(scene.atoms):
        _spread(model, atoms, scene, j, work.flat)
        torch.fft.fft2(work.pairs, out=work.transformed)
        to = work.total.numpy() if scene.filters is None else work.group(s)
        spectra.combine(work.transformed.numpy(), *transfer, to)
        if scene.filters is not None:
            spectra.filtered(to, scene.filters[s], s > 0, work.total.numpy())
    return torch.fft.irfft2(work.total, s=model.canvas.shape)


class Sums:
    """Gradients that one worker adds up over its tilts: of the orbitals of each group (N_s, 5), by the filters."""

    def __init__(self, scene: Scene, by_filter: bool) -> None:
        self.atoms = [np.zeros((len(atoms.amplitude), 5)) for atoms in scene.atoms]
        self.filters = np.zeros_like(scene.filters) if by_filter and scene.filters is not None else None


def _back(model: ImageModel, scene: Scene, j: int, level: int, sums: Sums, work: Workspace) -> tuple[Floats, Floats]:
    """Gradients of one tilt from that by its canvas, ``work.gradient``, added to ``sums``; those by matrix and offset.

    The spectra of the groups are where ``_image`` has left them.
    """
    g_matrix, g_offset = np.zeros((3, 3)), np.zeros(3)
    if not scene.atoms:
        return g_matrix, g_offset
    if scene.filters is None and model.plain:
        work.pairs.zero_()
        work.pairs[0].real.copy_(work.gradient)
        _gather(model, scene.atoms[0], scene, j, work.flat, level, (sums.atoms[0], g_matrix, g_offset))
        return g_matrix, g_offset
    torch.fft.rfft2(work.gradient, out=work.seen)
    transfer = model.kernel if scene.atoms[0].inv_s2 is None else model.transfer
    for s, atoms in enumerate(scene.atoms):
        here = work.seen.numpy()
        if scene.filters is not None:
            here = work.total.numpy()
            spectra.filtered(work.seen.numpy(), scene.filters[s], False, here)
        spectra.apart(here, *transfer, work.transformed.numpy())
        torch.fft.ifft2(work.transformed, out=work.pairs)
        _gather(model, atoms, scene, j, work.flat, level, (sums.atoms[s], g_matrix, g_offset))
        if sums.filters is not None:
            spectra.add_product(work.seen.numpy(), work.groups[s], sums.filters[s])
    return g_matrix, g_offset


# -- all tilts ----------------------------------------------------------------------------------------------------


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


class Road(Protocol):
    """The way from orbitals to images and back, somewhere."""

    def images(self, model: ImageModel, scene: Scene) -> Tensor:
        """Images (n, V, U) of all tilts of a scene."""

    def back(self, model: ImageModel, scene: Scene, gradient: Tensor, wanted: Wanted) -> Parts:
        """Gradients from those by the images (n, V, U)."""

    def fitted(
        self, model: ImageModel, scene: Scene, measured: Measured, scale: Floats, background: Floats, wanted: Wanted
    ) -> tuple[Floats, Images, Parts]:
        """Loss and its derivatives by scale and background (n, 3), calculated images (n, V, U), and gradients."""


def level_of(wanted: Wanted) -> int:
    """What is gathered for them: 0 amplitudes, 1 places too, 2 widths too."""
    positions, _, widths, matrices, offsets, _ = wanted
    return 2 if widths else (1 if positions or matrices or offsets else 0)


def _shares(model: ImageModel, count: int) -> list[range]:
    """Tilts of each worker, summed in order: the sum does not depend on who is faster."""
    shares = min(model.threads, count)
    return [range(first, count, shares) for first in range(shares)]


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


class CompiledRoad:
    """On the processor, by compiled kernels: one tilt after the other in each of the model's threads."""

    def images(self, model: ImageModel, scene: Scene) -> Tensor:
        """Images (n, V, U) of all tilts of a scene."""
        work, images = model.workspace, torch.empty(len(scene.matrices), *model.canvas.image_shape)

        def one(j: int) -> None:
            images[j] = model.canvas.crop(_image(model, scene, j, work))

        model.run(one, len(images))
        return images

    def back(self, model: ImageModel, scene: Scene, gradient: Tensor, wanted: Wanted) -> Parts:
        """Gradients from those by the images (n, V, U)."""
        shares, work, level = _shares(model, len(scene.matrices)), model.workspace, level_of(wanted)

        def some(share: int) -> tuple[Sums, dict[int, tuple[Floats, Floats]]]:
            sums, others = Sums(scene, wanted[5]), {}
            for j in shares[share]:
                if sums.filters is not None:
                    _image(model, scene, j, work)  # its spectra
                model.canvas.crop(work.gradient)[:] = gradient[j]
                others[j] = _back(model, scene, j, level, sums, work)
            return sums, others

        return model.run(some, len(shares))

    def fitted(
        self, model: ImageModel, scene: Scene, measured: Measured, scale: Floats, background: Floats, wanted: Wanted
    ) -> tuple[Floats, Images, Parts]:
        """Loss and its derivatives by scale and background (n, 3), calculated images (n, V, U), and gradients."""
        back, level = any(wanted), level_of(wanted)
        count, work = len(scene.matrices), model.workspace
        calculated = np.empty((count, *model.canvas.image_shape), np.float32)
        found = np.zeros((count, 3))
        shares = _shares(model, count)

        def some(share: int) -> tuple[Sums, dict[int, tuple[Floats, Floats]]]:
            sums, others = Sums(scene, wanted[5]), {}
            for j in shares[share]:
                seen, to = (model.canvas.crop(part).numpy() for part in (_image(model, scene, j, work), work.gradient))
                pixels = measured.at(j)
                likelihood.tilt(measured.poisson, seen, *pixels, scale[j], background[j], calculated[j], to, found[j])
                if back:
                    others[j] = _back(model, scene, j, level, sums, work)
            return sums, others

        return found, calculated, model.run(some, len(shares))


class Render(torch.autograd.Function):
    """Images (n, V, U) as one differentiable operation; everything else is plain torch around it."""

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
        scene = Scene.of(model, positions, amplitude, inv_s2, matrices, offsets, filters, members)
        ctx.model, ctx.scene, ctx.count, ctx.dtype = model, scene, len(amplitude), positions.dtype
        ctx.filter_dtype = None if filters is None else filters.dtype
        return model.road.images(model, scene)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        model, scene, wanted = ctx.model, ctx.scene, ctx.needs_input_grad[:6]
        parts = model.road.back(model, scene, gradients[0], wanted)
        found = together(model, scene, ctx.count, ctx.dtype, wanted, parts)
        by_filter = None if found.filters is None else found.filters.to(ctx.filter_dtype)
        return *found[:5], by_filter, None, None


class Fitted(torch.autograd.Function):
    """Loss of images times ``scale`` (n,) plus ``background`` (n,), and the calculated images (n, V, U).

    Gradients are found on the way, by all that is asked for, while what a tilt needs is at hand; the calculated images
    have none.
    """

    @staticmethod
    def forward(
        ctx: Any,
        positions: Tensor,
        amplitude: Tensor,
        inv_s2: Tensor | None,
        matrices: Tensor,
        offsets: Tensor,
        filters: Tensor | None,
        scale: Tensor,
        background: Tensor,
        members: tuple[NDArray[np.int64], ...],
        model: ImageModel,
        measured: Measured,
    ) -> tuple[Tensor, Tensor]:
        scene = Scene.of(model, positions, amplitude, inv_s2, matrices, offsets, filters, members)
        wanted: Wanted = ctx.needs_input_grad[:6]
        levels = (scale.detach().numpy(), background.detach().numpy())
        found, calculated, parts = model.road.fitted(model, scene, measured, *levels, wanted)
        both = together(model, scene, len(amplitude), positions.dtype, wanted, parts)
        by_filter = None if both.filters is None or filters is None else both.filters.to(filters.dtype)
        by_tilt = torch.from_numpy(found)
        ctx.found = (*both[:5], by_filter, by_tilt[:, 1].to(scale.dtype), by_tilt[:, 2].to(background.dtype))
        images = torch.from_numpy(calculated)
        ctx.mark_non_differentiable(images)
        return by_tilt[:, 0].sum(), images

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        by_loss = gradients[0]
        scaled = [None if g is None else g * by_loss.to(g.dtype) for g in ctx.found]
        return *scaled, None, None, None


@dataclass(frozen=True)
class Measured:
    """What calculated tilts are compared with.

    observed (T, V, U) and weights (the same or None), float32; tilts (n,): which of them are calculated; kind of the
    likelihood.
    """

    observed: Images
    weights: Images | None
    tilts: NDArray[np.int64]
    kind: Literal["lsq", "poisson"]

    @property
    def poisson(self) -> bool:
        """Whether the likelihood is Poisson's."""
        return self.kind == "poisson"

    def at(self, j: int) -> tuple[Images, Images, bool]:
        """Image and weights of the j-th calculated tilt, and whether the weights count."""
        observed = self.observed[self.tilts[j]]
        return (observed, observed, False) if self.weights is None else (observed, self.weights[self.tilts[j]], True)
