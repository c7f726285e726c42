"""What a user would run otherwise: a voxel reconstruction of the same stack on the CPU, and no atoms yet.

ASTRA's SIRT where it is installed, else ``iradon_sart`` of scikit-image. Both work slice by slice, perpendicular to the
tilt axis: some slices through the middle of the particle are timed, and the time of the whole volume is theirs times
the number of slices, divided by the cores (as if they were shared out without loss; what is timed is on one). Nothing
of the volume is made or looked at: peaks would still have to be found in it, and thick objects are projected as if the
depth of focus were infinite.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from benchmarks.speed.common import ask, cores, tell, thetas

ITERATIONS = 50
SAMPLED, QUICK_SAMPLED = 8, 3


def iteration_of(name: str, sinogram: Any, theta: Any) -> Callable[[], object]:
    """One iteration of one slice, from detector pixels (U, T) and angles in degrees."""
    if name == "ASTRA SIRT":
        import astra

        side = len(sinogram)
        projections = astra.create_proj_geom("parallel", 1.0, side, np.deg2rad(theta))
        projector = astra.create_projector("linear", projections, astra.create_vol_geom(side, side))
        settings = astra.astra_dict("SIRT")
        settings["ProjectorId"] = projector
        settings["ProjectionDataId"] = astra.data2d.create("-sino", projections, np.ascontiguousarray(sinogram.T))
        settings["ReconstructionDataId"] = astra.data2d.create("-vol", astra.create_vol_geom(side, side))
        algorithm = astra.algorithm.create(settings)
        return lambda: astra.algorithm.run(algorithm, 1)
    from skimage.transform import iradon_sart

    image: Any = None

    def work() -> None:
        nonlocal image
        image = iradon_sart(sinogram, theta, image=image, dtype=np.float32)

    return work


def one_size(atoms: int, quick: bool) -> dict[str, Any]:
    """Time of an iteration of the whole volume, from a sample of its slices."""
    from benchmarks.speed.passes import problem_of

    problem, _ = problem_of(atoms)
    stack = problem.observed.numpy()
    problem.model.close()
    rows = stack.shape[1]
    name = "ASTRA SIRT" if importlib.util.find_spec("astra") else "scikit-image SART"
    count = QUICK_SAMPLED if quick else SAMPLED
    times = []
    for row in np.linspace(0.25 * rows, 0.75 * rows, count).astype(int):
        work = iteration_of(name, stack[:, row].T.copy(), thetas())
        work()
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    each = statistics.median(times)
    iteration = each * rows / cores()
    return {
        "atoms": atoms,
        "program": name,
        "slices": rows,
        "sampled": count,
        "slice_s": round(each, 4),
        "iteration_s": round(iteration, 2),
        "iterations": ITERATIONS,
        "volume_s": round(ITERATIONS * iteration, 1),
    }


def measure(quick: bool, sizes: tuple[int, ...] | None = None) -> dict[str, Any]:
    """All sizes, each in a process of its own."""
    flags = ["--quick"] if quick else []
    rows = [ask("sirt", str(atoms), *flags) for atoms in sizes or (25_000,)]
    print(rows, flush=True)
    return {"rows": rows}


def main() -> None:
    """One size."""
    parser = argparse.ArgumentParser()
    parser.add_argument("atoms", type=int)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    tell(one_size(options.atoms, options.quick))


if __name__ == "__main__":
    main()
