"""Colours that follow napari's theme: of plots, lines and the progress bar; and marks that show on dark and light.

Text has the theme's own colour everywhere. Coloured are only marks and lines, in tones that stand out by more than 3 to
1 from the backgrounds of both themes.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

AMBER, RED, BLUE, GREEN = "#c98500", "#dd5a5a", "#4a8fd0", "#4f9a4f"
FOCUS = (
    "QPushButton:focus, QComboBox:focus, QLineEdit:focus, QAbstractSpinBox:focus, QCheckBox:focus, QTableView:focus, "
    f"QListWidget:focus {{ border: 1px solid {BLUE}; }}"
    f'QAbstractSpinBox[refused="true"] {{ border: 1px solid {AMBER}; }}'
)
"""Style sheet of what has the focus, and of numbers that are not taken, in every widget of ours."""
_plots: WeakSet[Any] = WeakSet()
_axes: WeakSet[Any] = WeakSet()
_background, _text = "#23242b", "#f0f1f2"


def background() -> str:
    """Background of plots now."""
    return _background


def text() -> str:
    """Colour of text in plots now."""
    return _text


def warning(sentence: str) -> str:
    """A caveat, as rich text."""
    return f'<span style="color:{AMBER}">⚠</span> {sentence}'


def failure(sentence: str) -> str:
    """What went wrong, as rich text."""
    return f'<span style="color:{RED}">✕</span> {sentence}'


def follow(plot: Any) -> None:
    """Let a pyqtgraph PlotWidget follow the theme."""
    _plots.add(plot)
    restyle(plot)


def follow_axis(axis: Any) -> None:
    """Let an axis that no plot has, such as that of a colour bar, follow the theme."""
    _axes.add(axis)
    _restyle_axis(axis)


def _restyle_axis(axis: Any) -> None:
    axis.setPen(_text)
    axis.setTextPen(_text)
    axis.setLabel(axis.labelText or None, color=_text, **{"font-size": "9pt"})


def restyle(plot: Any) -> None:
    """Give a plot the background and the text of the theme; axes that have a colour of their own keep it."""
    plot.setBackground(_background)
    item = plot.getPlotItem()
    for side in ("left", "bottom", "right"):
        axis = item.getAxis(side)
        axis.setPen(_text)
        if not getattr(axis, "own_color", False):
            axis.setTextPen(_text)
            axis.setLabel(axis.labelText or None, color=_text, **{"font-size": "9pt"})
    if item.titleLabel.text:
        item.setTitle(item.titleLabel.text, color=_text, size="9pt")
    if item.legend is not None:
        item.legend.setLabelTextColor(_text)
        item.legend.setBrush(_background + "c8")
        for _, label in item.legend.items:
            label.setText(label.text, color=_text)


def use_theme(name: str) -> str:
    """Take over a theme of napari's: every plot changes; returns the style sheet of the workbench."""
    global _background, _text
    from napari.utils.theme import get_theme

    theme = get_theme(name)
    _background, _text = theme.background.as_hex(), theme.text.as_hex()
    if len(_background) == 4:  # '#fff'
        _background = "#" + "".join(2 * digit for digit in _background[1:])
    for plot in list(_plots):
        try:
            restyle(plot)
        except RuntimeError:  # Qt has deleted it, Python not yet
            _plots.discard(plot)
    for axis in list(_axes):
        try:
            _restyle_axis(axis)
        except RuntimeError:
            _axes.discard(axis)
    line = theme.secondary.as_hex()
    return (
        FOCUS + f"QPushButton:checked:focus {{ border: 1px solid {_text}; }}"
        f"QFrame#step_line {{ background: {line}; border: none; }}"
        f"QFrame#recovery {{ border: 1px solid {AMBER}; border-radius: 3px; }}"
        f"QProgressBar {{ border: 1px solid {line}; border-radius: 3px; text-align: center; "
        f"color: {_text}; background: {theme.foreground.as_hex()}; }}"
        f"QProgressBar::chunk {{ background: {theme.current.as_hex()}; }}"
    )
