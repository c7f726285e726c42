"""``napari-lot demo``: the bundled sample from tilt series to atoms, compared with the truth, seen in the window."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from napari_lot.cli import options as o
from napari_lot.report import check_output_folder

_XVFB = ("xvfb-run", "-a", "-s", "-screen 0 1600x1200x24 +extension GLX")
_WINDOW_TIMEOUT_S = 300
_RUN_WINDOW = (
    "import sys; from pathlib import Path; from napari_lot.gui.demo import run_demo; "
    "run_demo(Path(sys.argv[1]), Path(sys.argv[2]))"
)


def demo(
    context: typer.Context,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder for the results; results in it are replaced.")
    ] = Path("demo-out"),
    window: Annotated[
        bool, typer.Option("--window/--no-window", help="Show the run in napari where there is a display.")
    ] = True,
) -> int:
    """Reconstruct the bundled sample: 247 platinum atoms from 36 simulated images.

    Writes atoms, report, images and, where a window can be drawn, screenshot.png. Ends by itself without a display.
    """
    from napari_lot.analysis.compare import compare
    from napari_lot.cli.reconstruct import run_and_write
    from napari_lot.export import read_atoms
    from napari_lot.series.sample import load_sample, sample_facts, sample_truth_path
    from napari_lot.settings import facts_as_settings

    began = time.monotonic()
    check_output_folder(out, overwrite=True)
    given = o.gather({}).with_file(facts_as_settings(sample_facts()), "sample")
    code = run_and_write(load_sample(), given, out, began, context.obj)
    if code:
        return code
    got = compare(read_atoms(out / "atoms.xyz"), read_atoms(sample_truth_path())).summary()
    print(
        f"Against the truth: recall {got['recall']:.4f}, precision {got['precision']:.4f}, "
        f"RMSD {got['rmsd_pm'] or float('nan'):.2f} pm (cutoff {got['cutoff_A']:g} Å)"
    )
    print(show(out) if window else "The window was left out (--no-window).")
    return 0


def has_display() -> bool:
    """Whether a window can be seen by somebody."""
    return sys.platform in ("win32", "darwin") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def show(out: Path) -> str:
    """Run the sample in the window (on a virtual display where there is no other); a sentence on what came of it.

    In a process of its own: whatever Qt or a graphics driver does there, the atoms are already written.
    """
    screenshot = out / "screenshot.png"
    screenshot.unlink(missing_ok=True)
    if importlib.util.find_spec("napari") is None:
        return 'The screenshot was left out: napari is not installed (pip install "napari-lot[all]").'
    command = [sys.executable, "-c", _RUN_WINDOW, str(out), str(screenshot)]
    environment = dict(os.environ)
    timeout: int | None = None  # a window on a real display stays until it is closed
    if not has_display():
        if shutil.which("xvfb-run") is None:
            return "The screenshot was left out: there is no display, and no xvfb-run to make one."
        command = [*_XVFB, *command]
        environment.pop("QT_QPA_PLATFORM", None)  # Xvfb needs Qt's own choice, xcb
        timeout = _WINDOW_TIMEOUT_S
    try:
        ended = subprocess.run(command, env=environment, timeout=timeout, capture_output=True, text=True, check=False)
    except subprocess.TimeoutExpired:
        return f"The screenshot was left out: the window did not end within {_WINDOW_TIMEOUT_S} s."
    if screenshot.is_file():
        return f"Screenshot: {screenshot}"
    reason = (ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"])[-1]
    return f"The screenshot was left out: {reason}"
