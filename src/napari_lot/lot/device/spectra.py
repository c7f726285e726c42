"""Spectra of channel pairs of a batch of tilts, combined into those of images and back: ``lot.spectra`` in torch."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_lot.lot.render.spectra import PairTransfer


class Transfer:
    """What a probe makes of pairs of channels, on a device: A and B (P, V, U // 2 + 1) of ``PairTransfer``."""

    def __init__(self, transfer: PairTransfer, columns: int, device: torch.device) -> None:
        self.a, self.b = (torch.from_numpy(part).to(device) for part in transfer)
        self.columns = columns
        rows, half = self.a.shape[1:]
        opposite = _opposite(rows, rows)
        # conj A at q and B at -q where a column of the spectrum is its own opposite, (P, V, 2)
        ends = [0, half - 1]
        edges = transfer.a[:, :, ends].conj() + transfer.b[:, opposite][:, :, ends]
        self._edges = torch.from_numpy(np.ascontiguousarray(edges)).to(device)
        self._rows = torch.from_numpy(opposite).to(device)
        self._half = torch.from_numpy(_opposite(half, columns)).to(device)

    def combine(self, z: Tensor) -> Tensor:
        """Spectra (n, V, U // 2 + 1) of the images of pairs z (n, P, V, U), complex64 all."""
        half = self.a.shape[2]
        total = torch.zeros(len(z), *self.a.shape[1:], dtype=z.dtype, device=z.device)
        for k in range(z.shape[1]):
            there = z[:, k].index_select(1, self._rows).index_select(2, self._half)
            total += self.a[k] * z[:, k, :, :half]
            total += self.b[k] * there.conj()
        return total

    def apart(self, g: Tensor) -> Tensor:
        """Transpose of ``combine``: spectra (n, P, V, U), U even, of pairs from images' g (n, V, U // 2 + 1)."""
        pairs, rows, half = self.a.shape
        out = torch.empty(len(g), pairs, rows, self.columns, dtype=g.dtype, device=g.device)
        for k in range(pairs):
            out[:, k, :, :half] = 2.0 * g * self.a[k].conj()
            mirrored = (2.0 * g.conj() * self.b[k]).index_select(1, self._rows)
            out[:, k, :, half:] = mirrored[:, :, 1 : half - 1].flip(2)
            for end, u in enumerate((0, half - 1)):
                out[:, k, :, u] = g[:, :, u] * self._edges[k, :, end]
        return out


def _opposite(count: int, size: int) -> NDArray[np.int64]:
    """Where the opposites of the first ``count`` of ``size`` frequencies are."""
    return -np.arange(count) % size
