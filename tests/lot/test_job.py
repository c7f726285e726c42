"""A whole run: what it finds, that it repeats, and that it does what its consumer asks."""

from __future__ import annotations

import copy
import re
import threading
import time
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import ndimage
from short_run import ANGLES, SHORT, assert_complete, noisy_series, small_particle

from napari_lot.atoms import Orbitals
from napari_lot.errors import InputError
from napari_lot.export.methods import methods_text
from napari_lot.job import Control, Job
from napari_lot.lot import fitting
from napari_lot.lot import prepare as lot_prepare
from napari_lot.lot import run as lot_run
from napari_lot.lot.caveats import NO_ATOMS_YET, unfinished
from napari_lot.lot.torch_threads import one_torch_thread
from napari_lot.report import make_report
from napari_lot.settings import settings_from_dict
from napari_lot.simulate.images import simulate_series
from napari_lot.simulate.particles import amorphous_sphere

LENS = {"energy_eV": 300e3, "semiangle_mrad": 25.0}


@pytest.fixture(scope="module")
def particle():
    return small_particle()


def make_series(particle, probe):
    return noisy_series(particle, lens(probe))


def lens(probe):
    return None if probe == "direct" else settings("rigid").microscope


def settings(probe="direct", **solver):
    return settings_from_dict(
        {"model": {"probe": probe, "elements": ["Pt"]}, "microscope": LENS, "solver": {"threads": 1, **solver}}
    )


@pytest.fixture(scope="module")
def direct(particle):
    return make_series(particle, "direct")


@pytest.fixture(scope="module")
def reference(direct):
    """A short run that nobody interferes with."""
    job = Job(direct, settings(**SHORT))
    list(job.run())
    assert np.nanmean(job.result.r_factor) < 0.3, "the comparisons are of atoms, not of ruins"
    return job.result


@pytest.fixture
def every_snapshot(monkeypatch):
    for interval in ("SNAPSHOT_INTERVAL_S", "SLOWEST_INTERVAL_S"):
        monkeypatch.setattr(lot_run, interval, 0.0)


def assert_same(a, b):
    for name in ("positions", "height", "width", "id"):
        np.testing.assert_array_equal(getattr(a.orbitals, name), getattr(b.orbitals, name), name)
    for name in ("r_factor", "shifts_px", "scale", "background", "calculated"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), name)


# -- what it finds --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("probe", ["direct", "rigid"])
def test_a_small_particle_is_found_completely_from_nothing(particle, probe):
    job = Job(make_series(particle, probe), settings(probe))
    stages = [snapshot.stage for snapshot in job.run()]
    assert (stages[0], stages[-1]) == ("prepare", "finished")
    assert job.result.stop_reason == "converged"
    found = job.result.orbitals
    assert_complete(found, particle, rmsd_A=0.03)
    np.testing.assert_allclose(found.height, 1.0, atol=0.1)
    np.testing.assert_allclose(found.width, 0.6, atol=0.02)
    np.testing.assert_allclose(job.result.background, 0.1, atol=0.02)
    assert len(set(found.id)) == 30
    residual = job.series.images - job.result.calculated
    np.testing.assert_array_equal(job.result.residual, residual)
    assert residual.std() == pytest.approx(0.01, rel=0.1), "only the noise is left"
    assert (job.result.tilts_seen == len(ANGLES)).all()


@pytest.mark.parametrize(("aliasing", "least_pm", "most_pm"), [({}, 0.0, 0.5), ({"aliasing": 1.0}, 1.5, 10.0)])
def test_pixels_too_coarse_for_the_probe_are_calculated_on_a_finer_grid(aliasing, least_pm, most_pm):
    narrow = amorphous_sphere("Pt", 11.0, 2.5, atoms=30, width_A=0.45, seed=3)
    series = simulate_series(narrow, ANGLES, 0.65, lens("rigid"), image_shape=(32, 34))
    job = Job(series, settings("rigid", **aliasing))
    list(job.run())
    found = job.result.orbitals
    assert_complete(found, narrow, rmsd_A=0.01 * most_pm)
    offset = found.positions.mean(0) - narrow.positions.mean(0)
    nearest = np.linalg.norm((found.positions - offset)[:, None] - narrow.positions, axis=2).min(1)
    assert 100 * np.sqrt((nearest**2).mean()) >= least_pm


@pytest.mark.parametrize(("elements", "complete"), [(["Pt", "Co"], True), (["Pt"], False)])
def test_weak_atoms_live_where_a_light_element_is_expected(particle, elements, complete):
    light = np.arange(30) % 3 == 0
    mixed = replace(particle, height=np.where(light, 0.2, 1.0))
    series = simulate_series(mixed, ANGLES, 0.4, None, image_shape=(48, 52))
    chosen = {"model": {"probe": "direct", "elements": elements, "spacing_A": 2.77}, "solver": {"threads": 1}}
    job = Job(series, settings_from_dict(chosen))
    list(job.run())
    if complete:
        assert_complete(job.result.orbitals, mixed, rmsd_A=0.03)
        drawn, atoms = job.result.details["mixture"], job.result.orbitals
        assert (drawn["elements"], drawn["counts"]) == (["Co", "Pt"], [10, 20])
        strength = np.pi * atoms.height * atoms.width**2
        own = [strength[np.array(atoms.symbols) == element].mean() for element in drawn["elements"]]
        np.testing.assert_allclose(drawn["mean"], own, rtol=0.01)
    else:
        assert len(job.result.orbitals) < 30, "the prior of one height and its thresholds rule them out"


def test_given_atoms_are_refined_and_keep_their_names(particle, direct):
    rng = np.random.default_rng(0)
    moved = particle.positions + rng.normal(0, 0.2, particle.positions.shape)
    start = Orbitals.create(moved, 123.0, 0.6, elements=("Pt",), id=np.arange(100, 130))
    before = copy.deepcopy(start)
    job = Job(direct, settings(), start)
    stages = {snapshot.stage for snapshot in job.run()}
    assert not stages & {"heights", "positions", "merge"}, "no grid"
    found = job.result.orbitals
    order = np.argsort(found.id)
    assert found.id[order].tolist() == list(range(100, 130))
    error = found.positions[order] - particle.positions
    assert np.sqrt(((error - error.mean(0)) ** 2).sum(1).mean()) < 0.03
    np.testing.assert_allclose(found.height, 1.0, atol=0.1)
    np.testing.assert_array_equal(start.positions, before.positions)


def test_a_tilt_left_out_has_no_influence(direct):
    clean = Job(direct, settings_from_dict({**settings(**SHORT).model_dump(), "data": {"exclude": [6, 13]}}))
    list(clean.run())
    damaged = direct.images.copy()
    damaged[6] = np.random.default_rng(1).uniform(-50, 50, damaged[6].shape)
    damaged[13] = np.nan
    series = direct.with_changes(images=damaged, excluded=(6, 13))
    job = Job(series, settings(**SHORT))
    list(job.run())
    for name in ("positions", "height", "width", "id"):
        np.testing.assert_array_equal(getattr(job.result.orbitals, name), getattr(clean.result.orbitals, name))
    others = np.delete(np.arange(len(ANGLES)), [6, 13])
    np.testing.assert_array_equal(job.result.calculated[others], clean.result.calculated[others])
    assert (job.result.tilts_seen <= len(others)).all()


def test_masked_pixels_have_no_influence(particle, direct):
    """A hole over the middle of the particle in some tilts, and a margin in all of them."""
    mask = np.ones(direct.images.shape, bool)
    mask[3:6, 16:32, 18:34] = False
    mask[:, :, :4] = False
    results = []
    for garbage in (0.0, 80.0):
        images = np.where(mask, direct.images, garbage).astype(np.float32)
        job = Job(direct.with_changes(images=images, mask=mask), settings(**SHORT))
        list(job.run())
        results.append(job.result)
    assert_same(*results)
    assert_complete(results[0].orbitals, particle, rmsd_A=0.02)
    np.testing.assert_allclose(results[0].scale, 1.0, atol=0.02)


# -- repeating --------------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_atoms_and_another_does_not(direct, reference):
    again = Job(direct, settings(**SHORT))
    list(again.run())
    assert_same(again.result, reference)
    other = Job(direct, settings(**SHORT, seed=1))
    list(other.run())
    assert not np.array_equal(other.result.orbitals.positions, reference.orbitals.positions)


def test_a_job_can_be_run_again(direct, reference):
    job = Job(direct, settings(**SHORT))
    run = job.run()
    next(run)
    run.close()
    assert job.result is None
    list(job.run())
    assert_same(job.result, reference)


def test_the_series_is_not_changed(direct, reference):
    before = direct.images.copy()
    list(Job(direct, settings(**SHORT)).run())
    np.testing.assert_array_equal(direct.images, before)


# -- control ----------------------------------------------------------------------------------------------------------


def test_pause_holds_and_resume_goes_on_to_the_same_result(direct, reference, every_snapshot):
    job, control, seen = Job(direct, settings(**SHORT)), Control(), []

    def work():
        for snapshot in job.run(control):
            seen.append(snapshot)
            if len(seen) == 5:
                control.pause()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    for _ in range(3000):
        if control.is_paused:
            break
        time.sleep(0.02)
    assert control.is_paused
    held = len(seen)
    time.sleep(0.3)
    assert len(seen) == held
    assert job.result is None
    control.resume()
    thread.join(60)
    assert not thread.is_alive()
    assert not control.is_paused
    assert_same(job.result, reference)


@pytest.mark.parametrize("stage", ["prepare", "heights", "merge", "polish"])
def test_finish_keeps_a_result(direct, every_snapshot, stage):
    job, control = Job(direct, settings(**SHORT)), Control()
    after = 0
    for snapshot in job.run(control):
        after += control.stop_request is not None
        if snapshot.stage == stage:
            control.finish()
    assert after <= 3, "soon"
    assert job.result.stop_reason == "finished early"
    assert len(job.result.orbitals) > 0
    assert np.isfinite(job.result.r_factor).all()
    assert len(snapshot.orbitals) == len(job.result.orbitals)


def test_finish_ends_a_pause(direct, every_snapshot):
    control = Control()
    control.pause()
    control.finish()
    job = Job(direct, settings(**SHORT))
    list(job.run(control))
    assert job.result.stop_reason == "finished early"


@pytest.mark.parametrize("stage", ["prepare", "merge"])
def test_cancel_leaves_nothing(direct, every_snapshot, stage):
    job, control = Job(direct, settings(**SHORT)), Control()
    for snapshot in job.run(control):
        if snapshot.stage == stage:
            control.cancel()
    assert snapshot.stage == "finished"
    assert job.result is None


def test_a_long_pass_is_told_of_in_parts(direct, every_snapshot, monkeypatch):
    monkeypatch.setattr(fitting, "PART", 200)
    job = Job(direct, settings(**SHORT))
    seen = [s for s in job.run() if s.stage in ("refine", "polish")]
    same = [b for a, b in pairwise(seen) if b.orbitals is a.orbitals]
    assert len(same) > 10
    assert all(0 < len(s.tilts) < len(ANGLES) for s in same), "new images of the same atoms"
    assert [s.step for s in seen] == sorted(s.step for s in seen)
    assert np.isfinite([s.loss for s in seen[1:]]).all()


def test_a_run_ends_in_the_midst_of_a_pass(direct, every_snapshot, monkeypatch):
    monkeypatch.setattr(fitting, "PART", 200)
    job, control, before = Job(direct, settings(**SHORT)), Control(), None
    for snapshot in job.run(control):
        if control.stop_request is None and before is not None and snapshot.orbitals is before.orbitals:
            control.finish()
            asked = snapshot
        elif control.stop_request is not None:
            break
        before = snapshot
    assert snapshot.stage == "finished", "the pass did not go on to its end"
    assert snapshot.step == asked.step
    assert job.result.stop_reason == "finished early"


def test_time_is_up(direct):
    job = Job(direct, settings(**SHORT, max_minutes=1e-6))
    list(job.run())
    assert job.result.stop_reason == "time limit"
    assert len(job.result.orbitals) > 0


def test_snapshots_do_not_change_afterwards(direct, every_snapshot):
    job = Job(direct, settings(**SHORT))
    kept = [(snapshot, copy.deepcopy(snapshot)) for snapshot in job.run()]
    assert len(kept) > 15
    for snapshot, as_it_came in kept:
        for name in ("positions", "height", "width", "id"):
            np.testing.assert_array_equal(getattr(snapshot.orbitals, name), getattr(as_it_came.orbitals, name))
        for name in ("r_factor", "tilts", "calculated"):
            np.testing.assert_array_equal(getattr(snapshot, name), getattr(as_it_came, name))
    steps = [snapshot.step for snapshot, _ in kept]
    assert steps == sorted(steps)
    assert all(snapshot.step <= snapshot.steps_total for snapshot, _ in kept)
    assert [snapshot.probe is not None for snapshot, _ in kept].count(True) == 1
    last = kept[-1][0]
    np.testing.assert_array_equal(last.orbitals.positions, job.result.orbitals.positions)
    np.testing.assert_allclose(last.r_factor, job.result.r_factor, rtol=1e-6)
    assert last.tilts.tolist() == list(range(len(ANGLES)))
    np.testing.assert_allclose(last.calculated, job.result.calculated, rtol=1e-5, atol=1e-5)


# -- what cannot be ---------------------------------------------------------------------------------------------------


def test_images_of_nothing_are_refused(direct):
    noise = np.random.default_rng(0).normal(1, 0.1, direct.images.shape).astype(np.float32)
    with pytest.raises(InputError, match="no atoms in the field"):
        list(Job(direct.with_changes(images=noise), settings()).run())


def test_the_spacing_must_be_known(direct):
    with pytest.raises(InputError, match="expected distance"):
        Job(direct, settings_from_dict({"model": {"probe": "direct"}}))
    with pytest.raises(InputError, match="rigid probe needs"):
        Job(direct, settings_from_dict({"model": {"elements": ["Pt"]}}))


# -- what a user may leave out, hide, move or fix ---------------------------------------------------------------------


def found_by(series, probe="direct", start=None, data=None, **solver):
    values = settings(probe, **solver).model_dump(exclude_unset=True)
    job = Job(series, settings_from_dict({**values, "data": data or {}}), start)
    list(job.run())
    return job.result


@pytest.mark.parametrize(
    "left_out",
    [
        pytest.param(range(0, 21, 2), marks=pytest.mark.slow),
        range(1, 21, 2),
        pytest.param(range(7, 20), marks=pytest.mark.slow),
    ],
    ids=["even", "odd", "most"],
)
def test_many_tilts_may_be_left_out(particle, direct, left_out):
    result = found_by(direct, data={"exclude": list(left_out)})
    assert len(result.orbitals) == pytest.approx(30, abs=1)
    assert np.isnan(result.r_factor[list(left_out)]).all()
    assert np.nanmean(result.r_factor) < 0.2


def test_a_few_masked_pixels_leave_a_particle_a_particle(particle, direct):
    drift = np.random.default_rng(2).normal(0, 1.0, (len(ANGLES), 2))
    moved = simulate_series(particle, ANGLES, 0.4, None, image_shape=(48, 52))
    images = np.stack([ndimage.shift(i, (v, u), order=3) for i, (u, v) in zip(moved.images, drift, strict=True)])
    mask = np.ones(images.shape, bool)
    mask[:, :2, :2] = False
    images[:, :2, :2] = 40.0
    result = found_by(direct.with_changes(images=images.astype(np.float32), mask=mask))
    assert result.details["object"] == "particle"
    assert_complete(result.orbitals, particle, rmsd_A=0.03)


def test_an_axis_far_from_the_middle(particle):
    """The particle stands at the rim of a large field, and its axis with it."""
    series = simulate_series(particle, ANGLES, 0.4, None, image_shape=(48, 52))
    wide = np.pad(series.images, ((0, 0), (0, 60), (0, 70)))
    result = found_by(series.with_changes(images=wide, center_px=(23.5, 25.5), center_known=True))
    assert_complete(result.orbitals, particle, rmsd_A=0.03)
    assert result.center_px == pytest.approx((23.5, 25.5), abs=0.1)


def test_a_given_centre_is_where_the_fit_begins(direct, monkeypatch):
    begun = []
    original = lot_prepare.ImageModel
    monkeypatch.setattr(lot_prepare, "ImageModel", lambda *a, **k: begun.append(a[3]) or original(*a, **k))
    given = direct.with_changes(center_px=(24.0, 27.0), center_known=True)
    for series in (given, given.with_changes(center_known=False)):
        control = Control()
        job = Job(series, settings())
        for _ in job.run(control):
            control.cancel()
    assert begun[0] == (24.0, 27.0)
    assert begun[1] != (24.0, 27.0), "nobody said so: it is searched for"


def test_what_is_fixed_stays(particle, direct):
    away = Orbitals.create(particle.positions + np.array([0.3, 0.2, -0.3]), 1.0, 0.6, elements=("Pt",))
    result = found_by(direct, start=away, fix=["positions"])
    order = np.argsort(result.orbitals.id)
    np.testing.assert_array_equal(result.orbitals.positions[order], away.positions)
    result = found_by(direct, start=particle, fix=["heights"])
    assert len(result.orbitals) == 30, "nothing is born or dies where heights may not change"
    assert np.ptp(result.orbitals.height) < 1e-9 * result.orbitals.height.max()
    result = found_by(direct, fix=["center", "shifts"])
    assert result.center_px == direct.center_px
    np.testing.assert_array_equal(result.shifts_px, 0)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"model": {"likelihood": "poisson"}}, "the Poisson likelihood needs electron counts"),
        ({"data": {"counts": True}}, "data.counts is True in the settings but False in the series"),
        ({"data": {"pixel_size_A": 9.0}}, "data.pixel_size_A is 9.0 in the settings but 0.4"),
        ({"data": {"tilt_axis_deg": 45.0}}, "data.tilt_axis_deg is 45.0"),
        ({"start": {"kind": "atoms.xyz"}}, "the atoms of atoms.xyz are to be read"),
        ({"solver": {"fix": ["positions"]}}, "positions and heights must be refined"),
    ],
)
def test_settings_that_would_be_ignored_are_refused(direct, changed, sentence):
    values = settings().model_dump(exclude_unset=True)
    with pytest.raises(InputError, match=re.escape(sentence)):
        Job(direct, settings_from_dict({k: {**values.get(k, {}), **changed.get(k, {})} for k in {*values, *changed}}))


def stopped_at(series, stage):
    """A job whose run was finished early, at the first snapshot of a stage."""
    control, job = Control(), Job(series, settings(**SHORT))
    for snapshot in job.run(control):
        if snapshot.stage == stage:
            control.finish()
    return job


def test_a_run_that_ends_before_there_are_atoms(direct, every_snapshot):
    for stage in ("prepare", "positions"):
        job = stopped_at(direct, stage)
        assert job.stop_reason == "finished early"
        assert 20 < len(job.result.orbitals) < 40, "the peaks of the grid, not the grid"
        assert job.result.warnings == (NO_ATOMS_YET,), "what follows from it is not told beside it"


def test_a_fit_that_did_not_converge_says_what_its_error_bars_leave_out(direct, every_snapshot):
    job = stopped_at(direct, "refine")
    assert job.result.sigma_A is not None
    assert job.result.warnings[0] == unfinished("finished early", True)
    assert "not how far it still had to go" in methods_text(direct, job.result)
    assert unfinished("finished early", True) in make_report(direct, job.result, {})["warnings"]


def test_images_that_atoms_do_not_explain_are_doubted(direct, reference):
    assert not reference.warnings
    assert reference.details["error_bar_variance"] > 0
    mixed_up = direct.with_changes(images=np.random.default_rng(0).permutation(direct.images))
    assert any("of the signal unexplained" in warning for warning in found_by(mixed_up, **SHORT).warnings)


def test_a_tilt_axis_and_a_pixel_size_that_are_wrong_are_doubted(direct):
    turned = found_by(direct.with_changes(tilt_axis_deg=90.0), **SHORT)
    assert any("of the signal unexplained" in warning for warning in turned.warnings), turned.details["unexplained"]
    larger = found_by(direct.with_changes(pixel_size_A=0.64), **SHORT)
    assert any("are expected: check the pixel size" in warning for warning in larger.warnings)


def test_a_pause_does_not_count_against_the_time_limit(direct, every_snapshot):
    control, job = Control(), Job(direct, settings(**SHORT, max_minutes=0.1))
    for step, _ in enumerate(job.run(control)):
        if step == 2:
            control.pause()
            threading.Timer(7.0, control.resume).start()
    assert job.stop_reason == "converged"


def test_a_run_that_is_stopping_is_not_held():
    control = Control()
    control.finish()
    control.pause()
    control.wait_while_paused()  # would wait for ever
    assert not control.pause_requested


def test_the_last_snapshot_tells_of_withheld_tilts_too(direct):
    job = Job(direct, settings_from_dict({**settings(**SHORT).model_dump(exclude_unset=True), "data": {"withhold": 5}}))
    *_, last = job.run()
    assert np.isfinite(last.r_factor).all()


def test_runs_that_overlap_leave_torch_as_many_threads_as_there_were():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        first, second = one_torch_thread(), one_torch_thread()
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert torch.get_num_threads() == 1, "the other run goes on"
        second.__exit__(None, None, None)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
