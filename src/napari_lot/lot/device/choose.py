"""Which devices there are, and which of them a run takes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

import psutil
import torch

from napari_lot.errors import InputError
from napari_lot.lot.device.memory import Device

Name = Literal["auto", "cpu", "cuda", "mps"]
GPUS: tuple[Literal["cuda", "mps"], ...] = ("cuda", "mps")
"""In the order in which ``auto`` takes them."""
_WHY_NOT = {
    "cuda": "there is no CUDA device, or this PyTorch ({version}) was built without CUDA",
    "mps": "there is no Apple GPU, or this PyTorch ({version}) was built without MPS",
}


@dataclass(frozen=True)
class Offered:
    """A device that a run can take: its name for ``--device``, what it is, and its memory in GB (1e9 bytes)."""

    name: Literal["cuda", "mps"]
    words: str
    memory_gb: float
    free_gb: float


def offered() -> tuple[Offered, ...]:
    """The devices beside the processor, in the order in which ``auto`` takes them."""
    found = []
    if torch.cuda.is_available():
        index = _cuda_index()
        free, total = torch.cuda.mem_get_info(index)
        found.append(Offered("cuda", torch.cuda.get_device_name(index), total / 1e9, free / 1e9))
    if torch.backends.mps.is_available():
        memory = psutil.virtual_memory()  # shared with the processor
        found.append(Offered("mps", "Apple GPU", memory.total / 1e9, memory.available / 1e9))
    return tuple(found)


def check_device(name: Name) -> None:
    """See that a device that is asked for by name is there.

    Raises
    ------
    InputError
        It is not.
    """
    if name in GPUS and all(one.name != name for one in offered()):
        why = _WHY_NOT[name].format(version=torch.__version__)
        raise InputError(
            f"--device {name}: {why}; take --device auto or --device cpu. napari-lot devices lists what there is."
        )


def chosen(name: Name, memory_gb: float | None = None) -> Device | None:
    """The device for a run, None for the processor; ``auto`` takes CUDA, then MPS, then the processor.

    ``memory_gb`` limits what a batch of tilts may take. Processes that share a run have a CUDA device each, as far as
    there are enough.

    Raises
    ------
    InputError
        One that is named is not there.
    """
    check_device(name)
    if name == "cpu":
        return None
    there = offered()
    wanted = there if name == "auto" else tuple(one for one in there if one.name == name)
    if not wanted:
        return None
    first = wanted[0]
    place = f"cuda:{_cuda_index()}" if first.name == "cuda" else first.name
    return Device(torch.device(place), first.words, memory_gb)


def _cuda_index() -> int:
    """The device of this process, of those that torchrun has started on this machine."""
    return int(os.environ.get("LOCAL_RANK", "0")) % max(1, torch.cuda.device_count())
