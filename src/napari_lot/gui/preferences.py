"""What a person has set for this plugin under napari's Preferences; the defaults stand in napari.yaml."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

PLUGIN = "napari-lot"


@dataclass(frozen=True)
class Preferences:
    """Preferences in the units that the code uses.

    ``threads`` None for all cores; ``autosave_s`` None for never; ``updates_per_s`` of the window during a run;
    ``folder`` for exports, '' where none was chosen.
    """

    threads: int | None = None
    autosave_s: float | None = 20.0
    updates_per_s: float = 10.0
    folder: str = ""


def preferences() -> Preferences:
    """The preferences of now; the defaults where napari does not know this plugin (run from a source tree)."""
    from napari.settings import get_plugin_settings

    try:
        own: Any = get_plugin_settings(PLUGIN)
        run, export = own.reconstruction, own.export
        threads, autosave, updates = int(run.threads), float(run.autosave_s), float(run.updates_per_s)
        folder = str(export.folder).strip()
    except (KeyError, AttributeError):
        return Preferences()
    return Preferences(
        threads=threads if threads > 0 else None,
        autosave_s=autosave if autosave > 0 else None,
        updates_per_s=min(max(updates, 0.5), 30.0),
        folder=str(Path(folder).expanduser()) if folder else "",
    )
