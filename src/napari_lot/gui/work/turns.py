"""Work of the window's own thread in turns, between which the window answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator


class Turns:
    """What is left of one such piece of work; nothing to begin with.

    Parameters
    ----------
    on_end : callable
        Called after the last turn, also where it ended with an error; not for what is dropped.
    """

    def __init__(self, on_end: Callable[[], None] = lambda: None) -> None:
        self._on_end = on_end
        self._left: Iterator[None] | None = None

    @property
    def under_way(self) -> bool:
        """Whether there are turns left."""
        return self._left is not None

    def begin(self, turns: Iterator[None]) -> None:
        """Take these from now on."""
        self._left = turns

    def drop(self) -> None:
        """Take no more."""
        self._left = None

    def take(self) -> None:
        """Take one, if there is one; after an error, which the caller gets, none are left."""
        turns, ended = self._left, True
        if turns is None:
            return
        try:
            next(turns)
            ended = False
        except StopIteration:
            pass
        finally:
            if ended and self._left is turns:  # else all was dropped in this turn, or others were begun
                self._left = None
                self._on_end()
