"""The cases of the accuracy table and what must be true of each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limit:
    """One figure and its bound: ``at_least`` or ``at_most``."""

    figure: str
    bound: float
    at_least: bool = False

    def holds(self, value: float | None) -> bool:
        """Whether a figure keeps the bound; a figure that could not be had does not."""
        if value is None:
            return False
        return value >= self.bound if self.at_least else value <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.bound:g}"


def at_least(figure: str, bound: float) -> Limit:
    """The figure must reach the bound."""
    return Limit(figure, bound, at_least=True)


def at_most(figure: str, bound: float) -> Limit:
    """The figure must not exceed the bound."""
    return Limit(figure, bound)


@dataclass(frozen=True)
class Case:
    """One case: its folder's name, a line about it, and its limits.

    ``generate`` holds the arguments of the independent simulator for a case that is made rather than found;
    ``against_direct`` asks for a second run by direct projection and judges the ratio of the two RMSDs; so does
    ``against_truth`` with a run that starts from the true atoms in place of the grid.
    """

    name: str
    about: str
    limits: tuple[Limit, ...]
    generate: tuple[str, ...] = ()
    against_direct: bool = False
    against_truth: bool = False

    @property
    def variants(self) -> tuple[str, ...]:
        """The runs of the case, the one that is judged first."""
        others = ("direct",) * self.against_direct + ("truth",) * self.against_truth
        return ("rigid", *others)

    @property
    def wall_limit_s(self) -> float:
        """The limit on the wall time in s."""
        return next(limit.bound for limit in self.limits if limit.figure == "wall_s")


CASES = (
    Case(
        "asi208_1p6e5",
        "208 Si, amorphous, multislice counts at 1.6e5 e/Å² per tilt, 60 tilts",
        (at_least("recall", 1.0), at_least("precision", 1.0), at_most("rmsd_pm", 3.0), at_most("wall_s", 60)),
    ),
    Case(
        "asi208_8p0e3",
        "the same at 8e3 e/Å² per tilt",
        (
            at_least("recall", 1.0),
            at_least("precision", 1.0),
            at_most("rmsd_pm", 17.0),
            at_most("over_from_truth", 1.03),
            at_most("wall_s", 60),
        ),
        against_truth=True,
    ),
    Case(
        "asi208_1p6e5_wedge",
        "the first with 45 tilts only: 132 degrees",
        (at_least("recall", 1.0), at_least("precision", 1.0), at_most("rmsd_pm", 4.0), at_most("wall_s", 60)),
    ),
    Case(
        "pt_deca",
        "247 Pt, five-fold twinned, multislice, noise-free, 36 tilts",
        (at_least("recall", 1.0), at_least("precision", 1.0), at_most("rmsd_pm", 1.4), at_most("wall_s", 60)),
    ),
    Case(
        "ta_strip_rows4_5",
        "measured Ta film, 46 tilts; a published reference, not truth",
        (at_least("recall", 0.90), at_most("crowding", 1.10), at_most("median_pm", 26), at_most("wall_s", 240)),
    ),
    Case(
        "si25k",
        "25,000 Si, amorphous, 9 nm, independent thin slices, noise-free, 72 tilts",
        (
            at_least("recall", 0.9999),
            at_least("precision", 0.9999),
            at_most("rmsd_pm", 0.5),
            at_least("direct_over_rigid", 5),
            at_most("wall_s", 360),
            at_most("peak_memory_gb", 4),
        ),
        generate=("--atoms", "25000", "--diameter", "90", "--pixel", "0.35", "--tilts", "-72", "70", "2"),
        against_direct=True,
    ),
    Case(
        "si20k_8e3",
        "20,000 Si, amorphous, 9 nm, independent thin slices, counts at 8e3 e/Å² per tilt, 60 tilts",
        (
            at_least("recall", 0.985),
            at_least("precision", 0.985),
            at_most("over_from_truth", 1.2),
            at_most("rmsd_pm", 25),
            at_most("wall_s", 360),
            at_most("peak_memory_gb", 4),
        ),
        generate=(
            *("--atoms", "20000", "--diameter", "90", "--pixel", "0.35", "--tilts", "-70.8", "70.8", "2.4"),
            *("--dose", "8e3"),
        ),
        against_truth=True,
    ),
)
