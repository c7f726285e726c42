"""Lettering on the canvas: a scale bar in whole Å, and words that lie beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from steps import child
from test_ends import run

from napari_lot.gui.canvas.scale_bar import in_words, round_length

pytestmark = pytest.mark.slow  # part of `make test-all`


@pytest.mark.parametrize(
    ("longest", "length"),
    [(0.004, 0.002), (0.3, 0.2), (0.1, 0.1), (1.99, 1), (2, 2), (9, 5), (10, 10), (49.9, 20), (170, 100), (1e5, 1e5)],
)
def test_lengths_are_round(longest: float, length: float) -> None:
    assert round_length(longest) == length


@pytest.mark.parametrize(
    ("length_A", "words"),
    [(0.05, "0.05 Å"), (0.2, "0.2 Å"), (1, "1 Å"), (500, "500 Å"), (1000, "100 nm"), (5e4, "5000 nm")],
)
def test_lengths_are_told_as_people_tell_them(length_A: float, words: str) -> None:
    assert in_words(length_A) == words


def lettering(viewer: Any) -> str:
    """What napari has written at its scale bar."""
    (bar,) = viewer.window._qt_viewer.canvas._viewer_overlay_to_visual[viewer.canvas.overlays.scale_bar]
    return str(bar.node.text.text)


def test_the_scale_bar_never_counts_in_thousandths(ready: Any, viewer: Any, hand: Any, qtbot: Any) -> None:
    hand.until(lambda: child(ready, "view_probe").isEnabled())
    hand.click(child(ready, "view_probe"))
    camera, bar = viewer.scene.camera, viewer.canvas.overlays.scale_bar
    wide = viewer.canvas.size[1]
    for zoom, words in ((0.1, "100 nm"), (10.0, "10 Å"), (60.0, "2 Å"), (190.0, "1 Å"), (2500.0, "0.05 Å")):
        camera.zoom = zoom
        assert lettering(viewer) == words
        assert bar.length * zoom < 0.9 * wide, "it fits"
    camera.zoom = 2400.0
    assert lettering(viewer) == "0.05 Å", "the same length at another zoom"
    viewer.add_image(np.zeros((4, 4)), name="somebody else's", units=("angstrom", "angstrom"))
    qtbot.wait(200)
    assert lettering(viewer) == "0.05 Å", "also where napari writes it anew for a new layer"
    hand.click(child(ready, "view_images"))
    camera.zoom = 500.0
    assert lettering(viewer) == "1 Å", "longer than the bar is elsewhere, but it fits"
    viewer.canvas.grid.shape, viewer.canvas.grid.enabled = (1, 3), True
    camera.zoom = 510.0
    assert lettering(viewer) == "0.2 Å", "where images lie side by side"
    bar.length = 3.0
    camera.zoom = 20.0
    assert bar.length == 3.0, "a length that a person has set stays"
    assert lettering(viewer) == "3 Å"


def test_what_the_colours_mean_lies_away_from_scale_bar_and_messages(ready: Any, viewer: Any, hand: Any) -> None:
    run(ready, hand, steps=10_000)
    hand.click(child(ready, "view_atoms"))
    overlays = viewer.canvas.overlays
    assert overlays.text.position == "top_left"
    assert "\ncoloured by height (image units)" in overlays.text.text
    hand.click(child(ready, "view_images"))
    assert overlays.text.position == "bottom_left"


def test_the_section_of_the_probe_has_a_colour_scale(ready: Any, hand: Any) -> None:
    hand.until(lambda: ready.probe.section.section.size > 0)
    section = ready.probe.section
    assert section.scale.axis.labelText == "% of the peak"
    ticks = {label: place for place, label in section.scale.axis._tickLevels[0]}
    assert ticks["20"] == pytest.approx(np.sqrt(0.2)), "on the square-root scale of the picture"
    assert section._image.image.max() == pytest.approx(1.0)
    assert section.plot.getPlotItem().getAxis("left").labelText == "depth w (Å)"
