"""What this process may use of the machine, and which of several it is."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def usable_cores() -> int:
    """Cores that this process may run on: a cluster's share of a node, where the system tells it."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def cores_of_a_process() -> int:
    """Cores for each of the processes that torchrun has started on this machine; all without it."""
    try:
        here = max(1, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    except ValueError:
        here = 1
    return max(1, usable_cores() // here)


def processes() -> int:
    """Processes that share this run: those that torchrun has started, 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def writes() -> bool:
    """Whether this is the process that shows and writes, of those that share a run."""
    return processes() == 1 or os.environ.get("RANK", "0") == "0"


def peak_memory_gb() -> float | None:
    """Largest resident memory of this process so far in GB (1e9 bytes); None where the system does not tell."""
    try:
        # Linux: the process's own peak; getrusage also counts what the parent held before it started this program.
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e9
    except (OSError, IndexError, ValueError):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak * (1 if sys.platform == "darwin" else 1024) / 1e9)
