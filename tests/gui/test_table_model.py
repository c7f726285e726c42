"""The table's model at the size of the largest runs, and its filters; no window needed."""

from __future__ import annotations

import time
from types import SimpleNamespace

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_lot.atoms import Orbitals
from napari_lot.errors import InputError
from napari_lot.gui.table.columns import columns_of, rows_that_match
from napari_lot.gui.table.model import AtomsModel
from napari_lot.gui.table.view import AtomsTable


def columns(count: int) -> list:
    rng = np.random.default_rng(0)
    atoms = Orbitals.create(
        rng.normal(0, 9, (count, 3)), rng.random(count), 0.5, rng.integers(0, 2, count), ("Fe", "Pt")
    )
    sigma = rng.random((count, 3))
    sigma[::7] = np.nan
    known = SimpleNamespace(orbitals=atoms, sigma_A=sigma, p_exists=rng.random(count), p_element=rng.random(count))
    return columns_of(known, "counts", rng.integers(0, 12, count))


def test_200000_rows_are_shown_sorted_filtered_and_selected_at_once(qtbot) -> None:
    table = AtomsTable(lambda atoms: None)
    qtbot.addWidget(table)
    many = columns(200_000)
    for act, limit_s in (
        (lambda: table.show_atoms(many), 1.0),
        (lambda: table.view.sortByColumn(7, Qt.SortOrder.DescendingOrder), 0.5),
        (lambda: table.filter.setText("Pt z > 0"), 0.5),
        (lambda: table.filter.setText(""), 0.5),
        (lambda: table.select(np.arange(100)), 0.5),
    ):
        began = time.process_time()
        act()
        assert time.process_time() - began < limit_s
    table.show()
    qtbot.waitExposed(table)
    assert table.model.rowCount() == 200_000


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("name", ["id", "element", "z", "sigma_x", "neighbours"])
def test_sorting_is_that_of_numpy_and_unknown_comes_last(name, down) -> None:
    model = AtomsModel()
    some = columns(500)
    model.show(some)
    k = next(i for i, c in enumerate(some) if c.name == name)
    model.sort(k, Qt.SortOrder.DescendingOrder if down else Qt.SortOrder.AscendingOrder)
    values = some[k].values[model.rows]
    known = values if values.dtype.kind != "f" else values[np.isfinite(values)]
    assert np.array_equal(known, np.sort(known)[:: -1 if down else 1])
    if values.dtype.kind == "f":
        assert not np.isfinite(values[len(known) :]).any()
    assert np.array_equal(np.sort(model.rows), np.arange(500))


def test_filters() -> None:
    some = columns(300)
    by = {c.name: c.values for c in some}
    for text, expected in (
        ("", np.ones(300, bool)),
        ("pt", by["element"] == "Pt"),
        ("Fe, Pt", np.ones(300, bool)),
        ("17 23", np.isin(by["id"], [17, 23])),
        ("Fe z>=2.5 p_exists < .5", (by["element"] == "Fe") & (by["z"] >= 2.5) & (by["p_exists"] < 0.5)),
        ("x < −3", by["x"] < -3),
        ("neighbours = 4", by["neighbours"] == 4),
        ("z > 2,5", by["z"] > 2.5),
        ("Z>-,5,pt", (by["z"] > -0.5) & (by["element"] == "Pt")),
        ("17,23", np.isin(by["id"], [17, 23])),
    ):
        assert np.array_equal(rows_that_match(some, text), np.flatnonzero(expected)), text
    for text, why in (
        ("?", "no element, id or comparison"),
        ("q > 1", "no column"),
        ("z > up", "is no number"),
        ("z > 5 or", "leave out"),
    ):
        with pytest.raises(InputError, match=why):
            rows_that_match(some, text)


def test_a_mistake_in_the_filter_does_not_widen_the_table(qtbot) -> None:
    table = AtomsTable(lambda atoms: None)
    qtbot.addWidget(table)
    table.show_atoms(columns(300))
    table.show()
    for typed in ("foo < 3", 60 * "x" + " < 3", "z > 5 or"):
        table.filter.setText(typed)
        assert table.mistake.isVisible()
        assert table.mistake.text().startswith("Filter: ")
        assert table.minimumSizeHint().width() < 300
    assert table.count.text() == "300 atoms", "what is shown is still all"
    table.filter.setText("z > 5")
    assert not table.mistake.isVisible()
