"""The list of runs, presets in the window, given atoms as a start, and how often layers follow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from stand_in import StandInJob
from steps import child, open_step

from napari_lot import presets
from napari_lot.atoms import Orbitals
from napari_lot.errors import InputError
from napari_lot.export import write_volume
from napari_lot.gui.runs import KEPT_IN_MEMORY, Runs, differences
from napari_lot.job import ProbeSlices, Result
from napari_lot.settings import Settings, settings_from_dict
from napari_lot.voxel.volume import Volume

pytestmark = pytest.mark.slow  # part of `make test-all`


def result(seed: int, settings: Settings | None = None) -> Result:
    images = np.random.default_rng(seed).normal(1, 0.1, (5, 8, 9)).astype(np.float32)
    return Result(
        orbitals=Orbitals.create(np.zeros((3, 3)), elements=("Pt",)),
        r_factor=np.full(5, 0.1),
        calculated=images,
        residual=MEASURED - images,
        center_px=(4.0, 4.0),
        shifts_px=np.zeros((5, 2)),
        scale=np.ones(5),
        background=np.zeros(5),
        probe=ProbeSlices(np.ones((1, 1, 1), np.float32), np.zeros(1), 0.1),
        tilts_seen=np.full(3, 5),
        wall_seconds={"total": 2.0},
        stop_reason="converged",
        message="",
        settings=settings or Settings(),
    )


MEASURED = np.random.default_rng(9).normal(1, 0.1, (5, 8, 9)).astype(np.float32)


class Measured:
    images = MEASURED


def test_images_of_older_runs_wait_on_disk_and_come_back_the_same() -> None:
    runs = Runs()
    results = {n: result(n) for n in range(1, KEPT_IN_MEMORY + 3)}
    for n, found in results.items():
        runs.add(n, found, 2.8)
    runs.wait()
    assert [run.path is not None for run in runs] == [True, True, *[False] * KEPT_IN_MEMORY]
    assert runs[1].result.calculated.size == runs[1].result.residual.size == 0
    folder = runs[1].path.parent
    back = runs.whole(1, Measured)
    np.testing.assert_array_equal(back.calculated, results[1].calculated)
    np.testing.assert_array_equal(back.residual, results[1].residual)
    assert runs.whole(5, Measured) is results[5]
    changed = result(9)
    runs.change(1, changed)
    assert runs.whole(1, Measured) is changed
    runs.make_room()
    runs.wait()
    np.testing.assert_array_equal(runs.whole(1, Measured).calculated, changed.calculated)
    runs.remove(2)
    assert [path.name for path in folder.iterdir()] == ["1.npy"]
    runs[1].path.unlink()
    with pytest.raises(InputError, match="Run 1: its images cannot be read"):
        runs.whole(1, Measured)
    runs.clear()
    runs.wait()
    assert not folder.exists()


def test_what_a_run_was_told_that_the_one_before_was_not() -> None:
    a = settings_from_dict({"solver": {"seed": 1}})
    b = settings_from_dict({"solver": {"seed": 2}, "model": {"probe": "adaptive"}})
    assert differences(a, b) == "Model rigid → adaptive; Random seed 1 → 2"
    assert differences(a, a) == "same settings"
    assert differences(a, settings_from_dict({"solver": {"seed": 1}, "data": {"withhold": 6}})) == "Withhold none → 6"
    of_file = settings_from_dict({"solver": {"seed": 1, "widths": "atom"}, "start": {"kind": "/tmp/a.csv"}})
    of_layer = settings_from_dict({"solver": {"seed": 1}, "start": {"kind": "layer Mine", "width_A": 0.5}})
    said = "Start from a grid of orbitals → atoms of a.csv; Widths one an element → one an atom"
    assert differences(a, of_file) == said
    said = "Start from atoms of the layer Mine → a grid of orbitals; Width 0.5 Å → 0.6 Å"
    assert differences(of_layer, a) == said
    low, high = (settings_from_dict({"microscope": {"energy_eV": e}}) for e in (80e3, 300e3))
    assert differences(low, high) == "Energy 80 keV → 300 keV"


def run_once(workbench: Any, hand: Any) -> None:
    hand.click(child(workbench, "start"))
    hand.until(lambda: not workbench.state.running, 60)


def test_runs_are_compared_atom_by_atom(ready: Any, hand: Any) -> None:
    ready.run.make_job = lambda series, settings: StandInJob(series, settings, step_s=0.0, steps=4)
    source = child(ready, "compare_source")

    def offered() -> list[str]:
        return [source.itemText(i) for i in range(source.count())]

    run_once(ready, hand)
    assert offered() == ["a file"], "not with itself"
    run_once(ready, hand)
    assert offered() == ["a file", "run 1"]
    ready.run.table.show_run(1)
    hand.until(lambda: ready.state.result_run == 1, 20)
    assert offered() == ["a file", "run 2"]
    open_step(ready, hand, "inspect")
    hand.click(child(ready, "show_compare"))
    hand.choose(source, "run 2")
    hand.click(child(ready, "compare_start"))
    hand.until(lambda: not ready.inspect.compare.task.running, 20)
    atoms = len(ready.state.result.orbitals)
    assert f"{atoms} of {atoms} atoms of run 2 matched within 1 Å" in child(ready, "compare_figures").text()


def test_a_click_brings_a_run_back_and_a_run_can_be_removed(ready: Any, hand: Any) -> None:
    ready.run.make_job = lambda series, settings: StandInJob(series, settings, step_s=0.0, steps=4)
    run_once(ready, hand)
    first = ready.state.result
    assert child(ready, "run_changes").text() == "Run 1: first run"
    hand.click(child(ready, "more_run_settings"))
    hand.type(child(ready, "seed"), "7")
    run_once(ready, hand)
    table = child(ready, "runs")
    assert table.rowCount() == 2
    assert child(ready, "run_changes").text() == "Run 2: Random seed 0 → 7"
    hand.reach(table)
    hand.click(table.viewport(), table.visualItemRect(table.item(0, 1)).center())
    hand.until(lambda: not ready.run.table.task.running)
    assert ready.state.result is first
    assert ready.layers.atoms.result is first
    assert ready.state.result_run == 1
    assert "run 1" in ready.sections["export"].status.accessibleName()
    assert ready.sections["run"].status.accessibleName() == "Run 1: 247 atoms, converged."
    asked: list[str] = []
    ready.run.table.confirm = lambda question: bool(asked.append(question))
    hand.click(child(ready, "run_remove"))
    assert table.rowCount() == 2
    assert asked == [
        "The atoms of run 1 go with it. Export them first, if you want to keep them. Remove it from the list now?"
    ]
    ready.state.is_saved(1)
    hand.click(child(ready, "run_remove"))
    hand.until(lambda: not ready.run.table.task.running)
    assert len(asked) == 1, "its atoms are in a file"
    assert (table.rowCount(), ready.state.result_run) == (1, 2)
    assert ready.sections["run"].status.accessibleName() == "Run 2: 247 atoms, converged."
    ready.run.table.confirm = lambda question: True
    hand.click(child(ready, "run_remove"))
    assert ready.state.result is None
    assert not table.isVisible()
    assert ready.sections["run"].status.accessibleName() == "Ready to start."
    assert not child(ready, "stage").isVisible()
    assert "Calculated" not in ready.viewer.layers


def test_after_a_cancelled_run_all_steps_speak_of_the_run_that_is_clicked(ready: Any, hand: Any) -> None:
    """Also where it is the one that is selected already, as it was not on screen."""
    ready.run.make_job = lambda series, settings: StandInJob(series, settings, step_s=0.0, steps=4)
    run_once(ready, hand)
    said, history = child(ready, "stage").text(), ready.run.plot.history
    ready.run.make_job = lambda series, settings: StandInJob(series, settings, step_s=0.02, steps=10_000)
    hand.click(child(ready, "start"))
    hand.until(lambda: ready.run.plot.points > 2)
    hand.click(child(ready, "cancel"))
    hand.until(lambda: not ready.state.running)
    assert "Export still has run 1" in child(ready, "stage").text()
    table = child(ready, "runs")
    hand.reach(table)
    hand.click(table.viewport(), table.visualItemRect(table.item(0, 1)).center())
    hand.until(lambda: ready.layers.atoms.result is ready.state.result and not ready.run.table.task.running)
    assert (child(ready, "stage").text(), ready.run.plot.history) == (said, history)
    assert not child(ready, "show_result_again").isVisible()
    for step in ("run", "inspect"):
        assert ready.sections[step].status.accessibleName().startswith("Run 1")


def test_the_list_fits_a_narrow_dock(ready: Any, hand: Any) -> None:
    ready.run.make_job = lambda series, settings: StandInJob(series, settings, step_s=0.0, steps=4)
    run_once(ready, hand)
    table = child(ready, "runs")

    def heads() -> list[str]:
        return [table.horizontalHeaderItem(i).text() for i in range(table.columnCount()) if not table.isColumnHidden(i)]

    assert heads() == ["Run", "Atoms", "R %", "Time", "End"], "nothing was withheld"
    assert table.columnWidth(5) >= table.fontMetrics().horizontalAdvance("converged")
    hand.click(child(ready, "more_run_settings"))
    hand.type(child(ready, "withhold"), "6")
    run_once(ready, hand)
    assert heads() == ["Run", "Atoms", "R %", "held %", "Time", "End"]
    assert (table.item(0, 3).text(), table.item(1, 3).text() != "–") == ("–", True)
    assert table.columnViewportPosition(5) + table.columnWidth(5) <= table.viewport().width()
    assert table.item(1, 5).toolTip() == ready.state.result.stop_reason


def test_layers_that_do_not_follow_get_the_last_state(ready: Any, hand: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ready.run.make_job = lambda series, settings: StandInJob(series, settings, step_s=0.02, steps=30)
    drawn = []
    show = ready.run._show

    def noted(*taken: Any) -> Iterator[None]:
        drawn.append(taken[0].step)
        yield from show(*taken)

    monkeypatch.setattr(ready.run, "_show", noted)
    hand.choose(child(ready, "updates"), "off")
    hand.click(child(ready, "start"))
    runner = ready.run.runner
    hand.until(lambda: not ready.state.running, 60)
    assert drawn == [30]
    assert ready.run.plot.points == runner.mailbox.received, "progress is followed all the same"
    assert len(ready.viewer.layers["Atoms"].data) == 247


def test_given_atoms_of_a_layer_are_what_a_run_begins_with(ready: Any, hand: Any) -> None:
    given = []

    def make(series: Any, settings: Any, atoms: Any = None) -> StandInJob:
        given.append((settings.start.kind, atoms))
        return StandInJob(series, settings, step_s=0.0, steps=2)

    ready.run.make_job = make
    points = np.array([[1.0, 2.0, 3.0], [-1.0, 0.5, 0.0]])
    ready.viewer.add_points(points, name="guess", scale=(2, 1, 1), translate=(0, 0, 4), units=("nm",) * 3)
    hand.choose(child(ready, "start_from"), "atoms of a Points layer")
    hand.choose(child(ready, "start_layer"), "guess")
    run_once(ready, hand)
    kind, atoms = given[0]
    assert kind == "layer guess"
    np.testing.assert_allclose(atoms.positions, [[70.0, 20.0, 20.0], [40.0, 5.0, -20.0]])
    assert atoms.elements == ("Pt",)
    hand.choose(child(ready, "start_from"), "atoms or a volume of a file")
    assert not child(ready, "start").isEnabled()
    assert "file of atoms, or a volume" in child(ready, "start").toolTip()


def test_a_run_begins_with_the_peaks_of_a_volume_of_a_file_or_made_first(
    ready: Any, hand: Any, tmp_path: Any, notified: Any
) -> None:
    given = []

    def make(series: Any, settings: Any, atoms: Any = None) -> StandInJob:
        given.append((settings.start, atoms))
        return StandInJob(series, settings, step_s=0.0, steps=2)

    ready.run.make_job = make
    values = np.zeros((40, 40, 40), np.float32)
    z, y, x = np.mgrid[:40, :40, :40]
    places = ((10, 10, 10), (30, 12, 20))
    for at in places:
        values += np.exp(-((z - at[0]) ** 2 + (y - at[1]) ** 2 + (x - at[2]) ** 2) / 8.0)
    write_volume(tmp_path / "two.mrc", Volume(values, 0.4, (-8.0, -8.0, -8.0)))
    hand.choose(child(ready, "start_from"), "atoms or a volume of a file")
    hand.type(child(ready, "start_file"), str(tmp_path / "two.mrc"))
    run_once(ready, hand)
    start, atoms = given[0]
    assert start.kind == str(tmp_path / "two.mrc")
    found = atoms.positions[np.argsort(atoms.positions[:, 2])]
    np.testing.assert_allclose(found, [[0.4 * i - 8.0 for i in at[::-1]] for at in places], atol=0.02)
    values[:] = 0
    write_volume(tmp_path / "none.mrc", Volume(values, 0.4, (-8.0, -8.0, -8.0)))
    hand.type(child(ready, "start_file"), str(tmp_path / "none.mrc"))
    hand.click(child(ready, "start"))
    hand.until(lambda: any("none.mrc" in text for text in notified()))
    assert not ready.state.running
    assert "no atoms were found" in child(ready, "edited").text()
    hand.choose(child(ready, "start_from"), "peaks of a volume made first")
    hand.click(child(ready, "more_run_settings"))
    hand.choose(child(ready, "peaks_method"), "wbp")
    run_once(ready, hand)
    start, atoms = given[-1]
    assert (start.kind, start.peaks_method, atoms) == ("peaks", "wbp", None)


def test_a_preset_fills_the_form_and_what_stands_there_can_be_saved(
    ready: Any, hand: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, notified: Any
) -> None:
    monkeypatch.setattr(presets, "user_config_path", lambda *_, **__: tmp_path)
    hand.choose(child(ready, "run_preset"), "quick look")
    hand.click(child(ready, "run_preset_load"))
    settings = ready.run.settings()
    assert (settings.solver.error_bars, settings.solver.polish_steps, settings.model.orbital) == (
        "none",
        20,
        "gaussian",
    )
    assert settings.model.elements == ("Pt",)
    assert "polish_steps = 20" in child(ready, "preset_extras").text()
    assert "first look" in child(ready, "run_preset_about").text()
    assert not child(ready, "run_preset_delete").isEnabled()
    ready.run.presets.save_as("mine")
    assert child(ready, "run_preset").currentText() == "mine"
    ready.run.form.take({})
    assert ready.run.settings().solver == Settings().solver
    (tmp_path / "presets" / "run" / "broken.yaml").write_text("solver:\n  seed: -3\n")
    ready.run.presets._offer(None)
    seen = len(notified())
    hand.choose(child(ready, "run_preset"), "broken")
    hand.click(child(ready, "run_preset_load"))
    assert "seed" in notified()[seen:][-1]
    assert ready.run.settings().solver == Settings().solver
    hand.choose(child(ready, "run_preset"), "mine")
    hand.click(child(ready, "run_preset_load"))
    assert ready.run.settings() == settings
    hand.click(child(ready, "run_preset_delete"))
    assert not (tmp_path / "presets" / "run" / "mine.yaml").exists()


def test_an_own_orbital_needs_its_file(ready: Any, hand: Any) -> None:
    hand.click(child(ready, "more_run_settings"))
    hand.choose(child(ready, "orbital"), "CSV file")
    assert "CSV file" in child(ready, "start").toolTip()
    hand.type(child(ready, "orbital_file"), "/nowhere/o.csv", enter=False)
    assert child(ready, "start").isEnabled()
    assert ready.run.settings().model.orbital == "/nowhere/o.csv"


def test_enter_loses_no_atoms(qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from qtpy.QtCore import Qt, QTimer
    from qtpy.QtTest import QTest
    from qtpy.QtWidgets import QApplication, QMessageBox, QWidget

    from napari_lot.gui.unsaved import ask

    monkeypatch.undo()  # the real dialog
    parent = QWidget()
    qtbot.addWidget(parent)
    for key in (Qt.Key.Key_Return, Qt.Key.Key_Escape):

        def press(key: Any = key) -> None:
            box = QApplication.activeModalWidget()
            assert isinstance(box, QMessageBox)
            QTest.keyClick(box.focusWidget() or box, key)

        QTimer.singleShot(300, press)
        assert not ask(parent, "Lose them?")
