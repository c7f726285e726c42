"""What the tests of several benchmarks have in common."""

import json

import pytest


@pytest.fixture
def folder(tmp_path):
    """The folder of a case that says facts of its series."""
    made = tmp_path / "some_case"
    made.mkdir()
    facts = {"element": "Pt", "counts": True, "pixel_size_A": 0.25, "energy_eV": 3e5, "semiangle_mrad": 25.0,
             "source_sigma_A": 0.3, "rotation_centre_px": [64.0, 64.0]}  # fmt: skip
    (made / "case.json").write_text(json.dumps(facts))
    return made
