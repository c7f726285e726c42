"""A volume from a file or an open layer, and the one on screen into a file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QInputDialog, QLabel, QVBoxLayout, QWidget

from napari_lot.errors import InputError
from napari_lot.export import holds_volume, read_volume, write_volume
from napari_lot.export.volume import ENDINGS, VoxelSizeUnknown
from napari_lot.files import write_whole
from napari_lot.gui.canvas.stacks import ROLE
from napari_lot.gui.forms.progress_line import ProgressLine
from napari_lot.gui.forms.sentence import Sentence
from napari_lot.gui.forms.widgets import button, choice, offer
from napari_lot.gui.look import failure
from napari_lot.gui.panels.volume import leftover
from napari_lot.gui.state import WorkbenchState
from napari_lot.gui.unsaved import ask
from napari_lot.gui.work.task import Task
from napari_lot.progress import Progress
from napari_lot.report import write_json
from napari_lot.series.sample import sample_path
from napari_lot.voxel.layer import volume_from_layer_data
from napari_lot.voxel.report import make_voxel_report
from napari_lot.voxel.result import VoxelResult
from napari_lot.voxel.volume import Volume

SAVE, OPEN = "save volume", "open volume"
SAVED_AS = "Volume, MRC (*.mrc);;Volume, TIFF (*.tif);;Volume, NPZ (*.npz);;Report of the run, JSON (*.json)"
OPENED = "Volumes (" + " ".join(f"*{ending}" for ending in ENDINGS) + " *.mrc.gz *.map.gz);;All files (*)"
NO_VOLUME = "Needs a volume: reconstruct one, or open one."


class VolumeFiles(QWidget):
    """Open, use a layer, save.

    Attributes
    ----------
    volume, result : callable
        The volume that is on screen, and the result that it belongs to; None where there is none.
    waits : callable
        Why nothing can be opened or saved now, None where something can.
    on_volume : callable
        Told a volume that was opened, and its name.
    on_saved : callable
        Told the volume that is in a file now.
    """

    changed = Signal()

    def __init__(self, state: WorkbenchState, viewer: Any, folder: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.state, self.viewer = state, viewer
        self._folder = folder
        self.volume: Callable[[], Volume | None] = lambda: None
        self.result: Callable[[], VoxelResult | None] = lambda: None
        self.waits: Callable[[], str | None] = lambda: None
        self.on_volume: Callable[[Volume, str], None] = lambda volume, name: None
        self.on_saved: Callable[[Volume], None] = lambda volume: None
        self.ask_size: Callable[[Path], float | None] = self._ask_size
        self.task = Task("volume file", self)
        self.progress = ProgressLine("volume_file", self.task, "Leave everything as it is.")
        self.open = button("open_volume", "Open a volume…")
        self.save = button("save_volume", "Save the volume…")
        self.layer = choice("volume_layer", [])
        self.layer.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.layer.setPlaceholderText("no open volume")
        self.use_layer = button("use_volume_layer", "Use layer")
        self.note = Sentence("volume_note")
        self.note.hide()
        self.confirm: Callable[[str], bool] = lambda question: ask(self, question)
        self.may_go: Callable[[str], bool] = lambda what_happens: True
        # the volume of an earlier window that is open here: its file goes when it is saved elsewhere
        self._adopted: tuple[Path, Volume] | None = None
        self._left: Path | None = None
        self.left = QWidget()
        self.left_words = Sentence("volume_left")
        self.open_left = button("open_left_volume", "Open it", "Show the volume and trace or save it.")
        self.delete_left = button("delete_left_volume", "Delete it", "Nobody wants it any more; asks first.")
        self.open_left.clicked.connect(self._open_left)
        self.delete_left.clicked.connect(self._delete_left)
        self.open.clicked.connect(lambda _=False: self.browse())
        self.save.clicked.connect(self._save)
        self.use_layer.clicked.connect(self._use_layer)
        buttons, beside = QHBoxLayout(), QHBoxLayout()
        buttons.addWidget(self.open)
        buttons.addWidget(self.save)
        beside.addWidget(self.layer, 1)
        beside.addWidget(self.use_layer)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(QLabel("<b>Volumes of files and layers</b>"))
        layout.addLayout(buttons)
        layout.addLayout(beside)
        layout.addWidget(self.progress)
        layout.addWidget(self.note)
        of_left = QHBoxLayout(self.left)
        of_left.setContentsMargins(0, 0, 0, 0)
        of_left.addWidget(self.left_words, 1)
        of_left.addWidget(self.open_left)
        of_left.addWidget(self.delete_left)
        layout.addWidget(self.left)
        self.offer_left()
        for event in (viewer.layers.events.inserted, viewer.layers.events.removed):
            event.connect(self._list_layers)
        self.task.changed.connect(self._on_task)
        self._list_layers()

    def shutdown(self) -> None:
        """Stop listening; what is being written is written to its end."""
        for event in (self.viewer.layers.events.inserted, self.viewer.layers.events.removed):
            event.disconnect(self._list_layers)
        self.task.changed.disconnect(self._on_task)
        self.task.shutdown(timeout_s=30.0, finish=True)

    def _on_task(self) -> None:
        self.update_buttons()
        self.changed.emit()

    def _list_layers(self, event: Any = None) -> None:
        names = [
            layer.name
            for layer in self.viewer.layers
            if isinstance(layer, Image) and layer.ndim == 3 and not layer.rgb and ROLE not in layer.metadata
        ]
        current = self.layer.currentText()
        self.layer.clear()
        self.layer.addItems(names)
        self.layer.setCurrentIndex(names.index(current) if current in names else len(names) - 1)
        self.update_buttons()

    def update_buttons(self) -> None:
        """Enable what does something now; what does not says why."""
        busy = self.waits() or (f"{self.task.what}: wait, or cancel." if self.task.running else None)
        offer(
            self.open,
            busy,
            "A volume of this or another program (MRC, TIFF, NPZ), to look at and to trace; also "
            "by dropping a file here.",
        )
        offer(
            self.save,
            busy or (NO_VOLUME if self.volume() is None else None),
            "Write the volume as MRC, TIFF or NPZ, with the size of its voxels and its place, or the report of its "
            "run as JSON.",
        )
        none = None if self.layer.count() else "No open Image layer has three axes."
        offer(self.layer, busy or none, "Image layers with three axes that are open in the viewer.")
        offer(self.use_layer, busy or none, "Take this Image layer as the volume.")

    def say(self, words: str) -> None:
        """A sentence below the buttons, or none."""
        self.note.setText(words)
        self.note.setVisible(bool(words))

    # -- of an earlier window ---------------------------------------------------------------------------------

    def offer_left(self) -> None:
        """Offer the newest volume that was in no file when its window closed."""
        mine = None if self._adopted is None else self._adopted[0]
        self._left = next((path for path in leftover.left() if path != mine), None)
        self.left.setVisible(self._left is not None)
        if self._left is not None:
            self.left_words.setText(f"A volume of {leftover.when(self._left)} was not saved when its window closed.")

    def _open_left(self) -> None:
        if self._left is not None:
            self.open_file(self._left, adopt=True)

    def _delete_left(self) -> None:
        if self._left is not None and self.confirm("The volume is in no other file. Delete it now?"):
            leftover.forget(self._left)
            self.offer_left()

    def keep_last(self) -> None:
        """The window goes: the volume on screen stays for the next one where it is in no file."""
        volume = self.volume()
        if volume is None or not self.state.unsaved_volume:
            return
        if self._adopted is None or self._adopted[1] is not volume:
            leftover.keep(volume)

    # -- open -------------------------------------------------------------------------------------------------

    def browse(self) -> None:
        """Ask for a volume, and open it."""
        name, _ = QFileDialog.getOpenFileName(self, "Open a volume", str(self._offered().parent), OPENED)
        if name:
            self.open_file(Path(name))

    def drop(self, names: list[str]) -> None:
        """Files that were dropped: after the drop, for a question would keep whoever drags waiting."""
        if len(names) != 1:
            self._failed("Drop one volume at a time.", OPEN)
            return
        QTimer.singleShot(0, lambda: self.open_file(Path(names[0])))

    def open_file(self, path: Path, adopt: bool = False) -> None:
        """Read a volume in a thread, then show it; ``adopt`` one that an earlier window has left.

        Where the file does not say how large its voxels are a person is asked.
        """
        waits = self.waits()
        if waits is not None:
            self._failed(f"{path}: {waits[0].lower()}{waits[1:]}", OPEN)
            return
        if not holds_volume(path):
            endings = ", ".join(ENDINGS)
            self._failed(f"{path}: volumes are read from {endings}, not from {path.suffix or 'this'}.", OPEN)
            return

        if self.may_go(f"goes when {path.name} is opened"):
            self._read(path, adopt)

    def _read(self, path: Path, adopt: bool = False, voxel_A: float | None = None) -> None:
        def done(volume: Volume | None) -> None:
            if volume is None:
                self._open_with_size(path)
                return
            self.state.succeed(OPEN)
            self.on_volume(volume, f"volume of {leftover.when(path)}" if adopt else path.name)
            if adopt:
                self._adopted = path, volume
                self.state.unsaved_volume = True
                self.offer_left()

        self.say("")
        begun = self.task.start(
            f"Reading {path.name}",
            lambda progress: _volume_of_file(path, voxel_A, progress),
            done,
            lambda sentence: self._failed(sentence, OPEN),
        )
        if not begun:
            self._failed(f"{path}: not while something else is done ({self.task.what}): wait, or cancel it.", OPEN)

    def _open_with_size(self, path: Path) -> None:
        size_A = self.ask_size(path)
        if size_A is None:
            why = "the voxel size is not known, for nothing here says it: open it again and give it."
            self._failed(f"{path}: {why}", OPEN)
        else:
            self._read(path, voxel_A=size_A)

    def _use_layer(self) -> None:
        name = self.layer.currentText()
        if name not in self.viewer.layers or not self.may_go(f"goes when the layer {name} takes its place"):
            return
        layer = self.viewer.layers[name]
        self.say("")
        try:
            volume = volume_of(layer)
        except InputError as error:
            self._failed(str(error), OPEN)
            return
        self.state.succeed(OPEN)
        layer.visible = False
        self.on_volume(volume, name)

    def _ask_size(self, path: Path) -> float | None:
        """Å, from a dialog; None where it was left."""
        series = self.state.series
        guess = 1.0 if series is None else series.pixel_size_A
        size, given = QInputDialog.getDouble(
            self, "Voxel size", f"{path.name} does not say how large its voxels are. Side of a voxel (Å):",
            guess, 1e-3, 100.0, 4,
        )  # fmt: skip
        return size if given else None

    # -- save -------------------------------------------------------------------------------------------------

    def _offered(self) -> Path:
        """A name beside the series' file, or in the folder of the preferences, or the person's own."""
        series, result = self.state.series, self.result()
        stem = "volume" if result is None else f"volume_{result.method}"
        if self._folder:
            return Path(self._folder) / f"{stem}.mrc"
        file = None if series is None else Path(series.source).expanduser().absolute()
        if file is None or file == sample_path().absolute() or not file.exists() or not os.access(file.parent, os.W_OK):
            return Path.home() / f"{stem}.mrc"
        return file.with_name(f"{file.stem}_{stem}.mrc")

    def _save(self) -> None:
        volume, result, series = self.volume(), self.result(), self.state.series
        if volume is None:
            return
        name, kind = QFileDialog.getSaveFileName(self, "Save the volume", str(self._offered()), SAVED_AS)
        if not name:
            return
        path = Path(name)
        if not path.suffix:
            path = path.with_suffix(f".{kind.rpartition('*.')[2].rstrip(')') or 'mrc'}")
        is_report = path.suffix.lower() == ".json"
        if is_report and (result is None or series is None):
            self._failed(f"{path}: a volume that was opened has no report; save it as .mrc, .tif or .npz.", SAVE)
            return

        def write(progress: Progress) -> None:
            try:
                if is_report and result is not None and series is not None:
                    report = make_voxel_report(series, result)
                    write_whole(path, lambda place: write_json(place, report), progress)
                else:
                    write_volume(path, volume, progress)
            except OSError as error:
                why = error.strerror or error
                raise InputError(f"{path}: cannot write there: {why}: choose another folder.") from None

        def done(_: object) -> None:
            self.state.succeed(SAVE)
            self.say(f"Saved {path}")
            if not is_report:
                self.on_saved(volume)
            if not is_report and self._adopted is not None and self._adopted[1] is volume:
                leftover.forget(self._adopted[0])
                self._adopted = None

        self.say("")
        self.task.start(f"Saving {path.name}", write, done, lambda sentence: self._failed(sentence, SAVE))

    def _failed(self, sentence: str, action: str) -> None:
        self.say(failure(self.state.fail(sentence, action)))


def volume_of(layer: Any) -> Volume:
    """The volume of an open Image layer; moved and scaled layers are, turned ones are not.

    Raises
    ------
    InputError
        It is none that can be used.
    """
    if layer.ndim != 3:
        raise InputError(f"{layer.name}: a volume has three axes, z y x; choose another layer.")
    origin = np.array(layer.data_to_world(np.zeros(3)))
    matrix = np.stack([np.array(layer.data_to_world(axis)) - origin for axis in np.eye(3)])
    sides = matrix.diagonal()
    if np.abs(matrix - np.diag(sides)).max() > 1e-6 * np.abs(sides).max():
        raise InputError(f"{layer.name}: the layer is turned or sheared; save it as it is, and open the file.")
    return volume_from_layer_data(layer.data, layer.metadata, sides, origin, layer.units, layer.name)


def _volume_of_file(path: Path, voxel_A: float | None, progress: Progress) -> Volume | None:
    """The volume; None where it is not known how large its voxels are."""
    try:
        return read_volume(path, voxel_A, progress)
    except VoxelSizeUnknown:
        return None
