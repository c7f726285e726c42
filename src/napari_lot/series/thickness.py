"""How thick a film is that fills the field, from how fast neighbouring tilts decorrelate.

An atom at height z over the plane of the tilt axis moves by z times a known displacement d between two tilts, relative
to that plane. So the cross-spectrum of the two images, over their power, is the characteristic function of the heights,
``phi(q . d) = mean exp(2 pi i z q . d)``: for a slab of thickness t around z0, ``sinc(q . d t)`` with a phase. It needs
neither the orbital nor the probe, which both images share.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.float64]
FREQUENCIES_PER_A = (0.1, 0.6)
"""Band that holds the contrast of single atoms: below it thickness changes over the field, above it noise."""
EDGE_A = 8.0
"""Width over which the common field of two tilts is faded out."""
LARGEST_PHASE_PER_A = 0.08
"""Largest q . d used: at 0.08 per Å two neighbouring fringes of a 12 Å film are still told apart."""


def film_thickness(
    images: NDArray[np.float32],
    mask: NDArray[np.bool_] | None,
    rotations: Floats,
    pixel_size_A: float,
    center_px: tuple[float, float],
    largest_A: float,
) -> tuple[float, float] | None:
    """(thickness, z of the middle) in Å of the slab that fits best, or None where neighbouring tilts do not correlate.

    Parameters
    ----------
    images : (T, V, U), mask : same or None, rotations : (T, 3, 3)
    largest_A : float
        Thickest film considered.
    """
    phase, cross, power = _correlations(images, mask, rotations, pixel_size_A, center_px)
    edges = np.linspace(-LARGEST_PHASE_PER_A, LARGEST_PHASE_PER_A, 33)
    place = np.digitize(phase, edges) - 1
    good = (place >= 0) & (place < len(edges) - 1)
    place = place[good]
    weight = np.bincount(place, power[good], len(edges) - 1)
    sums = np.bincount(place, cross[good].real, len(edges) - 1) + 1j * np.bincount(
        place, cross[good].imag, len(edges) - 1
    )
    filled = weight > 0
    if filled.sum() < 8:
        return None
    k = 0.5 * (edges[1:] + edges[:-1])[filled]
    phi = sums[filled] / weight[filled]
    if phi.real.max() < 0.1:
        return None
    best = (np.inf, 0.0, 0.0)
    for t in np.geomspace(4.0, max(largest_A, 8.0), 60):
        for z0 in np.linspace(-0.25 * t, 0.25 * t, 11):
            slab = np.sinc(k * t) * np.exp(2j * np.pi * k * z0)
            amplitude = float((phi * slab.conj()).real.sum() / (np.abs(slab) ** 2).sum())
            misfit = float((np.abs(phi - amplitude * slab) ** 2).sum())
            if amplitude > 0 and misfit < best[0]:
                best = (misfit, float(t), float(z0))
    return (best[1], best[2]) if best[1] > 0 else None


def _correlations(
    images: NDArray[np.float32],
    mask: NDArray[np.bool_] | None,
    rotations: Floats,
    pixel_size_A: float,
    center_px: tuple[float, float],
) -> tuple[Floats, NDArray[np.complex128], Floats]:
    """q . d in 1/Å, cross-spectrum and mean power of every frequency of every pair of near tilts, flattened."""
    rows, columns = images.shape[1:]
    v, u = np.mgrid[:rows, :columns] - np.array(center_px)[:, None, None]
    qv = np.fft.fftfreq(rows, pixel_size_A)[:, None]
    qu = np.fft.fftfreq(columns, pixel_size_A)[None, :]
    q = np.hypot(qv, qu)
    band = (q > FREQUENCIES_PER_A[0]) & (q < FREQUENCIES_PER_A[1])
    beam = rotations[:, 2]
    flat = np.flatnonzero(np.abs(rotations[:, 2, 2]) > np.cos(np.deg2rad(40)))  # steeper tilts see the film edge on
    phases, crosses, powers = [], [], []
    for a in flat:
        near = flat[np.argsort(-(beam[flat] @ beam[a]), kind="stable")[1:4]]
        for b in near:
            plane = rotations[b][:2, :2] @ np.linalg.inv(rotations[a][:2, :2])  # image of the plane z = 0: a -> b
            shift = rotations[b][:2, 2] - plane @ rotations[a][:2, 2]
            ub = plane[0, 0] * u + plane[0, 1] * v + center_px[1]
            vb = plane[1, 0] * u + plane[1, 1] * v + center_px[0]
            there = ndimage.map_coordinates(images[b].astype(np.float64), [vb, ub], order=3)
            use = (vb >= 0) & (vb <= rows - 1) & (ub >= 0) & (ub <= columns - 1)
            if mask is not None:
                use &= mask[a] & (ndimage.map_coordinates(mask[b].astype(np.float64), [vb, ub], order=1) > 0.99)
            if use.mean() < 0.1:
                continue
            depth = ndimage.distance_transform_edt(np.pad(use, 1))[1:-1, 1:-1] * pixel_size_A
            window = np.sin(0.5 * np.pi * np.clip(depth / EDGE_A, 0, 1)) ** 2
            first = np.fft.fft2(_without_mean(images[a].astype(np.float64), window, 10.0 / pixel_size_A))
            second = np.fft.fft2(_without_mean(there, window, 10.0 / pixel_size_A))
            phases.append(-(qu * shift[0] + qv * shift[1])[band])
            crosses.append((second * first.conj())[band])
            powers.append(0.5 * (np.abs(first) ** 2 + np.abs(second) ** 2)[band])
    if not phases:
        return np.zeros(0), np.zeros(0, complex), np.zeros(0)
    return np.concatenate(phases), np.concatenate(crosses), np.concatenate(powers)


def _without_mean(image: Floats, window: Floats, sigma_px: float) -> Floats:
    local = ndimage.gaussian_filter(image * window, sigma_px)
    return (image - local / np.maximum(ndimage.gaussian_filter(window, sigma_px), 1e-6)) * window
