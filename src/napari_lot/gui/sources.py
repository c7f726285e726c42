"""Where a series can come from, each as ``(series, microscope or None, element or None)``. No Qt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from napari_lot.errors import InputError
from napari_lot.series import TiltSeries, read_series
from napari_lot.series.layer import KEY, series_from_layer_data
from napari_lot.series.read import find_angle_file
from napari_lot.series.sample import sample_facts, sample_path
from napari_lot.settings import Microscope, facts_as_settings, settings_from_dict

Found = tuple[TiltSeries, Microscope | None, str | None]


def from_file(path: Path | list[Path], given: dict[str, Any], angles: Any) -> Found:
    """Read a file, or several with one image each; ``given`` and ``angles`` (see ``read_series``) win."""
    series = read_series(path, angles=angles, **given)
    return series, *_known(series.metadata, series.source)


def from_layer(layer: Any, given: dict[str, Any], angles: Any) -> Found:
    """Take an open napari Image layer; where it does not say its angles, an angle file beside its file does."""
    if angles is None and KEY not in layer.metadata and layer.source.path:
        angles = find_angle_file(layer.source.path)
    series = series_from_layer_data(
        layer.data, layer.metadata, layer.scale, units=layer.units, name=layer.name, angles=angles, **given
    )
    return series, *_known(series.metadata, layer.name)


def from_sample(given: dict[str, Any], angles: Any) -> Found:
    """The platinum decahedron that ships with the package, with the microscope it was simulated for."""
    facts = sample_facts()
    series = read_series(sample_path(), angles=angles, **{"pixel_size_A": facts["pixel_size_A"], **given})
    return series, *_known(facts, series.source)


def has_angles(read: Callable[..., Found], *what: Any) -> bool:
    """Whether a source can be read with angles of its own; ``read`` is one of the three functions above."""
    try:
        read(*what, {"pixel_size_A": 1.0}, None)
    except InputError:
        return False
    return True


def _known(facts: Mapping[str, Any], where: str) -> tuple[Microscope | None, str | None]:
    """Microscope and element where the facts about a series say them."""
    values: dict[str, dict[str, Any]] = {}
    for setting, value in facts_as_settings(facts).items():
        section, name = setting.split(".")
        values.setdefault(section, {})[name] = value
    settings = settings_from_dict(values, where)
    element = ", ".join(settings.model.elements) if "model" in values else None
    return (settings.microscope if "microscope" in values else None), element
