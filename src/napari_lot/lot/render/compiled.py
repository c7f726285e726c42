"""The compiled road from orbitals to images and back, one tilt after the other.

Forward: spread into pairs of depth channels, one complex FFT a pair, times the kernel's channels (and the filter of the
orbitals' shape), summed, one inverse FFT. Backward: the same road with conjugates, then gathered at the orbitals.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_lot.lot import likelihood
from napari_lot.lot.render import spectra
from napari_lot.lot.render.gradients import Parts, Sums, Wanted, level_of
from napari_lot.lot.render.scene import Atoms, Floats, Images, Measured, Scene
from napari_lot.lot.spread import compact, gaussian
from napari_lot.lot.spread.common import canvas_length
from napari_lot.lot.spread.simd import LANES

if TYPE_CHECKING:
    from napari_lot.lot.image_model import ImageModel


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
        gaussian.spread(*orbitals, *place, model.poly_of_pair(k), atoms.halves, rows, columns, plane)


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
        gaussian.gather(*wide, *place, model.poly_of_pair(k), atoms.halves, rows, columns, plane, level, *sums)


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


def _shares(model: ImageModel, count: int) -> list[range]:
    """Tilts of each worker, summed in order: the sum does not depend on who is faster."""
    shares = min(model.threads, count)
    return [range(first, count, shares) for first in range(shares)]


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
