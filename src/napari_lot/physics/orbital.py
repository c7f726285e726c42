"""Radial form factors of an atom's local orbital (Eq. 2 and its alternatives), differentiable in their parameters.

Every form factor f(q; B) has f(0) = 1, and B is defined by the scattering strength: an orbital of height H at its
middle has the integral pi H B^2, whatever its shape, so that heights, widths and strengths can be compared.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import integrate, interpolate, special
from torch import Tensor

from napari_lot.errors import InputError
from napari_lot.files import check_readable

Floats = NDArray[np.float64]

LEARNT_TERMS = 4
"""Terms of a learnt orbital: q^4 to q^10 under the Gaussian; more are not seen behind a probe."""


class Orbital(ABC):
    """Shape of an atom's projected potential around its axis."""

    name: str
    terms: int = 0
    """Numbers a species that are learnt from the images besides the width."""

    @abstractmethod
    def form_factor(self, q2: Tensor, width_A: Tensor, learnt: Tensor) -> Tensor:
        """f(q; B) at the squared frequencies ``q2`` (1/Å^2), same shape; ``learnt`` are ``terms`` numbers."""

    def reach_A(self, width_A: float, edge: float) -> float:
        """Radius in Å beyond which the orbital is below ``edge`` of its height."""
        return width_A * float(np.sqrt(-np.log(edge)))


class Gaussian(Orbital):
    """H exp(-r^2 / B^2)."""

    name = "gaussian"

    def form_factor(self, q2: Tensor, width_A: Tensor, learnt: Tensor) -> Tensor:
        """exp(-(pi q B)^2)."""
        return torch.exp(-(np.pi**2) * q2 * width_A**2)


class Slater(Orbital):
    """H exp(-r / b) with b = B / sqrt(2): a cusp in the middle and long tails."""

    name = "slater"

    def form_factor(self, q2: Tensor, width_A: Tensor, learnt: Tensor) -> Tensor:
        """(1 + (2 pi q b)^2)^(-3/2), the Hankel transform of an exponential."""
        return (1.0 + 2.0 * np.pi**2 * q2 * width_A**2) ** -1.5

    def reach_A(self, width_A: float, edge: float) -> float:
        """Radius in Å beyond which the orbital is below ``edge`` of its height."""
        return -width_A / float(np.sqrt(2.0)) * float(np.log(edge))


class Learnt(Orbital):
    """A Gaussian whose radial shape the images correct.

    f = exp(-x) (1 + sum_k a_k x^k / k!), x = (pi q B)^2, k = 2, 3, ...: in space Laguerre polynomials under the
    Gaussian. No term has a sum or a mean second moment, which are the strength's and the width's.
    """

    name = "learnt"
    terms = LEARNT_TERMS

    def form_factor(self, q2: Tensor, width_A: Tensor, learnt: Tensor) -> Tensor:
        """The Gaussian's form factor times its correction."""
        x = np.pi**2 * q2 * width_A**2
        correction, term = torch.ones_like(x), x
        for k, a in enumerate(learnt, start=2):
            term = term * x / k
            correction = correction + a * term
        return torch.exp(-x) * correction

    def reach_A(self, width_A: float, edge: float) -> float:
        """Radius in Å beyond which the orbital is below ``edge`` of its height; the polynomials reach farther."""
        return 1.5 * super().reach_A(width_A, edge)


_TABLE_STEPS = 4001


@dataclass(frozen=True)
class Tabulated(Orbital):
    """A radial function given at radii in Å; B scales it. Between the radii it is a straight line, beyond them 0."""

    radius_A: Floats
    value: Floats
    name: str = "table"

    @cached_property
    def own_width_A(self) -> float:
        """B of the table as it stands: the square root of its integral over the plane, over pi times its height."""
        r = np.linspace(0.0, self.radius_A[-1], _TABLE_STEPS)
        area = 2.0 * np.pi * integrate.simpson(np.interp(r, self.radius_A, self.value) * r, x=r)
        return float(np.sqrt(area / (np.pi * self.value[0])))

    @cached_property
    def _spline(self) -> tuple[float, Tensor]:
        """Step of q B and cubic pieces (K, 4) of the form factor over it."""
        r = np.linspace(0.0, self.radius_A[-1], _TABLE_STEPS) / self.own_width_A
        h = np.interp(r * self.own_width_A, self.radius_A, self.value) * r
        step = 0.01
        y = np.arange(0.0, 12.0 + step, step)
        f = np.array([integrate.simpson(h * special.j0(2 * np.pi * k * r), x=r) for k in y])
        pieces = interpolate.CubicSpline(y, f / f[0], bc_type="natural").c[::-1].T
        return step, torch.from_numpy(np.ascontiguousarray(pieces))

    def form_factor(self, q2: Tensor, width_A: Tensor, learnt: Tensor) -> Tensor:
        """Hankel transform of the table, scaled."""
        step, pieces = self._spline
        # not at q = 0 itself: the slope of a root there is infinite
        y = torch.sqrt(q2.clamp_min(1e-12)).double() * width_A
        k = (y.detach() / step).floor().clamp(0, len(pieces) - 1).long()
        t = (y - k * step).clamp(max=step)
        c = pieces[k]
        return (c[..., 0] + t * (c[..., 1] + t * (c[..., 2] + t * c[..., 3]))).to(q2.dtype)

    def reach_A(self, width_A: float, edge: float) -> float:
        """The end of the table, scaled."""
        return float(self.radius_A[-1]) * width_A / self.own_width_A


def orbital(kind: str) -> Orbital:
    """The orbital of a name (gaussian, slater, learnt) or of a CSV file with radii in Å and values.

    Raises
    ------
    InputError
        There is no such orbital, or the file cannot be read as one.
    """
    shapes: dict[str, type[Orbital]] = {"gaussian": Gaussian, "slater": Slater, "learnt": Learnt}
    if kind in shapes:
        return shapes[kind]()
    path = Path(kind)
    if not path.suffix:
        raise InputError(f"orbital: {kind!r} is none of {', '.join(shapes)}, nor a CSV file of radii in Å and values.")
    return read_table(path)


def read_table(path: Path) -> Tabulated:
    """A tabulated orbital: two columns, radius in Å from 0 on and value; a heading and lines with # are passed over.

    Raises
    ------
    InputError
        No such file, not two columns of numbers, radii not rising from 0, or no positive height and integral.
    """
    check_readable(path, "orbital")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file: give two columns, radius in Å and value.") from None
    rows: list[list[float]] = []
    for number, line in enumerate(lines, 1):
        text = line.split("#")[0].strip()
        if not text:
            continue
        try:
            row = [float(part) for part in text.replace(";", ",").replace(",", " ").split()]
        except ValueError:
            if not rows:
                continue  # the heading
            raise InputError(
                f"{path}, line {number}: expected a radius in Å and a value, found {text[:40]!r}."
            ) from None
        if len(row) != 2 or not np.isfinite(row).all():
            raise InputError(f"{path}, line {number}: expected a radius in Å and a value, found {text[:40]!r}.")
        rows.append(row)
    table = np.array(rows, np.float64).reshape(-1, 2)
    radius, value = table.T
    if len(radius) < 4:
        raise InputError(f"{path}: an orbital needs at least 4 radii, found {len(radius)}.")
    if radius[0] != 0 or not (np.diff(radius) > 0).all():
        raise InputError(f"{path}: the radii must rise from 0.")
    if value[0] <= 0 or integrate.trapezoid(value * radius, radius) <= 0:
        raise InputError(f"{path}: an orbital must be positive at radius 0, and its integral over the plane too.")
    return Tabulated(radius, value)
