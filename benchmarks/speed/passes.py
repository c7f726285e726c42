"""One pass: the loss of 72 tilts and all its gradients; beside a peer, and beside its own Fourier transforms.

*Ours* is ``Problem.evaluate`` with every group of parameters, as a fit of learnt orbitals that refines everything
calls it. The *peer* (``benchmarks/speed/peer.py``) is the paper's formulation in plain PyTorch, with gradients by the
same parameters, the batch of tilts that suits it best, and PyTorch's own threads or tilts shared out, whichever is
faster. The *floor* is the Fourier transforms of our pass and nothing else. All have the same canvas, the same tilts and
the same number of cores, and take turns.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from benchmarks.speed.common import (
    ENERGY_EV,
    PIXEL_A,
    SEMIANGLE_MRAD,
    WIDTH_A,
    ask,
    diameter_A,
    median_s,
    peak_gb,
    pixels,
    sphere,
    tell,
    thetas,
)
from benchmarks.speed.peer import Peer

from napari_lot.lot import likelihood
from napari_lot.lot.fitting import row_order
from napari_lot.lot.image_model import ImageModel, Shapes
from napari_lot.lot.problem import Problem, State
from napari_lot.lot.render import compiled, spectra
from napari_lot.lot.torch_threads import one_torch_thread
from napari_lot.physics.geometry import rotations
from napari_lot.physics.orbital import LEARNT_TERMS, orbital
from napari_lot.settings import Microscope

GROUPS = ("positions", "height", "width", "learnt", "shifts", "angles", "scale", "background")
SIZES, QUICK_SIZES = (1_000, 5_000, 25_000, 100_000, 200_000), (25_000,)
LENS = Microscope(energy_eV=ENERGY_EV, semiangle_mrad=SEMIANGLE_MRAD)
BATCHES = (1, 2, 4, 8)
PEER_BYTES = 4e9
"""Memory that a batch of the peer may take, about."""
JUDGED_ATOMS, JUDGED_TILT = 400, 53


def model_of(side: int, depth_A: float, theta_deg: Any, **options: Any) -> ImageModel:
    """The image model of a square field and learnt orbitals."""
    theta = np.atleast_1d(theta_deg)
    angles = np.stack([0 * theta, theta, 0 * theta], 1)
    middle = 0.5 * (side - 1)
    return ImageModel(
        rotations(angles),
        (side, side),
        PIXEL_A,
        (middle, middle),
        LENS,
        (-0.5 * depth_A, 0.5 * depth_A),
        WIDTH_A,
        orbital=orbital("learnt"),
        **options,
    )


def state_of(positions: Any, tilts: int, seed: int = 1) -> State:
    """Atoms of a learnt shape, all alike, seen with small shifts and turns."""
    n = len(positions)
    rng = np.random.default_rng(seed)
    return State(
        positions=positions,
        height=np.ones(n),
        width=np.array([WIDTH_A]),
        species=np.zeros(n, np.int64),
        ids=np.arange(n),
        shifts=rng.normal(0, 0.3, (tilts, 2)),
        scale=np.ones(tilts),
        background=np.full(tilts, 0.05),
        next_id=n,
        angles=rng.normal(0, 1e-3, (tilts, 3)),
        learnt=np.full((1, LEARNT_TERMS), 0.01),
    )


def problem_of(
    atoms: int, side: int | None = None, tilts: int | None = None, diameter: float | None = None
) -> tuple[Problem, State]:
    """A fit that is not at its end: the images are of atoms that lie 0.1 Å away."""
    theta = thetas() if tilts is None else np.linspace(-72.0, 70.0, tilts)
    model = model_of(side or pixels(atoms), (diameter or diameter_A(atoms)) + 4.0, theta)
    places = sphere(atoms, diameter)
    state = state_of(places[row_order(places)], len(theta))
    moved = state.copy()
    moved.positions = state.positions + np.random.default_rng(2).normal(0, 0.1 / np.sqrt(3), state.positions.shape)
    every = np.arange(len(theta))
    empty = np.zeros((len(theta), *model.canvas.image_shape), np.float32)
    observed = Problem(model, empty, None, "lsq").evaluate(moved, every, ()).calculated
    return Problem(model, observed, None, "lsq"), state


def ours_s(problem: Problem, state: State, repeats: int) -> float:
    """Median wall time of one pass over all tilts."""
    return median_s(lambda: our_pass(problem, state), repeats)


def our_pass(problem: Problem, state: State) -> None:
    """One pass over all tilts."""
    with one_torch_thread():  # as in a run
        problem.evaluate(state, np.arange(len(problem)), GROUPS)


@contextmanager
def floor_pass(model: ImageModel, tilts: int) -> Iterator[Callable[[], None]]:
    """The Fourier transforms of one pass, as a function: two channels at once there and back, one image back and there.

    Of each worker's own arrays, made once.
    """
    rows, columns = model.canvas.shape
    own = model.workspace

    def work(_: int) -> None:
        torch.fft.fft2(own.pairs, out=own.transformed)
        torch.fft.irfft2(own.seen, s=(rows, columns))
        torch.fft.rfft2(own.gradient, out=own.seen)
        torch.fft.ifft2(own.transformed, out=own.pairs)

    with ThreadPoolExecutor(model.threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        yield lambda: list(pool.map(work, range(tilts))) and None


class PeerPass:
    """The peer's pass over some of the tilts: in batches, one after the other on PyTorch's own threads, or shared out.

    Shared out, each core has batches of its own and PyTorch one thread in each: other programs then slow it down less.
    """

    def __init__(self, problem: Problem, state: State, peer: Peer, tilts: int) -> None:
        self.problem, self.state, self.peer = problem, state, peer
        self.chosen = np.linspace(0, len(problem) - 1, tilts).astype(int)

    def run(self, batch: int, shared: bool) -> None:
        """One pass."""
        threads, before = self.problem.model.threads, torch.get_num_threads()
        shares = np.array_split(self.chosen, -(-len(self.chosen) // batch))
        if shared:
            with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
                list(pool.map(self._batch, shares))
            return
        torch.set_num_threads(threads)
        try:
            for share in shares:
                self._batch(share)
        finally:
            torch.set_num_threads(before)

    def _batch(self, share: Any) -> None:
        self.peer.loss(self.state, share, self.problem.observed[share], GROUPS)

    def best(self) -> dict[bool, int]:
        """The fastest batch of either way (shared out or not), of those that memory has room for."""
        model = self.problem.model
        rows, columns = model.canvas.shape
        each = 4.0 * (3 * len(self.peer.middles) * rows * columns + 8 * 81 * len(self.state.height))
        times = {}
        for batch in BATCHES:
            for shared in (False, True):
                at_once = batch * (model.threads if shared else 1)
                if batch == 1 or (at_once <= len(self.chosen) and at_once * each <= PEER_BYTES):
                    self.run(batch, shared)
                    # the fastest of two: what else the machine does only adds to it
                    times[batch, shared] = min(_seconds(partial(self.run, batch, shared), 1)[0] for _ in range(2))
        return {way: min((b for b, w in times if w is way), key=lambda b: times[b, way]) for way in (False, True)}


# -- where the time of a pass goes --------------------------------------------------------------------------------


class Stopwatch:
    """Sums of the wall times of calls over all threads, what is called within them taken off."""

    def __init__(self) -> None:
        self.own: dict[str, float] = defaultdict(float)
        self._lock, self._here = threading.Lock(), threading.local()

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, timed."""

        def timed(*given: Any, **named: Any) -> Any:
            stack = self._here.__dict__.setdefault("stack", [])
            stack.append(0.0)
            began = time.perf_counter()
            try:
                return call(*given, **named)
            finally:
                spent = time.perf_counter() - began
                within = stack.pop()
                if stack:
                    stack[-1] += spent
                with self._lock:
                    self.own[name] += spent - within

        return timed


TIMED = (
    (compiled, "_spread", "spread"),
    (compiled, "_gather", "gather"),
    *((torch.fft, name, "FFTs") for name in ("fft2", "ifft2", "rfft2", "irfft2")),
    *((spectra, name, "products") for name in ("combine", "apart", "filtered", "add_product")),
    (likelihood, "tilt", "loss"),
)
PLACES = ("spread", "FFTs", "products", "loss", "gather", "rest")


@contextmanager
def timers() -> Iterator[Stopwatch]:
    """Timers around the functions of a pass, for as long as the block lasts."""
    watch = Stopwatch()
    kept = [(module, name, getattr(module, name)) for module, name, _ in TIMED]
    for module, name, what in TIMED:
        setattr(module, name, watch.around(what, getattr(module, name)))
    try:
        yield watch
    finally:
        for module, name, call in kept:
            setattr(module, name, call)


def shares(problem: Problem, state: State, repeats: int) -> dict[str, float]:
    """Shares of the threads' time that a pass spends where; the rest is autograd and waiting."""
    every, threads = np.arange(len(problem)), problem.model.threads
    with one_torch_thread():
        problem.evaluate(state, every, GROUPS)
        with timers() as watch:
            began = time.perf_counter()
            for _ in range(repeats):
                problem.evaluate(state, every, GROUPS)
            total = threads * (time.perf_counter() - began)
    found = {name: watch.own[name] / total for name in PLACES[:-1]}
    return {name: round(share, 3) for name, share in (found | {"rest": 1.0 - sum(found.values())}).items()}


# -- accuracy -----------------------------------------------------------------------------------------------------


def accuracy(atoms: int = 25_000, judged: int = JUDGED_ATOMS, finer: int = 3) -> dict[str, float]:
    """Largest and rms error of one tilt of some of the atoms, ours and the peer's, relative to its peak.

    The reference is this package's plain model in double precision on a finer grid, its probe exact to 1e-6, without
    compiled code and compact windows' polynomials. Where the rms is counted the reference is above 1e-3 of its peak.
    """
    side, depth = pixels(atoms), diameter_A(atoms) + 4.0
    theta = thetas()[JUDGED_TILT]
    state = state_of(sphere(atoms)[:judged], 1)
    model = model_of(side, depth, theta)
    fine = model_of(side, depth, theta, tolerance=1e-6, oversampling=finer)

    def tensors(name: str) -> torch.Tensor:
        return torch.from_numpy(getattr(state, name))

    one = torch.zeros(judged, dtype=torch.int64)
    shapes = Shapes(one, tensors("width"), tensors("learnt"), common=True)
    turned = Problem(model, np.zeros((1, side, side), np.float32), None, "lsq").rotations(state)
    given = (np.array([0]), tensors("positions"), tensors("height"), tensors("width")[0], tensors("shifts"))
    exact = fine.images(*given, torch.from_numpy(turned), "reference", shapes=shapes)[0].numpy()
    own = model.images(*given, torch.from_numpy(turned), shapes=shapes)[0].numpy()
    index = torch.tensor([0])
    with torch.no_grad():
        leaf = Peer.leaves(state, index)
        peer = (Peer.of(model).images(index, leaf) - leaf["background"].float())[0].numpy()
    return errors("ours", own, exact) | errors("peer", peer, exact)


def errors(name: str, image: Any, exact: Any) -> dict[str, float]:
    """Largest and rms difference relative to the peak of the exact image."""
    peak = float(np.abs(exact).max())
    difference, counted = (image - exact) / peak, np.abs(exact) > 1e-3 * peak
    return {
        f"{name}_largest_error": float(np.abs(difference).max()),
        f"{name}_rms_error": float(np.sqrt((difference[counted] ** 2).mean())),
    }


# -- the part -----------------------------------------------------------------------------------------------------


def one_size(atoms: int, quick: bool) -> dict[str, Any]:
    """Everything of one size, in this process: in turns, so that whatever slows the machine down slows all of them."""
    problem, state = problem_of(atoms)
    model, tilts = problem.model, len(problem)
    few = 8 if quick else 16
    peer = PeerPass(problem, state, Peer.of(model), few)
    batches = peer.best()
    rounds = []
    with floor_pass(model, tilts) as floor:
        for _ in range((4 if quick else 7) + 1):
            ours_now = _seconds(lambda: our_pass(problem, state), tilts)
            floor_now = _seconds(floor, tilts)
            peers_now = []
            for shared, batch in batches.items():
                peers_now.append(_seconds(partial(peer.run, batch, shared), few))
                time.sleep(0.3)  # its threads wait by spinning for a while
            rounds.append((ours_now, floor_now, *peers_now))
    times = np.array(rounds[1:])  # (rounds, ours floor peer-by-threads peer-shared-out, wall CPU)
    by_threads = float(np.median(times[:, 2, 0] / times[:, 0, 0]))
    shared = bool(np.median(times[:, 3, 0]) < np.median(times[:, 2, 0]))
    times[:, 2] = times[:, 3] if shared else times[:, 2]
    ours, fft, other, _ = 1e3 * np.median(times, 0)
    over_fft = np.median(times[:, 0] / times[:, 1], 0)
    ratio = np.median(times[:, 2] / times[:, 0], 0)
    return {
        "atoms": atoms,
        "pixels": model.canvas.image_shape[0],
        "canvas": model.canvas.shape[0],
        "channels": model.rank,
        "tilts": tilts,
        "threads": model.threads,
        "rounds": len(times),
        "ms_per_tilt": round(ours[0], 3),
        "fastest_ms_per_tilt": round(1e3 * times[:, 0, 0].min(), 3),
        "slowest_ms_per_tilt": round(1e3 * times[:, 0, 0].max(), 3),
        "cpu_ms_per_tilt": round(ours[1], 3),
        "fft_ms_per_tilt": round(fft[0], 3),
        "peer_ms_per_tilt": round(other[0], 3),
        "peer_batch": batches[shared],
        "peer_tilts_shared_out": shared,
        "peer_over_ours": round(float(ratio[0]), 2),
        "peer_by_torch_threads_over_ours": round(by_threads, 2),
        "peer_over_ours_cpu": round(float(ratio[1]), 2),
        "ours_over_fft": round(float(over_fft[0]), 3),
        "ours_over_fft_cpu": round(float(over_fft[1]), 3),
        "shares": shares(problem, state, 3),
    }


def _seconds(work: Callable[[], object], tilts: int) -> tuple[float, float]:
    """Wall and CPU time of a call, per tilt."""
    began, worked = time.perf_counter(), time.process_time()
    work()
    return (time.perf_counter() - began) / tilts, (time.process_time() - worked) / tilts


def memory(atoms: int) -> float:
    """Peak memory in GB of a process that makes passes and nothing else."""
    problem, state = problem_of(atoms)
    ours_s(problem, state, 1)
    return round(peak_gb(), 3)


def measure(quick: bool, sizes: tuple[int, ...] | None = None) -> dict[str, Any]:
    """All sizes, each in a process of its own."""
    flags = ["--quick"] if quick else []
    rows = []
    for atoms in sizes or (QUICK_SIZES if quick else SIZES):
        row = ask("passes", "size", str(atoms), *flags)
        rows.append(row | {"peak_gb": ask("passes", "memory", str(atoms))})
        print(rows[-1], flush=True)
    return {"rows": rows, "accuracy": ask("passes", "accuracy")}


def main() -> None:
    """One of the processes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("size", "memory", "accuracy"))
    parser.add_argument("atoms", type=int, nargs="?", default=25_000)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.what == "size":
        tell(one_size(options.atoms, options.quick))
    elif options.what == "memory":
        tell(memory(options.atoms))
    else:
        tell(accuracy(options.atoms))


if __name__ == "__main__":
    main()
