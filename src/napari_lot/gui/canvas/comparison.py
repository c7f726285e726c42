"""Matched, missing and false atoms as Points layers beside the workbench's own."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Points
from numpy.typing import NDArray

from napari_lot.analysis.compare import Comparison
from napari_lot.atoms import Orbitals
from napari_lot.errors import InputError
from napari_lot.gui.canvas.points import AXES_3D, UNITS_3D
from napari_lot.gui.canvas.views import ATOMS, MARKERS

# Blue, yellow, vermilion of Okabe and Ito: of different lightness as well as hue.
MATCHED, MISSING, FALSE = "Matched", "Missing", "False"
COLORS = {MATCHED: "#56b4e9", MISSING: "#f0e442", FALSE: "#d55e00"}
_ROLE = "comparison"
_A_PER_UNIT = {"angstrom": 1.0, "nanometer": 10.0, "picometer": 0.01, "pixel": 1.0}


class ComparisonLayers:
    """The three layers of one comparison; a layer without points is not made.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    """

    def __init__(self, viewer: Any) -> None:
        self.viewer = viewer
        self.layers: dict[str, Points] = {}

    def show(self, comparison: Comparison, found: Orbitals, reference: Orbitals, signs: Any, size_A: float) -> None:
        """Draw a comparison in the frame of the found atoms.

        Parameters
        ----------
        comparison : Comparison
            Of ``signs * found`` with the reference.
        size_A : float
            Diameter of the points: a little more than that of the atoms, which they cover.
        """
        self.remove()
        there = comparison.onto_found(reference.positions) * np.array(signs)
        points = {
            MATCHED: found.positions[comparison.found_index],
            MISSING: there[comparison.missing_index],
            FALSE: found.positions[comparison.false_index],
        }
        with self.viewer.layers.batched_update():
            for name, positions in points.items():
                if len(positions):
                    self.layers[name] = self._add(name, positions, size_A)

    def _add(self, name: str, positions: NDArray[np.float64], size_A: float) -> Points:
        layer = Points(
            positions[:, ::-1],
            name=name,
            size=size_A,
            face_color=COLORS[name],
            border_width=0,
            antialiasing=0,
            shading="spherical",
            units=UNITS_3D,
            axis_labels=AXES_3D,
            metadata={"napari_lot_role": _ROLE},
        )
        layer.editable = False
        self.viewer.add_layer(layer)
        return layer

    @property
    def there(self) -> list[Points]:
        """Those of the layers that are in the viewer."""
        return [layer for layer in self.layers.values() if layer in self.viewer.layers]

    def remove(self) -> None:
        """Take them away."""
        for layer in self.there:
            self.viewer.layers.remove(layer)
        self.layers = {}


def other_points(viewer: Any) -> list[Points]:
    """Points layers that can be a second structure: three axes, and not the workbench's own."""
    own = {ATOMS.lower(), MARKERS.lower(), _ROLE}
    return [
        layer
        for layer in viewer.layers
        if isinstance(layer, Points) and layer.ndim >= 3 and layer.metadata.get("napari_lot_role") not in own
    ]


def atoms_of(layer: Points) -> Orbitals:
    """Atoms of a Points layer (axes z, y, x last), in Å; elements from its column ``element`` where there is one.

    Raises
    ------
    InputError
        The layer is empty, turned or sheared, or in a unit that is no length.
    """
    name = layer.name
    if not len(layer.data):
        raise InputError(f"{name}: the layer holds no points.")
    if not (np.allclose(layer.rotate, np.eye(layer.ndim)) and np.allclose(layer.shear, 0)):
        raise InputError(f"{name}: the layer is turned or sheared; put its points where they belong instead.")
    if not np.allclose(np.asarray(layer.affine), np.eye(layer.ndim + 1)):
        raise InputError(f"{name}: the layer has an affine of its own; put its points where they belong instead.")
    units = [str(unit) for unit in layer.units][-3:]
    if any(unit not in _A_PER_UNIT for unit in units):
        raise InputError(f"{name}: its unit is {', '.join(dict.fromkeys(units))}; set angstrom or nanometer.")
    to_A = np.array([_A_PER_UNIT[unit] for unit in units])
    world = (np.asarray(layer.data, np.float64) * layer.scale + layer.translate)[:, -3:] * to_A
    symbols = [str(s) for s in layer.features["element"]] if "element" in layer.features else ["X"] * len(world)
    elements = tuple(dict.fromkeys(symbols))
    return Orbitals.create(world[:, ::-1], species=[elements.index(s) for s in symbols], elements=elements)
