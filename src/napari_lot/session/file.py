"""The session file: one run in one HDF5 file, from the measured images to what a person decided about its atoms.

Layout (schema 1), documented in docs/session.md::

    /            attributes format, schema, version, saved
    /series      angles_deg, images (unless left out), mask, rotations; facts
    /settings    JSON: every setting;  /settings_given  JSON: the names that somebody set
    /result      one entry a field of Result, orbitals, probe and probe_before as groups   (after a run)
    /state       stage, step, R-factors, orbitals                                          (during a run)
    /start       orbitals that the run began with, where it was given some
    /history     (K, 3): pass, loss, mean R
    /notes       JSON: what a person changed and decided;  /view  JSON: what was looked at
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from napari_lot import __version__
from napari_lot.atoms import Orbitals
from napari_lot.errors import InputError
from napari_lot.files import check_readable, write_whole
from napari_lot.job import ProbeSlices, Result, Snapshot
from napari_lot.progress import Progress, counted, nothing, part
from napari_lot.result import Checkpoint
from napari_lot.series.checks import check_stack_shape
from napari_lot.series.raw import reason_of
from napari_lot.series.stored import Attributes
from napari_lot.series.tilt_series import TiltSeries
from napari_lot.session.careful import writing
from napari_lot.session.encode import get, get_json, plain, put, put_array, put_text, same_images, whole
from napari_lot.settings import Settings, settings_from_dict

SUFFIX = ".lot.h5"
WORDS = "words"
FORMAT, SCHEMA = "napari-lot session", 1
# While a grid condenses its orbitals are no atoms yet, and of the mirrored twin they are those of the other hand.
NOT_ATOMS = ("peaks", "prepare", "start", "heights", "positions", "merge", "handedness")


@dataclass(frozen=True)
class RunState:
    """Where a run was when its session was written: a ``Snapshot`` without images."""

    orbitals: Orbitals
    stage: str
    step: int
    steps_total: int
    loss: float
    r_factor: NDArray[np.float64]
    elapsed_s: float
    message: str
    checkpoint: Checkpoint | None = None

    @classmethod
    def of(cls, snapshot: Snapshot) -> RunState:
        """What a session keeps of a snapshot."""
        return cls(**{f.name: getattr(snapshot, f.name) for f in fields(cls)})


@dataclass(frozen=True, eq=False)
class Session:
    """One run: what it began with, and what it found or where it was.

    Attributes
    ----------
    series : TiltSeries
    settings : Settings
    result : Result or None
        None while the run goes on.
    state : RunState or None
        The last state of a run that had not ended.
    history : (K, 3) float64
        Pass, loss and mean R of every snapshot.
    notes : dict
        What a person changed and decided (``edits``, ``decisions``), in JSON's types.
    view : dict
        What was looked at: ``view``, ``tilt``, ``color_by``.
    saved, version : str
        When, in local time, and by which version of this package; set when a session is read.
    start : Orbitals or None
        Atoms that the run was given to begin with.
    """

    series: TiltSeries
    settings: Settings
    result: Result | None = None
    state: RunState | None = None
    history: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 3)))
    notes: dict[str, Any] = field(default_factory=dict)
    view: dict[str, Any] = field(default_factory=dict)
    saved: str = ""
    version: str = ""
    start: Orbitals | None = None

    @property
    def orbitals(self) -> Orbitals | None:
        """The atoms that were found, or the orbitals of the last state."""
        if self.result is not None:
            return self.result.orbitals
        return None if self.state is None else self.state.orbitals

    @property
    def atoms(self) -> Orbitals | None:
        """Orbitals that a fit can begin with; None where they had not become atoms yet."""
        if self.result is None and (self.state is None or self.state.stage in NOT_ATOMS):
            return None
        return self.orbitals


def is_session(path: str | Path) -> bool:
    """Whether a file is a session, by its content."""
    if not os.path.isfile(path):  # a pipe would be waited for
        return False
    try:
        with h5py.File(path) as file:
            return str(_attributes(file).get("format", "")) == FORMAT
    except Exception:  # of a damaged file h5py raises all kinds
        return False


def _attributes(group: h5py.Group) -> Attributes:
    return Attributes(group, all_in_header=True)


# -- writing ----------------------------------------------------------------------------------------------------------


def write_session(path: str | Path, session: Session, embed_images: bool = True, progress: Progress = nothing) -> None:
    """Write a session, whole or not at all.

    Parameters
    ----------
    embed_images : bool
        Whether the measured images are in the file; otherwise it holds where they come from and their SHA-256, and they
        are read from there when it is opened.
    progress : callable
        Told how much is done, 0 to 1; what it raises ends the writing, and nothing is left of it.

    Raises
    ------
    OSError
        It cannot be written; an earlier file of that name is as it was.
    """
    write_whole(path, lambda temporary: _write(temporary, session, embed_images, progress), progress)


def _write(path: Path, session: Session, embed_images: bool, progress: Progress) -> None:
    with writing(path) as (file, disk):

        def watched(share: float) -> None:
            disk.check()
            progress(share)

        now = datetime.now().astimezone().isoformat(timespec="seconds")
        file.attrs.update({"format": FORMAT, "schema": SCHEMA, "version": __version__, "saved": now})
        _write_series(file.create_group("series"), session.series, embed_images, part(watched, 0.0, 0.5))
        put_text(file, "settings", session.settings.model_dump_json(indent=1))
        given = {name: sorted(getattr(session.settings, name).model_fields_set) for name in Settings.model_fields}
        put_text(file, "settings_given", json.dumps(given))
        if session.result is not None:
            _write_result(file.create_group("result"), session.result, session.series, part(watched, 0.5, 1.0))
        if session.state is not None:
            _write_fields(file.create_group("state"), session.state)
        if session.start is not None:
            _write_fields(file.create_group("start"), session.start)
        put_array(file, "history", np.asarray(session.history, np.float64).reshape(-1, 3))
        put_text(file, "notes", json.dumps(plain(session.notes), ensure_ascii=False))
        put_text(file, "view", json.dumps(plain(session.view), ensure_ascii=False))


def images_hash(images: NDArray[np.float32], progress: Progress = nothing) -> str:
    """SHA-256 of a stack's shape and its float32 values."""
    found = hashlib.sha256(repr(images.shape).encode())
    for i in counted(range(len(images)), progress):
        found.update(np.ascontiguousarray(images[i], np.dtype("<f4")).data)
    return found.hexdigest()


def _write_series(group: h5py.Group, series: TiltSeries, embed_images: bool, progress: Progress) -> None:
    values = {f.name: getattr(series, f.name) for f in fields(series)}
    if not embed_images:
        del values["images"]
    values["metadata"] = plain(series.metadata)
    put(group, {name: value for name, value in values.items() if value is not None}, part(progress, 0.0, 0.5))
    group.attrs["images_sha256"] = images_hash(series.images, part(progress, 0.5, 1.0))
    group.attrs["shape"] = series.images.shape
    source = Path(series.source)
    group.attrs["path"] = _as_text_or_bytes(source.resolve()) if source.is_file() else ""


def _as_text_or_bytes(path: Path) -> str | np.bytes_:
    """A path as text; as bytes where its name is no UTF-8."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return np.bytes_(os.fsencode(path))
    return str(path)


def _write_result(group: h5py.Group, result: Result, series: TiltSeries, progress: Progress) -> None:
    leave_out = {"settings"}
    if same_images(result.residual, series.images - result.calculated):
        leave_out.add("residual")
    _write_fields(group, result, leave_out, progress)


def _write_fields(
    group: h5py.Group,
    value: Any,
    leave_out: set[str] | frozenset[str] = frozenset(),
    progress: Progress = nothing,
) -> None:
    """Every field of a dataclass; those that are dataclasses themselves become groups."""
    own: dict[str, Any] = {}
    for f in fields(value):
        item = getattr(value, f.name)
        if f.name in leave_out or item is None:
            continue
        if isinstance(item, Orbitals | ProbeSlices):
            _write_fields(group.create_group(f.name), item)
        elif isinstance(item, Checkpoint):
            put(group.create_group(f.name), {**item.numbers, WORDS: item.words})
        else:
            own[f.name] = item
    put(group, own, progress)


# -- reading ----------------------------------------------------------------------------------------------------------


def read_session(path: str | Path, progress: Progress = nothing) -> Session:
    """Read a session.

    Parameters
    ----------
    progress : callable
        Told how much is done, 0 to 1; what it raises ends the reading.

    Raises
    ------
    InputError
        Not a session, damaged, of a later kind, or without images whose source has changed or is gone.
    """
    path = Path(path)
    check_readable(path, "session")
    try:
        if not h5py.is_hdf5(path):
            raise InputError(f"{path}: this is not a session of napari-lot: give a file that it saved ({SUFFIX}).")
        with h5py.File(path) as file:
            told = _attributes(file)
            if str(told.get("format", "")) != FORMAT:
                raise InputError(f"{path}: this is not a session of napari-lot: give a file that it saved ({SUFFIX}).")
            schema = int(told["schema"])
            if schema < 1:
                raise InputError(
                    f"{path}: this session says that its schema is {schema}, which there never was: open another copy."
                )
            if schema > SCHEMA:
                raise InputError(
                    f"{path}: this session was written by napari-lot {told['version']}, which knows more than "
                    f"this version ({__version__}): upgrade with 'pip install --upgrade napari-lot'."
                )
            return _read(file, path, progress)
    except InputError as error:
        # what a value of it cannot be is said of the value's place, which is not always this file
        raise error if str(path) in str(error) else InputError(f"{path}: {error}") from None
    except Exception as error:  # a damaged file makes the decoder fail in every way there is
        raise InputError(
            f"{path}: this session is truncated or damaged ({reason_of(error)}): open another copy."
        ) from None


def _read(file: h5py.File, path: Path, progress: Progress) -> Session:
    settings = _read_settings(file, path)
    series = _read_series(file["series"], path, part(progress, 0.0, 0.5))
    result = _read_result(file["result"], settings, series, part(progress, 0.5, 1.0)) if "result" in file else None
    state = RunState(**_read_fields(file["state"], RunState)) if "state" in file else None
    if "settings" not in file:
        raise InputError("this session has no settings: open another copy.")
    history = np.asarray(whole(file["history"]), np.float64)
    if history.ndim != 2 or history.shape[1] != 3:
        raise InputError("the history of this session is damaged: open another copy.")
    start = Orbitals(**_read_fields(file["start"], Orbitals)) if "start" in file else None
    return Session(
        series=series,
        settings=settings,
        result=result,
        state=state,
        start=start,
        history=history,
        notes=get_json(file, "notes", {}),
        view=get_json(file, "view", {}),
        saved=str(_attributes(file)["saved"]),
        version=str(_attributes(file)["version"]),
    )


def _read_settings(file: h5py.File, path: Path) -> Settings:
    """All settings with their values of then; those that nobody had set count as not set again."""
    settings = settings_from_dict(get_json(file, "settings", {}), str(path))
    given = get_json(file, "settings_given", {})
    sections = {}
    for name in Settings.model_fields:
        section = getattr(settings, name)
        values = {n: getattr(section, n) for n in type(section).model_fields}
        sections[name] = type(section).model_construct(_fields_set=set(given.get(name, ())), **values)
    return Settings.model_construct(_fields_set=set(given), **sections)


def _read_series(group: h5py.Group, path: Path, progress: Progress) -> TiltSeries:
    values = {n: v for n, v in get(group, progress).items() if n in {f.name for f in fields(TiltSeries)}}
    values["angles_deg"] = np.asarray(values["angles_deg"])
    if "images" in values:
        return TiltSeries(**values)
    return _from_source(group, values, path, progress)


def _from_source(group: h5py.Group, values: dict[str, Any], path: Path, progress: Progress) -> TiltSeries:
    """The series with its images from the file that they came from, if they are still the same."""
    from napari_lot.series.read import READERS

    told = _attributes(group)
    source = Path(os.fsdecode(told["path"]) or values["source"])
    beside = path.parent / source.name
    for place in (source, beside):
        reader: Callable[[Path, Progress], Any] | None = READERS.get(place.suffix.lower())
        if reader is None or not place.is_file():
            continue
        images = np.asarray(reader(place, progress).images)
        check_stack_shape(images.shape, str(place))
        # a series in another program's geometry was transposed when it was read
        for turned in (images, images.transpose(0, 2, 1)):
            if turned.shape == tuple(told["shape"]):
                series = TiltSeries(images=turned, **values)
                if images_hash(series.images) == told["images_sha256"]:
                    return series
        raise InputError(
            f"{path}: the images of {place} are not those of this session any more: put the file of then beside it."
        )
    raise InputError(
        f"{path}: this session was saved without its images, and {source} is not there: put that file beside it."
    )


def _read_result(group: h5py.Group, settings: Settings, series: TiltSeries, progress: Progress) -> Result:
    values = _read_fields(group, Result, progress)
    if "residual" not in values:
        values["residual"] = series.images - values["calculated"]
    return Result(settings=settings, **values)


def _read_fields(group: h5py.Group, kind: type, progress: Progress = nothing) -> dict[str, Any]:
    """The fields of a dataclass that the file holds and that there are now."""
    names = {f.name for f in fields(kind)}
    values = get(group, progress)
    inner: Mapping[str, type] = {"orbitals": Orbitals, "probe": ProbeSlices, "probe_before": ProbeSlices}
    for name, item in group.items():
        if name == "checkpoint":
            numbers = get(item)
            words = numbers.pop(WORDS, {})
            values[name] = Checkpoint(numbers, words)
        elif isinstance(item, h5py.Group) and name in inner:
            values[name] = inner[name](**_read_fields(item, inner[name]))
    return {name: value for name, value in values.items() if name in names}
