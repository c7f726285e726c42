"""What the atoms are coloured by, what is said of how sure they are, and that saving keeps it."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from steps import child
from test_ends import run

from napari_lot.gui.canvas.colors import rounded

pytestmark = pytest.mark.slow  # part of `make test-all`


def choices(workbench: Any) -> list[str]:
    box = child(workbench, "color_by")
    return [box.itemText(i) for i in range(box.count())]


def caption(viewer: Any) -> str:
    return str(viewer.canvas.overlays.text.text)


@pytest.mark.parametrize(
    ("low", "high", "limits"),
    [
        (0.0, 0.0157, (0.0, 0.016)),
        (0.0, 0.1, (0.0, 0.1)),
        (0.0, 0.105, (0.0, 0.11)),
        (0.0, 1.0, (0.0, 1.0)),
        (0.0, 2.2, (0.0, 2.2)),
        (0.0, 38_000.0, (0.0, 40_000.0)),
        (3.0, 5.7, (3.0, 6.0)),
        (11.0, 140.0, (0.0, 140.0)),
    ],
)
def test_the_ends_of_the_colours_are_round_and_close(low: float, high: float, limits: tuple[float, float]) -> None:
    assert rounded(low, high) == limits


def test_hardly_a_tenth_of_the_colours_is_without_an_atom() -> None:
    rng = np.random.default_rng(0)
    for low in (0.0, *rng.uniform(0.001, 100.0, 100)):
        for span in 10 ** rng.uniform(-2.0, 3.0, 20):
            first, last = rounded(low, low + span)
            assert first <= low + 1e-5 * span
            assert low + span <= last + 1e-5 * span
            assert last - first <= span / 0.9 * (1 + 1e-6)


def test_atoms_are_coloured_by_what_is_chosen(ready: Any, viewer: Any, hand: Any) -> None:
    run(ready, hand, steps=10_000, knows_errors=True)
    assert choices(ready) == ["height", "element", "error bar", "existence probability"]
    # 3D: 100 sqrt(2^2 + 2^2 + z^2) pm of 1 to 5 pm along z
    assert child(ready, "atoms_text").text().startswith("median error bar 4.12 pm; 2 atoms improbable (p < 0.95); ")
    layer, box = viewer.layers["Atoms"], child(ready, "color_by")
    assert caption(viewer) == "247 atoms\ncoloured by height (image units), 0 to 1"
    before = layer.face_color.copy()
    hand.choose(box, "error bar")
    assert caption(viewer) == "247 atoms\ncoloured by error bar in 3D (pm), 3 to 5.8"
    assert not np.allclose(layer.face_color, before)
    assert len(np.unique(layer.face_color, axis=0)) > 100
    assert layer.face_colorbar.visible
    low, high = layer.face_contrast_limits
    assert (low, high) == (3.0, 5.8), "round numbers around 3.0 and 5.7"
    assert ready.inspect.histogram.title == "error bar in 3D (pm)"
    hand.choose(box, "existence probability")
    orange, blue = layer.face_color[0], layer.face_color[5]
    assert orange[0] > 0.8 > 0.3 > orange[2]
    assert blue[2] > 0.7 > 0.2 > blue[0]
    assert layer.face_contrast_limits == (0.5, 1.0)
    hand.choose(box, "element")
    assert len(np.unique(layer.face_color, axis=0)) == 1
    assert not layer.face_colorbar.visible, "an element is no number"
    hand.choose(box, "height")
    assert np.allclose(layer.face_color, before)


def test_a_wish_stays_for_the_next_run(ready: Any, viewer: Any, hand: Any) -> None:
    run(ready, hand, steps=10_000, knows_errors=True)
    hand.choose(child(ready, "color_by"), "error bar")
    run(ready, hand, steps=10_000)
    assert choices(ready) == ["height", "element"], "this one knows no error bars"
    assert child(ready, "color_by").currentText() == "height"
    assert caption(viewer).endswith("coloured by height (image units), 0 to 1")
    assert child(ready, "atoms_text").text().startswith("no error bars: how sure the atoms are is not known")
    assert "no atom doubtful" not in child(ready, "atoms_text").text()
    run(ready, hand, steps=10_000, knows_errors=True)
    assert child(ready, "color_by").currentText() == "error bar"
    assert caption(viewer).endswith("coloured by error bar in 3D (pm), 3 to 5.8")


def test_saving_keeps_what_is_known_of_each_atom(ready: Any, viewer: Any, hand: Any, tmp_path: Path) -> None:
    run(ready, hand, steps=10_000, knows_errors=True)
    layer = viewer.layers["Atoms"]
    assert {"sigma_x_A", "sigma_y_A", "sigma_z_A", "p_exists", "p_element", "tilts_seen"} <= set(layer.features)
    viewer.layers.selection = {layer}
    viewer.layers.save(str(tmp_path / "a.csv"), selected=True, plugin="napari-lot")
    rows = list(csv.DictReader((tmp_path / "a.csv").open()))
    assert [float(r["sigma_z_A"]) for r in rows] == pytest.approx(ready.state.result.sigma_A[:, 2], rel=1e-6)
    assert [float(r["p_exists"]) for r in rows[:3]] == [0.6, 0.6, 0.999]
    assert rows[0]["tilts_seen"] == "36"


def test_the_residual_has_a_scale(ready: Any, viewer: Any, hand: Any) -> None:
    run(ready, hand, steps=10_000)
    hand.click(child(ready, "view_images"))
    assert viewer.layers["Residual"].colorbar.visible
    limit = viewer.layers["Residual"].contrast_limits[1]
    assert f"residual scale ±{limit:.3g} image units" in child(ready, "tilt_text").text()
    hand.click(child(ready, "view_markers"))
    assert not viewer.layers["Residual"].colorbar.visible


def test_bars_say_their_angles(ready: Any, hand: Any) -> None:
    from qtpy.QtCore import QPointF

    run(ready, hand, steps=10_000)
    bars = ready.inspect.bars
    assert bars.angles[0] == "−70.0°"
    view = bars.plot.getPlotItem().vb
    bars.plot.scene().sigMouseMoved.emit(view.mapViewToScene(QPointF(17, 1)))
    assert bars.plot.toolTip().startswith("tilt 17, −2.0°: R 2.00 %")
