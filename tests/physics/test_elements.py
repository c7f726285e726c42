"""Elements by number, and how bright they are beside each other."""

import pytest

from napari_lot.physics.elements import SYMBOLS, weakest_contrast


@pytest.mark.parametrize(("symbol", "number"), [("X", 0), ("H", 1), ("Si", 14), ("Ta", 73), ("Pt", 78), ("Og", 118)])
def test_symbols_stand_at_their_atomic_number(symbol: str, number: int) -> None:
    assert SYMBOLS[number] == symbol


def test_the_weakest_contrast() -> None:
    assert weakest_contrast(["Pt"]) == weakest_contrast(["X"]) == 1.0
    assert weakest_contrast(["Pt", "Co"]) == weakest_contrast(["Co", "Pt"]) == pytest.approx((27 / 78) ** 1.7)
    assert weakest_contrast(["Pd", "Co", "Pt"]) == weakest_contrast(["Co", "Pt"])
    assert weakest_contrast(["X", "Pt"]) == 0.0, "an unknown element may be as weak as any"
