"""Lettering on the canvas: a scale bar in whole Å, and words that lie beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from steps import child
from test_ends import run

from napari_lot.gui.canvas.scale_bar import whole_A


@pytest.mark.parametrize(("longest", "length"), [(0.3, 1), (1.99, 1), (2, 2), (9, 5), (10, 10), (49.9, 20), (170, 100)])
def test_lengths_are_whole(longest: float, length: float) -> None:
    assert whole_A(longest) == length


def lettering(viewer: Any) -> str:
    """What napari has written at its scale bar."""
    (bar,) = viewer.window._qt_viewer.canvas._viewer_overlay_to_visual[viewer.canvas.overlays.scale_bar]
    return str(bar.node.text.text)


def test_the_scale_bar_never_counts_in_thousandths(ready: Any, viewer: Any, hand: Any) -> None:
    hand.until(lambda: child(ready, "view_probe").isEnabled())
    hand.click(child(ready, "view_probe"))
    for zoom in (10.0, 60.0, 190.0, 300.0):
        viewer.scene.camera.zoom = zoom
        assert lettering(viewer) == f"{whole_A(150 / zoom):g} Å"
    bar = viewer.canvas.overlays.scale_bar
    bar.length = 3.0
    viewer.scene.camera.zoom = 20.0
    assert bar.length == 3.0, "a length that a person has set stays"


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
