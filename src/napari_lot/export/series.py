"""A tilt series written so that it is read again as the same: NPZ holds all of it, TIFF and MRC need a file beside."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np

from napari_lot.errors import InputError
from napari_lot.export.write import write_stack
from napari_lot.files import write_whole
from napari_lot.series.tilt_series import TiltSeries
from napari_lot.session.file import SUFFIX, Session, write_session
from napari_lot.settings import Settings, facts_as_settings, settings_from_dict

ENDINGS = (".npz", ".tif", ".tiff", ".mrc", ".h5")


def write_series(path: str | Path, series: TiltSeries) -> list[Path]:
    """Write a series by the file's ending; returns the files written.

    ``.npz`` and the session (``.lot.h5``) hold everything. TIFF and MRC hold images and pixel size; angles go into
    ``NAME_angles.csv`` beside them, which is found again when the series is read.

    Raises
    ------
    InputError
        Another ending, or something that the format cannot hold and that would be lost.
    """
    path = Path(path)
    name = path.name.lower()
    ending = next((e for e in ENDINGS if name.endswith(e)), None)
    if ending is None:
        raise InputError(f"{path}: a tilt series is written as {', '.join(ENDINGS)}, not as {path.suffix or 'this'}.")
    if ending == ".h5":
        write_session(path, Session(series, _settings(series)))
        return [path]
    if series.rotations is not None:
        raise InputError(f"{path}: this series has rotation matrices in place of angles: save it as {SUFFIX}.")
    if ending == ".npz":
        write_whole(path, lambda p: _npz(p, series))
        return [path]
    lost = [
        what
        for what, there in (
            ("mask", series.mask is not None),
            ("tilt axis", bool(series.tilt_axis_deg)),
            ("tilts that are left out", bool(series.excluded)),
            ("electron counts", series.counts),
        )
        if there
    ]
    if lost:
        raise InputError(f"{path}: this format has no place for: {', '.join(lost)}; save it as .npz or {SUFFIX}.")
    angles = path.with_name(f"{path.stem}_angles.csv")
    rows = "\n".join(",".join(f"{a:.9g}" for a in row) for row in series.angles_deg)
    write_whole(angles, lambda p: p.write_text(f"psi_deg,theta_deg,phi_deg\n{rows}\n", encoding="utf-8"))
    write_whole(path, (lambda p: _mrc(p, series)) if ending == ".mrc" else lambda p: _tiff(p, series))
    return [path, angles]


def _settings(series: TiltSeries) -> Settings:
    """What the series' own file says of microscope and element."""
    values: dict[str, dict[str, Any]] = {}
    for setting, value in facts_as_settings(series.metadata).items():
        section, name = setting.split(".")
        values.setdefault(section, {})[name] = value
    return settings_from_dict(values, series.source)


def _npz(path: Path, series: TiltSeries) -> None:
    arrays: dict[str, Any] = {
        "images": series.images,
        "angles_deg": series.angles_deg,
        "pixel_size_A": series.pixel_size_A,
        "tilt_axis_deg": series.tilt_axis_deg,
        "counts": series.counts,
        "excluded": np.asarray(series.excluded, np.int64),
    }
    if series.center_known and series.center_px is not None:
        arrays["center_px"] = np.asarray(series.center_px)
    if series.mask is not None:
        arrays["mask"] = series.mask
    known = facts_as_settings(series.metadata)
    arrays |= {name.split(".")[1]: value for name, value in known.items() if name.startswith("microscope.")}
    if "model.elements" in known:
        elements = known["model.elements"]
        arrays["element" if len(elements) == 1 else "elements"] = elements[0] if len(elements) == 1 else list(elements)
    with path.open("wb") as file:  # given a name, numpy would add another ending to it
        np.savez_compressed(file, **arrays)


def _tiff(path: Path, series: TiltSeries) -> None:
    write_stack(path, series.images, series.pixel_size_A)


def _mrc(path: Path, series: TiltSeries) -> None:
    with mrcfile.new(os.fspath(path), overwrite=True) as file:
        file.set_data(np.asarray(series.images, np.float32))
        file.set_image_stack()
        file.voxel_size = series.pixel_size_A
