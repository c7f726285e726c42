"""How long until there is something to see: what the plugin adds to napari's start, and from Start to the first atoms.

- *import added*: wall time of a fresh Python that imports napari and sets up its plugins as napari does at its start,
  and then imports this package's hooks (which napari does no earlier than when a file is opened), less the same without
  this package among the installed ones; the median over pairs of runs. PyTorch must not have been imported by then.
- *first atoms*: the bundled sample in a fresh process, from the click on Start until a snapshot with as many orbitals
  as there are atoms, within a tenth, is in the layer; *first orbitals* until any is; *settled* until the grid has
  condensed and all are fitted as atoms. With compiled kernels in numba's cache, and once with an empty cache, as after
  an installation (not when quick: it takes longer than all else of this part).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.speed.common import ask, tell
from benchmarks.speed.window import Watch, before_window, environment, turn

REPEATS, QUICK_REPEATS = 15, 3


def imported(with_ours: bool) -> dict[str, Any]:
    """Wall time of napari's start without a window, in this process."""
    from importlib import metadata

    # looked through in both cases, for reading the names of all packages takes longer than what is measured
    every, left_out = metadata.distributions, "no such package" if with_ours else "napari-lot"
    metadata.distributions = lambda **given: (
        d for d in every(**given) if d.metadata["Name"].replace("_", "-").lower() != left_out
    )
    began, worked = time.perf_counter(), time.process_time()
    import napari  # noqa: F401
    from napari.plugins import _initialize_plugins

    _initialize_plugins()
    found, work = time.perf_counter() - began, time.process_time() - worked
    from npe2 import PluginManager

    there = any(manifest.name == "napari-lot" for manifest in PluginManager.instance().iter_manifests())
    if there != with_ours:
        raise RuntimeError(f"napari-lot among the plugins of napari: {there}, expected {with_ours}")
    if with_ours:
        began, worked = time.perf_counter(), time.process_time()
        import napari_lot.napari_hooks  # noqa: F401

        found, work = found + time.perf_counter() - began, work + time.process_time() - worked
    return {"s": found, "cpu_s": work, "torch": "torch" in sys.modules}


def import_added(repeats: int) -> dict[str, Any]:
    """Medians with and without this package.

    Raises
    ------
    RuntimeError
        PyTorch was imported.
    """
    pairs = []
    for _ in range(repeats + 1):
        pair = {name: ask("start", "imported", name, **environment()) for name in ("with", "without")}
        for name, one in pair.items():
            if one["torch"]:
                raise RuntimeError(f"PyTorch is imported when napari starts ({name} napari-lot)")
        pairs.append(pair)
    pairs = pairs[1:]  # the first fills the caches of the disk
    added, worked = ([pair["with"][key] - pair["without"][key] for pair in pairs] for key in ("s", "cpu_s"))
    return {
        "import_added_s": round(statistics.median(added), 4),
        "import_added_cpu_s": round(statistics.median(worked), 4),
        "napari_s": round(statistics.median(pair["without"]["s"] for pair in pairs), 3),
        "spread_s": round(statistics.stdev(added), 3) if len(added) > 1 else None,
        "repeats": repeats,
    }


def first_atoms() -> dict[str, float]:
    """Seconds from Start with the sample, in this process."""
    import napari
    from qtpy.QtWidgets import QWidget

    from napari_lot.export.read import read_atoms
    from napari_lot.lot.fitting import GRID_STAGES
    from napari_lot.series.sample import sample_truth_path
    from napari_lot.session import leftovers

    atoms = len(read_atoms(sample_truth_path()))
    with tempfile.TemporaryDirectory() as name:
        leftovers.autosave_folder = lambda: Path(name)
        viewer = napari.Viewer(show=True)
        _, bench = viewer.window.add_plugin_dock_widget("napari-lot", "Workbench")
        failures: list[str] = []
        bench.state.failed.connect(failures.append)
        bench.findChild(QWidget, "open_sample").click()
        panel = bench.run
        idle = Watch()
        turn(idle, lambda: panel.start_button.isEnabled() or bool(failures), 30.0)
        found: dict[str, float] = {}
        show = panel._show

        def shown(snapshot: Any, history: Any) -> None:
            yield from show(snapshot, history)
            now = time.perf_counter() - began
            if len(snapshot.orbitals) and bench.layers.atoms.spheres is not None:
                found.setdefault("first_orbitals_s", round(now, 2))
                if abs(len(snapshot.orbitals) - atoms) <= 0.1 * atoms:
                    found.setdefault("first_atoms_s", round(now, 2))
                if snapshot.stage not in (*GRID_STAGES, "prepare"):
                    found.setdefault("settled_s", round(now, 2))

        panel._show = shown
        began = time.perf_counter()
        panel.start_button.click()
        turn(idle, lambda: "settled_s" in found or bool(failures))
        if panel.runner is not None:
            panel.runner.stop(60.0)
        viewer.close()
    if failures or not {"first_atoms_s", "settled_s"} <= found.keys():
        raise RuntimeError(failures[0] if failures else "no atoms were shown")
    return found


def measure(quick: bool) -> dict[str, Any]:
    """Imports, then the first atoms with a warm cache, and in full with a cold one."""
    found: dict[str, Any] = import_added(QUICK_REPEATS if quick else REPEATS)
    before = before_window()
    if before is None:
        return found | {"said": "There is no screen and no xvfb-run: the first atoms were not waited for."}

    def first(**given: str) -> dict[str, float]:
        return dict(ask("start", "first", before=before, limit_s=600.0, **environment(), **given))

    cold = None
    if quick:
        first()  # compiles what the parts before did not, into the user's own cache
        warm = [first()]
    else:
        with tempfile.TemporaryDirectory() as cache:
            cold = first(NUMBA_CACHE_DIR=cache)
            warm = [first(NUMBA_CACHE_DIR=cache) for _ in range(3)]
    for name in ("first_orbitals_s", "first_atoms_s", "settled_s"):
        found[name] = round(statistics.median(one[name] for one in warm), 2)
        if cold is not None:
            found[f"{name.removesuffix('_s')}_cold_s"] = cold[name]
    print(found, flush=True)
    return found


def main() -> None:
    """One of the processes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("imported", "first"))
    parser.add_argument("which", choices=("with", "without"), nargs="?", default="with")
    options = parser.parse_args()
    tell(imported(options.which == "with") if options.what == "imported" else first_atoms())


if __name__ == "__main__":
    main()
