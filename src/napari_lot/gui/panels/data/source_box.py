"""Where a tilt series comes from: a file or several, a layer that is open, or the sample."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from qtpy.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QLineEdit, QPushButton, QVBoxLayout, QWidget

from napari_lot.gui.state import WorkbenchState
from napari_lot.series.read import READERS
from napari_lot.session import is_session
from napari_lot.voxel.layer import KEY as VOLUME

SERIES_FILTER = "Tilt series (" + " ".join("*" + suffix for suffix in READERS) + ");;Sessions (*.lot.h5);;All files (*)"
MORE = " and "

Source = tuple[str, Any]
"""'file' and a path, or paths; 'layer' and the layer; 'session' and its path; 'sample' and None."""
PATH_TIP = (
    "A stack [tilt, v, u] (TIFF, MRC/ST/ALI, NPZ, MAT, HDF5, EMD, DM3/4, SER, BLO), or a folder with one image per "
    "tilt; press Enter to read it."
)


class SourceBox(QWidget):
    """Chooses a source, and tells which.

    Attributes
    ----------
    on_source : callable
        Told the source that was chosen.
    on_session : callable
        Told the path of a session that was chosen.
    """

    def __init__(self, state: WorkbenchState, viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.state, self.viewer = state, viewer
        self.on_source: Callable[[Source], None] = lambda source: None
        self.on_session: Callable[[Path], None] = lambda path: None
        self._several: tuple[str, ...] = ()
        # what stands in the field of the path for a file whose own name says nothing
        self._named: tuple[str, Path] | None = None

        self.path = QLineEdit(placeholderText="path of a tilt series, or drop it here")
        self.path.setObjectName("series_path")
        self.path.textChanged.connect(self._on_path)
        self.path.returnPressed.connect(self._open_typed)
        self.browse = QPushButton("Open…")
        self.browse.setObjectName("open_series")
        self.browse.clicked.connect(self._browse)
        self.layer = QComboBox()
        self.layer.setObjectName("open_layer")
        self.layer.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.layer.setMinimumContentsLength(12)
        self.layer.setPlaceholderText("no open stack")
        self.use_layer = QPushButton("Use layer")
        self.use_layer.setObjectName("use_layer")
        self.use_layer.clicked.connect(self._use_layer)
        self.sample = QPushButton("Open the sample")
        self.sample.setObjectName("open_sample")
        self.sample.clicked.connect(self._open_sample)

        file_row = QHBoxLayout()
        file_row.addWidget(self.path, 1)
        file_row.addWidget(self.browse)
        layer_row = QHBoxLayout()
        layer_row.addWidget(self.layer, 1)
        layer_row.addWidget(self.use_layer)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(file_row)
        layout.addLayout(layer_row)
        layout.addWidget(self.sample)

        viewer.layers.events.inserted.connect(self._list_layers)
        viewer.layers.events.removed.connect(self._list_layers)
        state.running_changed.connect(self._enable)
        state.reading_changed.connect(self._enable)
        self._list_layers()

    def shutdown(self) -> None:
        """Stop listening to the viewer and the state."""
        self.viewer.layers.events.inserted.disconnect(self._list_layers)
        self.viewer.layers.events.removed.disconnect(self._list_layers)
        self.state.running_changed.disconnect(self._enable)
        self.state.reading_changed.disconnect(self._enable)

    def _enable(self) -> None:
        reading = self.state.reading
        busy = self.state.running or bool(reading)
        why = f"{reading}: wait, or cancel." if reading else "Not while a reconstruction is running."
        layers = self.layer.count() > 0
        none = "No open Image layer has a stack."
        tips = {
            self.path: PATH_TIP if self._stands_for is None else f"{self._stands_for}\n{PATH_TIP}",
            self.browse: "Choose a tilt series on disk, or all files of one that has an image in each.",
            self.sample: "A simulated tilt series of a platinum decahedron, 247 atoms, 36 tilts.",
            self.layer: "Image layers that are open in the viewer." if layers else none,
            self.use_layer: "Take this Image layer as the tilt series." if layers else none,
        }
        for widget, tip in tips.items():
            widget.setEnabled(not busy and (layers or widget is not self.use_layer))
            widget.setToolTip(why if busy else tip)

    def _on_path(self) -> None:
        if self._named is not None:
            self._enable()

    @property
    def _stands_for(self) -> Path | None:
        """The file whose name stands in the field in place of its path."""
        return self._named[1] if self._named is not None and self.path.text().strip() == self._named[0] else None

    def _list_layers(self, event: Any = None) -> None:
        names = [
            layer.name
            for layer in self.viewer.layers
            if type(layer).__name__ == "Image"
            and layer.ndim >= 3
            and "napari_lot_role" not in layer.metadata
            and VOLUME not in layer.metadata
            and not layer.rgb
        ]
        current = self.layer.currentText()
        self.layer.clear()
        self.layer.addItems(names)
        # A combo box with a placeholder selects nothing by itself; the newest layer is the likely one.
        self.layer.setCurrentIndex(names.index(current) if current in names else len(names) - 1)
        self._enable()

    def show_as(self, name: str, path: Path) -> None:
        """Name an open file in words of our own; Enter reads it again, and the tooltip has its path."""
        self._named = name, path
        self.path.setText(name)
        self._enable()

    def open_files(self, names: list[str]) -> None:
        """One file, or several with one image each."""
        self._several = tuple(names) if len(names) > 1 else ()
        if names:
            self.path.setText(names[0] if len(names) == 1 else f"{names[0]}{MORE}{len(names) - 1} more")
            self._open_typed()

    def _browse(self) -> None:
        start = self.path.text().split(MORE)[0]
        names, _ = QFileDialog.getOpenFileNames(self, "Open a tilt series", start, SERIES_FILTER)
        self.open_files(names)

    def _open_typed(self) -> None:
        text = self.path.text().strip()
        if self._stands_for is not None:
            self.on_session(self._stands_for)
        elif text and is_session(Path(text).expanduser()):
            self.on_session(Path(text).expanduser())
        elif self._several and text.startswith(self._several[0] + MORE):
            self.on_source(("file", self._several))
        elif text:
            self.on_source(("file", text))

    def _use_layer(self) -> None:
        name = self.layer.currentText()
        if name and name in self.viewer.layers:
            self.on_source(("layer", self.viewer.layers[name]))

    def _open_sample(self) -> None:
        self.path.clear()
        self.on_source(("sample", None))
