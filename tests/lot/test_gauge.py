"""What a translation of the object and the shifts share is moved between them without a trace in the images."""

import numpy as np
import pytest
from tiny import ANGLES, MIDDLE, PIXEL, make_problem, make_state

from napari_lot.lot import gauge
from napari_lot.lot.hull import Hull
from napari_lot.lot.reconstruct import Reconstruction
from napari_lot.physics.geometry import rotations
from napari_lot.settings import Solver

TWO_AXES = ANGLES + np.array([[0.0, 0, 0], [30.0, 0, 0], [-30.0, 0, 0], [50.0, 0, 0], [0.0, 0, 0]])


def make(angles=ANGLES):
    state = make_state()
    problem = make_problem(state, angles=angles)
    everywhere = np.ones(problem.observed.shape, bool)
    hull = Hull(everywhere, everywhere, rotations(angles), PIXEL, MIDDLE, isolated=True)
    return Reconstruction(problem, state, hull, 2.6, Solver())


def images(solver):
    return solver.problem.evaluate(solver.state, np.arange(len(ANGLES)), ()).calculated


@pytest.mark.parametrize("angles", [ANGLES, TWO_AXES])
@pytest.mark.parametrize("group", ["shifts", "center"])
def test_the_gauge_leaves_the_images_unchanged(angles, group):
    solver = make(angles)
    rng = np.random.default_rng(1)
    move = np.array([0.3, -0.2, 0.25])
    turn = rotations(angles)[:, :2]
    solver.state.shifts = (turn @ move) / PIXEL + rng.normal(0, 0.2, (5, 2))
    solver.state.scale = rng.uniform(1.1, 1.5, 5)
    before, ids = images(solver), solver.state.ids.copy()
    positions = solver.state.positions.copy()
    gauge.fix(solver.problem, solver.state, (group, "scale"), solver.refine)
    np.testing.assert_allclose(images(solver), before, atol=2e-5 * before.max())
    assert solver.state.scale.mean() == pytest.approx(1.0)
    assert np.linalg.norm(solver.state.positions - positions, axis=1).min() > 0.1, "something was moved"
    left, _ = gauge.split_shifts(solver.problem, solver.state)
    np.testing.assert_allclose(left, 0, atol=1e-3)
    np.testing.assert_array_equal(solver.state.ids, ids)


ALL_BUT_CENTER = ("positions", "height", "shifts", "scale", "angles")


@pytest.mark.parametrize(
    ("angles", "groups", "expected"),
    [
        (ANGLES, ALL_BUT_CENTER, 7),
        (TWO_AXES, ALL_BUT_CENTER, 7),
        (ANGLES, ("positions", "height", "center"), 1),  # along the only tilt axis
        (TWO_AXES, ("positions", "center", "scale"), 0),
        (TWO_AXES, ("height", "shifts", "scale"), 1),
        (TWO_AXES, ("positions", "height", "background"), 0),
    ],
)
def test_no_image_shows_the_free_directions(angles, groups, expected):
    solver = make(angles)
    problem, state = solver.problem, solver.state
    rng = np.random.default_rng(1)
    state.scale, state.shifts = rng.uniform(0.8, 1.5, 5), rng.normal(0, 0.2, (5, 2))
    if "angles" in groups:  # they would give a single tilt axis away
        state.angles = rng.normal(0, 0.02, (5, 3))

    def slope(change):
        """Of the images, by central differences."""
        ends = []
        for step in (0.01, -0.01):
            moved = state.copy()
            for group, values in change.items():
                name = "shifts" if group == "center" else group
                setattr(moved, name, getattr(moved, name) + step * values)
            ends.append(problem.evaluate(moved, np.arange(5), ()).calculated)
        return np.linalg.norm(ends[0] - ends[1]) / 0.02

    found = gauge.directions(problem, state, groups)
    assert len(found) == expected
    for change in found:
        assert set(change) <= set(groups)
        alone = [slope({group: values}) for group, values in change.items()]
        assert min(alone) > 1.0
        # Euler angles of 0.02 rad add up to a turn only as nearly as that
        assert slope(change) < (0.04 if "angles" in change else 2e-5) * min(alone)


def test_shifts_that_are_not_refined_stay():
    solver = make()
    solver.state.shifts = np.random.default_rng(1).normal(0, 0.2, (5, 2))
    before, shifts = images(solver), solver.state.shifts.copy()
    solver.state.scale = np.full(5, 2.0)
    doubled = images(solver)
    gauge.fix(solver.problem, solver.state, ("positions", "height"), solver.refine)
    np.testing.assert_array_equal(solver.state.shifts, shifts)
    np.testing.assert_allclose(images(solver), doubled, atol=2e-5 * before.max())


def test_a_translation_and_a_centre_are_told_apart_where_they_can_be():
    solver = make(TWO_AXES)
    move, center = np.array([0.3, -0.2, 0.25]), np.array([1.5, -0.8])
    solver.state.shifts = (rotations(TWO_AXES)[:, :2] @ move) / PIXEL + center
    found_move, found_center = gauge.split_shifts(solver.problem, solver.state)
    np.testing.assert_allclose(found_move, move, atol=1e-3)
    np.testing.assert_allclose(found_center, center, atol=5e-3)


def test_along_a_single_axis_a_centre_is_a_translation():
    solver = make(ANGLES)
    solver.state.shifts = np.tile([1.5, -0.8], (5, 1))
    move, center = gauge.split_shifts(solver.problem, solver.state)
    assert center[0] == pytest.approx(1.5, abs=5e-3)
    assert center[1] == pytest.approx(0.0, abs=1e-3)
    assert move[1] == pytest.approx(-0.8 * PIXEL, abs=1e-3)


def test_a_turn_that_all_tilts_share_is_the_objects():
    solver = make()
    rng = np.random.default_rng(1)
    common = np.deg2rad([0.8, -0.5, 0.6])
    own = rng.normal(0, np.deg2rad(0.3), (5, 3))
    solver.state.angles = rotations(ANGLES) @ common + own
    before, positions = images(solver), solver.state.positions.copy()
    gauge.fix(solver.problem, solver.state, ("angles",), solver.refine)
    np.testing.assert_allclose(images(solver), before, atol=2e-5 * before.max())
    assert np.linalg.norm(solver.state.positions - positions, axis=1).max() > 0.02, "the object has turned"
    turned = solver.problem.rotations(solver.state)
    mean = np.einsum("tji,tj->i", turned, solver.state.angles) / 5
    np.testing.assert_allclose(mean, 0, atol=1e-5)


def test_angles_stay_where_positions_are_fixed():
    solver = make()
    solver.state.angles = np.full((5, 3), 0.01)
    positions = solver.state.positions.copy()
    gauge.fix(solver.problem, solver.state, ("angles",), solver.refine - {"positions"})
    np.testing.assert_array_equal(solver.state.positions, positions)
    np.testing.assert_array_equal(solver.state.angles, 0.01)
