"""How much memory the window takes while a run goes on:

    xvfb-run -a -s "-screen 0 1600x1200x24 +extension GLX" python -m benchmarks.window memory [--updates 2000]

A run that calculates nothing hands over snapshots: atoms that move and change in number, calculated tilts, now and
then a probe. Each goes the window's own way: mailbox, layers, plots, bars, histogram, autosave; the views take turns,
so that each is drawn. Resident memory is read after a collection of garbage. It passes where memory grows by no more
than 20 MB between a quarter of the updates, when caches are full, and the last.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import napari
import numpy as np
import psutil
from qtpy.QtWidgets import QApplication

from napari_lot.atoms import Orbitals
from napari_lot.job import Control, ProbeSlices, Result, Snapshot
from napari_lot.series import TiltSeries
from napari_lot.session import leftovers
from napari_lot.settings import Settings

MOST_MB = 20.0
VIEW_EVERY = 25
TILTS_EACH = 6
PROBE_EVERY = 50
WAIT_S = 30.0


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--updates", type=int, default=2000, help="how many snapshots are drawn (default 2000)")
    parser.add_argument("--atoms", type=int, default=3000, help="how many atoms each has, about (default 3000)")


class Feeder:
    """A job that hands over a snapshot as soon as the one before it is drawn."""

    def __init__(self, series: TiltSeries, settings: Settings, updates: int, atoms: int) -> None:
        self.series, self.settings = series, settings
        self.updates, self.atoms = updates, atoms
        self.drawn = 0
        self.result: Result | None = None
        self.stop_reason: str | None = None

    def run(self, control: Control | None = None) -> Iterator[Snapshot]:
        """Snapshots until there have been enough of them or somebody stops it."""
        rng = np.random.default_rng(0)
        images = self.series.images
        t = len(images)
        positions = rng.uniform(-12.0, 12.0, (int(1.2 * self.atoms), 3))
        began = time.monotonic()
        for step in range(1, self.updates + 1):
            n = self.atoms + int(0.2 * self.atoms * np.sin(step / 40))  # more at times than the layer has room for
            moved = positions[:n] + 0.1 * rng.normal(size=(n, 3))
            tilts = np.arange(step * TILTS_EACH, (step + 1) * TILTS_EACH) % t
            slices = rng.random((21, 64, 64), np.float32) if step % PROBE_EVERY == 1 else None
            yield Snapshot(
                stage="refine",
                step=step,
                steps_total=self.updates,
                orbitals=Orbitals.create(moved, rng.normal(1.0, 0.1, n), 0.5, elements=self.settings.model.elements),
                loss=1.0 / step,
                r_factor=0.1 + 0.02 * rng.random(t),
                tilts=tilts,
                calculated=images[tilts] * np.float32(rng.uniform(0.9, 1.0)),
                probe=None if slices is None else ProbeSlices(slices, np.linspace(-15.0, 15.0, 21), 0.25),
                elapsed_s=time.monotonic() - began,
                message="",
            )
            while self.drawn < step:
                if control is not None and control.stop_request:
                    self.stop_reason = "cancelled"
                    return
                time.sleep(0.0005)
        self.stop_reason = "cancelled"


def resident_MB() -> float:
    """Memory that the process has now, without what only waits to be collected."""
    gc.collect()
    return float(psutil.Process().memory_info().rss) / 1e6


def follow(updates: int, atoms: int, quiet: bool = False) -> dict[int, float]:
    """Draw ``updates`` snapshots; resident memory in MB by the number of updates drawn.

    Raises
    ------
    RuntimeError
        The window reported a failure, or took longer than half a minute over one update.
    """
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1280, 800)
    _, bench = viewer.window.add_plugin_dock_widget("napari-lot", "Workbench")
    failures: list[str] = []
    bench.state.failed.connect(failures.append)
    bench.data.source.sample.click()
    end = time.monotonic() + WAIT_S
    while not bench.run.start_button.isEnabled() and time.monotonic() < end:
        QApplication.processEvents()
    jobs: list[Feeder] = []

    def make(series: TiltSeries, settings: Settings) -> Feeder:
        jobs.append(Feeder(series, settings, updates, atoms))
        return jobs[-1]

    bench.run.make_job = make
    bench.run._timer.setInterval(1)
    bench.run.updates.setCurrentIndex(0)
    draw = bench.run.on_snapshot

    def drawn(snapshot: Snapshot) -> None:
        draw(snapshot)
        jobs[-1].drawn = snapshot.step

    bench.run.on_snapshot = drawn
    bench.run.start_button.click()
    views = ("images", "markers", "atoms", "probe")
    measured: dict[int, float] = {}
    every = max(updates // 8, 1)
    seen, since, turned = 0, time.monotonic(), 0
    while bench.state.running and not failures:
        QApplication.processEvents()
        now = jobs[-1].drawn if jobs else 0
        if now == seen:
            if time.monotonic() - since > WAIT_S:
                raise RuntimeError(f"update {now + 1} was not drawn within {WAIT_S:g} s")
            continue
        seen, since = now, time.monotonic()
        if now // VIEW_EVERY > turned:
            turned = now // VIEW_EVERY
            view = views[turned % len(views)]
            if bench.layers.available(view) is None:
                bench.layers.look_at(view)
        if view_moves(bench):
            bench.layers.go_to_tilt(now % len(bench.state.series))
        if now % every == 0:
            measured[now] = resident_MB()
            if not quiet:
                print(f"update {now:5d}: {measured[now]:7.1f} MB", flush=True)
    if failures or seen < updates:
        raise RuntimeError(failures[0] if failures else f"only {seen} of {updates} updates were drawn")
    viewer.close()
    return measured


def view_moves(bench: Any) -> bool:
    """Whether tilts are looked at: then the slider moves on."""
    return bench.layers.view in ("images", "markers")


def measure(options: argparse.Namespace) -> None:
    """Follow a run, and say by how much memory has grown."""
    with tempfile.TemporaryDirectory() as folder:
        leftovers.autosave_folder = lambda: Path(folder)
        began = time.monotonic()
        found = follow(options.updates, options.atoms)
    first = min((n for n in found if n >= options.updates / 4), default=max(found))
    last = max(found)
    growth = found[last] - found[first]
    print(
        f"{last} updates of {options.atoms} atoms in {time.monotonic() - began:.0f} s: "
        f"{growth:+.1f} MB between updates {first} and {last} (at most {MOST_MB:g})"
    )
    if growth > MOST_MB:
        raise SystemExit(1)
