"""Simulated series against an independent thin-slice program, and against what the recording promises."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from napari_lot.atoms import Orbitals
from napari_lot.errors import InputError
from napari_lot.physics.orbital import orbital
from napari_lot.settings import Microscope
from napari_lot.simulate.images import Recording, simulate_series, with_cross_section
from napari_lot.simulate.particles import amorphous_sphere

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "independent" / "thin_slices.py"
ANGLES = np.array([[0.0, 0.0, 0.0], [0.0, -60.0, 0.0], [10.0, 35.0, -20.0]])
MICROSCOPE = Microscope(energy_eV=300e3, semiangle_mrad=25.0)


@pytest.fixture(scope="module")
def thin_slices():
    spec = importlib.util.spec_from_file_location("thin_slices", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def particle():
    return amorphous_sphere("Si", 24.0, 2.3, atoms=150, width_A=0.5, seed=2)


@pytest.fixture(scope="module")
def small():
    return amorphous_sphere("Si", 16.0, 2.3, atoms=60, width_A=0.5, seed=2)


def misfit(images, reference):
    """Largest difference in each image after the best scale and background, relative to the brightest pixel."""
    worst = 0.0
    for image, wanted in zip(images, reference, strict=True):
        columns = np.stack([image.ravel(), np.ones(image.size)], axis=1).astype(float)
        best, *_ = np.linalg.lstsq(columns, wanted.ravel(), rcond=None)
        worst = max(worst, np.abs(columns @ best - wanted.ravel()).max() / wanted.max())
    return worst


def test_the_independent_program_uses_nothing_of_the_package():
    text = PROGRAM.read_text(encoding="utf-8")
    assert "import napari" not in text
    assert "from napari" not in text


@pytest.mark.parametrize(("pixel_size_A", "defocus_A"), [(0.35, 0.0), (0.35, 12.0), (0.2, -12.0)])
def test_rigid_images_agree_with_thin_slices(thin_slices, small, pixel_size_A, defocus_A):
    pixels = round(30 / pixel_size_A)
    wanted = thin_slices.simulate(
        small.positions, small.height, ANGLES, pixels, pixel_size_A, defocus_A=defocus_A, slice_A=0.06
    )
    microscope = MICROSCOPE.model_copy(update={"defocus_A": defocus_A})
    series = simulate_series(small, ANGLES, pixel_size_A, microscope, image_shape=(pixels, pixels))
    # The probe's far tails wrap around in a padded canvas and not in the program, hence the scale and background.
    assert misfit(series.images, wanted) < 5e-4
    assert series.images.sum() == pytest.approx(wanted.sum(), rel=5e-3)


def test_the_sense_of_depth_shows_off_focus(thin_slices, small):
    wanted = thin_slices.simulate(small.positions, small.height, ANGLES, 86, 0.35, defocus_A=12.0, slice_A=0.25)
    wrong = MICROSCOPE.model_copy(update={"defocus_A": -12.0})
    series = simulate_series(small, ANGLES, 0.35, wrong, image_shape=(86, 86))
    assert misfit(series.images, wanted) > 0.01  # so that the agreement above means something


def test_direct_images_are_sums_of_gaussians(particle):
    series = simulate_series(particle, ANGLES[[1, 0, 2]], 0.35, None, image_shape=(90, 80))
    theta = np.radians(-60.0)
    x, y, z = particle.positions.T
    u, v = np.cos(theta) * x + np.sin(theta) * z, y
    rows, columns = (np.arange(90) - 44.5) * 0.35, (np.arange(80) - 39.5) * 0.35
    gauss_v, gauss_u = (np.exp(-(((a[:, None] - b) / 0.5) ** 2)) for a, b in ((rows, v), (columns, u)))
    assert np.abs(series.images[0] - gauss_v @ gauss_u.T).max() < 1e-4 * series.images[0].max()


def test_each_orbital_keeps_its_own_width():
    widths = np.array([0.3, 0.5, 1.2, 2.6])
    row = Orbitals.create([(8.0 * i - 12.0, 0.0, 0.0) for i in range(4)], height=[1.0, 2.0, 0.5, 3.0], width=widths)
    image = simulate_series(row, [0.0, 1.0, 2.0], 0.25, None, image_shape=(160, 160)).images[0]
    at = (np.arange(160) - 79.5) * 0.25
    wanted = sum(h * np.exp(-((at[:, None]) ** 2 + (at[None] - p[0]) ** 2) / b**2)
                 for p, h, b in zip(row.positions, row.height, widths, strict=True))  # fmt: skip
    assert np.abs(image - wanted).max() < 1e-4 * wanted.max()


def test_counts_are_poisson_around_the_dose(particle):
    dose, pixel, background = 2e5, 0.35, 3.0
    scattering = with_cross_section(particle, 0.002)
    assert np.allclose(scattering.integrated, 0.002)
    recording = Recording(dose_e_per_A2=dose, background=background, seed=4)
    angles = np.linspace(-60, 60, 12)
    clean = simulate_series(scattering, angles, pixel, MICROSCOPE, image_shape=(110, 110))
    noisy = simulate_series(scattering, angles, pixel, MICROSCOPE, image_shape=(110, 110), recording=recording)
    expected = dose * pixel**2 * np.maximum(clean.images, 0).astype(float) + background
    assert noisy.counts
    assert np.array_equal(noisy.images, np.round(noisy.images))
    normal = (noisy.images - expected) / np.sqrt(expected)
    assert abs(normal.mean()) < 4 / np.sqrt(normal.size)
    assert normal.std() == pytest.approx(1.0, abs=0.01)
    per_atom = (noisy.images - background).sum((1, 2)).mean() / len(particle)
    assert per_atom == pytest.approx(0.002 * dose, rel=0.02)


def test_drift_current_gain_and_background_are_what_the_metadata_says():
    atom = Orbitals.create([[0.0, 0.0, 0.0]], width=1.0)
    recording = Recording(drift_A=0.6, current_spread=0.1, background=0.2, gain=50.0, seed=9)
    series = simulate_series(atom, np.arange(5.0), 0.3, None, image_shape=(61, 51), recording=recording)
    assert not series.counts
    images = series.images.astype(float) / 50.0 - 0.2
    total = images.sum((1, 2))
    assert np.allclose(total / total.mean(), series.metadata["current"] / series.metadata["current"].mean(), rtol=1e-4)
    shift_u = (images * np.arange(51)).sum((1, 2)) / total - 25.0
    shift_v = (images * np.arange(61)[:, None]).sum((1, 2)) / total - 30.0
    assert np.allclose(np.stack([shift_u, shift_v], 1), series.metadata["shifts_px"], atol=2e-3)
    assert 0.5 < series.metadata["shifts_px"].std() < 5.0


def test_the_seed_repeats_the_series_and_another_does_not(particle):
    def counts(seed):
        recording = Recording(dose_e_per_A2=1e3, drift_A=0.2, seed=seed)
        return simulate_series(particle, np.arange(3.0), 0.5, None, recording=recording).images

    assert np.array_equal(counts(1), counts(1))
    assert not np.array_equal(counts(1), counts(2))


def test_the_default_field_holds_the_particle_at_every_tilt(particle):
    series = simulate_series(particle, np.arange(-90.0, 91.0, 30.0), 0.5, None)
    border = np.concatenate(
        [series.images[:, 0], series.images[:, -1], series.images[:, :, 0], series.images[:, :, -1]], 1
    )
    assert np.abs(border).max() < 1e-5
    assert np.allclose(series.images.sum((1, 2)) * 0.25, particle.integrated.sum(), rtol=1e-3)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"orbitals": Orbitals.create(np.zeros((0, 3)))}, "no atoms"),
        ({"angles_deg": [0.0, np.nan, 2.0]}, "must be finite"),
        ({"angles_deg": np.zeros((3, 2))}, "psi, theta and phi"),
        ({"pixel_size_A": 0.0}, "pixel size must be positive"),
        ({"microscope": Microscope(energy_eV=300e3)}, "semi-angle"),
        ({"image_shape": (0, 10)}, "at least one pixel"),
    ],
)
def test_unusable_input_is_refused_in_one_sentence(particle, change, sentence):
    values = {"orbitals": particle, "angles_deg": [0.0, 1.0, 2.0], "pixel_size_A": 0.4, "microscope": None} | change
    with pytest.raises(InputError, match=sentence):
        simulate_series(**values)


def test_recordings_out_of_bounds_name_the_field(particle):
    with pytest.raises(InputError, match=r"^dose_e_per_A2: .*greater than 0 \(given: -5.0\)"):
        Recording.checked(dose_e_per_A2=-5.0)
    with pytest.raises(InputError, match=r"cross-section.* must be positive"):
        with_cross_section(particle, 0.0)
    negative = Orbitals.create([[0.0, 0.0, 0.0]], height=-1.0)
    with pytest.raises(InputError, match="must not be negative"):
        simulate_series(negative, [0.0, 1.0, 2.0], 0.4, None, recording=Recording(dose_e_per_A2=10.0))


def test_slater_orbitals_are_not_gaussians_but_as_bright():
    atoms = amorphous_sphere("Si", 8.0, 2.3, atoms=8, width_A=0.5, seed=2)
    series = {
        kind: simulate_series(atoms, [0.0, 30.0, 60.0], 0.25, MICROSCOPE, orbital=orbital(kind)).images
        for kind in ("gaussian", "slater")
    }
    totals = {kind: images.sum((1, 2)) for kind, images in series.items()}
    np.testing.assert_allclose(totals["slater"], totals["gaussian"], rtol=0.02)
    assert np.abs(series["slater"] - series["gaussian"]).max() > 0.05 * series["gaussian"].max()
