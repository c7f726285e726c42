"""Adam with rows that come and go, against the textbook on single numbers."""

import numpy as np
import pytest

from napari_lot.lot.adam import Adam


class Textbook:
    """Kingma & Ba, algorithm 1, for one number."""

    def __init__(self):
        self.m = self.v = 0.0
        self.t = 0

    def step(self, gradient, rate):
        self.t += 1
        self.m = 0.9 * self.m + 0.1 * gradient
        self.v = 0.99 * self.v + 0.01 * gradient**2
        return -rate * (self.m / (1 - 0.9**self.t)) / np.sqrt(self.v / (1 - 0.99**self.t))


def step(adam, books, gradient, rows=None):
    found = adam.step("height", gradient, 0.3, len(books), rows)
    which = np.array(books) if rows is None else np.array(books)[rows]
    wanted = [book.step(g, 0.3) for book, g in zip(which, gradient, strict=True)]
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_rows_keep_their_memory_through_births_deaths_and_sorting():
    rng = np.random.default_rng(0)
    adam, books = Adam(), [Textbook() for _ in range(5)]
    for _ in range(3):
        step(adam, books, rng.normal(size=5))
    order = np.array([4, 0, 2])
    adam.select(("height",), order)
    books = [books[k] for k in order]
    step(adam, books, rng.normal(size=3))
    adam.extend(("height",), 2)
    books += [Textbook(), Textbook()]
    for _ in range(2):
        step(adam, books, rng.normal(size=5))
    keep = np.array([True, False, True, True, True])
    adam.select(("height",), keep)
    books = [book for book, kept in zip(books, keep, strict=True) if kept]
    step(adam, books, rng.normal(size=4))


def test_rows_that_are_seen_rarely_have_their_own_count():
    rng = np.random.default_rng(1)
    adam, books = Adam(), [Textbook() for _ in range(6)]
    for rows in ([0, 1, 2], [3, 4], [0, 5], [1, 2, 3]):
        step(adam, books, rng.normal(size=len(rows)), np.array(rows))


def test_the_first_step_has_the_given_length_in_every_coordinate():
    change = Adam().step("positions", np.array([[1e-9, -5.0, 1e6], [3.0, -2e-3, 1.0]]), 0.04, 2)
    np.testing.assert_allclose(change, 0.04 * np.array([[-1, 1, -1], [-1, 1, -1]]), rtol=1e-6)


def test_groups_do_not_mix_and_unknown_ones_are_left_alone():
    adam = Adam()
    adam.step("positions", np.ones((3, 3)), 0.1, 3)
    adam.step("scale", np.ones(7), 0.1, 7)
    adam.select(("positions", "height"), np.array([0, 2]))
    adam.extend(("positions", "height"), 1)
    assert adam.step("positions", np.ones((3, 3)), 0.1, 3).shape == (3, 3)
    assert adam.step("scale", np.ones(7), 0.1, 7) == pytest.approx(-0.1)
