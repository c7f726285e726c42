"""What a recording adds, against geometry and statistics worked out here."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from napari_lot.atoms import Orbitals
from napari_lot.errors import InputError
from napari_lot.simulate.images import simulate_series
from napari_lot.simulate.particles import amorphous_sphere
from napari_lot.simulate.settings import Recording

THETA = np.arange(-60.0, 61.0, 15.0)


def centroid_A(image, pixel_A):
    rows, columns = np.indices(image.shape)
    v, u = ((image * a).sum() / image.sum() - (n - 1) / 2 for a, n in zip((rows, columns), image.shape, strict=True))
    return np.array([u, v]) * pixel_A


def test_the_atom_is_where_the_true_angles_put_it_and_the_series_holds_the_nominal_ones():
    at = np.array([5.0, -3.0, 4.0])
    atom = Orbitals.create([at], width=0.8)
    recording = Recording(angle_error_deg=2.0, seed=5)
    series = simulate_series(atom, THETA, 0.3, None, image_shape=(64, 64), recording=recording)
    np.testing.assert_array_equal(series.angles_deg[:, 1], THETA)
    errors = series.metadata["angle_errors_deg"]
    assert errors.shape == (9, 3)
    for image, theta, error in zip(series.images.astype(float), THETA, errors, strict=True):
        tilted = Rotation.from_euler("y", theta, degrees=True).apply(at)
        # turns about the axes of the image, u first: extrinsic x, y, z
        u, v, _ = Rotation.from_euler("xyz", error, degrees=True).apply(tilted)
        np.testing.assert_allclose(centroid_A(image, 0.3), [u, v], atol=2e-3)
        assert np.linalg.norm(centroid_A(image, 0.3) - tilted[:2]) > 0.01


def test_angle_errors_are_normal_about_all_three_axes_and_change_nothing_else():
    atom = Orbitals.create([[3.0, 2.0, 1.0]], width=0.8)
    theta = np.linspace(-70, 70, 400)
    series = simulate_series(
        atom, theta, 1.0, None, image_shape=(12, 12), recording=Recording(angle_error_deg=0.7, drift_A=0.2, seed=1)
    )
    errors = series.metadata["angle_errors_deg"]
    np.testing.assert_allclose(errors.std(0), 0.7, rtol=0.15)
    assert np.abs(errors.mean(0)).max() < 4 * 0.7 / np.sqrt(400)
    assert np.abs(np.corrcoef(errors.T) - np.eye(3)).max() < 0.2
    without = simulate_series(atom, theta, 1.0, None, image_shape=(12, 12), recording=Recording(drift_A=0.2, seed=1))
    np.testing.assert_array_equal(series.metadata["shifts_px"], without.metadata["shifts_px"])
    assert not without.metadata["angle_errors_deg"].any()


def test_detector_units_are_gain_times_electrons_plus_offset_and_read_noise():
    particle = amorphous_sphere("Si", 16.0, 2.3, atoms=40, seed=2)
    plain = Recording(dose_e_per_A2=2e3, background=5.0, seed=3)
    args = (particle, THETA, 0.5, None)
    electrons = simulate_series(*args, recording=plain)
    assert electrons.counts
    detector = plain.model_copy(update={"gain": 3.0, "offset": 40.0, "read_noise": 2.5})
    series = simulate_series(*args, recording=detector)
    assert not series.counts
    noise = series.images.astype(float) - (3.0 * electrons.images.astype(float) + 40.0)
    assert abs(noise.mean()) < 4 * 2.5 / np.sqrt(noise.size)
    assert noise.std() == pytest.approx(2.5, rel=0.02)
    # normal, and independent from pixel to pixel and tilt to tilt
    assert ((noise / 2.5) ** 4).mean() == pytest.approx(3.0, rel=0.1)
    assert abs((noise[:, :, 1:] * noise[:, :, :-1]).mean()) < 0.05 * 2.5**2
    assert abs((noise[1:] * noise[:-1]).mean()) < 0.05 * 2.5**2


@pytest.mark.parametrize("change", [{"gain": 2.0}, {"offset": 1.0}, {"read_noise": 0.5}, {"dose_e_per_A2": None}])
def test_only_bare_electrons_are_counts(change):
    assert Recording(dose_e_per_A2=10.0).counts
    assert not Recording(dose_e_per_A2=10.0).model_copy(update=change).counts


def test_values_out_of_bounds_are_named():
    with pytest.raises(InputError, match=r"^read_noise: .*greater than or equal to 0 \(given: -1\)"):
        Recording.checked(read_noise=-1)
    with pytest.raises(InputError, match=r"^angle_error_deg: "):
        Recording.checked(angle_error_deg=100.0)
    assert Recording.checked(gain=None, seed=4) == Recording(seed=4)
