"""What a run begins with: a grid, peaks of a volume made first, a Points layer, or a file of atoms or a volume."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari.layers import Points
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QFormLayout, QLabel, QWidget

from napari_lot.atoms import Orbitals
from napari_lot.errors import InputError
from napari_lot.export.lammps import ENDINGS as LAMMPS
from napari_lot.export.volume import ENDINGS as VOLUMES
from napari_lot.gui.forms.file_field import FileField
from napari_lot.gui.forms.words import OF_LAYER
from napari_lot.gui.sources import atoms_from_layer
from napari_lot.job import given_start
from napari_lot.settings import Settings

GRID, PEAKS, LAYER, FILE = (
    "a grid of orbitals",
    "peaks of a volume made first",
    "atoms of a Points layer",
    "atoms or a volume of a file",
)
SETTINGS = {"grid": GRID, "peaks": PEAKS}
"""``start.kind`` where it names neither a layer nor a file."""

ENDINGS = " ".join(f"*{ending}" for ending in (".xyz", ".extxyz", ".csv", ".mat", *LAMMPS, *VOLUMES))


class StartChoice(QWidget):
    """Grid, peaks, layer or file, and which."""

    changed = Signal()

    def __init__(self, viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self.kind = QComboBox()
        self.kind.setObjectName("start_from")
        self.kind.addItems([GRID, PEAKS, LAYER, FILE])
        # else the longest of them says how narrow the window may be
        self.kind.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.kind.setToolTip(
            "A grid finds the atoms by itself. Peaks are those of a voxel reconstruction that the run makes first (by "
            "SIRT, or as More settings say). Given atoms are refined, and missing and false ones mended."
        )
        self.layer = QComboBox()
        self.layer.setObjectName("start_layer")
        self.layer.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        # The layer that a session began with, while there is none of its name: no other one takes its place unasked.
        self._absent = ""
        self.layer.activated.connect(self._on_layer)
        self.layer.setToolTip("A 3-D Points layer: z, y, x in Å by its scale and units, 0 at the rotation centre.")
        self.file = FileField(
            "start",
            "atoms, or a volume",
            "File of atoms (XYZ, CSV, RESIRE .mat, LAMMPS data), x, y, z in Å in the specimen frame, 0 at the rotation "
            "centre; or a volume (MRC, TIFF, NPZ), whose peaks are traced.",
            "Choose the file of atoms, or the volume.",
            "Atoms or a volume to start from",
            f"Atoms and volumes ({ENDINGS});;All files (*)",
        )
        self._form = QFormLayout(self)
        self._form.setContentsMargins(0, 0, 0, 0)
        self._form.setVerticalSpacing(4)
        self._form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for text, widget in (("Start from", self.kind), ("  layer", self.layer), ("  file", self.file)):
            label = QLabel(text)
            label.setBuddy(self.file.line if widget is self.file else widget)
            self._form.addRow(label, widget)
        self.kind.currentTextChanged.connect(self._on_kind)
        self.layer.currentTextChanged.connect(lambda _: self.changed.emit())
        self.file.changed.connect(self.changed)
        for event in (viewer.layers.events.inserted, viewer.layers.events.removed):
            event.connect(self._offer_layers)
        self._offer_layers()
        self._on_kind(GRID)

    def shutdown(self) -> None:
        """Stop listening to the viewer."""
        for event in (self.viewer.layers.events.inserted, self.viewer.layers.events.removed):
            event.disconnect(self._offer_layers)

    def _on_kind(self, kind: str) -> None:
        self._form.setRowVisible(self.layer, kind == LAYER)
        self._form.setRowVisible(self.file, kind == FILE)
        self.changed.emit()

    def _offer_layers(self, event: Any = None) -> None:
        names = [layer.name for layer in self.viewer.layers if isinstance(layer, Points) and layer.ndim == 3]
        if names != [self.layer.itemText(i) for i in range(self.layer.count())]:
            chosen = self.layer.currentText()
            self.layer.blockSignals(True)
            self.layer.clear()
            self.layer.addItems(names)
            self._choose(self._absent or chosen)
            self.layer.blockSignals(False)
            self.changed.emit()

    def _choose(self, name: str) -> None:
        """Choose a layer; where a session's is not there, none."""
        there = self.layer.findText(name)
        if there >= 0 or (name and name == self._absent):
            self.layer.setCurrentIndex(there)

    def _on_layer(self) -> None:
        self._absent = ""

    def needs(self) -> str | None:
        """What is missing for a start, None where nothing is."""
        kind = self.kind.currentText()
        if kind == LAYER and not self.layer.currentText():
            named = f"the layer {self._absent!r}, which is not open," if self._absent else "a 3-D Points layer"
            return f"needs {named} to start from"
        if kind == FILE and self.file.is_empty:
            return "needs a file of atoms, or a volume, to start from"
        return None

    def take(self, kind: str) -> None:
        """Choose what the setting ``start.kind`` names: grid, peaks, a layer, or a file."""
        of_layer = kind.startswith(OF_LAYER)
        self._absent = kind.removeprefix(OF_LAYER) if of_layer else ""
        if of_layer:
            self.layer.setPlaceholderText(f"{self._absent} (not open)")
            self._choose(self._absent)
        self.file.line.setText("" if of_layer or kind in SETTINGS else kind)
        self.kind.setCurrentText(LAYER if of_layer else SETTINGS.get(kind, FILE))
        self.changed.emit()

    @property
    def setting(self) -> str:
        """``start.kind``: grid, peaks, the file, or the layer's name in words."""
        kind = self.kind.currentText()
        for setting, words in SETTINGS.items():
            if kind == words:
                return setting
        return f"{OF_LAYER}{self.layer.currentText()}" if kind == LAYER else str(self.file.path)

    def reader(self, settings: Settings) -> Callable[[], Orbitals | None]:
        """What gets the atoms to start from, None for a grid or for peaks that the run finds first.

        For a thread: of a volume it finds the peaks, with the elements and distances of ``settings``. It raises
        InputError where it cannot.

        Raises
        ------
        InputError
            The layer holds none that can be used.
        """
        kind = self.kind.currentText()
        if kind != LAYER:
            return lambda: given_start(settings)
        name = self.layer.currentText()
        if name not in self.viewer.layers:
            raise InputError(f"Start from: there is no layer {name!r} any more; choose another.")
        atoms = atoms_from_layer(self.viewer.layers[name])
        return lambda: atoms
