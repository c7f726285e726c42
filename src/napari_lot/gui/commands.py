"""What napari's command palette and menus offer: open the workbench, the sample, a session or a volume in it.

The workbench, and PyTorch with it, is imported when it is opened: not by whoever asks what there is.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import napari
from qtpy.QtWidgets import QFileDialog

if TYPE_CHECKING:
    from napari_lot.gui.workbench import Workbench

# napari's injection would hand over a proxy that hides parts of the viewer: the commands ask for the one in front.
# The name that napari's own menu entry gives the dock: the entry then shows and hides this very one.
DOCK = "Workbench (Local-orbital tomography)"


def open_workbench() -> None:
    """Show the workbench of the viewer in front; it is made where there is none."""
    shown_workbench()


def open_sample_in_workbench() -> None:
    """Show the workbench with the sample in it."""
    bench = shown_workbench()
    if bench.state.running:
        bench.state.fail("The sample: not while a reconstruction is running: let it end first.")
    else:
        bench.data.source.sample.click()


def open_session_in_workbench() -> None:
    """Ask for a session and show it in the workbench."""
    from napari_lot.session.file import SUFFIX

    bench = shown_workbench()
    name, _ = QFileDialog.getOpenFileName(bench, "Open a session", "", f"Sessions (*{SUFFIX});;All files (*)")
    if name:
        bench.sessions.open(Path(name))


def open_volume_in_workbench() -> None:
    """Ask for a volume and show it in the workbench."""
    bench = shown_workbench()
    bench.sections["volume"].open()
    bench.volume.files.browse()


def shown_workbench() -> Workbench:
    """The workbench of the viewer in front, on screen; made where there is none.

    Raises
    ------
    RuntimeError
        No viewer is open.
    """
    from napari_lot.gui.workbench import Workbench

    viewer = napari.current_viewer()
    if viewer is None:
        raise RuntimeError("No viewer is open.")
    for widget in viewer.window.dock_widgets.values():
        if isinstance(widget, Workbench) and not widget.is_closed:
            bench = widget
            break
    else:
        bench = Workbench(viewer)
        viewer.window.add_dock_widget(bench, name=DOCK, area="right")
    dock = bench.parentWidget()
    while dock is not None and not hasattr(dock, "toggleViewAction"):
        dock = dock.parentWidget()
    if dock is not None:
        dock.show()
        dock.raise_()
    return bench
