"""Particles by name and size, and several elements on them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from napari_lot.errors import InputError
from napari_lot.simulate.alloy import cross_sections_A2, with_cross_section, with_elements, with_width
from napari_lot.simulate.particles import amorphous_sphere
from napari_lot.simulate.recipe import build_particle
from napari_lot.simulate.settings import Recipe


@pytest.mark.parametrize(
    ("sizes", "atoms"),
    [
        ({"kind": "fcc", "shells": 2}, 201),
        ({"kind": "icosahedron", "shells": 3}, 55),
        ({"kind": "decahedron", "edge": 3, "length": 4}, 71),
        ({"kind": "decahedron", "edge": 3, "length": 4, "notch": 1}, 238),
        ({"kind": "amorphous", "diameter_A": 20.0, "atoms": 150}, 150),
    ],
)
def test_each_kind_has_the_atoms_of_its_size(sizes, atoms):
    made = build_particle(Recipe.checked(**sizes), ["Au"])
    assert len(made) == atoms
    assert set(made.symbols) == {"Au"}
    np.testing.assert_allclose(made.integrated, 0.0017 * (79 / 14) ** 1.7)


def test_the_smallest_distance_is_that_given_or_a_little_below_the_crystals():
    for given, least in ((2.6, 2.6), (None, 0.93 * 2.35)):
        made = build_particle(Recipe.checked(kind="amorphous", diameter_A=24.0, min_distance_A=given), ["Si"], seed=4)
        nearest = cKDTree(made.positions).query(made.positions, 2)[0][:, 1]
        assert least <= nearest.min() < 1.1 * least
        assert np.linalg.norm(made.positions, axis=1).max() <= 12.0 + 1e-9


def test_a_lattice_constant_scales_a_crystal():
    near, far = (
        build_particle(Recipe.checked(kind="fcc", shells=1, lattice_A=a), ["Pt"]).positions for a in (3.92, 4.2)
    )
    np.testing.assert_allclose(far * 3.92 / 4.2, near, atol=1e-9)


def test_fractions_are_met_to_the_atom_at_random_and_again_with_the_seed():
    particle = amorphous_sphere("Si", 30.0, 2.3, atoms=601, seed=1)
    alloy = with_elements(particle, ["Co", "Pd", "Pt"], [1, 1, 2], seed=7)
    counts = np.bincount(alloy.species, minlength=3)
    assert counts.sum() == 601
    assert np.abs(counts - 601 * np.array([0.25, 0.25, 0.5])).max() < 1
    assert np.array_equal(alloy.species, with_elements(particle, ["Co", "Pd", "Pt"], [1, 1, 2], seed=7).species)
    assert not np.array_equal(alloy.species, with_elements(particle, ["Co", "Pd", "Pt"], [1, 1, 2], seed=8).species)
    # no order left: neighbours in the list and along x are as often alike as chance has it
    for order in (np.arange(601), np.argsort(particle.positions[:, 0])):
        alike = np.mean(alloy.species[order][1:] == alloy.species[order][:-1])
        assert abs(alike - 0.375) < 4 * np.sqrt(0.375 * 0.625 / 600)
    equal = np.bincount(with_elements(particle, ["Co", "Pt"]).species)
    assert sorted(equal) == [300, 301]


def test_heights_follow_the_cross_sections_and_a_width_keeps_them():
    silicon, gold = cross_sections_A2(["Si", "Au"])
    assert silicon == pytest.approx(0.0017)
    assert gold / silicon == pytest.approx((79 / 14) ** 1.7)
    alloy = with_elements(amorphous_sphere("Si", 16.0, 2.3, atoms=40, seed=2), ["Si", "Au"], [3, 1])
    strong = with_width(with_cross_section(alloy, [0.002, 0.03]), [0.4, 0.7])
    of_gold = strong.species == 1
    assert of_gold.sum() == 10
    np.testing.assert_allclose(strong.integrated, np.where(of_gold, 0.03, 0.002))
    np.testing.assert_allclose(strong.width, np.where(of_gold, 0.7, 0.4))


@pytest.mark.parametrize(
    ("sizes", "sentence"),
    [
        ({"kind": "fcc"}, "^A particle of kind fcc needs shells.$"),
        ({"kind": "decahedron", "edge": 3}, "needs length"),
        ({"kind": "amorphous", "diameter_A": 20.0, "shells": 2}, "^shells: a particle of kind amorphous has none"),
        ({"kind": "amorphous", "diameter_A": -1.0}, "^diameter_A: .*greater than 0"),
        ({"kind": "cube"}, "^kind: "),
    ],
)
def test_a_size_that_is_missing_or_wrong_is_named(sizes, sentence):
    with pytest.raises(InputError, match=sentence):
        Recipe.checked(**sizes)


def test_elements_that_cannot_be_are_refused():
    recipe = Recipe.checked(kind="fcc", shells=1)
    with pytest.raises(InputError, match="needs an element"):
        build_particle(recipe, ["X"])
    with pytest.raises(InputError, match="2 elements and 3 fractions"):
        build_particle(recipe, ["Au", "Pt"], [1, 1, 1])
    with pytest.raises(InputError, match="Fractions must not be negative"):
        build_particle(recipe, ["Au", "Pt"], [1, -1])
    with pytest.raises(InputError, match="No nearest-neighbour distance is known for Kr"):
        build_particle(Recipe.checked(kind="amorphous", diameter_A=9.0), ["Kr"])
    with pytest.raises(InputError, match="No cross-section is known for 'X'"):
        cross_sections_A2(["X"])
