"""The workbench: five steps from a tilt series to atoms, and one to a volume, in one dock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

# Imported here, on the main thread, before there is a window to wait for: torch in a worker would stall it, and napari
# imports pandas with its first layer of points.
import pandas as pd  # noqa: F401
import pint
import torch  # noqa: F401
from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtWidgets import (
    QApplication,
    QButtonGroup,
    QFrame,
    QHBoxLayout,
    QMainWindow,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_lot.gui.broken_off import did_not_end
from napari_lot.gui.canvas.drawings import warm_up
from napari_lot.gui.canvas.garbage import Garbage
from napari_lot.gui.canvas.layers import WorkbenchLayers
from napari_lot.gui.forms.section import CAVEAT, DONE, NEEDS, READY, Section
from napari_lot.gui.forms.tab_order import go_on
from napari_lot.gui.forms.words import OF_LAYER
from napari_lot.gui.look import use_theme
from napari_lot.gui.notices import Notices
from napari_lot.gui.panels.data import DataPanel, shortcomings, summary
from napari_lot.gui.panels.doubts import DoubtsPanel
from napari_lot.gui.panels.export import ExportPanel
from napari_lot.gui.panels.inspect import InspectPanel
from napari_lot.gui.panels.probe import ProbePanel
from napari_lot.gui.panels.run import RunPanel
from napari_lot.gui.panels.volume import VolumePanel
from napari_lot.gui.preferences import preferences
from napari_lot.gui.recovery import RecoveryBar
from napari_lot.gui.sessions import Sessions
from napari_lot.gui.state import WorkbenchState
from napari_lot.gui.work.one_paint import lay_out
from napari_lot.gui.work.piece import Piece
from napari_lot.job import ProbeSlices, Snapshot
from napari_lot.warm_up import compile_beside

if TYPE_CHECKING:
    import napari.viewer

VIEWS = (
    ("images", "Images", "Measured, calculated and residual images of the shown tilt, side by side."),
    ("markers", "Overlay", "Atoms drawn on the measured image of the shown tilt."),
    ("atoms", "Atoms 3D", "Atoms in three dimensions, coloured by height; x right, y down, z away from you."),
    (
        "probe",
        "Probe",
        "The probe, slice by slice along the beam; where a fit changed it, before, after and their difference.",
    ),
    ("volume", "Volume", "The volume of a voxel method or of a file, and the atoms traced in it."),
)
MINIMUM_WIDTH = 340


class Workbench(QWidget):
    """Data, probe, reconstruction, inspection and export of one tilt series.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer whose layers are used and made.
    """

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("napari_lot_workbench")
        pint.get_application_registry().get_name("angstrom")  # reads all units, which the first layer would wait for
        self.viewer = viewer
        self.state = WorkbenchState()
        self.layers = WorkbenchLayers(viewer)
        self.notices = Notices()
        self._closed = False
        self._window: QMainWindow | None = None
        self._warming: Piece | None = None
        # A process that ends by itself. It begins now: the sooner a run is started, the less of it is left.
        self._compiling = compile_beside()

        self.data = DataPanel(self.state, viewer)
        self.probe = ProbePanel(self.state)
        self.run = RunPanel(self.state, self.layers)
        self.inspect = InspectPanel(self.state, self.layers)
        self.inspect.compare.other_runs = self.run.table.others
        chosen = preferences()
        self.export = ExportPanel(self.state, self.layers, chosen.folder)
        self.doubts = DoubtsPanel(self.state, self.layers)
        self.volume = VolumePanel(self.state, self.layers, folder=chosen.folder)
        self.sections = {
            name: Section(i, title, panel)
            for i, (name, title, panel) in enumerate(
                (
                    ("data", "Data", self.data),
                    ("probe", "Probe", self.probe),
                    ("run", "Reconstruct", self.run),
                    ("inspect", "Inspect", self.inspect),
                    ("export", "Export", self.export),
                    ("volume", "Volume", self.volume),
                ),
                start=1,
            )
        }
        self._build()
        self.sessions = Sessions(self)
        self.run.use(chosen.threads, chosen.updates_per_s)
        self._on_theme()

        self.state.failed.connect(self.notices.show)
        self.state.succeeded.connect(self.notices.dismiss)
        self.state.series_changed.connect(self._on_series)
        self.state.microscope_changed.connect(self._update_steps)
        self.state.thickness_changed.connect(self._update_steps)
        self.state.running_changed.connect(self._on_running)
        self.state.result_changed.connect(self._on_result)
        self.probe.probe_changed.connect(self._on_probe)
        self.probe.probe_gone.connect(self._on_no_probe)
        self.probe.refused.connect(self.run.update_buttons)
        self.run.on_snapshot = self._on_snapshot
        self.run.on_change = self._update_steps
        self.data.on_typed = self.run.update_buttons
        self.run.unsettled = self._unsettled
        self.volume.on_change = self._on_volume
        self.volume.unsettled = lambda: self.data.pending
        self.volume.trace.spacing_A = lambda: self.run.form.model.fields["spacing_A"].value
        self.volume.trace.start = self._start_from_layer
        self.inspect.on_change = self._on_shown_again
        self.export.make_session = self.sessions.session
        self.export.on_saved = self.sessions.on_saved
        self.data.source.on_session = self.sessions.open
        viewer.events.theme.connect(self._on_theme)
        self.inspect.on_doubts = lambda: self.doubts.click("next")
        self.inspect.ranking = self.doubts.queue.ranking_of
        self.doubts.queue.prepared.connect(self.inspect.show_doubts)
        viewer.layers.events.inserted.connect(self.update_views)
        viewer.layers.events.removed.connect(self.update_views)
        application = QApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(self.shutdown)
        self.sections["data"].open()
        self._update_steps()
        self.update_views()
        self._garbage = Garbage(viewer, self)

    def _build(self) -> None:
        views = QHBoxLayout()
        views.setSpacing(2)
        self.view_buttons: dict[str, QPushButton] = {}
        self._view_group = QButtonGroup(self)
        for name, text, tip in VIEWS:
            button = QPushButton(text)
            button.setObjectName(f"view_{name}")
            button.setCheckable(True)
            button.setToolTip(tip)
            self._view_group.addButton(button)
            button.clicked.connect(lambda _=False, view=name: self._look_at(view))
            self.view_buttons[name] = button
            views.addWidget(button)
        inside = QWidget()
        steps = QVBoxLayout(inside)
        steps.setContentsMargins(0, 0, 4, 0)
        steps.setSpacing(2)
        for section in self.sections.values():
            line = QFrame()
            line.setFrameShape(QFrame.Shape.HLine)
            line.setFixedHeight(1)
            line.setObjectName("step_line")
            steps.addWidget(line)
            steps.addWidget(section)
        steps.addStretch(1)
        self.scroll = QScrollArea()
        self.scroll.setWidgetResizable(True)
        self.scroll.setFrameShape(QFrame.Shape.NoFrame)
        self.scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.scroll.setWidget(inside)
        self.scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # it scrolls to what has the focus
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 2, 4)
        layout.addLayout(views)
        self.recovery = RecoveryBar()
        layout.addWidget(self.recovery)
        layout.addWidget(self.scroll, 1)
        self.setMinimumWidth(MINIMUM_WIDTH)
        QWidget.setTabOrder(self, self.view_buttons[VIEWS[0][0]])  # whoever comes in begins at the top

    def focusNextPrevChild(self, forward: bool) -> bool:
        there = go_on(self, self.window().focusWidget(), forward)
        inside = self.scroll.widget()
        if there is not None and inside is not None and inside.isAncestorOf(there):
            self.scroll.ensureWidgetVisible(there)
        return there is not None

    # -- ways to look -----------------------------------------------------------------------------------------

    def _look_at(self, view: str) -> None:
        if self.layers.available(view) is None:
            self.layers.view_chosen = self.state.running or self.run.starting.running
            self.layers.look_at(view)
        self.update_views()

    def update_views(self, event: Any = None) -> None:
        """Enable the views that there is something to show for, check the one that is shown."""
        if self._closed:
            return
        for name, _, tip in VIEWS:
            missing = self.layers.available(name)
            button = self.view_buttons[name]
            button.setEnabled(missing is None)
            button.setToolTip(tip if missing is None else f"Not yet: {missing}.")
            button.setChecked(missing is None and self.layers.view == name)

    def _unsettled(self) -> str | None:
        """Why a run would not begin with what stands in the steps before, None where it would."""
        if self.data.pending is not None:
            return self.data.pending
        if self.probe.refusals and self.run.form.uses_probe:
            return f"step 2: {self.probe.refusals[0].rstrip('.')}"
        return None

    def _start_from_layer(self, name: str) -> None:
        """Begin a fit of orbitals with the points of a layer, or say in step 3 what is missing for it."""
        self.run.form.begin.take(f"{OF_LAYER}{name}")
        self.sections["run"].open()
        needs = self.run.needs()
        if needs is not None:
            self.state.fail(f"Start from {name}: not yet: {needs}.")
        elif self.run.start_button.isEnabled():
            self.run.start_button.click()

    # -- what the steps say -----------------------------------------------------------------------------------

    def _update_steps(self) -> None:
        if self._closed:
            return
        state, steps = self.state, self.sections
        series, microscope, result = state.series, state.microscope, state.result
        if state.reading:
            steps["data"].set_status(READY, f"{state.reading}…")
        elif series is None:
            steps["data"].set_status(NEEDS, "Needs a tilt series: open a file, use an open layer, or open the sample.")
        else:
            weights = self.data.weights
            found = shortcomings(series, weights)
            steps["data"].set_status(
                CAVEAT if found else DONE, " ".join((*found, summary(series, state.thickness_A, weights)))
            )
        if self.probe.refusals:
            steps["probe"].set_status(CAVEAT, " ".join(self.probe.refusals))
        elif state.has_probe:
            energy, angle = microscope.energy_eV or 0.0, microscope.semiangle_mrad or 0.0
            steps["probe"].set_status(
                DONE, f"{energy / 1000:g} keV, {angle:g} mrad, focus at {microscope.defocus_A:g} Å"
            )
        else:
            missing, them = state.missing_of_probe, "it" if len(state.missing_of_probe) == 1 else "them"
            steps["probe"].set_status(NEEDS, f"Needs {' and '.join(missing)}; direct projection runs without {them}.")
        needs = self.run.needs()
        if state.fitting:
            steps["run"].set_status(READY, self.run.doing)
        elif needs is not None:
            mark = CAVEAT if needs == self.run.unsettled() else NEEDS
            steps["run"].set_status(mark, needs[0].upper() + needs[1:] + ".")
        elif self.run.ended is not None:
            steps["run"].set_status(*self.run.ended)
        else:
            steps["run"].set_status(READY, "Ready to start.")
        shown = self.layers.atoms.result
        steps["volume"].set_status(*self.volume.status)
        if state.fitting:
            steps["inspect"].set_status(READY, f"Following run {state.runs}.")
        elif shown is not None:
            unfinished = ", which did not end" if did_not_end(shown) else ""
            doubted = "; see the doubts in step 3" if shown.warnings and not unfinished else ""
            mark = CAVEAT if unfinished or doubted else DONE
            steps["inspect"].set_status(
                mark, f"Run {state.result_run}{unfinished}{doubted}. Click a bar to look at that tilt."
            )
        elif self.layers.atoms.orbitals is not None:
            steps["inspect"].set_status(READY, f"The last state of run {state.runs}, which left no result.")
        else:
            steps["inspect"].set_status(NEEDS, "Needs a reconstruction (step 3).")
        if result is not None:
            unfinished = ", which did not end," if did_not_end(result) else ""
            steps["export"].set_status(
                READY, f"{len(result.orbitals)} atoms of run {state.result_run}{unfinished} to save."
            )
        else:
            steps["export"].set_status(NEEDS, "Needs a finished reconstruction (step 3).")

    # -- what happens -----------------------------------------------------------------------------------------

    def _on_series(self) -> None:
        series = self.state.series
        if series is None:
            return
        if self._warming is None:
            self._warming = Piece("warm-up", warm_up)
        self.notices.dismiss()
        self.doubts.put_away()  # there are no atoms that either could show
        self.inspect.table.put_away()
        self.layers.show_series(series, replacing=self.data.used_layer, keep_tilt=self.state.again)
        self.volume.on_series()
        self.data.show_mask()
        if not self.state.again:
            self.sections["probe"].open()
        self._update_steps()
        self.update_views()

    def _on_probe(self, probe: ProbeSlices) -> None:
        # Without a series there is nothing else to look at; with one the person chooses when to look at the probe.
        first = self.layers.available("probe") is not None
        self.layers.show_probe(probe)
        if first and self.state.series is None:
            self.layers.look_at("probe")
        self.update_views()

    def _on_no_probe(self) -> None:
        """The values have none: what is on the canvas is another's, unless a run has left it."""
        if self.layers.atoms.result is None and not self.state.running:
            self.layers.remove_probe()
            self.update_views()

    def _on_running(self) -> None:
        if self.state.running:
            self.notices.dismiss()
            for name in ("data", "probe", "export"):
                self.sections[name].close_up()
            for name in ("volume",) if self.state.running_volume else ("run", "inspect"):
                self.sections[name].open()
        self.run.update_buttons()
        self._update_steps()

    def _on_shown_again(self) -> None:
        self.doubts.queue.changed.emit()
        self._update_steps()
        self.update_views()

    def _on_volume(self) -> None:
        self._update_steps()
        self.update_views()

    def _on_snapshot(self, snapshot: Snapshot) -> None:
        self.inspect.show_snapshot(snapshot)
        self.sessions.add(snapshot)
        self.update_views()
        lay_out(self.inspect)

    def _on_result(self) -> None:
        if self.state.result is not None and not self.state.edited:
            self.sections["export"].open()
        self._update_steps()
        self.update_views()

    def _on_theme(self, event: Any = None) -> None:
        self.setStyleSheet(use_theme(self.viewer.theme))

    # -- the end ----------------------------------------------------------------------------------------------

    def showEvent(self, event: Any) -> None:
        super().showEvent(event)
        # The dock may float; its main window is the one whose closing ends us.
        widget: QObject | None = self
        while widget is not None and not isinstance(widget, QMainWindow):
            widget = widget.parent()
        if widget is not None and widget is not self._window:
            if self._window is not None:
                self._window.removeEventFilter(self)
            self._window = widget
            widget.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        # A window that a person closes hides of its own accord; a minimised one is hidden by the window system.
        if watched is self._window and event.type() == QEvent.Type.Hide and not event.spontaneous():
            self.shutdown()
        return False

    def event(self, event: QEvent) -> bool:
        # napari takes a closed dock's widget out of its parent and forgets it: nobody else would stop the run.
        if event.type() == QEvent.Type.ParentChange and self.parent() is None and self._window is not None:
            self.shutdown()
            QTimer.singleShot(0, self.deleteLater)
        return super().event(event)

    def closeEvent(self, event: Any) -> None:
        self.shutdown()
        super().closeEvent(event)

    @property
    def is_closed(self) -> bool:
        """Whether the workbench has been shut down."""
        return self._closed

    def shutdown(self) -> None:
        """Stop a run, the timers and all listening; the layers stay. Harmless when called twice."""
        if self._closed:
            return
        self._closed = True
        self.run.catch_up()
        self.volume.catch_up()
        self.sessions.keep_last()
        if self._window is not None:
            self._window.removeEventFilter(self)
        self.viewer.layers.events.inserted.disconnect(self.update_views)
        self.viewer.layers.events.removed.disconnect(self.update_views)
        self.state.failed.disconnect(self.notices.show)
        self.state.succeeded.disconnect(self.notices.dismiss)
        self.state.series_changed.disconnect(self._on_series)
        self.state.microscope_changed.disconnect(self._update_steps)
        self.state.thickness_changed.disconnect(self._update_steps)
        self.state.running_changed.disconnect(self._on_running)
        self.state.result_changed.disconnect(self._on_result)
        self.viewer.events.theme.disconnect(self._on_theme)
        self.doubts.shutdown()
        self.run.shutdown()
        self.volume.shutdown()
        self.sessions.shutdown()
        self.probe.shutdown()
        self.inspect.shutdown()
        self.export.shutdown()
        self.data.shutdown()
        self.layers.close()
        self._garbage.close()
        application = QApplication.instance()
        if application is not None:
            application.aboutToQuit.disconnect(self.shutdown)
