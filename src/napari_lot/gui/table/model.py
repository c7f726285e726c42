"""A table model over arrays: rows are an index into them, so that 200,000 are sorted and filtered at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt

from napari_lot.gui.table.columns import Column

_NONE = QModelIndex()


class AtomsModel(QAbstractTableModel):
    """Columns of atoms; ``rows[i]`` is the atom in row i."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.columns: list[Column] = []
        self.rows: NDArray[np.int64] = np.zeros(0, np.int64)
        self._kept: NDArray[np.int64] = self.rows
        self._place: NDArray[np.int64] = self.rows
        self._by: tuple[int, bool] = (0, False)

    def show(self, columns: list[Column], kept: NDArray[np.int64] | None = None) -> None:
        """Other atoms, or other columns of them; the order stays by the same column."""
        self.columns = columns
        self.keep(np.arange(len(columns[0].values)) if kept is None else kept)

    def keep(self, kept: NDArray[np.int64]) -> None:
        """Show only some atoms."""
        self._kept = kept
        self._arrange()

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        self._by = (max(column, 0), order == Qt.SortOrder.DescendingOrder)
        self._arrange()

    def _arrange(self) -> None:
        self.beginResetModel()
        column, down = self._by
        rows = self._kept
        if self.columns and len(rows):
            values = self.columns[min(column, len(self.columns) - 1)].values[rows]
            if values.dtype.kind == "f":  # what is not known comes last, either way
                values = np.where(np.isfinite(values), -values if down else values, np.inf)
                rows = rows[np.argsort(values, kind="stable")]
            else:
                place = np.unique(values, return_inverse=True)[1]
                rows = rows[np.argsort(-place if down else place, kind="stable")]
        self.rows = rows
        count = len(self.columns[0].values) if self.columns else 0
        self._place = np.full(count, -1, np.int64)
        self._place[rows] = np.arange(len(rows))
        self.endResetModel()

    def rows_of(self, atoms: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows in which some atoms are shown, ascending; those that the filter hides are left out."""
        atoms = atoms[(atoms >= 0) & (atoms < len(self._place))]
        place = self._place[atoms]
        return np.sort(place[place >= 0])

    def text_of(self, rows: NDArray[np.int64]) -> str:
        """Rows as tab-separated text with their headings, for a spreadsheet."""
        lines = ["\t".join(column.heading for column in self.columns)]
        lines += ["\t".join(column.text(atom) for column in self.columns) for atom in self.rows[rows]]
        return "\n".join(lines) + "\n"

    # -- what Qt asks -----------------------------------------------------------------------------------------

    def rowCount(self, parent: QModelIndex = _NONE) -> int:
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: QModelIndex = _NONE) -> int:
        return 0 if parent.isValid() else len(self.columns)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if role == Qt.ItemDataRole.DisplayRole:
            return self.columns[index.column()].text(int(self.rows[index.row()])).replace("-", "−")
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation == Qt.Orientation.Horizontal and section < len(self.columns):
            if role == Qt.ItemDataRole.DisplayRole:
                return self.columns[section].heading
            if role == Qt.ItemDataRole.ToolTipRole:
                return self.columns[section].tip
        return None
