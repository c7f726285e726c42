"""``napari-lot resume`` and ``export``: what a session is good for."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from napari_lot.cli import options as o
from napari_lot.errors import InputError
from napari_lot.machine import writes
from napari_lot.report import AUTOSAVE_FILE, RESULT_FILES, check_output_folder

TEXTS = (".md", ".txt")


def resume(
    context: typer.Context,
    run: Annotated[Path, typer.Argument(metavar="RUN.lot.h5", help="Session or autosave of an earlier run.")],
    out: o.Out,
    overwrite: o.Overwrite = False,
    device: o.Device = None,
    threads: o.Threads = None,
    max_minutes: o.MaxMinutes = None,
) -> int:
    """Go on with a run that was stopped or broke off: its series, its settings, its atoms.

    A run that broke off or was ended early comes to the same result as if it had not. Where its file does not say
    exactly where it was, or it had come to its end, its atoms are refined; where its orbitals had not become atoms yet,
    it begins anew. A time limit is that of each go, and is given again.
    """
    from napari_lot.cli.reconstruct import check_inputs_survive, run_job
    from napari_lot.session import going_on, read_session
    from napari_lot.session.going_on import OF_THE_COMPUTER, how_it_goes_on
    from napari_lot.settings import settings_from_dict

    if writes():
        check_output_folder(out, overwrite)
    check_inputs_survive(out, [run], (*RESULT_FILES, AUTOSAVE_FILE))
    began = time.monotonic()
    session = read_session(run)
    way = going_on(session, run)
    if writes():  # of processes that share the run one speaks
        anew = "The orbitals of this run had not become atoms yet: it begins anew."
        begins_anew = way.checkpoint is None and session.atoms is None
        print(anew if begins_anew else how_it_goes_on(session, way), file=sys.stderr)
    given = way.settings.model_dump(exclude_unset=True)
    given.get("solver", {}).pop("max_minutes", None)  # that of another go
    for name, value in zip(OF_THE_COMPUTER, (device, threads, max_minutes), strict=True):
        if value is not None:
            given.setdefault("solver", {})[name] = value
    read_seconds = time.monotonic() - began
    settings = settings_from_dict(given, str(run))
    return run_job(way.series, settings, way.start, out, began, context.obj, read_seconds, way.checkpoint, way.history)


def export(
    source: Annotated[
        Path,
        typer.Argument(metavar="SOURCE", help="Session (.lot.h5), or atoms as CSV, XYZ, RESIRE .mat, LAMMPS data."),
    ],
    target: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="File to write: .csv, .xyz, .cif, .pdb, .lmp or .data (LAMMPS); of a session also .md or .txt "
            "(methods paragraph).",
        ),
    ],
    plain: Annotated[bool, typer.Option("--plain", help="XYZ with elements and coordinates only.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace FILE.")] = False,
) -> None:
    """Write the atoms of a session or a file in another format, or a session's methods paragraph."""
    from napari_lot.export import format_of, read_atoms, write_atoms
    from napari_lot.export.methods import methods_text
    from napari_lot.report import write_text
    from napari_lot.session import is_session, read_session

    if os.path.isdir(target):
        raise InputError(f"{target}: is a folder; give another FILE.")
    if os.path.lexists(target) and not overwrite:
        raise InputError(f"{target}: the file exists already; give another name, or --overwrite.")
    session = read_session(source) if source.suffix.lower() in (".h5", ".hdf5") or is_session(source) else None
    if target.suffix.lower() in TEXTS:
        if session is None or session.result is None:
            raise InputError(f"{source}: a methods paragraph needs the session of a run that ended.")
        text = methods_text(session.series, session.result)
        _write(target, lambda path: write_text(path, text))
        return
    kind = format_of(target)
    kind = "xyz" if plain and kind == "extxyz" else kind
    result = None if session is None else session.result
    atoms = read_atoms(source) if result is None else result.orbitals
    if result is None and _has_error_bars(source):
        print(
            f"warning: {source}: elements, positions, heights and widths are written; its error bars are not: export "
            "the session (run.lot.h5) to have them.",
            file=sys.stderr,
        )
    more = {} if result is None else result.columns
    _write(target, lambda path: write_atoms(path, atoms, more, kind))
    print(f"{len(atoms)} atoms: {target}")


def _has_error_bars(source: Path) -> bool:
    """Whether a CSV or XYZ file has more columns than are read from it."""
    with open(source, "rb") as file:
        return b"sigma_x" in file.read(4096)


def _write(target: Path, write: Callable[[Path], None]) -> None:
    from napari_lot.files import write_whole

    try:
        write_whole(target, write)
    except OSError as error:
        raise InputError(f"{target}: cannot write there: {error.strerror or error}; give another FILE.") from None
