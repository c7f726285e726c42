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

    def along(self, modes: Floats) -> Floats:
        """Curvature (M, M) of the cost along changes (M, N) of the values."""
        return np.asarray(self.strength * modes @ modes.T)


@dataclass(frozen=True)
class AlikePrior:
    """All numbers of a group are expected to be alike, within a relative scatter; how large they are is free.

    With u = values / (``share`` x their mean) the cost is ``weight`` / 2 x the sum of (u - 1)^2: values that are all
    multiplied by one factor cost the same. So it does not matter what the images can not tell apart, heights from the
    scale of the tilts, nor what they hardly can, heights from a width; a prior with a fixed value pulls at both.

    Attributes
    ----------
    weight : float
        Noise in units of the loss / (relative scatter)^2.
    mean, share : float
        Mean of the values where the prior was made (its unit of ``strength``), and what is expected of each in
        units of the mean: above 1 where some of them are too weak to be whole.
    """

    weight: float
    mean: float
    share: float

    @property
    def strength(self) -> float:
        """Curvature of the cost by one value, the others as they are."""
        return self.weight / (self.share * self.mean) ** 2

    def cost(self, values: Floats) -> float:
        """Added to the loss."""
        return 0.5 * self.weight * float(((self._parts(values) - 1.0) ** 2).sum())

    def gradient(self, values: Floats) -> Floats:
        """Added to the gradient with respect to the values: none along the values themselves."""
        parts = self._parts(values)
        rest = parts - 1.0
        own = self.weight / (self.share * self._mean(values))
        return np.asarray(own * (rest - self.share * float((rest * parts).mean())))

    def along(self, modes: Floats) -> Floats:
        """Gauss-Newton curvature (M, M) of the cost along changes (M, N) of the values, where all are alike."""
        apart = modes - modes.mean(1, keepdims=True)
        return np.asarray(self.strength * apart @ apart.T)

    def _mean(self, values: Floats) -> float:
        return max(float(values.mean()), 1e-300)

    def _parts(self, values: Floats) -> Floats:
        return values / (self.share * self._mean(values))
