"""What the export step can save: each kind by what a person calls it, and how it is written. No Qt, no napari."""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from napari_lot.errors import InputError
from napari_lot.export import ATOM_FORMATS, write_atoms, write_stack
from napari_lot.export.figures import ENDINGS, figure_names, write_figure
from napari_lot.export.methods import methods_text
from napari_lot.files import write_whole
from napari_lot.gui.broken_off import did_not_end, last_state
from napari_lot.progress import Progress, nothing
from napari_lot.report import check_output_folder, make_report, write_json, write_results, write_text
from napari_lot.session import SUFFIX, Session, write_session

EVERYTHING, SESSION, CANVAS = "Everything, folder", "Session, HDF5", "Figure: view on the canvas"
_FIGURE = "Figure: "


@dataclass(frozen=True)
class Kind:
    """A name that is offered, the endings that files of this kind may have, and whether it is a figure."""

    name: str
    endings: tuple[str, ...]
    figure: bool = False


KINDS: dict[str, Kind] = {
    **{label: Kind(f"atoms{ending}", (ending,)) for label, ending in ATOM_FORMATS.values()},
    "Calculated tilts, TIFF": Kind("calculated.tif", (".tif",)),
    "Residual tilts, TIFF": Kind("residual.tif", (".tif",)),
    CANVAS: Kind("view.png", (".png",), True),
    f"{_FIGURE}images of the shown tilt": Kind("tilt.png", ENDINGS, True),
    f"{_FIGURE}R per tilt": Kind("r_factor.png", ENDINGS, True),
    f"{_FIGURE}histogram of heights": Kind("heights.png", ENDINGS, True),
    f"{_FIGURE}histogram of error bars": Kind("error_bars.png", ENDINGS, True),
    "Methods paragraph, text": Kind("methods.md", (".md", ".txt")),
    "Report, JSON": Kind("report.json", (".json",)),
    SESSION: Kind(f"run{SUFFIX}", (SUFFIX,)),
    EVERYTHING: Kind("results", ()),
}
_ALSO = {".xyz": (".extxyz",), ".lmp": (".data", ".lammps"), ".tif": (".tiff",), SUFFIX: (".h5",)}
"""Of some endings, others that mean the same."""
_ATOMS = {label: kind for kind, (label, _) in ATOM_FORMATS.items()}
WITH_ATOMS = {*_ATOMS, SESSION, EVERYTHING}
"""Kinds after which the atoms of a run are in a file."""
AT_ANY_TIME = {*_ATOMS, SESSION, CANVAS, f"{_FIGURE}R per tilt", f"{_FIGURE}histogram of heights"}
"""Kinds that need no more of a run than its last state."""


@dataclass(frozen=True)
class Figures:
    """How a figure is drawn: width on paper in mm, dots per inch, and the tilt whose images it shows."""

    width_mm: float = 85.0
    dpi: float = 600.0
    tilt: int = 0


def with_ending(path: Path, kind: Kind) -> Path:
    """The path with an ending that the kind may have: its own where it has one, else the first in place of the last."""
    if not kind.endings or any(path.name.lower().endswith(ending) for ending in kind.endings):
        return path
    stem = path.name[: -len(SUFFIX)] if path.name.lower().endswith(SUFFIX) else path.stem
    return path.with_name(stem + kind.endings[0])


def is_folder(path: Path) -> bool:
    """Whether there is a folder.

    Raises
    ------
    InputError
        The system refuses to look there: a name that is too long, a folder that nobody may read.
    """
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise InputError(f"Nothing can be written there: {error.strerror}. Choose another name or folder.") from None


def check(what: str, path: Path, overwrite: bool) -> None:
    """Refuse a place before anything is written.

    Raises
    ------
    InputError
        No name, something there already without ``overwrite``, or a folder where a file is meant.
    """
    if what == EVERYTHING:
        if not path.name:
            raise InputError(f"{path}: this is not the name of a folder: give one, for example {KINDS[what].name}.")
        check_output_folder(path, overwrite)
        return
    if not path.name or path.is_dir():
        raise InputError(f"{path}: this is not a file name: give one, for example {KINDS[what].name}.")
    endings = (*KINDS[what].endings, *_ALSO.get(KINDS[what].endings[0], ()))
    if not path.name.lower().endswith(endings):
        raise InputError(
            f"{path}: {what} does not end in {path.suffix or 'nothing'}: give it {' or '.join(endings)}, by which "
            "other programs know it."
        )
    if path.exists() and not overwrite:
        raise InputError(f"{path}: the file exists already: choose another name, or tick 'replace what is there'.")


def save(
    what: str,
    path: Path,
    session: Session,
    figures: Figures | None = None,
    embed_images: bool = True,
    progress: Progress = nothing,
) -> None:
    """Write one file, or everything into a folder; whole or not at all.

    Parameters
    ----------
    what : str
        One of ``KINDS`` but the view on the canvas, which only the window has.
    session : Session
        With a result.
    progress : callable
        Told how much is written, 0 to 1, where that can be told; what it raises leaves the place as it was.

    Raises
    ------
    InputError
        A place that cannot be written, or a format that cannot hold these atoms.
    """
    series = session.series
    result = session.result or last_state(session)
    if did_not_end(result) and what not in AT_ANY_TIME:
        raise InputError(
            f"{path}: this run did not end, there are only atoms and R-factors: go on with it first (step 3), or save "
            "its atoms or its session."
        )
    if result is None:
        raise InputError("There is no result to save: let a reconstruction finish first.")
    figures = figures or Figures()
    try:
        if what == EVERYTHING:
            write_results(path, series, result, {"history": session.history, "start": session.start}, progress)
            return
        writers: dict[str, Callable[[Path], None]] = {
            "Calculated tilts, TIFF": lambda p: write_stack(
                p, result.calculated, series.pixel_size_A, progress=progress
            ),
            "Residual tilts, TIFF": lambda p: write_stack(p, result.residual, series.pixel_size_A, progress=progress),
            "Methods paragraph, text": lambda p: write_text(p, methods_text(series, result)),
            "Report, JSON": lambda p: write_json(p, make_report(series, result, {})),
        }
        if what == SESSION:
            write_session(path, session, embed_images, progress)
        elif what in _ATOMS:
            write_whole(path, lambda p: write_atoms(p, result.orbitals, result.columns, _ATOMS[what]), progress)
        elif what.startswith(_FIGURE):
            names = {words: name for name, words in figure_names(result).items()}
            words = what.removeprefix(_FIGURE)
            if words not in names:
                raise InputError(f"{path}: this run has no {words.removeprefix('histogram of ')} to draw.")
            write_whole(
                path,
                lambda p: write_figure(p, names[words], series, result, figures.tilt, figures.width_mm, figures.dpi),
                progress,
            )
        else:
            write_whole(path, writers[what], progress)
    except OSError as error:
        raise InputError(f"{path}: cannot write there: {error.strerror or error}: choose another folder.") from None
