"""Numbers of tilts as a person types them."""

from __future__ import annotations

import re

MOST_TILTS = 1_000_000
"""More than any series has: whoever mistypes a range is told so."""
_DASH = re.compile(r"\s*[-−–]\s*")
_TILTS = re.compile(r"(\d+)(?:-(\d+))?")


def tilts_of(text: str) -> tuple[int, ...]:
    """``"3, 17, 20-22"`` -> ``(3, 17, 20, 21, 22)``; commas, semicolons and spaces separate.

    Raises
    ------
    ValueError
        It is no list of tilts, in words that go on after the place. A range the wrong way round is not turned: it may
        as well be one that is not typed to its end.
    """
    tilts: list[int] = []
    for word in _DASH.sub("-", text).replace(";", ",").replace(",", " ").split():
        found = _TILTS.fullmatch(word)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, MOST_TILTS)
        if last >= MOST_TILTS:
            raise ValueError(f"{text[:40]!r} is not a list of numbers: give tilts from 0 on, as in 3, 10-17")
        if last < first:
            raise ValueError(f"the range {word} is the wrong way round: give {last}-{first}")
        tilts.extend(range(first, last + 1))
    return tuple(tilts)


def withheld_tilts(tilts: int, every: int | None) -> tuple[int, ...]:
    """Tilts N // 2, N // 2 + N, ... for ``every`` = N; none for None."""
    return () if every is None else tuple(range(every // 2, tilts, every))
