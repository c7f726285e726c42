"""Processes that share the tilts of one run (torch.distributed), started by torchrun.

Every process goes the whole road of a run and decides alike: what it decides by, losses, gradients and images, is
calculated by each for its own tilts, and summed for all of them. One process writes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import distributed

from napari_lot.errors import LostRank
from napari_lot.machine import processes

Floats = NDArray[np.float64]


class Ranks:
    """One process alone: all tilts are its own, and every sum is complete."""

    rank = 0
    size = 1

    @property
    def writes(self) -> bool:
        """Whether this is the process that shows and writes."""
        return self.rank == 0

    def own(self, count: int) -> NDArray[np.int64]:
        """Which of ``count`` tilts this process calculates."""
        return np.arange(self.rank, count, self.size)

    def total(self, parts: Sequence[NDArray[Any]]) -> list[Floats]:
        """Sums of arrays over all processes; the same numbers, bit for bit, in each."""
        return [np.asarray(part, np.float64) for part in parts]

    def gathered(self, images: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        """All of ``count`` images, of which each process has its own."""
        return images

    def agree(self, number: float) -> float:
        """The number that the writing process has: for what clocks and people decide."""
        return number


class TorchRanks(Ranks):
    """One of the processes of the default group of ``torch.distributed``."""

    def __init__(self) -> None:
        self.rank, self.size = distributed.get_rank(), distributed.get_world_size()

    def total(self, parts: Sequence[NDArray[Any]]) -> list[Floats]:
        """Sums of arrays over all processes; the same numbers, bit for bit, in each."""
        arrays = [np.asarray(part, np.float64) for part in parts]
        together = torch.from_numpy(np.concatenate([a.ravel() for a in arrays]))
        with _said():
            distributed.all_reduce(together)
        ends = np.cumsum([a.size for a in arrays])
        split = np.split(together.numpy(), ends[:-1])
        return [part.reshape(a.shape) for part, a in zip(split, arrays, strict=True)]

    def gathered(self, images: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        """All of ``count`` images, of which each process has its own."""
        whole = np.zeros((count, *images.shape[1:]), np.float32)
        for rank in range(self.size):
            there = np.arange(rank, count, self.size)
            part = torch.from_numpy(images if rank == self.rank else np.empty((len(there), *images.shape[1:]), "f4"))
            if len(there):
                with _said():
                    distributed.broadcast(part, rank)
                whole[there] = part.numpy()
        return whole

    def agree(self, number: float) -> float:
        """The number that the writing process has: for what clocks and people decide."""
        told = torch.tensor([number], dtype=torch.float64)
        with _said():
            distributed.broadcast(told, 0)
        return float(told)


ALONE = Ranks()


def here() -> Ranks:
    """The processes that share the work of this one."""
    return TorchRanks() if distributed.is_available() and distributed.is_initialized() else ALONE


@contextmanager
def joined() -> Iterator[None]:
    """Join the processes that torchrun has started beside this one, for as long as the block lasts.

    Raises
    ------
    LostRank
        Another process is gone.
    """
    if processes() == 1:
        yield
        return
    with _said():
        distributed.init_process_group("gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


_SENTENCE = "Another process of this run is gone, and the others cannot go on without it."


@contextmanager
def _said() -> Iterator[None]:
    """Errors of the connection as ``LostRank``."""
    try:
        yield
    except (RuntimeError, distributed.DistError) as error:
        raise LostRank(_SENTENCE) from error
