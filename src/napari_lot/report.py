"""The results of a run as files: the folder checked before, everything written at the end, nothing half-written."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Callable, Collection
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_lot.errors import InputError
from napari_lot.export import write_atoms_csv, write_atoms_xyz, write_stack
from napari_lot.export.methods import methods_text
from napari_lot.files import make_folder, sync_file, sync_folder
from napari_lot.job import Result
from napari_lot.machine import peak_memory_gb as peak_memory_gb
from napari_lot.owner import CLAIM_FILE, check_unclaimed
from napari_lot.progress import Progress, nothing, part
from napari_lot.series.tilt_series import TiltSeries
from napari_lot.session import Session, write_session

RESULT_FILES = (
    "atoms.csv",
    "atoms.xyz",
    "report.json",
    "calculated.tif",
    "residual.tif",
    "probe.tif",
    "probe_before.tif",
    "methods.md",
    "run.lot.h5",
)
AUTOSAVE_FILE, BROKEN_OFF_FILE = "autosave.lot.h5", "broken-off.lot.h5"
"""What a running fit leaves in its folder; it goes when the results are written."""
_PARTIAL = ".partial-"
_VERSIONS_OF = ("napari-lot", "numpy", "scipy", "torch", "numba")


OTHER_BYTES = "backslashreplace"
"""What becomes of the bytes of a file's name that are no UTF-8: an escape that JSON has, too."""


def check_output_folder(out: str | Path, overwrite: bool = False) -> Path:
    """Refuse a folder for results that could not be written at the end of the run. Creates nothing.

    Raises
    ------
    InputError
        ``out`` is a file, holds anything (and ``overwrite`` is False), another run writes there, or it
        cannot be written.
    """
    out = Path(out)
    try:
        if out.is_symlink() and not out.exists():
            raise InputError(f"{out}: is a link to nothing; remove it, or give another --out.")
        if out.exists() and not out.is_dir():
            raise InputError(f"{out}: is a file, not a folder; give another --out.")
        check_unclaimed(out)
        if not overwrite and (out / AUTOSAVE_FILE).is_file():
            raise InputError(
                f"{out}: holds a run that broke off: go on with it by napari-lot resume {out / AUTOSAVE_FILE}, give "
                "another --out, or --overwrite, which keeps it."
            )
        if out.is_dir() and not overwrite and any(path.name != CLAIM_FILE for path in out.iterdir()):
            raise InputError(f"{out}: the output folder is not empty; give another --out, or --overwrite.")
        place = out
        while not place.exists() and place != place.parent:
            place = place.parent
        if not place.is_dir():
            raise InputError(f"{place}: is a file where a folder of --out is meant; give another --out.")
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise InputError(f"{out}: cannot write there: {error.strerror or error}; give another --out.") from None
    except RuntimeError:  # of links that lead in a circle
        raise InputError(f"{out}: cannot write there: links lead in a circle; give another --out.") from None
    return out


def write_folder(
    out: str | Path,
    writers: dict[str, Callable[[Path], None]],
    stale: Collection[str] = RESULT_FILES,
    progress: Progress = nothing,
) -> None:
    """Write several files so that each appears whole or not at all.

    All are written under temporary names in ``out`` first; only when the last one is complete and on the disk are they
    renamed. Files named in ``stale`` that are not written this time are removed, so that a folder never mixes two runs.
    ``progress`` is told 1 when all is written: what it raises leaves ``out`` as it was.

    Raises
    ------
    OSError
        A file could not be written; then nothing in ``out`` has changed.
    """
    out = Path(out)
    made = not out.exists()
    make_folder(out)
    partial = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=out))
    try:
        for name, write in writers.items():
            write(partial / name)
        for name in writers:
            sync_file(partial / name)
        progress(1.0)
        for name in writers:
            os.replace(partial / name, out / name)
        # what a power cut leaves is never less than the files of before: they go when all of these have their names
        sync_folder(out)
        for name in set(stale) - set(writers):
            (out / name).unlink(missing_ok=True)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        if made and not any(out.iterdir()):
            out.rmdir()


def write_results(
    out: str | Path,
    series: TiltSeries,
    result: Result,
    run: dict[str, Any] | None = None,
    progress: Progress = nothing,
) -> None:
    """Write every file of a finished run (``RESULT_FILES``) into ``out``; two probes only where the fit changed it.

    Parameters
    ----------
    out : path
    series : TiltSeries
        The measured series; its pixel size goes into the TIFF files.
    result : Result
    run : dict, optional
        What only the caller knows: ``command`` (str), ``wall_seconds`` ({stage: s}, added to the result's),
        ``history`` ((K, 3), pass, loss and mean R of the snapshots), ``start`` (the atoms that the run was given).
    progress : callable
        Told how much is written, 0 to 1; what it raises leaves ``out`` as it was.
    """
    pixel = series.pixel_size_A
    run = run or {}
    report = make_report(series, result, run)
    session = Session(
        series,
        result.settings,
        result,
        history=run.get("history", np.zeros((0, 3))),
        start=run.get("start"),
        notes=result.by_hand,
    )
    probe, before = result.probe, result.probe_before
    writers: dict[str, Callable[[Path], None]] = {
        "calculated.tif": lambda path: write_stack(path, result.calculated, pixel, progress=part(progress, 0.0, 0.3)),
        "residual.tif": lambda path: write_stack(path, result.residual, pixel, progress=part(progress, 0.3, 0.6)),
        "probe.tif": lambda path: write_stack(path, probe.images, probe.pixel_size_A, axes="ZYX"),
        "methods.md": lambda path: write_text(path, methods_text(series, result)),
        "run.lot.h5": lambda path: write_session(
            path, session, result.settings.output.embed_images, part(progress, 0.6, 1.0)
        ),
        "report.json": lambda path: write_json(path, report),
        **_tables(result),
    }
    if before is not None and result.probe_changed:
        writers["probe_before.tif"] = lambda path: write_stack(path, before.images, before.pixel_size_A, axes="ZYX")
    write_folder(out, writers, (*RESULT_FILES, AUTOSAVE_FILE), progress)


def write_atoms_alone(out: str | Path, result: Result) -> None:
    """Of a finished run only ``atoms.csv`` and ``atoms.xyz``: where there is no place for more."""
    write_folder(out, _tables(result))


def _tables(result: Result) -> dict[str, Callable[[Path], None]]:
    """What writes the atoms."""
    return {
        "atoms.csv": lambda path: write_atoms_csv(path, result.orbitals, result.columns),
        "atoms.xyz": lambda path: write_atoms_xyz(path, result.orbitals, result.columns),
    }


def make_report(series: TiltSeries, result: Result, run: dict[str, Any]) -> dict[str, Any]:
    """Content of ``report.json``; undefined numbers are None."""
    wall = {**result.wall_seconds, **run.get("wall_seconds", {})}
    wall["total"] = wall.pop("total", sum(wall.values()))
    fitted, withheld = result.agreement() or (None, None), result.agreement(withheld=True) or (None, None)
    settings = result.settings

    def of_used(values: NDArray[np.float64]) -> NDArray[np.float64]:
        """What was found for each tilt; unknown for those that were left out."""
        known = np.array(values, np.float64)
        known[sorted({*series.excluded, *settings.data.left_out})] = np.nan
        return known

    report = {
        "atoms": len(result.orbitals),
        "r_factor": {"mean": fitted[0], "per_tilt": result.r_factor},
        "correlation": {"mean": fitted[1], "per_tilt": result.correlation},
        "corrections": {
            "center_px": result.center_px,
            "shifts_px": of_used(result.shifts_px),
            "angles_deg": of_used(result.angles_deg) if len(result.angles_deg) else None,
            "scale": of_used(result.scale),
            "background": of_used(result.background),
            "defocus_A": (result.details.get("microscope") or {}).get("defocus_A"),
        },
        "probe": {
            "depths_A": result.probe.depth_A,
            "pixel_size_A": result.probe.pixel_size_A,
            "microscope": result.details.get("microscope"),
            "microscope_sigma_A": result.details.get("microscope_sigma_A"),
        },
        "object": {"kind": result.details.get("object"), "thickness_A": result.details.get("thickness_A")},
        "refined": result.details.get("refined"),
        "edits": result.details.get("edits") or [],
        "likelihood": result.details.get("likelihood"),
        "damage": result.details.get("damage"),
        "error_bars": {"inflation": result.details.get("error_bar_inflation")},
        "handedness": result.details.get("handedness") or None,
        "wall_seconds": wall,
        "peak_memory_gb": peak_memory_gb(),
        "stop_reason": result.stop_reason,
        "message": result.message,
        "warnings": result.warnings,
        "series": series_facts(series),
        "settings": settings.model_dump(mode="json"),
        "versions": versions(),
        "device": result.details.get("device", "cpu"),
        "threads": result.details.get("threads"),
        "processes": result.details.get("processes", 1),
        "seed": settings.solver.seed,
        "command": run.get("command"),
    }
    if result.withheld:
        report |= {"r_withheld": withheld[0], "correlation_withheld": withheld[1], "withheld": result.withheld}
    elsewhere = ("device", "processes", "likelihood", "damage", "handedness", "edits")
    details = {name: value for name, value in result.details.items() if name not in elsewhere}
    if details:
        report["details"] = details
    plain: dict[str, Any] = to_plain(report)
    return plain


def to_plain(value: Any) -> Any:
    """The same value in JSON's types: arrays as lists, NaN and infinity as None, anything unknown as its text."""
    if isinstance(value, dict):
        return {str(name): to_plain(item) for name, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return to_plain(value.tolist())
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def write_text(path: str | Path, text: str) -> None:
    """Write a text as UTF-8."""
    Path(path).write_text(text, encoding="utf-8", errors=OTHER_BYTES)


def write_json(path: str | Path, value: Any) -> None:
    """Strict JSON (no NaN), readable by people."""
    text = json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False)
    # A row of numbers is a row, not a column.
    text = re.sub(r"\[\s+([^][{}\"]+?)\s+\]", lambda row: "[" + " ".join(row[1].split()) + "]", text)
    Path(path).write_text(text + "\n", encoding="utf-8", errors=OTHER_BYTES)


def series_facts(series: TiltSeries) -> dict[str, Any]:
    """What a report says of the measured series."""
    return {
        "source": series.source,
        "shape": series.images.shape,
        "pixel_size_A": series.pixel_size_A,
        "counts": series.counts,
        "excluded": series.excluded,
        "warnings": series.warnings,
        "prepared": series.history,
    }


def versions() -> dict[str, str]:
    """Versions of this package, of Python and of what computes."""
    found = {"python": platform.python_version()}
    for name in _VERSIONS_OF:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from a source tree that is not installed
            found[name] = "unknown"
    return found
