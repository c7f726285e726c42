"""Figures: as wide as they are asked to be, and what they draw is what the result holds."""

import sys

import numpy as np
import pytest
from PIL import Image

from blank_result import blank_result
from napari_lot.atoms import Orbitals
from napari_lot.errors import InputError
from napari_lot.export.figures import (
    MM_PER_INCH,
    draw,
    figure_names,
    scale_bar_A,
    screen_pixels,
    write_figure,
    write_picture,
)
from napari_lot.series.tilt_series import TiltSeries
from napari_lot.settings import Settings

T = 7
RNG = np.random.default_rng(2)


def made(**changes):
    images = RNG.random((T, 40, 60)).astype(np.float32)
    series = TiltSeries(images=images, angles_deg=np.linspace(60, -60, T), pixel_size_A=0.5)
    atoms = Orbitals.create(RNG.normal(size=(30, 3)), RNG.random(30), 0.5, np.arange(30) % 2, ("Pt", "Fe"))
    known = {
        "r_factor": np.array([0.05, 0.06, np.nan, 0.08, 0.09, 0.10, 0.11]),
        "residual": 0.1 * images,
        "center_px": (20, 30),
        "wall_seconds": {},
        "sigma_A": np.abs(RNG.normal(0.05, 0.01, (30, 3))),
        "withheld": (4,),
    }
    return series, blank_result(atoms, images, 0.9 * images, Settings(), **{**known, **changes})


@pytest.mark.parametrize("name", ["tilt", "r_factor", "heights", "error_bars"])
def test_size_on_paper(name, tmp_path):
    series, result = made()
    write_figure(tmp_path / "a.png", name, series, result, 3, width_mm=85, dpi=300)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width == pytest.approx(85 / MM_PER_INCH * 300, abs=1)
        assert picture.info["dpi"][0] == pytest.approx(300, rel=1e-3)
        assert np.ptp(np.asarray(picture.convert("L"))) > 200
    write_figure(tmp_path / "a.svg", name, series, result, 3, width_mm=120)
    text = (tmp_path / "a.svg").read_text()
    assert f'width="{120 / MM_PER_INCH * 72:.6f}'[:11] in text
    assert "<text" in text, "text stays text"
    write_figure(tmp_path / "a.pdf", name, series, result, 3)
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")


def test_scale_bar_is_as_long_as_it_says():
    series, result = made()
    figure = draw("tilt", series, result, 1, 100)
    measured = figure.axes[0]
    (bar,) = [line for line in measured.lines if line.get_gid() == "scale_bar"]
    assert np.ptp(bar.get_xdata()) == 5.0
    # 60 pixels of 0.5 Å are 30 Å wide
    assert measured.images[0].get_extent() == [0, 30, 20, 0]
    said = [text.get_text() for text in measured.texts]
    assert said == ["5 Å", "40.0°"]
    np.testing.assert_array_equal(measured.images[0].get_array(), series.images[1])
    np.testing.assert_array_equal(figure.axes[2].images[0].get_array(), result.residual[1])
    low, high = figure.axes[2].images[0].get_clim()
    assert low == -high, "zero is the middle of the colours"
    assert [scale_bar_A(w) for w in (3, 20, 40, 400)] == [1, 5, 10, 100]


def test_bars_are_the_r_factors_at_their_angles():
    series, result = made()
    axis = draw("r_factor", series, result, 0, 85).axes[0]
    found = {round(bar.get_x() + bar.get_width() / 2, 6): bar.get_height() for bar in axis.patches}
    expected = {a: 100 * r for a, r in zip(np.linspace(60, -60, T), result.r_factor, strict=True) if np.isfinite(r)}
    assert found == pytest.approx(expected)
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["fitted", "withheld"]
    assert len({bar.get_facecolor() for bar in axis.patches}) == 2


def test_histograms_count_every_atom():
    series, result = made()
    axis = draw("heights", series, result, 0, 85).axes[0]
    assert sum(bar.get_height() for bar in axis.patches) == 30
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["Pt (15)", "Fe (15)"]
    steps = draw("error_bars", series, result, 0, 85).axes[0].patches
    assert [step.get_data().values.sum() for step in steps] == [30, 30, 30]


def test_what_cannot_be_drawn(tmp_path, monkeypatch):
    series, result = made(sigma_A=None)
    assert "error_bars" not in figure_names(result)
    with pytest.raises(InputError, match="has nothing for the figure"):
        write_figure(tmp_path / "a.png", "error_bars", series, result)
    with pytest.raises(InputError, match=r"figures are written as .png, .svg, .pdf"):
        write_figure(tmp_path / "a.bmp", "tilt", series, result)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match=r"pip install 'napari-lot\[figures\]'"):
        write_figure(tmp_path / "a.png", "tilt", series, result)


def test_a_picture_of_the_screen_knows_its_width(tmp_path):
    across = screen_pixels(85, 300)
    write_picture(tmp_path / "a.png", np.zeros((100, across, 4), np.uint8), 85)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width / picture.info["dpi"][0] * MM_PER_INCH == pytest.approx(85, rel=1e-3)
    with pytest.raises(InputError, match=r"save it as .png"):
        write_picture(tmp_path / "a.svg", np.zeros((2, 2, 3), np.uint8), 85)
