"""Adam on named arrays whose rows come and go with the population (Kingma & Ba, 2015)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Adam:
    """Steps of known physical size per group.

    A rate is the largest useful step of a group in that group's unit; step counts of every row keep the bias
    correction right for orbitals that are born late and for tilts that are seen rarely.
    """

    def __init__(self, beta1: float = 0.9, beta2: float = 0.99) -> None:
        self.beta1, self.beta2 = beta1, beta2
        self._first: dict[str, Floats] = {}
        self._second: dict[str, Floats] = {}
        self._count: dict[str, Floats] = {}

    def step(self, name: str, gradient: Floats, rate: float | Floats, size: int, rows: Any = slice(None)) -> Floats:
        """Change to add to the given rows of a group with ``size`` rows in all."""
        shape = (size, *gradient.shape[1:])
        if name not in self._first or self._first[name].shape != shape:
            self._first[name], self._second[name] = np.zeros(shape), np.zeros(shape)
            self._count[name] = np.zeros(size)
        first, second, count = self._first[name], self._second[name], self._count[name]
        count[rows] += 1
        first[rows] = self.beta1 * first[rows] + (1 - self.beta1) * gradient
        second[rows] = self.beta2 * second[rows] + (1 - self.beta2) * gradient**2
        n = count[rows].reshape((-1,) + (1,) * (gradient.ndim - 1))
        mean = first[rows] / (1 - self.beta1**n)
        spread = np.sqrt(second[rows] / (1 - self.beta2**n))
        return -rate * mean / (spread + 1e-30)

    def select(self, names: tuple[str, ...], index: Any) -> None:
        """Keep only the chosen rows of the given groups (a permutation is fine)."""
        for name in names:
            if name in self._first:
                self._first[name] = self._first[name][index]
                self._second[name] = self._second[name][index]
                self._count[name] = self._count[name][index]

    def extend(self, names: tuple[str, ...], rows: int) -> None:
        """Fresh rows at the end of the given groups."""
        for name in names:
            if name in self._first:
                first = self._first[name]
                empty = np.zeros((rows, *first.shape[1:]))
                self._first[name] = np.concatenate([first, empty])
                self._second[name] = np.concatenate([self._second[name], empty])
                self._count[name] = np.concatenate([self._count[name], np.zeros(rows)])

    def forget(self, names: tuple[str, ...], rows: Any) -> None:
        """Make the chosen rows of the given groups fresh."""
        for name in names:
            if name in self._first:
                for memory in (self._first, self._second, self._count):
                    memory[name][rows] = 0.0
