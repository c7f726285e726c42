"""The cases of the table, and the ways that each is reconstructed."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.accuracy.measure import found_or_made

VOXEL_METHODS = ("wbp", "art", "sart", "sirt", "est", "genfire", "resire")
LIBRARIES = {"sart-skimage": "SART of scikit-image", "sirt-astra": "SIRT of ASTRA"}
"""Our method and the package that takes its place, in words."""
METHODS = ("lot", "lot-peaks", *VOXEL_METHODS, *LIBRARIES)
WORDS = {
    "lot": "LOT",
    "lot-peaks": "LOT from peaks",
    **{name: name.upper() for name in VOXEL_METHODS},
    **LIBRARIES,
}


@dataclass(frozen=True)
class Case:
    """A series: its folder's name, a line about it, and for one that is made the arguments of the simulation.

    ``facts`` are what ``case.json`` of a case that is made shall say.
    """

    name: str
    about: str
    generate: tuple[str, ...] = ()
    facts: tuple[tuple[str, Any], ...] = ()


CASES = (
    Case("asi208_1p6e5", "208 Si, amorphous, multislice counts at 1.6e5 e/Å² per tilt, 60 tilts without a wedge"),
    Case("asi208_8p0e3", "the same at 8e3 e/Å² per tilt: an atom is hardly seen in one image"),
    Case(
        "pt2000_wedge",
        "2,000 Pt, amorphous, 4.3 nm, tilts of ±60° in steps of 3°, rigid probe (300 kV, 25 mrad) and Poisson noise at "
        "3e3 e/Å² per tilt, by the package's own image model",
        (
            *("--particle", "amorphous", "--element", "Pt", "--diameter", "43", "--min-distance", "2.5"),
            *("--atoms", "2000", "--tilts=-60,60,3", "--pixel-size", "0.35", "--energy", "300e3"),
            *("--semiangle", "25", "--source-size", "0.7", "--width", "0.5", "--dose", "3e3", "--seed", "7"),
        ),
        (
            ("pixel_size_A", 0.35),
            ("element", "Pt"),
            ("counts", True),
            ("energy_eV", 300e3),
            ("semiangle_mrad", 25.0),
            ("source_sigma_A", 0.7 / 2.3548200450309493),
        ),
    ),
)


def find_case(case: Case, cases: Path, work: Path, program: str) -> Path | None:
    """Folder of a case: among the given ones, or made with a fixed seed; None where it is missing."""

    def make(folder: Path) -> None:
        subprocess.run([program, "simulate", "--out", str(folder), "--overwrite", *case.generate], check=True)
        (folder / "case.json").write_text(json.dumps(dict(case.facts), indent=1), encoding="utf-8")

    return found_or_made(case.name, cases, work, make if case.generate else None)
