"""What the parts share: the object, processes of their own, and medians of repeated times."""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent.parent
PIXEL_A, WIDTH_A = 0.35, 0.5
TILTS_DEG = (-72.0, 70.0, 2.0)
ENERGY_EV, SEMIANGLE_MRAD = 300e3, 25.0
CLOSEST_SILICON_A = 2.32
_RESULT = "RESULT "


def diameter_A(atoms: int) -> float:
    """Of a sphere of amorphous silicon: 90 Å for 25,000 atoms."""
    return 90.0 * float(np.cbrt(atoms / 25_000))


def pixels(atoms: int) -> int:
    """Side of the images: the particle and 9.6 Å around it; 312 for 25,000 atoms."""
    side = int(np.ceil((diameter_A(atoms) + 19.2) / PIXEL_A))
    return side + side % 2


def thetas() -> NDArray[np.float64]:
    """The 72 tilts in degrees."""
    first, last, step = TILTS_DEG
    return np.arange(first, last + 0.5 * step, step)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def median_s(work: Callable[[], object], repeats: int) -> float:
    """Median wall time of a call, after one to warm up."""
    work()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def peak_gb() -> float:
    """Largest resident memory of this process so far in GB (1e9 bytes).

    From the kernel's own mark of this program: what ``getrusage`` tells also holds what its parent had.
    """
    status = Path("/proc/self/status")
    if status.exists():
        lines = (line.split() for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return next(int(words[1]) for words in lines) * 1024 / 1e9
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def tell(result: Any) -> None:
    """Hand a result over to the process that asked for it."""
    print(_RESULT + json.dumps(result), flush=True)


def ask(module: str, *words: str, before: tuple[str, ...] = (), limit_s: float = 36_000.0, **environment: str) -> Any:
    """What ``benchmarks.speed.MODULE`` tells in a process of its own; what else it prints goes to stderr.

    Raises
    ------
    RuntimeError
        It ended without a result, or not within the limit.
    """
    folders = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    command = [*before, sys.executable, "-m", f"benchmarks.speed.{module}", *words]
    given = {**os.environ, "PYTHONPATH": os.pathsep.join(folders), **environment}
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=given, timeout=limit_s, check=False)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"{module} {' '.join(words)}: not done after {limit_s:g} s") from None
    found = None
    for line in done.stdout.splitlines():
        if line.startswith(_RESULT):
            found = json.loads(line.removeprefix(_RESULT))
        else:
            print(line, file=sys.stderr)
    if done.returncode != 0 or found is None:
        raise RuntimeError(f"{module} {' '.join(words)}: ended with {done.returncode} and no result")
    return found


def sphere(atoms: int, diameter: float | None = None, seed: int = 0) -> NDArray[np.float64]:
    """Positions (N, 3) in Å, uniform in a sphere: that of silicon, or one of another diameter."""
    rng = np.random.default_rng(seed)
    way = rng.normal(size=(atoms, 3))
    radius = 0.5 * (diameter or diameter_A(atoms)) * np.cbrt(rng.random(atoms))
    return way / np.linalg.norm(way, axis=1)[:, None] * radius[:, None]


def crystallite(atoms: int, seed: int = 0) -> NDArray[np.float64]:
    """Positions (N, 3) in Å of as many atoms in the same sphere, none of them close to another: for whole fits.

    A cubic lattice turned away from the axes, each atom displaced by 0.1 Å.
    """
    spacing = diameter_A(atoms) * float(np.cbrt(np.pi / 6.0 / atoms))
    half = int(np.ceil(0.5 * diameter_A(atoms) / spacing)) + 2
    lattice = np.stack(np.meshgrid(*3 * [np.arange(-half, half + 1.0)], indexing="ij"), -1).reshape(-1, 3)
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    inner = lattice[np.argsort((lattice**2).sum(1), kind="stable")[:atoms]]
    return spacing * inner @ turn + rng.normal(0, 0.1 / np.sqrt(3), (atoms, 3))
