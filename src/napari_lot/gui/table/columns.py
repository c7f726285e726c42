"""What the table of atoms shows of each, and which atoms a filter leaves. No Qt, no napari."""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_lot.errors import InputError
from napari_lot.job import Result

_COMPARISONS = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
    "=": operator.eq,
}


@dataclass(frozen=True)
class Column:
    """One column: its name for filters, its heading with the unit, one value an atom, and how a value is written."""

    name: str
    heading: str
    values: NDArray[Any]
    form: str
    tip: str

    def text(self, row: int) -> str:
        """A value in words; '' where it is not known."""
        value = self.values[row]
        if isinstance(value, np.floating) and not np.isfinite(value):
            return ""
        return format(value, self.form)


def columns_of(result: Result, intensity: str, coordination: NDArray[np.int64] | None = None) -> list[Column]:
    """The columns of a result's atoms; what the run did not compute is absent.

    Parameters
    ----------
    intensity : str
        Unit of the images.
    coordination : (N,) int64, optional
    """
    atoms = result.orbitals
    x, y, z = atoms.positions.T
    columns = [
        Column("id", "id", atoms.id, "d", "Number of the atom in this run."),
        Column("element", "element", np.array(atoms.symbols, dtype=str), "", "Element symbol."),
        Column("x", "x (Å)", x, ".3f", "x in Å, to the right at zero tilt; 0 is the rotation centre."),
        Column("y", "y (Å)", y, ".3f", "y in Å, down, along the tilt axis; 0 is the rotation centre."),
        Column("z", "z (Å)", z, ".3f", "z in Å, along the beam; 0 is the rotation centre."),
        Column("height", f"height ({intensity})", atoms.height, ".4g", "Peak height of the orbital before the probe."),
        Column("width", "width (Å)", atoms.width, ".3f", "Width B of the orbital H exp(−r²/B²)."),
    ]
    if result.sigma_A is not None:
        sigma = 100 * np.asarray(result.sigma_A, float)
        columns += [
            Column(f"sigma_{a}", f"σ{a} (pm)", sigma[:, k], ".2f", f"Standard deviation of {a} in pm.")
            for k, a in enumerate("xyz")
        ]
    if result.p_exists is not None:
        columns.append(
            Column(
                "p_exists", "p exists", np.asarray(result.p_exists, float), ".4f", "Probability that the atom exists."
            )
        )
    if result.p_element is not None and len(atoms.elements) > 1:
        columns.append(
            Column("p_element", "p element", np.asarray(result.p_element, float), ".4f", "Probability of its element.")
        )
    if coordination is not None:
        columns.append(
            Column("neighbours", "neighbours", coordination, "d", "Atoms within the cutoff under Neighbours and g(r).")
        )
    return columns


def rows_that_match(columns: list[Column], text: str) -> NDArray[np.int64]:
    """Atoms that a filter leaves: element symbols, ids, or comparisons as ``z > 5``, all of which must hold.

    Raises
    ------
    InputError
        A word that is none of these.
    """
    by_name = {column.name: column for column in columns}
    count = len(columns[0].values)
    keep = np.ones(count, bool)
    words = _words(text)
    plain = np.zeros(count, bool)
    for word in words:
        found = re.fullmatch(r"(\w+?)(<=|>=|<|>|=)(\S+)", word)
        if found is None:
            plain |= _named(by_name, word)
            continue
        name, sign, value = found.groups()
        column = by_name.get(name.lower())
        if column is None or column.values.dtype.kind not in "fi":
            numbers = ", ".join(n for n, c in by_name.items() if c.values.dtype.kind in "fi")
            raise InputError(f"Filter: {name} is no column of numbers; there are {numbers}.")
        try:
            keep &= _COMPARISONS[sign](column.values, float(value))
        except ValueError:
            raise InputError(f"Filter: {value} is no number; write for example z > 5.") from None
    if any(not re.search("[<>=]", word) for word in words):
        keep &= plain
    return np.flatnonzero(keep)


def _words(text: str) -> list[str]:
    """Parts of a filter: a comma stands between them, or before the decimals of a number that is compared with."""
    closed = re.sub(r"\s*(<=|>=|<|>|=)\s*", r"\1", text.replace("−", "-"))
    return re.sub(r"([<>=][+-]?\d*),(\d)", r"\1.\2", closed).replace(",", " ").split()


def _named(by_name: dict[str, Column], word: str) -> NDArray[np.bool_]:
    if word.isdigit():
        return np.asarray(by_name["id"].values == int(word))
    if word.lower() in ("and", "or", "not"):
        raise InputError(f"Filter: leave out '{word}': comparisons hold all at once, elements and ids one or another.")
    symbols = by_name["element"].values
    if word.isalpha():
        return np.asarray(symbols == word.capitalize())
    raise InputError(f"Filter: {word} is no element, id or comparison; write for example Pt, 17 or z > 5.")
