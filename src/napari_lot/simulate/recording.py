"""What a real recording adds to calculated images: wrong angles, drift, current, background, noise, a detector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_lot.physics.geometry import rotations
from napari_lot.series.tilt_series import TiltSeries
from napari_lot.simulate.settings import Recording

_SMALLEST_CURRENT = 0.05
_ANGLES_STREAM = 1
"""Angle errors have a stream of random numbers of their own: asking for them changes nothing else of a series."""


@dataclass(frozen=True)
class Unknowns:
    """What each tilt of a recording has without anybody knowing.

    Attributes
    ----------
    rotations : (T, 3, 3) float64
        That the specimen had: the nominal ones, then turned by the errors.
    angle_errors_deg : (T, 3) float64
        Turns about u, v and w (psi, theta, phi of :func:`~napari_lot.physics.geometry.rotations`), after the tilt.
    shifts_px : (T, 2) float64
        (du, dv).
    current : (T,) float64
        Beam current relative to the nominal one.
    """

    rotations: NDArray[np.float64]
    angle_errors_deg: NDArray[np.float64]
    shifts_px: NDArray[np.float64]
    current: NDArray[np.float64]

    def metadata(self, recording: Recording) -> dict[str, Any]:
        """The truth of what was added, for ``TiltSeries.metadata``."""
        return {
            "shifts_px": self.shifts_px,
            "angle_errors_deg": self.angle_errors_deg,
            "current": self.current,
            "recording": recording.model_dump(),
        }


def draw_unknowns(
    recording: Recording, angles_deg: NDArray[np.float64], pixel_size_A: float
) -> tuple[Unknowns, np.random.Generator]:
    """Draw what the tilts of nominal angles (T, 3) have; and the generator that their noise goes on with."""
    rng = np.random.default_rng(recording.seed)
    tilts = len(angles_deg)
    shifts_px = rng.normal(0.0, recording.drift_A / pixel_size_A, (tilts, 2))
    current = np.maximum(rng.normal(1.0, recording.current_spread, tilts), _SMALLEST_CURRENT)
    own = np.random.default_rng([recording.seed, _ANGLES_STREAM])
    errors = own.normal(0.0, recording.angle_error_deg, (tilts, 3))
    matrices = rotations(angles_deg)
    if recording.angle_error_deg:
        matrices = rotations(errors) @ matrices
    return Unknowns(matrices, errors, shifts_px, current), rng


def recorded(
    images: NDArray[np.float64],
    angles_deg: NDArray[np.float64],
    pixel_size_A: float,
    recording: Recording,
    unknowns: Unknowns,
    rng: np.random.Generator,
    source: str,
    **metadata: Any,
) -> TiltSeries:
    """The series of noise-free images (T, V, U), with what the recording adds and, as metadata, the truth of it."""
    return TiltSeries(
        images=detect(images, recording, unknowns.current, pixel_size_A, rng).astype(np.float32),
        angles_deg=angles_deg,
        pixel_size_A=float(pixel_size_A),
        counts=recording.counts,
        source=source,
        metadata={**unknowns.metadata(recording), **metadata},
    )


def detect(
    images: NDArray[np.float64],
    recording: Recording,
    current: NDArray[np.float64],
    pixel_size_A: float,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Detector units (T, V, U) of noise-free images that hold the share of the beam (or any intensity)."""
    images = images * current[:, None, None]
    if recording.dose_e_per_A2 is not None:
        electrons = recording.dose_e_per_A2 * pixel_size_A**2 * images + recording.background
        images = rng.poisson(np.maximum(electrons, 0.0)).astype(np.float64)
    else:
        images = images + recording.background
    images = recording.gain * images + recording.offset
    if recording.read_noise:
        images = images + rng.normal(0.0, recording.read_noise, images.shape)
    return images
