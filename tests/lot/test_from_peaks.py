"""A fit that begins with the peaks of a volume which the run reconstructs itself."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from short_run import SHORT, assert_complete, noisy_series, small_particle

from napari_lot.control import Control
from napari_lot.errors import InputError
from napari_lot.export.methods import methods_text
from napari_lot.job import Job
from napari_lot.peaks_start import voxel_settings_of
from napari_lot.settings import settings_from_dict

LENS = {"energy_eV": 300e3, "semiangle_mrad": 25.0}
LONG = {"peaks_iterations": 10_000}


def settings(start=None, tracing=None, probe="direct", data=None, **solver):
    return settings_from_dict(
        {
            "model": {"probe": probe, "elements": ["Pt"]},
            "microscope": LENS,
            "solver": {"threads": 2, "device": "cpu", **solver},
            "start": {"kind": "peaks", "peaks_iterations": 40, **(start or {})},
            "tracing": tracing or {},
            "data": data or {},
        }
    )


@pytest.fixture(scope="module")
def particle():
    return small_particle()


@pytest.fixture(scope="module")
def series(particle):
    return noisy_series(particle)


def finished(job, control=None):
    return list(job.run(control))


def test_a_particle_is_found_completely(particle, series):
    job = Job(series, settings())
    seen = finished(job)
    stages = list(dict.fromkeys(snapshot.stage for snapshot in seen))
    assert stages[:2] == ["peaks", "prepare"]
    assert stages[-1] == "finished"
    assert not {"heights", "positions", "merge"} & set(stages), "there is no grid to condense"
    assert all(not len(snapshot.orbitals) for snapshot in seen if snapshot.stage == "peaks")
    assert "SIRT" in seen[0].message
    steps = [snapshot.step for snapshot in seen]
    assert steps == sorted(steps)
    assert all(snapshot.step <= snapshot.steps_total for snapshot in seen)
    times = [snapshot.elapsed_s for snapshot in seen]
    assert times == sorted(times)
    result = job.result
    assert result.stop_reason == "converged"
    assert_complete(result.orbitals, particle, rmsd_A=0.03)
    np.testing.assert_allclose(result.orbitals.width, 0.6, atol=0.02)
    peaks = result.details["peaks"]
    assert (peaks["method"], peaks["iterations"]) == ("sirt", 40)
    assert 25 <= peaks["atoms"] <= 45
    assert 0 < peaks["r_factor"] < 0.3
    seconds = result.wall_seconds
    assert 0 < seconds["peaks"] < seconds["total"]
    assert sum(v for k, v in seconds.items() if k != "total") < 1.001 * seconds["total"]
    words = "peaks of a volume of voxels of 0.4 Å, reconstructed from the same tilt series by simultaneous iterative"
    assert words in methods_text(series, result)


def test_the_volume_and_the_fit_have_one_frame(particle, series):
    """Drift and a centre that nobody knows: both find them by themselves."""
    rng = np.random.default_rng(2)
    moves = rng.integers(-3, 4, (len(series), 2)) + np.array([2, -3])
    images = np.stack([np.roll(image, tuple(move), (0, 1)) for image, move in zip(series.images, moves, strict=True)])
    job = Job(series.with_changes(images=images), settings())
    finished(job)
    assert_complete(job.result.orbitals, particle, rmsd_A=0.03)


def test_births_complete_what_the_peaks_missed(particle, series):
    """Half a particle is traced only: the rest comes with the fit."""
    half = {"within_A": [-50, 1.5, -50, 50, -50, 50]}
    job = Job(series, settings(tracing=half))
    finished(job)
    assert job.result.details["peaks"]["atoms"] <= 24
    assert_complete(job.result.orbitals, particle, rmsd_A=0.03)


def test_deaths_take_away_what_is_no_atom(particle, series):
    everything = {"threshold": 0.05, "min_distance_A": 1.0, "blur_A": 0.0, "fit": "none"}
    job = Job(series, settings(tracing=everything))
    finished(job)
    assert job.result.details["peaks"]["atoms"] > 34
    assert_complete(job.result.orbitals, particle, rmsd_A=0.03)


def test_it_repeats_and_goes_on_to_the_same_result(series):
    asked = settings(**SHORT | {"threads": 2})
    first = Job(series, asked)
    seen = finished(first)
    midway = [snapshot.checkpoint for snapshot in seen if snapshot.checkpoint is not None]
    second = Job(series, asked, checkpoint=midway[len(midway) // 2])
    finished(second)
    np.testing.assert_array_equal(first.result.orbitals.positions, second.result.orbitals.positions)
    np.testing.assert_array_equal(first.result.calculated, second.result.calculated)
    assert finished(first)[0].stage == "peaks", "a job can be run again"
    np.testing.assert_array_equal(first.result.orbitals.positions, second.result.orbitals.positions)


def test_cancel_keeps_nothing(series):
    control, job = Control(), Job(series, settings(LONG))
    seen = []
    for snapshot in job.run(control):
        seen.append(snapshot)
        if snapshot.step >= 2:
            control.cancel()
    assert {snapshot.stage for snapshot in seen} == {"peaks", "finished"}
    assert job.result is None
    assert job.stop_reason == "cancelled"


def test_finish_keeps_the_atoms_of_the_volume_that_there_is(series, particle):
    control, job = Control(), Job(series, settings(LONG))
    for snapshot in job.run(control):
        if snapshot.stage == "peaks" and snapshot.step >= 20:
            control.finish()
    assert job.result.stop_reason == "finished early"
    assert 20 <= job.result.details["peaks"]["iterations"] < 10_000
    assert abs(len(job.result.orbitals) - len(particle)) <= 10


def test_a_pause_holds_the_volume_and_is_not_counted(series):
    control, job = Control(), Job(series, settings(**SHORT | {"threads": 2}))
    control.pause()
    began = time.perf_counter()
    timer = threading.Timer(1.0, control.resume)
    timer.start()
    finished(job, control)
    seconds = job.result.wall_seconds
    assert seconds["paused"] > 0.7
    assert sum(v for k, v in seconds.items() if k not in ("total", "paused")) < 1.001 * seconds["total"]
    assert seconds["total"] + seconds["paused"] < 1.05 * (time.perf_counter() - began)


def test_a_time_limit_leaves_time_for_the_fit(series):
    job = Job(series, settings(LONG, max_minutes=0.1))
    finished(job)
    assert job.result.details["peaks"]["iterations"] < 10_000
    assert job.result.wall_seconds["peaks"] < 5.0
    assert len(job.result.orbitals) > 20


def test_a_volume_without_atoms_is_told_in_a_sentence(series):
    nowhere = {"within_A": [90, 91, 90, 91, 90, 91]}
    with pytest.raises(InputError, match=r"no atoms among the peaks of the volume .*take --start grid"):
        finished(Job(series, settings(tracing=nowhere)))


def test_settings_of_the_volume_are_those_of_the_run(monkeypatch):
    asked = settings(data={"withhold": 7, "exclude": [3], "tilt_weights": "1=0.5, 2=0"}, max_minutes=2)
    found = voxel_settings_of(asked, 0.1, 2.8)
    assert (found.grid.bin, found.grid.align, found.grid.max_minutes) == (4, True, 1.0)
    assert (found.data.withhold, found.data.exclude, found.data.tilt_weights) == (7, (), ())
    assert (found.method.iterations, found.method.threads, found.method.device) == (40, 2, "cpu")
    assert voxel_settings_of(settings({"peaks_bin": 2}), 0.1, 2.8).grid.bin == 2
    assert not voxel_settings_of(settings(fix=["shifts"]), 0.1, 2.8).grid.align
    other = settings({"peaks_method": "genfire", "peaks_iterations": None}, device="auto")
    assert voxel_settings_of(other, 0.4, 2.8).method.iterations == 20
    with pytest.raises(InputError, match=r"start.peaks_iterations: wbp has no iterations"):
        voxel_settings_of(settings({"peaks_method": "wbp"}), 0.4, 2.8)


def test_several_processes_are_refused(series, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="--start peaks: the volume is reconstructed in one process"):
        Job(series, settings())


def test_atoms_that_are_given_take_the_place_of_the_peaks(series, particle):
    job = Job(series, settings(**SHORT | {"threads": 2}), start=particle)
    assert finished(job)[0].stage == "prepare"
    assert job.start is particle
