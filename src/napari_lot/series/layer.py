"""A tilt series as a napari layer's plain data, and back. Numpy only: napari is not imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_lot.errors import InputError
from napari_lot.series.checks import check_mask, check_stack_shape, mask_of_finite
from napari_lot.series.raw import plausible_pixel_size, unit_in_A
from napari_lot.series.read import AngleSource, angle_values, read_mask
from napari_lot.series.tilt_series import TiltSeries

KEY = "napari_lot_series"
"""Where the geometry of a series lies in a layer's metadata."""

AXIS_LABELS = ("tilt", "z", "y", "x")
UNITS = ("pixel", "angstrom", "angstrom", "angstrom")


def layer_data(series: TiltSeries, name: str | None = None) -> tuple[NDArray[np.float32], dict[str, Any], str]:
    """napari's LayerData of a series: a 4-D image [tilt, 1, v, u] in Å with the rotation centre at the origin."""
    options = {
        "name": name or Path(series.source).stem,
        **layer_place(series),
        "units": UNITS,
        "axis_labels": AXIS_LABELS,
        "metadata": {KEY: layer_facts(series)},
    }
    return series.images[:, None], options, "image"


def layer_place(series: TiltSeries) -> dict[str, tuple[float, ...]]:
    """Scale and translation of a layer [tilt, 1, v, u] that put the rotation centre at the origin, in Å."""
    p = series.pixel_size_A
    row, column = series.center_px or (0.0, 0.0)
    return {"scale": (1.0, p, p, p), "translate": (0.0, 0.0, -row * p, -column * p)}


def layer_facts(series: TiltSeries) -> dict[str, Any]:
    """What a layer's metadata hold under ``KEY``: all that ``series_from_layer_data`` needs to build it again."""
    return {
        "shape": series.images.shape,
        "angles_deg": series.angles_deg,
        "pixel_size_A": series.pixel_size_A,
        "center_px": series.center_px,
        "center_known": series.center_known,
        "tilt_axis_deg": series.tilt_axis_deg,
        "mask": series.mask,
        "counts": series.counts,
        "rotations": series.rotations,
        "excluded": series.excluded,
        "warnings": series.warnings,
        "history": series.history,
        "source": series.source,
        "metadata": series.metadata,
    }


def series_from_layer_data(
    array: Any,
    metadata: Mapping[str, Any] | None = None,
    scale: Sequence[float] | None = None,
    *,
    units: Sequence[Any] | None = None,
    name: str = "layer",
    angles: AngleSource = None,
    pixel_size_A: float | None = None,
    tilt_axis_deg: float | None = None,
    center_px: tuple[float, float] | None = None,
    mask: str | Path | NDArray[Any] | None = None,
    counts: bool | None = None,
    exclude: Sequence[int] = (),
    mask_nonfinite: bool = False,
) -> TiltSeries:
    """A tilt series from an image layer: [tilt, v, u] or [tilt, 1, v, u].

    What the caller gives wins, then the layer's scale where its units are lengths, then what this package left in the
    layer's metadata. The centre and mask found there are used only while the layer still has the shape they belong to.

    Parameters
    ----------
    array : array
        The layer's data; lazy arrays are read.
    metadata, scale, units : optional
        The layer's own. A scale in pixels says nothing about the pixel size.
    name : str
        The layer's name, for messages.
    angles : path, array or function of the number of tilts, optional
        As for ``read_series``, and ``mask_nonfinite``.

    Raises
    ------
    InputError
        Not a stack, no angles, no pixel size, pixels that are not square, and everything that ``TiltSeries`` refuses.
    """
    images = np.asarray(array)
    if images.ndim == 4 and images.shape[1] == 1:
        images = images[:, 0]
    check_stack_shape(images.shape, name)
    facts: Mapping[str, Any] = (metadata or {}).get(KEY, {})
    same_shape = tuple(facts.get("shape", ())) == images.shape
    geometry = {k: facts[k] for k in ("angles_deg", "rotations") if same_shape and facts.get(k) is not None}
    if angles is not None:
        geometry = {"angles_deg": angle_values(angles, len(images), name)}
    if "angles_deg" not in geometry and "rotations" not in geometry:
        raise InputError(
            f"{name}: this layer does not say its tilt angles: choose an angle file, or give start and step."
        )
    center_known = None
    if same_shape:
        if center_px is None:
            center_px, center_known = facts.get("center_px"), facts.get("center_known")
        mask = mask if mask is not None else facts.get("mask")
    values: dict[str, Any] = {
        "pixel_size_A": _first(pixel_size_A, _scale_in_A(scale, units, name), facts.get("pixel_size_A")),
        "tilt_axis_deg": _first(tilt_axis_deg, facts.get("tilt_axis_deg"), 0.0),
        "counts": _first(counts, facts.get("counts"), False),
        "excluded": tuple(exclude) or (tuple(facts.get("excluded", ())) if same_shape else ()),
        "metadata": dict(facts.get("metadata", {})),
        "source": name,
        "history": tuple(facts.get("history", ())),
        "center_px": center_px,
        "center_known": center_known,
        "mask": read_mask(mask) if isinstance(mask, (str, Path)) else mask,
    }
    if "angles_deg" not in geometry:
        geometry["angles_deg"] = np.zeros((len(images), 3))
    if same_shape and angles is None:
        values["warnings"] = tuple(facts.get("warnings", ()))
    if mask_nonfinite:
        mask = check_mask(values["mask"], images.shape, name)
        values["mask"], masked = mask_of_finite(images, mask, values["excluded"], name)
        values["warnings"] = (*values.get("warnings", ()), *masked)
    return TiltSeries(images=images, **geometry, **values)


def _first(*values: Any) -> Any:
    return next((v for v in values if v is not None), None)


def _scale_in_A(scale: Sequence[float] | None, units: Sequence[Any] | None, name: str) -> float | None:
    """Pixel size, where the layer's units are lengths; InputError where it differs along u and v."""
    if scale is None or units is None or len(scale) < 2 or len(units) < 2:
        return None
    y, x = (_length_A(s, u) for s, u in list(zip(scale, units, strict=False))[-2:])
    if x is not None and y is not None and abs(x - y) > 1e-3 * x:
        raise InputError(f"{name}: the pixels are not square ({x:g} x {y:g} Å): resample the series to square pixels.")
    return x


def _length_A(scale: float, unit: Any) -> float | None:
    factor = unit_in_A(str(unit))
    return None if factor is None else plausible_pixel_size(float(scale) * factor)
