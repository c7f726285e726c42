"""``napari-lot reconstruct``: a tilt series in, a folder with every atom out."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from napari_lot.cli import options as o
from napari_lot.errors import InputError, LostRank
from napari_lot.machine import writes
from napari_lot.owner import claimed
from napari_lot.report import (
    AUTOSAVE_FILE,
    BROKEN_OFF_FILE,
    RESULT_FILES,
    check_output_folder,
    write_atoms_alone,
    write_results,
)
from napari_lot.series.detector import fitted_by
from napari_lot.settings import facts_as_settings
from napari_lot.settings.model import WITHOUT_FILE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_lot.atoms import Orbitals
    from napari_lot.job import Result, Snapshot
    from napari_lot.result import Checkpoint
    from napari_lot.series.tilt_series import TiltSeries
    from napari_lot.settings import Settings

INTERRUPTED = 130


def reconstruct(
    context: typer.Context,
    series: o.Series,
    out: o.Out,
    overwrite: o.Overwrite = False,
    angles: o.Angles = None,
    tilt_axis: o.TiltAxis = None,
    pixel_size: o.PixelSize = None,
    center: o.Center = None,
    mask: o.Mask = None,
    counts: o.Counts = None,
    thickness: o.Thickness = None,
    probe: o.Probe = None,
    energy: o.Energy = None,
    semiangle: o.Semiangle = None,
    defocus: o.Defocus = None,
    c30: o.C30 = None,
    c12: o.C12 = None,
    source_size: o.SourceSize = None,
    focal_spread: o.FocalSpread = None,
    element: o.Element = None,
    elements: o.Elements = None,
    spacing: o.Spacing = None,
    orbital: o.Orbital = None,
    start: o.Start = None,
    likelihood: o.Likelihood = None,
    refine: o.Refine = None,
    fix: o.Fix = None,
    withhold: o.Withhold = None,
    exclude: o.Exclude = None,
    config: o.Config = None,
    sets: o.Sets = None,
    device: o.Device = None,
    threads: o.Threads = None,
    seed: o.Seed = None,
    max_minutes: o.MaxMinutes = None,
) -> int:
    """Reconstruct every atom of a tilt series.

    Flags win over --set, --set over --config, --config over what the file says. Ctrl-C ends the run with what there is.
    """
    # The flags are read from the context, under the names of the parameters: see options.SETTING_OF.
    given = o.gather(context.params, config, sets or ())
    given.settings()  # wrong settings are told before a large file is read
    files = {"series": series, "angles": angles, "mask": mask}
    if writes():
        check_output_folder(out, overwrite)
    begin_at = given.settings().start.kind
    start_file = None if begin_at in WITHOUT_FILE else Path(begin_at)
    check_inputs_survive(out, [*files.values(), config, start_file], (*RESULT_FILES, AUTOSAVE_FILE))
    began = time.monotonic()
    return run_and_write(read(given, files), given, out, began, context.obj)


def run_and_write(measured: TiltSeries, given: o.Given, out: Path, began: float, command: str) -> int:
    """Reconstruct and write; the exit code. ``began`` is when the ``command`` began, by ``time.monotonic``."""
    given = given.with_file(facts_of(measured), measured.source)
    begin_at, given = read_start(given)
    read_seconds = time.monotonic() - began

    for warning in measured.warnings if writes() else ():
        print(f"warning: {warning}", file=sys.stderr)
    return run_job(measured, given.settings(), begin_at, out, began, command, read_seconds)


def run_job(
    measured: TiltSeries,
    settings: Settings,
    begin_at: Orbitals | None,
    out: Path,
    began: float,
    command: str,
    read_seconds: float = 0.0,
    checkpoint: Checkpoint | None = None,
    history: NDArray[np.float64] | None = None,
) -> int:
    """Reconstruct and write; the exit code. What a crash leaves of the run is said on stderr.

    ``history`` (K, 3) is that of a run that goes on from ``checkpoint``.
    """
    from napari_lot.cli.progress import finish_on_interrupt, follow
    from napari_lot.job import Control, Job
    from napari_lot.session import Autosave, Session

    control = Control()
    job = Job(measured, settings, begin_at, checkpoint)
    if not writes():  # one of several processes, of which another shows and writes
        with finish_on_interrupt(control):
            try:
                for _ in job.run(control):
                    pass
            except LostRank as error:
                from napari_lot.lot.distributed import speaks

                if speaks(error):
                    _say_what_is_left(out)
                raise
        return 0
    output = settings.output
    every = float("inf") if output.autosave_s is None else output.autosave_s
    begun = Session(measured, settings, start=begin_at)
    if history is not None:
        begun = replace(begun, history=history)
    autosave = Autosave(out / AUTOSAVE_FILE, begun, every, output.embed_images)
    told = False

    def save(snapshot: Snapshot) -> None:
        nonlocal told
        autosave.add(snapshot)
        if autosave.failure is None:
            told = False
        elif not told:
            told = True
            print(f"warning: {autosave.complaint}", file=sys.stderr)

    with claimed(out), finish_on_interrupt(control) as interrupt:
        _keep_broken_off(out)
        fit_began = time.monotonic()
        try:
            follow(job, control, save)
        except BaseException:
            autosave.wait()
            _say_what_is_left(out)
            raise
        fit_s = time.monotonic() - fit_began
        autosave.wait()
        result = job.result
        if result is None or not len(result.orbitals):
            autosave.remove()
            if interrupt.asked:
                print("Interrupted before there was an atom: nothing was written.", file=sys.stderr)
                return INTERRUPTED
            if job.stop_reason == "time limit":
                raise InputError(
                    f"--max-minutes {job.settings.solver.max_minutes:g}: time was up before there was an atom, and "
                    "nothing was written; allow more time."
                )
            raise InputError(
                f"{measured.source}: no atoms were found; check the pixel size, the angles and the spacing, and that "
                "atoms are bright on a dark background."
            )
        seconds = {"read": read_seconds, "start": fit_began - began - read_seconds}
        # what the fit took is told by itself: of a run that goes on it holds what was before
        seconds["total"] = time.monotonic() - began - fit_s + result.wall_seconds.get("total", fit_s)
        for warning in result.warnings:
            print(f"warning: {warning}", file=sys.stderr)
        run = {"command": command, "wall_seconds": seconds, "history": autosave.history, "start": begin_at}
        write(out, measured, result, run)
    print(summary(result, out, seconds["total"]))
    return INTERRUPTED if interrupt.asked else 0


def _say_what_is_left(out: Path) -> None:
    if left := _goes_on(out).strip():
        print(left, file=sys.stderr)


def _keep_broken_off(out: Path) -> None:
    """An earlier run that did not end keeps its file, under a name that this one does not use."""
    with suppress(FileNotFoundError):
        os.replace(out / AUTOSAVE_FILE, out / BROKEN_OFF_FILE)
        print(f"The run that broke off in {out} is kept as {out / BROKEN_OFF_FILE}.", file=sys.stderr)


def read(given: o.Given, files: Mapping[str, Path | None]) -> TiltSeries:
    """The measured series; what the user gave wins over what the file says."""
    from napari_lot.series.read import read_series

    data = given.settings().data
    return read_series(
        files["series"],  # type: ignore[arg-type]  # the one file that is always given
        angles=files.get("angles"),
        pixel_size_A=data.pixel_size_A,
        tilt_axis_deg=data.tilt_axis_deg if given.has("data.tilt_axis_deg") else None,
        center_px=data.center_px,
        mask=files.get("mask"),
        counts=data.counts if given.has("data.counts") else None,
        exclude=data.left_out,
    )


def facts_of(series: TiltSeries) -> dict[str, Any]:
    """What the file itself says of the microscope and the images, as ``section.name`` settings."""
    return {**facts_as_settings(series.metadata), "data.counts": series.counts}


def read_start(given: o.Given) -> tuple[Orbitals | None, o.Given]:
    """Atoms to start from (None for a grid, or where the job finds peaks), their species as the elements of the run.

    Where the user names no element, the elements of the file become those of the run.
    """
    from napari_lot.job import given_start

    settings: Settings = given.settings()
    atoms = given_start(settings)
    if atoms is None:
        return None, given
    from napari_lot.export import with_elements

    if not given.has("model.elements"):
        given = given.with_file({"model.elements": tuple(dict.fromkeys(atoms.elements))}, settings.start.kind)
    return with_elements(atoms, given.settings().model.elements, settings.start.kind), given


def check_inputs_survive(out: Path, inputs: Iterable[Path | None], written: Collection[str]) -> None:
    """Refuse a folder where what is ``written`` would replace one of the inputs."""
    folder = out.resolve()
    for path in inputs:
        if path is None:
            continue
        places = (path.resolve(), path.parent.resolve() / path.name)  # of a link, what it leads to and the link itself
        if any(place.parent == folder and place.name in written for place in places):
            raise InputError(f"{path}: would be replaced by the result of the same name; give another --out.")


def write(out: Path, series: TiltSeries, result: Result, run: dict[str, Any]) -> None:
    """Write the results."""
    write_or_rescue(
        out, lambda folder: write_results(folder, series, result, run), lambda folder: write_atoms_alone(folder, result)
    )


def write_or_rescue(
    out: Path, write_into: Callable[[Path], None], write_least: Callable[[Path], None] | None = None
) -> None:
    """Write results; where ``out`` fails now (a full disk), into a temporary folder: the run is not lost.

    Where that fails, too, ``write_least`` is tried on both.

    Raises
    ------
    InputError
        They were not written into ``out``: where they are.
    """
    try:
        write_into(out)
    except OSError as error:
        why = f"{out}: cannot write the results: {error.strerror or 'the disk is full, or files may not grow so large'}"
        ways = (write_into, None, "they are"), (write_least, out, "the atoms are"), (write_least, None, "the atoms are")
        for write_some, folder, what in ways:
            place = _tried(write_some, folder)
            if place is not None:
                raise InputError(f"{why}; {what} in {place}.{_goes_on(out)}") from None
        raise InputError(f"{why}; they are lost.{_goes_on(out)}") from None


def _tried(write_some: Callable[[Path], None] | None, folder: Path | None) -> Path | None:
    """Write into a folder, a temporary one where none is given; it, or None where that fails and leaves nothing."""
    if write_some is None:
        return None
    place = folder
    try:
        place = Path(tempfile.mkdtemp(prefix="napari-lot-")) if folder is None else folder
        write_some(place)
    except OSError:
        if folder is None and place is not None:
            shutil.rmtree(place, ignore_errors=True)
        return None
    return place


def _goes_on(out: Path) -> str:
    autosave = out / AUTOSAVE_FILE
    return f" The last state of the run is in {autosave}: napari-lot resume goes on." if autosave.is_file() else ""


def summary(result: Result, out: Path, seconds: float) -> str:
    """What a person wants to know at the end."""
    text = f"{len(result.orbitals)} atoms, {seconds:.1f} s in all: {out / 'atoms.xyz'}\n{result.message}"
    likelihood = result.details.get("likelihood")
    return text if likelihood is None else f"{text}\nF{fitted_by(likelihood)[1:]}."
