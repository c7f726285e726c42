"""What a long run leaves in memory: nothing for each update, nothing for each look at another view."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable
from typing import Any

from steps import child

OURS_AND_DRAWN = {"napari_lot", "napari", "vispy", "pyqtgraph", "psygnal", "superqt"}
ROUND = ("images", "markers", "atoms", "probe")


def objects() -> Counter[str]:
    """How many Python objects there are of each class of this package and of what draws for it."""
    gc.collect()
    kinds = (type(thing) for thing in gc.get_objects())
    found = Counter(f"{kind.__module__}.{kind.__qualname__}" for kind in kinds)
    return Counter({name: n for name, n in found.items() if name.split(".")[0] in OURS_AND_DRAWN})


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
    hand.click(child(ready, "start"))
    layers = ready.layers
    hand.until(lambda: layers.orbitals is not None)
    for view in ("atoms", "images", "markers"):
        layers.look_at(view)
        drawn = ready.run.plot.points
        hand.until(lambda drawn=drawn: ready.run.plot.points > drawn + 5)
        drawn = ready.run.plot.points
        more = grown(lambda drawn=drawn: hand.until(lambda: ready.run.plot.points > drawn + 20, 60))
        assert more.total() < 100, f"20 updates of the {view} leave {more.most_common(8)}"
    hand.click(child(ready, "cancel"))
    hand.until(lambda: not ready.state.running)
