"""Images by plain torch, one channel at a time: slow, exact, and the oracle of the other roads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from napari_lot.lot.render.scene import ALL, Seen
from napari_lot.lot.spread import reference

if TYPE_CHECKING:
    from napari_lot.lot.image_model import ImageModel


def reference_images(model: ImageModel, seen: Seen) -> Tensor:
    """Images (n, V, U) by plain torch and autograd, in the dtype of the positions."""
    positions, amplitude, inv_s2, matrices, offsets, filters, members = seen
    poly = torch.from_numpy(model.poly).to(positions.dtype)
    rows, columns = model.canvas.shape
    complex_dtype = torch.complex128 if positions.dtype == torch.float64 else torch.complex64
    spectra = model.spectra if inv_s2 is None else model.spectra * model.sharpen
    transfer = torch.from_numpy(spectra).to(complex_dtype)
    groups: list[Any] = (
        [ALL] if filters is None else [m if isinstance(m, slice) else torch.from_numpy(m) for m in members]
    )
    images = []
    for matrix, offset in zip(matrices, offsets, strict=True):
        spectrum = torch.zeros(rows, columns // 2 + 1, dtype=complex_dtype)
        for s, some in enumerate(groups):
            wide = None if inv_s2 is None else inv_s2[some]
            atoms = (positions[some], amplitude[some], wide)
            depth = (model.first_depth_A, model.inv_step, poly)
            channels = reference.spread(*atoms, matrix, offset, *depth, rows, columns, model.window)
            part = (torch.fft.rfft2(channels) * transfer).sum(0)
            spectrum = spectrum + (part if filters is None else part * filters[s])
        images.append(model.canvas.crop(torch.fft.irfft2(spectrum, s=(rows, columns))))
    return torch.stack(images)
