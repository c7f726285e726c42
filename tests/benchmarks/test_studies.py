"""The studies: what they measure of angles, and the page."""

import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.studies.page import make_page  # noqa: E402
from benchmarks.studies.study import angle_error_deg  # noqa: E402

from napari_lot.physics.geometry import rotations  # noqa: E402


class Stand:
    """What the measure looks at of a result and of a series."""

    def __init__(self, angles_deg):
        self.angles_deg = np.asarray(angles_deg, float)


def test_a_common_rotation_is_no_angle_error():
    theta = np.linspace(-70, 70, 15)
    asked = np.stack([0 * theta, theta, 0 * theta], 1)
    common = np.deg2rad([0.4, -0.3, 0.2])
    turns = np.rad2deg(rotations(asked) @ common)  # what a small common turn of the specimen is for each tilt
    assert angle_error_deg(Stand(turns), Stand(asked), asked) == pytest.approx([0, 0, 0], abs=5e-3)
    wrong = np.zeros((15, 3))
    wrong[:, 1] = np.where(np.arange(15) % 2, 0.5, -0.5)
    assert angle_error_deg(Stand(wrong), Stand(asked), asked)[1] == pytest.approx(0.5, abs=0.02)


def test_the_page_shows_what_was_run_and_only_that():
    rows = [{"atoms": 10, "rmsd_pm": 1.5, "of_each": {"Co": 2.0}}, {"atoms": 20, "found": None, "z": [1.0, 0.5]}]
    page = make_page({"alloy": {"machine": "a machine", "full": False, "rows": rows}})
    assert "## Three elements" in page
    assert "## Error bars" not in page
    assert "| 10 | 1.5 | Co 2 |  |  |" in page
    assert "| 20 |  |  |  | 1, 0.5 |" in page
