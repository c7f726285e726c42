"""A device, what is kept on it from call to call, and how many tilts its memory holds at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import TypeVar

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_lot.errors import InputError, out_of_memory

Result = TypeVar("Result")
USED_SHARE = 0.6
"""Of the free memory that a batch is planned to take: Fourier transforms have work space of their own."""
ENTRY_SHARE = 0.25
"""Of that, what the windows of the orbitals that are spread at once may take."""
MOST_AT_ONCE = 1 << 15
"""Windows: products of small matrices have been wrong on some devices from 65,536 in a row on."""


class Device:
    """Where a run calculates its images; shared by all image models of a run.

    Parameters
    ----------
    torch_device
        Any that PyTorch knows.
    words : str
        What it is, for a person.
    memory_gb : float or None
        Memory in GB (1e9 bytes) that a batch of tilts may take; of what is free when None.
    triton : bool or None
        Whether Triton's kernels spread and gather; where they can be had, on CUDA, when None.

    Attributes
    ----------
    messages : list of str
        What a person is to be told at the end of the run, each once.
    most_tilts : int or None
        Batches that were too large have set this.
    """

    def __init__(
        self,
        torch_device: torch.device,
        words: str = "",
        memory_gb: float | None = None,
        *,
        triton: bool | None = None,
    ) -> None:
        self.torch = torch_device
        self.words = words or torch_device.type
        self.memory_gb = memory_gb
        self.messages: list[str] = []
        self.most_tilts: int | None = None
        self.triton = (torch_device.type == "cuda" and has_triton()) if triton is None else triton
        self._kept: dict[str, tuple[NDArray[np.float32], Tensor]] = {}

    @property
    def name(self) -> str:
        """``cuda``, ``mps``; ``cpu`` for PyTorch's operations on the processor."""
        return self.torch.type

    def kept(self, name: str, array: NDArray[np.float32]) -> Tensor:
        """An array on the device: brought there when it is first asked for, for as long as it is the same memory."""
        before = self._kept.get(name)
        if before is None or not _same(before[0], array):
            self._kept.pop(name, None)  # before the next one is brought there
            there = self.held(lambda: torch.from_numpy(array).to(self.torch))
            before = self._kept[name] = (array, there)
        return before[1]

    def held(self, bring: Callable[[], Result]) -> Result:
        """What all batches need on the device.

        Raises
        ------
        InputError
            It does not fit.
        """
        none = range(0)
        # once more, with what PyTorch held and did not use
        found = self._tried(lambda _: bring(), none) or self._tried(lambda _: bring(), none)
        if found is None:
            raise InputError(
                f"The memory of the device ({self.words}) does not hold the images and orbitals of this run: close "
                "other programs that use it, bin or crop the images, or take --device cpu."
            )
        return found[0]

    def close(self) -> None:
        """Let go of what is kept."""
        self._kept.clear()
        self._release()

    # -- memory -------------------------------------------------------------------------------------------------

    @property
    def budget(self) -> int:
        """Bytes that a batch of tilts may take."""
        if self.memory_gb is not None:
            return int(self.memory_gb * 1e9)
        if self.torch.type == "cuda":
            free, _ = torch.cuda.mem_get_info(self.torch)
            # what PyTorch holds and does not use is free to us
            free += torch.cuda.memory_reserved(self.torch) - torch.cuda.memory_allocated(self.torch)
        else:
            free = psutil.virtual_memory().available // 2  # shared with everything else
        return int(USED_SHARE * free)

    def entries(self, bytes_each: int) -> int:
        """Windows of orbitals to spread at once, of so many bytes."""
        return int(min(MOST_AT_ONCE, max(1024, ENTRY_SHARE * self.budget / bytes_each)))

    def batches(self, count: int, bytes_each: int, work: Callable[[range], Result]) -> Iterator[tuple[range, Result]]:
        """``work`` on ``count`` tilts in batches that fit, and the tilts of each; half as many where they do not.

        Raises
        ------
        InputError
            One tilt does not fit.
        """
        size = max(1, int((1.0 - ENTRY_SHARE) * self.budget / bytes_each))
        first = 0
        while first < count:
            size = min(size, count - first) if self.most_tilts is None else min(size, count - first, self.most_tilts)
            tilts = range(first, first + size)
            done = self._tried(work, tilts)
            if done is None:
                self._halved(size)
                continue
            yield tilts, done[0]
            first, size = tilts.stop, max(1, size)

    def _tried(self, work: Callable[[range], Result], tilts: range) -> tuple[Result] | None:
        """What ``work`` gives; None where memory ran out, once the error, which holds its arrays, is gone."""
        try:
            return (work(tilts),)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
        self._release()
        return None

    def _halved(self, size: int) -> None:
        if size == 1:
            raise InputError(
                f"The memory of the device ({self.words}) does not hold one tilt: close other programs that use it, "
                "bin the images, or take --device cpu."
            )
        self.most_tilts = size // 2
        text = f"The memory of the device ({self.words}) ran out: it went on with {_tilts(self.most_tilts)} at a time."
        self.messages[:] = [text]  # of several the last tells all

    def _release(self) -> None:
        if self.torch.type == "cuda":
            torch.cuda.empty_cache()
        elif self.torch.type == "mps":
            torch.mps.empty_cache()


_LOST = ("CUDA error", "CUDA driver error", "cuFFT error", "CUBLAS_STATUS", "MPS backend", "device lost", "HIP error")


def lost(error: BaseException) -> bool:
    """Whether an error says that a device is gone or does no more, where memory did not run out."""
    kind = getattr(torch, "AcceleratorError", None)
    told = any(text.lower() in str(error).lower() for text in _LOST)
    return not out_of_memory(error) and (told or (kind is not None and isinstance(error, kind)))


def has_triton() -> bool:
    """Whether Triton's kernels can be had."""
    try:
        import_module("napari_lot.lot.device.triton_kernels")
    except ImportError:
        return False
    return True


def _same(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    """Whether two arrays are the same memory seen alike; ``one`` is kept, so that its memory is nobody else's."""
    return (
        one.__array_interface__["data"] == other.__array_interface__["data"]
        and one.shape == other.shape
        and one.strides == other.strides
    )


def _tilts(count: int) -> str:
    return "one tilt" if count == 1 else f"{count} tilts"
