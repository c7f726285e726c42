"""The electron probe: wavelength, aberrations, wave, propagation, intensity and transfer function over depth.

Aberration names are Krivanek's, signs and azimuths as in abTEM: ``psi(k) = A(k) exp(-i chi(k))`` with
``chi = 2 pi/lambda [a^2/2 (C10 + C12 cos 2(f - f12)) + a^3/3 (C21 cos(f - f21) + C23 cos 3(f - f23))
+ a^4/4 C30 + a^6/6 C50]``, a = lambda k, f the azimuth of k from u towards v, and C10 = -defocus. Depth w is counted
from the rotation centre, downstream positive; the focal plane lies at w = defocus.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import constants, fft

from napari_lot.errors import InputError
from napari_lot.settings import Microscope

_FWHM_PER_SIGMA = 2.0 * np.sqrt(2.0 * np.log(2.0))


def wavelength_A(energy_eV: float) -> float:
    """Relativistic de Broglie wavelength in Å of an electron of kinetic energy ``energy_eV``."""
    rest_eV = constants.m_e * constants.c**2 / constants.e
    momentum_eV = np.sqrt(energy_eV * (energy_eV + 2.0 * rest_eV))
    return float(1e10 * constants.h * constants.c / constants.e / momentum_eV)


def require_probe(microscope: Microscope) -> tuple[float, float]:
    """Wavelength in Å and semi-angle in rad of a microscope that must have both.

    Raises
    ------
    InputError
        Energy or semi-angle is missing.
    """
    missing = [
        text
        for text, value in (
            ("the electron energy (--energy, in eV)", microscope.energy_eV),
            ("the convergence semi-angle (--semiangle, in mrad)", microscope.semiangle_mrad),
        )
        if value is None
    ]
    if missing or microscope.energy_eV is None or microscope.semiangle_mrad is None:
        raise InputError(
            f"The probe needs {' and '.join(missing)}: give it, or choose direct projection (--probe direct)."
        )
    return wavelength_A(microscope.energy_eV), 1e-3 * microscope.semiangle_mrad


def depth_of_focus_A(microscope: Microscope) -> float:
    """Depth of focus 2 lambda / alpha^2 in Å: also the period of the fastest change of the intensity along the beam."""
    wavelength, semiangle = require_probe(microscope)
    return 2.0 * wavelength / semiangle**2


def rayleigh_limit_A(microscope: Microscope) -> float:
    """Rayleigh's resolution 0.61 lambda / alpha in Å."""
    wavelength, semiangle = require_probe(microscope)
    return 0.61 * wavelength / semiangle


def contrast_bound(microscope: Microscope | None, width_A: float, frequency_per_A: float) -> float:
    """Upper bound of the contrast of an atom's image at a spatial frequency, relative to frequency 0.

    The Gaussian orbital exp(-r^2/B^2) times the source times the modulation transfer of a round aperture in focus
    (Goodman, Introduction to Fourier Optics, 6.4), which no aberration exceeds.

    Parameters
    ----------
    microscope : Microscope or None
        None is direct projection.
    width_A : float
        Orbital width B in Å.
    frequency_per_A : float
        Spatial frequency q in 1/Å.
    """
    contrast = float(np.exp(-((np.pi * frequency_per_A * width_A) ** 2)))
    if microscope is None:
        return contrast
    wavelength, semiangle = require_probe(microscope)
    sigma = microscope.source_size_A / _FWHM_PER_SIGMA
    contrast *= float(np.exp(-2 * (np.pi * frequency_per_A * sigma) ** 2))
    s = min(frequency_per_A * wavelength / (2 * semiangle), 1.0)
    return contrast * float(2 / np.pi * (np.arccos(s) - s * np.sqrt(1 - s * s)))


def probe_radius_A(microscope: Microscope, depth_range_A: tuple[float, float]) -> float:
    """Radius in Å that holds the probe at all depths of a range: its rays, and 5 lambda / alpha of tails.

    For the padding of canvases and windows. Airy tails never end; about 2 % of the intensity lies beyond.
    """
    wavelength, semiangle = require_probe(microscope)
    m = microscope
    defocus = max(abs(edge - m.defocus_A) for edge in depth_range_A) + 3.0 * m.focal_spread_A
    rays = semiangle * (
        defocus + m.c12_A + semiangle * (m.c21_A + m.c23_A + semiangle * (abs(m.c30_A) + semiangle**2 * abs(m.c50_A)))
    )
    return float(rays + 5.0 * wavelength / semiangle + 1.5 * m.source_size_A)


def aberration_phase(
    microscope: Microscope, alpha: NDArray[np.float64], azimuth: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Aberration function chi in radians at angles ``alpha`` (rad) and azimuths (rad, from u towards v)."""
    m = microscope
    wavelength, _ = require_probe(m)
    second = -m.defocus_A + m.c12_A * np.cos(2.0 * (azimuth - np.deg2rad(m.phi12_deg)))
    third = m.c21_A * np.cos(azimuth - np.deg2rad(m.phi21_deg)) + m.c23_A * np.cos(
        3.0 * (azimuth - np.deg2rad(m.phi23_deg))
    )
    squared = alpha**2
    path = squared * (second / 2.0 + alpha * third / 3.0 + squared * (m.c30_A / 4.0 + squared * m.c50_A / 6.0))
    return 2.0 * np.pi / wavelength * path


def probe_wave(microscope: Microscope, shape: tuple[int, int], pixel_size_A: float) -> NDArray[np.complex128]:
    """Probe wave psi(k) at the rotation centre (w = 0).

    The edge of the aperture is a linear ramp one frequency step wide, so that its area changes smoothly with the
    semi-angle, as in abTEM.

    Parameters
    ----------
    shape : (V, U)
    pixel_size_A : float

    Returns
    -------
    (V, U) complex128
        On the FFT grid; ``ifft2`` of it, centred at pixel [0, 0], has unit total intensity.

    Raises
    ------
    InputError
        Energy or semi-angle is missing, or the pixels are too coarse to hold the wave.
    """
    wavelength, semiangle = require_probe(microscope)
    if semiangle / wavelength > 0.5 / pixel_size_A:
        raise InputError(
            f"A pixel of {pixel_size_A:g} Å cannot hold a probe of {1e3 * semiangle:g} mrad: "
            f"use pixels of at most {0.5 * wavelength / semiangle:.3g} Å."
        )
    kv, ku = _frequencies(shape, pixel_size_A)
    wave = _wave(microscope, kv, ku, (shape[0] * pixel_size_A, shape[1] * pixel_size_A))
    return wave * np.sqrt(wave.size / np.sum(np.abs(wave) ** 2))


def propagate(
    wave: NDArray[np.complex128], distance_A: float, wavelength: float, pixel_size_A: float
) -> NDArray[np.complex128]:
    """psi(k) after free flight by ``distance_A`` downstream (Eq. 10): times ``exp(-i pi lambda dz k^2)``."""
    kv, ku = _frequencies((wave.shape[0], wave.shape[1]), pixel_size_A)
    return wave * np.exp(-1j * np.pi * wavelength * distance_A * (kv**2 + ku**2))


def probe_intensity(
    microscope: Microscope,
    depth_A: ArrayLike,
    shape: tuple[int, int],
    pixel_size_A: float,
    centred: bool = False,
    single: bool = False,
) -> NDArray[np.float64]:
    """Probe intensity |psi(r; w)|^2 at the pixels, with source size and focal spread.

    Parameters
    ----------
    depth_A : (D,)
        Depth in Å from the rotation centre, downstream positive.
    shape : (V, U)
    centred : bool
        False: the optical axis is at pixel [0, 0] (FFT order); True: at [V // 2, U // 2].
    single : bool
        As for ``probe_transfer``.

    Returns
    -------
    (D, V, U) float64, or float32 where ``single``
        Unit sum per depth.

    Raises
    ------
    InputError
        Energy or semi-angle is missing.
    """
    wavelength, semiangle = require_probe(microscope)
    depth = np.atleast_1d(np.asarray(depth_A, np.float64))
    # values at the pixels: a whole number of finer pixels, fine enough that the intensity itself is not aliased
    over = max(1, int(np.ceil(pixel_size_A * 4.0 * semiangle / wavelength + 4.0 / min(shape))))
    fine = (over * shape[0], over * shape[1])
    images = np.empty((len(depth), *shape), np.float32 if single else np.float64)
    together = max(1, (1 << 22) // (fine[0] * fine[1]))  # depths a time: spectra of at most some 32 MB
    for start in range(0, len(depth), together):
        part = slice(start, start + together)
        spectra = probe_transfer(microscope, depth[part], fine, pixel_size_A / over, False, single)
        for image, spectrum in zip(images[part], spectra, strict=True):
            image[:] = fft.irfft2(spectrum, s=fine)[::over, ::over]
            image /= image.sum()
    return np.asarray(fft.fftshift(images, axes=(1, 2))) if centred else images


def probe_transfer(
    microscope: Microscope,
    depth_A: ArrayLike,
    shape: tuple[int, int],
    pixel_size_A: float,
    mirrored: bool = True,
    single: bool = False,
) -> NDArray[np.complex128]:
    """Transfer function P(q; w) of the imaging kernel, exact within the band of the canvas.

    The kernel is p(r; w) = |psi(-r; w)|^2 (Eq. 7): an atom at r_i shows the probe mirrored through r_i. The intensity
    has twice the band of the wave, which may be more than the canvas holds; it is computed on a finer grid of the same
    extent and cut to the canvas's band, so that nothing is aliased into it.

    Parameters
    ----------
    depth_A : (D,)
        Depth in Å from the rotation centre, downstream positive.
    shape : (V, U)
        Canvas in pixels; the probe's tails wrap around its edges.
    mirrored : bool
        True: of |psi(-r)|^2; False: of |psi(r)|^2.
    single : bool
        Waves in single precision (errors of 1e-6 of the peak), for what is only looked at; twice as fast.

    Returns
    -------
    (D, V, U // 2 + 1) complex128, or complex64 where ``single``
        On the rfft2 grid, P(0; w) = 1.
    """
    depth = np.atleast_1d(np.asarray(depth_A, np.float64))
    wavelength, _ = require_probe(microscope)
    nodes, weights = _focal_average(microscope, depth)
    kind = np.complex64 if single else np.complex128
    out = np.zeros((len(depth), shape[0], shape[1] // 2 + 1), kind)
    fine, wave, phase, lit = _fine_wave(microscope, shape, pixel_size_A)
    blur: NDArray[Any] = _source_transfer(microscope, shape, pixel_size_A)
    blur = blur.astype(np.float32) if single else blur
    for at, weight in zip(nodes, weights.T, strict=True):
        flown = np.zeros(fine, kind)
        flown[lit] = wave * np.exp(-1j * (wavelength * at * phase)).astype(kind)
        amplitude = fft.ifft2(flown, overwrite_x=True)
        spectrum = _crop(fft.rfft2(amplitude.real**2 + amplitude.imag**2), fine, shape)
        spectrum = (spectrum.conj() if mirrored else spectrum) * blur
        for d in np.flatnonzero(weight):
            out[d] += float(weight[d]) * spectrum
    return out


def depth_bandwidth_per_A(microscope: Microscope, shape: tuple[int, int], pixel_size_A: float) -> float:
    """Highest angular frequency, in rad/Å, at which the intensity can change along the beam: pi lambda k_max^2.

    The intensity beats waves of k1 and k2 and turns with pi lambda (k1^2 - k2^2) w; the soft edge of the aperture adds
    half a frequency step.
    """
    wavelength, semiangle = require_probe(microscope)
    k_max = semiangle / wavelength + 0.5 / (pixel_size_A * min(shape))
    return float(np.pi * wavelength * k_max**2)


def chebyshev_depths(lo_A: float, hi_A: float, bandwidth_per_A: float) -> NDArray[np.float64]:
    """Depths in Å from which the intensity anywhere in [lo, hi] follows to 1e-8 by polynomial interpolation."""
    c = 0.5 * (hi_A - lo_A) * bandwidth_per_A
    count = int(np.ceil(c + 9.0 + 6.0 * np.cbrt(c)))
    return 0.5 * (lo_A + hi_A) - 0.5 * (hi_A - lo_A) * np.cos(np.pi * (np.arange(count) + 0.5) / count)


def interpolation_matrix(nodes_A: NDArray[np.float64], at_A: ArrayLike) -> NDArray[np.float64]:
    """Lagrange weights (len(at), len(nodes)) from Chebyshev nodes of the first kind to any depth (barycentric form)."""
    at = np.atleast_1d(np.asarray(at_A, np.float64))
    n = len(nodes_A)
    weights = np.sin(np.pi * (np.arange(n) + 0.5) / n) * (-1.0) ** np.arange(n)
    difference = at[:, None] - nodes_A[None]
    hit = np.abs(difference) < 1e-12 * (1.0 + np.abs(nodes_A[-1] - nodes_A[0]))
    difference[hit] = 1.0
    terms = weights / difference
    matrix = terms / terms.sum(1, keepdims=True)
    on_node = hit.any(1)
    matrix[on_node] = hit[on_node]
    return matrix


def _frequencies(shape: tuple[int, int], pixel_size_A: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return fft.fftfreq(shape[0], pixel_size_A)[:, None], fft.fftfreq(shape[1], pixel_size_A)[None, :]


def _fine_wave(
    microscope: Microscope, shape: tuple[int, int], pixel_size_A: float
) -> tuple[tuple[int, int], NDArray[np.complex128], NDArray[np.float64], tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Grid of the canvas's extent whose aliases stay outside its band; the wave, and pi k^2, in its lit frequencies."""
    wavelength, semiangle = require_probe(microscope)
    fine = []
    for n in shape:
        extent = n * pixel_size_A
        intensity = 2.0 * (semiangle / wavelength * extent + 1.0)  # half band of the intensity, in frequency steps
        needed = intensity + min(intensity, n / 2.0)
        fine.append(fft.next_fast_len(max(int(np.ceil(needed)) + 1, n + 1)))
    # the pixels of the fine grid need not be square: frequencies follow from the extents
    kv = fft.fftfreq(fine[0], shape[0] * pixel_size_A / fine[0])[:, None]
    ku = fft.fftfreq(fine[1], shape[1] * pixel_size_A / fine[1])[None, :]
    rows, columns = (
        np.flatnonzero(np.abs(k.ravel()) <= semiangle / wavelength + 1.0 / (n * pixel_size_A))
        for k, n in zip((kv, ku), shape, strict=True)
    )
    kv, ku = kv[rows], ku[:, columns]
    wave = _wave(microscope, kv, ku, (shape[0] * pixel_size_A, shape[1] * pixel_size_A))
    wave *= np.sqrt(fine[0] * fine[1] / np.sum(np.abs(wave) ** 2))
    return (fine[0], fine[1]), wave, np.pi * (kv**2 + ku**2), (rows[:, None], columns[None])


def _wave(
    microscope: Microscope, kv: NDArray[np.float64], ku: NDArray[np.float64], extent_A: tuple[float, float]
) -> NDArray[np.complex128]:
    """Aperture times exp(-i chi) at frequencies in 1/Å; ``extent_A`` (along v, along u) sets the width of the edge."""
    wavelength, semiangle = require_probe(microscope)
    alpha = wavelength * np.hypot(kv, ku)
    azimuth = np.arctan2(kv, ku)
    step = wavelength * np.hypot(np.sin(azimuth) / extent_A[0], np.cos(azimuth) / extent_A[1])
    aperture = np.clip((semiangle - alpha) / step + 0.5, 0.0, 1.0)
    wave = np.zeros(aperture.shape, np.complex128)
    lit = aperture > 0
    wave[lit] = aperture[lit] * np.exp(-1j * aberration_phase(microscope, alpha[lit], azimuth[lit]))
    return wave


def _crop(spectrum: NDArray[np.complex128], fine: tuple[int, int], shape: tuple[int, int]) -> NDArray[np.complex128]:
    """rfft2 spectrum of a finer grid cut to the canvas's band and scaled to P(0) = 1.

    On even sizes the highest frequency stands for both signs: their mean keeps the kernel real.
    """
    v, u = shape
    half = u // 2 + 1
    low = (v + 1) // 2
    out = np.empty((v, half), spectrum.dtype)
    out[:low] = spectrum[:low, :half]
    out[low:] = spectrum[fine[0] - (v - low) :, :half]
    if v % 2 == 0:
        out[low] = 0.5 * (out[low] + spectrum[low, :half])
    if u % 2 == 0:
        column = out[:, -1]
        out[:, -1] = 0.5 * (column + np.conj(column[-np.arange(v) % v]))
    return out / spectrum[0, 0].real


def _source_transfer(microscope: Microscope, shape: tuple[int, int], pixel_size_A: float) -> NDArray[np.float64]:
    """Gaussian source on the rfft2 grid."""
    sigma = microscope.source_size_A / _FWHM_PER_SIGMA
    qv, qu = fft.fftfreq(shape[0], pixel_size_A)[:, None], fft.rfftfreq(shape[1], pixel_size_A)[None]
    return np.exp(-2.0 * (np.pi * sigma) ** 2 * (qv**2 + qu**2))


def _focal_average(
    microscope: Microscope, depth_A: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Depths to compute and their weights (D, nodes): a change of defocus is a shift along the beam (Gauss-Hermite)."""
    if microscope.focal_spread_A == 0:
        return depth_A, np.eye(len(depth_A))
    wavelength, semiangle = require_probe(microscope)
    # the average damps exp(i b w) by exp(-(b s)^2 / 2); enough points to integrate the fastest beat b to 1e-6
    beat = np.pi * (semiangle**2 / wavelength) * microscope.focal_spread_A
    count = int(np.ceil(6.0 + 3.0 * beat + 0.5 * beat**2)) if beat < 8 else 64
    x, g = np.polynomial.hermite_e.hermegauss(min(count, 64))
    g /= g.sum()
    shifts = microscope.focal_spread_A * x
    nodes = (depth_A[:, None] - shifts[None]).ravel()
    weights = np.zeros((len(depth_A), len(nodes)))
    for d in range(len(depth_A)):
        weights[d, d * len(x) : (d + 1) * len(x)] = g
    if len(nodes) <= 3 * len(x):
        return nodes, weights
    # many depths: one set of Chebyshev depths that spans them all serves every average
    spread = chebyshev_depths(nodes.min(), nodes.max(), 1.05 * np.pi * semiangle**2 / wavelength)
    if len(spread) >= len(nodes):
        return nodes, weights
    return spread, weights @ interpolation_matrix(spread, nodes)
