"""Step 1: choose the tilt series, say what its file does not, prepare its images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QPushButton, QVBoxLayout, QWidget

from napari_lot.errors import InputError
from napari_lot.gui.forms.progress_line import ProgressLine
from napari_lot.gui.forms.words import in_window_words
from napari_lot.gui.look import failure, warning
from napari_lot.gui.panels.data import reading
from napari_lot.gui.panels.data.angles_box import AnglesBox
from napari_lot.gui.panels.data.description_box import DescriptionBox
from napari_lot.gui.panels.data.prepare import PreparePanel
from napari_lot.gui.panels.data.source_box import Source, SourceBox
from napari_lot.gui.state import WorkbenchState
from napari_lot.gui.work.task import Task
from napari_lot.progress import Progress
from napari_lot.series import TiltSeries
from napari_lot.settings import Data


class DataPanel(QWidget):
    """Choose the series and say what its file does not.

    Attributes
    ----------
    task : Task
        Reads series, and sessions for whoever opens one: one at a time.
    """

    def __init__(self, state: WorkbenchState, viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.state = state
        self.viewer = viewer
        self.used_layer: Any = None
        self._source: Source | None = None
        # The source that the form speaks of; None while it is filled in for one that is not open yet.
        self._described: Source | None = None
        # what stands in the field of the path while the series that is open was read
        self._path = ""
        self._changed = False
        self.setAcceptDrops(True)

        self.source = SourceBox(state, viewer)
        self.source.on_source = self._open
        self.task = Task("reading", self)
        self.progress = ProgressLine("reading", self.task, "Stop reading; what is open stays open.")
        self.angles = AnglesBox()
        self.description = DescriptionBox()
        self.apply = QPushButton("Apply changes")
        self.apply.setObjectName("apply_data")
        self.apply.clicked.connect(self._apply)
        self.notes = QLabel()
        self.notes.setObjectName("data_notes")
        self.notes.setWordWrap(True)
        self.notes.hide()
        self.notes.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.prepare = PreparePanel(state, viewer)
        self.prepare.preparation.on_exclude = self._show_excluded
        self.prepare.preparation.on_value = self._take_value
        self.prepare.hide()
        self.prepare_button = QPushButton("Prepare the images ▸")
        self.prepare_button.setObjectName("prepare_images")
        self.prepare_button.setCheckable(True)
        self.prepare_button.setAutoDefault(True)  # Enter does what Space does
        self.prepare_button.setToolTip(
            "Hot pixels, background, alignment, tilt axis, crop, bin, masks, tilts to leave out, pixel size."
        )
        self.prepare_button.toggled.connect(self._show_prepare)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (
            self.source,
            self.progress,
            self.angles,
            self.description,
            self.apply,
            self.notes,
            self.prepare_button,
            self.prepare,
        ):
            layout.addWidget(widget)

        self.description.thickness_changed.connect(self._on_thickness)
        self.description.images_changed.connect(self._on_images)
        self.description.changed.connect(self._mark_changed)
        self.angles.changed.connect(self._mark_changed)
        self.state.running_changed.connect(self._enable)
        self.state.reading_changed.connect(self._enable)
        self.task.changed.connect(self._on_task)
        self._enable()

    def shutdown(self) -> None:
        """Stop what is being read, and listening to the viewer and the state."""
        self.task.changed.disconnect(self._on_task)
        self.task.shutdown()
        self.state.running_changed.disconnect(self._enable)
        self.state.reading_changed.disconnect(self._enable)
        self.source.shutdown()
        self.prepare.shutdown()

    # -- what can be clicked now ------------------------------------------------------------------------------

    def _enable(self) -> None:
        reading = self.state.reading
        busy = self.state.running or bool(reading)
        self.description.enable(not busy)
        self.angles.setEnabled(not reading)
        can = self._source is not None and self._changed and not busy
        self.apply.setEnabled(can)
        self.apply.setToolTip(
            f"{reading}: wait, or cancel."
            if reading
            else "Not while a reconstruction is running."
            if busy
            else "Read the series again with these values."
            if can
            else ("Open a series first." if self._source is None else "Nothing has changed since the series was read.")
        )

    def _mark_changed(self) -> None:
        self._changed = True
        self._enable()

    def _show_prepare(self, shown: bool) -> None:
        self.prepare.setVisible(shown)
        self.prepare_button.setText("Prepare the images ▾" if shown else "Prepare the images ▸")

    def _on_thickness(self) -> None:
        self.state.thickness_A = self.description.thickness_A

    def _on_images(self) -> None:
        self.state.images = self.description.images()

    def _show_excluded(self, tilts: tuple[int, ...]) -> None:
        """A click has changed which tilts are left out: the field says the same, and there is nothing to apply."""
        changed = self._changed
        self.description.show_excluded(tilts)
        self._changed = changed
        self._enable()

    def _take_value(self, name: str, value: float) -> None:
        """A value that was measured goes into its field and is applied."""
        self.description.form.set_values({name: value})
        self._apply()

    def note(self, text: str) -> None:
        """Say something under the form, or nothing."""
        self.notes.setText(text)
        self.notes.setVisible(bool(text))

    # -- reading ----------------------------------------------------------------------------------------------

    def dragEnterEvent(self, event: Any) -> None:
        if event.mimeData().hasUrls() and not self.state.running and not self.state.reading:
            event.acceptProposedAction()

    def dropEvent(self, event: Any) -> None:
        urls = event.mimeData().urls()
        if urls:
            event.acceptProposedAction()
            self.source.open_files([url.toLocalFile() for url in urls])

    def _open(self, source: Source) -> None:
        # The sample is known entirely: nothing that was typed for a series to come holds for it.
        self._load(source, alone=source[0] == "sample")

    def _apply(self) -> None:
        if self._source is not None:
            self._load(self._source)

    def _load(self, source: Source, alone: bool = False) -> None:
        """Read from a source in a thread; a problem becomes a sentence, and what was open stays open.

        ``alone``: what stands in the form does not hold for it.
        """
        if self.state.running:
            return
        another = alone or source != self._described
        afresh = alone or (another and self._described is not None)
        try:
            angles = None if alone else self.angles.wanted()
            given, images = ({}, {}) if afresh else (self.description.given(), self.description.images())
        except InputError as error:
            self._is_not_read(source, another, str(error))
            return
        look_for_own = afresh and angles is not None

        def work(progress: Progress) -> tuple[bool, Any]:
            own = angles is None or (look_for_own and reading.has_angles(source))
            try:
                found = reading.read(source, given, None if own else angles, progress)
                return own, (*found, reading.damage_notes(found[0], images))
            except InputError as error:
                return own, error

        def take(came: tuple[bool, Any]) -> None:
            own, found = came
            typed = self.state.thickness_A, self.state.images
            if afresh:
                self.description.clear()
                if own:
                    self.angles.use_those_of_series()
            if isinstance(found, InputError):
                if another:
                    self.state.thickness_A, self.state.images = typed  # of the series that stays
                self._is_not_read(source, another, str(found))
            else:
                self._is_read(source, another, alone, *found)

        def failed(sentence: str) -> None:
            self._is_not_read(source, another, sentence)

        def cancelled() -> None:
            self.source.path.setText(self._path)

        self.task.start(f"Reading {reading.name_of(source)}", work, take, failed, cancelled)

    def _is_not_read(self, source: Source, another: bool, sentence: str) -> None:
        """What was open stays; the form speaks of what is to be read."""
        self._source = source
        if another:
            self._described = None
        self._changed = True
        self.note(failure(in_window_words(sentence)))
        self._enable()
        self.state.fail(sentence)

    def _is_read(
        self,
        source: Source,
        another: bool,
        alone: bool,
        series: TiltSeries,
        microscope: Any,
        element: str | None,
        damage: list[tuple[str, bool]],
    ) -> None:
        self._source = source
        self._is_open(source)
        if not self.prepare.preparation.begin(series, again=not another):
            self.state.set_series(series, again=not another)
        if another:
            self.state.take_facts(microscope, element, alone=alone)
        notes = [warning(in_window_words(w)) for w in series.warnings]
        notes += [warning(verdict) if changed else verdict for verdict, changed in damage]
        if "pixel_size_A" in self.description.form.values():
            notes.append(f"Pixel size {series.pixel_size_A:g} Å as typed here, whatever the file says.")
        if not self.angles.of_series:
            notes.append(f"Tilt angles {self.angles.kind.currentText()} as given here, whatever the file says.")
        self.note("<br>".join(notes))
        self._enable()

    def _on_task(self) -> None:
        self.state.reading = self.task.what if self.task.running else ""

    def adopt(self, path: Path, series: TiltSeries, data: Data) -> None:
        """Show the series of a session, with what was said of it; it is read already."""
        self.description.clear()
        self.angles.use_those_of_series()
        self.source.path.setText(str(path))
        self.description.show_data(data)
        self.description.show_excluded(series.excluded)
        self._source = ("session", path)
        self._is_open(self._source)
        self.state.set_series(series)
        self.note("<br>".join(warning(in_window_words(w)) for w in series.warnings))
        self._enable()

    def _is_open(self, source: Source) -> None:
        """The form speaks of this source now, and all it says is applied."""
        self._described = source
        self._path = self.source.path.text()
        self._changed = False
        self.used_layer = source[1] if source[0] == "layer" else None
        self._on_thickness()
        self._on_images()
