"""Step 4 by mouse and keyboard: comparison, structure, table of atoms, sizes, and everything on one slider."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import our_widgets
from stand_in import StandInJob
from steps import child, open_step

from napari_lot.atoms import Orbitals
from napari_lot.export import write_atoms_xyz

pytestmark = pytest.mark.slow  # part of `make test-all`


class Sure(StandInJob):
    """Error bars, probabilities, widths of its own for every atom, and a withheld and an excluded tilt."""

    def run(self, control: Any = None) -> Any:
        self.knows_errors = True
        yield from super().run(control)
        found = self.result
        n = len(found.orbitals)
        widths = np.random.default_rng(0).normal(0.5, 0.02, n)
        self.result = replace(found, orbitals=replace(found.orbitals, width=widths))


@pytest.fixture
def done(ready: Any, hand: Any) -> Any:
    """A workbench after a run of the stand-in."""
    ready.run.make_job = lambda series, settings: Sure(series, settings, step_s=0.0, steps=8)
    hand.click(child(ready, "start"))
    hand.until(lambda: ready.state.result is not None)
    open_step(ready, hand, "inspect")
    return ready


def reference(done: Any, folder: Path, signs: Any = (1, 1, 1)) -> Path:
    """The atoms of the run elsewhere, some moved by 5 pm, five missing and two more."""
    atoms = done.state.result.orbitals.positions
    rng = np.random.default_rng(1)
    points = np.concatenate([atoms[5:] + rng.normal(0, 0.05, (len(atoms) - 5, 3)), [[40, 0, 0], [0, 40, 0]]])
    path = folder / "reference.xyz"
    write_atoms_xyz(path, Orbitals.create(points * signs + [31.0, -4, 12], elements=("Pt",)))
    return path


def compare(done: Any, hand: Any, path: Path) -> None:
    if not child(done, "show_compare").isChecked():
        hand.click(child(done, "show_compare"))
    hand.type(child(done, "compare_path"), str(path), enter=False)
    hand.click(child(done, "compare_start"))
    hand.until(lambda: not done.inspect.compare.task.running, 20)


def test_a_reference_elsewhere_is_matched_and_shown_in_three_colours(
    done: Any, viewer: Any, hand: Any, tmp_path: Path
) -> None:
    compare(done, hand, reference(done, tmp_path))
    text = child(done, "compare_figures").text()
    assert "242 of 244 atoms of reference.xyz matched within 1 Å: recall 99.18 %, precision 97.98 %" in text
    assert "standard deviations x " in text
    layers = viewer.layers
    assert [len(layers[name].data) for name in ("Matched", "Missing", "False")] == [242, 2, 5]
    atoms = done.state.result.orbitals.positions
    np.testing.assert_allclose(np.sort(layers["False"].data[:, ::-1], 0), np.sort(atoms[:5], 0), atol=1e-6)
    # in the frame of the run, whatever shift the file has
    np.testing.assert_allclose(layers["Missing"].data[:, ::-1], [[40, 0, 0], [0, 40, 0]], atol=0.05)
    assert not layers["Atoms"].visible
    assert "242" in child(done, "compare_legend").text()
    assert done.inspect.compare.plot.counts["distance"].sum() == 242
    hand.choose(child(done, "compare_what"), "x, y and z")
    assert all(counts.sum() == 242 for counts in done.inspect.compare.plot.counts.values())
    # on images they would all lie on one tilt
    hand.click(child(done, "view_images"))
    assert "Matched" not in layers
    hand.click(child(done, "compare_show"))
    assert "Matched" in layers
    hand.click(child(done, "compare_remove"))
    assert not {"Matched", "Missing", "False"} & {layer.name for layer in layers}
    assert layers["Atoms"].visible


def test_the_other_hand_is_said_and_can_be_taken(done: Any, viewer: Any, hand: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    result = done.state.result
    chiral = replace(result.orbitals, positions=result.orbitals.positions + rng.normal(0, 0.4, (247, 3)))
    done.layers.atoms.result = replace(result, orbitals=chiral)
    path = tmp_path / "mirror.xyz"
    write_atoms_xyz(path, Orbitals.create(chiral.positions * [1, 1, -1] + [9, 0, 3], elements=("Pt",)))
    compare(done, hand, path)
    assert child(done, "compare_hand").text().startswith("The other hand fits better: the mirror image (x, y, −z)")
    hand.choose(child(done, "compare_way"), "(x, y, −z), mirrored")
    assert "recall 100.00 %" in child(done, "compare_figures").text()
    np.testing.assert_allclose(
        np.sort(viewer.layers["Matched"].data[:, ::-1], 0), np.sort(chiral.positions, 0), atol=1e-6
    )


def test_a_points_layer_is_a_second_structure(done: Any, viewer: Any, hand: Any) -> None:
    atoms = done.state.result.orbitals.positions
    viewer.add_points(atoms[:, ::-1] / 10, name="theirs", units=("nm",) * 3)
    hand.click(child(done, "show_compare"))
    hand.choose(child(done, "compare_source"), "theirs")
    hand.click(child(done, "compare_start"))
    hand.until(lambda: not done.inspect.compare.task.running, 20)
    assert "recall 100.00 %, precision 100.00 %" in child(done, "compare_figures").text()
    assert "RMSD 0.00 pm" in child(done, "compare_figures").text()


def test_a_bad_reference_is_one_sentence(done: Any, hand: Any, notified: Any, tmp_path: Path) -> None:
    compare(done, hand, tmp_path / "nothing.xyz")
    assert "nothing.xyz: no such file of atoms" in notified()[-1]
    assert child(done, "compare_start").isEnabled()


def test_a_refused_cutoff_is_explained_and_compares_nothing(done: Any, hand: Any, tmp_path: Path) -> None:
    path = reference(done, tmp_path)
    hand.click(child(done, "show_compare"))
    hand.type(child(done, "compare_path"), str(path), enter=False)
    for typed in ("-3", "abc"):
        hand.type(child(done, "compare_cutoff"), typed)
        assert child(done, "compare_refusals").isVisible()
        assert "Cutoff: " in child(done, "compare_refusals").text()
        assert not child(done, "compare_start").isEnabled()
        hand.type(child(done, "compare_path"), str(path))  # Enter there compares, too
        assert not done.inspect.compare.task.running
        assert done.inspect.compare.done is None
    hand.type(child(done, "compare_cutoff"), "0.8")
    assert not child(done, "compare_refusals").isVisible()
    compare(done, hand, path)
    assert "within 0.8 Å" in child(done, "compare_figures").text()
    hand.click(child(done, "show_structure"))
    hand.type(child(done, "structure_cutoff"), "-3")
    assert "Neighbours within: " in child(done, "structure_refusals").text()


def test_a_failed_comparison_leaves_nothing_of_an_earlier_one(
    done: Any, viewer: Any, hand: Any, tmp_path: Path
) -> None:
    compare(done, hand, reference(done, tmp_path))
    assert "reference.xyz" in child(done, "compare_figures").text()
    compare(done, hand, tmp_path / "nothing.xyz")
    assert not child(done, "compare_figures").isVisible()
    assert "Matched" not in viewer.layers
    assert viewer.layers["Atoms"].visible
    note = child(done, "compare_note").text()
    assert "⚠" in note
    assert "Not compared. " in note
    assert "choose another structure" in note


def test_a_shift_that_rounds_to_zero_has_no_sign() -> None:
    from napari_lot.analysis.compare import compare as compared
    from napari_lot.gui.panels.inspect.compare_box import figures

    atoms = Orbitals.create(np.random.default_rng(0).normal(0, 9, (20, 3)), elements=("Pt",))
    moved = replace(atoms, positions=atoms.positions + np.array([0.001, -0.001, 0.5]))
    both = [figures(compared(*pair, 1.0), "other", 20) for pair in ((atoms, moved), (moved, atoms))]
    assert all("−0.00" not in text for text in both)
    assert any("0.00, 0.00, −0.50" in text for text in both)


def test_neighbours_of_the_sample(done: Any, hand: Any) -> None:
    hand.click(child(done, "show_structure"))
    hand.until(lambda: done.inspect.structure.structure is not None, 30)
    structure = done.inspect.structure.structure
    assert structure.cutoff_A == pytest.approx(3.35, abs=0.2)
    assert structure.coordination.max() == 12
    assert "the first minimum of g(r)" in child(done, "structure_text").text()
    for what in ("g(r)", "g(r) by elements", "coordination", "nearest neighbours"):
        hand.choose(child(done, "structure_what"), what)
    hand.type(child(done, "structure_cutoff"), "4.2")
    hand.until(lambda: structure is not done.inspect.structure.structure and not done.inspect.structure.task.running)
    assert "within 4.20 Å" in child(done, "structure_text").text()
    assert done.inspect.structure.structure.coordination.max() == 18


def table(done: Any, hand: Any) -> Any:
    hand.click(child(done, "show_table"))
    return done.inspect.table.table


def test_rows_are_points_and_points_are_rows(done: Any, viewer: Any, hand: Any) -> None:
    rows = table(done, hand)
    hand.click(child(done, "view_atoms"))
    layer = viewer.layers["Atoms"]
    rows.view.sortByColumn(4, rows.view.horizontalHeader().sortIndicatorOrder())
    z = done.state.result.orbitals.positions[:, 2]
    lowest = int(np.argmin(z))
    assert rows.model.rows[0] == lowest
    rows.view.selectRow(0)
    assert set(layer.selected_data) == {lowest}
    assert viewer.scene.camera.center == pytest.approx(done.state.result.orbitals.positions[lowest][::-1])
    layer.selected_data = {3, 200}
    assert rows.selected.tolist() == [3, 200]
    assert {rows.model.rows[i.row()] for i in rows.view.selectionModel().selectedRows()} == {3, 200}
    # sorting keeps what is selected
    rows.view.sortByColumn(0, rows.view.horizontalHeader().sortIndicatorOrder())
    assert sorted(rows.model.rows[i.row()] for i in rows.view.selectionModel().selectedRows()) == [3, 200]
    hand.until(lambda: any(c.name == "neighbours" for c in rows.model.columns), 30)
    headings = [rows.model.headerData(k, rows.view.horizontalHeader().orientation()) for k in range(5)]
    assert headings == ["id", "element", "x (Å)", "y (Å)", "z (Å)"]


def test_a_click_on_an_atom_selects_its_row(done: Any, viewer: Any, hand: Any) -> None:
    from types import SimpleNamespace

    rows = table(done, hand)
    hand.click(child(done, "view_atoms"))
    layer = viewer.layers["Atoms"]
    assert viewer.layers.selection.active is layer
    atoms = done.state.result.orbitals.positions
    front = int(np.argmin(atoms[:, 2] + 0.3 * np.hypot(*atoms[:, :2].T)))

    def click(atom: int | None, *modifiers: str, moved: bool = False) -> None:
        x, y = (500.0, 500.0) if atom is None else atoms[atom, :2]
        event = SimpleNamespace(
            type="mouse_press",
            button=1,
            position=(0.0, -60.0, y, x),
            view_direction=np.array([0.0, 1.0, 0.0, 0.0]),
            dims_displayed=[1, 2, 3],
            modifiers=modifiers,
        )
        for callback in layer.mouse_drag_callbacks:
            steps = callback(layer, event)
            next(steps)
            event.type = "mouse_move" if moved else "mouse_release"
            next(steps, None)

    click(front)
    assert rows.selected.tolist() == [front]
    click(None, moved=True)
    assert rows.selected.tolist() == [front], "turning the particle selects nothing"
    click(None)
    assert not len(rows.selected)


def test_the_table_filters_and_copies(done: Any, hand: Any) -> None:
    from qtpy.QtWidgets import QApplication

    rows = table(done, hand)
    hand.type(rows.filter, "Pt z > 5 p_exists<0.95", enter=False)
    result = done.state.result
    expected = (result.orbitals.positions[:, 2] > 5) & (result.p_exists < 0.95)
    assert rows.model.rowCount() == expected.sum()
    hand.type(rows.filter, "p_exists < 0.95", enter=False)
    assert rows.model.rowCount() == 2
    hand.click(rows.copy)
    lines = QApplication.clipboard().text().splitlines()
    assert len(lines) == 3
    assert lines[0].split("\t")[:5] == ["id", "element", "x (Å)", "y (Å)", "z (Å)"]
    assert float(lines[1].split("\t")[2]) == pytest.approx(result.orbitals.positions[0, 0], abs=6e-4)
    rows.filter.setText("nonsense > 5")
    assert "nonsense is no column of numbers" in rows.mistake.text()
    assert rows.model.rowCount() == 2, "what was shown stays"
    hand.type(rows.filter, "Au", enter=False)
    assert rows.model.rowCount() == 0


def test_a_closed_table_opens_again_and_a_new_run_empties_it(done: Any, viewer: Any, hand: Any) -> None:
    first = table(done, hand)
    viewer.window.remove_dock_widget(first)
    second = table(done, hand)
    assert second is not first
    assert second.isVisible()
    hand.until(lambda: [w for w in our_widgets() if isinstance(w, type(second))] == [second])
    done.run.make_job = lambda series, settings: StandInJob(series, settings, step_s=0.05, steps=10_000)
    open_step(done, hand, "run")
    hand.click(child(done, "start"))
    hand.until(lambda: done.state.running)
    assert not child(done, "show_table").isEnabled()
    assert "Needs a finished" in child(done, "show_table").toolTip()
    hand.click(child(done, "finish"))
    hand.until(lambda: not done.state.running)
    assert second.model.rowCount() == 247
    done.shutdown()
    assert done.inspect.table.table is None


def test_size_by_error_bar(done: Any, viewer: Any, hand: Any) -> None:
    hand.click(child(done, "view_atoms"))
    layer = viewer.layers["Atoms"]
    assert np.ptp(layer.size) == 0
    hand.choose(child(done, "size_by"), "error bar")
    result = done.state.result
    bars = np.sqrt((result.sigma_A**2).sum(1))
    text = child(done, "size_text").text()
    factor = float(text.split("= ")[1].split(" ×")[0])
    limit = 0.9 * done.layers.atoms.spacing_A
    np.testing.assert_allclose(layer.size, 2 * np.minimum(factor * bars, limit), rtol=1e-5)
    assert 0.1 < np.median(layer.size) / done.layers.atoms.spacing_A < 0.65
    hand.choose(child(done, "size_by"), "equal")
    assert np.ptp(layer.size) == 0
    assert child(done, "size_text").isHidden()


def test_widths_of_their_own_have_a_histogram(done: Any) -> None:
    plot = child(done.inspect, "widths")  # the form of a run has a field of that name
    assert not plot.isHidden()
    assert {element: counts.sum() for element, counts in plot.counts.items()} == {"Pt": 247}


@pytest.mark.parametrize("tilt", [0, 4, 17, 35])
def test_all_images_and_atoms_are_of_the_shown_tilt(ready: Any, viewer: Any, hand: Any, tilt: int) -> None:
    """Tilt 4 is left out and tilt 17 withheld: they have their calculated image, residual and rings as well."""
    series = ready.state.series.with_changes(excluded=(4,))
    ready.state.set_series(series)

    class Withheld(Sure):
        def run(self, control: Any = None) -> Any:
            yield from super().run(control)
            self.result = replace(self.result, withheld=(17,), shifts_px=np.arange(72.0).reshape(36, 2) / 20)

    ready.run.make_job = lambda s, settings: Withheld(s, settings, step_s=0.0, steps=8)
    open_step(ready, hand, "run")
    hand.click(child(ready, "start"))
    hand.until(lambda: ready.state.result is not None)
    result = ready.state.result
    hand.click(child(ready, "view_images"))
    viewer.dims.set_point(0, tilt)
    for name, images in (("Measured", series.images), ("Calculated", result.calculated)):
        np.testing.assert_array_equal(np.squeeze(np.asarray(viewer.layers[name]._slice.image.view)), images[tilt])
    shown = np.squeeze(np.asarray(viewer.layers["Residual"]._slice.image.view))
    np.testing.assert_allclose(shown, series.images[tilt] - result.calculated[tilt], atol=1e-6)
    assert child(ready, "tilt_text").text().startswith(f"tilt {tilt}, ")
    hand.click(child(ready, "view_markers"))
    assert ready.layers.tilt == tilt
    rings = viewer.layers["Atoms on tilt"]
    np.testing.assert_allclose(rings.data[rings.shown], ready.layers.projected(tilt), atol=1e-6)
    assert np.squeeze(np.asarray(viewer.layers["Measured"]._slice.image.view)) == pytest.approx(series.images[tilt])
