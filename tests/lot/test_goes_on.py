"""A run that was broken off goes on from what was saved of it, to the same result bit by bit."""

import numpy as np
import pytest
from short_run import SHORT, noisy_series, small_particle

from napari_lot.edit import Edit
from napari_lot.errors import InputError
from napari_lot.job import Control, Job
from napari_lot.lot import reconstruct
from napari_lot.lot import run as lot_run
from napari_lot.lot.population_fit import PopulationFit
from napari_lot.result import Checkpoint
from napari_lot.session import RunState, Session, read_session, write_session
from napari_lot.settings import settings_from_dict

LENS = {"energy_eV": 300e3, "semiangle_mrad": 25.0, "defocus_A": 20.0}
CASES = {
    "direct": {"model": {"probe": "direct", "elements": ["Pt"]}, "solver": SHORT},
    # places that are fitted by themselves
    "melting": {
        "model": {"probe": "direct", "elements": ["Pt"]},
        "solver": {**SHORT, "weak": 0.95, "melt_part": 1.0},
    },
    # a finer canvas, a lens that is fitted, corrected probes, species, a shape of their own, foci
    "everything": {
        "model": {"probe": "adaptive", "elements": ["Pt", "Au"], "spacing_A": 2.77, "orbital": "learnt"},
        "microscope": LENS,
        "solver": {**SHORT, "aliasing": 0.001, "tilt_defocus_A": 10.0, "probe_rounds": 2},
    },
}


class RemovesOne(Control):
    """Somebody who takes an atom away as soon as there are atoms."""

    def __init__(self):
        super().__init__()
        self.edit_of, self.done = None, False

    def take_edit(self):
        found, self.edit_of = self.edit_of, None
        return found

    def see(self, snapshot):
        if snapshot.stage == "refine" and not self.done:
            self.done, atoms = True, snapshot.orbitals
            self.edit_of = Edit(removed=atoms.id[:1], removed_from=atoms.positions[:1])


def run_with_saves(series, settings, monkeypatch, control=None):
    """A run that nobody breaks off, and what it would have left after each pass and fit."""
    for interval in ("SNAPSHOT_INTERVAL_S", "SLOWEST_INTERVAL_S"):
        monkeypatch.setattr(lot_run, interval, 0.0)
    monkeypatch.setattr(reconstruct, "CHECKPOINT_S", 0.0)
    job, states = Job(series, settings), {}
    for snapshot in job.run(control):
        if control is not None:
            control.see(snapshot)
        if snapshot.checkpoint is not None:
            words = snapshot.checkpoint.words
            states.setdefault((len(words["road"]), words.get("fit", {}).get("taken", 0)), RunState.of(snapshot))
    return job.result, list(states.values())


def assert_same(a, b):
    for name in ("positions", "height", "width", "species", "id"):
        np.testing.assert_array_equal(getattr(a.orbitals, name), getattr(b.orbitals, name), name)
    names = ("r_factor", "shifts_px", "scale", "background", "calculated", "sigma_A", "p_exists", "p_element")
    for name in names:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), name)
    np.testing.assert_array_equal(a.probe.images, b.probe.images)
    assert (a.warnings, a.details["log"]) == (b.warnings, b.details["log"])


@pytest.mark.parametrize("name", ["direct", "melting", pytest.param("everything", marks=pytest.mark.slow)])
def test_a_run_goes_on_to_the_same_result(name, tmp_path, monkeypatch):
    settings = settings_from_dict({**CASES[name], "solver": {"threads": 1, **CASES[name]["solver"]}})
    series = noisy_series(small_particle(), settings.microscope if name == "everything" else None)
    if name == "melting":  # the innermost one, whatever has become of it

        def odd(fit):
            distance = np.linalg.norm(fit.state.positions, axis=1)
            return distance == distance.min(initial=np.inf)

        monkeypatch.setattr(PopulationFit, "_odd", odd)
    whole, states = run_with_saves(series, settings, monkeypatch)
    assert {"positions", "merge", "refine", "polish"} <= {state.stage for state in states}
    in_fits = [state for state in states if "fit" in state.checkpoint.words]
    states = [state for state in states if "fit" not in state.checkpoint.words]
    chosen = {0, *np.linspace(1, len(states) - 1, 3).astype(int)}
    if name == "melting":
        molten = [k for k, state in enumerate(states) if "aside" in state.checkpoint.words["next_id"]]
        chosen = {molten[0], molten[-1]}
    # the first and the last step of a fit, and one in between
    some_fits = [in_fits[k] for k in (0, len(in_fits) // 2, -1)]
    some_fits += [state for state in in_fits if "aside" in state.checkpoint.words["next_id"]][1:2]
    assert len(some_fits) == (4 if name == "melting" else 3)
    for k, state in enumerate([*(states[k] for k in sorted(chosen)), *some_fits]):
        path = tmp_path / f"{k}.lot.h5"
        write_session(path, Session(series, settings, state=state))
        saved = read_session(path)
        job = Job(saved.series, saved.settings, checkpoint=saved.state.checkpoint)
        steps = [snapshot.step for snapshot in job.run()]
        assert steps[1] >= state.step, f"{state.stage}: nothing is done twice"
        assert_same(job.result, whole)
    other = dict(states[3].checkpoint.words, road=[("fit polish", None), *states[3].checkpoint.words["road"]])
    with pytest.raises(InputError, match="its settings or the program are others: give its file to --start"):
        list(Job(series, settings, checkpoint=Checkpoint(states[3].checkpoint.numbers, other)).run())


def test_a_checkpoint_that_is_damaged_is_told_of(monkeypatch):
    settings = settings_from_dict({**CASES["direct"], "solver": {"threads": 1, **SHORT}})
    series = noisy_series(small_particle())
    _, states = run_with_saves(series, settings, monkeypatch)
    whole = next(s.checkpoint for s in states if s.checkpoint.words.get("fit", {}).get("taken", 0) > 1)
    numbers, words = whole.numbers, whole.words
    broken = {name: values.copy() for name, values in numbers.items()}
    broken["state: positions"][0, 0] = np.nan
    damaged = [
        Checkpoint(broken, words),
        Checkpoint({n: v for n, v in numbers.items() if n != "state: height"}, words),
        Checkpoint({**numbers, "state: height": numbers["state: height"][:-1]}, words),
        Checkpoint({**numbers, "fit: gradient": numbers["fit: gradient"][:-1]}, words),
        Checkpoint({n: v for n, v in numbers.items() if n != "fit: step 0"}, words),
        Checkpoint(numbers, {n: v for n, v in words.items() if n != "plain"}),
    ]
    for checkpoint in damaged:
        with pytest.raises(InputError, match="for what its file says of that is damaged: give the file to --start"):
            list(Job(series, settings, checkpoint=checkpoint).run())


@pytest.mark.slow
def test_what_a_person_has_edited_stays_edited(monkeypatch):
    settings = settings_from_dict({**CASES["direct"], "solver": {"threads": 1, **SHORT}})
    series = noisy_series(small_particle())
    whole, states = run_with_saves(series, settings, monkeypatch, RemovesOne())
    assert len(whole.orbitals) == 29
    edited = [state for state in states if state.checkpoint.words["edits"]]
    job = Job(series, settings, checkpoint=edited[0].checkpoint)
    list(job.run())
    assert_same(job.result, whole)
    assert job.result.details["edits"] == whole.details["edits"]
    assert len(whole.details["edits"]) == 1
