"""Processes that share the tilts of one run (torch.distributed), started by torchrun.

Every process goes the whole road of a run and decides alike: what it decides by, losses, gradients and images, is
calculated by each for its own tilts, and summed for all of them. One process writes.

Where they part all the same (nodes of different processors round differently), they stop rather than wait or mix what
does not belong together: sizes are compared before anything is summed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import distributed
from torch.distributed.rendezvous import rendezvous

from napari_lot.errors import LostRank, RunFailed
from napari_lot.machine import processes

Floats = NDArray[np.float64]
PATIENCE_S = 300.0
"""A process that says nothing for so long counts as lost: longer than reading a series or writing results takes."""


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

    def all_have(self, has: bool) -> bool:
        """Whether every process has it."""
        return float(self.total([np.array(has)])[0]) == self.size

    def differing(self, parts: Mapping[str, bytes]) -> list[str]:
        """Names of the parts that are not the same bytes in every process."""
        return []


class TorchRanks(Ranks):
    """One of the processes of the default group of ``torch.distributed``."""

    def __init__(self) -> None:
        self.rank, self.size = distributed.get_rank(), distributed.get_world_size()

    def total(self, parts: Sequence[NDArray[Any]]) -> list[Floats]:
        """Sums of arrays over all processes; the same numbers, bit for bit, in each."""
        arrays = [np.asarray(part, np.float64) for part in parts]
        together = torch.from_numpy(np.concatenate([a.ravel() for a in arrays]))
        self._same_size(len(together))
        with _said():
            distributed.all_reduce(together)
        ends = np.cumsum([a.size for a in arrays])
        split = np.split(together.numpy(), ends[:-1])
        return [part.reshape(a.shape) for part, a in zip(split, arrays, strict=True)]

    def gathered(self, images: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        """All of ``count`` images, of which each process has its own."""
        whole = np.zeros((count, *images.shape[1:]), np.float32)
        self._same_size(whole.size)
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

    def differing(self, parts: Mapping[str, bytes]) -> list[str]:
        """Names of the parts that are not the same bytes in every process."""
        marks = [int.from_bytes(hashlib.sha256(part).digest()[:7], "big") for part in parts.values()]
        return [name for name, (least, most) in zip(parts, self._ends(marks), strict=True) if least != most]

    def _same_size(self, size: int) -> None:
        """Sums of different sizes would end all processes without a word."""
        ((least, most),) = self._ends([size])
        if least != most:
            raise RunFailed(
                f"The processes of this run have come apart: arrays of {least} and of {most} numbers are to be one; "
                "take nodes of one kind, with the same versions and the same command."
            )

    def _ends(self, numbers: Sequence[int]) -> list[tuple[int, int]]:
        """The least and the most of each number among the processes."""
        ends = torch.tensor([[-number, number] for number in numbers])
        with _said():
            distributed.all_reduce(ends, distributed.ReduceOp.MAX)
        return [(-minus, most) for minus, most in ends.tolist()]


ALONE = Ranks()


def here() -> Ranks:
    """The processes that share the work of this one."""
    return TorchRanks() if distributed.is_available() and distributed.is_initialized() else ALONE


@contextmanager
def joined(patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Join the processes that torchrun has started beside this one, for as long as the block lasts.

    A process that ends with an error of its own leaves word of it for the others.

    Raises
    ------
    LostRank
        Another process is gone, or has said nothing for ``patience_s``.
    """
    if processes() == 1:
        yield
        return
    patience = timedelta(seconds=patience_s)
    with _said():
        # torchrun's own store outlives the processes that it has started
        _STORE[:] = [next(rendezvous("env://", timeout=patience))]
        store, rank, size = _STORE[0]
        distributed.init_process_group("gloo", store=store, rank=rank, world_size=size, timeout=patience)
    try:
        yield
    except LostRank as error:
        speaks(error)
        raise
    except Exception as error:
        _leave_word(error)
        raise
    finally:
        distributed.destroy_process_group()
        _STORE.clear()


_STORE: list[tuple[Any, int, int]] = []
"""Of the processes that are joined: what they can leave word in, the number of this one, and how many there are."""
_GONE = "Another process of this run is gone{why}, and the others cannot go on without it."
_WORD, _WORD_S = "napari-lot: gone", 2.0
_TOLD, _TOLD_S = "napari-lot: told", 5.0
_SPEAKER = "napari-lot: speaker"


def _leave_word(error: Exception) -> None:
    """What this process ends with, for the one that speaks."""
    store, rank, _ = _STORE[0]
    with suppress(RuntimeError, distributed.DistError):  # nobody may be there to be told
        store.set(_WORD, f"process {rank}: {' '.join(str(error).split()) or type(error).__name__}")


def speaks(error: LostRank) -> bool:
    """Whether this process says that another is gone: the writing one does; where that is gone, the first to notice."""
    if error.speaks is not None or not _STORE:
        return bool(error.speaks)
    store, rank, _ = _STORE[0]
    try:
        if rank == 0:
            error.speaks = True
            store.set(_TOLD, "yes")
        else:
            store.wait([_TOLD], timedelta(seconds=_TOLD_S))
            error.speaks = False
    except (RuntimeError, distributed.DistError):  # the writing one says nothing
        try:
            error.speaks = bool(store.compare_set(_SPEAKER, "", str(rank)).decode() == str(rank))
        except (RuntimeError, distributed.DistError):
            error.speaks = True
    return bool(error.speaks)


def _word() -> str:
    """Why another process is gone, where it has left word."""
    try:
        store = _STORE[0][0]
        store.wait([_WORD], timedelta(seconds=_WORD_S))
        return f" ({store.get(_WORD).decode(errors='replace').rstrip('.')})"
    except (RuntimeError, IndexError, distributed.DistError):
        return ""


@contextmanager
def _said() -> Iterator[None]:
    """Errors of the connection as ``LostRank``."""
    try:
        yield
    except (RuntimeError, distributed.DistError) as error:
        raise LostRank(_GONE.format(why=_word())) from error
