"""A chosen source becomes a tilt series."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_lot.analysis.damage import check_damage, find_repeats
from napari_lot.gui import sources
from napari_lot.gui.panels.data.source_box import MORE, Source
from napari_lot.progress import Progress, nothing
from napari_lot.series import TiltSeries
from napari_lot.series.detector import detector_of
from napari_lot.session.leftovers import is_autosave
from napari_lot.settings import settings_from_dict


def read(
    source: Source, given: dict[str, Any], angles: Any, progress: Progress = nothing
) -> tuple[TiltSeries, Any, str | None]:
    """Series, microscope and element, with what the form says of the series and its angles.

    Raises
    ------
    InputError
        It cannot be read, or not so.
    """
    kind, what = source
    if kind == "sample":
        return sources.from_sample(given, angles, progress)
    if kind == "layer":
        return sources.from_layer(what, given, angles, progress)
    if kind == "session":
        return sources.from_session(what, given, angles, progress)
    return sources.from_file(_paths(what), given, angles, progress)


def name_of(source: Source) -> str:
    """A source in a word or two."""
    kind, what = source
    if kind == "sample":
        return "the sample"
    if kind == "layer":
        return str(what.name)
    if isinstance(what, tuple):
        return f"{Path(what[0]).name}{MORE}{len(what) - 1} more"
    return name_of_file(Path(what))


def name_of_file(path: Path) -> str:
    """What a file is called: its name, but of an autosave, whose name says nothing to a person."""
    return "the autosave" if is_autosave(path) else path.name


def has_angles(source: Source) -> bool:
    """Whether a series can be read with angles of its own."""
    kind, what = source
    if kind == "layer":
        return sources.has_angles(sources.from_layer, what)
    return kind in ("sample", "session") or sources.has_angles(sources.from_file, _paths(what))


def damage_notes(series: TiltSeries, images: dict[str, Any]) -> list[tuple[str, bool]]:
    """What repeated tilts say of beam damage, and whether that is a caveat; nothing where there are none.

    Raises
    ------
    InputError
        What is said of the images (detector, weights) cannot be so.
    """
    if not find_repeats(series):
        return []
    settings = settings_from_dict({"data": images}, where="Data")
    found = check_damage(series, detector_of(series, settings), settings.data.denoised)
    return [(f"{found.verdict[:1].upper()}{found.verdict[1:]}", found.changed)]


def _paths(what: Any) -> Any:
    """The path, or paths, of what was typed or chosen."""
    return [Path(one) for one in what] if isinstance(what, tuple) else Path(what).expanduser()
