"""Adam on named arrays whose rows come and go with the population (Kingma & Ba, 2015)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray

from napari_lot.lot.spread.common import OPTIONS

Floats = NDArray[np.float64]
Run = Callable[[Callable[[int], Any], int], Any]
ROWS_AT_ONCE = 65536
"""Rows of a step that a thread takes in one go."""


def one_by_one(work: Callable[[int], Any], count: int) -> None:
    """Without threads."""
    for k in range(count):
        work(k)


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

    def step(
        self, name: str, gradient: Floats, rate: float, size: int, rows: Any = None, run: Run = one_by_one
    ) -> Floats:
        """Change to add to the given rows of a group with ``size`` rows in all; to all where none are given.

        ``run(work, count)`` calls ``work(0..count-1)``, in threads if it likes.
        """
        shape = (size, *gradient.shape[1:])
        if name not in self._first or self._first[name].shape != shape:
            self._first[name], self._second[name] = np.zeros(shape), np.zeros(shape)
            self._count[name] = np.zeros(size)
        which = None if rows is None else np.asarray(rows, np.int64)
        flat = np.ascontiguousarray(gradient).reshape(size if which is None else len(which), -1)
        change = np.empty_like(flat)
        memory = (self._first[name].reshape(size, -1), self._second[name].reshape(size, -1), self._count[name])

        def some(k: int) -> None:
            part = slice(k * ROWS_AT_ONCE, min((k + 1) * ROWS_AT_ONCE, len(flat)))
            these = np.arange(part.start, part.stop) if which is None else which[part]
            _step(*memory, these, flat[part], float(rate), self.beta1, self.beta2, change[part])

        if len(flat) <= ROWS_AT_ONCE:
            some(0)
        else:
            run(some, -(-len(flat) // ROWS_AT_ONCE))
        return change.reshape(gradient.shape)

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


@nb.njit(**OPTIONS)
def _step(first, second, count, rows, gradient, rate, beta1, beta2, change):  # type: ignore[no-untyped-def]
    """One step of some rows of a group, all numbers of a row in one go (compiled)."""
    seen, lift1, lift2 = -1.0, 0.0, 0.0
    for k in range(len(rows)):
        i = rows[k]
        count[i] += 1.0
        if count[i] != seen:  # most rows have been seen as often as the one before
            seen = count[i]
            lift1, lift2 = 1.0 / (1.0 - beta1**seen), 1.0 / (1.0 - beta2**seen)
        for m in range(gradient.shape[1]):
            g = gradient[k, m]
            mean = beta1 * first[i, m] + (1.0 - beta1) * g
            square = beta2 * second[i, m] + (1.0 - beta2) * g * g
            first[i, m], second[i, m] = mean, square
            change[k, m] = -rate * mean * lift1 / (np.sqrt(square * lift2) + 1e-30)
