"""What an alignment found is applied: images are moved, the tilt axis turned."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_lot.errors import InputError
from napari_lot.progress import Progress, nothing
from napari_lot.series.alignment.agreement import Agreement
from napari_lot.series.alignment.drift import Drift
from napari_lot.series.tilt_series import TiltSeries

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]

SUPPORT_PX = 2
"""How far a cubic spline reaches: no interpolated pixel is used that a masked one took part in."""


@dataclass(frozen=True, eq=False)
class RemoveDrift:
    """Each tilt is moved back by its drift; what left the field is masked.

    By whole pixels no value is changed: noise stays independent from pixel to pixel, and counts stay counts; what is
    left, half a pixel at most, is for the fit to refine. Moved by parts of a pixel (``subpixel``) values are
    interpolated by cubic splines: that leaves nothing over, which a film needs whose shifts the fit does not refine,
    but counts become intensities.
    """

    drift: Drift
    subpixel: bool = False

    @property
    def nothing_to_do(self) -> str:
        return f"Aligned {self.drift.how}, every tilt stays where it is: there is nothing to move."

    @property
    def _moves(self) -> NDArray[np.float64]:
        drift = np.asarray(self.drift.drift_px, np.float64)
        return -drift if self.subpixel else -np.rint(drift)

    @cached_property
    def agreement(self) -> Agreement | None:
        """How well the tilts agree before and after; None where they have nothing in common."""
        return None if self.drift.common is None else self.drift.common.judge(-self._moves)

    def apply(self, series: TiltSeries, progress: Progress = nothing) -> TiltSeries:
        """The aligned series; InputError where a tilt would leave the field."""
        drift = np.asarray(self.drift.drift_px, np.float64)
        if drift.shape != (len(series), 2):
            raise InputError(f"{series.source}: {len(drift)} drifts do not fit {len(series)} tilts: align again.")
        moves = self._moves
        v, u = series.images.shape[1:]
        far = np.flatnonzero((np.abs(moves) > 0.5 * np.array([u, v])).any(1))
        if len(far):
            raise InputError(
                f"{series.source}: tilt {far[0]} would have to move by more than half of the field: leave it out, and "
                "align again."
            )
        images = np.empty_like(series.images)
        mask = np.zeros(images.shape, bool)
        for j, (du, dv) in enumerate(moves):
            progress(j / len(series))
            use = np.ones((v, u), bool) if series.mask is None else series.mask[j]
            if self.subpixel:
                images[j], mask[j] = _moved_by_parts(series.images[j], use, float(dv), float(du))
            else:
                images[j], mask[j] = _moved(series.images[j], use, int(dv), int(du))
        agreement = self.agreement
        largest = float(np.hypot(*moves.T).max())
        by = "by parts of a pixel (interpolated)" if self.subpixel else "by whole pixels"
        lost = "; electron counts became intensities" if series.counts and self.subpixel else ""
        return series.after(
            f"Aligned {self.drift.how}: tilts moved {by}, at most by {largest:.1f} px{lost}."
            + (f" {agreement.sentence}" if agreement is not None else ""),
            images=images,
            mask=mask if series.mask is not None or not mask.all() else None,
            counts=series.counts and not self.subpixel,
            center_px=self.drift.center_px,
            center_known=series.center_known,
        )


def _moved(image: Image, use: Mask, dv: int, du: int) -> tuple[Image, Mask]:
    """Image and mask moved down and to the right; what comes from outside is masked and has the image's own edge."""
    rows = np.clip(np.arange(image.shape[0]) - dv, 0, image.shape[0] - 1)
    columns = np.clip(np.arange(image.shape[1]) - du, 0, image.shape[1] - 1)
    inside = (rows == np.arange(len(rows)) - dv)[:, None] & (columns == np.arange(len(columns)) - du)
    grid = np.ix_(rows, columns)
    return image[grid], use[grid] & inside


def _moved_by_parts(image: Image, use: Mask, dv: float, du: float) -> tuple[Image, Mask]:
    filled = np.where(use, image, np.median(image[use]) if use.any() else 0.0)
    moved = ndimage.shift(filled.astype(np.float64), (dv, du), order=3, mode="nearest")
    unused = ndimage.binary_dilation(~use, np.ones((3, 3), bool), iterations=SUPPORT_PX) if not use.all() else ~use
    # Row i comes from i - dv; a whole number of pixels needs no neighbour beyond the edge.
    rows, columns = (np.arange(n) - d for n, d in zip(image.shape, (dv, du), strict=True))
    inside = _within(rows)[:, None] & _within(columns)
    grid = np.ix_(*(np.clip(np.rint(x), 0, len(x) - 1).astype(int) for x in (rows, columns)))
    return moved.astype(np.float32), ~unused[grid] & inside


def _within(places: NDArray[np.float64]) -> Mask:
    return np.asarray((places >= -1e-9) & (places <= len(places) - 1 + 1e-9))


@dataclass(frozen=True)
class TurnAxis:
    """The tilt axis lies elsewhere than was said; no image is changed."""

    angle_deg: float
    how: str = "by hand"

    nothing_to_do = "The tilt axis is there already."

    def apply(self, series: TiltSeries, progress: Progress = nothing) -> TiltSeries:
        """The series with another tilt axis."""
        before, now = (f"{a:.4g}".replace("-", "−") for a in (series.tilt_axis_deg, self.angle_deg))
        return series.after(f"Tilt axis set to {now}° {self.how} (before {before}°).", tilt_axis_deg=self.angle_deg)
