"""Sessions in the window: saved, opened again as they were, autosaved, and offered after a crash."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stand_in import StandInJob
from steps import child, open_step

from napari_lot.code_mark import code_mark
from napari_lot.gui import sessions
from napari_lot.gui.preferences import Preferences
from napari_lot.result import Checkpoint
from napari_lot.series.sample import load_sample
from napari_lot.session import RunState, Session, is_session, read_session, write_session
from napari_lot.session.leftovers import left_behind, new_autosave
from napari_lot.settings import settings_from_dict

pytestmark = pytest.mark.slow  # part of `make test-all`


def run_to_the_end(bench: Any, hand: Any, **how: Any) -> None:
    bench.run.make_job = lambda series, settings: StandInJob(series, settings, step_s=0.0, steps=12, **how)
    hand.click(child(bench, "start"))
    hand.until(lambda: bench.state.result is not None and not bench.state.running)


def save(bench: Any, hand: Any, kind: str, path: Path) -> None:
    open_step(bench, hand, "export")
    hand.choose(child(bench, "export_kind"), kind)
    hand.type(child(bench, "export_path"), str(path), enter=False)
    hand.click(child(bench, "export_save"))
    hand.until(lambda: not bench.export.saving)


def test_a_session_opens_as_it_was_saved(ready: Any, viewer: Any, hand: Any, notified: Any, tmp_path: Path) -> None:
    hand.click(child(ready, "more_run_settings"))
    hand.type(child(ready, "seed"), "5")
    hand.tick(child(ready, "refine_shifts"))
    run_to_the_end(ready, hand, knows_errors=True)
    result, settings = ready.state.result, ready.state.result.settings
    hand.click(child(ready, "view_images"))
    viewer.dims.set_point(0, 11)
    path = tmp_path / "mine.lot.h5"
    save(ready, hand, "Session, HDF5", path)
    assert notified() == []
    history = ready.run.plot.history
    # something else in between
    open_step(ready, hand, "data")
    hand.click(child(ready, "open_sample"))
    hand.until(lambda: ready.state.result is None)
    open_step(ready, hand, "run")
    hand.type(child(ready, "seed"), "1")
    open_step(ready, hand, "data")
    hand.type(child(ready, "series_path"), str(path))
    hand.until(lambda: ready.state.result is not None and not ready.state.reading)
    found = ready.state.result
    np.testing.assert_array_equal(found.orbitals.positions, result.orbitals.positions)
    np.testing.assert_array_equal(found.sigma_A, result.sigma_A)
    assert found.settings == settings
    again = ready.run.settings()
    assert again.solver.seed == 5
    assert set(again.solver.refine) == set(settings.solver.refine)
    assert again.microscope == settings.microscope
    assert again.model.elements == ("Pt",)
    assert ready.run.plot.history == history
    assert ready.layers.tilt == 11
    assert ready.layers.view == "images"
    assert ready.data.prepare.preparation.base is ready.state.series, "no step of the series before is undone on it"
    assert len(viewer.layers["Atoms"].data) == 247
    assert "sigma_x_A" in viewer.layers["Atoms"].features
    # and its series can be read again with another value
    open_step(ready, hand, "data")
    hand.type(child(ready, "pixel_size_A"), "0.3")
    ready.data.prepare.confirm = lambda question: True
    hand.click(child(ready, "apply_data"))
    hand.until(lambda: ready.state.series.pixel_size_A == 0.3)
    assert notified() == []


def test_a_session_keeps_its_tilt_beside_another_view(ready: Any, viewer: Any, hand: Any, tmp_path: Path) -> None:
    run_to_the_end(ready, hand)
    ready.layers.go_to_tilt(20)
    hand.click(child(ready, "view_atoms"))
    save(ready, hand, "Session, HDF5", tmp_path / "mine.lot.h5")
    open_step(ready, hand, "data")
    hand.click(child(ready, "open_sample"))
    hand.until(lambda: ready.state.result is None)
    hand.type(child(ready, "series_path"), str(tmp_path / "mine.lot.h5"))
    hand.until(lambda: ready.state.result is not None and not ready.state.reading)
    assert (ready.layers.view, ready.layers.tilt) == ("atoms", 20)
    hand.click(child(ready, "view_images"))
    assert ready.layers.tilt == 20


def test_a_file_that_only_looks_like_a_session(ready: Any, hand: Any, notified: Any, tmp_path: Path) -> None:
    run_to_the_end(ready, hand)
    path = tmp_path / "cut.lot.h5"
    save(ready, hand, "Session, HDF5", path)
    before = ready.state.series
    path.write_bytes(path.read_bytes()[:3000])
    open_step(ready, hand, "data")
    hand.type(child(ready, "series_path"), str(path))
    hand.until(lambda: bool(notified()))
    assert "damaged" in notified()[0]
    assert ready.state.series is before


def test_a_running_fit_is_saved_and_offered_after_a_crash(
    ready: Any, viewer: Any, hand: Any, own_autosaves: Path
) -> None:
    from napari_lot.gui.workbench import Workbench

    hand.click(child(ready, "start"))
    ready.sessions.autosave.interval_s = 0.05
    hand.until(lambda: ready.sessions.autosave.path.exists())
    path = ready.sessions.autosave.path
    assert is_session(path)
    assert left_behind() == [], "its process is alive"
    # the window is closed in the middle of the run
    ready.shutdown()
    ready.setParent(None)
    assert path.exists()
    state = read_session(path).state
    assert state is not None
    assert state.orbitals.symbols[0] == "Pt"
    # another process, long gone
    host, _, began, n = path.name.removesuffix(".lot.h5").rsplit("_", 3)
    path.rename(path.with_name(f"{host}_4999999_{began}_{n}.lot.h5"))
    bench = Workbench(viewer)
    viewer.window.add_dock_widget(bench, area="right")
    hand.until(child(bench, "recovery").isVisible)
    assert "was not saved" in child(bench, "recovery_text").text()
    hand.click(child(bench, "recovery_open"))
    hand.until(lambda: bench.state.series is not None and not bench.state.reading)
    assert "Broken off" in child(bench, "stage").text()
    assert "had not become atoms yet" in child(bench, "stage").text()
    assert bench.state.result is None
    assert len(bench.layers.atoms.spheres.layer.data) == len(state.orbitals)
    # a finished run that is saved elsewhere needs no autosave
    open_step(bench, hand, "run")
    run_to_the_end(bench, hand)
    bench.sessions.autosave.wait()
    assert read_session(bench.sessions.autosave.path).result is not None
    save(bench, hand, "Session, HDF5", own_autosaves.parent / "kept.lot.h5")
    assert list(own_autosaves.iterdir()) == []


def test_a_closed_workbench_of_the_same_napari_leaves_its_run_to_the_next(
    ready: Any, viewer: Any, hand: Any, own_autosaves: Path
) -> None:
    run_to_the_end(ready, hand)
    atoms, series = len(ready.state.result.orbitals), ready.state.series
    assert left_behind() == [], "its workbench is open"
    for dock in list(viewer.window.dock_widgets):
        viewer.window.remove_dock_widget(viewer.window.dock_widgets[dock])
    hand.until(lambda: ready.is_closed)
    _, bench = viewer.window.add_plugin_dock_widget("napari-lot", "Workbench")
    assert bench is not ready
    hand.until(child(bench, "recovery").isVisible)
    assert "was not saved" in child(bench, "recovery_text").text()
    # the images that the closed one has left are an open stack
    assert child(bench, "open_layer").currentText() == "Measured"
    hand.click(child(bench, "use_layer"))
    hand.until(lambda: bench.state.series is not None)
    np.testing.assert_array_equal(bench.state.series.angles_deg, series.angles_deg)
    assert [layer.name for layer in viewer.layers if layer.visible] == ["Measured"], "once, and nothing of the old run"
    hand.click(child(bench, "recovery_open"))
    hand.until(lambda: bench.state.result is not None)
    assert len(bench.state.result.orbitals) == atoms


def test_cancelled_runs_leave_nothing(ready: Any, hand: Any, own_autosaves: Path) -> None:
    hand.click(child(ready, "start"))
    ready.sessions.autosave.interval_s = 0.05
    hand.until(lambda: ready.sessions.autosave.path.exists())
    hand.click(child(ready, "cancel"))
    hand.until(lambda: not ready.state.running)
    assert list(own_autosaves.iterdir()) == []


def test_an_autosave_can_be_deleted_or_left(viewer: Any, hand: Any, own_autosaves: Path) -> None:
    from napari_lot.gui.workbench import Workbench
    from napari_lot.series.sample import load_sample
    from napari_lot.settings import Settings

    name = new_autosave().name.rsplit("_", 3)
    for n in (1, 2):
        write_session(own_autosaves / f"{name[0]}_4999999_{name[2]}_{n}.lot.h5", Session(load_sample(), Settings()))
    bench = Workbench(viewer)
    viewer.window.add_dock_widget(bench, area="right")
    assert "1 more after it" in child(bench, "recovery_text").text()
    asked: list[str] = []
    bench.recovery.confirm = lambda question: bool(asked.append(question))
    hand.click(child(bench, "recovery_delete"))
    assert "Delete it for good?" in asked[0]
    assert len(list(own_autosaves.iterdir())) == 2, "No leaves it"
    assert "1 more after it" in child(bench, "recovery_text").text(), "and goes on offering it"
    bench.recovery.confirm = lambda question: True
    hand.click(child(bench, "recovery_delete"))
    assert len(list(own_autosaves.iterdir())) == 1
    hand.click(child(bench, "recovery_later"))
    assert not child(bench, "recovery").isVisible()
    assert len(list(own_autosaves.iterdir())) == 1
    bench.shutdown()


def test_an_autosave_is_called_by_its_series(viewer: Any, hand: Any, notified: Any, own_autosaves: Path) -> None:
    from napari_lot.gui.forms.widgets import Bar
    from napari_lot.gui.runs import differences
    from napari_lot.gui.workbench import Workbench
    from napari_lot.series.sample import load_sample
    from napari_lot.settings import settings_from_dict

    name = new_autosave().name.rsplit("_", 3)
    path = own_autosaves / f"{name[0]}_4999999_{name[2]}_1.lot.h5"
    settings = settings_from_dict({"model": {"elements": ("Pt",)}, "start": {"kind": str(path)}})
    write_session(path, Session(load_sample(), settings))
    assert differences(settings_from_dict({}), settings).endswith(
        "Start from a grid of orbitals → atoms of an autosave"
    )
    bench = Workbench(viewer)
    viewer.window.add_dock_widget(bench, area="right")
    said: list[str] = []
    bench.data.task.changed.connect(lambda: said.append(bench.data.task.what))
    field = child(bench, "series_path")
    hand.click(child(bench, "recovery_open"))
    hand.until(lambda: bench.state.series is not None and not bench.state.reading)
    assert set(said) == {"Opening the autosave"}
    assert field.text() == "series.tif (autosave)"
    assert str(path) in field.toolTip()
    before = bench.state.series
    hand.until(lambda: not bench.data.task.running)
    open_step(bench, hand, "data")
    hand.type(field, "series.tif (autosave)")  # with Enter it is read again
    hand.until(lambda: bench.state.series is not before and not bench.state.reading)
    assert notified() == []
    field.setText("another.tif")
    assert str(path) not in field.toolTip()
    bench.shutdown()
    # a name that does not fit is cut in its middle, and how far it is stays
    bar = Bar()
    bar.resize(160, 20)
    bar.say("Reading a_name_that_is_much_longer_than_the_bar_is_wide.tif", " %p%")
    assert bar.format().startswith("Read")
    assert "…" in bar.format()
    assert bar.format().endswith(" %p%")


def test_a_session_without_element_and_distance_opens(workbench: Any, hand: Any, notified: Any, tmp_path: Path) -> None:
    """Its atoms are shown with a sentence about what is missing; without atoms its series is."""
    from dataclasses import replace

    from napari_lot.series.sample import load_sample
    from napari_lot.settings import Settings

    series, settings = load_sample(), Settings()
    job = StandInJob(series, settings, step_s=0.0, steps=2)
    for _ in job.run():
        pass
    assert job.result is not None
    with_atoms, without = tmp_path / "atoms.lot.h5", tmp_path / "none.lot.h5"
    write_session(with_atoms, Session(series, settings, replace(job.result, settings=settings)))
    write_session(without, Session(series, settings))
    for path in (without, with_atoms):
        workbench.sessions.open(path)
        hand.until(lambda: not workbench.state.reading and len(notified()) > 0)
        assert notified()[-1].startswith(
            f"{path.name}: its settings give neither an element nor a distance between atoms"
        )
        assert workbench.state.series.images.shape == series.images.shape
    hand.until(lambda: workbench.state.result is not None)
    assert len(workbench.layers.atoms.spheres.layer.data) == 247
    assert 2 < workbench.layers.atoms.spacing_A < 3.5, "platinum's neighbours"
    assert not workbench.run.start_button.isEnabled()


@pytest.mark.parametrize("kind", ["Session, HDF5", "Everything, folder"])
def test_the_history_that_is_saved_is_that_of_the_run_that_is_shown(
    ready: Any, hand: Any, tmp_path: Path, kind: str
) -> None:
    for end in ("", "", "cancel"):
        if not end:
            run_to_the_end(ready, hand)
            continue
        ready.run.make_job = lambda series, settings: StandInJob(series, settings, step_s=0.02, steps=10_000)
        hand.click(child(ready, "start"))
        hand.until(lambda: ready.run.plot.points > 15)
        hand.click(child(ready, end))
    hand.until(lambda: not ready.state.running)
    table = child(ready, "runs")
    hand.reach(table)
    hand.click(table.viewport(), table.visualItemRect(table.item(0, 1)).center())
    hand.until(lambda: ready.state.result_run == 1 and not ready.run.table.task.running)
    path = tmp_path / ("mine.lot.h5" if kind.startswith("Session") else "all")
    save(ready, hand, kind, path)
    saved = read_session(path if path.is_file() else next(path.glob("*.lot.h5")))
    assert saved.history[:, 0].tolist() == list(range(1, 13)), "12 passes, and not those of the run that was cancelled"


def test_a_run_that_was_broken_off_is_looked_at_exported_and_gone_on_with(
    workbench: Any, hand: Any, notified: Any, tmp_path: Path
) -> None:
    from napari_lot.export import read_atoms

    series, settings = load_sample(), settings_from_dict({"model": {"elements": ("Pt",), "probe": "direct"}})
    *_, last = StandInJob(series, settings, step_s=0.0, steps=12).run()
    path = tmp_path / "broken.lot.h5"
    assert last.stage == "refine"
    write_session(path, Session(series, settings, state=RunState.of(last), history=np.array([[1, 2.0, 0.3]])))
    workbench.sessions.open(path)
    hand.until(lambda: workbench.state.result is not None and not workbench.state.reading)
    hand.until(lambda: workbench.sections["inspect"].isExpanded() and not workbench.data.task.running)
    steps = {name: section.status.accessibleName() for name, section in workbench.sections.items()}
    assert steps["run"] == "Run 1: 247 atoms, broken off; see the doubts below."
    assert steps["inspect"].startswith("Run 1, which did not end.")
    assert steps["export"] == "247 atoms of run 1, which did not end, to save."
    assert child(workbench, "show_table").isEnabled()
    assert child(workbench, "show_compare").isEnabled()
    assert "did not end" in child(workbench, "next_doubtful").toolTip()
    assert child(workbench, "atoms_text").text() == "no error bars: how sure the atoms are is not known"
    for kind, name in (("Atoms, CSV", "a.csv"), ("Session, HDF5", "again.lot.h5")):
        save(workbench, hand, kind, tmp_path / name)
    assert notified() == []
    assert len(read_atoms(tmp_path / "a.csv")) == 247
    again = read_session(tmp_path / "again.lot.h5")
    assert again.result is None
    np.testing.assert_array_equal(again.state.orbitals.positions, last.orbitals.positions)
    save(workbench, hand, "Calculated tilts, TIFF", tmp_path / "c.tif")
    assert "this run did not end" in notified()[-1]
    assert not (tmp_path / "c.tif").exists()
    given: list[Any] = []

    def make(series: Any, settings: Any, atoms: Any = None) -> StandInJob:
        given.append(atoms)
        return StandInJob(series, settings, step_s=0.0, steps=4)

    workbench.run.make_job = make
    open_step(workbench, hand, "run")
    path.unlink()  # as an autosave that is saved elsewhere
    hand.click(child(workbench, "go_on"))
    hand.until(lambda: workbench.state.result_run == 2 and not workbench.state.running)
    np.testing.assert_allclose(given[0].positions, last.orbitals.positions)
    assert not child(workbench, "go_on").isVisible()
    assert workbench.state.result.settings.start.kind == str(tmp_path / "again.lot.h5")
    assert workbench.run.settings().start.kind == "grid", "the form stays as it was"


def broken_off(tmp_path: Path, stage: str, code: str | None = None) -> Path:
    """A session of a run of the sample that did not end and says exactly where it was."""
    series, settings = load_sample(), settings_from_dict({"model": {"elements": ("Pt",), "probe": "direct"}})
    *_, last = StandInJob(series, settings, step_s=0.0, steps=12).run()
    words = {"code": code or code_mark(), "road": [["pass", None]], "plain": {"step": 7}}
    state = replace(RunState.of(last), stage=stage, checkpoint=Checkpoint({"a": np.arange(3.0)}, words))
    start = last.orbitals if stage == "refine" else None
    history = np.array([[6, 2.0, 0.3], [7, 1.0, 0.2], [8, 0.9, 0.1]])
    path = tmp_path / f"{stage}.lot.h5"
    write_session(path, Session(series, settings, state=state, start=start, history=history))
    return path


def opened_broken_off(bench: Any, hand: Any, tmp_path: Path, stage: str) -> tuple[Path, Any]:
    """Such a session, and the button with which it goes on."""
    path, button = broken_off(tmp_path, stage), child(bench, "go_on")
    bench.sessions.open(path)
    hand.until(lambda: button.isVisibleTo(bench.run) and not bench.state.reading)
    hand.until(lambda: not bench.data.task.running)
    return path, button


@pytest.mark.parametrize("stage", ["refine", "positions"])
def test_a_run_that_was_broken_off_goes_on_exactly_where_it_was(
    workbench: Any, hand: Any, notified: Any, tmp_path: Path, stage: str
) -> None:
    given: list[Any] = []

    def make(series: Any, settings: Any, atoms: Any = None, checkpoint: Any = None) -> StandInJob:
        given.append((series, settings, atoms, checkpoint))
        return StandInJob(series, settings, step_s=0.0, steps=4)

    workbench.run.make_job = make
    path, button = opened_broken_off(workbench, hand, tmp_path, stage)
    assert stage == "refine" or "Go on with it, below, or Start" in child(workbench, "stage").text()
    open_step(workbench, hand, "run")
    hand.click(child(workbench, "more_run_settings"))
    hand.type(child(workbench, "threads"), "1")
    hand.type(child(workbench, "max_minutes"), "50")
    hand.click(button)
    hand.until(lambda: workbench.state.result is not None and workbench.state.result.stop_reason == "converged")
    series, settings, atoms, checkpoint = given[0]
    then = read_session(path)
    assert np.array_equal(series.images, then.series.images)
    assert (
        settings.model_dump()
        == then.settings.model_copy(
            update={"solver": then.settings.solver.model_copy(update={"threads": 1, "max_minutes": 50.0})}
        ).model_dump()
    )
    assert checkpoint.words == then.state.checkpoint.words
    np.testing.assert_array_equal(checkpoint.numbers["a"], np.arange(3.0))
    if stage == "refine":
        np.testing.assert_array_equal(atoms.positions, then.start.positions)
    else:
        assert atoms is None
    steps = [step for step, *_ in workbench.state.history]
    assert steps[:3] == [6, 7, 1], "what is done again is not shown twice"
    assert notified() == []
    assert not button.isVisibleTo(workbench.run)


class EndedEarly(StandInJob):
    """Says where it was, where it was finished early."""

    REACHED = Checkpoint({"a": np.arange(3.0)}, {"code": code_mark(), "road": [], "plain": {"step": 2}})

    def run(self, control: Any = None) -> Any:
        yield from super().run(control)
        if self.result is not None and self.result.stop_reason == "finished early":
            self.result = replace(self.result, checkpoint=self.REACHED)


def finish_early(bench: Any, hand: Any) -> None:
    """Begin a run and finish it after some steps."""
    bench.run.plot.clear()
    hand.click(child(bench, "start"))
    hand.until(lambda: len(bench.run.plot.history) > 3)
    hand.click(child(bench, "finish"))
    hand.until(lambda: not bench.state.running)


@pytest.mark.parametrize("autosave_s", [20.0, 0.0])
def test_a_run_that_was_finished_early_goes_on_exactly_where_it_was(
    ready: Any, hand: Any, notified: Any, tmp_path: Path, monkeypatch: Any, autosave_s: float
) -> None:
    """From the window in which it ran, and from its session in another moment."""
    given: list[Any] = []
    reached = EndedEarly.REACHED

    def make(series: Any, settings: Any, atoms: Any = None, checkpoint: Any = None) -> StandInJob:
        given.append((settings, atoms, checkpoint))
        if checkpoint is None:
            return EndedEarly(series, settings, step_s=0.05, steps=2000)
        return EndedEarly(series, settings, step_s=0.0, steps=12)

    ready.run.make_job = make
    button = child(ready, "go_on")
    monkeypatch.setattr(sessions, "preferences", lambda: Preferences(autosave_s=autosave_s or None))
    open_step(ready, hand, "run")
    finish_early(ready, hand)
    assert ready.state.result.stop_reason == "finished early"
    assert button.isVisibleTo(ready.run)
    path = tmp_path / "mine.lot.h5"
    save(ready, hand, "Session, HDF5", path)
    assert read_session(path).result.checkpoint.words == reached.words
    hand.click(button)
    hand.until(lambda: ready.state.result_run == 2 and not ready.state.running)
    assert given[1] == (given[0][0], None, given[1][2])
    assert given[1][2].words == reached.words
    assert [step for step, *_ in ready.state.history][:3] == [1, 2, 1], "what is done again is not shown twice"
    assert not button.isVisibleTo(ready.run), "it has come to its end"
    ready.state.is_saved(2)
    ready.sessions.open(path)
    hand.until(lambda: button.isVisibleTo(ready.run) and not ready.state.reading and not ready.data.task.running)
    hand.click(button)
    hand.until(lambda: len(given) == 3 and not ready.state.running)
    assert given[2][2].words == reached.words
    assert notified() == []


def test_a_run_whose_going_on_was_cancelled_can_still_go_on_until_it_leaves_the_list(ready: Any, hand: Any) -> None:
    given: list[Any] = []

    def make(series: Any, settings: Any, *start: Any) -> StandInJob:
        given.append(start)
        return EndedEarly(series, settings, step_s=0.05, steps=2000)

    ready.run.make_job = make
    button = child(ready, "go_on")
    open_step(ready, hand, "run")
    finish_early(ready, hand)
    hand.click(button)
    hand.until(lambda: len(given) == 2)
    assert not button.isVisibleTo(ready.run)
    hand.click(child(ready, "cancel"))
    hand.until(lambda: not ready.state.running)
    assert given[1] == (None, EndedEarly.REACHED)
    assert child(ready, "edited").text() == "Going on exactly after pass 2."
    assert button.isVisibleTo(ready.run), "run 1 is what is there"
    # with an atom deleted since it goes on from what is left
    result = ready.state.result
    fewer = replace(
        result,
        orbitals=result.orbitals.take(slice(1, None)),
        checkpoint=None,
        details={**result.details, "decisions": [{"what": "delete"}]},
    )
    ready.state.change(fewer)
    assert button.isVisibleTo(ready.run)
    hand.click(button)
    hand.until(lambda: len(given) == 3)
    assert len(given[2][0]) == len(result.orbitals) - 1
    assert child(ready, "edited").text().startswith("Atoms of this run were changed by hand")
    hand.click(child(ready, "cancel"))
    hand.until(lambda: not ready.state.running)
    ready.run.table.confirm = lambda question: True
    hand.click(child(ready, "run_remove"))
    hand.until(lambda: ready.state.result is None)
    assert not button.isVisibleTo(ready.run)
    assert ready.run.go_on._known == {}


def test_with_the_autosave_switched_off_that_of_an_earlier_run_stays_as_it_was(
    ready: Any, hand: Any, monkeypatch: Any
) -> None:
    ready.run.make_job = lambda series, settings: EndedEarly(series, settings, step_s=0.05, steps=2000)
    open_step(ready, hand, "run")
    finish_early(ready, hand)
    autosave = ready.sessions.autosave
    autosave.wait()
    before = autosave.path.read_bytes()
    monkeypatch.setattr(sessions, "preferences", lambda: Preferences(autosave_s=None))
    finish_early(ready, hand)
    assert ready.state.result_run == 2
    autosave.wait()
    assert autosave.path.read_bytes() == before
    hand.click(child(ready, "start"))
    hand.until(lambda: len(ready.run.plot.history) > 1)
    hand.click(child(ready, "cancel"))
    hand.until(lambda: not ready.state.running)
    assert autosave.path.read_bytes() == before


@pytest.mark.parametrize("stage", ["refine", "positions"])
def test_with_other_settings_a_run_goes_on_from_its_atoms_or_says_that_it_has_none(
    workbench: Any, hand: Any, notified: Any, tmp_path: Path, stage: str
) -> None:
    given: list[Any] = []

    def make(series: Any, settings: Any, *start: Any) -> StandInJob:
        given.append((settings, start))
        return StandInJob(series, settings, step_s=0.0, steps=4)

    workbench.run.make_job = make
    path, button = opened_broken_off(workbench, hand, tmp_path, stage)
    open_step(workbench, hand, "run")
    hand.click(child(workbench, "more_run_settings"))
    hand.type(child(workbench, "seed"), "5")
    hand.click(button)
    if stage == "positions":
        hand.until(lambda: any("had not become atoms yet: Start begins anew" in text for text in notified()))
        assert given == []
        return
    hand.until(lambda: workbench.state.result is not None and workbench.state.result.stop_reason == "converged")
    settings, start = given[0]
    assert settings.solver.seed == 5
    assert child(workbench, "edited").text().startswith("Settings or series are not those of that run")
    assert settings.start.kind == str(path)
    assert len(start) == 1


def test_what_a_run_begins_with_is_the_sessions_own_and_a_grid_for_another_series(
    workbench: Any, hand: Any, tmp_path: Path
) -> None:
    from napari_lot.series.sample import load_sample
    from napari_lot.settings import settings_from_dict

    series, model = load_sample(), {"elements": ("Pt",), "probe": "direct"}
    for name, start, spacing_A in (("grid", "grid", None), ("file", "a.xyz", 3.0), ("layer", "layer guess", None)):
        said = {"model": model | {"spacing_A": spacing_A}, "start": {"kind": start}}
        write_session(tmp_path / f"{name}.lot.h5", Session(series, settings_from_dict(said)))

    def opened(name: str) -> Any:
        workbench.sessions.open(tmp_path / f"{name}.lot.h5")
        hand.until(lambda: not workbench.state.reading and workbench.data.source.path.text().endswith(f"{name}.lot.h5"))
        settings = workbench.run.settings()
        return settings.start.kind, settings.model.spacing_A

    assert opened("file") == ("a.xyz", 3.0)
    assert opened("grid") == ("grid", None)
    opened("layer")
    workbench.viewer.add_points(np.zeros((2, 3)), name="another")
    assert "'guess', which is not open" in child(workbench, "start").toolTip(), "and no other layer takes its place"
    workbench.viewer.add_points(np.zeros((2, 3)), name="guess")
    assert workbench.run.settings().start.kind == "layer guess"
    assert opened("file") == ("a.xyz", 3.0)
    open_step(workbench, hand, "data")
    hand.click(child(workbench, "open_sample"))
    hand.until(lambda: not workbench.state.reading and workbench.run.settings().start.kind == "grid")
    assert workbench.run.settings().model.spacing_A is None
