"""Look at a step, apply it, take it back; its progress, what it says, and what was done before."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from qtpy.QtWidgets import QApplication, QVBoxLayout, QWidget

from napari_lot.gui.forms.progress_line import ProgressLine
from napari_lot.gui.forms.widgets import button, offer, row, text
from napari_lot.gui.forms.words import in_window_words
from napari_lot.gui.look import AMBER
from napari_lot.gui.panels.data.preparation import Preparation
from napari_lot.gui.panels.data.step_form import TILT_AXIS, StepForm
from napari_lot.progress import Progress, part
from napari_lot.series import TiltSeries
from napari_lot.series.alignment import find_tilt_axis
from napari_lot.series.steps import Crop, Step, TurnAxis, changed_by


class StepsBox(QWidget):
    """The steps of a preparation."""

    def __init__(self, preparation: Preparation, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.preparation = preparation
        self.form = StepForm()
        self.form.operation_changed.connect(preparation.hide_preview)
        self.preview = button("preview_step", "Preview")
        self.preview.clicked.connect(self._on_preview)
        self.apply = button("apply_step", "Apply")
        self.apply.clicked.connect(self._on_apply)
        self.undo = button("undo_step", "Undo")
        self.undo.clicked.connect(self._on_undo)
        self.progress = ProgressLine("prepare", preparation.task, "Stop; the series stays as it is.")
        self.said = text("prepare_said")
        self.done = text("prepare_history")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.form)
        layout.addLayout(row(self.preview, self.apply, self.undo))
        layout.addWidget(self.progress)
        layout.addWidget(self.said)
        layout.addWidget(self.done)
        # what was applied last, and when a step ended
        self._asked: Any = None
        self._ended_at = -float("inf")
        preparation.said.connect(self._say)
        preparation.new_series.connect(self._on_series)
        preparation.changed.connect(self._enable)
        self.form.refused.connect(self._enable)
        self._enable()

    def _say(self, sentence: str, caveat: bool) -> None:
        shown = in_window_words(sentence)
        self.said.setText(f'<span style="color:{AMBER}">⚠ {shown}</span>' if caveat else shown)
        self.said.setVisible(bool(sentence))

    def _enable(self) -> None:
        p = self.preparation
        why, shown = p.why_not, p.drawings.previewing
        self.preview.setText("Hide preview" if shown else "Preview")
        refused = self.form.refusal
        tip = "Take the preview away." if shown else "Show what it would do; nothing is changed."
        offer(self.preview, why or (None if shown else refused), tip)
        offer(self.apply, why or refused, "Do it; what was done is listed below, and can be undone.")
        offer(self.undo, why or (None if p.steps else "Nothing has been applied."), "Take the last step back.")

    def _on_series(self) -> None:
        series = self.preparation.series
        if series is None:
            return
        self._ended_at = time.monotonic()
        self.form.fit_to(series)
        lines = [f"{i}. {sentence}" for i, sentence in enumerate(series.history, 1)]
        self.done.setText("<br>".join(lines))
        self.done.setVisible(bool(lines))

    def _work(self) -> Callable[[Progress], tuple[Step, TiltSeries]]:
        series, make = self.preparation.series, self.form.maker()
        assert series is not None

        def work(progress: Progress) -> tuple[Step, TiltSeries]:
            step = make(series, part(progress, 0.0, 0.7))
            return step, changed_by(step, series, part(progress, 0.7, 1.0))

        return work

    def _on_preview(self) -> None:
        p, before = self.preparation, self.preparation.series
        if p.drawings.previewing:
            p.hide_preview()
            p.say("")
            return
        if self.form.operation == TILT_AXIS:
            self._find_axis(use=False)
            return
        wanted = self.form.wanted()

        def show(found: tuple[Step, TiltSeries]) -> None:
            assert before is not None
            step, after = found
            if after is before:
                p.say(step.nothing_to_do)
                return
            p.previewed = (wanted, step, after)
            if isinstance(step, Crop):
                p.drawings.show_crop(before, step.rows, step.columns)
            else:
                p.drawings.show_preview(before, after)
            p.tell("Preview: ", step, after)

        p.work("Preview", self._work(), show)

    def _on_undo(self) -> None:
        self._asked = None
        self.preparation.undo()

    def _on_apply(self) -> None:
        p, wanted = self.preparation, self.form.wanted()
        # the second click of two: what the first one asked for may have ended by now
        again = time.monotonic() - self._ended_at < 1e-3 * QApplication.doubleClickInterval()
        if (again and wanted == self._asked) or not p.may_change():
            return
        self._asked = wanted
        if self.form.operation == TILT_AXIS:
            self._find_axis(use=True)
        elif p.previewed is not None and p.previewed[0] == wanted:
            p.take(p.previewed[1:])
        else:
            p.work(self.form.operation, self._work(), p.take)

    def _find_axis(self, use: bool) -> None:
        p, series = self.preparation, self.preparation.series
        assert series is not None

        def show(found: Any) -> None:
            if found.told and use:
                step = TurnAxis(round(found.angle_deg, 3), f"± {found.sigma_deg:.2f}°, as the images tell")
                after = changed_by(step, series)
                p.take((step, after))
                if after is series:
                    p.say(f"{found.sentence} {step.nothing_to_do}")
                    return
            elif found.told:
                p.drawings.show_axis(series, found.angle_deg)
            p.say(found.sentence, caveat=not found.told)

        p.work("Looking for the tilt axis", lambda progress: find_tilt_axis(series, progress), show)
