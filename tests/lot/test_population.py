"""Merging and separating, on small cases by hand and on crowds against brute force."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from napari_lot.lot import population
from napari_lot.lot.problem import State


def make(positions, height=1.0, ids=None):
    p = np.asarray(positions, float).reshape(-1, 3)
    n = len(p)
    return State(
        positions=p,
        height=np.array(np.broadcast_to(np.asarray(height, float), (n,))),
        width=np.array([0.5]),
        species=np.zeros(n, np.int64),
        ids=np.arange(n) if ids is None else np.asarray(ids),
        shifts=np.zeros((2, 2)),
        scale=np.ones(2),
        background=np.zeros(2),
        next_id=100,
    )


def along_x(*x):
    return [[value, 0.0, 0.0] for value in x]


def test_a_pair_becomes_its_weighted_mean_under_the_id_of_the_higher():
    before = make(along_x(0.0, 1.0, 9.0), [1.0, 3.0, 2.0], ids=[7, 8, 9])
    after = population.merge(before, 1.5)
    assert sorted(after.ids) == [8, 9]
    merged = list(after.ids).index(8)
    assert after.height[merged] == pytest.approx(4.0)
    np.testing.assert_allclose(after.positions[merged], [0.75, 0, 0])
    # the state that came in is untouched
    np.testing.assert_array_equal(before.positions[:, 0], [0, 1, 9])
    np.testing.assert_array_equal(before.height, [1, 3, 2])


def test_mutual_nearest_neighbours_first():
    """Of a row at 0, 1 and 1.9 the last two are one atom; the first is then too far from their mean."""
    after = population.merge(make(along_x(0.0, 1.0, 1.9)), 1.2)
    np.testing.assert_allclose(np.sort(after.positions[:, 0]), [0.0, 1.45])
    np.testing.assert_allclose(after.height[np.argsort(after.positions[:, 0])], [1, 2])


def test_merging_goes_on_until_none_is_left():
    after = population.merge(make(along_x(0.0, 0.1, 1.0, 1.1), [1.0, 2.0, 3.0, 4.0]), 1.2)
    assert len(after.height) == 1
    assert after.ids.tolist() == [3]
    assert after.positions[0, 0] == pytest.approx((0.2 + 3.0 + 4.4) / 10)


def test_a_veto_holds():
    seen = []

    def veto(a, b, d):
        seen.append((a.copy(), b.copy(), d.copy()))
        return a + b < 2.5

    after = population.merge(make(along_x(0.0, 1.0, 5.0, 6.0), [1.0, 1.0, 2.0, 2.0]), 1.2, veto)
    np.testing.assert_allclose(np.sort(after.positions[:, 0]), [0.5, 5.0, 6.0])
    np.testing.assert_allclose(np.concatenate([d for *_, d in seen]), 1.0)


def test_a_crowd_keeps_its_height_and_centre_of_mass():
    rng = np.random.default_rng(3)
    before = make(rng.uniform(0, 6, (300, 3)), rng.uniform(0.1, 2, 300))
    after = population.merge(before, 1.0)
    assert after.height.sum() == pytest.approx(before.height.sum())
    np.testing.assert_allclose(after.height @ after.positions, before.height @ before.positions)
    distance = np.linalg.norm(after.positions[:, None] - after.positions, axis=2)
    assert distance[~np.eye(len(distance), dtype=bool)].min() > 1.0
    assert len(set(after.ids)) == len(after.ids)


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_to_merge(count):
    assert len(population.merge(make(np.zeros((count, 3))), 1.0).height) == count


def test_separate_takes_the_best_as_a_greedy_search_by_hand_does():
    rng = np.random.default_rng(4)
    points, score = rng.uniform(0, 5, (200, 3)), rng.normal(size=200)
    existing = rng.uniform(0, 5, (6, 3))
    wanted = []
    for k in np.argsort(-score):
        far = np.linalg.norm(existing - points[k], axis=1).min() >= 1.3
        if far and all(np.linalg.norm(points[k] - points[other]) > 0.9 for other in wanted):
            wanted.append(k)
    assert population.separate(points, score, 0.9, existing, 1.3).tolist() == wanted
    assert len(wanted) > 10


def test_separate_without_points_or_atoms():
    none = np.zeros((0, 3))
    assert len(population.separate(none, np.zeros(0), 1.0, none, 1.0)) == 0
    assert population.separate(np.ones((1, 3)), np.ones(1), 1.0, none, 1.0).tolist() == [0]
    assert len(population.separate(np.ones((1, 3)), np.ones(1), 1.0, np.ones((1, 3)), 1.0)) == 0


def test_cull_and_typical_height():
    state = make(np.zeros((5, 3)), [0.1, 1.0, 1.0, 1.0, 2.5])
    assert population.cull(state, 0.5).tolist() == [False, True, True, True, True]
    assert population.typical_height(state) == pytest.approx(1.0)
    assert population.typical_height(make(np.zeros((0, 3)))) == 0.0


# -- gathering ------------------------------------------------------------------------------------------------------


def clusters(centres, sigma=0.25, each=40, seed=0):
    rng = np.random.default_rng(seed)
    points = np.concatenate([c + rng.normal(0, sigma, (each, 3)) for c in np.asarray(centres, float)])
    return make(points, rng.uniform(0.5, 1.5, len(points)))


def test_orbitals_gather_at_the_peaks_of_their_density():
    centres = np.array([[0, 0, 0], [2.5, 0, 0], [0, 2.4, 0.3], [10, -7, 3]])
    before = clusters(centres)
    after = population.gather(before, 0.6)
    assert len(after.height) == 4
    nearest = np.linalg.norm(after.positions[:, None] - centres, axis=2)
    assert sorted(nearest.argmin(1)) == [0, 1, 2, 3]
    assert nearest.min(1).max() < 0.15
    of = np.arange(160) // 40
    for row, centre in enumerate(nearest.argmin(1)):
        assert after.height[row] == pytest.approx(before.height[of == centre].sum())
        highest = np.flatnonzero(of == centre)[before.height[of == centre].argmax()]
        assert after.ids[row] == before.ids[highest], "under the name of the highest"


def test_a_peak_is_where_a_plain_mean_shift_ends():
    before = clusters([[0, 0, 0]], sigma=0.5, each=60, seed=2)
    sigma, p, h = 0.8, before.positions, before.height
    x = p[0].copy()
    for _ in range(500):
        d2 = ((p - x) ** 2).sum(1)
        w = h * np.exp(-0.5 * d2 / sigma**2) * (d2 < (population.CLIMB_REACH * sigma) ** 2)
        x = (w[:, None] * p).sum(0) / w.sum()
    after = population.gather(before, sigma)
    assert len(after.height) == 1
    np.testing.assert_allclose(after.positions[0], x, atol=5e-3)


def test_gathering_does_not_depend_on_order_or_threads():
    rng = np.random.default_rng(1)
    before = make(rng.uniform(0, 12, (2000, 3)), rng.uniform(0.2, 1, 2000))
    one, three = population.gather(before, 0.6), population.gather(before, 0.6, threads=3)
    np.testing.assert_array_equal(one.positions, three.positions)
    shuffled = population.gather(before.select(rng.permutation(2000)), 0.6)
    assert sorted(shuffled.ids) == sorted(one.ids)
    assert one.height.sum() == pytest.approx(before.height.sum())
    np.testing.assert_allclose(one.positions[one.ids.argsort()], shuffled.positions[shuffled.ids.argsort()], atol=1e-2)
    assert 100 < len(one.height) < 1000


def test_what_is_far_apart_stays_and_nothing_weighs_nothing():
    before = make(along_x(0.0, 5.0, 10.0), [1.0, 0.0, 2.0])
    after = population.gather(before, 0.6)
    assert sorted(after.ids) == [0, 2]
    np.testing.assert_allclose(np.sort(after.positions[:, 0]), [0.0, 10.0])
    assert len(population.gather(make(along_x(1.0), [0.0]), 0.6).height) == 0


def test_orbitals_in_one_place_join_and_the_sum_and_the_middle_stay():
    rng = np.random.default_rng(4)
    peaks = rng.uniform(-20, 20, (60, 3))
    peaks = peaks[[k for k in range(60) if np.linalg.norm(peaks - peaks[k], axis=1)[np.arange(60) != k].min() > 1.0]]
    which = np.repeat(np.arange(len(peaks)), 5)
    state = make(peaks[which] + rng.uniform(-0.02, 0.02, (len(which), 3)), rng.uniform(0.0, 1.0, len(which)))
    joined = population.join(state, 0.1)
    assert len(joined.height) == len(peaks)
    assert set(joined.ids) <= set(state.ids)
    nearest = cKDTree(joined.positions).query(peaks)[1]
    height = np.bincount(which, state.height)
    np.testing.assert_allclose(joined.height[nearest], height)
    middle = np.stack([np.bincount(which, state.height * state.positions[:, k]) for k in range(3)], 1) / height[:, None]
    np.testing.assert_allclose(joined.positions[nearest], middle, atol=1e-9)


def test_joining_leaves_alone_what_is_apart_and_loses_nothing():
    rng = np.random.default_rng(5)
    state = make(rng.uniform(-6, 6, (4000, 3)), rng.uniform(0.0, 1.0, 4000))
    joined = population.join(state, 0.2)
    assert len(joined.height) < 4000
    assert joined.height.sum() == pytest.approx(state.height.sum())
    assert len(population.join(state, 1e-6).height) == 4000
    apart = make(2.0 * np.argwhere(np.ones((4, 4, 4))), np.ones(64))
    assert len(population.join(apart, 0.5).height) == 64
    nothing = population.join(make(np.zeros((3, 3)), np.zeros(3)), 0.1)
    assert (len(nothing.height), nothing.height.sum()) == (1, 0.0)
    assert np.isfinite(nothing.positions).all()
