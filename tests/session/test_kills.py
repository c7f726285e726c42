"""Processes that are killed: what they had saved is whole, also where that happens in the midst of a save."""

import sys

import numpy as np
import pytest
from benchmarks.kills.__main__ import Kill, killed, page

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")


def test_a_killed_run_leaves_a_whole_file(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.kills.__main__.LONGEST_S", 0.5)
    rng = np.random.default_rng(3)
    kills = [killed(tmp_path / str(during), rng, during) for during in (False, True)]
    assert [kill.opened for kill in kills] == [True, True]
    assert kills[1].half_written, "it was not killed in the midst of a save"
    assert max(kill.age_s for kill in kills) < 5.0, "of saves every second"


def test_the_page_counts_what_was_lost():
    whole = Kill("any moment", False, 4.0, 0.7, True, "positions", 3, True)
    broken = Kill("during a save", True, 5.0, 31.0, False, "", 0, False)
    text = page({"kills": [vars(whole), vars(broken)], "seed": 1, "interval_s": 1.0, "machine": "A machine."})
    assert "| any moment | 1 | 0 | 1 | 0.70 | 0.70 |" in text
    assert "| during a save | 1 | 1 | 0 | 31.00 | 31.00 |" in text
    assert "Of 2 files 1 opened" in text
    assert "made of 1 of the 2 that were tried the same atoms" in text
