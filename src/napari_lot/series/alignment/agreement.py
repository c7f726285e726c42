"""Whether an alignment makes the tilts of an isolated object agree better, by what they have in common.

Summed across the tilt axis, the images of one object are the same profile at every tilt (the common line of all their
Fourier transforms, Crowther, DeRosier & Klug, Proc. R. Soc. A 317, 319 (1970)). Drift along the axis moves a profile,
what else enters the field changes it. Diffraction makes a crystal brighter on one side than on the
other from tilt to tilt, which moves its centre of mass but none of its edges and planes: brightness that changes
linearly along the axis is allowed to every tilt before profiles are compared. Drift across the axis is not seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_lot.series.tilt_series import TiltSeries

Floats = NDArray[np.float64]

BINS_PER_PX = 4
SMOOTH_PX = 1.0
"""Profiles are compared at this resolution, so that moving them by parts of a pixel costs nothing of its own."""
LEAST_TILTS = 3
CLEAR = 2.0
"""A change counts from this many standard errors, over the tilts, on."""


@dataclass(frozen=True)
class Agreement:
    """Mismatch of the profiles as the tilts are and as they would be: the part of each that is not common to all.

    ``change`` is -1 where they would agree better, 1 where they would agree less, 0 where that cannot be told.
    """

    before: float
    after: float
    change: int

    @property
    def sentence(self) -> str:
        """What it says, for a person."""
        how = ("The tilts agree alike", "This makes the tilts agree less", "The tilts agree better")[self.change]
        mismatch = f"{100 * self.before:.2f} % → {100 * self.after:.2f} %"
        return f"{how}: mismatch of their profiles along the tilt axis {mismatch}."


class CommonProfile:
    """The profile of each tilt along the tilt axis.

    Parameters
    ----------
    series : TiltSeries
        Tilted about a single axis (see ``has_one_axis``).
    """

    def __init__(self, series: TiltSeries) -> None:
        assert series.center_px is not None
        a = np.deg2rad(series.tilt_axis_deg)
        self._along = np.array([-np.sin(a), np.cos(a)])  # (u, v)
        row, column = (np.arange(n) - c for n, c in zip(series.images.shape[1:], series.center_px, strict=True))
        place = self._along[0] * column + self._along[1] * row[:, None]
        reach = int(np.ceil(np.abs(place).max())) + 2
        self._bin = np.rint(BINS_PER_PX * (place + reach)).astype(np.int64)
        self._grid = np.arange(2 * BINS_PER_PX * reach + 1) / BINS_PER_PX - reach
        self._tilts: list[int] = []
        self._profiles: list[Floats] = []

    def __len__(self) -> int:
        return len(self._tilts)

    def add(self, tilt: int, signal: Floats) -> None:
        """Take the object of one tilt, an image (V, U) that is 0 away from it."""
        profile = np.bincount(self._bin.ravel(), signal.ravel(), len(self._grid))
        mass = profile.sum()
        if mass > 0:
            self._tilts.append(tilt)
            self._profiles.append(profile / mass)

    def judge(self, drift_px: Floats) -> Agreement | None:
        """What moving each tilt back by its drift (T, 2) as (du, dv) would do; None where too few tilts are known."""
        if len(self) < LEAST_TILTS:
            return None
        drift = (np.asarray(drift_px, np.float64) @ self._along)[self._tilts]
        before, after = self._apart(np.zeros(len(self))), self._apart(drift)
        step = after - before
        error = float(step.std(ddof=1) / np.sqrt(len(step)))
        clear = abs(float(step.mean())) > CLEAR * error
        return Agreement(float(before.mean()), float(after.mean()), int(np.sign(step.mean())) if clear else 0)

    def _apart(self, drift_px: Floats) -> Floats:
        """Of each profile, moved back, the part that is not the common one with a linear change of brightness, (T,)."""
        moved = np.stack(
            [
                np.interp(self._grid + d, self._grid, p, left=0.0, right=0.0)
                for d, p in zip(drift_px, self._profiles, strict=True)
            ]
        )
        profiles = ndimage.gaussian_filter1d(moved, BINS_PER_PX * SMOOTH_PX, axis=1, mode="constant")
        profiles /= profiles.sum(1, keepdims=True)
        common = profiles.mean(0)
        fitted = profiles
        for _ in range(3):  # the common profile and the changes of brightness by turns
            middle = common @ self._grid / common.sum()
            width = np.sqrt(common @ (self._grid - middle) ** 2 / common.sum())
            ramp = np.stack([np.ones_like(self._grid), (self._grid - middle) / width], 1)
            parts = np.linalg.lstsq(common[:, None] * ramp, profiles.T, rcond=None)[0]
            bright = (ramp @ parts).T
            fitted = bright * common
            common = (profiles * bright).sum(0) / np.maximum((bright**2).sum(0), 1e-12)
        return np.asarray(np.abs(profiles - fitted).sum(1))


def has_one_axis(series: TiltSeries) -> bool:
    """Whether a series is tilted about a single axis: only then is there a profile in common."""
    return series.rotations is None and not np.any(series.angles_deg[:, [0, 2]])
