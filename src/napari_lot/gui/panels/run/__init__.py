"""Step 3: what a run begins with and how it fits; start, pause, edit, finish, cancel; the runs so far."""

from napari_lot.gui.panels.run.panel import RunPanel

__all__ = ["RunPanel"]
