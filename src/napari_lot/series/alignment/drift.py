"""What an alignment finds, and what a drift has in common with a translation of the specimen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_lot.series.alignment.agreement import CommonProfile

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Drift:
    """Where each tilt's image lies beside where it should.

    Attributes
    ----------
    drift_px : (T, 2) float64
        (du, dv) in pixels, positive to the right and down; moving tilt j by minus this aligns it. 0 for tilts that are
        left out or could not be judged.
    center_px : (row, column)
        Rotation centre in the aligned images.
    how : str
        The method in a few words, for the history of the series.
    caveats : tuple of str
        What is doubtful, one sentence each.
    common : CommonProfile or None
        What tells whether tilts that are moved back agree better; None where they have nothing in common.
    """

    drift_px: Floats
    center_px: tuple[float, float]
    how: str
    caveats: tuple[str, ...] = ()
    common: CommonProfile | None = None

    @property
    def largest_px(self) -> float:
        """The farthest that a tilt lies beside its place."""
        return float(np.hypot(*self.drift_px.T).max())


def split_shifts(shifts: Floats, turn: Floats, center_sigma: float) -> tuple[Floats, Floats]:
    """What the places of an object in many tilts have in common: a translation (3,) of it and a centre (du, dv).

    Least squares, with a prior: the centre is expected at 0 within ``center_sigma``, so that it only takes what the
    data can tell from a translation. Along a single tilt axis they can not, and across it only where drift is small.

    Parameters
    ----------
    shifts : (T, 2)
        (du, dv) in one unit, that of the result.
    turn : (T, 2, 3)
        Rows u and v of each tilt's rotation.
    """
    tilts = len(shifts)
    design = np.concatenate([turn, np.tile(np.eye(2), (tilts, 1, 1))], 2).reshape(2 * tilts, 5)
    plain = np.linalg.lstsq(design, shifts.reshape(-1), rcond=1e-6)[0]
    drift2 = float(((shifts.reshape(-1) - design @ plain) ** 2).mean())
    # a translation is as large as it needs to be: its own prior only decides what nothing else does
    loose = 1e3 * center_sigma
    prior = max(drift2, (1e-4 * center_sigma) ** 2) / np.array([loose, loose, loose, center_sigma, center_sigma]) ** 2
    found = np.linalg.solve(design.T @ design + np.diag(prior), design.T @ shifts.reshape(-1))
    return found[:3], found[3:]
