"""Numbers as people type them, with the units of their fields."""

from __future__ import annotations

import pytest

from napari_lot.gui.forms.quantity import parse


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("0,25", "Å", 0.25),
        ("0.25", "Å", 0.25),
        (".5", "Å", 0.5),
        ("12.", "Å", 12.0),
        ("25 pm", "Å", 0.25),
        ("25pm", "Å", 0.25),
        ("12.5 Å", "Å", 12.5),
        ("12.5 \u212b", "Å", 12.5),
        ("12.5 A", "Å", 12.5),
        ("0,3 nm", "Å", 3.0),
        ("2 µm", "Å", 20_000.0),
        ("2 \u03bcm", "Å", 20_000.0),
        ("1.2 mm", "Å", 12_000_000.0),
        ("1.2e7", "Å", 1.2e7),
        ("300", "keV", 300.0),
        ("300 keV", "keV", 300.0),
        ("80,5 kV", "keV", 80.5),
        ("300000eV", "keV", 300.0),
        ("-1e5", "Å", -100_000.0),
        ("−1,5", "Å", -1.5),
        ("+3", "", 3.0),
        ("21.4 mrad", "mrad", 21.4),
        ("-70°", "°", -70.0),
        ("0.42 × distance", "× distance", 0.42),
    ],
)
def test_a_number_means_what_it_says(text: str, unit: str, value: float) -> None:
    assert parse(text, unit).value == value


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("", "Å"),
        ("e5", "Å"),
        ("3e", "Å"),
        ("1,234.5", "Å"),
        ("10 000", "Å"),
        ("1-2", "Å"),
        ("25 mrad", "Å"),
        ("3 Å", "mrad"),
        ("3 pm", "px"),
        ("12 Å of it", "Å"),
        ("nan", "Å"),
        ("0x10", "Å"),
        ("1e9999999999999999999", "Å"),
    ],
)
def test_anything_else_is_refused_with_what_was_typed(text: str, unit: str) -> None:
    with pytest.raises(ValueError, match="is"):
        parse(text, unit)
