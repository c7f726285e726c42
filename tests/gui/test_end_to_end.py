"""From an empty viewer to a file of atoms that scores, with the real solver, by mouse and keys only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from steps import child, open_step

from napari_lot.series.sample import sample_truth_path

EDITING = "Atoms (editing)"


def read_xyz(path: Path) -> tuple[list[str], np.ndarray]:
    """Symbols and coordinates in Å of an XYZ file, read without the package."""
    lines = path.read_text().splitlines()
    rows = [line.split() for line in lines[2 : 2 + int(lines[0])]]
    return [row[0] for row in rows], np.array([[float(x) for x in row[1:4]] for row in rows])


def score(found: np.ndarray, truth: np.ndarray, cutoff_A: float = 1.0) -> tuple[float, float, float]:
    """Recall, precision and RMSD in pm of mutual nearest neighbours, mean shift removed; by brute force."""
    shift = found.mean(0) - truth.mean(0)
    for _ in range(20):
        distance = np.linalg.norm((found - shift)[:, None] - truth[None], axis=2)
        nearest = distance.argmin(1)
        pairs = [(i, j) for i, j in enumerate(nearest) if distance[:, j].argmin() == i and distance[i, j] <= cutoff_A]
        a, b = np.array(pairs).T
        shift = (found[a] - truth[b]).mean(0)
    error = found[a] - shift - truth[b]
    return len(pairs) / len(truth), len(pairs) / len(found), 100 * float(np.sqrt((error**2).sum(1).mean()))


def test_the_score_counts_what_is_missing_false_and_off() -> None:
    truth = read_xyz(sample_truth_path())[1]
    moved = truth + np.array([0.3, -0.2, 0.1])
    assert score(moved, truth) == pytest.approx((1.0, 1.0, 0.0), abs=1e-9)
    recall, precision, _ = score(np.vstack([moved[1:], [[0.0, 0.0, 40.0]]]), truth)
    assert (recall, precision) == (246 / 247, 246 / 247)
    sign = np.where(np.arange(len(truth)) % 2, 1.0, -1.0)[:-1, None]
    assert score(truth[:-1] + sign * np.array([0.03, 0.0, 0.0]), truth[:-1])[2] == pytest.approx(3.0)


def open_from_the_menu(viewer: Any, hand: Any) -> Any:
    """Plugins > Workbench, in the menu bar."""
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest
    from qtpy.QtWidgets import QApplication, QMenu

    from napari_lot.gui.workbench import Workbench

    def choose(bar: Any, action: Any) -> None:
        QTest.mouseClick(bar, Qt.MouseButton.LeftButton, pos=bar.actionGeometry(action).center())

    bar = viewer.window.main_menu
    plugins = next(a for a in bar.actions() if a.text().replace("&", "") == "Plugins")
    choose(bar, plugins)
    menu = plugins.menu()
    hand.until(menu.isVisible)
    entry = next(a for a in menu.actions() if "Local-orbital tomography" in a.text())
    choose(menu, entry)
    if isinstance(entry.menu(), QMenu):
        hand.until(entry.menu().isVisible)
        choose(entry.menu(), next(a for a in entry.menu().actions() if "Workbench" in a.text()))

    def shown() -> list[Any]:
        return [w for w in QApplication.allWidgets() if isinstance(w, Workbench) and w.isVisible()]

    hand.until(lambda: len(shown()) == 1)
    return shown()[0]


def key(viewer: Any, name: Any) -> None:
    """A key with the focus on the canvas."""
    from qtpy.QtTest import QTest

    canvas = viewer.window._qt_viewer.canvas.native
    canvas.setFocus()
    QTest.keyClick(canvas, name)


def click_atom(viewer: Any, hand: Any, place: np.ndarray) -> None:
    """A click on a point (z, y, x) in Å of the 3-D view along the beam."""
    from qtpy.QtCore import QPoint, Qt
    from qtpy.QtTest import QTest

    canvas = viewer.window._qt_viewer.canvas.native
    camera = viewer.scene.camera
    middle = np.array([canvas.height(), canvas.width()]) / 2
    y, x = middle + (place - np.array(camera.center))[-2:] * camera.zoom
    QTest.mouseMove(canvas, QPoint(round(x), round(y)))
    hand.qtbot.wait(100)
    QTest.mouseClick(canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, QPoint(round(x), round(y)))
    hand.qtbot.wait(100)


@pytest.mark.timeout(600)
def test_from_the_menu_to_a_file_that_scores(viewer: Any, qtbot: Any, hand: Any, tmp_path: Path) -> None:
    from qtpy.QtCore import QPointF, Qt
    from qtpy.QtTest import QTest

    assert len(viewer.layers) == 0
    workbench = open_from_the_menu(viewer, hand)

    # data: the sample; what it knows is not asked for
    assert "Needs a tilt series" in workbench.sections["data"].status.text()
    hand.click(child(workbench, "open_sample"))
    hand.until(lambda: "Measured" in viewer.layers)
    assert "36 tilts of 114 × 114 pixels, 0.25 Å" in workbench.sections["data"].status.text()

    # probe: its slices follow what is typed
    hand.until(lambda: "Probe" in viewer.layers)
    assert "Depth of focus 63 Å" in child(workbench, "probe_numbers").text()
    before = viewer.layers["Probe"].data.copy()
    hand.type(child(workbench, "defocus_A"), "10")
    hand.until(lambda: not np.array_equal(viewer.layers["Probe"].data, before))
    hand.type(child(workbench, "defocus_A"), "0")
    hand.until(lambda: np.array_equal(viewer.layers["Probe"].data, before))

    # reconstruct: every setting is its default
    open_step(workbench, hand, "run")
    assert child(workbench, "element").text() == "Pt"
    stage, pause = child(workbench, "stage"), child(workbench, "pause")
    hand.click(child(workbench, "start"))
    hand.until(lambda: "Atoms" in viewer.layers, 120)
    assert viewer.dims.ndisplay == 3
    assert not child(workbench, "start").isEnabled()
    hand.until(lambda: "Refining" in stage.text(), 200)
    hand.click(pause)
    hand.until(lambda: EDITING in viewer.layers, 30)
    assert "Paused" in stage.text()
    assert pause.text() == "Resume"
    qtbot.wait(300)
    held = workbench.run.plot.points
    qtbot.wait(700)
    assert workbench.run.plot.points == held, "nothing goes on while it is paused"

    # edit: the atom nearest to the eye is clicked and deleted, and the strongest peak of the residual takes its place
    layer = viewer.layers[EDITING]
    n, row = len(layer.data), int(np.argmin(layer.data[:, 0]))
    place, name = np.array(layer.data[row]), int(layer.features["id"].iloc[row])
    click_atom(viewer, hand, place)
    assert layer.selected_data == {row}
    key(viewer, Qt.Key.Key_Delete)
    hand.until(lambda: len(layer.data) == n - 1)
    assert name not in set(layer.features["id"])
    hand.click(child(workbench, "edit_find"))
    peaks = child(workbench, "edit_peaks")
    hand.until(lambda: peaks.count() > 0, 200)
    hand.click(peaks.viewport(), peaks.visualItemRect(peaks.item(0)).center())
    QTest.keyClick(peaks, Qt.Key.Key_Return)
    hand.until(lambda: len(layer.data) == n)
    assert np.linalg.norm(layer.data[-1] - place) < 1.0, "the residual asks for the atom that was deleted"
    assert "1 added, 0 moved, 1 removed" in child(workbench, "edit_count").text()
    hand.click(pause)
    hand.until(lambda: workbench.run.plot.points > held, 60)
    assert child(workbench, "edited").text() == "Resumed with your edit: 1 added, 0 moved, 1 removed."
    assert "left" in child(workbench, "progress").text()

    # the end
    hand.until(lambda: not workbench.state.running, 400)
    assert stage.text().startswith("<b>Converged</b>: ")
    assert "By hand: 1 added, 0 moved, 1 removed." in stage.text()
    assert {"Measured", "Calculated", "Residual", "Atoms", "Probe"} <= {layer.name for layer in viewer.layers}
    measured, calculated = viewer.layers["Measured"].data, viewer.layers["Calculated"].data
    assert np.allclose(viewer.layers["Residual"].data, measured - calculated, atol=1e-6)
    assert np.corrcoef(measured.ravel(), calculated.ravel())[0, 1] > 0.98

    # inspect: a click on a bar goes to that tilt
    plot = workbench.inspect.bars.plot
    hand.reach(plot)
    point = plot.mapFromScene(plot.getPlotItem().vb.mapViewToScene(QPointF(30, 0.5)))
    QTest.mouseClick(plot.viewport(), Qt.MouseButton.LeftButton, pos=point)
    hand.until(lambda: workbench.layers.tilt == 30)
    assert viewer.dims.ndisplay == 2

    # doubtful atoms: keep one, delete another, take that back
    panel, state = workbench.doubts, workbench.state

    def settled() -> bool:
        queue = panel.queue
        return queue.shown is not None and queue.shown.deletion is not None and not queue.busy

    key(viewer, Qt.Key.Key_N)
    hand.until(lambda: panel.is_open and settled(), 60)
    first = panel.queue.shown.atom
    key(viewer, Qt.Key.Key_K)
    hand.until(lambda: settled() and panel.queue.shown.atom != first, 60)
    second = panel.queue.shown.atom
    key(viewer, Qt.Key.Key_D)
    hand.until(lambda: len(state.result.orbitals) == n - 1 and settled(), 60)
    assert second not in state.result.orbitals.id
    assert len(viewer.layers["Atoms"].data) == n - 1
    key(viewer, Qt.Key.Key_U)
    hand.until(lambda: len(state.result.orbitals) == n and settled(), 60)
    assert second in state.result.orbitals.id
    assert [(d["what"], d["atom"]) for d in state.result.details["decisions"]] == [("keep", first)]

    # export, and the score
    open_step(workbench, hand, "export")
    target = tmp_path / "found.xyz"
    hand.choose(child(workbench, "export_kind"), "Atoms, XYZ")
    hand.type(child(workbench, "export_path"), str(target), enter=False)
    hand.click(child(workbench, "export_save"))
    hand.until(target.exists)
    symbols, found = read_xyz(target)
    recall, precision, rmsd_pm = score(found, read_xyz(sample_truth_path())[1])
    assert recall == 1.0
    assert precision == 1.0
    assert rmsd_pm <= 1.6
    assert set(symbols) == {"Pt"}
    assert viewer.layers["Atoms"].data[: len(found)] == pytest.approx(found[:, ::-1], abs=1e-6)
