"""The order in which methods that take one tilt at a time go through them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

GOLDEN = 0.5 * (np.sqrt(5.0) - 1.0)


def spread_order(beams: NDArray[np.float64]) -> NDArray[np.int64]:
    """Tilts in an order in which neighbours look in very different directions.

    What one tilt has put right the next, nearly alike, would hardly change: with tilts far apart a pass does more
    (H. Guan & R. Gordon, Phys. Med. Biol. 39, 2005 (1994)). Steps of a golden ratio of the series keep them apart.

    Parameters
    ----------
    beams : (T, 3)
        Direction of the beam in the frame of the specimen.
    """
    first = beams[0]
    across = beams - np.outer(beams @ first, first)
    # about a single axis this is the angle; of other series at least something like a path
    main = np.linalg.svd(across, full_matrices=False)[2][0] if np.any(across) else first
    along = np.argsort(np.arctan2(beams @ main, beams @ first), kind="stable")
    visits = np.argsort(np.arange(len(beams)) * GOLDEN % 1.0, kind="stable")
    return along[visits].astype(np.int64)
