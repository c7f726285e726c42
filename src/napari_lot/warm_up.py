"""Compile what a run needs before it is needed, in a process of its own: nothing waits for it, and numba keeps it.

Without it the first run after an installation stands still where a kernel is met for the first time, and so does the
window, for compilers hold Python's lock.
"""

from __future__ import annotations

import os
import subprocess
import sys
from hashlib import sha256
from importlib import metadata
from pathlib import Path

import platformdirs

from napari_lot import __version__

_THIS = "from napari_lot.warm_up import compile_kernels; compile_kernels()"


def compile_beside() -> subprocess.Popen[bytes] | None:
    """Start a process that compiles every kernel; None where one has ended for this state of the program already."""
    if _mark().exists():
        return None
    quiet = subprocess.DEVNULL
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    try:
        return subprocess.Popen([sys.executable, "-c", _THIS], stdin=quiet, stdout=quiet, stderr=quiet, env=environment)
    except OSError:  # then the first run compiles
        return None


def compile_kernels() -> None:
    """Reconstruct a molecule of six atoms: a run with error bars meets every kernel of orbitals.

    Then as a volume, whose tracing has most of what voxels need; the methods besides SIRT compile in seconds.
    """
    import numpy as np

    from napari_lot.atoms import Orbitals
    from napari_lot.job import Job
    from napari_lot.settings import Microscope, settings_from_dict
    from napari_lot.simulate.images import simulate_series
    from napari_lot.voxel.atoms.tracing import trace
    from napari_lot.voxel.job import VoxelJob
    from napari_lot.voxel.methods import voxel_settings

    if hasattr(os, "nice"):
        os.nice(10)
    positions = 2.8 * np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]]) / np.sqrt(2)
    atoms = Orbitals.create(positions, 1.0, 0.5, 0, ("Pt",))
    lens = {"energy_eV": 3e5, "semiangle_mrad": 25.0}
    series = simulate_series(atoms, np.linspace(-60, 60, 9), 0.4, Microscope(**lens))
    for widths in ("species", "atom"):
        values = {
            "microscope": lens,
            "model": {"elements": ["Pt"]},
            "solver": {"widths": widths, "threads": 1, "device": "cpu"},
        }
        for _ in Job(series, settings_from_dict(values)).run():
            pass
    one = {"iterations": 1, "threads": 1, "device": "cpu"}
    job = VoxelJob(series, voxel_settings("sirt", {"sirt": one}), "sirt")
    for _ in job.run():
        pass
    assert job.result is not None
    trace(job.result.volume, 2.8)
    mark = _mark()
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()


def _mark() -> Path:
    """A file that is there once the kernels of this state of the program are compiled."""
    sources = sorted(p for part in ("lot", "voxel") for p in (Path(__file__).parent / part).rglob("*.py"))
    state = [__version__, metadata.version("numba"), sys.version, *(f"{p} {p.stat().st_mtime_ns}" for p in sources)]
    name = sha256("\n".join(state).encode()).hexdigest()[:16]
    return Path(platformdirs.user_cache_dir("napari-lot", appauthor=False)) / f"compiled-{name}"
