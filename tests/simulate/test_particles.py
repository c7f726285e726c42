"""Particles: counts known from geometry, distances known from crystallography, sentences for bad input."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from napari_lot.errors import InputError
from napari_lot.simulate.particles import amorphous_sphere, decahedron, fcc_cluster, icosahedron


@pytest.mark.parametrize(("atoms", "diameter"), [(1, 5.0), (2, 2.3), (300, 20.0), (None, 24.0)])
def test_an_amorphous_sphere_keeps_its_distance_and_its_size(atoms, diameter):
    orbitals = amorphous_sphere("Si", diameter, 2.3, atoms=atoms, width_A=0.6, seed=3)
    assert len(orbitals) == (atoms or round(0.42 * (diameter / 2.3) ** 3))
    assert np.linalg.norm(orbitals.positions, axis=1).max() <= diameter / 2 + 1e-9
    if len(orbitals) > 1:
        assert pdist(orbitals.positions).min() >= 2.3
    assert set(orbitals.symbols) == {"Si"}
    assert np.all(orbitals.width == 0.6)


def test_an_amorphous_sphere_fills_its_volume_evenly():
    radius = np.linalg.norm(amorphous_sphere("Si", 36.0, 2.3, seed=1).positions, axis=1)
    inner = np.mean(radius < 18.0 * 0.5 ** (1 / 3))  # half of the volume
    assert 0.35 < inner < 0.55  # pushed towards the rim a little, neither hollow nor clotted


def test_the_seed_decides():
    one, same, other = (amorphous_sphere("Si", 15.0, 2.3, seed=s).positions for s in (5, 5, 6))
    assert np.array_equal(one, same)
    assert not np.allclose(one, other)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((0.0, 2.3), "positive diameter"),
        ((10.0, -1.0), "positive diameter"),
        ((10.0, 2.3, 0), "at least 1 atom"),
        ((10.0, 2.3, 500), "do not fit at random into a sphere of 10 Å"),
    ],
)
def test_impossible_spheres_are_refused(arguments, sentence):
    diameter, distance, *atoms = arguments
    with pytest.raises(InputError, match=sentence):
        amorphous_sphere("Si", diameter, distance, atoms=atoms[0] if atoms else None)


@pytest.mark.parametrize(("make", "atoms"), [(lambda: fcc_cluster("Pt", 1), 38), (lambda: fcc_cluster("Pt", 2), 201),
                                             (lambda: icosahedron("Au", 3), 55), (lambda: icosahedron("Au", 4), 147),
                                             (lambda: decahedron("Pt", 3, 2), 39)])  # fmt: skip
def test_clusters_have_their_magic_numbers(make, atoms):
    pytest.importorskip("ase")
    orbitals = make()
    assert len(orbitals) == atoms
    assert np.allclose(orbitals.positions.mean(0), 0, atol=1e-9)


def test_an_fcc_cluster_has_the_nearest_distance_of_its_lattice():
    pytest.importorskip("ase")
    orbitals = fcc_cluster("Si", 2, lattice_A=4.0)
    assert pdist(orbitals.positions).min() == pytest.approx(4.0 / np.sqrt(2), rel=1e-9)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: fcc_cluster("Xx", 2), "Unknown element 'Xx'"),
        (lambda: icosahedron("Si", 3), "no fcc lattice constant"),
        (lambda: icosahedron("Pt", 3, lattice_A=-1.0), "must be positive"),
    ],
)
def test_impossible_clusters_are_refused(make, sentence):
    pytest.importorskip("ase")
    with pytest.raises(InputError, match=sentence):
        make()


@pytest.mark.parametrize(
    "make", [lambda: fcc_cluster("Pt", 0), lambda: icosahedron("Pt", 0), lambda: decahedron("Pt", 1, 2)]
)
def test_clusters_without_atoms_are_refused(make):
    with pytest.raises(InputError, match="needs"):
        make()


def test_without_ase_the_sentence_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "ase", None)
    monkeypatch.setitem(sys.modules, "ase.cluster", None)
    with pytest.raises(InputError, match="pip install ase"):
        fcc_cluster("Pt", 2)
