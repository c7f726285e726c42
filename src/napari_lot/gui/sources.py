"""Where a series can come from, each as ``(series, microscope or None, element or None)``. No Qt."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_lot.series import TiltSeries, read_series
from napari_lot.series.layer import series_from_layer_data
from napari_lot.series.sample import sample_facts, sample_path
from napari_lot.settings import Microscope, facts_as_settings

Found = tuple[TiltSeries, Microscope | None, str | None]


def from_file(path: Path, given: dict[str, Any], angles: Any) -> Found:
    """Read a file; ``given`` and ``angles`` (see ``read_series``) win over what it says."""
    series = read_series(path, angles=angles, **given)
    return series, *_known(series.metadata)


def from_layer(layer: Any, given: dict[str, Any], angles: Any) -> Found:
    """Take an open napari Image layer."""
    series = series_from_layer_data(
        layer.data, layer.metadata, layer.scale, units=layer.units, name=layer.name, angles=angles, **given
    )
    return series, *_known(series.metadata)


def from_sample(given: dict[str, Any], angles: Any) -> Found:
    """The platinum decahedron that ships with the package, with the microscope it was simulated for."""
    facts = sample_facts()
    series = read_series(sample_path(), angles=angles, **{"pixel_size_A": facts["pixel_size_A"], **given})
    return series, *_known(facts)


def _known(facts: Mapping[str, Any]) -> tuple[Microscope | None, str | None]:
    """Microscope and element where the facts about a series say them."""
    known = facts_as_settings(facts)
    values = {name.split(".")[1]: value for name, value in known.items() if name.startswith("microscope.")}
    elements = known.get("model.elements")
    return (Microscope(**values) if values else None), (", ".join(elements) if elements else None)
