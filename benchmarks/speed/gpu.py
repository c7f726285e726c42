"""A graphics card: does it calculate what the processor does, and how fast is it; one sentence where there is none.

*Agreement* is the largest relative difference of a loss and of its gradients from those of the compiled road. *Pass* is
the loss of 72 tilts and all its gradients, as in ``passes``. *From the grid* is a whole run with its defaults, as in
``runs``, of 25,790 atoms (the size of the paper's M0) and of 200,000. *Profile* is what the device itself was busy with
in a pass.

    python -m benchmarks.speed gpu [--quick] [--sizes N ...]

``--quick`` leaves out the whole runs.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from benchmarks.speed.common import ROOT, ask, diameter_A, median_s, pixels, tell, thetas
from benchmarks.speed.passes import GROUPS, model_of, problem_of
from benchmarks.speed.runs import one_size as whole_run

from napari_lot.lot.device.choose import chosen
from napari_lot.lot.device.memory import Device
from napari_lot.lot.problem import Problem

SIZES = (25_790, 200_000)
NO_GPU = "There is no graphics card that PyTorch can use here, so that nothing was measured of one."
REPEATS = 5
GROUPS_OF_KERNELS = {
    "fft": ("fft",),
    "spread": ("_spread", "index_add", "indexFunc", "scatter"),
    "gather": ("_gather", "index_select", "indexSelect", "gather"),
    "copies": ("memcpy", "memset", "copy_"),
}
"""Parts of a profile, by what the names of its kernels have in them; the rest is element by element."""


def measure(quick: bool, sizes: tuple[int, ...] = SIZES) -> dict[str, Any]:
    """Everything, each size in a process of its own."""
    if chosen("auto") is None:
        print(NO_GPU, flush=True)
        return {"rows": [], "said": NO_GPU}
    return {"rows": [ask("gpu", str(atoms), *(["--quick"] if quick else [])) for atoms in sizes]}


def one_size(atoms: int, quick: bool) -> dict[str, Any]:
    """Agreement, time and profile of a pass; without ``quick`` a whole run as well."""
    device = chosen("auto")
    assert device is not None
    problem, state = problem_of(atoms)
    tilts = np.arange(len(problem))
    own = on_device(problem, device, atoms)
    off = disagreement(problem, own, state, GROUPS)
    seconds = median_s(lambda: own.evaluate(state, tilts, GROUPS), REPEATS)
    found: dict[str, Any] = {
        "atoms": atoms,
        "device": device.words,
        "triton": device.triton,
        "torch": torch.__version__,
        "agreement": off,
        "pass_s": seconds,
        "ms_per_tilt": 1e3 * seconds / len(tilts),
        "profile": profile(lambda: own.evaluate(state, tilts, GROUPS), device),
        "peak_device_gb": peak_device_gb(device),
        "messages": device.messages,
    }
    if not quick:
        found["run"] = whole_run(atoms, ROOT / "build" / "speed")
    return found


def on_device(problem: Problem, device: Device, atoms: int) -> Problem:
    """The same problem, calculated there."""
    model = model_of(pixels(atoms), diameter_A(atoms) + 4.0, thetas(), device=device)
    return Problem(model, problem.observed.numpy(), None, problem.kind)


def disagreement(problem: Problem, own: Problem, state: Any, groups: tuple[str, ...]) -> dict[str, float]:
    """Largest relative difference of the loss, the calculated images and each gradient, of a few tilts."""
    tilts = np.linspace(0, len(problem) - 1, 5).astype(np.int64)
    # where the background fits, its gradient is the rounding of numbers that cancel
    state = replace(state, background=state.background + 0.02)
    one, other = (each.evaluate(state, tilts, groups) for each in (own, problem))
    off = {"loss": abs(one.loss - other.loss) / abs(other.loss)}
    pairs = {"images": (one.calculated, other.calculated)}
    pairs |= {name: (one.gradients[name], other.gradients[name]) for name in groups}
    return off | {name: float(np.linalg.norm(a - b) / np.linalg.norm(b)) for name, (a, b) in pairs.items()}


def profile(work: Any, device: Device) -> dict[str, float]:
    """Milliseconds that the device was busy with each part of a call."""
    from torch.autograd import DeviceType
    from torch.profiler import ProfilerActivity, profile

    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.name == "cuda" else [])]
    with profile(activities=kinds) as seen:
        work()
    spent = dict.fromkeys([*GROUPS_OF_KERNELS, "others"], 0.0)
    for event in seen.key_averages():
        if device.name == "cuda" and event.device_type != DeviceType.CUDA:
            continue  # the operation that started a kernel is told that kernel's time once more
        busy = event.self_device_time_total if device.name == "cuda" else event.self_cpu_time_total
        names = (part for part, words in GROUPS_OF_KERNELS.items() if any(word in event.key for word in words))
        spent[next(names, "others")] += 1e-3 * busy
    return {part: round(ms, 3) for part, ms in spent.items()}


def peak_device_gb(device: Device) -> float | None:
    """Most memory of the device that PyTorch has held, in GB (1e9 bytes); None where it does not tell."""
    return torch.cuda.max_memory_reserved(device.torch) / 1e9 if device.name == "cuda" else None


def main() -> None:
    """One size, in a process of its own."""
    parser = argparse.ArgumentParser()
    parser.add_argument("atoms", type=int)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    tell(one_size(options.atoms, options.quick))


if __name__ == "__main__":
    main()
