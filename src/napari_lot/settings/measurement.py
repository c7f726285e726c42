"""What was measured: facts that the file of the series does not say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, field_validator

from napari_lot.settings.section import Frozen
from napari_lot.settings.tilts import tilts_of

LARGEST_TILT_WEIGHT = 1000.0
LARGEST_PX = 1e6


class Data(Frozen):
    """What the file does not say, or says wrongly."""

    pixel_size_A: float | None = Field(None, gt=1e-3, le=100, description="Pixel size in Å; from the file when absent.")
    tilt_axis_deg: float = Field(
        0.0, ge=-360, le=360, description="Tilt axis in the image in degrees from vertical, clockwise positive."
    )
    center_px: tuple[float, float] | None = Field(
        None,
        description="Rotation centre (row, column) in pixels; when absent from the file, or found from the images.",
    )
    counts: bool = Field(False, description="The images are electron counts: noise is Poisson.")
    gain: float | None = Field(
        None,
        gt=0,
        le=1e12,
        description="Detector units per electron; with it values are turned into electrons and noise is Poisson.",
    )
    offset: float = Field(0.0, ge=-1e12, le=1e12, description="Detector units at no electron.")
    read_noise: float = Field(
        0.0, ge=0, le=1e12, description="Standard deviation of the detector's own noise in detector units."
    )
    denoised: bool = Field(
        False, description="The images were denoised: their noise is no longer known, and the fit is by least squares."
    )
    thickness_A: float | None = Field(
        None, gt=0, le=1e5, description="Thickness in Å of a film that fills the field; estimated when absent."
    )
    exclude: tuple[int, ...] = Field((), description="Tilts left out, counted from 0.")
    tilt_weights: tuple[tuple[int, float], ...] = Field(
        (),
        description="Factors on the log-likelihood of single tilts, counted from 0, such as 3=0.5, 20-22=0; "
        "1 where none is given, 0 leaves a tilt out.",
    )
    withhold: int | None = Field(
        None, ge=2, le=1000, description="Every N-th tilt, from N//2 on, is not fitted but predicted at the end."
    )

    @field_validator("center_px")
    @classmethod
    def _a_place(cls, center: tuple[float, float] | None) -> tuple[float, float] | None:
        if center is not None and not all(abs(value) <= LARGEST_PX for value in center):
            raise ValueError("must be two numbers, row and column, in pixels")
        return center

    @field_validator("tilt_weights", mode="before")
    @classmethod
    def _as_pairs(cls, weights: Any) -> Any:
        """``3=0.5, 20-22=0`` as a person types it, or a mapping of tilts to weights."""
        if weights is None:
            return ()
        if isinstance(weights, Mapping):
            return tuple(weights.items())
        if isinstance(weights, str):
            return tuple(pair for part in weights.replace(";", ",").split(",") if part.strip() for pair in _pairs(part))
        if not isinstance(weights, list | tuple):
            raise ValueError("expected tilts and their weights, such as 3=0.5, 20-22=0")
        return weights

    @field_validator("tilt_weights")
    @classmethod
    def _usable_weights(cls, weights: tuple[tuple[int, float], ...]) -> tuple[tuple[int, float], ...]:
        for tilt, weight in weights:
            if tilt < 0:
                raise ValueError(f"there is no tilt {tilt}: tilts are counted from 0")
            if not 0 <= weight <= LARGEST_TILT_WEIGHT:
                raise ValueError(f"the weight of tilt {tilt} must be between 0 and {LARGEST_TILT_WEIGHT:g}")
        if len({tilt for tilt, _ in weights}) != len(weights):
            raise ValueError("a tilt has two weights")
        return weights

    @property
    def left_out(self) -> tuple[int, ...]:
        """Tilts that have no part in anything: excluded, or of weight 0."""
        return tuple(sorted({*self.exclude, *(tilt for tilt, weight in self.tilt_weights if weight == 0)}))


def _pairs(text: str) -> list[tuple[int, float]]:
    """``20-22=0.5`` as a weight for each of the tilts."""
    tilts, _, weight = text.partition("=")
    try:
        factor = float(weight)
    except ValueError:
        factor = None
    if factor is None or not tilts.strip()[:1].isdigit():
        raise ValueError(f"{text.strip()!r} is no tilt and its weight, such as 3=0.5 or 20-22=0")
    return [(tilt, factor) for tilt in tilts_of(tilts)]
