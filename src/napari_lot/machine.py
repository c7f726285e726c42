"""What this process may use of the machine, and which of several it is."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """Cores that this process may run on: a cluster's share of a node, where the system tells it."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def processes() -> int:
    """Processes that share this run: those that torchrun has started, 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def writes() -> bool:
    """Whether this is the process that shows and writes, of those that share a run."""
    return processes() == 1 or os.environ.get("RANK", "0") == "0"
