"""The list of runs: what each was told, what it found; a click shows one again."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_lot.atoms import Orbitals
from napari_lot.gui.canvas.layers import WorkbenchLayers
from napari_lot.gui.forms.progress_line import ProgressLine
from napari_lot.gui.forms.sentence import Sentence
from napari_lot.gui.runs import KEPT_IN_MEMORY, Run, Runs
from napari_lot.gui.state import WorkbenchState
from napari_lot.gui.unsaved import ask, may_go
from napari_lot.gui.work.task import Task
from napari_lot.job import Result

COLUMNS = (
    ("Run", "Number of the run."),
    ("Atoms", "Atoms that it found."),
    ("R %", "Mean R-factor of the fitted tilts in percent."),
    ("held %", "Mean R-factor of the withheld tilts in percent; – where none were."),
    ("Time", "Wall time of the run in minutes:seconds."),
    ("End", "How it ended."),
)
HELD, END = 3, 5
ROW, MOST_ROWS = 24, 5


class RunTable(QWidget):
    """Hidden before a run has finished; the run that is shown and exported is the selected row.

    Attributes
    ----------
    confirm : callable
        Asked with a sentence before atoms that are in no file would go; True goes on.
    """

    def __init__(self, state: WorkbenchState, layers: WorkbenchLayers, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.state, self.layers = state, layers
        self.runs = Runs()
        self.confirm: Callable[[str], bool] = lambda question: ask(self, question)
        self.on_remove: Callable[[int], None] = lambda number: None
        self.task = Task("shown again", self)
        self.progress = ProgressLine("runs", self.task, "Stay with the run that is shown.")
        self.table = QTableWidget(0, len(COLUMNS))
        self.table.setTabKeyNavigation(False)  # Tab leaves it, the arrow keys go through it
        self.table.setObjectName("runs")
        self.table.setHorizontalHeaderLabels([name for name, _ in COLUMNS])
        for column, (_, tip) in enumerate(COLUMNS):
            self.table.horizontalHeaderItem(column).setToolTip(tip)
        self.table.verticalHeader().hide()
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(END, QHeaderView.ResizeMode.Stretch)
        header.setMinimumSectionSize(30)
        self.changes = Sentence("run_changes")
        self.changes.setTextFormat(Qt.TextFormat.PlainText)
        self.remove = QPushButton("Remove from the list")
        self.remove.setObjectName("run_remove")
        self.remove.clicked.connect(self._remove)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(QLabel("<b>Runs</b>"))
        layout.addWidget(self.table)
        layout.addWidget(self.progress)
        layout.addWidget(self.changes)
        row = QHBoxLayout()
        row.addStretch(1)
        row.addWidget(self.remove)
        layout.addLayout(row)
        self.table.itemSelectionChanged.connect(self._on_selected)
        # after a run without a result the selected one is not on screen
        self.table.itemClicked.connect(lambda _: self._on_selected())
        state.running_changed.connect(self._enable)
        state.result_changed.connect(self._on_result)
        self._fill()

    def shutdown(self) -> None:
        """Stop listening; results that waited on disk go."""
        self.task.shutdown()
        self.state.running_changed.disconnect(self._enable)
        self.state.result_changed.disconnect(self._on_result)
        self.runs.clear()
        self.runs.wait(5.0)

    def clear(self) -> None:
        """Another series: its runs are others."""
        self.task.cancel()
        self.runs.clear()
        self._fill()

    def others(self) -> dict[str, Orbitals]:
        """Atoms of the runs that are not shown, by what a person calls these."""
        return {f"run {run.number}": run.result.orbitals for run in self.runs if run.number != self.state.result_run}

    def add(self, result: Result, spacing_A: float) -> None:
        """The run that the state keeps has finished."""
        self.runs.add(self.state.runs, result, spacing_A, self.state.history)
        self._fill()

    def _on_result(self) -> None:
        """Another run is shown, or its atoms are others."""
        if self.state.result is not None and self.state.edited:
            self.runs.change(self.state.result_run, self.state.result)
            self._fill()
        else:
            self.runs.make_room()
            self._select_shown()

    def _fill(self) -> None:
        self.table.blockSignals(True)
        self.table.setRowCount(len(self.runs))
        for row, run in enumerate(self.runs):
            for column, text in enumerate(cells(run)):
                item = QTableWidgetItem(text)
                item.setToolTip(text if column == END else run.changes)  # it may be too long for a narrow dock
                item.setData(Qt.ItemDataRole.UserRole, run.number)
                if column < len(COLUMNS) - 1:
                    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.table.setItem(row, column, item)
            self.table.setRowHeight(row, ROW)
        self.table.blockSignals(False)
        self.table.setColumnHidden(HELD, all(run.result.agreement(withheld=True) is None for run in self.runs))
        self.table.setFixedHeight(
            self.table.horizontalHeader().sizeHint().height() + 4 + ROW * min(max(len(self.runs), 1), MOST_ROWS)
        )
        self.setVisible(bool(len(self.runs)))
        self._select_shown()

    def _number(self) -> int | None:
        items = self.table.selectedItems()
        return None if not items else int(items[0].data(Qt.ItemDataRole.UserRole))

    def _select_shown(self) -> None:
        """The row of the result that the other steps have."""
        self.table.blockSignals(True)
        self.table.clearSelection()
        for row in range(self.table.rowCount()):
            if self.state.result is not None and (
                self.table.item(row, 0).data(Qt.ItemDataRole.UserRole) == self.state.result_run
            ):
                self.table.selectRow(row)
        self.table.blockSignals(False)
        self._enable()

    def _enable(self) -> None:
        running, number = self.state.running, self._number()
        self.table.setEnabled(not running)
        self.table.setToolTip(
            "Not while a reconstruction is running."
            if running
            else f"A click shows a run again, and Export saves it. The images of all but the last {KEPT_IN_MEMORY} "
            "runs wait on disk."
        )
        self.remove.setEnabled(not running and number is not None)
        self.remove.setToolTip(
            "Not while a reconstruction is running."
            if running
            else ("Choose a run first." if number is None else f"Forget run {number}, to free its memory.")
        )
        self.changes.setText("" if number is None else f"Run {number}: {self.runs[number].changes}")

    def _on_selected(self) -> None:
        number = self._number()
        if number is not None and not self.state.running:
            self.show_run(number)
        self._enable()

    def show_run(self, number: int) -> None:
        """Bring back the atoms and images of a run; it is what Export saves."""
        series = self.state.series
        if series is None or (number == self.state.result_run and self.layers.atoms.result is self.state.result):
            return
        doing = f"Reading run {number}"
        if self.task.running and self.task.what == doing:
            return
        self.task.cancel()  # whatever was asked for before

        def failed(sentence: str) -> None:
            self.state.fail(sentence)
            self._select_shown()

        self.task.start(
            doing,
            lambda progress: self.runs.whole(number, series),
            lambda result: self._show(number, result),
            failed,
            self._select_shown,
        )

    def _show(self, number: int, result: Result) -> Iterator[None]:
        if self.state.running or all(run.number != number for run in self.runs):
            return
        view, run = self.layers.view, self.runs[number]
        self.layers.remove_results()
        yield
        yield from self.layers.show_result_in_turns(result, run.spacing_A, turn=view is None)
        yield
        if view is not None and self.layers.available(view) is None:
            self.layers.look_at(view, reset=False)
        self.state.take_up(result, number, run.history)

    def _remove(self) -> None:
        number = self._number()
        if number is None or not may_go(
            self.state, "go with it", "Remove it from the list now?", self.confirm, runs=(number,)
        ):
            return
        was_shown = number == self.state.result_run
        self.runs.remove(number)
        self.on_remove(number)
        self.state.is_saved(number)
        if was_shown:
            if len(self.runs):
                self.show_run(max(run.number for run in self.runs))
            else:
                self.layers.remove_results()
                self.state.take_up(None, 0)
        self._fill()


def cells(run: Run) -> tuple[str, ...]:
    """The row of a run."""
    result = run.result
    fitted, held = result.agreement(), result.agreement(withheld=True)
    return (
        str(run.number),
        str(len(result.orbitals)),
        "–" if fitted is None else f"{100 * fitted[0]:.2f}",
        "–" if held is None else f"{100 * held[0]:.2f}",
        "{}:{:02d}".format(*divmod(round(result.wall_seconds.get("total", 0.0)), 60)),
        result.stop_reason,
    )
