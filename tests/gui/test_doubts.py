"""The doubt queue in the window, by mouse and keys, on real fits of the sample."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from stand_in import StandInJob
from steps import child, open_step

from napari_lot.analysis.doubts_queue import doubtful_words
from napari_lot.gui.doubts.queue import THREAD
from napari_lot.gui.plots.contact_sheet import GAP, HEADER
from napari_lot.lot.local import NothingMissing

pytestmark = pytest.mark.slow  # part of `make test-all`


class Likely(StandInJob):
    """Ends at once with the sample's true atoms, one false one among them, and images that a fit calculates."""

    def run(self, control: Any = None) -> Any:
        from dataclasses import replace

        from napari_lot.atoms import Orbitals
        from napari_lot.lot.local.source import source_of

        yield from super().run(control)
        given = self.result
        assert given is not None
        positions = np.vstack([given.orbitals.positions, FALSE])
        height = np.append(np.full(len(given.orbitals), 0.26), 0.06)
        atoms = Orbitals.create(positions, height, 0.75, elements=self.settings.model.elements)
        n, t = len(atoms), len(self.series)
        p_exists = np.where(np.arange(n) == n - 1, 0.4, 0.999)
        given = replace(
            given,
            orbitals=atoms,
            sigma_A=np.full((n, 3), 0.02),
            p_exists=p_exists,
            p_element=np.ones(n),
            tilts_seen=np.full(n, t),
        )
        source = source_of(self.series, given)
        import torch

        model = source.model(self.series.images.shape[1:], source.center_px, 2)
        with torch.no_grad():
            images = model.images(
                range(t),
                *(torch.from_numpy(a) for a in (source.state.positions, source.state.height, source.state.widths)),
            )
        model.close()
        # heights in the units of the images, by least squares
        shape = images.numpy().astype(np.float64) * source.unit
        factor = float((shape * self.series.images).sum() / (shape**2).sum())
        atoms = replace(atoms, height=factor * atoms.height)
        calculated = (factor * shape).astype(np.float32)
        residual = self.series.images - calculated
        self.result = replace(given, orbitals=atoms, calculated=calculated, residual=residual)


FALSE = np.array([0.7, 1.1, 6.3])


@pytest.fixture
def inspected(workbench: Any, hand: Any) -> Any:
    """A workbench with a finished run in its Inspect step."""
    workbench.run.make_job = lambda series, settings: Likely(series, settings, step_s=0.0, steps=3, knows_errors=True)
    hand.click(child(workbench, "open_sample"))
    hand.until(workbench.run.start_button.isEnabled)
    open_step(workbench, hand, "run")
    hand.click(child(workbench, "start"))
    hand.until(lambda: not workbench.state.running, 30)
    assert workbench.state.result is not None
    return workbench


def settled(panel: Any) -> bool:
    queue = panel.queue
    return queue.shown is not None and queue.shown.deletion is not None and not queue.busy


def press(viewer: Any, key: Any) -> None:
    """A key with the focus on the canvas."""
    canvas = viewer.window._qt_viewer.canvas.native
    canvas.setFocus()
    QTest.keyClick(canvas, key)


def test_the_false_atom_comes_first_and_goes(inspected: Any, viewer: Any, hand: Any) -> None:
    panel, state = inspected.doubts, inspected.state
    n = len(state.result.orbitals)
    open_step(inspected, hand, "inspect")
    assert "doubtful, residuals aside" in child(inspected, "atoms_text").text()
    hand.click(child(inspected, "next_doubtful"))
    hand.until(lambda: settled(panel), 30)
    said = child(inspected, "atoms_text").text()
    assert "residuals aside" not in said
    assert doubtful_words(panel.queue.queue, True) in said
    false = n - 1
    assert panel.queue.shown.atom == false
    assert "exists with a probability of 0.4" in panel.desk.why.text()
    assert "error bars" in panel.desk.facts.text()
    assert "probability 0.4" in panel.desk.facts.text()
    assert "log-likelihood" in panel.desk.cost.text()
    assert viewer.layers["Doubtful atom"].visible == (inspected.layers.view in ("atoms", "markers"))
    r_before, calculated = state.result.r_factor.copy(), state.result.calculated
    press(viewer, Qt.Key.Key_D)
    hand.until(lambda: len(state.result.orbitals) == n - 1 and settled(panel), 30)
    result = state.result
    assert false not in result.orbitals.id
    assert len(viewer.layers["Atoms"].data) == n - 1
    assert np.array_equal(viewer.layers["Calculated"].data[:, 0], result.calculated)
    assert not np.array_equal(result.calculated, calculated)
    assert not np.array_equal(inspected.inspect.bars.values, r_before)
    (told,) = result.details["decisions"]
    assert (told["what"], told["atom"], told["element"]) == ("delete", false, "Pt")
    assert told["gain"] == pytest.approx(panel.queue.fit.done[-1].change.gain, abs=1e-3)
    assert "probability" in told["reason"]
    assert told["doubtful"] is True
    assert panel.queue.shown.atom != false, "the next one is shown"
    assert child(inspected, "runs").item(0, 1).text() == str(n - 1)
    assert child(inspected, "runs").item(0, 2).text() == f"{100 * result.agreement()[0]:.2f}"
    assert inspected.sections["run"].status.accessibleName() == f"Run 1: {n - 1} atoms, converged."
    assert f"Since then 1 atom deleted by hand: now {n - 1} atoms" in child(inspected, "stage").text()
    press(viewer, Qt.Key.Key_U)
    hand.until(lambda: len(state.result.orbitals) == n and settled(panel), 30)
    assert panel.queue.shown.atom == false
    assert state.result.details["decisions"] == []
    assert state.result.calculated == pytest.approx(calculated, abs=1e-4 * float(calculated.max()))


def test_keep_walks_on_and_is_noted(inspected: Any, viewer: Any, hand: Any) -> None:
    panel, state = inspected.doubts, inspected.state
    press(viewer, Qt.Key.Key_N)
    hand.until(lambda: settled(panel), 30)
    first = panel.queue.shown.atom
    press(viewer, Qt.Key.Key_K)
    hand.until(lambda: settled(panel) and panel.queue.shown.atom != first, 30)
    (told,) = state.result.details["decisions"]
    assert (told["what"], told["gain"]) == ("keep", 0)
    assert np.isfinite(told["gain_of_deleting"])
    assert "kept" in panel.desk.said.text()


def test_the_walk_ends_after_the_last_doubtful_atom_and_says_what_lies_beyond(
    inspected: Any, viewer: Any, hand: Any
) -> None:
    panel = inspected.doubts
    queue, title = panel.queue, child(panel, "doubt_title")
    press(viewer, Qt.Key.Key_N)
    hand.until(lambda: settled(panel), 30)
    first = queue.shown.atom
    assert panel.desk.cost.text().endswith("an atom must be worth " + f"{queue.shown.price:.0f}.")
    one = np.where(queue.queue.atoms == first, 2.0, 0.5)
    queue.queue = replace(queue.queue, scores=one)
    press(viewer, Qt.Key.Key_N)
    hand.until(lambda: queue.shown is None, 30)
    assert title.text() == "All doubtful atoms have been looked at"
    assert "N goes on beyond them" in panel.desk.why.text()
    assert not panel.buttons["delete"].isEnabled()
    press(viewer, Qt.Key.Key_N)
    hand.until(lambda: settled(panel), 30)
    assert title.text() == f"Atom {queue.shown.atom}   (not doubtful)"
    queue._forget()
    press(viewer, Qt.Key.Key_N)
    hand.until(lambda: settled(panel), 30)
    queue._seen.clear()  # as if none of them had been doubtful from the beginning
    queue.queue = replace(queue.queue, scores=np.full(len(one), 0.5))
    press(viewer, Qt.Key.Key_N)
    hand.until(lambda: settled(panel) and bool(queue.shown.beyond), 30)
    assert "no atom is doubtful; this is the least certain" in title.text()


def test_walking_from_atom_to_atom_moves_none(inspected: Any, viewer: Any, hand: Any) -> None:
    panel, state = inspected.doubts, inspected.state
    inspected.layers.look_at("atoms")
    before = state.result.orbitals.positions.copy()
    press(viewer, Qt.Key.Key_N)
    hand.until(lambda: settled(panel), 30)
    first = panel.queue.shown.atom
    press(viewer, Qt.Key.Key_N)
    hand.until(lambda: settled(panel) and panel.queue.shown.atom != first, 30)
    at = panel.queue.fit.position(panel.queue.shown.atom)
    assert viewer.layers["Doubtful atom"].data[0] == pytest.approx(at[::-1]), "the ring went along"
    assert np.array_equal(panel.queue.fit.table.columns["positions"], before)
    assert np.array_equal(state.result.orbitals.positions, before)


def patch_point(panel: Any, tilt: int, pixel: Any, row: int = 0) -> QPoint:
    at = panel.sheet.canvas.place_of(row, tilt, pixel)
    panel.sheet.scroll_to(tilt)
    return QPoint(round(at.x()), round(at.y()))


def test_an_atom_moves_to_a_click_and_by_arrow_keys(inspected: Any, viewer: Any, hand: Any) -> None:
    panel, state = inspected.doubts, inspected.state
    press(viewer, Qt.Key.Key_N)
    hand.until(lambda: settled(panel), 30)
    panel.queue.look_at(0, "a true atom, away from the false one.")
    hand.until(lambda: settled(panel) and panel.queue.shown.atom == 0, 30)
    atom, patches = panel.queue.shown.atom, panel.queue.shown.patches
    asked = []
    move = panel.queue.move
    panel.queue.move = lambda place: (asked.append(np.asarray(place)), move(place))
    press(viewer, Qt.Key.Key_M)
    assert "arrow keys" in panel.desk.hint.text()
    tilt = 10
    target = patches.marks[tilt] + [2.0, -3.0]
    point = patch_point(panel, tilt, target)
    QTest.mouseClick(panel.sheet.canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, point)
    fit = panel.queue.fit
    half = 0.6 * patches.measured.shape[-1] / panel.sheet.canvas.cell  # the click is on a whole screen pixel
    assert fit.view.pixels(asked[0][None])[tilt, 0] == pytest.approx(patches.origins[tilt] + target, abs=half)
    hand.until(lambda: settled(panel) and len(state.result.details.get("decisions", ())) == 1, 30)
    assert state.result.details["decisions"][0]["what"] == "move"
    assert panel.queue.shown.atom == atom, "the moved atom is still shown"
    start = fit.position(atom)
    inspected.layers.go_to_tilt(17)
    press(viewer, Qt.Key.Key_M)
    for _ in range(3):
        QTest.keyClick(panel, Qt.Key.Key_Right)
    QTest.keyClick(panel, Qt.Key.Key_Return)
    shift = (fit.view.pixels(asked[1][None]) - fit.view.pixels(start[None]))[17, 0]
    assert shift == pytest.approx([0.0, 0.3 / fit.view.pixel_A])
    hand.until(lambda: settled(panel) and "is where it was: nothing has changed" in panel.queue.said, 30)
    assert len(state.result.details["decisions"]) == 1, "the fit brought it back"
    before = state.result
    panel.queue.said = ""
    press(viewer, Qt.Key.Key_M)
    for key in (Qt.Key.Key_Right, Qt.Key.Key_Left, Qt.Key.Key_Return):
        QTest.keyClick(panel, key)
    hand.until(lambda: settled(panel) and "is where it was: nothing has changed" in panel.queue.said, 30)
    assert state.result is before


def test_an_atom_is_added_by_two_clicks_and_at_the_residual(inspected: Any, viewer: Any, hand: Any) -> None:
    panel, state = inspected.doubts, inspected.state
    press(viewer, Qt.Key.Key_N)
    hand.until(lambda: settled(panel), 30)
    fit, n = panel.queue.fit, len(state.result.orbitals)
    # a true atom that is deleted past the panel, so that there is something to find: the queue looks at its neighbour,
    # far from the false atom, which would fill the gap
    near = fit.tree.query(fit.position(0), 2)[1][1]
    missing = int(fit.table.columns["ids"][near])
    place = fit.position(missing)
    panel.queue._take(panel.queue.judging.decide(missing, lambda fit: (fit.delete(missing), "to be found again")))
    panel.queue.look_at(0, "its neighbour is missing.")
    hand.until(lambda: settled(panel) and panel.queue.shown.atom == 0, 30)
    patches = panel.queue.shown.patches
    hand.click(child(panel, "doubt_add"))
    for tilt in (8, 26):
        pixel = fit.view.pixels(place[None])[tilt, 0] - patches.origins[tilt]
        point = patch_point(panel, tilt, pixel, row=2)
        QTest.mouseClick(panel.sheet.canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, point)
    hand.until(lambda: settled(panel) and len(state.result.orbitals) == n, 30)
    added = panel.queue.shown.atom
    assert added == n, "an id that was never used"
    assert np.linalg.norm(fit.position(added) - place) < 0.3
    assert state.result.details["decisions"][-1]["gain"] > 0
    assert "placed by hand" in state.result.details["decisions"][-1]["reason"]
    press(viewer, Qt.Key.Key_U)
    hand.until(lambda: settled(panel) and len(state.result.orbitals) == n - 1, 30)
    press(viewer, Qt.Key.Key_A)
    QTest.keyClick(panel, Qt.Key.Key_Return)
    hand.until(lambda: settled(panel) and len(state.result.orbitals) == n, 30)
    assert "standard deviations" in state.result.details["decisions"][-1]["reason"]


def test_keys_are_letters_where_a_person_types_and_free_afterwards(inspected: Any, viewer: Any, hand: Any) -> None:
    panel, before = inspected.doubts, len(inspected.state.result.orbitals)
    open_step(inspected, hand, "export")
    field = child(inspected, "export_path")
    hand.type(field, "dnkma", enter=False)
    assert field.text() == "dnkma"
    open_step(inspected, hand, "probe")
    number = inspected.probe.findChildren(__import__("qtpy.QtWidgets", fromlist=["x"]).QAbstractSpinBox)[0]
    hand.reach(number)
    number.setFocus()
    QTest.keyClick(number, Qt.Key.Key_N)
    QTest.keyClick(number, Qt.Key.Key_D)
    assert not panel.is_open
    assert panel.queue.shown is None
    press(viewer, Qt.Key.Key_D)
    assert len(inspected.state.result.orbitals) == before, "closed, the panel has only N"
    press(viewer, Qt.Key.Key_N)
    hand.until(lambda: settled(panel), 30)
    panel._dock.destroyOnClose()
    assert not panel.is_open
    press(viewer, Qt.Key.Key_N)
    hand.until(lambda: panel.is_open)
    assert panel.queue.shown is not None, "it comes back with its atom"
    inspected.shutdown()
    assert not viewer.keymap
    assert not [t for t in threading.enumerate() if t.name == THREAD]
    assert "Doubtful atom" not in viewer.layers


def test_the_sheet_scrolls_and_an_angle_goes_to_its_tilt(inspected: Any, viewer: Any, hand: Any) -> None:
    panel = inspected.doubts
    press(viewer, Qt.Key.Key_N)
    hand.until(lambda: settled(panel), 30)
    canvas = panel.sheet.canvas
    assert len(canvas.titles) == 36
    assert canvas.titles[0] == "−70.0°"
    assert canvas.width() > panel.sheet.scroll.viewport().width()
    tilt = 4
    at = QPoint(tilt * (canvas.cell + GAP) + 5, HEADER // 2)
    QTest.mouseClick(canvas, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, at)
    assert inspected.layers.tilt == tilt
    assert canvas.tilt == tilt


def test_the_sheet_follows_the_theme(inspected: Any, viewer: Any, hand: Any) -> None:
    panel = inspected.doubts
    press(viewer, Qt.Key.Key_N)
    hand.until(lambda: settled(panel), 30)
    for theme, least, most in (("light", 0.7, 1.0), ("dark", 0.0, 0.3)):
        viewer.theme = theme
        for part in (panel.sheet.labels, panel.sheet.canvas):
            hand.until(lambda part=part, low=least, high=most: low <= corner(part) <= high)


def corner(widget: Any) -> float:
    """Lightness of what lies between the patches, and below the names of the rows."""
    picture = widget.grab().toImage()
    return float(picture.pixelColor(0 if picture.width() < 200 else picture.width() - 1, 0).lightnessF())


def test_without_a_result_there_is_nothing_to_walk(ready: Any, viewer: Any, hand: Any) -> None:
    button = child(ready, "next_doubtful")
    assert not button.isEnabled()
    assert "needs a finished reconstruction" in button.toolTip().lower()
    press(viewer, Qt.Key.Key_N)
    assert not ready.doubts.is_open
    hand.click(child(ready, "start"))
    hand.until(lambda: ready.run.plot.points > 2)
    assert "running" in button.toolTip()


def test_decisions_after_a_run_are_on_disk_for_the_next_window(
    inspected: Any, hand: Any, own_autosaves: Any, tmp_path: Any
) -> None:
    from napari_lot.session import read_session

    bench = inspected
    hand.click(child(bench, "next_doubtful"))
    panel = bench.doubts
    hand.until(lambda: settled(panel), 60)
    hand.click(child(panel, "doubt_delete"))
    hand.until(lambda: len(panel.queue.decisions) == 1 and settled(panel), 60)
    path = bench.sessions.autosave.path

    def noted() -> int:
        return len(read_session(path).notes.get("decisions", ())) if path.is_file() else 0

    hand.until(lambda: noted() == 1, 20)
    assert len(read_session(path).result.orbitals) == len(bench.state.result.orbitals)
    # saved elsewhere it goes; what is decided after that is kept again
    bench.sessions.on_saved("Session, HDF5", tmp_path / "a.lot.h5")
    hand.until(lambda: not path.exists())
    hand.click(child(panel, "doubt_keep"))
    hand.until(lambda: len(panel.queue.decisions) == 2, 60)
    bench.shutdown()  # at once: the decision was taken a moment ago
    (kept,) = own_autosaves.iterdir()
    assert [made["what"] for made in read_session(kept).notes["decisions"]] == ["delete", "keep"]


def test_a_failed_decision_is_named(inspected: Any, hand: Any, notified: Any, monkeypatch: Any) -> None:
    hand.click(child(inspected, "next_doubtful"))
    queue = inspected.doubts.queue
    hand.until(lambda: settled(inspected.doubts), 60)

    def fail(atom: int) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(queue.fit, "keep", fail)
    atom = queue.shown.atom
    queue.keep()
    hand.until(lambda: bool(notified()), 20)
    assert notified()[-1].startswith(f"Keeping atom {atom} stopped because of a fault in the program")


def test_that_no_atom_is_missing_is_an_answer_and_no_error(
    inspected: Any, hand: Any, notified: Any, monkeypatch: Any
) -> None:
    hand.click(child(inspected, "next_doubtful"))
    panel = inspected.doubts
    hand.until(lambda: settled(panel), 60)

    def none(place: Any) -> None:
        raise NothingMissing("The images ask for no other.")

    monkeypatch.setattr(panel.queue.fit, "missing", none)
    hand.click(child(panel, "doubt_add"))
    QTest.keyClick(panel, Qt.Key.Key_Return)
    hand.until(lambda: settled(panel) and child(panel, "doubt_said").isVisible(), 20)
    assert child(panel, "doubt_said").text() == "The images ask for no other."
    assert not notified()


def test_arrow_keys_are_the_viewers_but_while_an_atom_is_placed(inspected: Any, viewer: Any, hand: Any) -> None:
    panel = inspected.doubts
    press(viewer, Qt.Key.Key_N)
    hand.until(lambda: settled(panel), 30)
    own = set(viewer.keymap)
    press(viewer, Qt.Key.Key_M)
    assert {str(key) for key in set(viewer.keymap) - own} == {"Left", "Right", "Up", "Down", "Enter", "Escape"}
    QTest.keyClick(panel, Qt.Key.Key_Escape)
    assert set(viewer.keymap) == own
    panel._dock.destroyOnClose()
    assert [str(key) for key in viewer.keymap] == ["N"]


def test_a_adds_in_the_overlay_and_selects_nothing(inspected: Any, viewer: Any, hand: Any) -> None:
    panel = inspected.doubts
    press(viewer, Qt.Key.Key_N)
    hand.until(lambda: settled(panel), 30)
    inspected.layers.look_at("markers")  # makes its layer only now
    press(viewer, Qt.Key.Key_A)
    assert panel.placing.mode == "add"
    assert not viewer.layers["Atoms on tilt"].selected_data


def test_an_atom_that_is_deleted_while_that_is_tried_is_fitted_once(inspected: Any, viewer: Any, hand: Any) -> None:
    panel, state = inspected.doubts, inspected.state
    n = len(state.result.orbitals)
    press(viewer, Qt.Key.Key_N)
    hand.until(lambda: settled(panel), 30)
    fit, asked, begun, go = panel.queue.fit, [], threading.Event(), threading.Event()
    delete, layer = fit.delete, viewer.layers["Atoms"]

    def slow(atom: int, *args: Any, **kwargs: Any) -> Any:
        asked.append(atom)
        begun.set()
        go.wait(20)
        return delete(atom, *args, **kwargs)

    fit.delete = slow
    press(viewer, Qt.Key.Key_N)
    hand.until(begun.is_set, 30)
    atom = panel.queue.shown.atom
    press(viewer, Qt.Key.Key_D)
    go.set()
    hand.until(lambda: len(state.result.orbitals) == n - 1 and settled(panel), 30)
    assert asked.count(atom) == 1
    assert viewer.layers["Atoms"] is layer, "changed in place"
    assert len(layer.data) == n - 1


@pytest.mark.parametrize("size", [(1280, 800), (1280, 720)])
def test_all_text_is_seen_in_a_low_window(inspected: Any, viewer: Any, hand: Any, qtbot: Any, size: Any) -> None:
    panel, window = inspected.doubts, inspected.window()
    window.resize(*size)
    qtbot.wait(200)
    press(viewer, Qt.Key.Key_N)
    hand.until(lambda: settled(panel), 30)
    press(viewer, Qt.Key.Key_K)
    hand.until(lambda: settled(panel) and "kept" in panel.desk.said.text(), 30)
    qtbot.wait(200)
    assert (window.width(), window.height()) == size
    for label in (panel.desk.why, panel.desk.facts, panel.desk.cost, panel.desk.said):
        assert label.visibleRegion().boundingRect() == label.rect(), label.objectName()
    press(viewer, Qt.Key.Key_M)
    qtbot.wait(200)
    for label in (panel.desk.why, panel.desk.facts, panel.desk.cost, panel.desk.hint):
        assert label.visibleRegion().boundingRect() == label.rect(), label.objectName()


def test_the_table_beside_the_doubtful_atoms_shows_coordinates(inspected: Any, viewer: Any, hand: Any) -> None:
    panel = inspected.doubts
    viewer.window.resize(1280, 720)
    press(viewer, Qt.Key.Key_N)
    hand.until(lambda: settled(panel), 30)
    open_step(inspected, hand, "inspect")
    hand.click(child(inspected, "show_table"))
    view = inspected.inspect.table.table.view
    hand.until(view.isVisible)
    columns = [c.name for c in inspected.inspect.table.table.model.columns]
    z = columns.index("z")
    hand.until(lambda: view.columnViewportPosition(z) + view.columnWidth(z) <= view.viewport().width())
    hand.until(lambda: not panel.is_open)  # they share one place
    press(viewer, Qt.Key.Key_N)
    hand.until(lambda: panel.is_open)


def test_letters_count_on_the_canvas_and_in_the_panel_alone(inspected: Any, viewer: Any, hand: Any) -> None:
    panel, state = inspected.doubts, inspected.state
    n = len(state.result.orbitals)
    layer_list = viewer.window._qt_viewer.layers
    QApplication.setActiveWindow(inspected.window())  # no window manager does it

    def in_list(key: Any) -> None:
        layer_list.setFocus()
        QTest.keyClick(layer_list, key)
        hand.qtbot.wait(50)

    in_list(Qt.Key.Key_N)
    assert not panel.is_open
    open_step(inspected, hand, "inspect")
    hand.click(child(inspected, "next_doubtful"))
    hand.until(lambda: settled(panel), 30)
    assert inspected.window().focusWidget() is panel, "keys after the button are for the panel"
    for key in (Qt.Key.Key_D, Qt.Key.Key_K, Qt.Key.Key_M, Qt.Key.Key_A):
        in_list(key)
        assert not panel.queue.busy
        assert panel.placing.mode == ""
    assert len(state.result.orbitals) == n
    hand.click(child(panel, "doubt_keep"))
    hand.until(lambda: len(panel.queue.decisions) == 1 and settled(panel), 30)
    QTest.keyClick(inspected.window().focusWidget(), Qt.Key.Key_D)  # wherever Qt has put it
    hand.until(lambda: len(state.result.orbitals) == n - 1 and settled(panel), 30)


def test_the_ring_goes_with_its_panel_and_the_view_back(inspected: Any, viewer: Any, hand: Any) -> None:
    panel, camera = inspected.doubts, viewer.scene.camera
    assert inspected.layers.view == "atoms"
    center = camera.center
    press(viewer, Qt.Key.Key_N)
    hand.until(lambda: settled(panel), 30)
    shown, looked_at = panel.queue.shown.atom, camera.center
    assert looked_at != center
    panel.put_away()
    assert "Doubtful atom" not in viewer.layers
    assert camera.center == center
    panel.queue.changed.emit()  # whatever is worked out meanwhile
    assert "Doubtful atom" not in viewer.layers
    press(viewer, Qt.Key.Key_N)
    hand.until(lambda: "Doubtful atom" in viewer.layers)
    assert (panel.queue.shown.atom, camera.center) == (shown, looked_at)
    camera.center = moved = (1.0, 2.0, 3.0)
    panel.put_away()
    assert camera.center == moved, "moved by hand"


def test_a_panel_behind_another_tab_holds_no_letters(inspected: Any, viewer: Any, hand: Any) -> None:
    panel = inspected.doubts
    press(viewer, Qt.Key.Key_N)
    hand.until(lambda: settled(panel), 30)
    press(viewer, Qt.Key.Key_M)
    own = {str(key) for key in viewer.keymap}
    assert {"D", "Left"} < own
    open_step(inspected, hand, "inspect")
    hand.click(child(inspected, "show_table"))
    hand.until(lambda: not panel.is_open)
    assert [str(key) for key in viewer.keymap] == ["N"]
    press(viewer, Qt.Key.Key_N)
    hand.until(lambda: panel.is_open)
    hand.until(lambda: {str(key) for key in viewer.keymap} == own)
