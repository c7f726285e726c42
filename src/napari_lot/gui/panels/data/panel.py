"""Step 1: choose the tilt series, say what its file does not, prepare its images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_lot.errors import InputError
from napari_lot.gui.forms.progress_line import ProgressLine
from napari_lot.gui.forms.sentence import Sentence
from napari_lot.gui.forms.widgets import offer
from napari_lot.gui.forms.words import in_window_words, label_of
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
from napari_lot.session.leftovers import is_autosave
from napari_lot.settings import Data

USED_BY_THE_FIT = ("thickness_A",)
"""Of the fields, what the reader has no use for; a run takes it as it stands."""
USED_AT_ONCE = (*USED_BY_THE_FIT, "gain", "offset", "read_noise", "denoised", "tilt_weights")
"""These a run takes as they stand; the reader looks for beam damage with them."""
READ = "read"
AGAIN = "Try again with these values"


class DataPanel(QWidget):
    """Choose the series and say what its file does not.

    Attributes
    ----------
    task : Task
        Reads series, and sessions for whoever opens one: one at a time.
    on_typed : callable
        Called when what stands in the fields has changed.
    """

    def __init__(self, state: WorkbenchState, viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.state = state
        self.viewer = viewer
        self.on_typed: Callable[[], None] = lambda: None
        self.used_layer: Any = None
        # The source that is open; None while the form is filled in for one that is not open yet.
        self._described: Source | None = None
        # what stands in the field of the path while the series that is open was read
        self._path = ""
        # What stood in the fields when the series that is open was read; None while they speak of none.
        self._applied: tuple[dict[str, Any], Any] | None = None
        # What could not be read, and may be tried again with other values.
        self._failed: Source | None = None
        # Why, in words, while the notes say so, and what the notes said when the open series was read.
        self._why = ""
        self._of_open = ""
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
        self.discard = QPushButton("Discard")
        self.discard.setObjectName("discard_data")
        self.discard.clicked.connect(self._discard)
        self.apply_row = QWidget()
        beside = QHBoxLayout(self.apply_row)
        beside.setContentsMargins(0, 0, 0, 0)
        beside.addWidget(self.apply, 1)
        beside.addWidget(self.discard)
        self.notes = Sentence("data_notes")
        self.notes.hide()
        self.pixels = Sentence("pixels_note")
        self.pixels.hide()
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
            self.apply_row,
            self.notes,
            self.pixels,
            self.prepare_button,
            self.prepare,
        ):
            layout.addWidget(widget)

        self.description.thickness_changed.connect(self._on_thickness)
        self.description.images_changed.connect(self._on_images)
        self.description.changed.connect(self._on_typed)
        self.description.refused.connect(self._on_typed)
        self.angles.changed.connect(self._on_typed)
        self.angles.refused.connect(self._on_typed)
        self.state.running_changed.connect(self._enable)
        self.state.reading_changed.connect(self._enable)
        self.state.series_changed.connect(self._say_pixels)
        self.task.changed.connect(self._on_task)
        self._enable()

    def shutdown(self) -> None:
        """Stop what is being read, and listening to the viewer and the state."""
        self.task.changed.disconnect(self._on_task)
        self.task.shutdown()
        self.state.running_changed.disconnect(self._enable)
        self.state.series_changed.disconnect(self._say_pixels)
        self.state.reading_changed.disconnect(self._enable)
        self.source.shutdown()
        self.prepare.shutdown()

    # -- what can be clicked now ------------------------------------------------------------------------------

    def _enable(self) -> None:
        busy = self.state.running or bool(self.state.reading)
        self.description.enable(not busy)
        self.angles.setEnabled(not self.state.reading)
        source = self._described if self._failed is None else self._failed
        another = source != self._described
        changed = self._failed is not None or self._differs(USED_BY_THE_FIT)
        nothing = "Open a series first." if source is None else "Nothing has changed since the series was read."
        waits = (
            f"{self.state.reading}: wait, or cancel."
            if self.state.reading
            else "Not while a reconstruction is running."
            if busy
            else None
        )
        same = None if source is not None and changed else nothing
        series = self.state.series
        self.description.speak_of(len(series) if series is not None and self._speaks_of_open else None)
        boxes = self.angles.refusals | self.description.refusals
        refused = next((f"{label_of(name)}: {why}" for name, why in boxes.items()), None)
        self.apply.setText(AGAIN if another else "Apply changes")
        name = "the series" if source is None else reading.name_of(source) if another else "the series"
        offer(self.apply, waits or refused or same, f"Read {name} again with these values.")
        offer(
            self.discard,
            waits or ("Open a series first." if self._applied is None else None if refused else same),
            "Put back the values that the open series was read with.",
        )

    def _typed(self) -> tuple[dict[str, Any], Any]:
        return self.description.typed(), self.angles.typed()

    def _differs(self, apart_from: tuple[str, ...] = ()) -> bool:
        """Whether something else stands in the fields than what the open series was read with."""
        if self._applied is None:
            return False
        fields, angles = self._typed()
        applied, applied_angles = self._applied
        return angles != applied_angles or any(
            value != applied[name] for name, value in fields.items() if name not in apart_from
        )

    @property
    def pending(self) -> str | None:
        """What stands in the fields and a run would not use, as a sentence without its point; None for nothing."""
        if self._applied is None:
            return None
        for name, why in (self.angles.refusals | self.description.refusals).items():
            return f"{label_of(name)} (step 1): {why.rstrip('.')}"
        if self._differs(USED_AT_ONCE):
            return f"changes in Data are not applied: press {self.apply.text()} or Discard in step 1"
        return None

    @property
    def weights(self) -> dict[int, float]:
        """Weights of single tilts, as a run would take them; none while they are no weights."""
        try:
            return dict(Data(tilt_weights=self.state.images.get("tilt_weights", ())).tilt_weights)
        except ValidationError:
            return {}

    def _on_typed(self) -> None:
        if self._why:
            self._say_why()
        self._enable()
        self.on_typed()

    def _discard(self) -> None:
        """Back to the values that the open series was read with."""
        if self._applied is None:
            return
        fields, angles = self._applied
        self._failed = None
        if self._why:
            self.note(self._of_open)
            self.state.succeed(READ)
        self.description.restore(fields)
        self.angles.restore(angles)
        self.source.path.setText(self._path)
        self._on_typed()

    def _show_prepare(self, shown: bool) -> None:
        self.prepare.setVisible(shown)
        self.prepare_button.setText("Prepare the images ▾" if shown else "Prepare the images ▸")

    @property
    def _speaks_of_open(self) -> bool:
        """What is typed is meant for the series that is open, not for one that could not be read."""
        return self._applied is None or self._failed in (None, self._described)

    def _on_thickness(self) -> None:
        if self._speaks_of_open:
            self.state.thickness_A = self.description.thickness_A

    def _on_images(self) -> None:
        if self._speaks_of_open:
            self.state.images = self.description.images()

    def _show_excluded(self, tilts: tuple[int, ...]) -> None:
        """A click has changed which tilts are left out: the field says the same, and there is nothing to apply."""
        self.description.show_excluded(tilts)
        if self._applied is not None:
            self._applied[0]["exclude"] = self.description.exclude.text()
        self._on_typed()

    def _take_value(self, name: str, value: float) -> None:
        """A value that was measured goes into its field and is applied."""
        self.description.form.set_values({name: value})
        if self._described is not None:
            self._load(self._described)  # whether the images may change has been asked before it was measured

    def note(self, text: str) -> None:
        """Say something under the form, or nothing."""
        self._why = ""
        self.notes.setText(text)
        self.notes.setVisible(bool(text))

    def _note_of_open(self, text: str) -> None:
        self._of_open = text
        self.note(text)

    # -- reading ----------------------------------------------------------------------------------------------

    def dragEnterEvent(self, event: Any) -> None:
        if event.mimeData().hasUrls() and not self.state.running and not self.state.reading:
            event.acceptProposedAction()

    def dropEvent(self, event: Any) -> None:
        urls = event.mimeData().urls()
        if urls:
            event.acceptProposedAction()
            names = [url.toLocalFile() for url in urls]
            # A question here would keep the file manager, from which they were dragged, waiting for the answer.
            QTimer.singleShot(0, lambda: self.source.open_files(names))

    def _open(self, source: Source) -> None:
        if not self.may_open(reading.name_of(source)):
            return
        # The sample is known entirely: nothing that was typed for a series to come holds for it.
        self._load(source, alone=source[0] == "sample")

    def show_mask(self) -> None:
        """Draw what the mask of the series leaves out, once its images are on screen."""
        if self.state.series is not None:
            self.prepare.preparation.drawings.show_mask(self.state.series)

    def may_open(self, name: str) -> bool:
        """Whether another series may be opened; where a person wants to keep the atoms, what is open stays so."""
        if self.prepare.preparation.may_open(name):
            return True
        self.source.path.setText(self._path)
        return False

    def _apply(self) -> None:
        source, preparation = self._described if self._failed is None else self._failed, self.prepare.preparation
        if source is None:
            return
        may = preparation.may_change() if source == self._described else preparation.may_open(reading.name_of(source))
        if may:
            self._load(source)

    def _load(self, source: Source, alone: bool = False) -> None:
        """Read from a source in a thread; a problem becomes a sentence, and what was open stays open.

        ``alone``: what stands in the form does not hold for it.
        """
        if self.state.running:
            return
        another = alone or source != self._described
        # One that could not be read is tried again with all that stands in the fields, whosever values they were.
        afresh = alone or (another and self._applied is not None and source != self._failed)
        try:
            angles = None if alone else self.angles.wanted()
            given = {} if afresh else self.description.given()
            images = {} if afresh else self.description.images()
        except InputError as error:
            self._is_not_read(source, str(error))
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
            if isinstance(found, InputError):
                self._is_not_read(source, str(found))
                return
            if afresh:
                self.description.clear()
                if own:
                    self.angles.use_those_of_series()
            self._is_read(source, another, alone, *found)

        def failed(sentence: str) -> None:
            self._is_not_read(source, sentence)

        def cancelled() -> None:
            self.source.path.setText(self._path)

        self.task.start(f"Reading {reading.name_of(source)}", work, take, failed, cancelled)

    def _is_not_read(self, source: Source, sentence: str) -> None:
        """What was open stays, and so do its values; it can be tried again with others."""
        self._failed = source
        self._why = in_window_words(sentence)
        self._on_typed()
        self.state.fail(sentence, READ)

    def _say_why(self) -> None:
        """Why the last one could not be read, and what another try would read it with, as the fields stand now."""
        why, source = self._why, self._failed
        lines = [failure(why if why.endswith((".", "?", "!")) else f"{why}.")]
        if source is not None and self._described not in (None, source):
            name = reading.name_of(source)
            lines.append(
                f"'{AGAIN}' reads {name} with what stands in the fields."
                if self._differs()
                else f"In the fields stands what holds for {reading.name_of(self._described)}; '{AGAIN}' reads {name} "
                "with it."
            )
        self.note("<br>".join(lines))
        self._why = why

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
        self._is_open(source)
        if not self.prepare.preparation.begin(series, again=not another):
            self.state.set_series(series, again=not another)
        if another:
            self.state.take_facts(microscope, element, alone=alone)
        notes = [warning(in_window_words(w)) for w in series.warnings]
        notes += [warning(verdict) if changed else verdict for verdict, changed in damage]
        if not self.angles.of_series:
            notes.append(f"Tilt angles {self.angles.kind.currentText()} as given here, whatever the file says.")
        self._note_of_open("<br>".join(notes))
        self._say_pixels()
        self._enable()

    def _say_pixels(self) -> None:
        """What the typed pixel size is that of, where the images have other pixels by now."""
        base, series = self.prepare.preparation.base, self.state.series
        typed = self.description.form.fields["pixel_size_A"].value
        words = ""
        if base is not None and series is not None:
            if typed is not None and typed == base.pixel_size_A:
                words = f"Pixel size {typed:g} Å as typed here, whatever the file says"
            if series.pixel_size_A != base.pixel_size_A:
                words = words or f"Pixel size {base.pixel_size_A:g} Å in the file"
                words += f"; {series.pixel_size_A:g} Å after what was done under Prepare the images"
        self.pixels.setText(f"{words}." if words else "")
        self.pixels.setVisible(bool(words))

    def _on_task(self) -> None:
        self.state.reading = self.task.what if self.task.running else ""

    def adopt(self, path: Path, series: TiltSeries, data: Data) -> None:
        """Show the series of a session, with what was said of it; it is read already."""
        self.description.clear()
        self.angles.use_those_of_series()
        if is_autosave(path):
            self.source.show_as(f"{Path(series.source).name} (autosave)", path)
        else:
            self.source.path.setText(str(path))
        self.description.show_data(data)
        self.description.show_excluded(series.excluded)
        self._is_open(("session", path))
        self.prepare.preparation.begin(series, again=False)
        self.state.set_series(series)
        self._note_of_open("<br>".join(warning(in_window_words(w)) for w in series.warnings))
        self._enable()

    def _is_open(self, source: Source) -> None:
        """The form speaks of this source now, and all it says is applied."""
        self._described = source
        self._path = self.source.path.text()
        self._failed = None
        self._applied = self._typed()
        self.used_layer = source[1] if source[0] == "layer" else None
        self._on_thickness()
        self._on_images()
