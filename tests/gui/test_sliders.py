"""Sliders that do something, layers that come back, no layer twice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from steps import child, open_step
from test_ends import run

pytestmark = pytest.mark.slow  # part of `make test-all`


def sliders(viewer: Any) -> dict[str, Any]:
    from qtpy.QtWidgets import QApplication

    (dims,) = (w for w in QApplication.allWidgets() if type(w).__name__ == "QtDims" and w.isVisible())
    return {w.axis_label.text(): w for w in dims.slider_widgets if w.isVisible()}


def test_only_sliders_that_do_something_are_seen(ready: Any, viewer: Any, hand: Any) -> None:
    run(ready, hand, steps=10_000)
    assert list(sliders(viewer)) == ["tilt −2.0°"]
    for view in ("images", "markers"):
        hand.click(child(ready, f"view_{view}"))
        assert list(sliders(viewer)) == ["tilt −2.0°"], view
    hand.click(child(ready, "view_probe"))
    assert list(sliders(viewer)) == ["w +0.0 Å"]
    viewer.dims.set_point(1, 6.0)
    assert list(sliders(viewer)) == ["w +6.0 Å"]
    viewer.dims.set_point(1, -12.0)
    (name,) = sliders(viewer)
    assert name == "w −12 Å", "napari cuts longer words off"
    assert "depth w −12.0 Å" in viewer.canvas.overlays.text.text
    hand.click(child(ready, "view_images"))
    mine = viewer.add_image(np.zeros((5, 8, 8)), name="mine")
    assert len(sliders(viewer)) == 2, "somebody else's stack may need the other"
    viewer.layers.remove(mine)
    hand.until(lambda: len(sliders(viewer)) == 1)
    ready.shutdown()
    assert len(sliders(viewer)) == 2


def test_measured_images_deleted_during_a_run_come_back(ready: Any, viewer: Any, hand: Any) -> None:
    child_start = child(ready, "start")
    hand.click(child_start)
    hand.until(lambda: ready.run.plot.points > 2)
    hand.click(child(ready, "view_images"))
    viewer.dims.set_point(0, 9)
    for name in ("Measured", "Calculated", "Residual"):
        viewer.layers.remove(viewer.layers[name])
    points = ready.run.plot.points
    # one layer a turn, so that the window answers between them
    hand.until(lambda: {"Measured", "Calculated", "Residual"} <= {layer.name for layer in viewer.layers})
    hand.until(lambda: ready.run.plot.points > points + 3)
    assert ready.layers.tilt == 9
    assert list(sliders(viewer)) == ["tilt −34.0°"]
    assert viewer.layers["Measured"].visible
    assert "tilt 9" in viewer.canvas.overlays.text.text
    assert viewer.canvas.overlays.scale_bar.visible
    # and where nothing streams any more, at the click that needs it
    hand.click(child(ready, "finish"))
    hand.until(lambda: not ready.state.running)
    for layer in [x for x in viewer.layers if x.name != "Probe"]:
        viewer.layers.remove(layer)
    for view in ("images", "atoms", "markers"):
        assert child(ready, f"view_{view}").isEnabled(), view
        hand.click(child(ready, f"view_{view}"))
    assert {"Measured", "Calculated", "Residual", "Atoms", "Atoms on tilt"} <= {x.name for x in viewer.layers}
    assert ready.layers.tilt == 9
    assert "sigma_x_A" not in viewer.layers["Atoms"].features
    assert len(viewer.layers["Atoms"].data) == 247


def test_a_sample_that_is_open_already_is_not_shown_twice(workbench: Any, viewer: Any, hand: Any) -> None:
    for button in ("use_layer", "open_sample"):
        viewer.open_sample("napari-lot", "pt_deca")
        hand.until(child(workbench, button).isEnabled)
        hand.click(child(workbench, button))
        assert [layer.name for layer in viewer.layers if layer.name != "Probe"] == ["Measured"]
        assert list(sliders(viewer)) == ["tilt −2.0°"], button
        assert len(workbench.state.series) == 36


def test_a_layer_of_ones_own_stays(workbench: Any, viewer: Any, hand: Any) -> None:
    mine = viewer.add_image(np.random.default_rng(0).random((36, 20, 20)).astype(np.float32), name="mine")
    hand.type(child(workbench, "pixel_size_A"), "0.3")
    hand.choose(child(workbench, "angle_kind"), "start and step")
    hand.click(child(workbench, "use_layer"))
    assert mine in viewer.layers
    assert not mine.visible
    assert list(sliders(viewer)) == ["tilt +0.0°"]


def test_what_is_drawn_on_the_images_needs_no_slider(ready: Any, viewer: Any, hand: Any) -> None:
    open_step(ready, hand, "data")
    hand.click(child(ready, "prepare_images"))
    hand.tick(child(ready, "show_axis"))
    assert list(sliders(viewer)) == ["tilt −2.0°"]
    hand.choose(child(ready, "operation"), "Background")
    hand.click(child(ready, "preview_step"))
    hand.until(lambda: "Preview" in viewer.layers)
    assert list(sliders(viewer)) == ["tilt −2.0°"]
    hand.click(child(ready, "preview_step"))
    hand.click(child(ready, "paint_mask"))
    assert list(sliders(viewer)) == ["tilt −2.0°"]
