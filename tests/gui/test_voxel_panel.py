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


@pytest.fixture
def volume_step(ready: Any, hand: Any) -> Any:
    """The sample is open, step 6 as well, and a stand-in goes on until it is stopped."""
    ready.volume.make_job = lambda *given: StandInVolume(*given)
    open_step(ready, hand, "volume")
    return ready


@pytest.fixture
def done(volume_step: Any, hand: Any) -> Any:
    """A volume has been reconstructed."""
    hand.click(child(volume_step, "volume_start"))
    hand.until(lambda: len(volume_step.volume.progress.plot.history) > 1)
    hand.click(child(volume_step, "volume_finish"))
    hand.until(lambda: not volume_step.state.running)
    assert volume_step.volume.result is not None
    return volume_step


def status(bench: Any) -> str:
    return str(bench.sections["volume"].status.accessibleName())


def trace(bench: Any, hand: Any) -> np.ndarray:
    """Trace, and where the atoms are in the world of the canvas, z, y, x."""
    hand.click(child(bench, "trace_atoms"))
    hand.until(lambda: bench.volume.trace.found is not None and not bench.volume.trace.task.running)
    layer = bench.layers.viewer.layers["Traced atoms"]
    return np.array([layer.data_to_world(point) for point in layer.data])


def test_without_a_series_nothing_can_be_clicked_and_says_why(workbench: Any, hand: Any) -> None:
    open_step(workbench, hand, "volume")
    for name in ("volume_start", "trace_atoms", "start_from_traced", "save_volume", "show_sections", "volume_pause"):
        button = child(workbench, name)
        assert not button.isEnabled(), name
        assert button.toolTip(), name
    assert "needs a tilt series" in child(workbench, "volume_start").toolTip().lower()
    assert "Needs a volume" in child(workbench, "trace_atoms").toolTip()
    assert "Needs a tilt series" in status(workbench)
    assert not child(workbench, "view_volume").isEnabled()


def test_every_method_has_words_and_settings_that_its_job_takes(volume_step: Any, hand: Any) -> None:
    form, box = volume_step.volume.form, child(volume_step, "volume_method")
    assert box.count() == len(METHODS) == 7
    hand.click(child(volume_step, "more_volume_settings"))
    for name, entry in METHODS.items():
        box.setCurrentIndex(box.findData(name))
        assert entry.words in box.currentText()
        settings = form.settings()
        assert settings.method == entry.section(), "the defaults of the definition"
        fields = set(form._of[name].front.fields) | set(form._of[name].more.fields)
        assert fields == set(entry.section.model_fields), "no setting is left out"
        VoxelJob(volume_step.state.series, settings, name)


def test_what_is_typed_reaches_the_job(volume_step: Any, hand: Any) -> None:
    given: list[Any] = []
    volume_step.volume.make_job = lambda *of: given.append(of) or StandInVolume(*of, steps=2, step_s=0.0)
    hand.type(child(volume_step, "volume_iterations"), "7")
    hand.type(child(volume_step, "volume_bin"), "2")
    hand.click(child(volume_step, "more_volume_settings"))
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


def test_the_volume_streams_and_lies_where_the_atoms_lie(volume_step: Any, viewer: Any, hand: Any) -> None:
    hand.click(child(volume_step, "volume_start"))
    hand.until(lambda: "Volume" in viewer.layers and len(volume_step.volume.progress.plot.history) > 2)
    layer = viewer.layers["Volume"]
    assert viewer.dims.ndisplay == 3
    assert layer.visible
    assert layer.data.shape == SIDES
    assert tuple(layer.scale) == (VOXEL_A,) * 3
    assert [str(unit) for unit in layer.units] == ["angstrom"] * 3
    assert volume_step.layers.view == "volume"
    first, limits = layer.data, tuple(layer.contrast_limits)
    hand.until(lambda: layer.data is not first)
    hand.qtbot.wait(600)
    assert tuple(layer.contrast_limits) == limits, "the contrast does not flicker"
    # the brightest voxels are at atoms, in the world of the canvas, axes in their order
    brightest = np.argwhere(layer.data > 0.9 * layer.data.max())
    world = np.array([layer.data_to_world(index) for index in brightest])
    truth = read_atoms(sample_truth_path()).positions[:, ::-1]
    assert cKDTree(truth).query(world)[0].max() < VOXEL_A
    assert not child(volume_step, "start").isEnabled()
    assert "volume" in child(volume_step, "start").toolTip()
    hand.click(child(volume_step, "volume_cancel"))
    hand.until(lambda: not volume_step.state.running)
    assert volume_step.volume.result is None
    assert "Cancelled" in child(volume_step, "volume_stage").text()
    assert "Volume" in viewer.layers, "the last state stays"
    assert child(volume_step, "start").isEnabled()


def test_pause_holds_and_resume_goes_on(volume_step: Any, hand: Any) -> None:
    hand.click(child(volume_step, "volume_start"))
    hand.until(lambda: len(volume_step.volume.progress.plot.history) > 1)
    hand.click(child(volume_step, "volume_pause"))
    hand.until(lambda: "Paused" in child(volume_step, "volume_stage").text())
    assert status(volume_step) == "Paused; Resume goes on."
    hand.qtbot.wait(300)
    at = len(volume_step.volume.progress.plot.history)
    hand.qtbot.wait(300)
    assert len(volume_step.volume.progress.plot.history) == at
    assert child(volume_step, "volume_pause").text() == "Resume"
    hand.click(child(volume_step, "volume_pause"))
    hand.until(lambda: len(volume_step.volume.progress.plot.history) > at + 1)
    hand.click(child(volume_step, "volume_finish"))
    hand.until(lambda: not volume_step.state.running)
    assert volume_step.volume.result.stop_reason == "finished early"
    assert "finished early" in status(volume_step)
    assert np.isnan(volume_step.volume.progress.bars.values[0])
    assert np.isfinite(volume_step.volume.progress.bars.values[1:]).all()


def test_a_fit_of_orbitals_and_a_volume_do_not_run_together(volume_step: Any, hand: Any) -> None:
    volume_step.run.make_job = lambda *of: StandInJob(*of, step_s=0.02, steps=10_000)
    open_step(volume_step, hand, "run")
    hand.click(child(volume_step, "start"))
    hand.until(lambda: volume_step.run.plot.points > 2)
    for name in ("volume_start", "volume_pause", "volume_cancel"):
        assert not child(volume_step, name).isEnabled()
        assert "A fit of orbitals is running" in child(volume_step, name).toolTip()
    hand.click(child(volume_step, "finish"))
    hand.until(lambda: not volume_step.state.running)
    open_step(volume_step, hand, "volume")
    hand.click(child(volume_step, "volume_start"))
    hand.until(lambda: len(volume_step.volume.progress.plot.history) > 1)
    assert not child(volume_step, "pause").isEnabled()
    assert volume_step.inspect.result is volume_step.state.result is not None, "what the fit found stays"
    hand.click(child(volume_step, "volume_cancel"))
    hand.until(lambda: not volume_step.state.running)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (InputError("series.tif: no object in the field: check the mask."), "series.tif: no object in the field"),
        (MemoryError(), "The reconstruction ran out of memory: bin the images more"),
        (RuntimeError("boom"), "because of a fault in the program (RuntimeError: boom)"),
    ],
)
def test_what_goes_wrong_is_a_sentence_and_the_window_goes_on(
    volume_step: Any, viewer: Any, hand: Any, notified: Any, error: BaseException, sentence: str
) -> None:
    volume_step.volume.make_job = lambda *of: StandInVolume(*of, error=error, steps=12)
    hand.click(child(volume_step, "volume_start"))
    hand.until(lambda: not volume_step.state.running)
    assert any(sentence in text for text in notified())
    assert sentence in child(volume_step, "volume_detail").text()
    assert "Volume" in viewer.layers, "nothing shown is lost"
    volume_step.volume.make_job = lambda *of: StandInVolume(*of, steps=2, step_s=0.0)
    hand.click(child(volume_step, "volume_start"))
    hand.until(lambda: volume_step.volume.result is not None)


def test_settings_that_do_not_go_with_the_series_are_told(volume_step: Any, hand: Any, notified: Any) -> None:
    volume_step.volume.make_job = VoxelJob
    volume_step.state.images = {"tilt_weights": ((3, 0.5),)}
    hand.click(child(volume_step, "volume_start"))
    hand.until(lambda: bool(notified()))
    assert "voxel methods take all tilts alike" in notified()[0]
    assert not volume_step.state.running


def test_a_layer_that_is_deleted_comes_back(volume_step: Any, viewer: Any, hand: Any) -> None:
    hand.click(child(volume_step, "volume_start"))
    hand.until(lambda: "Volume" in viewer.layers)
    viewer.layers.remove("Volume")
    hand.until(lambda: "Volume" in viewer.layers)
    hand.click(child(volume_step, "volume_finish"))
    hand.until(lambda: not volume_step.state.running)
    viewer.layers.remove("Volume")
    hand.click(child(volume_step, "view_volume"))
    assert "Volume" in viewer.layers
    assert viewer.layers["Volume"].data is volume_step.volume.result.volume.values


def test_a_viewer_that_closes_ends_the_run_and_the_next_window_offers_the_volume(
    volume_step: Any, viewer: Any, hand: Any, own_autosaves: Path
) -> None:
    import napari

    hand.click(child(volume_step, "volume_start"))
    hand.until(lambda: "Volume" in viewer.layers)
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
        bench.volume.files.confirm = lambda question: True
        assert kept.exists(), "until it is saved elsewhere"
    finally:
        again.close()
    assert kept.exists()


def test_traced_atoms_are_those_of_the_sample(done: Any, viewer: Any, hand: Any) -> None:
    assert child(done, "trace_element").text() == "Pt"
    found = trace(done, hand)
    truth = read_atoms(sample_truth_path()).positions[:, ::-1]
    inside = np.abs(truth) < (np.array(SIDES) / 2 - 4) * VOXEL_A
    distance, _ = cKDTree(found).query(truth[inside.all(1)])
    assert (distance < 0.3).mean() > 0.98
    assert f"{len(found)} atoms" in child(done, "trace_note").text()
    features = viewer.layers["Traced atoms"].features
    assert {"id", "element", "height", "width_A", "intensity_A2"} <= set(features.columns)
    assert set(features["element"]) == {"Pt"}
    hand.type(child(done, "trace_threshold"), "0.95")
    hand.click(child(done, "trace_atoms"))
    hand.until(lambda: len(viewer.layers["Traced atoms"].data) < len(found))


def test_what_was_refused_is_told(done: Any, hand: Any) -> None:
    trace(done, hand)
    counts = done.volume.trace.found.traced.counts()
    refused = {name: n for name, n in counts.items() if n and name != "ok"}
    words = child(done, "trace_note").text()
    assert ("Peaks that were refused" in words) == bool(refused)
    for n in refused.values():
        assert str(n) in words


def test_without_element_and_distance_tracing_says_what_is_missing(done: Any, hand: Any, notified: Any) -> None:
    hand.type(child(done, "trace_element"), "")
    hand.click(child(done, "trace_atoms"))
    assert "give the element, or the least distance" in child(done, "trace_note").text()
    hand.type(child(done, "trace_min_distance_A"), "1.9")
    hand.click(child(done, "trace_atoms"))
    hand.until(lambda: done.volume.trace.found is not None)
    hand.type(child(done, "trace_element"), "Xx")
    hand.click(child(done, "trace_atoms"))
    assert "'Xx'" in child(done, "trace_note").text()


def test_a_fit_begins_at_the_traced_atoms_as_they_are_now(done: Any, viewer: Any, hand: Any) -> None:
    given: list[Any] = []

    def make(series: Any, settings: Any, atoms: Any = None) -> Any:
        given.append((settings, atoms))
        return StandInJob(series, settings, step_s=0.01, steps=5)

    done.run.make_job = make
    assert not child(done, "start_from_traced").isEnabled()
    found = trace(done, hand)
    layer = viewer.layers["Traced atoms"]
    layer.selected_data = {0, 1}
    layer.remove_selected()
    hand.click(child(done, "start_from_traced"))
    hand.until(lambda: done.state.result is not None)
    settings, atoms = given[0]
    assert settings.start.kind == "layer Traced atoms"
    assert len(atoms) == len(found) - 2
    assert np.allclose(atoms.positions[:, ::-1], found[2:])
    assert done.sections["run"].isExpanded()


def test_a_fit_that_cannot_begin_says_what_is_missing(done: Any, hand: Any, notified: Any) -> None:
    trace(done, hand)
    open_step(done, hand, "probe")
    hand.type(child(done, "energy_eV"), "")
    open_step(done, hand, "volume")
    hand.click(child(done, "start_from_traced"))
    assert any("needs energy and semi-angle" in text for text in notified())
    assert not done.state.running


def test_sections_are_linked_and_labelled(done: Any, viewer: Any, hand: Any) -> None:
    hand.click(child(done, "show_sections"))
    sections = done.volume.sections
    hand.until(lambda: sections.is_open and sections.wedge.image is not None)
    values, plots = done.volume.result.volume.values, sections.plots
    sections._on_moved(("x", "y"), 3.1, -2.2)
    origin = np.array(done.volume.result.volume.origin_A)
    i, j, k = np.rint((np.array([3.1, -2.2, sections.place_A[2]]) - origin) / VOXEL_A).astype(int)
    assert np.array_equal(plots["xy"].image, values[k])
    assert np.array_equal(plots["xz"].image, values[:, j])
    assert np.array_equal(plots["yz"].image, values[:, :, i])
    labels = {
        name: [plot.plot.getPlotItem().getAxis(s).labelText for s in ("bottom", "left")] for name, plot in plots.items()
    }
    assert labels == {"xy": ["x (Å)", "y (Å)"], "xz": ["x (Å)", "z (Å)"], "yz": ["y (Å)", "z (Å)"]}
    trace(done, hand)
    assert plots["xy"].atoms > 10, "atoms that the section cuts are drawn"
    hand.until(lambda: "missing wedge" in sections.wedge.words)
    angles = done.state.series.angles_deg[:, 1]
    wide = 180 - (angles.max() - angles.min())
    assert f"{wide:.0f}°" in sections.wedge.words
    sections.put_away()


def test_volumes_are_saved_and_opened(
    done: Any, viewer: Any, hand: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, notified: Any
) -> None:
    from qtpy.QtWidgets import QFileDialog

    assert done.state.unsaved_atoms() == "the voxels of the volume"
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
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(tmp_path / "a.mrc"), ""))
    hand.click(child(done, "open_volume"))
    hand.until(lambda: done.volume.result is None and not done.volume.files.task.running)
    assert "a.mrc" in status(done)
    (tmp_path / "bad.mrc").write_bytes(b"no")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(tmp_path / "bad.mrc"), ""))
    hand.click(child(done, "open_volume"))
    hand.until(lambda: any("bad.mrc" in text for text in notified()))
    assert "Volume" in viewer.layers, "what is open stays open"
    hand.click(child(done, "show_sections"))
    hand.until(lambda: done.volume.sections.why_no_wedge.isVisible())
    done.volume.sections.put_away()


def test_a_volume_that_napari_opens_is_taken_as_a_layer(workbench: Any, viewer: Any, hand: Any, tmp_path: Path) -> None:
    volume = truth_volume()
    write_volume(tmp_path / "gold.mrc", volume)
    (layer,) = viewer.open(str(tmp_path / "gold.mrc"), plugin="napari-lot")
    assert layer.data.shape == SIDES
    assert np.allclose(layer.translate[::-1], volume.origin_A)
    assert child(workbench, "open_layer").count() == 0, "it is no tilt series"
    open_step(workbench, hand, "volume")
    assert child(workbench, "volume_layer").currentText() == "gold"
    hand.click(child(workbench, "use_volume_layer"))
    assert np.array_equal(viewer.layers["Volume"].data, volume.values)
    assert not layer.visible
    hand.type(child(workbench, "trace_element"), "Pt")
    assert len(trace(workbench, hand)) > 200


def test_a_stack_of_images_is_no_volume(tmp_path: Path) -> None:
    from napari_lot.napari_hooks import get_series_reader, get_volume_reader

    stack = np.zeros((6, 8, 9), np.float32)
    for name, as_volume in (("stack.mrc", False), ("volume.mrc", True)):
        with mrcfile.new(tmp_path / name) as mrc:
            mrc.set_data(stack)
            mrc.set_volume() if as_volume else mrc.set_image_stack()
            mrc.voxel_size = 0.5
        assert (get_series_reader(str(tmp_path / name)) is not None) == as_volume
    (tmp_path / "volume.tlt").write_text("\n".join(map(str, range(6))))
    (layer,) = get_series_reader(str(tmp_path / "volume.mrc"))(str(tmp_path / "volume.mrc"))
    assert layer[0].ndim == 4, "with angles beside it, it is a tilt series"
    assert get_volume_reader(str(tmp_path / "nowhere.map")) is None


def test_another_series_takes_the_volume_with_it_after_a_question(done: Any, viewer: Any, hand: Any) -> None:
    asked: list[str] = []
    done.data.prepare.preparation.confirm = lambda question: bool(asked.append(question)) or len(asked) > 1
    open_step(done, hand, "data")
    hand.click(child(done, "open_sample"))
    assert "voxels of the volume" in asked[0]
    assert "Volume" in viewer.layers
    hand.click(child(done, "open_sample"))
    hand.until(lambda: "Volume" not in viewer.layers)
    assert not child(done, "view_volume").isEnabled()
    assert done.volume.result is None


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
    found = trace(volume_step, hand)
    truth = read_atoms(sample_truth_path()).positions[:, ::-1]
    distance, _ = cKDTree(truth).query(found - (found.mean(0) - truth.mean(0)))
    assert len(found) > 180
    assert np.median(distance) < 0.4
