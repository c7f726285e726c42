"""Structures that lie elsewhere, are turned, mirrored or half turned: the motions made here are the oracle."""

import time

import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from napari_lot.analysis.compare import compare
from napari_lot.analysis.hands import WAYS, check_hands, is_mirror, misfit, name_of
from napari_lot.analysis.registration import Overlap
from napari_lot.atoms import Orbitals


def amorphous(count, seed=0, least_A=2.2):
    """Random atoms in a lopsided box that keep their distance."""
    rng = np.random.default_rng(seed)
    size = (count / 0.04) ** (1 / 3) * np.array([1.2, 1.0, 0.8])
    points = rng.uniform(0, size, (8 * count, 3))
    keep = np.ones(len(points), bool)
    for i, j in cKDTree(points).query_pairs(least_A, output_type="ndarray"):
        if keep[i] and keep[j]:
            keep[j] = False
    return points[keep][:count] - size / 2


def fcc(radius_A, noise_A, seed=0):
    rng = np.random.default_rng(seed)
    a = 3.92
    n = np.arange(-int(radius_A / a) - 2, int(radius_A / a) + 3)
    cells = np.stack(np.meshgrid(n, n, n), -1).reshape(-1, 3)
    points = np.concatenate([cells + np.array(o) for o in ((0, 0, 0), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5))]) * a
    points = points[np.linalg.norm(points - [0.3, 0.7, 0.2], axis=1) < radius_A]
    return points + rng.normal(0, noise_A, points.shape)


def disturbed(truth, seed=1):
    """Found atoms: one in twenty lost, some false, 5 pm noise an axis."""
    rng = np.random.default_rng(seed)
    found = truth[rng.random(len(truth)) < 0.95] + rng.normal(0, 0.05, 3)
    found = found + rng.normal(0, 0.05, found.shape)
    false = rng.uniform(truth.min(0), truth.max(0), (len(truth) // 50, 3))
    return rng.permutation(np.concatenate([found, false]))


def atoms(points):
    return Orbitals.create(points)


@pytest.mark.parametrize("shift", [[37.2, -11.3, 5.7], [2.77, 2.77, 0], [-400.0, 0, 300]])
@pytest.mark.parametrize("make", [lambda: amorphous(700), lambda: fcc(13, 0.1)])
def test_a_shift_is_found_wherever_the_other_structure_lies(make, shift):
    truth = make()
    found = disturbed(truth)
    near, far = compare(atoms(found), atoms(truth)), compare(atoms(found + shift), atoms(truth))
    assert far.recall == near.recall > 0.93
    assert far.rmsd_pm == pytest.approx(near.rmsd_pm, rel=1e-6)
    assert far.shift_A == pytest.approx(near.shift_A + shift, abs=1e-6)


def test_a_part_finds_its_place_in_the_whole():
    whole = amorphous(1200)
    part = whole[np.linalg.norm(whole - [8, 0, 0], axis=1) < 9]
    got = compare(atoms(part + np.array([55.0, 5, -8])), atoms(whole))
    assert got.precision == 1
    assert got.rmsd_pm < 1e-6


def test_structures_that_nearly_coincide_stay_where_they_are():
    """What the coordinates say is not given up for a few more pairs."""
    truth = fcc(13, 0.0)
    found = truth + np.array([0.1, 0, 0])
    assert compare(atoms(found), atoms(truth)).shift_A == pytest.approx([0.1, 0, 0])


def test_a_rotation_is_removed_from_far_away():
    truth = amorphous(900)
    turn = Rotation.from_rotvec([0.03, 0.06, -0.02])
    found = turn.apply(disturbed(truth)) + np.array([20.0, 3, -9])
    got = compare(atoms(found), atoms(truth), rotate=True)
    assert got.recall > 0.93
    assert got.rmsd_pm < 9
    assert Rotation.from_matrix(got.rotation).magnitude() == pytest.approx(turn.magnitude(), abs=2e-3)


@pytest.mark.parametrize("signs", WAYS)
def test_the_overlap_of_a_turned_structure_is_that_of_turned_atoms(signs):
    """Transforms that are conjugated and flipped against ones of atoms that are turned over."""
    truth, shift = amorphous(400), np.array([7.0, -3.4, 11.2])
    moved = truth * np.array(signs) + shift
    by_flip = Overlap(moved, truth).shifts(signs, count=1)[0]
    assert by_flip == pytest.approx(shift * np.array(signs), abs=0.9)


@pytest.mark.parametrize("rotate", [False, True])
@pytest.mark.parametrize("signs", WAYS[1:])
def test_every_mirror_image_and_half_turn_is_recognised(signs, rotate):
    truth = amorphous(300, seed=4)
    turn = Rotation.from_rotvec([0.02, 0.03, -0.02] if rotate else [0, 0, 0])
    found = (turn.apply(disturbed(truth)) + np.array([4.0, 1, 2])) * np.array(signs)
    got = check_hands(atoms(found), atoms(truth), rotate=rotate)
    assert got.best == signs
    assert got.comparisons[signs].recall > 0.93
    assert np.linalg.det(got.comparisons[signs].rotation) == pytest.approx(1)
    assert got.sentence.startswith("The other hand fits better" if is_mirror(signs) else "Another orientation fits")
    assert name_of(signs) in got.sentence


def test_the_right_hand_is_confirmed_and_an_achiral_structure_is_not_judged():
    truth = amorphous(300)
    assert check_hands(atoms(disturbed(truth)), atoms(truth)).sentence.startswith("The hand agrees: as it is ")
    cube = fcc(9, 0.0)
    cube = np.unique(np.round(np.concatenate([cube * s for s in WAYS]), 6), axis=0)
    got = check_hands(atoms(cube + np.random.default_rng(0).normal(0, 0.05, cube.shape)), atoms(cube))
    assert got.best == (1, 1, 1)
    assert "cannot tell the hand" in got.sentence


def test_strangers_are_said_to_be_strangers():
    got = check_hands(atoms(amorphous(300, 1)), atoms(amorphous(300, 2)))
    assert got.sentence.startswith("Neither the atoms as they are nor a mirror image")


def test_misfit_counts_lone_atoms_as_a_cutoff_away():
    truth = atoms([[0, 0, 0], [5, 0, 0], [0, 5, 0], [0, 0, 5]])
    assert misfit(compare(truth, truth)) == 0
    half = compare(truth.take([0, 1]), truth)
    assert misfit(half) == pytest.approx(1 / 3)


def test_25000_atoms_in_seconds():
    truth = fcc(45.0, 0.1)
    found = disturbed(truth) + np.array([31.0, 2, -17])
    began = time.process_time()
    got = compare(atoms(found), atoms(truth))
    assert time.process_time() - began < 5
    assert len(truth) > 25_000
    assert got.recall > 0.93
