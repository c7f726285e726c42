"""Figures for a paper, drawn with Matplotlib at the width and resolution that a journal asks for. No Qt.

Text is 7 pt and lines 0.75 pt at every width, so that figures of one paper go together. SVG and PDF keep text as text.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_lot.errors import InputError
from napari_lot.job import Result
from napari_lot.series.tilt_series import TiltSeries

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MM_PER_INCH = 25.4
ENDINGS = (".png", ".svg", ".pdf")
# Okabe & Ito (2008): told apart with any colour vision.
BLUE, ORANGE, VIOLET, GREY = "#0072B2", "#E69F00", "#CC79A7", "#777777"
STYLE: dict[Any, Any] = {
    "font.size": 7.0,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Arial", "Helvetica"],
    "axes.linewidth": 0.75,
    "lines.linewidth": 0.75,
    "xtick.major.width": 0.75,
    "ytick.major.width": 0.75,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "figure.dpi": 100.0,
}
_ROUND_LENGTHS_A = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)


def figure_names(result: Result) -> dict[str, str]:
    """The figures that a result has something for: their names, and what a person calls them."""
    found = {"tilt": "images of the shown tilt", "r_factor": "R per tilt", "heights": "histogram of heights"}
    if result.sigma_A is not None and np.isfinite(result.sigma_A).any():
        found["error_bars"] = "histogram of error bars"
    return found


def write_figure(
    path: str | Path,
    name: str,
    series: TiltSeries,
    result: Result,
    tilt: int = 0,
    width_mm: float = 85.0,
    dpi: float = 600.0,
) -> None:
    """Draw a figure into a PNG, SVG or PDF, by the file's ending.

    Parameters
    ----------
    name : str
        One of ``figure_names``: ``tilt`` (measured, calculated and residual image), ``r_factor``, ``heights``,
        ``error_bars``.
    tilt : int
        Which tilt's images; counted from 0.
    width_mm, dpi : float
        Width on paper in mm, and dots per inch of what is a pixel image.

    Raises
    ------
    InputError
        Another ending, Matplotlib is not installed, or the result has nothing for this figure.
    """
    path = Path(path)
    if path.suffix.lower() not in ENDINGS:
        raise InputError(f"{path}: figures are written as {', '.join(ENDINGS)}, not as {path.suffix or 'this'}.")
    if name not in figure_names(result):
        raise InputError(f"{path}: this result has nothing for the figure '{name}'.")
    try:
        import matplotlib as mpl
    except ImportError:
        raise InputError(
            f"{path}: figures are drawn with Matplotlib, which is not installed: pip install 'napari-lot[figures]'."
        ) from None
    with mpl.rc_context(STYLE):
        figure = draw(name, series, result, tilt, width_mm)
        figure.savefig(path, dpi=dpi, format=path.suffix.lower()[1:])


def draw(name: str, series: TiltSeries, result: Result, tilt: int, width_mm: float) -> Figure:
    """The Matplotlib figure (for ``write_figure``, which sets the style)."""
    from matplotlib.figure import Figure

    shape = series.images.shape[1:]
    # three images side by side; else the golden ratio
    height = width_mm / 3 * shape[0] / shape[1] + 5 if name == "tilt" else width_mm / 1.618
    figure = Figure(figsize=(width_mm / MM_PER_INCH, height / MM_PER_INCH), layout="constrained")
    engine: Any = figure.get_layout_engine()
    engine.set(w_pad=0.01, h_pad=0.01, wspace=0.02)
    if name == "tilt":
        _tilt(figure, series, result, tilt)
    else:
        drawers: dict[str, Callable[[Axes, TiltSeries, Result], None]] = {
            "r_factor": _r_factor,
            "heights": _heights,
            "error_bars": _error_bars,
        }
        axis = figure.add_subplot()
        axis.locator_params(axis="both", nbins=5)
        drawers[name](axis, series, result)
    return figure


def tilt_angle_deg(series: TiltSeries) -> NDArray[np.float64] | None:
    """Tilt about a single axis in degrees (T,), None where the series has others."""
    psi, theta, phi = series.angles_deg.T
    return theta if series.rotations is None and not psi.any() and not phi.any() else None


def scale_bar_A(width_A: float) -> float:
    """Length of a scale bar in Å: round, and about a quarter of the image."""
    return whole_A(0.3 * width_A)


def whole_A(longest_A: float) -> float:
    """The longest of 1, 2, 5, 10, 20, … Å that is no longer than a length; 1 where that is less."""
    return float(max(length for length in _ROUND_LENGTHS_A if length <= max(longest_A * (1 + 1e-9), 1)))


def _tilt(figure: Figure, series: TiltSeries, result: Result, tilt: int) -> None:
    measured, calculated, residual = series.images[tilt], result.calculated[tilt], result.residual[tilt]
    low, high = np.quantile(measured, [0.001, 0.9995])
    top = float(np.quantile(np.abs(residual), 0.995)) or 1e-6
    p = series.pixel_size_A
    rows, columns = measured.shape
    axes = figure.subplots(1, 3)
    for axis, image, title, look in (
        (axes[0], measured, "measured", {"cmap": "gray", "vmin": low, "vmax": max(high, low + 1e-12)}),
        (axes[1], calculated, "calculated", {"cmap": "gray", "vmin": low, "vmax": max(high, low + 1e-12)}),
        (axes[2], residual, "measured − calculated", {"cmap": "coolwarm", "vmin": -top, "vmax": top}),
    ):
        shown = axis.imshow(image, extent=(0, columns * p, rows * p, 0), interpolation="nearest", **look)
        axis.set_title(title, fontsize=7, pad=3)
        axis.set_axis_off()
    bar = scale_bar_A(columns * p)
    x, y = 0.06 * columns * p, 0.94 * rows * p
    color = "white" if measured[-rows // 5 :, : columns // 2].mean() < (low + high) / 2 else "black"
    axes[0].plot([x, x + bar], [y, y], color=color, linewidth=1.5, solid_capstyle="butt", gid="scale_bar")
    text = f"{bar / 10:g} nm" if bar >= 10 else f"{bar:g} Å"
    axes[0].text(x + bar / 2, y - 0.02 * rows * p, text, color=color, ha="center", va="bottom")
    angles = tilt_angle_deg(series)
    where = f"tilt {tilt}" if angles is None else f"{angles[tilt]:.1f}°".replace("-", "−")
    axes[0].text(x, 0.03 * rows * p, where, color=color, ha="left", va="top")
    unit = "counts" if series.counts else "image units"
    color_bar: Any = figure.colorbar(shown, ax=axes[2], fraction=0.046, pad=0.02)
    color_bar.set_label(unit)
    color_bar.outline.set_linewidth(0.5)


def _r_factor(axis: Axes, series: TiltSeries, result: Result) -> None:
    r = 100 * np.asarray(result.r_factor)
    angles = tilt_angle_deg(series)
    x = np.arange(len(r), dtype=float) if angles is None else angles
    order = np.argsort(x, kind="stable")
    gaps = np.diff(np.unique(x))
    width = 0.8 * float(gaps.min()) if len(gaps) else 0.8
    withheld = np.isin(np.arange(len(r)), result.withheld)
    for chosen, color, label in ((~withheld, BLUE, "fitted"), (withheld, VIOLET, "withheld")):
        these = order[chosen[order] & np.isfinite(r[order])]
        if len(these):
            axis.bar(x[these], r[these], width=width, color=color, label=label, linewidth=0)
    axis.set_xlabel("tilt" if angles is None else "tilt angle (°)")
    axis.set_ylabel("R-factor (%)")
    if withheld.any():
        axis.legend(frameon=False, loc="upper center", ncols=2, bbox_to_anchor=(0.5, 1.12))


def _heights(axis: Axes, series: TiltSeries, result: Result) -> None:
    atoms = result.orbitals
    unit = "counts" if series.counts else "image units"
    colors = (BLUE, ORANGE, "#009E73", VIOLET, GREY)
    edges = np.histogram_bin_edges(atoms.height, bins=_bins(len(atoms)))
    kinds = [k for k in range(len(atoms.elements)) if (atoms.species == k).any()]
    axis.hist(
        [atoms.height[atoms.species == k] for k in kinds],
        bins=edges.tolist(),
        stacked=True,
        color=[colors[i % len(colors)] for i in range(len(kinds))],
        label=[f"{atoms.elements[k]} ({int((atoms.species == k).sum())})" for k in kinds],
        linewidth=0,
    )
    axis.set_xlabel(f"peak height H ({unit})")
    axis.set_ylabel("atoms")
    axis.legend(frameon=False)


def _error_bars(axis: Axes, series: TiltSeries, result: Result) -> None:
    assert result.sigma_A is not None
    bars = 100 * result.sigma_A[np.isfinite(result.sigma_A).all(1)]
    low, top = float(bars.min()), float(np.quantile(bars, 0.99))
    margin = 0.05 * top
    low, top = max(0.0, low - margin), top + margin
    edges = np.linspace(low, top, _bins(len(bars)) + 1)
    for values, color, name in zip(bars.T, (BLUE, ORANGE, "#009E73"), "xyz", strict=True):
        label = f"{name}, median {np.median(values):.3g} pm"
        counts = np.histogram(np.clip(values, low, top), edges)[0]  # the far tail goes into the last bar
        axis.stairs(counts, edges, color=color, label=label, linewidth=1.0)
    axis.set_xlabel("standard deviation (pm)")
    axis.set_ylabel("atoms")
    axis.legend(frameon=False)


def _bins(n: int) -> int:
    return int(np.clip(np.sqrt(max(n, 1)), 8, 60))


def screen_pixels(width_mm: float, dpi: float) -> int:
    """Pixels across a picture of the screen that is ``width_mm`` wide on paper."""
    return max(1, round(width_mm / MM_PER_INCH * dpi))


def write_picture(path: str | Path, picture: NDArray[np.uint8], width_mm: float) -> None:
    """Write a picture of the screen (V, U, 3 or 4) as PNG that knows how wide it is on paper.

    Raises
    ------
    InputError
        Another ending than .png.
    """
    from PIL import Image

    if Path(path).suffix.lower() != ".png":
        raise InputError(f"{path}: the view on the canvas is made of pixels: save it as .png.")
    dpi = picture.shape[1] / (width_mm / MM_PER_INCH)
    Image.fromarray(np.ascontiguousarray(picture[..., :3])).save(path, format="PNG", dpi=(dpi, dpi))
