"""Tilt series of given atoms by the fast image model, with what a real recording adds."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from napari_lot.atoms import Orbitals
from napari_lot.errors import InputError
from napari_lot.lot.canvas import SMALLEST_SPREAD_PX
from napari_lot.lot.image_model import ImageModel, Shapes
from napari_lot.physics.optics import require_probe
from napari_lot.physics.orbital import Gaussian, Orbital
from napari_lot.series.raw import MAX_PIXELS
from napari_lot.series.tilt_series import TiltSeries
from napari_lot.settings import Microscope
from napari_lot.simulate.alloy import with_cross_section
from napari_lot.simulate.recording import draw_unknowns, recorded
from napari_lot.simulate.settings import Recording

__all__ = ["Recording", "simulate_series", "with_cross_section"]

# The span of widths that one filter of the image model serves, lowest to highest.
_WIDTH_SPAN = 1.8
_SHAPED_SPAN = 1.25


def simulate_series(
    orbitals: Orbitals,
    angles_deg: ArrayLike,
    pixel_size_A: float,
    microscope: Microscope | None,
    *,
    image_shape: tuple[int, int] | None = None,
    recording: Recording | None = None,
    threads: int | None = None,
    orbital: Orbital | None = None,
) -> TiltSeries:
    """Tilt series of the orbitals (Eqs. 2-10, continuous depth).

    >>> atoms = Orbitals.create([[0, 0, -1.35], [0, 0, 1.35]], elements=("Pt",))
    >>> series = simulate_series(atoms, [-60, 0, 60], 0.4, Microscope(energy_eV=300e3, semiangle_mrad=25))
    >>> len(series), series.pixel_size_A
    (3, 0.4)

    Parameters
    ----------
    orbitals : Orbitals
        With a dose, the image of their heights is the share of the beam that a pixel detects
        (:func:`with_cross_section`).
    angles_deg : (T, 3) or (T,)
        psi, theta, phi in degrees, or theta alone.
    pixel_size_A : float
    microscope : Microscope or None
        None is direct projection.
    image_shape : (V, U), optional
        Pixels; by default the sphere around the origin that holds all orbitals, and 4 Å.
    recording : Recording, optional
        Noise-free and without drift by default.
    threads : int, optional
        All cores by default.
    orbital : Orbital, optional
        Shape of the atoms; Gaussians by default. What an orbital could learn from images it does not know here.

    Returns
    -------
    TiltSeries
        Rotation centre at (n - 1) / 2; counts where there is a dose and the detector adds nothing. ``metadata`` holds
        the truth of what was added: ``shifts_px`` (T, 2) as (du, dv), ``angle_errors_deg`` (T, 3) as turns about u, v
        and w, ``current`` (T,) and ``recording``.

    Raises
    ------
    InputError
        No orbitals, energy or semi-angle missing, negative heights with a dose, or numbers out of range.
    """
    recording = recording or Recording()
    angles = check_angles(angles_deg)
    image_shape = check_geometry(orbitals, pixel_size_A, image_shape)
    check_series_size(len(angles), image_shape)
    if recording.dose_e_per_A2 is not None and np.any(orbitals.height < 0):
        raise InputError("Heights must not be negative where electrons are counted.")
    unknowns, rng = draw_unknowns(recording, angles, pixel_size_A)
    images = _calculate(
        orbitals,
        unknowns.rotations,
        pixel_size_A,
        microscope,
        image_shape,
        unknowns.shifts_px,
        threads,
        orbital or Gaussian(),
    )
    return recorded(images, angles, pixel_size_A, recording, unknowns, rng, "simulated series")


def check_angles(angles_deg: ArrayLike) -> NDArray[np.float64]:
    """psi, theta, phi in degrees, (T, 3), of these or of theta alone (T,); InputError where they are neither."""
    angles = np.asarray(angles_deg, np.float64)
    if angles.ndim == 1:
        angles = np.stack([np.zeros_like(angles), angles, np.zeros_like(angles)], axis=1)
    if angles.ndim != 2 or angles.shape[1] != 3 or not len(angles) or not np.all(np.isfinite(angles)):
        raise InputError("The tilt angles must be finite: one theta per tilt, or psi, theta and phi.")
    return angles


LARGEST_SIDE = 16384
"""Pixels: no detector of a scan has more, and a slip must not ask for terabytes."""


def check_series_size(tilts: int, image_shape: tuple[int, int]) -> None:
    """Refuse a series that no file is read with, before it is calculated."""
    if tilts * image_shape[0] * image_shape[1] > MAX_PIXELS:
        raise InputError(
            f"{tilts} tilts of {image_shape[0]} x {image_shape[1]} pixels are more than a series can have "
            f"({MAX_PIXELS:.2g} pixels): take fewer tilts, smaller images, or larger pixels."
        )


def reach_A(orbitals: Orbitals) -> float:
    """Radius in Å of the sphere around the origin that holds all orbitals."""
    return float(np.linalg.norm(orbitals.positions, axis=1).max())


def check_geometry(orbitals: Orbitals, pixel_size_A: float, image_shape: tuple[int, int] | None) -> tuple[int, int]:
    """Image shape in pixels: the given one, or the sphere around the origin that holds all orbitals, and 4 Å."""
    if not (np.isfinite(pixel_size_A) and pixel_size_A > 0):
        raise InputError(f"The pixel size must be positive, not {pixel_size_A} Å.")
    if not len(orbitals):
        raise InputError("There are no atoms to image.")
    if image_shape is None:
        pixels = float(np.ceil(2 * (reach_A(orbitals) + 4.0) / pixel_size_A))
        if pixels > LARGEST_SIDE:
            raise InputError(
                f"The atoms reach {reach_A(orbitals):.4g} Å from the origin: images of all of them would have "
                f"{pixels:.3g} pixels a side, more than {LARGEST_SIDE}: move the atoms to the origin, or give the "
                "images' size."
            )
        return int(pixels), int(pixels)
    if min(image_shape) < 1:
        raise InputError(f"The images need at least one pixel, not {image_shape[0]} x {image_shape[1]}.")
    return image_shape


def _calculate(
    orbitals: Orbitals,
    rotations: NDArray[np.float64],
    pixel_size_A: float,
    microscope: Microscope | None,
    image_shape: tuple[int, int],
    shifts_px: NDArray[np.float64],
    threads: int | None,
    orbital: Orbital,
) -> NDArray[np.float64]:
    """Noise-free images (T, V, U); on a grid fine enough for probe and orbitals, sampled at the image pixels."""
    finest = float(orbitals.width.min()) / SMALLEST_SPREAD_PX
    if microscope is not None:
        wavelength_A, semiangle = require_probe(microscope)
        finest = min(finest, wavelength_A / (4.0 * semiangle))  # Nyquist step of the probe's intensity
    oversampling = max(1, int(np.ceil(pixel_size_A / finest - 1e-9)))
    row, column = image_shape
    reach = reach_A(orbitals)
    model = ImageModel(
        rotations,
        image_shape,
        pixel_size_A,
        ((row - 1) / 2, (column - 1) / 2),
        microscope,
        (-reach - 0.5, reach + 0.5),
        float(orbitals.width.max()),
        tolerance=1e-5,
        oversampling=oversampling,
        threads=threads,
        orbital=orbital,
    )
    span = _SHAPED_SPAN if model.shaped else _WIDTH_SPAN
    images = np.zeros((len(rotations), *image_shape))
    left = np.ones(len(orbitals), bool)
    try:
        while left.any():
            narrowest = float(orbitals.width[left].min())
            group = left & (orbitals.width <= span * narrowest)
            left &= ~group
            model.set_narrowest(narrowest)
            some = orbitals.take(group)
            with torch.no_grad():
                calculated = model.images(
                    np.arange(len(rotations)),
                    torch.from_numpy(some.positions),
                    torch.from_numpy(some.height),
                    torch.from_numpy(some.width),
                    torch.from_numpy(shifts_px),
                    shapes=_shapes(some, orbital) if model.shaped else None,
                )
            images += calculated.numpy()
    finally:
        model.close()
    return images


def _shapes(orbitals: Orbitals, orbital: Orbital) -> Shapes:
    """One shape for each width there is, to a thousandth of an Å."""
    width, of = np.unique(orbitals.width.round(3), return_inverse=True)
    none = torch.zeros(len(width), orbital.terms, dtype=torch.float64)
    return Shapes(torch.from_numpy(of.astype(np.int64)), torch.from_numpy(width), none)
