"""How much faster processes that share the tilts are, and a model of many of them:

    python -m benchmarks.processes [--atoms 25000] [--tilts 72] [--most 2]

Starts itself under torchrun with 1, 2, ... processes of one thread each on this machine, times passes (loss and all
gradients over all tilts) and the sum of the gradients over processes alone, and writes docs/results-processes.md and
docs/results-processes.json. The model takes the time of a tilt, and what
every process does by itself in a pass, from one process with all tilts and with an eighth of them, and for the sums a
network of ``--network`` Gbit/s with 50 microseconds for each of the 2 (P - 1) messages of a ring. It is of one machine
a process: on one machine they share memory and caches, which the measured rows show and the model does not know.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.accuracy.__main__ import machine

ROOT = Path(__file__).resolve().parent.parent.parent
REPEATS = 3
LATENCY_S = 50e-6
FEWER = 8
MODELLED = (1, 2, 4, 8, 16, 32, 64)
GROUPS = ("positions", "height", "width", "learnt", "shifts", "angles", "scale", "background")


def measure(atoms: int, tilts: int) -> dict[str, float]:
    """Median seconds of a pass and of the sums alone, in this process; all take part."""
    from napari_lot.lot.distributed import here
    from napari_lot.lot.image_model import ImageModel
    from napari_lot.lot.problem import Problem, State
    from napari_lot.physics.geometry import rotations
    from napari_lot.physics.orbital import orbital
    from napari_lot.settings import Microscope

    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    radius = 45.0 * (atoms / 25_000) ** (1 / 3)
    places = rng.normal(size=(atoms, 3))
    places *= (radius * rng.random(atoms) ** (1 / 3) / np.linalg.norm(places, axis=1))[:, None]
    size = int(2.0 * (radius + 9.6) / 0.35)
    lens = Microscope(energy_eV=3e5, semiangle_mrad=25.0)
    turns = rotations(np.column_stack([np.zeros(tilts), np.linspace(-72, 70, tilts), np.zeros(tilts)]))
    middle = (0.5 * (size - 1), 0.5 * (size - 1))
    model = ImageModel(
        turns, (size, size), 0.35, middle, lens, (-radius - 2, radius + 2), 0.5,
        threads=1, orbital=orbital("learnt"), ranks=here(),
    )  # fmt: skip
    problem = Problem(model, np.zeros((tilts, size, size), np.float32), None, "lsq")
    state = State(
        positions=places[np.lexsort((places[:, 0], np.floor(places[:, 1] / 2.0)))],
        height=np.ones(atoms),
        width=np.array([0.5]),
        species=np.zeros(atoms, np.int64),
        ids=np.arange(atoms),
        shifts=np.zeros((tilts, 2)),
        scale=np.ones(tilts),
        background=np.zeros(tilts),
        learnt=np.zeros((1, model.orbital.terms)),
    )
    every = np.arange(tilts)
    found = problem.evaluate(state, every, GROUPS)
    parts = list(found.gradients.values())

    def median(work: Any) -> float:
        taken = []
        for _ in range(REPEATS):
            model.ranks.agree(0.0)  # begin together
            began = time.perf_counter()
            work()
            taken.append(time.perf_counter() - began)
        return float(np.median(taken))

    few = every[::FEWER]
    return {
        "pass_s": median(lambda: problem.evaluate(state, every, GROUPS)),
        "few_s": median(lambda: problem.evaluate(state, few, GROUPS)),
        "few": float(len(few)),
        "sums_s": median(lambda: model.ranks.total(parts)),
        "numbers": float(sum(part.size for part in parts)),
    }


def alone_s(one: dict[str, float], tilts: int) -> tuple[float, float]:
    """Seconds of a tilt, and of what every process does by itself in a pass, from passes of all tilts and of few."""
    each = (one["pass_s"] - one["few_s"]) / (tilts - one["few"])
    return each, max(0.0, one["pass_s"] - each * tilts)


def modelled(one: dict[str, float], tilts: int, numbers: float, network_gbit_s: float) -> list[dict[str, float]]:
    """Seconds of a pass and efficiency for P processes of one node each, from the passes of one.

    Tilts are whole: the process with most of them decides. A ring sends 2 (P - 1) / P of the numbers (8 bytes each).
    """
    rows = []
    each, by_itself = alone_s(one, tilts)
    pass_s = one["pass_s"]
    for processes in MODELLED:
        own = -(-tilts // processes)
        sent = 2 * (processes - 1) / processes * 8 * numbers / (network_gbit_s * 1e9 / 8)
        seconds = by_itself + each * own + sent + 2 * (processes - 1) * LATENCY_S
        rows.append({"processes": processes, "pass_s": seconds, "efficiency": pass_s / (processes * seconds)})
    return rows


def page(found: dict[str, Any]) -> str:
    """The page of the documentation."""
    one = found["measured"][0]["pass_s"]
    each, by_itself = alone_s(found["measured"][0], found["tilts"])
    lines = [
        "# Many processes",
        "",
        f"One pass (loss and all gradients) of {found['atoms']:,} atoms over {found['tilts']} tilts, one thread each.",
        f"{found['machine']}.",
        "",
        "| processes | pass / s | of that the sums / ms | speed-up | efficiency |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in found["measured"]:
        gain = one / row["pass_s"]
        lines.append(
            f"| {row['processes']} | {row['pass_s']:.3f} | {1e3 * row['sums_s']:.1f} | {gain:.2f} | "
            f"{gain / row['processes']:.2f} |"
        )
    lines += [
        "",
        "Processes of one machine share its memory and caches. There take threads instead (`--threads`): what is not "
        "part of a pass is then done once, not by every process.",
        "",
        f"Modelled for **a machine each**, from passes of one process over all tilts and over an eighth of them "
        f"({1e3 * each:.1f} ms a tilt, {1e3 * by_itself:.0f} ms of what every process does by itself), "
        f"{found['numbers']:.0f} numbers summed by a ring over {found['network_gbit_s']:g} Gbit/s with 50 µs a "
        "message. More than one machine has **not been measured**; its row of two is no forecast of that above:",
        "",
        "| processes | pass / s | efficiency |",
        "| --- | --- | --- |",
        *(f"| {r['processes']} | {r['pass_s']:.3f} | {r['efficiency']:.2f} |" for r in found["modelled"]),
        "",
        "Tilts are whole: 72 of them over 64 processes keep most of these waiting for the 8 that have two. What every",
        "process does by itself (population decisions, the optimiser's own arithmetic) is not part of a pass, and",
        "mini-batches of a grid that condenses have `solver.batch_tilts` tilts: it can use that many processes.",
        "",
        "Make this page again: `python -m benchmarks.processes`.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure with one process, two, ...; model more; write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--atoms", type=int, default=25_000)
    parser.add_argument("--tilts", type=int, default=72)
    parser.add_argument("--most", type=int, default=2, help="processes at most (default 2)")
    parser.add_argument("--network", type=float, default=10.0, help="Gbit/s of the model (default 10)")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs")
    options = parser.parse_args()
    if "RANK" in os.environ:
        from napari_lot.lot.distributed import joined

        with joined():
            found = measure(options.atoms, options.tilts)
        if os.environ["RANK"] == "0":
            print(json.dumps(found))
        return
    measured = []
    size = ["--atoms", str(options.atoms), "--tilts", str(options.tilts)]
    for processes in range(1, options.most + 1):
        start = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        asked = [sys.executable, *start, "-m", "benchmarks.processes", *size]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(asked, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        measured.append({"processes": processes, **json.loads(done.stdout.splitlines()[-1])})
        print(measured[-1], flush=True)
    numbers = measured[0]["numbers"]
    found = {
        "machine": machine(),
        "atoms": options.atoms,
        "tilts": options.tilts,
        "numbers": numbers,
        "network_gbit_s": options.network,
        "measured": measured,
        "modelled": modelled(measured[0], options.tilts, numbers, options.network),
    }
    text = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
    (options.docs / "results-processes.json").write_text(text, encoding="utf-8")
    (options.docs / "results-processes.md").write_text(page(found), encoding="utf-8")


if __name__ == "__main__":
    main()
