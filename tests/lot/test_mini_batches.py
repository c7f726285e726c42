"""Batches of tilts for the steps in which a grid condenses."""

from __future__ import annotations

import numpy as np
import pytest

from napari_lot.lot.fitting import mini_batches


def directions(theta_deg):
    """Of the beam in the specimen, for tilts about y."""
    theta = np.radians(np.asarray(theta_deg, float))
    return np.stack([-np.sin(theta), np.zeros_like(theta), np.cos(theta)], 1)


def batches_of(theta, count, seed=0):
    return list(mini_batches(directions(theta), count, np.random.default_rng(seed)))


@pytest.mark.parametrize(("tilts", "count"), [(72, 18), (71, 18), (36, 9), (10, 3), (5, 5), (4, 7), (1, 1)])
def test_every_tilt_is_in_one_batch_and_sizes_are_alike(tilts, count):
    found = batches_of(np.linspace(-70, 70, tilts), count)
    assert sorted(np.concatenate(found)) == list(range(tilts))
    sizes = [len(batch) for batch in found]
    assert max(sizes) - min(sizes) <= 1
    assert all((np.diff(batch) > 0).all() for batch in found)


def test_each_batch_has_tilts_from_all_over_the_range_in_whatever_order_they_were_recorded():
    theta = np.random.default_rng(3).permutation(np.arange(-72, 72, 2.0))
    for batch in batches_of(theta, 18):
        quarters = np.floor((theta[batch] + 72) / 36)
        assert sorted(quarters) == [0, 1, 2, 3]


def test_they_are_drawn_anew_each_time_and_repeat_with_the_seed():
    theta = np.arange(-72, 72, 2.0)
    rng = np.random.default_rng(1)
    first, second = (np.concatenate(list(mini_batches(directions(theta), 18, rng))) for _ in range(2))
    assert (first != second).any()
    assert (first == np.concatenate(batches_of(theta, 18, 1))).all()
