"""Step 4: what a run has found, how sure it is, and how it compares."""

from napari_lot.gui.panels.inspect.panel import InspectPanel

__all__ = ["InspectPanel"]
