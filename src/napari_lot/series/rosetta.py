"""Formats of microscopes' own programs: DM3, DM4, SER, EMI, Velox EMD, BLO, through RosettaSciIO (extra ``formats``).

Only what a file says is taken: pixel size from axes in units of length, angles from an axis in degrees, of a single
image from the stage, of a stack of Velox from the stage at every frame; energy and semi-angle where they are there.
Nothing is guessed from names.
"""

from __future__ import annotations

import importlib
import logging
import math
import re
import struct
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_lot.errors import InputError
from napari_lot.progress import Progress, nothing
from napari_lot.series.angles import AngleTable
from napari_lot.series.raw import RawSeries, check_size, damaged, plausible_pixel_size, reason_of, unit_in_A

MODULES = {".dm3": "digitalmicrograph", ".dm4": "digitalmicrograph", ".ser": "tia", ".emi": "tia", ".blo": "blockfile"}
NAMES = {"digitalmicrograph": "DigitalMicrograph", "tia": "TIA", "blockfile": "Blockfile", "emd": "Velox EMD"}
_TARGETS = {
    "Acquisition_instrument.TEM.beam_energy": "energy_keV",
    "Acquisition_instrument.TEM.convergence_angle": "semiangle_mrad",
    "Acquisition_instrument.TEM.Stage.tilt_alpha": "tilt_deg",
}
LEAST_BETA_DEG = 0.2
"""A change of the second tilt that is worth a word."""
_ANGLE_UNITS = ("deg", "degree", "degrees", "°")


def read_rosetta(path: Path, progress: Progress = nothing, module: str | None = None) -> RawSeries:
    """Images of one of these formats, (T, V, U), or (V, U) of a single image with its stage tilt as its angle.

    Raises
    ------
    InputError
        RosettaSciIO is not installed, the file is damaged, holds no images or several that differ, or pixels that are
        not square.
    """
    module = module or MODULES[path.suffix.lower()]
    reader = _module(path, module)
    if module == "emd":  # the others read no more than there is; HDF5 gives zeros for what was never written
        from napari_lot.series.velox import check_declared

        check_declared(path)
    logging.getLogger("rsciio").setLevel(logging.CRITICAL)  # what it doubts is judged here, in one sentence
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            signals = reader.file_reader(str(path))
    except Exception as error:  # a damaged file makes the decoder fail in every way there is
        raise damaged(path, NAMES[module], _in_words(error)) from None
    images = [s for s in signals if s["data"].ndim in (2, 3, 4) and s["data"].dtype.kind in "buif"]
    if not images:
        raise InputError(f"{path}: no images of real numbers in the file: export the tilt series as TIFF or MRC.")
    if len(images) > 1:
        images = _one_kind(path, images)
    stacks = [_from_signal(path, signal, module) for signal in images]
    found = stacks[0] if len(stacks) == 1 else _joined(path, stacks)
    return _with_stage_tilts(path, found) if module == "emd" and found.angles is None else found


def _in_words(error: Exception) -> str:
    """What a decoder says of a damaged file, as far as it is said to people and not to who wrote it."""
    said = reason_of(error)
    if isinstance(error, struct.error | EOFError):
        return "it ends too early, or says a wrong length of its parts"
    code = isinstance(error, LookupError | AttributeError | TypeError | NameError)
    if code or not re.search(r"[a-z]{3}.* ", said):  # a name in its program, or a number alone
        return "a part is missing, or is not what it says"
    return said


def _with_stage_tilts(path: Path, raw: RawSeries) -> RawSeries:
    """A stack of Velox with the tilt that its stage had at every frame, where the file says it."""
    from napari_lot.series.velox import stage_tilts

    tilts = stage_tilts(path, len(raw.images)) if raw.images.ndim == 3 else None
    if tilts is None:
        return raw
    alpha, beta = tilts
    doubts = raw.warnings
    if np.isfinite(beta).all() and np.ptp(beta) > LEAST_BETA_DEG:
        doubts += (
            f"{path}: the stage's second tilt (beta) changes by {np.ptp(beta):.3g} degrees and is not used: give an "
            "angle file with psi_deg, theta_deg, phi_deg if the specimen was tilted about two axes.",
        )
    return replace(raw, angles=AngleTable(alpha, "lot", f"{path}: stage alpha of each frame"), warnings=doubts)


def _module(path: Path, module: str) -> Any:
    try:
        return importlib.import_module(f"rsciio.{module}")
    except ImportError:
        raise InputError(
            f'{path}: {NAMES[module]} files need the package RosettaSciIO: pip install "napari-lot[formats]", '
            "or export the series as TIFF or MRC."
        ) from None


def _one_kind(path: Path, signals: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The signals that belong together: those called HAADF where there are, or single images of one size."""
    titles = [str((s["metadata"].get("General") or {}).get("title", "")) for s in signals]
    haadf = [s for s, title in zip(signals, titles, strict=True) if "HAADF" in title.upper()]
    chosen = haadf or signals
    if len(chosen) == 1 or all(s["data"].shape == chosen[0]["data"].shape and s["data"].ndim == 2 for s in chosen):
        return chosen
    listed = ", ".join(t or "no name" for t in titles[:6])
    raise InputError(f"{path}: several stacks of images ({listed}): export the HAADF series alone as TIFF or MRC.")


def _from_signal(path: Path, signal: Mapping[str, Any], module: str) -> RawSeries:
    data = np.asarray(signal["data"])
    check_size(path, data.shape)
    axes = sorted(signal["axes"], key=lambda axis: int(axis.get("index_in_array") or 0))
    axes = [a for a, n in zip(axes, data.shape, strict=False) if n > 1] if data.ndim == len(axes) else axes
    data = np.squeeze(data)
    if data.ndim != len(axes) or data.ndim not in (2, 3):
        sizes = " x ".join(str(n) for n in data.shape)
        raise InputError(f"{path}: {data.ndim} dimensions ({sizes}) are no tilt series: one image per tilt is needed.")
    facts = _facts(signal)
    angles = None
    if data.ndim == 3:
        tilt = next((i for i, a in enumerate(axes) if str(a.get("units", "")).strip().lower() in _ANGLE_UNITS), 0)
        if str(axes[tilt].get("units", "")).strip().lower() in _ANGLE_UNITS:
            angles = AngleTable(_values(axes[tilt], data.shape[tilt]), "lot", f"{path}: axis {axes[tilt].get('name')}")
        data = np.moveaxis(data, tilt, 0)
        axes = [a for i, a in enumerate(axes) if i != tilt]
    elif "tilt_deg" in facts:
        angles = AngleTable(np.array([facts["tilt_deg"]]), "lot", f"{path}: stage alpha")
    v, u = (_length_A(axis) for axis in axes)
    if v is not None and u is not None and abs(v - u) > 1e-3 * u:
        raise InputError(f"{path}: the pixels are not square ({u:g} x {v:g} Å): resample the series to square pixels.")
    metadata: dict[str, Any] = {"format": NAMES[module]}
    if facts.get("energy_keV", 0) > 0:
        metadata["energy_eV"] = 1e3 * facts["energy_keV"]
    if facts.get("semiangle_mrad", 0) > 0:
        metadata["semiangle_mrad"] = facts["semiangle_mrad"]
    return RawSeries(images=data, angles=angles, pixel_size_A=u if u is not None else v, metadata=metadata)


def _values(axis: Mapping[str, Any], count: int) -> NDArray[np.float64]:
    if "axis" in axis:
        return np.asarray(axis["axis"], np.float64)
    steps = np.arange(count, dtype=np.float64)
    return np.asarray(float(axis.get("offset") or 0.0) + float(axis.get("scale") or 0.0) * steps)


def _length_A(axis: Mapping[str, Any]) -> float | None:
    factor = unit_in_A(str(axis.get("units") or ""))
    return None if factor is None else plausible_pixel_size(abs(float(axis.get("scale") or 0.0)) * factor)


def _facts(signal: Mapping[str, Any]) -> dict[str, float]:
    """Energy, semi-angle and stage tilt where the file says them, from what is understood of it or by its own names."""
    facts: dict[str, float] = {}
    for target, name in _TARGETS.items():
        number = _number(_at(signal.get("metadata") or {}, target))
        if number is not None:
            facts[name] = number
    for source, (target, convert) in (signal.get("mapping") or {}).items():
        if target not in _TARGETS or _TARGETS[target] in facts:
            continue
        value = _at(signal.get("original_metadata") or {}, source)
        try:
            number = None if value is None else _number(convert(value) if convert else value)
        except (TypeError, ValueError):
            number = None
        if number is not None:
            facts[_TARGETS[target]] = number
    return facts


def _at(tree: Any, path: str) -> Any:
    for name in path.split("."):
        if not isinstance(tree, Mapping) or name not in tree:
            return None
        tree = tree[name]
    return tree


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _joined(path: Path, single: list[RawSeries]) -> RawSeries:
    """Single images of one file as a stack; angles only where every one has its own."""
    from napari_lot.series.several import join

    return join([(path, raw) for raw in single], str(path))
