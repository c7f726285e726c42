"""Where a series can come from, each as ``(series, microscope or None, element or None)``; atoms of a layer. No Qt.

Pixels that are not numbers are masked, and a warning below the series says so: who sees the images can judge that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_lot.atoms import Orbitals
from napari_lot.errors import InputError
from napari_lot.export import UNKNOWN_HEIGHT, UNKNOWN_WIDTH_A
from napari_lot.physics.elements import SYMBOLS
from napari_lot.progress import Progress, nothing
from napari_lot.series import TiltSeries, read_series
from napari_lot.series.layer import KEY, series_from_layer_data, unit_in_A
from napari_lot.series.read import angle_values, find_angle_file, read_mask
from napari_lot.series.sample import sample_facts, sample_path
from napari_lot.session import read_session
from napari_lot.settings import Microscope, facts_as_settings, settings_from_dict

Found = tuple[TiltSeries, Microscope | None, str | None]


def from_file(path: Path | list[Path], given: dict[str, Any], angles: Any, progress: Progress = nothing) -> Found:
    """Read a file, or several with one image each; ``given`` and ``angles`` (see ``read_series``) win."""
    series = read_series(path, angles=angles, mask_nonfinite=True, progress=progress, **given)
    return series, *_known(series.metadata, series.source)


def from_layer(layer: Any, given: dict[str, Any], angles: Any, progress: Progress = nothing) -> Found:
    """Take an open napari Image layer; where it does not say its angles, an angle file beside its file does."""
    if angles is None and KEY not in layer.metadata and layer.source.path:
        angles = find_angle_file(layer.source.path)
    series = series_from_layer_data(
        layer.data,
        layer.metadata,
        layer.scale,
        units=layer.units,
        name=layer.name,
        angles=angles,
        mask_nonfinite=True,
        **given,
    )
    return series, *_known(series.metadata, layer.name)


def from_session(path: Path, given: dict[str, Any], angles: Any, progress: Progress = nothing) -> Found:
    """The series of a session, with what is ``given`` changed; microscope and element of its settings."""
    session = read_session(path, progress)
    changes = {{"exclude": "excluded"}.get(name, name): value for name, value in given.items()}
    if isinstance(changes.get("mask"), str):
        changes["mask"] = read_mask(changes["mask"])
    if angles is not None:
        changes |= {"angles_deg": angle_values(angles, len(session.series), str(path)), "rotations": None}
    elements = [element for element in session.settings.model.elements if element != "X"]
    return session.series.with_changes(**changes), session.settings.microscope, ", ".join(elements) or None


def from_sample(given: dict[str, Any], angles: Any, progress: Progress = nothing) -> Found:
    """The platinum decahedron that ships with the package, with the microscope it was simulated for."""
    facts = sample_facts()
    series = read_series(
        sample_path(), angles=angles, progress=progress, **{"pixel_size_A": facts["pixel_size_A"], **given}
    )
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


def atoms_from_layer(layer: Any) -> Orbitals:
    """Atoms of a 3-D napari Points layer: z, y, x in the world, in Å by the layer's units.

    Heights, widths, elements and ids are taken from its features where they are there under the names of the exported
    columns; a layer in pixels is taken to be in Å, as its scale says.

    Raises
    ------
    InputError
        Not three dimensions, no points, units that are no length, or a value that is no finite number.
    """
    points = np.asarray(layer.data, np.float64)
    if points.ndim != 2 or points.shape[1] != 3:
        raise InputError(f"{layer.name}: atoms need a Points layer of three axes, z y x; this one has {layer.ndim}.")
    if not len(points):
        raise InputError(f"{layer.name}: the layer holds no points.")
    factor = np.array([_angstroms(unit, layer.name) for unit in layer.units])
    # affine, rotation and shear of the layer included: a linear map, known from where it takes four points
    origin = np.array(layer.data_to_world(np.zeros(3)))
    matrix = np.stack([np.array(layer.data_to_world(axis)) - origin for axis in np.eye(3)])
    world = (points @ matrix + origin) * factor
    features = layer.features

    def column(name: str, default: Any) -> NDArray[Any]:
        return np.asarray(features[name]) if name in features else np.full(len(points), default)

    symbols = [str(symbol) for symbol in column("element", "X")]
    unknown = next((symbol for symbol in symbols if symbol not in SYMBOLS), None)
    if unknown is not None:
        raise InputError(f"{layer.name}: {unknown!r} is no element symbol; correct the layer's feature 'element'.")
    elements = tuple(dict.fromkeys(symbols))
    height, width = column("height", UNKNOWN_HEIGHT).astype(float), column("width_A", UNKNOWN_WIDTH_A).astype(float)
    # an atom that was added by hand has none of its own
    height = np.where(np.isfinite(height) & (height > 0), height, _median(height, UNKNOWN_HEIGHT))
    width = np.where(np.isfinite(width) & (width > 0), width, _median(width, UNKNOWN_WIDTH_A))
    if not np.isfinite(world).all():
        bad = int(np.argwhere(~np.isfinite(world))[0][0])
        raise InputError(f"{layer.name}: point {bad} has a position that is no finite number; delete it.")
    return Orbitals.create(world[:, ::-1], height, width, [elements.index(symbol) for symbol in symbols], elements)


def _median(values: NDArray[np.float64], default: float) -> float:
    good = values[np.isfinite(values) & (values > 0)]
    return float(np.median(good)) if len(good) else default


def _angstroms(unit: Any, name: str) -> float:
    """How many Å one unit of a layer's world is."""
    factor = 1.0 if str(unit) == "pixel" else unit_in_A(str(unit))
    if factor is None:
        raise InputError(f"{name}: the layer's unit {str(unit)!r} is no length; give it angstrom or nanometer.")
    return factor
