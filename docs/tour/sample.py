"""The bundled sample: all five steps, a pause, a comparison, doubtful atoms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_lot.atoms import Orbitals
from napari_lot.export import read_atoms, write_atoms_plain_xyz
from napari_lot.gui.canvas.drawings import MASK
from napari_lot.gui.canvas.editing import EDITING
from napari_lot.series.sample import sample_truth_path
from tour.guide import Guide


def walk(guide: Guide, scratch: Path) -> None:
    """From an empty window to the export; ``scratch`` is a folder for files that come and go."""
    data(guide)
    probe(guide)
    reconstruct(guide)
    inspect(guide)
    compare(guide, scratch)
    table(guide)
    doubts(guide)
    second_run(guide)
    export(guide)


def data(guide: Guide) -> None:
    viewer = guide.viewer
    guide.shot("0_start")
    guide.click("open_sample")
    guide.wait(1.0)
    guide.scroll_to("data")
    guide.shot("1_data")
    guide.open("data")
    guide.click("prepare_images")
    guide.click("show_axis")
    guide.choose("operation", "Background")
    guide.click("preview_step")
    guide.must(20, lambda: guide.widget("prepare_said").text() != "", "Preview of the background")
    guide.scroll_to("prepare_images")
    guide.shot("1_prepare")
    guide.choose("operation", "Hot pixels")  # another step takes the preview away
    guide.click("show_axis")
    guide.click("paint_mask")
    guide.wait(0.5)
    for v_A in (-13.6, -12.8, -12.0):  # the upper edge, as where a neighbour looks in
        guide.drag([(v_A, u_A) for u_A in np.linspace(-13.8, 2.0, 17)])
    guide.scroll_to("prepare_images")
    guide.shot("1_mask")
    viewer.layers.remove(MASK)
    guide.click("prepare_images")


def probe(guide: Guide) -> None:
    guide.open("probe")
    presets = guide.widget("microscope_preset")
    presets.setCurrentIndex(1)  # chosen, but not loaded: its description is below
    guide.click("view_probe")
    guide.scroll_to("probe")
    guide.shot("2_probe")
    presets.setCurrentIndex(0)
    guide.click("view_images")


def reconstruct(guide: Guide) -> None:
    bench, viewer = guide.bench, guide.viewer
    guide.open("run")
    guide.click("more_run_settings")
    guide.scroll_to("more_run_settings")
    guide.shot("3_settings")
    guide.click("more_run_settings")
    guide.click("start")
    stage = guide.widget("stage")
    guide.must(120, lambda: "Heights and positions" in stage.text(), "The grid")
    guide.wait(2.0)
    guide.scroll_to("run")
    guide.shot("3_running")
    pause_for_editing(guide)
    layer = viewer.layers[EDITING]
    layer.selected_data = {int(np.argmin(np.linalg.norm(layer.data - [-6.0, 0.0, 4.0], axis=1)))}
    guide.open("run")
    guide.scroll_to("start")
    guide.shot("3_paused")
    guide.click("edit_delete")
    guide.click("edit_find")
    peaks = guide.widget("edit_peaks")
    guide.must(60, lambda: peaks.count() > 0, "Residual peaks")
    guide.click("view_markers")
    peaks.setCurrentRow(0)
    guide.scroll_to("start")
    guide.shot("3_peaks")
    guide.click("edit_add")
    guide.click("pause")
    guide.must(200, lambda: not bench.state.running, "The run")
    guide.open("run", "inspect")
    guide.click("view_atoms")
    guide.scroll_to("stage")
    guide.shot("4_atoms")


def pause_for_editing(guide: Guide) -> None:
    """Pause as soon as every orbital is an atom."""
    stage, pause = guide.widget("stage"), guide.widget("pause")
    guide.must(200, lambda: "Refining" in stage.text(), "Refining")
    QTest.mouseClick(pause, Qt.MouseButton.LeftButton)
    guide.must(60, lambda: EDITING in guide.viewer.layers, "The pause")


def inspect(guide: Guide) -> None:
    guide.open("inspect")
    guide.choose("color_by", "error bar")
    guide.scroll_to("inspect")
    guide.shot("8_error_bars")
    guide.choose("size_by", "error bar")
    guide.scroll_to("inspect")
    guide.shot("8_sizes")
    guide.choose("size_by", "equal")
    guide.choose("color_by", "height")
    guide.click("view_images")
    guide.scroll_to("inspect")
    guide.shot("5_images")
    guide.click("view_markers")
    guide.scroll_to("inspect")
    guide.shot("6_overlay")
    guide.click("view_atoms")
    guide.click("show_structure")
    guide.choose("structure_what", "g(r)")
    guide.must(30, lambda: "coordination" in guide.widget("structure_text").text(), "g(r)")
    guide.scroll_to("show_table")
    guide.shot("9_pairs")
    guide.click("show_structure")


def compare(guide: Guide, scratch: Path) -> None:
    """Against the true structure, moved, with two atoms taken out and two put in."""
    truth = read_atoms(sample_truth_path())
    order = np.argsort(np.linalg.norm(truth.positions, axis=1))
    outside = truth.positions[order[-2:]] * 1.25
    changed = np.vstack([np.delete(truth.positions, order[-5:-3], axis=0), outside]) + np.array([0.4, -0.3, 0.6])
    reference = scratch / "reference.xyz"
    write_atoms_plain_xyz(reference, Orbitals.create(changed, 1.0, 0.7, elements=("Pt",)))
    guide.click("show_compare")
    guide.type("compare_path", str(reference))
    guide.click("compare_start")
    guide.must(30, lambda: guide.bench.inspect.compare.done is not None, "The comparison")
    guide.widget("compare_path").setText("reference.xyz")  # not the folder of this machine
    guide.scroll_to("show_compare")
    guide.shot("9_compare")
    guide.click("compare_remove")
    guide.click("show_compare")


def table(guide: Guide) -> None:
    guide.click("show_table")
    dock = guide.bench.inspect.table
    guide.must(20, lambda: dock.table is not None and dock.table.isVisible(), "The table")
    widget = dock.table
    view = widget.view
    guide.wait(1.0)
    depth = next(k for k, column in enumerate(widget.model.columns) if column.name == "z")
    header = view.horizontalHeader()
    # nearest to the eye first: what is selected is not behind others
    at = QPoint(header.sectionViewportPosition(depth) + 10, header.height() // 2)
    QTest.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, at)
    guide.wait(0.2)
    row = view.visualRect(widget.model.index(0, 1)).center()
    QTest.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, row)
    guide.scroll_to("inspect")
    guide.shot("9_table")
    dock._dock.close()
    guide.wait(0.3)


def doubts(guide: Guide) -> None:
    panel = guide.bench.doubts
    guide.click("view_markers")
    guide.key(Qt.Key.Key_N)
    guide.must(60, lambda: panel.queue.shown is not None and panel.queue.shown.deletion is not None, "A doubtful atom")
    guide.scroll_to("inspect")
    guide.shot("9_doubts")
    panel._dock.close()
    guide.wait(0.3)
    guide.click("view_atoms")


def second_run(guide: Guide) -> None:
    """The same by direct projection: what the probe is worth is in the table of runs."""
    guide.open("run")
    guide.choose("probe", "direct")
    guide.click("start")
    guide.must(200, lambda: not guide.bench.state.running, "The second run")
    guide.open("run")
    guide.scroll_to("stage")
    guide.shot("3_runs")


def export(guide: Guide) -> None:
    guide.open("export")
    guide.choose("export_kind", "Figure: view on the canvas")
    guide.widget("export_path").setText("/data/platinum/view.png")  # not the folder of this machine
    guide.scroll_to("export")
    guide.shot("7_export")
