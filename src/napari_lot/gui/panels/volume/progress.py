"""How a voxel reconstruction is doing: iteration, time left, R of every tilt, and how it ended."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_lot.control import Control
from napari_lot.gui.canvas.labels import short_angle_text
from napari_lot.gui.forms.sentence import Sentence
from napari_lot.gui.forms.widgets import Bar
from napari_lot.gui.forms.words import in_window_words
from napari_lot.gui.live import Pace, time_text
from napari_lot.gui.look import warning
from napari_lot.gui.panels.run.progress import PAUSED
from napari_lot.gui.panels.volume.words import short_name
from napari_lot.gui.plots.basic import TiltBars
from napari_lot.gui.plots.of_volume import IterationPlot
from napari_lot.gui.work.seldom import Seldom
from napari_lot.series import TiltSeries
from napari_lot.voxel.result import VoxelResult, VoxelSnapshot


class VolumeProgress(QWidget):
    """Follows one run at a time; hidden before there is one.

    Parameters
    ----------
    go_to : callable
        Told the tilt whose bar was clicked.
    """

    def __init__(self, go_to: Callable[[int], None], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._pace = Pace()
        self._paused = False
        self.stage = Sentence("volume_stage")
        self.bar = Bar()
        self.bar.setObjectName("volume_progress")
        self.bar.setTextVisible(True)
        self.bar.setMinimumHeight(20)
        self.detail = Sentence("volume_detail")
        self.plot = IterationPlot()
        self.bars = TiltBars(go_to)
        self._r: tuple[np.ndarray, tuple[int, ...]] | None = None
        self._seldom = Seldom(self._draw_bars, parent=self)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self.stage, self.bar, self.detail, self.plot, self.bars):
            layout.addWidget(widget)
        self.hide()

    def begin(self, series: TiltSeries) -> None:
        """A run starts."""
        self._pace, self._paused = Pace(), False
        self.plot.clear()
        self._seldom.forget()
        self.bars.show_angles([short_angle_text(series, t) for t in range(len(series))])
        self.bars.hide()
        self.show()
        self.stage.setText("<b>Starting</b>")
        self.detail.setText("")
        self.detail.show()
        for widget in (self.bar, self.plot):
            widget.show()
        self.bar.setRange(0, 0)

    def say(self, headline: str) -> None:
        """A sentence about a volume that was not reconstructed here."""
        self.stage.setText(headline)
        for widget in (self.bar, self.detail, self.plot, self.bars):
            widget.hide()
        self.show()

    def tell_pause(self, control: Control) -> None:
        """Say that a run is held, once."""
        if control.is_paused and not self._paused:
            self.stage.setText("<b>Paused</b>: the volume is that of the last iteration")
            self.bar.setFormat(PAUSED)
        self._paused = control.is_paused

    def follow(self, snapshot: VoxelSnapshot, history: list[tuple[int, float, float]], control: Control) -> None:
        """Show where the run is."""
        if control.stop_request is None and not control.is_paused:
            name = "Preparing" if snapshot.stage == "prepare" else short_name(snapshot.stage)
            message = in_window_words(snapshot.message)
            of_r = message.startswith("R ")  # which stands below, too
            self.stage.setText(f"<b>{name}</b> is running" if of_r else f"<b>{name}</b>: {message}")
        if snapshot.stage == "prepare":
            self.bar.setRange(0, 0)
        else:
            self.bar.setRange(0, max(snapshot.steps_total, 1))
            self.bar.setValue(min(snapshot.step, snapshot.steps_total))
            left = self._pace.left_s(snapshot.step, snapshot.steps_total, snapshot.elapsed_s)
            if control.is_paused:
                self.bar.setFormat(PAUSED)
            else:
                self.bar.setFormat(f"%p %  ·  {time_text(left)} left" if left else "%p %")
            parts = [f"iteration {snapshot.step} of {snapshot.steps_total}"]
            parts += r_words(snapshot.r_factor, snapshot.r_free)
            self.detail.setText("  ·  ".join((*parts, f"{time_text(snapshot.elapsed_s)} so far")))
        self.plot.add(history, snapshot.steps_total)
        self.show_bars(snapshot.r_factor)

    def show_bars(self, r_factor: np.ndarray, withheld: tuple[int, ...] = ()) -> None:
        """R of every tilt where it is known; drawn once a second."""
        if np.isfinite(r_factor).any():
            self._r = r_factor, withheld
            self._seldom.wish()

    def _draw_bars(self) -> None:
        if self._r is not None:
            self.bars.show()
            self.bars.show_values(*self._r)

    def end(self, headline: str, bar: str, detail: str = "", done: bool = False) -> None:
        """The run is over."""
        self._seldom.catch_up()
        self.bar.setRange(0, 100)
        self.bar.setValue(100 if done else 0)
        self.bar.setFormat(bar)
        self.stage.setText(headline)
        self.detail.setText(detail)
        self.detail.setVisible(bool(detail))

    def show_result(self, result: VoxelResult) -> list[str]:
        """What a run has left; returns its caveats."""
        self.show_bars(result.r_factor, result.withheld)
        self.plot.end(result.history, result.r_free)
        caveats = [in_window_words(w) for w in result.warnings]
        lines = "<br>".join(warning(w[:1].upper() + w[1:]) for w in caveats)
        how = result.stop_reason[:1].upper() + result.stop_reason[1:]
        free = [] if not np.isfinite(result.r_free) else [f"R_free {100 * result.r_free:.1f} % of withheld points"]
        more = [*free, f"{result.object}", f"{time_text(result.wall_seconds.get('total', 0.0))}"]
        detail = "  ·  ".join(more) + (f"<br>{lines}" if lines else "")
        self.end(f"<b>{how}</b>: {in_window_words(result.message)}", result.stop_reason, detail, done=True)
        return caveats


def r_words(r_factor: np.ndarray, r_free: float) -> list[str]:
    """'R 4.2 %' and 'R_free 13 %', as far as they are known."""
    parts = []
    if np.isfinite(r_factor).any():
        parts.append(f"R {100 * float(np.nanmean(r_factor)):.2f} %")
    if np.isfinite(r_free):
        parts.append(f"R_free {100 * r_free:.1f} %")
    return parts
