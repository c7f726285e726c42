"""The peer: the formulation of Mao, Cui and Yu in plain PyTorch, as it would be written well.

Atoms are shared out to slices of 4 Å along the beam. Each is a Gaussian on a window of 9 x 9 pixels, a product of two
rows of 9, scattered into its slice by ``index_add_``; each slice has one real FFT, is multiplied by the transfer of the
probe at its middle depth, and their sum goes back by one inverse FFT. Gradients come from autograd. Tilts go in
batches. Nothing of the package is used but the spectra of the probe, which are made once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_lot.lot.image_model import ImageModel
from napari_lot.lot.problem import State
from napari_lot.physics.geometry import rotations_torch
from napari_lot.physics.optics import probe_transfer

SLICE_A = 4.0
HALF = 4
"""Pixels of a window on either side of the middle one."""


@dataclass
class Peer:
    """Calculated tilts on the canvas of an image model.

    slice_A: thickness of the slices; middles (S,) Å: their depths; transfer (S, V, U // 2 + 1): the probe there.
    """

    model: ImageModel
    slice_A: float
    middles: Tensor
    transfer: Tensor

    @classmethod
    def of(cls, model: ImageModel, slice_A: float = SLICE_A) -> Peer:
        """The same canvas, tilts and probe as a model of the package has."""
        low, high = model.depth_range_A
        count = int(np.ceil((high - low) / slice_A))
        middles = 0.5 * (low + high) + slice_A * (np.arange(count) - 0.5 * (count - 1))
        canvas = model.canvas
        assert model.microscope is not None
        spectra = probe_transfer(model.microscope, middles, canvas.shape, canvas.pixel_size_A)
        transfer = torch.from_numpy(np.asarray(spectra, np.complex64))
        return cls(model, slice_A, torch.from_numpy(middles).float(), transfer)

    def images(self, tilts: Tensor, leaf: dict[str, Tensor]) -> Tensor:
        """Images (n, V, U) of tilts, scale and background included; ``leaf`` as in ``loss``."""
        model, canvas = self.model, self.model.canvas
        rows, columns = canvas.shape
        pixel = canvas.pixel_size_A
        turn = rotations_torch(leaf["angles"]).float() @ model.rotations[tilts].float()
        seen = leaf["positions"].float() @ turn.transpose(1, 2)  # (n, N, 3)
        row, column = model.center_px
        shifts = canvas.oversampling * leaf["shifts"].float()[:, None]
        u = seen[..., 0] / pixel + (canvas.pad + canvas.oversampling * column) + shifts[..., 0]
        v = seen[..., 1] / pixel + (canvas.pad + canvas.oversampling * row) + shifts[..., 1]
        n, slices = len(tilts), len(self.middles)
        step = torch.round((seen[..., 2].detach() - self.middles[0]) / self.slice_A).long().clamp(0, slices - 1)
        window = torch.arange(-HALF, HALF + 1)
        ku, kv = torch.round(u.detach()).long(), torch.round(v.detach()).long()
        inverse = (pixel / leaf["width"].float()) ** 2
        gu = torch.exp(-((ku[..., None] + window - u[..., None]) ** 2) * inverse)
        gv = torch.exp(-((kv[..., None] + window - v[..., None]) ** 2) * inverse)
        values = (leaf["height"].float()[:, None] * gv)[..., :, None] * gu[..., None, :]  # (n, N, 9, 9)
        plane = (torch.arange(n)[:, None] * slices + step) * rows
        place = ((plane + kv)[..., None] + window) * columns + ku[..., None]
        index = (place[..., :, None] + window).reshape(-1)
        grid = torch.zeros(n * slices * rows * columns).index_add(0, index, values.reshape(-1))
        spectrum = (torch.fft.rfft2(grid.view(n, slices, rows, columns)) * self.transfer).sum(1)
        spectrum = spectrum * self._shape(leaf)
        image = torch.fft.irfft2(spectrum, s=(rows, columns))
        p, k = canvas.pad, canvas.oversampling
        (height, length) = canvas.image_shape
        image = image[:, p : p + k * height : k, p : p + k * length : k]
        return image * leaf["scale"].float()[:, None, None] + leaf["background"].float()[:, None, None]

    def _shape(self, leaf: dict[str, Tensor]) -> Tensor:
        """The learnt numbers correct the Gaussian's form factor by 1 + sum_k a_k x^k / k!, x = (pi q B)^2."""
        x = np.pi**2 * torch.from_numpy(self.model.q2).float() * leaf["width"].float() ** 2
        correction, term = torch.ones_like(x), x
        for k, a in enumerate(leaf["learnt"].float()[0], start=2):
            term = term * x / k
            correction = correction + a * term
        return correction

    def loss(self, state: State, tilts: Any, observed: Tensor, groups: tuple[str, ...]) -> tuple[float, dict[str, Any]]:
        """Least-squares loss of some tilts (n,) against ``observed`` (n, V, U), and its gradients by the groups."""
        index = torch.as_tensor(np.asarray(tilts, np.int64))
        leaf = self.leaves(state, index, groups)
        loss = 0.5 * ((self.images(index, leaf) - observed) ** 2).sum()
        found = torch.autograd.grad(loss, [leaf[name] for name in groups])
        return float(loss.detach()), dict(zip(groups, found, strict=True))

    @staticmethod
    def leaves(state: State, index: Tensor, groups: tuple[str, ...] = ()) -> dict[str, Tensor]:
        """The parameters as tensors, per-tilt ones of the given tilts."""
        per_tilt = ("shifts", "angles", "scale", "background")
        names = ("positions", "height", "width", "learnt", *per_tilt)
        leaf = {name: torch.from_numpy(getattr(state, name)) for name in names}
        leaf = {name: value[index] if name in per_tilt else value for name, value in leaf.items()}
        return {name: value.detach().clone().requires_grad_(name in groups) for name, value in leaf.items()}
