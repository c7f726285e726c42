"""One series after another in one window: what was said of the first does not hold for the second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from steps import child, open_step

from napari_lot.gui.workbench import MINIMUM_WIDTH

pytestmark = pytest.mark.slow  # part of `make test-all`

IMAGES = np.random.default_rng(0).random((5, 24, 24)).astype(np.float32) + 1
THETAS = np.linspace(-60, 60, 5)


def write_npz(path: Path, **facts: Any) -> Path:
    values: dict[str, Any] = {"images": IMAGES, "angles_deg": THETAS, "pixel_size_A": 0.3, **facts}
    np.savez(path, **{name: value for name, value in values.items() if value is not None})
    return path


def read(workbench: Any, hand: Any, path: Path) -> Any:
    hand.type(child(workbench, "series_path"), str(path))
    hand.until(lambda: not workbench.state.reading)
    return workbench.state.series


def status(workbench: Any) -> str:
    return str(workbench.sections["data"].status.accessibleName())


def test_a_file_can_be_overruled_by_zero_and_no(workbench: Any, hand: Any, tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz", tilt_axis_deg=7.5, counts=True, images=np.round(100 * IMAGES))
    axis, counts = child(workbench, "tilt_axis_deg"), child(workbench, "counts")
    series = read(workbench, hand, path)
    assert (series.tilt_axis_deg, series.counts) == (7.5, True)
    assert (axis.text(), counts.currentText()) == ("from the file (°)", "from the file")
    assert "axis at 7.5°, counts" in status(workbench)
    hand.type(axis, "0")
    hand.choose(counts, "no")
    hand.click(child(workbench, "apply_data"))
    hand.until(lambda: not workbench.state.reading)
    series = workbench.state.series
    assert (series.tilt_axis_deg, series.counts) == (0.0, False)
    assert "axis at 0°, intensity" in status(workbench)


def test_a_fine_pixel_size_can_be_typed(workbench: Any, hand: Any, tmp_path: Path) -> None:
    read(workbench, hand, write_npz(tmp_path / "a.npz"))
    hand.type(child(workbench, "pixel_size_A"), "0.19447")
    hand.click(child(workbench, "apply_data"))
    hand.until(lambda: not workbench.state.reading)
    assert workbench.state.series.pixel_size_A == 0.19447
    assert child(workbench, "pixel_size_A").text() == "0.19447 Å"
    assert "0.19447 Å" in status(workbench)


def test_what_describes_one_series_goes_with_it(workbench: Any, hand: Any, tmp_path: Path) -> None:
    first, second = write_npz(tmp_path / "first.npz"), write_npz(tmp_path / "second.npz", pixel_size_A=0.4)
    tifffile.imwrite(tmp_path / "mask.tif", np.ones((24, 24), np.uint8))
    read(workbench, hand, first)
    hand.click(child(workbench, "more_data"))
    hand.type(child(workbench, "pixel_size_A"), "0.35")
    hand.type(child(workbench, "tilt_axis_deg"), "3")
    hand.type(child(workbench, "exclude"), "0, 4", enter=False)
    hand.type(child(workbench, "mask"), str(tmp_path / "mask.tif"), enter=False)
    hand.type(child(workbench, "thickness_A"), "30")
    hand.choose(child(workbench, "angle_kind"), "start and step")
    hand.click(child(workbench, "apply_data"))
    hand.until(lambda: not workbench.state.reading)
    assert status(workbench).endswith("axis at 3°, intensity · without tilts 0, 4 · mask · film of 30 Å")
    assert "3 of 5 tilts used, of 24 × 24 pixels, 0.35 Å, −68.0° to −64.0°" in status(workbench)
    assert workbench.state.series.excluded == (0, 4)
    assert workbench.state.series.angles_deg[0, 1] == -70

    series = read(workbench, hand, second)
    assert series.source == str(second)
    assert (series.pixel_size_A, series.tilt_axis_deg, series.excluded, series.mask) == (0.4, 0.0, (), None)
    assert series.angles_deg[:, 1] == pytest.approx(THETAS)
    assert workbench.run.settings().data.thickness_A is None
    assert status(workbench).endswith("axis at 0°, intensity")
    for name in ("exclude", "mask"):
        assert child(workbench, name).text() == ""
    assert child(workbench, "angle_kind").currentText() == "from the series"


def test_typed_angles_stay_for_a_series_without_any(workbench: Any, hand: Any, tmp_path: Path) -> None:
    read(workbench, hand, write_npz(tmp_path / "first.npz"))
    hand.choose(child(workbench, "angle_kind"), "start and step")
    series = read(workbench, hand, write_npz(tmp_path / "second.npz", angles_deg=None))
    assert series.angles_deg[:, 1] == pytest.approx(-70 + 2 * np.arange(5))
    assert "Tilt angles start and step as given here" in child(workbench, "data_notes").text()


def test_a_file_without_angles_is_told_both_ways_to_give_them(workbench: Any, hand: Any, tmp_path: Path) -> None:
    assert read(workbench, hand, write_npz(tmp_path / "a.npz", angles_deg=None)) is None
    said = child(workbench, "data_notes").text()
    assert (
        "no tilt angles in the file or beside it: under Tilt angles choose 'start and step', or an angle file" in said
    )
    hand.choose(child(workbench, "angle_kind"), "start and step")
    start, step = child(workbench, "angle_start"), child(workbench, "angle_step")
    assert workbench.width() <= 400
    for box, text in ((start, "-170.125"), (step, "0.125")):
        hand.type(box, text)
        line = box.lineEdit()
        assert line.text() == f"{text}°"
        assert line.fontMetrics().horizontalAdvance(line.text()) < line.width(), "nothing is cut off"
    hand.type(start, "-60")
    hand.type(step, "30 mrad")
    apply = child(workbench, "apply_data")
    assert not apply.isEnabled()
    assert "'30 mrad' is no number" in apply.toolTip()
    hand.type(step, "30,0")
    hand.click(apply)
    hand.until(lambda: workbench.state.series is not None)
    assert workbench.state.series.angles_deg[:, 1] == pytest.approx([-60, -30, 0, 30, 60])


def test_a_file_that_fails_changes_nothing_of_what_is_open(workbench: Any, hand: Any, tmp_path: Path) -> None:
    read(workbench, hand, write_npz(tmp_path / "first.npz"))
    hand.click(child(workbench, "more_data"))
    hand.type(child(workbench, "thickness_A"), "30")
    hand.type(child(workbench, "pixel_size_A"), "0.25")
    hand.click(child(workbench, "apply_data"))
    hand.until(lambda: not workbench.state.reading)
    series, said = workbench.state.series, status(workbench)
    assert "film of 30 Å" in said
    assert read(workbench, hand, write_npz(tmp_path / "second.npz", pixel_size_A=None)) is series
    assert workbench.run.settings().data.thickness_A == 30
    assert status(workbench) == said
    assert child(workbench, "pixel_size_A").text() == "0.25 Å"
    assert child(workbench, "thickness_A").text() == "30 Å"
    # what is typed now is meant for the file that failed
    apply = child(workbench, "apply_data")
    assert apply.text() == "Try again with these values"
    assert "second.npz" in apply.toolTip()
    hand.type(child(workbench, "pixel_size_A"), "0.5")
    hand.click(apply)
    hand.until(lambda: not workbench.state.reading)
    assert workbench.state.series.source.endswith("second.npz")
    assert workbench.state.series.pixel_size_A == 0.5
    assert "film of 30 Å" in status(workbench), "all that stands there is meant for it"
    # a value that the series before had is a value, too
    read(workbench, hand, write_npz(tmp_path / "third.npz", pixel_size_A=None, angles_deg=None))
    assert "In the fields stands what holds for second.npz" in child(workbench, "data_notes").text()
    hand.choose(child(workbench, "angle_kind"), "start and step")
    hand.type(child(workbench, "exclude"), "4", enter=False)
    hand.click(apply)
    hand.until(lambda: not workbench.state.reading)
    series = workbench.state.series
    assert (Path(series.source).name, series.pixel_size_A, series.excluded) == ("third.npz", 0.5, (4,))
    assert series.angles_deg[0, 1] == -70
    # one that says all by itself begins without any
    series = read(workbench, hand, write_npz(tmp_path / "fourth.npz"))
    assert (series.pixel_size_A, series.excluded, series.angles_deg[0, 1]) == (0.3, (), -60)
    assert "film" not in status(workbench)
    assert child(workbench, "thickness_A").text() == "estimated (Å)"


def test_after_a_file_that_failed_one_can_go_on_with_what_is_open(workbench: Any, hand: Any, tmp_path: Path) -> None:
    series = read(workbench, hand, write_npz(tmp_path / "first.npz"))
    read(workbench, hand, write_npz(tmp_path / "second.npz", pixel_size_A=None))
    hand.click(child(workbench, "discard_data"))
    assert child(workbench, "series_path").text().endswith("first.npz")
    apply = child(workbench, "apply_data")
    assert (apply.text(), apply.isEnabled()) == ("Apply changes", False)
    hand.type(child(workbench, "pixel_size_A"), "0.5")
    hand.click(apply)
    hand.until(lambda: not workbench.state.reading)
    assert workbench.state.series.source == series.source
    assert workbench.state.series.pixel_size_A == 0.5


def test_a_run_waits_for_what_is_typed_to_be_applied(ready: Any, hand: Any) -> None:
    open_step(ready, hand, "data")
    section, start, field = ready.sections["run"], child(ready, "start"), child(ready, "pixel_size_A")
    assert section.status.accessibleName() == "Ready to start."
    hand.type(field, "0.5", enter=False)
    waits = "Changes in Data are not applied: press Apply changes or Discard in step 1."
    hand.until(lambda: section.status.accessibleName() == waits)
    assert "⚠" in section.status.text()
    assert (start.isEnabled(), start.toolTip()) == (False, waits)
    hand.click(child(ready, "discard_data"))
    assert field.text() == "from the file (Å)"
    assert section.status.accessibleName() == "Ready to start."
    assert start.isEnabled()
    hand.type(field, "0.5", enter=False)
    hand.until(child(ready, "apply_data").isEnabled)
    hand.click(child(ready, "apply_data"))
    hand.until(start.isEnabled)
    assert ready.state.series.pixel_size_A == 0.5
    # what the fit takes as it stands has no need of it
    hand.click(child(ready, "more_data"))
    hand.type(child(ready, "thickness_A"), "30")
    assert start.isEnabled()
    # and a value that is typed back is none that is not applied
    hand.type(child(ready, "tilt_axis_deg"), "3")
    assert not start.isEnabled()
    hand.type(child(ready, "tilt_axis_deg"), "")
    assert start.isEnabled()
    hand.type(child(ready, "tilt_axis_deg"), "3 mm")
    assert "'3 mm' is no number" in section.status.accessibleName()
    hand.type(child(ready, "tilt_axis_deg"), "")
    hand.type(field, "abc", enter=False)
    hand.until(lambda: "Pixel size: 'abc' is no number" in child(ready, "apply_data").toolTip())
    hand.click(child(ready, "discard_data"))
    assert field.text() == "0.5 Å"


def test_facts_of_the_sample_go_and_typed_ones_stay(workbench: Any, hand: Any, tmp_path: Path) -> None:
    hand.click(child(workbench, "open_sample"))
    sample = workbench.state.microscope
    assert sample.source_size_A > 0
    assert child(workbench, "element").text() == "Pt"
    open_step(workbench, hand, "probe")
    hand.type(child(workbench, "defocus_A"), "12")
    # the same series again: nothing that was typed is put back
    hand.type(child(workbench, "tilt_axis_deg"), "1")
    hand.click(child(workbench, "apply_data"))
    hand.until(lambda: not workbench.state.reading)
    assert workbench.state.microscope.defocus_A == 12
    assert workbench.state.microscope.energy_eV == sample.energy_eV

    read(workbench, hand, write_npz(tmp_path / "other.npz"))
    microscope = workbench.state.microscope
    assert (microscope.energy_eV, microscope.semiangle_mrad, microscope.source_size_A) == (None, None, 0.0)
    assert microscope.defocus_A == 12
    assert child(workbench, "element").text() == ""
    assert child(workbench, "energy_eV").text() == "not set (keV)"
    open_step(workbench, hand, "run")
    hand.type(child(workbench, "element"), "Au", enter=False)
    read(workbench, hand, write_npz(tmp_path / "third.npz", energy_eV=200e3))
    assert child(workbench, "element").text() == "Au"
    assert workbench.state.microscope.energy_eV == 200e3
    read(workbench, hand, write_npz(tmp_path / "fourth.npz", element="Fe"))
    assert child(workbench, "element").text() == "Fe"
    hand.click(child(workbench, "open_sample"))
    assert workbench.state.microscope == sample, "the sample is known entirely"


def test_an_impossible_microscope_in_a_file_is_a_sentence(
    workbench: Any, hand: Any, notified: Any, tmp_path: Path
) -> None:
    path = write_npz(tmp_path / "kilovolts.npz", energy_eV=300)
    read(workbench, hand, path)
    (text,) = notified()
    assert text.startswith(f"{path.name}: Energy: input should be greater than 1000")
    assert "300" in text
    assert text.removeprefix(str(path)) in child(workbench, "data_notes").text()
    assert workbench.state.series is None


def test_a_layer_from_a_tiff_finds_the_angles_beside_its_file(
    workbench: Any, viewer: Any, hand: Any, tmp_path: Path
) -> None:
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, IMAGES)
    (tmp_path / "stack.tlt").write_text("\n".join(str(t) for t in THETAS))
    viewer.window._qt_viewer._qt_open([str(path)], stack=False)  # what napari does with a dropped file
    hand.type(child(workbench, "pixel_size_A"), "0.3")
    hand.until(child(workbench, "use_layer").isEnabled)
    hand.click(child(workbench, "use_layer"))
    series = workbench.state.series
    assert series.angles_deg[:, 1] == pytest.approx(THETAS)
    assert np.array_equal(series.images, IMAGES)


def test_the_summary_is_of_the_tilts_that_are_used(ready: Any, hand: Any) -> None:
    section = ready.sections["data"]
    open_step(ready, hand, "data")
    assert "✓" in section.status.text()
    assert "36 tilts of 114 × 114 pixels, 0.25 Å, −70.0° to +70.0°" in status(ready)
    hand.click(child(ready, "more_data"))
    hand.type(child(ready, "exclude"), "0-15, 19 - 35", enter=False)
    hand.click(child(ready, "apply_data"))
    hand.until(lambda: len(ready.state.series.excluded) == 33)
    assert "3 of 36 tilts used, of 114 × 114 pixels, 0.25 Å, −6.0° to +2.0°" in status(ready)
    assert "without tilts 0, 1, 2, 3, 4, 5, 6, 7 and 25 more" in status(ready)
    assert status(ready).startswith(
        "Only 3 tilts are used: a reconstruction needs dozens. The tilts in use span only 8°: "
    )
    assert "⚠" in section.status.text()
    hand.type(child(ready, "exclude"), "", enter=False)
    hand.type(child(ready, "tilt_weights"), "3=0.5, 0-1=0", enter=False)
    hand.click(child(ready, "apply_data"))
    hand.until(lambda: ready.state.series.excluded == ())
    assert "34 of 36 tilts used, of 114 × 114 pixels, 0.25 Å, −62.0° to +70.0°" in status(ready)
    assert status(ready).endswith(" · without tilts 0, 1 · weight 3=0.5")
    assert "✓" in section.status.text()
    for wrong in ("0-99999999999", "-3", "3-x", "17 - 3"):
        hand.type(child(ready, "exclude"), wrong, enter=False)
        why = "range 17-3 is the wrong way round: give 3-17" if " " in wrong else f"'{wrong}' is not a list of numbers"
        assert why in child(ready, "tilts_refused").text()
        assert not child(ready, "apply_data").isEnabled()


LONG = "20240312_PtNP_sample3_area12_300kV_25mrad_HAADF_tiltseries_aligned_v2"


def test_no_name_of_a_file_makes_the_dock_wider(workbench: Any, hand: Any, tmp_path: Path) -> None:
    path = tmp_path / f"{LONG}.tif"
    tifffile.imwrite(path, IMAGES)
    path.with_suffix(".csv").write_text("theta_deg\n" + "\n".join(map(str, THETAS)))
    hand.type(child(workbench, "pixel_size_A"), "0.3")
    assert read(workbench, hand, path) is not None
    assert f"{LONG}.tif" in workbench.sections["data"].status.text()
    read(workbench, hand, tmp_path / f"{LONG}_{100 * 'n'}.tif")
    assert f"{LONG}_{100 * 'n'}.tif: no such file" in child(workbench, "data_notes").text()
    hand.qtbot.wait(50)
    assert workbench.scroll.widget().minimumSizeHint().width() <= MINIMUM_WIDTH - 14


def test_words_are_copied_as_they_were_written(workbench: Any, hand: Any, tmp_path: Path) -> None:
    from qtpy.QtCore import QPoint, Qt
    from qtpy.QtGui import QContextMenuEvent
    from qtpy.QtTest import QTest
    from qtpy.QtWidgets import QApplication, QMenu

    read(workbench, hand, tmp_path / f"{LONG}.tif")
    notes, clipboard = child(workbench, "data_notes"), QApplication.clipboard()
    hand.reach(notes)
    notes.setSelection(0, len(LONG) + 40)
    notes.setFocus()
    QTest.keyClick(notes, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert f"{LONG}.tif: no such file" in clipboard.text()
    clipboard.clear()
    place = QPoint(20, 5)
    asked = QContextMenuEvent(QContextMenuEvent.Reason.Mouse, place, notes.mapToGlobal(place))
    QApplication.sendEvent(notes, asked)
    menu = notes.findChild(QMenu)
    menu.actions()[0].trigger()
    menu.close()
    assert f"{LONG}.tif: no such file" in clipboard.text()
    notes.setSelection(0, 0)
    QTest.mousePress(notes, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, QPoint(1, 1))
    QTest.mouseMove(notes, notes.rect().bottomRight())
    QTest.mouseRelease(notes, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, notes.rect().bottomRight())
    if clipboard.supportsSelection():
        assert f"{LONG}.tif: no such file" in clipboard.text(clipboard.Mode.Selection)


def test_a_refusal_goes_with_what_was_refused(workbench: Any, hand: Any, tmp_path: Path) -> None:
    read(workbench, hand, write_npz(tmp_path / "first.npz", images=np.round(100 * IMAGES)))
    notes = child(workbench, "data_notes")
    said = notes.text()
    hand.click(child(workbench, "more_data"))
    hand.type(child(workbench, "mask"), str(tmp_path / "nowhere.tif"), enter=False)
    hand.click(child(workbench, "apply_data"))
    hand.until(lambda: not workbench.state.reading)
    assert "nowhere.tif: no such file" in notes.text()
    hand.click(child(workbench, "discard_data"))
    assert child(workbench, "mask").text() == ""
    assert notes.text() == said
    assert notes.isVisible() == bool(said)


def test_after_a_failure_it_is_said_what_the_fields_hold(workbench: Any, hand: Any, tmp_path: Path) -> None:
    read(workbench, hand, write_npz(tmp_path / "first.npz"))
    read(workbench, hand, write_npz(tmp_path / "second.npz", angles_deg=None))
    notes = child(workbench, "data_notes")
    held = "In the fields stands what holds for first.npz; 'Try again with these values' reads second.npz with it."
    assert notes.text().endswith(f".<br>{held}")
    hand.choose(child(workbench, "angle_kind"), "from a file")
    hand.type(child(workbench, "angle_path"), str(tmp_path / "nowhere.csv"), enter=False)
    now = "'Try again with these values' reads second.npz with what stands in the fields."
    assert notes.text().endswith(f".<br>{now}")
    hand.click(child(workbench, "apply_data"))
    hand.until(lambda: not workbench.state.reading)
    assert "nowhere.csv: no such file" in notes.text()
    assert notes.text().endswith(f"Folder: {tmp_path}.<br>{now}")
    hand.choose(child(workbench, "angle_kind"), "from the series")
    assert notes.text().endswith(held)
