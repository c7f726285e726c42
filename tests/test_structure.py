"""Neighbours and g(r) against full distance matrices, lattices whose shells are known, and gases in awkward shapes."""

import time

import numpy as np
import pytest

from napari_lot.analysis.pair_counts import count_pairs
from napari_lot.analysis.structure import analyse
from napari_lot.atoms import Orbitals
from napari_lot.errors import InputError
from test_hands import fcc


@pytest.mark.parametrize(
    ("kinds", "limit", "flat"), [(1, 4.0, False), (3, 7.5, False), (2, 30.0, False), (2, 5.0, True)]
)
def test_pairs_are_those_of_the_full_matrix(kinds, limit, flat):
    rng = np.random.default_rng(kinds)
    points = rng.uniform(-10, 10, (300, 3)) * ([1, 1, 0] if flat else [1, 1, 1])
    kind = rng.integers(0, kinds, 300)
    got = count_pairs(points, kind, kinds, limit, 40)
    distance = np.sqrt(((points[:, None] - points[None]) ** 2).sum(-1))
    i, k = np.triu_indices(300, 1)
    for a in range(kinds):
        for b in range(kinds):
            some = (np.minimum(kind[i], kind[k]) == a) & (np.maximum(kind[i], kind[k]) == b)
            expected = np.histogram(distance[i, k][some], 40, (0, limit))[0] if a <= b else np.zeros(40)
            assert np.array_equal(got[a, b], expected)


def gas(shape, count, seed=0):
    points = np.random.default_rng(seed).uniform(-40, 40, (12 * count, 3))
    r = np.linalg.norm(points, axis=1)
    inside = {
        "ball": r < 40,
        "hollow ball": (r < 40) & (r > 25),
        "film": np.abs(points[:, 2]) < 8,
        "ell": (points[:, 0] < -10) | (points[:, 1] < -10),
    }[shape]
    return points[inside][:count]


@pytest.mark.parametrize("shape", ["ball", "hollow ball", "film", "ell"])
def test_g_of_a_gas_is_one_in_any_shape(shape):
    """A gas has no order: what g(r) has left is the shape. Its own noise is far below 1 % in 2 Å."""
    s = analyse(Orbitals.create(gas(shape, 20_000)))
    for low in (1, 2, 4, 6, 8, 10):
        some = (s.r_A >= low) & (s.r_A < low + 2)
        assert s.g[some].mean() == pytest.approx(1, abs=0.025)


def test_fcc_has_the_shells_of_fcc():
    a = 3.92
    s = analyse(Orbitals.create(fcc(30.0, 0.0)), reach_A=8.0)
    shells = a / np.sqrt(2) * np.sqrt([1, 2, 3, 4, 5])
    occupied = s.r_A[s.g > 0]
    near = np.abs(occupied[occupied < 6.3][:, None] - shells)
    assert (near.min(axis=1) <= 0.026).all(), "nothing between the shells"
    assert (near.min(axis=0) <= 0.026).all(), "every shell is there"
    # neighbours of a bulk atom in each shell: 12, 6, 24, 12, 24
    assert s.cutoff_A == pytest.approx((shells[0] + shells[1]) / 2, abs=0.2)
    bulk = np.linalg.norm(fcc(30.0, 0.0), axis=1) < 25
    assert (s.coordination[bulk] == 12).all()
    assert s.coordination[~bulk].min() < 12
    assert s.nearest_A == pytest.approx(a / np.sqrt(2))
    # pairs in a shell of a bulk crystal: g * 4 pi r^2 dr * density = number of neighbours
    density = 4 / a**3
    around = [float((s.g * 4 * np.pi * s.r_A**2 * 0.05 * density)[np.abs(s.r_A - r) < 0.06].sum()) for r in shells]
    assert around == pytest.approx([12, 6, 24, 12, 24], rel=0.05)


def test_partial_pairs_of_an_alloy():
    """Two interpenetrating lattices of CsCl: unlike neighbours are the nearest, like ones come second."""
    a = 3.0
    n = np.stack(np.meshgrid(*[np.arange(-5, 6)] * 3), -1).reshape(-1, 3) * a
    points = np.concatenate([n, n + a / 2])
    species = np.repeat([0, 1], len(n))
    s = analyse(Orbitals.create(points, species=species, elements=("Pt", "Al")), cutoff_A=2.8)
    first = np.abs(s.r_A - a * np.sqrt(3) / 2) < 0.06
    second = np.abs(s.r_A - a) < 0.06
    assert s.partial(("Pt", "Al"))[first].max() > 5
    assert s.partial(("Pt", "Al"))[second].max() == 0
    assert s.partial(("Pt", "Pt"))[first].max() == 0
    assert s.partial(("Al", "Al"))[second].max() > 3
    assert s.numbers == {"Al": len(n), "Pt": len(n)}
    assert s.given
    distance = np.sqrt(((points[:, None] - points[None]) ** 2).sum(-1))
    bond = (distance < 2.8) & (distance > 0)
    assert np.array_equal(s.coordination, bond.sum(1))
    assert s.bonds["Pt", "Al"] == pytest.approx(bond[species == 0][:, species == 1].sum(1).mean())
    assert s.bonds["Pt", "Pt"] == 0


def test_partial_of_chance_is_one():
    points = gas("ball", 20_000)
    species = np.random.default_rng(5).integers(0, 2, len(points))
    s = analyse(Orbitals.create(points, species=species, elements=("Fe", "Pt")))
    some = (s.r_A > 3) & (s.r_A < 10)
    for pair in (("Fe", "Fe"), ("Fe", "Pt"), ("Pt", "Pt")):
        assert s.partial(pair)[some].mean() == pytest.approx(1, abs=0.025)


def test_first_minimum_behind_a_wide_peak():
    sigma = 0.2
    s = analyse(Orbitals.create(fcc(25.0, sigma)))
    r = np.linspace(2.9, 3.9, 1001)
    shells, around = 3.92 / np.sqrt(2) * np.sqrt([1, 2, 3]), (12, 6, 24)
    width = np.sqrt(2) * sigma
    g = sum(n / r**2 * np.exp(-((r - x) ** 2) / (2 * width**2)) for x, n in zip(shells, around, strict=True))
    assert s.cutoff_A == pytest.approx(r[g.argmin()], abs=0.1)


def test_bad_input_is_one_sentence():
    with pytest.raises(InputError, match="need at least 3"):
        analyse(Orbitals.create([[0, 0, 0], [1, 1, 1]]))
    with pytest.raises(InputError, match="cutoff must be positive"):
        analyse(Orbitals.create(fcc(8, 0)), cutoff_A=0)
    with pytest.raises(InputError, match="lie on another one"):
        analyse(Orbitals.create(np.zeros((5, 3))))


def test_25000_atoms_within_a_second():
    atoms = Orbitals.create(fcc(45.0, 0.1))
    analyse(Orbitals.create(fcc(8, 0)))  # compiled
    began = time.process_time()
    analyse(atoms)
    assert time.process_time() - began < 1.5
    assert len(atoms) > 25_000


@pytest.mark.parametrize("count", [3, 4, 10])
def test_a_few_atoms_are_enough(count):
    s = analyse(Orbitals.create(np.random.default_rng(1).normal(0, 3, (count, 3))))
    assert np.isfinite(s.g).all()
    assert len(s.coordination) == count
