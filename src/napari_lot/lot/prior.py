"""What is known of a group of parameters before the images are looked at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Prior:
    """All numbers of a group are expected at one value, within a scatter: half the squared deviation x ``strength``."""

    expected: float
    strength: float

    def cost(self, values: Floats) -> float:
        """Added to the loss."""
        return 0.5 * self.strength * float(((values - self.expected) ** 2).sum())

    def gradient(self, values: Floats) -> Floats:
        """Added to the gradient with respect to the values."""
        return self.strength * (values - self.expected)
