"""How much memory the window takes while a run goes on:

    xvfb-run -a -s "-screen 0 1600x1200x24 +extension GLX" python -m benchmarks.window memory

A run that calculates nothing hands over snapshots: atoms that move and change in number, calculated tilts, now and
then a probe. Each goes the window's own way: mailbox, layers, plots, bars, histogram, autosave; the views take turns,
so that each is drawn. Resident memory is read after a collection of garbage, every 20 updates, and each figure is the
mean over one round of the views: within a round it swings by 25 to 90 MB. It passes where memory grows by no more than
20 MB between a quarter of the updates, when caches are full, and the last: with what it does by default, between
updates 500 and 2000.

Before that a control: napari without this package draws the same snapshots in layers of the same kinds, with the same
turns. What it grows by is napari's, Qt's and OpenGL's own.
"""

from __future__ import annotations

import argparse
import gc
import subprocess
import sys
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
from napari_lot.series.sample import load_sample
from napari_lot.session import leftovers
from napari_lot.settings import Settings

MOST_MB = 20.0
VIEW_EVERY = 25
VIEWS = ("images", "markers", "atoms", "probe")
TILTS_EACH = 6
PROBE_EVERY = 50
WAIT_S = 30.0
READ_EVERY, ROUND = 20, VIEW_EVERY * len(VIEWS)


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--updates", type=int, default=2000, help="how many snapshots, in hundreds (default 2000)")
    parser.add_argument("--atoms", type=int, default=3000, help="how many atoms each has, about (default 3000)")
    parser.add_argument(
        "--only", choices=("window", "control"), help="measure only the window or only napari without this package"
    )


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
        for snapshot in self.snapshots():
            yield snapshot
            while self.drawn < snapshot.step:
                if control is not None and control.stop_request:
                    self.stop_reason = "cancelled"
                    return
                time.sleep(0.0005)
        self.stop_reason = "cancelled"

    def snapshots(self) -> Iterator[Snapshot]:
        """All of them, one after the other."""
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


def resident_MB() -> float:
    """Memory that the process has now, without what only waits to be collected."""
    gc.collect()
    return float(psutil.Process().memory_info().rss) / 1e6


class Readings:
    """Means of the resident memory over whole rounds of the views, told as they are complete."""

    def __init__(self) -> None:
        self.means: dict[int, float] = {}
        self._round: list[float] = []

    def at(self, update: int) -> None:
        """An update was drawn."""
        if update % READ_EVERY == 0:
            self._round.append(resident_MB())
        if update % ROUND == 0:
            self.means[update] = float(np.mean(self._round))
            print(f"updates {update - ROUND + 1:5d} to {update:5d}: {self.means[update]:7.1f} MB", flush=True)
            self._round = []


def follow(updates: int, atoms: int) -> dict[int, float]:
    """Draw ``updates`` snapshots of a run that is longer; mean resident memory in MB of each round of the views.

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
        # at the last reading the run is still going on: what comes with its end is not an update's
        jobs.append(Feeder(series, settings, 2 * updates, atoms))
        return jobs[-1]

    bench.run.make_job = make
    bench.run._timer.setInterval(1)
    bench.run.updates.setCurrentIndex(0)
    bench.run.share.most = 1.0
    draw = bench.run.on_snapshot

    def drawn(snapshot: Snapshot) -> None:
        draw(snapshot)
        jobs[-1].drawn = snapshot.step

    bench.run.on_snapshot = drawn
    bench.run.start_button.click()
    readings = Readings()
    seen, since, turned = 0, time.monotonic(), 0
    while seen < updates and bench.state.running and not failures:
        QApplication.processEvents()
        now = jobs[-1].drawn if jobs else 0
        if now == seen:
            if time.monotonic() - since > WAIT_S:
                raise RuntimeError(f"update {now + 1} was not drawn within {WAIT_S:g} s")
            continue
        seen, since = now, time.monotonic()
        if now // VIEW_EVERY > turned:
            turned = now // VIEW_EVERY
            view = VIEWS[turned % len(VIEWS)]
            if bench.layers.available(view) is None:
                bench.layers.look_at(view)
        if view_moves(bench):
            bench.layers.go_to_tilt(now % len(bench.state.series))
        readings.at(now)
    if failures or seen < updates:
        raise RuntimeError(failures[0] if failures else f"only {seen} of {updates} updates were drawn")
    viewer.close()
    return readings.means


def view_moves(bench: Any) -> bool:
    """Whether tilts are looked at: then the slider moves on."""
    return bench.layers.view in ("images", "markers")


def follow_napari(updates: int, atoms: int) -> dict[int, float]:
    """Draw ``updates`` snapshots with napari alone, in layers of the kinds that the window has; memory as there."""
    from napari_lot.gui.canvas.points import ROOM

    series = load_sample()
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1280, 800)
    t, images = len(series), series.images
    stacks = {name: viewer.add_image(images[:, None].copy(), name=name) for name in ("measured", "calculated", "rest")}
    room = int(ROOM * 1.2 * atoms)
    points = {name: viewer.add_points(np.zeros((room, 3)), name=name, size=2.0) for name in ("atoms", "markers")}
    probe = viewer.add_image(np.zeros((21, 64, 64), np.float32), name="probe", contrast_limits=(0, 1))
    shown = {"images": list(stacks), "markers": ["measured", "markers"], "atoms": ["atoms"], "probe": ["probe"]}
    viewer.canvas.grid.shape = (1, -1)
    readings = Readings()
    view = VIEWS[0]

    def look() -> None:
        if view != "images":
            viewer.canvas.grid.enabled = False
        for layer in viewer.layers:
            layer.visible = layer.name in shown[view]
        viewer.canvas.grid.enabled = view == "images"
        viewer.dims.ndisplay = 3 if view == "atoms" else 2

    look()
    for snapshot in Feeder(series, Settings(), updates, atoms).snapshots():
        n = len(snapshot.orbitals)
        for name in ("atoms", *(("markers",) if view == "markers" else ())):
            layer = points[name]
            layer.data[:] = snapshot.orbitals.positions[np.arange(room) % n, ::-1]
            with layer.events.blocker_all():
                layer.face_color = np.tile(snapshot.orbitals.height[np.arange(room) % n, None], (1, 4)).clip(0, 1)
            layer.refresh()
        stacks["calculated"].data[snapshot.tilts, 0] = snapshot.calculated
        stacks["rest"].data[snapshot.tilts, 0] = images[snapshot.tilts] - snapshot.calculated
        for name in ("calculated", "rest"):
            stacks[name].refresh()
        if snapshot.probe is not None:
            probe.data[:] = snapshot.probe.images
            probe.refresh()
        QApplication.processEvents()
        now = snapshot.step
        if now % VIEW_EVERY == 0:
            view = VIEWS[now // VIEW_EVERY % len(VIEWS)]
            look()
        if view in ("images", "markers"):
            viewer.dims.set_point(0, now % t)
        QApplication.processEvents()
        readings.at(now)
    viewer.close()
    return readings.means


def measure(options: argparse.Namespace) -> None:
    """Follow a run with napari alone and in the window, and say by how much memory has grown."""
    if options.only is None:
        # in a process of its own, so that neither finds what the other has left
        size = ["--updates", str(options.updates), "--atoms", str(options.atoms)]
        control = [sys.executable, "-m", "benchmarks.window", "memory", "--only", "control", *size]
        subprocess.run(control, check=True)
    began = time.monotonic()
    if options.only == "control":
        told(options, follow_napari(options.updates, options.atoms), began)
        return
    with tempfile.TemporaryDirectory() as folder:
        leftovers.autosave_folder = lambda: Path(folder)
        found = follow(options.updates, options.atoms)
    if told(options, found, began) > MOST_MB:
        raise SystemExit(1)


def told(options: argparse.Namespace, found: dict[int, float], began: float) -> float:
    """Print the growth in MB, and return it."""
    first = min((n for n in found if n >= options.updates / 4), default=max(found))
    last = max(found)
    growth = found[last] - found[first]
    who, most = ("napari alone", "") if options.only == "control" else ("the window", f" (at most {MOST_MB:g})")
    print(
        f"{who}: {last} updates of {options.atoms} atoms in {time.monotonic() - began:.0f} s: "
        f"{growth:+.1f} MB between the rounds up to update {first} and up to {last}{most}",
        flush=True,
    )
    return growth
