"""Places for another atom: which points of a grid they are, against a search of all of them."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from napari_lot.lot import places
from napari_lot.lot.hull import cubic_near, grid, grid_near

SPACING_A = 2.35


class Everywhere:
    """A hull that contains all points with y below a height."""

    def __init__(self, below=np.inf):
        self.below = below

    def contains(self, points):
        return points[:, 1] < self.below


def one_by_one(work, count):
    return [work(k) for k in range(count)]


def rows(points):
    return {tuple(row) for row in np.round(points, 6)}


@pytest.fixture
def atoms():
    return np.random.default_rng(3).uniform(-9, 9, (60, 3))


@pytest.mark.parametrize("slab", [2_000_000, 3_000])
def test_places_are_the_points_neither_too_near_nor_too_far(atoms, slab, monkeypatch):
    monkeypatch.setattr(places, "SLAB_POINTS", slab)
    found = places.surroundings(atoms, Everywhere(5.0), SPACING_A, 0.7, one_by_one)
    axes = [
        np.arange(a - 1.5 * SPACING_A, b + 1.5 * SPACING_A + 0.7, 0.7)
        for a, b in zip(atoms.min(0), atoms.max(0), strict=True)
    ]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    distance, _ = cKDTree(atoms).query(points)
    expected = points[(distance >= 0.6 * SPACING_A) & (distance <= 2.0 * SPACING_A) & (points[:, 1] < 5.0)]
    assert len(expected) > 1000
    assert rows(found) == rows(expected)
    assert np.all(np.diff(found[:, 1]) >= 0), "in the order of image rows"


def test_places_near_something_are_those_of_a_grid_around_it(atoms):
    centres = atoms[:3] + 0.4
    found = places.surroundings_near(centres, atoms, Everywhere(), SPACING_A, 0.7)
    steps = np.arange(-30, 31) * 0.7
    points = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    near, distance = cKDTree(centres).query(points)[0], cKDTree(atoms).query(points)[0]
    expected = points[(near < 2.0 * SPACING_A) & (distance >= 0.6 * SPACING_A) & (distance < 2.0 * SPACING_A)]
    assert 100 < len(expected) < len(points) / 10
    assert rows(found) == rows(expected)


def test_nothing_is_near_nothing(atoms):
    none = np.zeros((0, 3))
    assert cubic_near(none, 3.0, 0.7).shape == (0, 3)
    assert places.surroundings_near(none, atoms, Everywhere(), SPACING_A, 0.7).shape == (0, 3)
    assert places.surroundings(none, Everywhere(), SPACING_A, 0.7, one_by_one).shape == (0, 3)


def test_a_grid_near_centres_is_a_part_of_the_grid(atoms):
    found = grid_near(Everywhere(4.0), atoms[:5], 2.1, 1.0)
    everything = grid(Everywhere(4.0), atoms.min(0) - 3, atoms.max(0) + 3, 1.0)
    expected = everything[cKDTree(atoms[:5]).query(everything)[0] < 2.1]
    assert len(expected) > 100
    assert rows(found) == rows(expected)
