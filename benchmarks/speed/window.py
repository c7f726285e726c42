"""The window while a fit goes on: what an update costs it, and how long it answers to nobody.

A fit of so many atoms, from atoms that lie 0.3 Å off, runs in the workbench, in its 3-D view. Of each update:

- *own ms*: CPU time of the window's thread in this package's Python within its slot (``RunPanel._poll``), less all
  that napari and vispy do when called from there: see ``benchmarks/speed/profile.py``. Drawing comes later, in the
  event loop, and is napari's. The figure is the mean over updates.
- *gap*: a timer of 1 ms ticks in the event loop; a gap is the time between two ticks, by the clock. Told are the
  longest of all, and the median over updates of the longest of each.

Bare napari then does the same, in the same process: a script without the workbench draws each snapshot of the same fit
in a Points layer (as many as the workbench shows) and two Image layers of the same size, written in place and drawn
once, which is the quickest way that napari has. ``gap_ratio_to_bare_napari`` is the longest gap of the workbench over
that of bare napari. A third time the snapshots kept from before are drawn while nothing is fitted: what an idle
computer would show (in full only).

Without a window: what publishing snapshots costs the fit, as the share of its time that goes into making them and
putting them into the mailbox; and the time for the same steps with and without.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.speed.common import (
    ENERGY_EV,
    PIXEL_A,
    ROOT,
    SEMIANGLE_MRAD,
    WIDTH_A,
    ask,
    crystallite,
    pixels,
    tell,
    thetas,
)
from benchmarks.speed.profile import OwnTime

SIZES, QUICK_SIZES = (25_000, 200_000), (25_000,)
WARM, UPDATES = 4, 32
LEAST_UPDATES, LEAST_PER_S = 30, 2.0
LONGEST_S = 240.0
"""For 25,000 atoms; more have as much more."""
XVFB = ("xvfb-run", "-a", "-s", "-screen 0 1600x1200x24 +extension GLX")
OFF_A = 0.3


def fit_of(atoms: int) -> tuple[Any, Any, Any]:
    """Series, settings and atoms to begin with."""
    from napari_lot.atoms import Orbitals
    from napari_lot.series.tilt_series import TiltSeries
    from napari_lot.settings import Microscope, settings_from_dict
    from napari_lot.simulate.images import simulate_series

    lens = {"energy_eV": ENERGY_EV, "semiangle_mrad": SEMIANGLE_MRAD}
    true = Orbitals.create(crystallite(atoms), 1.0, WIDTH_A, elements=("Si",))
    side = pixels(atoms)
    series = simulate_series(true, thetas(), PIXEL_A, Microscope(**lens), image_shape=(side, side))
    series = TiltSeries(series.images, series.angles_deg, PIXEL_A)
    moved = true.positions + np.random.default_rng(3).normal(0, OFF_A / np.sqrt(3), true.positions.shape)
    start = Orbitals.create(moved, 0.9, WIDTH_A, elements=("Si",))
    settings = settings_from_dict({"microscope": lens, "model": {"elements": ["Si"], "probe": "rigid"}})
    return series, settings, start


# -- gaps ---------------------------------------------------------------------------------------------------------


@dataclass
class Watch:
    """Ticks of the event loop, and when the layers were updated, in s."""

    ticks: list[float] = field(default_factory=list)
    updates: list[float] = field(default_factory=list)

    def figures(self) -> dict[str, float]:
        """Gaps in ms and updates, the first ones, when layers are made, left out."""
        marks = self.updates[WARM:]
        if len(marks) < 3:
            raise RuntimeError(f"only {len(self.updates)} updates were drawn")
        ticks = np.array(self.ticks)
        gaps, ends = 1e3 * np.diff(ticks), ticks[1:]
        within = (ends > marks[0]) & (ends <= marks[-1])
        of_each = [float(gaps[(ends > a) & (ends <= b)].max(initial=0.0)) for a, b in pairwise(marks)]
        return {
            "updates": len(marks),
            "updates_per_s": round((len(marks) - 1) / (marks[-1] - marks[0]), 2),
            "median_updates_per_s": round(1.0 / statistics.median(b - a for a, b in pairwise(marks)), 2),
            "longest_gap_ms": round(float(gaps[within].max()), 1),
            "median_gap_ms": round(statistics.median(of_each), 1),
        }


def turn(watch: Watch, until: Callable[[], bool], limit_s: float = LONGEST_S) -> None:
    """The event loop, with a tick every ms, until something is so or the time is over."""
    from qtpy.QtCore import QEventLoop, Qt, QTimer

    loop, timer = QEventLoop(), QTimer()
    timer.setTimerType(Qt.TimerType.PreciseTimer)
    end = time.perf_counter() + limit_s

    def tick() -> None:
        now = time.perf_counter()
        watch.ticks.append(now)
        if until() or now > end:
            loop.quit()

    timer.timeout.connect(tick)
    timer.start(1)
    loop.exec()
    timer.stop()


def longest_s(atoms: int) -> float:
    """How long updates are waited for."""
    return LONGEST_S * max(1.0, atoms / 25_000)


# -- the workbench ------------------------------------------------------------------------------------------------


def in_workbench(
    series: Any, settings: Any, start: Any, updates: int, folder: Path
) -> tuple[dict[str, Any], list[Any]]:
    """Figures of the workbench, and the snapshots that it drew."""
    import napari

    from napari_lot.job import Job

    viewer = napari.Viewer(show=True)
    viewer.window.resize(1280, 900)
    _, bench = viewer.window.add_plugin_dock_widget("napari-lot", "Workbench")
    failures: list[str] = []
    bench.state.failed.connect(failures.append)
    path = folder / "series.npz"
    np.savez(path, images=series.images, angles=series.angles_deg, pixel_size_A=PIXEL_A)
    ready = Watch()
    bench.data.source.path.setText(str(path))
    bench.data.source.path.returnPressed.emit()
    turn(ready, lambda: bench.state.series is not None or bool(failures))
    panel = bench.run
    bench.sections["run"].open()
    panel.make_job = lambda given, _settings, *_start: Job(given, settings, start)
    set_form(bench)
    turn(ready, lambda: panel.start_button.isEnabled() or bool(failures), 30.0)
    if not panel.start_button.isEnabled():
        raise RuntimeError(failures[0] if failures else f"no start: {panel.start_button.toolTip()}")
    watch, own, drawn = Watch(), OwnTime(), []
    seconds: list[tuple[float, float]] = []
    show, poll = panel._show, panel._poll

    def shown(snapshot: Any, history: Any) -> Iterator[None]:
        yield from show(snapshot, history)
        if len(snapshot.orbitals):
            watch.updates.append(time.perf_counter())
            drawn.append(snapshot)

    def polled() -> None:
        before, own_before, thread = len(drawn), own.own_s, time.thread_time()
        own.call(poll)
        if len(drawn) > before:
            seconds.append((own.own_s - own_before, time.thread_time() - thread))

    panel._show = shown
    panel._timer.timeout.disconnect(panel._poll)
    panel._timer.timeout.connect(polled)
    panel.start_button.click()
    begun = time.perf_counter()

    def enough() -> bool:
        over = time.perf_counter() - begun > 5.0 and not bench.state.running and not panel.starting.running
        return len(drawn) >= updates + WARM or over or bool(failures)

    turn(watch, enough, longest_s(len(start)))
    panel._timer.stop()
    panel.runner.stop(60.0) if panel.runner is not None else None
    if failures:
        raise RuntimeError(failures[0])
    figures: dict[str, Any] = watch.figures()
    figures["own_ms_per_update"] = round(1e3 * statistics.mean(o for o, _ in seconds[WARM:]), 2)
    figures["slot_ms_per_update"] = round(1e3 * statistics.mean(s for _, s in seconds[WARM:]), 2)
    figures["atoms"] = len(drawn[-1].orbitals)
    viewer.close()
    return figures, drawn


def set_form(bench: Any) -> None:
    """What Start asks for, though the job is given."""
    from qtpy.QtWidgets import QWidget

    def child(name: str) -> Any:
        return bench.findChild(QWidget, name)

    child("energy_eV").setValue(ENERGY_EV)
    child("semiangle_mrad").setValue(SEMIANGLE_MRAD)
    child("element").setText("Si")
    child("probe").setCurrentText("rigid")


# -- bare napari --------------------------------------------------------------------------------------------------


class Bare:
    """Points in 3-D and stacks of images in napari alone."""

    def __init__(self, series: Any, positions: Any, size_A: float) -> None:
        import napari

        from napari_lot.gui.canvas.atom_layers import MAX_SHOWN
        from napari_lot.gui.canvas.points import ROOM

        self.most = MAX_SHOWN
        positions = positions[: self.most]
        self.viewer = napari.Viewer(show=True)
        self.viewer.window.resize(1280, 900)
        self.images = series.images
        shape = (len(series), 1, *series.images.shape[1:])
        own = {"scale": (1.0, 1.0, PIXEL_A, PIXEL_A), "visible": False}
        self.stacks = [self.viewer.add_image(np.zeros(shape, np.float32), contrast_limits=(0, 1), **own) for _ in "cr"]
        atoms = len(positions)
        self.room = int(ROOM * atoms)
        self.points = self.viewer.add_points(
            positions[np.arange(self.room) % atoms, ::-1],
            size=np.where(np.arange(self.room) < atoms, size_A, 0.0),
            border_width=0,
            antialiasing=0,
            shading="spherical",
            face_color=np.ones((self.room, 4), np.float32),
        )
        self.viewer.dims.ndisplay = 3
        self.viewer.reset_view()

    def draw(self, snapshot: Any, colors: Any) -> None:
        """One update, as the workbench makes it."""
        positions = snapshot.orbitals.positions[: self.most]
        self.points.data[:] = positions[np.arange(self.room) % len(positions), ::-1]
        with self.points.events.blocker_all():
            self.points.face_color = colors
        self.points.refresh()
        if not len(snapshot.tilts):
            return
        calculated, rest = self.stacks
        calculated.data[snapshot.tilts, 0] = snapshot.calculated
        rest.data[snapshot.tilts, 0] = self.images[snapshot.tilts] - snapshot.calculated


def in_bare_napari(series: Any, job: Any, kept: list[Any], updates: int, size_A: float) -> dict[str, Any]:
    """Figures of napari alone: beside a fit where a job is given, else with the snapshots kept from one."""
    from qtpy.QtCore import QTimer

    from napari_lot.gui.live import Runner
    from napari_lot.gui.panels.run.panel import POLL_MS

    bare = Bare(series, kept[-1].orbitals.positions, size_A)
    colors = np.random.default_rng(0).random((bare.room, 4), np.float32)
    colors[:, 3] = np.arange(bare.room) < min(len(kept[-1].orbitals), bare.most)
    watch, timer = Watch(), QTimer()
    runner = None if job is None else Runner(job)
    waiting = list(kept)

    def poll() -> None:
        taken = runner.mailbox.take() if runner is not None else None
        snapshot = taken[0] if taken is not None else waiting.pop(0) if runner is None and waiting else None
        if snapshot is not None and len(snapshot.orbitals):
            bare.draw(snapshot, colors)
            watch.updates.append(time.perf_counter())

    timer.timeout.connect(poll)
    if runner is not None:
        runner.start()
    timer.start(POLL_MS)

    def enough() -> bool:
        over = not runner.is_alive if runner is not None else not waiting
        return len(watch.updates) >= updates + WARM or over

    turn(watch, enough, longest_s(len(kept[-1].orbitals)))
    timer.stop()
    if runner is not None:
        runner.stop(60.0)
    bare.viewer.close()
    return dict(watch.figures())


def with_window(atoms: int, quick: bool) -> dict[str, Any]:
    """The workbench, bare napari beside the same fit, and (in full) bare napari alone."""
    from napari_lot.gui.canvas.atom_layers import SPHERE
    from napari_lot.job import Job
    from napari_lot.session import leftovers

    with tempfile.TemporaryDirectory() as name:
        leftovers.autosave_folder = lambda: Path(name)
        series, settings, start = fit_of(atoms)
        ours, kept = in_workbench(series, settings, start, UPDATES, Path(name))
        size = SPHERE * Job(series, settings, start).spacing_A
        print(f"workbench: {ours}", flush=True)
        beside = in_bare_napari(series, Job(series, settings, start), kept, UPDATES, size)
        print(f"bare napari: {beside}", flush=True)
        alone = {} if quick else {"bare_napari_idle": in_bare_napari(series, None, kept, UPDATES, size)}
    return {
        "atoms": atoms,
        "workbench": ours,
        "bare_napari": beside,
        **alone,
        "own_ms_per_update": ours["own_ms_per_update"],
        "gap_ratio_to_bare_napari": round(ours["longest_gap_ms"] / beside["longest_gap_ms"], 3),
        "median_gap_ratio_to_bare_napari": round(ours["median_gap_ms"] / beside["median_gap_ms"], 3),
        "enough": ours["updates"] >= LEAST_UPDATES and ours["median_updates_per_s"] >= LEAST_PER_S,
    }


# -- snapshots without a window -----------------------------------------------------------------------------------


def publishing(atoms: int, seconds: float, compare: bool) -> dict[str, Any]:
    """What snapshots cost a fit that nobody looks at; ``compare`` repeats its steps without and with them."""
    from napari_lot.gui.live import Mailbox
    from napari_lot.job import Control, Job
    from napari_lot.lot import run

    series, settings, start = fit_of(atoms)
    after = run._Live.after

    def one(interval_s: float, steps: int | None) -> tuple[float, float, int, int]:
        """Wall time from the first mini-batch on, share of it for snapshots, their number, number of steps."""
        spent, count, seen, began, ended = 0.0, 0, 0, 0.0, 0.0
        control, box = Control(), Mailbox()

        def timed(self: Any, progress: Any, state: Any) -> Any:
            nonlocal spent, count, seen, began, ended
            now = time.perf_counter()
            began, seen = began or now, seen + 1
            if control.stop_request is None and (seen > steps if steps else now - began > seconds):
                ended = now
                control.cancel()
            made = list(after(self, progress, state))
            for snapshot in made:
                box.put(snapshot)
            if control.stop_request is None:
                spent, count = spent + time.perf_counter() - now, count + len(made)
            return iter(())

        run._Live.after, run.SNAPSHOT_INTERVAL_S = timed, interval_s
        for _ in Job(series, settings, start).run(control):
            pass
        ended = ended or time.perf_counter()
        return ended - began, spent, count, seen - 1

    usual = run.SNAPSHOT_INTERVAL_S
    wall, spent, count, steps = one(usual, None)
    withs, withouts = [wall], []
    for interval in (np.inf, usual, np.inf) if compare else ():
        (withs if interval == usual else withouts).append(one(interval, steps)[0])
    run._Live.after, run.SNAPSHOT_INTERVAL_S = after, usual
    found = {"atoms": atoms, "seconds": round(wall, 2), "snapshots": count, "share": round(spent / wall, 5)}
    return found | ({"with_s": round(min(withs), 2), "without_s": round(min(withouts), 2)} if compare else {})


# -- the part -----------------------------------------------------------------------------------------------------


def before_window() -> tuple[str, ...] | None:
    """What starts a program with a screen: nothing where there is one, xvfb-run, or None where neither is there."""
    if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or os.name == "nt":
        return ()
    return XVFB if shutil.which(XVFB[0]) else None


def measure(quick: bool, sizes: tuple[int, ...] | None = None) -> dict[str, Any]:
    """All sizes, each in a process of its own; a sentence where there can be no window."""
    rows, said = [], None
    flags = ["--quick"] if quick else []
    before = before_window()
    sizes = sizes or (QUICK_SIZES if quick else SIZES)
    if before is None:
        said = "There is no screen and no xvfb-run: the window was not measured."
        print(said, flush=True)
    else:
        for atoms in sizes:
            rows.append(ask("window", "window", str(atoms), *flags, before=before, limit_s=4 * 3600.0, **environment()))
            print(rows[-1], flush=True)
    how = ["--seconds", "6"] if quick else ["--seconds", "20", "--compare"]
    costs = [ask("window", "publishing", str(atoms), *how, limit_s=4 * 3600.0) for atoms in sizes]
    print(costs, flush=True)
    return {"rows": rows, "said": said, "publishing": costs}


def environment() -> dict[str, str]:
    """A napari with settings of its own, so that nothing of the user's is read or changed."""
    folder = ROOT / "build" / "speed"
    folder.mkdir(parents=True, exist_ok=True)
    return {"NAPARI_CONFIG": str(folder / "napari.yaml")}


def main() -> None:
    """One of the processes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("window", "publishing"))
    parser.add_argument("atoms", type=int)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--compare", action="store_true")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.what == "window":
        tell(with_window(options.atoms, options.quick))
    else:
        tell(publishing(options.atoms, options.seconds, options.compare))


if __name__ == "__main__":
    main()
