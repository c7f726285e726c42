#!/usr/bin/env python3
"""Tilt series of a random particle by thin slices: an independent reference in float64.

This program shares no code with the package that it judges, and no method beyond the physics: atoms are cut into thin
slices along the beam, each slice is an exact sum of Gaussians on a fine grid, and each is convolved with the
intensity of the probe at the middle depth of the slice. The probe comes from a Hankel integral in real space, not
from a Fourier grid. numpy, scipy and tifffile only.

    python thin_slices.py --atoms 25000 --diameter 90 --out DIR

writes DIR/series.tif [tilt, v, u] float32, angles.csv (psi, theta, phi in degrees), truth.xyz (Å, origin at the
rotation centre) and case.json.

Frame: [u v w] = R [x y z] with R = Rz(phi) Ry(theta) Rx(psi), right-handed active; u along columns, v along rows,
w along the beam, downstream positive; the rotation centre is the pixel (n - 1) / 2; the focus is at the rotation centre
unless --defocus moves it. Aberrations are zero, so that the probe is round and p(r; w) = |psi(r; w)|^2.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import tifffile
from scipy import fft
from scipy.interpolate import CubicSpline
from scipy.spatial import cKDTree
from scipy.special import j0

# Counts of one silicon atom per e/Å^2 of dose on an annular dark-field detector, in Å^2 (a typical figure).
SILICON_CROSS_SECTION_A2 = 1.735e-3


def wavelength_A(energy_eV: float) -> float:
    """Relativistic electron wavelength in Å (CODATA 2018 constants)."""
    h, m, e, c = 6.62607015e-34, 9.1093837015e-31, 1.602176634e-19, 299792458.0
    joule = energy_eV * e
    return 1e10 * h / np.sqrt(2 * m * joule * (1 + joule / (2 * m * c * c)))


def round_probe(radius_A: np.ndarray, depth_A: np.ndarray, energy_eV: float, semiangle_mrad: float) -> np.ndarray:
    """Probe intensity |psi(r; w)|^2, shape (depth, radius), of unit integral over the plane (per Å^2).

    psi(r; w) = 2 pi integral_0^K J0(2 pi k r) exp(-i pi lambda w k^2) k dk with K = semiangle / lambda; by Parseval
    the integral of |psi|^2 over the plane is pi K^2 at every depth. ``depth_A`` counts from the focal plane.
    """
    wave = wavelength_A(energy_eV)
    edge = semiangle_mrad * 1e-3 / wave
    # Enough nodes for both oscillations, of J0 at the largest radius and of the defocus phase.
    cycles = edge * radius_A.max() + wave * np.abs(depth_A).max() * edge**2
    node, weight = np.polynomial.legendre.leggauss(int(64 + 4 * np.pi * cycles))
    k, weight = edge * (node + 1) / 2, edge * weight / 2
    phase = np.exp(-1j * np.pi * wave * np.outer(depth_A, k**2)) * (2 * np.pi * k * weight)
    out = np.empty((len(depth_A), len(radius_A)))
    for lo in range(0, len(radius_A), 1024):
        bessel = j0(2 * np.pi * np.outer(k, radius_A[lo : lo + 1024]))
        out[:, lo : lo + 1024] = (phase.real @ bessel) ** 2 + (phase.imag @ bessel) ** 2
    return out / (np.pi * edge**2)


def probe_spectra(size: int, step_A: float, depth_A: np.ndarray, energy_eV: float, semiangle_mrad: float) -> np.ndarray:
    """Spectra of the probe slices on a square grid, (depth, size, size // 2 + 1).

    Each has unit sum over the infinite plane; what lies beyond half the grid is left out, not folded back.
    """
    index = fft.fftfreq(size, 1 / size) * step_A
    radius = np.hypot(index[:, None], index[None, :])
    table_r = np.arange(0, radius.max() + 0.05, 0.01)
    table = round_probe(table_r, depth_A, energy_eV, semiangle_mrad)
    spectra = np.empty((len(depth_A), size, size // 2 + 1))
    for i in range(len(depth_A)):
        kernel = CubicSpline(table_r, table[i])(radius) * step_A**2
        spectra[i] = fft.rfft2(kernel).real  # even in both axes: the imaginary part is zero
    return spectra


def add_gaussians(image: np.ndarray, col: np.ndarray, row: np.ndarray, height: np.ndarray, width_px: float) -> None:
    """Add ``height * exp(-r^2 / width_px^2)`` at (row, col) in pixels, on a periodic grid; windows reach 1e-11 of H."""
    if not len(col):
        return
    reach = int(np.ceil(5.05 * width_px))
    window = np.arange(-reach, reach + 1)
    col0, row0 = np.rint(col).astype(np.int64), np.rint(row).astype(np.int64)
    gauss_u = np.exp(-(((window[None] + (col0 - col)[:, None]) / width_px) ** 2))
    gauss_v = np.exp(-(((window[None] + (row0 - row)[:, None]) / width_px) ** 2)) * height[:, None]
    at_u = (col0[:, None] + window) % image.shape[1]
    at_v = (row0[:, None] + window) % image.shape[0]
    flat = (at_v[:, :, None] * image.shape[1] + at_u[:, None, :]).ravel()
    value = (gauss_v[:, :, None] * gauss_u[:, None, :]).ravel()
    image += np.bincount(flat, value, image.size).reshape(image.shape)


def rotation(psi_deg: float, theta_deg: float, phi_deg: float) -> np.ndarray:
    """R = Rz(phi) Ry(theta) Rx(psi), right-handed active."""
    (cx, cy, cz), (sx, sy, sz) = (f(np.radians([psi_deg, theta_deg, phi_deg])) for f in (np.cos, np.sin))
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def simulate(
    positions: np.ndarray,
    heights: np.ndarray,
    angles_deg: np.ndarray,
    pixels: int,
    pixel_size_A: float,
    *,
    width_A: float = 0.5,
    energy_eV: float = 300e3,
    semiangle_mrad: float = 25.0,
    defocus_A: float = 0.0,
    slice_A: float = 1.0,
    oversample: int = 2,
    direct: bool = False,
    progress: bool = False,
) -> np.ndarray:
    """Noise-free images (tilt, pixels, pixels) float64; ``heights`` are peak heights before the probe.

    The grid is ``oversample`` times finer than the images, so that nothing aliases, and larger by the diameter of the
    particle, so that no tail of the probe is cut off or wraps around from any atom to any pixel. Every
    ``oversample``-th point is an image pixel.
    ``direct`` leaves the probe out. Slice edges are multiples of ``slice_A`` counted from the rotation centre.
    """
    step = pixel_size_A / oversample
    reach = np.linalg.norm(positions, axis=1).max() + 6 * width_A
    size = fft.next_fast_len(int(np.ceil(oversample * pixels + 2 * reach / step)), real=True)
    size += size % 2
    pad = (size - oversample * pixels) // 2
    centre = pad + oversample * (pixels - 1) / 2
    deepest = int(np.ceil(np.linalg.norm(positions, axis=1).max() / slice_A)) + 1
    slices = np.arange(-deepest, deepest)
    spectrum_of = {}
    if not direct:
        depth, index = np.unique(np.abs((slices + 0.5) * slice_A - defocus_A).round(9), return_inverse=True)
        spectra = probe_spectra(size, step, depth, energy_eV, semiangle_mrad)
        spectrum_of = {int(s): spectra[i] for s, i in zip(slices, index, strict=True)}
    images = np.empty((len(angles_deg), pixels, pixels))
    for tilt, angle in enumerate(angles_deg):
        began = time.perf_counter()
        uvw = positions @ rotation(*angle).T
        slice_of = np.floor(uvw[:, 2] / slice_A).astype(int)
        total = np.zeros((size, size // 2 + 1), complex)
        plane = np.zeros((size, size))
        for s in (0,) if direct else np.unique(slice_of):
            here = slice(None) if direct else slice_of == s
            plane[:] = 0
            add_gaussians(
                plane, uvw[here, 0] / step + centre, uvw[here, 1] / step + centre, heights[here], width_A / step
            )
            spectrum = fft.rfft2(plane)
            total += spectrum if direct else spectrum * spectrum_of[int(s)]
        fine = fft.irfft2(total, (size, size))
        cut = slice(pad, pad + oversample * pixels, oversample)
        images[tilt] = fine[cut, cut]
        if progress:
            print(f"tilt {tilt + 1}/{len(angles_deg)}: {time.perf_counter() - began:.2f} s", flush=True)
    return images


def amorphous_sphere(atoms: int, diameter_A: float, min_distance_A: float, seed: int) -> np.ndarray:
    """Random atoms in a sphere, (atoms, 3) in Å, no two closer than ``min_distance_A``: overlaps are pushed apart."""
    rng = np.random.default_rng(seed)
    radius = diameter_A / 2
    direction = rng.normal(size=(atoms, 3))
    direction /= np.linalg.norm(direction, axis=1)[:, None]
    p = direction * radius * rng.random(atoms)[:, None] ** (1 / 3)
    wanted = min_distance_A * 1.02
    for _ in range(5000):
        pair = cKDTree(p).query_pairs(wanted, output_type="ndarray")
        delta = p[pair[:, 0]] - p[pair[:, 1]]
        distance = np.maximum(np.linalg.norm(delta, axis=1), 1e-9)
        if not len(pair) or distance.min() >= min_distance_A:
            return p
        push = (0.5 * (wanted - distance) / distance)[:, None] * delta
        for axis in range(3):
            p[:, axis] += np.bincount(pair[:, 0], push[:, axis], atoms) - np.bincount(pair[:, 1], push[:, axis], atoms)
        distance = np.linalg.norm(p, axis=1)
        out = distance > radius
        p[out] *= (radius / distance[out])[:, None]
    raise SystemExit(
        "The sphere is too dense for this distance: give fewer atoms, a larger diameter or a smaller distance."
    )


def adatoms_on(p: np.ndarray, count: int, distance_A: float, seed: int) -> np.ndarray:
    """Single atoms on the surface: each ``distance_A`` from its nearest atom and at least 8 Å from each other."""
    rng = np.random.default_rng(seed + 1)
    tree, added = cKDTree(p), []
    while len(added) < count:
        direction = rng.normal(size=3)
        direction /= np.linalg.norm(direction)
        ray = np.arange(np.linalg.norm(p, axis=1).max() + 2 * distance_A, 0, -0.01)[:, None] * direction
        near, _ = tree.query(ray)
        spot = ray[np.argmax(near <= distance_A)]
        if all(np.linalg.norm(spot - other) >= 8 for other in added):
            added.append(spot)
    return np.array(added)


def main() -> None:
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--out", type=Path, required=True)
    a.add_argument("--atoms", type=int, default=25000)
    a.add_argument("--diameter", type=float, default=90.0, help="Å")
    a.add_argument("--min-distance", type=float, default=2.3, help="Å")
    a.add_argument("--adatoms", type=int, default=0, help="single atoms on the surface besides")
    a.add_argument("--adatom-height", type=float, default=1.0, help="their height relative to the others")
    a.add_argument(
        "--second-element", help="element of a random share of the atoms, and of the adatoms if there are any"
    )
    a.add_argument("--second-share", type=float, default=0.0)
    a.add_argument("--second-height", type=float, default=0.45)
    a.add_argument("--element", default="Si")
    a.add_argument(
        "--tilts", type=float, nargs=3, default=(-72, 70, 2), metavar=("FIRST", "LAST", "STEP"), help="degrees"
    )
    a.add_argument("--pixel", type=float, default=0.35, help="Å")
    a.add_argument("--pixels", type=int, help="default: the diameter and 9.5 Å on each side")
    a.add_argument("--width", type=float, default=0.5, help="B of the orbitals, Å")
    a.add_argument("--slice", type=float, default=1.0, help="slice thickness, Å")
    a.add_argument("--energy", type=float, default=300e3, help="eV")
    a.add_argument("--semiangle", type=float, default=25.0, help="mrad")
    a.add_argument(
        "--defocus", type=float, default=0.0, help="Å, focal plane from the rotation centre, downstream positive"
    )
    a.add_argument("--dose", type=float, help="e/Å^2 per tilt: Poisson counts; without it noise-free")
    a.add_argument("--background", type=float, default=1.0, help="counts per pixel, with --dose")
    a.add_argument("--seed", type=int, default=0)
    o = a.parse_args()

    p = amorphous_sphere(o.atoms, o.diameter, o.min_distance, o.seed)
    heights, symbols = np.ones(len(p)), np.full(len(p), o.element, dtype="<U2")
    if o.second_share:
        second = np.random.default_rng(o.seed + 2).random(len(p)) < o.second_share
        heights[second], symbols[second] = o.second_height, o.second_element
    if o.adatoms:
        p = np.concatenate([p, adatoms_on(p, o.adatoms, o.min_distance + 0.1, o.seed)])
        heights = np.append(heights, np.full(o.adatoms, o.adatom_height))
        symbols = np.append(symbols, np.full(o.adatoms, o.second_element or o.element))
    near = cKDTree(p).query(p, 2)[0][:, 1]
    print(
        f"{len(p)} atoms, nearest distances {near.min():.3f} to {near.max():.3f} Å, mean {near.mean():.3f} Å",
        flush=True,
    )

    theta = np.arange(o.tilts[0], o.tilts[1] + o.tilts[2] / 2, o.tilts[2])
    angles = np.stack([0 * theta, theta, 0 * theta], 1)
    pixels = o.pixels or 8 * int(np.ceil((o.diameter + 19) / o.pixel / 8))
    images = simulate(
        p,
        heights,
        angles,
        pixels,
        o.pixel,
        width_A=o.width,
        energy_eV=o.energy,
        semiangle_mrad=o.semiangle,
        defocus_A=o.defocus,
        slice_A=o.slice,
        progress=True,
    )
    note = "noise-free"
    if o.dose:
        per_atom = SILICON_CROSS_SECTION_A2 * o.dose  # counts of one atom of height 1 in one tilt
        scale = per_atom / (np.pi * o.width**2 / o.pixel**2)
        images = np.random.default_rng(o.seed + 3).poisson(np.maximum(images * scale, 0) + o.background).astype(float)
        note = f"Poisson counts, {per_atom:.2f} of one atom in one tilt, and a background of {o.background} per pixel"
    elements = [str(s) for s in dict.fromkeys(symbols.tolist())]
    case = {
        **({"element": elements[0]} if len(elements) == 1 else {"elements": elements}),
        "counts": bool(o.dose),
        **({"dose_e_per_A2_per_tilt": o.dose} if o.dose else {}),
        "pixel_size_A": o.pixel,
        "shape": list(images.shape),
        "atoms": len(p),
        "energy_eV": o.energy,
        "semiangle_mrad": o.semiangle,
        **({"defocus_A": o.defocus} if o.defocus else {}),
        "focus": "particle centre" if not o.defocus else f"{o.defocus} Å downstream of the particle centre",
        "note": f"thin_slices.py, slices of {o.slice} Å, orbitals exp(-r^2/B^2) with B = {o.width} Å, "
        f"seed {o.seed}; {note}",
    }
    o.out.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(o.out / "series.tif", images.astype(np.float32), compression="zlib")
    np.savetxt(o.out / "angles.csv", angles, fmt="%.6f", delimiter=",", header="psi_deg,theta_deg,phi_deg", comments="")
    atom_lines = (f"{s} {x:.5f} {y:.5f} {z:.5f}\n" for s, (x, y, z) in zip(symbols, p, strict=True))
    (o.out / "truth.xyz").write_text(f"{len(p)}\n{o.out.name}\n" + "".join(atom_lines), encoding="utf-8")
    (o.out / "case.json").write_text(json.dumps(case, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
