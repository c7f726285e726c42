"""Step 6: a volume by a conventional method, its sections, its missing wedge, and the atoms in it."""

from napari_lot.gui.panels.volume.panel import VolumePanel

__all__ = ["VolumePanel"]
