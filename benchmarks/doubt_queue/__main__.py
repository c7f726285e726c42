"""How long a decision of the doubt queue takes, from the root of the repository:

    python -m benchmarks.doubt_queue [--atoms 25000] [--tilts 72] [--decisions 12] [--threads 2] [--window]

Simulates an amorphous particle by the fast image model, with the noise of a dose, and takes its true atoms, slightly
disturbed, as the result of a run: there is no reconstruction. Then atoms chosen by chance are deleted, put back beside
their place and moved. Each time is that from the key to the new result: refit, error bars, calculated and residual
images. ``--window`` (needs a display) decides in the window instead, and measures what the thread of the window does.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np

from napari_lot.analysis.doubts_queue import rank
from napari_lot.atoms import Orbitals
from napari_lot.job import Job, Result
from napari_lot.lot.local import LocalFit
from napari_lot.physics.probe import probe_slices
from napari_lot.series.tilt_series import TiltSeries
from napari_lot.settings import settings_from_dict
from napari_lot.simulate.images import simulate_series, with_cross_section
from napari_lot.simulate.particles import amorphous_sphere

SPACING_A, WIDTH_A, CROSS_SECTION_A2 = 2.4, 0.6, 0.15
PIXELS, DOSE = 312, 2e4
VOLUME_A3 = 18.5
"""Of an atom."""
DISTURBED_A = 0.02
LENS = {"energy_eV": 300e3, "semiangle_mrad": 25.0, "source_size_A": 0.7}


def simulated(atoms: int, tilts: int, threads: int) -> tuple[TiltSeries, Result]:
    """A series, and its true atoms slightly disturbed as the result of a run."""
    diameter = 2.0 * (3.0 * atoms * VOLUME_A3 / (4.0 * np.pi)) ** (1 / 3)
    particle = amorphous_sphere("Pt", diameter, SPACING_A, atoms=atoms, width_A=WIDTH_A)
    truth = with_cross_section(particle, CROSS_SECTION_A2)
    pixel = (diameter + 8.0) / PIXELS
    settings = settings_from_dict(
        {"microscope": LENS, "model": {"elements": ["Pt"], "spacing_A": SPACING_A}, "solver": {"threads": threads}}
    )
    angles = np.linspace(-70.0, 70.0, tilts)
    shape = (PIXELS, PIXELS)
    pixel = round(pixel, 4)
    clean = simulate_series(truth, angles, pixel, settings.microscope, image_shape=shape, threads=threads)
    per_pixel = DOSE * pixel**2
    rng = np.random.default_rng(0)
    counts = rng.poisson(np.maximum(clean.images, 0.0) * per_pixel).astype(np.float32)
    series = clean.with_changes(images=counts, counts=True)
    positions = truth.positions + rng.normal(0.0, DISTURBED_A, truth.positions.shape)
    height = truth.height * per_pixel
    found = Orbitals.create(positions, height, WIDTH_A, elements=("Pt",))
    calculated = simulate_series(
        Orbitals.create(positions, truth.height, WIDTH_A, elements=("Pt",)),
        angles,
        pixel,
        settings.microscope,
        image_shape=shape,
        threads=threads,
    ).images * np.float32(per_pixel)
    n = len(found)
    depth = np.linspace(-50.0, 50.0, 3)
    Job(series, settings)  # says at once where they do not go together
    result = Result(
        orbitals=found,
        r_factor=np.full(tilts, np.nan),
        calculated=calculated,
        residual=counts - calculated,
        center_px=((PIXELS - 1) / 2, (PIXELS - 1) / 2),
        shifts_px=np.zeros((tilts, 2)),
        scale=np.ones(tilts),
        background=np.zeros(tilts),
        probe=probe_slices(settings.microscope, depth, 64, 0.2),
        tilts_seen=np.full(n, tilts),
        wall_seconds={},
        stop_reason="converged",
        message="",
        settings=settings,
        sigma_A=np.full((n, 3), DISTURBED_A),
        p_exists=np.full(n, 0.99),
        p_element=np.ones(n),
    )
    return series, result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--atoms", type=int, default=25_000)
    parser.add_argument("--tilts", type=int, default=72)
    parser.add_argument("--decisions", type=int, default=12, help="atoms that are deleted, put back and moved")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--window", action="store_true", help="measure the thread of the window instead")
    options = parser.parse_args()
    began = time.perf_counter()
    series, result = simulated(options.atoms, options.tilts, options.threads)
    print(
        f"{len(result.orbitals)} atoms, {options.tilts} tilts of {PIXELS} x {PIXELS} pixels, {options.threads} threads"
    )
    print(f"simulated in {time.perf_counter() - began:.1f} s", flush=True)
    if options.window:
        from benchmarks.doubt_queue.window import measure

        measure(series, result, SPACING_A, options.decisions)
        return 0
    began = time.perf_counter()
    fit = LocalFit(series, result, options.threads)
    print(f"built in {time.perf_counter() - began:.1f} s, {fit.channels} channels of depth", flush=True)
    began = time.perf_counter()
    misfit = fit.misfit()
    seen = time.perf_counter() - began
    queue = rank(result, fit.spacing_A, misfit)
    print(
        f"ranked {len(queue)} atoms in {time.perf_counter() - began:.2f} s, {seen:.2f} s of it the residuals",
        flush=True,
    )
    rng = np.random.default_rng(1)
    chosen = [int(i) for i in rng.choice(result.orbitals.id, options.decisions, replace=False)]
    seconds: dict[str, list[float]] = {"delete": [], "add": [], "move": []}

    def timed(what: str, atom: int, *place: np.ndarray) -> None:
        began = time.perf_counter()
        change = fit.add(*place) if what == "add" else getattr(fit, what)(atom, *place)
        fit.apply(change)
        changed = fit.changed_result()
        rank(changed, fit.spacing_A, np.resize(misfit, len(changed.orbitals)))
        seconds[what].append(time.perf_counter() - began)

    timed("delete", int(result.orbitals.id[0]))  # compiles
    fit.undo()
    seconds["delete"].clear()
    for atom in chosen:
        where = fit.position(atom)
        timed("delete", atom)
        timed("add", atom, where + 0.2)
        new = fit.done[-1].change.atom
        timed("move", new, fit.position(new) + np.array([0.15, -0.1, 0.1]))
    for what, times in seconds.items():
        print(f"{what}: median {np.median(times):.2f} s, worst {max(times):.2f} s")
    every = np.concatenate([np.array(times) for times in seconds.values()])
    print(f"all: median {np.median(every):.2f} s, worst {every.max():.2f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
