"""Tilt angles from files: CSV, .tlt, .rawtlt, .mdoc, RESIRE columns, .mat. Geometry of other programs.

Sources: RESIRE (Pham et al., Sci. Rep. 13, 5624 (2023)), GENFIRE (Pryor et al., Sci. Rep. 7, 10409 (2017)),
IMOD (Kremer et al., J. Struct. Biol. 116, 71 (1996)), SerialEM's description of its metadata files.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_lot.errors import InputError
from napari_lot.files import check_readable

Geometry = Literal["lot", "resire", "genfire"]
"""Whose angles these are. ``lot``: (psi, theta, phi), Eq. 3. ``resire``: (phi, theta, psi), R = (Rz Ry Rx)^T.
``genfire``: (phi, theta, psi), R = (Rz(phi) Ry(theta) Rz(psi))^T. The last two come with transposed images."""

LOT_COLUMNS = ("psi_deg", "theta_deg", "phi_deg")


@dataclass(frozen=True)
class AngleTable:
    """Angles as a file gives them, not yet converted.

    Attributes
    ----------
    values_deg : (T,) or (T, 3) float64
        (T,): theta about the tilt axis. (T, 3): columns in the order of ``geometry``.
    geometry : str
        lot, resire or genfire.
    source : str
    pixel_size_A, tilt_axis_deg : float or None
        What an .mdoc says besides.
    """

    values_deg: NDArray[np.float64]
    geometry: Geometry
    source: str
    pixel_size_A: float | None = None
    tilt_axis_deg: float | None = None


def _rotation(axis: int, angle_deg: NDArray[np.float64]) -> NDArray[np.float64]:
    """Right-handed active rotations about x, y or z (axis 0, 1, 2), shape (T, 3, 3)."""
    a = np.deg2rad(angle_deg)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.zeros((len(a), 3, 3))
    matrix[:, axis, axis] = 1.0
    matrix[:, i, i] = matrix[:, j, j] = np.cos(a)
    matrix[:, i, j] = -np.sin(a)
    matrix[:, j, i] = np.sin(a)
    return matrix


def angles_from_rotations(rotations: NDArray[np.float64]) -> NDArray[np.float64]:
    """(psi, theta, phi) in degrees, (T, 3), with ``R = Rz(phi) Ry(theta) Rx(psi)`` exactly.

    Of the two triples that give the same matrix the one with the smaller |psi| + |phi| is taken, so that a tilt of
    -177 degrees about y stays (0, -177, 0).
    """
    r = np.asarray(rotations, np.float64)
    level = np.hypot(r[:, 0, 0], r[:, 1, 0])
    theta = np.arctan2(-r[:, 2, 0], level)
    locked = level < 1e-9  # theta = +-90: only psi -+ phi is defined, phi is set to 0
    psi = np.where(locked, np.arctan2(-r[:, 1, 2], r[:, 1, 1]), np.arctan2(r[:, 2, 1], r[:, 2, 2]))
    phi = np.where(locked, 0.0, np.arctan2(r[:, 1, 0], r[:, 0, 0]))
    first = np.rad2deg(np.stack([psi, theta, phi], axis=1))
    second = np.stack([first[:, 0] + 180, 180 - first[:, 1], first[:, 2] + 180], axis=1)
    second = (second + 180) % 360 - 180
    smaller = np.abs(second[:, [0, 2]]).sum(axis=1) < np.abs(first[:, [0, 2]]).sum(axis=1) - 1e-9
    return np.where(smaller[:, None], second, first) + 0.0


def to_lot_angles(values_deg: NDArray[np.float64], geometry: Geometry) -> NDArray[np.float64]:
    """Angles of another program in ours, (T, 3) = (psi, theta, phi) in degrees (images transposed separately).

    A single column is theta about y in any geometry.
    """
    values = np.asarray(values_deg, np.float64)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim == 1:
        values = np.stack([np.zeros_like(values), values, np.zeros_like(values)], axis=1)
    if geometry == "lot":
        return values
    phi, theta, psi = values.T
    last = 0 if geometry == "resire" else 2
    matrices = _rotation(2, phi) @ _rotation(1, theta) @ _rotation(last, psi)
    return angles_from_rotations(matrices.transpose(0, 2, 1))


def read_angles(path: str | Path) -> AngleTable:
    """Angles from a file, by its extension.

    ``.csv``, ``.txt``, ``.tlt``, ``.rawtlt``: a header ``psi_deg,theta_deg,phi_deg`` (any order), or one angle a line,
    or three columns without a header, which are RESIRE's (phi, theta, psi). ``.mdoc``: TiltAngle of each section.
    MATLAB's ``.mat`` is read by ``napari_lot.series.mat.read_mat_angles``.

    Raises
    ------
    InputError
        No such file, not text, not numbers, or no angles at all.
    """
    path = Path(path)
    text = _read_text(path)
    if path.suffix.lower() == ".mdoc":
        return _parse_mdoc(text, str(path))
    try:
        return _parse_columns(text, str(path))
    except csv.Error as error:  # a field of more than 131072 characters
        raise InputError(f"{path}: not a table of angles ({error}): give one tilt a line.") from None


def _read_text(path: Path) -> str:
    check_readable(path, "angle file", may_be_empty=True)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(
            f"{path}: not a text file of angles: give CSV, .tlt, .rawtlt or .mdoc with one tilt a line."
        ) from None
    if not text.strip():
        raise InputError(f"{path}: the angle file is empty: give one angle per image, in degrees.")
    return text


def _parse_columns(text: str, source: str) -> AngleTable:
    lines = [(n, line.strip()) for n, line in enumerate(text.splitlines(), 1)]
    lines = [(n, line) for n, line in lines if line and not line.startswith(("#", "%"))]
    if not lines:
        raise InputError(f"{source}: no angles in the file: give one angle per image, in degrees.")
    header: list[str] | None = None
    title = lines[0][1]
    cells = _split(title)
    if not _is_number(cells[0]) and any(c.isalpha() for c in title):
        header = [c.strip().strip("\"'").lower() for c in cells]
        lines = lines[1:]
    rows: list[list[float]] = []
    decimals = _has_decimal_commas([line for _, line in lines], header is not None and "," in title)
    width = len(_split(lines[0][1], decimals)) if lines else 0
    if header is not None and width == 1:
        header = [" ".join(header)]  # one column whose name has spaces, such as "angle (deg)"
    width = len(header) if header else width
    if header is not None and not lines:
        raise InputError(f"{source}: no angles below the header: give one line per image, in degrees.")
    if header is not None:
        named = _angle_columns(header, source)
        noted = _beside_text([line for _, line in lines], title, width, decimals)
        if noted is not None:
            return AngleTable(_named_angles(noted, [n for n, _ in lines], named, header, source), "lot", source)
    for n, line in lines:
        cells = _split(line, decimals)
        if not all(_is_number(c) for c in cells):
            raise InputError(
                f"{source}: line {n} is not a number ({line[:40]!r}): give one angle per image, in degrees."
            )
        if len(cells) != width:
            raise InputError(
                f"{source}: line {n} has {len(cells)} values where the others have {width}: "
                + ("correct that line." if "," not in line or len(cells) < width else _COMMAS)
            )
        rows.append([float(c) for c in cells])
    table = np.array(rows, dtype=np.float64)
    if header is not None:
        angles = np.zeros((len(table), 3))
        for column, which in named.items():
            angles[:, which] = table[:, column]
        return AngleTable(angles, "lot", source)
    if table.shape[1] == 1:
        return AngleTable(table[:, 0], "lot", source)
    if table.shape[1] == 3:
        return AngleTable(table, "resire", source)
    raise InputError(
        f"{source}: {table.shape[1]} columns without a header: "
        "give one angle a line, or the header psi_deg,theta_deg,phi_deg; where commas stand before decimals, write "
        "points."
    )


def _angle_columns(header: list[str], source: str) -> dict[int, int]:
    """By column that holds an angle, which of psi, theta, phi it is."""
    short = [re.sub(r"[\s_(\[]*(deg|degrees|°)?[)\]]*$", "", name) for name in header]
    if any(name.endswith(("_rad", "(rad)", "[rad]")) for name in header):
        raise InputError(f"{source}: the header says radians ({','.join(header)[:80]}): convert the angles to degrees.")
    wanted = {"psi": 0, "theta": 1, "phi": 2, "tilt": 1, "angle": 1, "tilt_angle": 1}
    found = {column: wanted[name] for column, name in enumerate(short) if name in wanted}
    if not found:
        raise InputError(
            f"{source}: no angle column in the header ({','.join(header)[:80]}): "
            "name the columns psi_deg,theta_deg,phi_deg."
        )
    return found


def _beside_text(lines: list[str], title: str, width: int, decimal_commas: bool) -> list[list[str]] | None:
    """The cells of lines with words in some columns, split as the ``title`` is; None where all are numbers.

    None as well where a line has not as many cells as the title: what separates them is not certain then.
    """
    if width == 1 or all(_is_number(cell) for line in lines for cell in _split(line, decimal_commas)):
        return None
    separator = next((mark for mark in ",;\t" if mark in title), None)
    rows = [
        line.split() if separator is None else next(csv.reader([line], delimiter=separator, skipinitialspace=True))
        for line in lines
    ]
    return rows if all(len(row) == width for row in rows) else None


def _named_angles(
    rows: list[list[str]], numbers: list[int], named: dict[int, int], header: list[str], source: str
) -> NDArray[np.float64]:
    """(T, 3) angles of the ``named`` columns, whatever stands in the others; ``numbers`` are those of the lines."""
    angles = np.zeros((len(rows), 3))
    for i, (n, row) in enumerate(zip(numbers, rows, strict=True)):
        for column, which in named.items():
            cell = row[column].strip().replace(",", ".")
            if not _is_number(cell):
                raise InputError(
                    f"{source}: line {n}: {header[column][:40]} is not a number ({row[column].strip()[:40]!r}): "
                    "give one angle per image, in degrees."
                )
            angles[i, which] = float(cell)
    return angles


_NUMBER = r"[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][+-]?\d+)?"
_IN_WHITE_SPACE = re.compile(rf"{_NUMBER}(?:\s+{_NUMBER})*")
_COMMAS = (
    "correct that line, or, where commas stand before decimals, write points, or semicolons or tabs between columns."
)


def _has_decimal_commas(lines: list[str], between_names: bool) -> bool:
    """Whether commas stand before decimals: something else separates the columns, or there is only one.

    ``between_names``: commas stand between the names of the columns.
    """
    if not any("," in line for line in lines):
        return False
    if any(";" in line for line in lines):
        return True
    if not all(_IN_WHITE_SPACE.fullmatch(line) and max(map(_commas, line.split())) <= 1 for line in lines):
        return False
    if any(len(line.split()) > 1 for line in lines):
        return True
    if between_names:
        return False
    # 1,10 and 2,20 may as well be numbers of images and their angles
    first = [line.partition(",")[0] for line in lines if "," in line]
    return first not in ([str(i + start) for i in range(len(lines))] for start in (0, 1))


def _commas(cell: str) -> int:
    return cell.count(",")


def _split(line: str, decimal_commas: bool = False) -> list[str]:
    if decimal_commas:
        cells = next(csv.reader([line], delimiter=";")) if ";" in line else line.split()
        return [c.strip().replace(",", ".") for c in cells]
    if "," in line or ";" in line:
        return [c.strip() for c in next(csv.reader([line], delimiter="," if "," in line else ";"))]
    return line.split()


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _parse_mdoc(text: str, source: str) -> AngleTable:
    """SerialEM metadata: sections [ZValue = n] with TiltAngle; PixelSpacing in Å; the title names the tilt axis."""
    sections: list[tuple[int, dict[str, str]]] = []
    values: dict[str, str] = {}
    common = values
    for line in text.splitlines():
        start = re.match(r"\s*\[\s*(ZValue|Image|FrameSet)\s*=\s*(.*?)\s*\]", line)
        if start:
            values = {}
            numbered = start[1] == "ZValue" and re.fullmatch(r"-?[0-9]{1,9}", start[2])
            number = int(start[2]) if numbered else len(sections)
            sections.append((number, values))
        elif "=" in line and not line.lstrip().startswith("["):
            key, _, value = line.partition("=")
            values[key.strip()] = value.strip()
    missing = [number for number, section in sections if "TiltAngle" not in section]
    if not sections or missing:
        where = f"section {missing[0]} has" if missing else "the file has"
        raise InputError(f"{source}: {where} no TiltAngle: give an .mdoc of a tilt series, or the angles as CSV.")
    sections.sort(key=lambda item: item[0])
    try:
        angles = np.array([float(section["TiltAngle"]) for _, section in sections])
        spacing_text = common.get("PixelSpacing") or sections[0][1].get("PixelSpacing")
        spacing = float(spacing_text) if spacing_text else None
        axis = _mdoc_axis(text, sections[0][1])
    except ValueError:
        raise InputError(
            f"{source}: a TiltAngle, PixelSpacing or RotationAngle is not a number: correct the .mdoc."
        ) from None
    return AngleTable(angles, "lot", source, pixel_size_A=spacing, tilt_axis_deg=axis)


def _mdoc_axis(text: str, first: dict[str, str]) -> float | None:
    """Tilt axis from vertical as IMOD counts it, which is our ``tilt_axis_deg``.

    IMOD turns counter-clockwise with row 0 at the bottom, we clockwise with row 0 at the top: on the stored array the
    same. Where the title does not name it, it is SerialEM's RotationAngle less 90 degrees.
    """
    title = re.search(r"Tilt axis angle\s*=\s*([-+]?\d+(?:\.\d*)?)", text, re.IGNORECASE)
    if title:
        return float(title[1])
    if "RotationAngle" not in first:
        return None
    axis = float(first["RotationAngle"]) - 90.0
    return (axis + 180.0) % 360.0 - 180.0
