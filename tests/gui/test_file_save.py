"""napari's own File > Save of the workbench's layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from steps import child

from napari_lot.gui.canvas.stacks import CALCULATED, MEASURED, RESIDUAL
from napari_lot.napari_hooks import NotWrittenError
from napari_lot.series import TiltSeries, read_series
from napari_lot.session import read_session


@pytest.fixture
def opened(workbench: Any, hand: Any) -> Any:
    hand.click(child(workbench, "open_sample"))
    hand.until(lambda: workbench.state.series is not None)
    return workbench


def save(viewer: Any, path: Path, layer: str = MEASURED) -> list[str]:
    viewer.layers.selection.active = viewer.layers[layer]
    return list(viewer.layers.save(str(path), selected=True))


def same_geometry(found: TiltSeries, series: TiltSeries) -> None:
    np.testing.assert_allclose(found.angles_deg, series.angles_deg, atol=1e-6)
    assert found.pixel_size_A == pytest.approx(series.pixel_size_A)
    assert found.excluded == series.excluded
    assert found.center_known == series.center_known


@pytest.mark.parametrize("name", ["a.mrc", "a.lot.npz", "a.lot.h5"])
def test_measured_images_are_saved_with_their_angles(opened: Any, viewer: Any, tmp_path: Path, name: str) -> None:
    series = opened.state.series
    assert save(viewer, tmp_path / name)[0] == str(tmp_path / name)
    found = read_session(tmp_path / name).series if name.endswith(".h5") else read_series(tmp_path / name)
    np.testing.assert_array_equal(found.images, series.images)
    same_geometry(found, series)


def test_a_prepared_series_is_saved_as_it_is_now(opened: Any, viewer: Any, tmp_path: Path) -> None:
    series = opened.state.series.with_changes(
        images=opened.state.series.images[:, 5:, 2:].copy(), center_px=(50.0, 60.0)
    )
    series = series.after("Cropped.", pixel_size_A=0.3, excluded=(3,))
    opened.state.set_series(series, again=True)
    save(viewer, tmp_path / "a.lot.h5")
    found = read_session(tmp_path / "a.lot.h5").series
    np.testing.assert_array_equal(found.images, series.images)
    same_geometry(found, series)
    assert found.center_px == series.center_px
    assert found.history == series.history


def test_calculated_and_residual_images_have_the_geometry_of_the_measured(
    opened: Any, viewer: Any, tmp_path: Path
) -> None:
    series = opened.state.series.with_changes(counts=True)
    opened.state.set_series(series, again=True)
    calculated = (series.images * np.float32(0.9)).astype(np.float32)
    list(opened.layers.show_calculated(np.arange(len(series)), calculated))
    for layer, images in ((CALCULATED, calculated), (RESIDUAL, series.images - calculated)):
        save(viewer, tmp_path / f"{layer}.mrc", layer)
        found = read_series(tmp_path / f"{layer}.mrc")
        np.testing.assert_array_equal(found.images, images)
        same_geometry(found, series)


def test_what_cannot_be_saved_is_said_by_napari(opened: Any, viewer: Any, tmp_path: Path) -> None:
    opened.state.set_series(opened.state.series.exclude(3), again=True)
    with pytest.raises(NotWrittenError, match="no place for: tilts that are left out; save it as"):
        save(viewer, tmp_path / "a.mrc")
    assert not list(tmp_path.iterdir())
