"""Multislice through abTEM against the fast image model, which shares no code with it. Needs abTEM."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import least_squares

from napari_lot.atoms import Orbitals
from napari_lot.errors import InputError
from napari_lot.settings import Microscope
from napari_lot.simulate.images import simulate_series
from napari_lot.simulate.multislice import Cell, tilt_image
from napari_lot.simulate.particles import icosahedron
from napari_lot.simulate.settings import Multislice
from napari_lot.simulate.tilts import sample, simulate_multislice

# Astigmatism tells upstream from downstream, coma an image from its mirror image.
LENS = Microscope(
    energy_eV=300e3, semiangle_mrad=25.0, c12_A=30.0, phi12_deg=25.0, c21_A=1300.0, phi21_deg=40.0, source_size_A=0.8
)
SETTINGS = Multislice(sampling_A=0.05, inner_mrad=80.0, slice_A=1.0, interpolation=2)
# The detector begins at 3.2 semi-angles: nearer to the aperture the image is not quite incoherent.
CELL = Cell(side_A=13.0, grid=260, scan=67, inner_mrad=80.0, outer_mrad=128.0)
PIXEL_A, SHAPE = 0.3, (28, 32)


@pytest.fixture(scope="module")
def abtem():
    return pytest.importorskip("abtem")


def fitted(image, uvw, lens):
    """Shift (du, dv) in Å and largest misfit / peak of the fast model's atom at (u, v, w); height and width free."""

    def misfit(parameters):
        du, dv, width = parameters
        atom = Orbitals.create(np.array([uvw]) + np.array([du, dv, 0.0]), width=width)
        # three tilts of which the first counts: a series has no fewer
        model = simulate_series(atom, [0.0, 1.0, 2.0], PIXEL_A, lens, image_shape=SHAPE, threads=1).images[0]
        model = model.astype(float)
        return ((model * image).sum() / (model**2).sum() * model - image).ravel() / image.max()

    best = least_squares(misfit, [0.01, 0.01, 0.3], diff_step=0.02, max_nfev=12)
    return best.x[:2], np.abs(best.fun).max()


@pytest.mark.parametrize("uvw", [(1.1, -0.7, 12.0), (-0.8, 1.2, -13.0)])
def test_one_atom_is_where_the_fast_model_has_it_and_nothing_is_swapped(abtem, uvw):
    whole = tilt_image(np.array([uvw]), ["Si"], CELL, LENS, SETTINGS)
    image = sample(whole, CELL.side_A, SHAPE, PIXEL_A, (0.0, 0.0), LENS.source_size_A)
    shift_A, residual = fitted(image, uvw, LENS)
    assert np.abs(shift_A).max() < 0.02
    assert residual < 0.04
    u, v, w = uvw
    _, other_side = fitted(image, (u, v, -w), LENS)
    assert other_side > 3 * residual
    turned, coma = fitted(image, uvw, LENS.model_copy(update={"phi21_deg": LENS.phi21_deg + 180.0}))
    assert np.abs(turned).max() > 0.1
    assert coma > 3 * residual
    _, mirrored = fitted(image[:, ::-1], (-u, v, w), LENS)
    assert mirrored > 3 * residual


def test_a_tilted_cluster_agrees_with_the_fast_model(abtem, tmp_path):
    cluster = icosahedron("Al", 2)
    lens = Microscope(energy_eV=300e3, semiangle_mrad=25.0, source_size_A=0.9)
    settings = Multislice(sampling_A=0.06, inner_mrad=75.0, interpolation=2, margin_A=3.0, slice_A=1.0)
    angles = [[0.0, -17.0, 0.0], [11.0, 23.0, -8.0], [25.0, 40.0, 5.0]]
    args = {"image_shape": (40, 44)}
    series = simulate_multislice(cluster, angles, 0.25, lens, settings, tmp_path, **args)
    assert len(list(tmp_path.glob("tilt-*.npz"))) == 3
    assert series.images.min() >= -1e-6
    narrow = replace(cluster, width=np.full(13, 0.25))
    fast = simulate_series(narrow, angles, 0.25, lens, threads=1, **args)
    for got, wanted in zip(series.images.astype(float), fast.images.astype(float), strict=True):
        assert np.corrcoef(got.ravel(), wanted.ravel())[0, 1] > 0.98
    wrong = simulate_series(narrow, -np.array(angles), 0.25, lens, threads=1, **args)
    assert np.corrcoef(series.images[1].ravel(), wrong.images[1].ravel())[0, 1] < 0.95


def test_frozen_phonons_are_averaged_and_repeat(abtem):
    at = np.array([[0.5, -0.5, 0.0]])
    small = Cell(side_A=10.0, grid=112, scan=61, inner_mrad=45.0, outer_mrad=65.0)
    resting = SETTINGS.model_copy(update={"sampling_A": 0.09})
    moving = resting.model_copy(update={"phonon_configurations": 6, "phonon_rms_A": 0.35})
    rest, first, second = (tilt_image(at, ["Si"], small, LENS, s) for s in (resting, moving, moving))
    np.testing.assert_allclose(first, second, rtol=1e-5)
    assert first.max() < 0.97 * rest.max()
    # The mean, not the sum; on a grid this coarse an atom scatters by some per cent more or less with its place on it.
    assert first.sum() == pytest.approx(rest.sum(), rel=0.1)


def test_without_abtem_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "abtem", None)
    with pytest.raises(InputError, match=r'pip install "napari-lot\[multislice\]"'):
        simulate_multislice(icosahedron("Al", 2), [0.0, 1.0, 2.0], 0.3, LENS, SETTINGS, tmp_path)
