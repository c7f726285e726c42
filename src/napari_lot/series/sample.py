"""The sample that ships with the package: a simulated series of a 247-atom five-fold twinned Pt decahedron."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

from napari_lot.series.read import read_series
from napari_lot.series.tilt_series import TiltSeries


def _folder() -> Path:
    return Path(str(resources.files("napari_lot"))) / "samples" / "pt_deca"


def load_sample() -> TiltSeries:
    """36 noise-free multislice images of 114 x 114 pixels of 0.25 Å, tilted about y from -70 to 70 degrees."""
    facts = sample_facts()
    series = read_series(sample_path(), pixel_size_A=facts["pixel_size_A"], counts=facts["counts"])
    return series.with_changes(metadata={**facts, **series.metadata})


def sample_facts() -> dict[str, Any]:
    """What is known: element, pixel_size_A, energy_eV, semiangle_mrad, source_sigma_A, and how it was made."""
    facts: dict[str, Any] = json.loads((_folder() / "case.json").read_text(encoding="utf-8"))
    return facts


def sample_path() -> Path:
    """The series of the sample, a TIFF beside its ``angles.csv``."""
    return _folder() / "series.tif"


def sample_truth_path() -> Path:
    """The true atoms of the sample, XYZ in Å with the origin at the rotation centre."""
    return _folder() / "truth.xyz"
