"""How a run goes on from its session: exactly, from its atoms, or anew."""

from dataclasses import replace

import numpy as np
import pytest
from short_run import SHORT, noisy_series, small_particle

from napari_lot.errors import InputError
from napari_lot.export import write_atoms
from napari_lot.job import Control, Job
from napari_lot.lot import reconstruct
from napari_lot.lot import run as lot_run
from napari_lot.lot.local import LocalFit
from napari_lot.result import Checkpoint
from napari_lot.session import Autosave, RunState, Session, going_on, read_session, write_session
from napari_lot.session.going_on import how_it_goes_on
from napari_lot.settings import settings_from_dict

SETTINGS = {"model": {"probe": "direct", "elements": ["Pt"]}, "solver": {"threads": 1, **SHORT}}


@pytest.fixture(scope="module")
def run_from_atoms(tmp_path_factory):
    """A run from atoms of a file that is gone afterwards: its end, and its states with the history up to each."""
    patch = pytest.MonkeyPatch()
    for interval in ("SNAPSHOT_INTERVAL_S", "SLOWEST_INTERVAL_S"):
        patch.setattr(lot_run, interval, 0.0)
    patch.setattr(reconstruct, "CHECKPOINT_S", 0.0)
    particle = small_particle()
    series = noisy_series(particle)
    rng = np.random.default_rng(3)
    start = replace(particle, positions=particle.positions + rng.normal(0, 0.2, particle.positions.shape))
    file = tmp_path_factory.mktemp("start") / "start.xyz"
    settings = settings_from_dict({**SETTINGS, "start": {"kind": str(file)}})
    job, states, history = Job(series, settings, start), [], []
    for snapshot in job.run():
        history.append((snapshot.step, snapshot.loss, float(np.nansum(snapshot.r_factor))))
        if snapshot.checkpoint is not None:
            states.append((RunState.of(snapshot), np.array(history)))
    patch.undo()
    session = Session(series, settings, start=start)
    return session, job.result, states


@pytest.fixture(scope="module")
def unbroken():
    job = Job(noisy_series(small_particle()), settings_from_dict(SETTINGS))
    list(job.run())
    assert job.result.checkpoint is None
    return job


def test_given_atoms_are_in_the_session_so_that_their_file_may_go(run_from_atoms, tmp_path):
    begun, result, states = run_from_atoms
    state, history = states[len(states) // 2]
    path = tmp_path / "a.lot.h5"
    write_session(path, replace(begun, state=state, history=history))
    session = read_session(path)
    np.testing.assert_array_equal(session.start.positions, begun.start.positions)
    way = going_on(session, path)
    assert way.settings == begun.settings
    job = Job(way.series, way.settings, way.start, way.checkpoint)
    list(job.run())
    np.testing.assert_array_equal(job.result.orbitals.positions, result.orbitals.positions)
    np.testing.assert_array_equal(job.result.r_factor, result.r_factor)
    without = replace(session, start=None)  # as those of before were written
    with pytest.raises(InputError, match=r"start\.xyz: no such file"):
        going_on(without, path)
    write_atoms(session.settings.start.kind, begun.start)
    np.testing.assert_allclose(going_on(without, path).start.positions, begun.start.positions, atol=1e-5)


def test_the_history_goes_as_far_as_what_is_not_done_again(run_from_atoms, tmp_path):
    begun, _, states = run_from_atoms
    state, history = next(found for found in states if found[0].checkpoint.words.get("fit", {}).get("taken", 0) > 1)
    words = state.checkpoint.words
    at = words["plain"]["step"] + words["fit"]["taken"]
    later = np.concatenate([history, [[at + 0.5, 1.0, 0.1], [at + 1, 0.9, 0.1]]])
    way = going_on(replace(begun, state=state, history=later), tmp_path)
    assert way.history[:, 0].max() <= at
    np.testing.assert_array_equal(way.history, history[history[:, 0] <= at])


def test_other_code_goes_on_from_the_atoms_and_so_does_a_run_that_ended(run_from_atoms, tmp_path):
    begun, result, states = run_from_atoms
    state, _ = states[-1]
    checkpoint = Checkpoint(state.checkpoint.numbers, {**state.checkpoint.words, "code": "0.0.0 0123"})
    path = tmp_path / "a.lot.h5"
    for session in (replace(begun, state=replace(state, checkpoint=checkpoint)), replace(begun, result=result)):
        way = going_on(session, path)
        assert way.checkpoint is None
        assert len(way.history) == 0
        assert way.settings.start.kind == str(path)
        assert way.start is session.orbitals
    assert way.series.center_px == result.center_px
    grid = settings_from_dict(SETTINGS)
    way = going_on(Session(begun.series, grid, state=replace(state, stage="positions", checkpoint=checkpoint)), path)
    assert (way.start, way.checkpoint, way.settings) == (None, None, grid), "its orbitals were no atoms yet"


@pytest.mark.parametrize("stage", ["heights", "positions", "merge", "refine", "polish"])
def test_a_run_that_was_ended_early_goes_on_to_the_result_of_one_that_was_not(stage, unbroken, tmp_path, monkeypatch):
    for interval in ("SNAPSHOT_INTERVAL_S", "SLOWEST_INTERVAL_S"):
        monkeypatch.setattr(lot_run, interval, 0.0)
    monkeypatch.setattr(reconstruct, "CHECKPOINT_S", 0.0)
    series, settings = unbroken.series, unbroken.settings
    control, history, job = Control(), [], Job(series, settings)
    for snapshot in job.run(control):
        history.append((snapshot.step, snapshot.loss, float(np.nansum(snapshot.r_factor))))
        if snapshot.stage == stage:
            control.finish()
    assert job.result.stop_reason == "finished early"
    assert len(job.result.orbitals)
    assert not np.array_equal(job.result.orbitals.positions, unbroken.result.orbitals.positions)
    path = tmp_path / "a.lot.h5"
    write_session(path, Session(series, settings, job.result, history=np.array(history)))
    way = going_on(read_session(path), path)
    assert way.checkpoint is not None
    assert len(way.history) <= len(history)
    again = Job(way.series, way.settings, way.start, way.checkpoint)
    list(again.run())
    assert again.result.stop_reason == "converged"
    np.testing.assert_array_equal(again.result.orbitals.positions, unbroken.result.orbitals.positions)
    np.testing.assert_array_equal(again.result.calculated, unbroken.result.calculated)
    took = dict(again.result.wall_seconds)
    assert took.pop("total") == pytest.approx(sum(took.values()))
    assert took["between"] > 0


def test_atoms_of_a_run_that_was_ended_early_may_be_changed_and_are_gone_on_with_then(unbroken, tmp_path):
    control, job = Control(), Job(unbroken.series, unbroken.settings)
    for snapshot in job.run(control):
        if snapshot.stage == "refine" and snapshot.checkpoint is not None:
            control.finish()
    assert job.result.checkpoint is not None
    fit = LocalFit(unbroken.series, job.result)
    fit.apply(fit.keep(int(job.result.orbitals.id[1])))
    assert fit.changed_result().checkpoint is job.result.checkpoint, "all atoms are as they were"
    fit.apply(fit.delete(int(job.result.orbitals.id[0])))
    changed = fit.changed_result(decisions=[{"what": "delete"}])
    way = going_on(Session(unbroken.series, unbroken.settings, changed), tmp_path / "a.lot.h5")
    assert way.checkpoint is None
    assert len(way.start) == len(job.result.orbitals) - 1
    fit.undo()
    assert fit.changed_result().checkpoint is job.result.checkpoint


def test_an_edit_that_the_solver_never_got_is_what_is_gone_on_with(run_from_atoms, tmp_path):
    begun, _, states = run_from_atoms
    state, _ = states[-1]
    autosave = Autosave(tmp_path / "a.lot.h5", replace(begun, state=state))
    autosave._written = state
    edited = replace(state.orbitals, positions=state.orbitals.positions + 0.1)
    autosave.keep_last(edited)
    way = going_on(read_session(autosave.path), autosave.path)
    assert way.checkpoint is None
    np.testing.assert_array_equal(way.start.positions, edited.positions)


def test_how_a_run_goes_on_is_said(run_from_atoms, tmp_path):
    begun, result, states = run_from_atoms
    path, state = tmp_path / "a.lot.h5", states[-1][0]

    def said(**changes):
        session = replace(begun, **changes)
        return how_it_goes_on(session, going_on(session, path))

    assert said(state=state) == f"Going on exactly after pass {state.checkpoint.words['plain']['step']}."
    assert said(result=result) == "This run had come to its end: its atoms are refined."
    early = replace(result, stop_reason="finished early", checkpoint=state.checkpoint)
    assert said(result=early).startswith("Going on exactly after pass")
    other = Checkpoint(state.checkpoint.numbers, {**state.checkpoint.words, "code": "0"})
    unknown = "Where this run was is not in its file, or was written by other code: its atoms are refined."
    assert said(state=replace(state, checkpoint=other)) == unknown
    assert said(result=replace(early, checkpoint=other)) == unknown
    by_hand = "Atoms of this run were changed by hand: it goes on from these"
    assert said(result=replace(early, checkpoint=None), notes={"edits": [{"removed": 1}]}).startswith(by_hand)
    assert said(result=result, notes={"decisions": [{"what": "delete"}]}).startswith(by_hand)
