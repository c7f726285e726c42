"""Step 6 by mouse and keyboard: a volume that streams, its sections and wedge, its atoms, files, what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest
from conftest import running_threads
from scipy.spatial import cKDTree
from stand_in import StandInJob
from stand_in_volume import SIDES, VOXEL_A, StandInVolume, truth_volume
from steps import child, open_step

from napari_lot.errors import InputError
from napari_lot.export import read_atoms, read_volume, write_volume
from napari_lot.series.sample import sample_truth_path
from napari_lot.voxel.job import VoxelJob
from napari_lot.voxel.methods import METHODS
from napari_lot.voxel.volume import Volume


@pytest.fixture
def volume_step(ready: Any, hand: Any) -> Any:
    """The sample is open, step 6 as well, and a stand-in goes on until it is stopped."""
    ready.volume.make_job = lambda *given: StandInVolume(*given)
    ready.volume.files.confirm = lambda question: True
    open_step(ready, hand, "volume")
    return ready


@pytest.fixture
def done(volume_step: Any, hand: Any) -> Any:
    """A volume has been reconstructed."""
    start(volume_step, hand)
    finish(volume_step, hand)
    assert volume_step.volume.result is not None
    return volume_step


def start(bench: Any, hand: Any) -> None:
    """Start, and wait for the first states."""
    hand.click(child(bench, "volume_start"))
    there = bench.layers.viewer.layers
    hand.until(lambda: len(bench.volume.progress.plot.history) > 1 and "Volume" in there)


def finish(bench: Any, hand: Any, button: str = "volume_finish") -> None:
    hand.click(child(bench, button))
    hand.until(lambda: not bench.state.running)


def status(bench: Any) -> str:
    return str(bench.sections["volume"].status.accessibleName())


def trace(bench: Any, hand: Any) -> np.ndarray:
    """Trace, and where the atoms are in the world of the canvas, z, y, x."""
    hand.click(child(bench, "trace_atoms"))
    # where nobody has traced before its kernels are compiled
    hand.until(lambda: bench.volume.trace.found is not None and not bench.volume.trace.task.running, seconds=120.0)
    layer = bench.layers.viewer.layers["Traced atoms"]
    return np.array([layer.data_to_world(point) for point in layer.data])


def truth_zyx() -> np.ndarray:
    return np.asarray(read_atoms(sample_truth_path()).positions[:, ::-1])


def test_a_volume_that_napari_opens_is_taken_and_before_it_every_button_says_why_not(
    workbench: Any, viewer: Any, hand: Any, tmp_path: Path
) -> None:
    open_step(workbench, hand, "volume")
    for name in ("volume_start", "trace_atoms", "start_from_traced", "save_volume", "show_sections", "volume_pause"):
        button = child(workbench, name)
        assert not button.isEnabled(), name
        assert button.toolTip(), name
    assert "needs a tilt series" in child(workbench, "volume_start").toolTip().lower()
    assert "Needs a volume" in child(workbench, "trace_atoms").toolTip()
    assert "Needs a tilt series" in status(workbench)
    assert not child(workbench, "view_volume").isEnabled()
    volume = truth_volume()
    write_volume(tmp_path / "gold.mrc", volume)
    (layer,) = viewer.open(str(tmp_path / "gold.mrc"), plugin="napari-lot")
    assert layer.data.shape == SIDES
    assert np.allclose(layer.translate[::-1], volume.origin_A)
    assert child(workbench, "open_layer").count() == 0, "it is no tilt series"
    assert child(workbench, "volume_layer").currentText() == "gold"
    hand.click(child(workbench, "use_volume_layer"))
    assert np.array_equal(viewer.layers["Volume"].data, volume.values)
    assert not layer.visible
    hand.type(child(workbench, "trace_element"), "Pt")
    assert len(trace(workbench, hand)) > 200
    viewer.layers["Volume"].metadata["napari_lot_volume"]["voxel_A"] = VOXEL_A
    assert viewer.layers.save(str(tmp_path / "again.mrc"), selected=True) == [str(tmp_path / "again.mrc")]
    assert np.array_equal(read_volume(tmp_path / "again.mrc").values, volume.values)


def test_settings_of_every_method_reach_the_job(volume_step: Any, hand: Any, notified: Any) -> None:
    form, box = volume_step.volume.form, child(volume_step, "volume_method")
    assert box.count() == len(METHODS) == 7
    hand.click(child(volume_step, "more_volume_settings"))
    for name, entry in reversed(METHODS.items()):
        box.setCurrentIndex(box.findData(name))
        assert entry.words in box.currentText()
        settings = form.settings()
        assert settings.method == entry.section(), "the defaults of the definition"
        fields = set(form._of[name].front.fields) | set(form._of[name].more.fields)
        assert fields == set(entry.section.model_fields), "no setting is left out"
        VoxelJob(volume_step.state.series, settings, name)
    given: list[Any] = []
    volume_step.volume.make_job = lambda *of: given.append(of) or StandInVolume(*of, steps=2, step_s=0.0)
    box.setCurrentIndex(box.findData("sirt"))
    iterations = form._of["sirt"].front.fields["iterations"].native
    hand.type(iterations, "7")
    hand.type(child(volume_step, "volume_bin"), "2")
    hand.type(child(volume_step, "volume_shape"), "40, 41 42")
    hand.type(child(volume_step, "volume_withhold"), "6")
    hand.click(child(volume_step, "volume_start"))
    hand.until(lambda: volume_step.volume.result is not None)
    series, settings, method = given[0]
    assert series is volume_step.state.series
    assert method == "sirt"
    assert settings.method.iterations == 7
    assert settings.grid.bin == 2
    assert settings.grid.shape == (40, 41, 42)
    assert settings.data.withhold == 6
    hand.type(child(volume_step, "volume_shape"), "40, 41")
    assert not child(volume_step, "volume_start").isEnabled()
    assert "three numbers" in child(volume_step, "volume_start").toolTip()
    hand.type(child(volume_step, "volume_shape"), "")
    # what does not go with the series is a sentence
    volume_step.volume.make_job = VoxelJob
    volume_step.state.images = {"tilt_weights": ((3, 0.5),)}
    hand.click(child(volume_step, "volume_start"))
    hand.until(lambda: bool(notified()))
    assert "voxel methods take all tilts alike" in notified()[0]
    assert not volume_step.state.running


def test_the_volume_streams_where_the_atoms_lie_is_held_and_comes_back(
    volume_step: Any, viewer: Any, hand: Any
) -> None:
    history = volume_step.volume.progress.plot
    start(volume_step, hand)
    layer = viewer.layers["Volume"]
    assert viewer.dims.ndisplay == 3
    assert layer.visible
    assert layer.data.shape == SIDES
    assert tuple(layer.scale) == (VOXEL_A,) * 3
    assert [str(unit) for unit in layer.units] == ["angstrom"] * 3
    assert volume_step.layers.view == "volume"
    limits: list[Any] = []
    layer.events.contrast_limits.connect(lambda event: limits.append(tuple(layer.contrast_limits)))
    first = history.history[-1][0]
    hand.until(lambda: history.history[-1][0] > first + 20)
    assert len(limits) <= 2, "the contrast does not flicker"
    # the brightest voxels are at atoms, in the world of the canvas, axes in their order
    brightest = np.argwhere(layer.data > 0.9 * layer.data.max())
    world = np.array([layer.data_to_world(index) for index in brightest])
    assert cKDTree(truth_zyx()).query(world)[0].max() < VOXEL_A
    assert not child(volume_step, "start").isEnabled()
    assert "A volume is being reconstructed" in child(volume_step, "start").toolTip()
    # pause and resume
    hand.click(child(volume_step, "volume_pause"))
    hand.until(lambda: "Paused" in child(volume_step, "volume_stage").text())
    hand.until(lambda: status(volume_step) == "Paused; Resume goes on.")
    hand.qtbot.wait(300)
    at = len(history.history)
    hand.qtbot.wait(300)
    assert len(history.history) == at
    assert child(volume_step, "volume_pause").text() == "Resume"
    hand.click(child(volume_step, "volume_pause"))
    hand.until(lambda: len(history.history) > at)
    # a layer that is deleted comes back
    viewer.layers.remove("Volume")
    hand.until(lambda: "Volume" in viewer.layers)
    finish(volume_step, hand)
    result = volume_step.volume.result
    assert result.stop_reason == "finished early"
    assert "finished early" in status(volume_step)
    assert np.isnan(volume_step.volume.progress.bars.values[0])
    assert np.isfinite(volume_step.volume.progress.bars.values[1:]).all()
    viewer.layers.remove("Volume")
    hand.click(child(volume_step, "view_volume"))
    assert viewer.layers["Volume"].data is result.volume.values
    # a cancel leaves the last state, and no result
    start(volume_step, hand)
    finish(volume_step, hand, "volume_cancel")
    assert volume_step.volume.result is None
    assert "Cancelled" in child(volume_step, "volume_stage").text()
    assert "Volume" in viewer.layers
    assert child(volume_step, "start").isEnabled()


def test_what_goes_wrong_is_a_sentence_and_runs_do_not_meet(
    volume_step: Any, viewer: Any, hand: Any, notified: Any
) -> None:
    for error, sentence in (
        (InputError("series.tif: no object in the field: check the mask."), "series.tif: no object in the field"),
        (MemoryError(), "The reconstruction ran out of memory: bin the images more"),
        (RuntimeError("boom"), "because of a fault in the program (RuntimeError: boom)"),
    ):
        volume_step.volume.make_job = lambda *of, e=error: StandInVolume(*of, error=e, steps=2, step_s=0.0)
        hand.click(child(volume_step, "volume_start"))
        hand.until(lambda: not volume_step.state.running)
        assert any(sentence in text for text in notified())
        assert sentence in child(volume_step, "volume_detail").text()
        assert "Volume" in viewer.layers, "nothing shown is lost"
    volume_step.volume.make_job = lambda *of: StandInVolume(*of)
    volume_step.run.make_job = lambda *of: StandInJob(*of, step_s=0.02, steps=10_000)
    hand.click(child(volume_step, "start"))
    hand.until(lambda: volume_step.run.plot.points > 2)
    for name in ("volume_start", "volume_pause", "volume_cancel"):
        assert not child(volume_step, name).isEnabled()
        assert "A fit of orbitals is running" in child(volume_step, name).toolTip()
    finish(volume_step, hand, "finish")
    start(volume_step, hand)
    assert not child(volume_step, "pause").isEnabled()
    assert volume_step.inspect.result is volume_step.state.result is not None, "what the fit found stays"
    finish(volume_step, hand, "volume_cancel")


def test_a_viewer_that_closes_ends_the_run_and_the_next_window_offers_the_volume(
    volume_step: Any, viewer: Any, hand: Any, own_autosaves: Path
) -> None:
    import napari

    start(volume_step, hand)
    shown = volume_step.layers.volume
    viewer.close()
    hand.until(lambda: not running_threads())
    (kept,) = own_autosaves.glob("*.volume.mrc")
    assert np.array_equal(read_volume(kept).values, shown.volume.values)
    again = napari.Viewer(show=True)
    try:
        _, bench = again.window.add_plugin_dock_widget("napari-lot", "Workbench")
        open_step(bench, hand, "volume")
        assert "was not saved" in child(bench, "volume_left").text()
        hand.click(child(bench, "open_left_volume"))
        hand.until(lambda: "Volume" in again.layers)
        assert again.layers["Volume"].data.shape == SIDES
        assert not child(bench, "open_left_volume").isVisible()
    finally:
        again.close()
    assert [*own_autosaves.glob("*.volume.mrc")] == [kept], "until it is saved elsewhere"


def test_atoms_are_traced_drawn_in_sections_and_a_fit_begins_with_them(
    done: Any, viewer: Any, hand: Any, notified: Any
) -> None:
    note, sections = child(done, "trace_note"), done.volume.sections
    assert child(done, "trace_element").text() == "Pt"
    assert not child(done, "start_from_traced").isEnabled()
    found, truth = trace(done, hand), truth_zyx()
    inside = (np.abs(truth) < (np.array(SIDES) / 2 - 4) * VOXEL_A).all(1)
    assert (cKDTree(found).query(truth[inside])[0] < 0.3).mean() > 0.98
    assert f"{len(found)} atoms" in note.text()
    features = viewer.layers["Traced atoms"].features
    assert {"id", "element", "height", "width_A", "intensity_A2"} <= set(features.columns)
    assert set(features["element"]) == {"Pt"}
    # the sections, linked and labelled, with the atoms that they cut
    hand.click(child(done, "show_sections"))
    hand.until(lambda: sections.is_open and sections.wedge.image is not None)
    values, plots = done.volume.result.volume.values, sections.plots
    sections._on_moved(("x", "y"), 3.1, -2.2)
    origin = np.array(done.volume.result.volume.origin_A)
    i, j, k = np.rint((np.array([3.1, -2.2, sections.place_A[2]]) - origin) / VOXEL_A).astype(int)
    assert np.array_equal(plots["xy"].image, values[k])
    assert np.array_equal(plots["xz"].image, values[:, j])
    assert np.array_equal(plots["yz"].image, values[:, :, i])
    labels = {
        name: [plot.plot.getPlotItem().getAxis(side).labelText for side in ("bottom", "left")]
        for name, plot in plots.items()
    }
    assert labels == {"xy": ["x (Å)", "y (Å)"], "xz": ["x (Å)", "z (Å)"], "yz": ["y (Å)", "z (Å)"]}
    assert plots["xy"].atoms > 5
    angles = done.state.series.angles_deg[:, 1]
    assert f"missing wedge {180 - (angles.max() - angles.min()):.0f}°" in sections.wedge.words
    sections.put_away()
    # what is refused, and what is missing
    hand.type(child(done, "trace_threshold"), "0.95")
    hand.click(child(done, "trace_atoms"))
    hand.until(lambda: len(viewer.layers["Traced atoms"].data) < len(found))
    refused = {n for name, n in done.volume.trace.found.traced.counts().items() if n and name != "ok"}
    assert ("Peaks that were refused" in note.text()) == bool(refused)
    assert all(str(n) in note.text() for n in refused)
    hand.type(child(done, "trace_threshold"), "")
    hand.type(child(done, "trace_element"), "Xx")
    hand.click(child(done, "trace_atoms"))
    assert "'Xx'" in note.text()
    hand.type(child(done, "trace_element"), "")
    hand.click(child(done, "trace_atoms"))
    assert "give the element, or the least distance" in note.text()
    hand.type(child(done, "trace_element"), "Pt")
    found = trace(done, hand)
    hand.until(lambda: len(viewer.layers["Traced atoms"].data) > 200)
    found = viewer.layers["Traced atoms"].data.copy()
    # a fit begins at the points as they are now, or says what is missing
    given: list[Any] = []

    def make(series: Any, settings: Any, atoms: Any = None) -> Any:
        given.append((settings, atoms))
        return StandInJob(series, settings, step_s=0.01, steps=5)

    done.run.make_job = make
    layer = viewer.layers["Traced atoms"]
    hand.click(child(done, "show_sections"))
    hand.until(lambda: sections.is_open and len(sections._atoms) == len(found))
    layer.selected_data = {0, 1}
    layer.remove_selected()
    assert f"there are {len(found) - 2} points now" in note.text()
    np.testing.assert_allclose(sections._atoms[:, ::-1], found[2:])
    sections.put_away()
    done.state.microscope = done.state.microscope.model_copy(update={"energy_eV": None})
    hand.click(child(done, "start_from_traced"))
    assert any("needs energy and semi-angle" in text for text in notified())
    assert not done.state.running
    done.state.microscope = done.state.microscope.model_copy(update={"energy_eV": 3e5})
    hand.click(child(done, "start_from_traced"))
    hand.until(lambda: done.state.result is not None)
    settings, atoms = given[0]
    assert settings.start.kind == "layer Traced atoms"
    assert np.allclose(atoms.positions[:, ::-1], found[2:])
    assert done.sections["run"].isExpanded()


def test_volumes_are_saved_opened_and_asked_for_before_they_go(
    done: Any, viewer: Any, hand: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, notified: Any
) -> None:
    from qtpy.QtWidgets import QFileDialog

    assert done.state.unsaved_atoms() == "the voxels of the volume"
    asked: list[str] = []
    # neither another run nor another volume takes its place unasked
    kept, shown = done.volume.result.volume, viewer.layers["Volume"].data
    done.volume.files.confirm = lambda question: bool(asked.append(question))
    hand.click(child(done, "volume_start"))
    assert done.volume.runner is None
    write_volume(tmp_path / "other.mrc", Volume(np.ones((4, 5, 6), np.float32), 0.5, (0.0, 0.0, 0.0)))
    done.volume.files.open_file(tmp_path / "other.mrc")
    assert [question.split(", and ")[0] for question in asked] == ["The volume by SIRT is in no file"] * 2
    assert done.volume.result.volume is kept
    assert viewer.layers["Volume"].data is shown
    asked.clear()
    done.data.prepare.preparation.confirm = lambda question: bool(asked.append(question))
    child(done, "open_sample").click()
    assert "voxels of the volume" in asked[0]
    assert "Volume" in viewer.layers
    for ending in ("mrc", "tif", "json"):
        path = tmp_path / f"a.{ending}"
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, at=path: (str(at), ""))
        hand.click(child(done, "save_volume"))
        hand.until(lambda at=path: at.exists() and not done.volume.files.task.running)
    assert done.state.unsaved_atoms() == ""
    kept = done.volume.result.volume
    for ending in ("mrc", "tif"):
        read = read_volume(tmp_path / f"a.{ending}")
        assert np.array_equal(read.values, kept.values)
        assert read.origin_A == pytest.approx(kept.origin_A)
    child(done, "open_sample").click()
    hand.until(lambda: "Volume" not in viewer.layers)
    assert len(asked) == 1, "it is in a file now"
    assert done.volume.result is None
    assert not child(done, "view_volume").isEnabled()
    open_step(done, hand, "volume")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(tmp_path / "a.mrc"), ""))
    hand.click(child(done, "open_volume"))
    hand.until(lambda: "Volume" in viewer.layers and not done.volume.files.task.running)
    assert "a.mrc" in status(done)
    # one that does not say how large its voxels are is asked for it
    np.savez(tmp_path / "bare.npz", volume=kept.values)
    done.volume.files.ask_size = lambda path: None
    done.volume.files.open_file(tmp_path / "bare.npz")
    hand.until(lambda: any("open it again and give it" in text for text in notified()))
    done.volume.files.ask_size = lambda path: 0.7
    done.volume.files.open_file(tmp_path / "bare.npz")
    hand.until(lambda: "bare.npz" in status(done) and not done.volume.files.task.running)
    assert viewer.layers["Volume"].scale == pytest.approx([0.7] * 3)
    (tmp_path / "bad.mrc").write_bytes(b"no")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(tmp_path / "bad.mrc"), ""))
    hand.click(child(done, "open_volume"))
    hand.until(lambda: any("bad.mrc" in text for text in notified()))
    assert "Volume" in viewer.layers, "what is open stays open"
    hand.click(child(done, "show_sections"))
    hand.until(lambda: done.volume.sections.why_no_wedge.isVisible())
    # rings of atoms go with the volume in which they were traced
    sections = done.volume.sections
    hand.type(child(done, "trace_element"), "Pt")
    trace(done, hand)
    sections._on_moved(("x", "y"), 3.1, -2.2)
    assert sections.plots["xy"].atoms > 5
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(tmp_path / "a.tif"), ""))
    hand.click(child(done, "open_volume"))
    hand.until(lambda: "a.tif" in status(done) and not done.volume.files.task.running)
    assert sections.is_open
    assert [plot.atoms for plot in sections.plots.values()] == [0, 0, 0]
    sections.put_away()


def test_a_stack_of_images_is_no_volume(tmp_path: Path) -> None:
    from napari_lot.napari_hooks import get_series_reader, get_volume_reader

    stack = np.random.default_rng(0).random((6, 8, 9)).astype(np.float32)
    for name, as_volume in (("stack.mrc", False), ("volume.mrc", True)):
        with mrcfile.new(tmp_path / name) as mrc:
            mrc.set_data(stack)
            mrc.set_volume() if as_volume else mrc.set_image_stack()
            mrc.voxel_size = 0.5
        assert (get_series_reader(str(tmp_path / name)) is not None) == as_volume
    (tmp_path / "volume.tlt").write_text("\n".join(str(10 * i) for i in range(6)))
    (layer,) = get_series_reader(str(tmp_path / "volume.mrc"))(str(tmp_path / "volume.mrc"))
    assert layer[0].ndim == 4, "with angles beside it, it is a tilt series"
    assert get_volume_reader(str(tmp_path / "nowhere.map")) is None


@pytest.mark.timeout(120)
def test_the_real_one_from_start_to_traced_atoms(volume_step: Any, viewer: Any, hand: Any) -> None:
    volume_step.volume.make_job = VoxelJob
    hand.type(child(volume_step, "volume_iterations"), "25")
    hand.type(child(volume_step, "volume_bin"), "2")
    hand.click(child(volume_step, "volume_start"))
    hand.until(lambda: volume_step.volume.result is not None, seconds=90)
    r = volume_step.volume.result.agreement()
    assert r is not None
    assert r[0] < 0.2
    shown = volume_step.volume.progress.plot.history
    assert [iteration for iteration, *_ in shown] == list(range(1, 26)), "every iteration, also what was not drawn"
    assert shown[-1][1] == pytest.approx(r[0])
    found, truth = trace(volume_step, hand), truth_zyx()
    distance, _ = cKDTree(truth).query(found - (found.mean(0) - truth.mean(0)))
    assert len(found) > 180
    assert np.median(distance) < 0.4
