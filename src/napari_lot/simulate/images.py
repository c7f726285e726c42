"""Tilt series of given atoms by the fast image model, with what a real recording adds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_lot.atoms import Orbitals
from napari_lot.errors import InputError
from napari_lot.lot.canvas import SMALLEST_SPREAD_PX
from napari_lot.lot.image_model import ImageModel
from napari_lot.physics.geometry import rotations
from napari_lot.physics.optics import require_probe
from napari_lot.series.tilt_series import TiltSeries
from napari_lot.settings import Microscope

# The span of widths that one filter of the image model serves, lowest to highest.
_WIDTH_SPAN = 1.8


class Recording(BaseModel):
    """What the recording adds to the calculated images, in this order: drift, current, background, noise, gain."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dose_e_per_A2: float | None = Field(
        None, gt=0, le=1e12, description="Electrons per Å^2 and tilt; noise is Poisson. Without it noise-free."
    )
    drift_A: float = Field(
        0.0, ge=0, le=1e3, description="Misalignment left in each tilt: standard deviation along u and v in Å."
    )
    current_spread: float = Field(
        0.0, ge=0, le=0.5, description="Relative standard deviation of the beam current from tilt to tilt."
    )
    background: float = Field(
        0.0, ge=0, le=1e9, description="Added to each pixel: electrons with a dose, intensity without."
    )
    gain: float = Field(1.0, gt=0, le=1e9, description="Detector units per electron, or per unit of intensity.")
    seed: int = Field(0, ge=0, description="Seed of drift, current and noise; the same seed gives the same series.")

    @classmethod
    def checked(cls, **values: Any) -> Recording:
        """The recording of these values; a value out of bounds raises InputError with its name."""
        try:
            return cls(**values)
        except ValidationError as error:
            first = error.errors()[0]
            name = first["loc"][0] if first["loc"] else "recording"
            raise InputError(
                f"{name}: {first['msg'][:1].lower()}{first['msg'][1:]} (given: {first['input']!r})."
            ) from None


def with_cross_section(orbitals: Orbitals, cross_section_A2: float | Sequence[float]) -> Orbitals:
    """The same orbitals with heights such that pi H B^2 is the cross-section in Å^2, one value or one per element.

    With heights like these, an image is the share of the beam that each pixel detects. One silicon atom has about
    0.0017 Å^2 on an annular dark-field detector, and a heavier one grows roughly as Z^1.7.
    """
    table = np.broadcast_to(np.asarray(cross_section_A2, np.float64), (len(orbitals.elements),))
    if not np.all(table > 0):
        raise InputError("A cross-section must be positive, in Å^2.")
    return replace(orbitals, height=table[orbitals.species] / (np.pi * orbitals.width**2))


def simulate_series(
    orbitals: Orbitals,
    angles_deg: ArrayLike,
    pixel_size_A: float,
    microscope: Microscope | None,
    *,
    image_shape: tuple[int, int] | None = None,
    recording: Recording | None = None,
    threads: int | None = None,
) -> TiltSeries:
    """Tilt series of the orbitals (Eqs. 2-10, continuous depth).

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

    Returns
    -------
    TiltSeries
        Rotation centre at (n - 1) / 2; counts where there is a dose and the gain is 1. ``metadata`` holds
        ``shifts_px`` (T, 2) as (du, dv), ``current`` (T,) and ``recording``, the truth of what was added.

    Raises
    ------
    InputError
        No orbitals, energy or semi-angle missing, negative heights with a dose, or numbers out of range.
    """
    recording = recording or Recording()
    angles = np.asarray(angles_deg, np.float64)
    if angles.ndim == 1:
        angles = np.stack([np.zeros_like(angles), angles, np.zeros_like(angles)], axis=1)
    if angles.ndim != 2 or angles.shape[1] != 3 or not len(angles) or not np.all(np.isfinite(angles)):
        raise InputError("The tilt angles must be finite: one theta per tilt, or psi, theta and phi.")
    if not (np.isfinite(pixel_size_A) and pixel_size_A > 0):
        raise InputError(f"The pixel size must be positive, not {pixel_size_A} Å.")
    if not len(orbitals):
        raise InputError("There are no atoms to image.")
    if recording.dose_e_per_A2 is not None and np.any(orbitals.height < 0):
        raise InputError("Heights must not be negative where electrons are counted.")
    reach = float(np.linalg.norm(orbitals.positions, axis=1).max())
    if image_shape is None:
        pixels = int(np.ceil(2 * (reach + 4.0) / pixel_size_A))
        image_shape = (pixels, pixels)
    elif min(image_shape) < 1:
        raise InputError(f"The images need at least one pixel, not {image_shape[0]} x {image_shape[1]}.")

    rng = np.random.default_rng(recording.seed)
    shifts_px = rng.normal(0.0, recording.drift_A / pixel_size_A, (len(angles), 2))
    current = np.maximum(rng.normal(1.0, recording.current_spread, len(angles)), 0.05)
    images = _calculate(orbitals, angles, pixel_size_A, microscope, image_shape, shifts_px, reach, threads)
    images = images * current[:, None, None]
    if recording.dose_e_per_A2 is not None:
        electrons = recording.dose_e_per_A2 * pixel_size_A**2 * images + recording.background
        images = rng.poisson(np.maximum(electrons, 0.0)).astype(np.float64)
    else:
        images = images + recording.background
    return TiltSeries(
        images=(recording.gain * images).astype(np.float32),
        angles_deg=angles,
        pixel_size_A=float(pixel_size_A),
        counts=recording.dose_e_per_A2 is not None and recording.gain == 1.0,
        source="simulated series",
        metadata={"shifts_px": shifts_px, "current": current, "recording": recording.model_dump()},
    )


def _calculate(
    orbitals: Orbitals,
    angles_deg: NDArray[np.float64],
    pixel_size_A: float,
    microscope: Microscope | None,
    image_shape: tuple[int, int],
    shifts_px: NDArray[np.float64],
    reach_A: float,
    threads: int | None,
) -> NDArray[np.float64]:
    """Noise-free images (T, V, U); on a grid fine enough for probe and orbitals, sampled at the image pixels."""
    finest = float(orbitals.width.min()) / SMALLEST_SPREAD_PX
    if microscope is not None:
        wavelength_A, semiangle = require_probe(microscope)
        finest = min(finest, wavelength_A / (4.0 * semiangle))  # Nyquist step of the probe's intensity
    oversampling = max(1, int(np.ceil(pixel_size_A / finest - 1e-9)))
    row, column = image_shape
    model = ImageModel(
        rotations(angles_deg),
        image_shape,
        pixel_size_A,
        ((row - 1) / 2, (column - 1) / 2),
        microscope,
        (-reach_A - 0.5, reach_A + 0.5),
        float(orbitals.width.max()),
        tolerance=1e-5,
        oversampling=oversampling,
        threads=threads,
    )
    images = np.zeros((len(angles_deg), *image_shape))
    left = np.ones(len(orbitals), bool)
    try:
        while left.any():
            narrowest = float(orbitals.width[left].min())
            group = left & (orbitals.width <= _WIDTH_SPAN * narrowest)
            left &= ~group
            model.set_width(narrowest / 0.8)
            some = orbitals.take(group)
            with torch.no_grad():
                calculated = model.images(
                    np.arange(len(angles_deg)),
                    torch.from_numpy(some.positions),
                    torch.from_numpy(some.height),
                    torch.from_numpy(some.width),
                    torch.from_numpy(shifts_px),
                )
            images += calculated.numpy()
    finally:
        model.close()
    return images
