"""The projector on a device of PyTorch: the same rays and weights as the compiled loops."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn.functional import grid_sample

from napari_lot.voxel.method import Poll
from napari_lot.voxel.projection.projector import Images, Projector, nothing

LARGEST_GRID = 2**25
"""Samples that are placed at a time: 256 MB of coordinates."""


class TorchProjector(Projector):
    """As ``Projector``, calculated by PyTorch.

    Parameters
    ----------
    device : str
        Such as ``cuda`` or ``cpu``.
    others
        As those of ``Projector``.

    Notes
    -----
    On CUDA the adjoint adds up in an order of its own: it repeats to single precision, not bit by bit.
    """

    def __init__(self, *geometry: Any, device: str = "cuda", **more: Any) -> None:
        super().__init__(*geometry, **more)
        self.device = torch.device(device)

    def project(self, values: Images, tilts: Sequence[int] | None = None, poll: Poll = nothing) -> Images:
        chosen = range(len(self)) if tilts is None else tilts
        if values.shape != self.shape:
            raise ValueError(f"a volume of {values.shape} for a projector of {self.shape}")
        volume = torch.from_numpy(np.ascontiguousarray(values, np.float32)).to(self.device)
        found = np.empty((len(chosen), *self.image_shape), np.float32)
        for place, j in enumerate(chosen):
            slices = volume.permute(self._permuted(j))
            total = torch.zeros(self._turned(self.image_shape), device=self.device)
            for first, last, grid in self._grids(j):
                part = slices[first:last, None]
                total += grid_sample(part, grid, mode="bilinear", padding_mode="zeros", align_corners=False).sum((0, 1))
                poll()
            image = (total * float(self._tilts[j].weight)).cpu().numpy()
            found[place] = image.T if self._along_v else image
        return found

    def adjoint(
        self, images: Images, tilts: Sequence[int] | None = None, poll: Poll = nothing, into: Images | None = None
    ) -> Images:
        chosen = range(len(self)) if tilts is None else tilts
        if len(images) != len(chosen):
            raise ValueError(f"{len(images)} images for {len(chosen)} tilts")
        volume = torch.zeros(self.shape, device=self.device)
        for place, j in enumerate(chosen):
            slices = volume.permute(self._permuted(j))
            image = torch.from_numpy(self._lines(images[place : place + 1])[0]).to(self.device)
            image = image * float(self._tilts[j].weight)
            for first, last, grid in self._grids(j):
                part = slices[first:last, None]
                spread = image.expand(last - first, 1, *image.shape).contiguous()
                # modes: bilinear, zeros; only the gradient by the volume is wanted, which is P^T
                back = torch.ops.aten.grid_sampler_2d_backward(spread, part, grid, 0, 0, False, [True, False])[0]
                part += back
                poll()
        found = volume.cpu().numpy()
        if into is None:
            into = self.zeros()
        into += found
        return into

    def _permuted(self, j: int) -> list[int]:
        """Axes k, s, f of tilt j among z, y, x."""
        where = {int(step): axis for axis, step in zip(self._order, self._strides(), strict=True)}
        return [where[int(step)] for step in self._tilts[j].step]

    def _strides(self) -> tuple[int, int, int]:
        memory = [self.shape[i] for i in self._order]
        return memory[1] * memory[2], memory[2], 1

    def _grids(self, j: int) -> Iterator[tuple[int, int, torch.Tensor]]:
        """Runs of slices, and where their pixels lie in the terms of ``grid_sample``: (k, M, N, [f, s])."""
        tilt = self._tilts[j]
        lines, length = self._turned(self.image_shape)
        at_once = max(1, LARGEST_GRID // (lines * length))
        m, n = np.arange(lines)[:, None], np.arange(length)
        for first in range(0, int(tilt.size[0]), at_once):
            last = min(int(tilt.size[0]), first + at_once)
            axes = []
            for row in (1, 0):
                constant, per_m, per_n, per_k = tilt.place[row]
                scale, shift = 2.0 / tilt.size[1 + row], 1.0 / tilt.size[1 + row] - 1.0
                # placed in double precision, as far as that is quick
                plane = torch.from_numpy((constant + per_m * m + per_n * n) * scale + shift).to(self.device)
                steps = torch.arange(first, last, dtype=torch.float64, device=self.device)[:, None, None]
                axes.append((plane + steps * (per_k * scale)).float())
            yield first, last, torch.stack(axes, -1)
