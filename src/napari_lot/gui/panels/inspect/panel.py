"""Step 4: R-factor per tilt, how sure the atoms are, and what colours them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QGridLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_lot.analysis.doubts_queue import Ranking, asked_words, doubtful_words, rank
from napari_lot.errors import InputError
from napari_lot.gui.broken_off import did_not_end
from napari_lot.gui.canvas.colors import ERROR_BAR as COLOR_ERROR_BAR
from napari_lot.gui.canvas.colors import HEIGHT, WANTED, missing, summary
from napari_lot.gui.canvas.labels import angle_text, short_angle_text
from napari_lot.gui.canvas.layers import WorkbenchLayers
from napari_lot.gui.canvas.sizes import SIZES
from napari_lot.gui.forms.drawer import Drawer, narrow
from napari_lot.gui.forms.sentence import Sentence
from napari_lot.gui.forms.words import in_window_words
from napari_lot.gui.panels.inspect.compare_box import CompareBox
from napari_lot.gui.panels.inspect.structure_box import StructureBox
from napari_lot.gui.plots.basic import ColorHistogram, TiltBars
from napari_lot.gui.plots.of_result import ProbeComparison, StrengthHistogram, probe_text
from napari_lot.gui.plots.of_structure import WidthHistogram
from napari_lot.gui.state import WorkbenchState
from napari_lot.gui.table.link import LinkedTable
from napari_lot.gui.work.seldom import Seldom
from napari_lot.job import Result, Snapshot, expected_spacing_A
from napari_lot.series.detector import fitted_by

NO_ERROR_BARS = "no error bars: how sure the atoms are is not known"
STRUCTURE_TIP = "Distances of nearest neighbours, pair distribution g(r) and coordination numbers."
COMPARE_TIP = "Matched, missing and false atoms, recall, precision, RMSD, and whether the mirror image fits better."


class InspectPanel(QWidget):
    """Bars of R per tilt (a click goes to the tilt), the atoms' colours, and the histogram of what they mean."""

    def __init__(self, state: WorkbenchState, layers: WorkbenchLayers, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.state = state
        self.layers = layers
        self.on_change: Callable[[], None] = lambda: None
        # Whose bars are shown; None while a run is followed, and after one that left nothing.
        self.result: Result | None = None
        # The last state of a run that is followed, while it is not drawn yet.
        self._followed: Snapshot | None = None
        self._seldom = Seldom(self._follow, parent=self)
        self.bars = TiltBars(self._go_to)
        self.histogram = ColorHistogram()
        self.text = Sentence("tilt_text")
        self.sure = Sentence("atoms_text")
        # "p < 0.95" is no tag: what Qt takes for HTML is not left to its guess
        self.sure.setTextFormat(Qt.TextFormat.PlainText)
        self.hands = Sentence("handedness_text")
        self.hands.setTextFormat(Qt.TextFormat.PlainText)
        self.strengths = StrengthHistogram()
        self.widths = WidthHistogram()
        self.probe = Sentence("probe_text")
        self.probes = ProbeComparison()
        self.look_at_probe = QPushButton("Show the probe before and after")
        self.look_at_probe.setObjectName("show_probe_change")
        self.look_at_probe.setToolTip("The probe of the settings, the fitted one and their difference, slice by slice.")
        self.look_at_probe.clicked.connect(self._show_probe_change)
        self.color_by = QComboBox()
        self.color_by.setObjectName("color_by")
        self.color_by.setToolTip("What the colours of the atoms in 3D mean; the bars below are their legend.")
        self.color_by.textActivated.connect(self._on_color_by)
        self.color_by.currentTextChanged.connect(self._on_color_by)
        self.doubts = QPushButton("Next doubtful atom (N)")
        self.doubts.setObjectName("next_doubtful")
        self.on_doubts: Callable[[], None] = lambda: None
        self.ranking: Callable[[Result], Ranking | None] = lambda result: None
        """The ranking of the doubt queue, None before it has looked at the result."""
        self.doubts.clicked.connect(lambda: self.on_doubts())
        self.back = QPushButton()
        self.back.setObjectName("show_result_again")
        self.back.setToolTip("Put the result of the last run that finished, which Export saves, on screen again.")
        self.back.clicked.connect(self._show_result_again)
        self.size_by = QComboBox()
        self.size_by.setObjectName("size_by")
        self.size_by.addItems(SIZES)
        self.size_by.currentTextChanged.connect(self._on_size_by)
        narrow(self.color_by, self.size_by)
        self._colors = QWidget()
        rows = QGridLayout(self._colors)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setVerticalSpacing(4)
        rows.setColumnStretch(1, 1)
        for i, (name, box) in enumerate((("Colour by", self.color_by), ("Size", self.size_by))):
            label = QLabel(name)
            label.setBuddy(box)
            rows.addWidget(label, i, 0)
            rows.addWidget(box, i, 1)
        self.size_text = Sentence("size_text")
        self.table = LinkedTable(self.layers)
        self.show_table = QPushButton("Table of atoms")
        self.show_table.setObjectName("show_table")
        self.show_table.clicked.connect(self._open_table)
        self.structure = StructureBox(self.state, self.layers)
        self.structure.on_structure = self.table.fill
        self.compare = CompareBox(self.state, self.layers)
        self.compare.on_change = lambda: self.on_change()
        self._drawers = [
            Drawer("Neighbours and g(r)", "show_structure", STRUCTURE_TIP, self.structure),
            Drawer("Compare with a second structure", "show_compare", COMPARE_TIP, self.compare),
        ]
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._of_result = (self.hands, self.strengths, self.widths, self.probe, self.probes, self.look_at_probe)
        self._of_atoms = (self._colors, self.size_text, self.histogram)
        for widget in (self.back, self.bars, self.text, self.sure, self.doubts, *self._of_atoms, *self._of_result):
            layout.addWidget(widget)
        for widget in (self.show_table, *self._drawers):
            layout.addWidget(widget)
        layers.viewer.dims.events.current_step.connect(self._on_step)
        state.result_changed.connect(self._on_result)
        state.running_changed.connect(self._on_running)
        self._empty()

    def shutdown(self) -> None:
        """Stop listening."""
        self.layers.viewer.dims.events.current_step.disconnect(self._on_step)
        self.state.result_changed.disconnect(self._on_result)
        self.state.running_changed.disconnect(self._on_running)
        self.structure.shutdown()
        self.compare.shutdown()
        self.table.close()

    def _offer_doubts(self) -> None:
        """Whether doubtful atoms can be walked through now, and what is missing."""
        result, running = self.state.result, self.state.running
        ended = result is not None and not did_not_end(result)
        ready = not running and ended and self.layers.atoms.result is result
        self.doubts.setEnabled(ready)
        self.doubts.setToolTip(
            "Show the atom that is most doubtful at every tilt: keep, delete or move it, or add one beside it."
            if ready
            else "A reconstruction is running."
            if running
            else "This run did not end: go on with it first (step 3)."
            if result is not None and not ended
            else "Needs a finished reconstruction (step 3)."
        )

    def _empty(self) -> None:
        self.result = self._followed = None
        self._seldom.forget()
        self._offer_doubts()
        self.text.setText("R-factor per tilt and what is known of the atoms appear here while a reconstruction runs.")
        for widget in (self.back, self.bars, self.sure, *self._of_atoms, *self._of_result):
            widget.hide()
        self._forget_atoms()

    def _forget_atoms(self) -> None:
        """What was worked out of atoms that are not these."""
        ready = self.result is not None
        for drawer in self._drawers:
            drawer.enable(ready)
        self.compare.forget()
        self.table.forget()
        self.structure.forget()
        self.show_table.setEnabled(ready)
        self.show_table.setToolTip(
            "All atoms in a dock of their own: sort, filter, copy; its rows are the points on the canvas."
            if ready
            else "Needs a finished reconstruction (step 3)."
        )

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Follow a running reconstruction; bars and histogram are drawn once a second."""
        self._followed = snapshot
        self._seldom.wish()

    def _follow(self) -> None:
        if self._followed is not None:
            self._show(self._followed.r_factor, ())
            self._followed = None

    def _on_running(self) -> None:
        if self.state.fitting:
            self._empty()
        elif not self.state.running:
            self._seldom.catch_up()
        # Only an end without a result leaves the layers of one run and the result of another.
        result = self.state.result
        other = not self.state.running and result is not None and self.layers.atoms.result is not result
        if other:
            self.back.setText(f"Show run {self.state.result_run} again")
        self.back.setVisible(other)
        self._offer_doubts()

    def _on_result(self) -> None:
        result = self.state.result
        if result is None:
            self._empty()
            return
        self.result, self._followed = result, None
        self._show(result.r_factor, result.withheld)
        self.show_doubts()
        self.back.hide()
        self._offer_doubts()
        self._show_of_result(result)
        self._forget_atoms()

    def show_doubts(self) -> None:
        """Say how sure the atoms are; once the doubt queue has looked at the residuals, as it does."""
        result = self.result
        if result is None or result is not self.state.result:
            return
        likelihood = result.details.get("likelihood")
        lines = [*self._doubts_of(result), "" if likelihood is None else f"F{fitted_by(likelihood)[1:]}"]
        self.sure.setText("\n".join(line for line in lines if line))
        self.sure.setVisible(bool(self.sure.text()))

    def _doubts_of(self, result: Result) -> list[str]:
        """How sure the atoms are, which of them are worth a look, and where there should be others."""
        known = result.sigma_A is not None or result.p_exists is not None
        sure = "; ".join(part for part in ("" if known else NO_ERROR_BARS, summary(result)) if part)
        try:
            spacing_A = expected_spacing_A(result.settings.model)
        except InputError:
            return [sure]
        words = ""
        if not did_not_end(result):  # whose atoms nobody can walk through
            ranking = self.ranking(result)
            words = doubtful_words(ranking or rank(result, spacing_A), ranking is not None, known)
        return ["; ".join(part for part in (sure, words) if part), asked_words(result, spacing_A)]

    def _show_of_result(self, result: Result) -> None:
        """What only some runs have: the hand, a mixture of elements, a probe that the fit changed."""
        hands = result.details.get("handedness") or {}
        self.hands.setText("\n".join(in_window_words(hand["sentence"]) for hand in hands.values()))
        self.hands.setVisible(bool(hands))
        mixture = result.details.get("mixture")
        self.strengths.setVisible(mixture is not None)
        if mixture is not None:
            self.strengths.show_strengths(result, mixture, self.layers.atoms.intensity)
        own_widths = WidthHistogram.worth(result)
        self.widths.setVisible(own_widths)
        if own_widths:
            self.widths.show_widths(result)
        before = result.probe_before
        changed = before is not None and result.probe_changed
        for widget in (self.probe, self.probes, self.look_at_probe):
            widget.setVisible(changed)
        if before is not None and changed:
            self.probe.setText(probe_text(result))
            self.probes.show_probes(before, result.probe)

    def _open_table(self) -> None:
        self.table.open()
        self.structure.want()  # its last column

    def _show_probe_change(self) -> None:
        result = self.result
        if result is None or result.probe_before is None:
            return
        if self.layers.probe.slices is not result.probe:  # the settings of another probe were looked at since
            self.layers.show_probe(result.probe, result.probe_before)
        self.layers.look_at("probe")
        self.on_change()

    def _show_result_again(self) -> None:
        result = self.state.result
        if result is None:
            return
        try:
            spacing_A = expected_spacing_A(result.settings.model)
        except InputError as error:
            self.state.fail(str(error))
            return
        self.layers.remove_results()
        self.layers.show_result(result, spacing_A)
        self.state.take_up(result, self.state.result_run, self.state.history)

    # -- bars and histogram -----------------------------------------------------------------------------------

    def _show(self, r_factor: np.ndarray, withheld: tuple[int, ...]) -> None:
        series = self.state.series
        if series is not None and not self.bars.isVisibleTo(self):
            self.bars.show_angles([short_angle_text(series, t) for t in range(len(series))])
        self.bars.show()
        self.bars.show_values(r_factor, withheld)
        self.take_over_colors()
        self._on_step()

    def take_over_colors(self) -> None:
        """The atoms on screen, or their colours, were changed elsewhere."""
        self._offer_colors()
        self._show_colors()

    def _offer_colors(self) -> None:
        """List what the atoms on screen can be coloured by; what was chosen last stays the wish."""
        result = self.layers.atoms.result
        names = [name for name in WANTED if missing(name, result) is None]
        chosen = self.layers.atoms.color_by if self.layers.atoms.color_by in names else HEIGHT
        if names != [self.color_by.itemText(i) for i in range(self.color_by.count())] or (
            self.color_by.currentText() != chosen
        ):
            self.color_by.blockSignals(True)
            self.color_by.clear()
            self.color_by.addItems(names)
            self.color_by.setCurrentText(chosen)
            self.color_by.blockSignals(False)

    def _on_color_by(self, name: str) -> None:
        if name and name != self.layers.atoms.color_by:
            self.layers.color_atoms(name)
            self._show_colors()

    def _on_size_by(self, name: str) -> None:
        self.layers.atoms.size(name)
        self._show_sizes()

    def _show_sizes(self) -> None:
        why = missing(COLOR_ERROR_BAR, self.layers.atoms.result)
        self.size_by.setEnabled(why is None)
        if why is None:
            self.size_by.setToolTip("Atoms in 3D all alike, or their radius a multiple of their error bar.")
        else:
            self.size_by.setToolTip(f"Sizes by error bar are not there: {why}.")
        sizing = self.layers.atoms.sizing
        self.size_text.setText("" if sizing is None else sizing.legend)
        self.size_text.setVisible(sizing is not None)

    def _show_colors(self) -> None:
        self._show_sizes()
        there = self.layers.atoms.orbitals is not None
        self._colors.setVisible(there)
        self.histogram.setVisible(there)
        if there:
            self.histogram.show_coloring(self.layers.atoms.coloring())

    def _go_to(self, tilt: int) -> None:
        self.layers.go_to_tilt(tilt)

    def _on_step(self, event: Any = None) -> None:
        series = self.state.series
        if series is None or not len(self.bars.values):
            return
        tilt = self.layers.tilt
        if tilt >= len(self.bars.values):
            return
        self.bars.mark(tilt)
        r = self.bars.values[tilt]
        value = f"R {100 * r:.2f} %" if np.isfinite(r) else "no R yet"
        if self.result is not None and tilt in self.result.withheld:
            value += f", withheld (correlation {self.result.correlation[tilt]:.3f})"
        lines = [f"tilt {tilt}, {angle_text(series, tilt)}: {value}"]
        limit = self.layers.stacks.residual_limit
        if limit is not None:
            lines.append(f"residual scale ±{limit:.3g} {self.layers.atoms.intensity}")
        self.text.setText("<br>".join(lines))
