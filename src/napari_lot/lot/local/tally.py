"""R-factor and correlation of every tilt, kept up as single windows of the calculated images change."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_lot.lot.local.windows import Ints, cut

Floats = NDArray[np.float64]


class Tally:
    """Sums over the usable pixels of each tilt.

    Parameters
    ----------
    observed, calculated : (T, V, U) float32
    background : (T,)
    usable : (T, V, U) bool or None
    """

    def __init__(
        self,
        observed: NDArray[np.float32],
        calculated: NDArray[np.float32],
        background: Floats,
        usable: NDArray[np.bool_] | None,
    ) -> None:
        self.observed = observed
        self.use = np.ones(observed.shape, np.float32) if usable is None else usable.astype(np.float32)
        signal = np.abs(observed - background[:, None, None].astype(np.float32)) * self.use
        self.signal = signal.sum((1, 2), dtype=np.float64)
        self.pixels = self.use.sum((1, 2), dtype=np.float64)
        # about the mean, else single precision would lose what changes
        self.middle = ((observed * self.use).sum((1, 2), dtype=np.float64) / np.maximum(self.pixels, 1.0)).astype(
            np.float32
        )
        own = (observed - self.middle[:, None, None]) * self.use
        self.own = own.sum((1, 2), dtype=np.float64), (own**2).sum((1, 2), dtype=np.float64)
        tilts = [slice(j, j + 1) for j in range(len(observed))]
        self.sums = np.concatenate([self._sums(observed[j], calculated[j], self.use[j], j) for j in tilts], 1)

    def _sums(self, a: NDArray[np.float32], b: NDArray[np.float32], use: NDArray[np.float32], tilts: slice) -> Floats:
        """Sums (4, T) of |a - b|, b, b^2 and a b, a and b less the mean of the tilt's measured image."""
        middle = self.middle[tilts, None, None]
        at, bt = (a - middle) * use, (b - middle) * use
        parts = (np.abs(a - b) * use, bt, bt**2, at * bt)
        return np.array([part.sum((1, 2), dtype=np.float64) for part in parts])

    def change(self, origins: Ints, before: NDArray[np.float32], after: NDArray[np.float32]) -> None:
        """Take account of windows (T, P, P) that have changed."""
        size = before.shape[-1]
        a, use = cut(self.observed, origins, size, 0.0), cut(self.use, origins, size, 0.0)
        self.sums = self.sums + self._sums(a, after, use, slice(None)) - self._sums(a, before, use, slice(None))

    @property
    def r_factor(self) -> Floats:
        """Eq. 11 of every tilt, (T,); NaN where no pixel is usable."""
        ratio = self.sums[0] / np.maximum(self.signal, np.finfo(np.float64).tiny)
        return np.where(self.pixels > 0, ratio, np.nan)

    @property
    def correlation(self) -> Floats:
        """Pearson correlation of every tilt, (T,); NaN where there is no contrast."""
        n = np.maximum(self.pixels, 1.0)
        _, b, bb, ab = self.sums
        a, aa = self.own
        both = (aa - a**2 / n) * (bb - b**2 / n)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where((both > 0) & (self.pixels > 2), (ab - a * b / n) / np.sqrt(np.maximum(both, 0.0)), np.nan)
