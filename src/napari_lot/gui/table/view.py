"""The table of atoms in its own dock: filter, sort, select, copy; tied to the points on the canvas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QItemSelection, QItemSelectionModel, Qt
from qtpy.QtGui import QKeySequence, QShortcut
from qtpy.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QPushButton,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from napari_lot.errors import InputError
from napari_lot.gui.forms.sentence import Sentence
from napari_lot.gui.look import FOCUS
from napari_lot.gui.table.columns import Column, rows_that_match
from napari_lot.gui.table.model import AtomsModel


class AtomsTable(QWidget):
    """Atoms as rows.

    Parameters
    ----------
    on_select : callable
        Called with the atoms (indices) that a person selects in the table.
    """

    def __init__(self, on_select: Callable[[NDArray[np.int64]], None], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("atoms_table_dock")
        self.setStyleSheet(FOCUS)
        self._on_select = on_select
        self._selected: NDArray[np.int64] = np.zeros(0, np.int64)
        self._telling = False
        self.model = AtomsModel(self)
        self.filter = QLineEdit()
        self.filter.setObjectName("atoms_filter")
        self.filter.setPlaceholderText("Pt   17   z > 5   p_exists < 0.95")
        self.filter.setToolTip(
            "Show only some atoms: elements, ids, and comparisons of a column with a number, separated by spaces."
        )
        self.filter.setClearButtonEnabled(True)
        self.filter.textChanged.connect(lambda _: self._on_filter())
        self.copy = QPushButton("Copy")
        self.copy.setObjectName("atoms_copy")
        self.copy.setToolTip(
            "Copy the selected rows, or all shown ones, as tab-separated text for a spreadsheet (Ctrl+C)."
        )
        self.copy.clicked.connect(self.copy_rows)
        self.count = QLabel()
        self.count.setObjectName("atoms_count")
        self.mistake = Sentence("atoms_filter_mistake")
        self.mistake.hide()
        self.view = QTableView()
        self.view.setObjectName("atoms_table")
        self.view.setModel(self.model)
        self.view.setToolTip("Selected rows are the selected points on the canvas; click a heading to sort.")
        self.view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.view.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.view.setWordWrap(False)
        self.view.setTabKeyNavigation(False)  # Tab leaves it, the arrow keys go through it
        self.view.verticalHeader().hide()
        # One height for all: asking each of 200,000 rows for its own takes minutes.
        self.view.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.view.verticalHeader().setDefaultSectionSize(self.fontMetrics().height() + 6)
        self.view.horizontalHeader().setSortIndicator(0, Qt.SortOrder.AscendingOrder)
        self.view.setSortingEnabled(True)
        self.view.selectionModel().selectionChanged.connect(self._on_rows)
        self.model.modelReset.connect(self._mark_rows)
        shortcut = QShortcut(QKeySequence.StandardKey.Copy, self.view)
        shortcut.setContext(Qt.ShortcutContext.WidgetShortcut)
        shortcut.activated.connect(self.copy_rows)
        top = QHBoxLayout()
        label = QLabel("Filter")
        label.setBuddy(self.filter)
        for widget, stretch in ((label, 0), (self.filter, 1), (self.count, 0), (self.copy, 0)):
            top.addWidget(widget, stretch)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.addLayout(top)
        layout.addWidget(self.mistake)
        layout.addWidget(self.view, 1)

    def show_atoms(self, columns: list[Column]) -> None:
        """Other atoms, or more columns of the same."""
        if not columns:
            self.mistake.hide()
            self.model.columns = []
            self.model.keep(np.zeros(0, np.int64))
            self._count()
            return
        first = not self.model.columns
        self.model.columns = columns
        self._on_filter()
        if first:
            self._fit_columns()

    def _fit_columns(self) -> None:
        # By the headings and the first row: contents of all rows would be asked for one by one.
        header = self.view.horizontalHeader()
        for k, column in enumerate(self.model.columns):
            sample = column.text(0) if len(column.values) else ""
            text = max(column.heading, sample + "00", key=len)
            self.view.setColumnWidth(k, self.fontMetrics().horizontalAdvance(text) + 34)
        header.setStretchLastSection(True)

    def _on_filter(self) -> None:
        if not self.model.columns:
            return
        try:
            kept = rows_that_match(self.model.columns, self.filter.text())
        except InputError as error:
            self.mistake.setText(str(error))
            self.mistake.show()
            return
        self.mistake.hide()
        self.model.keep(kept)
        self._count()

    def _count(self) -> None:
        columns = self.model.columns
        total, shown = len(columns[0].values) if columns else 0, self.model.rowCount()
        text = f"{total} atoms" if shown == total else f"{shown} of {total} atoms"
        if len(self._selected):
            text += f", {len(self._selected)} selected"
        self.count.setText(text)

    # -- selection --------------------------------------------------------------------------------------------

    @property
    def selected(self) -> NDArray[np.int64]:
        """The selected atoms, whether the filter shows them or not."""
        return self._selected

    def select(self, atoms: NDArray[np.int64]) -> None:
        """Select the rows of some atoms, without telling anybody, and bring the first of them into view."""
        self._selected = np.sort(atoms)
        self._mark_rows()
        self._count()
        rows = self.model.rows_of(self._selected)
        if len(rows):
            self.view.scrollTo(self.model.index(int(rows[0]), 0))

    def _mark_rows(self) -> None:
        rows = self.model.rows_of(self._selected)
        chosen = QItemSelection()
        last = self.model.columnCount() - 1
        for run in np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1) if len(rows) else ():
            chosen.append(QItemSelection(self.model.index(int(run[0]), 0), self.model.index(int(run[-1]), last))[0])
        self._telling = True
        self.view.selectionModel().select(chosen, QItemSelectionModel.SelectionFlag.ClearAndSelect)
        self._telling = False

    def _chosen_rows(self) -> NDArray[np.int64]:
        runs = [np.arange(r.top(), r.bottom() + 1) for r in self.view.selectionModel().selection()]
        return np.unique(np.concatenate(runs)) if runs else np.zeros(0, np.int64)

    def _on_rows(self, *_: Any) -> None:
        if self._telling:
            return
        self._selected = np.sort(self.model.rows[self._chosen_rows()])
        self._count()
        self._on_select(self._selected)

    def copy_rows(self) -> None:
        """The selected rows, or all that are shown, to the clipboard as tab-separated text."""
        rows = self._chosen_rows()
        if not len(rows):
            rows = np.arange(self.model.rowCount())
        clipboard = QApplication.clipboard()
        if clipboard is not None and self.model.columns:
            clipboard.setText(self.model.text_of(rows))
