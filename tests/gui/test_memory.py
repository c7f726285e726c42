"""What a long run leaves in memory: nothing for each update, nothing for each look at another view."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np
import psutil
import pytest
from steps import child

from napari_lot.atoms import Orbitals
from napari_lot.gui.work import heap

pytestmark = pytest.mark.slow  # part of `make test-all`

OURS_AND_DRAWN = {"napari_lot", "napari", "vispy", "pyqtgraph", "psygnal", "superqt"}
CACHED = {"pyqtgraph.Point.Point"}  # in a cache of a hundred vectors
UPDATES = 20
ROUND = ("images", "markers", "atoms", "probe")


def objects() -> Counter[str]:
    """How many objects there are of each class, and functions of each name, of this package and what draws for it."""
    gc.collect()
    things = gc.get_objects()
    named = (thing if type(thing) is FunctionType else type(thing) for thing in things)
    found = Counter(f"{one.__module__}.{one.__qualname__}" for one in named)
    return Counter({k: n for k, n in found.items() if k.split(".")[0] in OURS_AND_DRAWN and k not in CACHED})


def grown(work: Callable[[], None]) -> Counter[str]:
    """By how much the objects of each class become more while something is done."""
    before = objects()
    work()
    return objects() - before


def test_looking_at_one_view_after_the_other_leaves_nothing_behind(ready: Any, hand: Any, qtbot: Any) -> None:
    """napari makes new boxes of a grid whenever the number of layers in it changes, and keeps the old ones."""
    hand.click(child(ready, "start"))
    hand.until(lambda: ready.run.plot.points > 3)
    hand.click(child(ready, "cancel"))
    hand.until(lambda: not ready.state.running)
    layers = ready.layers

    def look_around() -> None:
        for view in ROUND:
            if layers.available(view) is None:
                layers.look_at(view)
                qtbot.wait(20)

    look_around()
    look_around()  # what is made when it is first needed is there
    more = grown(look_around)
    assert more.total() < 100, f"one round of the views leaves {more.most_common(8)}"


def test_updates_leave_nothing_behind(ready: Any, hand: Any) -> None:
    drawn: list[int] = []
    draw = ready.run.on_snapshot

    def on_snapshot(snapshot: Any) -> None:
        draw(snapshot)
        drawn.append(snapshot.step)

    def draws(more: int) -> None:
        wanted = len(drawn) + more
        hand.until(lambda: len(drawn) >= wanted, 60)

    ready.run.on_snapshot = on_snapshot
    ready.run.share.most = 1.0
    hand.click(child(ready, "start"))
    draws(5)
    for view in ("atoms", "images", "markers"):
        ready.layers.look_at(view)
        draws(8)  # what is made when it is first needed is there
        more = grown(lambda: draws(UPDATES))
        assert more.total() < UPDATES / 2, f"{UPDATES} updates of the {view} leave {more.most_common(8)}"
    hand.click(child(ready, "cancel"))
    hand.until(lambda: not ready.state.running)


@pytest.mark.skipif(heap._trim() is None, reason="only glibc keeps what is free")
def test_what_lies_free_between_pieces_in_use_goes_back_to_the_system() -> None:
    process = psutil.Process()
    pieces = [bytearray(3000) for _ in range(40_000)]
    kept = pieces[::50]
    del pieces
    before = process.memory_info().rss
    heap.give_back()
    assert before - process.memory_info().rss > 60e6, f"{len(kept)} pieces of 3 kB hold 120 MB"


def test_free_memory_is_given_back_at_each_turn_to_or_from_3d(viewer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from test_layers import make_layers, small_series

    given: list[str] = []
    layers = make_layers(viewer)
    layers.show_series(small_series())
    layers.show_atoms(Orbitals.create(np.eye(3)), 2.0)
    layers.look_at("images")
    monkeypatch.setattr("napari_lot.gui.canvas.views.give_back", lambda: given.append(layers.view))
    for view in ("atoms", "markers", "images", "atoms"):
        layers.look_at(view)
    assert given == ["atoms", "markers", "atoms"]
    layers.close()
