"""How many threads torch itself may take while others work."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_BEFORE: list[int] = []
"""Torch's threads as each of those that are inside found them: the first one's are what they were."""
_LOCK = threading.Lock()


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Torch itself on one thread: OpenMP threads that wait by spinning take the cores from those that work.

    The number is one for all threads of the process: where several overlap, the last one to end gives the others back.
    """
    with _LOCK:
        _BEFORE.append(torch.get_num_threads())
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _LOCK:
            before = _BEFORE.pop()
            if not _BEFORE:
                torch.set_num_threads(before)
