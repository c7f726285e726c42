"""The workbench by mouse and keyboard: the ways of a run to end, what is read and written, what goes wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from stand_in import StandInJob
from steps import child, open_step

from napari_lot.errors import InputError
from napari_lot.export import read_atoms
from napari_lot.series.sample import load_sample, sample_path


def test_finish_now_keeps_the_result(ready: Any, hand: Any, tmp_path: Path) -> None:
    hand.click(child(ready, "start"))
    hand.until(lambda: ready.run.plot.points > 3)
    hand.click(child(ready, "finish"))
    hand.until(lambda: not ready.state.running)
    assert ready.state.result is not None
    assert child(ready, "progress").text() == "finished early"
    open_step(ready, hand, "export")
    for kind, name in (("Atoms, CSV", "a.csv"), ("Residual tilts, TIFF", "r.tif"), ("Calculated tilts, TIFF", "c.tif")):
        hand.choose(child(ready, "export_kind"), kind)
        hand.type(child(ready, "export_path"), str(tmp_path / name), enter=False)
        hand.click(child(ready, "export_save"))
    assert len(read_atoms(tmp_path / "a.csv")) == 247
    assert np.array_equal(tifffile.imread(tmp_path / "r.tif"), ready.state.result.residual)
    assert np.array_equal(tifffile.imread(tmp_path / "c.tif"), ready.state.result.calculated)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.csv", "c.tif", "r.tif"], "no temporary file is left"


def test_withheld_tilts_are_told_apart(ready: Any, hand: Any) -> None:
    hand.click(child(ready, "more_run_settings"))
    assert child(ready, "withhold").text() == "none"
    hand.type(child(ready, "withhold"), "6")
    hand.click(child(ready, "start"))
    hand.until(lambda: ready.run.plot.points > 3)
    hand.click(child(ready, "finish"))
    hand.until(lambda: not ready.state.running)
    assert ready.state.result.withheld == (3, 9, 15, 21, 27, 33)
    colors = [brush.color().name() for brush in ready.inspect.bars.colors]
    assert [t for t, color in enumerate(colors) if color != colors[0]] == [3, 9, 15, 21, 27, 33]
    assert "The stand-in doubts." in child(ready, "detail").text()
    assert child(ready, "detail").isVisible()
    ready.layers.go_to_tilt(9)
    hand.until(lambda: "withheld (correlation 0.980)" in child(ready, "tilt_text").text())
    ready.layers.go_to_tilt(10)
    hand.until(lambda: "tilt 10" in child(ready, "tilt_text").text())
    assert "withheld" not in child(ready, "tilt_text").text()


def test_cancel_keeps_the_layers_but_no_result(ready: Any, viewer: Any, hand: Any) -> None:
    hand.click(child(ready, "start"))
    hand.until(lambda: ready.run.plot.points > 3)
    hand.click(child(ready, "cancel"))
    hand.until(lambda: not ready.state.running)
    assert ready.state.result is None
    assert "Cancelled" in child(ready, "stage").text()
    assert {"Measured", "Atoms"} <= {layer.name for layer in viewer.layers}
    save = child(ready, "export_save")
    assert not save.isEnabled()
    assert "Needs a finished reconstruction" in save.toolTip()
    assert child(ready, "start").isEnabled()


def test_a_second_run_replaces_the_first(ready: Any, viewer: Any, hand: Any) -> None:
    for _ in range(2):
        hand.click(child(ready, "start"))
        hand.until(lambda: ready.run.plot.points > 2)
        hand.click(child(ready, "finish"))
        hand.until(lambda: not ready.state.running)
    names = [layer.name for layer in viewer.layers]
    assert sorted(names) == sorted(set(names)), "no layer twice"


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (InputError("series.tif: no atoms in the field: crop less."), "series.tif: no atoms in the field: crop less."),
        (MemoryError(), "The reconstruction ran out of memory: use fewer tilts"),
        (RuntimeError("boom"), "The reconstruction stopped because of a fault in the program (RuntimeError: boom)"),
    ],
)
def test_a_failing_run_says_so_and_the_window_goes_on(
    ready: Any, viewer: Any, hand: Any, notified: Any, error: BaseException, sentence: str
) -> None:
    ready.run.make_job = lambda series, settings: StandInJob(series, settings, error=error, steps=10)
    hand.click(child(ready, "start"))
    hand.until(lambda: not ready.state.running)
    assert any(sentence in text for text in notified())
    assert sentence in child(ready, "detail").text()
    assert {"Measured", "Atoms"} <= {layer.name for layer in viewer.layers}, "nothing shown is lost"
    ready.run.make_job = lambda series, settings: StandInJob(series, settings, step_s=0.0, steps=20)
    hand.click(child(ready, "start"))
    hand.until(lambda: ready.state.result is not None)


def test_what_cannot_be_clicked_says_why(workbench: Any, hand: Any) -> None:
    from qtpy.QtWidgets import QAbstractButton

    open_step(workbench, hand, "run")
    start = child(workbench, "start")
    assert not start.isEnabled()
    assert "needs a tilt series" in start.toolTip().lower()
    for section in workbench.sections.values():
        for button in section.content().findChildren(QAbstractButton):
            if not button.objectName().startswith("qt_"):  # Qt's own, in the corner of a table
                assert button.toolTip(), f"{button.objectName() or button.text()} has no tooltip"
    hand.click(child(workbench, "open_sample"))
    hand.until(start.isEnabled)
    open_step(workbench, hand, "probe")
    hand.type(child(workbench, "energy_eV"), "")
    assert not start.isEnabled()
    assert "needs energy and semi-angle" in start.toolTip()
    hand.until(lambda: "Enter the energy" in child(workbench, "probe_numbers").text())
    open_step(workbench, hand, "run")
    hand.choose(child(workbench, "probe"), "direct")
    assert start.isEnabled(), "direct projection needs no microscope"
    hand.type(child(workbench, "element"), "", enter=False)
    assert "needs the element" in start.toolTip().lower()


def test_an_unknown_element_is_told_as_it_is_typed(ready: Any, hand: Any) -> None:
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest

    start, note, element = (child(ready, name) for name in ("start", "element_note", "element"))
    hand.type(element, "x", enter=False)
    assert not note.isVisible(), "Xe may be meant"
    QTest.keyClicks(element, "x")
    assert note.isVisible()
    assert "'Xx' is no element symbol" in note.text()
    assert not start.isEnabled()
    assert "'Xx' is no element symbol" in start.toolTip()
    assert "'Xx' is no element symbol" in ready.sections["run"].status.text()
    QTest.keyClick(element, Qt.Key.Key_Backspace)
    QTest.keyClicks(element, "e")
    hand.until(lambda: "No nearest-neighbour distance is known" in note.text())
    assert not start.isEnabled()
    hand.type(child(ready, "spacing_A"), "3")
    assert start.isEnabled()
    assert not note.isVisible()


def test_what_the_model_has_nothing_of_cannot_be_refined(ready: Any, hand: Any) -> None:
    hand.click(child(ready, "more_run_settings"))
    probe, defocus = child(ready, "refine_probe"), child(ready, "refine_defocus")
    assert not probe.isEnabled()
    assert not probe.isChecked()
    assert "Only the adaptive model has a probe" in probe.toolTip()
    assert ready.run.settings().solver.refine is None, "as by default"
    hand.tick(defocus)
    hand.choose(child(ready, "probe"), "direct")
    assert not defocus.isEnabled()
    assert "no focal plane" in defocus.toolTip()
    assert "defocus" not in (ready.run.settings().solver.refine or ())
    hand.choose(child(ready, "probe"), "adaptive")
    assert (probe.isEnabled(), probe.isChecked(), defocus.isEnabled(), defocus.isChecked()) == (True,) * 4


def test_closing_the_window_stops_the_run(ready: Any, viewer: Any, hand: Any) -> None:
    hand.click(child(ready, "start"))
    hand.until(lambda: ready.run.plot.points > 1)
    runner = ready.run.runner
    viewer.close()
    assert not runner.is_alive
    assert ready.is_closed


def test_closing_the_dock_stops_the_run_and_leaves_nothing(ready: Any, viewer: Any, qtbot: Any, hand: Any) -> None:
    from qtpy.QtCore import QTimer
    from qtpy.QtWidgets import QDockWidget, QPushButton

    hand.click(child(ready, "start"))
    hand.until(lambda: ready.run.plot.points > 1)
    runner = ready.run.runner
    gone: list[bool] = []
    ready.destroyed.connect(lambda: gone.append(True))
    dock = ready.parent()
    assert isinstance(dock, QDockWidget)
    hand.click(dock.findChild(QPushButton, "QTitleBarCloseButton"))
    hand.until(lambda: bool(gone))
    assert not runner.is_alive
    assert "Atoms" in viewer.layers, "the layers stay"
    window = viewer.window._qt_window
    assert not [t for t in window.findChildren(QTimer) if t.isActive() and t.interval() == 100]
    viewer.dims.set_point(0, 3)
    viewer.add_image(np.zeros((4, 4)))
    qtbot.wait(50)


def test_hiding_the_dock_lets_the_run_go_on(ready: Any, hand: Any, qtbot: Any) -> None:
    from qtpy.QtWidgets import QPushButton

    hand.click(child(ready, "start"))
    hand.until(lambda: ready.run.plot.points > 1)
    hand.click(ready.parent().findChild(QPushButton, "QTitleBarHideButton"))
    before = ready.run.plot.points
    hand.until(lambda: ready.run.plot.points > before)
    assert ready.state.running


def write_stack(path: Path, images: np.ndarray) -> Path:
    tifffile.imwrite(path, images.astype(np.float32))
    return path


def test_pixels_that_are_no_numbers_are_masked_and_told_of(
    workbench: Any, viewer: Any, hand: Any, notified: Any, tmp_path: Path
) -> None:
    images = load_sample().images.copy()
    images[3, 5, 5:7] = np.nan
    hand.type(child(workbench, "pixel_size_A"), "0.25")
    (tmp_path / "angles.csv").write_text("\n".join(str(a) for a in np.linspace(-70, 70, 36)) + "\n")
    hand.type(child(workbench, "series_path"), str(write_stack(tmp_path / "series.tif", images)))
    assert not notified()
    series = workbench.state.series
    assert list(zip(*np.nonzero(~series.mask), strict=True)) == [(3, 5, 5), (3, 5, 6)]
    assert "2 pixels are NaN or infinite, in tilt 3: they are masked" in child(workbench, "data_notes").text()


def test_a_missing_pixel_size_can_be_typed(workbench: Any, viewer: Any, hand: Any, tmp_path: Path) -> None:
    path = write_stack(tmp_path / "series.tif", load_sample().images)
    (tmp_path / "angles.csv").write_text("\n".join(str(a) for a in np.linspace(-70, 70, 36)) + "\n")
    hand.type(child(workbench, "series_path"), str(path))
    assert workbench.state.series is None
    hand.type(child(workbench, "pixel_size_A"), "0.25")
    hand.click(child(workbench, "apply_data"))
    assert workbench.state.series is not None
    assert workbench.state.series.pixel_size_A == 0.25
    assert viewer.layers["Measured"].scale[-1] == 0.25
    apply = child(workbench, "apply_data")
    assert not apply.isEnabled()
    assert "Nothing has changed" in apply.toolTip()


def test_typed_angles_and_an_angle_file(workbench: Any, hand: Any, tmp_path: Path) -> None:
    path = write_stack(tmp_path / "alone.tif", load_sample().images)
    hand.type(child(workbench, "pixel_size_A"), "0.25")
    hand.choose(child(workbench, "angle_kind"), "start and step")
    hand.type(child(workbench, "angle_start"), "-70")
    hand.type(child(workbench, "angle_step"), "4")
    hand.type(child(workbench, "series_path"), str(path))
    assert workbench.state.series.angles_deg[:, 1] == pytest.approx(-70 + 4 * np.arange(36))
    file = tmp_path / "other.tlt"
    file.write_text("\n".join(str(a) for a in np.linspace(-60, 60, 36)))
    hand.choose(child(workbench, "angle_kind"), "from a file")
    hand.type(child(workbench, "angle_path"), str(file), enter=False)
    hand.click(child(workbench, "apply_data"))
    assert workbench.state.series.angles_deg[0, 1] == pytest.approx(-60)


def test_mask_excluded_tilts_and_thickness_arrive(workbench: Any, hand: Any, notified: Any, tmp_path: Path) -> None:
    images = load_sample().images
    mask = np.ones(images.shape[1:], np.uint8)
    mask[:, :10] = 0
    write_stack(tmp_path / "mask.tif", mask)
    write_stack(tmp_path / "wrong.tif", mask[:-1])
    hand.click(child(workbench, "more_data"))
    hand.type(child(workbench, "pixel_size_A"), "0.25")
    hand.type(child(workbench, "mask"), str(tmp_path / "mask.tif"), enter=False)
    hand.type(child(workbench, "exclude"), "3, 17", enter=False)
    hand.type(child(workbench, "thickness_A"), "30")
    hand.type(child(workbench, "series_path"), str(sample_path()))
    hand.until(lambda: workbench.state.series is not None)
    series = workbench.state.series
    assert series.excluded == (3, 17)
    assert not series.mask[:, :, :10].any()
    assert series.mask[:, :, 10:].all()
    assert workbench.run.settings().data.thickness_A == 30
    apply = child(workbench, "apply_data")
    for text, part in (("3, x", "not a list of numbers"), ("99", "there is no tilt 99")):
        hand.type(child(workbench, "exclude"), text, enter=False)
        assert not apply.isEnabled()
        assert part in apply.toolTip()
    hand.type(child(workbench, "exclude"), "3, 17", enter=False)
    seen = len(notified())
    hand.type(child(workbench, "mask"), str(tmp_path / "wrong.tif"), enter=False)
    hand.click(apply)
    assert "mask" in notified()[seen:][0]
    assert workbench.state.series is series


def test_the_sample_is_itself_whatever_was_typed_before(workbench: Any, hand: Any) -> None:
    hand.type(child(workbench, "pixel_size_A"), "0.4")
    hand.choose(child(workbench, "counts"), "yes")
    hand.click(child(workbench, "open_sample"))
    series = workbench.state.series
    assert (series.pixel_size_A, series.counts) == (0.25, False)
    hand.click(child(workbench, "more_data"))
    hand.type(child(workbench, "exclude"), "5", enter=False)
    hand.click(child(workbench, "apply_data"))
    assert workbench.state.series.excluded == (5,)
    assert not child(workbench, "pixels_note").isVisible()


def test_what_stands_in_empty_fields_is_not_cut_off(workbench: Any, hand: Any) -> None:
    from qtpy.QtWidgets import QAbstractSpinBox, QLineEdit

    from napari_lot.gui.workbench import MINIMUM_WIDTH

    workbench.setFixedWidth(MINIMUM_WIDTH)
    hand.click(child(workbench, "more_data"))
    lines = [line for line in workbench.sections["data"].findChildren(QLineEdit) if line.isVisible()]
    assert len(lines) > 8
    for line in lines:
        of_number = isinstance(line.parentWidget(), QAbstractSpinBox)
        text = line.text() if of_number else line.placeholderText()
        assert line.fontMetrics().horizontalAdvance(text) <= line.width() - 8, text


def test_an_open_layer_is_used(workbench: Any, viewer: Any, hand: Any, notified: Any) -> None:
    use = child(workbench, "use_layer")
    assert not use.isEnabled()
    assert "No open Image layer" in use.toolTip()
    viewer.open_sample("napari-lot", "pt_deca")
    hand.until(use.isEnabled)
    hand.click(use)
    assert notified() == []
    series = workbench.state.series
    assert np.array_equal(series.images, load_sample().images)
    assert series.pixel_size_A == 0.25
    assert series.angles_deg[0, 1] == pytest.approx(-70)


def test_export_refuses_what_it_cannot_write(ready: Any, hand: Any, notified: Any, tmp_path: Path) -> None:
    ready.run.make_job = lambda series, settings: StandInJob(series, settings, step_s=0.0, steps=20)
    hand.click(child(ready, "start"))
    hand.until(lambda: ready.state.result is not None)
    open_step(ready, hand, "export")
    existing = tmp_path / "atoms.xyz"
    existing.write_text("precious")
    for target, part in (
        (existing, "exists already"),
        (tmp_path / "no" / "a.xyz", "cannot write"),
        (tmp_path, "not a file"),
    ):
        seen = len(notified())
        hand.type(child(ready, "export_path"), str(target), enter=False)
        hand.click(child(ready, "export_save"))
        assert part in notified()[seen:][0]
    assert existing.read_text() == "precious"
    assert [p.name for p in tmp_path.iterdir()] == ["atoms.xyz"]
    hand.type(child(ready, "export_path"), str(existing), enter=False)
    hand.tick(child(ready, "export_overwrite"))
    hand.click(child(ready, "export_save"))
    assert len(read_atoms(existing)) == 247


def test_the_window_breathes_while_the_solver_floods(ready: Any, hand: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Snapshots as fast as Python makes them, without end: clicks arrive, and nothing is queued when the run ends."""
    ready.run.make_job = lambda series, settings: StandInJob(series, settings, step_s=0.0, steps=10_000_000)
    drawn = []
    show = ready.run._show

    def noted(*taken: Any) -> Iterator[None]:
        drawn.append(taken[0].step)
        yield from show(*taken)

    monkeypatch.setattr(ready.run, "_show", noted)
    hand.click(child(ready, "start"))
    runner = ready.run.runner
    hand.until(lambda: len(drawn) > 2, 60)
    data = ready.sections["data"]
    expanded = data.isExpanded()
    hand.click(data.toggleButton())
    assert data.isExpanded() != expanded
    hand.click(child(ready, "finish"))
    hand.until(lambda: not runner.is_alive, 60)
    before = len(drawn)
    hand.until(lambda: ready.state.result is not None, 60)
    assert len(drawn) - before <= 1, "only the newest snapshot is still drawn after the end"
    assert drawn == sorted(set(drawn))
    assert ready.run.plot.points == runner.mailbox.received, "every pass is in the plot although few were drawn"


def test_the_sample_file_can_be_typed(workbench: Any, hand: Any) -> None:
    hand.type(child(workbench, "pixel_size_A"), "0.25")
    hand.type(child(workbench, "series_path"), str(sample_path()))
    assert len(workbench.state.series) == 36


def test_a_dropped_file_is_read(workbench: Any, hand: Any, qtbot: Any) -> None:
    from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
    from qtpy.QtGui import QDragEnterEvent, QDropEvent
    from qtpy.QtWidgets import QApplication

    hand.type(child(workbench, "pixel_size_A"), "0.25")
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(sample_path()))])
    how = (Qt.DropAction.CopyAction, mime, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier)
    enter = QDragEnterEvent(QPoint(5, 5), *how)
    QApplication.sendEvent(workbench.data, enter)
    assert enter.isAccepted()
    QApplication.sendEvent(workbench.data, QDropEvent(QPointF(5, 5), *how))
    hand.until(lambda: workbench.state.series is not None)
    assert len(workbench.state.series) == 36
    assert child(workbench, "series_path").text() == str(sample_path())
