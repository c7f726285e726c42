"""The probe against textbook limits and against direct sums."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import fft, ndimage

from napari_lot.errors import InputError
from napari_lot.physics import optics
from napari_lot.settings import Microscope

PLAIN = Microscope(energy_eV=3e5, semiangle_mrad=25)
MIXED = Microscope(
    energy_eV=3e5, semiangle_mrad=25, defocus_A=7, c12_A=9, phi12_deg=20, c21_A=900, phi21_deg=130,
    c23_A=500, phi23_deg=-40, c30_A=3e4, c50_A=1e7,
)  # fmt: skip


@pytest.mark.parametrize(("energy_eV", "wavelength_pm"), [(80e3, 4.1757), (200e3, 2.5079), (300e3, 1.9687)])
def test_wavelength(energy_eV: float, wavelength_pm: float) -> None:
    assert optics.wavelength_A(energy_eV) * 100 == pytest.approx(wavelength_pm, abs=1e-4)


def test_depth_of_focus_and_resolution() -> None:
    assert optics.depth_of_focus_A(PLAIN) == pytest.approx(62.999, abs=0.01)
    assert optics.rayleigh_limit_A(PLAIN) == pytest.approx(0.4804, abs=1e-4)


@pytest.mark.parametrize(
    ("settings", "named"),
    [({"semiangle_mrad": 20}, "--energy"), ({"energy_eV": 3e5}, "--semiangle"), ({}, "--energy")],
)
def test_missing_settings_are_one_sentence(settings: dict, named: str) -> None:
    with pytest.raises(InputError, match=named) as caught:
        optics.probe_intensity(Microscope(**settings), [0.0], (32, 32), 0.2)
    assert "\n" not in str(caught.value)


def test_pixels_too_coarse_for_the_wave() -> None:
    with pytest.raises(InputError, match=r"at most 0\.394 Å"):
        optics.probe_wave(PLAIN, (32, 32), 0.5)


def test_wave_has_unit_intensity_and_the_aperture_its_area() -> None:
    shape, pixel = (120, 96), 0.2
    wave = optics.probe_wave(MIXED, shape, pixel)
    assert np.sum(np.abs(fft.ifft2(wave)) ** 2) == pytest.approx(1, abs=1e-12)
    areas = []
    for semiangle in (24.0, 24.3, 24.6, 24.9):
        microscope = Microscope(energy_eV=3e5, semiangle_mrad=semiangle)
        aperture = np.abs(optics.probe_wave(microscope, shape, pixel))
        area = (aperture / aperture.max()).sum() / (np.prod(shape) * pixel**2)
        areas.append(area / (np.pi * (1e-3 * semiangle / optics.wavelength_A(3e5)) ** 2))
    np.testing.assert_allclose(areas, 1.0, atol=2e-3)  # a hard edge jumps by several 1e-3 between these


def test_airy_pattern_in_focus() -> None:
    # the first zero is Rayleigh's distance; the peak is pi k_max^2 per Å^2, raised by the ramp of the aperture's edge,
    # whose square sums to 1 / (3 k_max extent) less than its area
    pixel, shape = 0.02, (1024, 1024)
    image = optics.probe_intensity(PLAIN, [0.0], shape, pixel)[0]
    radius = np.arange(200) * pixel
    first_dark = radius[np.argmax(np.diff(image[0, :200]) > 0)]
    assert first_dark == pytest.approx(optics.rayleigh_limit_A(PLAIN), abs=pixel)
    k_max = 0.025 / optics.wavelength_A(3e5)
    expected = np.pi * k_max**2 * pixel**2 / (1 - 1 / (3 * k_max * shape[0] * pixel))
    assert image[0, 0] == pytest.approx(expected, rel=2e-3)


def test_focal_plane_lies_at_the_defocus() -> None:
    depth = np.arange(-60.0, 61.0, 1.0)
    for defocus in (-23.0, 0.0, 38.0):
        microscope = Microscope(energy_eV=3e5, semiangle_mrad=25, defocus_A=defocus)
        peak = optics.probe_intensity(microscope, depth, (64, 64), 0.2).max((1, 2))
        assert depth[np.argmax(peak)] == defocus


@pytest.mark.parametrize("sign", [1, -1])
def test_spherical_aberration_focuses_marginal_rays_upstream(sign: int) -> None:
    # rays at alpha cross the axis at w = defocus - C30 alpha^2; the circle of least blur lies between 0 and that
    c30 = sign * 1e5
    microscope = Microscope(energy_eV=3e5, semiangle_mrad=25, c30_A=c30)
    depth = np.arange(-80.0, 81.0, 2.0)
    peak = optics.probe_intensity(microscope, depth, (96, 96), 0.2).max((1, 2))
    best = depth[np.argmax(peak)]
    assert best == pytest.approx(-0.5 * c30 * 0.025**2, abs=8)


def _centroid(microscope: Microscope, mirrored: bool) -> np.ndarray:
    """Centroid (u, v) in Å from the phase of the transfer function at the lowest frequencies."""
    shape, pixel = (256, 256), 0.2
    spectrum = optics.probe_transfer(microscope, [0.0], shape, pixel, mirrored)[0]
    step = 1 / (shape[0] * pixel)
    return -np.array([np.angle(spectrum[0, 1]), np.angle(spectrum[1, 0])]) / (2 * np.pi * step)


@pytest.mark.parametrize("azimuth_deg", [0.0, 90.0, 35.0, -120.0])
def test_coma_moves_the_probe_along_its_azimuth_and_the_kernel_against_it(azimuth_deg: float) -> None:
    # the mean slope of chi over the aperture is C21 alpha^2 / 3 along phi21 (from u towards v)
    microscope = Microscope(energy_eV=3e5, semiangle_mrad=25, c21_A=600, phi21_deg=azimuth_deg)
    azimuth = np.deg2rad(azimuth_deg)
    expected = 600 * 0.025**2 / 3 * np.array([np.cos(azimuth), np.sin(azimuth)])
    np.testing.assert_allclose(_centroid(microscope, mirrored=False), expected, atol=0.006)
    np.testing.assert_allclose(_centroid(microscope, mirrored=True), -expected, atol=0.006)


def test_propagation_and_depth_are_the_same_thing() -> None:
    shape, pixel = (64, 72), 0.15
    wave = optics.probe_wave(MIXED, shape, pixel)
    flown = optics.propagate(wave, 18.0, optics.wavelength_A(3e5), pixel)
    image = np.abs(fft.ifft2(flown)) ** 2
    np.testing.assert_allclose(
        optics.probe_intensity(MIXED, [18.0], shape, pixel)[0], image / image.sum(), atol=1e-9 * image.max()
    )


@pytest.mark.parametrize(("shape", "pixel"), [((64, 72), 0.35), ((63, 81), 0.35), ((80, 60), 0.15), ((50, 50), 0.6)])
def test_transfer_is_finite_normalised_hermitian_and_bounded(shape: tuple[int, int], pixel: float) -> None:
    transfer = optics.probe_transfer(MIXED, [-30.0, 0.0, 12.0], shape, pixel)
    assert transfer.shape == (3, shape[0], shape[1] // 2 + 1)
    assert np.isfinite(transfer).all()
    np.testing.assert_allclose(transfer[:, 0, 0], 1.0, atol=1e-12)
    assert np.abs(transfer).max() <= 1 + 1e-12
    mirror = -np.arange(shape[0]) % shape[0]
    own_mirror = [0, shape[1] // 2] if shape[1] % 2 == 0 else [0]
    for column in own_mirror:
        np.testing.assert_allclose(transfer[:, mirror, column], transfer[:, :, column].conj(), atol=1e-12)


def test_parseval() -> None:
    shape, pixel = (96, 100), 0.15  # below the Nyquist step of the intensity: nothing is cut
    transfer = optics.probe_transfer(MIXED, [11.0], shape, pixel)[0]
    image = optics.probe_intensity(MIXED, [11.0], shape, pixel)[0]
    double = np.r_[1.0, np.full(shape[1] // 2 - 1, 2.0), 1.0]
    assert np.sum(np.abs(transfer) ** 2 * double) == pytest.approx(image.size * np.sum(image**2), rel=1e-9)


def test_coarse_canvas_holds_the_band_of_the_fine_one() -> None:
    # same extent at 0.15 and 0.4 Å: the intensity's band exceeds the coarse canvas, yet nothing is aliased into it
    fine = optics.probe_transfer(MIXED, [9.0], (160, 128), 0.15)[0]
    coarse = optics.probe_transfer(MIXED, [9.0], (60, 48), 0.4)[0]
    rows = np.r_[0:30, -29:0]
    np.testing.assert_allclose(coarse[rows, :24], fine[rows, :24], atol=1e-9)
    assert np.abs(fine[30:80]).max() > 1e-2


def test_source_is_a_gaussian_of_given_fwhm() -> None:
    pixel, shape, fwhm = 0.1, (160, 160), 0.8
    sharp = optics.probe_intensity(MIXED, [5.0], shape, pixel)[0]
    blurred = optics.probe_intensity(MIXED.model_copy(update={"source_size_A": fwhm}), [5.0], shape, pixel)[0]
    sigma = fwhm / 2.354820 / pixel
    np.testing.assert_allclose(
        blurred, ndimage.gaussian_filter(sharp, sigma, mode="wrap", truncate=8), atol=1e-6 * sharp.max()
    )


@pytest.mark.parametrize("spread", [8.0, 60.0])
@pytest.mark.parametrize("count", [1, 12])
def test_focal_spread_is_the_average_over_defoci(spread: float, count: int) -> None:
    shape, pixel = (48, 48), 0.3
    depth = np.linspace(-20, 25, count)
    averaged = optics.probe_transfer(MIXED.model_copy(update={"focal_spread_A": spread}), depth, shape, pixel)
    defoci = np.linspace(-5.5, 5.5, 221) * spread
    weights = np.exp(-0.5 * (defoci / spread) ** 2)
    for d in (0, count - 1):
        total = np.zeros(averaged.shape[1:], complex)
        for shift, weight in zip(defoci, weights / weights.sum(), strict=True):
            if weight > 1e-9:
                lens = MIXED.model_copy(update={"defocus_A": MIXED.defocus_A + shift})
                total += weight * optics.probe_transfer(lens, [depth[d]], shape, pixel)[0]
        np.testing.assert_allclose(averaged[d], total, atol=1e-6)


def test_centred_and_fft_order_agree() -> None:
    for shape in ((32, 48), (33, 47)):
        corner = optics.probe_intensity(MIXED, [0.0, 3.0], shape, 0.2)
        centred = optics.probe_intensity(MIXED, [0.0, 3.0], shape, 0.2, centred=True)
        np.testing.assert_array_equal(centred, np.roll(corner, (shape[0] // 2, shape[1] // 2), (1, 2)))
        np.testing.assert_allclose(corner.sum((1, 2)), 1.0)


@pytest.mark.parametrize(("depth", "extra"), [(0.0, {}), (150.0, {}), (40.0, {"c21_A": 2000, "c30_A": 1e5})])
def test_radius_holds_the_probe(depth: float, extra: dict) -> None:
    microscope = Microscope(energy_eV=3e5, semiangle_mrad=25, source_size_A=0.5, **extra)
    image = optics.probe_intensity(microscope, [depth], (300, 300), 0.2, centred=True)[0]
    distance = 0.2 * np.hypot(*(np.indices(image.shape) - 150))
    radius = optics.probe_radius_A(microscope, (0.0, depth))
    assert image[distance < radius].sum() > 0.97
    assert radius < 15


@pytest.mark.parametrize("microscope", [PLAIN, MIXED, MIXED.model_copy(update={"source_size_A": 0.5})])
def test_contrast_bound_holds_and_is_met_in_focus(microscope: Microscope) -> None:
    shape, pixel = (160, 160), 0.15
    frequency = fft.rfftfreq(shape[1], pixel)
    bound = np.array([optics.contrast_bound(microscope, 0.0, q) for q in frequency])
    transfer = np.abs(optics.probe_transfer(microscope, [0.0, 9.0, -30.0], shape, pixel)[:, 0])
    assert (transfer <= bound + 0.01).all()
    if microscope is PLAIN:
        np.testing.assert_allclose(transfer[0], bound, atol=0.01)
    else:
        assert transfer[:, 20].max() < 0.9 * bound[20], "aberrations cost contrast"


def test_contrast_bound_of_an_orbital_alone_is_its_gaussian() -> None:
    radius = np.arange(-6, 6, 0.05)
    orbital = np.exp(-((radius / 0.6) ** 2))
    expected = np.sum(orbital * np.cos(2 * np.pi * 0.8 * radius)) / orbital.sum()
    assert optics.contrast_bound(None, 0.6, 0.8) == pytest.approx(expected, rel=1e-6)
