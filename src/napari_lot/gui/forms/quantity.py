"""A number with a unit as a person types or pastes it. No Qt."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, DecimalException

_LENGTHS = {
    "pm": Decimal("0.01"),
    "å": Decimal(1),
    "a": Decimal(1),
    "nm": Decimal(10),
    "µm": Decimal(10_000),
    "um": Decimal(10_000),
    "mm": Decimal(10_000_000),
}
"""Of units of length, in Å."""
_ENERGIES = {"ev": Decimal("0.001"), "kev": Decimal(1), "kv": Decimal(1)}
"""Of units of energy, in keV; kV is the voltage that accelerates to as many keV."""
_KNOWN = {"Å": _LENGTHS, "keV": _ENERGIES}
_EXAMPLES = {"Å": "0.25, or with its unit, such as 25 pm", "keV": "300, or with its unit, such as 300 kV"}
_NUMBER = re.compile(r"\s*([+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][+-]?\d+)?)\s*(.*?)\s*", re.DOTALL)
# One letter in several disguises: minus, Ångström, micro.
_ALIKE = str.maketrans({"−": "-", "\u212b": "Å", "\u03bc": "µ"})


@dataclass(frozen=True)
class Quantity:
    """``value`` in the unit that was asked for; ``unit`` as it was typed, '' where none was."""

    value: float
    unit: str


def parse(text: str, unit: str = "") -> Quantity:
    """A number, perhaps with its unit, in the unit ``unit``.

    Point and comma both stand before decimals; ``3e5`` is 300000. The unit itself may follow, and others of a length
    (pm, Å, nm, µm, mm) or of an energy (eV, keV, kV) are converted where ``unit`` is of that kind.

    Raises
    ------
    ValueError
        It is something else; the message says what can be given.
    """
    found = _NUMBER.fullmatch(text.translate(_ALIKE))
    if found is None:
        raise ValueError(f"'{text.strip()}' is no number{_example(unit)}")
    try:
        number = Decimal(found[1].replace(",", "."))
        factor = _factor(found[2], unit)
        if factor is None:
            raise ValueError(f"'{text.strip()}' is no number{_example(unit)}")
        return Quantity(float(number * factor), found[2])
    except DecimalException:
        raise ValueError(f"'{text.strip()}' is out of all bounds") from None


def _factor(typed: str, unit: str) -> Decimal | None:
    if typed == "" or typed.casefold() == unit.casefold():
        return Decimal(1)
    return {_fold(name): factor for name, factor in _KNOWN.get(unit, {}).items()}.get(_fold(typed))


def _fold(name: str) -> str:
    return name.casefold().translate(_ALIKE)


def _example(unit: str) -> str:
    if unit in _EXAMPLES:
        return f"; give one in {unit}, such as {_EXAMPLES[unit]}"
    return f"; give one in {unit}" if unit else ""
