"""Decisions about single atoms against full evaluations and full fits of the same images."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize as scipy_minimize

from napari_lot.atoms import Orbitals
from napari_lot.errors import InputError
from napari_lot.job import Job, ProbeSlices, Result
from napari_lot.lot import likelihood
from napari_lot.lot.correction import ProbeCorrection
from napari_lot.lot.local import LocalFit, NothingMissing
from napari_lot.lot.local.missing import peaks
from napari_lot.lot.local.refit import Stopped
from napari_lot.lot.local.source import source_of
from napari_lot.lot.precision import error_bars
from napari_lot.lot.problem import Problem
from napari_lot.lot.withheld import correlation
from napari_lot.settings import Microscope, settings_from_dict
from napari_lot.simulate.images import simulate_series

LENS = {"energy_eV": 300e3, "semiangle_mrad": 25.0, "source_size_A": 0.7}
ANGLES = np.arange(-72.0, 73.0, 12.0)
SPACING, PIXEL, SHAPE = 2.8, 0.4, (64, 70)
MIDDLE = tuple((n - 1) / 2 for n in SHAPE)


def crystal():
    """55 atoms of a face-centred cubic ball, two of three heights."""
    a = SPACING * np.sqrt(2)
    grid = np.stack(np.meshgrid(*[np.arange(-4, 5)] * 3, indexing="ij"), -1).reshape(-1, 3)
    grid = grid[grid.sum(1) % 2 == 0] * a / 2
    return grid[np.linalg.norm(grid, axis=1) < 6.0] + np.random.default_rng(3).normal(0, 0.1, (1, 3))


def make(counts=None, elements=("Pt",), probe="rigid", correction=None, data=None, seed=0, **details):
    """A series, and the truth as the result of a run of it."""
    p = crystal()
    rng = np.random.default_rng(seed)
    species = np.arange(len(p)) % len(elements)
    scale = 1.0 if counts is None else counts
    height = scale * np.array([1.0, 0.5])[species] * rng.uniform(0.95, 1.05, len(p))
    width = np.array([0.65, 0.6])[species]
    atoms = Orbitals.create(p, height, width, species, elements)
    model = {"elements": list(elements), "spacing_A": SPACING, "probe": probe}
    settings = settings_from_dict(
        {"microscope": LENS, "model": model | details.pop("model", {}), "data": data or {}, "solver": {"threads": 1}}
    )
    series = simulate_series(atoms, ANGLES, PIXEL, None, image_shape=SHAPE)
    t = len(ANGLES)
    result = Result(
        orbitals=atoms,
        r_factor=np.full(t, np.nan),
        calculated=np.zeros((t, *SHAPE), np.float32),
        residual=np.zeros((t, *SHAPE), np.float32),
        center_px=(MIDDLE[0] + 0.3, MIDDLE[1] - 0.2),
        shifts_px=rng.normal(0, 0.3, (t, 2)),
        scale=rng.uniform(0.9, 1.1, t),
        background=np.full(t, 0.02 * scale),
        probe=ProbeSlices(np.full((3, 4, 4), 1 / 16, np.float32), np.array([-5.0, 0, 5]), 0.1),
        tilts_seen=np.full(len(p), t),
        wall_seconds={},
        stop_reason="converged",
        message="",
        settings=settings,
        angles_deg=rng.normal(0, 0.2, (t, 3)),
        sigma_A=np.full((len(p), 3), 0.05),
        p_exists=np.full(len(p), 0.5),
        p_element=np.ones(len(p)),
        details={"probe_correction": None if correction is None else correction.as_dict(), **details},
    )
    series = series.with_changes(counts=counts is not None)
    clean = full_images(series, result, result.orbitals)
    images = clean if counts is None else rng.poisson(clean).astype(np.float32)
    series = series.with_changes(images=images)
    return series, with_images(series, result)


def with_images(series, result):
    clean = full_images(series, result, result.orbitals)
    return replace(result, calculated=clean, residual=series.images - clean)


def full_images(series, result, orbitals):
    """Calculated tilts of all orbitals at once, on the whole canvas: the oracle of every window."""
    source = source_of(series, replace(result, orbitals=orbitals))
    state = source.state
    model = source.model(series.images.shape[1:], source.center_px, 1)
    with torch.no_grad():
        images = model.images(
            np.arange(len(series)),
            torch.from_numpy(state.positions),
            torch.from_numpy(state.height),
            torch.from_numpy(state.widths),
            torch.from_numpy(state.shifts),
            focus_A=torch.from_numpy(state.focus),
            shapes=source.shapes(model, state),
        ).numpy()
    calculated = images * state.scale[:, None, None] + state.background[:, None, None]
    return (calculated * source.unit + source.zero).astype(np.float32)


def middle_atom(result):
    return int(result.orbitals.id[np.argmin(np.linalg.norm(result.orbitals.positions, axis=1))])


def test_a_deleted_atom_that_is_added_again_is_where_it_was():
    series, result = make()
    fit = LocalFit(series, result)
    atom = middle_atom(result)
    place = fit.position(atom)
    gone = fit.delete(atom)
    fit.apply(gone)
    assert len(fit.changed_result().orbitals) == len(result.orbitals) - 1
    back, significance = fit.missing(place + 0.6)
    assert significance > 10
    fit.apply(back)
    assert gone.gain < 0 < back.gain
    assert -gone.gain == pytest.approx(back.gain, rel=0.02)
    new = fit.changed_result()
    assert back.atom == len(result.orbitals), "ids are never used twice"
    order = np.argsort(np.where(new.orbitals.id == back.atom, atom, new.orbitals.id))
    assert np.abs(new.orbitals.positions[order] - result.orbitals.positions).max() < 0.01
    assert new.orbitals.height[order] == pytest.approx(result.orbitals.height, rel=0.01)
    assert np.abs(new.residual).max() < 1e-3 * float(np.ptp(series.images))
    assert new.orbitals.elements == result.orbitals.elements


@pytest.mark.parametrize("case", ["noise alone", "a neighbour that is misplaced"])
def test_where_no_atom_is_missing_none_is_added_at_a_peak_of_the_residual(case):
    series, result = make(counts=400.0)
    atom = middle_atom(result)
    if case != "noise alone":
        places = result.orbitals.positions.copy()
        places[np.flatnonzero(result.orbitals.id == atom)[0]] += 0.5
        result = with_images(series, replace(result, orbitals=replace(result.orbitals, positions=places)))
    fit = LocalFit(series, result)
    points, significance = peaks(fit, fit.position(atom))
    assert fit.add(points[0]).gain > 8, "with its neighbours refitted it gains what they gain without it"
    if case != "noise alone":
        assert significance[0] > 5
    with pytest.raises(NothingMissing, match="ask for no other") as no:
        fit.missing(fit.position(atom))
    told = re.search(
        r"gains (nothing|[\d.]+) in log-likelihood, and an atom there must be worth (\d+)(.*)\.", str(no.value)
    )
    assert told is not None, str(no.value)
    gain, price = 0.0 if told[1] == "nothing" else float(told[1]), int(told[2])
    assert gain < price
    assert price >= 8
    assert (price > 8) == ("of the usual height" in told[3]), "a weak atom must be worth more, and it is said why"


CASES = {
    "counts": {"counts": 400.0},
    "two elements, Slater": {"elements": ("Pt", "Ni"), "model": {"orbital": "slater"}, "width_A": [0.65, 0.6]},
    "adaptive": {
        "probe": "adaptive",
        "correction": ProbeCorrection(
            np.array([[[0, 0.02, 0], [0.01, -0.04, 0.01], [0, 0.03, 0]]] * 2), np.array([0.05]), 12.0, np.array([0.0])
        ),
    },
    "direct, defocused tilts": {"probe": "direct"},
    "focus, distortion": {
        "tilt_defocus_A": list(np.linspace(-30, 30, len(ANGLES))),
        "distortion": [[0.01, -0.004, 0.003, -0.008]],
    },
}


@pytest.mark.parametrize("case", CASES)
def test_windows_are_those_of_a_full_evaluation(case):
    series, result = make(**CASES[case])
    fit = LocalFit(series, result)
    atom = middle_atom(result)
    edge = int(result.orbitals.id[np.argmax(result.orbitals.positions[:, 0])])
    fit.apply(fit.delete(atom))
    fit.apply(fit.move(edge, fit.position(edge) + np.array([0.3, -0.2, 0.1])))
    new = fit.changed_result()
    full = full_images(series, new, new.orbitals)
    peak = float(np.ptp(full))
    assert np.abs(new.calculated - full).max() < 1e-4 * peak
    assert np.abs(full - result.calculated).max() > 0.05 * peak, "something has changed"
    assert new.residual == pytest.approx(series.images - new.calculated)
    background = np.asarray(new.background)
    assert new.r_factor == pytest.approx(likelihood.r_factor(series.images, new.calculated, background), rel=1e-3)
    assert new.correlation == pytest.approx(correlation(series.images, new.calculated, None), abs=1e-5)


@pytest.mark.parametrize("kind", ["poisson", "lsq"])
def test_the_refit_is_the_minimum_of_the_whole_problem(kind):
    """The oracle: L-BFGS of scipy on whole images, over the same atoms, with everything else fixed."""
    counts = 300.0
    series, result = make(counts, model={"likelihood": kind}, elements=("Pt", "Ni"), seed=4)
    fit = LocalFit(series, result)
    atom = middle_atom(result)
    fit.apply(fit.refit(fit.position(atom)))
    start = fit.changed_result()
    change = fit.delete(atom)
    source = source_of(series, start)
    problem = Problem(source.model(SHAPE, source.center_px, 1), source.observed, source.weights, source.kind)
    # the model holds the turned matrices; the state must not turn them again
    state = replace(source.state, angles=np.zeros((len(series), 3)))
    kept = state.select(state.ids != atom)
    free = np.flatnonzero(np.isin(kept.ids, change.after["ids"]))
    size = np.array([1.0, 1.0, 1.0, float(np.median(kept.height))])

    def value(x):
        here = kept.copy()
        p = x.reshape(-1, 4) * size
        here.positions[free], here.height[free] = p[:, :3], p[:, 3]
        found = problem.evaluate(here, np.arange(len(series)), ("positions", "height"))
        slope = np.column_stack([found.gradients["positions"][free], found.gradients["height"][free]]) * size
        return found.loss, slope.ravel()

    x = (np.column_stack([kept.positions[free], kept.height[free]]) / size).ravel()
    best = scipy_minimize(value, x, jac=True, method="L-BFGS-B", options={"maxiter": 300, "ftol": 1e-12})
    expected = best.x.reshape(-1, 4) * size
    at = [int(np.flatnonzero(change.after["ids"] == i)[0]) for i in kept.ids[free]]
    assert np.abs(change.after["positions"][at] - expected[:, :3]).max() < 0.01
    before = problem.evaluate(state, np.arange(len(series)), ()).loss
    noise = fit.noise.variance if kind == "lsq" else 1.0
    gain = (before - best.fun) / noise / fit.noise.inflation**2
    assert change.gain == pytest.approx(gain, rel=0.02)
    assert change.gain < -10


def test_error_bars_of_the_touched_are_those_of_a_run():
    series, result = make(300.0)
    fit = LocalFit(series, result)
    atom = middle_atom(result)
    fit.apply(fit.refit(fit.position(atom)))
    new = fit.changed_result()
    source = source_of(series, new)
    problem = Problem(source.model(SHAPE, source.center_px, 1), source.observed, source.weights, source.kind)
    state = replace(source.state, angles=np.zeros((len(series), 3)))
    expected = error_bars(problem, state, new.calculated, fit.noise.object_pixels, 1.6 * SPACING)
    touched = np.any(new.sigma_A != result.sigma_A, 1)
    assert 12 < touched.sum() < len(state.height)
    ratio = new.sigma_A[touched] / expected.position_A[touched] * expected.inflation / fit.noise.inflation
    assert ratio == pytest.approx(1.0, abs=0.15)
    assert np.median(ratio) == pytest.approx(1.0, abs=0.03)
    assert (new.p_exists[touched] > 0.999).all(), "strong atoms exist"
    assert (new.p_exists[~touched] == 0.5).all()


def test_error_bars_after_a_decision_are_of_the_scale_of_those_of_the_run():
    """A run measures the noise within the hull, and the scale of its bars may be another than that of its residual."""
    series, result = make()
    noise = np.random.default_rng(8).normal(0, 0.02, series.images.shape)
    series = series.with_changes(images=(series.images + noise).astype(np.float32))
    result = with_images(series, result)

    def bars(**details):
        fit = LocalFit(series, replace(result, details={**result.details, "error_bar_inflation": 1.1, **details}))
        atom = middle_atom(result)
        fit.apply(fit.refit(fit.position(atom)))
        new, variance = fit.changed_result(), fit.noise.variance
        fit.close()
        return new.sigma_A, np.any(new.sigma_A != result.sigma_A, 1), variance

    plain, touched, variance = bars()
    wide, same, _ = bars(error_bar_variance=2.25 * variance)
    assert np.array_equal(touched, same)
    assert wide[touched] == pytest.approx(1.5 * plain[touched], rel=1e-6)


@pytest.mark.parametrize("way", [0.0, 0.08])
def test_a_move_that_ends_where_it_began_changes_nothing(way):
    series, result = make(300.0)
    fit = LocalFit(series, result)
    atom = middle_atom(result)
    fit.apply(fit.refit(fit.position(atom)))
    before = fit.changed_result()
    change = fit.move(atom, fit.position(atom) + np.array([way, 0.0, 0.0]))
    assert change.nothing
    assert change.gain == 0.0
    assert change.refitted == 0
    fit.apply(change)
    after = fit.changed_result()
    for name in ("sigma_A", "p_exists", "calculated"):
        assert np.array_equal(getattr(before, name), getattr(after, name))
    assert not fit.delete(atom).nothing


def test_undo_goes_back_step_by_step():
    series, result = make(300.0)
    fit = LocalFit(series, result)
    first, second = (int(i) for i in result.orbitals.id[[3, 20]])
    fit.apply(fit.delete(first))
    between = fit.changed_result()
    fit.apply(fit.add(fit.position(second) + np.array([9.0, 0.0, 0.0])))
    fit.apply(fit.move(second, fit.position(second) + np.array([0.2, 0.0, 0.0])))
    fit.apply(fit.keep(second))
    assert [fit.undo().what for _ in range(3)] == ["keep", "move", "add"]
    for now, then in ((fit.changed_result(), between),):
        for name in ("positions", "height", "width", "species", "id"):
            assert np.array_equal(getattr(now.orbitals, name), getattr(then.orbitals, name)), name
        assert np.array_equal(now.sigma_A, then.sigma_A)
        assert now.calculated == pytest.approx(then.calculated, abs=2e-5 * float(np.ptp(then.calculated)))
    assert fit.undo().what == "delete"
    now = fit.changed_result()
    for name in ("positions", "id"):
        assert np.array_equal(getattr(now.orbitals, name), getattr(result.orbitals, name)), name
    assert now.orbitals.height == pytest.approx(result.orbitals.height, rel=1e-12)
    assert np.array_equal(now.p_exists, result.p_exists)
    with pytest.raises(InputError, match="no decision to undo"):
        fit.undo()


def test_a_false_atom_costs_and_a_true_one_gains():
    series, result = make(300.0)
    truth = result.orbitals
    false = crystal()[0] + np.array([0.4, 0.5, 1.4]) * 1.1
    more = Orbitals.create(
        np.vstack([truth.positions, false]), np.append(truth.height, 40.0), np.append(truth.width, 0.65), 0, ("Pt",)
    )
    n = len(more)
    more_result = replace(
        result, orbitals=more, sigma_A=np.full((n, 3), 0.05), p_exists=np.full(n, 0.5), p_element=np.ones(n),
        tilts_seen=np.full(n, len(series)),
    )  # fmt: skip
    fit = LocalFit(series, with_images(series, more_result))
    # 40 counts that are not there stand out of the noise of counts
    assert fit.misfit().argmax() in np.flatnonzero(np.linalg.norm(more.positions - false, axis=1) < 3.2)
    assert fit.delete(n - 1).gain > 5
    assert fit.delete(middle_atom(result)).gain < -100


def test_the_misfit_is_that_of_a_direct_sum_also_around_a_change():
    series, result = make(300.0, data={"withhold": 4})
    fit = LocalFit(series, replace(result, withheld=(2, 6, 10)))
    atom = int(result.orbitals.id[np.argmax(result.orbitals.positions[:, 0])])
    center = fit.position(atom)
    fit.apply(fit.delete(atom))
    new = fit.changed_result()
    every = fit.misfit()
    ids, around = fit.misfit_around(center)
    at = [int(np.flatnonzero(new.orbitals.id == i)[0]) for i in ids]
    assert 12 < len(ids) < len(new.orbitals)
    assert around == pytest.approx(every[at], rel=1e-6)
    fitted = fit.problem.fitted
    squares = (series.images - new.calculated)[fitted] ** 2 / np.maximum(new.calculated[fitted], 0.02)
    v, u = np.indices(SHAPE)
    for i in (at[0], int(np.argmax(new.orbitals.positions[:, 0]))):
        place = fit.view.pixels(new.orbitals.positions[i][None])[fitted, 0]
        apart = (v - place[:, :1, None]) ** 2 + (u - place[:, 1:, None]) ** 2
        bell = np.exp(-0.5 * apart / fit.metric.blur_px**2)
        assert every[i] == pytest.approx(np.sqrt((bell * squares).sum() / bell.sum()), rel=0.01)


def test_withheld_and_left_out_tilts_have_no_say():
    data = {"withhold": 4, "tilt_weights": [(1, 0.0)]}
    series, result = make(300.0, data=data)
    spoilt = series.images.copy()
    spoilt[[1, 2, 6, 10]] = spoilt[[1, 2, 6, 10], ::-1]
    result = replace(result, withheld=(2, 6, 10))
    atom = middle_atom(result)
    changes = [LocalFit(s, result).delete(atom) for s in (series, series.with_changes(images=spoilt))]
    # the noise is that of counts: nothing but the pixels of fitted tilts counts
    assert np.array_equal(changes[0].after["positions"], changes[1].after["positions"])
    assert changes[0].gain == pytest.approx(changes[1].gain)


def test_patches_show_the_atom_in_their_middle():
    series, result = make()
    fit = LocalFit(series, result)
    atom = int(result.orbitals.id[np.argmax(result.orbitals.positions[:, 1])])
    patches = fit.patches(fit.position(atom))
    t, side = len(series), patches.measured.shape[-1]
    assert patches.measured.shape == patches.calculated.shape == patches.residual.shape == (t, side, side)
    assert side * PIXEL == pytest.approx(2.5 * SPACING, abs=2 * PIXEL)
    assert np.abs(patches.marks - (side - 1) / 2).max() <= 0.5
    # the one place that a lone atom lights up, by an independent road: only this atom is calculated
    alone = full_images(series, result, result.orbitals.take(result.orbitals.id == atom))
    for j, image in enumerate(alone):
        row, column = patches.pixel(j, *patches.marks[j])
        bright = image - image.min()
        weight = np.where(bright > 0.2 * bright.max(), bright, 0)
        v, u = np.indices(SHAPE)
        assert (weight * v).sum() / weight.sum() == pytest.approx(row, abs=0.15)
        assert (weight * u).sum() / weight.sum() == pytest.approx(column, abs=0.15)
    inside = np.isfinite(patches.measured)
    assert patches.residual[inside] == pytest.approx((patches.measured - patches.calculated)[inside])


def test_two_clicks_meet_in_the_specimen_and_one_moves_across_the_beam():
    series, result = make()
    view = LocalFit(series, result).view
    point = np.array([1.3, -2.1, 0.7])
    at = view.pixels(point[None])[:, 0]
    assert view.met((2, at[2]), (9, at[9]), 0.5) == pytest.approx(point)
    with pytest.raises(InputError, match="about the same direction"):
        view.met((2, at[2]), (2, at[2]), 0.5)
    with pytest.raises(InputError, match="do not belong to one atom"):
        view.met((2, at[2]), (9, at[9] + [5.0, 0.0]), 0.5)
    moved = view.moved(point, 4, at[4] + [1.5, -2.0])
    assert view.pixels(moved[None])[4, 0] == pytest.approx(at[4] + [1.5, -2.0])
    assert np.linalg.norm(moved - point) == pytest.approx(2.5 * PIXEL, rel=1e-6)


def test_what_cannot_be_done_is_said():
    series, result = make()
    fit = LocalFit(series, result)
    atom = middle_atom(result)
    with pytest.raises(InputError, match="There is no atom 999"):
        fit.delete(999)
    with pytest.raises(InputError, match="is at this place already"):
        fit.add(fit.position(atom) + 0.1)
    with pytest.raises(InputError, match="delete it, and add one there"):
        fit.move(atom, fit.position(atom) + 5.0)
    with pytest.raises(InputError, match="No fitted tilt shows this place"):
        fit.add([0.0, 300.0, 0.0])
    stale = fit.delete(atom)
    other = int(stale.after["ids"][0])
    fit.apply(fit.delete(other))
    with pytest.raises(InputError, match="take the decision again"):
        fit.apply(stale)
    with pytest.raises(InputError, match="open the series that was reconstructed"):
        LocalFit(series.take(range(5)), result)
    with pytest.raises(InputError, match="does not hold its adaptive probe"):
        LocalFit(series, replace(result, details={"attenuation": [[0.0, 1.0]]}))


def test_a_trial_that_nobody_wants_ends():
    series, result = make(300.0)
    fit = LocalFit(series, result)
    with pytest.raises(Stopped):
        fit.delete(middle_atom(result), stopped=lambda: True)
    assert fit.delete(middle_atom(result), stopped=lambda: False).gain < 0


def test_a_run_says_all_that_is_needed_to_go_on():
    """What is read back from the result of a run calculates its images, whatever the run has refined till then."""
    small = (44, 44)
    _, given = make()
    truth = Orbitals.create(given.orbitals.positions[:13], 1.0, 0.65, 0, ("Pt",))
    series = simulate_series(truth, ANGLES, PIXEL, Microscope(**LENS, defocus_A=15.0), image_shape=small)
    solver = {"threads": 1, "max_minutes": 0.08, "distortion": "series", "tilt_defocus_A": 20.0}
    model = {"elements": ["Pt"], "spacing_A": SPACING}
    job = Job(series, settings_from_dict({"microscope": LENS, "model": model, "solver": solver}), start=truth)
    for _ in job.run():
        pass
    result = job.result
    again = full_images(series, result, result.orbitals)
    assert np.abs(again - result.calculated).max() < 1e-4 * np.ptp(result.calculated)
    assert result.details["next_id"] == 13
    assert LocalFit(series, result).delete(int(result.orbitals.id[0])).gain < 0
