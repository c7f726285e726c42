"""How much memory the window takes while a run goes on:

    xvfb-run -a -s "-screen 0 1600x1200x24 +extension GLX" python -m benchmarks.window memory

A run that calculates nothing hands over snapshots: atoms that move and change in number, calculated tilts, now and
then a probe. Each goes the window's own way: mailbox, layers, plots, bars, histogram, autosave; the views take turns,
so that each is drawn. Resident memory is read after a collection of garbage, every 20 updates. It swings by up to 90 MB
with what is on show (a round of the views takes 100 updates) and with the number of atoms (which swings in 250), so the
figure compares means over 500 updates, which hold whole ones of both: it passes where the mean around the last update
is no more than 20 MB above the one around a quarter of the updates, when caches are full. By default that is between
updates 500 and 2000: the means of 251 to 750 and of 1751 to 2250.

Before that a control: napari without this package draws the same snapshots in layers of the same kinds, with the same
turns. What it grows by is napari's, Qt's and OpenGL's own.
"""

from __future__ import annotations

import argparse
import gc
import math
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
READ_EVERY, TOLD_EVERY = 20, VIEW_EVERY * len(VIEWS)
SWING = 250
BEAT = math.lcm(TOLD_EVERY, SWING)


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument(
        "--updates", type=int, default=2000, help="the update up to which growth is measured (default 2000)"
    )
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
            n = self.atoms + int(
                0.2 * self.atoms * np.sin(2 * np.pi * step / SWING)
            )  # more at times than the layer has room for
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
    """The resident memory, read now and then; means of whole rounds of the views are told as they are complete."""

    def __init__(self) -> None:
        self.found: dict[int, float] = {}

    def at(self, update: int) -> None:
        """An update was drawn."""
        if update % READ_EVERY == 0:
            self.found[update] = resident_MB()
        if update % TOLD_EVERY == 0:
            print(
                f"updates {update - TOLD_EVERY + 1:5d} to {update:5d}: {self.mean(update, TOLD_EVERY):7.1f} MB",
                flush=True,
            )

    def mean(self, last: int, of: int) -> float:
        """Mean over so many updates up to the last one, in MB."""
        return float(np.mean([memory for update, memory in self.found.items() if last - of < update <= last]))

    def growth(self, first: int, last: int) -> float:
        """By how much the mean over a beat around one update is above that around an earlier one, in MB."""
        return self.mean(last + BEAT // 2, BEAT) - self.mean(first + BEAT // 2, BEAT)


def follow(updates: int, atoms: int) -> Readings:
    """Draw ``updates`` snapshots of a run that is longer, in the window.

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
    return readings


def view_moves(bench: Any) -> bool:
    """Whether tilts are looked at: then the slider moves on."""
    return bench.layers.view in ("images", "markers")


def follow_napari(updates: int, atoms: int) -> Readings:
    """Draw ``updates`` snapshots with napari alone, in layers of the kinds that the window has."""
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
    return readings


def measure(options: argparse.Namespace) -> None:
    """Follow a run with napari alone and in the window, and say by how much memory has grown."""
    if options.updates // 4 < BEAT // 2:
        raise SystemExit(
            f"--updates {options.updates} is too short: a mean takes {BEAT} updates; ask for {2 * BEAT} or more"
        )
    if options.only is None:
        # in a process of its own, so that neither finds what the other has left
        size = ["--updates", str(options.updates), "--atoms", str(options.atoms)]
        control = [sys.executable, "-m", "benchmarks.window", "memory", "--only", "control", *size]
        subprocess.run(control, check=True)
    began = time.monotonic()
    if options.only == "control":
        told(options, follow_napari(options.updates + BEAT // 2, options.atoms), began)
        return
    with tempfile.TemporaryDirectory() as folder:
        leftovers.autosave_folder = lambda: Path(folder)
        found = follow(options.updates + BEAT // 2, options.atoms)
    if told(options, found, began) > MOST_MB:
        raise SystemExit(1)


def told(options: argparse.Namespace, found: Readings, began: float) -> float:
    """Print the growth in MB, and return it."""
    first, last = options.updates // 4, options.updates
    growth = found.growth(first, last)
    who, most = ("napari alone", "") if options.only == "control" else ("the window", f" (at most {MOST_MB:g})")
    print(
        f"{who}: {max(found.found)} updates of {options.atoms} atoms in {time.monotonic() - began:.0f} s: "
        f"{growth:+.1f} MB between the means of {BEAT} updates around update {first} and around {last}{most}",
        flush=True,
    )
    return growth
