"""Step 5 by mouse and keyboard: every kind of file, the clipboard, preferences, and the colours of the theme."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from PIL import Image
from steps import child, open_step
from test_sessions import run_to_the_end, save

from napari_lot.export import read_atoms
from napari_lot.export.methods import methods_text
from napari_lot.gui.workbench import MINIMUM_WIDTH


@pytest.mark.slow
def test_every_kind_is_saved(ready: Any, viewer: Any, hand: Any, notified: Any, tmp_path: Path) -> None:
    run_to_the_end(ready, hand, knows_errors=True)
    for kind, name in (
        ("Atoms, CIF", "a.cif"),
        ("Atoms, PDB", "a.pdb"),
        ("Atoms, plain XYZ", "a.xyz"),
        ("Atoms, LAMMPS data", "a.lmp"),
    ):
        save(ready, hand, kind, tmp_path / name)
        style = {"format": "lammps-data", "atom_style": "atomic"} if name == "a.lmp" else {}
        assert len(ase.io.read(tmp_path / name, **style)) == 247
    save(ready, hand, "Methods paragraph, text", tmp_path / "m.txt")
    text = methods_text(ready.state.series, ready.state.result)
    assert (tmp_path / "m.txt").read_text(encoding="utf-8") == text
    hand.click(child(ready, "copy_methods"))
    hand.until(lambda: not ready.export.saving)
    from qtpy.QtWidgets import QApplication

    assert QApplication.clipboard().text() == text
    hand.choose(child(ready, "export_kind"), "Figure: R per tilt")
    hand.type(child(ready, "export_width"), "100")
    hand.type(child(ready, "export_dpi"), "150")
    for words, name in (
        ("R per tilt", "r.png"),
        ("images of the shown tilt", "t.svg"),
        ("histogram of error bars", "e.pdf"),
    ):
        save(ready, hand, f"Figure: {words}", tmp_path / name)
        assert (tmp_path / name).stat().st_size > 2000
    with Image.open(tmp_path / "r.png") as picture:
        assert picture.width == pytest.approx(100 / 25.4 * 150, abs=1)
    hand.click(child(ready, "view_atoms"))
    save(ready, hand, "Figure: view on the canvas", tmp_path / "v.png")
    with Image.open(tmp_path / "v.png") as picture:
        assert picture.width == pytest.approx(100 / 25.4 * 150, abs=1)
        assert np.ptp(np.asarray(picture.convert("L"))) > 100, "the atoms are on it"
    assert notified() == []
    # what the format cannot hold is said, and nothing is written
    hand.type(child(ready, "export_dpi"), "1200")
    hand.type(child(ready, "export_width"), "400")
    save(ready, hand, "Figure: view on the canvas", tmp_path / "w.png")
    assert "more than can be drawn" in notified()[0]
    assert not (tmp_path / "w.png").exists()


def test_the_fields_of_a_kind_show_with_it(ready: Any, hand: Any) -> None:
    run_to_the_end(ready, hand)
    open_step(ready, hand, "export")
    kind = child(ready, "export_kind")
    hand.choose(kind, "Session, HDF5")
    assert child(ready, "export_embed").isVisible()
    assert not child(ready, "export_width").isVisible()
    hand.type(child(ready, "export_path"), "my.lot.h5", enter=False)
    hand.choose(kind, "Figure: R per tilt")
    assert child(ready, "export_path").text() == "my.png"
    assert child(ready, "export_width").isVisible()
    assert ready.scroll.widget().minimumSizeHint().width() <= MINIMUM_WIDTH - 14, "nothing is cut off"
    hand.type(child(ready, "export_path"), "my.svg", enter=False)
    hand.choose(kind, "Figure: histogram of heights")
    assert child(ready, "export_path").text() == "my.svg", "an ending that fits stays"
    hand.type(child(ready, "export_dpi"), "150.5")
    assert "Resolution: 150.5 dpi is not a whole number." in child(ready, "export_refusals").text()
    assert not child(ready, "export_save").isEnabled()
    hand.choose(kind, "Session, HDF5")
    assert child(ready, "export_save").isEnabled(), "it takes no resolution"


def test_the_place_is_shown_in_full_and_lies_beside_the_series(ready: Any, hand: Any, tmp_path: Path) -> None:
    path = child(ready, "export_path")
    assert path.text() == str(Path.home() / "atoms.xyz"), "not among the program's own files, where the sample lies"
    series = ready.state.series.with_changes(source=str(tmp_path / "mine.mrc"))
    (tmp_path / "mine.mrc").touch()
    ready.state.set_series(series)
    assert path.text() == str(tmp_path / "atoms.xyz")
    run_to_the_end(ready, hand)
    open_step(ready, hand, "export")
    hand.type(path, "gold", enter=False)
    where = child(ready, "export_where")
    assert where.isVisible()
    assert where.text().replace("\u200b", "") == str(tmp_path / "gold.xyz")
    hand.click(child(ready, "export_save"))
    hand.until(lambda: not ready.export.saving)
    assert len(read_atoms(tmp_path / "gold.xyz")) == 247
    assert str(tmp_path / "gold.xyz") in child(ready, "export_note").text()
    # a name that somebody has typed stays
    ready.state.set_series(series.with_changes(source=str(tmp_path / "nowhere" / "b.mrc")))
    assert path.text() == "gold"
    assert where.text().replace("\u200b", "") == str(Path.home() / "gold.xyz")


def test_an_ending_of_another_format_is_refused(ready: Any, hand: Any, notified: Any, tmp_path: Path) -> None:
    run_to_the_end(ready, hand)
    save(ready, hand, "Atoms, XYZ", tmp_path / "atoms.txt")
    assert "Atoms, XYZ does not end in .txt: give it .xyz or .extxyz" in notified()[-1]
    assert not (tmp_path / "atoms.txt").exists()
    save(ready, hand, "Atoms, XYZ", tmp_path / "atoms.extxyz")
    assert len(read_atoms(tmp_path / "atoms.extxyz")) == 247


@pytest.mark.slow
def test_docks_of_atoms_go_with_another_series(ready: Any, viewer: Any, hand: Any) -> None:
    run_to_the_end(ready, hand)
    open_step(ready, hand, "inspect")
    hand.click(child(ready, "show_table"))
    hand.click(child(ready, "next_doubtful"))
    hand.until(lambda: ready.doubts.is_open)
    table = ready.inspect.table.table
    assert table.isVisible()
    ready.state.set_series(ready.state.series.exclude(3))
    assert not ready.doubts.is_open
    assert ready.inspect.table.table is None
    assert not [name for name in viewer.window.dock_widgets if name in ("Doubtful atoms", "Atoms of the run")]
    # they come back with the atoms of the next run
    open_step(ready, hand, "run")
    run_to_the_end(ready, hand)
    open_step(ready, hand, "inspect")
    hand.click(child(ready, "show_table"))
    assert ready.inspect.table.table.isVisible()
    hand.click(child(ready, "next_doubtful"))
    hand.until(lambda: ready.doubts.is_open)


def test_preferences_are_used(viewer: Any, qtbot: Any, tmp_path: Path) -> None:
    from napari.settings import get_plugin_settings

    from napari_lot.gui.preferences import Preferences, preferences
    from napari_lot.gui.workbench import Workbench

    own = get_plugin_settings("napari-lot")
    before = (own.reconstruction.threads, own.reconstruction.updates_per_s, own.export.folder)
    assert preferences() == Preferences()
    try:
        own.reconstruction.threads, own.reconstruction.updates_per_s = 3, 4.0
        own.reconstruction.autosave_s, own.export.folder = 0.0, str(tmp_path)
        assert preferences() == Preferences(3, None, 4.0, str(tmp_path))
        bench = Workbench(viewer)
        qtbot.addWidget(bench)  # in no dock: nobody else deletes it
        assert bench.run.form.solver.fields["threads"].value == 3
        assert bench.run.updates.currentText() == "5 a second"
        assert bench.export.path.text() == str(tmp_path / "atoms.xyz")
        bench.shutdown()
    finally:
        own.reconstruction.threads, own.reconstruction.updates_per_s, own.export.folder = before
        own.reconstruction.autosave_s = 20.0


@pytest.mark.slow
def test_plots_follow_the_theme(ready: Any, viewer: Any, hand: Any) -> None:
    run_to_the_end(ready, hand)

    def brightness() -> tuple[float, float]:
        plot = ready.inspect.bars.plot
        pen = plot.getPlotItem().getAxis("left").textPen()
        return plot.backgroundBrush().color().lightnessF(), pen.color().lightnessF()

    assert viewer.theme == "dark"
    back, text = brightness()
    assert back < 0.3 < 0.7 < text
    viewer.theme = "light"
    back, text = brightness()
    assert text < 0.3 < 0.7 < back
    viewer.theme = "dark"
    assert brightness()[0] < 0.3


@pytest.mark.slow
def test_napari_opens_and_saves_our_files(ready: Any, viewer: Any, hand: Any, tmp_path: Path) -> None:
    """Drag and drop and File > Save, by napari's public functions."""
    run_to_the_end(ready, hand, knows_errors=True)
    save(ready, hand, "Session, HDF5", tmp_path / "run.lot.h5")
    viewer.layers.selection = {viewer.layers["Atoms"]}
    for name in ("atoms.csv", "atoms.cif"):
        assert viewer.layers.save(str(tmp_path / name), selected=True, plugin="napari-lot") == [str(tmp_path / name)]
    assert len(ase.io.read(tmp_path / "atoms.cif")) == 247
    (points,) = viewer.open(tmp_path / "atoms.csv", plugin="napari-lot")
    assert points.features["sigma_z_A"].to_numpy() == pytest.approx(ready.state.result.sigma_A[:, 2])
    assert len(read_atoms(tmp_path / "atoms.csv")) == 247
    opened = viewer.open(tmp_path / "run.lot.h5", plugin="napari-lot")
    assert [type(layer).__name__ for layer in opened] == ["Image", "Image", "Points"]
    viewer.layers.selection = {opened[0]}
    viewer.layers.save(str(tmp_path / "series.npz"), selected=True, plugin="napari-lot")
    (again,) = viewer.open(tmp_path / "series.npz", plugin="napari-lot")
    assert again.scale == pytest.approx(opened[0].scale)
    np.testing.assert_array_equal(again.metadata["napari_lot_series"]["angles_deg"], ready.state.series.angles_deg)


def test_a_name_that_no_file_can_have_is_said_where_it_stands(
    ready: Any, hand: Any, notified: Any, tmp_path: Path
) -> None:
    run_to_the_end(ready, hand)
    open_step(ready, hand, "export")
    path, where, button = child(ready, "export_path"), child(ready, "export_where"), child(ready, "export_save")
    for name in (300 * "n", 254 * "n", f"{300 * 'n'}.xyz"):
        path.setText(str(tmp_path / name))
        assert "File name too long. Choose another name" in where.text()
        assert not button.isEnabled()
        assert "File name too long" in button.toolTip()
        assert path.text() == str(tmp_path / name)
    path.setText("~nobody-of-this-name/a.xyz")
    assert "Nobody here is called nobody-of-this-name" in where.text()
    path.setText(str(tmp_path / (200 * "n")))
    assert where.text() == f"{tmp_path / (200 * 'n')}.xyz"
    assert button.isEnabled()
    hand.qtbot.wait(50)
    assert ready.scroll.widget().minimumSizeHint().width() <= MINIMUM_WIDTH - 14, "nothing is cut off"
    assert notified() == []
