"""Atoms of a paused run, edited by hand: what the solver makes of it, and what it says of edits that it cannot take."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import short_run
from scipy.spatial import cKDTree
from tiny import make_state

from napari_lot.analysis.doubts_queue import asked_words
from napari_lot.atoms import Orbitals
from napari_lot.edit import Candidates, difference
from napari_lot.errors import InputError
from napari_lot.job import Control, Job
from napari_lot.lot.adam import Adam
from napari_lot.lot.editing import ByHand, apply_edit
from napari_lot.report import make_report, to_plain
from napari_lot.settings import settings_from_dict

SPACING = 2.775
# Enough to become all atoms of the particle.
SHORT = short_run.SHORT | {"birth_rounds": 4, "birth_steps": 8, "polish_steps": 30}


@pytest.fixture(scope="module")
def particle():
    return short_run.small_particle()


@pytest.fixture(scope="module")
def series(particle):
    return short_run.noisy_series(particle)


def run(series, stage, *actions, solver=None, start=None):
    """Run to the end; in every pause, the first at ``stage``, one of ``actions(control)`` is done.

    To "birth" it begins with atoms near their places and one twice: where births begin after a grid, some are none.
    """
    if stage == "birth" and start is None:
        start = one_twice(short_run.small_particle())
        solver = {"melt_rounds": 0, **(solver or {})}  # which would mend the double before
    values = {"model": {"probe": "direct", "elements": ["Pt"]}, "solver": {**SHORT, **(solver or {})}}
    job, control = Job(series, settings_from_dict(values), start=start), Control()
    todo, failed, stages = list(actions), [], []

    def act():
        while todo:
            if not wait_for(lambda: control.is_paused):
                return
            try:
                todo.pop(0)(control)
            except BaseException as error:
                failed.append(error)
                control.cancel()
            if control.stop_request:
                return
            if todo:
                again.set()
            control.resume()
            wait_for(lambda: not control.is_paused)

    again = threading.Event()
    person = threading.Thread(target=act, daemon=True)
    person.start()
    paused = False
    for snapshot in job.run(control):
        stages.append(snapshot.stage)
        if (snapshot.stage == stage and not paused) or again.is_set():
            paused = True
            again.clear()
            control.pause()
    person.join(10)
    if failed:
        raise failed[0]
    assert not todo, f"not every action had its pause; the stages were {sorted(set(stages))}"
    return job


def test_a_pause_is_no_time_of_the_run(series):
    began = time.perf_counter()
    job = run(series, "refine", lambda control: time.sleep(3.0))
    whole = time.perf_counter() - began
    seconds = job.result.wall_seconds
    assert 3.0 <= seconds["paused"] < 4.0
    assert seconds["total"] <= whole - seconds["paused"]
    assert sum(s for stage, s in seconds.items() if stage not in ("total", "paused")) <= seconds["total"]
    assert f"{seconds['total']:.1f} s." in job.result.message


def one_twice(atoms):
    """The atoms near their places, and the last of them in two halves: there is something to merge."""
    places = atoms.positions + np.random.default_rng(0).normal(0, 0.05, (len(atoms), 3))
    places, height = np.concatenate([places, places[-1:]]), np.append(atoms.height, atoms.height[-1] / 2)
    places[-2:] += [[0.5, 0, 0], [-0.5, 0, 0]]
    height[-2] /= 2
    return Orbitals.create(places, height, np.append(atoms.width, atoms.width[-1]), elements=atoms.elements)


def wait_for(condition, seconds=60.0):
    tick = threading.Event()
    for _ in range(int(seconds / 0.005)):
        if condition():
            return True
        tick.wait(0.005)
    return False


def nearest(found, point):
    distance, row = cKDTree(found.positions).query(point)
    return float(distance), int(found.id[row])


def without(atoms, row):
    return atoms.take(np.delete(np.arange(len(atoms)), row))


def with_new(atoms, point):
    new = Orbitals.create([point], elements=atoms.elements, id=[-1])
    return replace(
        atoms,
        **{
            name: np.concatenate([getattr(atoms, name), getattr(new, name)])
            for name in ("positions", "height", "width", "species", "id")
        },
    )


# -- with the real solver ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["birth", "polish"])
def test_what_is_removed_stays_away_although_the_images_show_it(series, particle, stage):
    removed = {}

    def remove(control):
        atoms = control.held.orbitals
        row = int(np.argmin(np.linalg.norm(atoms.positions, axis=1)))
        removed["id"], removed["at"] = int(atoms.id[row]), atoms.positions[row]
        edit = control.edit(without(atoms, row))
        assert edit.counts == (0, 0, 1)

    job = run(series, stage, remove)
    found = job.result.orbitals
    assert job.result.stop_reason == "converged"
    assert removed["id"] not in found.id
    assert len(found) == len(particle) - 1
    assert nearest(found, removed["at"])[0] > 0.25 * SPACING
    log = job.result.details["edits"]
    assert [(len(e["added"]), len(e["moved"]), len(e["removed"])) for e in log] == [(0, 0, 1)]
    assert log[0]["removed"][0][0] == removed["id"]
    assert log[0]["stage"] == stage
    assert "By hand: 0 added, 0 moved, 1 removed." in job.result.message
    ((x, y, z, significance),) = job.result.details["asked_for"]
    assert np.linalg.norm(np.array([x, y, z]) - removed["at"]) < 0.3 * SPACING
    assert significance > 4
    assert asked_words(job.result, SPACING).startswith("The residual asks for an atom that is not there: x ")
    report = make_report(job.series, job.result, {})
    assert json.loads(json.dumps(report["edits"])) == to_plain(log)
    assert "edits" not in report["details"]


def test_without_the_closed_place_the_atom_would_be_born_again(series, particle, monkeypatch):
    """What the test above rests on: the images do ask for it."""
    monkeypatch.setattr(ByHand, "is_open", lambda self, points: np.ones(len(points), bool))

    def remove(control):
        atoms = control.held.orbitals
        control.edit(without(atoms, int(np.argmin(np.linalg.norm(atoms.positions, axis=1)))))

    assert len(run(series, "birth", remove).result.orbitals) == len(particle)


def test_a_removed_atom_is_among_the_candidates_and_comes_back_when_it_is_added(series, particle):
    kept = {}

    def remove_and_look(control):
        atoms = control.held.orbitals
        row = int(np.argmin(np.linalg.norm(atoms.positions, axis=1)))
        kept["at"] = atoms.positions[row]
        control.ask_candidates(without(atoms, row))
        assert wait_for(lambda: keep_answer(control, kept))
        assert isinstance(kept["candidates"], Candidates)
        control.edit(without(atoms, row))

    def add(control):
        atoms = control.held.orbitals
        control.edit(with_new(atoms, kept["candidates"].positions[0]))

    job = run(series, "birth", remove_and_look, add)
    candidates, found = kept["candidates"], job.result.orbitals
    # about as high as an atom, and none of its side lobes
    assert len(candidates) == 1
    assert np.linalg.norm(candidates.positions[0] - kept["at"]) < 0.3 * SPACING
    assert candidates.height[0] == pytest.approx(np.median(found.height), rel=0.4)
    assert len(found) == len(particle)
    offset = found.positions.mean(0) - particle.positions.mean(0)
    distance, which = cKDTree(particle.positions).query(found.positions - offset)
    assert sorted(which) == list(range(30))
    assert np.sqrt((distance**2).mean()) < 0.03
    assert nearest(found, kept["at"])[0] < 0.1
    assert [len(e["added"]) for e in job.result.details["edits"]] == [0, 1]
    assert job.result.details["edits"][1]["added"][0][0] == nearest(found, kept["at"])[1], "its id is in the log"


def keep_answer(control, kept):
    found = control.candidates()
    if found is not None:
        kept["candidates"] = found
    return found is not None


def test_looking_for_candidates_changes_nothing(series):
    def look(control):
        kept = {}
        control.ask_candidates(control.held.orbitals)
        assert wait_for(lambda: keep_answer(control, kept))
        assert isinstance(kept["candidates"], Candidates)

    a, b = run(series, "birth", look), run(series, "birth", lambda control: None)
    np.testing.assert_array_equal(a.result.orbitals.positions, b.result.orbitals.positions)
    np.testing.assert_array_equal(a.result.r_factor, b.result.r_factor)
    assert a.result.details["edits"] == []
    assert "By hand" not in a.result.message


def test_a_moved_atom_keeps_its_id_and_goes_where_the_images_want_it(series, particle):
    kept = {}

    def move(control):
        atoms = control.held.orbitals
        row = int(np.argmin(np.linalg.norm(atoms.positions, axis=1)))
        kept["id"], kept["at"] = int(atoms.id[row]), atoms.positions[row].copy()
        positions = atoms.positions.copy()
        positions[row] += (0.5, -0.4, 0.5)
        assert control.edit(replace(atoms, positions=positions)).counts == (0, 1, 0)

    job = run(series, "birth", move)
    distance, name = nearest(job.result.orbitals, kept["at"])
    assert (distance < 0.1, name) == (True, kept["id"])
    assert len(job.result.orbitals) == len(particle)


def test_a_false_atom_is_fitted_before_it_is_judged_and_then_goes(series, particle):
    kept = {}

    def add(control):
        atoms = control.held.orbitals
        # where there is none: the middle of the largest hole inside
        grid = np.stack(np.meshgrid(*[np.arange(-5, 5, 0.5)] * 3), -1).reshape(-1, 3)
        kept["at"] = grid[np.argmax(cKDTree(atoms.positions).query(grid)[0] - 0.3 * np.linalg.norm(grid, axis=1))]
        edit = control.edit(with_new(atoms, kept["at"]))
        assert edit.counts == (1, 0, 0)

    job = run(series, "refine", add)
    assert len(job.result.orbitals) == len(particle), "what the images do not ask for goes, as any other atom does"
    log = job.result.details["log"]
    added = next(i for i, line in enumerate(log) if line.startswith("by hand"))
    assert any(line.startswith("deaths") for line in log[added:])


def test_finishing_in_a_pause_keeps_the_edit(series):
    kept = {}

    def edit_and_finish(control):
        atoms = control.held.orbitals
        row = int(np.argmin(np.linalg.norm(atoms.positions, axis=1)))
        kept["id"], kept["n"] = int(atoms.id[row]), len(atoms)
        control.edit(without(atoms, row))
        control.finish()

    job = run(series, "birth", edit_and_finish)
    assert job.result.stop_reason == "finished early"
    assert kept["id"] not in job.result.orbitals.id
    assert len(job.result.orbitals) == kept["n"] - 1
    assert len(job.result.details["edits"]) == 1


def test_cancelling_in_a_pause_leaves_nothing(series):
    def edit_and_cancel(control):
        control.edit(without(control.held.orbitals, 0))
        control.cancel()

    job = run(series, "birth", edit_and_cancel)
    assert (job.result, job.stop_reason) == (None, "cancelled")


@pytest.mark.parametrize("stage", ["positions", "merge"])
def test_a_grid_of_orbitals_cannot_be_edited_and_that_is_said(series, stage):
    seen = {}

    def look(control):
        held = control.held
        seen["why"], seen["n"] = held.refusal, len(held.orbitals)
        with pytest.raises(InputError, match="several orbitals still stand for one atom"):
            control.edit(held.orbitals)

    run(series, stage, look)
    assert "pause again" in seen["why"]
    assert seen["n"] > 100


def test_edits_of_given_atoms_are_taken_as_well(series, particle):
    def remove(control):
        control.edit(without(control.held.orbitals, 0))

    job = run(series, "polish", remove, start=particle)
    assert len(job.result.orbitals) == len(particle) - 1
    assert len(job.result.details["edits"]) == 1


# -- Control ------------------------------------------------------------------------------------------------------


def test_an_edit_needs_a_pause():
    control = Control()
    with pytest.raises(InputError, match="not paused"):
        control.edit(Orbitals.create(np.zeros((1, 3))))
    assert control.take_edit() is None


# -- what was changed ---------------------------------------------------------------------------------------------


def atoms(n=4):
    return Orbitals.create(3.0 * np.arange(3 * n).reshape(n, 3), 1.0, 0.5, 0, ("Pt",), id=10 + np.arange(n))


def test_differences_are_told_by_the_ids():
    before = atoms()
    positions = before.positions.copy()
    positions[2, 0] += 1.0
    after = with_new(replace(before, positions=positions), (50.0, 0, 0)).take([4, 3, 2, 0])
    edit = difference(before, after)
    assert edit.counts == (1, 1, 1)
    assert edit.removed.tolist() == [11]
    np.testing.assert_array_equal(edit.removed_from, before.positions[[1]])
    assert edit.moved.tolist() == [12]
    np.testing.assert_array_equal(edit.moved_to, positions[[2]])
    np.testing.assert_array_equal(edit.added, [[50.0, 0, 0]])
    assert edit.words == "1 added, 1 moved, 1 removed"
    assert not difference(before, before)


def test_a_copy_of_an_atom_is_a_new_one():
    before = atoms()
    copied = before.take([0, 1, 2, 3, 1])
    positions = copied.positions.copy()
    positions[1, 0] += 2.0  # the original moved, the copy left in its place: the nearest is the atom
    edit = difference(before, replace(copied, positions=positions))
    assert edit.counts == (1, 0, 0)
    np.testing.assert_array_equal(edit.added, positions[[1]])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda a: a.take([]), "none is left"),
        (lambda a: with_new(a, (np.nan, 0, 0)), "no finite number"),
        (lambda a: with_new(a, a.positions[2] + 0.1), "within 0.3 Å"),
        (lambda a: with_new(a, (900.0, 0, 0)), "outside of what the tilts show"),
    ],
)
def test_an_edit_that_cannot_be_used_is_one_sentence(change, says):
    with pytest.raises(InputError, match=says):
        difference(atoms(), change(atoms()), lambda points: np.abs(points).max(1) < 100)


def test_atoms_that_the_run_itself_has_brought_together_are_no_fault_of_the_edit():
    close = replace(atoms(), positions=np.array([[0.0, 0, 0], [0.1, 0, 0], [6, 0, 0], [9, 0, 0]]))
    assert difference(close, without(close, 3)).counts == (0, 0, 1)


def test_the_candidate_near_a_click_is_the_most_significant_in_reach():
    found = Candidates(np.zeros((3, 3)), np.ones(3), np.array([5.0, 9.0, 20.0]))
    places = np.array([[0.0, 0.2], [0.3, 0.0], [5.0, 5.0]])
    assert found.near(places, (0.0, 0.0), 1.0) == 1
    assert found.near(places, (4.5, 5.0), 1.0) == 2
    assert found.near(places, (-5.0, 0.0), 1.0) is None


# -- the state ----------------------------------------------------------------------------------------------------


def edit_of(state, **changes):
    before = Orbitals.create(state.positions, elements=("Pt", "Co"), id=state.ids)
    return difference(before, changes["after"](before))


def test_a_state_keeps_what_was_not_touched():
    state = make_state()
    state.own_width = np.linspace(0, 0.04, 5)
    untouched = state.copy()
    by_hand = ByHand(2.5)
    edit = edit_of(state, after=lambda a: with_new(without(a, 1), (6.0, 6, 6)))
    new = by_hand.make(edit, state, "birth", 3)
    assert new.ids.tolist() == [0, 2, 3, 4, 5]
    assert new.next_id == 6
    kept = [0, 2, 3, 4]
    for name in ("positions", "height", "species", "own_width"):
        np.testing.assert_array_equal(getattr(new, name)[:4], getattr(state, name)[kept])
        np.testing.assert_array_equal(getattr(state, name), getattr(untouched, name))
    assert new.height[4] == pytest.approx(np.median(state.height[kept]))
    assert new.own_width[4] == 0
    assert by_hand.is_open(state.positions).tolist() == [True, False, True, True, True]
    # an older state has the same done to it, with the same ids
    np.testing.assert_array_equal(by_hand.again(state, 0).ids, new.ids)
    assert by_hand.again(state, 1) is state
    # somebody who puts an atom there opens the place again
    by_hand.make(edit_of(new, after=lambda a: with_new(a, state.positions[1])), new, "birth", 4)
    assert by_hand.is_open(state.positions).all()


def test_a_new_atom_is_of_the_most_common_species_or_of_the_one_that_is_said():
    state = make_state()
    state.species, state.width = np.array([0, 1, 1, 1, 0]), np.array([0.6, 0.5])
    edit = edit_of(state, after=lambda a: with_new(replace(a, species=state.species), (6.0, 6, 6)))
    assert apply_edit(state, replace(edit, added_species=np.array([-1])), 5).species[-1] == 1
    said = apply_edit(state, edit, 5)
    assert said.species[-1] == 0
    assert said.height[-1] == pytest.approx(np.median(state.height[[0, 4]]))


def test_what_adam_knows_of_a_moved_row_is_forgotten():
    fresh, used = Adam(), Adam()
    gradient = np.array([[1.0], [2.0], [-3.0]])
    for _ in range(4):
        used.step("height", 5 * gradient, 0.1, 3)
    used.forget(("height",), np.array([False, True, False]))
    first = fresh.step("height", gradient, 0.1, 3)
    next_ = used.step("height", gradient, 0.1, 3)
    assert next_[1] == pytest.approx(first[1])
    assert abs(next_[0] - first[0]) > 1e-3
