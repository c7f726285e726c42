"""Matching against a brute-force oracle that shares no code with it."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from napari_lot.analysis.compare import compare
from napari_lot.atoms import Orbitals
from napari_lot.errors import InputError


def oracle(found, truth, cutoff, rotate):
    """Pairs by the full distance matrix, the rotation by Kabsch's singular value decomposition."""
    shift, turn = np.zeros(3), np.eye(3)
    pairs = []
    for _ in range(50):
        moved = np.array([turn @ p - shift for p in found])
        distance = np.sqrt(((moved[:, None] - truth[None]) ** 2).sum(-1))
        pairs = [
            (i, int(distance[i].argmin()))
            for i in range(len(found))
            if distance[:, distance[i].argmin()].argmin() == i and distance[i].min() <= cutoff
        ]
        if not pairs:
            return pairs, None
        i, k = np.array(pairs).T
        before = moved[i]
        if rotate:
            a, b = found[i] - found[i].mean(0), truth[k] - truth[k].mean(0)
            u, _, vt = np.linalg.svd(b.T @ a)
            turn = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
        shift = np.mean([turn @ found[m] - truth[n] for m, n in pairs], axis=0)
        after = found[i] @ turn.T - shift
        if np.abs(after - before).max() < 1e-6:
            break
    return pairs, np.sqrt(((after - truth[k]) ** 2).sum(1).mean()) * 100


def random_case(seed, turned):
    """A structure and a disturbed copy: moved, some atoms lost, some added, shuffled."""
    rng = np.random.default_rng(seed)
    truth = rng.uniform(-9, 9, (rng.integers(20, 90), 3))
    found = truth[rng.random(len(truth)) < 0.9] + rng.normal(0, rng.choice([0.03, 0.3]), 3)
    found = found + rng.normal(0, rng.choice([0.02, 0.2]), found.shape)
    found = np.concatenate([found, rng.uniform(-9, 9, (rng.integers(0, 9), 3))])
    if turned:
        found = found @ Rotation.from_rotvec(rng.normal(0, 0.02, 3)).as_matrix().T
    return rng.permutation(found), truth


@pytest.mark.parametrize("rotate", [False, True])
@pytest.mark.parametrize("cutoff", [0.5, 1.0, 1.5])
@pytest.mark.parametrize("seed", range(12))
def test_agrees_with_brute_force(seed, cutoff, rotate):
    found, truth = random_case(seed, rotate)
    got = compare(Orbitals.create(found), Orbitals.create(truth), cutoff, rotate)
    pairs, rmsd = oracle(found, truth, cutoff, rotate)
    assert list(zip(got.found_index, got.truth_index, strict=True)) == pairs
    assert got.recall == len(pairs) / len(truth)
    assert got.precision == len(pairs) / len(found)
    assert got.rmsd_pm == pytest.approx(rmsd, rel=1e-6)
    assert len(got.missing_index) + got.matched == len(truth)
    assert len(got.false_index) + got.matched == len(found)


def test_a_known_case_by_hand():
    truth = Orbitals.create([[0, 0, 0], [3, 0, 0], [0, 3, 0], [0, 0, 3]], elements=("Pt", "Fe"), species=[0, 0, 1, 1])
    found = Orbitals.create([[0, 3.2, 0], [3.2, 0, 0], [9, 9, 9]], elements=("Fe", "Pt"), species=[0, 0, 0])
    got = compare(found, truth)
    # mean displacement (0.1, 0.1, 0): each of the two pairs is left 0.1 * sqrt(2) off
    assert got.summary() == {
        "found": 3,
        "reference": 4,
        "matched": 2,
        "recall": 0.5,
        "precision": pytest.approx(2 / 3),
        "rmsd_pm": pytest.approx(10 * np.sqrt(2)),
        "median_pm": pytest.approx(10 * np.sqrt(2)),
        "p95_pm": pytest.approx(10 * np.sqrt(2)),
        "axis_std_pm": pytest.approx([10, 10, 0]),
        "species_accuracy": 0.5,
        "shift_A": pytest.approx([0.1, 0.1, 0]),
        "rotation_deg": 0.0,
        "cutoff_A": 1.0,
    }
    assert got.missing_index.tolist() == [0, 3]
    assert got.false_index.tolist() == [2]


def test_a_mirror_image_is_not_rotated_away():
    rng = np.random.default_rng(3)
    truth = rng.normal(0, 0.3, (12, 3)) + 4 * rng.integers(-1, 2, (12, 3))
    mirrored = truth * [1, 1, -1]
    turned = truth @ Rotation.from_rotvec([0.01, 0.02, 0.1]).as_matrix().T
    assert compare(Orbitals.create(turned), Orbitals.create(truth), 1.5, rotate=True).rmsd_pm < 1e-3
    got = compare(Orbitals.create(mirrored), Orbitals.create(truth), 1.5, rotate=True)
    assert np.linalg.det(got.rotation) == pytest.approx(1)
    assert got.recall < 1 or got.rmsd_pm > 10


def test_nothing_in_reach_has_no_rmsd():
    got = compare(Orbitals.create([[50, 0, 0]]), Orbitals.create([[0, 0, 0]]))
    assert got.matched == 0
    assert got.summary()["rmsd_pm"] is None
    assert (got.recall, got.precision) == (0, 0)


def test_bad_input_is_one_sentence():
    some = Orbitals.create([[0, 0, 0]])
    with pytest.raises(InputError, match="the reference structure has no atoms"):
        compare(some, Orbitals.create(np.zeros((0, 3))))
    with pytest.raises(InputError, match="cutoff must be positive"):
        compare(some, some, cutoff_A=0)
