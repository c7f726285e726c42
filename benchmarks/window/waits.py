"""How long the window is held up by anything that a person can press, with a large series and many atoms:

    xvfb-run -a -s "-screen 0 1600x1200x24 +extension GLX" python -m benchmarks.window waits [--pixels 1024]

A series of ``--tilts`` images of ``--pixels`` squared and a result of ``--atoms`` atoms go through every step of the
workbench. For each thing pressed: how long it took until it was done; the longest that the window answered to nobody
meanwhile, in ms by the clock; and how long the window's own thread was at work in the longest such stretch, which
neither waits nor other programs on the computer add to. Drawing counts: without a graphics card it is a large part.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import mrcfile
import napari
import numpy as np
import tifffile
from qtpy.QtWidgets import QApplication, QWidget
from scipy import ndimage

from napari_lot.atoms import Orbitals
from napari_lot.job import Control, ProbeSlices, Result, Snapshot
from napari_lot.physics.geometry import series_rotations
from napari_lot.series import TiltSeries
from napari_lot.session import leftovers
from napari_lot.settings import Settings

WAIT_S = 600.0
PIXEL_A = 0.3


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--tilts", type=int, default=72, help="how many images (default 72)")
    parser.add_argument("--pixels", type=int, default=1024, help="their width and height (default 1024)")
    parser.add_argument("--atoms", type=int, default=25_000, help="how many atoms (default 25000)")
    parser.add_argument("--without-preparation", action="store_true", help="leave out the steps that take minutes")


def specimen(atoms: int, pixels: int) -> Orbitals:
    """A ball of atoms on a cubic lattice, within the middle of the field."""
    n = int(np.ceil((6 * atoms / np.pi) ** (1 / 3))) + 1
    lattice = np.stack(np.meshgrid(*3 * [np.arange(n) - n / 2 + 0.1]), -1).reshape(-1, 3)
    lattice = lattice[np.argsort((lattice**2).sum(1))[:atoms]]
    lattice *= 0.3 * pixels * PIXEL_A / np.abs(lattice).max()
    return Orbitals.create(lattice, 1.0, 0.5, elements=("Pt",))


def images_of(atoms: Orbitals, thetas: np.ndarray, pixels: int) -> np.ndarray:
    """Projections with noise, (T, V, U) float32."""
    rng = np.random.default_rng(0)
    turns = series_rotations(TiltSeries(rng.random((len(thetas), 8, 8)), thetas, PIXEL_A))
    edges = (np.arange(pixels + 1) - pixels / 2) * PIXEL_A
    stack = np.empty((len(thetas), pixels, pixels), np.float32)
    for i, turn in enumerate(turns):
        u, v, _ = turn @ atoms.positions.T
        stack[i] = ndimage.gaussian_filter(np.histogram2d(v, u, [edges, edges])[0], 1.5)
    return np.asarray(100 * stack / stack.max() + rng.normal(0, 1, stack.shape).astype(np.float32), np.float32)


class Given:
    """A job whose result is there at once."""

    def __init__(self, series: TiltSeries, settings: Settings, atoms: Orbitals) -> None:
        self.series, self.settings, self.atoms = series, settings, atoms
        self.result: Result | None = None
        self.stop_reason: str | None = None

    def run(self, control: Control | None = None) -> Iterator[Snapshot]:
        """One snapshot, then the result."""
        t, n = len(self.series), len(self.atoms)
        calculated = self.series.images * np.float32(0.98)
        probe = ProbeSlices(np.random.default_rng(0).random((21, 64, 64), np.float32), np.linspace(-15, 15, 21), 0.25)
        yield Snapshot(
            stage="refine",
            step=1,
            steps_total=1,
            orbitals=self.atoms,
            loss=1.0,
            r_factor=np.full(t, 0.1),
            tilts=np.arange(6),
            calculated=calculated[:6],
            probe=probe,
            elapsed_s=0.0,
            message="",
        )
        self.stop_reason = "converged"
        self.result = Result(
            orbitals=self.atoms,
            r_factor=np.full(t, 0.02),
            calculated=calculated,
            residual=self.series.images - calculated,
            center_px=self.series.center_px or (0.0, 0.0),
            shifts_px=np.zeros((t, 2)),
            scale=np.ones(t),
            background=np.zeros(t),
            probe=probe,
            tilts_seen=np.full(n, t),
            wall_seconds={"total": 1.0},
            stop_reason="converged",
            message="It was there at once.",
            settings=self.settings,
            correlation=np.full(t, 0.98),
            sigma_A=np.random.default_rng(0).uniform(0.01, 0.05, (n, 3)),
            p_exists=np.where(np.arange(n) < 5, 0.6, 0.999),
            p_element=np.full(n, 0.99),
        )


@dataclass(frozen=True)
class Wait:
    """What was pressed, until it was done, and the longest that the window was held up."""

    what: str
    total_s: float
    longest_ms: float
    own_ms: float


class Presser:
    """Presses and watches."""

    def __init__(self, viewer: Any, bench: Any) -> None:
        self.viewer, self.bench = viewer, bench
        self.waits: list[Wait] = []

    def child(self, name: str) -> Any:
        """A widget of the workbench, or of its docks, by its name."""
        found = self.bench.findChild(QWidget, name) or self.viewer.window._qt_window.findChild(QWidget, name)
        assert found is not None, name
        return found

    def idle(self) -> bool:
        """Nothing is being done anywhere."""
        b = self.bench
        if b.is_closed:
            return True
        tasks = [b.data.task, b.data.prepare.task, b.export._task, b.run.starting, b.run.table.task]
        tasks += [b.inspect.compare.task, b.inspect.structure.task]
        return not (any(task.running for task in tasks) or b.doubts.queue.busy or b.state.running)

    def press(self, what: str, act: Callable[[], object]) -> None:
        """Do it, wait until nothing is being done any more, note how long each stretch of work took."""
        began = time.perf_counter()
        longest = own = 0.0

        def timed(work: Callable[[], object]) -> None:
            nonlocal longest, own
            start, start_own = time.perf_counter(), time.thread_time()
            work()
            longest = max(longest, time.perf_counter() - start)
            own = max(own, time.thread_time() - start_own)

        timed(act)
        quiet = 0
        while quiet < 5 and time.perf_counter() - began < WAIT_S:
            timed(QApplication.processEvents)
            time.sleep(0.005)
            quiet = quiet + 1 if self.idle() else 0
        total = time.perf_counter() - began
        self.waits.append(Wait(what, total, 1e3 * longest, 1e3 * own))
        print(f"{what:52s} {total:7.2f} s {1e3 * longest:8.0f} ms {1e3 * own:8.0f} ms own", flush=True)


def measure(options: argparse.Namespace) -> None:
    """Press everything, print a table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kept, leftovers.autosave_folder = leftovers.autosave_folder, lambda: folder / "autosaves"
        try:
            press_all(options, folder)
        finally:
            leftovers.autosave_folder = kept


def press_all(options: argparse.Namespace, folder: Path) -> None:
    """Every step in its order."""
    atoms = specimen(options.atoms, options.pixels)
    thetas = np.linspace(-70, 70, options.tilts)
    images = images_of(atoms, thetas, options.pixels)
    np.savez(folder / "a.npz", images=images, angles=thetas, pixel_size_A=PIXEL_A)
    with mrcfile.new(folder / "b.mrc") as file:
        file.set_data(images)
        file.voxel_size = PIXEL_A
    tifffile.imwrite(
        folder / "c.tif", images, imagej=True, resolution=(1 / PIXEL_A,) * 2, metadata={"unit": "angstrom"}
    )
    for stem in "bc":
        np.savetxt(folder / f"{stem}.tlt", thetas)
    with h5py.File(folder / "d.h5", "w") as file:
        file["images"], file["angles"], file["pixel_size_A"] = images, thetas, PIXEL_A
    del images
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1280, 900)
    _, bench = viewer.window.add_plugin_dock_widget("napari-lot", "Workbench")
    failures: list[str] = []
    bench.state.failed.connect(failures.append)
    hand = Presser(viewer, bench)
    child = hand.child
    bench.data.prepare.confirm = lambda question: True
    bench.run.make_job = lambda series, settings, *given: Given(series, settings, atoms)

    def open_path(path: Path) -> Callable[[], object]:
        child("series_path").setText(str(path))
        return child("series_path").returnPressed.emit

    def choose(name: str, text: str) -> Callable[[], object]:
        return lambda: child(name).setCurrentText(text)

    hand.press("idle", lambda: None)
    for name in ("d.h5", "c.tif", "b.mrc", "a.npz"):
        hand.press(f"open {name}", open_path(folder / name))
    child("prepare_images").click()
    operations = [child("operation").itemText(i) for i in range(child("operation").count())]
    if options.without_preparation:
        operations = ["Crop"]
    for operation in operations:
        child("operation").setCurrentText(operation)
        if operation == "Crop":
            child("crop_left").setValue(2)
        hand.press(f"preview: {operation}", child("preview_step").click)
        hand.press(f"hide preview: {operation}", child("preview_step").click)
    child("operation").setCurrentText("Crop")
    hand.press("apply: Crop", child("apply_step").click)
    hand.press("undo", child("undo_step").click)
    hand.press("leave out this tilt", child("leave_out").click)
    hand.press("use this tilt again", child("leave_out").click)
    hand.press("find lattice", child("find_lattice").click)
    hand.press("paint", child("paint_mask").click)
    viewer.layers[-1].paint((5, 5), 1)
    hand.press("use mask", child("use_mask").click)
    hand.press("undo mask", child("undo_step").click)
    hand.press("draw a line", child("draw_ruler").click)
    child("show_axis").setChecked(False)
    hand.press("show tilt axis", lambda: child("show_axis").setChecked(True))
    child("show_axis").setChecked(False)
    child("pixel_size_A").setValue(0.31)
    hand.press("apply changes", child("apply_data").click)
    for name, value in (("energy_eV", 300.0), ("semiangle_mrad", 25.0)):
        hand.press(f"probe: {name}", lambda name=name, value=value: child(name).setValue(value))
    child("element").setText("Pt")
    child("probe").setCurrentText("direct")
    bench.sections["run"].open()
    for run in (1, 2, 3, 4, 5):
        hand.press(f"run {run}: from Start to its result", child("start").click)
    hand.press("shown again: an earlier run from memory", lambda: bench.run.table.table.selectRow(3))
    hand.press("shown again: an earlier run from disk", lambda: bench.run.table.table.selectRow(0))
    for view in ("images", "markers", "atoms", "probe", "atoms", "images"):
        hand.press(f"view {view}", child(f"view_{view}").click)
    hand.press("next tilt", lambda: viewer.dims.set_current_step(0, 9))
    bench.sections["inspect"].open()
    hand.press("inspect opened (g(r))", lambda: None)
    for i in range(child("color_by").count()):
        text = child("color_by").itemText(i)
        hand.press(f"colour by {text}", choose("color_by", text))
    for i in range(child("size_by").count()):
        hand.press(f"size by {child('size_by').itemText(i)}", choose("size_by", child("size_by").itemText(i)))
    hand.press("structure", lambda: child("structure").show())
    hand.press("table of atoms", lambda: child("show_table").click())
    hand.press("filter the table", lambda: child("atoms_filter").setText("1"))
    hand.press("copy the table", lambda: child("atoms_copy").click())
    hand.press("close the table", lambda: child("show_table").click())
    bench.sections["export"].open()
    kinds = [child("export_kind").itemText(i) for i in range(child("export_kind").count())]
    for kind in kinds:
        child("export_kind").setCurrentText(kind)
        child("export_path").setText(str(folder / bench_name(kind)))
        hand.press(f"save: {kind}", child("export_save").click)
    hand.press("copy the methods paragraph", child("copy_methods").click)
    bench.inspect.compare.path.setText(str(next(folder.glob("*.xyz"))))
    hand.press("compare with a file", child("compare_start").click)
    hand.press("show the comparison", lambda: child("compare_show").toggle())
    hand.press("compare: remove", child("compare_remove").click)
    hand.press("start from a file of atoms", lambda: start_from(bench, folder))
    session = next(folder.glob("*.lot.h5"))
    hand.press("open a session", open_path(session))
    hand.press("use a layer", lambda: child("use_layer").click())
    hand.press("open the sample", child("open_sample").click)
    hand.press("close the window", viewer.window._qt_window.close)
    worst = sorted(hand.waits, key=lambda wait: -wait.own_ms)[:15]
    print("\nlongest:")
    for wait in worst:
        print(f"{wait.own_ms:8.0f} ms  {wait.what}")
    for sentence in failures:
        print("said:", sentence)


def bench_name(kind: str) -> str:
    """A file name for a kind of export."""
    from napari_lot.gui.saving import KINDS

    return KINDS[kind].name


def start_from(bench: Any, folder: Path) -> None:
    """Begin a run with the atoms of a file."""
    from napari_lot.gui.panels.run.begin import FILE

    bench.run.form.begin.kind.setCurrentText(FILE)
    bench.run.form.begin.file.line.setText(str(next(folder.glob("*.xyz"))))
    bench.run.start_button.click()
