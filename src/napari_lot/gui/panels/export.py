"""Step 5: atoms, images, figures, the methods paragraph, the session, or everything, as files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from qtpy.QtWidgets import (
    QApplication,
    QCheckBox,
    QComboBox,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QWidget,
)

from napari_lot.errors import InputError
from napari_lot.export.figures import MM_PER_INCH, screen_pixels, write_picture
from napari_lot.export.methods import methods_text
from napari_lot.files import write_whole
from napari_lot.gui.broken_off import did_not_end
from napari_lot.gui.canvas.layers import WorkbenchLayers
from napari_lot.gui.canvas.picture import take_picture
from napari_lot.gui.forms.progress_line import ProgressLine
from napari_lot.gui.forms.refusal_line import RefusalLine
from napari_lot.gui.forms.sentence import Sentence
from napari_lot.gui.forms.widgets import number
from napari_lot.gui.look import failure, warning
from napari_lot.gui.saving import (
    CANVAS,
    EVERYTHING,
    KINDS,
    SESSION,
    WITH_ATOMS,
    Figures,
    check,
    is_folder,
    save,
    with_ending,
)
from napari_lot.gui.state import WorkbenchState
from napari_lot.gui.work.task import Task
from napari_lot.progress import Progress
from napari_lot.series.sample import sample_path
from napari_lot.session import Session

SAVE = "save"
LARGEST_PICTURE_PX = 8192


class ExportPanel(QWidget):
    """Choose what and where, and save.

    Attributes
    ----------
    make_session : callable
        The session of now, to save.
    on_saved : callable
        Told the kind of what was saved, and where.
    """

    def __init__(
        self, state: WorkbenchState, layers: WorkbenchLayers, folder: str = "", parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.state = state
        self.layers = layers
        self.make_session: Callable[[], Session] = self._session
        self.on_saved: Callable[[str, Path], None] = lambda kind, path: None
        self._folder = folder
        self._no_place = ""
        self._task = Task("saving", self)
        self.progress = ProgressLine("export", self._task, "Stop saving; what is there stays as it is.")
        self.kind = QComboBox()
        self.kind.setObjectName("export_kind")
        self.kind.addItems(list(KINDS))
        self.kind.setMaxVisibleItems(len(KINDS))
        self.kind.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.kind.setToolTip("What to save; coordinates are in Å in the specimen frame, 0 is the rotation centre.")
        self.path = QLineEdit()
        self.path.setObjectName("export_path")
        self.path.setToolTip(
            "File to write; for everything: a folder, new or empty. A name alone lies in the folder that is offered."
        )
        self.where = Sentence("export_where")
        self.browse = QPushButton("Choose…")
        self.browse.setObjectName("export_browse")
        self.browse.setToolTip("Choose where to save.")
        self.browse.clicked.connect(self._browse)
        self.figure_row = QWidget()
        self.width = number("export_width", 20, 400, 85, " mm", "Width of the figure on paper in mm.")
        self.dpi = number("export_dpi", 72, 1200, 600, " dpi", "Dots per inch of what is made of pixels.", whole=True)
        self.refusals = RefusalLine("export_refusals")
        self.refusals.watch("width", "Width", self.width)
        self.refusals.watch("dpi", "Resolution", self.dpi)
        row = QHBoxLayout(self.figure_row)
        row.setContentsMargins(0, 0, 0, 0)
        for widget in (QLabel("Width"), self.width, QLabel("at"), self.dpi):
            row.addWidget(widget)
        row.addStretch(1)
        self.embed = QCheckBox("with the measured images")
        self.embed.setObjectName("export_embed")
        self.embed.setChecked(True)
        self.embed.setToolTip(
            "The session then opens anywhere; without them it is smaller and needs the series' file to open."
        )
        self.overwrite = QCheckBox("replace what is there")
        self.overwrite.setObjectName("export_overwrite")
        self.overwrite.setToolTip("Without this an existing file, or a folder that is not empty, is left alone.")
        self.save = QPushButton("Save")
        self.save.setObjectName("export_save")
        self.save.clicked.connect(self._save)
        self.copy = QPushButton("Copy the methods paragraph")
        self.copy.setObjectName("copy_methods")
        self.copy.clicked.connect(self._copy_methods)
        self.note = Sentence("export_note")
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for line, (text, widget) in enumerate((("Save", self.kind), ("as", self.path))):
            label = QLabel(text)
            label.setBuddy(widget)
            layout.addWidget(label, line, 0)
        layout.addWidget(self.kind, 0, 1, 1, 2)
        layout.addWidget(self.path, 1, 1)
        layout.addWidget(self.browse, 1, 2)
        layout.addWidget(self.where, 2, 1, 1, 2)
        layout.addWidget(self.figure_row, 3, 0, 1, 3)  # beside the labels it would be wider than the dock
        layout.addWidget(self.refusals, 4, 1, 1, 2)
        layout.addWidget(self.embed, 5, 1, 1, 2)
        layout.addWidget(self.overwrite, 6, 1)
        layout.addWidget(self.save, 6, 2)
        layout.addWidget(self.progress, 7, 0, 1, 3)
        layout.addWidget(self.copy, 8, 0, 1, 3)
        layout.addWidget(self.note, 9, 0, 1, 3)
        layout.setColumnStretch(1, 1)
        self.kind.currentTextChanged.connect(self._on_kind)
        self.path.textChanged.connect(self._show_where)
        self._offered = self._folder_to_offer()
        self._on_kind(self.kind.currentText())
        state.result_changed.connect(self._on_result)
        state.series_changed.connect(self._on_series)
        state.running_changed.connect(self._enable)
        self.refusals.changed.connect(self._enable)
        self._enable()

    def shutdown(self) -> None:
        """Stop listening; what is being written is written to its end."""
        self.state.result_changed.disconnect(self._on_result)
        self.state.series_changed.disconnect(self._on_series)
        self.state.running_changed.disconnect(self._enable)
        self._task.shutdown(timeout_s=30.0, finish=True)

    @property
    def saving(self) -> bool:
        """Whether a file is being written."""
        return self._task.running

    def _on_result(self) -> None:
        self.note.setText("")
        self._enable()

    def _enable(self) -> None:
        result, busy = self.state.result, self.saving
        refused = next(iter(self.refusals.said.values()), self._no_place)
        cannot = f"{self._task.what}: wait, or cancel." if busy else ""
        if not cannot and result is None:
            cannot = "Needs a finished reconstruction (step 3)."
        ended = result is not None and not did_not_end(result)
        run = self.state.result_run
        what = f"Write what run {run} found." if ended else f"Write the last state of run {run}, which did not end."
        self.save.setEnabled(not cannot and not refused)
        self.save.setToolTip(cannot or refused or what)
        self.copy.setEnabled(not cannot and ended)
        paragraph = (
            "Put a paragraph for a paper on the clipboard: the series, the model, the settings, the result, and "
            "what to cite."
        )
        unfinished = "This run did not end: go on with it first (step 3)."
        self.copy.setToolTip(cannot or (paragraph if ended else unfinished))

    def _on_kind(self, what: str) -> None:
        kind = KINDS[what]
        current = self.path.text().strip()
        if not current:
            self.path.setText(str(self._offered / kind.name))
        elif Path(current).name in {other.name for other in KINDS.values()}:
            self.path.setText(str(Path(current).with_name(kind.name)))
        else:
            self.path.setText(str(with_ending(Path(current), kind)))
        self.figure_row.setVisible(kind.figure)
        self.refusals.update_lines()
        self.embed.setVisible(what == SESSION)
        self._show_where()

    def _folder_to_offer(self) -> Path:
        """The folder of the preferences, else that of the series' file, else the person's own."""
        if self._folder:
            return Path(self._folder)
        series = self.state.series
        file = Path(series.source).expanduser().absolute() if series is not None else None
        # the sample lies among the program's own files
        if file is None or file == sample_path().absolute() or not file.exists() or not os.access(file.parent, os.W_OK):
            return Path.home()
        return file.parent

    def _on_series(self) -> None:
        """A name that was offered, and not typed, moves to where this series lies."""
        before, self._offered = self._offered, self._folder_to_offer()
        current = Path(self.path.text().strip())
        if current.parent == before and current.name in {kind.name for kind in KINDS.values()}:
            self.path.setText(str(self._offered / current.name))
        self._show_where()

    def _target(self) -> Path | None:
        """What would be written, in full; None where no name is given.

        Raises
        ------
        InputError
            No file can have that name.
        """
        text, kind = self.path.text().strip(), KINDS[self.kind.currentText()]
        if not text:
            return None
        try:
            path = self._offered / Path(text).expanduser()
        except RuntimeError:
            raise InputError(f"Nobody here is called {Path(text).parts[0][1:]}: give another folder.") from None
        folder = is_folder(path)
        path = path if path.suffix or folder else with_ending(path, kind)
        is_folder(path)  # with its ending, a name may be too long
        return path

    def _show_where(self) -> None:
        """The place in full where the field does not say it: in a narrow window a path is seen in part."""
        self._no_place = ""
        try:
            target = self._target()
            self.where.setText("" if target is None else str(target))
        except InputError as error:
            self._no_place = str(error)
            self.where.setText(warning(self._no_place))
        self.where.setVisible(bool(self.where.text()))
        self._enable()

    def _start_folder(self) -> str:
        """Where a dialog begins."""
        try:
            return str(self._target() or self._offered)
        except InputError:
            return str(self._offered)

    def _browse(self) -> None:
        what = self.kind.currentText()
        if what == EVERYTHING:
            folder = QFileDialog.getExistingDirectory(self, "Save into", self._start_folder())
            if folder:
                self.path.setText(folder)
            return
        endings = " ".join(f"*{ending}" for ending in KINDS[what].endings)
        name, _ = QFileDialog.getSaveFileName(self, "Save", self._start_folder(), f"{endings};;All files (*)")
        if name:
            self.path.setText(str(with_ending(Path(name), KINDS[what])))
            self.overwrite.setChecked(True)  # the dialog has asked

    def _session(self) -> Session:
        series, result = self.state.series, self.state.result
        assert series is not None
        assert result is not None
        return Session(series, result.settings, result)

    def _save(self) -> None:
        if self.state.result is None or self.state.series is None:
            return
        what, run, result = self.kind.currentText(), self.state.result_run, self.state.result
        try:
            path = self._target()
            if path is None:
                name = "folder" if what == EVERYTHING else "file"
                raise InputError(f"No {name} is named: type a name, for example {KINDS[what].name}, or choose a place.")
            check(what, path, self.overwrite.isChecked())
            write = self._writer(what, path)
        except InputError as error:
            self._failed(str(error))
            return

        place = path

        def done(_: object) -> None:
            self.overwrite.setChecked(False)
            self.state.succeed(SAVE)
            self.note.setText(f"Saved {place} (run {run})")
            self._enable()
            if what in WITH_ATOMS and (run != self.state.result_run or result is self.state.result):
                self.state.is_saved(run)
            self.on_saved(what, place)

        self.note.setText("")
        self._task.start(f"Saving {path.name}", write, done, self._failed, self._cancelled)
        self._enable()

    def _writer(self, what: str, path: Path) -> Callable[[Progress], None]:
        """What has to be done in the background; the view on the canvas is taken here."""
        if what == CANVAS:
            picture, width = self._picture(), self.width.value()
            return lambda progress: write_whole(path, lambda p: write_picture(p, picture, width), progress)
        session, embed = self.make_session(), self.embed.isChecked()
        figures = Figures(self.width.value(), self.dpi.value(), self.layers.tilt)
        return lambda progress: save(what, path, session, figures, embed, progress)

    def _picture(self) -> object:
        viewer = self.layers.viewer
        across = screen_pixels(self.width.value(), self.dpi.value())
        height, width = viewer.canvas.size
        up = round(across * height / width)
        if max(across, up) > LARGEST_PICTURE_PX:
            most = LARGEST_PICTURE_PX * min(1, width / height) / self.width.value() * MM_PER_INCH
            raise InputError(
                f"A picture of {across} × {up} pixels is more than can be drawn: take at most {most:.0f} dpi at this "
                "width."
            )
        return take_picture(viewer, across)

    def _cancelled(self) -> None:
        self.note.setText("Cancelled; nothing was written.")
        self._enable()

    def _failed(self, sentence: str) -> None:
        self.note.setText(failure(self.state.fail(sentence, SAVE)))
        self._enable()

    def _copy_methods(self) -> None:
        series, result = self.state.series, self.state.result
        clipboard = QApplication.clipboard()
        if series is None or result is None or clipboard is None:
            return

        def put(text: str) -> None:
            self.state.succeed(SAVE)
            clipboard.setText(text)
            self.note.setText(f"The methods paragraph is on the clipboard ({len(text.split())} words).")
            self._enable()

        # noise and units of all images are looked at for it
        self._task.start(
            "Writing the methods paragraph",
            lambda progress: methods_text(series, result),
            put,
            self._failed,
            self._cancelled,
        )
        self._enable()
