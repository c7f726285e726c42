"""Atoms traced in volumes whose atoms are known: found, where they are, how strong, and why the others are none."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import least_squares
from scipy.spatial.distance import pdist

from napari_lot.errors import InputError
from napari_lot.settings import settings_from_dict
from napari_lot.settings.tracing import Tracing
from napari_lot.voxel.atoms.gaussians import fit_gaussians
from napari_lot.voxel.atoms.integrals import integrals
from napari_lot.voxel.atoms.peaks import apart, ball, local_maxima, typical_strength, where_noise_ends
from napari_lot.voxel.atoms.polynomials import fit_polynomials
from napari_lot.voxel.atoms.species import atoms_of, find_atoms
from napari_lot.voxel.atoms.tracing import Flag, trace
from napari_lot.voxel.atoms.windows import FITTED, NO_MAXIMUM
from napari_lot.voxel.volume import Volume
from voxel.painted import SPACING_A, VOXEL_A, WIDTH_A, noise, painted, pairs, random_atoms, volume_of

ATOMS = random_atoms(0, 7.8)
PEAK = 1 / (np.pi**1.5 * WIDTH_A**3)
"""Value in the middle of an atom of integral 1."""


def figures(traced, truth):
    """Recall, precision, root mean square distance in pm, and found integrals in true ones, of the same unit."""
    found = traced.atoms
    these = pairs(found.positions, truth)
    away = found.positions[these[:, 0]] - truth[these[:, 1]]
    rmsd = 100 * np.sqrt((away**2).sum(1).mean())
    return len(these) / len(truth), len(these) / len(found), rmsd, these


@pytest.fixture(scope="module")
def clean():
    return painted(ATOMS)


# What is asserted is some 1.5 times what these volumes give: 0.06, 0.06, 2.0 and 21 pm without noise, and with it 5.2,
# 5.1 and 6.5 pm.
@pytest.mark.parametrize(
    ("fit", "sigma", "most_pm"),
    [
        ("gaussian", 0.0, 0.12),
        ("ellipsoid", 0.0, 0.12),
        ("polynomial", 0.0, 3.0),
        ("none", 0.0, 30.0),
        ("gaussian", 0.06, 7.5),
        ("ellipsoid", 0.06, 7.5),
        ("polynomial", 0.06, 9.8),
    ],
)
def test_all_atoms_are_found_where_they_are(clean, fit, sigma, most_pm):
    traced = trace(volume_of(clean + noise(1, 48, sigma * PEAK)), SPACING_A, Tracing(fit=fit), contrast=1.0)
    recall, precision, rmsd, these = figures(traced, ATOMS)
    assert len(ATOMS) > 100
    assert precision == 1
    # of two whose maxima are in neighbouring voxels that are too close one goes, where no fit tells more
    assert recall >= (0.97 if fit == "none" else 1)
    assert rmsd < most_pm
    share = traced.atoms.integrated[these[:, 0]]
    assert abs(np.median(share) - 1) < (0.02 if sigma == 0 and fit != "none" else 0.05)
    assert np.std(share) < (0.06 if fit == "none" else 0.02 if sigma == 0 else 0.08)


def test_a_quartic_is_nearer_than_a_parabola_without_noise_and_farther_with_it(clean):
    def rmsd(values, degree):
        return figures(trace(volume_of(values), SPACING_A, Tracing(fit="polynomial", degree=degree)), ATOMS)[2]

    noisy = clean + noise(1, 48, 0.06 * PEAK)
    assert rmsd(clean, 4) < 0.6 * rmsd(clean, 2)
    assert rmsd(noisy, 4) > 1.1 * rmsd(noisy, 2)


def test_a_missing_wedge_is_what_ellipsoids_are_for(clean):
    """What no tilt beyond 65 degrees leaves of the volume: elongated along z, dark lobes beside every atom."""
    size = len(clean)
    kz, kx = np.fft.fftfreq(size)[:, None, None], np.fft.rfftfreq(size)[None, None, :]
    seen = np.abs(kz) <= np.tan(np.deg2rad(65)) * kx + 1e-9
    volume = volume_of(np.fft.irfftn(np.fft.rfftn(clean) * seen, s=clean.shape, axes=(0, 1, 2)))
    got = {
        fit: figures(trace(volume, SPACING_A, Tracing(fit=fit), contrast=1.0), ATOMS)
        for fit in ("ellipsoid", "gaussian")
    }
    for fit, most_pm in (("ellipsoid", 13.0), ("gaussian", 15.0)):
        recall, precision, rmsd, _ = got[fit]
        assert recall >= 0.98
        assert precision == 1
        assert rmsd < most_pm
    assert got["ellipsoid"][2] < 0.99 * got["gaussian"][2]


def test_positions_count_from_the_origin_of_the_volume(clean):
    whole = trace(volume_of(clean), SPACING_A).atoms
    moved = Volume(np.asarray(clean, np.float32), VOXEL_A, (100.0, -20.0, 3.0))
    shift = np.array(moved.origin_A) - np.array(volume_of(clean).origin_A)
    np.testing.assert_allclose(trace(moved, SPACING_A).atoms.positions, whole.positions + shift, atol=1e-9)


@pytest.mark.parametrize("fit", ["gaussian", "ellipsoid", "polynomial"])
def test_an_integral_is_what_an_image_of_the_atom_adds_up_to(fit):
    """One atom off the voxels: the volume's sum, and its projection's, in intensity times Å^2."""
    values = painted([[0.13, -0.31, 0.2]], 7.5)
    traced = trace(volume_of(values), SPACING_A, Tracing(fit=fit))
    image = values.sum(0) * VOXEL_A  # the integral along the beam
    assert image.sum() * VOXEL_A**2 == pytest.approx(7.5, rel=1e-6)
    np.testing.assert_allclose(traced.atoms.integrated, [7.5], rtol=0.02)
    np.testing.assert_allclose(traced.atoms.width, [WIDTH_A], rtol=0.02)
    np.testing.assert_allclose(traced.atoms.height, [image.max()], rtol=0.05)


def test_widths_along_the_axes_are_those_of_a_missing_wedge():
    widths = np.array([[0.75, 0.8, 1.2]])
    values = painted([[0.1, 0.2, -0.15]], 3.0, widths)
    (atom,) = trace(volume_of(values), SPACING_A, Tracing(fit="ellipsoid")).atoms.width
    assert atom == pytest.approx(np.cbrt(widths.prod()), rel=1e-3)


Q = 1.2 / WIDTH_A
IN_A_SPHERE = math.erf(Q) - 2 * Q * math.exp(-(Q**2)) / math.sqrt(math.pi)


@pytest.mark.parametrize(("shape", "share"), [("sphere", IN_A_SPHERE), ("box", math.erf(Q) ** 3)])
def test_what_a_sphere_or_a_box_holds(shape, share):
    """Of a Gaussian within 1.2 Å of its middle: what the integral over it says."""
    values = painted([[0.0, 0.0, 0.0]], 1.0, voxel_A=0.2, size=48) + 0.3
    settings = Tracing(integral=shape, integral_radius_A=1.2)
    traced = trace(volume_of(values, 0.2), SPACING_A, settings)
    np.testing.assert_allclose(traced.columns()["intensity_A2"], [share], rtol=0.01)
    np.testing.assert_allclose(traced.atoms.integrated, [1.0], rtol=0.01)
    with_ground = trace(volume_of(values, 0.2), SPACING_A, Tracing(integral_radius_A=1.2, background="none"))
    extra = 0.3 * 4 / 3 * np.pi * 1.2**3
    np.testing.assert_allclose(with_ground.columns()["intensity_A2"], [IN_A_SPHERE + extra], rtol=0.03)


def test_two_elements_are_told_apart():
    rng = np.random.default_rng(4)
    kind = rng.integers(0, 2, len(ATOMS))
    strength = np.where(kind == 0, 1.0, 0.35) * rng.normal(1, 0.05, len(ATOMS))
    values = painted(ATOMS, strength) + noise(5, 48, 0.03 * PEAK)
    settings = settings_from_dict({"model": {"elements": ["Pt", "Fe"]}})
    found = find_atoms(volume_of(values), settings)
    recall, precision, _, these = figures(found.traced, ATOMS)
    assert (recall, precision) == (1, 1)
    assert found.traced.atoms.elements == ("Pt", "Fe")
    np.testing.assert_array_equal(found.traced.atoms.species[these[:, 0]], kind[these[:, 1]])
    assert found.p_element.min() > 0.9
    np.testing.assert_allclose(found.mixture.mean, [0.35, 1.0], rtol=0.05)


def test_what_may_be_no_atoms_or_no_two_elements_is_doubted():
    strength = np.random.default_rng(4).normal(1, 0.1, len(ATOMS))
    volume = volume_of(painted(ATOMS, strength) + noise(5, 48, 0.03 * PEAK))
    one, two = (settings_from_dict({"model": {"elements": elements}}) for elements in (["Pt"], ["Pt", "Co"]))
    found = find_atoms(volume, one)
    assert found.doubts == ()
    (doubt,) = find_atoms(volume, two).doubts
    assert doubt.endswith("another element: what they show does not fall into 2 groups; check the elements.")
    flags = found.traced.flag.copy()
    flags[: len(flags) // 2 + 1] = Flag.NOT_A_MAXIMUM
    (doubt,) = found._replace(traced=replace(found.traced, flag=flags)).doubts
    assert f"{len(flags) // 2 + 1} of {len(flags)} peaks were refused" in doubt


def test_one_element_has_nothing_to_be_told_apart(clean):
    settings = settings_from_dict({"model": {"elements": ["Pt"]}})
    found = find_atoms(volume_of(clean), settings)
    assert found.mixture is None
    assert found.p_element is None
    assert set(atoms_of(volume_of(clean), settings).symbols) == {"Pt"}


def test_the_neighbours_of_a_crowded_pair_do_not_draw_it():
    """Two atoms 1.9 Å apart: what a fit by itself sees of the other is taken away in the later rounds."""
    pair = np.array([[-0.95, 0.1, 0.05], [0.95, 0.1, 0.05]])
    volume = volume_of(painted(pair, [1.0, 0.6]))
    settings = {"min_distance_A": 1.5, "fit_radius_A": 1.1}
    alone = figures(trace(volume, SPACING_A, Tracing(rounds=1, **settings)), pair)
    together = trace(volume, SPACING_A, Tracing(rounds=6, **settings))
    assert figures(together, pair)[:2] == (1, 1)
    assert figures(together, pair)[2] < 0.5 < 3 < alone[2]
    np.testing.assert_allclose(together.atoms.integrated, [1.0, 0.6], rtol=0.02)


def test_of_two_that_are_too_close_the_stronger_one_stays():
    pair = np.array([[-0.95, 0.1, 0.05], [0.95, 0.1, 0.05]])
    traced = trace(volume_of(painted(pair, [0.6, 1.0])), SPACING_A, Tracing(min_distance_A=2.1))
    assert traced.flag.tolist() == [Flag.OK, Flag.TOO_CLOSE]
    np.testing.assert_allclose(traced.atoms.positions, pair[1:], atol=0.1)


def test_an_atom_at_the_edge_is_flagged_and_no_atom():
    half = 0.5 * 47 * VOXEL_A
    places = np.array([[0.0, 0, 0], [half - 0.1, 0, 0], [0, -half, 0]])
    traced = trace(volume_of(painted(places)), SPACING_A)
    assert traced.flag.tolist() == [Flag.OK, Flag.AT_EDGE, Flag.AT_EDGE]
    np.testing.assert_allclose(traced.atoms.positions, places[:1], atol=0.01)
    assert traced.counts() == {"ok": 1, "at_edge": 2, "not_a_maximum": 0, "moved": 0, "too_close": 0, "too_weak": 0}


def test_a_hot_voxel_is_no_atom(clean):
    values = clean.copy()
    values[5, 5, 40] = 1.2 * PEAK  # bright, but with the integral of a voxel
    traced = trace(volume_of(values), SPACING_A, contrast=1.0)
    assert len(traced.atoms) == len(ATOMS)
    hot = trace(volume_of(values), SPACING_A, Tracing(threshold=0.2, blur_A=0.0))
    place = volume_of(values).places_A(np.array([[5.0, 5.0, 40.0]]))
    at = np.linalg.norm(hot.orbitals.positions - place, axis=1).argmin()
    assert hot.flag[at] in (Flag.TOO_WEAK, Flag.NOT_A_MAXIMUM)
    assert len(hot.atoms) == len(ATOMS)


def test_a_shoulder_that_a_fit_leaves_is_flagged_as_moved():
    values = painted([[0.0, 0, 0]])
    traced = trace(volume_of(values), SPACING_A, Tracing(most_move_A=1e-3))
    assert traced.flag.tolist() == [Flag.MOVED]
    assert len(traced.atoms) == 0


def test_a_flat_top_is_no_maximum_of_a_polynomial():
    """A saddle: up along x, down along the others."""
    z, y, x = np.mgrid[-5:6, -5:6, -5:6].astype(float)
    saddle = (1 + 0.1 * x**2 - 0.2 * y**2 - 0.2 * z**2).astype(np.float32)
    *_, status = fit_polynomials(saddle, np.array([[5.0, 5, 5]]), ball(2.0), 2)
    assert status.tolist() == [NO_MAXIMUM]


def test_only_where_atoms_are_wanted(clean):
    box = trace(volume_of(clean), SPACING_A, Tracing(within_A=(0, 20, -20, 20, -20, 20))).atoms
    expected = (ATOMS[:, 0] > 0).sum()
    assert abs(len(box) - expected) <= 3  # those whose maximum lies in a voxel on the other side
    assert box.positions[:, 0].min() > -VOXEL_A
    mask = np.zeros(clean.shape, bool)
    mask[:, :, 24:] = True
    masked = trace(volume_of(clean), SPACING_A, mask=mask).atoms
    np.testing.assert_array_equal(np.sort(masked.positions, 0), np.sort(box.positions, 0))


@pytest.mark.parametrize("cut_off", [False, True])
def test_the_histogram_tells_where_noise_ends(clean, cut_off):
    """A thousand maxima of noise; where values may not be negative no minima that would tell of it."""
    values = clean + noise(7, 48, 0.12 * PEAK)
    values = np.maximum(values, 0) if cut_off else values
    traced = trace(volume_of(values), SPACING_A, contrast=1.0)
    recall, precision, *_ = figures(traced, ATOMS)
    assert traced.details["maxima"] > 8 * len(ATOMS)
    assert precision > 0.98
    assert recall > 0.98


def test_weak_atoms_of_unknown_elements_are_kept_where_there_is_no_noise():
    strength = np.where(np.arange(len(ATOMS)) % 2 == 0, 1.0, 0.35)
    values = painted(ATOMS, strength)
    assert len(trace(volume_of(values), SPACING_A, contrast=None).atoms) == len(ATOMS)
    assert len(trace(volume_of(values), SPACING_A, Tracing(threshold=0.6)).atoms) == len(ATOMS[::2])


def test_pure_noise_and_nothing_hold_no_atoms_of_ours():
    assert len(trace(volume_of(np.zeros((9, 9, 9))), SPACING_A)) == 0
    assert len(trace(volume_of(np.full((9, 9, 9), 3.0)), SPACING_A).atoms) == 0
    with pytest.raises(InputError, match=r"^V: no atoms were found; check the voxel size"):
        atoms_of(volume_of(np.zeros((9, 9, 9))), settings_from_dict({"model": {"elements": ["Pt"]}}), "V")


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        ({"values": np.zeros((4, 9, 9), np.float32)}, "A volume of 4 x 9 x 9 voxels has no place for an atom"),
        ({"values": np.full((9, 9, 9), np.nan, np.float32)}, "The volume holds values that are no finite numbers"),
        ({"mask": np.ones((8, 9, 9), bool)}, "The mask has 8 x 9 x 9 voxels, the volume 9 x 9 x 9"),
    ],
)
def test_what_cannot_be_traced(spoil, sentence):
    values = spoil.get("values", np.zeros((9, 9, 9), np.float32))
    with pytest.raises(InputError, match=f"^{sentence}"):
        trace(Volume.centred(values, 0.4), SPACING_A, mask=spoil.get("mask"))


def test_what_stops_the_progress_stops_the_tracing(clean):
    def stop(share):
        if share > 0.3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trace(volume_of(clean), SPACING_A, progress=stop)


# -- the pieces, against others ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("axes", [1, 3])
def test_gaussians_are_those_of_scipy(axes):
    """The same least squares by an independent solver, over the same voxels of noisy peaks."""
    rng = np.random.default_rng(3)
    values = (np.asarray(painted(ATOMS[:20], size=48)) / PEAK + noise(9, 48, 0.05)).astype(np.float32)
    truth = ATOMS[:20][:, ::-1] / VOXEL_A + 23.5
    offsets = ball(2.9)
    start = np.column_stack(
        [np.zeros(20), np.ones(20), truth + rng.uniform(-0.4, 0.4, truth.shape), np.full((20, 3), 2.0)]
    )
    found, residual, status = fit_gaussians(values, start, offsets, axes)
    assert (status == FITTED).all()

    for i in range(20):
        voxels = np.rint(start[i, 2:5]).astype(int) + offsets

        def misfit(p, voxels=voxels):
            width = np.full(3, p[5]) if axes == 1 else p[5:]
            model = p[0] + p[1] * np.exp(-(((voxels - p[2:5]) / width) ** 2).sum(1))
            return model - values[tuple(voxels.T)]

        best = least_squares(misfit, start[i, : 5 + axes], xtol=1e-12, ftol=1e-12, gtol=1e-12)
        np.testing.assert_allclose(found[i, : 5 + axes], best.x, rtol=2e-3, atol=2e-3)
        np.testing.assert_allclose(residual[i] ** 2 * len(voxels), 2 * best.cost, rtol=1e-5)


def test_a_polynomial_finds_the_maximum_of_a_polynomial():
    """A quartic that is no quadratic, at a place between the voxels: exact but for rounding."""
    z, y, x = np.mgrid[:11, :11, :11].astype(float)
    a, b, c = z - 5.2, y - 4.9, x - 5.35
    quartic = 3 - 0.3 * a**2 - 0.2 * b**2 - 0.25 * c**2 - 0.1 * a * b - 0.01 * (a**4 + b**2 * c**2)
    place, height, residual, status = fit_polynomials(quartic.astype(np.float32), np.array([[5.0, 5, 5]]), ball(2.3), 4)
    assert status.tolist() == [FITTED]
    np.testing.assert_allclose(place, [[5.2, 4.9, 5.35]], atol=1e-4)
    np.testing.assert_allclose(height, [3.0], atol=1e-5)
    assert residual[0] < 1e-5


def test_maxima_are_those_of_brute_force():
    rng = np.random.default_rng(1)
    values = rng.integers(0, 6, (9, 10, 11)).astype(np.float32)  # many equal ones
    index, strength = local_maxima(values, 3.0)
    found = {tuple(i) for i in index.tolist()}
    expected = set()
    for at in np.ndindex(values.shape):
        low = [max(n - 1, 0) for n in at]
        around = values[tuple(slice(a, n + 2) for a, n in zip(low, at, strict=True))]
        first = np.array(np.unravel_index(around.argmax(), around.shape)) + low
        if values[at] > 3 and tuple(first) == at:
            expected.add(at)
    assert found == expected
    np.testing.assert_array_equal(strength, values[tuple(index.T)])
    down, depth = local_maxima(-values, 3.0, sign=-1.0)
    assert {tuple(i) for i in down.tolist()} == expected
    np.testing.assert_array_equal(depth, strength)
    few, _ = local_maxima(values, 3.0, within=2.5)
    assert len(few) < len(index)
    assert {tuple(i) for i in few.tolist()} <= found


def test_points_are_thinned_from_the_strongest_on():
    rng = np.random.default_rng(2)
    points, strength = rng.uniform(-5, 25, (400, 3)), rng.uniform(size=400)
    kept = apart(points, strength, 4.0)
    expected: list[int] = []
    for i in np.argsort(-strength):
        if all(np.linalg.norm(points[i] - points[j]) >= 4.0 for j in expected):
            expected.append(int(i))
    assert sorted(expected) == np.flatnonzero(kept).tolist()
    assert pdist(points[kept]).min() >= 4.0
    assert apart(np.zeros((0, 3)), np.zeros(0), 1.0).tolist() == []


def test_a_typical_strength_is_that_of_atoms_among_ten_times_as_much_noise():
    rng = np.random.default_rng(0)
    atoms, weak = rng.normal(1, 0.1, 500), rng.uniform(0, 0.2, 5000)
    mixed = np.concatenate([atoms, weak, [9.0]])
    assert typical_strength(mixed) == pytest.approx(1.0, abs=0.1)
    assert 0.2 < where_noise_ends(mixed, 0.0, 1.0) < 0.75
    assert typical_strength(np.zeros(3)) == 0


def test_integrals_of_a_constant_are_nothing_or_the_volume():
    values = np.full((21, 21, 21), 2.0, np.float32)
    peak = np.array([[2.0, 1e-9, 10.2, 9.9, 10.4, 1.5, 1.5, 1.5]])
    total, share, level = integrals(values, peak, np.full(3, 1.5), 4.0, 1.0, local=False)
    soft = 4 / 3 * np.pi * (4.0**3 + 4.0 / 4)  # its surface reaches half a voxel to either side
    np.testing.assert_allclose(total, [2.0 * soft], rtol=2e-3)
    np.testing.assert_allclose(share, [1.0], rtol=0.01)
    total, _, level = integrals(values, peak, np.full(3, 1.5), 4.0, 1.0)
    np.testing.assert_allclose(total, [0.0], atol=1e-4)
    np.testing.assert_allclose(level, [2.0], rtol=1e-6)
