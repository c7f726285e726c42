"""A mask that was painted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_lot.errors import InputError
from napari_lot.progress import Progress, nothing
from napari_lot.series.tilt_series import TiltSeries


@dataclass(frozen=True, eq=False)
class UseMask:
    """Painted pixels are not used.

    Attributes
    ----------
    painted : (V, U) or (T, V, U) bool
        (V, U) is taken out of every tilt, beside what is masked already; (T, V, U) takes the place of any mask.
    """

    painted: NDArray[np.bool_]

    @property
    def nothing_to_do(self) -> str:
        return "What is painted is left out already." if self.painted.any() else "Nothing is painted."

    def apply(self, series: TiltSeries, progress: Progress = nothing) -> TiltSeries:
        """The masked series; InputError where the mask does not fit or leaves nothing."""
        shape = series.images.shape
        if self.painted.shape not in (shape, shape[1:]):
            raise InputError(
                f"{series.source}: the painted mask ({' x '.join(map(str, self.painted.shape))}) does not fit the "
                f"images ({' x '.join(map(str, shape))}): paint one on the images as they are now."
            )
        mask = ~self.painted if self.painted.ndim == 3 else np.broadcast_to(~self.painted, shape).copy()
        if self.painted.ndim == 2 and series.mask is not None:
            mask &= series.mask
        share = 100 * float(1 - mask[series.used].mean()) if len(series.used) else 0.0
        whole = "of every tilt alike" if self.painted.ndim == 2 else "of each tilt its own"
        return series.after(f"Masked by hand, {whole}: {share:.2g} % of the pixels are not used.", mask=mask)
